//! A training plan as a study pins it.

use anyhow::{Context, bail, ensure};
use ringfence_crypto::statement::{Setting, Training};
use ringfence_learning::TrainingPlan;

/// Every setting of the plan, as it stands in a study.
///
/// # Errors
/// When the plan cannot be written down: a number of it is none.
pub fn pinned(plan: &TrainingPlan) -> anyhow::Result<Training> {
    let settings = plan.settings().context("the training plan cannot be written down")?;
    let settings = settings.into_iter().map(|(name, value)| Setting { name, value });
    Ok(Training::Plan(settings.collect()))
}

/// Refuses a plan that is not the one that the study pins, naming every setting that differs.
///
/// # Errors
/// The settings, the study's value and this site's; or that the study pins none.
pub fn check_pinned(study: &Training, plan: &TrainingPlan) -> anyhow::Result<()> {
    if *study == Training::None {
        bail!(
            "the study pins no training plan (--training none): nothing says that the sites train alike; make the study from a model that `ringfence init` wrote, or take part by `ringfence contribute` with the framework that the sites agreed on"
        );
    }
    let differences = study.differences(&pinned(plan)?);
    let lines: Vec<String> =
        differences.iter().map(|difference| format!("\n  {difference}")).collect();
    ensure!(
        differences.is_empty(),
        "this site's training plan is not the study's:{}\nuse the model file that the study was made from",
        lines.concat()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{AlgorithmChoice, PlanArgs, UsualEpochs};

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        plan: PlanArgs,
        #[command(flatten)]
        algorithm: AlgorithmChoice,
    }

    fn plan(classes: &[&str], changed: &[&str]) -> TrainingPlan {
        let mut words = vec!["command", "--task", "classification", "--side", "32"];
        words.extend(changed);
        let Command { plan, algorithm } = Command::try_parse_from(words).unwrap();
        let classes: Vec<String> = classes.iter().map(|class| (*class).to_owned()).collect();
        plan.plan(&classes, algorithm, UsualEpochs::default()).unwrap()
    }

    #[test]
    fn another_plan_is_refused_by_the_names_of_what_differs() {
        let classes = ["normal", "pneumonia"];
        let study = pinned(&plan(&classes, &[])).unwrap();
        check_pinned(&study, &plan(&classes, &[])).unwrap();
        let refused = |other: &TrainingPlan, expected: &[&str]| {
            let error = check_pinned(&study, other).unwrap_err().to_string();
            for text in expected {
                assert!(error.contains(text), "{error}");
            }
            assert_eq!(error.matches("the study says").count(), expected.len(), "{error}");
        };
        let swapped =
            r#"classes: the study says ["normal","pneumonia"], this site ["pneumonia","normal"]"#;
        refused(&plan(&["pneumonia", "normal"], &[]), &[swapped]);
        for (flags, expected) in [
            (&["--rounds", "11"][..], "rounds: the study says 10, this site 11"),
            (&["--epochs", "2"], "training.epochs: the study says 1, this site 2"),
            (&["--batch", "9"], "training.batch: the study says 8, this site 9"),
            (&["--seed", "2"], "training.seed: the study says 1, this site 2"),
            (&["--augment-geometry", "0.5"], "training.augmentation.geometry: the study says 0.0"),
            (&["--fine-tune-epochs", "2"], "fine_tuning"),
            (&["--colour"], "channels: the study says nothing, this site 3"),
        ] {
            let other = plan(&classes, flags);
            let error = check_pinned(&study, &other).unwrap_err().to_string();
            assert!(error.contains(expected), "{flags:?}: {error}");
        }
        let other = plan(&classes, &["--algorithm", "fedprox", "--mu", "0.1"]);
        let added = "training.algorithm.fed_prox.mu: the study says nothing, this site 0.1";
        refused(&other, &["training.algorithm: the study says fed_avg, this site nothing", added]);
        let error = check_pinned(&Training::None, &other).unwrap_err().to_string();
        assert!(error.contains("pins no training plan"), "{error}");
    }

    /// Settings are taken from the plan's own JSON: what is added to a plan is pinned, too. Grey is
    /// what nothing says, so that studies from before there was colour stay what they were.
    #[test]
    fn every_field_of_a_plan_is_pinned() {
        let Training::Plan(settings) = pinned(&plan(&["a", "b"], &["--colour"])).unwrap() else {
            panic!("a plan is pinned")
        };
        let names: Vec<&str> = settings.iter().map(|setting| setting.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "channels",
                "classes",
                "fine_tuning",
                "mean_step",
                "model",
                "rounds",
                "side",
                "task",
                "training.algorithm",
                "training.augmentation.flip",
                "training.augmentation.geometry",
                "training.augmentation.intensity",
                "training.batch",
                "training.epochs",
                "training.learning_rate",
                "training.optimizer",
                "training.seed",
            ]
        );
    }
}
