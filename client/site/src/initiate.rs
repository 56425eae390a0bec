//! Opening a round: in one's turn, and on which model.

use std::future::pending;
use std::time::Duration;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{ModelId, RoundNumber};
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::statement::Manifest;
use ringfence_crypto::wire::json;
use ringfence_keys::duties::contributor::RuleError;

use crate::error::SiteError;
use crate::event::Event;
use crate::site::Site;

/// How much later the wait for one's own turn may end than the wait for others, which began before it.
const A_MOMENT_MORE: Duration = Duration::from_secs(5);

/// What the aggregator answers when it holds another manifest of the round already, among others.
const CONFLICT: u16 = 409;

impl Site {
    /// Opens the next round as its initiator: see [`Site::initiate`].
    ///
    /// # Errors
    /// As for [`Site::initiate`].
    pub async fn open_round(
        &self,
        base_model: ModelId,
        seconds: u32,
    ) -> Result<RoundStatus, SiteError> {
        self.initiate(self.next_round().await?, base_model, seconds).await
    }

    /// Opens a round as its initiator, on this base model, for contributions for so many seconds.
    /// Once the initiator's time is over its successors on the ring may do so; this site's turn is
    /// waited for, within its patience.
    ///
    /// When another site that may has opened the round meanwhile, that is as good: the answer's
    /// initiator says who it was, and its manifest has been checked.
    ///
    /// # Errors
    /// [`SiteError::OutOfTurn`] when this site's turn has not come within its patience; otherwise
    /// when this site's model is not the one that the sites agreed on, or the aggregator refuses.
    pub async fn initiate(
        &self,
        round: RoundNumber,
        base_model: ModelId,
        seconds: u32,
    ) -> Result<RoundStatus, SiteError> {
        self.takes_part(round)?;
        self.check_round_seconds(seconds)?;
        self.help_if_behind().await?;
        if let Some(status) = self.opened_lately(round).await? {
            return Ok(status);
        }
        // It may have signed another manifest of this round, and forgotten it.
        self.check_abstention(round)?;
        // First: what the round before leaves is final once its model is agreed on.
        self.agreed(round, base_model).await?;
        let previous = self.before(round).await?;
        let turn = self.turn_in(round, previous.as_ref())?;
        if let Some(status) = self.own_turn(turn).await? {
            return Ok(status);
        }
        self.see_round_keys_published().await?;
        let (before, trust) = previous
            .map_or_else(Default::default, |previous| (Some(previous.closing), previous.trust));
        let mut holder_keys = self.holder_keys(round).await?;
        loop {
            let opened_at = self.clock.now();
            let manifest = self.identity.sign(Manifest {
                study: self.study_id,
                round,
                initiator: self.id().clone(),
                opened_at,
                deadline: opened_at.after(seconds.into()),
                holders: self.study.holders(round).map(|site| site.id.clone()).collect(),
                holder_keys: holder_keys.clone(),
                base_model: self.check_key()?.model(&base_model),
                previous: before,
                trust: trust.digest(),
            });
            let refusal = match self.at(round).open(&manifest).await {
                Err(refusal) if refusal.status() == Some(CONFLICT) => refusal,
                Err(error) => return Err(error.into()),
                Ok(status) => {
                    self.saw(&status);
                    // It is the one that the aggregator shows from now on.
                    self.at(round).bring("/manifest", json::compact(&manifest));
                    return Ok(status);
                }
            };
            // Another site was faster, or holders published round keys while those of others were
            // fetched; everything else is an error.
            let wanted = format!("this site's opening of round {round}");
            if let Some(status) = self.opened(round).await? {
                self.tell_refused(&wanted, &refusal, "another site has opened it");
                return Ok(status);
            }
            let keys = self.holder_keys(round).await?;
            if !names_more(&holder_keys, &keys) {
                return Err(refusal.into());
            }
            self.tell_refused(
                &wanted,
                &refusal,
                "it is signed again with the round keys that came",
            );
            holder_keys = keys;
        }
    }

