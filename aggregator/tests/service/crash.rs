//! SIGKILL at any time: every receipt is honoured, nothing is lost or counted twice, and the round
//! goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use ringfence_crypto::api::{ContributionProgress, OpeningPart, Recovery, Returned};
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::{Event, RoundState, RoundStatus};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Closing, Freeze, Receipt, SignedStudy};
use ringfence_crypto::wire::{frame, json};
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::child::{Aggregator, Client};
use crate::play::Play;
use crate::roster::{LARGE, Roster, Shape};
use crate::uploads::begin_upload;

/// The server's database, also while it runs.
pub(crate) async fn database(aggregator: &Aggregator) -> SqliteConnection {
    let path = aggregator.data().join("statements.sqlite");
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

/// Runs one statement on the server's database.
pub(crate) async fn sql(aggregator: &Aggregator, statement: &'static str) -> u64 {
    let mut database = database(aggregator).await;
    let done = sqlx::query(statement).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    done.rows_affected()
}

pub(crate) fn round_folder(aggregator: &Aggregator, play: &Play) -> std::path::PathBuf {
    aggregator.data().join("studies").join(play.roster.id().to_string()).join("0")
}

/// What is stored of an opening is checked before it is served: a site never takes a flipped bit of
/// the aggregator's disk for the holder's lie. Its holder's own resend mends it.
#[tokio::test]
async fn a_damaged_opening_is_not_served_and_is_mended_by_its_holder() {
    let mut aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster, 600).await;
    for site in play.ids() {
        play.contribute(site).await;
    }
    finish(&play).await;
    let closing = play.closing().await.id();
    let holder = &play.ids()[0].clone();
    let statement = play.opening(holder, closing).statement.id();
    let file = round_folder(&aggregator, &play).join("openings").join(statement.to_string());
    let whole = std::fs::read(&file).unwrap();
    let content = 8 + 8 * (1 + play.ids().len());
    let key_of_last = whole.len() - 1000;
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let words = [holder.as_str(), "is damaged", "hold"];
    // The number of pieces; the content; one site's key; nothing behind the content; nothing at all.
    for (bytes, unharmed) in [
        (Some(flipped(0)), 0),
        (Some(flipped(content)), 0),
        (Some(flipped(key_of_last)), 4),
        (Some(whole[..content + 100].to_vec()), 0),
        (None, 0),
    ] {
        match bytes {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        for (position, site) in play.ids().iter().enumerate() {
            let answer = play.client.get(&play.part(holder, site)).await;
            match position < unharmed {
                true => drop(answer.ok()),
                false => drop(answer.refused(503, &words)),
            }
            // A list has all the others.
            let listed = play.opened(site, 0).await;
            let of_holder = |part: &&OpeningPart| part.statement.statement.holder == *holder;
            assert_eq!(listed.iter().flatten().any(|part| of_holder(&part)), position < unharmed);
            assert!(listed.iter().filter(|part| part.is_none()).count() <= 1);
        }
        // The others' are served all the while.
        play.check_parts(&play.ids()[1], closing).await;
        play.put_opening(holder, closing).await.ok();
        play.check_parts(holder, closing).await;
        assert_eq!(std::fs::read(&file).unwrap(), whole);
    }
    aggregator.kill();
    aggregator.restart();
    play.check_parts(holder, closing).await;
}

pub(crate) async fn finish(play: &Play) {
    play.reach(RoundState::Reviewing).await;
    for holder in play.ids() {
        play.put_review(holder, &[]).await.ok();
    }
    play.reach(RoundState::Closed).await;
    play.check_sum(play.ids()).await;
    let closing = play.closing().await.id();
    for holder in play.ids() {
        play.put_endorsement(holder, closing).await.ok();
    }
    for holder in play.ids() {
        play.put_opening(holder, closing).await.ok();
    }
    assert_eq!(play.status().await.state, RoundState::Opened);
}

#[tokio::test]
async fn killed_in_the_middle_of_an_upload_and_after_receipts() {
    goes_on_after_kills(Aggregator::start()).await;
}

/// A whole round, whatever it is stored in, with a kill in the middle of an upload, after each receipt
/// and at the end.
pub(crate) async fn goes_on_after_kills(mut aggregator: Aggregator) {
    let roster = Roster::new(aggregator.key, Shape { values: LARGE, ..Shape::default() });
    let play = Play::start(aggregator.client(), roster.clone(), 600).await;
    let sites = play.ids().to_vec();
    let receipt = play.contribute(&sites[0]).await;
    play.put_header(&sites[1]).await.ok();
    play.put_envelopes(&sites[1]).await.ok();
    let sent = 2_500_000;
    let _cut = begin_upload(&aggregator, &play, &sites[1], 0, sent).await;
    while play.progress(&sites[1]).await.body_bytes == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    aggregator.kill();
    aggregator.restart();

    assert_eq!(play.client.get(&roster.path()).await.json::<SignedStudy>(), roster.signed);
    assert_eq!(play.progress(&sites[0]).await, receipt);
    assert_eq!(play.status().await.received, play.set(&sites[..1]));
    let stored = play.progress(&sites[1]).await.body_bytes as usize;
    assert!(0 < stored && stored <= sent, "{stored}");
    let resumed: ContributionProgress = play.put_body(&sites[1], stored).await.json();
    assert!(resumed.receipt.is_some());

    for site in &sites[2..] {
        play.contribute(site).await;
        aggregator.kill();
        aggregator.restart();
    }
    assert_eq!(play.progress(&sites[0]).await, receipt);
    finish(&play).await;
    let before = play.status().await;
    aggregator.kill();
    aggregator.restart();
    assert_eq!(play.status().await, before);
    play.check_sum(&sites).await;
    // And the next round builds on the one that was replayed.
    let previous = play.agree().await;
    Play::open(play.client.clone(), roster, 1, 600, Some(&previous)).await;
}

#[tokio::test]
async fn killed_between_the_body_and_its_receipt() {
    let mut aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster, 600).await;
    let sites = play.ids().to_vec();
    play.contribute(&sites[0]).await;
    let bodies = round_folder(&aggregator, &play).join("bodies");
    let whole = bodies.join(sites[0].as_str());
    let partial = bodies.join(format!("{}.part", sites[0]));
    // The state right after the rename, and right before it.
    for renamed in [true, false] {
        aggregator.kill();
        assert_eq!(sql(&aggregator, "DELETE FROM events WHERE sequence = 1").await, 1);
        aggregator.unmark(1);
        if !renamed {
            std::fs::rename(&whole, &partial).unwrap();
        }
        aggregator.restart();
        assert!(play.status().await.received.is_empty());
        let progress = play.progress(&sites[0]).await;
        assert!(progress.receipt.is_some(), "renamed: {renamed}");
        assert_eq!(play.status().await.received, play.set(&sites[..1]));
        assert!(whole.exists() && !partial.exists());
    }
    // The same, and the client sends header or body again instead of asking.
    for again in ["header", "body"] {
        aggregator.kill();
        assert_eq!(sql(&aggregator, "DELETE FROM events WHERE sequence = 1").await, 1);
        aggregator.unmark(1);
        aggregator.restart();
        let answer = match again {
            "header" => play.put_header(&sites[0]).await,
            _ => play.put_body(&sites[0], play.contribution(&sites[0]).body.len()).await,
        };
        assert!(answer.json::<ContributionProgress>().receipt.is_some(), "{again}");
    }
    // A disk that lost the middle of an unfinished body costs a new upload, not a wrong sum.
    aggregator.kill();
    assert_eq!(sql(&aggregator, "DELETE FROM events WHERE sequence = 1").await, 1);
    aggregator.unmark(1);
    let length = play.contribution(&sites[0]).body.len();
    std::fs::remove_file(&whole).unwrap();
    std::fs::write(&partial, vec![0; length]).unwrap();
    aggregator.restart();
    let progress = play.progress(&sites[0]).await;
    assert_eq!((progress.body_bytes, progress.receipt), (0, None));
    for site in &sites {
        play.contribute(site).await;
    }
    finish(&play).await;
}

