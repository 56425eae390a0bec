//! A site from its start to its end, over the library that `ringfence join` is built on: it takes part
//! in all rounds of the study, and goes on from what is on its disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use ringfence_clock::Clock;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::statement::SignedStudy;
use ringfence_durable::Readers;
use ringfence_keys::identity::Identity;
use ringfence_site::transport::Transport;
use ringfence_site::{Membership, Own, Participation, RoundEnd, Site, model};
use ringfence_weights::{MeanStep, MeanStepState, Weights};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use zeroize::Zeroizing;

use crate::line::{End, Line};
use crate::tally::Tally;

/// A step waits for others, and for the aggregator, as long as `ringfence join` does.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Local epochs of a round.
const EPOCHS: u32 = 3;

/// What a site is made of.
pub(crate) struct Seat {
    pub(crate) place: usize,
    pub(crate) id: SiteId,
    pub(crate) secret: Zeroizing<String>,
    pub(crate) study: SignedStudy,
    pub(crate) initial: Weights,
    /// Its folder, which outlives it.
    pub(crate) state: PathBuf,
    pub(crate) line: Arc<Line>,
    pub(crate) clock: Clock,
    pub(crate) tally: Arc<Tally>,
    pub(crate) rounds: u32,
    pub(crate) round_seconds: u32,
    /// How long a local epoch takes.
    pub(crate) epoch: Duration,
    /// The round that it is in.
    pub(crate) at: watch::Sender<u32>,
}

/// The common model, as of the means on this site's disk.
struct Model {
    folder: PathBuf,
    weights: Weights,
    step: MeanStepState,
    done: u32,
}

/// The local epochs that are done, on disk.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Checkpoint {
    round: u32,
    epochs: u32,
}

impl Seat {
    /// Takes part in the rounds that are left. Ended at any moment and begun again, it goes on.
    ///
    /// # Errors
    /// Whatever ends a site before its last round; an opened mean that is not the plain one.
    pub(crate) async fn live(&self) -> anyhow::Result<()> {
        let (clock, tally) = (self.clock.clone(), Arc::clone(&self.tally));
        let line = Arc::new(End(Arc::clone(&self.line)));
        let told = self.id.clone();
        let site = Site::open(Membership {
            study: self.study.clone(),
            identity: Identity::from_file(&self.secret)?,
            state: self.state.clone(),
            transport: Transport::through(line, crate::URL, clock.clone())?,
            patience: PATIENCE,
            clock: clock.clone(),
        })?
        .keeping_sums()
        .telling(move |event| tally.said(&told, clock.now(), event));
        let mut model = Model::open(&self.state, &self.initial)?;
        let taking = Participation { site: &site, round_seconds: self.round_seconds };
        site.patiently(|| site.meet()).await?;
        if let Some(last) = RoundNumber(model.done).before() {
            taking.acknowledge_again(last, model::id(&model.weights)).await?;
        }
        while model.done < self.rounds {
            self.at.send_replace(model.done);
            self.round(&taking, &mut model)
                .await
                .with_context(|| format!("round {}", model.done))?;
        }
        self.at.send_replace(self.rounds);
        // Others may still need it: it answers as long as they are at it.
        Ok(())
    }

    async fn round(&self, taking: &Participation<'_>, model: &mut Model) -> anyhow::Result<()> {
        let (site, round) = (taking.site, RoundNumber(model.done));
        site.check_unspent(round, &model.weights)?;
        site.patiently(|| site.publish_round_keys()).await?;
        let base = model::id(&model.weights);
        let known = site.patiently(|| site.opened(round)).await?;
        let is_known = known.is_some();
        let (opened, is_open) = oneshot::channel();
        let part = async {
            let own = async {
                if is_known && !taking.is_taken(round, base).await? {
                    return Ok(Own::Nothing);
                }
                if site.has_contribution(round)? {
                    return Ok(Own::OnDisk);
                }
                anyhow::Ok(Own::Trained(self.train(round, &model.weights).await?))
            };
            let opening = async { anyhow::Ok(taking.opened(round, base, (known, opened)).await?) };
            let ((), own) = tokio::try_join!(opening, own)?;
            let sent = |values: &mut dyn Iterator<Item = u32>| {
                self.tally.sent(&self.id, round, values.collect());
            };
            let (end, _) = taking.take_part(round, &model.weights, &own, &sent).await?;
            anyhow::Ok(end)
        };
        let duty = async {
            if site.holds(round) && is_open.await.is_ok() {
                taking.hold(round).await;
            }
        };
        let both = async { tokio::join!(part, duty).0 };
        let end = tokio::select! {
            biased;
            ended = both => ended?,
            never = taking.attend() => match never {},
        };
        let mut done = match end {
            RoundEnd::Done(done) => done,
            RoundEnd::Aborted(abort) => {
                self.tally.count(|counts| counts.aborted += 1);
                bail!("{abort}")
            }
        };
        self.tally.opened(&self.id, &done, &self.study.study)?;
        let mean = Weights::from_values(&model.weights.shapes(), done.take_mean())?;
        model.opened(&mean)?;
        taking.acknowledge(done, model::id(&model.weights)).await??;
        Ok(())
    }

    /// Trains as `ringfence join` does, a checkpoint after each epoch; the update follows from site,
    /// round and model.
    async fn train(&self, round: RoundNumber, base: &Weights) -> anyhow::Result<Vec<f32>> {
        let path = self.state.join("training/checkpoint.json");
        let kept = ringfence_durable::read(&path, 1000).ok();
        let kept = kept.and_then(|bytes| serde_json::from_slice::<Checkpoint>(&bytes).ok());
        let done = kept.filter(|kept| kept.round == round.0).map_or(0, |kept| kept.epochs);
        for epoch in done..EPOCHS {
            self.tally.epoch(self.place, round.0, epoch);
            self.clock.sleep(self.epoch).await;
            let checkpoint = Checkpoint { round: round.0, epochs: epoch + 1 };
            let bytes = serde_json::to_vec(&checkpoint)?;
            ringfence_durable::write(&path, &bytes, Readers::Usual)?;
        }
        Ok(update(self.place, round, base))
    }
}

/// The update of a site: values from -0.5 to 0.5 that follow from site, round and model.
pub(crate) fn update(place: usize, round: RoundNumber, base: &Weights) -> Vec<f32> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&base.digest()).update(&round.0.to_le_bytes());
    hasher.update(&(place as u64).to_le_bytes());
    let mut draws = hasher.finalize_xof();
    let draw = |_| {
        let mut bytes = [0; 2];
        draws.fill(&mut bytes);
        f32::from(u16::from_le_bytes(bytes)) / 65_535.0 - 0.5
    };
    (0..base.len()).map(draw).collect()
}

impl Model {
    fn open(state: &Path, initial: &Weights) -> anyhow::Result<Self> {
        let folder = state.join("training");
        ringfence_durable::create_folder(&folder)?;
        ringfence_durable::clear_unfinished(&folder)?;
        let step = MeanStepState::new(MeanStep::Add);
        let mut model = Self { folder, weights: initial.clone(), step, done: 0 };
        while model.path().exists() {
            let mean = Weights::load(&model.path())?;
            model.apply(&mean)?;
        }
        Ok(model)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("mean-{:05}.safetensors", self.done))
    }

    fn opened(&mut self, mean: &Weights) -> anyhow::Result<()> {
        mean.save_whole(&self.path())?;
        self.apply(mean)
    }

    fn apply(&mut self, mean: &Weights) -> anyhow::Result<()> {
        self.weights = self.step.apply(&self.weights, mean)?;
        self.done += 1;
        Ok(())
    }
}
