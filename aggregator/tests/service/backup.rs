//! `ringfence-aggregator backup`, and what docs/operating.md says to do with the copy.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ringfence_crypto::api::{ContributionProgress, Recovery, Returned};
use ringfence_crypto::round::{Event, RoundState};

use crate::child::{Aggregator, binary};
use crate::crash::{finish, finish_closed};
use crate::play::Play;
use crate::roster::{LARGE, Roster, Shape};

/// The commands of a section of the page that begin so, with its folders in the place of the page's.
fn documented(section: &str, places: &[(&str, &Path)]) -> String {
    let page = include_str!("../../../docs/operating.md");
    let text = page.split("\n## ").find(|text| text.starts_with(section)).unwrap();
    let block = text.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    // What starts and stops the service is the test's own.
    let lines = block.lines().filter(|line| !line.starts_with("systemctl"));
    let mut script = "set -eu\n".to_owned();
    for line in lines {
        script.push_str(line);
        script.push('\n');
    }
    places.iter().fold(script, |script, (place, with)| {
        assert!(script.contains(place), "{place} is not in\n{script}");
        script.replace(place, &with.display().to_string())
    })
}

fn run(script: &str, from: &str, to: &str) {
    let part = script.split("# ").find(|part| part.starts_with(from)).expect(to);
    let commands = format!("set -eu\n# {part}");
    let path = Path::new(env!("CARGO_BIN_EXE_ringfence-aggregator")).parent().unwrap();
    let path = format!("{}:{}", path.display(), std::env::var("PATH").unwrap());
    let done = Command::new("sh").arg("-c").arg(&commands).env("PATH", path).output().unwrap();
    assert!(done.status.success(), "{commands}\n{done:?}");
}

/// The page's commands, one after the other: a copy while a round runs, the data lost, the copy put
/// back, what it lacks given back by the sites, and the round ended with the right sum.
#[tokio::test]
async fn the_documented_backup_is_put_back_and_sites_give_back_what_it_lacks() {
    let mut aggregator = Aggregator::start();
    let shape = Shape::default();
    let play = Play::start(aggregator.client(), Roster::new(aggregator.key, shape), 600).await;
    let sites = play.ids().to_vec();
    let copy = aggregator.folder.path().join("backup");
    let (data, marks) = (aggregator.data(), aggregator.folder.path().join("key.marks"));
    let places = [
        ("/var/lib/ringfence-aggregator/data", data.as_path()),
        ("/var/lib/ringfence-aggregator/marks", marks.as_path()),
        ("/mnt/backup/ringfence", copy.as_path()),
    ];
    let script = documented("Backups", &places);
    for site in &sites[..2] {
        play.contribute_whole(site).await;
    }
    play.contribute(&sites[2]).await;
    // While it is served, and again with what came since.
    run(&script, "every day", "a copy");
    play.contribute(&sites[3]).await;
    play.put_header(&sites[4]).await.ok();
    run(&script, "every day", "a copy");
    play.put_envelopes(&sites[4]).await.ok();
    play.put_body(&sites[4], 0).await.ok();
    let receipt = play.progress(&sites[4]).await.receipt.unwrap();
    play.reach(RoundState::Reviewing).await;
    let freeze = play.freeze().await;

    aggregator.kill();
    std::fs::remove_file(data.join("statements.sqlite")).unwrap();
    run(&script, "put back", "a restore");
    assert!(data.with_extension("lost").is_dir());
    aggregator.restart();
    play.client.get(&play.path).await.refused(503, &["restore from a backup", "/recovered"]);
    let recovered = format!("{}/recovered", play.roster.path());
    let missing: Recovery = play.client.get(&recovered).await.json();
    assert_eq!(missing.marked - missing.stored, missing.missing.len() as u64);
    assert!(!missing.missing.is_empty());
    let back = [Event::Received(receipt), Event::Frozen(freeze)].map(Returned::Event);
    let done: Recovery = play.client.post_json(&recovered, &back.to_vec()).await.json();
    assert!(done.missing.is_empty(), "{done:?}");
    // The body that the copy lacks is asked for, and then the round ends as if nothing had been.
    for holder in &sites {
        play.put_review(holder, &[]).await.ok();
    }
    play.wanted(&sites[4..]).await;
    play.contribute(&sites[4]).await;
    play.reach(RoundState::Closed).await;
    play.check_sum(&sites).await;
    finish_closed(&play).await;
}

/// Whatever moment a copy is made at, it has every file that its database names.
#[tokio::test]
async fn a_copy_made_at_any_moment_has_what_its_database_names() {
    let mut aggregator = Aggregator::start();
    let shape = Shape { values: LARGE / 4, ..Shape::default() };
    let play = Play::start(aggregator.client(), Roster::new(aggregator.key, shape), 600).await;
    let (data, folder) = (aggregator.data(), aggregator.folder.path().join("copies"));
    let done = Arc::new(AtomicBool::new(false));
    let copying = tokio::task::spawn_blocking({
        let (data, done) = (data.clone(), done.clone());
        move || {
            let mut copies = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let to = folder.join(copies.len().to_string());
                let mut command = binary();
                command.arg("backup").arg("--data").arg(&data).arg("--to").arg(&to);
                let made = command.output().unwrap();
                assert!(made.status.success(), "{made:?}");
                copies.push(to);
            }
            copies
        }
    });
    for site in play.ids() {
        play.contribute(site).await;
    }
    finish(&play).await;
    done.store(true, Ordering::Relaxed);
    let copies = copying.await.unwrap();
    assert!(copies.len() > 1);
    // Each as the data of an aggregator, whose marks are made from them.
    let mut receipts = 0;
    for copy in copies.iter().step_by(copies.len().div_ceil(12)) {
        aggregator.kill();
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::remove_dir_all(aggregator.folder.path().join("key.marks")).unwrap();
        crate::recovery::copy(copy, &data);
        aggregator.restart_with(&["--adopt-marks"]);
        let status = play.status().await;
        assert!(status.wanted.is_empty(), "{}: {status:?}", copy.display());
        for site in play.ids() {
            let answer = play.client.get(&play.of(site, "")).await;
            if answer.status == 404 {
                continue;
            }
            if answer.json::<ContributionProgress>().receipt.is_some() {
                receipts += 1;
                let body = play.client.get(&play.of(site, "/body")).await.ok().bytes;
                assert_eq!(body, play.contribution(site).body);
            }
        }
        if [RoundState::Closed, RoundState::Certified, RoundState::Opened].contains(&status.state) {
            play.check_sum(play.ids()).await;
        }
    }
    assert!(receipts > 0);
}

#[test]
fn what_is_no_data_folder_is_not_copied() {
    let aggregator = Aggregator::start();
    let data = aggregator.data();
    for (from, to, words) in [
        (aggregator.folder.path(), aggregator.folder.path().join("x"), "has no statements.sqlite"),
        (&data, data.join("copy"), "give a folder on another disk"),
    ] {
        let mut command = binary();
        let refused = command.arg("backup").arg("--data").arg(from).arg("--to").arg(to);
        let refused = refused.output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains(words), "{said}");
        assert!(!data.join("copy").exists(), "nothing is made there");
    }
}