/// What is signed is seen once it is stored and marked: holders never review two lists.
#[tokio::test]
async fn killed_around_the_freeze() {
    let mut aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster, 4).await;
    let sites = play.ids().to_vec();
    for site in &sites[..4] {
        play.contribute(site).await;
    }
    play.client.get(&play.at("freeze")).await.refused(404, &["has no freeze yet", "ask again"]);
    play.reach(RoundState::Reviewing).await;
    let freeze = play.freeze().await;
    assert_eq!(freeze.statement.dealers(), sites[..4]);
    // Between the row and its mark: the one that is stored counts, however late it is.
    aggregator.kill();
    aggregator.unmark(1);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    aggregator.restart();
    assert_eq!(play.freeze().await, freeze);
    play.put_header(&sites[4]).await.refused(409, &["takes no more contributions"]);
    // Seen, and lost by the database: no other is signed in its place.
    aggregator.kill();
    let delete = "DELETE FROM events WHERE json_extract(event, '$.frozen') IS NOT NULL";
    assert_eq!(sql(&aggregator, delete).await, 1);
    aggregator.restart();
    tokio::time::sleep(Duration::from_millis(600)).await;
    play.client.get(&play.at("freeze")).await.refused(503, &["has 9 of the 10 statements"]);
    // The sites have it, and send it back.
    let recovered = format!("{}/recovered", play.roster.path());
    let back = vec![Returned::Event(Event::Frozen(freeze.clone()))];
    let recovery: Recovery = play.client.post_json(&recovered, &back).await.json();
    assert_eq!((recovery.stored, recovery.marked), (10, 10));
    assert_eq!(play.freeze().await, freeze);
    for holder in &sites {
        play.put_review(holder, &[]).await.ok();
    }
    play.reach(RoundState::Closed).await;
    play.check_sum(&sites[..4]).await;
    assert_eq!(play.closing().await.statement.freeze, freeze.id());
}

