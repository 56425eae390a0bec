//! The attributes that describe the pixels (PS3.3, C.7.6.3).

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::fault::{misstated, unsupported};
use super::value::{integer, name, numbers, text};
use crate::error::Fault;
use crate::format::Format;

/// Rows and Columns are 16-bit numbers (PS3.6).
const LONGEST_SIDE: usize = u16::MAX as usize;

/// What the pixels look like.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) frames: usize,
    /// Samples a pixel: 1 or 3.
    pub(super) samples: u16,
    pub(super) photometric: String,
    pub(super) bits_allocated: u16,
    pub(super) bits_stored: u16,
    /// How far the stored bits are shifted up within the allocated ones.
    pub(super) shift: u16,
    pub(super) signed: bool,
    /// Colour by planes and not by pixels.
    pub(super) planar: bool,
    /// The first and last stored value that stand for "no picture here".
    padding: Option<(i64, i64)>,
}

impl Attributes {
    pub(super) fn read(object: &InMemDicomObject) -> Result<Self, Fault> {
        if object.get(tags::PIXEL_DATA).is_none() {
            return Err(without_pixels(object)?);
        }
        let required = |tag| {
            let missing = || misstated(format!("expected {}, found none", name(tag)));
            integer(object, tag)?.ok_or_else(missing)
        };
        // What is absent has a usual value; what is there without one is refused.
        let stated = |tag, absent| integer(object, tag).map(|found| found.unwrap_or(absent));
        let flag = |tag, found: i64| match found {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(misstated(format!("expected {} of 0 or 1, found {found}", name(tag)))),
        };
        let side = |tag| -> Result<usize, Fault> {
            let side = required(tag)?;
            let fits = usize::try_from(side).ok().filter(|side| (1..=LONGEST_SIDE).contains(side));
            fits.ok_or_else(|| {
                let name = name(tag);
                misstated(format!("expected {name} of 1 to {LONGEST_SIDE}, found {side}"))
            })
        };
        let bits_allocated = required(tags::BITS_ALLOCATED)?;
        if ![1, 8, 16, 32].contains(&bits_allocated) {
            let what = format!("{bits_allocated} bits allocated a sample");
            return Err(unsupported(what, "export it with 8, 16 or 32"));
        }
        let bits_stored = stated(tags::BITS_STORED, bits_allocated)?;
        let stored_fits = (1..=bits_allocated).contains(&bits_stored);
        let high_bit = stated(tags::HIGH_BIT, bits_stored.saturating_sub(1))?;
        if !stored_fits || !(bits_stored - 1..bits_allocated).contains(&high_bit) {
            let [stored, high] = [tags::BITS_STORED, tags::HIGH_BIT].map(name);
            return Err(misstated(format!(
                "{stored} of {bits_stored} and {high} of {high_bit} do not fit into {bits_allocated} bits"
            )));
        }
        let samples = stated(tags::SAMPLES_PER_PIXEL, 1)?;
        let photometric = text(object, tags::PHOTOMETRIC_INTERPRETATION)?.ok_or_else(|| {
            misstated(format!("expected {}, found none", name(tags::PHOTOMETRIC_INTERPRETATION)))
        })?;
        let expected = samples_of(&photometric)?;
        if samples != expected {
            return Err(misstated(format!(
                "{photometric} has {expected} samples a pixel, found {samples}"
            )));
        }
        let stated_frames = stated(tags::NUMBER_OF_FRAMES, 1)?;
        let frames = usize::try_from(stated_frames).ok().filter(|frames| *frames > 0);
        let frames = frames.ok_or_else(|| {
            let name = name(tags::NUMBER_OF_FRAMES);
            misstated(format!("{name}: expected at least 1 frame, found {stated_frames}"))
        })?;
        let padding = match integer(object, tags::PIXEL_PADDING_VALUE)? {
            Some(value) => {
                let other = stated(tags::PIXEL_PADDING_RANGE_LIMIT, value)?;
                Some((value.min(other), value.max(other)))
            }
            None => None,
        };
        // It says something of several samples only.
        let empty = text(object, tags::PLANAR_CONFIGURATION)?.is_none();
        let planar = if samples == 1 && empty { 0 } else { stated(tags::PLANAR_CONFIGURATION, 0)? };
        square(object)?;
        shown(object, &photometric)?;
        let narrow = |value: i64| u16::try_from(value).unwrap_or(0);
        Ok(Self {
            rows: side(tags::ROWS)?,
            columns: side(tags::COLUMNS)?,
            frames,
            samples: narrow(samples),
            photometric,
            bits_allocated: narrow(bits_allocated),
            bits_stored: narrow(bits_stored),
            shift: narrow(high_bit + 1 - bits_stored),
            signed: flag(tags::PIXEL_REPRESENTATION, stated(tags::PIXEL_REPRESENTATION, 0)?)?,
            planar: flag(tags::PLANAR_CONFIGURATION, planar)?,
            padding,
        })
    }

    /// Whether a sample stands for "no picture here": as it is meant, or by all bits of its word with
    /// the sign of the padding, which some programs write with another one than the samples have
    /// (63,536 for -2,000).
    pub(super) fn is_padding(&self, sample: i64) -> bool {
        self.padding.is_some_and(|(first, last)| {
            let bits = u32::from(self.bits_allocated);
            let word = sample & ((1 << bits) - 1);
            let word = if first < 0 && word >> (bits - 1) == 1 { word - (1 << bits) } else { word };
            [self.meant(sample), word].iter().any(|value| (first..=last).contains(value))
        })
    }

