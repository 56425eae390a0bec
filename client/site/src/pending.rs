//! An epoch that this site has signed and that is not made: it keeps this site from later rounds, until
//! it is made or cannot be made any more.

use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Epoch, SignedEpoch, signers_needed};

use crate::error::SiteError;
use crate::site::Site;
use crate::transport::present;

/// Rounds after an epoch's last one in which others are looked for who have gone on without it.
const ROUNDS: usize = 8;

impl Site {
    /// The next epoch, where this site has signed it and is bound by it, with the signatures that it had
    /// then. The aggregator forgets it when it is started again.
    ///
    /// # Errors
    /// [`SiteError::Journal`] when the record cannot be read.
    pub fn pending_epoch(&self) -> Result<Option<SignedEpoch>, SiteError> {
        let signed = self.journal.signed_epoch(self.first_study, self.epoch.saturating_add(1))?;
        let bound = self.bound_epoch()?;
        Ok(signed.filter(|signed| bound.as_ref() == Some(&signed.epoch)))
    }

    /// The next epoch by which this site is bound: it has signed it, by its own state or, after that came
    /// from a backup, as its signature has shown. Of two the one that ends later was signed later, once
    /// the other was given up.
    pub(crate) fn bound_epoch(&self) -> Result<Option<Epoch>, SiteError> {
        let (first, number) = (self.first_study, self.epoch.saturating_add(1));
        let own = self.journal.signed_epoch(first, number)?.map(|signed| signed.epoch);
        let recalled = self.journal.recalled_epoch(first, number)?.map(|signed| signed.epoch);
        let given_up = self.journal.given_up_epoch(first, number)?;
        let last = recalled.into_iter().chain(own).max_by_key(|epoch| epoch.last_round);
        Ok(last.filter(|epoch| given_up != Some(epoch.id())))
    }

    /// Refuses to sign an epoch that the aggregator does not make any more, for rounds after its last one
    /// are open: this site would wait for it in vain. One that it has signed it may send again.
    ///
    /// # Errors
    /// [`SiteError::EpochMissed`].
    pub async fn check_not_missed(&self, signed: &SignedEpoch) -> Result<(), SiteError> {
        let last = signed.epoch.last_round;
        let opened = self.next_under_any().await?;
        let is_signed = self.bound_epoch()?.is_some_and(|known| known == signed.epoch);
        match opened > last.next() && !is_signed {
            true => Err(SiteError::EpochMissed { last, opened: opened.0 }),
            false => Ok(()),
        }
    }

    /// Gives up an epoch that this site has signed, once the headers of so many sites in later rounds
    /// under the roster before are shown that it cannot be made any more: an honest site that has
    /// signed such a header signs no epoch that ends before its round, and of `n` sites
    /// `floor((n + c) / 2) + 1` must sign. Then this site goes on under that roster, and may sign
    /// another epoch with this number. The number of the one that was given up now.
    ///
    /// # Errors
    /// [`SiteError`] when the aggregator does not answer.
    pub async fn give_up_epoch(&self) -> Result<Option<u32>, SiteError> {
        let Some(epoch) = self.bound_epoch()? else { return Ok(None) };
        let first = epoch.last_round.next();
        let next = self.next_under_any().await?;
        let rounds: Vec<RoundNumber> = (first.0..next.0).take(ROUNDS).map(RoundNumber).collect();
        let (roster, mut gone_on) = (&self.study.roster, 0usize);
        for entry in roster.iter().filter(|_| !rounds.is_empty()) {
            for round in &rounds {
                let header = present(self.at(*round).header(&entry.id).await)?;
                let signs = header.is_some_and(|header| {
                    let of = &header.statement;
                    (of.study, of.round, &of.site) == (self.study_id, *round, &entry.id)
                        && header.verify(&entry.signature_key, &entry.id).is_ok()
                });
                if signs {
                    gone_on += 1;
                    break;
                }
            }
        }
        // Up to c of them may have signed the epoch all the same.
        let honest = gone_on.saturating_sub(self.study.threshold.collusion.into());
        if roster.len().saturating_sub(honest) >= signers_needed(&self.study) {
            return Ok(None);
        }
        self.journal.give_up_epoch(self.first_study, &epoch)?;
        Ok(Some(epoch.epoch))
    }
}
