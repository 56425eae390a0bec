//! Masks in DICOM: segmentations (PS3.3, A.51 and C.8.20), and pictures of a mask.

use std::collections::{BTreeMap, BTreeSet};

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use super::attributes::{group, item, items};
use super::colour;
use super::fault::misstated;
use super::grey;
use super::value::{integer, name, number, several, text};
use super::volume::{File, Volume};
use crate::error::Fault;
use crate::format::Format;
use crate::mask::{Drawn, MaskOptions, Meaning, Part, Source, check_blurred, single_channel};
use crate::options::Limits;

/// Reads a mask: the segments chosen of a segmentation, or the values of a picture.
pub(super) fn read(volume: &Volume, options: &MaskOptions, limits: Limits) -> Result<Drawn, Fault> {
    let Some(file) = volume.files.first() else { return Err(Fault::Empty) };
    let all: Vec<usize> = (0..volume.slices.len()).collect();
    let values = (file.attributes.pixels() as u64).saturating_mul(all.len() as u64);
    Fault::limit("values of all frames", limits.values, values)?;
    match text(&file.object, tags::SEGMENTATION_TYPE)?.as_deref() {
        None => picture(volume, file, &all, options),
        Some("LABELMAP") => {
            let mut drawn = picture(volume, file, &all, options)?;
            let parts = all.iter().map(|frame| Part { frame: *frame, segment: None });
            refer(&mut drawn, file, parts.collect())?;
            Ok(drawn)
        }
        Some("BINARY") => segments(volume, file, None, options),
        Some("FRACTIONAL") => {
            let most = number(&file.object, tags::MAXIMUM_FRACTIONAL_VALUE)?;
            let most = most.filter(|most| *most > 0.0).ok_or_else(|| {
                let name = name(tags::MAXIMUM_FRACTIONAL_VALUE);
                misstated(format!("expected {name} above 0 in a fractional segmentation"))
            })?;
            segments(volume, file, Some(most), options)
        }
        Some(other) => Err(misstated(format!(
            "{}: expected BINARY, FRACTIONAL or LABELMAP, found {other}",
            name(tags::SEGMENTATION_TYPE)
        ))),
    }
}

/// The values of pictures, one channel of them.
fn picture(
    volume: &Volume,
    file: &File,
    all: &[usize],
    options: &MaskOptions,
) -> Result<Drawn, Fault> {
    let photometric = file.attributes.photometric.as_str();
    let planes = volume.decode(all, |file, _, samples| {
        let File { attributes, .. } = file;
        if photometric == "PALETTE COLOR" || attributes.is_monochrome() {
            let stored = samples.values.iter().map(|sample| attributes.meant(*sample) as f32);
            single_channel(vec![stored.collect()], false, options.channel)
        } else {
            single_channel(colour::to_rgb(attributes, samples)?, false, options.channel)
        }
    })?;
    let meaning = match photometric {
        "PALETTE COLOR" if options.labels.is_empty() && segment_count(file) != 1 => {
            Meaning::Indices("a palette, whose numbers stand for colours")
        }
        "MONOCHROME1" => Meaning::Indices("MONOCHROME1, in which 0 is white"),
        _ => Meaning::Levels,
    };
    let slices: Vec<Vec<f32>> = planes.into_iter().map(|plane| plane.values).collect();
    let mut drawn = Drawn::plain(Format::Dicom, volume.size(), slices, meaning);
    if file.syntax.uid == uids::JPEG_BASELINE8_BIT && drawn.meaning == Meaning::Levels {
        drawn.meaning = Meaning::Blurred;
        let block = if file.attributes.samples == 1 { 8 } else { 16 };
        for slice in &drawn.slices {
            check_blurred(slice, drawn.width, block)?;
        }
    }
    if file.attributes.is_monochrome() {
        drawn.rescale = rescale(volume)?;
    }
    drawn.geometry = volume.geometry();
    Ok(drawn)
}

/// The slope and intercept of all frames; `None` where nothing is rescaled, or not by one line.
fn rescale(volume: &Volume) -> Result<Option<(f64, f64)>, Fault> {
    let mut all = None;
    for slice in &volume.slices {
        let Some(File { object, .. }) = volume.files.get(slice.file) else { continue };
        let found = grey::rescale(object, slice.frame)?;
        let has_table = object.get(tags::MODALITY_LUT_SEQUENCE).is_some();
        if has_table || *all.get_or_insert(found) != found {
            return Ok(None);
        }
    }
    Ok(all.filter(|line| *line != (1.0, 0.0)))
}

fn segment_count(file: &File) -> usize {
    items(&file.object, tags::SEGMENT_SEQUENCE).len()
}