    pub(super) fn pixels(&self) -> usize {
        self.rows * self.columns
    }

    /// Samples of a frame.
    pub(super) fn values(&self) -> usize {
        self.pixels() * usize::from(self.samples)
    }

    pub(super) fn is_monochrome(&self) -> bool {
        self.photometric.starts_with("MONOCHROME")
    }

    /// Whether low values are shown bright.
    pub(super) fn inverted(&self) -> bool {
        self.photometric == "MONOCHROME1"
    }

    /// The greatest value of an unsigned sample.
    pub(super) fn greatest(&self) -> f64 {
        2_f64.powi(i32::from(self.bits_stored)) - 1.0
    }

    /// A sample as it is meant: the stored bits, with their sign.
    pub(super) fn meant(&self, sample: i64) -> i64 {
        let mask = (1_i64 << self.bits_stored) - 1;
        let value = (sample >> self.shift) & mask;
        if self.signed && value >> (self.bits_stored - 1) == 1 { value - mask - 1 } else { value }
    }
}

/// Refuses pixels that are not as high as wide, where nothing says how large they are: a picture of
/// them would be stretched (PS3.3, C.7.6.3.1.7).
fn square(object: &InMemDicomObject) -> Result<(), Fault> {
    let tag = tags::PIXEL_ASPECT_RATIO;
    match numbers::<2>(object, tag)? {
        Some([vertical, horizontal]) if vertical <= 0.0 || horizontal <= 0.0 => {
            let name = name(tag);
            let found = format!("{vertical}\\{horizontal}");
            Err(misstated(format!("{name}: expected two numbers above 0, found {found}")))
        }
        Some([vertical, horizontal]) if vertical != horizontal => {
            let what =
                format!("pixels that are not square ({} of {vertical}\\{horizontal})", name(tag));
            Err(unsupported(what, "export it with square pixels"))
        }
        None if object.get(tag).is_some() => {
            Err(misstated(format!("expected {}, found it empty", name(tag))))
        }
        _ => Ok(()),
    }
}

/// Refuses a shape of the presentation that says something else than the photometric
/// interpretation: IDENTITY changes nothing, and INVERSE says again what MONOCHROME1 does (PS3.3,
/// C.8.11.3 and C.7.6.1). Of type 3, it may be empty.
fn shown(object: &InMemDicomObject, photometric: &str) -> Result<(), Fault> {
    let tag = tags::PRESENTATION_LUT_SHAPE;
    match text(object, tag)?.as_deref() {
        None | Some("IDENTITY") => Ok(()),
        Some("INVERSE") if photometric == "MONOCHROME1" => Ok(()),
        Some("INVERSE") => Err(misstated(format!(
            "{}: expected IDENTITY as of {photometric}, found INVERSE, which is that of MONOCHROME1",
            name(tag)
        ))),
        Some(other) => {
            let name = name(tag);
            Err(misstated(format!("{name}: expected IDENTITY or INVERSE, found {other}")))
        }
    }
}

/// How many samples a pixel has (PS3.3, C.7.6.3.1.2).
fn samples_of(photometric: &str) -> Result<i64, Fault> {
    match photometric {
        "MONOCHROME1" | "MONOCHROME2" | "PALETTE COLOR" => Ok(1),
        "RGB" | "HSV" | "XYB" => Ok(3),
        ybr if ybr.starts_with("YBR_") => Ok(3),
        "ARGB" | "CMYK" => {
            let what = format!("photometric interpretation {photometric}");
            Err(unsupported(what, "export it as RGB"))
        }
        other => {
            let name = name(tags::PHOTOMETRIC_INTERPRETATION);
            let known = "MONOCHROME1, MONOCHROME2, PALETTE COLOR, RGB or one of YBR";
            Err(misstated(format!("{name}: expected {known}, in capitals, found {other}")))
        }
    }
}

fn without_pixels(object: &InMemDicomObject) -> Result<Fault, Fault> {
    let floats = [tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA];
    if floats.iter().any(|tag| object.get(*tag).is_some()) {
        return Ok(unsupported("floating-point pixel data", "export it with integers"));
    }
    let modality = text(object, tags::MODALITY)?.unwrap_or_else(|| "unknown".into());
    let what = format!("no pixel data (modality {modality})");
    Ok(Fault::NoImage { format: Format::Dicom, what })
}

/// The data set that holds an attribute of a frame: an item of the frame's or of the shared
/// functional groups in an enhanced multi-frame object (PS3.3, C.7.6.16), else the object itself.
pub(super) fn group(object: &InMemDicomObject, frame: usize, sequence: Tag) -> &InMemDicomObject {
    let own = item(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frame)
        .and_then(|groups| item(groups, sequence, 0));
    let shared = || {
        item(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0)
            .and_then(|groups| item(groups, sequence, 0))
    };
    own.or_else(shared).unwrap_or(object)
}

/// An item of a sequence.
pub(super) fn item(
    object: &InMemDicomObject,
    sequence: Tag,
    index: usize,
) -> Option<&InMemDicomObject> {
    items(object, sequence).get(index)
}

/// The items of a sequence; none where there is no such sequence.
pub(super) fn items(object: &InMemDicomObject, sequence: Tag) -> &[InMemDicomObject] {
    object.get(sequence).and_then(|element| element.items()).unwrap_or_default()
}
