//! What was altered in the database is found when the service starts, and named.

use ringfence_crypto::round::RoundState;
use ringfence_crypto::wire::json;
use sqlx::Connection;

use crate::child::Aggregator;
use crate::crash::{database, finish};
use crate::play::Play;
use crate::roster::{Roster, Shape};

/// The stored events, as text.
async fn events(aggregator: &Aggregator) -> Vec<(i64, String)> {
    let mut database = database(aggregator).await;
    let query = "SELECT sequence, CAST(event AS TEXT) FROM events ORDER BY sequence";
    let rows = sqlx::query_as(query).fetch_all(&mut database).await.unwrap();
    database.close().await.unwrap();
    rows
}

async fn write(aggregator: &Aggregator, sequence: i64, event: &str) {
    let mut database = database(aggregator).await;
    sqlx::query("UPDATE events SET event = ? WHERE sequence = ?")
        .bind(event.as_bytes())
        .bind(sequence)
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
}

/// The same text with another hexadecimal digit behind this key.
fn flipped(event: &str, key: &str) -> String {
    let at = event.rfind(key).unwrap() + key.len();
    let digit = if event[at..].starts_with('0') { "1" } else { "0" };
    format!("{}{digit}{}", &event[..at], &event[at + 1..])
}

#[tokio::test]
async fn a_flipped_bit_is_found_and_named_and_other_studies_go_on() {
    let mut aggregator = Aggregator::start();
    let play =
        Play::start(aggregator.client(), Roster::new(aggregator.key, Shape::default()), 600).await;
    for site in play.ids() {
        play.contribute(site).await;
    }
    finish(&play).await;
    crate::disputes::settle(&play, 1, None, &play.ids()[2]).await;
    play.agree().await;
    let other = Roster::new(aggregator.key, Shape { values: 1001, ..Shape::default() });
    aggregator.client().post_study(&other.signed).await.ok();

    let whole = events(&aggregator).await;
    let mut kinds = std::collections::BTreeSet::new();
    for (sequence, event) in &whole {
        let kind = event[2..].split('"').next().unwrap().to_owned();
        if !event.contains("signature") || !kinds.insert(kind.clone()) {
            continue;
        }
        aggregator.kill();
        write(&aggregator, *sequence, &flipped(event, "\"signature\":\"")).await;
        aggregator.restart();
        let refused = play.client.get(&play.path).await;
        let place = format!("event {sequence} of round 0 of study {}", play.roster.id());
        let words = ["is not served", &place, &kind, "does not verify", "was altered"];
        let problem = refused.refused(500, &words);
        assert_eq!(problem.kind, "/problems/altered");
        play.client.get(&format!("{}/status", other.path())).await.ok();
        aggregator.kill();
        write(&aggregator, *sequence, event).await;
        aggregator.restart();
        assert_eq!(play.status().await.state, RoundState::Opened);
    }
    assert_eq!(kinds.len(), 10, "{kinds:?}");

    // A statement that is not JSON any more, and the signature of a site under the study.
    aggregator.kill();
    write(&aggregator, 0, "{").await;
    aggregator.restart();
    play.client.get(&play.path).await.refused(500, &["leaf 1", "unreadable"]);
    aggregator.kill();
    write(&aggregator, 0, &whole[0].1).await;
    let file = String::from_utf8(json::compact(&play.roster.signed)).unwrap();
    let mut database = database(&aggregator).await;
    sqlx::query("UPDATE studies SET file = ? WHERE study = ?")
        .bind(flipped(&file, "\"signature\":\"").into_bytes())
        .bind(play.roster.id().to_string())
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    aggregator.restart();
    play.client.get(&play.path).await.refused(500, &["does not verify", "was altered"]);
    other_goes_on(&aggregator, &other).await;
}

async fn other_goes_on(aggregator: &Aggregator, other: &Roster) {
    Play::open(aggregator.client(), other.clone(), 0, 600, None).await;
}
