//! The networks: a U-Net for segmentation and a small CNN for classification.
//!
//! Both normalise by groups of channels within one image, never over a batch: batch statistics
//! of several sites do not average to those of their union, and they tie images together, which
//! differential privacy forbids. Their operations are those of `ringfence-nn`: images have their
//! channels last between the first layer and the logits.

mod cnn;
pub(crate) mod layers;
mod unet;

pub use cnn::Cnn;
pub use unet::UNet;

use super::LearnError;

/// Checks channel widths: at least one, each a positive multiple of the number of groups.
fn check_widths(widths: &[usize], groups: usize) -> Result<(), LearnError> {
    if widths.is_empty() || widths.len() > 8 {
        let found = widths.len();
        return Err(LearnError::Model(format!("expected 1 to 8 channel widths, found {found}")));
    }
    match widths.iter().find(|width| **width == 0 || !width.is_multiple_of(groups)) {
        None => Ok(()),
        Some(width) => Err(LearnError::Model(format!(
            "expected channel widths that are positive multiples of {groups}, found {width}"
        ))),
    }
}
