//! How often a site asks in a round: its line passes here, and what goes over it is counted.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use ringfence_clock::Clock;
use ringfence_federation::Aggregator;

use crate::round::{SITES, prepare, texts, words};
use crate::support::ringfence;

/// Requests one after the other that a site makes in a round, at most.
const MOST: usize = 12;

/// Rounds that are played until one is as it should be: a site that a busy machine holds up asks again
/// what it asked seconds ago.
const ROUNDS: u32 = 6;

/// How far a site's traffic may be off the plan's where the least of it is a body.
const MOST_OFF: f64 = 0.05;

/// One request that passed.
#[derive(Clone, Debug)]
struct Passed {
    /// Its method and path.
    line: String,
    /// It waits for news.
    is_long_poll: bool,
    /// None of the others was under way when it began.
    in_sequence: bool,
    sent: usize,
    got: usize,
}

/// A site's line to the aggregator.
#[derive(Clone, Debug, Default)]
struct Line {
    passed: Arc<Mutex<(Vec<Passed>, usize)>>,
}

impl Line {
    /// Begins to pass requests on to the aggregator at `url`; where they are to be sent.
    fn start(&self, url: &str) -> String {
        let server: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let line = self.clone();
        thread::spawn(move || {
            for site in listener.incoming() {
                let line = line.clone();
                // Whoever hangs up ends its own thread only.
                thread::spawn(move || _ = line.pass(site.unwrap(), server));
            }
        });
        own
    }

    fn pass(&self, mut site: TcpStream, server: SocketAddr) -> io::Result<()> {
        let (head, body) = message(&mut BufReader::new(site.try_clone()?))?;
        let (first, rest) = head.split_once("\r\n").unwrap();
        let line = first.trim_end_matches(" HTTP/1.1").to_owned();
        let is_long_poll = line.contains("wait=");
        let place = {
            let mut passed = self.passed.lock().unwrap();
            let in_sequence = !is_long_poll && passed.1 == 0;
            passed.1 += usize::from(!is_long_poll);
            let sent = head.len() + body.len();
            passed.0.push(Passed { line, is_long_poll, in_sequence, sent, got: 0 });
            passed.0.len() - 1
        };
        let answered = || {
            let mut server = TcpStream::connect(server)?;
            write!(server, "{first}\r\nconnection: close\r\n{rest}")?;
            server.write_all(&body)?;
            message(&mut BufReader::new(server))
        };
        let answer = answered();
        let mut passed = self.passed.lock().unwrap();
        passed.1 -= usize::from(!is_long_poll);
        let (head, body) = answer?;
        passed.0[place].got = head.len() + body.len();
        drop(passed);
        let (first, rest) = head.split_once("\r\n").unwrap();
        write!(site, "{first}\r\nconnection: close\r\n{rest}")?;
        site.write_all(&body)
    }

    fn take(&self) -> Vec<Passed> {
        std::mem::take(&mut self.passed.lock().unwrap().0)
    }
}

/// A head with its last empty line, without its `connection`, and the body.
fn message(reader: &mut impl BufRead) -> io::Result<(String, Vec<u8>)> {
    let (mut head, mut line, mut length) = (String::new(), String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
        line.clear();
    }
    head.push_str("\r\n");
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((head, body))
}

/// A round of all sites at once, each over its own line; what passed on each.
fn round(folder: &Path, lines: &[(Line, String)], base: &str, number: u32) -> Vec<Vec<Passed>> {
    thread::scope(|scope| {
        let parts = SITES.iter().zip(lines).map(|(site, (_, url))| {
            let base = if base == "model" { base.to_owned() } else { format!("{site}-{base}") };
            let words = words(url, site, &base, number, &["--round", &number.to_string()]);
            scope.spawn(move || ringfence(folder, &texts(&words)).unwrap())
        });
        let parts: Vec<_> = parts.collect();
        parts.into_iter().for_each(|part| _ = part.join().unwrap());
    });
    lines.iter().map(|(line, _)| line.take()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_asks_twelve_times_one_after_the_other_in_a_round() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    prepare(folder, &aggregator);
    let lines = SITES.map(|_| {
        let line = Line::default();
        let url = line.start(aggregator.url());
        (line, url)
    });
    let planned = planned(folder);
    // In the first of sixteen rounds round keys are made and fetched, too.
    round(folder, &lines, "model", 0);
    let mut said = Vec::new();
    for number in 1..=ROUNDS {
        let passed = round(folder, &lines, &(number - 1).to_string(), number);
        match as_planned(&passed, planned) {
            Ok(()) => return,
            Err(off) => said.push(format!("round {number}: {off}")),
        }
    }
    panic!("{}", said.join("\n"));
}

/// Whether a round took no more requests than a site may make one after the other, and the traffic that
/// is planned: in the mean of the sites, as places among the key holders cost differently.
fn as_planned(passed: &[Vec<Passed>], planned: [f64; 2]) -> Result<(), String> {
    for (site, passed) in SITES.iter().zip(passed) {
        let in_sequence = passed.iter().filter(|of| of.in_sequence).count();
        if in_sequence > MOST {
            let listed: Vec<String> = passed.iter().map(ToString::to_string).collect();
            return Err(format!("{site}: {in_sequence} of\n{}", listed.join("\n")));
        }
    }
    let mean = |of: fn(&Passed) -> usize| {
        passed.iter().flatten().map(of).sum::<usize>() as f64 / SITES.len() as f64
    };
    let got = [mean(|of| of.sent), mean(|of| of.got)];
    let is_off = |(bytes, planned): (&f64, &f64)| (bytes / planned - 1.0).abs() > MOST_OFF;
    match got.iter().zip(&planned).any(is_off) {
        true => Err(format!("{got:?} bytes, {planned:?} planned")),
        false => Ok(()),
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, in_sequence, is_long_poll, sent, got } = self;
        let mark = match (in_sequence, is_long_poll) {
            (true, _) => "*",
            (_, true) => "~",
            _ => " ",
        };
        let line = line.split("/studies/").last().unwrap_or_default();
        write!(f, "{mark} {sent:>6} {got:>6} {}", line.get(65..).unwrap_or(line))
    }
}

/// What `ringfence study cost` says of a site's traffic in a round: bytes up and down.
fn planned(folder: &Path) -> [f64; 2] {
    let said =
        ringfence(folder, &["study", "cost", "--parameters", "10", "--sites", "3", "--json"]);
    let cost: serde_json::Value = serde_json::from_str(&said.unwrap()).unwrap();
    ["upload_bytes", "download_bytes"].map(|name| cost[name].as_f64().unwrap())
}
