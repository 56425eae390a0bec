//! `ringfence join`: a site as a long-running process, from the first round to the last.
//!
//! Everything that must survive is on disk before it is needed: the rounds in the site's journal,
//! the opened means and the training's checkpoint in `state`. Killed at any moment and started
//! again with the same arguments, it goes on where it was.

mod opened;
mod output;
mod pace;
mod participant;
mod report;
mod said;
mod state;
mod stop;
mod training;
mod units;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::statement::{PrivacyPolicy, Weighting};
use ringfence_learning::data::{self, DataError, OneSite};
use ringfence_learning::task::remarks;
use ringfence_learning::{Dataset, SiteData, TrainingPlan};
use ringfence_options::{
    DataArgs, DefenceArg, DeviceArgs, ObjectArg, at_least_one, check_pinned, private_options,
};
use ringfence_site::ledger::{UnitKind, Units};
use ringfence_site::{NoPart, Site, SiteError, Start, model};
use ringfence_words::listed;

use crate::commands::study::newest_epoch;
use crate::files::result_folder;
use crate::ledger_arg::LedgerArg;
use crate::member::Member;
use output::{Output, OutputArgs};
use pace::Pace;
use participant::{Failed, Participant};
use said::Said;
use state::State;
use stop::Writes;
use units::unit_names;

/// Seconds that a step waits for others unless told: a day, in which a server or a site that has
/// failed is back.
const PATIENCE: u64 = 24 * 3600;

/// The number of training images that the study weights this site by, where it is another one than
/// `trained`.
fn at_odds(site: &Site, trained: usize) -> Option<u32> {
    let Weighting::SampleCounts(counts) = &site.study().weighting else { return None };
    let count = counts.get(site.study().position(site.id())?)?;
    (usize::try_from(*count) != Ok(trained)).then_some(*count)
}

/// Why the images could not be read: what helps where data cannot be divided is another thing at one
/// site than in a simulation of all.
fn not_divided(error: DataError) -> anyhow::Error {
    match error {
        DataError::Sites { path, asked: 1, why, .. } => anyhow!(
            "{}: expected images of one site to train on and others to test on, found none that are both ({why}); mend the data",
            path.display()
        ),
        DataError::Sites { path, asked, possible, why, .. } => anyhow!(
            "{}: --sites {asked} divides these images among {asked} sites, and at most {possible} can be made ({why}); where all of them are this site's own, leave --sites out",
            path.display()
        ),
        error => error.into(),
    }
}

/// Waits for another site to seal the common model to this one, within its patience.
async fn snapshot(site: &Site, state: &State, from: RoundNumber) -> anyhow::Result<(Site, Start)> {
    let fits = |start: &Start| state.fits(start).map_err(|error| error.to_string());
    let last = from.before().unwrap_or_default();
    let end = site.clock().moment().after(site.patience());
    loop {
        let error = match site.patiently(|| site.fetch_snapshot(last, fits)).await {
            Ok(fetched) => return Ok(fetched),
            Err(SiteError::Transport(error)) if error.is_by_hand() => {
                return Err(SiteError::from(error).into());
            }
            Err(error @ (SiteError::NoSnapshot { .. } | SiteError::Transport(_))) => error,
            Err(error) => return Err(error.into()),
        };
        if site.clock().moment() >= end {
            return Err(error.into());
        }
        site.clock().sleep(LOOK_FOR_SNAPSHOT).await;
    }
}

/// Between two looks for a snapshot.
const LOOK_FOR_SNAPSHOT: Duration = Duration::from_secs(2);

/// Whether the roster has changed, and the site does not know how yet.
fn is_new_epoch(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(SiteError::NewEpoch(_)))
}

/// What a site reads before its first round.
struct Read {
    data: Arc<SiteData>,
    /// Who is charged, where the study has a privacy budget; why that cannot be said.
    units: anyhow::Result<Units>,
}

/// Does what takes its time on a thread of its own, so that a signal is heard meanwhile.
///
/// # Errors
/// Those of the work.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("a thread of this command failed")?
}

