//! What a site that was restored from a backup keeps out of: it may have signed there already and
//! forgotten it.

use ringfence_crypto::id::{RoundNumber, UnixSeconds};
use ringfence_crypto::statement::Manifest;

/// A site's abstention after a restore, as holder and as contributor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abstention {
    /// When it was restored, by its own clock: it takes no part under manifests opened before.
    pub restored_at: UnixSeconds,
    /// Last round in which it may have signed something; none while that is not known yet, and then
    /// it takes part in no round at all. See [`recall`](super::restored::recall).
    pub through: Option<RoundNumber>,
}

/// Why a restored site takes no part in a round.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AbstentionError {
    /// It has not learnt yet how far it may have forgotten.
    #[error(
        "this site was restored from a backup, and how many rounds that made it forget is not known yet: it takes part in none; run `ringfence restored`, with --continue where it was run and not answered yet"
    )]
    Unknown,
    /// It may have signed something in this round before the restore.
    #[error(
        "this site was restored from a backup and abstains through round {through}, so it takes no part in round {round}: it might have signed something there already"
    )]
    Through {
        /// The round.
        round: RoundNumber,
        /// Last round of abstention.
        through: RoundNumber,
    },
    /// The round was open before the restore.
    #[error(
        "round {round} was opened at {opened_at} by its manifest, before this site was restored from a backup at {restored_at} by its own clock (Unix seconds): it might have signed something there already and takes no part; the next round is open to it (set this site's clock if it is wrong)"
    )]
    OpenedBefore {
        /// The round.
        round: RoundNumber,
        /// By the manifest.
        opened_at: UnixSeconds,
        /// By this site's clock.
        restored_at: UnixSeconds,
    },
}

impl Abstention {
    /// Both: the later moment and the later round, and no round at all while either is open.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let through = self.through.zip(other.through).map(|(a, b)| a.max(b));
        Self { restored_at: self.restored_at.max(other.restored_at), through }
    }

    /// Whether a round comes after all in which this site may have signed something. Whoever opens one
    /// asks this: it has no manifest yet.
    ///
    /// # Errors
    /// [`AbstentionError`] says why not.
    pub fn reaches_not(&self, round: RoundNumber) -> Result<(), AbstentionError> {
        let through = self.through.ok_or(AbstentionError::Unknown)?;
        match round <= through {
            true => Err(AbstentionError::Through { round, through }),
            false => Ok(()),
        }
    }

    /// Whether this site may do anything in the round of a manifest.
    ///
    /// # Errors
    /// [`AbstentionError`] says why not.
    pub fn allows(&self, manifest: &Manifest) -> Result<(), AbstentionError> {
        let restored_at = self.restored_at;
        let Manifest { round, opened_at, .. } = *manifest;
        self.reaches_not(round)?;
        if opened_at < restored_at {
            return Err(AbstentionError::OpenedBefore { round, opened_at, restored_at });
        }
        Ok(())
    }
}
