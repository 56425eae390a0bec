//! Image and mask are held together by where they lie in the patient.

use std::path::PathBuf;

use ringfence_imaging::{Axis, Limits, MaskOptions, ReadOptions, SliceOptions, read, read_mask};
use tempfile::TempDir;

use crate::make::{self, Nifti};

const SHAPE: [usize; 3] = [3, 4, 5];
const SIDES: [f32; 3] = [0.7, 0.8, 2.5];

/// What is drawn into a voxel of the image, by its indices.
fn inside(voxel: [usize; 3]) -> bool {
    (voxel[0] + 2 * voxel[1] + 5 * voxel[2]) % 7 < 3
}

/// Rows of a rotation by quarters of a turn about two axes: no stored axis lies along one of the
/// patient's.
fn rotation(first: f32, second: f32) -> [[f32; 3]; 3] {
    let ((a, b), (c, d)) = (first.sin_cos(), second.sin_cos());
    [[b, -a * d, a * c], [a, b * d, -b * c], [0.0, c, d]]
}

/// A file whose stored axis `j` is the axis `order[j]` of the image, reversed where `flips[j]`. Its
/// voxels are 1 where the image is inside.
fn stored(rotation: [[f32; 3]; 3], order: [usize; 3], flips: [bool; 3], shift: [f32; 3]) -> Nifti {
    let shape = order.map(|axis| SHAPE[axis]);
    let voxel = |index: usize| {
        let own = [index % shape[0], index / shape[0] % shape[1], index / shape[0] / shape[1]];
        let mut voxel = [0; 3];
        for axis in 0..3 {
            let flipped = if flips[axis] { shape[axis] - 1 - own[axis] } else { own[axis] };
            voxel[order[axis]] = flipped;
        }
        voxel
    };
    let dims = shape.map(|side| side as u16);
    let mut file = Nifti::counting(&dims, (2, 8), false, |index| u8::from(inside(voxel(index))));
    let mut rows = [[0.0; 3]; 3];
    for (row, (cosines, shift)) in rotation.iter().zip(shift).enumerate() {
        file.offset[row] = shift + 10.0 * row as f32;
        for axis in 0..3 {
            let step = cosines[order[axis]] * SIDES[order[axis]];
            rows[row][axis] = if flips[axis] { -step } else { step };
            if flips[axis] {
                file.offset[row] += step * (shape[axis] - 1) as f32;
            }
        }
    }
    file.rows = Some(rows);
    file
}

struct Pair {
    folder: TempDir,
}

impl Pair {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, file: &Nifti) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, file.bytes()).unwrap();
        path
    }

    fn masked(&self, image: &Nifti, mask: &Nifti, axis: Axis) -> Result<Vec<Vec<f32>>, String> {
        let slices = SliceOptions { axis: Some(axis), ..SliceOptions::default() };
        let image = self.write("image.nii", image);
        let image = read(&image, &ReadOptions { slices, ..ReadOptions::default() }).unwrap();
        let mask = self.write("mask.nii", mask);
        let found = read_mask(&mask, &image, axis, &MaskOptions::default(), Limits::default());
        found.map(|mask| mask.planes).map_err(|error| error.to_string())
    }
}

const AS_STORED: ([usize; 3], [bool; 3]) = ([0, 1, 2], [false; 3]);

