//! DICOM files: structure and attributes by `dicom-object`, pixel data by one codec crate each.
//!
//! `dicom-pixeldata` is not used: its RLE and JPEG adapters index beyond damaged fragments and
//! panic. Nor is its file reader: it allocates what a length field claims, up to 4 GiB, before it
//! reads on, so that all lengths are checked here first ([`structure`]).

mod attributes;
mod codec;
mod codestream;
mod colour;
mod fault;
mod file;
mod grey;
mod native;
mod rle;
mod samples;
mod structure;
mod value;

use crate::error::Fault;
use crate::format::Format;
use crate::intensity::{min_max, percentiles};
use crate::options::{Intensity, Limits, ReadOptions};
use crate::stack::{Info, Plane, Scale, Stack};
use attributes::Attributes;
use codec::Frames;

pub(crate) use file::looks_bare;

/// Reads the frames asked for.
pub(crate) fn read(bytes: &[u8], options: &ReadOptions) -> Result<Stack, Fault> {
    let (object, syntax) = file::parse(bytes, options.limits)?;
    let attributes = Attributes::read(&object)?;
    let pixels = attributes.pixels() as u64;
    let most = options.limits.values;
    Fault::limit("pixels of a frame", most, pixels)?;
    let frames = Frames::new(&object, &attributes, &syntax)?;
    let chosen = options.slices.which.of(attributes.frames)?;
    // A range of the whole file is asked for, or has to be found.
    let whole = attributes.is_monochrome()
        && match options.intensity {
            Intensity::MinMax | Intensity::Percentiles { .. } => true,
            Intensity::Auto => {
                let own = |frame: &usize| grey::Shades::own(&object, &attributes, *frame);
                chosen.iter().map(own).collect::<Result<Vec<_>, _>>()?.contains(&None)
            }
            Intensity::Window { .. } | Intensity::Stored => false,
        };
    let decoded: Vec<usize> = if whole { (0..attributes.frames).collect() } else { chosen.clone() };
    let values = pixels.saturating_mul(decoded.len().max(chosen.len()) as u64);
    Fault::limit("values of all frames", most, values)?;

    let stored = options.intensity == Intensity::Stored;
    let mut planes = Vec::with_capacity(decoded.len());
    for index in decoded {
        let samples = frames.decode(index)?;
        let values = if attributes.is_monochrome() {
            grey::modality(&object, &attributes, index, &samples, !stored)?
        } else {
            colour::to_grey(&object, &attributes, &samples, !stored)?
        };
        planes.push(Plane { index, values });
    }
    let found = whole.then(|| file_range(&planes, options.intensity));
    if whole {
        planes = chosen.iter().filter_map(|index| planes.get(*index).cloned()).collect();
    }
    let scale = if stored {
        Scale::Stored
    } else if attributes.is_monochrome() {
        let mut first = None;
        for plane in &mut planes {
            let shades =
                grey::Shades::of(&object, &attributes, plane.index, options.intensity, found)?;
            shades.apply(&mut plane.values, attributes.inverted());
            first.get_or_insert(shades.range());
        }
        let (low, high) = first.unwrap_or_default();
        Scale::Unit { low, high }
    } else {
        Scale::Unit { low: 0.0, high: attributes.greatest() }
    };
    Ok(Stack {
        info: Info {
            format: Format::Dicom,
            bits: attributes.bits_stored,
            channels: attributes.samples,
            slices: attributes.frames,
            transfer_syntax: syntax.known(),
            scale,
        },
        width: attributes.columns,
        height: attributes.rows,
        planes,
    })
}

/// How many frames there are, by the attributes.
pub(crate) fn slices(bytes: &[u8], limits: Limits) -> Result<usize, Fault> {
    let (object, _) = file::parse(bytes, limits)?;
    Ok(Attributes::read(&object)?.frames)
}

/// The range of all frames, without what is padding. Zeros if all of it is.
fn file_range(planes: &[Plane], intensity: Intensity) -> (f64, f64) {
    let all = planes.iter().flat_map(|plane| &plane.values);
    let range = match intensity {
        Intensity::Percentiles { low, high } => percentiles(all.copied().collect(), low, high),
        _ => min_max(all),
    };
    range.unwrap_or_default()
}
