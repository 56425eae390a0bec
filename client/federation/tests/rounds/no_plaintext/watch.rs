//! Every byte between the sites and the aggregator, and every trace, kept in files.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;

use tempfile::TempDir;

pub(super) struct Watch {
    folder: TempDir,
    /// Where traces are taken.
    pub(super) collector: String,
}

impl Watch {
    pub(super) fn start(folder: TempDir) -> Self {
        std::fs::create_dir(folder.path().join("watch")).unwrap();
        let traces = File::create(folder.path().join("watch/traces")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, traces) = (stream.unwrap(), traces.try_clone().unwrap());
                // Whoever hangs up ends its own thread only.
                std::thread::spawn(move || _ = collect(stream, traces));
            }
        });
        Self { folder, collector }
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.folder.path().join("watch")
    }

    /// Starts a relay to the aggregator at `url`, which keeps what passes; its own URL.
    pub(super) fn relay(&self, url: &str) -> String {
        let address = url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let folder = self.folder();
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&address).unwrap());
                let way = |from: &TcpStream, to: &TcpStream, name: &str| {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let kept = File::create(folder.join(format!("{number}-{name}"))).unwrap();
                    std::thread::spawn(move || _ = pass(from, to, kept));
                };
                way(&client, &server, "sent");
                way(&server, &client, "answered");
            }
        });
        own
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut kept: File) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return to.shutdown(Shutdown::Write);
        }
        kept.write_all(&buffer[..read])?;
        to.write_all(&buffer[..read])?;
    }
}

/// Takes OTLP messages of one connection, one after the other.
fn collect(stream: TcpStream, mut traces: File) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line)? > 2 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        if length == 0 {
            return Ok(());
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        traces.write_all(&body)?;
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")?;
    }
}
