//! Training in the demo: together, personalised, and alone.

use std::time::Instant;

use ringfence_federation::Federation;
use ringfence_learning::shadow::Shadows;
use ringfence_learning::{Dataset, RoundStart, TrainingPlan};
use ringfence_options::{progress_bar, train_round};
use ringfence_weights::Weights;

use super::demo_round::DemoRound;

/// All rounds: every site trains, then the federation adds up. With `shadows` the sites train on
/// images with the defence's noise; alone and in fine-tuning they do not, for nothing leaves them.
pub(super) async fn federate(
    federation: &mut Federation,
    plan: &TrainingPlan,
    dataset: &Dataset,
    mut shadows: Option<Shadows>,
) -> anyhow::Result<Vec<DemoRound>> {
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let round = federation.next_round();
        let absent: Vec<bool> = federation.fates(round).iter().map(|fate| fate.absent).collect();
        let started = Instant::now();
        let start = RoundStart { plan, model: federation.model(), round: round.0 };
        let updates = train_round(&start, dataset, &absent, shadows.as_mut())?;
        let train_seconds = started.elapsed().as_secs_f64();
        let report = federation.round(&updates).await?.clone();
        let round = DemoRound { report, train_seconds };
        round.print();
        rounds.push(round);
    }
    Ok(rounds)
}

/// The common model fine-tuned at every site, where that is asked for.
pub(super) fn personalise(
    plan: &TrainingPlan,
    dataset: &Dataset,
    global: &Weights,
) -> anyhow::Result<Vec<Weights>> {
    let tuned = dataset.sites.iter().map(|site| plan.personalise(global, site));
    Ok(tuned.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The baseline: every site alone, for as many epochs as it trains in all federated rounds.
pub(super) fn local_only(
    plan: &TrainingPlan,
    dataset: &Dataset,
    initial: &Weights,
) -> anyhow::Result<Vec<Weights>> {
    let bar = progress_bar("local only");
    let epochs = plan.rounds as usize * plan.training.epochs;
    bar.set_length((dataset.sites.len() * epochs) as u64);
    let mut models = Vec::new();
    for (position, site) in dataset.sites.iter().enumerate() {
        let mut weights = initial.clone();
        bar.set_message(site.site.clone());
        // The same epochs at the same learning rates as in the federated rounds.
        for round in 0..plan.rounds {
            let before = position * epochs + round as usize * plan.training.epochs;
            let start = RoundStart { plan, model: &weights, round };
            weights = start.train_alone(position, site, &mut |step| {
                bar.set_position((before + step.epoch - 1) as u64);
            })?;
        }
        models.push(weights);
    }
    bar.finish_and_clear();
    Ok(models)
}
