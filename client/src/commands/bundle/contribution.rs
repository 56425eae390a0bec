//! `ringfence bundle contribution`: a contribution as files that a program of the site's own sends.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ringfence_crypto::wire::json;
use ringfence_durable::{Readers, Unfinished};

use crate::commands::contribute::{Contribute, tell};
use crate::files::{empty_folder, write};

/// Arguments of `ringfence bundle contribution`.
#[derive(Debug, clap::Args)]
pub(crate) struct Contribution {
    #[command(flatten)]
    contribute: Contribute,
    /// Folder for the files; it must be empty, or not there.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

impl Contribution {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self { contribute, out } = self;
        empty_folder(&out)?;
        let (site, given) = contribute.begin().await?;
        let prepared = contribute.prepare(&site, given).await?;
        let (header, body) = (prepared.header(), prepared.body()?);
        copy(&body, &out.join("body.bin"))?;
        write(&out.join("envelopes.bin"), &prepared.envelopes()?)?;
        write(&out.join("header.json"), &json::pretty(header))?;
        println!(
            "round {}: contribution {} is in {} and was not sent; nothing else will be contributed to this round",
            header.statement.round,
            header.id(),
            out.display()
        );
        tell(prepared.clipping(), prepared.sealing());
        Ok(())
    }
}

/// Copies a file, whole or not at all.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut source = File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    let copied = Unfinished::new(to, Readers::Usual).and_then(|mut copy| {
        io::copy(&mut source, &mut copy)?;
        copy.replace()
    });
    copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}
