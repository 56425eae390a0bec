//! A round's own time: taken once from the time of day, and counted from there on a clock that
//! nobody sets.

use ringfence_clock::{Clock, Moment};
use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::round::Round;

/// What time it is in a round, from when its manifest is taken, or the service started again, on.
///
/// Whoever sets the machine's clock while a round runs neither ends nor prolongs it. Only a start
/// reads the time of day: there is nothing else to go by then.
#[derive(Debug)]
pub(crate) struct RoundTime {
    clock: Clock,
    /// The time of day then.
    anchor: UnixSeconds,
    anchored: Moment,
}

impl RoundTime {
    /// Begins now. Never before a time that the round states already: the initiator's clock may be
    /// ahead of ours, and ours may have been set back before a start. So no closing is older than its
    /// round, and no wait grows by the difference.
    pub(crate) fn begin(clock: Clock, round: &Round) -> Self {
        let anchor = clock.now().max(round.latest_time());
        let anchored = clock.moment();
        Self { clock, anchor, anchored }
    }

    /// When it began: when the manifest was taken, or the service started again. By the time of day,
    /// and by the clock that nobody sets.
    pub(crate) fn began(&self) -> (UnixSeconds, Moment) {
        (self.anchor, self.anchored)
    }

    /// The time now. It never goes back.
    pub(crate) fn now(&self) -> UnixSeconds {
        self.anchor.after(self.clock.moment().since(self.anchored).as_secs())
    }
}
