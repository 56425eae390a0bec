//! A training plan: what all sites of a study train, and how, from the first round to the last.
//!
//! It travels in the metadata of the model's safetensors file, so that one file is all that a site
//! needs beside the study, and a model that is used later still says what it is. The study pins
//! every setting of it ([`TrainingPlan::settings`]) beside the initial model, the layout and the
//! weighting: a site with another plan is refused before it trains.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{Channels, DataError, Dataset, SiteData};
use crate::error::LearnError;
use crate::memory::free;
use crate::model::ModelName;
use crate::personal::Personal;
use crate::task::{Classification, Segmentation, Task, TaskName};
use crate::train::memory::Step;
use crate::train::{Algorithm, TrainOptions, Training, fine_tune};
use ringfence_weights::{MeanStep, Weights, WeightsError};

/// Personalisation at a site, from the common model. Its result stays there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineTuning {
    /// Size of the plain gradient steps.
    pub alpha: f64,
    /// Number of plain gradient steps, each on all of the site's training samples: one is what
    /// PerFedAvg prepares the common model for.
    pub steps: usize,
    /// Epochs of the plan's training after them, on the site's own loss. Of these the one that does
    /// best on the site's validation samples is kept; none, if none does better.
    #[serde(default)]
    pub epochs: usize,
    /// Step size in these epochs; that of the training's first round where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
}

impl FineTuning {
    /// Checks the step sizes.
    ///
    /// # Errors
    /// [`LearnError::Option`] naming the one that is not a positive number.
    pub fn check(&self) -> Result<(), LearnError> {
        let rates =
            [("alpha", Some(self.alpha)), ("fine_tuning.learning_rate", self.learning_rate)];
        for (option, rate) in rates {
            if let Some(rate) = rate.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
                let expected = "a positive number";
                return Err(LearnError::Option { option, expected, found: rate.to_string() });
            }
        }
        Ok(())
    }
}

/// A study's training, as written in the model file's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingPlan {
    /// What is learnt.
    pub task: TaskName,
    /// The model.
    pub model: ModelName,
    /// Height and width of the images, in pixels.
    pub side: usize,
    /// Channels of the images: 1 is grey, and 3 colour. Grey is not written down, as plans from
    /// before there was colour have it.
    #[serde(default = "grey", skip_serializing_if = "is_grey")]
    pub channels: usize,
    /// Names of the classes, in the order of their labels; empty for segmentation.
    pub classes: Vec<String>,
    /// Number of rounds.
    pub rounds: u32,
    /// Training at a site in one round; its seed is also that of the first weights.
    pub training: TrainOptions,
    /// What becomes of the mean update.
    pub mean_step: MeanStep,
    /// Personalisation after the last round, where there is any.
    pub fine_tuning: Option<FineTuning>,
    /// What is each site's own in the rounds, where there is anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Personal>,
}

fn grey() -> usize {
    1
}

/// By reference, as serde asks.
fn is_grey(channels: &usize) -> bool {
    *channels == grey()
}

/// Why a model file's plan cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The model file.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// No plan in the file.
    #[error(
        "{}: the file has tensors but no training plan in its metadata; make the model by `ringfence init`, or give one that `ringfence` has written", .0.display()
    )]
    Missing(PathBuf),
    /// A plan that is none.
    #[error("{}: the training plan in the file's metadata cannot be read: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Tensors and plan do not belong together.
    #[error(
        "{}: the tensors are not those of the plan's model ({expected}): {found}", path.display()
    )]
    Model {
        /// The file.
        path: PathBuf,
        /// The model by the plan.
        expected: String,
        /// The first tensor that differs.
        found: String,
    },
    /// The plan asks for what cannot be built.
    #[error(transparent)]
    Learn(Box<LearnError>),
}

impl From<LearnError> for PlanError {
    fn from(error: LearnError) -> Self {
        Self::Learn(Box::new(error))
    }
}

/// Key of the plan in a safetensors file's metadata.
const KEY: &str = "ringfence.plan";

