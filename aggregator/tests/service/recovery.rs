//! A database that was restored from a backup: nothing is signed on it until what it lost is back.

use std::path::Path;

use ringfence_crypto::api::{Recovery, Returned};
use ringfence_crypto::round::{Event, RoundState};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Closing, Freeze, Review};

use crate::child::Aggregator;
use crate::crash::finish_closed;
use crate::play::Play;
use crate::roster::{Roster, Shape};

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// What holders have seen and signed before the closing.
struct Seen {
    freeze: Signed<Freeze>,
    reviews: Vec<Signed<Review>>,
}

/// A round of which the backup has four contributions of five; and then it was closed.
async fn restored(aggregator: &mut Aggregator) -> (Play, Signed<Closing>, Seen) {
    let play =
        Play::start(aggregator.client(), Roster::new(aggregator.key, Shape::default()), 600).await;
    let sites = play.ids().to_vec();
    for site in &sites[..4] {
        play.contribute(site).await;
    }
    let (data, backup) = (aggregator.data(), aggregator.folder.path().join("backup"));
    aggregator.kill();
    copy(&data, &backup);
    aggregator.restart();
    play.contribute(&sites[4]).await;
    play.reach(RoundState::Reviewing).await;
    for holder in &sites {
        play.put_review(holder, &[]).await.ok();
    }
    play.reach(RoundState::Closed).await;
    let closing = play.closing().await;
    let reviews = play.client.get(&play.at("reviews")).await.json();
    let seen = Seen { freeze: play.freeze().await, reviews };
    aggregator.kill();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    aggregator.restart();
    (play, closing, seen)
}

#[tokio::test]
async fn a_restored_backup_signs_nothing() {
    let mut aggregator = Aggregator::start();
    let (play, ..) = restored(&mut aggregator).await;
    let words = ["is behind", "has 9 of the 18 statements", "restore from a backup", "/recovered"];
    let problem = play.client.get(&play.path).await.refused(503, &words);
    assert_eq!(problem.kind, "/problems/behind");
    // Neither a receipt nor a review, a checkpoint or the round after.
    let log = format!("{}/log/checkpoint", play.roster.path());
    play.client.get(&log).await.refused(503, &words);
    play.put_header(&play.ids()[4]).await.refused(503, &words);
    play.client.get(&play.at("freeze")).await.refused(503, &words);
    play.client.put(&play.at("reviews/site-0"), "{}").await.refused(503, &words);
    play.client.get(&play.at("closing")).await.refused(503, &words);
    // Nor after the deadline by itself; another study is served.
    let other = Roster::new(aggregator.key, Shape { values: 1001, ..Shape::default() });
    Play::start(aggregator.client(), other, 600).await;

    // Without its mark nobody can tell; the operator may say that all is well.
    aggregator.kill();
    let mark = aggregator.mark(play.roster.id());
    std::fs::remove_file(&mark).unwrap();
    aggregator.restart();
    play.client.get(&play.path).await.refused(500, &["there is no mark", "--adopt-marks"]);
    aggregator.kill();
    aggregator.restart_with(&["--adopt-marks"]);
    assert_eq!(play.status().await.received.len(), 4);
    assert_eq!(std::fs::metadata(&mark).unwrap().len(), 96 * 9);
}

