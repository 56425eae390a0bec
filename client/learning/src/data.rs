//! A study's images by site: read from a folder, read from a MedMNIST file, or generated.
//!
//! Everything is checked before training starts: every image is decoded, every mask lies on its
//! image, and no patient is in two splits.

mod apart;
mod chance;
mod classes;
pub(crate) mod dataset;
pub(crate) mod detector;
mod division;
pub(crate) mod error;
mod folder;
mod group;
mod heeded;
mod labelled;
mod left_out;
mod load;
mod mask_labels;
mod medmnist;
mod memory;
mod options;
mod own_mask;
pub mod phantom;
pub(crate) mod raster;
mod records;
pub(crate) mod scanner;
mod skew;
mod stack;
mod table;

pub use apart::slices_apart;
pub use dataset::{Dataset, Sample, SiteData, Split};
pub use error::DataError;
pub use folder::write as write_folder;
pub use heeded::{Use, check_heeded};
pub use labelled::{Labelled, LabelledFolder, LabelledImage};
pub use left_out::{LeftOut, LeftOutReason, summary as left_out_summary};
pub use load::load;
pub use options::{DataOptions, OneSite};
pub use own_mask::OwnMask;
pub use records::record_names;
pub use ringfence_imaging::{Channels, MaskOptions, ReadOptions, is_series};
pub use scanner::Scanner;
pub use stack::{Picture, Stated, read_pictures};
pub use table::{ClassNameError, check_class_names};
