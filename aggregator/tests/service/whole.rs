//! Contributions in one request: their receipt in the answer, and whatever stood there before.

use ringfence_crypto::Digest;
use ringfence_crypto::api::ContributionProgress;
use ringfence_crypto::round::{Event, RoundState};
use ringfence_crypto::wire::json;
use sqlx::Connection;

use crate::child::Aggregator;
use crate::crash::{database, finish, round_folder, sql};
use crate::play::Play;
use crate::roster::{Contribution, Roster, Shape};

async fn play(aggregator: &Aggregator, values: usize) -> Play {
    let shape = Shape { values: u32::try_from(values).unwrap(), ..Shape::default() };
    Play::start(aggregator.client(), Roster::new(aggregator.key, shape), 600).await
}

/// Values whose body is larger than what lies in the database.
const LARGER: usize = 150_000;

#[tokio::test]
async fn one_request_is_a_contribution() {
    a_whole_round(Aggregator::start(), 1000).await;
}

#[tokio::test]
async fn a_larger_body_is_a_file() {
    a_whole_round(Aggregator::start(), LARGER).await;
}

#[tokio::test]
async fn over_database_and_bucket_it_is_the_same() {
    let Some(aggregator) = Aggregator::start_on_engines() else { return };
    a_whole_round(aggregator, 1000).await;
}

/// A round of such contributions, each sent twice, with a kill between.
async fn a_whole_round(mut aggregator: Aggregator, values: usize) {
    let play = play(&aggregator, values).await;
    let sites = play.ids().to_vec();
    for site in &sites {
        let first = play.contribute_whole(site).await;
        assert_eq!(play.progress(site).await, first);
        if *site == sites[1] {
            aggregator.kill();
            aggregator.restart();
        }
        assert_eq!(play.contribute_whole(site).await, first, "the same again");
        assert_eq!(play.put_header(site).await.json::<ContributionProgress>(), first);
        assert_eq!(play.put_body(site, 0).await.json::<ContributionProgress>(), first);
        let body = play.client.get(&play.of(site, "/body")).await.ok().bytes;
        assert_eq!(body, play.contribution(site).body);
        for (holder, envelope) in sites.iter().zip(&play.contribution(site).envelopes.envelopes) {
            let path = play.of(site, &format!("/envelopes/{holder}"));
            assert_eq!(play.client.get(&path).await.ok().bytes, *envelope);
        }
    }
    assert_eq!(play.reach(RoundState::Reviewing).await.version, 2 * sites.len() as u64 + 1);
    aggregator.kill();
    aggregator.restart();
    finish(&play).await;
}

#[tokio::test]
async fn only_what_the_header_promises_is_taken_and_else_nothing_is() {
    let aggregator = Aggregator::start();
    let play = play(&aggregator, 1000).await;
    let sites = play.ids().to_vec();
    let site = &sites[0];
    let right = play.contribution(site);
    let altered = |mut bytes: Vec<u8>| {
        bytes[0] ^= 1;
        bytes
    };
    let put = async |contribution: &Contribution, body: Option<&[u8]>| {
        play.client.put(&play.of(site, ""), play.frame_of(contribution, body)).await
    };
    let mut other = play.contribution(site);
    other.envelopes.envelopes[1] = altered(other.envelopes.envelopes[1].clone());
    put(&other, Some(&right.body)).await.refused(422, &["envelope 1 of site-0"]);
    other.envelopes.envelopes.pop();
    put(&other, Some(&right.body)).await.refused(422, &["promises 5 envelopes, got 4"]);
    let wrong = altered(right.body.clone());
    put(&right, Some(&wrong)).await.refused(422, &["has digest", "send the promised bytes"]);
    put(&right, Some(&right.body[8..])).await.refused(422, &["promises a body of", "got"]);
    put(&play.contribution(&sites[1]), None).await.refused(422, &["the path names site-0"]);
    let long = [play.frame_of(&right, Some(&right.body)), vec![0]].concat();
    play.client.put(&play.of(site, ""), long).await.refused(400, &["frame to end at byte"]);
    let cut = play.frame_of(&right, Some(&right.body));
    let cut = cut[..cut.len() - 1].to_vec();
    play.client.put(&play.of(site, ""), cut).await.refused(400, &["before what its counts"]);
    play.client.get(&play.of(site, "")).await.refused(404, &["put the header first"]);
    assert_eq!(play.status().await.version, 0, "nothing was announced");

    // A second contribution, and one of a site that has another place in the path.
    let first = play.contribute_whole(site).await;
    let mut second = play.contribution(site);
    second.header.statement.body = Digest::of(&wrong);
    second.header = play.roster.signed(site, second.header.statement);
    put(&second, Some(&wrong)).await.refused(409, &["only the same bytes"]);
    assert_eq!(play.progress(site).await, first);
    let body = play.client.get(&play.of(site, "/body")).await.ok().bytes;
    assert_eq!(body, right.body, "the first one's bytes stand");
}

