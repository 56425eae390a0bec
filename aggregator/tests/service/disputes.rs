//! A certified sum that does not decode, from the first dispute to the trust of the next round. The
//! aggregator opens nothing, so that sites may dispute any sum here.

use ringfence_crypto::Digest;
use ringfence_crypto::api::{OpeningFrame, share_words};
use ringfence_crypto::id::{ClosingId, DisputeId, RoundNumber, SiteId, VerdictId};
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::round::{DisputeStatus, RoundState};
use ringfence_crypto::signature::{Signed, Statement as _};
use ringfence_crypto::statement::{
    Certifiable, Dispute, DisputeCertificate, Endorses, Opening, Outcome, Proceedings, Settled,
    Subject, Verdict, VerdictCertificate,
};
use ringfence_crypto::threshold::Threshold;
use ringfence_crypto::wire::frame;

use crate::child::{Aggregator, Answer};
use crate::crash::finish;
use crate::play::Play;
use crate::roster::{Roster, Shape, model};

impl Play {
    /// What was certified after the closing.
    pub(crate) async fn proceedings(&self) -> Proceedings {
        let mut proceedings = Proceedings::default();
        let status = self.status().await;
        for judged in status.disputes.iter().filter(|dispute| dispute.judged) {
            let index = judged.index;
            let verdict = self.client.get(&self.at(&format!("verdicts/{index}"))).await.json();
            if index == 0 {
                proceedings.check_words = Some(verdict);
                continue;
            }
            let dispute = self.client.get(&self.at(&format!("disputes/{index}"))).await.json();
            proceedings.disputes.push(Settled { dispute, verdict });
        }
        if proceedings != Proceedings::default() {
            let closing = self.closing().await.statement;
            proceedings.check(self.roster.study(), &closing).unwrap();
        }
        proceedings
    }

    fn dispute(&self, closing: ClosingId, index: u16, after: Option<VerdictId>) -> Dispute {
        let (study, round) = (self.roster.id(), self.manifest.statement.round);
        Dispute { study, round, closing, index, after, block: 0, coefficient: 4095 }
    }

    fn verdict(&self, closing: ClosingId, dispute: Option<DisputeId>, sites: &[SiteId]) -> Verdict {
        let (study, round) = (self.roster.id(), self.manifest.statement.round);
        Verdict { study, round, closing, dispute, sites: sites.to_vec() }
    }

    /// Puts a holder's endorsement at `disputes/1`, say.
    async fn put_endorsement_of<S>(&self, there: &str, holder: &SiteId, statement: &S) -> Answer
    where
        S: Certifiable,
    {
        let endorses = Endorses { statement: statement.clone(), holder: holder.clone() };
        let path = self.at(&format!("{there}/endorsements/{holder}"));
        self.client.put_json(&path, &self.roster.signed(holder, endorses)).await
    }

    async fn put_opening_at(&self, there: &str, opening: &OpeningFrame) -> Answer {
        let holder = &opening.statement.statement.holder;
        let path = self.at(&format!("{there}/{holder}"));
        self.client.put(&path, frame::encode(opening).unwrap()).await
    }

    pub(crate) fn holders(&self) -> &[SiteId] {
        &self.manifest.statement.holders
    }

    fn quorum(&self) -> usize {
        self.roster.study().threshold.endorsements.into()
    }
}

/// Settles a dispute: all holders name this culprit.
pub(crate) async fn settle(
    play: &Play,
    index: u16,
    after: Option<VerdictId>,
    culprit: &SiteId,
) -> VerdictId {
    let closing = play.closing().await.id();
    let dispute = play.dispute(closing, index, after);
    for holder in play.holders() {
        play.put_endorsement_of(&format!("disputes/{index}"), holder, &dispute).await.ok();
    }
    let certified: DisputeCertificate =
        play.client.get(&play.at(&format!("disputes/{index}"))).await.json();
    certified.check(play.roster.study()).unwrap();
    let verdict = play.verdict(closing, Some(dispute.id()), std::slice::from_ref(culprit));
    for holder in play.holders() {
        play.put_endorsement_of(&format!("verdicts/{index}"), holder, &verdict).await.ok();
    }
    verdict.id()
}

/// Eight sites, seven of which hold keys in round 0, and c = 2: two disputes.
pub(crate) fn roster(aggregator: &Aggregator) -> Roster {
    let roster = Roster::new(aggregator.key, Shape { sites: 8, ..Shape::default() });
    let mut study = roster.study().clone();
    study.threshold = Threshold::derive(7, 2, 1, 8).unwrap();
    study.packing = Packing::derive(16, 0, 8, 2).unwrap();
    study.min_sites = study.threshold.min_sites_floor();
    Roster::of(study, roster.keys)
}

