//! The functional groups of an enhanced object: what its frames say, each for itself or all alike
//! (PS3.3, C.7.6.16).

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::attributes::{item, items};
use super::fault::misstated;
use super::value::{name, split};
use crate::error::Fault;

/// What all frames have or none: where one lacks it, nobody knows what it was to have. Windows are
/// compared when they are used, since one may be given for all.
const OF_ALL: [Tag; 5] = [
    tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
    tags::SEGMENT_IDENTIFICATION_SEQUENCE,
    tags::PLANE_POSITION_SEQUENCE,
    tags::PLANE_ORIENTATION_SEQUENCE,
    tags::PIXEL_MEASURES_SEQUENCE,
];

/// What is looked for in the group of a frame, in that which all frames share, and in the object
/// itself: the groups, and the attributes that are read of them.
const STATED: [(Tag, &[Tag]); 5] = [
    (tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, &[tags::RESCALE_SLOPE, tags::RESCALE_INTERCEPT]),
    (tags::SEGMENT_IDENTIFICATION_SEQUENCE, &[tags::REFERENCED_SEGMENT_NUMBER]),
    (tags::PLANE_POSITION_SEQUENCE, &[tags::IMAGE_POSITION_PATIENT]),
    (tags::PLANE_ORIENTATION_SEQUENCE, &[tags::IMAGE_ORIENTATION_PATIENT]),
    (tags::PIXEL_MEASURES_SEQUENCE, &[tags::PIXEL_SPACING]),
];

/// As above, of a window, which is looked at when it is used.
const WINDOW: [Tag; 3] = [tags::WINDOW_CENTER, tags::WINDOW_WIDTH, tags::VOILUT_FUNCTION];

/// Checks that a frame's window is said once, or alike: one that is given counts instead of it.
///
/// # Errors
/// As [`check`].
pub(super) fn check_window(object: &InMemDicomObject, frame: usize) -> Result<(), Fault> {
    said_alike(object, frame, tags::FRAME_VOILUT_SEQUENCE, &WINDOW)
}

/// Checks that there is an item for each frame, that no frame lacks what others have and none
/// shares, and that nothing is said twice and differently.
///
/// # Errors
/// [`Fault::Value`] with the attribute and the frame, counted from 1.
pub(super) fn check(object: &InMemDicomObject, frames: usize) -> Result<(), Fault> {
    let [tag, shared] =
        [tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE];
    if object.get(tag).is_none() {
        return match object.get(shared) {
            Some(_) => said_once(object, 0),
            None => Ok(()),
        };
    }
    let groups = items(object, tag);
    if groups.len() != frames {
        let (name, found) = (name(tag), groups.len());
        return Err(misstated(format!(
            "{name}: expected an item for each of {frames} frames (NumberOfFrames), found {found}"
        )));
    }
    let shared = item(object, shared, 0);
    for sequence in OF_ALL {
        let has = |groups: &InMemDicomObject| item(groups, sequence, 0).is_some();
        if shared.is_some_and(has) || !groups.iter().any(has) {
            continue;
        }
        if let Some(frame) = groups.iter().position(|groups| !has(groups)) {
            let (number, name) = (frame + 1, name(sequence));
            return Err(misstated(format!(
                "frame {number} of {frames}: expected {name}, as other frames have, found none"
            )));
        }
    }
    (0..frames).try_for_each(|frame| said_once(object, frame))
}

/// Who states something, and in which item where there are several.
#[derive(Clone, Copy)]
struct Speaker {
    level: Level,
    item: Option<usize>,
}

#[derive(Clone, Copy)]
enum Level {
    /// Counted from 0.
    Frame(usize),
    Shared,
    Object,
}

impl Speaker {
    fn said(self, sequence: Tag) -> String {
        let level = match self.level {
            Level::Frame(frame) => format!("frame {}", frame + 1),
            Level::Shared => "what all frames share".to_owned(),
            Level::Object => "the file's own attribute".to_owned(),
        };
        match self.item {
            Some(item) => format!("{level} (item {} of {})", item + 1, name(sequence)),
            None => level,
        }
    }
}

/// Refuses statements of one thing that differ: an attribute stands for all frames, for each, or in
/// the object itself, and once there (PS3.3, C.7.6.16). Which of several counts nobody knows.
fn said_once(object: &InMemDicomObject, frame: usize) -> Result<(), Fault> {
    STATED
        .iter()
        .try_for_each(|(sequence, attributes)| said_alike(object, frame, *sequence, attributes))
}

/// As [`said_once`], of one group.
fn said_alike(
    object: &InMemDicomObject,
    frame: usize,
    sequence: Tag,
    attributes: &[Tag],
) -> Result<(), Fault> {
    let mut first = None;
    for (speaker, holder) in speakers(object, frame, sequence) {
        let values = attributes.iter().map(|tag| split(holder, *tag));
        let mut values = values.collect::<Result<Vec<_>, Fault>>()?;
        if values.iter().all(Option::is_none) {
            continue;
        }
        for (tag, value) in attributes.iter().zip(&mut values) {
            // What a window means that does not say it (PS3.3, C.11.2.1.3).
            if *tag == tags::VOILUT_FUNCTION {
                value.get_or_insert_with(|| vec!["LINEAR".to_owned()]);
            }
        }
        let (one, expected) = first.get_or_insert_with(|| (speaker, values.clone()));
        for (tag, (expected, found)) in attributes.iter().zip(expected.iter().zip(&values)) {
            if !alike(expected.as_deref(), found.as_deref()) {
                let of = |value: &Option<Vec<String>>, speaker: Speaker| {
                    let value = value.as_ref().map(|value| value.join("\\"));
                    let value = value.unwrap_or_else(|| "none".to_owned());
                    format!("{value} by {}", speaker.said(sequence))
                };
                return Err(misstated(format!(
                    "{}: expected one statement, found {} and {}",
                    name(*tag),
                    of(expected, *one),
                    of(found, speaker)
                )));
            }
        }
    }
    Ok(())
}

/// All that may say what a group says, the innermost first.
fn speakers(
    object: &InMemDicomObject,
    frame: usize,
    sequence: Tag,
) -> Vec<(Speaker, &InMemDicomObject)> {
    let own = item(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frame);
    let shared = items(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).iter();
    let levels = own.into_iter().map(|groups| (Level::Frame(frame), groups));
    let mut speakers = Vec::new();
    for (level, groups) in levels.chain(shared.map(|groups| (Level::Shared, groups))) {
        let items = items(groups, sequence);
        let number = |index| (items.len() > 1).then_some(index);
        let numbered = items.iter().enumerate();
        speakers.extend(numbered.map(|(at, item)| (Speaker { level, item: number(at) }, item)));
    }
    speakers.push((Speaker { level: Level::Object, item: None }, object));
    speakers
}

/// Whether two statements are one: as numbers where they are numbers.
fn alike(one: Option<&[String]>, other: Option<&[String]>) -> bool {
    let same = |(one, other): (&String, &String)| {
        one == other
            || matches!((one.parse::<f64>(), other.parse::<f64>()), (Ok(one), Ok(other)) if one == other)
    };
    match (one, other) {
        (Some(one), Some(other)) => one.len() == other.len() && one.iter().zip(other).all(same),
        (one, other) => one == other,
    }
}
