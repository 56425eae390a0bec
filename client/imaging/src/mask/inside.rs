//! Which values of a mask are inside.

use super::drawn::{Drawn, Meaning};
use crate::error::Fault;

/// How many levels a refusal names.
const NAMED: usize = 6;

/// How far a label may lie off after a slope and an intercept.
const ROUNDING: f32 = 1e-3;

/// Below a quarter of white JPEG's values are dark, and from three quarters on bright.
const DARK: f32 = 64.0;
const BRIGHT: f32 = 192.0;

/// A mask of ones and zeros.
pub(super) struct Decided {
    pub(super) drawn: Drawn,
    /// The label that a mask of two levels has beside 0.
    pub(super) only_label: Option<u32>,
    /// The values of a mask in which no label chosen stands.
    pub(super) without_chosen: Option<String>,
}

/// Makes every value 1 or 0.
///
/// Labels that are chosen are inside. Otherwise a mask has two levels, of which 0 is outside and the
/// other inside, or a single one. Values from 0 to 1 that are not all whole are shares of a pixel,
/// inside where they are at least one half.
pub(super) fn decide(mut drawn: Drawn, labels: &[u32]) -> Result<Decided, Fault> {
    match drawn.meaning {
        Meaning::Chosen => {
            return Ok(Decided { drawn, only_label: None, without_chosen: None });
        }
        Meaning::Blurred if !labels.is_empty() => {
            let found = "JPEG, which changes values".to_string();
            return Err(Fault::mask("labels as they were drawn", found, "save the mask as PNG"));
        }
        Meaning::Indices(reason) if labels.is_empty() => {
            let advice = "choose the values that are inside by --mask-label";
            return Err(Fault::mask("0 outside and one other value inside", reason.into(), advice));
        }
        Meaning::Blurred | Meaning::Levels | Meaning::Indices(_) => {}
    }
    let mut values = drawn.slices.iter().flatten();
    if values.any(|value| !value.is_finite()) {
        let found = "values that are no numbers".to_string();
        return Err(Fault::mask("numbers", found, "write 0 outside and 1 inside"));
    }
    let (is_inside, only_label) = if !labels.is_empty() {
        (Inside::Labels(labels.iter().map(|label| *label as f32).collect()), None)
    } else if drawn.meaning == Meaning::Blurred {
        (Inside::From(128.0), None)
    } else {
        by_levels(&drawn)?
    };
    let holds_none = !drawn.slices.iter().flatten().any(|value| is_inside.holds(*value));
    let without_chosen =
        (!labels.is_empty() && holds_none).then(|| named(&levels(&drawn.slices)) + drawn.counted);
    for value in drawn.slices.iter_mut().flatten() {
        *value = f32::from(is_inside.holds(*value));
    }
    Ok(Decided { drawn, only_label, without_chosen })
}

enum Inside {
    Labels(Vec<f32>),
    /// A level as it is stored, if any is inside.
    Only(Option<f32>),
    From(f32),
}

impl Inside {
    fn holds(&self, value: f32) -> bool {
        match self {
            Self::Labels(labels) => labels.iter().any(|label| (value - label).abs() < ROUNDING),
            Self::Only(level) => Some(value) == *level,
            Self::From(level) => value >= *level,
        }
    }
}

/// What is inside of a mask of exact values, and its only label beside 0.
///
/// Values count as they are stored. Where the file rescales them, either reading may say which of two
/// levels is 0; if both do, they must say the same. Shares of a pixel are read where nothing is
/// rescaled only: three labels at a slope of one half would be shares, too.
fn by_levels(drawn: &Drawn) -> Result<(Inside, Option<u32>), Fault> {
    let levels = levels(&drawn.slices);
    let stored = inside_of_two(&levels);
    let rescaled = drawn.rescale.and_then(|(slope, intercept)| {
        let rescaled: Vec<f32> =
            levels.iter().map(|level| (f64::from(*level) * slope + intercept) as f32).collect();
        inside_of_two(&rescaled)
    });
    match (stored, rescaled) {
        (Some(one), Some(other)) if one != other => {}
        (Some(which), _) => return Ok(which.of(&levels)),
        // What is inside has no label of its own but the one that the file gives it.
        (None, Some(which)) => return Ok((which.of(&levels).0, None)),
        (None, None) if drawn.rescale.is_none() => {
            let mut values = drawn.slices.iter().flatten();
            if values.all(|value| (0.0..=1.0).contains(value)) {
                return Ok((Inside::From(0.5), None));
            }
        }
        (None, None) => {}
    }
    let mut found = named(&levels) + drawn.counted;
    if let Some((slope, intercept)) = drawn.rescale {
        found += &format!(", stored with a slope of {slope} and an intercept of {intercept}");
    }
    Err(Fault::mask("0 outside and one other value inside", found, advice(&levels)))
}

