//! Clipped sums of gradients, unit by unit.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::parameters::Parameters;
use crate::task::Task;
use crate::train::gradient::gradients;

/// What clipping leaves of the gradients of some units.
#[derive(Clone, Debug)]
pub struct ClippedSum {
    /// The sum, for each of the model's tensors in the order of their names.
    pub tensors: Vec<Tensor>,
    /// Length of each unit's gradient before it was clipped, in the order of the units. Not finite
    /// for those that add nothing, because their gradient is not.
    pub norms: Vec<f64>,
    /// Sum of the losses of all images.
    pub loss: f64,
}

/// Relative error within which lengths of gradients are known. Clipping is to hold in spite of it,
/// so that it clips to so much less; the tests hold lengths to it.
const NORM_ERROR: f64 = 1e-4;

/// What a gradient of this length is multiplied with, so that its length is at most `clip`: 0 where
/// it has no length, and where the factor is so small that 32 bits do not hold its digits: rounded, it
/// may be twice as large.
pub(super) fn factor(norm: f64, clip: f64) -> f32 {
    let most = clip * (1.0 - NORM_ERROR);
    if !norm.is_finite() {
        return 0.0;
    }
    if norm <= most {
        return 1.0;
    }
    let factor = (most / norm) as f32;
    if factor.is_normal() { factor } else { 0.0 }
}

/// Units whose gradients are held at once: what is summed in which order must not depend on how
/// many threads there are, and memory not on how many are sampled.
pub(super) const WAVE: usize = 4;

/// The sum of the units' gradients, each clipped to length `clip`; a unit's gradient is the sum of
/// those of its images' losses.
///
/// One image after the other, each as a batch of its own: slow, and true for every task, since what
/// is alone in its batch cannot depend on others. It is what faster ways are tested against.
///
/// # Errors
/// As [`Task::logits`] and [`Task::loss`].
pub fn clipped_sum_one_by_one(
    task: &dyn Task,
    parameters: &Parameters,
    units: &[Vec<Sample>],
    clip: f64,
) -> Result<ClippedSum, LearnError> {
    let mut sum = ClippedSum::zeros(parameters)?;
    for wave in units.chunks(WAVE) {
        let found: Vec<(f64, Vec<Tensor>)> = wave
            .par_iter()
            .map(|unit| gradient_of(task, parameters, unit))
            .collect::<Result<_, LearnError>>()?;
        for (loss, gradient) in found {
            let norm = norm(&gradient)?;
            sum.norms.push(norm);
            sum.loss += loss;
            let factor = factor(norm, clip);
            // Zero times what is not finite is not zero.
            if factor > 0.0 {
                for (sum, gradient) in sum.tensors.iter_mut().zip(gradient) {
                    *sum = (&*sum + (gradient * f64::from(factor))?)?;
                }
            }
        }
    }
    Ok(sum)
}

impl ClippedSum {
    /// Of no unit.
    pub(super) fn zeros(parameters: &Parameters) -> Result<Self, LearnError> {
        let tensors = parameters.tensors();
        let zeros = tensors.iter().map(Tensor::zeros_like);
        let tensors = zeros.collect::<candle_core::Result<_>>()?;
        Ok(Self { tensors, norms: Vec::new(), loss: 0.0 })
    }

    /// Adds the sums of further units, in their order.
    pub(super) fn add(&mut self, parts: Vec<Self>) -> Result<(), LearnError> {
        for part in parts {
            for (sum, tensor) in self.tensors.iter_mut().zip(part.tensors) {
                *sum = (&*sum + tensor)?;
            }
            self.norms.extend(part.norms);
            self.loss += part.loss;
        }
        Ok(())
    }

    /// Units that add nothing.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.norms.iter().filter(|norm| !norm.is_finite()).count()
    }
}

/// The loss of a unit, and its gradient.
fn gradient_of(
    task: &dyn Task,
    parameters: &Parameters,
    unit: &[Sample],
) -> Result<(f64, Vec<Tensor>), LearnError> {
    let mut loss = 0.0;
    let mut sum: Option<Vec<Tensor>> = None;
    for sample in unit {
        let (of_sample, gradient) = gradients(task, parameters, std::slice::from_ref(sample))?;
        loss += of_sample;
        sum = Some(match sum {
            None => gradient,
            Some(sum) => sum
                .iter()
                .zip(&gradient)
                .map(|(sum, gradient)| sum + gradient)
                .collect::<candle_core::Result<_>>()?,
        });
    }
    Ok((loss, sum.ok_or(LearnError::NoSamples("train on"))?))
}

/// Euclidean length of all tensors together.
fn norm(tensors: &[Tensor]) -> Result<f64, LearnError> {
    let mut sum = 0.0;
    for tensor in tensors {
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        sum += values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
    }
    Ok(sum.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_leave_short_gradients_alone_and_drop_what_is_not_finite() {
        assert_eq!(factor(0.0, 1.0), 1.0);
        assert_eq!(factor(0.9, 1.0), 1.0);
        for norm in [1.0, 1.5, 4.0, 1e30] {
            let clipped = norm * f64::from(factor(norm, 1.0));
            assert!(clipped <= 1.0 && clipped > 0.9998, "{norm}: {clipped}");
        }
        for norm in [f64::NAN, f64::INFINITY] {
            assert_eq!(factor(norm, 1.0), 0.0);
        }
    }

    #[test]
    fn no_factor_is_rounded_beyond_the_clip_however_small_it_is() {
        // From what 32 bits hold with all digits down to where they hold none.
        for exponent in 0..2000 {
            let norm = 1e30 * 1.02_f64.powi(exponent);
            for clip in [2.3e-9, 1e-7, 1.0] {
                let clipped = norm * f64::from(factor(norm, clip));
                assert!(clipped <= clip, "{norm}: {} clips", clipped / clip);
            }
        }
        assert_eq!(factor(1e36, 2.3e-9), 0.0);
        assert!(factor(1e28, 2.3e-9) > 0.0);
    }
}
