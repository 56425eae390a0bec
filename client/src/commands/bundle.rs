//! `ringfence bundle`: what a site would send, as files that another program or a person carries.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ringfence_crypto::wire::json;
use ringfence_durable::{Readers, Unfinished};

use super::contribute::{Contribute, tell};
use crate::files::{empty_folder, write};

/// Commands on bundles.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum BundleCommand {
    /// Encrypt an update, and write what would be sent to a folder instead of sending it.
    ///
    /// The folder then holds header.json, envelopes.bin and body.bin, which are sent in this order
    /// (docs/http.md). For this site the contribution is made, as if it had been sent: its privacy
    /// ledger is charged, and nothing else will ever be contributed to this round. `ringfence
    /// contribute` with the same arguments sends the same bytes, or fetches the receipt where they
    /// have come already; run it before `ringfence hold`.
    Export(Box<Export>),
}

/// Arguments of `ringfence bundle export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    contribute: Contribute,
    /// Folder for the files; it must be empty, or not there.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

impl BundleCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Export(export) => export.run().await,
        }
    }
}

impl Export {
    async fn run(self) -> anyhow::Result<()> {
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
