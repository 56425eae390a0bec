//! Colours, colour to grey, and lookup tables.

use dicom_core::value::Value;
use dicom_core::{PrimitiveValue, Tag};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::attributes::Attributes;
use super::fault::{misstated, unsupported};
use super::samples::Samples;
use super::value::{name, numbers};
use crate::error::Fault;
use crate::intensity::luma;

/// A lookup table (PS3.3, C.11.1.1.1 and C.7.6.3.1.5).
pub(super) struct Table {
    first: i64,
    values: Vec<f64>,
    /// The greatest value that its entries may have.
    greatest: f64,
}

impl Table {
    pub(super) fn read(
        object: &InMemDicomObject,
        descriptor: Tag,
        data: Tag,
    ) -> Result<Self, Fault> {
        let missing = |tag: Tag| misstated(format!("expected a lookup table in {tag}, found none"));
        let numbers = numbers::<3>(object, descriptor)?.ok_or_else(|| missing(descriptor))?;
        let [count, first, bits] = numbers.map(|number| number as i64);
        // 65,536 does not fit into the field and is written as 0; counts beyond 32,767 are negative
        // where a program wrote the field as signed.
        let count = if count == 0 { 1 << 16 } else { usize::from(count as u16) };
        let words = match object.get(data).map(|element| element.value()) {
            Some(Value::Primitive(PrimitiveValue::U16(words))) => words.to_vec(),
            Some(Value::Primitive(PrimitiveValue::U8(bytes))) => {
                bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
            }
            _ => return Err(missing(data)),
        };
        // Entries of 8 bits may stand two in a word, the first one low.
        let values: Vec<f64> = if bits <= 8 && words.len() == count.div_ceil(2) {
            words.iter().flat_map(|word| word.to_le_bytes()).map(f64::from).take(count).collect()
        } else {
            words.into_iter().map(f64::from).take(count).collect()
        };
        if values.len() < count || values.is_empty() || !(1..=16).contains(&bits) {
            let found = values.len();
            return Err(misstated(format!(
                "expected a table of {count} entries of 1 to 16 bits, found {found} of {bits}"
            )));
        }
        Ok(Self { first, values, greatest: f64::from((1_u32 << bits) - 1) })
    }

    /// The entry of a value; what lies outside takes the entry at the end.
    pub(super) fn at(&self, value: i64) -> f64 {
        let last = self.values.len().saturating_sub(1);
        let index = usize::try_from(value.saturating_sub(self.first)).unwrap_or(0).min(last);
        self.values.get(index).copied().unwrap_or(0.0)
    }
}

/// The grey values of a frame in colour: in `[0, 1]` if `unit`, else in the samples' own units.
pub(super) fn to_grey(
    object: &InMemDicomObject,
    attributes: &Attributes,
    samples: &Samples,
    unit: bool,
) -> Result<Vec<f32>, Fault> {
    let grey = |[red, green, blue]: [f64; 3]| luma(red, green, blue) as f32;
    Ok(colours(object, attributes, samples, unit)?.map(grey).collect())
}

/// The colours of a frame, all of red, then green, then blue: in `[0, 1]` if `unit`, else in the
/// samples' own units.
pub(super) fn to_colour(
    object: &InMemDicomObject,
    attributes: &Attributes,
    samples: &Samples,
    unit: bool,
) -> Result<Vec<f32>, Fault> {
    let mut planes = [const { Vec::new() }; 3];
    for pixel in colours(object, attributes, samples, unit)? {
        for (plane, value) in planes.iter_mut().zip(pixel) {
            plane.push(value as f32);
        }
    }
    Ok(planes.concat())
}