/// Arguments of `ringfence join`.
#[derive(Debug, clap::Args)]
pub(crate) struct Join {
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
    ledger: LedgerArg,
    #[command(flatten)]
    object: ObjectArg,
    #[command(flatten)]
    defence: DefenceArg,
    #[command(flatten)]
    device: DeviceArgs,
    /// Seconds that a round which this site opens takes contributions: long enough for the slowest
    /// site's training. It ends as soon as all have contributed.
    #[arg(long, default_value_t = 3600, value_parser = at_least_one::<u32>)]
    round_seconds: u32,
    /// After the last round, train a model on this site's images alone, too, for as many epochs, and say
    /// whether it is better here than the common one. It takes as long as this site's part in the rounds
    /// did; the model stays at the site.
    #[arg(long)]
    train_alone: bool,
    /// Folder for the models, scores and pictures. Started again, a site replaces what it has written
    /// there; before its first round nothing of it may be there.
    #[arg(long, default_value = "out")]
    out: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl Join {
    /// Takes part in all rounds of the plan. SIGTERM and SIGINT end it before that, with an exit code
    /// of theirs.
    ///
    /// # Errors
    /// What cannot be mended by waiting: wrong files, a rule of the protocol that stands against
    /// going on. A server that is away or sites that are late are waited for, as long as --patience
    /// says.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        self.device.choose()?;
        self.images.check_undivided()?;
        result_folder(&self.out)?;
        // From here on: whatever is going on, it is said where this site stands.
        let mut stopped = stop::listen()?;
        let (plan, initial) = TrainingPlan::load(&self.model)?;
        let defended = self.defence.of(&plan)?;
        ensure!(
            plan.personal.is_none(),
            "{}: expected a training plan without `personal`, found one in which each site keeps something of its own from round to round; so far `ringfence-lab experiment` alone trains by such a plan",
            self.model.display()
        );
        let site = self.member.open_for(PATIENCE).await?;
        site.check_round_seconds(self.round_seconds).context("--round-seconds")?;
        model::check_layout(&initial, &site.study().layout)
            .with_context(|| self.model.display().to_string())?;
        let id = model::id(&initial);
        ensure!(
            id == site.study().initial_model,
            "{}: the study starts from the model {}, this file holds {id}; use the study's initial model",
            self.model.display(),
            site.study().initial_model
        );
        check_pinned(&site.study().training, &plan)
            .with_context(|| self.model.display().to_string())?;
        let mut state = State::open(self.member.state(), &site, &plan, initial)?;
        report::check_own(&self.out, &state)?;
        let out = Output::new(self.output, site.clock().clone());
        let told = out.clone();
        let site = site.telling(move |event| told.say(event));
        self.check_restored(&site).await?;
        let read = tokio::select! {
            biased;
            Ok(signal) = &mut stopped => Err(signal),
            read = self.read(&site, &plan, &out) => Ok(read?),
        };
        let Read { data, units } = match read {
            Ok(read) => read,
            Err(signal) => {
                let at = (state.next(), state.done(), plan.rounds);
                out.say(&Said::stopped(signal.name(), at, false, (None, None)));
                return Ok(signal.into());
            }
        };
        let site = self.ledger.charging(site, |_| units)?;
        out.say(&Said::Joined {
            site: site.id(),
            study: site.first_study(),
            model: plan.model.to_string(),
            done: state.done(),
            rounds: plan.rounds,
            // Elsewhere it stands in a column.
            data: data.summary(&plan.classes).split_whitespace().collect::<Vec<_>>().join(" "),
        });
        // After the end neither changes anything any more.
        let is_over = state.done() == plan.rounds;
        if data.validation.is_empty() && !is_over {
            let text = "this site has no validation images: the common model is not scored after the rounds, and it is the one after the last round in any case".to_owned();
            out.say(&Said::Remark { text });
        }
        if let Some(count) = at_odds(&site, data.train.len()).filter(|_| !is_over) {
            out.say(&Said::SampleCount { study: count, trained: data.train.len() });
        }
        let (writes, failed) = (Writes::default(), Failed::default());
        let mut site = site;
        if let Some(from) = self.comes_later(&site, &state) {
            out.say(&Said::Remark {
                text: format!(
                    "this site takes part from round {from} on: it waits for another one to seal the common model to it"
                ),
            });
            let fetched = tokio::select! {
                biased;
                Ok(signal) = &mut stopped => {
                    let at = (state.next(), state.done(), plan.rounds);
                    out.say(&Said::stopped(signal.name(), at, false, (None, None)));
                    return Ok(signal.into());
                }
                fetched = snapshot(&site, &state, from) => fetched?,
            };
            let (with_keys, start) = fetched;
            model::check_layout(&start.model, &site.study().layout)?;
            state.begin(&start)?;
            site = with_keys;
        }
        let signal = loop {
            let at_work = Participant {
                site: &site,
                plan: &plan,
                data: &data,
                round_seconds: self.round_seconds,
                defended,
                out: &out,
                writes: &writes,
                failed: &failed,
            };
            let ended = tokio::select! {
                // First: once it has come, nothing more is said of waiting.
                biased;
                Ok(signal) = &mut stopped => break signal,
                ended = self.rounds(&at_work, &mut state) => ended,
            };
            let renewed = match ended {
                Ok(()) => return Ok(ExitCode::SUCCESS),
                Err(error) if is_new_epoch(&error) => tokio::select! {
                    biased;
                    Ok(signal) = &mut stopped => break signal,
                    renewed = at_work.patiently(|| site.renewed()) => renewed?,
                },
                Err(error) => return Err(error),
            };
            // The site goes on under the new roster; of rounds before it, under the old one.
            if let Some(renewed) = renewed {
                site = renewed;
                out.say(&Said::Remark { text: newest_epoch(&site) });
            }
        };
        writes.finish();
        let round = state.next();
        let waiting = site.waiting().filter(|waiting| waiting.round == round);
        let at = (round, state.done(), plan.rounds);
        out.say(&Said::stopped(signal.name(), at, true, (waiting, failed.of(round))));
        Ok(signal.into())
    }

