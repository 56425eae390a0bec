//! What an operator sees: the configuration file, metrics, logs, headers.

use std::io::Read;
use std::net::TcpListener;
use std::process::Stdio;

use crate::child::{Aggregator, Client, TOKEN, refusal};
use crate::play::Play;
use crate::roster::{LARGE, Roster, Shape};

/// An address that nobody listens at now.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn metrics_count_by_closed_labels_on_an_address_of_their_own() {
    let address = free_address();
    let aggregator = Aggregator::start_with(&["--metrics-listen", address.clone().leak()]);
    let play =
        Play::start(aggregator.client(), Roster::new(aggregator.key, Shape::default()), 600).await;
    play.contribute(&play.ids()[0].clone()).await;
    let client = aggregator.client();
    client.get("/secret-of-a-stranger").await.refused(404, &["no route"]);
    client.get("/metrics").await.refused(404, &["no route"]);
    let answer = Client::new(&address).get("/metrics").await.ok();
    assert!(answer.kind.starts_with("application/openmetrics"), "{}", answer.kind);
    let text = String::from_utf8(answer.bytes).unwrap();
    for line in [
        r#"ringfence_requests_total{method="POST",route="/v2/studies",status="201"} 1"#,
        r#"ringfence_requests_total{method="other",route="other",status="404"} 2"#,
        r#"ringfence_events_total{event="received"} 1"#,
        r#"ringfence_rounds{state="collecting"} 1"#,
        r#"ringfence_rounds{state="closed"} 0"#,
        "ringfence_studies 1",
        "ringfence_uploads 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let bytes = play.contribution(&play.ids()[0].clone()).body.len();
    assert!(text.contains(&format!("ringfence_body_received_bytes_total {bytes}\n")), "{text}");
    for secret in [&play.roster.id().to_string(), "site-0", "stranger"] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
}

#[tokio::test]
async fn every_answer_says_what_a_browser_may_do_with_it() {
    let aggregator = Aggregator::start();
    let client = aggregator.client();
    for path in ["/healthz", "/readyz", "/v2/aggregator", "/no-route", "/v2/studies"] {
        let answer = client.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.headers[name], value, "{path}: {name}");
        }
    }
    Client::send(client.request(reqwest::Method::HEAD, "/readyz")).await.unwrap().ok();
}

#[test]
fn a_configuration_file_says_what_flags_say() {
    let aggregator = Aggregator::start();
    let folder = tempfile::tempdir().unwrap();
    for file in ["key", "token"] {
        std::fs::copy(aggregator.folder.path().join(file), folder.path().join(file)).unwrap();
    }
    let file = folder.path().join("aggregator.toml");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let settings = format!(
        "data = '{}'\nkey = '{}'\nadmin-token-file = '{}'\nlisten = '127.0.0.1:0'\nlog-format = 'json'\n",
        place("data"),
        place("key"),
        place("token")
    );
    std::fs::write(&file, &settings).unwrap();
    let serve = || {
        let mut command = crate::child::binary();
        command.arg("serve").arg("--config").arg(&file).env("RUST_LOG", "info");
        command
    };
    let mut child = serve().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 27];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"listening on http://127.0.0");
    std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let log = String::from_utf8(ended.stderr).unwrap();
    for line in log.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect("an object a line");
        assert!(object["timestamp"].is_string() && object["level"].is_string(), "{line}");
    }
    assert!(log.contains("shutting down"), "{log}");

    std::fs::write(&file, format!("{settings}idle_seconds = 3\n")).unwrap();
    let refused = refusal(&mut serve());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("no setting idle_seconds") && said.contains("idle-seconds"), "{said}");
    // Who asks what there is needs no file for it.
    let help = serve().arg("--help").output().unwrap();
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("--tokens"));
    // What is given counts before the file, also where the file is wrong about it.
    std::fs::write(&file, settings.replace("127.0.0.1:0", "0.0.0.0:1")).unwrap();
    let refused = refusal(&mut serve());
    assert!(String::from_utf8(refused.stderr).unwrap().contains("0.0.0.0:1 is reachable"));
}

#[tokio::test]
async fn who_finds_no_place_is_told_so_and_comes_in_later() {
    let aggregator = Aggregator::start_with(&["--max-connections-per-address", "2"]);
    let client = aggregator.client();
    let idle = || std::net::TcpStream::connect(&aggregator.address).unwrap();
    let inside = [idle(), idle()];
    // They are accepted in their order.
    let mut answer = String::new();
    idle().read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 5"), "{answer}");
    client.get("/healthz").await.refused(503, &["too many connections", "later"]);
    drop(inside);
    for _ in 0..100 {
        if client.get("/healthz").await.status.is_success() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("there is no place for anybody any more");
}

/// Whoever asks for much and reads nothing of it is given up, and what he asked for is forgotten.
#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_given_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let aggregator = Aggregator::start_with(&["--idle-seconds", "1"]);
    let shape = Shape { values: LARGE, ..Shape::default() };
    let play = Play::start(aggregator.client(), Roster::new(aggregator.key, shape), 600).await;
    let site = play.ids()[0].clone();
    play.contribute(&site).await;
    // More than the system holds for a connection: eight bodies of 3 MiB.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(aggregator.address.parse().unwrap()).await.unwrap();
    let path = play.of(&site, "/body");
    let ask = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(ask.repeat(8).as_bytes()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let mut taken = Vec::new();
    // It ends by a reset, or in the middle.
    let _ = stream.read_to_end(&mut taken).await;
    let all = 8 * play.contribution(&site).body.len();
    assert!(taken.len() < all, "{} of {all} bytes", taken.len());
}

/// Metrics are the same process: who holds connections to them open must not stop the service.
#[tokio::test]
async fn silent_readers_of_metrics_stop_nothing() {
    let address = free_address();
    let aggregator = Aggregator::start_with(&["--metrics-listen", address.clone().leak()]);
    let silent: Vec<_> =
        (0..40).filter_map(|_| std::net::TcpStream::connect(&address).ok()).collect();
    assert_eq!(silent.len(), 40);
    aggregator.client().get("/healthz").await.ok();
    Client::new(&address).get("/metrics").await.refused(503, &["too many connections"]);
    drop(silent);
}

#[tokio::test]
async fn headers_that_never_end_are_not_held() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let aggregator = Aggregator::start();
    let mut stream = tokio::net::TcpStream::connect(&aggregator.address).await.unwrap();
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await;
    let header = format!("x-long: {}\r\n", "x".repeat(8000));
    for _ in 0..10 {
        let _ = stream.write_all(header.as_bytes()).await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[test]
fn a_hangup_ends_nothing_and_half_of_tls_is_refused_wherever_it_is_said() {
    let mut aggregator = Aggregator::start();
    let process = aggregator.process().to_string();
    assert!(
        std::process::Command::new("kill").args(["-HUP", &process]).status().unwrap().success()
    );
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(std::net::TcpStream::connect(&aggregator.address).is_ok(), "it listens on");
    aggregator.kill();
    let file = aggregator.folder.path().join("half.toml");
    for (given, missing) in [("tls-certificate", "tls-key"), ("tls-key", "tls-certificate")] {
        std::fs::write(&file, format!("{given} = 'no such file'\n")).unwrap();
        let mut serve = crate::child::serve_command(aggregator.folder.path(), "127.0.0.1:0");
        let refused = refusal(serve.arg("--config").arg(&file));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains(&format!("--{given} is given and --{missing} is not")), "{said}");
    }
}
