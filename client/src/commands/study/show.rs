//! `ringfence study verify` and `show`: what a study says, and whether it holds.

use std::path::PathBuf;

use ringfence_crypto::signature::Statement;

use super::describe::describe;
use crate::files::read_study;

/// Arguments of `ringfence study verify` and `show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The study file.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
}

impl Show {
    /// Checks that the study is sound and signed by all.
    pub(super) fn verify(self) -> anyhow::Result<()> {
        let study = read_study(&self.study)?;
        study.verify()?;
        println!("sound, and signed by all {} sites", study.study.roster.len());
        println!("study {}", study.study.id());
        Ok(())
    }

    /// Prints it.
    pub(super) fn run(self) -> anyhow::Result<()> {
        print!("{}", describe(&read_study(&self.study)?));
        Ok(())
    }
}
