//! Endorsements of a closing, and the certificate that Q of them are.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::closing::{Closing, ClosingError};
use super::manifest::Manifest;
use super::study::Study;
use crate::digest::Digest;
use crate::id::{ClosingId, RoundNumber, SiteId, StudyId};
use crate::signature::{SignatureError, Signed, Statement};
use crate::wire::canonical::canonical;

/// A key holder's one endorsement for a study and round number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Endorsement {
    /// The study.
    pub study: StudyId,
    /// Round number: at most one endorsement for each, whatever manifests exist.
    pub round: RoundNumber,
    /// The closing.
    pub closing: ClosingId,
    /// Who endorses.
    pub holder: SiteId,
}
canonical!(Endorsement { study, round, closing, holder });

impl Statement for Endorsement {
    const LABEL: &'static str = "endorsement";
    type Id = Digest;
}

/// Q endorsements of one closing by different holders. At most one exists per round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The closing.
    pub closing: Signed<Closing>,
    /// Endorsements of it.
    pub endorsements: Vec<Signed<Endorsement>>,
}

/// A certificate that certifies nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// The closing itself is wrong.
    #[error(transparent)]
    Closing(#[from] ClosingError),
    /// An endorsement of something else, by no holder, or a second one.
    #[error(
        "an endorsement by {0} is for another closing, by no key holder of the round, or stands twice"
    )]
    Endorsement(SiteId),
    /// Signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Too few endorsements.
    #[error(
        "round {round} has {got} endorsements of its closing, needed {needed}: too few key holders answered, so nothing may be opened"
    )]
    TooFew {
        /// The round.
        round: RoundNumber,
        /// Q.
        needed: u16,
        /// Endorsements that came.
        got: usize,
    },
}

impl Certificate {
    /// Checks closing and endorsements; only what passes here may be opened.
    ///
    /// # Errors
    /// [`CertificateError`] with the first thing that is wrong.
    pub fn check(&self, study: &Study, manifest: &Manifest) -> Result<(), CertificateError> {
        Closing::check(&self.closing, study, manifest)?;
        let closing = self.closing.id();
        let mut endorsed = BTreeSet::new();
        for endorsement in &self.endorsements {
            let Endorsement { study: of_study, round, closing: of_closing, holder } =
                &endorsement.statement;
            let refuse = || CertificateError::Endorsement(holder.clone());
            let offset = study.holder_offset(manifest.round, holder).ok_or_else(refuse)?;
            let matches =
                *of_study == manifest.study && *round == manifest.round && *of_closing == closing;
            if !matches || !endorsed.insert(offset) {
                return Err(refuse());
            }
            let site = study.site(holder).ok_or_else(refuse)?;
            endorsement.verify(&site.signature_key, holder)?;
        }
        let needed = study.threshold.endorsements;
        if endorsed.len() < usize::from(needed) {
            let (round, got) = (manifest.round, endorsed.len());
            return Err(CertificateError::TooFew { round, needed, got });
        }
        Ok(())
    }
}
