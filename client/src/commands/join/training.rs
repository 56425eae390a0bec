//! A round's training, beside the site's other duties.

use anyhow::Context;

use super::Participant;
use super::state::State;
use crate::demo::progress_bar;
use ringfence_learning::{Checkpoint, train_from};

/// Trains the common model on the site's images; the update, in layout order. A checkpoint of the same
/// training is gone on from.
pub(super) async fn update(
    participant: &Participant<'_>,
    state: &State,
) -> anyhow::Result<Vec<f32>> {
    let Participant { site, plan, data, .. } = participant;
    let round = state.next();
    let place = site.study().position(site.id()).unwrap_or_default();
    let options = plan.at(place, round);
    let (path, base, samples) = (state.checkpoint(), state.model().clone(), data.train.clone());
    let of = format!("{} round {round} of {}: {options:?}", site.id(), site.study_digest());
    let task = plan.task()?;
    // A thread of its own: training takes minutes, and this site must answer meanwhile.
    let trained = tokio::task::spawn_blocking(move || {
        let bar = progress_bar("training");
        let checkpoint = Checkpoint::load(&path, &of);
        let start = checkpoint.as_ref();
        let trained = train_from(
            task.as_ref(),
            &base,
            &samples,
            &options,
            start,
            &mut |step| {
                bar.set_length((step.epochs * step.batches) as u64);
                bar.set_position(((step.epoch - 1) * step.batches + step.batch) as u64);
                bar.set_message(format!("round {round}, loss {:.3}", step.loss));
            },
            &mut |checkpoint| checkpoint.save(&path, &of),
        );
        bar.finish_and_clear();
        let update = trained?.difference(&base)?;
        Ok::<_, anyhow::Error>(update.values().collect())
    });
    trained.await.context("the training thread failed")?
}