    /// The first round that this site takes part in, where it has come later and knows no model yet.
    fn comes_later(&self, site: &Site, state: &State) -> Option<RoundNumber> {
        let next = state.next();
        match site.for_round(next).takes_part(next) {
            Err(SiteError::NoPart(no_part)) => match *no_part {
                NoPart::NotYet { from, .. } => Some(from),
                _ => None,
            },
            _ => None,
        }
    }

    /// After a restore, charges what the ledger may have forgotten: before anything is asked of a server,
    /// which may be gone. While it is not known how far the restore reaches, this site takes part in
    /// nothing, so that nothing begins; what the log shows of its ledger is looked at all the same, if a
    /// server answers.
    ///
    /// # Errors
    /// A restore that is not answered yet; a ledger that cannot be used.
    async fn check_restored(&self, site: &Site) -> anyhow::Result<()> {
        match self.ledger.settle(site, false) {
            // Another process has it: it is waited for before the first round.
            Err(error) if error.is_transient() => {}
            settled => _ = settled?,
        }
        let unknown = match site.abstention()? {
            Some(abstention) if abstention.through.is_none() => {
                site.check_abstention(RoundNumber::FIRST)
            }
            _ => return Ok(()),
        };
        if let Some(ledger) = self.ledger.folder()
            && site.meet().await.is_ok()
            && let Err(error @ SiteError::Ledger(_)) = site.compare_with_log(ledger).await
        {
            return Err(error)
                .context("restored and not answered yet: the ledger was held against the log");
        }
        Ok(unknown?)
    }

