//! Databases of other versions of this program: older ones are brought up to date, newer ones refused.

use std::path::Path;

use ringfence_crypto::wire::json;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::child::{Aggregator, refusal, serve_command};
use crate::crash::{finish, sql};
use crate::play::Play;
use crate::roster::{Roster, Shape};

/// A database as the version wrote it that knew so many steps of the schema.
async fn database_of(data: &Path, steps: usize) -> SqliteConnection {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/sqlite_files/migrations");
    let mut files: Vec<_> =
        std::fs::read_dir(all).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let known = tempfile::tempdir().unwrap();
    for file in &files[..steps] {
        std::fs::copy(file, known.path().join(file.file_name().unwrap())).unwrap();
    }
    let path = data.join("statements.sqlite");
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut database = options.connect().await.unwrap();
    let steps = Migrator::new(known.path().to_owned()).await.unwrap();
    steps.run(&mut database).await.unwrap();
    database
}

#[tokio::test]
async fn a_database_of_the_first_version_is_brought_up_to_date() {
    for steps in [1, 2, 3, 4, 5] {
        let mut aggregator = Aggregator::start();
        aggregator.kill();
        let data = aggregator.data();
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::create_dir(&data).unwrap();
        let roster = Roster::new(aggregator.key, Shape::default());
        let mut database = database_of(&data, steps).await;
        sqlx::query("INSERT INTO studies (study, file) VALUES (?, ?)")
            .bind(roster.id().to_string())
            .bind(json::compact(&roster.signed))
            .execute(&mut database)
            .await
            .unwrap();
        database.close().await.unwrap();
        // There were no marks then.
        aggregator.restart_with(&["--adopt-marks"]);
        aggregator.client().get("/readyz").await.ok();
        let play = Play::open(aggregator.client(), roster, 0, 600, None).await;
        for site in play.ids() {
            play.contribute(site).await;
        }
        finish(&play).await;
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_with_a_word_and_left_as_it_is() {
    let mut aggregator = Aggregator::start();
    aggregator.kill();
    sql(
        &aggregator,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'of tomorrow', 1, x'00', 0)",
    )
    .await;
    let file = aggregator.data().join("statements.sqlite");
    let before = std::fs::read(&file).unwrap();
    let refused = refusal(&mut serve_command(aggregator.folder.path(), "127.0.0.1:0"));
    let said = String::from_utf8(refused.stderr).unwrap();
    for word in ["newer ringfence-aggregator", "step 99", "run that version", "a backup"] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

/// A site of the version before knows no epochs, and refuses a message with a field that it does not
/// know: without epochs, there is none.
#[tokio::test]
async fn a_study_without_epochs_is_told_of_as_the_version_before_did() {
    let aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster, 600).await;
    let path = format!("{}/status", play.roster.path());
    let status: serde_json::Value = play.client.get(&path).await.json();
    let known: Vec<&String> = status.as_object().unwrap().keys().collect();
    assert_eq!(known, ["latest", "name", "rounds", "study"]);
    // And a status of the version before is read.
    let read: ringfence_crypto::api::StudyStatus = serde_json::from_value(status).unwrap();
    assert_eq!((read.rounds, read.epochs), (1, 0));
}

/// The requests of protocol version 2, as the version had them that wrote the list beside: a neighbour sends
/// them, so that none may go, nor a parameter of one. The document is held to the code by other tests.
#[test]
fn every_request_of_the_version_before_is_taken_still() {
    let document: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    for line in include_str!("requests_v2.txt").lines() {
        let (method, place) = line.split_once(' ').unwrap();
        let (path, query) = place.split_once('?').unwrap_or((place, ""));
        let request = &document["paths"][path][method.to_lowercase()];
        assert!(request.is_object(), "{method} {path} is gone");
        let parameters = request["parameters"].as_array();
        let known =
            |name: &str| parameters.is_some_and(|all| all.iter().any(|of| of["name"] == name));
        for name in query.split(',').filter(|name| !name.is_empty()) {
            assert!(known(name), "{method} {path} takes no {name} any more");
        }
        // Nor may a neighbour have to give more than it does.
        let required = parameters.into_iter().flatten().filter(|of| of["in"] == "query");
        for of in required.filter(|of| of["required"] == true) {
            let name = of["name"].as_str().unwrap();
            assert!(query.split(',').any(|known| known == name), "{method} {path} wants {name}");
        }
    }
}