    /// The round that starts from a model: the latest, or the next one where the latest is over and
    /// started from another, or was aborted.
    ///
    /// # Errors
    /// [`SiteError::BaseModel`] when the latest round is not over and starts from another model;
    /// [`SiteError`] when its manifest is not the study's next, among others.
    pub async fn round_from(&self, base_model: ModelId) -> Result<RoundNumber, SiteError> {
        let next = self.next_round_lately().await?;
        let Some(round) = next.before() else { return Ok(next) };
        let manifest = self.manifest(round).await?.statement;
        let own = self.for_round(round).check_key()?.model(&base_model);
        let starts_here = own == manifest.base_model;
        match (starts_here, self.look_again(round).await?.state) {
            (true, RoundState::Aborted) | (false, RoundState::Aborted | RoundState::Opened) => {
                Ok(next)
            }
            (true, _) => Ok(round),
            (false, _) => Err(SiteError::BaseModel { round, got: base_model }),
        }
    }

    /// Opens a round, as [`Site::initiate`] does in this site's turn, or waits until another site has;
    /// whichever comes first. Answers with how it stands, after its manifest was checked.
    ///
    /// # Errors
    /// As for [`Site::initiate`] and [`Site::await_opening`]. What keeps this site from opening the
    /// round, and no other, is no error.
    pub async fn open_or_await(
        &self,
        round: RoundNumber,
        base_model: ModelId,
        seconds: u32,
    ) -> Result<RoundStatus, SiteError> {
        if let Some(status) = self.opened_lately(round).await? {
            return Ok(status);
        }
        // First: both of what follows begins with it.
        self.see_round_keys_published().await?;
        let in_turn = async {
            match self.turn(round).await {
                Ok(turn) => self.tell(&Event::Turn(turn)),
                Err(SiteError::Barred { .. }) => return pending().await,
                Err(error) => return Err(error),
            }
            match self.initiate(round, base_model, seconds).await {
                Err(SiteError::Rule(RuleError::Abstains(_))) => pending().await,
                opened => opened,
            }
        };
        tokio::pin!(in_turn);
        let seen = tokio::select! {
            opened = &mut in_turn => return opened,
            seen = self.await_opening(round) => seen,
        };
        match seen {
            Ok(()) => self.shown(round).await,
            // What keeps this site from opening it is waited for as long, and says more.
            Err(error @ SiteError::NotOpened { .. }) => {
                self.clock.timeout(A_MOMENT_MORE, in_turn).await.unwrap_or(Err(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses a time for contributions that the study does not allow.
    ///
    /// # Errors
    /// [`SiteError::RoundSeconds`].
    pub fn check_round_seconds(&self, seconds: u32) -> Result<(), SiteError> {
        let (min, longest) = (self.study.min_round_seconds, self.study.longest_round_seconds);
        match (min..=longest).contains(&seconds) {
            true => Ok(()),
            false => Err(SiteError::RoundSeconds { min, longest, got: seconds }),
        }
    }
}

/// Whether `later` has all round keys of `earlier` and more: that is so once a holder at most.
fn names_more(earlier: &[Option<Digest>], later: &[Option<Digest>]) -> bool {
    let kept = earlier.iter().zip(later).all(|(then, now)| then.is_none() || then == now);
    kept && earlier != later
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_signed_again_for_more_round_keys_and_for_nothing_else() {
        let [a, b] = [b"a", b"b"].map(|statement| Some(Digest::of(statement)));
        assert!(names_more(&[None, None], &[a, None]));
        assert!(names_more(&[a, None], &[a, b]));
        assert!(!names_more(&[a, None], &[a, None]));
        assert!(!names_more(&[a, None], &[b, b]));
        assert!(!names_more(&[a, None], &[None, b]));
    }
}
