//! Inverting Gradients (Geiping, Bauermeister, Dröge and Moeller, "Inverting Gradients: How Easy Is It
//! to Break Privacy in Federated Learning?", 2020): images whose gradient points the same way as the
//! observed one, by Adam on signs of the gradient, with total variation.
//!
//! What is descended is `1 - cos(u(x), u*)`, `u` the gradient or a whole update. Its gradient for `x`
//! needs the product of `v = dD/du` with a mixed second derivative, and that is the derivative of a
//! first-order gradient along `v`, taken as a central difference. So any model and loss will do that
//! have a first derivative.
//!
//! Two things are more than in the paper, and without them the attack was hardly better than guessing.
//! The models begin with a convolution that is normalised, so that no gradient says how bright and how
//! contrasted an image is, and total variation alone would flatten it: after each step images are
//! brought back to mean 0 and variance 1, as models get them. And where a ReLU bends, gradients jump,
//! and the search gets stuck: it begins with ReLUs that bend smoothly, and ends with those of the model.

use rand::rngs::ChaCha20Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use ringfence_learning::{LearnError, Probe, Sample, Sought, Task, TaskName, TrainOptions, cosine};
use ringfence_weights::Weights;

use super::adam::Adam;
use super::answer::Answer;
use super::observe::Seen;
use super::terms::{Public, moments};
use crate::threads::each;

/// Steps of Adam, and its first step size, which falls by ten after 3/8, 5/8 and 7/8 of the steps, as
/// in the paper's code.
pub(super) const STEPS: usize = 600;
const STEP_SIZE: f64 = 0.1;
/// Weight of the total variation, the mean absolute difference of neighbouring pixels: for
/// classification and for segmentation. Of two or three values of it and of the width below, tried on
/// two or three chest X-rays at 32 px, these rebuilt them best.
const TOTAL_VARIATION: [f64; 2] = [0.005, 0.01];
/// Width over which ReLUs bend at first, which falls to nothing with the square of the steps left; and
/// that of segmentation, where more ReLUs come one behind the other.
const BEND: f64 = 0.2;
const WIDE_BEND: f64 = 0.5;
/// Through several steps, where the first ones decide at which weights the later ones are taken, some
/// searches end in a bad valley: so many starts, of which the most alike counts. One of this likeness
/// is right: no other is tried.
const STARTS: u64 = 3;
const SURE: f64 = 0.99;
/// How much of the start is a known image, another for each image that is sought; the rest is the mean
/// of the known images.
const START_SHARE: f32 = 0.5;
/// Random numbers that the attack is tried on, to know when it has found something.
const TRIALS: u32 = 4;

/// What made the observed update.
pub(super) enum Made<'a> {
    /// One step: its mean gradient.
    OneStep,
    /// All the steps of a training by plain SGD.
    Several(&'a TrainOptions),
}

/// What is known of an observed update.
pub(super) struct Inversion<'a> {
    pub(super) task: &'a dyn Task,
    pub(super) weights: &'a Weights,
    /// The truth of each image, which the attacker is told; of the images themselves he knows their
    /// size.
    pub(super) truth: &'a [&'a Sample],
    pub(super) made: Made<'a>,
    /// Between what the values of images lie.
    pub(super) range: (f32, f32),
    /// Images that are known: the search begins at mixtures of them.
    pub(super) public: &'a Public,
    pub(super) steps: usize,
    pub(super) seed: u64,
}

/// What was found, and how much its gradient is like the observed one.
pub(super) struct Found {
    pub(super) images: Vec<Vec<f32>>,
    /// The cosine; 1 is the same direction.
    pub(super) likeness: f64,
}

