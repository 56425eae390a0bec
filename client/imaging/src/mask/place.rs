//! Brings a mask to the slices and pixels of its image.

use std::collections::BTreeMap;

use super::drawn::{Drawn, Part, Source};
use crate::error::Fault;
use crate::format::Format;
use crate::geometry::{Geometry, Turn, Vector, dot, length, minus, scale};
use crate::stack::{Plane, Stack};

/// The mask of each plane of the image. Its values are 0 and 1.
pub(super) fn on(image: &Stack, mask: Drawn) -> Result<Vec<Vec<f32>>, Fault> {
    match (&image.geometry, &mask.geometry) {
        (Some(there), Some(here)) => by_geometry(image, there, &mask, here),
        (there, _) => {
            one_space(image, there.is_some(), &mask)?;
            same_size(image, &mask)?;
            let known = |plane: &Plane| plane.instance.is_some();
            if !mask.covered.is_empty() && image.planes.iter().all(known) {
                by_reference(image, &mask)
            } else {
                one_order(image, there.is_some(), &mask)?;
                by_order(image, &mask)
            }
        }
    }
}

/// NIfTI volumes are turned by where they lie. If one of two says so and the other does not, nobody
/// knows how the other is to be turned.
fn one_space(image: &Stack, there: bool, mask: &Drawn) -> Result<(), Fault> {
    if mask.format == Format::Nifti && image.info.format != Format::Nifti && !there && mask.turned {
        let expected = "rows and columns that run as its image's, which does not say where it lies";
        let found = "a NIfTI file whose header turns them".to_string();
        return Err(Fault::mask(expected, found, without_place(image)));
    }
    let here = mask.geometry.is_some();
    let formats = [image.info.format, mask.format];
    let volumes = formats.iter().all(|format| matches!(format, Format::Nifti | Format::Dicom));
    if there == here || !volumes || !formats.contains(&Format::Nifti) {
        return Ok(());
    }
    let expected = "the same kind: both or neither say where they lie in the patient";
    let found = format!("that only the {} does", if there { "image" } else { "mask" });
    let advice = match (image.info.format, there) {
        (Format::Nifti, _) if mask.format == Format::Nifti => {
            "save the mask with the header of its image"
        }
        (Format::Nifti, _) => "save the mask as NIfTI with the header of its image",
        (_, true) => {
            "save the mask with the place of its image in its header (sform), as a converter of DICOM to NIfTI writes it"
        }
        (_, false) => without_place(image),
    };
    Err(Fault::mask(expected, found, advice))
}

/// What to do about a mask in NIfTI of an image that has no place in the patient, and never gets one: a
/// radiograph, a photograph.
fn without_place(image: &Stack) -> &'static str {
    if image.info.slices == 1 {
        "save the mask as PNG, with the pixels as the image shows them"
    } else {
        "save the mask of each slice as PNG, with the pixels as the image shows them, and name one in each slice's line"
    }
}

/// The slices of a series are ordered by where they lie. Frames of a mask without a place may run
/// against them, as frames with one may against an image without.
fn one_order(image: &Stack, there: bool, mask: &Drawn) -> Result<(), Fault> {
    let dicom = [image.info.format, mask.format] == [Format::Dicom; 2];
    if !dicom || mask.slices.len() < 2 || there == mask.geometry.is_some() {
        return Ok(());
    }
    let expected =
        "frames that say where they lie in the patient, as those of its image do, or neither";
    let (one, other) = if there { ("image", "mask") } else { ("mask", "image") };
    let found = format!("places of the {one} only, not of the {other}");
    let advice = "export both with position, orientation and spacing of every frame, or the mask as a segmentation that names the slices it was drawn on";
    Err(Fault::mask(expected, found, advice))
}

fn same_size(image: &Stack, mask: &Drawn) -> Result<(), Fault> {
    if (image.width, image.height) == (mask.width, mask.height) {
        return Ok(());
    }
    let expected = format!("{} x {} pixels like its image", image.width, image.height);
    let found = format!("{} x {}", mask.width, mask.height);
    Err(Fault::mask(expected, found, "draw it on the image as it is shown"))
}

/// As many slices as the image, in the same order, or the mask of one slice.
fn by_order(image: &Stack, mask: &Drawn) -> Result<Vec<Vec<f32>>, Fault> {
    let (expected, found) = (image.info.slices, mask.slices.len());
    if let ([slice], [_]) = (&mask.slices[..], &image.planes[..]) {
        return Ok(vec![slice.clone()]);
    }
    if expected != found {
        return Err(Fault::mask(
            format!("{expected} slices like its image"),
            found.to_string(),
            "name one slice in the column `slice`, or the mask of the volume",
        ));
    }
    let slice = |plane: &Plane| mask.slices.get(plane.index).cloned();
    Ok(image.planes.iter().filter_map(slice).collect())
}

/// By the images that a segmentation's frames were drawn on.
fn by_reference(image: &Stack, mask: &Drawn) -> Result<Vec<Vec<f32>>, Fault> {
    let on = |plane: &Plane| -> Result<Option<Vec<f32>>, Fault> {
        let names = |frame: &usize| mask.sources.get(*frame).is_some_and(|of| names(of, plane));
        let drawn: Vec<usize> = (0..mask.slices.len()).filter(names).collect();
        let found = union(mask, &drawn, Turn::default())?;
        let covers = |uid| mask.covered.contains(uid).then(|| vec![0.0; mask.width * mask.height]);
        Ok(found.or_else(|| plane.instance.as_ref().and_then(covers)))
    };
    let missing = |plane: &Plane| {
        let uid = plane.instance.clone().unwrap_or_default();
        let found = format!("no reference to its instance {uid}");
        Fault::mask("a segmentation of this image", found, "name the one that was drawn on it")
    };
    image.planes.iter().map(|plane| on(plane)?.ok_or_else(|| missing(plane))).collect()
}

