//! Answers that came with a status: each is taken once, by whoever would ask for it.
//!
//! What is taken is checked as if it had been asked for; all that differs is when it was sent. So
//! nothing that came before this site said something is taken after it has, and nothing that came
//! long ago: but for what can never change once it is there. Of that an old copy is what a new one
//! would be, or somebody has lied, and then the check finds it and the next one is asked for.

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

/// For how long one that can never change is kept for whoever asks for it: as a round's sites wait for
/// each other.
const FIXED_LASTS: Duration = Duration::from_secs(900);

/// What of a round can never change once it is there: each is signed, or named by what is signed. Of
/// the reviews those are taken that the closing lists, and they come along once there is one.
const FIXED_OF_ROUND: [&str; 7] =
    ["freeze", "headers", "reviews", "closing", "certificate", "opened", "agreed"];

/// Whether the answer to a GET of a path can never change once there is one.
fn is_fixed(path: &str) -> bool {
    // Behind `studies/`, and the study.
    let Some(path) = path.splitn(3, '/').nth(2) else { return false };
    let first = |path: &str| path.split(['/', '?']).next().unwrap_or_default().to_owned();
    match path.split_once('/') {
        Some(("rounds", of_round)) => {
            let of = of_round.split_once('/').map(|(_, rest)| first(rest));
            of.is_some_and(|of| FIXED_OF_ROUND.contains(&of.as_str()))
        }
        // Of one holder and for one round, where the list of whose there are gets longer.
        Some(("round-keys", _)) => true,
        // Of a log of a size.
        Some(("log", rest)) => ["inclusion", "consistency"].contains(&first(rest).as_str()),
        _ => false,
    }
}

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
        let lasts = if is_fixed(path) { FIXED_LASTS } else { LASTS };
        (now.since(came) < lasts).then_some(bytes)
    }

    /// Whether the answer to a GET of a path has come, can never change, and is kept for a good while
    /// yet: then it need not come again.
    fn has(&self, path: &str, now: Moment) -> bool {
        let kept = self.kept();
        let came = kept.by_path.get(path).map(|(_, came)| *came);
        is_fixed(path) && came.is_some_and(|came| now.since(came) < FIXED_LASTS / 2)
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

    /// Forgets what has come and may be other now: this site says something.
    pub(super) fn forget(&self) {
        let mut kept = self.kept();
        kept.by_path.retain(|path, _| is_fixed(path));
        kept.bytes = kept.by_path.values().map(|(bytes, _)| bytes.len()).sum();
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

    /// Whether what lies at a path has come with a status, and will do for whoever asks for it.
    pub(super) fn has_brought(&self, path: &str) -> bool {
        self.brought.has(path, self.clock.moment())
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
        assert!(!brought.has("a", clock.moment()));
        let both = ["a".to_owned(), "b".to_owned()];
        bring("a");
        assert_eq!(brought.take_all(&both, clock.moment()), None);
        bring("b");
        assert_eq!(brought.take_all(&both, clock.moment()).unwrap(), [b"a", b"b"]);
        assert_eq!(brought.kept().bytes, 0);
    }

    #[test]
    fn what_can_never_change_is_taken_later_and_after_something_was_said() {
        let (clock, hand) = Clock::mock(UnixSeconds(0));
        let brought = Brought::default();
        let bring = |path: &str| brought.bring(path.to_owned(), path.into(), clock.moment());
        let take = |path: &str| brought.take(path, clock.moment());
        let fixed = [
            "studies/s/round-keys/site-1?round=3",
            "studies/s/rounds/3/headers?from=0",
            "studies/s/rounds/3/freeze",
            "studies/s/rounds/3/opened/site-1?from=0",
            "studies/s/log/inclusion?size=3&leaf=00",
        ];
        let passing = [
            "studies/s/round-keys?round=3",
            "studies/s/rounds/3/manifest",
            "studies/s/rounds/3/dealt/site-1?from=0",
            "studies/s/rounds/3",
            "studies/s/rounds",
            "studies/s/log/checkpoint",
            "studies/s/restored",
            "studies/s",
            "freeze",
        ];
        fixed.iter().chain(&passing).for_each(|path| bring(path));
        brought.forget();
        hand.advance(FIXED_LASTS / 2 - LASTS / 2);
        for path in fixed {
            assert!(brought.has(path, clock.moment()), "{path}");
            assert_eq!(take(path).unwrap(), path.as_bytes());
            assert_eq!(take(path), None, "it is taken once");
            bring(path);
        }
        assert!(passing.iter().all(|path| take(path).is_none()));
        passing.iter().for_each(|path| bring(path));
        assert!(!passing.iter().any(|path| brought.has(path, clock.moment())));
        hand.advance(LASTS);
        assert!(passing.iter().all(|path| take(path).is_none()));
        hand.advance(FIXED_LASTS / 2);
        assert!(!fixed.iter().any(|path| brought.has(path, clock.moment())), "it comes again");
        hand.advance(FIXED_LASTS / 2);
        assert!(fixed.iter().all(|path| take(path).is_none()));
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
