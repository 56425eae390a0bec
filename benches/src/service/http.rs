//! As much of HTTP/1.1 as the relay must see to count requests, and a small client that asks for one
//! thing after the other on one connection.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, bail, ensure};

/// Bytes that are read at once.
pub(super) const PIECE: usize = 64 << 10;

/// A head longer than this is none.
const MAX_HEAD: usize = 64 << 10;

/// Which half of a connection is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// What a client sends.
    Requests,
    /// What a server answers.
    Answers,
}

/// What was seen of one half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A head is complete: its first line.
    Head(String),
    /// The message that it began is.
    End,
}

#[derive(Debug)]
enum State {
    /// In a head, or a part of a chunked body that is read by lines.
    Line(Lines),
    /// So many bytes of a body are to come, and then this.
    Skip(u64, Lines),
    /// Until the connection ends.
    Rest,
}

/// What is read by lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lines {
    Head,
    ChunkSize,
    ChunkEnd,
    Trailer,
}

/// Reads one half of a connection as it comes, and keeps none of its bodies.
#[derive(Debug)]
pub(super) struct Messages {
    half: Half,
    state: State,
    line: Vec<u8>,
    /// Lines of the head so far.
    head: Vec<String>,
}

impl Messages {
    pub(super) fn new(half: Half) -> Self {
        Self { half, state: State::Line(Lines::Head), line: Vec::new(), head: Vec::new() }
    }

    /// Reads on; says what is complete now.
    ///
    /// # Errors
    /// What is no HTTP/1.1.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> anyhow::Result<Vec<Seen>> {
        let mut seen = Vec::new();
        while !bytes.is_empty() {
            match &mut self.state {
                State::Rest => return Ok(seen),
                State::Skip(left, then) => {
                    let skipped = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    bytes = bytes.split_at(skipped).1;
                    *left -= skipped as u64;
                    if *left == 0 {
                        let then = *then;
                        self.state = State::Line(then);
                        if then == Lines::Head {
                            seen.push(Seen::End);
                        }
                    }
                }
                State::Line(what) => {
                    let what = *what;
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                    self.line.extend_from_slice(line);
                    bytes = rest;
                    ensure!(self.line.len() <= MAX_HEAD, "expected HTTP/1.1, got an endless line");
                    if end.is_some() {
                        let line = std::mem::take(&mut self.line);
                        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                        self.line_came(what, line, &mut seen)?;
                    }
                }
            }
        }
        Ok(seen)
    }

    fn line_came(&mut self, what: Lines, line: String, seen: &mut Vec<Seen>) -> anyhow::Result<()> {
        self.state = match what {
            Lines::Head if line.is_empty() => {
                let head = std::mem::take(&mut self.head);
                return self.head_came(&head, seen);
            }
            Lines::Head => {
                self.head.push(line);
                State::Line(Lines::Head)
            }
            Lines::ChunkSize => {
                let digits = line.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(digits, 16)
                    .with_context(|| format!("expected the size of a chunk, got {line:?}"))?;
                match size {
                    0 => State::Line(Lines::Trailer),
                    size => State::Skip(size, Lines::ChunkEnd),
                }
            }
            Lines::ChunkEnd => State::Line(Lines::ChunkSize),
            Lines::Trailer if line.is_empty() => {
                seen.push(Seen::End);
                State::Line(Lines::Head)
            }
            Lines::Trailer => State::Line(Lines::Trailer),
        };
        Ok(())
    }

    fn head_came(&mut self, head: &[String], seen: &mut Vec<Seen>) -> anyhow::Result<()> {
        let Some((first, fields)) = head.split_first() else { return Ok(()) };
        ensure!(first.contains("HTTP/1."), "expected HTTP/1.1, got {first:?}");
        let status = match self.half {
            Half::Requests => None,
            Half::Answers => Some(status(first)?),
        };
        // `100 Continue` comes before the answer, and is none.
        if status.is_some_and(|status| (100..200).contains(&status)) {
            return Ok(());
        }
        seen.push(Seen::Head(first.clone()));
        let field = |name: &str| {
            let fields = fields.iter().filter_map(|field| field.split_once(':'));
            fields.clone().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|f| f.1.trim())
        };
        let chunked = field("transfer-encoding").is_some_and(|value| value.contains("chunked"));
        let length: Option<u64> = field("content-length").map(str::parse).transpose()?;
        self.state = match (chunked, length) {
            (true, _) => State::Line(Lines::ChunkSize),
            _ if matches!(status, Some(204 | 304)) => State::Skip(0, Lines::Head),
            (false, Some(length)) => State::Skip(length, Lines::Head),
            (false, None) if self.half == Half::Answers => State::Rest,
            (false, None) => State::Skip(0, Lines::Head),
        };
        if let State::Skip(0, _) = self.state {
            self.state = State::Line(Lines::Head);
            seen.push(Seen::End);
        }
        Ok(())
    }
}

fn status(line: &str) -> anyhow::Result<u16> {
    let code = line.split_whitespace().nth(1).unwrap_or_default();
    code.parse().with_context(|| format!("expected an answer of HTTP/1.1, got {line:?}"))
}

/// A connection to a server on this machine.
pub(super) struct Connection {
    address: String,
    stream: TcpStream,
}

/// A request's header fields: names and values.
pub(super) type Fields<'a> = &'a [(&'a str, String)];

/// The server had closed the connection before it answered anything, as servers do with those on which
/// nothing is asked for a while.
#[derive(Debug)]
pub(super) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("the server closed the connection before it answered")
    }
}

impl std::error::Error for Closed {}

fn open(address: &str) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("no {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What reading or writing says of a connection that the other side has closed.
fn closed(error: io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Closed.into(),
        _ => error.into(),
    }
}

