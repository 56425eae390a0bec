//! The images of each site: one half of its patients are the site's own, those of the other half the
//! attacker has.

use std::collections::BTreeSet;

use anyhow::ensure;
use rand::rngs::ChaCha20Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use ringfence_learning::{
    Classification, Dataset, ModelName, Sample, Task, TaskName, TrainOptions, Training, predict,
};
use ringfence_weights::Weights;
use ringfence_words::counted;

use crate::attack::observe::Site;

/// Images of an update.
const IMAGES: usize = 8;
/// A site with fewer images of either half is left out.
const FEWEST: usize = IMAGES;
/// Passes of the classifier that is to name the site of an image.
const EPOCHS: usize = 30;

/// The sites.
pub(super) struct Origins {
    pub(super) names: Vec<String>,
    /// Sites that have too few images.
    pub(super) left_out: Vec<String>,
    own: Vec<Vec<Sample>>,
    known: Vec<Vec<Sample>>,
    side: usize,
    seed: u64,
}

impl Origins {
    /// Divides the patients of each site.
    ///
    /// # Errors
    /// When fewer than two sites have enough images.
    pub(super) fn new(dataset: &Dataset, seed: u64) -> anyhow::Result<Self> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let (mut names, mut left_out) = (Vec::new(), Vec::new());
        let (mut own, mut known) = (Vec::new(), Vec::new());
        for site in &dataset.sites {
            let all = || site.samples().map(|(_, sample)| sample);
            let mut patients: Vec<&str> = all().map(|sample| sample.group.as_str()).collect();
            patients.sort_unstable();
            patients.dedup();
            patients.shuffle(&mut rng);
            let half: BTreeSet<&str> = patients.iter().copied().take(patients.len() / 2).collect();
            let (seen, hidden): (Vec<Sample>, Vec<Sample>) =
                all().cloned().partition(|sample| half.contains(sample.group.as_str()));
            if seen.len() < FEWEST || hidden.len() < FEWEST {
                left_out.push(site.site.clone());
                continue;
            }
            names.push(site.site.clone());
            own.push(hidden);
            known.push(seen);
        }
        ensure!(
            names.len() > 1,
            "--attack site: expected at least two sites with {} images of either half of their patients, found {}: give data that name their sites (docs/data.md)",
            FEWEST,
            counted(names.len() as u64, "such site")
        );
        Ok(Self { names, left_out, own, known, side: dataset.side, seed })
    }

    /// So many sites that train on images of their own, of other patients than the attacker's: the
    /// first is the one of this place, the others are drawn.
    pub(super) fn round(
        &self,
        place: usize,
        sites: usize,
        weights: &Weights,
        seed: u64,
    ) -> Vec<Site> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut others: Vec<usize> = vec![place % self.own.len().max(1)];
        others.extend((1..sites).map(|_| rng.random_range(0..self.own.len())));
        let mut site = |place: usize| {
            let mut samples = self.own.get(place).cloned().unwrap_or_default();
            samples.shuffle(&mut rng);
            samples.truncate(IMAGES);
            Site { samples, weights: weights.clone() }
        };
        others.into_iter().map(&mut site).collect()
    }

    /// One of a site that the attacker makes up of the images that he has.
    pub(super) fn reference(&self, place: usize, number: u64, weights: &Weights) -> Site {
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        rng.set_stream(((place as u64) << 32) | (number + 1));
        let mut samples = self.known.get(place).cloned().unwrap_or_default();
        samples.shuffle(&mut rng);
        samples.truncate(IMAGES);
        Site { samples, weights: weights.clone() }
    }

    /// Trains a classifier on the attacker's images, and asks it for the site of each of the others:
    /// how many there are, how many it names right, and how many are of the commonest site.
    ///
    /// # Errors
    /// Those of training.
    pub(super) fn images(&self, model: ModelName) -> anyhow::Result<[usize; 3]> {
        let task = Classification::new(model, self.side, &self.names)?;
        let labelled = |all: &[Vec<Sample>]| -> Vec<Sample> {
            let of = |(place, samples): (usize, &Vec<Sample>)| {
                let label = Some(place as u32);
                let of = move |sample: &Sample| Sample { label, ..sample.clone() };
                samples.iter().map(of).collect::<Vec<_>>()
            };
            all.iter().enumerate().flat_map(of).collect()
        };
        let (known, own) = (labelled(&self.known), labelled(&self.own));
        let usual = TrainOptions::for_task(TaskName::Classification);
        let options = &TrainOptions { epochs: EPOCHS, seed: self.seed, ..usual };
        let start = &task.initial_weights(self.seed)?;
        let training = Training { task: &task, start, samples: &known, options };
        let trained = training.run(&mut |_| ())?;
        let likeliest = |logits: &Vec<f32>| {
            logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(place, _)| place)
        };
        let said = predict(&task, &trained, &own)?;
        let right = said.iter().zip(&own).filter(|(logits, sample)| {
            likeliest(logits).and_then(|place| u32::try_from(place).ok()) == sample.label
        });
        let commonest = self.own.iter().map(Vec::len).max().unwrap_or(0);
        Ok([own.len(), right.count(), commonest])
    }
}
