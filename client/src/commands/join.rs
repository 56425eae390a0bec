//! `ringfence join`: a site as a long-running process, from the first round to the last.
//!
//! Everything that must survive is on disk before it is needed: the rounds in the site's journal, the
//! opened means and the training's checkpoint in `state`. Killed at any moment and started again
//! with the same arguments, it goes on where it was.

mod report;
mod state;
mod training;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::cli::Member;
use ringfence_options::{DataArgs, DeviceArgs};
use ringfence_learning::{SiteData, TrainingPlan};
use ringfence_site::model;
use ringfence_site::{Done, RoundEnd, Site, SiteError};
use ringfence_weights::Weights;
use state::State;

/// Arguments of `ringfence join`.
#[derive(Debug, clap::Args)]
pub struct Join {
    #[command(flatten)]
    member: Member,
    /// The study's initial model with its training plan, as `ringfence init` wrote it.
    #[arg(long)]
    model: PathBuf,
    /// This site's images: a folder with labels.csv, or a MedMNIST .npz.
    #[arg(long)]
    data: PathBuf,
    /// The site whose images these are, where the data name several.
    #[arg(long)]
    data_site: Option<String>,
    #[command(flatten)]
    images: DataArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Seconds that a round which this site opens takes contributions: long enough for the slowest
    /// site's training. It ends as soon as all have contributed.
    #[arg(long, default_value_t = 3600)]
    round_seconds: u32,
    /// Folder for the models, scores and pictures.
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

/// One site at work.
struct Participant<'a> {
    site: &'a Site,
    plan: &'a TrainingPlan,
    data: &'a SiteData,
    round_seconds: u32,
}

impl Join {
    /// Takes part in all rounds of the plan.
    ///
    /// # Errors
    /// What cannot be mended by waiting: wrong files, a rule of the protocol that stands against
    /// going on. A server that is away or sites that are late are waited for.
    pub async fn run(self) -> anyhow::Result<()> {
        self.device.choose()?;
        let (plan, initial) = TrainingPlan::load(&self.model)?;
        let data = self.site_data(&plan)?;
        let site = self.member.open()?;
        model::check_layout(&initial, &site.study().layout)
            .with_context(|| self.model.display().to_string())?;
        let digest = model::digest(&initial);
        ensure!(
            digest == site.study().initial_model,
            "{}: the study starts from the model {}, this file holds {digest}; use the study's initial model",
            self.model.display(),
            site.study().initial_model
        );
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make the folder {}", self.out.display()))?;
        let mut state = State::open(self.member.state(), &site, &plan, initial)?;
        println!(
            "{} joins study {}: {}, {} of {} rounds done; {} training, {} validation, {} test images",
            site.id(),
            site.study_digest().short(),
            plan.model,
            state.next(),
            plan.rounds,
            data.train.len(),
            data.validation.len(),
            data.test.len()
        );
        let at_work = Participant {
            site: &site,
            plan: &plan,
            data: &data,
            round_seconds: self.round_seconds,
        };
        at_work.acknowledge_again(&state).await;
        let (started, first) = (Instant::now(), state.next());
        while state.next() < plan.rounds {
            at_work.round(&mut state).await?;
            let done = state.next() - first;
            let left = plan.rounds - state.next();
            if left > 0 {
                let left = started.elapsed() * left / done.max(1);
                println!("  {} left at this pace", report::duration(left));
            }
            report::progress(&self.out, &plan, &data, &state)?;
        }
        report::finish(&self.out, &plan, &data, &state)
    }

    /// This site's images, checked against the plan before anything else happens.
    fn site_data(&self, plan: &TrainingPlan) -> anyhow::Result<SiteData> {
        let mut images = self.images.clone();
        if self.data_site.is_none() {
            images.sites = images.sites.or(Some(1));
        }
        let dataset = images.load(&self.data, plan.side, plan.training.seed, &plan.classes)?;
        plan.check(&dataset).with_context(|| self.data.display().to_string())?;
        let names: Vec<&str> = dataset.sites.iter().map(|site| site.site.as_str()).collect();
        match &self.data_site {
            None if dataset.sites.len() > 1 => bail!(
                "{}: the data name the sites {}; say which one is this by --data-site",
                self.data.display(),
                names.join(", ")
            ),
            None => dataset.sites.into_iter().next().context("the data have no site"),
            Some(wanted) => dataset.site(wanted).cloned().with_context(|| {
                format!(
                    "{}: expected one of the data's sites {}, got --data-site {wanted}",
                    self.data.display(),
                    names.join(", ")
                )
            }),
        }
    }
}

