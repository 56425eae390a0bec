//! DICOM segmentations on their images: by place, by reference, by order.

use std::path::PathBuf;

use ringfence_imaging::{MaskOptions, ReadOptions};
use tempfile::TempDir;

use crate::make::{self, Dicom};
use crate::masks::{labels, masked};

const SPACE: &str = "1.2.3";

/// Three frames of 2 x 2 pixels, 5 mm apart, from `first` on, with their own positions.
fn image(folder: &TempDir) -> PathBuf {
    let mut file = Dicom::new(make::EXPLICIT, 2, 2, (8, 8));
    file.text(0x0028, 0x0008, b"IS", "3").octets(&[7; 12]);
    file.text(0x0008, 0x0018, b"UI", "9.1").text(0x0020, 0x0052, b"UI", SPACE);
    let frames = [0.0, 5.0, 10.0].map(|height| frame(height, &[]));
    shared(&mut file).sequence(0x5200, 0x9230, &frames);
    write(folder, "image.dcm", &file)
}

/// A segmentation of two frames, with everything that such files say.
pub(crate) fn sample() -> Dicom {
    let mut file = segmentation(&[frame(10.0, &[1]), frame(0.0, &[2])], &[0b0001, 0b0010]);
    named(shared(&mut file), &[(1, "liver"), (2, "tumour")]);
    file
}

fn write(folder: &TempDir, name: &str, file: &Dicom) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, file.bytes()).unwrap();
    path
}

/// Orientation and spacing of all frames.
fn shared(file: &mut Dicom) -> &mut Dicom {
    let mut orientation = Dicom::item();
    orientation.decimals(0x0020, 0x0037, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let mut measures = Dicom::item();
    measures.decimals(0x0028, 0x0030, &[0.5, 0.5]);
    let mut groups = Dicom::item();
    groups.sequence(0x0020, 0x9116, &[orientation]).sequence(0x0028, 0x9110, &[measures]);
    file.sequence(0x5200, 0x9229, &[groups])
}

/// The functional groups of a frame: its position, and a segment where there is one.
fn frame(height: f64, segment: &[u16]) -> Dicom {
    let mut position = Dicom::item();
    position.decimals(0x0020, 0x0032, &[1.0, 2.0, height]);
    let mut groups = Dicom::item();
    groups.sequence(0x0020, 0x9113, &[position]);
    if let [number] = segment {
        let mut identification = Dicom::item();
        identification.word(0x0062, 0x000b, *number);
        groups.sequence(0x0062, 0x000a, &[identification]);
    }
    groups
}

/// The functional groups of a frame that was drawn on a frame of an image, and where it lies.
fn drawn_on(uid: &str, number: &str, height: Option<f64>) -> Dicom {
    let mut source = Dicom::item();
    source.text(0x0008, 0x1155, b"UI", uid).text(0x0008, 0x1160, b"IS", number);
    let mut derivation = Dicom::item();
    derivation.sequence(0x0008, 0x2112, &[source]);
    let mut groups = height.map_or_else(Dicom::item, |height| frame(height, &[]));
    groups.sequence(0x0008, 0x9124, &[derivation]);
    groups
}

/// A binary segmentation, a bit a pixel: `bits` holds four for each frame.
fn segmentation(frames: &[Dicom], bits: &[u8]) -> Dicom {
    let mut file = Dicom::new(make::EXPLICIT, 2, 2, (1, 1));
    file.text(0x0028, 0x0008, b"IS", &frames.len().to_string());
    file.text(0x0062, 0x0001, b"CS", "BINARY").text(0x0020, 0x0052, b"UI", SPACE);
    let mut bytes: Vec<u8> =
        bits.chunks(2).map(|pair| pair[0] | pair.get(1).unwrap_or(&0) << 4).collect();
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    file.octets(&bytes).sequence(0x5200, 0x9230, frames);
    file
}

fn named(file: &mut Dicom, segments: &[(u16, &str)]) {
    let segments: Vec<Dicom> = segments
        .iter()
        .map(|(number, label)| {
            let mut segment = Dicom::item();
            segment.word(0x0062, 0x0004, *number).text(0x0062, 0x0005, b"LO", label);
            segment
        })
        .collect();
    file.sequence(0x0062, 0x0002, &segments);
}

const NONE: [f32; 4] = [0.0; 4];
const FIRST: [f32; 4] = [1.0, 0.0, 0.0, 0.0];
const SECOND: [f32; 4] = [0.0, 1.0, 0.0, 0.0];

#[test]
fn frames_are_found_by_place_in_any_order_and_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(&folder);
    let read = |file: &Dicom, options: &MaskOptions| {
        masked(&image, &write(&folder, "mask.dcm", file), options)
    };
    let none = MaskOptions::default();
    let mut file = segmentation(&[frame(10.0, &[1]), frame(0.0, &[1])], &[0b0001, 0b0010]);
    assert!(read(&file, &none).is_err(), "it has no orientation");
    shared(&mut file);
    assert_eq!(read(&file, &none).unwrap(), [SECOND, NONE, FIRST].concat());
    // Elsewhere: between the slices, in another frame of reference, shifted within the plane.
    let mut between = segmentation(&[frame(2.5, &[1])], &[1]);
    let error = read(shared(&mut between), &none).unwrap_err();
    assert!(error.contains("from (1, 2, 2.5) mm to (1, 2, 2.5) mm"), "{error}");
    file.text(0x0020, 0x0052, b"UI", "1.2.4");
    let error = read(&file, &none).unwrap_err();
    assert!(error.contains("frame of reference 1.2.3") && error.contains("1.2.4"), "{error}");
}

