//! The study's log: what is in it, in which order, the proofs, and that it comes back.

use ringfence_crypto::Digest;
use ringfence_crypto::api::InclusionQuery;
use ringfence_crypto::id::{HeaderId, RoundNumber, SiteId};
use ringfence_crypto::log::{
    Checkpoint, CheckpointText, ConsistencyProof, InclusionProof, LogEntry, NoteKey, SignedNote,
    StudyLog, origin,
};
use ringfence_crypto::round::RoundState;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Acknowledgement, Header, Outcome, Receipt};

use crate::child::{Aggregator, Client};
use crate::play::Play;
use crate::roster::{Roster, Shape, model};

/// Asks for a study's log.
struct Log<'a> {
    client: &'a Client,
    roster: &'a Roster,
}

impl Log<'_> {
    fn path(&self, rest: &str) -> String {
        format!("{}/log/{rest}", self.roster.path())
    }

    /// The signed checkpoint.
    async fn checkpoint(&self) -> Checkpoint {
        let answer = self.client.get(&self.path("checkpoint")).await.ok();
        assert_eq!(answer.kind, "text/plain; charset=utf-8");
        let note: SignedNote = std::str::from_utf8(&answer.bytes).unwrap().parse().unwrap();
        let key = self.roster.study().aggregator_key;
        let key = NoteKey::new(&origin(self.roster.id()), key).unwrap();
        CheckpointText::verified(&note, &key).unwrap().checkpoint()
    }

    async fn consistency(&self, from: u64, to: u64) -> ConsistencyProof {
        self.client.get(&self.path(&format!("consistency?from={from}&to={to}"))).await.json()
    }

    async fn inclusion(&self, entry: &LogEntry, size: u64) -> InclusionProof {
        let path = self.path(&format!("inclusion?size={size}&leaf={}", entry.leaf()));
        self.client.get(&path).await.json()
    }

    /// Follows the log to its end: it grew by `entries`, in this order, and forgot nothing.
    async fn follow(&self, oracle: &mut StudyLog, entries: impl IntoIterator<Item = LogEntry>) {
        let before = oracle.checkpoint();
        entries.into_iter().for_each(|entry| {
            oracle.append(entry);
        });
        let now = self.checkpoint().await;
        assert_eq!(now, oracle.checkpoint());
        self.consistency(before.size, now.size).await.verify(&before, &now).unwrap();
    }
}

async fn receipt(play: &Play, site: &SiteId) -> LogEntry {
    LogEntry::of_signed(&play.contribute(site).await.receipt.unwrap())
}

