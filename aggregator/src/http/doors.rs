//! Who may come in: so many connections at the same time, and so many of them from one address. Who
//! comes after that is told so and leaves, and does not wait unseen in the system's queue.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Files that the process has open beside connections and uploads: the database, bodies and sums that
/// are read, the log, a certificate, readers of metrics.
const OTHER_FILES: u64 = 160;

/// Files that an upload has open at most: its body, and a file beside it.
const UPLOAD_FILES: u64 = 2;

/// Connections that are told at the same time that there is no place; more are closed without a word.
const TOLD: usize = 64;

/// How long one that is told so may take to hear it.
const TELL_TIME: Duration = Duration::from_secs(2);

/// How long one may take to ask for something.
const ASK_TIME: Duration = Duration::from_millis(500);

/// What one is told for whom there is no place.
const FULL: &str = concat!(
    "HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n",
    "content-type: application/problem+json\r\ncontent-length: 149\r\n\r\n",
    r#"{"type":"/problems/busy","title":"Service Unavailable","status":503,"#,
    r#""detail":"too many connections, or too many from your address; come again later"}"#
);

/// The places for connections.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    most: usize,
    most_of_an_address: usize,
    inside: Arc<Mutex<Inside>>,
    told: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    /// Of those with a connection.
    of: HashMap<IpAddr, usize>,
}

/// The place of one connection; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Place {
    doors: Doors,
    address: IpAddr,
}

/// How many files the process may have open, raised as far as it may raise it itself.
pub(crate) fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum != limit.current {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // Where that is not allowed, the limit stays as it is.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    // No limit is infinity.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many connections there may be so that files remain for `uploads` and for what else is open: as
/// many as wanted, or fewer.
pub(crate) fn affordable(wanted: u16, uploads: u16, files: u64) -> u16 {
    let left = files.saturating_sub(OTHER_FILES + UPLOAD_FILES * u64::from(uploads));
    u16::try_from(left).unwrap_or(u16::MAX).min(wanted)
}

impl Doors {
    /// So many places, and so many for one address.
    pub(crate) fn new(most: u16, most_of_an_address: u16) -> Self {
        Self {
            most: most.into(),
            most_of_an_address: most_of_an_address.into(),
            inside: Arc::default(),
            told: Arc::new(Semaphore::new(TOLD)),
        }
    }

    /// Takes a place for whoever comes from this address, if there is one.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let of = inside.of.get(&address).copied().unwrap_or_default();
        if inside.all >= self.most || of >= self.most_of_an_address {
            return None;
        }
        inside.all += 1;
        inside.of.insert(address, of + 1);
        Some(Place { doors: self.clone(), address })
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).all
    }

    /// Says by plain HTTP that there is no place, and closes the connection.
    pub(crate) fn turn_away(&self, mut stream: TcpStream) {
        let Ok(told) = self.told.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            let tell = async {
                let mut rest = [0; 4096];
                // An answer to nothing is none to most clients.
                let _ = timeout(ASK_TIME, stream.read(&mut rest)).await;
                stream.write_all(FULL.as_bytes()).await?;
                stream.shutdown().await?;
                // A connection that is closed on unread bytes is reset, and that overtakes the answer.
                while stream.read(&mut rest).await? > 0 {}
                io::Result::Ok(())
            };
            // Either way it is closed.
            let _ = timeout(TELL_TIME, tell).await;
            drop(told);
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.doors.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.all -= 1;
        match inside.of.get_mut(&self.address) {
            Some(of) if *of > 1 => *of -= 1,
            _ => drop(inside.of.remove(&self.address)),
        }
    }
}

/// What counts as one address: whoever has one of IPv6 has 2^64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_places_and_an_address_has_not_all_of_them() {
        let doors = Doors::new(5, 3);
        let [one, other]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        let mut inside: Vec<Place> = (0..3).map(|_| doors.enter(one).unwrap()).collect();
        assert!(doors.enter(one).is_none(), "its own are taken");
        inside.extend((0..2).map(|_| doors.enter(other).unwrap()));
        assert!(doors.enter(other).is_none(), "all are taken");
        assert_eq!(doors.open(), 5);
        inside.remove(0);
        drop(doors.enter(one).unwrap());
        drop(inside);
        assert_eq!(doors.open(), 0);
        assert!(doors.inside.lock().unwrap().of.is_empty(), "nobody is remembered");
    }

    #[test]
    fn an_address_of_ipv6_is_its_network() {
        let same = ["2001:db8::1", "2001:db8::ffff:1"].map(|text| network(text.parse().unwrap()));
        assert_eq!(same[0], same[1]);
        assert_ne!(same[0], network("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(
            network("::ffff:10.0.0.1".parse().unwrap()),
            network("10.0.0.1".parse().unwrap())
        );
    }

    #[test]
    fn connections_leave_files_for_what_else_is_open() {
        assert_eq!(affordable(4096, 256, 1024), 352);
        assert_eq!(affordable(4096, 256, 1 << 20), 4096);
        assert_eq!(affordable(4096, 256, 100), 0);
        assert_eq!(affordable(4096, 256, u64::MAX), 4096);
    }

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let (head, body) = FULL.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let problem: ringfence_crypto::api::Problem =
            ringfence_crypto::wire::json::parse(body.as_bytes(), 1000, "problem").unwrap();
        assert_eq!(problem.status, 503);
    }
}
