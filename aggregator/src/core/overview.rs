//! A study at a glance: what the dashboard shows of all of its rounds.

use std::collections::BTreeMap;
use std::time::Duration;

use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::log::{Checkpoint, SignedNote};
use ringfence_crypto::statement::Spent;

use crate::core::refusal::Refusal;
use crate::core::round_list::Glance;
use crate::core::rounds::LiveStudy;
use crate::core::study::ServedStudy;

/// What whoever waits for a study has seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Open rounds.
    pub(crate) rounds: u32,
    /// Events of the last one.
    pub(crate) version: u64,
    /// Changes of the roster.
    pub(crate) epochs: u32,
}

/// The head of a study's log.
#[derive(Debug)]
pub(crate) struct LogHead {
    /// Size and root.
    pub(crate) checkpoint: Checkpoint,
    /// The same, signed as a note.
    pub(crate) note: SignedNote,
}

impl LiveStudy {
    /// How far the study has come.
    pub(crate) fn seen(&self) -> Seen {
        let (rounds, latest) = self.latest();
        let version = latest.map_or(0, |round| round.read().version());
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        Seen { rounds, version, epochs: self.roster.read().epochs() }
    }

    /// Waits until the study has come further than that, for at most so long; whether it has.
    pub(crate) async fn moves_on(&self, seen: Seen, wait: Duration) -> bool {
        if self.seen() != seen {
            return true;
        }
        match self.latest().1 {
            Some(round) => tokio::select! {
                () = self.news(seen.rounds, wait) => {}
                () = round.news(seen.version, wait) => {}
            },
            None => self.news(seen.rounds, wait).await,
        }
        self.seen() != seen
    }

    /// The study as it is in force in its last round.
    pub(crate) fn at_last(&self) -> ServedStudy {
        let last = self.latest().0.saturating_sub(1);
        self.in_force(RoundNumber(u32::try_from(last).unwrap_or(u32::MAX)))
    }

    /// The last rounds before `until`, the newest first.
    pub(crate) fn glances(&self, until: u32, most: usize) -> Vec<Glance> {
        self.rounds.glances(until as usize, most)
    }

    /// What each site has stated last of its privacy budget, and in which round.
    pub(crate) fn spent(&self) -> BTreeMap<SiteId, (RoundNumber, Spent)> {
        self.rounds.spent()
    }

    /// Size and root of the log, signed.
    ///
    /// # Errors
    /// A [`Refusal`] when they cannot be signed.
    pub(crate) fn log_head(&self) -> Result<LogHead, Refusal> {
        let checkpoint = self.served.log.read().checkpoint();
        Ok(LogHead { checkpoint, note: self.served.note_of(checkpoint)? })
    }
}
