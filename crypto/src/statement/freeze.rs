//! The freeze: the list of contributions that the aggregator takes into a round's review.

use serde::{Deserialize, Serialize};

use super::closing::Included;
use super::header::Header;
use super::manifest::Manifest;
use super::study::Study;
use crate::dealing::Trust;
use crate::id::{FreezeId, HeaderId, ManifestId, RoundNumber, SiteId, StudyId, UnixSeconds};
use crate::signature::{SignatureError, Signed, Statement};
use crate::time::Utc;
use crate::wire::canonical::canonical;

/// The aggregator's signed list of the contributions that got receipts, when collecting has ended.
/// The challenge of the reviews follows its digest; set and exclusions of the closing are this list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// The study.
    pub study: StudyId,
    /// Round number.
    pub round: RoundNumber,
    /// The round's manifest.
    pub manifest: ManifestId,
    /// When collecting ended.
    pub frozen_at: UnixSeconds,
    /// The contributions with a receipt, ascending by name.
    pub contributions: Vec<Included>,
}
canonical!(Freeze { study, round, manifest, frozen_at, contributions });

impl Statement for Freeze {
    const LABEL: &'static str = "freeze";
    type Id = FreezeId;
}

/// A freeze that no holder should review.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FreezeError {
    /// Of another round or study.
    #[error(
        "the freeze is for round {got} (manifest {got_manifest}) of study {got_study}, expected round {expected} (manifest {expected_manifest}) of study {expected_study}"
    )]
    Round {
        /// This round.
        expected: RoundNumber,
        /// This round's manifest.
        expected_manifest: ManifestId,
        /// This study.
        expected_study: StudyId,
        /// As stated.
        got: RoundNumber,
        /// As stated.
        got_manifest: ManifestId,
        /// As stated.
        got_study: StudyId,
    },
    /// Frozen before it was opened.
    #[error(
        "the freeze says that collecting ended at {frozen_at}, before the manifest opened the round at {opened_at}; the aggregator signed a wrong time: look at its clock"
    )]
    BeforeOpened {
        /// As stated.
        frozen_at: Utc,
        /// By the manifest.
        opened_at: Utc,
    },
    /// Out of order, twice, or not on the roster.
    #[error("the freeze's entry {0} is out of order, stands twice or is not on the roster")]
    Entry(SiteId),
    /// A site that may not contribute any more.
    #[error("the freeze lists {0}, which is barred: it broke the protocol in an earlier round")]
    Barred(SiteId),
    /// A contribution whose header is not the site's own.
    #[error("the freeze names header {got} of {site}, but what that site signed is {expected:?}")]
    Header {
        /// Whose header.
        site: SiteId,
        /// What the site signed.
        expected: Option<HeaderId>,
        /// As stated.
        got: HeaderId,
    },
    /// Signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Freeze {
    /// Checks what the statement and the trust before the round show. Whether the headers are those
    /// of the sites is checked with them ([`Header::check`](super::Header::check)).
    ///
    /// # Errors
    /// [`FreezeError`] with the first thing that is wrong.
    pub fn check(
        signed: &Signed<Self>,
        study: &Study,
        manifest: &Manifest,
        trust: &Trust,
    ) -> Result<(), FreezeError> {
        let freeze = &signed.statement;
        signed.verify(&study.aggregator_key, &"the aggregator")?;
        let expected_manifest = manifest.id();
        if freeze.study != manifest.study
            || freeze.round != manifest.round
            || freeze.manifest != expected_manifest
        {
            return Err(FreezeError::Round {
                expected: manifest.round,
                expected_manifest,
                expected_study: manifest.study,
                got: freeze.round,
                got_manifest: freeze.manifest,
                got_study: freeze.study,
            });
        }
        if freeze.frozen_at < manifest.opened_at {
            let (frozen_at, opened_at) = (freeze.frozen_at.utc(), manifest.opened_at.utc());
            return Err(FreezeError::BeforeOpened { frozen_at, opened_at });
        }
        let mut previous: Option<&SiteId> = None;
        for Included { site, .. } in &freeze.contributions {
            if previous.is_some_and(|previous| previous >= site) || study.site(site).is_none() {
                return Err(FreezeError::Entry(site.clone()));
            }
            if trust.bars(site) {
                return Err(FreezeError::Barred(site.clone()));
            }
            previous = Some(site);
        }
        Ok(())
    }

    /// Checks that every entry is what its site signed for the round.
    ///
    /// # Errors
    /// [`FreezeError::Header`], or [`FreezeError::Signature`] for a header that its site has not
    /// signed.
    pub fn check_headers(
        &self,
        study: &Study,
        headers: &[Signed<Header>],
    ) -> Result<(), FreezeError> {
        for Included { site, header: got } in &self.contributions {
            let header = headers.iter().find(|header| header.statement.site == *site);
            let expected = header.map(Signed::id);
            let refuse = || FreezeError::Header { site: site.clone(), expected, got: *got };
            let (header, member) = header.zip(study.site(site)).ok_or_else(refuse)?;
            if expected != Some(*got) || header.statement.manifest != self.manifest {
                return Err(refuse());
            }
            header.verify(&member.signature_key, site)?;
        }
        Ok(())
    }

    /// The dealers, in the order of the reviews' answers.
    pub fn dealers(&self) -> Vec<SiteId> {
        self.contributions.iter().map(|entry| entry.site.clone()).collect()
    }

    /// Whether it lists this contribution.
    pub fn includes(&self, entry: &Included) -> bool {
        self.contributions.contains(entry)
    }
}
