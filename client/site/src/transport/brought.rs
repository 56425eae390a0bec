//! Answers that came with a status: each is taken once, by whoever would ask for it.
//!
//! What is taken is checked as if it had been asked for; all that differs is when it was sent. So
//! nothing that came before this site said something is taken after it has.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ringfence_clock::Moment;
use ringfence_crypto::api::{StatusFrame, StatusPart};
use ringfence_crypto::id::StudyId;
use ringfence_crypto::log::LogHash;
use ringfence_crypto::wire::frame::{self, MAX_FRAME};
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};
use serde::de::DeserializeOwned;

use super::connection::Transport;
use super::error::TransportError;

/// For how long an answer that came with another one is taken for an answer of now.
const LASTS: Duration = Duration::from_secs(10);

/// The answers that came and were not taken yet.
#[derive(Debug, Default)]
pub(super) struct Brought {
    kept: Mutex<Kept>,
    /// The aggregator does not know what `with` is.
    unknown: AtomicBool,
}

#[derive(Debug, Default)]
struct Kept {
    by_path: BTreeMap<String, (Vec<u8>, Moment)>,
    bytes: usize,
}

impl Kept {
    fn remove(&mut self, path: &str) -> Option<(Vec<u8>, Moment)> {
        let (bytes, came) = self.by_path.remove(path)?;
        self.bytes -= bytes.len();
        Some((bytes, came))
    }
}

impl Brought {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an answer.
    pub(super) fn bring(&self, path: String, bytes: Vec<u8>, now: Moment) {
        let mut kept = self.kept();
        kept.remove(&path);
        // Whoever sends what nobody takes fills no memory.
        if kept.bytes + bytes.len() > MAX_FRAME {
            *kept = Kept::default();
        }
        if bytes.len() <= MAX_FRAME {
            kept.bytes += bytes.len();
            kept.by_path.insert(path, (bytes, now));
        }
    }

    /// Takes the answer to a GET of a path, if it has come and is of now.
    pub(super) fn take(&self, path: &str, now: Moment) -> Option<Vec<u8>> {
        let (bytes, came) = self.kept().remove(path)?;
        (now.since(came) < LASTS).then_some(bytes)
    }

    /// Takes the answers to all of these, or none.
    fn take_all(&self, paths: &[String], now: Moment) -> Option<Vec<Vec<u8>>> {
        let there = {
            let kept = self.kept();
            paths.iter().all(|path| kept.by_path.contains_key(path))
        };
        if !there {
            return None;
        }
        paths.iter().map(|path| self.take(path, now)).collect()
    }

    /// Forgets what has come: this site says something now.
    pub(super) fn forget(&self) {
        *self.kept() = Kept::default();
    }
}

impl Transport {
    /// Whether it is of use to ask for anything with a status. What goes into a bundle, or comes out of
    /// one, is asked for by itself.
    pub(crate) fn brings(&self) -> bool {
        self.by_hand.is_none()
            && self.recorder.is_none()
            && !self.brought.unknown.load(Ordering::Relaxed)
    }

    /// What lies at a path: as it came with a status, or else asked for.
    pub(super) async fn fetch(&self, path: &str, limit: usize) -> Result<Vec<u8>, TransportError> {
        match self.brought.take(path, self.clock.moment()) {
            Some(bytes) if bytes.len() <= limit => Ok(bytes),
            _ => self.bytes(path, limit, |url| self.client.get(url)).await,
        }
    }

    /// What proves that leaves are in the log of a size, if all of it came with a status.
    pub(super) fn brought_proofs<T: DeserializeOwned>(
        &self,
        (study, size): (StudyId, u64),
        leaves: &[LogHash],
    ) -> Option<Vec<T>> {
        let path = |leaf| format!("studies/{study}/log/inclusion?size={size}&leaf={leaf}");
        let paths: Vec<String> = leaves.iter().map(path).collect();
        let proofs = self.brought.take_all(&paths, self.clock.moment())?;
        let parsed = proofs.iter().map(|proof| json::parse(proof, MAX_MESSAGE, "inclusion proof"));
        parsed.collect::<Result<_, _>>().ok()
    }