impl Connection {
    pub(super) fn open(address: &str) -> anyhow::Result<Self> {
        Ok(Self { address: address.to_owned(), stream: open(address)? })
    }

    /// In the place of one that the server has closed.
    pub(super) fn reopen(&mut self) -> anyhow::Result<()> {
        self.stream = open(&self.address)?;
        Ok(())
    }

    /// Sends a request and reads the body of its answer; once more on a connection of its own when the
    /// server had closed this one.
    ///
    /// # Errors
    /// An answer that is no success, too, with what it says.
    pub(super) fn ask(
        &mut self,
        method: &str,
        target: &str,
        fields: Fields<'_>,
        body: &[u8],
    ) -> anyhow::Result<Vec<u8>> {
        let mut asked = self.send(method, target, fields, body).and_then(|()| self.receive());
        if asked.as_ref().is_err_and(anyhow::Error::is::<Closed>) {
            self.reopen()?;
            asked = self.send(method, target, fields, body).and_then(|()| self.receive());
        }
        asked.with_context(|| format!("{method} {target}"))
    }

    /// Sends a request; its answer is [received](Self::receive) later.
    ///
    /// # Errors
    /// [`Closed`]; and when the server does not take it.
    pub(super) fn send(
        &mut self,
        method: &str,
        target: &str,
        fields: Fields<'_>,
        body: &[u8],
    ) -> anyhow::Result<()> {
        let fields: String = fields.iter().map(|(name, of)| format!("{name}: {of}\r\n")).collect();
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: localhost\r\n{fields}content-length: {length}\r\n\r\n"
        );
        // In one piece while it is small, so that it goes in one packet.
        let (first, rest) = body.split_at(length.min(PIECE));
        self.stream.write_all(&[head.as_bytes(), first].concat()).map_err(closed)?;
        self.stream.write_all(rest).map_err(closed)
    }

    /// Reads the body of the answer to what was sent.
    ///
    /// # Errors
    /// [`Closed`]; an answer that is no success, too, with what it says.
    pub(super) fn receive(&mut self) -> anyhow::Result<Vec<u8>> {
        let answer = self.answer()?;
        let end = answer.windows(4).position(|end| end == b"\r\n\r\n").context("no head")? + 4;
        let (head, body) = answer.split_at(end);
        let head = String::from_utf8_lossy(head);
        let status = status(head.lines().next().unwrap_or_default())?;
        if !(200..300).contains(&status) {
            bail!("{status}, {}", String::from_utf8_lossy(body));
        }
        ensure!(!head.to_lowercase().contains("chunked"), "expected an answer with its length");
        Ok(body.to_vec())
    }

    fn answer(&mut self) -> anyhow::Result<Vec<u8>> {
        let (mut messages, mut answer) = (Messages::new(Half::Answers), Vec::new());
        let mut piece = vec![0; 4 * PIECE];
        loop {
            let read = match self.stream.read(&mut piece) {
                Ok(0) if answer.is_empty() => bail!(Closed),
                Err(error) if answer.is_empty() => return Err(closed(error)),
                read => read?,
            };
            ensure!(read > 0, "the server closed the connection before its answer was complete");
            let came = piece.split_at(read).0;
            answer.extend_from_slice(came);
            if messages.feed(came)?.contains(&Seen::End) {
                return Ok(answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is seen, however the bytes are cut.
    fn seen(half: Half, bytes: &[u8], piece: usize) -> Vec<Seen> {
        let mut messages = Messages::new(half);
        bytes.chunks(piece).flat_map(|piece| messages.feed(piece).unwrap()).collect()
    }

    /// A server that closes a connection after its first answer.
    #[test]
    fn what_was_sent_on_a_closed_connection_is_sent_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            for answer in ["one", "two"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 1024];
                assert!(stream.read(&mut head).unwrap() > 0);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{answer}");
                stream.write_all(head.as_bytes()).unwrap();
            }
        });
        let mut connection = Connection::open(&address).unwrap();
        assert_eq!(connection.ask("GET", "/", &[], &[]).unwrap(), b"one");
        assert_eq!(connection.ask("GET", "/", &[], &[]).unwrap(), b"two");
        server.join().unwrap();
        let gone = connection.ask("GET", "/", &[], &[]).unwrap_err();
        assert!(gone.to_string().contains("no 127.0.0.1"), "{gone}");
    }

    #[test]
    fn messages_are_told_apart_however_they_are_cut() {
        let requests = b"PUT /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET x\
            GET /b?wait=3 HTTP/1.1\r\nhost: x\r\n\r\n\
            POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;e\r\n\r\n\r\nX\r\n0\r\nt: 1\r\n\r\n";
        let answers =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\
            HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        for piece in [1, 2, 7, 1000] {
            let head = |line: &str| Seen::Head(line.to_owned());
            let expected = ["PUT /a HTTP/1.1", "GET /b?wait=3 HTTP/1.1", "POST /c HTTP/1.1"];
            let expected: Vec<Seen> =
                expected.iter().flat_map(|line| [head(line), Seen::End]).collect();
            assert_eq!(seen(Half::Requests, requests, piece), expected);
            let expected = ["HTTP/1.1 200 OK", "HTTP/1.1 204 No Content", "HTTP/1.1 200 OK"];
            let expected: Vec<Seen> =
                expected.iter().flat_map(|line| [head(line), Seen::End]).collect();
            assert_eq!(seen(Half::Answers, answers, piece), expected);
        }
        assert!(Messages::new(Half::Requests).feed(b"\x16\x03\x01\x02\n\r\n").is_err());
    }
}
