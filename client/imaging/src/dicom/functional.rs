//! The functional groups of an enhanced object: what its frames say, each for itself or all alike
//! (PS3.3, C.7.6.16).

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::attributes::{item, items};
use super::fault::damaged;
use super::value::name;
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

/// Checks that there is an item for each frame, and that no frame lacks what others have and none
/// shares.
///
/// # Errors
/// [`Fault::Damaged`] with the attribute and the frame, counted from 1.
pub(super) fn check(object: &InMemDicomObject, frames: usize) -> Result<(), Fault> {
    let tag = tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE;
    if object.get(tag).is_none() {
        return Ok(());
    }
    let groups = items(object, tag);
    if groups.len() != frames {
        let (name, found) = (name(tag), groups.len());
        return Err(damaged(format!(
            "{name}: expected an item for each of {frames} frames (NumberOfFrames), found {found}"
        )));
    }
    let shared = item(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0);
    for sequence in OF_ALL {
        let has = |groups: &InMemDicomObject| item(groups, sequence, 0).is_some();
        if shared.is_some_and(has) || !groups.iter().any(has) {
            continue;
        }
        if let Some(frame) = groups.iter().position(|groups| !has(groups)) {
            let (number, name) = (frame + 1, name(sequence));
            return Err(damaged(format!(
                "frame {number} of {frames}: expected {name}, as other frames have, found none"
            )));
        }
    }
    Ok(())
}
