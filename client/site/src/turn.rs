//! Whose turn it is to open a round, and waiting for one's own.

use std::fmt;
use std::time::Duration;

use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::statement::Previous;
use ringfence_crypto::time::MAX_CLOCK_AHEAD;
use serde::Serialize;

use crate::error::SiteError;
use crate::site::{LOOK_AGAIN, Site};
use crate::transport::POLL;

/// Looks at one's own clock for one at whether another site has opened the round.
const LOOKS: u32 = 5;

/// How long the answer to a long poll may take beyond it: as long as it is given to begin.
const ANSWERED: Duration = Duration::from_secs(40);

/// When a site may open a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// The round.
    pub round: RoundNumber,
    /// The site that may.
    pub site: SiteId,
    /// Whose turn it is first.
    pub initiator: SiteId,
    /// From when that one may: when the round before was closed, or the study made.
    pub since: UnixSeconds,
    /// From when this one may.
    pub from: UnixSeconds,
    /// What this site's clock shows.
    pub now: UnixSeconds,
}

impl Turn {
    /// Whether it is this site's turn.
    pub fn has_come(&self) -> bool {
        self.from <= self.now
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { round, site, initiator, since, from, now } = self;
        let (since, now) = (since.utc(), now.utc());
        write!(f, "round {round}: the turn is {initiator}'s since {since}")?;
        match (site == initiator, self.has_come()) {
            (true, _) => write!(f, ", this site's"),
            (false, true) => write!(f, ", and {site}, this site, may step in"),
            (false, false) => {
                write!(f, "; {site}, this site, may step in from {} on", from.utc())
            }
        }?;
        write!(f, " (its clock shows {now})")
    }
}

impl Site {
    /// Whose turn it is to open a round, the next one, and from when this site may.
    ///
    /// # Errors
    /// [`SiteError`]; [`SiteError::ClockBehind`] when the round before ended in this site's future.
    pub async fn turn(&self, round: RoundNumber) -> Result<Turn, SiteError> {
        let previous = self.before(round).await?;
        self.turn_in(round, previous.as_ref())
    }

    /// How the round before this one ended.
    pub(crate) async fn before(&self, round: RoundNumber) -> Result<Option<Previous>, SiteError> {
        match round.before() {
            None => Ok(None),
            Some(last) => Ok(Some(self.ended(last).await?)),
        }
    }

    /// The earliest moment at which this site may open a round: one time-out later for each site
    /// between the initiator and this one.
    pub(crate) fn turn_in(
        &self,
        round: RoundNumber,
        previous: Option<&Previous>,
    ) -> Result<Turn, SiteError> {
        let no_turn = || SiteError::NoTurn(self.id().clone());
        let none = Trust::default();
        let trust = previous.map_or(&none, |previous| &previous.trust);
        if trust.bars(self.id()) {
            return Err(SiteError::Barred { site: self.id().clone(), round });
        }
        // A barred site's turn passes at once.
        let member = |turns| self.study.initiator(round, turns, trust);
        let initiator = member(0).ok_or_else(no_turn)?.id.clone();
        let mut turns = 0..self.study.roster.len();
        let own = turns.find(|turns| member(*turns).is_some_and(|site| site.id == *self.id()));
        let turns = own.ok_or_else(no_turn)?;
        let since = previous.map_or(self.study.created_at, |previous| previous.closed_at);
        let now = self.clock.now();
        if since > now.after(MAX_CLOCK_AHEAD) {
            let (since, now) = (since.utc(), now.utc());
            return Err(SiteError::ClockBehind { round, since, now });
        }
        let timeout = u64::from(self.study.initiator_timeout_seconds);
        let from = since.after(timeout.saturating_mul(turns as u64));
        Ok(Turn { round, site: self.id().clone(), initiator, since, from, now })
    }

