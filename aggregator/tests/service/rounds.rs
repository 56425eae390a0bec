//! Whole rounds: to an opened sum, to an abort, without a dealer that drew complaints.

use std::time::{Duration, Instant};

use ringfence_crypto::Digest;
use ringfence_crypto::api::{EnvelopeFrame, StudyStatus};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, ExclusionReason, Header, Manifest, Opening, Review, SignedStudy,
};
use ringfence_crypto::wire::frame;

use crate::child::{Aggregator, Client};
use crate::play::Play;
use crate::roster::{LARGE, Roster, Shape};

#[tokio::test]
async fn a_whole_round_and_the_next() {
    let aggregator = Aggregator::start();
    let client = aggregator.client();
    let roster = Roster::new(aggregator.key, Shape { values: LARGE, ..Shape::default() });

    let posted = client.post_study(&roster.signed).await;
    assert_eq!(posted.status, 201);
    // Asked before round 0 is open, and answered when it is; until then for a second only.
    let waiting = format!("{}/status?after=0&wait=", roster.path());
    let status: StudyStatus = client.get(&format!("{waiting}1")).await.json();
    assert_eq!(status.rounds, 0);
    let opened = tokio::spawn({
        let (client, path) = (client.clone(), format!("{waiting}60"));
        async move { client.get(&path).await.json::<StudyStatus>() }
    });
    let status: StudyStatus = posted.json();
    assert_eq!((status.study, status.rounds, status.latest), (roster.id(), 0, None));
    assert_eq!(client.post_study(&roster.signed).await.status, 200);
    assert_eq!(client.get(&roster.path()).await.json::<SignedStudy>(), roster.signed);

    let play = Play::open(client.clone(), roster.clone(), 0, 600, None).await;
    let status = tokio::time::timeout(Duration::from_secs(20), opened).await.unwrap().unwrap();
    assert_eq!(status.rounds, 1);
    let again = client.post_json(&format!("{}/rounds", roster.path()), &play.manifest).await;
    assert_eq!(again.status, 200);
    // Nothing is frozen yet.
    for early in ["headers", &format!("dealt/{}", play.ids()[0])] {
        assert_eq!(client.get(&play.at(early)).await.status, 404);
    }
    let manifest: Signed<Manifest> = client.get(&play.at("manifest")).await.json();
    assert_eq!(manifest, play.manifest);

    // All sites at once.
    let sites = play.ids().to_vec();
    let mut receipts = Vec::new();
    let together: Vec<_> = sites
        .iter()
        .map(|site| {
            let (play, site) = (play.clone(), site.clone());
            tokio::spawn(async move { play.contribute(&site).await })
        })
        .collect();
    for task in together {
        receipts.push(task.await.unwrap());
    }
    // The same bytes again give the same receipts, also now that nothing new is taken.
    for (site, receipt) in sites.iter().zip(&receipts) {
        assert_eq!(play.contribute(site).await, *receipt);
        assert_eq!(play.progress(site).await, *receipt);
    }

    let status = play.reach(RoundState::Reviewing).await;
    assert_eq!(status.received, play.set(&sites));
    let dealer = &sites[1];
    let contribution = play.contribution(dealer);
    let header: Signed<Header> = client.get(&play.of(dealer, "/header")).await.json();
    assert_eq!(header, contribution.header);
    for (holder, envelope) in status.holders.iter().zip(&contribution.envelopes.envelopes) {
        let path = play.of(dealer, &format!("/envelopes/{holder}"));
        assert_eq!(client.get(&path).await.ok().bytes, *envelope);
    }
    let headers: Vec<Signed<Header>> = client.get(&play.at("headers")).await.json();
    let all: Vec<_> = sites.iter().map(|site| play.contribution(site)).collect();
    assert_eq!(headers, all.iter().map(|of| of.header.clone()).collect::<Vec<_>>());
    let rest: Vec<Signed<Header>> = client.get(&play.at("headers?from=2")).await.json();
    assert_eq!(rest, headers[2..]);
    for (k, holder) in status.holders.iter().enumerate() {
        let path = format!("dealt/{holder}?from=1");
        let EnvelopeFrame { envelopes } =
            frame::decode(&client.get(&play.at(&path)).await.ok().bytes, "envelopes").unwrap();
        let expected = all[1..].iter().map(|of| of.envelopes.envelopes[k].clone());
        assert_eq!(envelopes, expected.collect::<Vec<_>>());
    }
    assert_eq!(client.get(&play.at("dealt/stranger")).await.status, 403);
    assert_eq!(client.get(&play.of(dealer, "/body")).await.ok().bytes, contribution.body);
    for holder in &sites {
        play.put_review(holder, &[]).await.ok();
    }
    let reviews: Vec<Signed<Review>> = client.get(&play.at("reviews")).await.json();
    assert_eq!(reviews.len(), sites.len());

    play.reach(RoundState::Closed).await;
    play.check_sum(&sites).await;
    let closing = play.closing().await;
    play.check_set().await;
    let needed = usize::from(roster.study().threshold.endorsements);
    for holder in &sites[..needed] {
        play.put_endorsement(holder, closing.id()).await.ok();
    }
    let certificate: Certificate = client.get(&play.at("certificate")).await.json();
    certificate.check(roster.study(), &play.manifest.statement).unwrap();

    let needed = usize::from(roster.study().threshold.opening);
    for (count, holder) in sites[..needed].iter().enumerate() {
        let status: RoundStatus = play.put_opening(holder, closing.id()).await.json();
        assert_eq!(status.state == RoundState::Opened, count + 1 == needed);
        play.check_parts(holder, closing.id()).await;
    }
    let openings: Vec<Signed<Opening>> = client.get(&play.at("openings")).await.json();
    let expected =
        sites[..needed].iter().map(|holder| play.opening(holder, closing.id()).statement);
    assert_eq!(openings, expected.collect::<Vec<_>>());
    client.get(&play.at("agreed")).await.refused(404, &["one model", "0 have said"]);
    let previous = play.agree().await;
    let acks: Vec<Signed<Acknowledgement>> = client.get(&play.at("acks")).await.json();
    assert_eq!(acks.len(), sites.len());
    // As many as are needed.
    let agreed: Vec<Signed<Acknowledgement>> = client.get(&play.at("agreed")).await.json();
    let needed = usize::from(play.roster.study().threshold.endorsements);
    assert_eq!(agreed, acks[..needed]);

    // The next round names this one's closing, and its window has moved on.
    let next = Play::open(client.clone(), roster, 1, 600, Some(&previous)).await;
    assert_eq!(next.status().await.holders[0], sites[1]);
    let status: StudyStatus = client.get(&format!("{}/status", play.roster.path())).await.json();
    assert_eq!((status.rounds, status.latest.unwrap().round), (2, RoundNumber(1)));
}

