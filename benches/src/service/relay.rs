//! A line between one site and a server: it counts what passes, and may be as narrow as a real one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::http::{Half, Messages, Seen};

/// Bytes that pass at once.
const PIECE: usize = 16 << 10;

/// As much as a line lets pass at once after it was idle, in time: no more than a timer is exact.
const BURST: Duration = Duration::from_millis(2);

/// What has passed. Bytes are those over TCP: bodies and heads, without the headers of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// From the site.
    pub(super) up: u64,
    /// To the site.
    pub(super) down: u64,
    /// Requests without long polls.
    pub(super) requests: u64,
    /// Those of them that began when none was under way: one after the other.
    pub(super) in_sequence: u64,
    /// Requests that may wait for news.
    pub(super) long_polls: u64,
    under_way: u64,
}

/// One line, from its own address on loopback to a server's.
#[derive(Debug)]
pub(super) struct Relay {
    /// Where it listens.
    pub(super) address: SocketAddr,
    passed: Arc<Mutex<Passed>>,
    accepting: JoinHandle<()>,
}

/// What one direction lets through.
#[derive(Debug)]
struct Pace {
    bytes_per_second: f64,
    /// When all that was let through so far will have passed.
    free: Mutex<Instant>,
}

impl Pace {
    fn new(bits_per_second: f64) -> Self {
        Self { bytes_per_second: bits_per_second / 8.0, free: Mutex::new(Instant::now()) }
    }

