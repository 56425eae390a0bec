//! The attacked models.

use anyhow::ensure;
use ringfence_learning::{Classification, ModelName, Segmentation, Task, TaskName};
use ringfence_weights::Weights;
use ringfence_words::listed_by;

use super::material::Material;
use super::terms::AttackName;

/// A model before its first round, and what it learns.
pub(super) struct Victim {
    pub(super) task: Box<dyn Task>,
    pub(super) weights: Weights,
    /// In the report.
    pub(super) name: &'static str,
}

impl Victim {
    /// The model that an attack is tried on: the one of this name, or the attack's usual one.
    ///
    /// # Errors
    /// When the model is none that the attack can be used on, or does not take images of this size.
    pub(super) fn new(
        attack: AttackName,
        model: Option<ModelName>,
        material: &Material,
        seed: u64,
    ) -> anyhow::Result<Self> {
        if let Some(model) = model {
            check(attack, model)?;
        }
        let (side, classes) = (material.side, &material.classes);
        let Some(model) = model.or_else(|| attack.models().first().copied()) else {
            return Self::lenet(side, classes, seed);
        };
        let task: Box<dyn Task> = match attack.task() {
            TaskName::Classification => Box::new(Classification::new(model, side, classes)?),
            TaskName::Segmentation => Box::new(Segmentation::new(model, side)?),
        };
        let weights = task.initial_weights(seed)?;
        Ok(Self { task, weights, name: model.name() })
    }

    /// The sigmoid LeNet.
    ///
    /// # Errors
    /// When it does not take images of this size.
    pub(super) fn lenet(side: usize, classes: &[String], seed: u64) -> anyhow::Result<Self> {
        let task: Box<dyn Task> = Box::new(Classification::sigmoid_lenet(side, classes)?);
        let weights = task.initial_weights(seed)?;
        Ok(Self { task, weights, name: "sigmoid LeNet" })
    }
}

/// Refuses a model that lacks what an attack needs, and names the attacks that fit it.
///
/// # Errors
/// Naming both.
pub(super) fn check(attack: AttackName, model: ModelName) -> anyhow::Result<()> {
    let fit = AttackName::ALL.into_iter().filter(|attack| attack.models().contains(&model));
    let known = listed_by(", ", attack.models().iter().map(|model| model.name()));
    let models = if known.is_empty() { String::new() } else { format!(" ({known})") };
    ensure!(
        attack.models().contains(&model),
        "--model {model}: the attack {attack} needs {}{models}; attacks that fit {model}: {}",
        attack.needs(),
        listed_by(", ", fit.map(AttackName::name))
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_lacks_what_an_attack_needs_is_refused_with_what_fits() {
        let refused = |attack, model| check(attack, model).unwrap_err().to_string();
        let error = refused(AttackName::Linear, ModelName::CnnLight);
        assert!(error.contains("a dense first layer with a bias (dense)"), "{error}");
        assert!(error.ends_with("cnn-light: inverting, labels, membership, site"), "{error}");
        let error = refused(AttackName::Idlg, ModelName::Dense);
        assert!(error.contains("sigmoid LeNet, and takes no --model"), "{error}");
        let error = refused(AttackName::Inverting, ModelName::UnetLight);
        assert!(error.contains("inverting-segmentation"), "{error}");
        check(AttackName::Imprint, ModelName::Dense).unwrap();
    }
}
