//! A round's training, beside the site's other duties.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::statement::PrivacyPolicy;
use ringfence_durable::Readers;
use ringfence_learning::private::{NoiseSeed, PrivateTraining};
use ringfence_learning::shadow::{DefendedRound, Shadow};
use ringfence_learning::{
    Checkpoint, KeptCheckpoint, Sample, SiteData, Task, Training, TrainingName, TrainingPlan,
};
use ringfence_options::private_options;
use ringfence_weights::Weights;
use zeroize::Zeroizing;

use super::output::Output;
use super::participant::Participant;
use super::said::Said;
use super::state::State;
use super::stop::Writes;

/// Trains the common model on the site's images, privately where the study's policy asks for it; the
/// update, in layout order. A checkpoint of the same training is gone on from, and no other: what the
/// ledger charges are the units of these images, so the update must come from them alone.
pub(super) async fn update(
    participant: &Participant<'_>,
    state: &State,
) -> anyhow::Result<Vec<f32>> {
    let base = state.model().clone();
    let trained = match participant.site.study().privacy {
        PrivacyPolicy::RecordLevel(policy) => {
            private(participant, state, private_options(&policy)).await?
        }
        PrivacyPolicy::None | PrivacyPolicy::SetsApart | PrivacyPolicy::SiteLevel(_) => {
            usual(participant, state).await?
        }
    };
    Ok(trained.difference(&base)?.into_values())
}

/// Which training it is: of the same site, round and study.
fn of(participant: &Participant<'_>, state: &State) -> String {
    let Participant { site, .. } = participant;
    format!("{} round {} of {}", site.id(), state.next(), site.study_id())
}

/// The checkpoint of a training, if there is one; one of the same round that was made from something
/// else is not used, and that is said.
fn kept(
    path: &Path,
    name: &TrainingName,
    (out, round): (&Output, RoundNumber),
) -> Option<Checkpoint> {
    let kept = Checkpoint::load(path, name);
    if kept == KeptCheckpoint::MadeFromOther {
        out.say(&Said::StartsOver { round });
    }
    kept.own()
}

/// How this site trains in this round.
fn options(
    participant: &Participant<'_>,
    state: &State,
) -> anyhow::Result<ringfence_learning::TrainOptions> {
    let Participant { site, plan, .. } = *participant;
    let place = site.study().position(site.id());
    let place = place.with_context(|| format!("{} is not on the study's roster", site.id()))?;
    Ok(plan.at(place, state.next().0))
}

/// What the shadow defence needs in a round, where this site has it.
struct Defence {
    plan: TrainingPlan,
    round: RoundNumber,
    /// Where decoders and masks lie.
    path: PathBuf,
    writes: Writes,
}

impl Defence {
    fn of(participant: &Participant<'_>, state: &State) -> Option<Self> {
        let Participant { plan, writes, .. } = *participant;
        let (round, path) = (state.next(), state.shadow());
        let (plan, writes) = (plan.clone(), writes.clone());
        participant.defended.then_some(Self { plan, round, path, writes })
    }

    /// The images with the round's noise. What the next rounds need is on disk before the training
    /// begins, so that one that is killed trains on the same images again.
    fn samples(
        &self,
        task: &dyn Task,
        start: &Weights,
        samples: &[Sample],
    ) -> anyhow::Result<Vec<Sample>> {
        let (round, rounds, seed) = (self.round.0, self.plan.rounds, self.plan.training.seed);
        let at = DefendedRound { task, start, samples, round, rounds, seed };
        let mut shadow = Shadow::load(&self.path, &at);
        shadow.enter(&at)?;
        self.writes.whole(|| shadow.save(&self.path))?;
        Ok(shadow.defended(&at)?)
    }
}

/// The images that a round trains on.
fn samples<'a>(
    defence: Option<&Defence>,
    (task, start): (&dyn Task, &Weights),
    data: &'a SiteData,
) -> anyhow::Result<Cow<'a, [Sample]>> {
    Ok(match defence {
        None => Cow::Borrowed(&data.train),
        Some(defence) => Cow::Owned(defence.samples(task, start, &data.train)?),
    })
}

