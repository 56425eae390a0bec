//! The study's check key, as the study carries it.

use serde::{Deserialize, Serialize};

use super::roster_entry::HexBytes;
use crate::digest::Digest;
use crate::wire::canonical::canonical;

/// The study's check key, sealed to every site and never to the aggregator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckKeySeals {
    /// Digest of the key, so that every site knows that all were given the same one.
    pub commitment: Digest,
    /// One sealed key a site, in roster order.
    pub sealed: Vec<HexBytes>,
}
canonical!(CheckKeySeals { commitment, sealed });
