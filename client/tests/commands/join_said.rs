//! What `ringfence join` says in a study: with times, as JSON, not at all; and when it is stopped.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ringfence_clock::Clock;
use ringfence_federation::Aggregator;
use serde_json::Value;

use crate::join::{joining, prepare, write_images};
use crate::support::ringfence;

const PLAN: [&str; 4] = ["--rounds", "2", "--epochs", "1"];

async fn study(folder: &Path) -> Aggregator {
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    let counts = write_images(folder);
    prepare(folder, &aggregator, &counts, &PLAN);
    aggregator
}

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Whether a line begins with a time, as in `2027-01-15 08:00:00 UTC  round 0`.
fn has_time(line: &str) -> bool {
    let shape = "dddd-dd-dd dd:dd:dd UTC  ";
    line.len() > shape.len()
        && shape.chars().zip(line.chars()).all(|(shape, got)| match shape {
            'd' => got.is_ascii_digit(),
            shape => got == shape,
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_is_told_with_times_or_as_json_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = study(folder).await;
    let url = aggregator.url();
    let processes = [
        start(&mut joining(folder, url, "a")),
        start(joining(folder, url, "b").arg("--json")),
        start(joining(folder, url, "c").arg("--quiet")),
    ];
    let [a, b, c] = processes.map(|process| process.wait_with_output().unwrap());
    for output in [&a, &b, &c] {
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    }
    assert!(c.stdout.is_empty(), "{}", text(&c.stdout));

    let said = text(&a.stdout);
    said.lines().for_each(|line| assert!(has_time(line), "{line:?} has no time"));
    for expected in [
        "a joins study ",
        "round 0: the turn is a's since ",
        "round 0: opened by ",
        "; it takes contributions until ",
        "round 0: contributed ",
        "round 1: opened by ",
        "; waiting until ",
        "round 1: mean of 3 sites opened; ",
        "after round 1, validation: ",
        "written to out-a: model.safetensors",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }

    let objects: Vec<Value> =
        text(&b.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for object in &objects {
        assert!(object["time"].as_u64().unwrap() > 1_700_000_000, "{object}");
        assert!(object["event"].is_string(), "{object}");
    }
    let of = |event: &str| -> Vec<&Value> {
        objects.iter().filter(|object| object["event"] == event).collect()
    };
    assert_eq!(of("joined")[0]["site"], "b");
    // Who opens a round is a matter of who comes first: others may step in after two seconds.
    assert_eq!(of("round_opened").len(), 2);
    assert!(of("round_opened").iter().all(|object| object["initiator"].is_string()));
    assert_eq!(of("contributed").len(), 2);
    let opened = of("opened");
    assert_eq!(opened.len(), 2);
    // The fields of a round in `report.json`, less the time and the kind.
    let report = std::fs::read(folder.join("out-b/report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    for (said, written) in opened.iter().zip(report["opened"].as_array().unwrap()) {
        let written = written.as_object().unwrap();
        assert!(written["noise_failure_probability"].as_f64().unwrap() < 2f64.powi(-64));
        written.iter().for_each(|(name, value)| assert_eq!(said[name], *value, "{name}"));
    }
    // What is waited for changes from one line to the next.
    let waits = of("waiting");
    assert!(!waits.is_empty());
    for wait in &waits {
        let state = wait["state"].as_str().unwrap();
        let came = match state {
            "collecting" => "received",
            "reviewing" => "reviewed",
            "closed" => "endorsed",
            _ => "opened",
        };
        assert!(wait[came].is_array(), "{wait}");
        assert!(wait["missing"].is_array(), "{wait}");
        assert!(wait["until"].as_u64() > wait["time"].as_u64(), "{wait}");
    }
    let key = |wait: &Value| [&wait["round"], &wait["state"], &wait["missing"]].map(Value::clone);
    assert!(waits.windows(2).all(|pair| key(pair[0]) != key(pair[1])), "{waits:?}");
    // What it took part in from the beginning was measured, and after the last round nothing is left.
    assert_eq!(
        (said.matches(" left at this pace").count(), of("time_left").len()),
        (1, 1),
        "{said}"
    );

    // After the end it takes part in nothing, and scores the model on whatever images it is given.
    let scored = || {
        let again = joining(folder, url, "a").output().unwrap();
        assert!(again.status.success(), "{}", text(&again.stderr));
        let said = text(&again.stdout);
        assert!(said.contains("all 2 rounds of the study are done, and this site takes"), "{said}");
        assert!(!said.contains("this site trains") && !said.contains("weights this"), "{said}");
        assert!(said.contains("written to out-a: model.safetensors"), "{said}");
        let report = std::fs::read(folder.join("out-a/report.json")).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        report["test"].clone()
    };
    let own = scored();
    std::fs::rename(folder.join("images-a"), folder.join("own")).unwrap();
    std::fs::rename(folder.join("images-b"), folder.join("images-a")).unwrap();
    assert_ne!(scored(), own);
}

/// A site that left a study for a full disk below its log would take the round with it.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_does_not_end_the_study() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = study(folder).await;
    let url = aggregator.url();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let lost =
        |command: &mut Command| command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
    let processes = [
        lost(&mut joining(folder, url, "a")),
        lost(joining(folder, url, "b").arg("--json")),
        start(joining(folder, url, "c").arg("--quiet")),
    ];
    let [a, b, c] = processes.map(|process| process.wait_with_output().unwrap());
    for output in [&a, &b] {
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("No space left on device") && said.contains("goes on"), "{said}");
    }
    assert!(c.status.success() && c.stderr.is_empty(), "{}", text(&c.stderr));
    assert!(folder.join("out-a/report.json").is_file());
}

/// Sends a signal once the site has contributed and waits for the others.
fn stopped(mut process: Child, signal: &str) -> (Vec<String>, Output) {
    let mut said = Vec::new();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut sent = false;
    for line in lines.map(Result::unwrap) {
        if !sent && line.contains("missing: b, c;") {
            sent = true;
            let pid = process.id().to_string();
            assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        }
        said.push(line);
    }
    (said, process.wait_with_output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_end_it_in_good_order_and_the_same_command_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = study(folder).await;
    let url = aggregator.url();
    for (signal, name, code) in [("-TERM", "SIGTERM", 143), ("-INT", "SIGINT", 130)] {
        let (said, output) = stopped(start(&mut joining(folder, url, "a")), signal);
        assert_eq!(output.status.code(), Some(code), "{said:?}");
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
        let [stopped, stands, go_on] = said.last_chunk().unwrap();
        let expected = format!("stopped by {name} in round 0, 0 of 2 rounds done");
        assert!(stopped.ends_with(&expected), "{said:?}");
        assert!(stands.contains(
            "round 0: 1 of 3 contributions are there (a); missing: b, c; the time for them ends "
        ));
        assert!(go_on.ends_with("to go on, run the same command again"), "{said:?}");
    }
    let processes = ["a", "b", "c"].map(|site| start(&mut joining(folder, url, site)));
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    for site in ["a", "b", "c"] {
        assert!(folder.join(format!("out-{site}/report.json")).is_file(), "{site}");
    }
}

/// Images so large that reading them takes seconds, beside a signal that comes at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_the_images_are_read_ends_it_in_good_order_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = study(folder).await;
    let large = folder.join("large.png");
    image::GrayImage::new(6000, 6000).save(&large).unwrap();
    let mut folders = vec![folder.join("images-a")];
    while let Some(of) = folders.pop() {
        for entry in std::fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.extension() {
                Some(extension) if extension == "png" => _ = std::fs::copy(&large, &entry).unwrap(),
                Some(_) => {}
                None => folders.push(entry),
            }
        }
    }
    for (signal, name, code) in [("-TERM", "SIGTERM", 143), ("-INT", "SIGINT", 130)] {
        let mut process = start(&mut joining(folder, aggregator.url(), "a"));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let reading = lines.next().unwrap().unwrap();
        assert!(reading.ends_with("reading the images of images-a"), "{reading}");
        let (pid, sent) = (process.id().to_string(), Instant::now());
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let said: Vec<String> = lines.map(Result::unwrap).collect();
        let output = process.wait_with_output().unwrap();
        assert!(sent.elapsed().as_secs() < 5, "it took {:?}", sent.elapsed());
        assert_eq!(output.status.code(), Some(code), "{said:?}");
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
        let [stopped, go_on] = said.last_chunk().unwrap();
        let expected = format!("stopped by {name} before its images were read, 0 of 2 rounds done");
        assert!(stopped.ends_with(&expected), "{said:?}");
        assert!(go_on.ends_with("to go on, run the same command again"), "{said:?}");
    }
}

/// What was waited for before the aggregator was away is waited for after it, and not said again.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_aggregator_was_away_nothing_is_said_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut aggregator = study(folder).await;
    let url = aggregator.url().to_owned();
    let mut process = start(&mut joining(folder, &url, "a"));
    let (sender, lines) = std::sync::mpsc::channel();
    let out = BufReader::new(process.stdout.take().unwrap());
    std::thread::spawn(move || {
        out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok()
    });
    let mut said = Vec::new();
    let mut until = |text: &str| loop {
        let line = lines.recv_timeout(Duration::from_secs(60)).unwrap();
        let found = line.contains(text);
        said.push(line);
        if found {
            break;
        }
    };
    until("missing: b, c;");
    for _ in 0..2 {
        aggregator.kill().await.unwrap();
        until("could not be reached: nobody listens there");
        aggregator.restart().await.unwrap();
        until("that is over; going on");
        // What else is repeated has its time.
        tokio::time::sleep(Duration::from_secs(12)).await;
    }
    process.kill().unwrap();
    process.wait().unwrap();
    said.extend(lines.iter());
    let mut count = BTreeMap::new();
    for line in &said {
        let (_, what) = line.split_once(" UTC  ").unwrap();
        // An outage has its own end each.
        let what = if what.starts_with("waiting until ") { "waiting until" } else { what };
        *count.entry(what).or_insert(0) += 1;
    }
    for (what, times) in count {
        let outages = what == "waiting until" || what == "that is over; going on";
        assert_eq!(times, if outages { 2 } else { 1 }, "{what:?} in {said:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_waited_for_and_it_is_said_once_until_when() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let url = study(folder).await.url().to_owned();
    let output = joining(folder, &url, "a").args(["--patience", "12"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    let waiting: Vec<&str> = said.lines().filter(|line| line.contains("waiting until ")).collect();
    assert_eq!(waiting.len(), 1, "{said}");
    assert!(has_time(waiting[0]) && waiting[0].contains(" UTC at most: the aggregator at "));
    assert_eq!(waiting[0].matches(&url).count(), 1, "{said}");
    let error = text(&output.stderr);
    assert!(error.starts_with("ringfence: the aggregator at "), "{error}");
    assert_eq!(error.matches(&url).count(), 1, "{error}");
}

/// A round may take hours, and the key holder's duty as long: what has failed is said before its end.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_site_fails_at_is_said_while_it_goes_on_as_key_holder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = study(folder).await;
    let verified = ringfence(folder, &["study", "verify"]).unwrap();
    let digest = verified.rsplit_once("study ").unwrap().1.trim().to_owned();
    // Without validation images it says which model it ends with.
    let table = folder.join("images-a/labels.csv");
    let lines = std::fs::read_to_string(&table).unwrap();
    let kept: Vec<&str> = lines.lines().filter(|line| !line.ends_with(",val")).collect();
    assert!(kept.len() < lines.lines().count(), "{lines}");
    std::fs::write(&table, kept.join("\n") + "\n").unwrap();
    let mut process = start(&mut joining(folder, aggregator.url(), "a"));
    let (sender, lines) = std::sync::mpsc::channel();
    let out = BufReader::new(process.stdout.take().unwrap());
    std::thread::spawn(move || {
        out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok()
    });
    let mut said = Vec::new();
    let found = loop {
        let Ok(line) = lines.recv_timeout(Duration::from_secs(60)) else { break false };
        if line.contains("reading the images") {
            // Where the state takes a file of this name, there is a folder.
            let state = folder.join("state-a/studies").join(&digest);
            std::fs::create_dir_all(state.join("rounds/000000.body.bin")).unwrap();
        }
        let failed = line.contains("round 0: this site's own part has failed: state-a/studies/");
        said.push(line);
        if failed {
            break true;
        }
    };
    let goes_on = process.try_wait().unwrap().is_none();
    assert!(found && goes_on, "{said:#?}");
    assert!(said.last().unwrap().contains("it goes on as key holder"), "{said:#?}");
    // Whoever stops it is told again: this site waits for no others alone.
    let pid = process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(process.wait().unwrap().code(), Some(143));
    let end: Vec<String> = lines.iter().collect();
    let [.., failed, go_on] = end.as_slice() else { panic!("{end:?}") };
    let again = "this site's own part in round 0 has failed: state-a/studies/";
    assert!(failed.contains(again) && go_on.contains("to go on, mend that, and run"), "{end:#?}");
    assert!(said.iter().any(|line| line.contains("no validation images")), "{said:#?}");
}
