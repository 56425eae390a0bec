//! Every refusal: its status, its media type, and words that say what to do.

use reqwest::Method;
use ringfence_clock::Clock;
use ringfence_crypto::Digest;
use ringfence_crypto::api::{AggregatorStatus, EnvelopeFrame, OpeningFrame, recipients};
use ringfence_crypto::id::{ClosingId, ManifestId, RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::statement::{
    Freeze, Header, HexBytes, Manifest, Outcome, Review, SignedStudy, Spent,
};
use ringfence_crypto::threshold::Threshold;
use ringfence_crypto::wire::{frame, json};

use crate::child::{Aggregator, Client};
use crate::play::Play;
use crate::roster::{Roster, Shape, Term, now, study};

async fn play(aggregator: &Aggregator) -> Play {
    let mut roster = Roster::new(aggregator.key, Shape::default());
    // Four holders of five sites, so that there is one site that holds nothing: site-4 in round 0.
    let mut narrower = roster.study().clone();
    narrower.threshold = Threshold::derive(4, 1, 1, 5).unwrap();
    roster = Roster::of(narrower, roster.keys);
    Play::start(aggregator.client(), roster, 600).await
}

async fn collected(aggregator: &Aggregator) -> (Play, Vec<SiteId>) {
    let play = play(aggregator).await;
    let sites = play.ids().to_vec();
    for site in &sites {
        play.contribute(site).await;
    }
    play.reach(RoundState::Reviewing).await;
    (play, sites)
}

async fn closed(aggregator: &Aggregator) -> (Play, Vec<SiteId>, ClosingId) {
    let (play, sites) = collected(aggregator).await;
    for holder in &sites[..4] {
        play.put_review(holder, &[]).await.ok();
    }
    play.reach(RoundState::Closed).await;
    let closing = play.closing().await.id();
    (play, sites, closing)
}

#[tokio::test]
async fn routes_and_tokens() {
    let aggregator = Aggregator::start();
    let client = aggregator.client();
    assert_eq!(client.get("/healthz").await.ok().bytes, b"ok\n");
    assert_eq!(client.get("/readyz").await.ok().bytes, b"ready\n");
    let status: AggregatorStatus = client.get("/v2/aggregator").await.json();
    assert_eq!(status.aggregator_key, aggregator.key);
    assert!(status.now.since(Clock::system().now()).is_zero(), "{status:?}");
    client.get("/v1/studies").await.refused(404, &["no route GET /v1/studies"]);
    client.get("/v2/studies").await.refused(405, &["does not take GET"]);
    client.get("/v2/studies/xyz").await.refused(404, &["64 hexadecimal digits"]);
    let unknown = Digest::of(b"no such study");
    client.get(&format!("/v2/studies/{unknown}")).await.refused(404, &["is registered here"]);

    let roster = Roster::new(aggregator.key, Shape::default());
    let body = json::compact(&roster.signed);
    let post = || client.request(Method::POST, "/v2/studies").body(body.clone());
    for (request, said) in [
        (post(), "an administrator's token, got none; only an administrator registers studies"),
        (post().bearer_auth("another-token-of-16-bytes"), "no token of this aggregator"),
        (post().header("authorization", "x"), "expected one header `Authorization: Bearer TOKEN`"),
    ] {
        let refused = Client::send(request).await.unwrap();
        refused.refused(401, &[said]);
        assert_eq!(refused.headers["www-authenticate"], "Bearer");
    }
    client.get(&roster.path()).await.refused(404, &["is registered here"]);
    client.post_study(&roster.signed).await.ok();
    client.get(&format!("{}/rounds/0", roster.path())).await.refused(404, &["no round 0"]);
    client.get(&format!("{}/rounds/-1", roster.path())).await.refused(404, &["a round number"]);
}

#[tokio::test]
async fn studies_that_cannot_run() {
    let aggregator = Aggregator::start();
    let client = aggregator.client();
    let Roster { keys, signed, .. } = Roster::new(aggregator.key, Shape::default());
    let sound = &signed.study;

    let two = study(aggregator.key, Shape { sites: 2, ..Shape::default() }, &keys);
    let two = Roster::of(two, keys[..2].to_vec()).signed;
    client.post_study(&two).await.refused(422, &["got 2"]);

    let mut overflowing = sound.clone();
    overflowing.packing = Packing { slots: sound.packing.slots + 1, ..sound.packing };
    let overflowing = Roster::of(overflowing, keys.clone()).signed;
    client.post_study(&overflowing).await.refused(422, &["overflow the modulus"]);

    let mut unsigned = signed.clone();
    unsigned.signatures.retain(|signature| signature.site.as_str() != "site-3");
    client.post_study(&unsigned).await.refused(422, &["lacks the signatures of site-3"]);
    client.post_study(&SignedStudy::unsigned(sound.clone())).await.refused(422, &["lacks"]);

    let mut forged = signed.clone();
    forged.signatures[2].signature = forged.signatures[1].signature;
    client.post_study(&forged).await.refused(403, &["does not verify under the key of site-2"]);
    let mut altered = signed.clone();
    altered.study.review_seconds += 1;
    client.post_study(&altered).await.refused(403, &["does not verify"]);

    let other = Aggregator::start();
    let elsewhere = Roster::new(other.key, Shape::default()).signed;
    let words = [&other.key.to_string(), &aggregator.key.to_string(), "aggregator's key"];
    client.post_study(&elsewhere).await.refused(422, &words.map(|w| w as &str));

    let post = |body: Vec<u8>| {
        let request = client.request(Method::POST, "/v2/studies").bearer_auth(crate::child::TOKEN);
        async move { Client::send(request.body(body)).await.unwrap() }
    };
    post(b"{".to_vec()).await.refused(400, &["expected the JSON of a study file"]);
    let mut trailing = json::compact(&signed);
    trailing.extend(b" {}");
    post(trailing).await.refused(400, &["trailing"]);
    post(vec![b' '; json::MAX_STUDY + 1]).await.refused(413, &["at most"]);
    // Nothing of all that was kept.
    assert_eq!(client.post_study(&signed).await.status, 201);
}

#[tokio::test]
async fn manifests() {
    let aggregator = Aggregator::start();
    let client = aggregator.client();
    let roster = Roster::new(aggregator.key, Shape::default());
    client.post_study(&roster.signed).await.ok();
    let rounds = format!("{}/rounds", roster.path());
    let (due, successor) = (roster.ids[0].clone(), roster.ids[1].clone());
    let post = |signer: &SiteId, manifest: Manifest| {
        let (signed, client, rounds) = (roster.signed(signer, manifest), &client, &rounds);
        async move { client.post_json(rounds, &signed).await }
    };
    let sound = roster.manifest(RoundNumber(0), Term::now(600), None);

    post(&successor, sound.clone())
        .await
        .refused(403, &["does not verify under the key of site-0"]);
    let early = Manifest { initiator: successor.clone(), ..sound.clone() };
    post(&successor, early).await.refused(403, &["the initiator is site-0", "3600 s"]);
    let skipping = roster.manifest(RoundNumber(1), Term::now(600), None);
    post(&successor, skipping).await.refused(409, &["opens round 1, expected round 0"]);
    let other = Manifest { study: StudyId(Digest::of(b"other")), ..sound.clone() };
    post(&due, other).await.refused(409, &["for study"]);
    let previous = Manifest { previous: Some(ClosingId(Digest::of(b"nothing"))), ..sound.clone() };
    post(&due, previous).await.refused(409, &["previous round's closing"]);
    let fewer = Manifest { holders: sound.holders[1..].to_vec(), ..sound.clone() };
    post(&due, fewer).await.refused(422, &["key holders are not the 5 sites"]);
    let hasty = Manifest { deadline: sound.opened_at, ..sound.clone() };
    post(&due, hasty).await.refused(422, &["leaves 0 s"]);
    let longest = roster.study().longest_round_seconds;
    let open =
        Manifest { deadline: sound.opened_at.after(u64::from(longest) + 1), ..sound.clone() };
    post(&due, open).await.refused(422, &["leaves 2592001 s", "expected 1 to 2592000 s"]);
    let never = Manifest { deadline: UnixSeconds(u64::MAX), ..sound.clone() };
    post(&due, never).await.refused(422, &["expected 1 to 2592000 s"]);
    let never = Manifest { opened_at: UnixSeconds(u64::MAX - 60), ..sound.clone() };
    let never = Manifest { deadline: UnixSeconds(u64::MAX), ..never };
    post(&due, never).await.refused(409, &["ahead of the aggregator's clock"]);

    let ahead =
        Manifest { opened_at: now().after(400), deadline: now().after(800), ..sound.clone() };
    post(&due, ahead)
        .await
        .refused(409, &["ahead of the aggregator's clock", "clock of the initiator, site-0"]);
    let past =
        Manifest { opened_at: now().earlier(100), deadline: now().earlier(1), ..sound.clone() };
    post(&due, past).await.refused(409, &["deadline", "is past"]);
    client.get(&format!("{rounds}/0")).await.refused(404, &["no round 0"]);

    assert_eq!(post(&due, sound.clone()).await.status, 201);
    assert_eq!(post(&due, sound.clone()).await.status, 200);
    let second = Manifest { base_model: Digest::of(b"another model"), ..sound.clone() };
    post(&due, second).await.refused(409, &["was opened by another manifest"]);
    let next = Manifest {
        initiator: successor.clone(),
        ..roster.manifest(RoundNumber(1), Term::now(600), None)
    };
    post(&successor, next).await.refused(409, &["each once the one before has ended"]);
    client.get(&format!("{rounds}/0?later=1")).await.refused(400, &["later"]);
}

#[tokio::test]
async fn headers_and_envelopes() {
    let aggregator = Aggregator::start();
    let play = play(&aggregator).await;
    let sites = play.ids().to_vec();
    let site = &sites[0];
    let sound = play.contribution(site).header.statement;
    let put = |path: String, signer: &SiteId, header: Header| {
        let (signed, client) = (play.roster.signed(signer, header), &play.client);
        async move { client.put_json(&path, &signed).await }
    };
    let path = play.of(site, "/header");

    let stranger: SiteId = "stranger".parse().unwrap();
    let strange = Header { site: stranger.clone(), ..sound.clone() };
    let refused = put(play.of(&stranger, "/header"), site, strange).await;
    refused.refused(403, &["is for stranger alone", "signed by site-0"]);
    let refused = put(path.clone(), &sites[1], sound.clone()).await;
    refused.refused(403, &["does not verify under the key of site-0"]);
    let refused = put(play.of(&sites[1], "/header"), site, sound.clone()).await;
    refused.refused(422, &["the path names site-1, the statement site-0"]);
    let refused = put(format!("{}/contributions/Site_0/header", play.path), site, sound.clone());
    refused.await.refused(403, &["is for Site_0 alone"]);
    let shorter = Header { body_bytes: sound.body_bytes - 8, ..sound.clone() };
    put(path.clone(), site, shorter).await.refused(422, &["promises a body of"]);
    let unchecked = Header { check: HexBytes(vec![0; 47]), ..sound.clone() };
    let refused = put(path.clone(), site, unchecked).await;
    refused.refused(422, &["sealed check words of 47 bytes, expected 48"]);
    let fewer = Header { envelopes: sound.envelopes[1..].to_vec(), ..sound.clone() };
    put(path.clone(), site, fewer).await.refused(422, &["names 3 envelopes", "4 key holders"]);
    let spent = Some(Spent { rounds: 1, epsilon: 0.5, delta: 1e-5 });
    let refused = put(path.clone(), site, Header { spent, ..sound.clone() }).await;
    refused.refused(422, &["header of site-0 breaks the study's privacy policy", "epsilon 0.5"]);
    let elsewhere =
        Header { manifest: ManifestId(Digest::of(b"another manifest")), ..sound.clone() };
    put(path.clone(), site, elsewhere).await.refused(409, &["fetch the manifest again"]);
    play.client.put(&path, "{}").await.refused(400, &["expected the JSON of a header"]);
    let long = vec![b' '; json::MAX_MESSAGE + 1];
    play.client.put(&path, long).await.refused(413, &["at most 4194304 bytes"]);
    play.put_envelopes(site).await.refused(404, &["put the header first"]);
    assert_eq!(play.status().await.version, 0);

    play.put_header(site).await.ok();
    play.put_header(site).await.ok();
    assert_eq!(play.status().await.version, 1);
    let second = Header { body: Digest::of(b"another body"), ..sound.clone() };
    let refused = put(path.clone(), site, second).await;
    refused.refused(409, &["already announced another contribution"]);

    let envelopes = play.contribution(site).envelopes.envelopes;
    let frame_of = |envelopes: Vec<Vec<u8>>| frame::encode(&EnvelopeFrame { envelopes }).unwrap();
    let path = play.of(site, "/envelopes");
    let fewer = frame_of(envelopes[1..].to_vec());
    play.client.put(&path, fewer).await.refused(422, &["promises 4 envelopes, got 3"]);
    let mut altered = envelopes.clone();
    altered[2][7] ^= 1;
    let refused = play.client.put(&path, frame_of(altered)).await;
    refused.refused(422, &["envelope 2 of site-0 is not the one"]);
    let mut longer = frame_of(envelopes.clone());
    longer.push(0);
    play.client.put(&path, longer).await.refused(400, &["expected the frame to end"]);
    play.client.put(&path, "no frame").await.refused(400, &["expected the frame of envelopes"]);
    let huge = vec![0; frame::MAX_FRAME + 1];
    play.client.put(&path, huge).await.refused(413, &["at most 16777216 bytes"]);
    assert!(!play.progress(site).await.envelopes);
    play.put_envelopes(site).await.ok();
    let elsewhere = play.of(site, "/envelopes/site-4");
    play.client.get(&elsewhere).await.refused(404, &["site-4 is no key holder of round 0"]);
    let unknown = play.of(&sites[2], "/header");
    play.client.get(&unknown).await.refused(404, &["announced no contribution"]);
}

#[tokio::test]
async fn late_contributions() {
    let aggregator = Aggregator::start();
    let shape = Shape { review_seconds: 600, ..Shape::default() };
    let roster = Roster::new(aggregator.key, shape);
    let play = Play::start(aggregator.client(), roster, 2).await;
    let sites = play.ids().to_vec();
    for site in &sites[..3] {
        play.contribute(site).await;
    }
    // One that has begun, one that has not.
    play.put_header(&sites[3]).await.ok();
    play.put_envelopes(&sites[3]).await.ok();
    let part = play.contribution(&sites[3]).body[..100].to_vec();
    play.client.put(&play.of(&sites[3], "/body?offset=0"), part).await.ok();
    play.reach(RoundState::Reviewing).await;
    let words = ["takes no more contributions", "contribute to the next one"];
    play.put_body(&sites[3], 100).await.refused(409, &words);
    play.put_header(&sites[4]).await.refused(409, &words);
    // Asking is still allowed, and the receipts that were given stand.
    assert_eq!(play.progress(&sites[3]).await.receipt, None);
    assert!(play.contribute(&sites[0]).await.receipt.is_some());
    assert_eq!(play.status().await.received, play.set(&sites[..3]));
}

#[tokio::test]
async fn reviews() {
    let aggregator = Aggregator::start();
    let early = play(&aggregator).await;
    let sites = early.ids().to_vec();
    let manifest = early.manifest.statement.clone();
    let nothing = Freeze {
        study: manifest.study,
        round: manifest.round,
        manifest: early.manifest.id(),
        frozen_at: manifest.opened_at,
        contributions: Vec::new(),
    };
    let nothing = early.roster.signed(&sites[0], nothing);
    let review = early.roster.review(&nothing, &sites[0], &[]);
    let refused = early.client.put_json(&early.at("reviews/site-0"), &review).await;
    refused.refused(409, &["a review does not fit", "still taking contributions"]);
    let open = ["is not closed", "still taking contributions (contributions by now: 0"];
    early.client.get(&early.at("closing")).await.refused(404, &open);

    let aggregator = Aggregator::start();
    let (play, sites) = collected(&aggregator).await;
    play.put_review(&sites[4], &[]).await.refused(403, &["site-4 is no key holder of round 0"]);
    let review = play.review(&sites[0], &[]).await;
    let put = async |change: &dyn Fn(&mut Review)| {
        let mut bad = review.statement.clone();
        change(&mut bad);
        play.client.put_json(&play.at("reviews/site-0"), &play.roster.signed(&sites[0], bad)).await
    };
    let fewer = put(&|review| review.answers.truncate(4)).await;
    fewer.refused(422, &["has 4 answers", "each of 5 contributions"]);
    let other = put(&|review| review.freeze = nothing.id()).await;
    other.refused(409, &["is of freeze", "keep both as evidence"]);
    let path = play.at("reviews/site-1");
    play.client.put_json(&path, &review).await.refused(422, &["the path names site-1"]);
    let mut forged = review.clone();
    forged.statement.holder = sites[1].clone();
    play.client.put_json(&path, &forged).await.refused(403, &["does not verify"]);
    play.put_review(&sites[0], &[&sites[2]]).await.ok();
    play.put_review(&sites[0], &[&sites[2]]).await.ok();
    play.put_review(&sites[0], &[])
        .await
        .refused(409, &["already reviewed this round differently"]);
    let version = play.status().await.version;
    // Ten events of contributions, the freeze, one review.
    assert_eq!(version, 12);
}

#[tokio::test]
async fn endorsements_and_certificates() {
    let aggregator = Aggregator::start();
    let (play, sites) = collected(&aggregator).await;
    let guess = ClosingId(Digest::of(b"a closing that is not there"));
    let refused = play.put_endorsement(&sites[0], guess).await;
    refused.refused(409, &["an endorsement does not fit", "being reviewed"]);
    play.client.get(&play.at("certificate")).await.refused(404, &["is not closed"]);

    let aggregator = Aggregator::start();
    let (play, sites, closing) = closed(&aggregator).await;
    play.put_endorsement(&sites[0], guess).await.refused(409, &["expected", "showed you two"]);
    let refused = play.put_endorsement(&sites[4], closing).await;
    refused.refused(403, &["site-4 is no key holder"]);
    let mut forged = play.endorsement(&sites[0], closing);
    forged.statement.holder = sites[1].clone();
    let path = play.at("endorsements/site-1");
    play.client.put_json(&path, &forged).await.refused(403, &["does not verify"]);
    play.put_endorsement(&sites[0], closing).await.ok();
    play.put_endorsement(&sites[0], closing).await.ok();
    let refused = play.put_endorsement(&sites[0], guess).await;
    refused.refused(409, &["already endorsed", "one certified set"]);
    let words = ["3 endorsements of its closing are needed, 1 came"];
    play.client.get(&play.at("certificate")).await.refused(404, &words);
    // No manifest follows before the certificate, nor before the sites have agreed on a model.
    let status: RoundStatus = play.status().await;
    assert_eq!((status.state, status.endorsed.len()), (RoundState::Closed, 1));
    let previous = play.ended().await;
    let next = play.roster.manifest(RoundNumber(1), Term::now(600), Some(&previous));
    let rounds = format!("{}/rounds", play.roster.path());
    let post = async |next: &Manifest| {
        play.client.post_json(&rounds, &play.roster.signed(&sites[1], next.clone())).await
    };
    post(&next).await.refused(409, &["each once the one before has ended"]);
    for holder in &sites[1..3] {
        play.put_endorsement(holder, closing).await.ok();
    }
    let agreed = Outcome::Applied { model: next.base_model };
    for (site, outcome) in [(0, agreed), (1, agreed), (2, Outcome::Failed)] {
        play.put_outcome(&sites[site], closing, outcome).await.ok();
    }
    play.put_ack(&sites[3], closing, b"another model").await.ok();
    post(&next).await.refused(409, &["each once the one before has ended"]);
    play.put_outcome(&sites[4], closing, agreed).await.ok();
    // It starts from that model and no other.
    let other = Manifest { base_model: Digest::of(b"another model"), ..next.clone() };
    let words = ["starts round 1 from the model", &next.base_model.to_string(), "site-1 signs one"];
    post(&other).await.refused(409, &words.map(|w| w as &str));
    let other = Manifest { trust: Digest::of(b"another trust"), ..next.clone() };
    post(&other).await.refused(409, &["names the trust", "who is barred"]);
    assert_eq!(post(&next).await.status, 201);
}

#[tokio::test]
async fn openings_and_acknowledgements() {
    let aggregator = Aggregator::start();
    let (play, sites, closing) = closed(&aggregator).await;
    for holder in &sites[..2] {
        play.put_endorsement(holder, closing).await.ok();
    }
    // Two of three endorsements are no certificate.
    let words = ["has 2 of 3 endorsements", "nothing may be opened"];
    play.put_opening(&sites[0], closing).await.refused(409, &words);
    play.put_ack(&sites[0], closing, b"model").await.refused(409, &words);
    play.put_endorsement(&sites[2], closing).await.ok();

    let guess = ClosingId(Digest::of(b"another closing"));
    play.put_opening(&sites[0], guess).await.refused(409, &["expected", "showed you two"]);
    play.put_opening(&sites[4], closing).await.refused(403, &["site-4 is no key holder"]);
    let sound = play.opening(&sites[0], closing);
    let put = |site: &str, opening: &OpeningFrame| {
        let path = play.at(&format!("openings/{site}"));
        let (client, bytes) = (&play.client, frame::encode(opening).unwrap());
        async move { client.put(&path, bytes).await }
    };
    put("site-1", &sound).await.refused(422, &["the path names site-1"]);
    let mut altered = sound.clone();
    altered.content[0] ^= 1;
    put("site-0", &altered).await.refused(422, &["content has digest"]);
    altered.statement.statement.content = Digest::of(&altered.content);
    put("site-0", &altered).await.refused(403, &["does not verify"]);
    // What a recipient could not check is not taken, even if the holder signed it.
    let bad = |change: &dyn Fn(&mut OpeningFrame)| {
        let mut bad = sound.clone();
        change(&mut bad);
        let mut statement = bad.statement.statement;
        statement.content = Digest::of(&bad.content);
        statement.recipients = recipients(play.roster.study(), &bad.keys).checkpoint().root;
        bad.statement = play.roster.signed(&sites[0], statement);
        bad
    };
    let one_less = bad(&|frame| frame.keys.truncate(4));
    put("site-0", &one_less).await.refused(422, &["holds 4 content keys", "the 5 sites"]);
    let shorter = bad(&|frame| frame.keys[2].truncate(1167));
    put("site-0", &shorter).await.refused(422, &["key for site-2 has 1167 bytes", "1168"]);
    let longer = bad(&|frame| frame.content.push(0));
    put("site-0", &longer).await.refused(422, &["content has", "bytes, expected"]);
    let mut swapped = sound.clone();
    swapped.keys.swap(0, 1);
    put("site-0", &swapped).await.refused(422, &["content keys have the root", "roster order"]);
    let part = |site: &str| play.part(&sites[0], &site.parse().unwrap());
    play.client.get(&part("site-4")).await.refused(404, &["has not opened"]);
    put("site-0", &sound).await.ok();
    put("site-0", &sound).await.ok();
    play.client.get(&part("stranger")).await.refused(403, &["is for stranger alone"]);
    // The whole frame is not served: nobody needs it.
    play.client.get(&play.at("openings/site-0")).await.refused(405, &["does not take GET"]);
    // Signed by the holder itself, and still not a second one.
    let second = bad(&|frame| frame.content[0] ^= 1);
    put("site-0", &second).await.refused(409, &["an opening never changes"]);

    play.put_ack(&sites[0], guess, b"model").await.refused(409, &["expected"]);
    play.put_ack(&sites[0], closing, b"model").await.ok();
    play.put_ack(&sites[0], closing, b"model").await.ok();
    let refused = play.put_ack(&sites[0], closing, b"another model").await;
    refused.refused(409, &["already acknowledged this round differently"]);
}