    /// The rounds that are not done yet, and the end.
    async fn rounds(&self, at_work: &Participant<'_>, state: &mut State) -> anyhow::Result<()> {
        let Participant { site, plan, data, out, .. } = *at_work;
        at_work.meet().await?;
        at_work.acknowledge_again(state).await;
        if state.done() == plan.rounds {
            out.say(&Said::AllDone { rounds: plan.rounds });
        }
        // Whether an earlier process has begun one shows in the rounds that are done, and in the
        // checkpoint.
        let is_begun = state.done() > 0 || state.checkpoint().exists();
        report::progress(out, &self.out, plan, data, state).await?;
        let mut pace = Pace::new(site.clock().moment(), is_begun);
        while state.done() < plan.rounds {
            let site = site.for_round(state.next());
            let of_round = Participant { site, ..*at_work };
            of_round.seal_to_newcomers(state).await;
            let took_part = of_round.round(state).await?;
            let left = plan.rounds - state.done();
            if let Some(left) = pace.ended(site.clock().moment(), took_part, left) {
                let seconds = left.saturating_add(Duration::from_millis(500)).as_secs();
                out.say(&Said::TimeLeft { seconds });
            }
            report::progress(out, &self.out, plan, data, state).await?;
        }
        let object = self.object.name(plan.task, false)?;
        let mut alone = None;
        if self.train_alone {
            let (_, initial) = TrainingPlan::load(&self.model)?;
            alone = Some(report::alone(at_work, initial, state).await?);
        }
        report::finish(out, (&self.out, object), (plan, alone), data, state).await
    }

    /// Asks the server who it is, and reads this site's images: on a thread of its own, for that takes
    /// its time.
    async fn read(&self, site: &Site, plan: &TrainingPlan, out: &Output) -> anyhow::Result<Read> {
        // A stranger is told of before the images are read; a server that is away is waited for after.
        if let Err(error) = site.meet().await
            && !error.is_transient()
        {
            return Err(error.into());
        }
        let (data, names_patients) = self.site_data(plan, site.id(), out).await?;
        let (policy, path) = (site.study().privacy, self.data.clone());
        if let PrivacyPolicy::RecordLevel(policy) = &policy {
            plan.check_private(&private_options(policy), data.training_groups().len())?;
        }
        let data = Arc::new(data);
        let units = match UnitKind::protected_by(&policy) {
            None => Ok(Units::Site),
            Some(unit) => {
                let data = Arc::clone(&data);
                aside(move || unit_names(unit, (&path, &data), names_patients)).await
            }
        };
        Ok(Read { data, units })
    }

    /// This site's images, checked against the plan before anything else happens. Without `--sites`
    /// they are of one site: the only one that the data name, or that of `--data-site`.
    /// Also whether the data name patients.
    async fn site_data(
        &self,
        plan: &TrainingPlan,
        id: &SiteId,
        out: &Output,
    ) -> anyhow::Result<(SiteData, bool)> {
        let mut options =
            self.images.options((plan.side, plan.reading()), plan.training.seed, &plan.classes)?;
        // One site of its own is what it reads without --sites, too.
        if options.sites.is_none_or(|sites| sites == 1) {
            options.one_site = Some(match &self.data_site {
                Some(site) => OneSite::Named(site.clone()),
                None => OneSite::Only,
            });
        }
        out.say(&Said::Reading { data: &self.data });
        let path = self.data.clone();
        let dataset = aside(move || data::load(&path, &options).map_err(not_divided)).await?;
        plan.check_site(&dataset).with_context(|| self.data.display().to_string())?;
        let mut sites = dataset.sites.iter();
        let site = match &self.data_site {
            None => sites.next().filter(|_| dataset.sites.len() == 1),
            Some(wanted) => sites.find(|site| site.site == *wanted),
        };
        let site = site.cloned().with_context(|| {
            let names = listed(dataset.sites.iter().map(|site| &site.site));
            let got = match &self.data_site {
                Some(site) => format!("got --data-site {site}"),
                None => "say which one is this by --data-site".to_owned(),
            };
            format!("{}: expected one of the sites {names}; {got}", self.data.display())
        })?;
        let names_patients = dataset.names_patients;
        // The data may spell it otherwise; what is said, written and drawn has the roster's name.
        let mut dataset = dataset;
        for part in &mut dataset.left_out {
            if part.site.as_ref() == Some(&site.site) {
                part.site = Some(id.to_string());
            }
        }
        let site = SiteData { site: id.to_string(), ..site };
        let dataset = Dataset { sites: vec![site.clone()], ..dataset };
        remarks(plan.task()?.as_ref(), &dataset)
            .into_iter()
            .for_each(|text| out.say(&Said::Remark { text }));
        Ok((site, names_patients))
    }
}
