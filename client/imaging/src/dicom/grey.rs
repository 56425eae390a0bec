//! Stored values to modality values to grey (PS3.3, C.11.1 and C.11.2).

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::attributes::{self, Attributes};
use super::colour::Table;
use super::fault::misstated;
use super::functional;
use super::samples::Samples;
use super::value::{name, number, several, text};
use crate::error::Fault;
use crate::intensity::to_unit;
use crate::options::Intensity;

/// The values of a frame in the modality's units: by a lookup table, or by slope and intercept.
/// Padding is no number if `hide_padding`.
pub(super) fn modality(
    object: &InMemDicomObject,
    attributes: &Attributes,
    frame: usize,
    samples: &Samples,
    hide_padding: bool,
) -> Result<Vec<f32>, Fault> {
    let (slope, intercept) = rescale(object, frame)?;
    let table = table(object, (slope, intercept))?;
    let value = |stored: &i64| {
        let sample = attributes.meant(*stored);
        if hide_padding && attributes.is_padding(*stored) {
            f32::NAN
        } else if let Some(table) = &table {
            table.at(sample) as f32
        } else {
            (sample as f64 * slope + intercept) as f32
        }
    };
    Ok(samples.values.iter().map(value).collect())
}

/// The modality lookup table. There is one, or a rescaling, and not both (PS3.3, C.11.1).
fn table(object: &InMemDicomObject, rescale: (f64, f64)) -> Result<Option<Table>, Fault> {
    let sequence = tags::MODALITY_LUT_SEQUENCE;
    let one = match (attributes::items(object, sequence), rescale) {
        ([], _) => return Ok(None),
        ([one], (1.0, 0.0)) => one,
        ([_], (slope, intercept)) => {
            let name = name(sequence);
            return Err(misstated(format!(
                "{name}: expected a table or a rescaling, found both (slope {slope}, intercept {intercept})"
            )));
        }
        (tables, _) => {
            let (name, found) = (name(sequence), tables.len());
            return Err(misstated(format!("{name}: expected one item, found {found}")));
        }
    };
    Table::read(one, tags::LUT_DESCRIPTOR, tags::LUT_DATA).map(Some)
}

/// Slope and intercept of a frame; 1 and 0 where it has none. Of two one alone says half.
pub(super) fn rescale(object: &InMemDicomObject, frame: usize) -> Result<(f64, f64), Fault> {
    let sequence = tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE;
    let group = attributes::group(object, frame, sequence);
    let [slope, intercept] = [tags::RESCALE_SLOPE, tags::RESCALE_INTERCEPT];
    match (number(group, slope)?, number(group, intercept)?) {
        (Some(0.0), _) => {
            let name = name(slope);
            Err(misstated(format!("{name}: expected a number other than 0, found 0")))
        }
        (Some(slope), Some(intercept)) => Ok((slope, intercept)),
        (None, None) if std::ptr::eq(group, object) => Ok((1.0, 0.0)),
        (found, _) => {
            let lacking = if found.is_none() { slope } else { intercept };
            Err(misstated(format!("half a rescaling: expected {}, found none", name(lacking))))
        }
    }
}

/// The whole range of a frame of at most 8 unsigned bits that mean nothing else.
fn full_scale(
    object: &InMemDicomObject,
    attributes: &Attributes,
    frame: usize,
) -> Result<Option<(f64, f64)>, Fault> {
    let plain = attributes.bits_stored <= 8
        && !attributes.signed
        && rescale(object, frame)? == (1.0, 0.0)
        && object.get(tags::MODALITY_LUT_SEQUENCE).is_none();
    Ok(plain.then(|| (0.0, attributes.greatest())))
}

/// How values become shades.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shades {
    /// From one value to another.
    Range(f64, f64),
    /// The VOI LUT function LINEAR, which leaves out half a unit at either end.
    Linear(f64, f64),
    /// The VOI LUT function SIGMOID.
    Sigmoid(f64, f64),
}

