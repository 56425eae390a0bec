//! What the frames of an enhanced object say of their values, and what single files say by halves.

use ringfence_imaging::{Intensity, ReadOptions, decode};

use crate::make::{self, Dicom};

/// Two frames of two pixels, 10, 20 and 30, 40.
fn two() -> Dicom {
    let mut file = Dicom::new(make::EXPLICIT, 2, 1, (16, 12));
    file.text(0x0028, 0x0008, b"IS", "2").words(&[10, 20, 30, 40]);
    file
}

/// Functional groups with what these two attributes say: slope and intercept.
fn rescaled(slope: Option<&str>, intercept: Option<&str>) -> Dicom {
    let mut values = Dicom::item();
    if let Some(slope) = slope {
        values.text(0x0028, 0x1053, b"DS", slope);
    }
    if let Some(intercept) = intercept {
        values.text(0x0028, 0x1052, b"DS", intercept);
    }
    let mut groups = Dicom::item();
    groups.sequence(0x0028, 0x9145, &[values]);
    groups
}

fn stored(file: &Dicom) -> Result<Vec<f32>, String> {
    let options = ReadOptions { intensity: Intensity::Stored, ..ReadOptions::default() };
    let stack = decode(&file.bytes(), &options).map_err(|error| error.to_string())?;
    Ok(stack.planes.into_iter().flat_map(|plane| plane.values).collect())
}

#[test]
fn each_frame_is_rescaled_by_its_own_or_by_what_all_share() {
    let [one, other] = [("2", "-10"), ("3", "5")].map(|(s, i)| rescaled(Some(s), Some(i)));
    let mut file = two();
    file.sequence(0x5200, 0x9230, &[one.clone(), other]);
    assert_eq!(stored(&file).unwrap(), [10.0, 30.0, 95.0, 125.0]);
    let mut shared = two();
    shared.sequence(0x5200, 0x9229, &[one]);
    shared.sequence(0x5200, 0x9230, &[Dicom::item(), Dicom::item()]);
    assert_eq!(stored(&shared).unwrap(), [10.0, 30.0, 50.0, 70.0]);
}

#[test]
fn a_frame_without_the_rescaling_that_others_have_is_refused() {
    let whole = || rescaled(Some("2"), Some("-10"));
    let half = "half a rescaling: expected RescaleIntercept (0028,1052), found none";
    for (frames, expected) in [
        (vec![whole(), Dicom::item()], "frame 2 of 2: expected PixelValueTransformationSequence"),
        (vec![whole(), rescaled(Some("2"), None)], half),
        (vec![whole(), rescaled(None, None)], "expected RescaleSlope (0028,1053), found none"),
        (vec![whole()], "expected an item for each of 2 frames (NumberOfFrames), found 1"),
        (vec![whole(), whole(), whole()], "of 2 frames (NumberOfFrames), found 3"),
    ] {
        let error = stored(two().sequence(0x5200, 0x9230, &frames)).unwrap_err();
        assert!(error.contains(expected), "{error}, expected {expected}");
    }
}

#[test]
fn half_a_rescaling_is_refused_as_half_a_window_is() {
    for (element, lacking) in [(0x1053, "RescaleIntercept"), (0x1052, "RescaleSlope")] {
        let error = stored(two().text(0x0028, element, b"DS", "2")).unwrap_err();
        assert!(error.contains(&format!("half a rescaling: expected {lacking}")), "{error}");
    }
}

/// As many pixels, and not as many in a row.
#[test]
fn a_jpeg_ls_of_another_size_is_refused_with_both_sizes() {
    let samples: Vec<u16> = (0..768).collect();
    let mut stream = Vec::new();
    jpegls::encode(&samples, 32, 24, &mut stream).unwrap();
    let mut file = Dicom::new(make::JPEG_LS, 32, 24, (16, 12));
    assert_eq!(stored(file.fragments(&[stream.clone()])).unwrap().len(), 768);
    let mut file = Dicom::new(make::JPEG_LS, 64, 12, (16, 12));
    let error = stored(file.fragments(&[stream])).unwrap_err();
    let expected = "expected 64 x 12 pixels of 1 samples, found 32 x 24 of 1";
    assert!(error.contains(expected), "{error}");
}
