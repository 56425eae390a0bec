//! `ringfence study new / sign / verify / show / register`.

use std::path::PathBuf;

use anyhow::Context;
use ringfence_crypto::Digest;
use ringfence_crypto::statement::{PublicKey, SignedStudy, Site, Statement, Study, WeightPolicy};
use ringfence_crypto::threshold::Threshold;
use ringfence_crypto::wire::json;
use ringfence_keys::draft::StudyDraft;

use super::identity::{read_identity, read_public};
use super::{read_study, write};
use ringfence_site::model;
use ringfence_site::now;
use ringfence_site::transport::Transport;
use ringfence_weights::Weights;

/// Commands on study files.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum StudyCommand {
    /// Make a study file for a roster and an initial model; every site signs it afterwards.
    New(Box<New>),
    /// Add a site's signature, after checking the study and opening its check key.
    Sign(Sign),
    /// Check that a study is sound and signed by its whole roster.
    Verify(Show),
    /// Show what a study says.
    Show(Show),
    /// Register a signed study with the aggregator.
    Register(Register),
}

/// Arguments of `ringfence study new`.
#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// Name of the study, for people.
    #[arg(long)]
    name: String,
    /// Public site files in ring order, one --site each.
    #[arg(long = "site", required = true)]
    sites: Vec<PathBuf>,
    /// The aggregator's public key (printed by `ringfence-aggregator keygen`).
    #[arg(long)]
    aggregator_key: PublicKey,
    /// The model before round 0 (safetensors): its tensors are the layout of every update.
    #[arg(long)]
    model: PathBuf,
    /// Updates are clipped to [-CLIP, CLIP] before quantization.
    #[arg(long)]
    clip: f32,
    /// Bits of a quantized value.
    #[arg(long, default_value_t = 16)]
    bits: u8,
    /// Key holders a round (m); recommended unless given: all sites up to 16.
    #[arg(long)]
    holders: Option<u16>,
    /// Sites that may collude (c).
    #[arg(long)]
    collusion: Option<u16>,
    /// Key words a sharing polynomial (l); as many as cost no further opening unless given.
    #[arg(long)]
    packing: Option<u16>,
    /// Fewest contributions a sum is opened for.
    #[arg(long)]
    min_sites: Option<u16>,
    /// Training samples of each site, in the order of --site, that contributions are weighted by;
    /// public, and all equal unless given.
    #[arg(long, value_delimiter = ',')]
    sample_counts: Option<Vec<u32>>,
    /// A round must stay open at least this many seconds.
    #[arg(long, default_value_t = 60)]
    min_round_seconds: u32,
    /// Seconds that key holders have to review the envelopes.
    #[arg(long, default_value_t = 600)]
    review_seconds: u32,
    /// Seconds after which the initiator's successor on the ring may open the round.
    #[arg(long, default_value_t = 3600)]
    initiator_timeout_seconds: u32,
    /// Where to write the study file.
    #[arg(long, default_value = "study.json")]
    out: PathBuf,
}

/// Arguments of `ringfence study sign`.
#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    /// The study file; the signature is added to it.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
    /// The site's secret identity file.
    #[arg(long)]
    identity: PathBuf,
}

/// Arguments of `ringfence study verify` and `show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The study file.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
}

/// Arguments of `ringfence study register`.
#[derive(Debug, clap::Args)]
pub(crate) struct Register {
    /// The study file, signed by all.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
    /// URL of the aggregator.
    #[arg(long, env = "RINGFENCE_SERVER")]
    server: String,
    /// File with the aggregator's admin token.
    #[arg(long)]
    admin_token_file: PathBuf,
    /// Speak plain HTTP beyond loopback.
    #[arg(long)]
    allow_plain_http: bool,
}

impl StudyCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::New(new) => new.run(),
            Self::Sign(sign) => sign.run(),
            Self::Verify(show) => {
                let study = read_study(&show.study)?;
                study.verify()?;
                println!("sound, and signed by all {} sites", study.study.roster.len());
                println!("study {}", study.study.digest());
                Ok(())
            }
            Self::Show(show) => {
                let study = read_study(&show.study)?;
                print!("{}", describe(&study));
                Ok(())
            }
            Self::Register(register) => register.run().await,
        }
    }
}

