//! What is trained, and how.

use anyhow::ensure;
use ringfence_learning::data::Channels;
use ringfence_learning::{
    Augmentation, LearnError, ModelName, Optimizer, TaskName, TrainOptions, TrainingPlan,
};

use crate::algorithm::{AlgorithmChoice, AlgorithmSettings, UsualEpochs};
use crate::counts::{at_least_one, number};
use crate::names;

/// The seed unless told otherwise.
pub const USUAL_SEED: u64 = 1;

/// Arguments that make a training plan.
#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    /// What is learnt.
    #[arg(long, value_parser = names::task(), default_value_t = TaskName::Segmentation)]
    pub task: TaskName,
    /// The model; the task's light one unless given.
    #[arg(long, value_parser = names::model())]
    model: Option<ModelName>,
    /// Side of the square images, in pixels.
    #[arg(long, default_value_t = 64)]
    pub side: usize,
    /// Train on images in colour: red, green and blue. Otherwise colour becomes grey.
    #[arg(long)]
    colour: bool,
    /// Number of federated rounds; 16 for segmentation, 10 for classification unless given.
    #[arg(long, value_parser = at_least_one::<u32>)]
    rounds: Option<u32>,
    /// Local epochs a round; chosen for the task unless given.
    #[arg(long, value_parser = at_least_one::<usize>)]
    epochs: Option<usize>,
    /// Images a step; chosen for the task unless given.
    #[arg(long, value_parser = at_least_one::<usize>)]
    batch: Option<usize>,
    /// Step size of the first round, which falls by half a cosine over the rounds; chosen for the
    /// task unless given.
    #[arg(long, value_parser = number::<f64>)]
    learning_rate: Option<f64>,
    /// Train by SGD with this momentum instead of Adam.
    #[arg(long, value_parser = number::<f64>)]
    momentum: Option<f64>,
    /// Turn, scale and move training images at random, masks with them, at this strength (1.0 is
    /// the documented range; up to 3).
    #[arg(long, value_name = "STRENGTH", default_value_t = 0.0, value_parser = number::<f32>)]
    augment_geometry: f32,
    /// Give training images the noise, grey curve, contrast and resolution of random scanners, at
    /// this strength (1.0 is the range of --scanners; up to 3).
    #[arg(long, value_name = "STRENGTH", default_value_t = 0.0, value_parser = number::<f32>)]
    augment_intensity: f32,
    /// Seed of data, splits, initial weights and training (never of keys): 1 unless given, but `ringfence
    /// init` draws one.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Settings of the algorithms.
    #[command(flatten)]
    pub settings: AlgorithmSettings,
}

impl PlanArgs {
    /// The channels that images shall have.
    #[must_use]
    pub fn channels(&self) -> Channels {
        if self.colour { Channels::Colour } else { Channels::Grey }
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or(USUAL_SEED)
    }

    /// Refuses to train on colours where images are generated.
    ///
    /// # Errors
    /// Saying so, where that was asked for.
    pub fn check_without_data(&self) -> anyhow::Result<()> {
        ensure!(
            !self.colour,
            "--colour would change nothing: the images are generated, in grey; name some with --data, or leave it out"
        );
        Ok(())
    }

    /// The plan for these classes, with the usual epochs of personalisation where none are given.
    ///
    /// # Errors
    /// When the model does not fit the task, the side or the classes, or an option is out of range.
    pub fn plan(
        &self,
        classes: &[String],
        choice: AlgorithmChoice,
        usual_epochs: UsualEpochs,
    ) -> Result<TrainingPlan, LearnError> {
        let (model, rounds) = match self.task {
            TaskName::Segmentation => (ModelName::UnetLight, 16),
            TaskName::Classification => (ModelName::CnnLight, 10),
        };
        let usual = TrainOptions::for_task(self.task);
        let training = TrainOptions {
            epochs: self.epochs.unwrap_or(usual.epochs),
            batch: self.batch.unwrap_or(usual.batch),
            learning_rate: self.learning_rate.unwrap_or(usual.learning_rate),
            optimizer: match self.momentum {
                Some(momentum) => Optimizer::Sgd { momentum },
                None => usual.optimizer,
            },
            augmentation: Augmentation {
                geometry: self.augment_geometry,
                intensity: self.augment_intensity,
                ..usual.augmentation
            },
            seed: self.seed(),
            algorithm: self.settings.local(choice),
        };
        let classes = match self.task {
            TaskName::Segmentation => Vec::new(),
            TaskName::Classification => classes.to_vec(),
        };
        let plan = TrainingPlan {
            task: self.task,
            model: self.model.unwrap_or(model),
            side: self.side,
            channels: self.channels().count(),
            classes,
            rounds: self.rounds.unwrap_or(rounds),
            training,
            mean_step: self.settings.mean_step(choice),
            fine_tuning: self.settings.fine_tuning(choice, usual_epochs)?,
            personal: None,
        };
        plan.task()?;
        plan.training.check()?;
        Ok(plan)
    }
}
