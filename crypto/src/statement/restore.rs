//! After a restore from a backup: the site asks the others how far the study has come, and they
//! answer. The aggregator only carries both.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{RoundNumber, SiteId, StudyId, UnixSeconds};
use crate::signature::Statement;
use crate::wire::canonical::canonical;

/// A site that was restored from a backup asks every other one how far it knows the study to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// The study.
    pub study: StudyId,
    /// Who was restored.
    pub site: SiteId,
    /// 32 fresh random bytes: answers to earlier requests do not answer this one.
    pub nonce: Digest,
    /// When it was restored, by its own clock: it takes no part under manifests opened before.
    pub restored_at: UnixSeconds,
}
canonical!(RestoreRequest { study, site, nonce, restored_at });

impl Statement for RestoreRequest {
    const LABEL: &'static str = "restore-request";
    type Id = Digest;
}

/// A site's answer to a restore request: the highest round whose manifest it has accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The study.
    pub study: StudyId,
    /// Digest of the restore request that this answers.
    pub request: Digest,
    /// Who answers.
    pub site: SiteId,
    /// The highest round whose manifest it has accepted; none before the first.
    pub round: Option<RoundNumber>,
}
canonical!(Standing { study, request, site, round });

impl Statement for Standing {
    const LABEL: &'static str = "standing";
    type Id = Digest;
}
