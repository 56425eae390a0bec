//! A round that takes no contribution any more: found out before anything is trained for it, and again
//! before anything is spent on it.

use std::fmt;

use ringfence_crypto::id::{ModelId, RoundNumber, UnixSeconds};
use ringfence_crypto::round::RoundState;
use ringfence_crypto::statement::Manifest;

use crate::contribute::Joined;
use crate::error::SiteError;
use crate::site::Site;

/// A round that takes no contribution any more, as the aggregator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// The round.
    pub round: RoundNumber,
    /// Until when it took contributions, by its manifest.
    pub deadline: UnixSeconds,
    /// Where it stands.
    pub state: RoundState,
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { round, deadline, state } = self;
        write!(
            f,
            "round {round} took contributions until {} and takes none any more: it {}, says the aggregator",
            deadline.utc(),
            in_words(*state)
        )
    }
}

/// What a round does or is, after its name.
fn in_words(state: RoundState) -> &'static str {
    match state {
        RoundState::Collecting => "is about to be reviewed",
        RoundState::Reviewing => "is reviewed by its key holders",
        RoundState::Closed => "is closed",
        RoundState::Certified => "is certified",
        RoundState::Opened => "is opened",
        RoundState::Aborted => "was aborted",
    }
}

impl Site {
    /// Whether a contribution of this site to a round is on disk: it is sent as it is, whatever is
    /// trained, and is charged already.
    ///
    /// # Errors
    /// [`SiteError::Journal`] when the state cannot be read.
    pub fn has_contribution(&self, round: RoundNumber) -> Result<bool, SiteError> {
        Ok(self.journal.round(self.study_id, round)?.contribution()?.is_some())
    }

    /// Refuses an open round that takes no contribution of this site, from this base model: to be
    /// asked before anything is trained for it. Not where a contribution to it is on disk already.
    ///
    /// # Errors
    /// [`SiteError::Barred`], [`SiteError::TooLate`], [`SiteError::Rule`] and others that
    /// [`Joined::contribute`] would end with; [`SiteError::Transport`] when the aggregator does not
    /// say how the round stands.
    pub async fn check_takes(
        &self,
        round: RoundNumber,
        base_model: ModelId,
    ) -> Result<(), SiteError> {
        let joined = Joined { site: self, manifest: self.manifest(round).await? };
        joined.check_trusted()?;
        self.check_in_time(&joined.manifest.statement).await?;
        joined.check_rules(base_model)
    }

    /// Refuses a round that takes no contribution any more. The aggregator's word decides, for it is
    /// the aggregator that would refuse: a clock here that is ahead loses no round. It looks at its
    /// clock every now and then only, so where this site's says that the time is over it is asked what
    /// its own shows.
    pub(crate) async fn check_in_time(&self, manifest: &Manifest) -> Result<(), SiteError> {
        let Manifest { round, deadline, .. } = *manifest;
        let state = self.look_again(round).await?.state;
        let is_late = match state {
            RoundState::Collecting if self.clock.now() > deadline => {
                self.transport.time(&self.study.aggregator_key).await? > deadline
            }
            state => state != RoundState::Collecting,
        };
        match is_late {
            true => Err(SiteError::TooLate(Late { round, deadline, state })),
            false => Ok(()),
        }
    }
}
