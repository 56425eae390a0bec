//! The files that commands read and write.

use std::path::Path;

use anyhow::Context;
use ringfence_crypto::statement::{RosterEntry, SignedStudy, Study};
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};
use ringfence_durable::Readers;
use ringfence_keys::identity::Identity;
use ringfence_site::model;
use ringfence_weights::Weights;
use zeroize::Zeroizing;

/// Reads a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file completely or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    ringfence_durable::write(path, bytes, Readers::Usual)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> anyhow::Result<()> {
    ringfence_durable::create_folder(path)
        .with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Reads a study file.
pub(crate) fn read_study(path: &Path) -> anyhow::Result<SignedStudy> {
    let bytes = read(path)?;
    SignedStudy::parse(&bytes).with_context(|| path.display().to_string())
}

/// Reads a secret identity file.
pub(crate) fn read_identity(path: &Path) -> anyhow::Result<Identity> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .with_context(|| format!("cannot read the identity {}", path.display()))?;
    Identity::from_file(&text).with_context(|| path.display().to_string())
}

/// Reads a public site file.
pub(crate) fn read_public(path: &Path) -> anyhow::Result<RosterEntry> {
    let bytes = read(path)?;
    json::parse(&bytes, MAX_MESSAGE, "public site file").with_context(|| path.display().to_string())
}

/// Reads tensors that must have the study's layout.
pub(crate) fn read_weights(path: &Path, study: &Study) -> anyhow::Result<Weights> {
    let weights = Weights::load(path)?;
    model::check_layout(&weights, &study.layout).with_context(|| path.display().to_string())?;
    Ok(weights)
}
