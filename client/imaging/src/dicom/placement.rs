//! Where frames lie in the patient (PS3.3, C.7.6.2 and C.7.6.16.2).

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::attributes::{Attributes, group, items};
use super::fault::misstated;
use super::value::{name, numbers, text};
use crate::error::Fault;
use crate::geometry::{Geometry, Turn, Vector, cross, dot, length, scale};

/// Where the frames of a file lie, or `None` where it does not say or they run differently.
/// Directions and spacings of zero say nothing.
pub(super) fn of_file(
    object: &InMemDicomObject,
    attributes: &Attributes,
) -> Result<Option<Geometry>, Fault> {
    let frames = items(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    if attributes.frames > 1 && frames.len() != attributes.frames {
        return Ok(None);
    }
    let places = (0..attributes.frames).map(|frame| of_frame(object, attributes, frame));
    Ok(joined(places.collect::<Result<Vec<_>, _>>()?.into_iter()))
}

fn of_frame(
    object: &InMemDicomObject,
    attributes: &Attributes,
    frame: usize,
) -> Result<Option<Geometry>, Fault> {
    let position = group(object, frame, tags::PLANE_POSITION_SEQUENCE);
    let orientation = group(object, frame, tags::PLANE_ORIENTATION_SEQUENCE);
    let measures = group(object, frame, tags::PIXEL_MEASURES_SEQUENCE);
    let (Some(origin), Some(cosines), Some([between_rows, between_columns])) = (
        numbers::<3>(position, tags::IMAGE_POSITION_PATIENT)?,
        numbers::<6>(orientation, tags::IMAGE_ORIENTATION_PATIENT)?,
        numbers::<2>(measures, tags::PIXEL_SPACING)?,
    ) else {
        return Ok(None);
    };
    let [a, b, c, x, y, z] = cosines;
    let (across, down): (Vector, Vector) = ([a, b, c], [x, y, z]);
    if length(cross(across, down)) < 1e-6 || between_rows == 0.0 || between_columns == 0.0 {
        return Ok(None);
    }
    let crooked = |cosine: Vector| (length(cosine) - 1.0).abs() > 1e-2;
    if crooked(across) || crooked(down) || dot(across, down).abs() > 1e-2 {
        let name = name(tags::IMAGE_ORIENTATION_PATIENT);
        let what = "expected two directions of length 1 at right angles, found";
        return Err(misstated(format!("{name}: {what} {cosines:?}")));
    }
    if between_rows < 0.0 || between_columns < 0.0 {
        let (name, found) = (name(tags::PIXEL_SPACING), [between_rows, between_columns]);
        return Err(misstated(format!("{name}: expected two lengths, found {found:?}")));
    }
    Ok(Some(Geometry {
        width: attributes.columns,
        height: attributes.rows,
        across: scale(across, between_columns),
        down: scale(down, between_rows),
        origins: vec![origin],
        frame_of_reference: text(object, tags::FRAME_OF_REFERENCE_UID)?,
    }))
}

/// Slices that lie side by side as one; `None` if one has no place, or they run differently.
pub(super) fn joined(slices: impl Iterator<Item = Option<Geometry>>) -> Option<Geometry> {
    let mut slices = slices;
    let mut joined = slices.next()??;
    for slice in slices {
        let slice = slice?;
        // A series has been compared to the tolerance; its first slice stands for all.
        let turn = joined.turn_of(&slice).filter(|turn| *turn == Turn::default());
        if turn.is_none() || slice.frame_of_reference != joined.frame_of_reference {
            return None;
        }
        joined.origins.extend(slice.origins);
    }
    Some(joined)
}
