//! The shadow defence: noise on a site's own training images, where a shadow of an attacker rebuilds
//! them best, and less of it where the diagnosis is.
//!
//! After Jiang et al., "Shadow defense against gradient inversion attack in federated learning",
//! Medical Image Analysis 2025 (arXiv 2506.15711). It is **no differential privacy**: the noise
//! follows from the image, nothing bounds what a gradient tells, and who knows how it is made can
//! take some of it away again. `docs/shadow.md` says what it hides and what not.
//!
//! In round `r` of `E`, for each image `x` with grey values in `[0, 1]`:
//!
//! 1. A [`Decoder`] is fitted to the image when the image is first seen. In the first fifth of the
//!    rounds it is also trained so that the gradient of what it draws points where the gradient of
//!    the image points, as an attacker would do it, beside total variation and the mean square error.
//! 2. `m = softmax(e / 20)`, `e` the square error of each pixel. Over the rounds
//!    `m <- 0.1 m + 0.9 (m before)`. Where the decoder is right, `m` is small, and the image is at
//!    risk: `s = softmax(histeq(1 / m) / 20)`.
//! 3. Grad-CAM++ of the image's class on the model's last convolutional block says where the
//!    diagnosis is. The 30 % of the pixels that say most get less noise:
//!    `n = s - clip(r / E, 0.1, 0.5) sign(s) softmax(cam / 20)`.
//! 4. The noise is `n`, scaled so that its largest absolute value is `0.19 exp(r / E) max(x)`. The site
//!    trains on `x + n`.
//!
//! What the paper leaves open is read as follows.
//!
//! - *Scales.* A softmax over thousands of pixels has values of thousandths. Both are divided by their
//!   largest value before they meet, so that the share of 0.1 to 0.5 is a share. Their difference is
//!   brought to the amplitude at the end.
//! - *Temperatures.* The equalised histogram and the map of Grad-CAM++ have the levels of 8-bit
//!   images, 0 to 255. With 20 in the divisor a factor of `exp(12.75)` lies between the least and the
//!   most. With levels from 0 to 1 it would be 1.05: the noise would be the same everywhere, and a
//!   model that brings its input to mean 0 would see none of it. Errors are those of grey values in
//!   `[0, 1]`. The histogram has 256 bins.
//! - *The formula is kept to the letter.* Where there is a diagnosis and hardly a risk, the noise
//!   becomes negative, by half of the amplitude at most.
//! - *The decoder* is a small convolutional one for each image, in place of StyleGAN3.
//! - `x + n` is not cut to `[0, 1]`: the model brings it to mean 0 and variance 1. All channels of an
//!   image in colour get the same noise. Augmentation comes after it.

mod cam;
mod decoder;
mod held;
pub mod maps;
mod matching;
mod site;

pub use cam::{diagnosis, grad_cam_plus_plus, saliency};
pub use decoder::Decoder;
pub use matching::Matching;
pub use site::{DefendedRound, Shadow, Shadows};