    /// Waits for this site's turn, within its patience: `None` when it has come, the round as it
    /// stands when another site has opened it meanwhile.
    pub(crate) async fn own_turn(&self, turn: Turn) -> Result<Option<RoundStatus>, SiteError> {
        let end = self.clock.moment().after(self.patience);
        // Whoever comes here has just looked.
        let mut looks = 1u32;
        // Again and again: the time of day may be set meanwhile.
        loop {
            let now = self.clock.now();
            if now >= turn.from {
                return Ok(None);
            }
            if looks.is_multiple_of(LOOKS)
                && let Some(status) = self.opened(turn.round).await?
            {
                return Ok(Some(status));
            }
            if self.clock.moment() >= end {
                let patience = self.patience.as_secs();
                return Err(SiteError::OutOfTurn {
                    turn: Box::new(Turn { now, ..turn }),
                    patience,
                });
            }
            looks = looks.wrapping_add(1);
            self.attend().await?;
            self.clock.sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until somebody has opened a round, within this site's patience. Before that this site's
    /// round keys are published, so that the manifest names them: without them, shares of the round
    /// would be sealed to this site under its long-term key.
    ///
    /// # Errors
    /// [`SiteError::NotOpened`] when nobody has by then; otherwise as for
    /// [`Site::publish_round_keys`].
    pub async fn await_opening(&self, round: RoundNumber) -> Result<(), SiteError> {
        let end = self.clock.moment().after(self.patience);
        self.see_round_keys_published().await?;
        let mut next = self.next_round_lately().await?;
        while next <= round {
            let left = end.since(self.clock.moment());
            if left.is_zero() {
                let none = Trust::default();
                let initiator = self.study.initiator(round, 0, &none);
                let initiator = initiator.ok_or_else(|| SiteError::NoTurn(self.id().clone()))?;
                let (initiator, patience) = (initiator.id.clone(), self.patience.as_secs());
                let own = initiator == *self.id();
                return Err(SiteError::NotOpened { round, initiator, own, patience });
            }
            self.attend().await?;
            next = self.next_after(round, left).await?;
        }
        Ok(())
    }

    /// The round as it stands, as [`Site::opened`] says it, as soon as it is open; `None` when it is
    /// not after one long poll.
    ///
    /// # Errors
    /// As for [`Site::opened`].
    pub async fn opened_soon(&self, round: RoundNumber) -> Result<Option<RoundStatus>, SiteError> {
        // Given up when the poll ends, each would be asked anew a moment before its answer comes.
        match self.next_after(round, POLL + ANSWERED).await? <= round {
            true => Ok(None),
            false => self.shown(round).await.map(Some),
        }
    }

    /// The round as it stands, and who opened it, if somebody who may has done so: its manifest is
    /// fetched and checked.
    ///
    /// # Errors
    /// [`SiteError`] when the manifest is not the study's next, among others.
    pub async fn opened(&self, round: RoundNumber) -> Result<Option<RoundStatus>, SiteError> {
        if self.next_round().await? <= round {
            return Ok(None);
        }
        self.shown(round).await.map(Some)
    }

    /// The same; a round that was opened a moment ago may be missed.
    pub(crate) async fn opened_lately(
        &self,
        round: RoundNumber,
    ) -> Result<Option<RoundStatus>, SiteError> {
        if self.next_round_lately().await? <= round {
            return Ok(None);
        }
        self.shown(round).await.map(Some)
    }

    /// The round as it stands, after its manifest was fetched and checked.
    pub(crate) async fn shown(&self, round: RoundNumber) -> Result<RoundStatus, SiteError> {
        let (manifest, status) = tokio::join!(self.manifest(round), self.look_again(round));
        let initiator = manifest?.statement.initiator;
        Ok(RoundStatus { initiator, ..status? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_says_whose_it_is_and_from_when() {
        let turn = Turn {
            round: RoundNumber(3),
            site: "c".parse().unwrap(),
            initiator: "b".parse().unwrap(),
            since: UnixSeconds(1_800_000_000),
            from: UnixSeconds(1_800_003_600),
            now: UnixSeconds(1_800_000_060),
        };
        assert_eq!(
            turn.to_string(),
            "round 3: the turn is b's since 2027-01-15 08:00:00 UTC; c, this site, may step in from 2027-01-15 09:00:00 UTC on (its clock shows 2027-01-15 08:01:00 UTC)"
        );
        let later = Turn { now: turn.from, ..turn.clone() };
        assert!(later.to_string().contains("c, this site, may step in (its clock"), "{later}");
        let own = Turn { site: turn.initiator.clone(), from: turn.since, ..turn };
        assert!(own.to_string().contains("08:00:00 UTC, this site's (its"), "{own}");
    }
}
