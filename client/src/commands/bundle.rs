//! `ringfence bundle`: messages as files, where a machine has no network.

mod by_hand;
mod contribution;

use by_hand::{Carry, Export, Import};
use contribution::Contribution;

/// Commands on bundles.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum BundleCommand {
    /// At a site without a network: write what is to leave, and what is asked for, to one file.
    ///
    /// The file is a bundle for a carrier, who brings it to a machine with a network and runs
    /// `ringfence bundle carry` there (docs/by_hand.md). It holds no secret of the site. What is in it
    /// stays in the outbox until a bundle that was imported says what became of it: a file that is
    /// lost is written again.
    Export(Export),
    /// At a site without a network: take what a carrier has brought.
    ///
    /// Every byte of the file is checked first. Then the site's usual commands go on from it, with
    /// `--server by-hand`, and verify what they read as they do on a network. A bundle of another
    /// study or site, an altered one and one that is older than the last are refused; the same one
    /// again changes nothing.
    Import(Import),
    /// On a machine with a network: bring a site's bundle to the aggregator, and fetch an answer.
    ///
    /// The carrier has a key of its own (`ringfence keygen`), which the site permits for some days,
    /// and none of the site's. It may be run again with the same file: what came already is not sent
    /// twice.
    Carry(Carry),
    /// Encrypt an update, and write what would be sent to a folder instead of sending it.
    ///
    /// The folder then holds header.json, envelopes.bin and body.bin, which a program of the site's
    /// own sends in this order (docs/http.md). For this site the contribution is made, as if it had been
    /// sent: its privacy ledger is charged, and nothing else will ever be contributed to this round.
    /// `ringfence contribute` with the same arguments sends the same bytes, or fetches the receipt where
    /// they have come already; run it before `ringfence hold`.
    Contribution(Box<Contribution>),
}

impl BundleCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Export(export) => export.run().await,
            Self::Import(import) => import.run().await,
            Self::Carry(carry) => carry.run().await,
            Self::Contribution(contribution) => contribution.run().await,
        }
    }
}
