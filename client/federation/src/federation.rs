//! The sites of the demo and their rounds over the aggregator.

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures_util::future::join_all;
use ringfence_crypto::Digest;
use ringfence_crypto::statement::{SignedStudy, SiteId};
use ringfence_keys::draft::StudyDraft;
use ringfence_keys::identity::Identity;
use ringfence_keys::open::OpenedSum;
use ringfence_keys::quantize;

use super::aggregator::Aggregator;
use super::fault::{Fate, Faults};
use super::progress_bar;
use super::report::RoundSummary;
use crate::cli::options::FederationArgs;
use crate::learning::{Dataset, ServerState, SiteData, TrainingPlan, train};
use ringfence_site::model;
use ringfence_site::{Done, RoundEnd, Site, now};
use ringfence_site::transport::Transport;
use ringfence_weights::Weights;

/// The running study: every site with its own keys, state and connection.
#[derive(Debug)]
pub(crate) struct Federation {
    pub(crate) aggregator: Aggregator,
    sites: Vec<Site>,
    faults: Faults,
    model: Weights,
    server: ServerState,
    round_seconds: u32,
    plan: TrainingPlan,
    /// What every round showed.
    pub(crate) rounds: Vec<RoundSummary>,
}

impl Federation {
    /// Starts the aggregator, makes identities and study, has every site sign, registers it.
    pub(crate) async fn start(
        state: &Path,
        args: &FederationArgs,
        faults: Faults,
        plan: &TrainingPlan,
        dataset: &Dataset,
    ) -> anyhow::Result<Self> {
        // A fresh study every time: state of an earlier run would rightly refuse the same model.
        if state.exists() {
            std::fs::remove_dir_all(state)
                .with_context(|| format!("cannot clear {}", state.display()))?;
        }
        let names: Vec<String> = dataset.sites.iter().map(|site| site.site.clone()).collect();
        let initial = plan.initial_weights()?;
        if let Some(stray) = faults.stray(&names, plan.rounds) {
            bail!(
                "the fault {stray} names no site or round of this run; sites are 0 to {} or one of {}, rounds 0 to {}",
                names.len() - 1,
                names.join(", "),
                plan.rounds - 1
            );
        }
        let aggregator = Aggregator::start(&state.join("aggregator")).await?;
        let mut rng = ringfence_keys::system_rng().context("no randomness")?;
        let identities: Vec<Identity> = names
            .iter()
            .map(|name| Ok(Identity::generate(site_id(name)?, &mut rng)?))
            .collect::<anyhow::Result<_>>()?;
        let study = StudyDraft {
            name: "demo".into(),
            created_at: now(),
            roster: identities.iter().map(Identity::public).collect(),
            aggregator_key: aggregator.public_key(),
            threshold: None,
            min_sites: None,
            value_bits: args.bits,
            layout: model::layout(&initial, args.clip),
            initial_model: model::digest(&initial),
            weights: args.policy(dataset),
            min_round_seconds: args.round_seconds.min(5),
            review_seconds: 5,
            initiator_timeout_seconds: 2,
        }
        .into_study(&mut rng)?;
        let mut signed = SignedStudy::unsigned(study);
        for identity in &identities {
            signed.sign(identity.site(), identity.signer())?;
        }
        let transport = Transport::new(aggregator.url(), false)?;
        transport.register(&signed, aggregator.token()).await?;
        let patience = Duration::from_secs(args.patience);
        let sites = identities
            .into_iter()
            .map(|identity| {
                let folder = state.join(identity.site().as_str());
                let site =
                    Site::open(signed.clone(), identity, &folder, transport.clone(), patience)?;
                Ok(site.keeping_sums())
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        for site in &sites {
            site.publish_round_keys().await?;
        }
        Ok(Self {
            aggregator,
            sites,
            faults,
            model: initial,
            server: ServerState::new(plan.server),
            round_seconds: args.round_seconds,
            plan: plan.clone(),
            rounds: Vec::new(),
        })
    }

    pub(crate) fn digest(&self) -> Digest {
        self.sites.first().map_or(Digest([0; 32]), Site::study_digest)
    }

    /// The model that every site holds after the last round.
    pub(crate) fn model(&self) -> &Weights {
        &self.model
    }

    pub(crate) fn sites(&self) -> impl Iterator<Item = &SiteId> {
        self.sites.iter().map(Site::id)
    }

    pub(crate) fn study(&self) -> Option<&ringfence_crypto::statement::Study> {
        self.sites.first().map(Site::study)
    }

    /// One federated round: train everywhere, open, contribute, hold, open the sum, apply.
    pub(crate) async fn round(
        &mut self,
        round: u32,
        dataset: &Dataset,
    ) -> anyhow::Result<RoundSummary> {
        let fates: Vec<Fate> = self
            .sites
            .iter()
            .enumerate()
            .map(|(position, site)| self.faults.fate(position, site.id().as_str(), round))
            .collect();
        let started = Instant::now();
        let updates = self.train(round, &dataset.sites, &fates)?;
        let train_seconds = started.elapsed().as_secs_f64();

        let started = Instant::now();
        let base = model::digest(&self.model);
        let initiator = self.open(round, &base, &fates).await?;
        // The only place that sees all updates in the clear, to check the sum against.
        let plain = Mutex::new(vec![0u64; self.model.len()]);
        let parts = self.sites.iter().zip(&fates).zip(&updates).map(|((site, fate), update)| {
            take_part(site, *fate, round, &base, update.as_deref(), &plain)
        });
        let mut parts = join_all(parts).await.into_iter().collect::<anyhow::Result<Vec<_>>>();
        if let Err(error) = &mut parts {
            bail!("round {round} could not be finished: {error:#}");
        }
        let parts = parts?;

        let shapes = self.model.shapes();
        let mut summary = RoundSummary::new(round, initiator, self.sites.first().map(Site::study));
        summary.train_seconds = train_seconds;
        let plain = plain.into_inner().unwrap_or_default();
        let mut next: Option<(Weights, ServerState)> = None;
        for (part, site) in parts.into_iter().zip(&self.sites) {
            summary.contributed(site.id(), part.sent, part.contribute_seconds, part.held);
            let done = match part.end {
                Some(RoundEnd::Aborted) => {
                    bail!("round {round} ended in a certified abort: too few contributions came")
                }
                Some(RoundEnd::Done(done)) => done,
                // A site that vanished comes back and catches up from what is public and sealed.
                None => match site.join(round).await?.finish().await? {
                    RoundEnd::Done(done) => done,
                    RoundEnd::Aborted => bail!("round {round} ended in a certified abort"),
                },
            };
            // Every site computes the next model for itself.
            let mut server = self.server.clone();
            let mean = Weights::from_values(&shapes, done.mean())?;
            let model = server.apply(&self.model, &mean)?;
            let study = site.study();
            let expected = quantize::mean(&plain, done.opened.sites, &study.layout, &study.packing);
            let sums = done.sums.as_ref().map(OpenedSum::sums).unwrap_or_default();
            summary.compare((sums, &plain), (done.opened.mean(), &expected));
            summary.opened(done.opened.noise, &done.unusable);
            ensure!(
                next.as_ref().is_none_or(|(known, _)| *known == model),
                "round {round}: {} computed another model than the sites before it",
                site.id()
            );
            acknowledge(done, &model).await?;
            next = Some((model, server));
        }
        (self.model, self.server) = next.context("no site took part")?;
        summary.seconds = started.elapsed().as_secs_f64();
        self.rounds.push(summary.clone());
        ensure!(summary.mismatches == 0, "round {round}: the opened sum is not the plain sum");
        Ok(summary)
    }

    /// Local training at every site that is there; `None` for one that is not.
    fn train(
        &self,
        round: u32,
        sites: &[SiteData],
        fates: &[Fate],
    ) -> anyhow::Result<Vec<Option<Vec<f32>>>> {
        let task = self.plan.task()?;
        let bar = progress_bar("training");
        let mut updates = Vec::new();
        for (position, (site, fate)) in sites.iter().zip(fates).enumerate() {
            if fate.absent {
                updates.push(None);
                continue;
            }
            let options = self.plan.at(position, round);
            let trained = train(task.as_ref(), &self.model, &site.train, &options, &mut |step| {
                bar.set_length((sites.len() * step.epochs) as u64);
                bar.set_position((position * step.epochs + step.epoch - 1) as u64);
                bar.set_message(format!("round {round}, {}", site.site));
            })?;
            updates.push(Some(trained.difference(&self.model)?.values().collect()));
        }
        bar.finish_and_clear();
        Ok(updates)
    }

    /// The first site on the ring that is there opens the round, once it is its turn.
    async fn open(&self, round: u32, base: &Digest, fates: &[Fate]) -> anyhow::Result<SiteId> {
        let n = self.sites.len();
        let order = (0..n).map(|turns| (round as usize + turns) % n);
        for position in order {
            if let (Some(site), Some(Fate { absent: false, .. })) =
                (self.sites.get(position), fates.get(position))
            {
                site.open_round(base, self.round_seconds).await?;
                return Ok(site.id().clone());
            }
        }
        bail!("no site is there to open round {round}")
    }
}

/// What one site did in a round.
struct Part<'a> {
    sent: u64,
    contribute_seconds: f64,
    held: bool,
    /// `None` for a site that vanished.
    end: Option<RoundEnd<'a>>,
}

async fn take_part<'a>(
    site: &'a Site,
    fate: Fate,
    round: u32,
    base: &Digest,
    update: Option<&[f32]>,
    plain: &Mutex<Vec<u64>>,
) -> anyhow::Result<Part<'a>> {
    let mut part = Part { sent: 0, contribute_seconds: 0.0, held: false, end: None };
    let Some(update) = update else { return Ok(part) };
    let joined = site.join(round).await.with_context(|| site.id().to_string())?;
    let started = Instant::now();
    let contributed = joined
        .contribute(base, update, |quantized| {
            if let Ok(mut plain) = plain.lock() {
                let values = quantized.expose().iter().map(|value| u64::from(*value));
                plain.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        })
        .await
        .with_context(|| format!("{} could not contribute", site.id()))?;
    part.sent = contributed.bytes();
    part.contribute_seconds = started.elapsed().as_secs_f64();
    if fate.silent {
        return Ok(part);
    }
    if site.holds(round) {
        site.hold(round).await.with_context(|| format!("key holder {}", site.id()))?;
        part.held = true;
    }
    let end = contributed.finish().await.with_context(|| format!("site {}", site.id()))?;
    part.end = Some(end);
    Ok(part)
}

async fn acknowledge(done: Done<'_>, model: &Weights) -> anyhow::Result<()> {
    Ok(done.acknowledge(&model::digest(model)).await?)
}

/// A site's name in the protocol: what the data calls it, in lower case and dashes.
fn site_id(name: &str) -> anyhow::Result<SiteId> {
    let mut id: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    id.truncate(32);
    id.trim_matches('-').parse().with_context(|| format!("the data's site {name:?}"))
}

/// Writes a file that only its owner may read.
pub(crate) fn secret_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file =
        options.open(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))
}
