//! Inverting Gradients (Geiping, Bauermeister, Dröge and Moeller, "Inverting Gradients: How Easy Is It
//! to Break Privacy in Federated Learning?", 2020): images whose gradient points the same way as the
//! observed one, by Adam on signs of the gradient, with total variation.
//!
//! What is descended is `1 - cos(u(x), u*)`, `u` the gradient or a whole update. Its gradient for `x`
//! needs the product of `v = dD/du` with a mixed second derivative, and that is the derivative of a
//! first-order gradient along `v`, taken as a central difference. So any model and loss will do that
//! have a first derivative.

use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use ringfence_learning::{LearnError, Probe, Sample, Sought, Task, TaskName, TrainOptions};
use ringfence_weights::Weights;

use super::answer::Answer;
use super::observe::Seen;

/// Steps of Adam, and its first step size, which falls by ten after 3/8, 5/8 and 7/8 of the steps, as
/// in the paper's code.
pub(super) const STEPS: usize = 600;
const STEP_SIZE: f64 = 0.1;
const MOMENTS: (f64, f64) = (0.9, 0.999);
/// Weight of the total variation, the mean absolute difference of neighbouring pixels.
const TOTAL_VARIATION: f64 = 0.02;
/// Length of the displacement of the weights for the central difference: small against the
/// curvature's changes, large against rounding. Where a ReLU bends, gradients jump; a longer way
/// averages over jumps, of which the U-Net has more. Of several tried on two to four chest X-rays at
/// 32 px these rebuilt them best.
const DISPLACEMENT: f64 = 3e-3;
const SEGMENTATION_DISPLACEMENT: f64 = 0.3;
/// How much of the start is noise; the rest is the mean of known images.
const START_NOISE: f32 = 0.1;
/// Random numbers that the attack is tried on, to know when it has found something.
const TRIALS: u64 = 4;