#[tokio::test]
async fn killed_while_adding_up() {
    let mut aggregator = Aggregator::start();
    let shape = Shape { values: LARGE, ..Shape::default() };
    let play = Play::start(aggregator.client(), Roster::new(aggregator.key, shape), 600).await;
    let sites = play.ids().to_vec();
    for site in &sites {
        play.contribute(site).await;
    }
    play.reach(RoundState::Reviewing).await;
    for holder in &sites[1..] {
        play.put_review(holder, &[]).await.ok();
    }
    // The last review starts the sum.
    play.put_review(&sites[0], &[]).await.ok();
    aggregator.kill();
    let folder = round_folder(&aggregator, &play);
    let half = folder.join(".unfinished-sum");
    std::fs::write(&half, b"half of a sum").unwrap();
    aggregator.restart();
    assert!(!half.exists(), "what a crash left half-written is cleared");
    play.reach(RoundState::Closed).await;
    play.check_sum(&sites).await;
    let sum = play.closing().await.statement.sum;

    // Between the sum file and the row: it is made again, from the same set, with the same digest.
    aggregator.kill();
    let delete = "DELETE FROM events WHERE json_extract(event, '$.closed') IS NOT NULL";
    assert_eq!(sql(&aggregator, delete).await, 1);
    aggregator.unmark(1);
    std::fs::write(folder.join("sum"), b"a sum that nobody has seen").unwrap();
    aggregator.restart();
    play.reach(RoundState::Closed).await;
    play.check_sum(&sites).await;
    assert_eq!(play.closing().await.statement.sum, sum);
    finish_closed(&play).await;
}

pub(crate) async fn finish_closed(play: &Play) {
    let closing = play.closing().await.id();
    for holder in play.ids() {
        play.put_endorsement(holder, closing).await.ok();
        play.put_endorsement(holder, closing).await.ok();
    }
    assert_eq!(play.status().await.state, RoundState::Certified);
}

#[tokio::test]
async fn a_write_that_fails_changes_nothing_and_one_that_only_seemed_to_fail_counts() {
    let aggregator = Aggregator::start();
    let play =
        Play::start(aggregator.client(), Roster::new(aggregator.key, Shape::default()), 600).await;
    let sites = play.ids().to_vec();

    // Failed, not persisted.
    sql(
        &aggregator,
        "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'broken'); END",
    )
    .await;
    let refused = play.put_header(&sites[0]).await;
    let problem = refused.refused(500, &["changed nothing"]);
    assert!(!problem.detail.contains("broken"), "the cause stays in the log: {problem:?}");
    play.client.get(&play.of(&sites[0], "")).await.refused(404, &["put the header first"]);
    assert_eq!(play.status().await.version, 0);
    sql(&aggregator, "DROP TRIGGER full").await;
    play.put_header(&sites[0]).await.ok();
    assert_eq!(play.status().await.version, 1);

    // Failed, persisted: the row is there, and the server does not know.
    let event = Event::Announced(play.contribution(&sites[1]).header);
    let mut connection = database(&aggregator).await;
    sqlx::query("INSERT INTO events (study, round, sequence, event, leaf) VALUES (?, 0, 1, ?, 2)")
        .bind(play.roster.id().to_string())
        .bind(json::compact(&event))
        .execute(&mut connection)
        .await
        .unwrap();
    play.put_header(&sites[2]).await.refused(500, &["changed nothing"]);
    // From then on the disk counts.
    play.put_header(&sites[2]).await.ok();
    assert_eq!(play.status().await.version, 3);
    for site in &sites {
        play.contribute(site).await;
    }
    finish(&play).await;
}