/// The colours of a frame's pixels, of a palette or not.
fn colours<'a>(
    object: &InMemDicomObject,
    attributes: &'a Attributes,
    samples: &'a Samples,
    unit: bool,
) -> Result<Box<dyn Iterator<Item = [f64; 3]> + 'a>, Fault> {
    if attributes.photometric == "PALETTE COLOR" {
        return Ok(Box::new(palette(object, attributes, samples, unit)?));
    }
    let scale = if unit { 1.0 / attributes.greatest() } else { 1.0 };
    Ok(Box::new(pixels(attributes, samples)?.map(move |pixel| pixel.map(|value| value * scale))))
}

/// Red, green and blue of a frame, in the samples' own units.
pub(super) fn to_rgb(attributes: &Attributes, samples: &Samples) -> Result<Vec<Vec<f32>>, Fault> {
    let mut channels = vec![Vec::new(); 3];
    for pixel in pixels(attributes, samples)? {
        for (channel, value) in channels.iter_mut().zip(pixel) {
            channel.push(value.round() as f32);
        }
    }
    Ok(channels)
}

/// The pixels of a frame as RGB.
fn pixels<'a>(
    attributes: &'a Attributes,
    samples: &'a Samples,
) -> Result<impl Iterator<Item = [f64; 3]> + 'a, Fault> {
    let to_rgb: fn([f64; 3], f64) -> [f64; 3] = match attributes.photometric.as_str() {
        "RGB" => |rgb, _| rgb,
        // Subsampled chroma has been brought to the size of the picture.
        "YBR_FULL" | "YBR_FULL_422" => ybr_to_rgb,
        "YBR_ICT" | "YBR_RCT" if samples.is_rgb => |rgb, _| rgb,
        other => {
            let what = format!("photometric interpretation {other} in this encoding");
            return Err(unsupported(what, "export it as RGB or MONOCHROME2"));
        }
    };
    let (count, greatest) = (attributes.pixels(), attributes.greatest());
    let sample = move |pixel: usize, channel: usize| {
        let index = if samples.planar { channel * count + pixel } else { 3 * pixel + channel };
        let sample = samples.values.get(index).copied().unwrap_or(0);
        attributes.meant(sample) as f64
    };
    Ok((0..count)
        .map(move |pixel| to_rgb([0, 1, 2].map(|channel| sample(pixel, channel)), greatest)))
}

/// YBR_FULL to RGB, clamped (PS3.3, C.7.6.3.1.2, inverted).
fn ybr_to_rgb([y, blue, red]: [f64; 3], greatest: f64) -> [f64; 3] {
    let middle = (greatest + 1.0) / 2.0;
    let (blue, red) = (blue - middle, red - middle);
    [y + 1.402 * red, y - 0.344_136 * blue - 0.714_136 * red, y + 1.772 * blue]
        .map(|value| value.clamp(0.0, greatest))
}

fn palette<'a>(
    object: &InMemDicomObject,
    attributes: &'a Attributes,
    samples: &'a Samples,
    unit: bool,
) -> Result<impl Iterator<Item = [f64; 3]> + 'a, Fault> {
    if object.get(tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA).is_some() {
        return Err(unsupported("a segmented palette", "export it as RGB"));
    }
    let red = Table::read(
        object,
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    )?;
    let green = Table::read(
        object,
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    )?;
    let blue = Table::read(
        object,
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    )?;
    let tables = [&red, &green, &blue];
    let brightest = tables.iter().flat_map(|table| &table.values).copied().fold(0.0, f64::max);
    // Entries of 8 bits in the other half of their words, or with another number of bits than is stated,
    // would be black pictures or beyond white.
    let stated = red.greatest;
    if brightest > stated || (stated > 255.0 && brightest > 0.0 && brightest < 256.0) {
        let name = name(tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR);
        return Err(misstated(format!(
            "{name}: expected entries up to {stated}, as it says, found {brightest} at most"
        )));
    }
    let scale = if unit { 1.0 / stated } else { 1.0 };
    Ok(samples.values.iter().map(move |sample| {
        let index = attributes.meant(*sample);
        [&red, &green, &blue].map(|table| table.at(index) * scale)
    }))
}