#[tokio::test]
async fn every_statement_is_a_leaf_and_the_log_survives_a_kill() {
    let mut aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let client = aggregator.client();
    client.post_study(&roster.signed).await.ok();
    let log = Log { client: &client, roster: &roster };
    let mut oracle = StudyLog::default();
    // Without a round, the log is empty.
    log.follow(&mut oracle, []).await;

    let play = Play::open(client.clone(), roster.clone(), 0, 600, None).await;
    log.follow(&mut oracle, [LogEntry::of_signed(&play.manifest)]).await;
    let sites = play.ids().to_vec();
    for site in &sites {
        let receipt = receipt(&play, site).await;
        let header = LogEntry::of_signed(&play.contribution(site).header);
        if *site == sites[4] {
            // The freeze follows at once.
            oracle.append(header);
            oracle.append(receipt);
            break;
        }
        log.follow(&mut oracle, [header, receipt]).await;
        // The same again is no new leaf.
        play.contribute(site).await;
        log.follow(&mut oracle, []).await;
    }
    play.reach(RoundState::Reviewing).await;
    log.follow(&mut oracle, [LogEntry::of_signed(&play.freeze().await)]).await;
    aggregator.kill();
    aggregator.restart();
    log.follow(&mut oracle, []).await;

    for holder in &sites {
        play.put_review(holder, &[]).await.ok();
        let review = play.review(holder, &[]).await;
        if *holder != sites[4] {
            log.follow(&mut oracle, [LogEntry::of_signed(&review)]).await;
        } else {
            oracle.append(LogEntry::of_signed(&review));
        }
    }
    play.reach(RoundState::Closed).await;
    let closing = play.closing().await;
    assert_eq!(closing.statement.checkpoint, oracle.checkpoint());
    log.follow(&mut oracle, [LogEntry::of_signed(&closing)]).await;

    // What a holder asks for, in one request: manifest, freeze, headers, reviews, its own receipt.
    let size = closing.statement.checkpoint.size;
    let own: Receipt = play.progress(&sites[2]).await.receipt.unwrap().statement;
    let entries = closing.statement.logged(&play.manifest.statement, Some(&own));
    assert_eq!(entries.len(), 13);
    let leaves = entries.iter().map(LogEntry::leaf).collect();
    let query = InclusionQuery { size, leaves };
    let proofs: Vec<InclusionProof> = client.post_json(&log.path("inclusion"), &query).await.json();
    assert_eq!(proofs.len(), entries.len());
    for (entry, proof) in entries.iter().zip(&proofs) {
        proof.verify(entry.leaf(), &closing.statement.checkpoint).unwrap();
        assert_eq!(log.inclusion(entry, size).await, *proof);
    }

    for holder in &sites {
        play.put_endorsement(holder, closing.id()).await.ok();
        let endorsement = play.endorsement(holder, closing.id());
        log.follow(&mut oracle, [LogEntry::of_signed(&endorsement)]).await;
    }
    for holder in &sites {
        play.put_opening(holder, closing.id()).await.ok();
        let opening = play.opening(holder, closing.id());
        log.follow(&mut oracle, [LogEntry::of_signed(&opening.statement)]).await;
    }

    // The next round while acknowledgements of this one still come: one log, in the order in which
    // they became durable, also after a kill.
    let outcome = Outcome::Applied { model: model(RoundNumber(1)) };
    for site in &sites[..4] {
        play.put_outcome(site, closing.id(), outcome).await.ok();
    }
    let previous = play.ended().await;
    let next = Play::open(client.clone(), roster.clone(), 1, 600, Some(&previous)).await;
    let header = LogEntry::of_signed(&next.contribution(&sites[0]).header);
    let receipt = receipt(&next, &sites[0]).await;
    play.put_outcome(&sites[4], closing.id(), outcome).await.ok();
    let acks: Vec<Signed<Acknowledgement>> = client.get(&play.at("acks")).await.json();
    let ack = |k: usize| {
        LogEntry::of_signed(acks.iter().find(|ack| ack.statement.site == sites[k]).unwrap())
    };
    let first = (0..4).map(ack);
    let rest = [LogEntry::of_signed(&next.manifest), header, receipt, ack(4)];
    log.follow(&mut oracle, first.chain(rest)).await;
    aggregator.kill();
    aggregator.restart();
    log.follow(&mut oracle, []).await;
    for size in 0..=oracle.size() {
        let proof = log.consistency(size, oracle.size()).await;
        assert_eq!(proof, oracle.consistency(size, oracle.size()).unwrap());
    }
}

