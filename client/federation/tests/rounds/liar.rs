//! An aggregator that lies: a relay before the real one that alters what it answers.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use ringfence_crypto::api::StatusFrame;
use ringfence_crypto::wire::{frame, json};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What came: the method, and the path with its query.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
}

impl Asked<'_> {
    /// Whether it asks how round 0 stands.
    pub(crate) fn is_round_status(&self) -> bool {
        let path = self.path.split('?').next().unwrap();
        self.method == "GET" && path.ends_with("/rounds/0")
    }

    /// Whether it asks how the study stands.
    pub(crate) fn is_study_status(&self) -> bool {
        let path = self.path.split('?').next().unwrap();
        self.method == "GET" && path.ends_with("/status")
    }

    /// Whether it announces the contribution of a site.
    pub(crate) fn is_header_of(&self, site: &str) -> bool {
        self.method == "PUT" && self.path.ends_with(&format!("/contributions/{site}"))
    }

    /// Whether it asks for what comes along with a status.
    pub(crate) fn asks_with(&self) -> bool {
        self.method == "GET" && self.path.contains("with=")
    }

    /// Whether it opens a round.
    pub(crate) fn is_opening(&self) -> bool {
        self.method == "POST" && self.path.ends_with("/rounds")
    }
}

/// What is answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// Alters the value that the answer is the JSON of.
    pub(crate) fn alter<T: Serialize + DeserializeOwned>(&mut self, alter: impl FnOnce(&mut T)) {
        let mut value: T = json::parse(&self.bytes, usize::MAX, "answer").unwrap();
        alter(&mut value);
        self.bytes = json::compact(&value);
    }

    /// Alters what comes along with a status: each answer, by its path.
    pub(crate) fn alter_brought(&mut self, alter: impl Fn(&str, &mut Vec<u8>)) {
        let mut came: StatusFrame = frame::decode(&self.bytes, "a status").unwrap();
        came.parts.iter_mut().for_each(|part| alter(&part.path, &mut part.bytes));
        self.bytes = frame::encode(&came).unwrap();
    }
}

type Lie = dyn Fn(&Asked<'_>, &mut Answer) + Send + Sync;

type Made = dyn Fn(&Asked<'_>) -> Option<Answer> + Send + Sync;

/// Starts a relay to the aggregator at `url`; its own URL. As one of the version before, it brings
/// nothing along with a status: each answer is asked for by itself, and may be altered.
pub(crate) fn start(
    url: &str,
    lie: impl Fn(&Asked<'_>, &mut Answer) + Send + Sync + 'static,
) -> String {
    start_answering(url, |_| None, lie)
}

/// The same, with some answers made here at once: nobody is asked for them.
pub(crate) fn start_answering(
    url: &str,
    made: impl Fn(&Asked<'_>) -> Option<Answer> + Send + Sync + 'static,
    lie: impl Fn(&Asked<'_>, &mut Answer) + Send + Sync + 'static,
) -> String {
    let unknown = |asked: &Asked<'_>| {
        let refused = Answer { status: 400, bytes: b"unknown field `with`".to_vec() };
        asked.asks_with().then_some(refused)
    };
    start_relay(url, move |asked| unknown(asked).or_else(|| made(asked)), lie)
}

/// The same, and what comes along with a status passes.
pub(crate) fn start_bringing(
    url: &str,
    lie: impl Fn(&Asked<'_>, &mut Answer) + Send + Sync + 'static,
) -> String {
    start_relay(url, |_| None, lie)
}

fn start_relay(
    url: &str,
    made: impl Fn(&Asked<'_>) -> Option<Answer> + Send + Sync + 'static,
    lie: impl Fn(&Asked<'_>, &mut Answer) + Send + Sync + 'static,
) -> String {
    let made: Arc<Made> = Arc::new(made);
    let address: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
    let lie: Arc<Lie> = Arc::new(lie);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (made, lie) = (Arc::clone(&made), Arc::clone(&lie));
            // Whoever hangs up ends its own thread only.
            std::thread::spawn(move || _ = relay(stream.unwrap(), address, (&*made, &*lie)));
        }
    });
    url
}

fn relay(
    client: TcpStream,
    address: SocketAddr,
    (made, lie): (&Made, &Lie),
) -> std::io::Result<()> {
    let (head, body) = message(&mut BufReader::new(client.try_clone()?))?;
    let (first, rest) = head.split_once("\r\n").unwrap();
    let mut words = first.split(' ');
    let asked = Asked { method: words.next().unwrap(), path: words.next().unwrap() };
    let answer = match made(&asked) {
        Some(answer) => answer,
        None => {
            let mut server = TcpStream::connect(address)?;
            write!(server, "{first}\r\nconnection: close\r\n{rest}")?;
            server.write_all(&body)?;
            let (answer, bytes) = message(&mut BufReader::new(server))?;
            let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
            let mut answer = Answer { status, bytes };
            lie(&asked, &mut answer);
            answer
        }
    };
    let Answer { status, bytes } = answer;
    let length = bytes.len();
    let mut client = client;
    write!(client, "HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")?;
    client.write_all(&bytes)
}

/// A head with its last empty line, without its `connection` and `expect`, and the body.
fn message(reader: &mut impl BufRead) -> std::io::Result<(String, Vec<u8>)> {
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