#[test]
fn one_slice_of_a_volume_takes_its_frame_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = segmentation(&[frame(0.0, &[1]), frame(5.0, &[1])], &[1, 2]);
    let mask = write(&folder, "mask.dcm", shared(&mut file));
    let slice = |left: f64, height: f64| {
        let mut slice = Dicom::new(make::EXPLICIT, 2, 2, (8, 8));
        slice.octets(&[7; 4]).text(0x0020, 0x0052, b"UI", SPACE);
        slice.decimals(0x0020, 0x0032, &[left, 2.0, height]).decimals(0x0028, 0x0030, &[0.5, 0.5]);
        slice.decimals(0x0020, 0x0037, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let path = write(&folder, "slice.dcm", &slice);
        masked(&path, &mask, &MaskOptions::default())
    };
    assert_eq!(slice(1.0, 5.0).unwrap(), SECOND);
    assert_eq!(slice(1.0, 40.0).unwrap(), NONE);
    assert!(slice(1.5, 5.0).unwrap_err().contains("where the image's do"));
}

#[test]
fn segments_are_chosen_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(&folder);
    let frames = [frame(0.0, &[1]), frame(0.0, &[2]), frame(5.0, &[2])];
    let mut file = segmentation(&frames, &[1, 2, 1]);
    named(shared(&mut file), &[(1, "liver"), (2, "tumour"), (3, "vessel")]);
    let mask = write(&folder, "mask.dcm", &file);
    let read = |options: &MaskOptions| masked(&image, &mask, options);
    let error = read(&MaskOptions::default()).unwrap_err();
    assert!(error.contains("the segments 1 (liver), 2 (tumour), 3 (vessel)"), "{error}");
    assert_eq!(read(&labels(&[1])).unwrap(), [FIRST, NONE, NONE].concat());
    assert_eq!(read(&labels(&[2])).unwrap(), [SECOND, FIRST, NONE].concat());
    assert_eq!(read(&labels(&[1, 2])).unwrap(), [[1.0, 1.0, 0.0, 0.0], FIRST, NONE].concat());
    let error = read(&labels(&[4])).unwrap_err();
    assert!(error.contains("a segment 4"), "{error}");
    // It is no image: a model would make a mask of it.
    let error = ringfence_imaging::read(&mask, &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("it is a segmentation, which is read as a mask"), "{error}");
}