#[tokio::test]
async fn too_few_contributions_are_an_abort_without_a_sum() {
    let aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster.clone(), 1).await;
    let sites = play.ids().to_vec();
    // One fewer than min_sites.
    for site in &sites[..2] {
        play.contribute(site).await;
    }
    play.reach(RoundState::Closed).await;
    let closing = play.closing().await;
    assert!(closing.statement.is_abort() && closing.statement.sum.is_none());
    play.client.get(&play.at("sum")).await.refused(404, &["aborted", "no sum"]);
    for holder in &sites[..4] {
        play.put_endorsement(holder, closing.id()).await.ok();
    }
    assert_eq!(play.status().await.state, RoundState::Aborted);
    let refused = play.put_opening(&sites[0], closing.id()).await;
    refused.refused(409, &["is aborted", "nothing may be opened"]);
    // An abort ends the round like a set does.
    let previous = play.ended().await;
    Play::open(play.client.clone(), roster, 1, 600, Some(&previous)).await;
}

#[tokio::test]
async fn a_dealer_with_more_than_c_complaints_is_left_out_and_barred() {
    let aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster.clone(), 600).await;
    let sites = play.ids().to_vec();
    for site in &sites {
        play.contribute(site).await;
    }
    play.reach(RoundState::Reviewing).await;
    // c = 1: two complaints against site-1.
    play.put_review(&sites[0], &[&sites[1]]).await.ok();
    play.put_review(&sites[2], &[&sites[1]]).await.ok();
    for holder in [1, 3, 4] {
        play.put_review(&sites[holder], &[]).await.ok();
    }
    play.reach(RoundState::Closed).await;
    let kept: Vec<_> = sites.iter().filter(|site| **site != sites[1]).cloned().collect();
    play.check_sum(&kept).await;
    let closing = play.closing().await.statement;
    assert_eq!(closing.excluded.len(), 1);
    assert_eq!(closing.excluded[0].site, sites[1]);
    assert_eq!(closing.excluded[0].reason, ExclusionReason::Barred);
    play.check_set().await;

    // It may not contribute to the next round, which is frozen without it, and its turn as initiator
    // passes at once.
    let closing = play.closing().await.id();
    for holder in &sites[..4] {
        play.put_endorsement(holder, closing).await.ok();
    }
    let previous = play.agree().await;
    assert_eq!(previous.trust.barred, [sites[1].clone()]);
    let next = Play::open(play.client.clone(), roster, 1, 600, Some(&previous)).await;
    assert_eq!(next.manifest.statement.initiator, sites[2]);
    next.put_header(&sites[1]).await.refused(403, &["site-1 is barred"]);
    for site in &kept {
        next.contribute(site).await;
    }
    next.reach(RoundState::Reviewing).await;
    assert_eq!(next.freeze().await.statement.dealers(), kept);
    // Its review is not waited for.
    for holder in &kept {
        next.put_review(holder, &[]).await.ok();
    }
    next.reach(RoundState::Closed).await;
    next.check_sum(&kept).await;
}