#[tokio::test]
async fn a_crash_before_the_mark_is_made_good_and_a_lost_database_is_behind() {
    let mut aggregator = Aggregator::start();
    let play =
        Play::start(aggregator.client(), Roster::new(aggregator.key, Shape::default()), 600).await;
    play.contribute(&play.ids()[0]).await;
    let mark = aggregator.mark(play.roster.id());
    let whole = std::fs::read(&mark).unwrap();
    assert_eq!(whole.len(), 96 * 3);
    // Between the row and its mark: what is stored is marked, for nothing is missing.
    aggregator.kill();
    aggregator.unmark(2);
    aggregator.restart();
    assert_eq!(play.status().await.received.len(), 1);
    let leaves = |mark: &[u8]| -> Vec<Vec<u8>> {
        mark.chunks(96).map(|record| record[..32].to_vec()).collect()
    };
    let again = std::fs::read(&mark).unwrap();
    assert_eq!(leaves(&again), leaves(&whole));
    assert!(again.ends_with(&whole[2 * 96..]), "the last signature covers both");
    // A database without the study: it can be registered again, and is behind.
    aggregator.kill();
    std::fs::remove_dir_all(aggregator.data()).unwrap();
    aggregator.restart();
    play.client.get(&play.path).await.refused(404, &["is registered here"]);
    play.client.post_study(&play.roster.signed).await.ok();
    play.client.get(&play.path).await.refused(503, &["has 0 of the 3 statements"]);
    let path = format!("{}/recovered", play.roster.path());
    let manifest = vec![Returned::Manifest(play.manifest.clone())];
    let recovery: Recovery = play.client.post_json(&path, &manifest).await.json();
    assert_eq!((recovery.stored, recovery.marked), (1, 3));
    // No other round 0 in its place.
    let mut other = play.manifest.statement.clone();
    other.deadline = other.deadline.after(1);
    let other = play.roster.signed(&other.initiator.clone(), other);
    let rounds = format!("{}/rounds", play.roster.path());
    play.client.post_json(&rounds, &other).await.refused(503, &["has 1 of the 3"]);
}

#[tokio::test]
async fn a_restored_backup_goes_on_when_all_is_back() {
    let mut aggregator = Aggregator::start();
    let (play, closing, Seen { freeze, reviews }) = restored(&mut aggregator).await;
    let last = play.ids()[4].clone();
    let recovered = format!("{}/recovered", play.roster.path());
    let missing: Recovery = play.client.get(&recovered).await.json();
    assert_eq!((missing.stored, missing.marked, missing.missing.len()), (9, 18, 9));
    let send = async |statements: Vec<Returned>| -> Recovery {
        play.client.post_json(&recovered, &statements).await.json()
    };
    // What comes ahead of others waits; what was never acknowledged changes nothing.
    let stranger = play.roster.review(&freeze, &last, &[&play.ids()[0]]);
    let ahead = send(vec![
        Returned::Event(Event::Closed(closing.clone())),
        Returned::Event(Event::Reviewed(stranger)),
        Returned::Manifest(play.manifest.clone()),
    ]);
    assert_eq!(ahead.await.stored, 9);
    // A header with another's signature is not taken back, and the right one is after it.
    let header = play.contribution(&last).header;
    let mut forged = header.clone();
    forged.signature = play.contribution(&play.ids()[0]).header.signature;
    let forged = vec![Returned::Event(Event::Announced(forged))];
    let refused = play.client.post_json(&recovered, &forged).await;
    refused.refused(422, &["cannot be taken back", "does not verify"]);
    let (site, at) = (last.clone(), closing.statement.closed_at);
    let note = vec![Returned::Event(Event::Damaged { site, at })];
    assert_eq!(send(note).await.stored, 9);
    assert_eq!(send(vec![Returned::Event(Event::Announced(header))]).await.stored, 10);
    play.client.get(&play.path).await.refused(503, &["has 10 of the 18"]);

    // The receipt comes from the site's own records: signing is deterministic, so the test makes it
    // anew from what the aggregator said before.
    let reviews = reviews.into_iter().map(|review| Returned::Event(Event::Reviewed(review)));
    let frozen = Returned::Event(Event::Frozen(freeze));
    let ahead = reviews.chain([frozen]).collect();
    assert_eq!(send(ahead).await.stored, 10, "the receipt comes first");
    let receipt = play.receipts.lock().unwrap().get(&last).cloned().unwrap();
    let done = send(vec![Returned::Event(Event::Received(receipt))]).await;
    assert_eq!((done.stored, done.missing.len()), (18, 0));
    // It has its closing again, and signs no other; the body that was lost is asked for.
    assert_eq!(play.closing().await, closing);
    play.client.get(&play.at("sum")).await.refused(503, &["site-4 send"]);
    play.contribute(&last).await;
    play.check_sum(play.ids()).await;
    finish_closed(&play).await;
    aggregator.kill();
    aggregator.restart();
    assert_eq!(play.closing().await, closing);
}
