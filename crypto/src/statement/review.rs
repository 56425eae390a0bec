//! A key holder's review of the shares that were dealt to it.

use serde::{Deserialize, Serialize};

use super::freeze::Freeze;
use super::study::Study;
use crate::dealing::{Answer, Reviewed};
use crate::digest::Digest;
use crate::id::{FreezeId, ManifestId, RoundNumber, SiteId};
use crate::signature::{SignatureError, Signed, Statement};
use crate::wire::canonical::canonical;

/// A key holder's word on the shares that were dealt to it: for each contribution of the freeze that
/// the envelope holds none, or two random functionals of it, masked. A holder makes one review a
/// study and round number: two answers under two challenges would cancel the mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The round's manifest.
    pub manifest: ManifestId,
    /// The list that is reviewed; the challenge follows it.
    pub freeze: FreezeId,
    /// Who reviewed.
    pub holder: SiteId,
    /// One answer a contribution, in the freeze's order.
    pub answers: Vec<Answer>,
}
canonical!(Review { manifest, freeze, holder, answers });

impl Statement for Review {
    const LABEL: &'static str = "review";
    type Id = Digest;
}

/// A review that does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// By nobody who holds keys in the round.
    #[error("the review is by {holder}, which is no key holder of round {round}")]
    NoHolder {
        /// Who signed.
        holder: SiteId,
        /// The round.
        round: RoundNumber,
    },
    /// Of another list.
    #[error(
        "the review of {holder} is of freeze {got}, expected {expected}: a holder reviews once a round; if the aggregator signed two freezes, keep both as evidence"
    )]
    OtherFreeze {
        /// Who signed.
        holder: SiteId,
        /// The round's freeze.
        expected: FreezeId,
        /// As stated.
        got: FreezeId,
    },
    /// Not one answer a contribution.
    #[error(
        "the review of {holder} has {got} answers, expected one for each of {expected} contributions"
    )]
    Answers {
        /// Who signed.
        holder: SiteId,
        /// Contributions of the freeze.
        expected: usize,
        /// As stated.
        got: usize,
    },
    /// Signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Review {
    /// Checks that a review is a holder's own, of this freeze, with one answer a contribution.
    ///
    /// # Errors
    /// [`ReviewError`] with the first thing that is wrong.
    pub fn check(signed: &Signed<Self>, study: &Study, freeze: &Freeze) -> Result<(), ReviewError> {
        let Self { manifest, freeze: got, holder, answers } = &signed.statement;
        let none = || ReviewError::NoHolder { holder: holder.clone(), round: freeze.round };
        study.holder_offset(freeze.round, holder).ok_or_else(none)?;
        let expected = freeze.id();
        if *manifest != freeze.manifest || *got != expected {
            let (holder, got) = (holder.clone(), *got);
            return Err(ReviewError::OtherFreeze { holder, expected, got });
        }
        let (expected, got) = (freeze.contributions.len(), answers.len());
        if expected != got {
            return Err(ReviewError::Answers { holder: holder.clone(), expected, got });
        }
        let member = study.site(holder).ok_or_else(none)?;
        Ok(signed.verify(&member.signature_key, holder)?)
    }

    /// What the judgement reads of it.
    pub fn reviewed(&self) -> Reviewed {
        Reviewed { holder: self.holder.clone(), answers: self.answers.clone() }
    }
}