/// A frame's first window; `None` where it has none. All of its windows have to be whole, since the
/// first may have been meant for another one. A VOI lookup table is not applied.
fn stored_window(object: &InMemDicomObject, frame: usize) -> Result<Option<Shades>, Fault> {
    functional::check_window(object, frame)?;
    let group = attributes::group(object, frame, tags::FRAME_VOILUT_SEQUENCE);
    let centers = several(group, tags::WINDOW_CENTER)?;
    let widths = several(group, tags::WINDOW_WIDTH)?;
    if let (Some(centers), Some(widths)) = (&centers, &widths)
        && centers.len() != widths.len()
    {
        let [center, width] = [tags::WINDOW_CENTER, tags::WINDOW_WIDTH].map(name);
        let (centers, widths) = (centers.len(), widths.len());
        return Err(misstated(format!(
            "expected as many {center} as {width}, found {centers} and {widths}"
        )));
    }
    let first = |numbers: Option<Vec<f64>>| numbers.and_then(|all| all.first().copied());
    let (center, width) = match (first(centers), first(widths)) {
        (Some(center), Some(width)) => (center, width),
        (None, None) => return Ok(None),
        (center, _) => {
            let lacking = if center.is_none() { tags::WINDOW_CENTER } else { tags::WINDOW_WIDTH };
            return Err(misstated(format!(
                "half a window: expected {}, found none",
                name(lacking)
            )));
        }
    };
    let refuse = |expected: &str| {
        let name = name(tags::WINDOW_WIDTH);
        Err(misstated(format!("{name}: expected a width {expected}, found {width}")))
    };
    let function = text(group, tags::VOILUT_FUNCTION)?;
    match function.as_deref().unwrap_or("LINEAR") {
        "LINEAR" if width < 1.0 => refuse("of at least 1"),
        "LINEAR" => Ok(Some(Shades::Linear(center, width))),
        "SIGMOID" | "LINEAR_EXACT" if width <= 0.0 => refuse("above 0"),
        "SIGMOID" => Ok(Some(Shades::Sigmoid(center, width))),
        "LINEAR_EXACT" => Ok(Some(Shades::Range(center - width / 2.0, center + width / 2.0))),
        other => Err(misstated(format!(
            "{}: expected LINEAR, LINEAR_EXACT or SIGMOID, found {other}",
            name(tags::VOILUT_FUNCTION)
        ))),
    }
}

impl Shades {
    /// Of one frame; `found` is the range of the file where it was looked for.
    pub(super) fn of(
        object: &InMemDicomObject,
        attributes: &Attributes,
        frame: usize,
        intensity: Intensity,
        found: Option<(f64, f64)>,
    ) -> Result<Self, Fault> {
        if let Intensity::Window { center, width } = intensity {
            return Ok(Self::Range(center - width / 2.0, center + width / 2.0));
        }
        if intensity == Intensity::Auto
            && let Some(own) = Self::own(object, attributes, frame)?
        {
            return Ok(own);
        }
        let (low, high) = found.unwrap_or_default();
        Ok(Self::Range(low, high))
    }

    /// What a frame says of itself: its window, else the range of its bits where they have one.
    pub(super) fn own(
        object: &InMemDicomObject,
        attributes: &Attributes,
        frame: usize,
    ) -> Result<Option<Self>, Fault> {
        if let Some(window) = stored_window(object, frame)? {
            return Ok(Some(window));
        }
        let bits = full_scale(object, attributes, frame)?;
        Ok(bits.map(|(low, high)| Self::Range(low, high)))
    }

    /// What becomes black and what becomes white; of a sigmoid, which has no ends, its width.
    pub(super) fn range(self) -> (f64, f64) {
        match self {
            Self::Range(low, high) => (low, high),
            Self::Linear(center, width) => {
                let half = (width - 1.0) / 2.0;
                (center - 0.5 - half, center - 0.5 + half)
            }
            Self::Sigmoid(center, width) => (center - width / 2.0, center + width / 2.0),
        }
    }

    /// In words, in the units of the file.
    pub(super) fn said(self) -> String {
        match self {
            Self::Range(low, high) => format!("{low} to {high}"),
            Self::Linear(center, width) => format!("center {center} and width {width}"),
            Self::Sigmoid(center, width) => format!("center {center} and width {width} (SIGMOID)"),
        }
    }

    /// Brings values to `[0, 1]`, exchanged if `inverted`. What is no number becomes 0.
    pub(super) fn apply(self, values: &mut [f32], inverted: bool) {
        let padded: Vec<usize> = if inverted {
            (0..values.len())
                .filter(|index| values.get(*index).is_some_and(|v| v.is_nan()))
                .collect()
        } else {
            Vec::new()
        };
        match self {
            Self::Range(..) | Self::Linear(..) => {
                let (low, high) = self.range();
                // A linear window of width 1 is a step at `center - 0.5`.
                if let (Self::Linear(..), true) = (self, low >= high) {
                    values.iter_mut().for_each(|value| {
                        *value = f32::from(f64::from(*value) > low);
                    });
                } else {
                    to_unit(values, low, high);
                }
            }
            Self::Sigmoid(center, width) => values.iter_mut().for_each(|value| {
                let shade = 1.0 / (1.0 + (-4.0 * (f64::from(*value) - center) / width).exp());
                *value = if shade.is_nan() { 0.0 } else { shade as f32 };
            }),
        }
        if inverted {
            values.iter_mut().for_each(|value| *value = 1.0 - *value);
            for index in padded {
                if let Some(value) = values.get_mut(index) {
                    *value = 0.0;
                }
            }
        }
    }
}
