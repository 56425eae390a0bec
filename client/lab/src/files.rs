//! The files that the laboratory writes.

use std::path::Path;

use anyhow::Context;
use ringfence_durable::{Readers, place};

/// Writes a file completely or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    ringfence_durable::write(path, bytes, Readers::Usual)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Makes the folder for results, with those above it, and refuses one that takes none.
pub(crate) fn result_folder(path: &Path) -> anyhow::Result<()> {
    place::check_folder(path).with_context(|| format!("cannot write to {}", path.display()))
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> anyhow::Result<()> {
    ringfence_durable::create_folder(path)
        .with_context(|| format!("cannot make the folder {}", path.display()))
}
