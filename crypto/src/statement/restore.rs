//! After a restore from a backup: the site asks the others how far the study has come, and they
//! answer. The aggregator only carries both.

use serde::{Deserialize, Serialize};

use super::epoch::HasSigned;
use crate::digest::Digest;
use crate::id::{RoundNumber, SiteId, StudyId, UnixSeconds};
use crate::signature::Statement;
use crate::wire::canonical::{Canonical, canonical};

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

/// A site's answer to a restore request: the highest round whose manifest it has accepted, and the
/// study's next epoch, where it knows that the site that asks has signed one.
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
    /// The next epoch that the restored site has signed, as its own signature shows; left out where this
    /// site knows of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_signed: Option<Box<HasSigned>>,
}

impl Canonical for Standing {
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { study, request, site, round, has_signed } = self;
        study.encode(out);
        request.encode(out);
        site.encode(out);
        round.encode(out);
        // Nothing stands for none: such an answer is the same to the byte as before there were epochs.
        if let Some(has_signed) = has_signed {
            has_signed.encode(out);
        }
    }
}

impl Statement for Standing {
    const LABEL: &'static str = "standing";
    type Id = Digest;
}
