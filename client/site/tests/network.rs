//! Where requests go, and where they do not, whatever an answer or the environment says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints' exceptions for tests do not reach the helpers of an integration test"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, StudyId, UnixSeconds};
use ringfence_crypto::signature::PublicKey;
use ringfence_site::transport::{Transport, TransportError};

const STUDY: StudyId = StudyId(Digest([7; 32]));

/// Where the child process of a test finds the server to ask.
const SERVER: &str = "RINGFENCE_TEST_SERVER";

/// A server on loopback that answers every request alike, and the first lines of what came.
struct Listener {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    fn start(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let (mut head, mut length) = (String::new(), 0);
                // Whoever only connects has been here, too.
                let _ = reader.read_line(&mut head);
                seen.lock().unwrap().push(head);
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let _ = reader.read_exact(&mut vec![0; length]);
                let _ = reader.get_mut().write_all(answer.as_bytes());
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn redirect(status: &str, target: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
}

fn no_content() -> String {
    "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
}

#[tokio::test]
async fn a_redirect_is_an_error_that_names_its_target_and_is_not_followed() {
    let elsewhere = Listener::start(no_content());
    for status in ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"]
        .into_iter()
        .chain(["308 Permanent Redirect", "300 Multiple Choices"])
    {
        let target = format!("{}/v2/elsewhere", elsewhere.url());
        let aggregator = Listener::start(redirect(status, &target));
        let transport = Transport::new(&aggregator.url(), false, Clock::system()).unwrap();
        let sum = tempfile::NamedTempFile::new().unwrap();
        let at = transport.round(STUDY, RoundNumber(0));
        let errors = [
            transport.status(STUDY).await.unwrap_err(),
            at.manifest().await.unwrap_err(),
            at.sum(sum.path(), 1000).await.unwrap_err(),
            at.put_envelopes(&"a".parse().unwrap(), vec![1; 100]).await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, TransportError::Redirect { .. }), "{error}");
            assert!(!error.is_transient() && error.status().is_none(), "{error}");
            let text = error.to_string();
            assert!(text.contains(&target) && text.contains("not followed"), "{text}");
            assert!(text.contains(&status[..3]), "{text}");
        }
        assert_eq!(aggregator.requests().len(), 4, "each was asked once");
    }
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
}