impl Participant<'_> {
    /// One round: this site trains while it answers as key holder, where it is one.
    async fn round(&self, state: &mut State) -> anyhow::Result<()> {
        let round = state.next();
        println!("round {round}");
        patiently(|| self.site.publish_round_keys()).await?;
        let base = model::digest(state.model());
        let part = async {
            let (opened, update) =
                tokio::join!(self.opened(round, &base), training::update(self, state));
            opened?;
            let update = update?;
            patiently(|| self.take_part(round, &base, &update)).await.map_err(anyhow::Error::from)
        };
        let duty = async {
            if self.site.holds(round) {
                self.seen(round).await?;
                self.hold(round).await;
            }
            Ok::<_, anyhow::Error>(())
        };
        let (end, duty) = tokio::join!(part, duty);
        duty?;
        match end? {
            RoundEnd::Aborted => {
                println!(
                    "  aborted, with a certificate: too few contributions came; the model stays"
                );
                state.aborted()?;
            }
            RoundEnd::Done(done) => {
                for (holder, reason) in &done.unusable {
                    println!("  the opening of {holder} was not used: {reason}");
                }
                println!(
                    "  mean of {} sites opened, noise margin {:.1} bits",
                    done.opened.sites, done.opened.noise.margin_bits
                );
                let mean = Weights::from_values(&state.model().shapes(), done.mean())?;
                state.opened(&mean)?;
                self.acknowledge(done, state).await?;
            }
        }
        Ok(())
    }

    /// Waits until the round is open, and opens it when that falls to this site.
    async fn opened(&self, round: u32, base: &ringfence_crypto::Digest) -> anyhow::Result<()> {
        loop {
            if patiently(|| self.site.rounds()).await? > round {
                return Ok(());
            }
            tokio::select! {
                opened = self.site.open_round(base, self.round_seconds) => match opened {
                    Ok(_) => println!("  opened by this site"),
                    // Another site was faster, or the server is away: the next look tells.
                    Err(error) if is_transient(&error) || conflict(&error) => pause(1).await,
                    Err(error) => return Err(error.into()),
                },
                seen = self.seen(round) => return seen,
            }
        }
    }

    /// Waits until somebody has opened the round.
    async fn seen(&self, round: u32) -> anyhow::Result<()> {
        while patiently(|| self.site.rounds()).await? <= round {
            pause(1).await;
        }
        Ok(())
    }

    /// Contributes unless it is too late, and opens what comes of the round.
    async fn take_part(
        &self,
        round: u32,
        base: &ringfence_crypto::Digest,
        update: &[f32],
    ) -> Result<RoundEnd<'_>, SiteError> {
        match self.site.join(round).await?.contribute(base, update, |_| ()).await {
            Ok(contributed) => {
                println!("  contributed {:.2} MiB", contributed.bytes() as f64 / (1 << 20) as f64);
                if let Some(clipped) = contributed.clipped() {
                    println!("  {clipped}");
                }
                contributed.finish().await
            }
            Err(error) if conflict(&error) => {
                println!("  too late to contribute ({error}); waiting for the round's end");
                self.site.join(round).await?.finish().await
            }
            Err(error) => Err(error),
        }
    }

    /// A holder's duties. What stands in their way concerns this holder alone: the others' shares do
    /// without it up to the study's bound, so that this site's own part goes on.
    async fn hold(&self, round: u32) {
        match patiently(|| self.site.hold(round)).await {
            Ok(report) => {
                for dealer in &report.complaints {
                    println!("  complained about {dealer}, whose envelope does not open");
                }
            }
            Err(error) => println!("  as key holder: {error}"),
        }
    }

    /// After a restart: the last round may have been opened and not acknowledged, and the others
    /// wait for that. Acknowledging twice does no harm.
    async fn acknowledge_again(&self, state: &State) {
        let Some(last) = state.next().checked_sub(1) else { return };
        let digest = model::digest(state.model());
        let again = || async {
            match self.site.join(last).await?.finish().await? {
                RoundEnd::Done(done) => done.acknowledge(&digest).await,
                RoundEnd::Aborted => Ok(()),
            }
        };
        if let Err(error) = patiently(again).await {
            eprintln!("  round {last} could not be acknowledged again: {error}");
        }
    }

    async fn acknowledge(&self, done: Done<'_>, state: &State) -> anyhow::Result<()> {
        match done.acknowledge(&model::digest(state.model())).await {
            Ok(()) => Ok(()),
            // The mean is on disk; the round is opened again to say so.
            Err(error) if is_transient(&error) => {
                self.acknowledge_again(state).await;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Repeats a step while only waiting helps, with growing pauses and a word at the first failure.
async fn patiently<T, F>(mut step: impl FnMut() -> F) -> Result<T, SiteError>
where
    F: Future<Output = Result<T, SiteError>>,
{
    let mut seconds = 1;
    loop {
        match step().await {
            Err(error) if is_transient(&error) => {
                if seconds == 1 {
                    eprintln!("  waiting: {error}");
                }
                pause(seconds).await;
                seconds = (2 * seconds).min(30);
            }
            end => return end,
        }
    }
}

/// Whether waiting may help: the server is away or busy, or other sites are late.
fn is_transient(error: &SiteError) -> bool {
    match error {
        SiteError::Transport(error) => error.is_transient(),
        SiteError::Impatient { .. } | SiteError::NotAgreed { .. } => true,
        _ => false,
    }
}

/// Whether the server says that it is too late, or that somebody else was first.
fn conflict(error: &SiteError) -> bool {
    matches!(error, SiteError::Transport(error) if error.status() == Some(409))
}

async fn pause(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
