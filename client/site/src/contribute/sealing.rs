//! How a contribution's shares were sealed.

use std::fmt;

use ringfence_crypto::id::SiteId;
use ringfence_crypto::statement::{HolderKey, HolderKeys, Manifest};
use ringfence_words::listed;
use serde::{Deserialize, Serialize};

/// Holders that this contribution's shares could not be sealed to as they should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealing {
    /// Sealed to under their long-term keys, for the manifest names no round keys of them: whoever
    /// takes such a key later can read these envelopes.
    pub long_term: Vec<SiteId>,
    /// Dealt empty envelopes, for their round keys are none, each with what is wrong. None are
    /// listed when the contribution was made earlier.
    pub empty: Vec<(SiteId, String)>,
}

impl Sealing {
    /// What the manifest alone shows.
    pub(super) fn by_manifest(manifest: &Manifest) -> Self {
        let named = manifest.holders.iter().zip(&manifest.holder_keys);
        let unnamed = named.filter(|(_, keys)| keys.is_none()).map(|(holder, _)| holder.clone());
        Self { long_term: unnamed.collect(), empty: Vec::new() }
    }

    pub(super) fn of(manifest: &Manifest, keys: &HolderKeys) -> Self {
        let mut sealing = Self::by_manifest(manifest);
        for (holder, key) in manifest.holders.iter().zip(keys.iter()) {
            if let HolderKey::Unusable(fault) = key {
                sealing.empty.push((holder.clone(), format!("its round key {fault}")));
            }
        }
        sealing
    }
}

impl fmt::Display for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        if !self.long_term.is_empty() {
            lines.push(format!(
                "sealed under long-term keys, without forward secrecy: {}",
                listed(&self.long_term)
            ));
        }
        for (holder, fault) in &self.empty {
            lines.push(format!("nothing could be sealed to {holder}: {fault}"));
        }
        f.write_str(&lines.join("\n"))
    }
}