/// Whatever of it came before in steps, one request brings the rest.
#[tokio::test]
async fn what_came_in_steps_is_completed() {
    let aggregator = Aggregator::start();
    let play = play(&aggregator, 1000).await;
    let sites = play.ids().to_vec();
    play.put_header(&sites[0]).await.ok();
    for site in &sites[1..4] {
        play.put_header(site).await.ok();
        play.put_envelopes(site).await.ok();
    }
    let begin = async |site, bytes: Vec<u8>| {
        let path = play.of(site, "/body?offset=0");
        play.client.put(&path, bytes).await.json::<ContributionProgress>()
    };
    let half = play.contribution(&sites[2]).body[..1000].to_vec();
    assert_eq!(begin(&sites[2], half).await.body_bytes, 1000);
    // Bytes that somebody placed there are thrown away.
    assert_eq!(begin(&sites[3], vec![7; 1000]).await.body_bytes, 1000);
    // And a frame without a body is what it was.
    let last = play.contribution(&sites[4]);
    let announced = play.client.put(&play.of(&sites[4], ""), play.frame_of(&last, None)).await;
    let announced: ContributionProgress = announced.json();
    assert!(announced.envelopes && announced.body_bytes == 0 && announced.receipt.is_none());
    for site in &sites {
        play.contribute_whole(site).await;
    }
    finish(&play).await;
}

/// What the database lost or altered of it is never added and never served, and comes again the same
/// way.
#[tokio::test]
async fn what_is_damaged_is_sent_again() {
    let damages = [
        "UPDATE small SET body = zeroblob(length(body)) WHERE site IN ('site-1', 'site-2')",
        "UPDATE small SET body = substr(body, 1, 100) WHERE site IN ('site-1', 'site-2')",
        "UPDATE small SET body = CAST(body || x'00' AS BLOB) WHERE site IN ('site-1', 'site-2')",
        "UPDATE small SET body = NULL WHERE site IN ('site-1', 'site-2')",
        "DELETE FROM small WHERE site IN ('site-1', 'site-2')",
    ];
    for damage in damages {
        let mut aggregator = Aggregator::start();
        let play = play(&aggregator, 1000).await;
        let sites = play.ids().to_vec();
        let mut receipts = Vec::new();
        for site in &sites {
            receipts.push(play.contribute_whole(site).await.receipt);
        }
        play.reach(RoundState::Reviewing).await;
        assert_eq!(sql(&aggregator, damage).await, 2);
        for holder in &sites {
            play.put_review(holder, &[]).await.ok();
        }
        let wanted = play.wanted(&sites[1..3]).await;
        assert_eq!(wanted.received, play.set(&sites), "the receipts stand");
        let progress = play.progress(&sites[1]).await;
        assert_eq!((progress.body_bytes, progress.receipt), (0, None), "{damage}");
        aggregator.kill();
        aggregator.restart();
        for (site, receipt) in sites[1..3].iter().zip(&receipts[1..]) {
            assert_eq!(play.contribute_whole(site).await.receipt, *receipt, "{damage}");
        }
        play.reach(RoundState::Closed).await;
        play.check_sum(&sites).await;
        assert!(round_folder(&aggregator, &play).join("bodies/site-1").exists());
    }
}