impl TrainingPlan {
    /// The task, with its model.
    ///
    /// # Errors
    /// [`LearnError::Model`] when the model does not fit the task, the side, the channels or the
    /// classes.
    pub fn task(&self) -> Result<Box<dyn Task>, LearnError> {
        Ok(match self.task {
            TaskName::Segmentation => {
                let task = Segmentation::new(self.model, self.side)?;
                Box::new(task.with_channels(self.channels)?)
            }
            TaskName::Classification => {
                let task = Classification::new(self.model, self.side, &self.classes)?;
                Box::new(task.with_channels(self.channels)?)
            }
        })
    }

    /// How the channels of image files are read for this plan.
    #[must_use]
    pub fn reading(&self) -> Channels {
        if is_grey(&self.channels) { Channels::Grey } else { Channels::Colour }
    }

    /// The images in a few words: `64 px`, `64 px in colour`.
    #[must_use]
    pub fn images(&self) -> String {
        let colour = if is_grey(&self.channels) { "" } else { " in colour" };
        format!("{} px{colour}", self.side)
    }

    /// The model before round 0.
    ///
    /// # Errors
    /// As [`TrainingPlan::task`].
    pub fn initial_weights(&self) -> Result<Weights, LearnError> {
        self.task()?.initial_weights(self.training.seed)
    }

    /// Training of the site at this place of the ring in round `round`: the learning rate falls
    /// over the rounds, and every site shuffles differently.
    #[must_use]
    pub fn at(&self, place: usize, round: u32) -> TrainOptions {
        let seed = self.training.seed.wrapping_mul(1_000_003).wrapping_add(place as u64);
        let options = TrainOptions { seed, ..self.training.clone() };
        options.at_round(round as usize, self.rounds as usize)
    }

    /// The common model, personalised at a site; `None` when the plan does not do that.
    ///
    /// # Errors
    /// As [`fine_tune`] and [`Training::select`].
    pub fn personalise(
        &self,
        common: &Weights,
        site: &SiteData,
    ) -> Result<Option<Weights>, LearnError> {
        let Some(fine_tuning) = self.fine_tuning else { return Ok(None) };
        let FineTuning { alpha, steps, epochs, learning_rate } = fine_tuning;
        let task = self.task()?;
        let stepped = fine_tune(task.as_ref(), common, &site.train, alpha, steps)?;
        if epochs == 0 {
            return Ok(Some(stepped));
        }
        let algorithm = Algorithm::FedAvg;
        let learning_rate = learning_rate.unwrap_or(self.training.learning_rate);
        let options = TrainOptions { algorithm, epochs, learning_rate, ..self.training.clone() };
        let training = Training {
            task: task.as_ref(),
            start: &stepped,
            samples: &site.train,
            options: &options,
        };
        let (chosen, _) = training.select(site.choosing(), &mut |_| ())?;
        Ok(Some(chosen))
    }

    /// Bytes of memory that a step of this training takes on this machine's processors, at most:
    /// the images, gradients and moments of as many parts of a batch as run at once.
    ///
    /// # Errors
    /// As [`TrainingPlan::task`].
    pub fn memory(&self) -> Result<u64, LearnError> {
        Ok(self.step()?.bytes(rayon::current_num_threads()))
    }

