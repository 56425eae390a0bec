//! Studies whose signatures the service gathers: in any order, at the same time, over a restart.

use std::time::Duration;

use ed25519_dalek::SigningKey;
use reqwest::Method;
use ringfence_crypto::Digest;
use ringfence_crypto::api::{DraftStatus, StudyStatus};
use ringfence_crypto::statement::{SignedStudy, SiteSignature};
use ringfence_crypto::wire::json;

use crate::child::{Aggregator, Answer, Client, TOKEN};
use crate::play::Play;
use crate::roster::{Roster, Shape};
use crate::signing::Signer;

fn unsigned(roster: &Roster) -> SignedStudy {
    SignedStudy::unsigned(roster.study().clone())
}

fn path(roster: &Roster, rest: &str) -> String {
    format!("/v2/drafts/{}{rest}", roster.id())
}

/// The signatures of a roster in an order that has nothing to do with it.
fn shuffled(roster: &Roster, seed: &str) -> Vec<SiteSignature> {
    let mut all = roster.signed.signatures.clone();
    all.sort_by_key(|signed| Digest::of(format!("{seed} {}", signed.site).as_bytes()).0);
    all
}

async fn sign(client: &Client, roster: &Roster, signature: &SiteSignature) -> Answer {
    let path = path(roster, &format!("/signatures/{}", signature.site));
    client.put_json(&path, signature).await
}

/// All of these at the same time, eight by eight.
async fn sign_all(client: &Client, roster: &Roster, signatures: &[SiteSignature]) {
    let share = signatures.len().div_ceil(8).max(1);
    let parts = signatures.chunks(share).map(|part| {
        let (client, roster, part) = (client.clone(), roster.clone(), part.to_vec());
        tokio::spawn(async move {
            for signature in &part {
                sign(&client, &roster, signature).await.ok();
            }
        })
    });
    for part in parts.collect::<Vec<_>>() {
        part.await.unwrap();
    }
}

async fn remove(client: &Client, roster: &Roster) -> Answer {
    let request = client.request(Method::DELETE, &path(roster, "")).bearer_auth(TOKEN);
    Client::send(request).await.unwrap()
}

async fn list(client: &Client) -> Vec<DraftStatus> {
    let request = client.request(Method::GET, "/v2/drafts").bearer_auth(TOKEN);
    Client::send(request).await.unwrap().json()
}

#[tokio::test]
async fn two_hundred_sites_sign_in_any_order_and_a_restart_forgets_nothing() {
    let mut aggregator = Aggregator::start();
    let patience = Duration::from_secs(120);
    let client = Client::patient(&aggregator.address, patience);
    let roster = Roster::new(aggregator.key, Shape { sites: 200, ..Shape::default() });
    let posted: DraftStatus = client.post_draft(&unsigned(&roster)).await.json();
    assert_eq!((posted.sites, posted.signed, posted.registered), (200, 0, false));
    assert_eq!((&*posted.missing, posted.more), (&roster.ids[..10], 190));
    let signatures = shuffled(&roster, "order");
    let (first, rest) = signatures.split_at(90);
    sign_all(&client, &roster, first).await;
    aggregator.kill();
    aggregator.restart();
    let client = Client::patient(&aggregator.address, patience);
    let status: DraftStatus = client.get(&path(&roster, "/status")).await.json();
    assert_eq!((status.signed, status.registered, status.until), (90, false, posted.until));
    // Whoever is not sure sends the same again.
    let again = sign(&client, &roster, &first[0]).await;
    assert_eq!((again.status.as_u16(), again.json::<DraftStatus>().signed), (200, 90));
    let file = client.get(&path(&roster, "")).await.json::<SignedStudy>();
    assert_eq!(file.signatures.len(), 90);
    assert_eq!(file.missing().unwrap().len(), 110);

    sign_all(&client, &roster, rest).await;
    let status: DraftStatus = client.get(&path(&roster, "/status")).await.json();
    assert_eq!((status.signed, status.registered, status.until), (200, true, None));
    assert!(list(&client).await.is_empty(), "it is a study now");
    let file = client.get(&roster.path()).await.bytes;
    assert_eq!(SignedStudy::parse(&file).unwrap(), roster.signed, "in the roster's order");
    assert_eq!(client.get(&path(&roster, "")).await.bytes, file);
    let again = sign(&client, &roster, &first[0]).await;
    assert!(again.json::<DraftStatus>().registered);
    remove(&client, &roster).await.refused(404, &["what is registered stays"]);
    let status: StudyStatus = client.get(&format!("{}/status", roster.path())).await.json();
    assert_eq!(status.rounds, 0);
}

