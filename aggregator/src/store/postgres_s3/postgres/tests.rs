//! A real PostgreSQL: what it refuses, what replicas hear of each other.

use ringfence_crypto::Digest;
use ringfence_crypto::id::UnixSeconds;

use super::*;
use crate::engines::{new_database, psql};

async fn open(url: &str) -> PgStatements {
    PgStatements::open(url.parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn who_listens_hears_of_others_and_asks_for_what_is_new() {
    let Some(url) = new_database() else { return };
    let (one, two) = (open(&url).await, open(&url).await);
    let mut heard = two.follow().unwrap();
    assert_eq!(heard.recv().await.unwrap(), None, "all may have news at first");
    let study = StudyId(Digest::of(b"study"));
    one.insert_study(study, b"file").await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), Some(study));
    assert_eq!(two.news(study, 0).await.unwrap(), None);
    psql(
        &url,
        &format!(
            "WITH s AS (INSERT INTO leaves VALUES ('{study}', 0)) INSERT INTO rounds VALUES ('{study}', 0, '', 0, 0)"
        ),
    );
    let event = Event::Damaged { site: "site".parse().unwrap(), at: UnixSeconds(1) };
    let id = RoundId { study, round: RoundNumber(0) };
    for sequence in 0..3 {
        let next = NextEvent { sequence, event: &event, leaf: None };
        one.append(id, &[next], &[]).await.unwrap();
        assert_eq!(heard.recv().await.unwrap(), Some(study));
    }
    let news = two.news(study, 1).await.unwrap().unwrap();
    assert_eq!((news.change, &*news.rounds), (3, &[RoundNumber(0)][..]));
    assert_eq!(two.events_from(id, 1).await.unwrap(), [event.clone(), event]);
    assert_eq!(two.news(study, 3).await.unwrap(), None);
    // The connection breaks: whoever listens is told to look at everything.
    psql(&url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'");
    assert_eq!(heard.recv().await.unwrap(), None);
}

#[tokio::test]
async fn every_table_is_in_the_list_of_what_is_held() {
    let Some(url) = new_database() else { return };
    open(&url).await;
    let names = psql(&url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
    assert!(names.lines().count() > 12, "{names}");
    for name in names.lines() {
        let is_table = ringfence_crypto::held::of(name)
            .is_some_and(|held| held.place == ringfence_crypto::held::Place::Table);
        assert!(is_table, "say in crypto/src/held.rs what {name} holds, and what of an update");
    }
}

#[tokio::test]
async fn what_the_database_refuses_is_told_apart() {
    let Some(url) = new_database() else { return };
    let store = open(&url).await;
    let refused = async |code: &str| {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$");
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(raise)).execute(&store.pool).await;
        StoreError::from(error.unwrap_err())
    };
    assert!(matches!(refused("53100").await, StoreError::Full(_)));
    assert!(matches!(refused("25006").await, StoreError::ReadOnly(_)));
    assert!(matches!(refused("57P03").await, StoreError::Gone(_)));
    assert!(matches!(refused("22012").await, StoreError::Failed(_)));
    // As on a server that became a standby.
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = store.pool.acquire().await.unwrap();
        connection.execute("SET default_transaction_read_only = on").await.unwrap();
        connections.push(connection);
    }
    drop(connections);
    let read_only = store.ping().await.unwrap_err();
    assert!(matches!(read_only, StoreError::ReadOnly(_)), "{read_only}");
    // Connections that the server ends are made anew.
    psql(
        &url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",
    );
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_place_that_another_one_used_is_taken() {
    let Some(url) = new_database() else { return };
    let store = open(&url).await;
    let id = RoundId { study: StudyId(Digest::of(b"study")), round: RoundNumber(0) };
    store.insert_study(id.study, b"file").await.unwrap();
    psql(
        &url,
        &format!(
            "WITH s AS (INSERT INTO leaves VALUES ('{0}', 0)) INSERT INTO rounds VALUES ('{0}', 0, '', 0, 0)",
            id.study
        ),
    );
    let append = async |sequence, leaf| {
        let event = Event::Damaged { site: "site".parse().unwrap(), at: UnixSeconds(1) };
        store.append(id, &[NextEvent { sequence, event: &event, leaf }], &[]).await
    };
    append(0, Some(1)).await.unwrap();
    for (sequence, leaf) in [(0, None), (0, Some(2)), (1, Some(0)), (1, Some(1))] {
        let taken = append(sequence, leaf).await.unwrap_err();
        assert!(matches!(taken, StoreError::Taken(_)), "{taken}");
    }
    assert_eq!(psql(&url, "SELECT count(*) FROM events"), "1");
    assert_eq!(psql(&url, "SELECT count(*) FROM leaves"), "2");
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_says_what_to_do() {
    let Some(url) = new_database() else { return };
    let missing = url.replace("test_", "no_test_");
    let closed = "postgres://test@127.0.0.1:1/test";
    for (url, words) in [
        (&*missing, &["no_test_", "does not exist", "createdb"][..]),
        (closed, &["127.0.0.1:1", "is the server running"]),
    ] {
        let error = PgStatements::open(url.parse().unwrap()).await.unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    }
}
