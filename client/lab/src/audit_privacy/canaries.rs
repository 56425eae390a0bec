//! Images made to be found again: each moves one coordinate of the model, which no other moves.
//!
//! The gradient of the dense model's hidden kernel is an outer product: what reaches the hidden
//! units times the image. Images here are plane waves (the cosine transform's basis), of mean 0 and
//! at right angles to each other. The first weights, which a study's plan gives and an adversary
//! may have chosen, send each class along a Walsh function of its own over the hidden units, at
//! right angles to the other classes'. A wave and a class are then one coordinate of the kernel's
//! transform: up to 63 waves times 63 classes, and what a training did to each is read off.

use std::f64::consts::PI;

use anyhow::Context;
use ringfence_learning::{Classification, ModelName, Sample};
use ringfence_weights::Weights;

/// Side of the images, in pixels.
const SIDE: usize = 8;
/// Pixels of an image.
pub(super) const PIXELS: usize = SIDE * SIDE;
/// Hidden units of the dense model.
pub(super) const HIDDEN: usize = 64;
/// Waves: all but the constant one.
pub(super) const WAVES: usize = PIXELS - 1;
/// The hidden units' first biases: all of them answer every image, and noise does not silence them.
const BIAS: f32 = 0.05;
/// First bias of the class that no image has, and that the model starts by naming: its share is
/// next to 1, so that each image's gradient is its own class' alone.
const SURE: f32 = 10.0;

/// Units to be put in or left out, and the model that they are audited on.
pub(super) struct Canaries {
    /// Classification of waves.
    pub(super) task: Classification,
    /// Weights before the first step, chosen for the audit.
    pub(super) start: Weights,
    /// The images of each canary, equal ones: the worst patient for whoever clips images.
    pub(super) units: Vec<Vec<Sample>>,
    classes: usize,
}

impl Canaries {
    /// So many classes, from 1 to 63, each of 63 canaries, each of so many images.
    ///
    /// # Errors
    /// When the learning package no longer takes such a model.
    pub(super) fn new(classes: usize, images: usize) -> anyhow::Result<Self> {
        let names: Vec<String> = (0..=classes).map(|class| class.to_string()).collect();
        let task = Classification::new(ModelName::Dense, SIDE, &names)?;
        let start = start(classes).context("cannot make the audited model")?;
        let canaries = (1..=classes).flat_map(|class| (1..=WAVES).map(move |wave| (class, wave)));
        let units = canaries.map(|(class, wave)| {
            let sample = |image: usize| Sample {
                name: format!("{class}/{wave}/{image}"),
                group: format!("{class}/{wave}"),
                image: picture(wave),
                label: Some(class as u32),
                mask: None,
                own_mask: None,
            };
            (0..images).map(sample).collect()
        });
        Ok(Self { task, start, units: units.collect(), classes })
    }

    /// Each canary's coordinate of a step's direction, the more the more it was stepped against.
    pub(super) fn coordinates(&self, direction: &Weights) -> anyhow::Result<Vec<f64>> {
        let spectrum = Spectrum::of(direction)?;
        let own = (1..=self.classes).flat_map(|class| (1..=WAVES).map(move |wave| (class, wave)));
        Ok(own.map(|(class, wave)| -spectrum.at(class, wave)).collect())
    }

    /// The coordinates that no canary's gradient reaches: noise alone.
    pub(super) fn untouched(&self, direction: &Weights) -> anyhow::Result<Vec<f64>> {
        let spectrum = Spectrum::of(direction)?;
        let all = (0..HIDDEN).flat_map(|row| (0..PIXELS).map(move |wave| (row, wave)));
        let free = all.filter(|(row, wave)| *wave == 0 || *row == 0 || *row > self.classes);
        Ok(free.map(|(row, wave)| spectrum.at(row, wave)).collect())
    }
}

/// The first weights: no kernel, so that every image finds the same hidden values, and heads along
/// Walsh functions, which do not see these.
fn start(classes: usize) -> anyhow::Result<Weights> {
    let head = (0..=classes).flat_map(|class| {
        let sign = move |unit| if class == 0 { 0.0 } else { walsh(class, unit) as f32 };
        (0..HIDDEN).map(sign)
    });
    let sure = (0..=classes).map(|class| if class == 0 { SURE } else { 0.0 });
    let values = sure
        .chain(head)
        .chain(std::iter::repeat_n(BIAS, HIDDEN))
        .chain(std::iter::repeat_n(0.0, HIDDEN * PIXELS));
    let shapes = [
        ("head.bias", vec![classes + 1]),
        ("head.kernel", vec![classes + 1, HIDDEN]),
        ("hidden.bias", vec![HIDDEN]),
        ("hidden.kernel", vec![HIDDEN, PIXELS]),
    ];
    let shapes = shapes.map(|(name, shape)| (name.to_owned(), shape));
    Ok(Weights::from_values(&shapes, values.collect())?)
}