impl New {
    fn run(self) -> anyhow::Result<()> {
        let weights = Weights::load(&self.model)?;
        weights.check_finite().with_context(|| self.model.display().to_string())?;
        let roster: Vec<Site> =
            self.sites.iter().map(|path| read_public(path)).collect::<anyhow::Result<_>>()?;
        let Self { holders, collusion, packing, .. } = self;
        // Of fewer than three sites the draft says what is wrong.
        let threshold = match roster.len() {
            ..3 => None,
            sites => Some(Threshold::choose(sites, holders, collusion, packing)?),
        };
        let mut rng = ringfence_keys::system_rng().context("no randomness")?;
        let study = StudyDraft {
            name: self.name,
            created_at: now(),
            roster,
            aggregator_key: self.aggregator_key,
            threshold,
            min_sites: self.min_sites,
            value_bits: self.bits,
            layout: model::layout(&weights, self.clip),
            initial_model: model::digest(&weights),
            weights: self.sample_counts.map_or(WeightPolicy::Equal, WeightPolicy::SampleCounts),
            min_round_seconds: self.min_round_seconds,
            review_seconds: self.review_seconds,
            initiator_timeout_seconds: self.initiator_timeout_seconds,
        }
        .into_study(&mut rng)?;
        let signed = SignedStudy::unsigned(study);
        write(&self.out, &json::pretty(&signed))?;
        print!("{}", describe(&signed));
        println!("written to {}; next, every site runs `ringfence study sign`", self.out.display());
        Ok(())
    }
}

impl Sign {
    fn run(self) -> anyhow::Result<()> {
        let identity = read_identity(&self.identity)?;
        let mut study = read_study(&self.study)?;
        study.study.check()?;
        identity.check_key(&study.study)?;
        study.sign(identity.site(), identity.signer())?;
        write(&self.study, &json::pretty(&study))?;
        let (signed, sites) = (study.signatures.len(), study.study.roster.len());
        println!("{} signed; {signed} of {sites} signatures", identity.site());
        Ok(())
    }
}

impl Register {
    async fn run(self) -> anyhow::Result<()> {
        let study = read_study(&self.study)?;
        study.verify()?;
        let token = super::read(&self.admin_token_file)?;
        let token = zeroize::Zeroizing::new(String::from_utf8(token)?);
        let transport = Transport::new(&self.server, self.allow_plain_http)?;
        let status = transport.register(&study, &token).await?;
        println!("registered study {}", status.study);
        Ok(())
    }
}

/// A study in a few lines.
fn describe(signed: &SignedStudy) -> String {
    let Study { roster, threshold, packing, layout, .. } = &signed.study;
    let digest: Digest = signed.study.digest();
    let sites: Vec<&str> = roster.iter().map(|site| site.id.as_str()).collect();
    let silent = match threshold.silent_tolerated() {
        0 => "no silent holder tolerated".to_owned(),
        1 => "1 silent holder tolerated".to_owned(),
        n => format!("{n} silent holders tolerated"),
    };
    let bytes = signed.study.body_bytes().unwrap_or(0);
    let values = layout.values();
    let per_value = bytes as f64 / values.max(1) as f64;
    format!(
        "study       {} ({digest})\n\
         ring        {}\n\
         thresholds  m = {}, c = {}, l = {}, Q = {}, t = {}: {silent}\n\
         fewest      {} contributions, signatures {} of {}\n\
         model       {} tensors, {values} values, initial model {}\n\
         encoding    {} bits a value, {} slots of {} bits, Delta = 2^{}; body {bytes} bytes ({per_value:.2} a value)\n",
        signed.study.name,
        sites.join(" -> "),
        threshold.holders,
        threshold.collusion,
        threshold.packing,
        threshold.endorsements,
        threshold.opening,
        signed.study.min_sites,
        signed.signatures.len(),
        roster.len(),
        layout.tensors.len(),
        signed.study.initial_model.short(),
        packing.value_bits,
        packing.slots,
        packing.slot_bits,
        packing.delta_bits,
    )
}
