//! Traces as a collector gets them: a small one that takes OTLP over HTTP.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::child::{Aggregator, TOKEN};
use crate::play::Play;
use crate::roster::{Roster, Shape, now};

/// Reads one message, answers with this status, and gives the message's text.
fn take(stream: TcpStream, status: &str) -> String {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    let mut head = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
        line.clear();
    }
    assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}");
    reader.get_mut().write_all(answer.as_bytes()).unwrap();
    String::from_utf8(body).unwrap()
}

/// A collector that answers so; its address, and what it was sent.
fn collector(status: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if sender.send(take(stream.unwrap(), status)).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().unwrap();
    &attributes.iter().find(|found| found["key"] == key).unwrap()["value"]
}

#[tokio::test]
async fn a_collector_is_told_routes_and_times_and_nothing_else() {
    let (address, messages) = collector("200 OK");
    let mut aggregator = Aggregator::start_with(&["--traces-to", address.leak()]);
    let began = now().0;
    let play =
        Play::start(aggregator.client(), Roster::new(aggregator.key, Shape::default()), 600).await;
    play.contribute(&play.ids()[0].clone()).await;
    let client = aggregator.client();
    client.get("/secret-of-a-stranger?also=secret").await.refused(404, &["no route"]);
    // What was not sent yet is sent at the end.
    let process = aggregator.process().to_string();
    assert!(std::process::Command::new("kill").arg(process).status().unwrap().success());
    assert!(aggregator.wait().success());
    let texts: Vec<String> = messages.try_iter().collect();
    let mut spans = Vec::new();
    for text in &texts {
        let message: Value = serde_json::from_str(text).unwrap();
        let resource = &message["resourceSpans"][0];
        let service = attribute(&resource["resource"], "service.name");
        assert_eq!(service["stringValue"], "ringfence-aggregator");
        spans.extend(resource["scopeSpans"][0]["spans"].as_array().unwrap().clone());
    }
    // Study, manifest, header, envelopes, body, and what is no route.
    let expected = [
        ("POST /v2/studies", "201"),
        ("POST /v2/studies/{study}/rounds", "201"),
        ("PUT /v2/studies/{study}/rounds/{round}/contributions/{site}/header", "200"),
        ("PUT /v2/studies/{study}/rounds/{round}/contributions/{site}/envelopes", "200"),
        ("PUT /v2/studies/{study}/rounds/{round}/contributions/{site}/body", "200"),
        ("other other", "404"),
    ];
    assert_eq!(spans.len(), expected.len(), "{texts:?}");
    let mut ids = BTreeSet::new();
    for (span, (name, status)) in spans.iter().zip(expected) {
        assert_eq!(span["name"], name);
        assert_eq!(span["kind"], 2);
        let route = attribute(span, "http.route")["stringValue"].as_str().unwrap();
        let method = attribute(span, "http.request.method")["stringValue"].as_str().unwrap();
        assert_eq!(format!("{method} {route}"), name);
        assert!(
            name.starts_with("PUT")
                || status == attribute(span, "http.response.status_code")["intValue"]
        );
        assert_eq!(span["attributes"].as_array().unwrap().len(), 3);
        let time = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        let (start, end) = (time("startTimeUnixNano"), time("endTimeUnixNano"));
        assert!(
            start < end && start / 1_000_000_000 >= began - 1 && end / 1_000_000_000 < began + 60
        );
        for (id, digits) in [("traceId", 32), ("spanId", 16)] {
            let id = span[id].as_str().unwrap();
            assert!(
                id.len() == digits && id.bytes().all(|digit| digit.is_ascii_hexdigit()),
                "{id}"
            );
            assert!(ids.insert(id.to_owned()), "{id} comes twice");
        }
    }
    let all = texts.concat();
    let study = play.roster.id().to_string();
    for secret in [&study, &study[..8], "site-0", "secret", TOKEN, "127.0.0.1"] {
        assert!(!all.contains(secret), "{secret} is in\n{all}");
    }
}

/// Away, refusing or silent: the service goes on as fast, ends in time, and says what was lost.
#[tokio::test]
async fn a_collector_that_takes_nothing_slows_nothing() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (refusing, messages) = collector("500 Internal Server Error");
    for address in [away, silent.local_addr().unwrap().to_string(), refusing] {
        let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let options = ["--traces-to", address.leak(), "--metrics-listen", metrics.clone().leak()];
        let mut aggregator = Aggregator::start_with(&options);
        let client = aggregator.client();
        let began = std::time::Instant::now();
        for _ in 0..20 {
            client.get("/healthz").await.ok();
        }
        assert!(began.elapsed() < Duration::from_secs(10));
        if silent.local_addr().unwrap().to_string() != options[1] {
            let lost = async || {
                let answer = crate::child::Client::new(&metrics).get("/metrics").await.ok();
                String::from_utf8(answer.bytes).unwrap().contains("ringfence_spans_lost_total 20\n")
            };
            for _ in 0..200 {
                if lost().await {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert!(lost().await, "{}", options[1]);
        }
        let ended = std::time::Instant::now();
        let process = aggregator.process().to_string();
        assert!(std::process::Command::new("kill").arg(process).status().unwrap().success());
        assert!(aggregator.wait().success());
        assert!(ended.elapsed() < Duration::from_secs(8));
    }
    assert!(messages.try_iter().count() > 0);
}