/// Whether a plane is one of these sources.
fn names(sources: &[Source], plane: &Plane) -> bool {
    let is_plane = |(uid, frame): &Source| {
        plane.instance.as_ref() == Some(uid) && frame.is_none_or(|frame| frame == plane.frame + 1)
    };
    sources.iter().any(is_plane)
}

/// The slices of a segmentation on one slice of its image, turned: one of each segment that is
/// chosen. `None` where there is none.
///
/// # Errors
/// [`Fault::Mask`] for two of one segment, which nobody can tell apart.
fn union(mask: &Drawn, slices: &[usize], turn: Turn) -> Result<Option<Vec<f32>>, Fault> {
    let mut known = BTreeMap::new();
    for Part { frame, segment } in slices.iter().filter_map(|slice| mask.parts.get(*slice)) {
        if let Some(first) = known.insert(segment, frame) {
            let of = segment.map_or_else(String::new, |segment| format!(" of segment {segment}"));
            let found = format!("frames {} and {}{of} at one place", first + 1, frame + 1);
            let advice = "export it again with one frame for each segment and slice";
            return Err(Fault::mask("one frame of a segment at each place", found, advice));
        }
    }
    let values = slices.iter().filter_map(|slice| mask.slices.get(*slice));
    let turned = values.map(|values| turn.apply(values, mask.width, mask.height));
    Ok(turned.reduce(|mut all, slice| {
        all.iter_mut().zip(slice).for_each(|(all, value)| *all = all.max(value));
        all
    }))
}

/// Refuses a slice of a segmentation that lies on one slice of the image and says that it was drawn
/// on another. Sources that are no slices of this image say nothing: it may be a copy with other
/// UIDs, or another image of the patient.
fn drawn_here(image: &Stack, mask: &Drawn, slice: usize, plane: &Plane) -> Result<(), Fault> {
    let sources = mask.sources.get(slice).map(Vec::as_slice).unwrap_or_default();
    if sources.is_empty() || names(sources, plane) {
        return Ok(());
    }
    let is_covered = plane.instance.as_ref().is_some_and(|uid| mask.covered.contains(uid));
    if !is_covered && !image.planes.iter().any(|other| names(sources, other)) {
        return Ok(());
    }
    let said = |uid: &str, frame: Option<usize>| match frame {
        Some(frame) => format!("{uid}, frame {frame}"),
        None => uid.to_string(),
    };
    let drawn = sources.first().map(|(uid, frame)| said(uid, *frame)).unwrap_or_default();
    let number = mask.parts.get(slice).map_or(slice, |part| part.frame) + 1;
    let here = said(plane.instance.as_deref().unwrap_or_default(), Some(plane.frame + 1));
    Err(Fault::mask(
        "frames that lie where the images do on which they were drawn",
        format!("frame {number}, drawn on {drawn} and lying on {here}"),
        "export it again: its positions and its references contradict each other",
    ))
}

fn by_geometry(
    image: &Stack,
    there: &Geometry,
    mask: &Drawn,
    here: &Geometry,
) -> Result<Vec<Vec<f32>>, Fault> {
    let refuse = || {
        Fault::mask(
            format!("pixels that lie where the image's do: {there}"),
            here.to_string(),
            "resample the mask to its image, to a tenth of a pixel",
        )
    };
    if let (Some(one), Some(other)) = (&there.frame_of_reference, &here.frame_of_reference)
        && one != other
    {
        return Err(refuse());
    }
    let turn = there.turn_of(here).ok_or_else(refuse)?;
    let turned = here.turned(turn);
    let near = |one: Vector, other: Vector| length(minus(one, other)) <= there.tolerance();
    let part = there.origins.len() == 1;
    // A slice may be the only one that is read of its volume. A volume has all of its mask's slices.
    let lies_on_image = |origin: &Vector| there.origins.iter().any(|slice| near(*slice, *origin));
    if !part && !turned.origins.iter().all(lies_on_image) {
        return Err(refuse());
    }
    let normal = there.normal();
    let beside = |origin: Vector, slice: Vector| {
        let apart = minus(slice, origin);
        length(minus(apart, scale(normal, dot(apart, normal)))) <= there.tolerance()
    };
    let on = |plane: &Plane| {
        let origin = *there.origins.get(plane.index).ok_or_else(refuse)?;
        let places = turned.origins.iter().enumerate();
        let drawn = places.filter(|(_, slice)| near(origin, **slice));
        let drawn: Vec<usize> = drawn.map(|(slice, _)| slice).collect();
        if mask.sparse {
            for slice in &drawn {
                drawn_here(image, mask, *slice, plane)?;
            }
            let found = union(mask, &drawn, turn)?;
            let empty = || {
                let beside = turned.origins.iter().all(|slice| beside(origin, *slice));
                beside.then(|| vec![0.0; mask.width * mask.height])
            };
            return found.or_else(empty).ok_or_else(refuse);
        }
        match drawn.as_slice() {
            [slice] => {
                let values = mask.slices.get(*slice).ok_or_else(refuse)?;
                Ok(turn.apply(values, mask.width, mask.height))
            }
            _ => Err(refuse()),
        }
    };
    image.planes.iter().map(on).collect()
}