/// What made the observed update.
pub(super) enum Made<'a> {
    /// One step: its mean gradient.
    OneStep,
    /// All the steps of a training.
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
    /// Where the search begins, for each image: the mean of images that are known.
    pub(super) start: &'a [f32],
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
        let pixels = self.truth.first().map_or(0, |sample| sample.image.len()).max(1);
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        let noise = StandardNormal.sample_iter(&mut rng).zip(self.start.iter().cycle());
        let first = noise.map(|(noise, known): (f32, &f32)| known + START_NOISE * (noise - known));
        let mut place: Vec<f32> = first.take(pixels * self.truth.len()).collect();
        let (mut adam, mut reached) = (SignedAdam::new(place.len()), 0.0);
        for step in 0..self.steps {
            let (likeness, mut gradient) = self.likeness(&place, &seen.values)?;
            reached = likeness;
            for (image, gradient) in place.chunks(pixels).zip(gradient.chunks_mut(pixels)) {
                add_total_variation(image, self.smoothing(seen), gradient);
            }
            let eighths = step * 8 / self.steps.max(1);
            let falls = [3, 5, 7].iter().filter(|at| eighths >= **at).count();
            adam.step(STEP_SIZE * 0.1_f64.powi(falls as i32), &gradient, &mut place);
            let (low, high) = self.range;
            place.iter_mut().for_each(|value| *value = value.clamp(low, high));
        }
        let images = place.chunks(pixels).map(<[f32]>::to_vec).collect();
        Ok(Found { images, likeness: reached })
    }

    /// The answer, where the likeness is twice what random numbers in place of an update reach.
    pub(super) fn answer(&self, seen: &Seen, by_chance: f64) -> Result<Answer, LearnError> {
        let Found { images, likeness } = self.run(seen)?;
        let made = images.first().cloned();
        let images = if likeness > 2.0 * by_chance { images } else { Vec::new() };
        Ok(Answer { images, made })
    }

    /// The largest likeness that this attack reaches on random numbers, in a few trials.
    pub(super) fn by_chance(&self) -> Result<f64, LearnError> {
        let mut most = 0.0;
        for trial in 0..TRIALS {
            let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
            rng.set_stream(trial);
            let values = StandardNormal.sample_iter(&mut rng).take(self.weights.len()).collect();
            most = f64::max(most, self.run(&Seen { values, noise: 0.0 })?.likeness);
        }
        Ok(most)
    }

    fn displacement(&self) -> f64 {
        let segments = self.task.name() == TaskName::Segmentation.name();
        if segments { SEGMENTATION_DISPLACEMENT } else { DISPLACEMENT }
    }

    /// The more of what is seen is noise, the more images must say for themselves.
    fn smoothing(&self, seen: &Seen) -> f64 {
        let all: f64 = seen.values.iter().map(|value| f64::from(*value).powi(2)).sum();
        let noise = seen.noise.powi(2) * seen.values.len() as f64;
        let signal = (all - noise).max(0.01 * all).max(f64::MIN_POSITIVE);
        TOTAL_VARIATION * (1.0 + (noise / signal).sqrt())
    }

    /// The cosine between the images' update and an observed one, and the gradient of one minus it.
    fn likeness(&self, images: &[f32], observed: &[f32]) -> Result<(f64, Vec<f64>), LearnError> {
        match self.made {
            Made::OneStep => {
                let probe = Probe { task: self.task, truth: self.truth };
                let gradient = probe.at(self.weights, images, Sought::Weights)?.weights;
                let (likeness, direction) = cosine(&gradient, observed);
                let flat: Vec<f32> = self.weights.values().collect();
                let part = Part { images: images.to_vec(), truth: self.truth.to_vec() };
                let (of_images, _) = self.along(&flat, &part, &direction, Sought::Images)?;
                Ok((likeness, of_images))
            }
            Made::Several(options) => self.likeness_of_training(options, images, observed),
        }
    }

    /// The same through all steps of a training by plain SGD: forwards with the weights before each
    /// step, and back through them (`l` is the gradient for the weights after a step, `l - rate H l`
    /// for those before it).
    fn likeness_of_training(
        &self,
        options: &TrainOptions,
        images: &[f32],
        observed: &[f32],
    ) -> Result<(f64, Vec<f64>), LearnError> {
        let pixels = self.truth.first().map_or(0, |sample| sample.image.len());
        let start: Vec<f32> = self.weights.values().collect();
        let (mut flat, mut steps) = (start.clone(), Vec::new());
        let rate = options.learning_rate;
        for batch in batches(options, self.truth.len()) {
            let part = Part::of(&batch, images, pixels, self.truth);
            let weights = Weights::from_values(&self.weights.shapes(), flat.clone())?;
            let probe = Probe { task: self.task, truth: &part.truth };
            let gradient = probe.at(&weights, &part.images, Sought::Weights)?.weights;
            steps.push((batch, part, flat.clone()));
            flat.iter_mut().zip(&gradient).for_each(|(w, g)| *w -= rate as f32 * g);
        }
        // In the scale of a gradient, as the observed one.
        let followed: Vec<f32> =
            start.iter().zip(&flat).map(|(from, to)| (from - to) / rate as f32).collect();
        let (likeness, mut back) = cosine(&followed, observed);
        let mut of_images = vec![0.0; images.len()];
        for (batch, part, flat) in steps.iter().rev() {
            let (of_part, of_weights) = self.along(flat, part, &back, Sought::Both)?;
            for (place, of_image) in batch.iter().zip(of_part.chunks_exact(pixels)) {
                let sum = &mut of_images[place * pixels..][..pixels];
                sum.iter_mut().zip(of_image).for_each(|(sum, value)| *sum += value);
            }
            back.iter_mut().zip(of_weights).for_each(|(back, bent)| *back -= rate * bent);
        }
        Ok((likeness, of_images))
    }

    /// The derivatives of the gradients for the images, and for the weights if asked for, along a
    /// direction of the weights.
    fn along(
        &self,
        flat: &[f32],
        part: &Part<'_>,
        direction: &[f64],
        sought: Sought,
    ) -> Result<(Vec<f64>, Vec<f64>), LearnError> {
        let length = direction.iter().map(|value| value * value).sum::<f64>().sqrt();
        let step = self.displacement() / length.max(f64::MIN_POSITIVE);
        let Part { images, truth } = part;
        let probe = Probe { task: self.task, truth };
        let at = |step: f64| {
            let moved = flat.iter().zip(direction);
            let moved = moved.map(|(w, v)| (f64::from(*w) + step * v) as f32).collect();
            probe.at(&Weights::from_values(&self.weights.shapes(), moved)?, images, sought)
        };
        let (ahead, behind) = (at(step)?, at(-step)?);
        let slope = |ahead: &[f32], behind: &[f32]| -> Vec<f64> {
            let pairs = ahead.iter().zip(behind);
            pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)) / (2.0 * step)).collect()
        };
        Ok((slope(&ahead.images, &behind.images), slope(&ahead.weights, &behind.weights)))
    }
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

/// The cosine of two vectors, and the gradient of one minus it for the first.
fn cosine(found: &[f32], observed: &[f32]) -> (f64, Vec<f64>) {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let (length, other) = (product(found, found).sqrt(), product(observed, observed).sqrt());
    let both = (length * other).max(f64::MIN_POSITIVE);
    let cosine = product(found, observed) / both;
    let own = cosine / (length * length).max(f64::MIN_POSITIVE);
    let gradient = found.iter().zip(observed);
    let gradient = gradient.map(|(f, o)| own * f64::from(*f) - f64::from(*o) / both).collect();
    (cosine, gradient)
}

