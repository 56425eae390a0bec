//! The defence at a site, from round to round.

use std::path::Path;

use rayon::prelude::*;

use super::decoder::Decoder;
use super::held::Held;
use super::maps;
use crate::data::dataset::{Dataset, Sample};
use crate::error::LearnError;
use crate::model::ModelName;
use crate::simulation::RoundStart;
use crate::task::{Task, TaskName};
use crate::train::derivation::Derivation;
use ringfence_weights::{Weights, WeightsError};

/// A round at a site, before its training.
#[derive(Clone, Copy)]
pub struct DefendedRound<'a> {
    /// What is learnt.
    pub task: &'a dyn Task,
    /// The common model before the round.
    pub start: &'a Weights,
    /// The site's training images.
    pub samples: &'a [Sample],
    /// The round, from 0.
    pub round: u32,
    /// How many rounds there are.
    pub rounds: u32,
    /// Fixes the decoders' first weights, with the images.
    pub seed: u64,
}

/// The defence of one site.
///
/// Decoders and masks are kept between rounds: `1.25 side^2` numbers of 32 bits an image in grey, and
/// some 6,500 more, so that memory grows with the images and not with the rounds. Its result
/// follows from the images, the seed and the models of the rounds it went through: the same bits on
/// one machine, whatever its threads do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shadow {
    /// A digest of the images and the seed that it is of.
    of: String,
    /// The round that it is in.
    round: Option<u32>,
    held: Vec<Held>,
}

const DECODERS: &str = "decoders";
const MASKS: &str = "masks";

impl Shadow {
    /// Before any round.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses what the defence cannot be used with, before any time is spent.
    ///
    /// # Errors
    /// [`LearnError::Option`] with the models that it can be used with.
    pub fn check(task: TaskName, model: ModelName) -> Result<(), LearnError> {
        let fits = matches!(model, ModelName::CnnLight | ModelName::Cnn | ModelName::Residual);
        if task == TaskName::Classification && fits {
            return Ok(());
        }
        Err(LearnError::Option {
            option: "--defence shadow",
            expected: "a classification model with convolutions (cnn-light, cnn or residual), whose \
                       class scores say where the diagnosis is; leave it out with others",
            found: format!("{model} for {task}"),
        })
    }

    /// The site's training images as they are trained on in this round: each with its noise. A round
    /// that was entered already is not entered again, so that a round that is trained a second time is
    /// the same. Other images or another seed than before: it starts anew.
    ///
    /// # Errors
    /// As [`Shadow::enter`] and [`diagnosis`](super::diagnosis).
    pub fn defended(&mut self, at: &DefendedRound<'_>) -> Result<Vec<Sample>, LearnError> {
        self.enter(at)?;
        let pairs = self.held.par_iter().zip(at.samples);
        let defended = pairs.map(|(held, sample)| {
            let image = maps::added(&sample.image, &held.noise(at, sample)?);
            Ok(Sample { image, ..sample.clone() })
        });
        defended.collect()
    }

    /// Fits and trains the decoders, and moves the masks on.
    ///
    /// # Errors
    /// When a sample does not fit the task, or a decoder's training diverges.
    pub fn enter(&mut self, at: &DefendedRound<'_>) -> Result<(), LearnError> {
        at.samples.iter().try_for_each(|sample| at.task.check_sample(sample))?;
        let of = name(at);
        if self.of != of {
            *self = Self { of, ..Self::default() };
        }
        if self.round == Some(at.round) {
            return Ok(());
        }
        let held = at.samples.par_iter().enumerate();
        let held = held.map(|(place, sample)| Held::after(self.held.get(place), at, sample));
        self.held = held.collect::<Result<_, LearnError>>()?;
        self.round = Some(at.round);
        Ok(())
    }

    /// Writes decoders and masks, whole or not at all.
    ///
    /// # Errors
    /// [`WeightsError::File`].
    pub fn save(&self, path: &Path) -> Result<(), WeightsError> {
        let (images, first) = (self.held.len(), self.held.first());
        let decoders = first.map_or(0, |held| held.decoder.len());
        let masks = first.map_or(0, |held| held.mask.len());
        let shapes = [(DECODERS, decoders), (MASKS, masks)];
        let shapes = shapes.map(|(name, values)| (name.to_owned(), vec![images, values]));
        let of = |values: fn(&Held) -> &Vec<f32>| self.held.iter().flat_map(values).copied();
        let values = of(|held| &held.decoder).chain(of(|held| &held.mask)).collect();
        let round = self.round.map(|round| round.to_string()).unwrap_or_default();
        let metadata = [("of", self.of.as_str()), ("round", round.as_str())];
        Weights::from_values(&shapes, values)?.save_with(path, &metadata)
    }

    /// What was written for these images and this seed, at most in this round. Whatever else lies
    /// there is no error: then the defence starts anew, which costs time.
    #[must_use]
    pub fn load(path: &Path, at: &DefendedRound<'_>) -> Self {
        Self::read(path, at).unwrap_or_default()
    }

    fn read(path: &Path, at: &DefendedRound<'_>) -> Option<Self> {
        let (weights, metadata) = Weights::load_with(path).ok()?;
        let round: u32 = metadata.get("round")?.parse().ok()?;
        let of = metadata.get("of").filter(|of| **of == name(at) && round <= at.round)?;
        weights.check_finite().ok()?;
        let (channels, side) = at.samples.first()?.shape()?;
        let (decoder, mask) = (Decoder::new(channels, side).len(), side * side);
        let rows = |part: &str, length: usize| {
            let (shape, values) = weights.get(part)?;
            (shape == [at.samples.len(), length]).then(|| values.chunks_exact(length.max(1)))
        };
        let pairs = rows(DECODERS, decoder)?.zip(rows(MASKS, mask)?);
        let held =
            pairs.map(|(decoder, mask)| Held { decoder: decoder.to_vec(), mask: mask.to_vec() });
        Some(Self { of: of.clone(), round: Some(round), held: held.collect() })
    }
}

/// Which images and which seed.
fn name(at: &DefendedRound<'_>) -> String {
    let key = Derivation::new("ringfence shadow v1", &[0; 32]);
    let key = key.number(at.seed).number(at.samples.len() as u64);
    let key = at.samples.iter().fold(key, Derivation::sample).key();
    blake3::Hash::from_bytes(*key).to_string()
}

/// The defence of all sites of an experiment on this machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shadows(Vec<Shadow>);

impl Shadows {
    /// Before any round.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The data, each site's training images as they are trained on in this round. `absent` as in
    /// [`RoundStart::updates`]: what a site has that does not train stays as it is.
    ///
    /// # Errors
    /// As [`Shadow::defended`].
    pub fn defended(
        &mut self,
        start: &RoundStart<'_>,
        dataset: &Dataset,
        absent: &[bool],
    ) -> Result<Dataset, LearnError> {
        let RoundStart { plan, model, round } = *start;
        let task = plan.task()?;
        self.0.resize(dataset.sites.len(), Shadow::new());
        let mut defended = dataset.clone();
        for (place, (site, shadow)) in defended.sites.iter_mut().zip(&mut self.0).enumerate() {
            if absent.get(place).is_some_and(|absent| *absent) {
                continue;
            }
            site.train = shadow.defended(&DefendedRound {
                task: task.as_ref(),
                start: model,
                samples: &site.train,
                round,
                rounds: plan.rounds,
                seed: plan.training.seed,
            })?;
        }
        Ok(defended)
    }
}
