//! The study's policy on differential privacy.

use serde::{Deserialize, Serialize};

use crate::wire::canonical::Canonical;

/// The study's differential-privacy policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyPolicy {
    /// No noise: the opened sum is exact and may itself leak (see `docs/security.md`).
    None,
}

impl Canonical for PrivacyPolicy {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => 0u8.encode(out),
        }
    }
}