#[tokio::test]
async fn damaged_envelopes_are_sent_again() {
    for damage in [
        "UPDATE small SET envelopes = zeroblob(length(envelopes)) WHERE site = 'site-2'",
        "UPDATE small SET envelopes = substr(envelopes, 1, length(envelopes) - 1) WHERE site = 'site-2'",
        "DELETE FROM small WHERE site = 'site-2'",
    ] {
        let aggregator = Aggregator::start();
        let play = play(&aggregator, 1000).await;
        let sites = play.ids().to_vec();
        for site in &sites {
            play.contribute_whole(site).await;
        }
        play.reach(RoundState::Reviewing).await;
        assert_eq!(sql(&aggregator, damage).await, 1);
        let last = &sites[sites.len() - 1];
        let path = play.of(&sites[2], &format!("/envelopes/{last}"));
        play.client.get(&path).await.refused(503, &["lost or damaged", "site-2 send"]);
        play.wanted(&sites[2..3]).await;
        play.contribute_whole(&sites[2]).await;
        let envelopes = play.contribution(&sites[2]).envelopes.envelopes;
        assert_eq!(play.client.get(&path).await.ok().bytes, envelopes[sites.len() - 1]);
        for holder in &sites {
            play.put_review(holder, &[]).await.ok();
        }
        play.reach(RoundState::Closed).await;
        play.check_sum(&sites).await;
    }
}

/// A kill between its transaction and the mark, before it, and a database that lost its statements and
/// kept its bytes.
#[tokio::test]
async fn killed_around_its_transaction() {
    let mut aggregator = Aggregator::start();
    let play = play(&aggregator, 1000).await;
    let sites = play.ids().to_vec();
    let first = play.contribute_whole(&sites[0]).await;
    // Stored, not marked, not answered.
    for leaves in [1, 2] {
        aggregator.kill();
        aggregator.unmark(leaves);
        aggregator.restart();
        assert_eq!(play.contribute_whole(&sites[0]).await, first);
        assert_eq!(play.status().await.version, 2);
    }
    // Not stored.
    for table in ["DELETE FROM small", "UPDATE small SET body = x'00'"] {
        aggregator.kill();
        assert_eq!(sql(&aggregator, "DELETE FROM events").await, 2);
        sql(&aggregator, table).await;
        aggregator.unmark(2);
        aggregator.restart();
        assert_eq!(play.status().await.version, 0);
        play.client.get(&play.of(&sites[0], "")).await.refused(404, &["put the header first"]);
        let again = play.contribute_whole(&sites[0]).await;
        assert_eq!(play.progress(&sites[0]).await, again);
    }
    for site in &sites {
        play.contribute_whole(site).await;
    }
    finish(&play).await;
}

/// Failed and not stored: nothing of it is there. Failed and stored: it counts from then on.
#[tokio::test]
async fn a_write_that_fails_or_only_seems_to() {
    let aggregator = Aggregator::start();
    let play = play(&aggregator, 1000).await;
    let sites = play.ids().to_vec();
    for trigger in [
        "CREATE TRIGGER full BEFORE INSERT ON events WHEN NEW.sequence = 1
         BEGIN SELECT RAISE(ABORT, 'broken'); END",
        "CREATE TRIGGER full BEFORE INSERT ON small BEGIN SELECT RAISE(ABORT, 'broken'); END",
    ] {
        sql(&aggregator, trigger).await;
        play.put_whole(&sites[0]).await.refused(500, &["changed nothing"]);
        play.client.get(&play.of(&sites[0], "")).await.refused(404, &["put the header first"]);
        assert_eq!(play.status().await.version, 0);
        let mut connection = database(&aggregator).await;
        let stored: i64 =
            sqlx::query_scalar("SELECT (SELECT count(*) FROM events) + count(*) FROM small")
                .fetch_one(&mut connection)
                .await
                .unwrap();
        assert_eq!(stored, 0);
        connection.close().await.unwrap();
        sql(&aggregator, "DROP TRIGGER full").await;
    }
    play.contribute_whole(&sites[0]).await;
    // Somebody else's rows stand where the next ones should: as after a write that seemed to fail.
    let mut connection = database(&aggregator).await;
    let header = Event::Announced(play.contribution(&sites[1]).header);
    sqlx::query("INSERT INTO events (study, round, sequence, event, leaf) VALUES (?, 0, 2, ?, 3)")
        .bind(play.roster.id().to_string())
        .bind(json::compact(&header))
        .execute(&mut connection)
        .await
        .unwrap();
    play.put_whole(&sites[2]).await.refused(500, &["changed nothing"]);
    for site in &sites[1..] {
        play.contribute_whole(site).await;
    }
    finish(&play).await;
}
