//! A round's training, beside the site's other duties.

use anyhow::Context;
use ringfence_learning::{Checkpoint, Training};

use super::participant::Participant;
use super::said::Said;
use super::state::State;

/// Trains the common model on the site's images; the update, in layout order. A checkpoint of the
/// same training is gone on from.
pub(super) async fn update(
    participant: &Participant<'_>,
    state: &State,
) -> anyhow::Result<Vec<f32>> {
    let Participant { site, plan, data, out, writes, .. } = *participant;
    let round = state.next();
    let place = site.study().position(site.id());
    let place = place.with_context(|| format!("{} is not on the study's roster", site.id()))?;
    let options = plan.at(place, round.0);
    let (path, base, samples) = (state.checkpoint(), state.model().clone(), data.train.clone());
    let of = format!("{} round {round} of {}: {options:?}", site.id(), site.study_id());
    let task = plan.task()?;
    let checkpoint = Checkpoint::load(&path, &of);
    let (images, epochs, resumed) = (samples.len(), options.epochs, checkpoint.is_some());
    out.say(&Said::Training { round, images, epochs, resumed });
    let (bar, writes) = (out.progress_bar("training"), writes.clone());
    // A thread of its own: training takes minutes, and this site must answer meanwhile.
    let trained = tokio::task::spawn_blocking(move || {
        let training =
            Training { task: task.as_ref(), start: &base, samples: &samples, options: &options };
        let trained = training.run_from(
            checkpoint.as_ref(),
            &mut |step| {
                bar.set_length((step.epochs * step.batches) as u64);
                bar.set_position(((step.epoch - 1) * step.batches + step.batch) as u64);
                bar.set_message(format!("round {round}, loss {:.3}", step.loss));
            },
            &mut |checkpoint| writes.whole(|| checkpoint.save(&path, &of)),
        );
        bar.finish_and_clear();
        let update = trained?.difference(&base)?;
        Ok::<_, anyhow::Error>(update.values().collect())
    });
    trained.await.context("the training thread failed")?
}