    /// Waits until so many bytes more have passed.
    async fn pass(&self, bytes: usize) {
        let time = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        let until = {
            let mut free = lock(&self.free);
            let idle_since = Instant::now().checked_sub(BURST).unwrap_or(*free);
            *free = (*free).max(idle_since) + time;
            *free
        };
        tokio::time::sleep_until(until.into()).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relay {
    /// A line to `server`, of so many bits a second in each direction, or as wide as the machine.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) fn start(
        runtime: &Handle,
        server: SocketAddr,
        bits_per_second: Option<f64>,
    ) -> std::io::Result<Self> {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let passed = Arc::new(Mutex::new(Passed::default()));
        let paces = [(); 2].map(|()| bits_per_second.map(Pace::new).map(Arc::new));
        let counted = passed.clone();
        let accepting = runtime.spawn(async move {
            while let Ok((site, _)) = listener.accept().await {
                // A server that is gone shows at the site as a connection that ends.
                if let Ok(server) = TcpStream::connect(server).await {
                    connect(site, server, counted.clone(), paces.clone());
                }
            }
        });
        Ok(Self { address, passed, accepting })
    }

    /// What has passed since it was asked last.
    pub(super) fn take(&self) -> Passed {
        let mut passed = lock(&self.passed);
        let under_way = passed.under_way;
        std::mem::replace(&mut *passed, Passed { under_way, ..Passed::default() })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The requests of one connection that are under way, each with whether it is a long poll. Those that
/// a lost connection leaves are under way no more.
struct UnderWay {
    passed: Arc<Mutex<Passed>>,
    long_polls: Mutex<VecDeque<bool>>,
}

impl UnderWay {
    fn begin(&self, line: &str) {
        let long_poll = is_long_poll(line);
        lock(&self.long_polls).push_back(long_poll);
        let mut passed = lock(&self.passed);
        if long_poll {
            passed.long_polls += 1;
            return;
        }
        passed.requests += 1;
        passed.in_sequence += u64::from(passed.under_way == 0);
        passed.under_way += 1;
    }

    fn end(&self) {
        if lock(&self.long_polls).pop_front() == Some(false) {
            lock(&self.passed).under_way -= 1;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let left = lock(&self.long_polls).iter().filter(|long_poll| !**long_poll).count();
        lock(&self.passed).under_way -= left as u64;
    }
}

/// Whether a request's line asks to be answered once there is news.
fn is_long_poll(line: &str) -> bool {
    let target = line.split_whitespace().nth(1).unwrap_or_default();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|part| part.starts_with("wait=") && part != "wait=0")
}

fn connect(
    site: TcpStream,
    server: TcpStream,
    passed: Arc<Mutex<Passed>>,
    [up, down]: [Option<Arc<Pace>>; 2],
) {
    // Small messages leave at once; a socket that cannot is no worse than a slow line.
    let _ = (site.set_nodelay(true), server.set_nodelay(true));
    let under_way = Arc::new(UnderWay { passed, long_polls: Mutex::default() });
    let ((from_site, to_site), (from_server, to_server)) = (site.into_split(), server.into_split());
    tokio::spawn(carry(Half::Requests, (from_site, to_server), under_way.clone(), up));
    tokio::spawn(carry(Half::Answers, (from_server, to_site), under_way, down));
}

/// Carries one direction until either end is gone.
async fn carry(
    half: Half,
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    under_way: Arc<UnderWay>,
    pace: Option<Arc<Pace>>,
) {
    let mut messages = Messages::new(half);
    let mut piece = vec![0; PIECE];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        let came = piece.split_at(read).0;
        // What is no HTTP is carried all the same, and counted in bytes alone.
        for seen in messages.feed(came).unwrap_or_default() {
            match (half, seen) {
                (Half::Requests, Seen::Head(line)) => under_way.begin(&line),
                (Half::Answers, Seen::End) => under_way.end(),
                _ => {}
            }
        }
        {
            let mut passed = lock(&under_way.passed);
            match half {
                Half::Requests => passed.up += read as u64,
                Half::Answers => passed.down += read as u64,
            }
        }
        if let Some(pace) = &pace {
            pace.pass(read).await;
        }
        if to.write_all(came).await.is_err() {
            break;
        }
    }
    // The other end is told; it may be gone itself.
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream as Stream;
    use std::thread;

    use super::super::http::Connection;
    use super::*;

    /// A server that answers every request with ten bytes, on as many connections as come.
    fn server() -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream: Stream = stream.unwrap();
                thread::spawn(move || {
                    let (mut messages, mut piece) = (Messages::new(Half::Requests), [0; 9000]);
                    while let Ok(read @ 1..) = stream.read(&mut piece) {
                        for seen in messages.feed(&piece[..read]).unwrap() {
                            if seen == Seen::End {
                                let answer =
                                    b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789";
                                stream.write_all(answer).unwrap();
                            }
                        }
                    }
                });
            }
        });
        address
    }

    #[test]
    fn it_counts_requests_long_polls_and_bytes_both_ways() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let relay = Relay::start(runtime.handle(), server(), None).unwrap();
        let address = relay.address.to_string();
        let mut connection = Connection::open(&address).unwrap();
        for _ in 0..3 {
            assert_eq!(connection.ask("PUT", "/a", &[], &[7; 100_000]).unwrap(), b"0123456789");
        }
        connection.ask("GET", "/r?wait=30&after=1", &[], &[]).unwrap();
        let passed = relay.take();
        assert_eq!((passed.requests, passed.in_sequence, passed.long_polls), (3, 3, 1));
        assert!((300_000..301_000).contains(&passed.up), "{passed:?}");
        assert!((40..400).contains(&passed.down), "{passed:?}");
        assert_eq!(relay.take(), Passed::default());
        // Another connection's request begins while one is under way: not one after the other.
        let mut slow = Stream::connect(&address).unwrap();
        slow.write_all(b"PUT /b HTTP/1.1\r\ncontent-length: 1\r\n\r\n").unwrap();
        while lock(&relay.passed).requests == 0 {
            thread::yield_now();
        }
        connection.ask("GET", "/c", &[], &[]).unwrap();
        drop(slow);
        let passed = relay.take();
        assert_eq!((passed.requests, passed.in_sequence), (2, 1));
    }

    #[test]
    fn a_narrow_line_takes_its_time_in_each_direction() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let relay = Relay::start(runtime.handle(), server(), Some(8e6)).unwrap();
        let mut connection = Connection::open(&relay.address.to_string()).unwrap();
        let began = Instant::now();
        // 300,000 bytes at a million a second.
        connection.ask("PUT", "/a", &[], &[7; 300_000]).unwrap();
        let took = began.elapsed().as_secs_f64();
        assert!((0.297..2.0).contains(&took), "{took}");
    }
}
