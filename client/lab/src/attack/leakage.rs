//! Deep Leakage from Gradients (Zhu, Liu and Han, 2019) and its improvement iDLG (Zhao, Mopuri and
//! Bilen, 2020) on the sigmoid LeNet.

use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};

use super::answer::Answer;
use super::lbfgs::minimise;
use super::lenet::Lenet;
use super::observe::Seen;

/// Steps of L-BFGS, and starts of which the best counts: some end in a bad valley.
const STEPS: usize = 1200;
const STARTS: u64 = 4;
/// A distance of this share of the observed gradient's square is as good as none; one above the other
/// says that the gradient is of no such image.
const ENOUGH: f64 = 1e-11;
const FOUND: f64 = 1e-2;
/// One of this share is right: no other start is tried.
const SURE: f64 = 1e-6;
/// A logit that makes its class as good as certain.
const CERTAIN: f64 = 60.0;

/// The image whose gradient is the observed one. `label` is the class where it was read off the
/// gradient (iDLG); otherwise it is sought along with the image (DLG).
pub(super) fn invert(lenet: &Lenet, seen: &Seen, label: Option<usize>, seed: u64) -> Answer {
    let classes = lenet.classes();
    let known = label.map(|label| {
        (0..classes).map(|class| if class == label { CERTAIN } else { 0.0 }).collect::<Vec<f64>>()
    });
    let square: f64 = seen.values.iter().map(|value| f64::from(*value).powi(2)).sum();
    let pixels = lenet.pixels();
    let mut best: Option<(f64, Vec<f64>)> = None;
    for start in 0..STARTS {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        rng.set_stream(start);
        let count = pixels + if known.is_some() { 0 } else { classes };
        let first: Vec<f64> = StandardNormal.sample_iter(&mut rng).take(count).collect();
        let found = minimise(first, (STEPS, ENOUGH * square), |place| {
            let (image, sought) = place.split_at(pixels.min(place.len()));
            let labels = known.as_deref().unwrap_or(sought);
            let distance = lenet.distance(image, labels, &seen.values);
            let mut gradient = distance.image;
            if known.is_none() {
                gradient.extend(distance.labels);
            }
            (distance.value, gradient)
        });
        if best.as_ref().is_none_or(|(value, _)| found.value < *value) {
            best = Some((found.value, found.place));
        }
        if best.as_ref().is_some_and(|(value, _)| *value <= SURE * square) {
            break;
        }
    }
    let Some((value, place)) = best else { return Answer::default() };
    let image: Vec<f32> = place.iter().take(pixels).map(|value| *value as f32).collect();
    let found = value <= FOUND * square;
    Answer { images: found.then(|| image.clone()).into_iter().collect(), made: Some(image) }
}
