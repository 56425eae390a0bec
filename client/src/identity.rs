//! A site's secret identity: from a file or from the environment, as it is or under a passphrase.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use console::Term;
use ringfence_keys::identity::{Identity, MIN_PASSPHRASE, check_locked, is_locked};
use zeroize::Zeroizing;

use crate::files::{MAX_SECRET, read_text};

/// The environment variable that holds an identity file's text where no file may lie.
pub(crate) const IDENTITY: &str = "RINGFENCE_IDENTITY";

/// The environment variable that holds a passphrase where nobody is there to type it.
pub(crate) const PASSPHRASE: &str = "RINGFENCE_PASSPHRASE";

/// Which site this is.
#[derive(Debug, clap::Args)]
pub(crate) struct IdentityArg {
    /// The site's secret identity file. Where none may lie, the environment variable
    /// RINGFENCE_IDENTITY holds its text. A passphrase is asked for, or is in RINGFENCE_PASSPHRASE.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

impl IdentityArg {
    /// Reads it.
    pub(crate) fn read(&self) -> anyhow::Result<Identity> {
        match &self.identity {
            Some(path) => read_identity(path),
            None => from_environment()?.with_context(|| {
                format!("give the site's secret identity file by --identity FILE, or its text in the environment variable {IDENTITY}")
            }),
        }
    }
}

/// Reads a secret identity file.
pub(crate) fn read_identity(path: &Path) -> anyhow::Result<Identity> {
    let text = read_text(path, MAX_SECRET)?;
    opened(&text, &path.display().to_string())
}

/// The identity that the environment holds, if it holds one.
pub(crate) fn from_environment() -> anyhow::Result<Option<Identity>> {
    let text = variable(IDENTITY)?;
    text.map(|text| opened(&text, IDENTITY)).transpose()
}

fn opened(text: &str, whose: &str) -> anyhow::Result<Identity> {
    match is_locked(text) {
        false => Identity::from_file(text).with_context(|| whose.to_owned()),
        true => {
            // Nobody types a passphrase for a file that it does not open.
            check_locked(text).with_context(|| whose.to_owned())?;
            let passphrase = passphrase(whose)?;
            Identity::from_locked_file(text, &passphrase).with_context(|| whose.to_owned())
        }
    }
}

/// What an environment variable holds that is secret; none where it is empty.
fn variable(name: &str) -> anyhow::Result<Option<Zeroizing<String>>> {
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    // What it holds is not shown.
    let Ok(value) = value.into_string() else { bail!("{name} does not hold UTF-8 text") };
    let value = Zeroizing::new(value);
    Ok((!value.is_empty()).then_some(value))
}

/// The passphrase of an identity: from the environment, or typed.
fn passphrase(whose: &str) -> anyhow::Result<Zeroizing<String>> {
    match variable(PASSPHRASE)? {
        Some(passphrase) => Ok(passphrase),
        None => typed(&format!("passphrase of {whose}: ")),
    }
}

/// Whether the environment holds a passphrase.
pub(crate) fn has_passphrase() -> bool {
    std::env::var_os(PASSPHRASE).is_some_and(|value| !value.is_empty())
}

/// The passphrase that a new identity file is to have: from the environment, or typed twice.
pub(crate) fn new_passphrase() -> anyhow::Result<Zeroizing<String>> {
    if let Some(passphrase) = variable(PASSPHRASE)? {
        return Ok(passphrase);
    }
    let first = typed(&format!("new passphrase ({MIN_PASSPHRASE} characters or more): "))?;
    let second = typed("the same again: ")?;
    ensure!(*first == *second, "the two passphrases differ; nothing was written");
    Ok(first)
}

fn typed(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    let terminal = Term::stderr();
    ensure!(
        terminal.is_term() && std::io::stdin().is_terminal(),
        "the identity is under a passphrase, and there is no terminal to ask for it: put it into the environment variable {PASSPHRASE}"
    );
    terminal.write_str(prompt)?;
    Ok(Zeroizing::new(terminal.read_secure_line()?))
}