#[tokio::test]
async fn all_sites_at_once_and_a_failing_disk_leave_one_log() {
    let mut aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster.clone(), 600).await;
    let client = play.client.clone();
    let log = Log { client: &client, roster: &roster };
    let seen = log.checkpoint().await;
    let broken =
        "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'broken'); END";
    crate::crash::sql(&aggregator, broken).await;
    play.put_header(&play.ids()[0]).await.refused(500, &["changed nothing"]);
    assert_eq!(log.checkpoint().await, seen);
    crate::crash::sql(&aggregator, "DROP TRIGGER full").await;

    let together = play.ids().iter().map(|site| {
        let (play, site) = (play.clone(), site.clone());
        tokio::spawn(async move { play.contribute(&site).await })
    });
    for task in together.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    play.reach(RoundState::Reviewing).await;
    let now = log.checkpoint().await;
    // A manifest, headers and receipts, the freeze.
    assert_eq!(now.size, 12);
    log.consistency(1, now.size).await.verify(&seen, &now).unwrap();
    for site in play.ids() {
        let header = LogEntry::of_signed(&play.contribution(site).header);
        log.inclusion(&header, now.size).await.verify(header.leaf(), &now).unwrap();
    }
    aggregator.kill();
    aggregator.restart();
    assert_eq!(log.checkpoint().await, now);

    // A database that lost a statement in the middle is not served as if nothing were missing.
    aggregator.kill();
    crate::crash::sql(&aggregator, "UPDATE events SET leaf = 20 WHERE leaf = 5").await;
    aggregator.restart();
    let refused = client.get(&log.path("checkpoint")).await;
    refused.refused(500, &["is not served", "lacks leaf 5", "the database was altered"]);
    aggregator.kill();
    crate::crash::sql(&aggregator, "UPDATE events SET leaf = 5 WHERE leaf = 20").await;
    aggregator.restart();
    assert_eq!(log.checkpoint().await, now);
}

#[tokio::test]
async fn refusals() {
    let aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster.clone(), 600).await;
    let log = Log { client: &play.client, roster: &roster };
    let get = async |rest: &str| play.client.get(&log.path(rest)).await;
    let manifest = LogEntry::of_signed(&play.manifest).leaf();
    let stranger = LogEntry::of::<Header>(HeaderId(Digest::of(b"stranger"))).leaf();
    let header = LogEntry::of_signed(&play.contribution(&play.ids()[0]).header).leaf();
    play.put_header(&play.ids()[0]).await.ok();

    get("consistency?from=0&to=3").await.refused(404, &["has 2 leaves, 3 were asked for"]);
    get("consistency?from=2&to=1").await.refused(422, &["never shrinks"]);
    get("consistency?from=1").await.refused(400, &["to"]);
    get("consistency?from=-1&to=1").await.refused(400, &[]);
    get("consistency?from=1&to=18446744073709551615").await.refused(404, &["has 2 leaves"]);
    get(&format!("inclusion?size=2&leaf={stranger}")).await.refused(404, &["no leaf"]);
    get(&format!("inclusion?size=1&leaf={header}")).await.refused(404, &["ask for a later size"]);
    get(&format!("inclusion?size=3&leaf={manifest}")).await.refused(404, &["has 2 leaves"]);
    get("inclusion?size=1&leaf=00").await.refused(400, &["64 lower-case"]);
    get(&format!("inclusion?size=1&leaf={manifest}&more=1")).await.refused(400, &["more"]);
    let post =
        async |query: &InclusionQuery| play.client.post_json(&log.path("inclusion"), query).await;
    let good = InclusionQuery { size: 1, leaves: vec![manifest; 512] };
    assert_eq!(post(&good).await.json::<Vec<InclusionProof>>().len(), 512);
    let query = InclusionQuery { size: 1, leaves: vec![manifest; 513] };
    post(&query).await.refused(422, &["at most 512 leaves, got 513"]);
    let query = InclusionQuery { size: 1, leaves: vec![manifest; 1000] };
    post(&query).await.refused(413, &["65536 bytes"]);
    let query = InclusionQuery { size: 1, leaves: vec![manifest, stranger] };
    post(&query).await.refused(404, &["no leaf"]);
    let empty = InclusionQuery { size: 1, leaves: Vec::new() };
    assert!(post(&empty).await.json::<Vec<InclusionProof>>().is_empty());
    let unknown = format!("/v2/studies/{}/log/checkpoint", Digest::of(b"unknown"));
    play.client.get(&unknown).await.refused(404, &["no study"]);
    play.client.put(&log.path("checkpoint"), "").await.refused(405, &["does not take PUT"]);
}
