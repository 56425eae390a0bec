//! `ringfence status` beside a running aggregator: turns, rounds, who is late, and what is new.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ringfence_clock::Clock;
use ringfence_crypto::signature::PublicKey;
use ringfence_federation::Aggregator;
use ringfence_weights::Weights;
use serde_json::Value;

use crate::support::ringfence;

const SITES: [&str; 3] = ["st-mary-of-the-lake-radiology", "b", "st-mary-of-the-lake-pathology"];

/// Three sites with a signed study that pins no plan, and a model and an update of ten values.
fn prepare(folder: &Path, aggregator: &Aggregator) {
    let run = |arguments: &[&str]| ringfence(folder, arguments).unwrap();
    let shapes = [("w".to_owned(), vec![10])];
    for (name, value) in [("model", 0.0), ("update", 0.1), ("other", 0.2)] {
        let weights = Weights::from_values(&shapes, vec![value; 10]).unwrap();
        weights.save(&folder.join(format!("{name}.safetensors"))).unwrap();
    }
    SITES.iter().for_each(|site| _ = run(&["keygen", "--site", site]));
    let key = aggregator.public_key().to_string();
    let mut new = vec!["study", "new", "--name", "lungs", "--aggregator-key", &key];
    new.extend(["--model", "model.safetensors", "--training", "none", "--clip", "0.5"]);
    new.extend(["--min-round-seconds", "1", "--initiator-timeout-seconds", "100000"]);
    let public = SITES.map(|site| format!("{site}.public.json"));
    public.iter().for_each(|site| new.extend(["--site", site]));
    run(&new);
    // An author whose program refuses no name.
    let path = folder.join("study.json");
    let study = fs::read_to_string(&path).unwrap();
    let hostile = study.replacen("\"name\": \"lungs\"", r#""name": "lungs\u001b[2J""#, 1);
    assert_ne!(hostile, study);
    fs::write(&path, hostile).unwrap();
    for site in SITES {
        run(&["study", "sign", "--identity", &format!("{site}.identity")]);
    }
    run(&["study", "register", "--server", aggregator.url(), "--admin-token-file", "admin.token"]);
}

fn status(folder: &Path, url: &str, extra: &[&str]) -> Result<String, String> {
    ringfence(
        folder,
        &[&["status", "--token-file", "admin.token", "--server", url], extra].concat(),
    )
}

/// A command of a site, with its state in a folder of its name.
fn at_site(folder: &Path, url: &str, site: &str, command: &[&str]) -> Result<String, String> {
    let (identity, state) = (format!("{site}.identity"), format!("state-{site}"));
    let member = ["--identity", &identity, "--state", &state, "--server", url];
    ringfence(folder, &[command, &member, &["--base", "model.safetensors"]].concat())
}

/// `status --watch` with its output piped, and its lines so far.
struct Watch {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Watch {
    fn start(folder: &Path, url: &str, extra: &[&str]) -> Self {
        let errors = std::fs::File::create(folder.join("watch.err")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .args(["status", "--watch", "--token-file", "admin.token", "--server", url])
            .args(extra)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::from(errors))
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok()
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(60)).unwrap()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As behind `| head -1`, of one look and of many.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_ends_status_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    prepare(folder, &aggregator);
    for watch in [&[][..], &["--watch"], &["--watch", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .args(["status", "--token-file", "admin.token", "--server", aggregator.url()])
            .args(watch)
            .current_dir(folder)
            .stdout(writer)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(141), "{watch:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{watch:?}: {output:?}");
    }
}

/// Nothing is new: what has been read once is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_that_is_closed_later_ends_watching_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    prepare(folder, &aggregator);
    for form in [&[][..], &["--json"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .args(["status", "--watch", "--token-file", "admin.token"])
            .args(["--server", aggregator.url()])
            .args(form)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.contains("lungs"), "{line}");
        // What is printed with it is on its way.
        sleep(Duration::from_millis(200));
        drop(out);
        let closed = Instant::now();
        let code = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status.code(),
                None if closed.elapsed() > Duration::from_secs(10) => break None,
                None => sleep(Duration::from_millis(20)),
            }
        };
        let _ = child.kill();
        assert_eq!(code, Some(141), "{form:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_is_shown_from_its_turn_to_who_is_late() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    prepare(folder, &aggregator);
    let url = aggregator.url().to_owned();
    let [first, second, third] = SITES;

    let said = status(folder, &url, &["--columns", "200"]).unwrap();
    assert!(said.starts_with(r"study lungs\u{1b}[2J ("), "{said}");
    let turn = format!("round 0 is not open: the turn is {first}'s since ");
    assert!(said.contains("0 rounds begun") && said.contains(&turn), "{said}");

    let json = Watch::start(folder, &url, &["--json"]);
    let seen = || -> Value { serde_json::from_str(&json.line()).unwrap() };
    let before = seen();
    assert_eq!((&before["opened_rounds"], &before["cohorts"]["rounds"]), (&0.into(), &0.into()));
    assert_eq!(before["turn"]["now"], first);
    assert_eq!(before["planned_rounds"], Value::Null);

    at_site(folder, &url, first, &["open", "--seconds", "12"]).unwrap();
    let again = at_site(folder, &url, first, &["open", "--seconds", "12"]).unwrap_err();
    let open = format!(
        "round 0 is open already, opened by {first}: it is still taking contributions, with 0 contributions by now"
    );
    assert!(again.contains(&open) && !again.contains("404"), "{again}");
    let said = status(folder, &url, &["--columns", "200"]).unwrap();
    assert!(said.contains("0      collecting") && said.contains("collecting; still to come"));
    for site in [first, second] {
        let update = ["contribute", "--update", "update.safetensors"];
        at_site(folder, &url, site, &update).unwrap();
    }
    // Once in a round: the same again is sent again, and another one is not passed over in silence.
    let update = |file: &str| at_site(folder, &url, first, &["contribute", "--update", file]);
    let again = update("update.safetensors").unwrap();
    assert!(again.contains("sent again") && again.contains("receipt for contribution"), "{again}");
    let other = update("other.safetensors").unwrap_err();
    assert!(other.contains("another update has been contributed in this round already"), "{other}");
    assert!(other.contains("nothing was sent"), "{other}");
    let said = status(folder, &url, &["--columns", "200"]).unwrap();
    let marks = |said: &str| -> Vec<String> {
        let row = said.lines().find(|line| line.starts_with("0 ")).unwrap();
        row.split_whitespace().rev().take(3).map(str::to_owned).collect()
    };
    assert_eq!(marks(&said), [".....", "c....", "c...."], "{said}");
    assert!(said.contains(&format!("key holders {first}, {second}, {third}")), "{said}");
    assert!(said.contains(&format!("contributions of {third}\n")), "{said}");
    assert!(!said.contains("LATE"), "{said}");

    let deadline = Instant::now() + Duration::from_secs(60);
    let said = loop {
        let said = status(folder, &url, &["--columns", "200"]).unwrap();
        if said.contains("reviewing") || said.contains("closed") || Instant::now() > deadline {
            break said;
        }
        sleep(Duration::from_millis(300));
    };
    let [late, ..] = &marks(&said)[..] else { panic!("{said}") };
    assert!(late.starts_with('!'), "{said}");
    assert!(said.contains(&format!("round 0: LATE with the contribution: {third}\n")), "{said}");

    // What is watched has changed at each of these steps, and is a line each time.
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut last = seen();
    while last["rounds"][0]["sites"][2]["contributed"] != "late" {
        let next = seen();
        assert_ne!(next, last, "nothing has changed");
        assert!(Instant::now() < deadline, "{next}");
        last = next;
    }
    assert_eq!(last["rounds"][0]["sites"][2]["site"], third);
    assert_eq!(last["rounds"][0]["sites"][0]["contributed"], "done");
    assert_eq!(last["rounds"][0]["sites"][0]["holds_keys"], true);

    // The same, from the digest alone, and on narrow terminals: names stay apart, lines fit.
    let digest = ringfence(folder, &["study", "verify"]).unwrap();
    let digest = digest.lines().find_map(|line| line.strip_prefix("study ")).unwrap().to_owned();
    std::fs::rename(folder.join("study.json"), folder.join("away.json")).unwrap();
    for columns in ["40", "80", "120"] {
        let said = status(folder, &url, &["--digest", &digest, "--columns", columns]).unwrap();
        let width: usize = columns.parse().unwrap();
        for line in said.lines().filter(|line| line.contains(' ')) {
            assert!(line.chars().count() <= width, "{columns}: {line}");
        }
        assert!(said.contains("st-ma..iology") && said.contains("st-ma..hology"), "{said}");
    }
    let error = status(folder, &url, &[]).unwrap_err();
    assert!(error.contains("study.json"), "{error}");
    std::fs::rename(folder.join("away.json"), folder.join("study.json")).unwrap();

    // Away and back: what watches goes on, and nothing is shown twice.
    let table = Watch::start(folder, &url, &["--columns", "120"]);
    assert!(table.line().starts_with("study lungs"));
    aggregator.kill_and_restart().await.unwrap();
    sleep(Duration::from_secs(5));
    let headings = table.lines.try_iter().filter(|line| line.starts_with("study ")).count();
    assert!(headings <= 1, "{headings} tables of nothing new");
    drop(aggregator);
    let error = status(folder, &url, &["--watch", "--patience", "1"]).unwrap_err();
    assert!(error.contains("trying again until ") && error.contains("(--patience)"), "{error}");
    assert!(error.contains("could not be reached"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_nobody_listens_at_is_said_at_once_and_watched_until_somebody_does() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    prepare(folder, &aggregator);
    let url = aggregator.url().to_owned();
    let verified = ringfence(folder, &["study", "verify"]).unwrap();
    let digest = verified.rsplit_once("study ").unwrap().1.trim().to_owned();
    aggregator.kill().await.unwrap();
    let closed = format!(
        "the aggregator at {url} could not be reached: nobody listens there (connection refused); start it, or check address and port of --server\n"
    );
    for which in [&["--study", "study.json"][..], &["--digest", &digest]] {
        let started = Instant::now();
        let error = status(folder, &url, which).unwrap_err();
        assert!(started.elapsed().as_secs() < 4, "it took {:?}", started.elapsed());
        assert_eq!(error, format!("ringfence: {closed}"));
        let watch = [which, &["--watch", "--patience", "5"]].concat();
        let error = status(folder, &url, &watch).unwrap_err();
        assert!(error.starts_with("trying again until "), "{error}");
        // When it begins to wait, and when it gives up.
        assert_eq!(error.matches(&closed).count(), 2, "{error}");
        assert_eq!(error.lines().count(), 2, "{error}");
    }
    let watch = Watch::start(folder, &url, &["--digest", &digest]);
    sleep(Duration::from_secs(3));
    aggregator.restart().await.unwrap();
    assert!(watch.line().starts_with("study lungs"));
    // Once each: that it is away, and that it is back.
    let told = || std::fs::read_to_string(folder.join("watch.err")).unwrap();
    let back = "the aggregator answers again; going on\n";
    assert_eq!((told().matches("trying again").count(), told().matches(back).count()), (1, 1));
}

/// Says that it is the aggregator of this key, and answers every other request alike.
fn liar(key: PublicKey, answer: String) -> String {
    ahead(key, answer, 0)
}

/// As a liar whose clock is ahead by so many seconds.
fn ahead(key: PublicKey, answer: String, seconds: u64) -> String {
    let now = Clock::system().now().0 + seconds;
    let meeting = format!(r#"{{"aggregator_key":"{key}","now":{now}}}"#);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let answer = if line.contains(" /v2/aggregator ") { &meeting } else { &answer };
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let length = answer.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close");
            let _ = reader.get_mut().write_all(format!("{head}\r\n\r\n{answer}").as_bytes());
            let _ = reader.read(&mut [0; 1]);
        }
    });
    url
}

/// The ring is turned on by one place from round to round, and the roster is not.
#[tokio::test(flavor = "multi_thread")]
async fn key_holders_have_one_order_wherever_they_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    prepare(folder, &aggregator);
    let url = aggregator.url();
    let [first, second, third] = SITES;
    // Nobody contributes to the first round.
    at_site(folder, url, first, &["open", "--seconds", "1"]).unwrap();
    // It is over once its holders have certified that.
    std::thread::scope(|scope| {
        for site in SITES {
            let (identity, state) = (format!("{site}.identity"), format!("state-{site}"));
            scope.spawn(move || {
                let member = ["--identity", &identity, "--state", &state, "--server", url];
                ringfence(folder, &[&["hold"][..], &member].concat()).unwrap()
            });
        }
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    let opened = loop {
        match at_site(folder, url, second, &["open", "--seconds", "60"]) {
            Err(error) if Instant::now() > deadline => panic!("{error}"),
            Err(_) => sleep(Duration::from_millis(300)),
            Ok(said) => break said,
        }
    };
    let holders = format!("key holders {first}, {second}, {third}");
    assert!(opened.contains("round 1 is open"), "{opened}");
    assert!(opened.replace("holders:", "holders").contains(&holders), "{opened}");
    let said = status(folder, url, &["--columns", "200"]).unwrap();
    assert!(said.contains(&format!("round 1: {holders}")), "{said}");
}

/// What is late or due is by one of two clocks.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_are_said_as_join_says_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    prepare(folder, &aggregator);
    let digest = ringfence(folder, &["study", "verify"]).unwrap();
    let digest = digest.lines().find_map(|line| line.strip_prefix("study ")).unwrap();
    let answer = format!(r#"{{"study":"{digest}","name":"t","rounds":0,"latest":null}}"#);
    for (seconds, said) in [(0, false), (100, true)] {
        let url = ahead(aggregator.public_key(), answer.clone(), seconds);
        let shown = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .args(["status", "--token-file", "admin.token", "--server", &url])
            .current_dir(folder)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&shown.stderr).into_owned();
        assert!(shown.status.success(), "{errors}");
        let warning = "warning: this machine's clock is ";
        assert_eq!(errors.contains(warning), said, "{errors}");
        assert_eq!(errors.contains(" s behind the aggregator's: it shows "), said, "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_aggregator_may_say_is_bounded_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    prepare(folder, &aggregator);
    let digest = ringfence(folder, &["study", "verify"]).unwrap();
    let digest = digest.lines().find_map(|line| line.strip_prefix("study ")).unwrap();
    let key = aggregator.public_key();
    let status_of = |rounds: u32| {
        format!(r#"{{"study":"{digest}","name":"t","rounds":{rounds},"latest":null}}"#)
    };
    let error = status(folder, &liar(key, status_of(u32::MAX)), &[]).unwrap_err();
    assert!(error.contains("4294967295 rounds are open; expected at most 10000"), "{error}");
    let error = status(folder, &liar(key, "\u{1b}[2Jall is well".into()), &[]).unwrap_err();
    assert!(error.contains("expected the JSON of a study status"), "{error}");
    assert!(!error.contains('\u{1b}'), "{error}");
    // A study that was not asked for.
    let file = std::fs::read_to_string(folder.join("study.json")).unwrap();
    let other = "a".repeat(64);
    let error = status(folder, &liar(key, file), &["--digest", &other]).unwrap_err();
    assert!(error.contains(&format!("asked for the study {other}, the aggregator sent {digest}")));
    for (given, expected) in [
        (["--rounds", "0"], "0 is not in 1..=10000"),
        (["--columns", "39"], "39 is not in 40.."),
        (["--patience", "5"], "--watch"),
    ] {
        let error = status(folder, aggregator.url(), &given).unwrap_err();
        assert!(error.contains(expected), "{given:?}: {error}");
    }
}
