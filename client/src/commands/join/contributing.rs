//! What a site contributes to a round, and why it does not.

use ringfence_crypto::id::{ModelId, RoundNumber};
use ringfence_keys::duties::abstention::AbstentionError;
use ringfence_keys::duties::contributor::RuleError;
use ringfence_site::{Event, Late, RoundEnd, Sealing, SiteError, model};
use ringfence_weights::Weights;

use super::participant::Participant;

/// What the aggregator answers when it is too late, or something else came before.
const CONFLICT: u16 = 409;

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
            Err(error) => self.refrain(error, (round, false)).map(|()| false),
        }
    }

    /// Whether this site may open a round, or train for one that it does not see yet: see
    /// [`check_abstention`](ringfence_site::Site::check_abstention). Where it may not, it goes on with
    /// the others' means.
    pub(super) fn may_open(&self, round: RoundNumber) -> Result<bool, SiteError> {
        match self.site.check_abstention(round) {
            Ok(()) => Ok(true),
            Err(error) => self.refrain(error, (round, false)).map(|()| false),
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
            Err(error) => self.refrain(error, (round, false)).map(|()| false),
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
            // The last look came before, and the last bytes too late.
            Err(SiteError::Transport(refusal)) if refusal.status() == Some(CONFLICT) => {
                let wanted = format!("this site's contribution to round {round}");
                let so = "it is too late, and this site waits for the round's end";
                self.site.tell_refused(&wanted, &refusal, so);
                Ok((self.site.join(round).await?.finish().await?, None))
            }
            Err(error) => {
                self.refrain(error, (round, true))?;
                Ok((self.site.join(round).await?.finish().await?, None))
            }
        }
    }

    /// Tells why this site does not contribute to a round in which it goes on without.
    ///
    /// # Errors
    /// Any other error, as it came.
    fn refrain(
        &self,
        error: SiteError,
        (round, trained): (RoundNumber, bool),
    ) -> Result<(), SiteError> {
        match error {
            SiteError::TooLate(Late { round, deadline, state }) => {
                let holds = self.site.holds(round);
                self.site.tell(&Event::TooLate { round, deadline, state, trained, holds });
            }
            SiteError::Barred { round, .. }
            | SiteError::Rule(RuleError::Abstains(
                AbstentionError::Through { round, .. }
                | AbstentionError::OpenedBefore { round, .. },
            )) => self.not_contributing(round, &error),
            SiteError::Ledger(error) if error.leaves_out_round() => {
                self.not_contributing(round, &error);
            }
            error => return Err(error),
        }
        Ok(())
    }

    pub(super) fn not_contributing(&self, round: RoundNumber, reason: &impl ToString) {
        self.site.tell(&Event::NotContributing { round, reason: reason.to_string() });
    }
}
