//! The networks by name: U-Nets for segmentation; CNNs, a residual network and a dense baseline for
//! classification.
//!
//! All that normalise do so by groups of channels within one image, never over a batch: batch
//! statistics of several sites do not average to those of their union, and they tie images
//! together, which differential privacy forbids. Their operations are those of `ringfence-nn`:
//! images have their channels last between the first layer and the logits.

pub(crate) mod check;
mod classifier;
mod cnn;
mod dense;
pub(crate) mod layers;
mod lenet;
pub(crate) mod name;
mod residual;
pub(crate) mod tape;
mod unet;

pub use classifier::Classifier;
pub use name::ModelName;
pub use unet::UNet;
