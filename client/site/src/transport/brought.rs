//! Answers that came with a status: each is taken once, by whoever would ask for it.
//!
//! What is taken is checked as if it had been asked for; all that differs is when it was made. So
//! nothing that came before this site said something is taken after it has. Of what changes, as the
//! log's checkpoint does, nothing is taken either that may have been made before: that was asked for
//! before and came later, or that came while it was being said. What can never change once it is there
//! is kept for whoever asks: an old copy is what a new one would be, or somebody has lied, and then the
//! check finds it and the next one is asked for.

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

/// The answers that came and were not taken yet.
#[derive(Debug, Default)]
pub(super) struct Brought {
    kept: Mutex<Kept>,
    /// The aggregator does not know what `with` is.
    unknown: AtomicBool,
}

/// How often this site had begun or ended to say something when an answer was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked(u64);

#[derive(Debug, Default)]
struct Kept {
    by_path: BTreeMap<String, Answer>,
    bytes: usize,
    said: Asked,
}

#[derive(Debug)]
struct Answer {
    bytes: Vec<u8>,
    came: Moment,
    kind: Kind,
}

/// Whether an answer, once there is one, stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It can never change.
    Fixed,
    /// Of a round, where little changes: a manifest that is opened anew, envelopes that are mended.
    OfRound,
    /// It does not stay: where the study stands.
    Changing,
}

impl Kind {
    /// What lies at a path below the study's.
    fn of(path: &str) -> Self {
        match path.split_once('/') {
            Some(("rounds", of_round)) => match of_round.split_once('/') {
                Some((_, rest)) if FIXED_OF_ROUND.contains(&first(rest)) => Self::Fixed,
                _ => Self::OfRound,
            },
            // Of one holder and for one round, where the list of whose there are gets longer.
            Some(("round-keys", _)) => Self::Fixed,
            // Of a log of a size.
            Some(("log", rest)) if ["inclusion", "consistency"].contains(&first(rest)) => {
                Self::Fixed
            }
            _ => Self::Changing,
        }
    }

    fn lasts(self) -> Duration {
        if self == Self::Fixed { FIXED_LASTS } else { LASTS }
    }
}

/// The first segment of a path.
fn first(path: &str) -> &str {
    path.split(['/', '?']).next().unwrap_or_default()
}

impl Kept {
    fn remove(&mut self, path: &str) -> Option<Answer> {
        let answer = self.by_path.remove(path)?;
        self.bytes -= answer.bytes.len();
        Some(answer)
    }

    fn retain(&mut self, keeps: impl Fn(Kind) -> bool) {
        self.by_path.retain(|_, answer| keeps(answer.kind));
        self.bytes = self.by_path.values().map(|answer| answer.bytes.len()).sum();
    }
}

impl Brought {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is asked for from now on.
    fn asked(&self) -> Asked {
        self.kept().said
    }

    /// Keeps an answer; one that changes only if this site has said nothing since it was asked for.
    fn bring(&self, path: String, bytes: Vec<u8>, (asked, kind): (Asked, Kind), came: Moment) {
        let mut kept = self.kept();
        if kind == Kind::Changing && kept.said != asked {
            return;
        }
        kept.remove(&path);
        // Whoever sends what nobody takes fills no memory.
        if kept.bytes + bytes.len() > MAX_FRAME {
            kept.retain(|_| false);
        }
        if bytes.len() <= MAX_FRAME {
            kept.bytes += bytes.len();
            kept.by_path.insert(path, Answer { bytes, came, kind });
        }
    }

    /// Takes the answer to a GET of a path, if it has come and is of now.
    pub(super) fn take(&self, path: &str, now: Moment) -> Option<Vec<u8>> {
        let Answer { bytes, came, kind } = self.kept().remove(path)?;
        (now.since(came) < kind.lasts()).then_some(bytes)
    }

    /// Whether the answer to a GET of a path has come, can never change, and is kept for a good while
    /// yet: then it need not come again.
    fn has(&self, path: &str, now: Moment) -> bool {
        let kept = self.kept();
        kept.by_path.get(path).is_some_and(|answer| {
            answer.kind == Kind::Fixed && now.since(answer.came) < FIXED_LASTS / 2
        })
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
    pub(super) fn says(&self) {
        self.forget(|kind| kind == Kind::Fixed);
    }

    /// Forgets what changes and was made in between: this site has said something.
    pub(super) fn has_said(&self) {
        self.forget(|kind| kind != Kind::Changing);
    }

    fn forget(&self, keeps: impl Fn(Kind) -> bool) {
        let mut kept = self.kept();
        kept.retain(keeps);
        kept.said.0 = kept.said.0.wrapping_add(1);
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
        self.bring_asked(self.brought.asked(), study, path, bytes);
    }

    fn bring_asked(&self, asked: Asked, study: StudyId, path: &str, bytes: Vec<u8>) {
        let (place, kind) = (format!("studies/{study}/{path}"), Kind::of(path));
        self.brought.bring(place, bytes, (asked, kind), self.clock.moment());
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
            let (since, get) = (self.brought.asked(), |url| self.client.get(url));
            match self.bytes(&asked(&[query, with]), MAX_MESSAGE, get).await {
                Ok(bytes) => return self.unpack((since, study), &bytes, expected),
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
        (asked, study): (Asked, StudyId),
        bytes: &[u8],
        expected: &'static str,
    ) -> Result<T, TransportError> {
        let Ok(StatusFrame { status, parts }) = frame::decode(bytes, expected) else {
            // The status alone, of whoever passes over what he does not know.
            return Ok(json::parse(bytes, MAX_MESSAGE, expected)?);
        };
        let status = json::parse(&status, MAX_MESSAGE, expected)?;
        for StatusPart { path, bytes } in parts {
            self.bring_asked(asked, study, &path, bytes);
        }
        Ok(status)
    }
}

/// What an aggregator answers to a query that it does not know.
const MALFORMED: u16 = 400;

#[cfg(test)]
mod tests;