/// RFC 8032, tests 1 and 2.
const KEYS: [&str; 2] = [
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
];

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn status(key: &str, now: UnixSeconds) -> String {
    ok(&format!(r#"{{"aggregator_key":"{key}","now":{}}}"#, now.0))
}

#[tokio::test]
async fn whoever_is_not_the_study_s_aggregator_is_told_apart_by_the_first_request() {
    let expected: PublicKey = KEYS[0].parse().unwrap();
    let now = Clock::system().now();
    for (answer, came) in [
        (status(KEYS[1], now), format!("it is an aggregator with the key {}", KEYS[1])),
        (no_content(), "its answer is 404 (Not Found)".to_owned()),
        (redirect("302 Found", "/login"), "its answer is 302, a redirect to /login".to_owned()),
        (ok("<html>It works!</html>"), "expected the JSON of a server status".to_owned()),
        (ok(&" ".repeat(2000)), "its answer is longer than 1024 bytes".to_owned()),
        ("SSH-2.0-OpenSSH_9.9\r\n".to_owned(), "it speaks no HTTP".to_owned()),
    ] {
        let stranger = Listener::start(answer);
        let transport = Transport::new(&stranger.url(), false, Clock::system()).unwrap();
        let error = transport.meet(&expected).await.unwrap_err();
        assert!(matches!(error, TransportError::Stranger { .. }), "{came}: {error:?}");
        assert!(!error.is_transient(), "waiting does not help against {came}");
        let text = error.to_string();
        for said in [&came, KEYS[0], &stranger.url()] {
            assert_eq!(text.matches(said).count(), 1, "{said:?} is not there once: {text}");
        }
        assert_eq!(stranger.requests(), ["GET /v2/aggregator HTTP/1.1\r\n"], "{came}");
    }
}

#[tokio::test]
async fn the_study_s_aggregator_is_known_by_its_key_and_clocks_are_compared() {
    let expected: PublicKey = KEYS[0].parse().unwrap();
    let (clock, _) = Clock::mock(UnixSeconds(1_800_000_000));
    for (now, seconds) in [
        (1_800_000_000, None),
        (1_800_000_029, None),
        (1_800_000_030, Some(30)),
        (0, Some(1_800_000_000)),
    ] {
        let aggregator = Listener::start(status(KEYS[0], UnixSeconds(now)));
        let transport = Transport::new(&aggregator.url(), false, clock.clone()).unwrap();
        let apart = transport.meet(&expected).await.unwrap();
        assert_eq!(apart.map(|apart| apart.seconds), seconds, "{now}");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_named_once() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let transport = Transport::new(&url, false, Clock::system()).unwrap();
    let error = transport.with_patience(Duration::ZERO).status(STUDY).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(error.to_string().matches(&url).count(), 1, "{error}");
}

#[tokio::test]
async fn a_silent_server_ends_patience_and_is_named() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    // Connections are taken, and stay as they are.
    let taken = std::thread::spawn(move || silent.incoming().take(1).collect::<Vec<_>>());
    let transport = Transport::new(&url, false, Clock::system()).unwrap();
    let started = std::time::Instant::now();
    let error = transport.with_patience(Duration::from_secs(2)).status(STUDY).await.unwrap_err();
    assert!(matches!(error, TransportError::NoAnswer { seconds: 10, .. }), "{error}");
    assert!(error.is_transient() && error.to_string().contains(&url), "{error}");
    assert!(started.elapsed() < Duration::from_secs(60), "it is not asked five times again");
    assert_eq!(taken.join().unwrap().len(), 1);
}

/// Run by the test below, in a process whose environment names a proxy.
#[tokio::test]
#[ignore = "needs the environment that the test below gives it"]
async fn child() {
    let server = std::env::var(SERVER).unwrap();
    let port = server.rsplit(':').next().unwrap();
    for url in [format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}")] {
        let transport = Transport::new(&url, false, Clock::system()).unwrap();
        let error = transport.status(STUDY).await.unwrap_err();
        assert!(error.is_missing(), "{url}: {error}");
    }
    // Beyond loopback the proxy is asked.
    let transport = Transport::new("http://aggregator.invalid:9", true, Clock::system()).unwrap();
    let error = transport.status(STUDY).await.unwrap_err();
    assert!(error.is_missing(), "{error}");
}

#[test]
fn loopback_is_reached_by_no_proxy_and_another_machine_by_the_environment_s() {
    let (aggregator, proxy) = (Listener::start(no_content()), Listener::start(no_content()));
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["child", "--exact", "--ignored"]).env(SERVER, aggregator.url());
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    {
        child.env(name, proxy.url());
    }
    let output = child.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    let requests = aggregator.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(requests.iter().all(|line| line.starts_with("GET /v2/studies/")), "{requests:?}");
    let asked = proxy.requests();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].starts_with("GET http://aggregator.invalid:9/v2/studies/"), "{asked:?}");
}

/// What an error and all that lies behind it say.
fn in_full(error: &dyn std::error::Error) -> String {
    let behind = error.source().map(in_full).unwrap_or_default();
    format!("{error}{behind}")
}

#[tokio::test]
async fn what_an_aggregator_says_is_fit_for_a_terminal() {
    let hostile = "\u{1b}[2J\u{1b}[31mred\u{202e}";
    let json = hostile.replace('\u{1b}', r"\u001b");
    let problem = format!(
        r#"{{"type":"/problems/other","title":"Other","status":409,"detail":"{json}{}"}}"#,
        "x".repeat(2000)
    );
    let answer = |status: &str, more: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\n{more}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    let answers = [
        answer("409 Conflict", "", &problem),
        // A header takes no escape, but bytes beyond ASCII.
        answer("302 Found", "location: http://\u{202e}red/\r\n", ""),
        answer("200 OK", "", &format!(r#"{{"{json}":1}}"#)),
        answer("200 OK", "", &format!(r#"{{"study":"{json}"}}"#)),
    ];
    for answer in answers {
        let server = Listener::start(answer.clone());
        let transport = Transport::new(&server.url(), false, Clock::system()).unwrap();
        let error = transport.status(STUDY).await.unwrap_err();
        let said = in_full(&error);
        let unfit = |c: char| c.is_control() || c == '\u{202e}';
        assert!(said.contains("red") && !said.contains(unfit), "{answer:?}: {said:?}");
        assert!(said.len() < 1000, "{}", said.len());
    }
}