/// A client that goes on through refused connections, as a site does.
async fn insist<T: DeserializeOwned>(
    client: &Client,
    method: Method,
    path: &str,
    body: &[u8],
) -> T {
    loop {
        let request = client.request(method.clone(), path).body(body.to_vec());
        match Client::send(request).await {
            Ok(answer) if answer.status.is_success() => return answer.json(),
            // Too early, or another upload of ours is not given up yet.
            Ok(answer) => assert!(matches!(answer.status.as_u16(), 404 | 409), "{answer:?}"),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn insist_on_contributing(play: Play, site: SiteId) -> Signed<Receipt> {
    let (client, contribution) = (&play.client, play.contribution(&site));
    let header = json::compact(&contribution.header);
    let envelopes = frame::encode(&contribution.envelopes).unwrap();
    let put = |rest, body| {
        let path = play.of(&site, rest);
        async move { insist::<ContributionProgress>(client, Method::PUT, &path, body).await }
    };
    put("/header", &header).await;
    put("/envelopes", &envelopes).await;
    loop {
        let progress: ContributionProgress =
            insist(client, Method::GET, &play.of(&site, ""), &[]).await;
        if let Some(receipt) = progress.receipt {
            return receipt;
        }
        // In 40 pieces, 10 ms apart: the upload alone takes longer than the pauses before the first
        // four kills (262 ms together), however fast the machine is.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let (from, body) = (progress.body_bytes as usize, &contribution.body);
        let to = body.len().min(from + body.len().div_ceil(40));
        let path = play.of(&site, &format!("/body?offset={from}"));
        let request = client.request(Method::PUT, &path).body(body[from..to].to_vec());
        // Whatever comes of it, the progress tells.
        drop(Client::send(request).await);
    }
}

async fn insist_on_holding(play: Play, holder: SiteId) {
    let client = &play.client;
    let freeze: Signed<Freeze> = insist(client, Method::GET, &play.at("freeze"), &[]).await;
    let review = json::compact(&play.roster.review(&freeze, &holder, &[]));
    let path = play.at(&format!("reviews/{holder}"));
    insist::<RoundStatus>(client, Method::PUT, &path, &review).await;
    let closing: Signed<Closing> = insist(client, Method::GET, &play.at("closing"), &[]).await;
    let closing = closing.id();
    let endorsement = json::compact(&play.endorsement(&holder, closing));
    let path = play.at(&format!("endorsements/{holder}"));
    insist::<RoundStatus>(client, Method::PUT, &path, &endorsement).await;
    let opening = frame::encode(&play.opening(&holder, closing)).unwrap();
    let path = play.at(&format!("openings/{holder}"));
    insist::<RoundStatus>(client, Method::PUT, &path, &opening).await;
}

#[tokio::test]
async fn killed_again_and_again_until_the_round_is_opened() {
    let mut aggregator = Aggregator::start();
    let shape = Shape { values: LARGE, ..Shape::default() };
    let play = Play::start(aggregator.client(), Roster::new(aggregator.key, shape), 600).await;
    let sites = play.ids().to_vec();
    let tasks: Vec<_> = sites
        .iter()
        .map(|site| {
            let (play, site) = (play.clone(), site.clone());
            tokio::spawn(async move {
                let receipt = insist_on_contributing(play.clone(), site.clone()).await;
                insist_on_holding(play, site).await;
                receipt
            })
        })
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let killer = {
        let done = done.clone();
        tokio::spawn(async move {
            let mut kills = 0u64;
            while !done.load(Ordering::Relaxed) && kills < 25 {
                // Different places every time: the pauses grow from nothing to longer than a step.
                let pause = Duration::from_millis(10 + (kills * 37) % 160);
                tokio::time::sleep(pause).await;
                aggregator.kill();
                aggregator.restart();
                kills += 1;
            }
            (aggregator, kills)
        })
    };
    let mut receipts = Vec::new();
    for task in tasks {
        receipts.push(task.await.unwrap());
    }
    done.store(true, Ordering::Relaxed);
    let (mut aggregator, kills) = killer.await.unwrap();
    assert!(kills > 3, "only {kills} kills: the test does not test");
    aggregator.kill();
    aggregator.restart();
    let status = play.status().await;
    assert_eq!(status.state, RoundState::Opened);
    for (site, receipt) in sites.iter().zip(receipts) {
        assert_eq!(play.progress(site).await.receipt, Some(receipt));
    }
    play.check_sum(&sites).await;
}