#[test]
fn each_order_and_direction_of_axes_gives_the_same_mask() {
    let pair = Pair::new();
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let quarter = std::f32::consts::FRAC_PI_4;
    for (first, second) in [(0.0, 0.0), (0.3, 0.2), (quarter, quarter), (2.0, 1.0)] {
        let rotation = rotation(first, second);
        let (order, flips) = AS_STORED;
        let image = stored(rotation, order, flips, [0.0; 3]);
        for axis in [Axis::Axial, Axis::Coronal, Axis::Sagittal] {
            // The mask as an image of its own, cut alike, is what is expected.
            let expected = pair.masked(&image, &image, axis).unwrap();
            let slices = SliceOptions { axis: Some(axis), ..SliceOptions::default() };
            let own = pair.write("own.nii", &image);
            let own = read(&own, &ReadOptions { slices, ..ReadOptions::default() }).unwrap();
            for (plane, expected) in own.planes.iter().zip(&expected) {
                assert_eq!(&plane.values, expected);
            }
            for order in orders {
                for flips in 0..8 {
                    let flips = [0, 1, 2].map(|bit| flips >> bit & 1 == 1);
                    let mask = stored(rotation, order, flips, [0.0; 3]);
                    let found = pair.masked(&image, &mask, axis);
                    assert_eq!(
                        found.as_ref(),
                        Ok(&expected),
                        "{first} {axis:?} {order:?} {flips:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_lies_elsewhere_is_refused_with_both_places() {
    let pair = Pair::new();
    let (order, flips) = AS_STORED;
    let rotation = rotation(0.3, 0.2);
    let image = stored(rotation, order, flips, [0.0; 3]);
    let masked = |mask: &Nifti| pair.masked(&image, mask, Axis::Axial);
    // A tenth of the shorter side of a pixel is 0.07 mm.
    masked(&stored(rotation, order, flips, [0.05, 0.0, 0.0])).unwrap();
    for shift in [[0.1, 0.0, 0.0], [0.0, 0.35, 0.0], [0.0, 0.0, 2.5], [50.0, 0.0, 0.0]] {
        let error = masked(&stored(rotation, order, flips, shift)).unwrap_err();
        assert!(
            error.contains("expected a mask of pixels that lie where the image's do"),
            "{error}"
        );
        assert_eq!(error.matches("5 slices of 3 x 4 pixels from (").count(), 2, "{error}");
    }
    let turned = stored(self::rotation(0.4, 0.2), order, flips, [0.0; 3]);
    masked(&turned).unwrap_err();
    let mut coarser = stored(rotation, order, flips, [0.0; 3]);
    coarser.rows = coarser.rows.map(|rows| rows.map(|row| row.map(|value| value * 1.1)));
    masked(&coarser).unwrap_err();
    let fewer = Nifti { dims: vec![3, 4, 4], ..stored(rotation, order, flips, [0.0; 3]) };
    masked(&fewer).unwrap_err();
}

#[test]
fn headers_that_say_nothing_are_no_place() {
    let pair = Pair::new();
    let (order, flips) = AS_STORED;
    let placed = || stored(rotation(0.0, 0.0), order, flips, [0.0; 3]);
    let nothing = [
        Nifti { rows: None, ..placed() },
        Nifti { rows: Some([[0.0; 3]; 3]), offset: [0.0; 3], ..placed() },
        Nifti { rows: Some([[f32::NAN; 3]; 3]), ..placed() },
        Nifti { rows: Some([[1.0; 3]; 3]), ..placed() },
    ];
    for file in &nothing {
        for other in &nothing {
            pair.masked(file, other, Axis::Axial).unwrap();
        }
        let error = pair.masked(&placed(), file, Axis::Axial).unwrap_err();
        assert!(error.contains("found that only the image does"), "{error}");
        let error = pair.masked(file, &placed(), Axis::Axial).unwrap_err();
        assert!(error.contains("found that only the mask does"), "{error}");
    }
}

/// A picture says nothing of where it lies, and a NIfTI file is turned as its header says, or as is
/// usual where it says nothing.
#[test]
fn a_mask_in_nifti_lies_on_a_picture_only_as_it_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let [picture, radiograph, path] =
        ["a.png", "a.dcm", "m.nii"].map(|name| folder.path().join(name));
    image::GrayImage::from_pixel(3, 2, image::Luma([9])).save(&picture).unwrap();
    let mut plain = make::Dicom::new(make::EXPLICIT, 3, 2, (8, 8));
    std::fs::write(&radiograph, plain.octets(&[9; 6]).bytes()).unwrap();
    let drawn = |index: usize| u8::from(index == 1 || index == 3);
    let mut mask = Nifti::counting(&[3, 2, 1], (2, 8), false, drawn);
    let mut on = |image: &std::path::Path, rows: Option<[[f32; 3]; 3]>| {
        mask.rows = rows;
        std::fs::write(&path, mask.bytes()).unwrap();
        crate::masks::masked(image, &path, &MaskOptions::default())
    };
    let along = |x: f32, y: f32| Some([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0]]);
    // As programs that read pictures write it: to the patient's left, and to the back.
    assert_eq!(on(&picture, along(-1.0, -1.0)).unwrap(), [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    for rows in [along(1.0, 1.0), along(-1.0, 1.0), along(1.0, -1.0), None] {
        for image in [&picture, &radiograph] {
            let error = on(image, rows).unwrap_err();
            assert!(error.contains("a NIfTI file whose header turns them"), "{error}");
            assert!(
                error.ends_with("save the mask as PNG, with the pixels as the image shows them")
            );
        }
    }
    // A radiograph has no place that a header could repeat.
    let error = on(&radiograph, along(-1.0, -1.0)).unwrap_err();
    let advice =
        "found that only the mask does; save the mask as PNG, with the pixels as the image";
    assert!(error.contains(advice), "{error}");
}

/// What helps depends on which of the two is what.
#[test]
fn the_advice_on_a_mask_without_the_place_of_its_image_fits_both() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (order, flips) = AS_STORED;
    let place = || stored(rotation(0.0, 0.0), order, flips, [0.0; 3]);
    let nowhere = Nifti { rows: None, ..place() };
    std::fs::write(at("placed.nii"), place().bytes()).unwrap();
    std::fs::write(at("nowhere.nii"), nowhere.bytes()).unwrap();
    let mut frames = make::Dicom::new(make::EXPLICIT, 3, 4, (8, 8));
    frames.text(0x0028, 0x0008, b"IS", "5").octets(&[0; 60]);
    std::fs::write(at("frames.dcm"), frames.bytes()).unwrap();
    let mut slice = make::Dicom::new(make::EXPLICIT, 3, 4, (8, 8));
    slice.octets(&[0; 12]).decimals(0x0020, 0x0032, &[0.0; 3]).decimals(0x0028, 0x0030, &[1.0; 2]);
    slice.decimals(0x0020, 0x0037, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    std::fs::write(at("slice.dcm"), slice.bytes()).unwrap();
    for (image, mask, advice) in [
        ("placed.nii", "nowhere.nii", "save the mask with the header of its image"),
        ("nowhere.nii", "placed.nii", "save the mask with the header of its image"),
        ("placed.nii", "frames.dcm", "save the mask as NIfTI with the header of its image"),
        ("nowhere.nii", "slice.dcm", "save the mask as NIfTI with the header of its image"),
        ("slice.dcm", "nowhere.nii", "save the mask with the place of its image in its header"),
        ("frames.dcm", "placed.nii", "save the mask of each slice as PNG"),
    ] {
        let error = crate::masks::masked(&at(image), &at(mask), &MaskOptions::default());
        let error = error.unwrap_err();
        assert!(error.contains(&format!("; {advice}")), "{image}, {mask}: {error}");
    }
}
