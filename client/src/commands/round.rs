//! `ringfence open / contribute / hold / mean / status / restored`: bring your own framework.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use ringfence_crypto::Digest;

use super::Member;
use ringfence_site::model;
use ringfence_site::{RoundEnd, Site};
use ringfence_site::transport::Transport;
use ringfence_weights::Weights;

/// Arguments of `ringfence open`.
#[derive(Debug, clap::Args)]
pub(crate) struct Open {
    #[command(flatten)]
    member: Member,
    /// The model that this round's updates start from (safetensors).
    #[arg(long)]
    base: PathBuf,
    /// Seconds that contributions may take; at least the study's minimum.
    #[arg(long, default_value_t = 3600)]
    seconds: u32,
}

/// Arguments of `ringfence contribute`.
#[derive(Debug, clap::Args)]
pub(crate) struct Contribute {
    #[command(flatten)]
    member: Member,
    /// The round; the latest unless given.
    #[arg(long)]
    round: Option<u32>,
    /// The model that the update starts from (safetensors).
    #[arg(long)]
    base: PathBuf,
    /// The update, trained model minus base model (safetensors, float32).
    #[arg(long)]
    update: PathBuf,
}

/// Arguments of `ringfence hold`.
#[derive(Debug, clap::Args)]
pub(crate) struct Hold {
    #[command(flatten)]
    member: Member,
    /// The round; the latest unless given.
    #[arg(long)]
    round: Option<u32>,
}

/// Arguments of `ringfence mean`.
#[derive(Debug, clap::Args)]
pub(crate) struct Mean {
    #[command(flatten)]
    member: Member,
    /// The round; the latest unless given.
    #[arg(long)]
    round: Option<u32>,
    /// The model that the updates started from (safetensors).
    #[arg(long)]
    base: PathBuf,
    /// Where to write the mean update.
    #[arg(long)]
    out: PathBuf,
    /// Where to write the new model, base plus mean: the base of the next round.
    #[arg(long)]
    model_out: PathBuf,
}

/// Arguments of `ringfence status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// The study's digest (see `ringfence study verify`).
    #[arg(long)]
    digest: Digest,
    /// URL of the aggregator.
    #[arg(long, env = "RINGFENCE_SERVER")]
    server: String,
    /// Speak plain HTTP beyond loopback.
    #[arg(long)]
    allow_plain_http: bool,
    /// Print the status as JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `ringfence restored`.
#[derive(Debug, clap::Args)]
pub(crate) struct Restored {
    #[command(flatten)]
    member: Member,
}

impl Open {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let site = self.member.open()?;
        let base = load(&self.base, &site)?;
        let status = site.open_round(&model::digest(&base), self.seconds).await?;
        let holders: Vec<&str> = status.holders.iter().map(|holder| holder.as_str()).collect();
        println!("round {} is open; key holders: {}", status.round, holders.join(", "));
        Ok(())
    }
}

impl Contribute {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let site = self.member.open()?;
        let base = load(&self.base, &site)?;
        let update = load(&self.update, &site)?;
        update.check_finite().with_context(|| self.update.display().to_string())?;
        let round = which(&site, self.round).await?;
        let values: Vec<f32> = update.values().collect();
        let digest = model::digest(&base);
        let contributed = site.join(round).await?.contribute(&digest, &values, |_| ()).await?;
        let receipt = contributed.receipt();
        println!("round {round}: receipt for contribution {}", receipt.header);
        if let Some(clipped) = contributed.clipped() {
            println!("{clipped}");
        }
        Ok(())
    }
}

impl Hold {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let site = self.member.open()?;
        let round = which(&site, self.round).await?;
        let report = site.hold(round).await?;
        for dealer in &report.complaints {
            println!("round {round}: complained about {dealer}, whose envelope does not open");
        }
        match report.opened {
            true => println!("round {round}: endorsed the closing and opened its certified set"),
            false => println!("round {round}: endorsed the abort; nothing is opened"),
        }
        Ok(())
    }
}

impl Mean {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let site = self.member.open()?;
        let base = load(&self.base, &site)?;
        let round = which(&site, self.round).await?;
        let joined = site.join(round).await?;
        joined.check_base(&model::digest(&base))?;
        let RoundEnd::Done(done) = joined.finish().await? else {
            bail!("round {round} ended in a certified abort: no mean, the base model stays");
        };
        for (holder, reason) in &done.unusable {
            println!("round {round}: the opening of {holder} was not used: {reason}");
        }
        let mean = Weights::from_values(&base.shapes(), done.mean())?;
        let model = base.add(&mean)?;
        mean.save(&self.out)?;
        model.save(&self.model_out)?;
        let (sites, noise) = (done.opened.sites, done.opened.noise);
        done.acknowledge(&model::digest(&model)).await?;
        println!(
            "round {round}: mean of {sites} sites over {} values, noise margin {:.1} bits",
            mean.len(),
            noise.margin_bits
        );
        Ok(())
    }
}

impl Status {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let transport = Transport::new(&self.server, self.allow_plain_http)?;
        let status = transport.status(self.digest).await?;
        if self.json {
            println!("{}", String::from_utf8_lossy(&ringfence_crypto::wire::json::pretty(&status)));
            return Ok(());
        }
        println!("study {} ({}), {} rounds", status.name, status.study.short(), status.rounds);
        let Some(round) = status.latest else { return Ok(()) };
        let names = |sites: &[ringfence_crypto::statement::SiteId]| {
            sites.iter().map(|site| site.as_str()).collect::<Vec<_>>().join(" ")
        };
        println!("round {}: {:?}, opened by {}", round.round, round.state, round.initiator);
        println!("  holders       {}", names(&round.holders));
        println!("  contributions {}", names(&round.received));
        println!(
            "  endorsements  {} (needed {})",
            names(&round.endorsed),
            round.endorsements_needed
        );
        println!("  openings      {} (needed {})", names(&round.opened), round.openings_needed);
        println!("  acknowledged  {}", names(&round.acknowledged));
        Ok(())
    }
}

impl Restored {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let through = self.member.open()?.abstain().await?;
        println!("this site abstains from contributing and endorsing through round {through}");
        Ok(())
    }
}

/// Loads tensors that must have the study's layout.
fn load(path: &Path, site: &Site) -> anyhow::Result<Weights> {
    let weights = Weights::load(path)?;
    model::check_layout(&weights, &site.study().layout)
        .with_context(|| path.display().to_string())?;
    Ok(weights)
}

async fn which(site: &Site, round: Option<u32>) -> anyhow::Result<u32> {
    if let Some(round) = round {
        return Ok(round);
    }
    match site.rounds().await?.checked_sub(1) {
        Some(latest) => Ok(latest),
        None => bail!("no round is open yet; the initiator runs `ringfence open`"),
    }
}
