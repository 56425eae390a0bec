//! What an auditor fetches of a running aggregator, with `crypto/audit/fetch.sh`, and checks offline.

use std::fs;
use std::path::Path;
use std::process::Command;

use ringfence_audit::{Disk, Options, Report, Verdict, audit, text};
use ringfence_crypto::evidence::{RoundProof, Verifier};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::round::RoundState;

use crate::child::{Aggregator, Client, TOKEN};
use crate::crash::finish;
use crate::play::Play;
use crate::roster::{Roster, Shape};

/// Runs the script. It needs curl.
fn fetch(aggregator: &Aggregator, roster: &Roster, to: &Path, more: &[&str]) -> String {
    let token = aggregator.folder.path().join("auditor");
    fs::write(&token, TOKEN).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../crypto/audit/fetch.sh");
    let output = Command::new("sh")
        .arg(script)
        .args([format!("http://{}", aggregator.address), roster.id().to_string()])
        // Whatever the environment says: these requests carry the token.
        .env("NO_PROXY", "*")
        .args([&token, to])
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn found(folder: &Path) -> Report {
    audit(&Disk::at(folder), &Options::default()).unwrap()
}

/// Two rounds, the second of which still takes contributions.
async fn played(client: &Client, roster: &Roster) -> Play {
    client.post_study(&roster.signed).await.ok();
    let play = Play::open(client.clone(), roster.clone(), 0, 600, None).await;
    for site in play.ids() {
        play.contribute(site).await;
    }
    finish(&play).await;
    let previous = play.agree().await;
    let next = Play::open(client.clone(), roster.clone(), 1, 600, Some(&previous)).await;
    next.contribute(&next.ids()[1]).await;
    play
}

#[tokio::test]
async fn an_export_is_fetched_and_proven() {
    let aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let client = aggregator.client();
    let play = played(&client, &roster).await;
    let folder = tempfile::tempdir().unwrap();
    let said = fetch(&aggregator, &roster, folder.path(), &[]);
    assert!(said.starts_with("2 rounds and "), "{said}");
    let report = found(folder.path());
    assert_eq!(report.verdict, Verdict::Pending, "{}", text(&report));
    let states: Vec<_> =
        report.rounds.iter().map(|round| round.summary.as_ref().unwrap().state).collect();
    assert_eq!(states, [RoundState::Opened, RoundState::Collecting]);
    assert!(text(&report).contains("to the last bit"), "{}", text(&report));

    // Again, into the same folder; and one byte of a body is another one.
    fetch(&aggregator, &roster, folder.path(), &["--without-bodies"]);
    assert_eq!(found(folder.path()).verdict, Verdict::Pending);
    let body = folder.path().join(format!("rounds/0.bodies/{}", play.ids()[0]));
    let mut bytes = fs::read(&body).unwrap();
    bytes[7] ^= 1;
    fs::write(&body, bytes).unwrap();
    assert_eq!(found(folder.path()).exit_code(), 1);
}

#[tokio::test]
async fn a_file_is_of_the_log_that_was_asked_for() {
    let aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let client = aggregator.client();
    let play = played(&client, &roster).await;
    let verifier = Verifier::new(roster.signed.clone()).unwrap();
    let entries = client.get(&format!("{}/log/entries", roster.path())).await.ok();
    let entries = String::from_utf8(entries.bytes).unwrap();
    let size = entries.lines().count();
    // At every size since the round was opened.
    for size in 1..=size {
        let answer = client.get(&play.at(&format!("proof?size={size}"))).await.ok();
        let proof = RoundProof::parse(&answer.bytes).unwrap();
        assert_eq!(proof.round, RoundNumber::FIRST);
        let verified = verifier.verify(&proof, None);
        assert!(verified.holds(), "{size}: {:#?}", verified.findings);
        assert_eq!(verified.checkpoint.unwrap().size, size as u64);
        let path = format!("{}/log/checkpoint?size={size}", roster.path());
        let note = client.get(&path).await.ok().bytes;
        assert_eq!(proof.log.checkpoint.to_string().into_bytes(), note);
    }
    client.get(&play.at("proof?size=0")).await.refused(404, &["not among the first 0"]);
    let beyond = format!("proof?size={}", size + 1);
    client.get(&play.at(&beyond)).await.refused(404, &["leaves"]);
    client.get(&play.at("proof?of=1")).await.refused(400, &["of"]);
    let part = format!("{}/log/entries?from=3&size=5", roster.path());
    let part = String::from_utf8(client.get(&part).await.ok().bytes).unwrap();
    assert!(part.lines().eq(entries.lines().skip(3).take(2)));
}