#[test]
fn without_places_references_count_and_then_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut plain = Dicom::new(make::EXPLICIT, 2, 2, (8, 8));
    plain.text(0x0028, 0x0008, b"IS", "2").octets(&[7; 8]).text(0x0008, 0x0018, b"UI", "9.1");
    let image = write(&folder, "image.dcm", &plain);
    let on = |uid: &str, number: &str| drawn_on(uid, number, None);
    let read = |frames: &[Dicom], bits: &[u8]| {
        let mask = write(&folder, "mask.dcm", &segmentation(frames, bits));
        masked(&image, &mask, &MaskOptions::default())
    };
    assert_eq!(read(&[on("9.1", "2"), on("9.1", "1")], &[1, 2]).unwrap(), [SECOND, FIRST].concat());
    assert_eq!(read(&[on("9.1", "2")], &[1]).unwrap(), [NONE, FIRST].concat());
    let error = read(&[on("9.9", "2")], &[1]).unwrap_err();
    assert!(error.contains("no reference to its instance 9.1"), "{error}");
    let bare = || Dicom::item();
    assert_eq!(read(&[bare(), bare()], &[1, 2]).unwrap(), [FIRST, SECOND].concat());
    let error = read(&[bare(), bare(), bare()], &[1, 2, 4]).unwrap_err();
    assert!(error.contains("2 slices like its image, found 3"), "{error}");
}

/// They may run from the head where the image runs from the feet.
#[test]
fn frames_without_a_place_are_refused_on_an_image_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let placed = image(&folder);
    let series = folder.path().join("series");
    std::fs::create_dir(&series).unwrap();
    for height in [0.0, 5.0, 10.0] {
        let mut slice = Dicom::new(make::EXPLICIT, 2, 2, (8, 8));
        slice.octets(&[7; 4]).decimals(0x0020, 0x0032, &[1.0, 2.0, height]);
        slice.decimals(0x0028, 0x0030, &[0.5, 0.5]);
        slice.decimals(0x0020, 0x0037, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        std::fs::write(series.join(format!("{height}.dcm")), slice.bytes()).unwrap();
    }
    let mut picture = Dicom::new(make::EXPLICIT, 2, 2, (8, 8));
    picture.text(0x0028, 0x0008, b"IS", "3").octets(&[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let bare = || Dicom::item();
    let frames = segmentation(&[bare(), bare(), bare()], &[1, 2, 0]);
    let mut lying = segmentation(&[0.0, 5.0, 10.0].map(|height| frame(height, &[1])), &[1, 2, 0]);
    shared(&mut lying);
    let mut plain = Dicom::new(make::EXPLICIT, 2, 2, (8, 8));
    let plain = plain.text(0x0028, 0x0008, b"IS", "3").octets(&[7; 12]);
    let plain = write(&folder, "plain.dcm", plain);
    let read = |image: &PathBuf, mask: &Dicom| {
        masked(image, &write(&folder, "mask.dcm", mask), &MaskOptions::default())
    };
    for mask in [&picture, &frames] {
        assert_eq!(read(&plain, mask).unwrap(), [FIRST, SECOND, NONE].concat());
        for image in [&placed, &series] {
            let error = read(image, mask).unwrap_err();
            assert!(error.contains("places of the image only, not of the mask"), "{error}");
        }
    }
    for image in [&placed, &series] {
        assert_eq!(read(image, &lying).unwrap(), [FIRST, SECOND, NONE].concat());
    }
    let error = read(&plain, &lying).unwrap_err();
    assert!(error.contains("places of the mask only, not of the image"), "{error}");
}

/// Nobody can tell which of the two is meant, also where they are alike.
#[test]
fn two_frames_of_one_segment_at_one_place_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(&folder);
    let frames = [frame(0.0, &[1]), frame(5.0, &[1]), frame(5.0, &[1])];
    for bits in [[1, 2, 1], [1, 2, 2]] {
        let mut file = segmentation(&frames, &bits);
        let mask = write(&folder, "mask.dcm", shared(&mut file));
        let error = masked(&image, &mask, &MaskOptions::default()).unwrap_err();
        assert!(error.contains("found frames 2 and 3 of segment 1 at one place"), "{error}");
    }
    // Without places, by the image that both were drawn on.
    let frames = [drawn_on("9.1", "2", None), drawn_on("9.1", "2", None)];
    let mask = write(&folder, "mask.dcm", &segmentation(&frames, &[1, 2]));
    let error = masked(&image, &mask, &MaskOptions::default()).unwrap_err();
    assert!(error.contains("found frames 1 and 2 of segment 1 at one place"), "{error}");
}

#[test]
fn frames_that_lie_elsewhere_than_on_what_they_were_drawn_on_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(&folder);
    let read = |frames: &[Dicom], bits: &[u8]| {
        let mut file = segmentation(frames, bits);
        masked(&image, &write(&folder, "mask.dcm", shared(&mut file)), &MaskOptions::default())
    };
    let on = |uid: &str, number: &str, height: f64| drawn_on(uid, number, Some(height));
    let fit = [on("9.1", "1", 0.0), on("9.1", "3", 10.0)];
    assert_eq!(read(&fit, &[1, 2]).unwrap(), [FIRST, NONE, SECOND].concat());
    // Of several sources one is enough, and sources of another image say nothing of this one.
    assert_eq!(read(&[on("9.1", "2\\1", 0.0)], &[1]).unwrap(), [FIRST, NONE, NONE].concat());
    assert_eq!(read(&[on("8.8", "2", 0.0)], &[1]).unwrap(), [FIRST, NONE, NONE].concat());
    let swapped = [on("9.1", "3", 0.0), on("9.1", "1", 10.0)];
    let error = read(&swapped, &[1, 2]).unwrap_err();
    assert!(error.contains("frame 1, drawn on 9.1, frame 3 and lying on 9.1, frame 1"), "{error}");
    for number in ["0", "1.5", "-1"] {
        let error = read(&[on("9.1", number, 0.0)], &[1]).unwrap_err();
        assert!(error.contains("ReferencedFrameNumber (0008,1160): expected frames"), "{error}");
    }
}

