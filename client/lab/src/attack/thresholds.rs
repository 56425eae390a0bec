//! What results are judged by: it stands in `thresholds.json`, committed before the runs.

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Thresholds {
    /// Linear-layer inversion of a plain gradient: the largest error of a grey value must be below.
    pub(super) control_linear_error: f64,
    /// iDLG on the plain gradient of the sigmoid LeNet: PSNR in dB must be above.
    pub(super) control_lenet_psnr: f64,
    /// Share of the images that an attack must succeed on from plain gradients, so that its failure
    /// elsewhere says something.
    pub(super) control_plain_success: f64,
    /// An attack has succeeded on an image from this PSNR on, in dB, ...
    pub(super) success_psnr: f64,
    /// ... and so many dB above guessing the mean image.
    pub(super) success_above_guess: f64,
    /// Against ciphertext the mean PSNR may differ from that of guessing by this, in dB, or by two
    /// standard errors.
    pub(super) ciphertext_from_guess: f64,
    /// Membership inference on a model that was trained far too long on few images: the range of its
    /// AUC must lie above.
    pub(super) control_membership_auc: f64,
}

impl Thresholds {
    /// # Errors
    /// When the file in the program is broken.
    pub(super) fn committed() -> anyhow::Result<Self> {
        let file = include_str!("thresholds.json");
        serde_json::from_str(file).context("client/lab/src/attack/thresholds.json")
    }
}
