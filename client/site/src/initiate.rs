//! Opening a round: when it is this site's turn, and on which model.

use ringfence_crypto::id::{ModelId, RoundNumber, UnixSeconds};
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::statement::{Manifest, Previous};

use crate::error::SiteError;
use crate::site::{LOOK_AGAIN, Site};

impl Site {
    /// Opens the next round as its initiator, on this base model. Once the initiator's time is
    /// over its successors on the ring may do so; the earliest moment for this site is waited for.
    ///
    /// # Errors
    /// [`SiteError`] when this site's model is not the one that the sites agreed on, or the
    /// aggregator refuses.
    pub async fn open_round(
        &self,
        base_model: ModelId,
        seconds: u32,
    ) -> Result<RoundStatus, SiteError> {
        let round = self.next_round().await?;
        let previous = match round.before() {
            None => None,
            Some(last) => Some(self.ended(last).await?),
        };
        self.agreed(round, base_model).await?;
        let due = self.due(round, previous.as_ref())?;
        // Again and again: the time of day may be set meanwhile.
        while self.clock.now() < due {
            self.clock.sleep(LOOK_AGAIN).await;
        }
        self.publish_round_keys().await?;
        let holder_keys = self.holder_keys(round).await?;
        let opened_at = self.clock.now();
        let manifest = self.identity.sign(Manifest {
            study: self.study_id,
            round,
            initiator: self.id().clone(),
            opened_at,
            deadline: opened_at.after(seconds.max(self.study.min_round_seconds).into()),
            holders: self.study.holders(round).map(|site| site.id.clone()).collect(),
            holder_keys,
            base_model: self.check_key.model(&base_model),
            previous: previous.map(|previous| previous.closing),
        });
        Ok(self.at(round).open(&manifest).await?)
    }

    /// The earliest moment at which this site may open a round: one time-out later for each site
    /// between the initiator and this one.
    fn due(
        &self,
        round: RoundNumber,
        previous: Option<&Previous>,
    ) -> Result<UnixSeconds, SiteError> {
        let mut turns = 0..self.study.roster.len();
        let own = turns.find(|turns| {
            self.study.initiator(round, *turns).is_some_and(|site| site.id == *self.id())
        });
        let turns = own.ok_or_else(|| SiteError::NoTurn(self.id().clone()))?;
        let since = previous.map_or(self.study.created_at, |previous| previous.closed_at);
        let timeout = u64::from(self.study.initiator_timeout_seconds);
        Ok(since.after(timeout.saturating_mul(turns as u64)))
    }
}
