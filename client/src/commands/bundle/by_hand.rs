//! `ringfence bundle export`, `import` and `carry`: a site without a network, and who carries for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use ringfence_clock::Clock;
use ringfence_site::by_hand::Carrier;
use ringfence_words::counted;

use crate::files::{Replacing, read_public};
use crate::identity::read_identity;
use crate::member::{Own, Server};

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Arguments of `ringfence bundle export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    own: Own,
    /// The carrier's public file, NAME.public.json of its `ringfence keygen`: whoever has the secret
    /// beside it may bring this bundle, and nobody else.
    #[arg(long, value_name = "FILE")]
    carrier: PathBuf,
    /// Days that the carrier may bring it within, 31 at most.
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u64).range(1..=31))]
    days: u64,
    /// Where to write the bundle.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    replacing: Replacing,
}

/// Arguments of `ringfence bundle import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    #[command(flatten)]
    own: Own,
    /// The bundle that `ringfence bundle carry` wrote.
    bundle: PathBuf,
}

/// Arguments of `ringfence bundle carry`.
#[derive(Debug, clap::Args)]
pub(crate) struct Carry {
    /// The carrier's secret identity file. It is no site's.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    server: Server,
    /// The bundle that `ringfence bundle export` wrote.
    bundle: PathBuf,
    /// Where to write the bundle for the site.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    replacing: Replacing,
}

impl Export {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        self.replacing.check(&self.out)?;
        let carrier = read_public(&self.carrier)?;
        let (clock, permitted) = (Clock::system(), (carrier.signature_key, self.days * DAY));
        let exported = match self.own.by_hand(clock.clone(), Duration::ZERO).await {
            Ok((site, mailbox)) => site.export(&mailbox, &self.out, permitted).await?,
            Err(error) => match self.own.newcomer(&error, clock)? {
                Some(newcomer) => newcomer.export(&self.out, permitted)?,
                None => return Err(error),
            },
        };
        for message in &exported.messages {
            println!("to the aggregator: {message}");
        }
        let answers = match exported.wanted {
            0 => "how the study stands".to_owned(),
            wanted => {
                format!("how the study stands, and {} by name", counted(wanted as u64, "answer"))
            }
        };
        println!("asked for: {answers}");
        println!(
            "{} ({}) is for {}, who may bring it until {}; give it to nobody who must not know that this site takes part",
            self.out.display(),
            counted(exported.bytes, "byte"),
            carrier.id,
            exported.until.utc()
        );
        Ok(())
    }
}

impl Import {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let clock = Clock::system();
        let imported = match self.own.by_hand(clock.clone(), Duration::ZERO).await {
            Ok((_site, mailbox)) => mailbox.import(&self.bundle)?,
            Err(error) => match self.own.newcomer(&error, clock)? {
                Some(newcomer) => newcomer.mailbox().import(&self.bundle)?,
                None => return Err(error),
            },
        };
        if imported.again {
            println!("{} was imported before; nothing has changed", self.bundle.display());
            return Ok(());
        }
        for what in &imported.taken {
            println!("taken: {what}");
        }
        for (what, why) in &imported.refused {
            println!("refused by the aggregator: {what}: {why}");
        }
        println!(
            "{} of {}, by the aggregator's clock ({})",
            counted(imported.answers as u64, "answer"),
            imported.made_at.utc(),
            counted(imported.bytes, "byte")
        );
        if let Some(seconds) = imported.behind {
            println!(
                "warning: this machine's clock is at least {seconds} s behind the aggregator's; set it, for what is signed in another's future is refused"
            );
        }
        Ok(())
    }
}

/// Whether two names are those of one file.
fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

impl Carry {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        ensure!(
            self.out != self.bundle && !is_same(&self.out, &self.bundle),
            "expected two files, got {} for both the site's bundle and --out",
            self.out.display()
        );
        self.replacing.check(&self.out)?;
        let key = read_identity(&self.key).context("--key")?;
        let carrier = Carrier::new(key, self.server.connect(Clock::system())?);
        let carried = carrier.carry(&self.bundle, &self.out).await?;
        let site = &carried.site;
        for what in &carried.taken {
            println!("taken: {what}");
        }
        for refused in &carried.refused {
            println!("refused by the aggregator: {}: {}", refused.what, refused.detail);
        }
        println!(
            "{}; {} ({}, {}) is for {site}, who takes it by `ringfence bundle import`",
            carried.stands,
            self.out.display(),
            counted(carried.answers as u64, "answer"),
            counted(carried.bytes, "byte")
        );
        println!("{site} permits this carrier until {}", carried.until.utc());
        Ok(())
    }
}