/// What frames of an enhanced object lack, others do not lend them.
#[test]
fn frames_without_what_others_have_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(&folder);
    let read = |frames: &[Dicom], stated: &str| {
        let mut file = segmentation(frames, &[1, 2]);
        file.text(0x0028, 0x0008, b"IS", stated);
        masked(&image, &write(&folder, "mask.dcm", shared(&mut file)), &MaskOptions::default())
    };
    let error = read(&[frame(0.0, &[1]), frame(5.0, &[])], "2").unwrap_err();
    assert!(error.contains("frame 2 of 2: expected SegmentIdentificationSequence"), "{error}");
    let error = read(&[drawn_on("9.1", "1", None), frame(5.0, &[1])], "2").unwrap_err();
    assert!(error.contains("frame 1 of 2: expected"), "{error}");
    let error = read(&[frame(0.0, &[1])], "2").unwrap_err();
    assert!(error.contains("expected an item for each of 2 frames (NumberOfFrames)"), "{error}");
}

#[test]
fn fractions_count_from_half_of_their_maximum() {
    let folder = tempfile::tempdir().unwrap();
    let mut plain = Dicom::new(make::EXPLICIT, 2, 2, (8, 8));
    let image = write(&folder, "image.dcm", plain.octets(&[7; 4]));
    let mut file = Dicom::new(make::EXPLICIT, 2, 2, (8, 8));
    file.text(0x0062, 0x0001, b"CS", "FRACTIONAL").octets(&[49, 50, 99, 100]);
    let mut read = |most: Option<u16>| {
        if let Some(most) = most {
            file.word(0x0062, 0x000e, most);
        }
        masked(&image, &write(&folder, "mask.dcm", &file), &MaskOptions::default())
    };
    assert!(read(None).unwrap_err().contains("MaximumFractionalValue (0062,000E)"));
    assert_eq!(read(Some(100)).unwrap(), [0.0, 1.0, 1.0, 1.0]);
    assert_eq!(read(Some(198)).unwrap(), [0.0, 0.0, 1.0, 1.0]);
    // Its half says nothing where fractions go beyond the maximum.
    for (most, found) in [(99, 100), (1, 49)] {
        let error = read(Some(most)).unwrap_err();
        let reason = format!(
            "MaximumFractionalValue (0062,000E) is {most}: expected fractions from 0 to {most} in \
             its pixels, found {found}"
        );
        assert!(error.contains(&reason), "{error}");
    }
}
