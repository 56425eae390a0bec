//! What the key holders of a round certify when its sum cannot be decoded, or check words are wrong.

use serde::{Deserialize, Serialize};

use super::closing::Closing;
use super::quorum::{Certifiable, QuorumError};
use super::study::Study;
use crate::id::{ClosingId, DisputeId, RoundNumber, SiteId, StudyId, VerdictId};
use crate::ring::params::RING_DEGREE;
use crate::signature::Statement;
use crate::wire::canonical::canonical;

/// The true sum over a certified set, less the sites that earlier verdicts named, does not decode at
/// this position, the first by block and coefficient. It is a function of the closing and the
/// verdicts, so all honest holders name the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Dispute {
    /// The study.
    pub study: StudyId,
    /// Round number.
    pub round: RoundNumber,
    /// The certified closing.
    pub closing: ClosingId,
    /// 1 to c: which dispute of the round.
    pub index: u16,
    /// The verdict of the dispute before; none for index 1.
    pub after: Option<VerdictId>,
    /// Block of the body, from 0.
    pub block: u64,
    /// Coefficient in the block, 0 to 4095.
    pub coefficient: u16,
}
canonical!(Dispute { study, round, closing, index, after, block, coefficient });

impl Statement for Dispute {
    const LABEL: &'static str = "dispute";
    type Id = DisputeId;
}

impl Certifiable for Dispute {
    const ENDORSEMENT: &'static str = "dispute-endorsement";

    fn round(&self) -> RoundNumber {
        self.round
    }
}

/// The sites that broke the format, shown by one coefficient of each body; or, without a dispute,
/// those whose check words are not those of their bodies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The study.
    pub study: StudyId,
    /// Round number.
    pub round: RoundNumber,
    /// The certified closing.
    pub closing: ClosingId,
    /// The certified dispute; none when check words are wrong.
    pub dispute: Option<DisputeId>,
    /// The culprits, ascending by name.
    pub sites: Vec<SiteId>,
}
canonical!(Verdict { study, round, closing, dispute, sites });

impl Statement for Verdict {
    const LABEL: &'static str = "verdict";
    type Id = VerdictId;
}

impl Certifiable for Verdict {
    const ENDORSEMENT: &'static str = "verdict-endorsement";

    fn round(&self) -> RoundNumber {
        self.round
    }
}

/// A dispute or verdict that no holder should endorse, whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DisputeError {
    /// A study in which a spoiled round names nobody.
    #[error(
        "this study has no disputes: naming a culprit needs m >= 3c + l key holders, and it has m = {holders}"
    )]
    NoNames {
        /// `m`.
        holders: u16,
    },
    /// Of another round or closing.
    #[error(
        "the {what} is of another study, round or closing (expected closing {expected}, got {got})"
    )]
    Other {
        /// `dispute` or `verdict`.
        what: &'static str,
        /// The certified closing.
        expected: ClosingId,
        /// As stated.
        got: ClosingId,
    },
    /// Not 1 to c, or without the verdict before.
    #[error(
        "dispute {index} after verdict {after:?}: expected index 1 without a verdict before it, or an index up to c = {collusion} after the verdict of the one before"
    )]
    Index {
        /// As stated.
        index: u16,
        /// As stated.
        after: Option<VerdictId>,
        /// The study's bound.
        collusion: u16,
    },
    /// No position of a body.
    #[error("block {block}, coefficient {coefficient} is no position of a body of {blocks} blocks")]
    Position {
        /// As stated.
        block: u64,
        /// As stated.
        coefficient: u16,
        /// Blocks of a body.
        blocks: usize,
    },
    /// No sites, too many, out of order, or not of the set.
    #[error(
        "the verdict names {got} sites, expected 1 to c = {collusion} of the set, ascending by name"
    )]
    Sites {
        /// Sites named.
        got: usize,
        /// The study's bound.
        collusion: u16,
    },
    /// Disputes and verdicts that do not follow each other.
    #[error(
        "dispute {index} and its verdict do not follow the ones before, do not belong together, or name a site again (index 0: the verdict on check words names a dispute); fetch them again, and report it if it stays so"
    )]
    OutOfOrder {
        /// Which dispute.
        index: u16,
    },
    /// Endorsed by too few, or not by holders.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
}

impl Dispute {
    /// Checks what the statement alone shows, for a certified closing.
    ///
    /// # Errors
    /// [`DisputeError`] with the first thing that is wrong.
    pub fn check(&self, study: &Study, closing: &Closing) -> Result<(), DisputeError> {
        let Self { study: of, round, closing: got, index, after, block, coefficient } = self;
        names(study)?;
        let expected = closing.id();
        if *of != closing.study || *round != closing.round || *got != expected {
            return Err(DisputeError::Other { what: "dispute", expected, got: *got });
        }
        let collusion = study.threshold.collusion;
        if *index == 0 || *index > collusion || (*index == 1) != after.is_none() {
            return Err(DisputeError::Index { index: *index, after: *after, collusion });
        }
        let blocks = study.blocks().unwrap_or(0);
        if *block >= blocks as u64 || usize::from(*coefficient) >= RING_DEGREE {
            let (block, coefficient) = (*block, *coefficient);
            return Err(DisputeError::Position { block, coefficient, blocks });
        }
        Ok(())
    }
}

impl Verdict {
    /// Checks what the statement alone shows, for a certified closing.
    ///
    /// # Errors
    /// [`DisputeError`] with the first thing that is wrong.
    pub fn check(&self, study: &Study, closing: &Closing) -> Result<(), DisputeError> {
        let Self { study: of, round, closing: got, dispute: _, sites } = self;
        names(study)?;
        let expected = closing.id();
        if *of != closing.study || *round != closing.round || *got != expected {
            return Err(DisputeError::Other { what: "verdict", expected, got: *got });
        }
        let collusion = study.threshold.collusion;
        let count = 1..=usize::from(collusion);
        let ascending = sites.is_sorted_by(|a, b| a < b);
        let of_set = sites.iter().all(|site| closing.header_of(site).is_some());
        if !count.contains(&sites.len()) || !ascending || !of_set {
            return Err(DisputeError::Sites { got: sites.len(), collusion });
        }
        Ok(())
    }
}

fn names(study: &Study) -> Result<(), DisputeError> {
    match study.threshold.names() {
        true => Ok(()),
        false => Err(DisputeError::NoNames { holders: study.threshold.holders }),
    }
}