/// A round whose sum is opened.
pub(crate) async fn opened(aggregator: &Aggregator) -> (Play, ClosingId) {
    let play = Play::start(aggregator.client(), roster(aggregator), 600).await;
    for site in play.ids() {
        play.contribute(site).await;
    }
    play.reach(RoundState::Reviewing).await;
    for holder in play.holders() {
        play.put_review(holder, &[]).await.ok();
    }
    play.reach(RoundState::Closed).await;
    let closing = play.closing().await.id();
    for holder in play.holders() {
        play.put_endorsement(holder, closing).await.ok();
    }
    for holder in play.holders() {
        play.put_opening(holder, closing).await.ok();
    }
    (play, closing)
}

/// Restarts the aggregator: it has forgotten nothing.
async fn crash(aggregator: &mut Aggregator, play: &Play) {
    let before = play.status().await;
    aggregator.kill();
    aggregator.restart();
    assert_eq!(play.status().await, before);
}

#[tokio::test]
async fn two_disputes_to_their_ends_with_a_crash_after_every_step() {
    let mut aggregator = Aggregator::start();
    let (play, closing) = opened(&aggregator).await;
    let (sites, holders, quorum) = (play.ids().to_vec(), play.holders().to_vec(), play.quorum());
    let culprits = [sites[1].clone(), sites[3].clone()];
    let mut after = None;
    for (index, culprit) in (1u16..).zip(&culprits) {
        let (disputes, verdicts) = (format!("disputes/{index}"), format!("verdicts/{index}"));
        // The dispute.
        let dispute = play.dispute(closing, index, after);
        for holder in &holders[..quorum - 1] {
            play.put_endorsement_of(&disputes, holder, &dispute).await.ok();
            play.put_endorsement_of(&disputes, holder, &dispute).await.ok();
        }
        let words = ["is not certified", "5 endorsements of the same one", "4 came"];
        play.client.get(&play.at(&disputes)).await.refused(404, &words);
        crash(&mut aggregator, &play).await;
        play.put_endorsement_of(&disputes, &holders[quorum - 1], &dispute).await.ok();
        let certified: DisputeCertificate = play.client.get(&play.at(&disputes)).await.json();
        certified.check(play.roster.study()).unwrap();
        assert_eq!(certified.statement, dispute);
        crash(&mut aggregator, &play).await;

        // The functionals: one word for each site that is left, as l = 1.
        let subject = Subject::Functionals { dispute: certified.statement.id() };
        let words = 9 - usize::from(index);
        answer(&play, &disputes, (subject, words)).await;
        crash(&mut aggregator, &play).await;

        // The verdict.
        let verdict =
            play.verdict(closing, Some(certified.statement.id()), std::slice::from_ref(culprit));
        for holder in &holders[..quorum] {
            play.client.get(&play.at(&verdicts)).await.refused(404, &["is not certified"]);
            play.put_endorsement_of(&verdicts, holder, &verdict).await.ok();
        }
        let judged: VerdictCertificate = play.client.get(&play.at(&verdicts)).await.json();
        judged.check(play.roster.study()).unwrap();
        crash(&mut aggregator, &play).await;

        // The culprit's key.
        let verdict = judged.statement.id();
        let key = share_words(&play.roster.study().threshold);
        answer(&play, &verdicts, (Subject::Keys { verdict }, key)).await;
        crash(&mut aggregator, &play).await;
        after = Some(verdict);

        let status = play.status().await.disputes.pop().unwrap();
        let (disputing, judging) = (play.set(&holders[..quorum]), play.set(&holders[..quorum]));
        let expected = DisputeStatus {
            index,
            disputing,
            disputed: true,
            answered: play.set(&holders),
            judging,
            judged: true,
            removing: play.set(&holders),
        };
        assert_eq!(status, expected);
    }

    // Both are barred from the next round on. Bodies and envelopes are there to the end.
    for site in &sites {
        let body = play.client.get(&play.of(site, "/body")).await.ok().bytes;
        assert_eq!(body, play.contribution(site).body);
    }
    let previous = play.agree().await;
    assert_eq!(previous.trust.barred, culprits);
    let next = Play::open(play.client.clone(), play.roster.clone(), 1, 600, Some(&previous)).await;
    assert_eq!(next.manifest.statement.initiator, sites[2], "the turn of site-1 passes at once");
    for site in &culprits {
        next.put_header(site).await.refused(403, &["is barred"]);
    }
    crash(&mut aggregator, &next).await;
}

