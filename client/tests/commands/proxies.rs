//! A proxy before the aggregator that fails now and then: it is asked again, and the study ends. The
//! same study shows what is said of other numbers of images, and that its model is spent then.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use ringfence_clock::Clock;
use ringfence_federation::Aggregator;
use serde_json::Value;

use crate::join::{SITES, joining, prepare, write_images};
use crate::support::{command, ringfence};

const FAILURES: [&str; 5] = [
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Timeout",
    "429 Too Many Requests",
];

/// A proxy that answers the first request of every kind by a failure, without asking the aggregator.
struct Proxy {
    url: String,
    failed: Arc<Mutex<BTreeSet<String>>>,
}

impl Proxy {
    fn start(aggregator: &str) -> Self {
        let aggregator = aggregator.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let failed = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&failed);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (aggregator, seen) = (aggregator.clone(), Arc::clone(&seen));
                // A client that has gone away is none of the proxy's business.
                std::thread::spawn(move || drop(pass_on(stream.unwrap(), &aggregator, &seen)));
            }
        });
        Self { url, failed }
    }
}

/// One request and its answer; the connection ends with it.
fn pass_on(
    client: TcpStream,
    aggregator: &str,
    failed: &Mutex<BTreeSet<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if !lower.starts_with("connection:") {
            head.push(line);
        }
    }
    let Some(first) = head.first() else { return Ok(()) };
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let kind = first.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
    let failure = {
        let mut failed = failed.lock().unwrap();
        let place = failed.len();
        failed.insert(kind).then(|| FAILURES[place % FAILURES.len()])
    };
    let mut client = client;
    if let Some(failure) = failure {
        let page = "<html>not now</html>";
        let length = page.len();
        return write!(
            client,
            "HTTP/1.1 {failure}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{page}"
        );
    }
    let mut server = TcpStream::connect(aggregator)?;
    write!(server, "{}connection: close\r\n\r\n", head.concat())?;
    server.write_all(&body)?;
    std::io::copy(&mut server, &mut client).map(drop)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A second study, of the same sites from the same model.
fn second_study(folder: &Path, key: &str) {
    let run = |arguments: &[&str]| ringfence(folder, arguments).unwrap();
    let mut new = vec!["study", "new", "--name", "again", "--aggregator-key", key];
    new.extend(["--model", "model.safetensors", "--clip", "0.5", "--out", "again.json"]);
    let public = SITES.map(|site| format!("{site}.public.json"));
    public.iter().for_each(|site| new.extend(["--site", site]));
    run(&new);
    for site in SITES {
        let identity = format!("{site}.identity");
        run(&["study", "sign", "--study", "again.json", "--identity", &identity]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_a_proxy_are_repeated_and_other_numbers_of_images_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    let counts = write_images(folder);
    let public = [counts[0] + 1, counts[1] + 2, counts[2]];
    prepare(folder, &aggregator, &public, &["--rounds", "1", "--epochs", "1"]);
    let proxy = Proxy::start(aggregator.url());
    let processes = SITES.map(|site| {
        let mut join = joining(folder, &proxy.url, site);
        if site == "a" {
            join.arg("--json");
        }
        join.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let [a, b, c]: [Output; 3] = processes.map(|process| process.wait_with_output().unwrap());
    for output in [&a, &b, &c] {
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
    let failed = proxy.failed.lock().unwrap().clone();
    for part in ["PUT", "/contributions/a", "/body", "/reviews/a", "/openings/a", "/sum", "/acks/a"]
    {
        assert!(failed.iter().any(|kind| kind.contains(part)), "{part}: {failed:?}");
    }

    let events: Vec<Value> =
        text(&a.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |event: &str| events.iter().position(|line| line["event"] == event).unwrap();
    let count = &events[told("sample_count")];
    assert_eq!((count["study"].as_u64(), count["trained"].as_u64()), (Some(4), Some(3)));
    assert!(told("sample_count") < told("round_begun"));
    let warning = "warning: the study weights this site by its public number of 7 training images";
    assert!(text(&b.stdout).contains(&format!("{warning} (`study new --sample-counts`)")));
    assert!(text(&b.stdout).contains("and it trains on 5:"), "{}", text(&b.stdout));
    assert!(!text(&c.stdout).contains("warning"), "{}", text(&c.stdout));

    // Its updates are opened: the model is spent, and nobody trains to be told that.
    second_study(folder, &aggregator.public_key().to_string());
    let mut again = vec!["join", "--study", "again.json", "--model", "model.safetensors"];
    again.extend(["--identity", "a.identity", "--state", "state-a", "--data", "images-a"]);
    again.extend(["--out", "again", "--server", aggregator.url()]);
    let again = command(folder, &again).output().unwrap();
    let (said, error) = (text(&again.stdout), text(&again.stderr));
    assert!(!again.status.success());
    assert!(error.contains("an update from this base model was contributed in "), "{error}");
    assert!(!error.contains("changed a little") && !said.contains("trains on"), "{said}{error}");
}
