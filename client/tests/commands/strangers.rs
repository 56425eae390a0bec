//! A server that is not the study's aggregator: told apart before anything is sent to it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ringfence_clock::Clock;
use ringfence_federation::Aggregator;

use crate::join::{SITES, joining, prepare, write_images};
use crate::support::{command, ringfence};

/// A server that answers every request with what `answer` makes of its first line.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let (mut head, mut line) = (String::new(), String::new());
                let _ = reader.read_line(&mut head);
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    line.clear();
                }
                seen.lock().unwrap().push(head.trim().to_owned());
                let _ = reader.get_mut().write_all(answer(&head).as_bytes());
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// A study that `aggregator` serves.
async fn study(folder: &Path) -> Aggregator {
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    let counts = write_images(folder);
    prepare(folder, &aggregator, &counts, &["--rounds", "1", "--epochs", "1"]);
    aggregator
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_sends_a_stranger_anything() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = study(folder).await;
    let expected = format!("whose key is {}", aggregator.public_key());
    let other = tempfile::tempdir().unwrap();
    let other = Aggregator::start(other.path(), Clock::system()).await.unwrap();
    let model = "model.safetensors";
    let member = ["--identity", "a.identity", "--state", "s", "--patience", "600"];
    let key = aggregator.public_key().to_string();
    let commands: [Vec<&str>; 10] = [
        vec!["join", "--model", model, "--data", "images-a"],
        vec!["open", "--base", model],
        vec!["contribute", "--base", model, "--update", model],
        vec!["hold"],
        vec!["mean", "--base", model, "--out", "mean", "--model-out", "next"],
        vec!["restored"],
        vec!["study", "register", "--admin-token-file", "admin.token"],
        vec!["study", "drafts", "--aggregator-key", &key, "--admin-token-file", "admin.token"],
        vec!["study", "sign", "--identity", "a.identity"],
        vec!["study", "fetch", "--identity", "a.identity"],
    ];
    for words in commands {
        let mut arguments = words.clone();
        if words[0] != "study" {
            arguments.extend(member);
        }
        let stranger = Server::start(|_| answer("404 Not Found", "nothing here"));
        for (url, came) in [
            (stranger.url(), "its answer is 404 (Not Found)".to_owned()),
            (
                other.url().to_owned(),
                format!("it is an aggregator with the key {}", other.public_key()),
            ),
        ] {
            let started = Instant::now();
            let error = ringfence(folder, &[&arguments[..], &["--server", &url]].concat());
            let error = error.unwrap_err();
            for said in [expected.as_str(), &came, &url] {
                assert_eq!(error.matches(said).count(), 1, "{words:?}: {said:?} in {error}");
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{words:?} waits for a stranger");
        }
        let requests = stranger.requests.lock().unwrap().clone();
        assert_eq!(requests, ["GET /v2/aggregator HTTP/1.1"], "{words:?}");
    }
    // It is told before the images are read.
    let join = ["join", "--model", model, "--data", "images-a", "--server", other.url()];
    let output = command(folder, &[&join[..], &member[..]].concat()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && !said.contains("reading the images"), "{said}");
    // The state that they have used is site a's.
    let mut hold = vec!["hold", "--identity", "b.identity", "--state", "s"];
    hold.extend(["--server", aggregator.url()]);
    let error = ringfence(folder, &hold).unwrap_err();
    for said in ["s is the state of site a (", "and this is site b ("] {
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_are_compared_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let key = study(folder).await.public_key().to_string();
    // An aggregator that is an hour ahead, and that knows no study.
    let ahead = Server::start(move |head| {
        let now = Clock::system().now().after(3600).0;
        match head.starts_with("GET /v2/aggregator ") {
            true => answer("200 OK", &format!(r#"{{"aggregator_key":"{key}","now":{now}}}"#)),
            false => answer("404 Not Found", ""),
        }
    });
    let output = joining(folder, &ahead.url(), SITES[0]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let warning = said.lines().find(|line| line.contains("warning: this machine's clock is 3"));
    let warning = warning.unwrap_or_else(|| panic!("no warning in {said}"));
    assert!(warning.contains(" s behind the aggregator's: it shows "), "{warning}");
    // Commands of a single step say it, too, beside their output.
    let mut open = command(folder, &["open", "--base", "model.safetensors", "--state", "s"]);
    let open = open.args(["--identity", "a.identity", "--server", &ahead.url()]).output().unwrap();
    let said = String::from_utf8(open.stderr).unwrap();
    assert_eq!(said.matches("warning: this machine's clock is 3").count(), 1, "{said}");
}
