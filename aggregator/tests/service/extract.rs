//! `ringfence-aggregator extract`: all that root can take, and what it refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use ringfence_audit::operator::{operator, operator_text};

use crate::child::{Aggregator, TOKEN, binary};
use crate::crash::finish;
use crate::play::Play;
use crate::roster::{Roster, Shape};

fn extract(aggregator: &Aggregator, out: &Path) -> Command {
    let mut command = binary();
    command.arg("extract").arg("--data").arg(aggregator.data());
    command.arg("--key").arg(aggregator.folder.path().join("key"));
    command.arg("--admin-token-file").arg(aggregator.folder.path().join("token"));
    command.arg("--out").arg(out);
    command
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{output:?}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
}

#[tokio::test]
async fn everything_is_taken_while_it_serves_and_secrets_are_named() {
    let aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster, 600).await;
    let sites = play.ids().to_vec();
    for site in &sites[1..] {
        play.contribute_whole(site).await;
    }
    // One in steps, whose body is a file.
    play.contribute(&sites[0]).await;
    finish(&play).await;
    let out = aggregator.folder.path().join("extract");
    let output = extract(&aggregator, &out).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o700);

    let report = operator(&out, &[]).unwrap();
    assert_eq!(report.unknown, [""; 0]);
    let count = |kind: &str| {
        let item = report.items.iter().find(|item| item.held.kind == kind);
        item.unwrap_or_else(|| panic!("no {kind}")).count
    };
    assert_eq!((count("small"), count("bodies"), count("sum")), (4, 1, 1));
    assert_eq!((count("events: announced"), count("events: received")), (5, 5));
    assert_eq!((count("studies"), count("epochs"), count("marks")), (1, 0, 2));
    // These sites send random bytes for bodies: the sum of residues is one of residues.
    assert_eq!(report.bodies.tested, 6);
    let text = operator_text(&report);
    assert!(text.contains("memory: not in this extract"), "{text}");
    // Keys and tokens are named, and nowhere.
    let named: Vec<&str> = report.list.named.iter().map(|named| named.kind.as_str()).collect();
    assert_eq!(named, ["key", "admin-token-file"]);
    let key = fs::read(aggregator.folder.path().join("key")).unwrap();
    for secret in [&key[..], TOKEN.as_bytes()] {
        assert!(!holds(&out, secret));
    }

    // What is taken out of it later is missed.
    assert_eq!((report.altered.as_slice(), report.exit_code()), (&[] as &[String], 0));
    let table = out.join("tables/events.jsonl");
    let rows = fs::read(&table).unwrap();
    fs::remove_file(&table).unwrap();
    let gutted = operator(&out, &[]).unwrap();
    assert_eq!(gutted.exit_code(), 3);
    let said = operator_text(&gutted);
    assert!(
        said.contains("not all that was taken") && said.contains("NOT AS TAKEN  tables: "),
        "{said}"
    );
    fs::write(&table, rows).unwrap();

    refused(&extract(&aggregator, &out).output().unwrap(), &["is there already", "--out"]);
    let inside = aggregator.data().join("extract");
    refused(&extract(&aggregator, &inside).output().unwrap(), &["is in", "elsewhere"]);
    let other = aggregator.folder.path().join("other");
    let mut nowhere = extract(&aggregator, &other);
    nowhere.env("RINGFENCE_DATA", "").args(["--process", "4000000000"]);
    refused(&nowhere.output().unwrap(), &["memory of process 4000000000", "as root"]);
    let mut empty = binary();
    empty.args(["extract", "--data"]).arg(&out).arg("--out").arg(other.join("x"));
    refused(&empty.output().unwrap(), &["has no statements.sqlite", "--data"]);
}

/// Whether a file below the folder holds these bytes.
fn holds(folder: &Path, secret: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        match path.is_dir() {
            true => holds(&path, secret),
            false => fs::read(&path).unwrap().windows(secret.len()).any(|window| window == secret),
        }
    })
}