impl Inversion<'_> {
    /// Images whose update is like what is seen, and how like.
    ///
    /// # Errors
    /// When the weights are of another model.
    pub(super) fn run(&self, seen: &Seen) -> Result<Found, LearnError> {
        let mut best = self.search(seen, 0)?;
        for start in 1..self.starts() {
            if best.likeness >= SURE {
                break;
            }
            let other = self.search(seen, start)?;
            if other.likeness > best.likeness {
                best = other;
            }
        }
        Ok(best)
    }

    fn starts(&self) -> u64 {
        match self.made {
            Made::OneStep => 1,
            Made::Several(_) => STARTS,
        }
    }

    fn search(&self, seen: &Seen, start: u64) -> Result<Found, LearnError> {
        let pixels = self.pixels().max(1);
        let mut place = self.start(start);
        let (mut adam, smoothing) = (Adam::new(place.len()), self.smoothing(seen));
        for step in 0..self.steps {
            let left = 1.0 - step as f64 / self.steps as f64;
            let bend = self.bend() * left * left;
            let (_, mut gradient) = self.likeness(&place, &seen.values, bend)?;
            for (image, gradient) in place.chunks(pixels).zip(gradient.chunks_mut(pixels)) {
                add_total_variation(image, smoothing, gradient);
            }
            let eighths = step * 8 / self.steps.max(1);
            let falls = [3, 5, 7].iter().filter(|at| eighths >= **at).count();
            // Of nothing, nothing.
            let sign = |slope: &f64| if *slope == 0.0 { 0.0 } else { slope.signum() };
            let size = STEP_SIZE * 0.1_f64.powi(falls as i32);
            adam.step(size, gradient.iter().map(sign), &mut place);
            let (low, high) = self.range;
            place.iter_mut().for_each(|value| *value = value.clamp(low, high));
            place.chunks_mut(pixels).for_each(standardise);
        }
        let likeness = cosine(&self.follow(&place, 0.0)?.0, &seen.values).0;
        Ok(Found { images: place.chunks(pixels).map(<[f32]>::to_vec).collect(), likeness })
    }

    /// The answer, where the likeness is twice what random numbers in place of an update reach.
    pub(super) fn answer(&self, seen: &Seen, by_chance: f64) -> Result<Answer, LearnError> {
        let Found { images, likeness } = self.run(seen)?;
        let made = images.first().cloned();
        let images = if likeness > 2.0 * by_chance { images } else { Vec::new() };
        Ok(Answer { images, made })
    }

    /// The largest likeness that this attack reaches on random numbers, in a few trials.
    pub(super) fn by_chance(&self) -> anyhow::Result<f64> {
        let likenesses = each(TRIALS, |trial| {
            let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
            rng.set_stream(u64::from(trial));
            let values = StandardNormal.sample_iter(&mut rng).take(self.weights.len()).collect();
            Ok(self.run(&Seen { values, noise: 0.0 })?.likeness)
        })?;
        Ok(likenesses.into_iter().fold(0.0, f64::max))
    }

    fn segments(&self) -> bool {
        self.task.name() == TaskName::Segmentation.name()
    }

    fn bend(&self) -> f64 {
        if self.segments() { WIDE_BEND } else { BEND }
    }

    fn pixels(&self) -> usize {
        self.truth.first().map_or(0, |sample| sample.image.len())
    }

    /// For each image that is sought, a known one and the mean, mixed.
    fn start(&self, number: u64) -> Vec<f32> {
        let Public { inputs, mean, .. } = self.public;
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        rng.set_stream(number);
        let mut place = Vec::new();
        for _ in self.truth {
            let known = inputs.get(rng.random_range(0..inputs.len().max(1)));
            let known = known.map_or(mean.as_slice(), Vec::as_slice);
            let mixed = mean.iter().zip(known);
            let start = place.len();
            place.extend(mixed.map(|(mean, known)| mean + START_SHARE * (known - mean)));
            standardise(&mut place[start..]);
        }
        place
    }

    /// The more of what is seen is noise, the more images must say for themselves.
    fn smoothing(&self, seen: &Seen) -> f64 {
        let all: f64 = seen.values.iter().map(|value| f64::from(*value).powi(2)).sum();
        let noise = seen.noise.powi(2) * seen.values.len() as f64;
        let signal = (all - noise).max(0.01 * all).max(f64::MIN_POSITIVE);
        let [classification, segmentation] = TOTAL_VARIATION;
        let weight = if self.segments() { segmentation } else { classification };
        weight * (1.0 + (noise / signal).sqrt())
    }

    /// The cosine between the images' update and an observed one, and the gradient of one minus it:
    /// forwards with the weights before each step, and back through them (`l` is the gradient for the
    /// weights after a step, `l - rate H l` for those before it).
    fn likeness(
        &self,
        images: &[f32],
        observed: &[f32],
        bend: f64,
    ) -> Result<(f64, Vec<f64>), LearnError> {
        let pixels = self.pixels();
        let (followed, steps) = self.follow(images, bend)?;
        let (likeness, mut back) = cosine(&followed, observed);
        let mut of_images = vec![0.0; images.len()];
        for (number, Step { batch, part, flat }) in steps.iter().enumerate().rev() {
            // Nothing comes before the first step.
            let sought = if number == 0 { Sought::Images } else { Sought::Both };
            let probe = Probe { task: self.task, truth: &part.truth, bend };
            let weights = Weights::from_values(&self.weights.shapes(), flat.clone())?;
            let (of_part, of_weights) = probe.along(&weights, &part.images, &back, sought)?;
            for (place, of_image) in batch.iter().zip(of_part.chunks_exact(pixels)) {
                let sum = &mut of_images[place * pixels..][..pixels];
                sum.iter_mut().zip(of_image).for_each(|(sum, value)| *sum += value);
            }
            let rate = self.rate();
            back.iter_mut().zip(of_weights).for_each(|(back, bent)| *back -= rate * bent);
        }
        Ok((likeness, of_images))
    }

    /// The sum of the gradients of all steps on these images, and the steps.
    fn follow(&self, images: &[f32], bend: f64) -> Result<(Vec<f32>, Vec<Step<'_>>), LearnError> {
        let mut flat: Vec<f32> = self.weights.values().collect();
        let (mut followed, mut steps) = (vec![0.0; flat.len()], Vec::new());
        let rate = self.rate() as f32;
        for batch in self.batches() {
            let part = Part::of(&batch, images, self.pixels(), self.truth);
            let weights = Weights::from_values(&self.weights.shapes(), flat.clone())?;
            let probe = Probe { task: self.task, truth: &part.truth, bend };
            let gradient = probe.at(&weights, &part.images, Sought::Weights)?.weights;
            steps.push(Step { batch, part, flat: flat.clone() });
            for ((sum, weight), slope) in followed.iter_mut().zip(&mut flat).zip(&gradient) {
                *sum += slope;
                *weight -= rate * slope;
            }
        }
        Ok((followed, steps))
    }

    /// The step size of several steps. One step is its gradient.
    fn rate(&self) -> f64 {
        match self.made {
            Made::OneStep => 0.0,
            Made::Several(options) => options.learning_rate,
        }
    }

    fn batches(&self) -> Vec<Vec<usize>> {
        match self.made {
            Made::OneStep => vec![(0..self.truth.len()).collect()],
            Made::Several(options) => batches(options, self.truth.len()),
        }
    }
}