#[tokio::test]
async fn a_study_that_was_gathered_has_rounds_as_one_that_was_posted() {
    let aggregator = Aggregator::start();
    let client = aggregator.client();
    let roster = Roster::new(aggregator.key, Shape::default());
    // The file has two signatures already.
    let mut partly = unsigned(&roster);
    partly.signatures = roster.signed.signatures[3..].to_vec();
    let posted: DraftStatus = client.post_draft(&partly).await.json();
    assert_eq!((posted.signed, &*posted.missing), (2, &roster.ids[..3]));
    assert_eq!(list(&client).await, [posted]);
    sign_all(&client, &roster, &shuffled(&roster, "all of them")).await;
    let play = Play::open(client.clone(), roster.clone(), 0, 600, None).await;
    for site in play.ids() {
        play.contribute(site).await;
    }
    crate::crash::finish(&play).await;
    // Complete as it comes, it needs nobody's signature more.
    let other = Roster::new(aggregator.key, Shape { values: 9, ..Shape::default() });
    let posted = client.post_draft(&other.signed).await;
    assert!(posted.json::<DraftStatus>().registered);
    client.get(&other.path()).await.ok();
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_a_word_and_keeps_nothing() {
    let aggregator = Aggregator::start();
    let client = aggregator.client();
    let roster = Roster::new(aggregator.key, Shape::default());
    let right = &roster.signed.signatures;
    sign(&client, &roster, &right[0]).await.refused(404, &["no draft of study", "study register"]);
    client.get(&path(&roster, "")).await.refused(404, &["no draft of study"]);

    let mut forged = unsigned(&roster);
    forged.signatures.push(SiteSignature { site: roster.ids[1].clone(), ..right[0].clone() });
    client.post_draft(&forged).await.refused(403, &["signature", "site-1"]);
    let stranger =
        Roster::new(SigningKey::from_bytes(&[9; 32]).verifying_key().into(), Shape::default());
    client.post_draft(&unsigned(&stranger)).await.refused(422, &["aggregator's key"]);
    let mut unsound = unsigned(&roster);
    unsound.study.min_sites = 1;
    client.post_draft(&unsound).await.refused(422, &["min_sites is 1"]);
    assert!(list(&client).await.is_empty());

    client.post_draft(&unsigned(&roster)).await.ok();
    // Another site's place, another site's signature, one of another study, no signature.
    let at = |site: usize| path(&roster, &format!("/signatures/site-{site}"));
    let other = Roster::new(aggregator.key, Shape { values: 9, ..Shape::default() });
    let of_other = &other.signed.signatures[1];
    client.put_json(&at(1), &right[0]).await.refused(422, &["the path names site-1"]);
    let swapped = SiteSignature { site: roster.ids[1].clone(), ..right[0].clone() };
    client.put_json(&at(1), &swapped).await.refused(403, &["site-1"]);
    client.put_json(&at(1), of_other).await.refused(403, &["site-1"]);
    client.put(&at(1), "{}").await.refused(400, &["site's signature"]);
    client.put(&at(1), "x".repeat(2000)).await.refused(413, &["at most 1024 bytes"]);
    // Its own signature, in a request that another one has signed.
    let request = client.request(Method::PUT, &at(1)).body(json::compact(&right[1]));
    let mut request = request.build().unwrap();
    Signer::site(2).sign(&mut request);
    client.execute(request).await.refused(403, &["is for site-1 alone", "signed by site-2"]);
    client.put_json(&at(77), &right[1]).await.refused(403, &["not on the roster of the draft"]);
    let status: DraftStatus = client.get(&path(&roster, "/status")).await.json();
    assert_eq!(status.signed, 0, "nothing of all that was kept");

    sign(&client, &roster, &right[1]).await.ok();
    let removed: DraftStatus = remove(&client, &roster).await.json();
    assert_eq!(removed.signed, 1);
    sign(&client, &roster, &right[0]).await.refused(404, &["perhaps removed"]);
    remove(&client, &roster).await.refused(404, &["no draft"]);
    // A study that is posted complete takes its draft with it.
    client.post_draft(&unsigned(&roster)).await.ok();
    client.post_study(&roster.signed).await.ok();
    assert!(list(&client).await.is_empty());
    assert!(sign(&client, &roster, &right[0]).await.json::<DraftStatus>().registered);
}
