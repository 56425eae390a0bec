//! Membership inference by likelihood ratio, and by loss alone.
//!
//! Carlini et al., "Membership Inference Attacks From First Principles" (LiRA), 2022: models are
//! trained on random halves of the images. What those say of an image that were trained on it is one
//! normal distribution, what the others say a second one, and the attacked model's answer is likelier
//! under one of them. Each model is attacked in turn, with all others as the attacker's.

use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// Draws of images that bounds are taken from.
const DRAWS: usize = 300;

/// What a model says of images, and which of them it was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Answers {
    pub(super) members: Vec<bool>,
    /// `ln(p / (1 - p))`, `p` the probability of the image's own class.
    pub(super) confidences: Vec<f64>,
    /// Whether the most probable class is the image's own.
    pub(super) right: Vec<bool>,
}

/// How much an attacker believes that an image was trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Guess {
    /// The more, the likelier.
    pub(super) score: f64,
    pub(super) member: bool,
    pub(super) image: usize,
    /// The attacked model.
    pub(super) model: usize,
}

/// A number with a range that holds 95 % of those of other draws of the images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Measure {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// How well guesses tell images that were trained on from others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Power {
    /// The probability that one that was trained on has the higher score; 0.5 by guessing.
    pub(super) auc: Measure,
    /// Share that is found of those that were trained on, where 1 % of the others are taken for such.
    pub(super) found_at_1: Measure,
    /// The same at 10 %.
    pub(super) found_at_10: Measure,
    /// Mean of the shares that are told right of both kinds, at the threshold that is best for the
    /// other models; 0.5 by guessing.
    pub(super) accuracy: Measure,
}

/// By the likelihood ratio of two normal distributions for each image. Their variances are those of
/// all images together: of a few models one image's own is little known.
pub(super) fn by_ratio(all: &[Answers]) -> Vec<Guess> {
    guesses(all, |model| {
        let others = || all.iter().enumerate().filter(move |(other, _)| *other != model);
        let images = all.first().map_or(0, |answers| answers.confidences.len());
        let said = |image: usize, member: bool| -> Vec<f64> {
            let of = others().map(|(_, other)| (other.members[image], other.confidences[image]));
            of.filter(|(own, _)| *own == member).map(|(_, confidence)| confidence).collect()
        };
        let fit = |member: bool| {
            let groups: Vec<Vec<f64>> = (0..images).map(|image| said(image, member)).collect();
            let all = mean(groups.iter().flatten()).unwrap_or(0.0);
            let means: Vec<f64> =
                groups.iter().map(|group| mean(group.iter()).unwrap_or(all)).collect();
            let squares = groups
                .iter()
                .zip(&means)
                .flat_map(|(group, mean)| group.iter().map(move |value| (value - mean).powi(2)));
            let free = groups.iter().map(|group| group.len().saturating_sub(1)).sum::<usize>();
            let variance = squares.sum::<f64>() / free.max(1) as f64;
            (means, variance.max(1e-12))
        };
        let ((inside, with), (outside, without)) = (fit(true), fit(false));
        let own = &all[model].confidences;
        let score = |image: usize| {
            let likely = |mean: f64, variance: f64| {
                -(own[image] - mean).powi(2) / (2.0 * variance) - variance.ln() / 2.0
            };
            likely(inside[image], with) - likely(outside[image], without)
        };
        (0..images).map(score).collect()
    })
}

/// By the loss alone: the surer of its class a model is, the likelier it has seen the image (Yeom et
/// al., "Privacy Risk in Machine Learning", 2018).
pub(super) fn by_loss(all: &[Answers]) -> Vec<Guess> {
    guesses(all, |model| all[model].confidences.clone())
}