/// Adam (Kingma and Ba, 2015) on the signs of a gradient.
struct SignedAdam {
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

impl SignedAdam {
    fn new(count: usize) -> Self {
        Self { first: vec![0.0; count], second: vec![0.0; count], steps: 0 }
    }

    fn step(&mut self, size: f64, gradient: &[f64], place: &mut [f32]) {
        self.steps += 1;
        let (b1, b2) = MOMENTS;
        let unbias = |moment: f64| 1.0 - moment.powi(self.steps);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, gradient), (first, second)) in place.iter_mut().zip(gradient).zip(moments) {
            // Of nothing, nothing.
            let sign = if *gradient == 0.0 { 0.0 } else { gradient.signum() };
            *first = b1 * *first + (1.0 - b1) * sign;
            *second = b2 * *second + (1.0 - b2) * sign * sign;
            let moved = *first / unbias(b1) / ((*second / unbias(b2)).sqrt() + 1e-8);
            *value = (f64::from(*value) - size * moved) as f32;
        }
    }
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
mod tests {
    use ringfence_learning::data::phantom::{PhantomOptions, generate};
    use ringfence_learning::{Classification, batch_gradient, model_input};

    use super::super::observe::{Round, Site};
    use super::super::terms::Stage;
    use super::*;

    fn samples() -> Vec<Sample> {
        let options = PhantomOptions { side: 16, sites: 1, patients: 8, slices: 3, seed: 2 };
        let mut samples = generate(&options).unwrap().sites.remove(0).train;
        samples.truncate(4);
        samples
    }

    /// A smooth one: where a ReLU bends, gradients jump, and differences over a way say more than the
    /// derivative.
    fn classifier() -> Classification {
        Classification::sigmoid_lenet(16, &["healthy", "lesion"].map(String::from)).unwrap()
    }

    fn normal(count: usize, seed: u64) -> Vec<f32> {
        StandardNormal.sample_iter(ChaCha20Rng::seed_from_u64(seed)).take(count).collect()
    }

    fn inversion<'a>(
        task: &'a dyn Task,
        weights: &'a Weights,
        truth: &'a [&'a Sample],
        made: Made<'a>,
    ) -> Inversion<'a> {
        Inversion {
            task,
            weights,
            truth,
            made,
            range: (-3.0, 3.0),
            start: &[0.0],
            steps: 10,
            seed: 1,
        }
    }

    /// The gradient of the likeness against its own differences along a few directions.
    fn check(inversion: &Inversion<'_>, observed: &[f32]) {
        let count = inversion.truth.len() * 256;
        let images = normal(count, 7);
        let (_, gradient) = inversion.likeness(&images, observed).unwrap();
        for seed in 8..11 {
            let along = normal(count, seed);
            let at = |step: f32| {
                let moved: Vec<f32> =
                    images.iter().zip(&along).map(|(x, a)| x + step * a).collect();
                1.0 - inversion.likeness(&moved, observed).unwrap().0
            };
            let slope = (at(3e-3) - at(-3e-3)) / 6e-3;
            let exact: f64 = gradient.iter().zip(&along).map(|(g, a)| g * f64::from(*a)).sum();
            let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            assert!((slope - exact).abs() < 0.1 * length, "{slope} {exact}, length {length}");
        }
    }

    #[test]
    fn one_steps_gradient_equals_finite_differences() {
        let samples = samples();
        let truth: Vec<&Sample> = samples.iter().take(1).collect();
        let task = classifier();
        let weights = task.initial_weights(1).unwrap();
        let observed = batch_gradient(&task, &weights, &samples[..1]).unwrap();
        check(&inversion(&task, &weights, &truth, Made::OneStep), &observed);
    }

    #[test]
    fn a_training_is_repeated_as_it_was_and_its_gradient_equals_finite_differences() {
        let (samples, task) = (samples(), classifier());
        let truth: Vec<&Sample> = samples.iter().collect();
        let weights = task.initial_weights(1).unwrap();
        let sites = [Site { samples: samples.clone(), weights: weights.clone() }];
        let round = Round { task: &task, sites: &sites, seed: 5 };
        let observed = round.see(Stage::Update).unwrap().values;
        let options = round.several_steps();
        let inversion = inversion(&task, &weights, &truth, Made::Several(&options));
        let images: Vec<f32> =
            samples.iter().flat_map(|sample| model_input(sample).unwrap()).collect();
        let (likeness, _) = inversion.likeness(&images, &observed).unwrap();
        assert!(likeness > 1.0 - 1e-6, "{likeness}");
        check(&inversion, &observed);
    }
}
