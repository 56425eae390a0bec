//! Lines that are slow, are cut again and again, or lead to a server that has too much to do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints' exceptions for tests do not reach the helpers of an integration test"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ringfence_clock::Clock;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, StudyId};
use ringfence_site::transport::Transport;

const STUDY: StudyId = StudyId(Digest([7; 32]));

/// The head of a request: its lines.
fn head(reader: &mut impl BufRead) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        lines.push(std::mem::take(&mut line).trim().to_lowercase());
    }
    lines
}

/// The value of a header.
fn header(lines: &[String], name: &str) -> Option<String> {
    lines.iter().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
}

/// A server on loopback; each connection is given to `serve`, one after the other.
fn server(mut serve: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap())));
    address
}

fn transport(address: SocketAddr) -> Transport {
    Transport::new(&format!("http://{address}"), false, Clock::system()).unwrap()
}

const MISSING: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_server_that_says_when_is_not_asked_sooner() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    let address = server(move |mut stream| {
        head(&mut BufReader::new(&mut stream));
        let mut seen = seen.lock().unwrap();
        seen.push(Instant::now());
        let busy =
            "HTTP/1.1 503 Busy\r\nretry-after: 2\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(if seen.len() == 1 { busy } else { MISSING }.as_bytes()).unwrap();
    });
    assert!(transport(address).status(STUDY).await.unwrap_err().is_missing());
    let times = times.lock().unwrap().clone();
    assert_eq!(times.len(), 2);
    let after = times[1] - times[0];
    assert!(after >= Duration::from_secs(2) && after < Duration::from_secs(5), "{after:?}");
}

#[tokio::test]
async fn a_server_that_wants_longer_than_patience_is_told_with_the_time() {
    let address = server(|mut stream| {
        head(&mut BufReader::new(&mut stream));
        let busy = "HTTP/1.1 503 Busy\r\nretry-after: 100\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(busy.as_bytes()).unwrap();
    });
    let error = transport(address).status(STUDY).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(100)));
    assert!(error.is_transient(), "{error}");
}

/// Sends `data` from where the request asks for, `piece` bytes a connection, and cuts it off.
fn cutting(data: Vec<u8>, piece: usize, ranges: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let address = server(move |mut stream| {
        let lines = head(&mut BufReader::new(&mut stream));
        let nth = counted.fetch_add(1, Ordering::SeqCst);
        let from = match header(&lines, "range: bytes=") {
            Some(range) if ranges => range.trim_end_matches('-').parse().unwrap(),
            _ => 0,
        };
        let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
        let rest = &data[from..];
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", rest.len()).unwrap();
        // Without ranges it gets through once.
        let piece = if ranges || nth < 2 { piece } else { rest.len() };
        let _ = stream.write_all(&rest[..piece.min(rest.len())]);
    });
    (address, asked)
}

#[tokio::test]
async fn a_download_goes_on_where_it_was_cut_however_often_that_is() {
    let data: Vec<u8> = (0..10_000u32).map(|i| (i * i / 7) as u8).collect();
    for (ranges, connections) in [(true, 10), (false, 3)] {
        let (address, asked) = cutting(data.clone(), 1000, ranges);
        let transport = transport(address);
        let file = tempfile::NamedTempFile::new().unwrap();
        let at = transport.round(STUDY, RoundNumber(0));
        let digest = at.sum(file.path(), data.len() as u64).await.unwrap();
        assert_eq!(digest, Digest::of(&data));
        assert_eq!(std::fs::read(file.path()).unwrap(), data);
        assert_eq!(asked.load(Ordering::SeqCst), connections);
    }
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_cut_however_often_that_is() {
    const WHOLE: usize = 100_000;
    const PIECE: usize = 8_000;
    let stored = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&stored);
    let address = server(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let lines = head(&mut reader);
        let mut stored = kept.lock().unwrap();
        if lines.first().is_some_and(|line| line.starts_with("put ")) {
            let asked: usize = lines[0].split(['=', ' ']).nth(2).unwrap().parse().unwrap();
            assert_eq!(asked, stored.len(), "{lines:?}");
            let mut piece = vec![0; PIECE.min(WHOLE - stored.len())];
            reader.read_exact(&mut piece).unwrap();
            stored.extend(piece);
            return;
        }
        // A receipt is signed; that all of it is there is as good an end for this test.
        let body = match stored.len() {
            WHOLE => String::new(),
            bytes => format!(
                r#"{{"header":"{}","envelopes":true,"body_bytes":{bytes},"receipt":null}}"#,
                "00".repeat(32)
            ),
        };
        let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .unwrap();
    });
    let data: Vec<u8> = (0..WHOLE).map(|i| (i * i / 7) as u8).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &data).unwrap();
    let transport = transport(address);
    let at = transport.round(STUDY, RoundNumber(0));
    let error = at.put_body(&"a".parse().unwrap(), file.path(), 0).await.unwrap_err();
    assert!(error.is_missing(), "{error}");
    assert_eq!(*stored.lock().unwrap(), data);
}

/// A line over which no more comes: how far it is, and that the rest can be sent later.
#[tokio::test]
async fn an_upload_that_gets_no_further_says_how_far_it_is_and_how_it_goes_on() {
    let address = server(|mut stream| {
        let lines = head(&mut BufReader::new(stream.try_clone().unwrap()));
        if lines.first().is_some_and(|line| line.starts_with("put ")) {
            return;
        }
        let body = format!(
            r#"{{"header":"{}","envelopes":true,"body_bytes":700,"receipt":null}}"#,
            "00".repeat(32)
        );
        let length = body.len();
        let answer = format!("content-length: {length}\r\nconnection: close\r\n\r\n{body}");
        write!(stream, "HTTP/1.1 200 OK\r\n{answer}").unwrap();
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [7; 1000]).unwrap();
    let transport = transport(address);
    let at = transport.round(STUDY, RoundNumber(0));
    let error = at.put_body(&"a".parse().unwrap(), file.path(), 0).await.unwrap_err();
    assert!(error.is_transient() && error.is_away(), "{error:?}");
    let text = error.to_string();
    for said in ["700 of 1000 bytes of the contribution have come", "goes on behind"] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[tokio::test]
async fn a_message_that_is_long_on_its_way_is_waited_for() {
    // 12 s, as 1.5 MB take at 1 Mbit/s; an answer that has begun to be due is waited for 10 s.
    let address = server(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let lines = head(&mut reader);
        let length: usize = header(&lines, "content-length:").unwrap().parse().unwrap();
        std::thread::sleep(Duration::from_secs(12));
        reader.read_exact(&mut vec![0; length]).unwrap();
        stream.write_all(MISSING.as_bytes()).unwrap();
    });
    let transport = transport(address).with_patience(Duration::ZERO);
    let at = transport.round(STUDY, RoundNumber(0));
    let error = at.put_envelopes(&"a".parse().unwrap(), vec![1; 1_500_000]).await.unwrap_err();
    assert!(error.is_missing(), "{error}");
}
