//! Files of `tests/cases`, each with its right value.

use std::path::PathBuf;

use ringfence_imaging::{Intensity, ReadOptions, read};

pub(crate) fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/cases", name].iter().collect()
}

/// The values of a NumPy array of bytes or 32-bit floats (NPY format, version 1).
pub(crate) fn expected(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(path(name)).unwrap();
    assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
    let (header, values) =
        bytes[10..].split_at(usize::from(u16::from_le_bytes([bytes[8], bytes[9]])));
    let header = std::str::from_utf8(header).unwrap();
    assert!(header.contains("'fortran_order': False"), "{header}");
    if header.contains("'|u1'") {
        return values.iter().map(|value| f32::from(*value)).collect();
    }
    assert!(header.contains("'<f4'"), "{header}");
    values.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

fn grey(name: &str, intensity: Intensity) -> Result<Vec<f32>, String> {
    let options = ReadOptions { intensity, ..ReadOptions::default() };
    let stack = read(&path(name), &options).map_err(|error| error.to_string())?;
    Ok(stack.planes.into_iter().flat_map(|plane| plane.values).collect())
}

fn largest_difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

#[test]
fn colour_of_case_1_is_what_the_attributes_say() {
    let expected = expected("01_dicom_jpeg_colour/expected_grey.npy");
    for name in ["dcm_rgb_jpegbase_app14_ids123.dcm", "dcm_ybrfull_lossless.dcm"] {
        let values = grey(&format!("01_dicom_jpeg_colour/{name}"), Intensity::Auto).unwrap();
        let difference = largest_difference(&values, &expected);
        assert!(difference <= 0.004, "{name}: {difference}");
    }
}

#[test]
fn numbers_of_case_2_are_read_or_refused_by_name() {
    let lung = Intensity::Window { center: -600.0, width: 1500.0 };
    let values = grey("02_dicom_decimal_comma/win_ds_plain.dcm", lung).unwrap();
    let expected = expected("02_dicom_decimal_comma/expected_grey_window_-600_1500.npy");
    assert!(largest_difference(&values, &expected) < 1e-6);
    let error = grey("02_dicom_decimal_comma/win_ds_comma.dcm", lung).unwrap_err();
    assert!(
        error.contains("RescaleIntercept (0028,1052)") && error.contains("`-1024,00`"),
        "{error}"
    );
    let error = grey("02_dicom_decimal_comma/dcm_wincomma.dcm", Intensity::Auto).unwrap_err();
    assert!(error.contains("WindowCenter (0028,1050)") && error.contains("`40,5`"), "{error}");
    // A window that is asked for takes the place of the file's.
    grey("02_dicom_decimal_comma/dcm_wincomma.dcm", lung).unwrap();
}

#[test]
fn checksums_of_case_3_are_compared() {
    for name in ["nii_gzcrc.nii.gz", "nii_gzcut.nii.gz"] {
        let name = format!("03_gzip_checksum/{name}");
        let error = grey(&name, Intensity::Auto).unwrap_err();
        assert!(error.contains("cannot be decoded as NIfTI: after its voxels"), "{error}");
    }
}

#[test]
fn pictures_of_case_8_stand_as_they_are_shown() {
    let mask = grey("08_exif/te_m.png", Intensity::Auto).unwrap();
    let picture = grey("08_exif/te.jpg", Intensity::Auto).unwrap();
    let inside = picture.iter().zip(&mask).filter(|(_, mask)| **mask > 0.5).map(|(grey, _)| grey);
    let (sum, count) = inside.fold((0.0, 0), |(sum, count), grey| (sum + grey, count + 1));
    let mean = sum / count as f32 * 255.0;
    assert!((mean - 230.0).abs() < 1.0, "{mean}");
    let picture = grey("08_exif/single_exif6.jpg", Intensity::Auto).unwrap();
    let quarter = |top: usize, left: usize| -> f32 {
        let place = |index: usize| (top + index / 24) * 48 + left + index % 24;
        (0..24 * 24).map(|index| picture[place(index)]).sum::<f32>() / 576.0 * 255.0
    };
    let quarters = [quarter(0, 0), quarter(0, 24), quarter(24, 0), quarter(24, 24)];
    for (found, expected) in quarters.iter().zip([76.39, 50.0, 16.67, 50.0]) {
        assert!((found - expected).abs() < 1.0, "{quarters:?}");
    }
}
