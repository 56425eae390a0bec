//! How a round stands that a site waits in: who has come, who is missing, and until when.

use std::fmt;

use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::round::{DisputeStatus, RoundState, RoundStatus, SiteSet};
use ringfence_crypto::statement::Study;
use serde::Serialize;

use crate::overdue::{missing, names};
use crate::wait::Awaited;

/// A round that a site waits in for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoundWait {
    /// The round.
    pub round: RoundNumber,
    /// Where it stands, as the aggregator says.
    pub state: RoundState,
    /// Who has come, under the name that the round's status has for it.
    #[serde(flatten)]
    pub came: Came,
    /// How many are needed for the next step; more may come.
    pub needed: usize,
    /// Who has not come.
    pub missing: Vec<SiteId>,
    /// When contributions or reviews end whoever is missing then.
    pub deadline: Option<UnixSeconds>,
    /// When this site gives up.
    pub until: UnixSeconds,
}

/// The sites that have done what is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    /// Contributions with receipts.
    Received(Vec<SiteId>),
    /// Reviews.
    Reviewed(Vec<SiteId>),
    /// Endorsements of the closing.
    Endorsed(Vec<SiteId>),
    /// Openings.
    Opened(Vec<SiteId>),
    /// Endorsements of a dispute.
    Disputing(Vec<SiteId>),
    /// Openings of functionals in it.
    Answered(Vec<SiteId>),
    /// Endorsements of its verdict.
    Judging(Vec<SiteId>),
    /// Openings of the keys that it names.
    Removing(Vec<SiteId>),
    /// Acknowledgements of the round's model.
    Acknowledged(Vec<SiteId>),
}

impl Came {
    fn sites(&self) -> &[SiteId] {
        match self {
            Self::Received(sites)
            | Self::Reviewed(sites)
            | Self::Endorsed(sites)
            | Self::Opened(sites)
            | Self::Disputing(sites)
            | Self::Answered(sites)
            | Self::Judging(sites)
            | Self::Removing(sites)
            | Self::Acknowledged(sites) => sites,
        }
    }

    /// What each of them has sent.
    fn what(&self) -> &'static str {
        match self {
            Self::Received(_) => "contributions",
            Self::Reviewed(_) => "reviews",
            Self::Endorsed(_) => "endorsements of the closing",
            Self::Opened(_) => "openings",
            Self::Disputing(_) => "endorsements of the dispute",
            Self::Answered(_) => "openings in the dispute",
            Self::Judging(_) => "endorsements of the verdict",
            Self::Removing(_) => "openings of the keys that the verdict names",
            Self::Acknowledged(_) => "acknowledgements of its model",
        }
    }
}

impl RoundWait {
    /// A round that stands like this, of which `what` is waited for.
    pub(crate) fn of(
        study: &Study,
        what: Awaited,
        status: &RoundStatus,
        deadline: Option<UnixSeconds>,
        until: UnixSeconds,
    ) -> Self {
        let (endorsements, openings) =
            (status.endorsements_needed.into(), status.openings_needed.into());
        let named = |set: &SiteSet| set.sites(&study.roster).cloned().collect();
        let of = |index: u16, sites: fn(&DisputeStatus) -> &SiteSet| {
            let dispute = status.disputes.iter().find(|dispute| dispute.index == index);
            dispute.map(|dispute| named(sites(dispute))).unwrap_or_default()
        };
        let (came, needed) = match what {
            Awaited::Dispute(index) => {
                (Came::Disputing(of(index, |of| &of.disputing)), endorsements)
            }
            Awaited::Functionals(index) => (Came::Answered(of(index, |of| &of.answered)), openings),
            Awaited::Verdict(index) => (Came::Judging(of(index, |of| &of.judging)), endorsements),
            Awaited::Keys(index) => (Came::Removing(of(index, |of| &of.removing)), openings),
            Awaited::Contributions | Awaited::Closing | Awaited::Certificate | Awaited::End => {
                match status.state {
                    RoundState::Collecting => {
                        (Came::Received(named(&status.received)), study.roster.len())
                    }
                    RoundState::Reviewing => {
                        (Came::Reviewed(named(&status.reviewed)), status.holders.len())
                    }
                    RoundState::Closed => (Came::Endorsed(named(&status.endorsed)), endorsements),
                    RoundState::Certified | RoundState::Opened | RoundState::Aborted => {
                        (Came::Opened(named(&status.opened)), openings)
                    }
                }
            }
        };
        let mut missing = missing(study, what, status);
        if matches!(came, Came::Opened(_)) && missing.is_empty() {
            // Enough have opened, and this site waits for more of them.
            let holders = status.holders.iter();
            missing = holders.filter(|id| !came.sites().contains(id)).cloned().collect();
        }
        let (round, state) = (status.round, status.state);
        Self { round, state, came, needed, missing, deadline, until }
    }

    /// A round that is over, of whose model acknowledgements are waited for.
    pub(crate) fn of_agreement(study: &Study, status: &RoundStatus, until: UnixSeconds) -> Self {
        let sites: Vec<SiteId> = status.acknowledged.sites(&study.roster).cloned().collect();
        let roster = study.roster.iter().map(|site| &site.id);
        Self {
            round: status.round,
            state: status.state,
            needed: study.threshold.endorsements.into(),
            missing: roster.filter(|id| !sites.contains(id)).cloned().collect(),
            came: Came::Acknowledged(sites),
            deadline: None,
            until,
        }
    }

    /// Who has come and who is missing, in words, for whoever does not wait any more.
    #[must_use]
    pub fn stands(&self) -> String {
        let Self { round, came, needed, missing, deadline, .. } = self;
        let (sites, what) = (came.sites(), came.what());
        let mut text = format!("round {round}: {} of {needed} {what} are there", sites.len());
        if !sites.is_empty() {
            text += &format!(" ({})", names(sites));
        }
        if !missing.is_empty() {
            text += &format!("; missing: {}", names(missing));
            if let Some(deadline) = deadline {
                text += &format!("; the time for them ends {}", deadline.utc());
            }
        }
        text
    }
}

impl fmt::Display for RoundWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // They are all there, and the aggregator has not taken the next step yet.
        let whom = if self.missing.is_empty() { " for the aggregator" } else { "" };
        write!(f, "{}; waiting{whom} until {} at most", self.stands(), self.until.utc())
    }
}