fn guesses(all: &[Answers], scores: impl Fn(usize) -> Vec<f64>) -> Vec<Guess> {
    let of_model = |(model, answers): (usize, &Answers)| {
        let scores = scores(model).into_iter().zip(answers.members.clone()).enumerate();
        let guess = move |(image, (score, member))| Guess { score, member, image, model };
        scores.map(guess).collect::<Vec<_>>()
    };
    all.iter().enumerate().flat_map(of_model).collect()
}

fn mean<'a>(values: impl Iterator<Item = &'a f64> + Clone) -> Option<f64> {
    let count = values.clone().count();
    (count > 0).then(|| values.sum::<f64>() / count as f64)
}

impl Power {
    /// Of all guesses. Images are drawn anew for the ranges, with all that is guessed of each.
    pub(super) fn of(mut guesses: Vec<Guess>, seed: u64) -> Self {
        guesses.sort_by(|a, b| b.score.total_cmp(&a.score));
        let thresholds = thresholds(&guesses);
        let images = guesses.iter().map(|guess| guess.image + 1).max().unwrap_or(0);
        let measured = |counts: &[f64]| measure(&guesses, &thresholds, counts);
        let found = measured(&vec![1.0; images]);
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut drawn: [Vec<f64>; 4] = Default::default();
        for _ in 0..DRAWS {
            let mut counts = vec![0.0; images];
            (0..images).for_each(|_| counts[rng.random_range(0..images)] += 1.0);
            let of_draw = measured(&counts);
            drawn.iter_mut().zip(of_draw).for_each(|(all, value)| all.push(value));
        }
        let with_range = |(value, mut all): (f64, Vec<f64>)| {
            all.sort_by(f64::total_cmp);
            let at = |share: f64| {
                let place = (share * all.len().saturating_sub(1) as f64).round() as usize;
                all.get(place).copied().unwrap_or(value)
            };
            Measure { value, low: at(0.025), high: at(0.975) }
        };
        let [auc, found_at_1, found_at_10, accuracy] = {
            let mut pairs = found.into_iter().zip(drawn).map(with_range);
            [(); 4].map(|()| pairs.next().unwrap_or(Measure { value: 0.5, low: 0.0, high: 1.0 }))
        };
        Self { auc, found_at_1, found_at_10, accuracy }
    }

    /// Whether it may be that of guessing.
    pub(super) fn may_be_guessing(&self) -> bool {
        self.auc.low <= 0.5
    }
}

/// For each model the score from which on images are best taken for trained on, by all other models.
/// Guesses fall by their scores.
fn thresholds(guesses: &[Guess]) -> Vec<f64> {
    let models = guesses.iter().map(|guess| guess.model + 1).max().unwrap_or(0);
    let best = |model: usize| {
        let others = || guesses.iter().filter(move |guess| guess.model != model);
        let members = others().filter(|guess| guess.member).count().max(1) as f64;
        let strangers = others().filter(|guess| !guess.member).count().max(1) as f64;
        let (mut caught, mut wrong, mut best) = (0.0, 0.0, (0.0, f64::INFINITY));
        for guess in others() {
            if guess.member {
                caught += 1.0 / members;
            } else {
                wrong += 1.0 / strangers;
            }
            if caught - wrong > best.0 {
                best = (caught - wrong, guess.score);
            }
        }
        best.1
    };
    (0..models).map(best).collect()
}

