//! What a site contributes to a round, and why it does not.

use ringfence_crypto::id::{ModelId, RoundNumber};
use ringfence_site::{Event, RoundEnd, Sealing, SiteError, model};
use ringfence_weights::Weights;

use super::participant::Participant;

/// What a site has to contribute to a round.
pub(super) enum Own {
    /// Nothing; why was told.
    Nothing,
    /// What is on disk since an earlier start, and is sent as it is.
    OnDisk,
    /// The update that it trains.
    Trained(Vec<f32>),
}

impl Participant<'_> {
    /// Whether the privacy budget suffices for a round, where the study has one. Where it does not,
    /// this site trains no more and goes on as key holder, and with the others' means.
    pub(super) async fn affords(&self, round: RoundNumber) -> Result<bool, SiteError> {
        match self.patiently(|| async { self.site.check_budget(round) }).await {
            Ok(_) => Ok(true),
            Err(error) => self.site.refrain(error, (round, false)).await.map(|()| false),
        }
    }

    /// Whether this site may open a round, or train for one that it does not see yet: see
    /// [`check_abstention`](ringfence_site::Site::check_abstention). Where it may not, it goes on with
    /// the others' means.
    pub(super) async fn may_open(&self, round: RoundNumber) -> Result<bool, SiteError> {
        match self.site.check_abstention(round) {
            Ok(()) => Ok(true),
            Err(error) => self.site.refrain(error, (round, false)).await.map(|()| false),
        }
    }

    /// Whether a round that is open takes a contribution of this site. Where it does not, nothing is
    /// trained for it; this site goes on as key holder, and with the others' means.
    pub(super) async fn is_taken(
        &self,
        round: RoundNumber,
        base: ModelId,
    ) -> Result<bool, SiteError> {
        if self.site.has_contribution(round)? {
            return Ok(true);
        }
        match self.patiently(|| self.site.check_takes(round, base)).await {
            Ok(()) => Ok(true),
            Err(error) => self.site.refrain(error, (round, false)).await.map(|()| false),
        }
    }

    /// Contributes what it has, if it is not too late, and opens what comes of the round. Answers with
    /// how the contribution's shares were sealed, if there is one.
    pub(super) async fn take_part(
        &self,
        round: RoundNumber,
        base: &Weights,
        own: &Own,
    ) -> Result<(RoundEnd<'_>, Option<Sealing>), SiteError> {
        let joined = self.site.join(round).await?;
        let update: &[f32] = match own {
            Own::Nothing => return Ok((joined.finish().await?, None)),
            // Not looked at: what is on disk is sent.
            Own::OnDisk => &[],
            Own::Trained(update) => update,
        };
        joined.check_origin(base)?;
        match joined.contribute(model::id(base), update, |_| ()).await {
            Ok(contributed) => {
                let sealing = contributed.sealing().clone();
                self.site.tell(&Event::Contributed {
                    round,
                    bytes: contributed.bytes(),
                    clipped: contributed.clipping().map(ToString::to_string),
                    sealing: sealing.clone(),
                });
                Ok((contributed.finish().await?, Some(sealing)))
            }
            Err(error) => {
                self.site.refrain(error, (round, true)).await?;
                Ok((self.site.join(round).await?.finish().await?, None))
            }
        }
    }

    pub(super) fn not_contributing(&self, round: RoundNumber, reason: &impl ToString) {
        self.site.tell(&Event::NotContributing { round, reason: reason.to_string() });
    }
}
