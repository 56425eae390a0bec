//! Checking what was stored: every event once more, as when it came.
//!
//! A database may have been altered since. What is signed is verified again, under the key of who
//! signed it; what the aggregator decided must follow from the events before. Of times, which no
//! event proves, only the order is checked.

use super::error::RoundError;
use super::event::{Event, Verdict};
use super::machine::Round;
use crate::id::UnixSeconds;
use crate::log::{Checkpoint, StudyLog};
use crate::signature::{SignatureError, Signed};
use crate::statement::{Closing, ClosingError, ExclusionReason, Freeze, FreezeError, Receipt};

/// A stored event that its round would not have accepted.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The round refuses it.
    #[error(transparent)]
    Round(#[from] RoundError),
    /// The aggregator's signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The freeze is unsound.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// The closing is unsound.
    #[error(transparent)]
    Closing(#[from] ClosingError),
    /// It came before.
    #[error("it stands there twice")]
    Twice,
    /// Not what follows from the events before.
    #[error("it does not follow from the events before it: {0}")]
    Differs(&'static str),
}

impl Round {
    /// Checks a stored event against everything before it: signatures, and the decision. `log` is
    /// the study's log as it is stored.
    ///
    /// # Errors
    /// [`ReplayError`]: what is stored was altered.
    pub fn check_stored(&self, event: &Event, log: &StudyLog) -> Result<(), ReplayError> {
        self.check_replayed(event, |size| log.checkpoint_at(size).ok(), false)
    }

    /// Checks an event that is shown with its place in the log against everything before it, as
    /// [`Round::check_stored`] does. `proved` is the log as it is proved to have been when it had as
    /// many leaves as the closing states.
    ///
    /// The aggregator's notes on lost bytes are in no log. [`Round::notes_before`] gives those that a
    /// closing names; an abort names none, and is taken as it is: it opens nothing.
    ///
    /// # Errors
    /// [`ReplayError`]: what is shown was altered, or does not belong together.
    pub fn check_shown(
        &self,
        event: &Event,
        proved: Option<Checkpoint>,
    ) -> Result<(), ReplayError> {
        self.check_replayed(event, |_| proved, true)
    }

    fn check_replayed(
        &self,
        event: &Event,
        log: impl Fn(u64) -> Option<Checkpoint>,
        abort_needs_no_reason: bool,
    ) -> Result<(), ReplayError> {
        match event {
            Event::Announced(header) => {
                let fresh = self.check_header(header)?;
                self.collecting()?;
                once(fresh)
            }
            Event::Received(receipt) => self.stored_receipt(receipt),
            Event::Damaged { site, at } => same(event, self.damaged(site, *at)?),
            Event::Mended { site, at } => same(event, self.mended(site, *at)?),
            Event::Frozen(freeze) => self.stored_freeze(freeze),
            Event::Reviewed(review) => same(event, self.review(review)?),
            Event::Closed(closing) => self.stored_closing(closing, log, abort_needs_no_reason),
            Event::Endorsed(endorsement) => same(event, self.endorse(endorsement)?),
            Event::Disputed(endorsement) => same(event, self.dispute(endorsement)?),
            Event::Judged(endorsement) => same(event, self.judge(endorsement)?),
            Event::Opened(opening) => same(event, self.take_opening(opening)?),
            Event::Acknowledged(acknowledgement) => same(event, self.acknowledge(acknowledgement)?),
        }
    }

    /// The notes that must have come before a statement that was lost with them: the damage for
    /// which a closing leaves a contribution out. When it was found is not known any more; the
    /// closing says that it was not later.
    pub fn notes_before(&self, event: &Event) -> Vec<Event> {
        let Event::Closed(closing) = event else { return Vec::new() };
        let Closing { closed_at: at, excluded, .. } = &closing.statement;
        let lost = excluded.iter().filter(|entry| entry.reason == ExclusionReason::Damaged);
        let unknown = lost
            .map(|entry| entry.site.clone())
            .filter(|site| self.contributions.get(site).is_some_and(|known| !known.is_wanted()));
        unknown.map(|site| Event::Damaged { site, at: *at }).collect()
    }

    fn stored_freeze(&self, freeze: &Signed<Freeze>) -> Result<(), ReplayError> {
        once(self.freeze.is_none())?;
        Freeze::check(freeze, &self.study, &self.manifest.statement, &self.trust)?;
        match freeze.statement == self.freeze_at(freeze.statement.frozen_at) {
            true => Ok(()),
            false => Err(ReplayError::Differs("the list of contributions is another one")),
        }
    }

    fn stored_receipt(&self, receipt: &Signed<Receipt>) -> Result<(), ReplayError> {
        receipt.verify(&self.study.aggregator_key, &"the aggregator")?;
        let Receipt { site, received_at, .. } = &receipt.statement;
        once(self.contribution(site)?.receipt.is_none())?;
        self.collecting()?;
        match receipt.statement == self.receipt_at(site, *received_at)? {
            true => Ok(()),
            false => Err(ReplayError::Differs("the receipt is for another contribution")),
        }
    }

    fn stored_closing(
        &self,
        signed: &Signed<Closing>,
        log: impl Fn(u64) -> Option<Checkpoint>,
        abort_needs_no_reason: bool,
    ) -> Result<(), ReplayError> {
        once(self.closing.is_none())?;
        Closing::check(signed, &self.study, &self.manifest.statement)?;
        let closing = &signed.statement;
        // Every time is over then, as it was for the aggregator when it closed.
        let set = match abort_needs_no_reason && closing.is_abort() {
            true => self.abort(),
            false => self.closed_set(UnixSeconds(u64::MAX)),
        };
        let set = set.ok_or(ReplayError::Differs("collecting had not ended"))?;
        let Closing { sum, checkpoint, closed_at, .. } = closing;
        if self.closing_of(set, *sum, *checkpoint, *closed_at) != *closing {
            return Err(ReplayError::Differs("the set is another one"));
        }
        match log(checkpoint.size) {
            Some(stored) if stored == *checkpoint => Ok(()),
            _ => Err(ReplayError::Differs("its checkpoint is not of the log that is stored")),
        }
    }

    fn collecting(&self) -> Result<(), ReplayError> {
        match self.freeze {
            None => Ok(()),
            Some(_) => Err(ReplayError::Differs("collecting had ended")),
        }
    }
}

fn once(fresh: bool) -> Result<(), ReplayError> {
    if fresh { Ok(()) } else { Err(ReplayError::Twice) }
}

fn same(event: &Event, verdict: Verdict) -> Result<(), ReplayError> {
    match verdict {
        Verdict::Fresh(fresh) => match fresh == *event {
            true => Ok(()),
            false => Err(ReplayError::Differs("it is another event")),
        },
        Verdict::Repeat => Err(ReplayError::Twice),
    }
}
