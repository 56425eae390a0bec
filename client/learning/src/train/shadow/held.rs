//! What the defence keeps of one image between rounds.

use super::decoder::Decoder;
use super::maps;
use super::matching::Matching;
use super::{DefendedRound, diagnosis};
use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::train::derivation::Derivation;

/// Steps in which a decoder is fitted to its image when that is first seen, and steps a round in which
/// it is trained to match gradients.
const FITTING: usize = 60;
const MATCHING: usize = 10;
/// One over the share of the rounds in which gradients are matched.
const MATCHED_ROUNDS: u32 = 5;

/// The decoder's weights and the mask.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) decoder: Vec<f32>,
    pub(super) mask: Vec<f32>,
}

impl Held {
    /// What is kept once an image has gone through a round; `before`: what was kept of it.
    pub(super) fn after(
        before: Option<&Self>,
        at: &DefendedRound<'_>,
        sample: &Sample,
    ) -> Result<Self, LearnError> {
        let (channels, side) = sample.shape().unwrap_or_default();
        let (decoder, image) = (Decoder::new(channels, side), sample.image.as_slice());
        let mut weights = match before {
            Some(before) => decoder.weights(&before.decoder)?,
            None => {
                let key = Derivation::new("ringfence shadow decoder v1", &[0; 32]);
                let first = decoder.initial(&key.number(at.seed).sample(sample).key())?;
                decoder.trained(&first, (image, None), FITTING)?
            }
        };
        if at.round.saturating_mul(MATCHED_ROUNDS) < at.rounds.max(1) {
            let matching = Matching::new(at.task, at.start, sample)?;
            weights = decoder.trained(&weights, (image, Some(&matching)), MATCHING)?;
        }
        let errors = maps::square_errors(&decoder.draw(&weights)?, image, side * side);
        let old = before.map(|before| wide(&before.mask));
        let mask = maps::with_momentum(&maps::softmax(&errors), old.as_deref());
        let mask = mask.iter().map(|value| *value as f32).collect();
        Ok(Self { decoder: weights.into_values(), mask })
    }

    /// The noise on an image in this round.
    pub(super) fn noise(
        &self,
        at: &DefendedRound<'_>,
        sample: &Sample,
    ) -> Result<Vec<f64>, LearnError> {
        let diagnostic = diagnosis(at.task, at.start, sample)?;
        let share = maps::share(at.round, at.rounds);
        let map = maps::noise(&maps::risk(&wide(&self.mask)), &diagnostic, share);
        let most = sample.image.iter().copied().fold(0.0, f32::max);
        Ok(maps::to_peak(&map, maps::amplitude(at.round, at.rounds, f64::from(most))))
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}