/// All holders open there, and all sites fetch their parts.
async fn answer(play: &Play, there: &str, (subject, words): (Subject, usize)) {
    let closing = play.closing().await.id();
    let there = format!("{there}/openings");
    let mut statements = Vec::new();
    for holder in play.holders() {
        for wrong in [words - 1, words + 1] {
            let wrong = play.opening_of(holder, closing, (subject, wrong));
            let refused = play.put_opening_at(&there, &wrong).await;
            refused.refused(422, &["content has", "expected"]);
        }
        let opening = play.opening_of(holder, closing, (subject, words));
        play.put_opening_at(&there, &opening).await.ok();
        play.put_opening_at(&there, &opening).await.ok();
        play.check_parts_of(&there, &opening, words).await;
        statements.push(opening.statement);
    }
    let listed: Vec<Signed<Opening>> = play.client.get(&play.at(&there)).await.json();
    assert_eq!(listed, statements);
    // The sum's openings are others.
    play.check_parts(&play.holders()[0], closing).await;
}

#[tokio::test]
async fn a_verdict_on_check_words_bars_and_opens_nothing() {
    let aggregator = Aggregator::start();
    let (play, closing) = opened(&aggregator).await;
    let (sites, quorum) = (play.ids().to_vec(), play.quorum());
    let verdict = play.verdict(closing, None, &sites[6..8]);
    for holder in &sites[..quorum] {
        play.put_endorsement_of("verdicts/0", holder, &verdict).await.ok();
    }
    let judged: VerdictCertificate = play.client.get(&play.at("verdicts/0")).await.json();
    judged.check(play.roster.study()).unwrap();
    let path = play.at("verdicts/0/openings");
    play.client.get(&path).await.refused(404, &["nothing is opened", "the whole set"]);
    let of = Subject::Keys { verdict: judged.statement.id() };
    let keys = play.opening_of(&sites[0], closing, (of, 2 * play.sum_words()));
    play.put_opening_at("verdicts/0/openings", &keys).await.refused(404, &["nothing is opened"]);
    // The set of a dispute is the whole one, too: one word for each of eight sites.
    let dispute = play.dispute(closing, 1, None);
    for holder in &sites[..quorum] {
        play.put_endorsement_of("disputes/1", holder, &dispute).await.ok();
    }
    let certified: DisputeCertificate = play.client.get(&play.at("disputes/1")).await.json();
    let subject = Subject::Functionals { dispute: certified.statement.id() };
    answer(&play, "disputes/1", (subject, 8)).await;
    assert_eq!(play.agree().await.trust.barred, sites[6..8]);
}