/// The frames of the segments chosen, or of the only one: 1 where a bit is set, or where a fraction
/// is at least half of `most`, its maximum.
fn segments(
    volume: &Volume,
    file: &File,
    most: Option<f64>,
    options: &MaskOptions,
) -> Result<Drawn, Fault> {
    if let Some(asked) = options.channel.filter(|channel| *channel > 0) {
        return Err(Fault::Index { what: "mask channel", asked, count: 1 });
    }
    let object = &file.object;
    let of_frame = (0..volume.slices.len()).map(|frame| segment(object, frame));
    let of_frame = of_frame.collect::<Result<Vec<u32>, _>>()?;
    let names = names(object)?;
    let known: BTreeSet<u32> = names.keys().chain(&of_frame).copied().collect();
    let listed = || {
        let listed = known.iter().map(|number| match names.get(number) {
            Some(label) => format!("{number} ({label})"),
            None => number.to_string(),
        });
        format!("the segments {}", listed.collect::<Vec<_>>().join(", "))
    };
    let advice = "choose those that are inside by --mask-label";
    if options.labels.is_empty() && known.len() > 1 {
        return Err(Fault::mask("one segment", listed(), advice));
    }
    if let Some(label) = options.labels.iter().find(|label| !known.contains(label)) {
        return Err(Fault::mask(format!("a segment {label}"), listed(), advice));
    }
    let is_chosen = |frame: &usize| {
        let number = of_frame.get(*frame);
        options.labels.is_empty() || number.is_some_and(|number| options.labels.contains(number))
    };
    let chosen: Vec<usize> = (0..volume.slices.len()).filter(is_chosen).collect();
    let planes = volume.decode(&chosen, |file, _, samples| {
        let values = samples.values.iter().map(|sample| file.attributes.meant(*sample) as f64);
        values.map(|value| Ok(f32::from(is_inside(value, most)?))).collect()
    })?;
    let slices = planes.into_iter().map(|plane| plane.values).collect();
    let mut drawn = Drawn::plain(Format::Dicom, volume.size(), slices, Meaning::Chosen);
    let whole = volume.geometry();
    drawn.geometry = whole.map(|mut geometry| {
        let origin = |frame: &usize| geometry.origins.get(*frame).copied();
        geometry.origins = chosen.iter().filter_map(origin).collect();
        geometry
    });
    let part = |frame: &usize| Part { frame: *frame, segment: of_frame.get(*frame).copied() };
    refer(&mut drawn, file, chosen.iter().map(part).collect())?;
    Ok(drawn)
}

/// Whether a value of a segmentation is inside.
///
/// # Errors
/// [`Fault::Value`] for a fraction above its own maximum `most` or below 0: then nobody knows where
/// its half is.
fn is_inside(value: f64, most: Option<f64>) -> Result<bool, Fault> {
    let Some(most) = most else { return Ok(2.0 * value >= 1.0) };
    if (0.0..=most).contains(&value) {
        return Ok(2.0 * value >= most);
    }
    Err(misstated(format!(
        "{} is {most}: expected fractions from 0 to {most} in its pixels, found {value}",
        name(tags::MAXIMUM_FRACTIONAL_VALUE)
    )))
}

/// Notes on which images the frames were drawn. Without any such reference, and without a place, a
/// segmentation has a frame for each slice.
fn refer(drawn: &mut Drawn, file: &File, parts: Vec<Part>) -> Result<(), Fault> {
    let sources = parts.iter().map(|part| sources(&file.object, part.frame));
    drawn.sources = sources.collect::<Result<_, _>>()?;
    drawn.covered = drawn.sources.iter().flatten().map(|(uid, _)| uid.clone()).collect();
    for series in items(&file.object, tags::REFERENCED_SERIES_SEQUENCE) {
        for instance in items(series, tags::REFERENCED_INSTANCE_SEQUENCE) {
            drawn.covered.extend(text(instance, tags::REFERENCED_SOP_INSTANCE_UID)?);
        }
    }
    drawn.parts = parts;
    drawn.sparse = true;
    Ok(())
}

/// The segment of a frame. A file that does not say has one.
fn segment(object: &InMemDicomObject, frame: usize) -> Result<u32, Fault> {
    let tag = tags::REFERENCED_SEGMENT_NUMBER;
    let found = integer(group(object, frame, tags::SEGMENT_IDENTIFICATION_SEQUENCE), tag)?;
    positive(tag, found.unwrap_or(1))
}

/// The labels of the segments by their numbers.
fn names(object: &InMemDicomObject) -> Result<BTreeMap<u32, String>, Fault> {
    let mut names = BTreeMap::new();
    for segment in items(object, tags::SEGMENT_SEQUENCE) {
        let tag = tags::SEGMENT_NUMBER;
        let number = integer(segment, tag)?;
        let number =
            number.ok_or_else(|| misstated(format!("expected {}, found none", name(tag))))?;
        let label = text(segment, tags::SEGMENT_LABEL)?.unwrap_or_default();
        names.insert(positive(tag, number)?, label);
    }
    Ok(names)
}

fn positive(tag: Tag, number: i64) -> Result<u32, Fault> {
    let fits = u32::try_from(number).ok().filter(|number| *number > 0);
    fits.ok_or_else(|| misstated(format!("{}: expected at least 1, found {number}", name(tag))))
}

/// The images that a frame was drawn on.
fn sources(object: &InMemDicomObject, frame: usize) -> Result<Vec<Source>, Fault> {
    let own = item(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frame);
    let Some(own) = own else { return Ok(Vec::new()) };
    let mut sources = Vec::new();
    for derivation in items(own, tags::DERIVATION_IMAGE_SEQUENCE) {
        for source in items(derivation, tags::SOURCE_IMAGE_SEQUENCE) {
            let Some(uid) = text(source, tags::REFERENCED_SOP_INSTANCE_UID)? else { continue };
            match several(source, tags::REFERENCED_FRAME_NUMBER)? {
                None => sources.push((uid, None)),
                Some(numbers) => {
                    for number in numbers {
                        sources.push((uid.clone(), Some(frame_number(number)?)));
                    }
                }
            }
        }
    }
    Ok(sources)
}

fn frame_number(number: f64) -> Result<usize, Fault> {
    let is_one = number.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&number);
    is_one.then_some(number as usize).ok_or_else(|| {
        let name = name(tags::REFERENCED_FRAME_NUMBER);
        misstated(format!("{name}: expected frames counted from 1, found {number}"))
    })
}
