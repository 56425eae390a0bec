//! The aggregator's receipt for a contribution.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{HeaderId, ManifestId, SiteId, UnixSeconds};
use crate::signature::Statement;
use crate::wire::canonical::canonical;

/// The aggregator's signed word that a contribution is durably stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The round's manifest.
    pub manifest: ManifestId,
    /// Who contributed.
    pub site: SiteId,
    /// The contribution's header.
    pub header: HeaderId,
    /// When all of it was durable.
    pub received_at: UnixSeconds,
}
canonical!(Receipt { manifest, site, header, received_at });

impl Statement for Receipt {
    const LABEL: &'static str = "receipt";
    type Id = Digest;
}
