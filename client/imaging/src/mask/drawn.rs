//! A mask as it is stored, before it is decided what is inside.

use std::collections::BTreeSet;

use crate::error::Fault;
use crate::format::Format;
use crate::geometry::Geometry;

/// One channel of every slice of a mask.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) format: Format,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Row-major values of each slice, as they are stored.
    pub(crate) slices: Vec<Vec<f32>>,
    /// The slope and intercept by which the file rescales them, where it does and in all slices alike.
    pub(crate) rescale: Option<(f64, f64)>,
    pub(crate) meaning: Meaning,
    pub(crate) geometry: Option<Geometry>,
    /// Whether rows and columns run otherwise than they are stored, as the header of a NIfTI file says
    /// or as is usual where it says nothing.
    pub(crate) turned: bool,
    /// What is said beside values that do not stand so in the file; empty of those that do.
    pub(crate) counted: &'static str,
    /// Which image each slice was drawn on, where DICOM says so; else empty.
    pub(crate) sources: Vec<Vec<Source>>,
    /// Every image that it was drawn on, also those without anything inside.
    pub(crate) covered: BTreeSet<String>,
    /// Which frame of a segmentation each slice is; empty of other masks.
    pub(crate) parts: Vec<Part>,
    /// Slices without anything inside may be missing, and those of several segments may lie on one
    /// another.
    pub(crate) sparse: bool,
}

/// A frame of an image: its SOP Instance UID, and its number from 1 where it has several.
pub(crate) type Source = (String, Option<usize>);

/// A frame of a segmentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Counted from 0.
    pub(crate) frame: usize,
    /// Its segment; none where its values tell them apart.
    pub(crate) segment: Option<u32>,
}

/// What the values of a mask mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// Two levels, or labels, or a share of each pixel from 0 to 1.
    Levels,
    /// Two levels that JPEG has blurred within its blocks of 8 x 8.
    Blurred,
    /// Numbers that mean nothing by themselves, for this reason: only labels choose among them.
    Indices(&'static str),
    /// Chosen already: 1 inside, 0 outside.
    Chosen,
}

impl Drawn {
    /// A mask without any place in the patient.
    pub(crate) fn plain(
        format: Format,
        (width, height): (usize, usize),
        slices: Vec<Vec<f32>>,
        meaning: Meaning,
    ) -> Self {
        Self {
            format,
            width,
            height,
            slices,
            rescale: None,
            meaning,
            geometry: None,
            turned: false,
            sources: Vec::new(),
            covered: BTreeSet::new(),
            parts: Vec::new(),
            counted: "",
            sparse: false,
        }
    }
}

/// The channel that is chosen; without a choice the only one that says something.
///
/// # Errors
/// [`Fault::Mask`] for colour or transparency without a choice, [`Fault::Index`] for a channel that
/// there is not.
pub(crate) fn single_channel(
    mut channels: Vec<Vec<f32>>,
    has_alpha: bool,
    chosen: Option<usize>,
) -> Result<Vec<f32>, Fault> {
    let count = channels.len();
    if let Some(asked) = chosen {
        return if asked < count {
            Ok(channels.swap_remove(asked))
        } else {
            Err(Fault::Index { what: "mask channel", asked, count })
        };
    }
    let varies = |values: &[f32]| values.iter().any(|value| Some(value) != values.first());
    let last = count.saturating_sub(1);
    let advice = "choose one by --mask-channel, counted from 0";
    if has_alpha && channels.last().is_some_and(|alpha| varies(alpha)) {
        let found = format!("transparency that is used (channel {last} of {count})");
        return Err(Fault::mask("one channel", found, advice));
    }
    let colours = channels.get(..if has_alpha { last } else { count }).unwrap_or_default();
    if colours.windows(2).any(|pair| pair[0] != pair[1]) {
        let found = format!("colour ({} channels that differ)", colours.len());
        return Err(Fault::mask("one channel", found, advice));
    }
    Ok(channels.into_iter().next().unwrap_or_default())
}