/// AUC, shares that are found at 1 % and 10 %, and accuracy, each image counted so often.
fn measure(guesses: &[Guess], thresholds: &[f64], counts: &[f64]) -> [f64; 4] {
    let weight = |guess: &Guess| counts.get(guess.image).copied().unwrap_or(0.0);
    let total = |member: bool| -> f64 {
        guesses.iter().filter(|guess| guess.member == member).map(weight).sum()
    };
    let (members, strangers) = (total(true), total(false));
    if members <= 0.0 || strangers <= 0.0 {
        return [0.5, 0.01, 0.1, 0.5];
    }
    let (mut caught, mut wrong, mut area) = (0.0, 0.0, 0.0);
    let (mut at_1, mut at_10) = (0.0, 0.0);
    // Equal scores are one step of the curve.
    for step in guesses.chunk_by(|a, b| a.score == b.score) {
        let of = |member: bool| -> f64 {
            step.iter().filter(|guess| guess.member == member).map(weight).sum()
        };
        let (more, worse) = (of(true), of(false));
        area += worse * (caught + more / 2.0);
        (caught, wrong) = (caught + more, wrong + worse);
        for (share, found) in [(0.01, &mut at_1), (0.1, &mut at_10)] {
            if wrong <= share * strangers {
                *found = caught / members;
            }
        }
    }
    let told = |member: bool| -> f64 {
        let told = guesses.iter().filter(|guess| {
            let from = thresholds.get(guess.model).copied().unwrap_or(f64::INFINITY);
            guess.member == member && (guess.score >= from) == member
        });
        told.map(weight).sum()
    };
    let accuracy = (told(true) / members + told(false) / strangers) / 2.0;
    [area / (members * strangers), at_1, at_10, accuracy]
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    fn guess(score: f64, member: bool, image: usize) -> Guess {
        Guess { score, member, image, model: image % 2 }
    }

    #[test]
    fn the_curve_of_a_few_guesses_by_hand() {
        // Of 3 times 2 pairs 4 are in order, and one of equal scores counts half.
        let guesses = vec![
            guess(3.0, true, 0),
            guess(2.0, false, 1),
            guess(1.0, true, 2),
            guess(1.0, false, 3),
            guess(2.5, true, 4),
        ];
        let power = Power::of(guesses, 1);
        assert!((power.auc.value - 4.5 / 6.0).abs() < 1e-12, "{power:?}");
        // Two are found before the first mistake.
        assert!((power.found_at_1.value - 2.0 / 3.0).abs() < 1e-12, "{power:?}");
        assert!(power.auc.low <= power.auc.value && power.auc.value <= power.auc.high);
    }

    /// Models whose confidence in an image is higher where they were trained on it, by the image's
    /// own amount: the loss alone confuses easy images with known ones.
    fn models(gain: f64) -> Vec<Answers> {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let easy: Vec<f64> = StandardNormal.sample_iter(&mut rng).take(200).collect();
        let model = |_| {
            let members: Vec<bool> = (0..200).map(|_| rng.random()).collect();
            let confidences = members.iter().zip(&easy).map(|(member, easy)| {
                let noise: f64 = StandardNormal.sample(&mut rng);
                4.0 * easy + 0.5 * noise + if *member { gain } else { 0.0 }
            });
            let confidences = confidences.collect();
            Answers { right: vec![true; members.len()], members, confidences }
        };
        (0..16).map(model).collect()
    }

    #[test]
    fn a_ratio_sees_what_the_loss_alone_does_not() {
        let all = models(1.0);
        let (ratio, loss) = (Power::of(by_ratio(&all), 1), Power::of(by_loss(&all), 1));
        // Two normal distributions a distance of 2 deviations apart: Phi(sqrt 2) = 0.921, and a bit
        // less, since their means are taken from seven models each.
        assert!((0.87..0.93).contains(&ratio.auc.value), "{ratio:?}");
        assert!((0.5..0.62).contains(&loss.auc.value), "{loss:?}");
        assert!(ratio.accuracy.value > 0.79 && ratio.found_at_1.value > 0.2, "{ratio:?}");
        assert!(!ratio.may_be_guessing());
    }

    #[test]
    fn where_nothing_was_learnt_all_is_guessing() {
        let all = models(0.0);
        for guesses in [by_ratio(&all), by_loss(&all)] {
            let power = Power::of(guesses, 1);
            assert!((power.auc.value - 0.5).abs() < 0.03 && power.may_be_guessing(), "{power:?}");
            assert!((power.accuracy.value - 0.5).abs() < 0.04, "{power:?}");
        }
    }
}
