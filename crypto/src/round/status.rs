//! A round at a glance.

use serde::{Deserialize, Serialize};

use super::Round;
use crate::digest::Digest;
use crate::statement::SiteId;

/// Where a round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundState {
    /// Contributions are taken.
    Collecting,
    /// Holders review the envelopes sealed to them.
    Reviewing,
    /// The set is fixed and waits for Q endorsements.
    Closed,
    /// Certified: holders open.
    Certified,
    /// At least t openings are there: every site can open the sum.
    Opened,
    /// The certified closing has an empty set.
    Aborted,
}

/// What anyone may know of a round: who took part, and how far it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundStatus {
    /// Digest of the study.
    pub study: Digest,
    /// Round number.
    pub round: u32,
    /// Events so far; a long poll waits for more than it has seen.
    pub version: u64,
    /// Where it stands.
    pub state: RoundState,
    /// Unix seconds.
    pub deadline: u64,
    /// Who opened the round.
    pub initiator: SiteId,
    /// Key holders in window order.
    pub holders: Vec<SiteId>,
    /// Contributions with receipts.
    pub received: Vec<SiteId>,
    /// Holders that reviewed.
    pub reviewed: Vec<SiteId>,
    /// Holders that endorsed the closing.
    pub endorsed: Vec<SiteId>,
    /// Q.
    pub endorsements_needed: u16,
    /// Holders that opened.
    pub opened: Vec<SiteId>,
    /// t.
    pub openings_needed: u16,
    /// Sites that acknowledged.
    pub acknowledged: Vec<SiteId>,
}

impl Round {
    /// Where the round stands, derived from what it has seen.
    pub fn state(&self) -> RoundState {
        let threshold = &self.study.threshold;
        let Some(closing) = &self.closing else {
            return match self.frozen_at {
                None => RoundState::Collecting,
                Some(_) => RoundState::Reviewing,
            };
        };
        if self.endorsements.len() < usize::from(threshold.endorsements) {
            RoundState::Closed
        } else if closing.statement.is_abort() {
            RoundState::Aborted
        } else if self.openings.len() < usize::from(threshold.opening) {
            RoundState::Certified
        } else {
            RoundState::Opened
        }
    }

    /// The round at a glance.
    pub fn status(&self) -> RoundStatus {
        let manifest = &self.manifest.statement;
        RoundStatus {
            study: manifest.study,
            round: manifest.round,
            version: self.version,
            state: self.state(),
            deadline: manifest.deadline,
            initiator: manifest.initiator.clone(),
            holders: manifest.holders.clone(),
            received: self.received().map(|(site, _)| site.clone()).collect(),
            reviewed: self.reviews.keys().cloned().collect(),
            endorsed: self.endorsements.keys().cloned().collect(),
            endorsements_needed: self.study.threshold.endorsements,
            opened: self.openings.keys().cloned().collect(),
            openings_needed: self.study.threshold.opening,
            acknowledged: self.acknowledgements.keys().cloned().collect(),
        }
    }
}
