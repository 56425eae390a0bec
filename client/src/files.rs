//! The files that commands read and write.

use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use ringfence_crypto::api::token;
use ringfence_crypto::signature::PublicKey;
use ringfence_crypto::statement::{RosterEntry, SignedStudy, Study};
use ringfence_crypto::wire::json::{self, MAX_MESSAGE, MAX_STUDY};
use ringfence_durable::{Readers, place, text};
use ringfence_keys::identity::{Identity, is_locked};
use ringfence_site::model;
use ringfence_weights::Weights;
use zeroize::Zeroizing;

/// Most bytes of a secret file.
pub(crate) const MAX_SECRET: usize = 4096;

/// Reads a text file of at most `limit` bytes as people's editors leave it. It may be secret.
pub(crate) fn read_text(path: &Path, limit: usize) -> anyhow::Result<Zeroizing<String>> {
    let cannot = || format!("cannot read {}", path.display());
    let bytes = Zeroizing::new(ringfence_durable::read(path, limit).with_context(cannot)?);
    Ok(Zeroizing::new(text::decode(&bytes).with_context(cannot)?.into_owned()))
}

/// Reads a token: the administrator's, or an auditor's.
pub(crate) fn read_token(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let file = read_text(path, MAX_SECRET)?;
    let token = token(file.as_bytes());
    let token = token.map_err(|error| anyhow!("{} holds {error}", path.display()))?;
    Ok(Zeroizing::new(token.to_owned()))
}

/// Writes a file completely or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    ringfence_durable::write(path, bytes, Readers::Usual)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a file that is whole after a crash, or as it was ([`ringfence_durable::write_whole`]).
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    ringfence_durable::write_whole(path, bytes, Readers::Usual)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes one of many results, whole or not at all; not synced ([`ringfence_durable::write_result`]).
pub(crate) fn write_result(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    ringfence_durable::write_result(path, bytes)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Leave to replace files.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Replacing {
    /// Replace what lies at the place of a file that is written; refused unless given.
    #[arg(long)]
    force: bool,
}

impl Replacing {
    /// Refuses a file that cannot be written, or that is there already, before the work whose result
    /// it is for.
    pub(crate) fn check(self, path: &Path) -> anyhow::Result<()> {
        match self.force {
            true => place::check_file(path),
            false => place::check_new_file(path, "give another name, or replace it by --force"),
        }
        .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Makes the folder for results, with those above it, and refuses one that takes none.
pub(crate) fn result_folder(path: &Path) -> anyhow::Result<()> {
    place::check_folder(path).with_context(|| format!("cannot write to {}", path.display()))
}

/// As [`result_folder`], for results that are of one run: the folder must hold nothing.
pub(crate) fn empty_folder(path: &Path) -> anyhow::Result<()> {
    place::check_empty_folder(path).with_context(|| format!("cannot write to {}", path.display()))
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> anyhow::Result<()> {
    ringfence_durable::create_folder(path)
        .with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Reads a study file.
pub(crate) fn read_study(path: &Path) -> anyhow::Result<SignedStudy> {
    let text = read_text(path, MAX_STUDY)?;
    SignedStudy::parse(text.as_bytes()).with_context(|| path.display().to_string())
}

/// Reads a public site file.
pub(crate) fn read_public(path: &Path) -> anyhow::Result<RosterEntry> {
    let text = read_text(path, MAX_MESSAGE)?;
    let at = || path.display().to_string();
    // What it holds is not shown.
    let is_secret = Identity::from_file(&text).is_ok() || is_locked(&text);
    ensure!(
        !is_secret,
        "{}: expected a public site file (SITE.public.json), got a secret identity; give the one beside it, and this one to nobody",
        at()
    );
    json::parse(text.as_bytes(), MAX_MESSAGE, "public site file").with_context(at)
}

/// The aggregator's public key, by its digits or by a file that holds them. What such a file holds is
/// never shown: it may be the wrong one of the two that the aggregator's keygen makes.
pub(crate) fn read_aggregator_key(given: &str) -> anyhow::Result<PublicKey> {
    if let Ok(key) = given.parse() {
        return Ok(key);
    }
    const EXPECTED: &str = "expected the aggregator's public key as `ringfence-aggregator keygen` prints it: 64 lower-case hexadecimal digits, or a file that holds them";
    let path = Path::new(given);
    let secret = only_its_owner_reads(path).with_context(|| format!("{EXPECTED}; {given}"))?;
    // Every second secret seed has the form of a public key.
    ensure!(
        !secret,
        "{given} may be read by its owner only, as secret keys are, and a study is public; {EXPECTED}. If it is the secret key, `ringfence-aggregator public-key --key {given}` prints the public one"
    );
    let text = read_text(path, MAX_SECRET).with_context(|| EXPECTED)?;
    text.trim().parse().map_err(|_| anyhow!("{given} holds no public key; {EXPECTED}"))
}

/// Whether a file's permissions are those of a secret.
#[cfg(unix)]
fn only_its_owner_reads(path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o077 == 0)
}

/// Elsewhere permissions do not tell.
#[cfg(not(unix))]
fn only_its_owner_reads(path: &Path) -> std::io::Result<bool> {
    std::fs::metadata(path).map(|_| false)
}

/// Reads tensors that must have the study's layout.
pub(crate) fn read_weights(path: &Path, study: &Study) -> anyhow::Result<Weights> {
    let weights = Weights::load(path)?;
    model::check_layout(&weights, &study.layout).with_context(|| path.display().to_string())?;
    Ok(weights)
}