#[tokio::test]
async fn refused_disputes() {
    let aggregator = Aggregator::start();
    let play = Play::start(aggregator.client(), roster(&aggregator), 600).await;
    let sites = play.ids().to_vec();
    let guess = play.dispute(ClosingId(Digest::of(b"no closing")), 1, None);
    let refused = play.put_endorsement_of("disputes/1", &sites[0], &guess).await;
    refused.refused(409, &["nothing may be opened without a certificate"]);
    play.client.get(&play.at("disputes/1")).await.refused(404, &["is not certified", "0 came"]);

    let aggregator = Aggregator::start();
    let (play, closing) = opened(&aggregator).await;
    let before = play.status().await.version;
    let put = async |there: &str, site: usize, dispute: &Dispute| {
        play.put_endorsement_of(there, &sites[site], dispute).await
    };
    let first = play.dispute(closing, 1, None);
    put("disputes/1", 7, &first).await.refused(403, &["site-7 is no key holder"]);
    put("disputes/2", 0, &first).await.refused(422, &["the path names index 2"]);
    put("disputes/x", 0, &first).await.refused(404, &["the index of a dispute", "\"x\""]);
    let own = Endorses { statement: first.clone(), holder: sites[0].clone() };
    let mut own = play.roster.signed(&sites[0], own);
    let path = play.at("disputes/1/endorsements/site-1");
    play.client.put_json(&path, &own).await.refused(422, &["the path names site-1"]);
    own.statement.holder = sites[1].clone();
    play.client.put_json(&path, &own).await.refused(403, &["does not verify"]);
    put("disputes/1", 0, &guess).await.refused(409, &["another study, round or closing"]);
    let third = play.dispute(closing, 3, Some(VerdictId(Digest::of(b"none"))));
    put("disputes/3", 0, &third).await.refused(422, &["dispute 3", "up to c = 2"]);
    let zeroth = play.dispute(closing, 0, None);
    put("disputes/0", 0, &zeroth).await.refused(422, &["expected index 1"]);
    let after = Dispute { after: third.after, ..first.clone() };
    put("disputes/1", 0, &after).await.refused(422, &["index 1 without a verdict"]);
    let block = play.roster.study().blocks().unwrap() as u64;
    for nowhere in [Dispute { block, ..first.clone() }, Dispute { coefficient: 4096, ..first }] {
        put("disputes/1", 0, &nowhere).await.refused(422, &["is no position of a body"]);
    }
    let second = Dispute { index: 2, ..third };
    put("disputes/2", 0, &second).await.refused(409, &["dispute names a verdict", "5 key holders"]);
    play.client.get(&play.at("disputes/3")).await.refused(404, &["from 1 to c = 2"]);
    play.client.get(&play.at("verdicts/3")).await.refused(404, &["from 0 to c = 2"]);
    assert_eq!(play.status().await.version, before, "nothing of all that was kept");

    let first = play.dispute(closing, 1, None);
    put("disputes/1", 0, &first).await.ok();
    let other = Dispute { coefficient: 0, ..first.clone() };
    put("disputes/1", 0, &other).await.refused(409, &["already endorsed another dispute"]);
    // Endorsements of different disputes certify neither, and what is opened waits for a certificate.
    for (site, dispute) in [(1, &first), (2, &first), (3, &first), (4, &other)] {
        put("disputes/1", site, dispute).await.ok();
    }
    play.client.get(&play.at("disputes/1")).await.refused(404, &["is not certified", "5 came"]);
    let subject = Subject::Functionals { dispute: first.id() };
    let functionals = play.opening_of(&sites[0], closing, (subject, 8));
    let refused = play.put_opening_at("disputes/1/openings", &functionals).await;
    refused.refused(404, &["is not certified"]);
    put("disputes/1", 5, &first).await.ok();
    let part = play.at("disputes/1/openings/site-0/recipients/site-2");
    play.client.get(&part).await.refused(404, &["site-0 has not opened the functionals"]);
    let words = ["is of the functionals", "the path is for the sum of the keys"];
    play.put_opening_at("openings", &functionals).await.refused(422, &words);
    let sum = play.opening(&sites[0], closing);
    let words = ["is of the sum of the keys", "the path is for the functionals"];
    play.put_opening_at("disputes/1/openings", &sum).await.refused(422, &words);
    // Nor is a certificate of a dispute one of a verdict.
    play.client.get(&play.at("verdicts/1/openings")).await.refused(404, &["is not certified"]);

    let put = async |there: &str, site: usize, verdict: &Verdict| {
        play.put_endorsement_of(there, &sites[site], verdict).await
    };
    let of = Some(first.id());
    let verdict = |sites: &[SiteId]| play.verdict(closing, of, sites);
    let sound = verdict(&sites[..1]);
    put("verdicts/2", 0, &sound).await.refused(422, &["the path names index 2"]);
    put("verdicts/0", 0, &sound).await.refused(422, &["the statement is of index 1"]);
    put("verdicts/1", 7, &sound).await.refused(403, &["site-7 is no key holder"]);
    let stranger: SiteId = "stranger".parse().unwrap();
    let twice = [sites[1].clone(), sites[0].clone()];
    for bad in [&[][..], &sites[..3], &twice, &[stranger]] {
        put("verdicts/1", 0, &verdict(bad)).await.refused(422, &["1 to c = 2 of the set"]);
    }
    let unfounded = play.verdict(closing, Some(other.id()), &sites[..1]);
    put("verdicts/1", 0, &unfounded).await.refused(409, &["verdict names a dispute"]);
    put("verdicts/1", 0, &sound).await.ok();
    let refused = put("verdicts/1", 0, &verdict(&sites[1..2])).await;
    refused.refused(409, &["already endorsed another verdict"]);

    // Once the sites agree on a model, who is barred is settled.
    for site in &sites[..5] {
        play.put_outcome(site, closing, Outcome::Applied { model: model(RoundNumber(1)) })
            .await
            .ok();
    }
    put("verdicts/1", 1, &sound).await.refused(409, &["a verdict of round 0 comes too late"]);
    put("verdicts/1", 0, &sound).await.ok();
    let refused = play.put_endorsement_of("disputes/1", &sites[6], &first).await;
    refused.refused(409, &["a dispute of round 0 comes too late"]);
    assert!(play.ended().await.trust.barred.is_empty());
}

#[tokio::test]
async fn a_study_that_names_nobody_has_no_disputes() {
    let aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape { sites: 3, ..Shape::default() });
    let play = Play::start(aggregator.client(), roster, 600).await;
    for site in play.ids() {
        play.contribute(site).await;
    }
    finish(&play).await;
    play.client.get(&play.at("disputes/1")).await.refused(404, &["has no disputes", "m = 3"]);
    let dispute = play.dispute(play.closing().await.id(), 1, None);
    let refused = play.put_endorsement_of("disputes/1", &play.ids()[0], &dispute).await;
    refused.refused(422, &["has no disputes", "m = 3"]);
}