    fn step(&self) -> Result<Step<'_>, LearnError> {
        let values = self.initial_weights()?.len();
        let Self { model, side, channels, training, .. } = self;
        let (model, side, channels) = (*model, *side, *channels);
        Ok(Step { model, values, side, channels, training, private: false })
    }

    /// Checks a study's data and free memory against the plan before any time is spent on training.
    ///
    /// # Errors
    /// As [`TrainingPlan::check_site`], and what the data of all sites together lack.
    pub fn check(&self, dataset: &Dataset) -> Result<(), LearnError> {
        self.check_site(dataset)?;
        self.task()?.check(dataset)
    }

    /// The same for the data of one site, which may be of one class.
    ///
    /// # Errors
    /// Images of another size, other classes, what the task cannot use, step sizes of fine-tuning
    /// that are none, or too little memory for a step.
    pub fn check_site(&self, dataset: &Dataset) -> Result<(), LearnError> {
        self.fine_tuning.as_ref().map_or(Ok(()), FineTuning::check)?;
        if let Some(personal) = &self.personal {
            personal.check(self.model, &self.training)?;
        }
        if self.task == TaskName::Classification && dataset.classes != self.classes {
            let list = |classes: &[String]| classes.join(", ");
            return Err(LearnError::from(DataError::Option {
                option: "classes",
                expected: "the classes of the training plan, in its order",
                found: format!("{} (the plan has {})", list(&dataset.classes), list(&self.classes)),
            }));
        }
        let task = self.task()?;
        let samples = dataset.sites.iter().flat_map(|site| site.samples());
        samples.into_iter().try_for_each(|(_, sample)| task.check_sample(sample))?;
        self.step()?.check(rayon::current_num_threads(), free())
    }

    /// Every setting as a name and a value, ascending by name: what a study pins. They are the
    /// plan's JSON, its objects taken apart (`training.optimizer.sgd.momentum`), so that no setting
    /// can be forgotten and none depends on an order of fields. A text stands as it is, `null` as
    /// `none`, a list and a number as their JSON.
    ///
    /// # Errors
    /// When the plan has no JSON, which does not happen.
    pub fn settings(&self) -> Result<Vec<(String, String)>, serde_json::Error> {
        // Through text: a float32 has fewer digits there than as a double.
        let plan: Value = serde_json::from_str(&serde_json::to_string(self)?)?;
        let mut settings = Vec::new();
        take_apart(String::new(), &plan, &mut settings);
        settings.sort();
        Ok(settings)
    }

    /// Writes weights with this plan in the file's metadata.
    ///
    /// # Errors
    /// [`WeightsError::File`].
    pub fn save(&self, weights: &Weights, path: &Path) -> Result<(), PlanError> {
        let format = |error: serde_json::Error| PlanError::Format {
            path: path.to_path_buf(),
            reason: error.to_string(),
        };
        let plan = serde_json::to_string(self).map_err(format)?;
        Ok(weights.save_with(path, &[(KEY, &plan)])?)
    }

    /// Reads weights with their plan, and checks that they belong together.
    ///
    /// # Errors
    /// [`PlanError`] naming the file.
    pub fn load(path: &Path) -> Result<(Self, Weights), PlanError> {
        let (weights, metadata) = Weights::load_with(path)?;
        let text = metadata.get(KEY).ok_or_else(|| PlanError::Missing(path.to_path_buf()))?;
        let format = |error: serde_json::Error| PlanError::Format {
            path: path.to_path_buf(),
            reason: error.to_string(),
        };
        let plan: Self = serde_json::from_str(text).map_err(format)?;
        plan.check_shapes(&weights, path)?;
        weights.check_finite()?;
        Ok((plan, weights))
    }

    fn check_shapes(&self, weights: &Weights, path: &Path) -> Result<(), PlanError> {
        let (expected, found) = (self.initial_weights()?.shapes(), weights.shapes());
        if expected == found {
            return Ok(());
        }
        let differs = (0..).find(|index| expected.get(*index) != found.get(*index));
        let found = match differs.map(|index| (expected.get(index), found.get(index))) {
            Some((Some((name, shape)), Some((other, of_other)))) => {
                format!("expected `{name}` {shape:?}, found `{other}` {of_other:?}")
            }
            Some((Some((name, shape)), None)) => format!("`{name}` {shape:?} is missing"),
            Some((None, Some((name, _)))) => format!("`{name}` is one too many"),
            _ => String::new(),
        };
        let expected = self.model.to_string();
        Err(PlanError::Model { path: path.to_path_buf(), expected, found })
    }
}

/// The settings inside a value, each under its path.
fn take_apart(path: String, value: &Value, settings: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            let dot = if path.is_empty() { "" } else { "." };
            for (name, value) in fields {
                take_apart(format!("{path}{dot}{name}"), value, settings);
            }
        }
        Value::Null => settings.push((path, "none".to_owned())),
        Value::String(text) => settings.push((path, text.clone())),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) => {
            settings.push((path, value.to_string()));
        }
    }
}
