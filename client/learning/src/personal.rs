//! What of a study's training is a site's own, and is never sent.

use ringfence_weights::{Weights, WeightsError};
use serde::{Deserialize, Serialize};

use crate::data::SiteData;
use crate::error::LearnError;
use crate::model::ModelName;
use crate::simulation::RoundStart;
use crate::train::{Algorithm, Carried, Checkpoint, Progress, TrainOptions, Training};

/// A part of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Scale and shift of every normalisation (Li et al., "FedBN", 2021). Ours normalise within an
    /// image and have no running statistics: these two are all that such a layer has.
    Norm,
    /// The first convolution, with its normalisation.
    First,
    /// The last layer (Arivazhagan et al., "FedPer", 2019; Collins et al., "FedRep", 2021).
    Head,
}

/// What a site keeps to itself from round to round. The common model still has the tensors that are
/// the sites' own, at their first values: an update is exactly zero there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Personal {
    /// Parts of the model that are each site's own.
    pub parts: Vec<Part>,
    /// Epochs at the beginning of each round in which these parts alone are trained; in those that
    /// follow the others alone are (FedRep). With 0 all are trained together.
    pub first_epochs: usize,
    /// Whether the optimizer's moments go on from round to round. Otherwise they restart.
    pub keep_moments: bool,
    /// Ditto (Li et al., 2021): each site has a second model, which nobody else sees, and trains it
    /// in every round on its own loss plus `ditto / 2 |v - w|^2`, `w` the common model.
    pub ditto: Option<f64>,
}

impl Personal {
    /// Whether the tensor of this name is a site's own.
    #[must_use]
    pub fn is_own(&self, name: &str) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Norm => name.ends_with(".norm.scale") || name.ends_with(".norm.bias"),
            Part::First => FIRST.iter().any(|first| name.starts_with(first)),
            Part::Head => name.starts_with("head."),
        })
    }

    /// Checks it against the model and the training.
    ///
    /// # Errors
    /// [`LearnError::Option`] with what would not do what it says.
    pub fn check(&self, model: ModelName, training: &TrainOptions) -> Result<(), LearnError> {
        let refuse =
            |option, expected, found: String| Err(LearnError::Option { option, expected, found });
        if self.first_epochs > 0 && (self.parts.is_empty() || self.first_epochs >= training.epochs)
        {
            let expected = "parts of the model that are each site's own, and fewer epochs for them alone than a round has";
            return refuse("personal.first_epochs", expected, self.first_epochs.to_string());
        }
        if let Some(pull) = self.ditto.filter(|pull| !(pull.is_finite() && *pull >= 0.0)) {
            return refuse("personal.ditto", "0 or a positive number", pull.to_string());
        }
        if !matches!(training.algorithm, Algorithm::FedAvg | Algorithm::FedProx { .. }) {
            let expected = "fedavg or fedprox, where a site has something of its own";
            return refuse("algorithm", expected, format!("{:?}", training.algorithm));
        }
        let of_convolutions = self.parts.iter().any(|part| *part != Part::Head);
        if of_convolutions && model == ModelName::Dense {
            let expected = "a model with the parts that are each site's own";
            let found = format!("{model}, which has no convolution and no normalisation");
            return refuse("personal.parts", expected, found);
        }
        Ok(())
    }

    /// The common model with a site's own tensors.
    ///
    /// # Errors
    /// When the two are of different models.
    pub fn joined(&self, common: &Weights, own: &Weights) -> Result<Weights, WeightsError> {
        common.difference(own)?;
        let of_site = own.iter().map(|(_, _, values)| values);
        let values = common.iter().zip(of_site).flat_map(|((name, _, common), own)| {
            if self.is_own(name) { own.to_vec() } else { common.to_vec() }
        });
        Weights::from_values(&common.shapes(), values.collect())
    }
}

/// How the first layers of our models are called: of a U-Net, a network for classes and a residual one.
const FIRST: [&str; 3] = ["down0.first.", "block0.", "stem."];

/// What one site has of its own after a round.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Its weights after its last round of training, and the optimizer's moments.
    pub trained: Option<Checkpoint>,
    /// Ditto's second model, with its moments.
    pub second: Option<Checkpoint>,
}

impl Own {
    /// The site's model: Ditto's second one, or the common one with what is the site's own.
    ///
    /// # Errors
    /// When it is of another model.
    pub fn model(&self, personal: &Personal, common: &Weights) -> Result<Weights, WeightsError> {
        match (&self.second, &self.trained) {
            (Some(second), _) => second.weights(),
            (None, Some(trained)) => personal.joined(common, &trained.weights()?),
            (None, None) => Ok(common.clone()),
        }
    }
}

impl RoundStart<'_> {
    /// Trains at a site that has something of its own: the update, exactly zero in what is the
    /// site's own, and what the site has after the round.
    ///
    /// # Errors
    /// As [`Training::run`].
    pub fn own_update(
        &self,
        personal: &Personal,
        (place, site): (usize, &SiteData),
        own: &Own,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Vec<f32>, Own), LearnError> {
        let task = self.plan.task()?;
        let options = self.plan.at(place, self.round);
        let start = Own { second: None, ..own.clone() }.model(personal, self.model)?;
        let kept = |own: &'_ Option<Checkpoint>| own.clone().filter(|_| personal.keep_moments);
        let moments = kept(&own.trained);
        let carried = Carried { moments: moments.as_ref(), personal: Some(personal), anchor: None };
        let (task, samples) = (task.as_ref(), &site.train);
        let training = Training { task, start: &start, samples, options: &options };
        let trained = training.run_carrying(&carried, None, progress, &mut |_| Ok(()))?;
        let update = personal.joined(&trained.weights()?, &start)?.difference(&start)?;
        let mut second = None;
        if let Some(mu) = personal.ditto {
            let start = match &own.second {
                Some(second) => second.weights()?,
                None => self.model.clone(),
            };
            let moments = kept(&own.second);
            let carried =
                Carried { moments: moments.as_ref(), anchor: Some(self.model), personal: None };
            let options = TrainOptions { algorithm: Algorithm::FedProx { mu }, ..options };
            let training = Training { task, start: &start, samples, options: &options };
            second = Some(training.run_carrying(&carried, None, progress, &mut |_| Ok(()))?);
        }
        Ok((update.into_values(), Own { trained: Some(trained), second }))
    }
}