/// A step of a training: its images, and the weights before it.
struct Step<'a> {
    batch: Vec<usize>,
    part: Part<'a>,
    flat: Vec<f32>,
}

/// Images of a batch, with their truth.
struct Part<'a> {
    images: Vec<f32>,
    truth: Vec<&'a Sample>,
}

impl<'a> Part<'a> {
    fn of(batch: &[usize], images: &[f32], pixels: usize, truth: &[&'a Sample]) -> Self {
        let of = |place: &usize| images.get(place * pixels..(place + 1) * pixels).unwrap_or(&[]);
        let images = batch.iter().flat_map(of).copied().collect();
        let truth = batch.iter().filter_map(|place| truth.get(*place).copied()).collect();
        Self { images, truth }
    }
}

/// The batches of a training, in its order (`ringfence_learning`'s trainer draws it so from the
/// plan's seed, which is no secret).
fn batches(options: &TrainOptions, samples: usize) -> Vec<Vec<usize>> {
    let epochs = (1..=options.epochs).flat_map(|epoch| {
        let mut rng = ChaCha20Rng::seed_from_u64(options.seed);
        rng.set_stream(epoch as u64);
        let mut order: Vec<usize> = (0..samples).collect();
        order.shuffle(&mut rng);
        order.chunks(options.batch.max(1)).map(<[usize]>::to_vec).collect::<Vec<_>>()
    });
    epochs.collect()
}

/// Brings an image to mean 0 and variance 1, as models get it. A blank one stays as it is.
fn standardise(image: &mut [f32]) {
    let (mean, variance) = moments(image);
    let scale = if variance > 1e-6 { 1.0 / variance.sqrt() } else { 1.0 };
    image.iter_mut().for_each(|value| *value = ((f64::from(*value) - mean) * scale) as f32);
}

/// Adds the gradient of a weighted total variation.
fn add_total_variation(image: &[f32], weight: f64, gradient: &mut [f64]) {
    let side = image.len().isqrt();
    let each = weight / image.len().max(1) as f64;
    let mut pair = |one: usize, other: usize| {
        let away = f64::from(image[one]) - f64::from(image[other]);
        let sign = if away == 0.0 { 0.0 } else { away.signum() };
        gradient[one] += each * sign;
        gradient[other] -= each * sign;
    };
    for y in 0..side {
        for x in 0..side {
            let place = y * side + x;
            if x + 1 < side {
                pair(place, place + 1);
            }
            if y + 1 < side {
                pair(place, place + side);
            }
        }
    }
}

#[cfg(test)]
mod tests;
