//! Three aggregators over one database and one bucket, behind a plain balancer of TCP connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringfence_crypto::Digest;
use ringfence_crypto::api::{ContributionProgress, StudyStatus};
use ringfence_crypto::id::{SiteId, UnixSeconds};
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{RestoreRequest, Standing};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::child::{Aggregator, Client};
use crate::crash::finish;
use crate::engines::psql;
use crate::play::Play;
use crate::roster::{LARGE, Roster, Shape};
use crate::uploads::begin_upload;

/// Passes each connection on to the next of the aggregators that can be reached; its address.
async fn balancer(behind: Vec<SocketAddr>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let next = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        loop {
            let (mut outside, _) = listener.accept().await.unwrap();
            let (behind, next) = (behind.clone(), next.clone());
            tokio::spawn(async move {
                for _ in 0..behind.len() {
                    let at = behind[next.fetch_add(1, Ordering::Relaxed) % behind.len()];
                    if let Ok(mut inside) = TcpStream::connect(at).await {
                        let _ = copy_bidirectional(&mut outside, &mut inside).await;
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Three aggregators, and a client whose every request goes to another one.
async fn three() -> Option<([Aggregator; 3], Client)> {
    let first = Aggregator::start_on_engines()?;
    let second = first.another("second.marks");
    let third = first.another("third.marks");
    let all = [first, second, third];
    let behind = all.iter().map(|aggregator| aggregator.address.parse().unwrap()).collect();
    // Three servers and their engines share the processors with all other tests.
    let client = Client::patient(&balancer(behind).await, Duration::from_secs(120));
    Some((all, client))
}

/// All of one round and the beginning of the next, each request at another aggregator, all sites at
/// once; one aggregator is killed while the round is closed. What is checked is what the sites check
/// of a round in one folder: each body once in the sum, and one log that only grows.
#[tokio::test]
async fn a_round_over_three_of_which_one_is_killed_while_it_is_closed() {
    let Some((mut three, client)) = three().await else { return };
    let roster = Roster::new(three[0].key, Shape { values: LARGE, ..Shape::default() });
    let play = Play::start(client.clone(), roster.clone(), 600).await;
    let together: Vec<_> = play.ids().to_vec();
    let together = together.into_iter().map(|site| {
        let play = play.clone();
        tokio::spawn(async move { play.contribute(&site).await })
    });
    for contributed in together.collect::<Vec<_>>() {
        assert!(contributed.await.unwrap().receipt.is_some());
    }
    play.reach_within(RoundState::Reviewing, PATIENCE).await;
    // Who waits at one hears of what another one was told.
    let waiting = tokio::spawn({
        let (client, path) = (three[2].client(), play.at(""));
        let path = path.trim_end_matches('/').to_owned();
        let version = play.status().await.version;
        async move {
            let news = format!("{path}?after={version}&wait=60");
            client.get(&news).await.json::<RoundStatus>()
        }
    });
    let holders = play.ids().to_vec();
    let (last, others) = holders.split_last().unwrap();
    for holder in others {
        play.put_review(holder, &[]).await.ok();
    }
    let heard = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap().unwrap();
    assert!(!heard.reviewed.is_empty());
    play.put_review(last, &[]).await.ok();
    three[0].kill();

    play.reach_within(RoundState::Closed, PATIENCE).await;
    play.check_sum(play.ids()).await;
    three[0].restart();
    let closing = play.closing().await.id();
    for holder in play.ids() {
        play.put_endorsement(holder, closing).await.ok();
    }
    for holder in play.ids() {
        play.put_opening(holder, closing).await.ok();
    }
    // Each of them says the same of the round, and its log is the same.
    let mut said = Vec::new();
    for aggregator in &three {
        let at = Play { client: aggregator.client(), ..play.clone() };
        at.check_sum(play.ids()).await;
        said.push((at.status().await, at.closing().await));
    }
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
    assert_eq!(said[0].0.state, RoundState::Opened);

    let previous = play.agree().await;
    let next = Play::open(client.clone(), roster.clone(), 1, 600, Some(&previous)).await;
    for aggregator in &three {
        let path = format!("{}/status", roster.path());
        let status: StudyStatus = aggregator.client().get(&path).await.json();
        assert_eq!(status.rounds, 2);
    }
    for site in next.ids() {
        next.contribute(site).await;
    }
    finish(&next).await;
}

/// The network loses the connection of an upload, and the aggregator at its end does not notice: the
/// site goes on at another one.
#[tokio::test]
async fn an_upload_that_hangs_at_one_goes_on_at_another() {
    let Some((three, client)) = three().await else { return };
    let roster = Roster::new(three[0].key, Shape { values: LARGE, ..Shape::default() });
    let play = Play::start(client, roster, 600).await;
    let site = play.ids()[0].clone();
    play.put_header(&site).await.ok();
    play.put_envelopes(&site).await.ok();
    let hanging = begin_upload(&three[0], &play, &site, 0, 1_500_000).await;
    let there = Play { client: three[1].client(), ..play.clone() };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut stored = 0;
    while stored == 0 {
        assert!(tokio::time::Instant::now() < deadline, "nothing is stored");
        stored = there.progress(&site).await.body_bytes;
    }
    assert!(stored < 1_500_000, "{stored}: the rest is held by the first one");
    let progress: ContributionProgress = there.put_body(&site, stored as usize).await.json();
    assert!(progress.receipt.is_some());
    // Now it notices, and stores what it has held.
    drop(hanging);
    for other in &play.ids()[1..] {
        play.contribute(other).await;
    }
    play.reach_within(RoundState::Reviewing, PATIENCE).await;
    for holder in play.ids() {
        play.put_review(holder, &[]).await.ok();
    }
    play.reach_within(RoundState::Closed, PATIENCE).await;
    play.check_sum(play.ids()).await;
    for aggregator in &three {
        let body = aggregator.client().get(&play.of(&site, "/body")).await.ok().bytes;
        assert_eq!(body, play.contribution(&site).body);
    }
}

/// Each request of a restored site, and of those who answer it, is taken by another aggregator.
#[tokio::test]
async fn what_a_restored_site_asks_is_heard_at_all_of_them() {
    let Some((three, client)) = three().await else { return };
    let roster = Roster::new(three[0].key, Shape::default());
    let play = Play::start(client, roster, 600).await;
    let (study, round) = (play.roster.id(), None);
    let path = format!("{}/restored", play.roster.path());
    let (asking, others) = play.ids().split_first().unwrap();
    let (nonce, restored_at) = (Digest::of(b"nonce"), UnixSeconds(100));
    let request = RestoreRequest { study, site: asking.clone(), nonce, restored_at };
    let request = play.roster.signed(asking, request);
    let own = format!("{path}/{asking}");
    assert_eq!(play.client.put_json(&own, &request).await.status, 201);
    for (by, aggregator) in others.iter().zip(three.iter().cycle()) {
        let client = aggregator.client();
        let found: Vec<Signed<RestoreRequest>> = client.get(&path).await.json();
        assert_eq!(found, std::slice::from_ref(&request));
        let (request, site) = (request.id(), by.clone());
        let standing = Standing { study, request, site, round, has_signed: None };
        let standing = play.roster.signed(by, standing);
        let at = format!("{own}/standings/{by}");
        assert_eq!(client.put_json(&at, &standing).await.status, 201);
    }
    for aggregator in &three {
        let answers = format!("{own}/standings");
        let found: Vec<Signed<Standing>> = aggregator.client().get(&answers).await.json();
        assert_eq!(found.len(), others.len());
    }
}

/// A way to the bucket that can be shut: what is asked goes through, the answers wait.
struct Gate {
    address: String,
    open: watch::Sender<bool>,
}

impl Gate {
    async fn before(endpoint: &str) -> Self {
        let behind: SocketAddr = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let open = watch::Sender::new(true);
        let gate = open.clone();
        tokio::spawn(async move {
            loop {
                let (outside, _) = listener.accept().await.unwrap();
                tokio::spawn(pass(outside, behind, gate.subscribe()));
            }
        });
        Self { address, open }
    }
}

async fn pass(outside: TcpStream, behind: SocketAddr, mut open: watch::Receiver<bool>) {
    let Ok(inside) = TcpStream::connect(behind).await else { return };
    let ((mut asked, mut answer), (mut answers, mut asks)) =
        (outside.into_split(), inside.into_split());
    let answered = async {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(read @ 1..) = answers.read(&mut bytes).await {
            if open.wait_for(|open| *open).await.is_err()
                || answer.write_all(&bytes[..read]).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = answered => {}
        // The other direction may end before: what was asked is answered all the same.
        _ = async { let _ = copy(&mut asked, &mut asks).await; std::future::pending::<()>().await } => {}
    }
}

/// Three aggregators, each with a gate before the bucket, in the middle of adding up a round: each
/// has one range of it, and no answer yet.
struct Adding {
    all: [Aggregator; 3],
    gates: [Gate; 3],
    play: Play,
    /// Keeps the engines' first owner.
    database: String,
}

/// How long a lease lasts, and some more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

impl Adding {
    async fn begin() -> Option<Self> {
        let owner = Aggregator::start_on_engines()?;
        let (database, endpoint) =
            (owner.option("--postgres").to_owned(), owner.option("--s3-endpoint").to_owned());
        let gates = [
            Gate::before(&endpoint).await,
            Gate::before(&endpoint).await,
            Gate::before(&endpoint).await,
        ];
        let [a, b, c] = [0, 1, 2].map(|place| owner.another_by("marks", &gates[place].address));
        let all = [a, b, c];
        drop(owner);
        let behind = all.iter().map(|each| each.address.parse().unwrap()).collect();
        let client = Client::patient(&balancer(behind).await, Duration::from_secs(120));
        let roster = Roster::new(all[0].key, Shape { values: LARGE, ..Shape::default() });
        let play = Play::start(client, roster, 600).await;
        for site in play.ids() {
            play.contribute(site).await;
        }
        play.reach_within(RoundState::Reviewing, PATIENCE).await;
        for gate in &gates {
            gate.open.send_replace(false);
        }
        for holder in play.ids() {
            play.put_review(holder, &[]).await.ok();
        }
        let adding = Self { all, gates, play, database };
        let leased = "SELECT count(DISTINCT holder) FROM jobs WHERE token > 0 AND hashes IS NULL";
        adding.until(leased, "3").await;
        let ranges = "SELECT count(*) FROM jobs WHERE place >= 0";
        assert!(adding.ask(ranges).parse::<u32>().unwrap() >= 6, "several for each");
        assert_eq!(adding.ask("SELECT count(*) FROM jobs WHERE hashes IS NOT NULL"), "0");
        Some(adding)
    }

    fn ask(&self, query: &str) -> String {
        psql(&self.database, query)
    }

    async fn until(&self, query: &str, expected: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.ask(query) != expected {
            let jobs = || self.ask("SELECT * FROM jobs ORDER BY place");
            assert!(tokio::time::Instant::now() < deadline, "{}", jobs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Each of these says the same of the closed round, and it is what one aggregator alone says of
    /// the same contributions in its folder.
    async fn check(&self, of: &[&Aggregator]) {
        let ids = self.play.ids();
        let mut said = Vec::new();
        for aggregator in of {
            let at = Play { client: aggregator.client(), ..self.play.clone() };
            at.check_sum(ids).await;
            at.check_set().await;
            said.push((at.status().await, at.closing().await));
        }
        assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
        let alone = Aggregator::start();
        let roster = Roster::new(alone.key, Shape { values: LARGE, ..Shape::default() });
        let play = Play::start(alone.client(), roster, 600).await;
        for site in play.ids() {
            play.contribute(site).await;
        }
        play.reach_within(RoundState::Reviewing, PATIENCE).await;
        for holder in play.ids() {
            play.put_review(holder, &[]).await.ok();
        }
        play.reach_within(RoundState::Closed, PATIENCE).await;
        let (status, closing) = (play.status().await, play.closing().await.statement);
        let (together, of_them) = &said[0];
        let sites = |closing: &ringfence_crypto::statement::Closing| -> Vec<SiteId> {
            closing.included.iter().map(|entry| entry.site.clone()).collect()
        };
        assert_eq!(of_them.statement.sum, closing.sum);
        assert_eq!(sites(&of_them.statement), sites(&closing));
        assert_eq!(of_them.statement.excluded, closing.excluded);
        assert_eq!(of_them.statement.checkpoint.size, closing.checkpoint.size);
        assert_eq!((together.version, together.state), (status.version, status.state));
    }
}

/// One of three that share the ranges of a round is killed while it adds one; the others add that one,
/// too, once the lease has ended, and the many that nobody had begun.
#[tokio::test(flavor = "multi_thread")]
async fn one_is_killed_while_it_adds_a_range_and_the_others_add_it() {
    let Some(mut adding) = Adding::begin().await else { return };
    adding.all[0].kill();
    for gate in &adding.gates {
        gate.open.send_replace(true);
    }
    adding.play.reach_within(RoundState::Closed, PATIENCE).await;
    adding.until("SELECT count(*) FROM jobs", "0").await;
    adding.all[0].restart();
    let [a, b, c] = &adding.all;
    adding.check(&[a, b, c]).await;
}

/// Two of three get no bytes for longer than a lease lasts: the third one adds everything. Then their
/// bytes come after all.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_held_up_holds_up_nobody_and_comes_too_late() {
    let Some(adding) = Adding::begin().await else { return };
    adding.gates[2].open.send_replace(true);
    let third = Play { client: adding.all[2].client(), ..adding.play.clone() };
    third.reach_within(RoundState::Closed, PATIENCE).await;
    for gate in &adding.gates {
        gate.open.send_replace(true);
    }
    let [a, b, c] = &adding.all;
    adding.check(&[a, b, c]).await;
    adding.until("SELECT count(*) FROM jobs", "0").await;
}