#[tokio::test]
async fn a_silent_reviewer_only_costs_the_time_for_reviews_and_may_come_late() {
    let aggregator = Aggregator::start();
    let shape = Shape { review_seconds: 6, ..Shape::default() };
    let play = Play::start(aggregator.client(), Roster::new(aggregator.key, shape), 600).await;
    let sites = play.ids().to_vec();
    for site in &sites {
        play.contribute(site).await;
    }
    play.reach(RoundState::Reviewing).await;
    // t + c = 4 of them are enough for a judgement.
    for holder in &sites[..4] {
        play.put_review(holder, &[]).await.ok();
    }
    play.reach(RoundState::Closed).await;
    play.check_sum(&sites).await;
    let closing = play.closing().await.statement;
    assert_eq!(closing.reviews.len(), 4);
    // It says that its holder may open; the closing stays as it is.
    play.put_review(&sites[4], &[]).await.ok();
    play.put_review(&sites[4], &[]).await.ok();
    let reviews: Vec<Signed<Review>> = play.client.get(&play.at("reviews")).await.json();
    assert_eq!(reviews.len(), 5);
    assert_eq!(play.closing().await.statement, closing);
}

#[tokio::test]
async fn without_enough_reviews_a_round_is_aborted() {
    let aggregator = Aggregator::start();
    let shape = Shape { review_seconds: 1, ..Shape::default() };
    let play = Play::start(aggregator.client(), Roster::new(aggregator.key, shape), 600).await;
    for site in play.ids() {
        play.contribute(site).await;
    }
    play.reach(RoundState::Closed).await;
    assert!(play.closing().await.statement.is_abort());
}

#[tokio::test]
async fn a_long_poll_answers_at_the_next_event() {
    let aggregator = Aggregator::start();
    let play =
        Play::start(aggregator.client(), Roster::new(aggregator.key, Shape::default()), 600).await;
    let site = play.ids()[0].clone();
    let started = Instant::now();
    let poll = {
        let play = play.clone();
        let path = format!("{}?wait=30&after=0", play.path);
        tokio::spawn(async move { play.client.get(&path).await.json::<RoundStatus>() })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!poll.is_finished());
    play.put_header(&site).await.ok();
    assert_eq!(poll.await.unwrap().version, 1);
    assert!(started.elapsed() < Duration::from_secs(5));
    // Without news the wait ends by itself.
    let started = Instant::now();
    let status: RoundStatus =
        play.client.get(&format!("{}?wait=1&after=1", play.path)).await.json();
    assert_eq!(status.version, 1);
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn bodies_and_sums_are_served_in_ranges() {
    let aggregator = Aggregator::start();
    let play =
        Play::start(aggregator.client(), Roster::new(aggregator.key, Shape::default()), 600).await;
    let sites = play.ids().to_vec();
    for site in &sites {
        play.contribute(site).await;
        play.client.get(&play.at("sum")).await.refused(404, &["is not closed"]);
    }
    play.reach(RoundState::Reviewing).await;
    for site in &sites {
        play.put_review(site, &[]).await.ok();
    }
    play.reach(RoundState::Closed).await;
    let range = |path: String, range: &'static str| {
        let request = play.client.request(reqwest::Method::GET, &path).header("range", range);
        async move { Client::send(request).await.unwrap() }
    };
    let body = play.contribution(&sites[3]).body;
    for (path, whole) in
        [(play.of(&sites[3], "/body"), body), (play.at("sum"), play.oracle(&sites))]
    {
        let answer = range(path.clone(), "bytes=1000-1999").await;
        assert_eq!(answer.status, 206);
        assert_eq!(answer.bytes, whole[1000..2000]);
        let expected = format!("bytes 1000-1999/{}", whole.len());
        assert_eq!(answer.headers["content-range"], expected.as_str());
        let answer = range(path.clone(), "bytes=-8").await;
        assert_eq!(answer.bytes, whole[whole.len() - 8..]);
        range(path, "bytes=999999999-").await.refused(416, &["within the file"]);
    }
    assert_eq!(Digest::of(&play.oracle(&sites)), play.closing().await.statement.sum.unwrap());
}