/// Which of at most two levels are inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    None,
    First,
    Second,
}

impl Which {
    fn of(self, levels: &[f32]) -> (Inside, Option<u32>) {
        let level = match self {
            Self::None => None,
            Self::First => levels.first(),
            Self::Second => levels.get(1),
        };
        (Inside::Only(level.copied()), level.copied().and_then(label))
    }
}

/// Of a single level, 0 is outside and more inside; of two levels one is 0.
fn inside_of_two(levels: &[f32]) -> Option<Which> {
    let is_zero = |level: f32, other: f32| level.abs() <= ROUNDING * other.abs();
    match *levels {
        [0.0] => Some(Which::None),
        [level] if level > 0.0 => Some(Which::First),
        [first, second] if is_zero(first, second) && second > 0.0 => Some(Which::Second),
        [first, second] if is_zero(second, first) && first > 0.0 => Some(Which::First),
        _ => None,
    }
}

/// What to do about levels of which nobody can tell what they mean.
fn advice(levels: &[f32]) -> &'static str {
    let are_labels = levels.iter().all(|level| *level == 0.0 || label(*level).is_some());
    match (are_labels, levels.len() > NAMED) {
        (true, false) => "choose those that are inside by --mask-label",
        (true, true) => {
            "choose those that are inside by --mask-label; soft edges are cut at one half first and saved as 0 and 1"
        }
        (false, _) => "save it with 0 outside and 1 inside",
    }
}

/// The different values in ascending order, or the first of them where there are more than a refusal
/// names.
fn levels(slices: &[Vec<f32>]) -> Vec<f32> {
    let mut levels = Vec::new();
    for value in slices.iter().flatten() {
        if !levels.contains(value) {
            levels.push(*value);
        }
        if levels.len() > NAMED {
            break;
        }
    }
    levels.sort_by(f32::total_cmp);
    levels
}

fn named(levels: &[f32]) -> String {
    let named: Vec<String> = levels.iter().take(NAMED).map(f32::to_string).collect();
    let more = if levels.len() > NAMED { " and more" } else { "" };
    let value = if levels.len() == 1 { "value" } else { "values" };
    format!("the {value} {}{more}", named.join(", "))
}

/// A level as a label: a whole number above 0.
fn label(level: f32) -> Option<u32> {
    let whole = level.round();
    let labels = 1.0..u32::MAX as f32;
    let is_label = labels.contains(&whole) && (level - whole).abs() < ROUNDING;
    is_label.then_some(whole as u32)
}

/// Checks that a mask that went through JPEG had two levels, black and white.
///
/// JPEG blurs within its blocks, 8 x 8 for grey and up to 16 x 16 for colour: a block with values
/// between dark and bright held both, and one without an edge keeps its level. Down to a quality of
/// 50 no block of the masks tried was otherwise. Masks of 0 and 1 are refused: JPEG does not keep so
/// small a step.
pub(crate) fn check_blurred(values: &[f32], width: usize, block: usize) -> Result<(), Fault> {
    let refuse = |found: String| {
        let expected = "black and white, blurred by JPEG near edges only";
        Err(Fault::mask(expected, found, "save the mask as PNG"))
    };
    let brightest = values.iter().copied().fold(0.0, f32::max);
    if brightest > 0.0 && brightest < BRIGHT {
        return refuse(format!("nothing brighter than {brightest} of 255"));
    }
    let height = values.len() / width.max(1);
    for top in (0..height).step_by(block) {
        for left in (0..width).step_by(block) {
            let (mut dark, mut between, mut bright) = (false, None, false);
            for row in values.chunks(width).skip(top).take(block) {
                for value in row.iter().skip(left).take(block) {
                    match value {
                        ..DARK => dark = true,
                        ..BRIGHT => between = Some(value),
                        _ => bright = true,
                    }
                }
            }
            if let (Some(value), false) = (between, dark && bright) {
                let place = format!("by column {left} and row {top}");
                return refuse(format!("{value} of 255 away from an edge, {place}"));
            }
        }
    }
    Ok(())
}
