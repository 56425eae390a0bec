//! `ringfence study verify` and `show`: what a study says, and whether it holds.

use std::path::PathBuf;

use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::Study;
use ringfence_crypto::wire::json;
use serde::Serialize;

use super::describe::{Tensors, describe};
use super::promise::Promise;
use crate::files::read_study;

/// Arguments of `ringfence study show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The study file.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
    /// List every tensor of the model, with its shape and clip bound.
    #[arg(long, conflicts_with = "json")]
    tensors: bool,
    /// Print JSON: the study with its digest, whether it is sound, and what follows from its privacy
    /// policy.
    #[arg(long)]
    json: bool,
}

/// What `ringfence study show --json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    id: StudyId,
    /// Why nobody should sign it; nothing where it is sound.
    fault: Option<String>,
    study: &'a Study,
    /// Nothing where the study promises no guarantee: its sums are exact.
    privacy: Option<Promise>,
    /// The sites of each group, where sets are held apart.
    groups: Vec<Vec<&'a SiteId>>,
}

/// Arguments of `ringfence study verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The study file.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
}

impl Verify {
    /// Checks that the study is sound and signed by all.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let study = read_study(&self.study)?;
        study.verify()?;
        println!("sound, and signed by all {} sites", study.study.roster.len());
        println!("study {}", study.study.id());
        Ok(())
    }
}

impl Show {
    /// Prints it.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let signed = read_study(&self.study)?;
        if !self.json {
            let tensors = if self.tensors { Tensors::All } else { Tensors::First };
            print!("{}", describe(&signed, tensors));
            return Ok(());
        }
        let study = &signed.study;
        let fault = study.check().err().map(|error| error.to_string());
        let groups = study.groups().into_iter();
        let groups = groups.map(|group| group.iter().map(|site| &site.id).collect()).collect();
        let shown = Shown { id: study.id(), fault, study, privacy: Promise::of(study), groups };
        println!("{}", String::from_utf8_lossy(&json::pretty(&shown)));
        Ok(())
    }
}