/// A wave as grey values in `[0, 1]`.
fn picture(wave: usize) -> Vec<f32> {
    (0..PIXELS).map(|pixel| (0.5 + cosine(wave, pixel) / 2.0) as f32).collect()
}

/// The wave's value at a pixel, in `[-1, 1]`.
fn cosine(wave: usize, pixel: usize) -> f64 {
    let along = |frequency: usize, place: usize| {
        (PI * frequency as f64 * (place as f64 + 0.5) / SIDE as f64).cos()
    };
    along(wave / SIDE, pixel / SIDE) * along(wave % SIDE, pixel % SIDE)
}

/// The Walsh function of this number at a hidden unit: 1 or -1.
fn walsh(number: usize, unit: usize) -> f64 {
    if (number & unit).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
}

/// The hidden kernel by Walsh functions and waves, each of length 1: a rotation of its values, in
/// which noise stays what it is.
struct Spectrum(Vec<f64>);

impl Spectrum {
    fn of(weights: &Weights) -> anyhow::Result<Self> {
        let (_, kernel) = weights.get("hidden.kernel").context("the model has no hidden kernel")?;
        let waves: Vec<Vec<f64>> = (0..PIXELS)
            .map(|wave| {
                let values: Vec<f64> = (0..PIXELS).map(|pixel| cosine(wave, pixel)).collect();
                let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
                values.iter().map(|value| value / length).collect()
            })
            .collect();
        let by_wave: Vec<Vec<f64>> = kernel
            .chunks(PIXELS)
            .map(|row| {
                let product = |wave: &Vec<f64>| {
                    row.iter().zip(wave).map(|(value, wave)| f64::from(*value) * wave).sum()
                };
                waves.iter().map(product).collect()
            })
            .collect();
        let mut values = vec![0.0; HIDDEN * PIXELS];
        for (number, sums) in values.chunks_mut(PIXELS).enumerate() {
            for (unit, row) in by_wave.iter().enumerate() {
                let sign = walsh(number, unit) / (HIDDEN as f64).sqrt();
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += sign * value);
            }
        }
        Ok(Self(values))
    }

    fn at(&self, number: usize, wave: usize) -> f64 {
        self.0.get(number * PIXELS + wave).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use ringfence_learning::Parameters;
    use ringfence_learning::private::clipped_sum;

    use super::*;

    /// The gradient of a canary at the first weights, clipped to length 1.
    fn gradient(canaries: &Canaries, canary: usize) -> Weights {
        let parameters = Parameters::trainable(&canaries.start).unwrap();
        let units = &canaries.units[canary..=canary];
        let sum = clipped_sum(&canaries.task, &parameters, units, 1.0).unwrap();
        assert!(sum.norms[0] > 60.0, "{:?}: no clip bounds it", sum.norms);
        let values = sum.tensors.iter();
        let values = values.flat_map(|tensor| tensor.flatten_all().unwrap().to_vec1().unwrap());
        Weights::from_values(&canaries.start.shapes(), values.collect()).unwrap()
    }

    #[test]
    fn a_canary_moves_its_own_coordinate_and_no_other() {
        for (classes, images) in [(63, 1), (4, 4)] {
            let canaries = Canaries::new(classes, images).unwrap();
            assert_eq!(canaries.units.len(), 63 * classes);
            for canary in [0, 62, 63, 63 * classes - 1] {
                let gradient = gradient(&canaries, canary);
                let coordinates = canaries.coordinates(&gradient).unwrap();
                for (other, value) in coordinates.iter().enumerate() {
                    // The rest of its length is in the biases and the head.
                    let right = if other == canary { 0.985..1.0 } else { -1e-3..1e-3 };
                    assert!(right.contains(value), "{canary} moves {other} by {value}");
                }
                let noise = canaries.untouched(&gradient).unwrap();
                assert_eq!(noise.len(), 4096 - 63 * classes);
                assert!(noise.iter().all(|value| value.abs() < 1e-5));
            }
        }
    }
}