    /// Keeps what a GET of a path below the study's would answer now.
    pub(crate) fn bring(&self, study: StudyId, path: &str, bytes: Vec<u8>) {
        let path = format!("studies/{study}/{path}");
        self.brought.bring(path, bytes, self.clock.moment());
    }

    /// A status, and what comes with it: `query` asks for the status, `with` for the rest. An aggregator
    /// of a version before takes no such question, and is asked for the status alone.
    pub(super) async fn status_with<T: DeserializeOwned>(
        &self,
        (study, path): (StudyId, &str),
        query: &str,
        with: &str,
        expected: &'static str,
    ) -> Result<T, TransportError> {
        let place = format!("studies/{study}/{path}");
        let asked = |queries: &[&str]| {
            let queries = queries.iter().copied().filter(|query| !query.is_empty());
            let query = queries.collect::<Vec<_>>().join("&");
            if query.is_empty() { place.clone() } else { format!("{place}?{query}") }
        };
        if !with.is_empty() && self.brings() {
            let get = |url| self.client.get(url);
            match self.bytes(&asked(&[query, with]), MAX_MESSAGE, get).await {
                Ok(bytes) => return self.unpack(study, &bytes, expected),
                Err(refusal) if refusal.status() == Some(MALFORMED) => {
                    self.brought.unknown.store(true, Ordering::Relaxed);
                }
                Err(error) => return Err(error),
            }
        }
        self.get(&asked(&[query]), MAX_MESSAGE, expected).await
    }

    fn unpack<T: DeserializeOwned>(
        &self,
        study: StudyId,
        bytes: &[u8],
        expected: &'static str,
    ) -> Result<T, TransportError> {
        let Ok(StatusFrame { status, parts }) = frame::decode(bytes, expected) else {
            // The status alone, of whoever passes over what he does not know.
            return Ok(json::parse(bytes, MAX_MESSAGE, expected)?);
        };
        let status = json::parse(&status, MAX_MESSAGE, expected)?;
        for StatusPart { path, bytes } in parts {
            self.bring(study, &path, bytes);
        }
        Ok(status)
    }
}

/// What an aggregator answers to a query that it does not know.
const MALFORMED: u16 = 400;

#[cfg(test)]
mod tests {
    use ringfence_clock::Clock;
    use ringfence_crypto::id::UnixSeconds;

    use super::*;

    #[test]
    fn an_answer_is_taken_once_and_not_for_long_and_none_after_something_was_said() {
        let (clock, hand) = Clock::mock(UnixSeconds(0));
        let brought = Brought::default();
        let bring = |path: &str| brought.bring(path.to_owned(), path.into(), clock.moment());
        let take = |path: &str| brought.take(path, clock.moment());
        bring("a");
        assert_eq!((take("b"), take("a"), take("a")), (None, Some(b"a".to_vec()), None));
        bring("a");
        hand.advance(LASTS);
        assert_eq!(take("a"), None);
        bring("a");
        brought.forget();
        assert_eq!(take("a"), None);
        let both = ["a".to_owned(), "b".to_owned()];
        bring("a");
        assert_eq!(brought.take_all(&both, clock.moment()), None);
        bring("b");
        assert_eq!(brought.take_all(&both, clock.moment()).unwrap(), [b"a", b"b"]);
        assert_eq!(brought.kept().bytes, 0);
    }

    #[test]
    fn what_nobody_takes_does_not_fill_the_memory() {
        let (clock, _hand) = Clock::mock(UnixSeconds(0));
        let brought = Brought::default();
        for place in 0..100 {
            brought.bring(place.to_string(), vec![0; 1 << 20], clock.moment());
            assert!(brought.kept().bytes <= MAX_FRAME);
        }
        brought.bring("a".to_owned(), vec![0; MAX_FRAME + 1], clock.moment());
        assert_eq!(brought.take("a", clock.moment()), None);
    }
}