async fn usual(participant: &Participant<'_>, state: &State) -> anyhow::Result<Weights> {
    let Participant { plan, data, out, writes, .. } = *participant;
    let (round, options) = (state.next(), options(participant, state)?);
    let (path, base, data) = (state.checkpoint(), state.model().clone(), Arc::clone(data));
    let (of, task, out) = (of(participant, state), plan.task()?, out.clone());
    let (bar, writes) = (out.progress_bar("training"), writes.clone());
    let defence = Defence::of(participant, state);
    // A thread of its own: training takes minutes, and this site must answer meanwhile.
    let trained = tokio::task::spawn_blocking(move || {
        let samples = samples(defence.as_ref(), (task.as_ref(), &base), &data)?;
        let training =
            Training { task: task.as_ref(), start: &base, samples: &samples, options: &options };
        let name = training.name(&of)?;
        let checkpoint = kept(&path, &name, (&out, round));
        let (images, epochs, resumed) = (data.train.len(), options.epochs, checkpoint.is_some());
        out.say(&Said::Training { round, images, epochs, resumed });
        let trained = training.run_from(
            checkpoint.as_ref(),
            &mut |step| {
                bar.set_length((step.epochs * step.batches) as u64);
                bar.set_position(((step.epoch - 1) * step.batches + step.batch) as u64);
                bar.set_message(format!("round {round}, loss {:.3}", step.loss));
            },
            &mut |checkpoint| writes.whole(|| checkpoint.save(&path, &name)),
        );
        bar.finish_and_clear();
        Ok(trained?)
    });
    trained.await.context("the training thread failed")?
}

async fn private(
    participant: &Participant<'_>,
    state: &State,
    private: ringfence_learning::private::PrivateOptions,
) -> anyhow::Result<Weights> {
    let Participant { plan, data, out, writes, .. } = *participant;
    let (round, options) = (state.next(), options(participant, state)?);
    let seed = noise_seed(&state.noise_seed())?;
    let (path, base, data) = (state.checkpoint(), state.model().clone(), Arc::clone(data));
    let (of, task, out) = (of(participant, state), plan.task()?, out.clone());
    let (bar, writes) = (out.progress_bar("private training"), writes.clone());
    let defence = Defence::of(participant, state);
    let trained = tokio::task::spawn_blocking(move || {
        // Each image's noise follows from that image and what is public: a unit's gradient is still its
        // own, and clipped.
        let samples = samples(defence.as_ref(), (task.as_ref(), &base), &data)?;
        let training = PrivateTraining {
            task: task.as_ref(),
            start: &base,
            samples: &samples,
            options: &options,
            private: &private,
            seed: &seed,
            of: &of,
        };
        let name = training.name()?;
        let checkpoint = kept(&path, &name, (&out, round));
        let (images, steps, resumed) = (data.train.len(), private.steps, checkpoint.is_some());
        out.say(&Said::PrivateTraining { round, images, steps, resumed });
        let trained = training.run_from(
            checkpoint.as_ref(),
            &mut |step| {
                bar.set_length(step.steps.into());
                bar.set_position(step.step.into());
                bar.set_message(format!("round {round}, {} of the images", step.images));
            },
            &mut |checkpoint| writes.whole(|| checkpoint.save(&path, &name)),
        );
        bar.finish_and_clear();
        Ok(trained?)
    });
    trained.await.context("the training thread failed")?
}

/// The secret that this site's noise in the study comes from: drawn once, and kept for its owner's
/// eyes, so that a round that is trained again is the same. One that was lost is drawn anew: what it
/// made is on disk, or has not left.
fn noise_seed(path: &Path) -> anyhow::Result<NoiseSeed> {
    if path.exists() {
        let cannot = || format!("cannot read {}", path.display());
        let kept = Zeroizing::new(ringfence_durable::read(path, 32).with_context(cannot)?);
        let bytes = <[u8; 32]>::try_from(kept.as_slice());
        let bytes = Zeroizing::new(bytes.with_context(|| {
            let got = kept.len();
            format!("{}: expected a secret of 32 bytes, got {got}; delete it", path.display())
        })?);
        return Ok(NoiseSeed::from_bytes(*bytes));
    }
    let seed = NoiseSeed::draw()?;
    ringfence_durable::write(path, seed.expose(), Readers::Owner)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(seed)
}
