//! JPEG files whose scans end early, or of which some are missing: decoders fill them up in silence.

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, Rgb};
use ringfence_imaging::{ReadOptions, decode};

use crate::make::{self, Dicom};

fn read(bytes: &[u8]) -> Result<(), String> {
    decode(bytes, &ReadOptions::default()).map(drop).map_err(|error| error.to_string())
}

/// Where the coded data of the first scan start.
fn coded(jpeg: &[u8]) -> usize {
    let scan = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    scan + 2 + usize::from(u16::from_be_bytes([jpeg[scan + 2], jpeg[scan + 3]]))
}

/// The picture with only a part of its coded data, and an end marker.
fn cut(jpeg: &[u8], part: f64) -> Vec<u8> {
    let start = coded(jpeg);
    let mut kept = start + (part * (jpeg.len() - 2 - start) as f64) as usize;
    // Not within a byte that is stuffed.
    kept -= usize::from(jpeg[kept - 1] == 0xff);
    [&jpeg[..kept], &[0xff, 0xd9]].concat()
}

fn pictures() -> [Vec<u8>; 2] {
    let value = |x: u32, y: u32| (x * x * 3 + y * 41) as u8;
    let grey = ImageBuffer::from_fn(83, 61, |x, y| Luma([value(x, y)]));
    let colour = ImageBuffer::from_fn(83, 61, |x, y| Rgb([value(x, y), value(y, x), x as u8]));
    let grey = make::picture(&DynamicImage::from(grey), ImageFormat::Jpeg);
    [grey, make::picture(&DynamicImage::from(colour), ImageFormat::Jpeg)]
}

#[test]
fn a_scan_that_ends_early_is_refused_alone_and_in_dicom() {
    for (jpeg, samples) in pictures().iter().zip([1, 3]) {
        read(jpeg).unwrap();
        let dicom = |jpeg: Vec<u8>| {
            let mut file = Dicom::new(make::JPEG, 83, 61, (8, 8));
            if samples == 3 {
                file.word(0x0028, 0x0002, 3).text(0x0028, 0x0004, b"CS", "YBR_FULL_422");
            }
            read(&file.fragments(&[jpeg]).bytes())
        };
        dicom(jpeg.clone()).unwrap();
        for part in [0.0, 0.1, 0.5, 0.9, 0.99] {
            for error in [read(&cut(jpeg, part)), dicom(cut(jpeg, part))].map(Result::unwrap_err) {
                assert!(error.contains("expected a scan of"), "{part}: {error}");
            }
        }
    }
}

#[test]
fn a_lossless_scan_that_ends_early_is_refused() {
    let samples: Vec<u16> = (0..240).map(|index: u16| index * 173 % 4096).collect();
    let whole = make::jpeg_lossless(&samples, 20, 12);
    let dicom = |jpeg: Vec<u8>| {
        read(&Dicom::new(make::JPEG_LOSSLESS, 20, 12, (16, 12)).fragments(&[jpeg]).bytes())
    };
    dicom(whole.clone()).unwrap();
    for part in [0.0, 0.5, 0.98] {
        let error = dicom(cut(&whole, part)).unwrap_err();
        assert!(error.contains("expected a scan of 240 units"), "{error}");
    }
}

/// A segment: its marker, its length and what it holds.
fn segment(marker: u8, holds: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(holds.len() as u16 + 2).to_be_bytes(), holds].concat()
}

/// A grey picture of two blocks with these scans: each a header's last three bytes and its data. A DC
/// size is 0 (code 0) or 2 (10), an AC symbol the end of a block (0), or a 1 at once (10).
fn two_blocks(frame: u8, restarts: u8, scans: &[([u8; 3], &[u8])]) -> Vec<u8> {
    let codes = |kind: u8, symbols: [u8; 2]| {
        segment(0xc4, &[&[kind, 1, 1][..], &[0; 14], &symbols].concat())
    };
    let quantized = segment(0xdb, &[&[0][..], &[8; 64]].concat());
    let frame = segment(frame, &[8, 0, 8, 0, 16, 1, 1, 0x11, 0]);
    let interval = segment(0xdd, &[0, restarts]);
    let mut file = [vec![0xff, 0xd8], quantized, frame, codes(0, [0, 2]), codes(0x10, [0, 1])];
    file[4].extend(interval);
    let scan = |([first, last, bits], data): &([u8; 3], &[u8])| {
        [segment(0xda, &[1, 1, 0, *first, *last, *bits]), data.to_vec()].concat()
    };
    let scans: Vec<u8> = scans.iter().flat_map(scan).collect();
    [file.concat(), scans, vec![0xff, 0xd9]].concat()
}

#[test]
fn the_scans_of_a_progressive_picture_tell_all_of_it() {
    let scans: [([u8; 3], &[u8]); 4] = [
        // DC but its last bit: 10 11, 10 11.
        ([0, 0, 0x01], &[0b1011_1011]),
        // Its last bit: 1, 0.
        ([0, 0, 0x10], &[0b1011_1111]),
        // AC but its last bit: 10 1 and 0; 0.
        ([1, 63, 0x01], &[0b1010_0111]),
        // Its last bit: 0 and 1 for the one that is filled; 10 0 and 0.
        ([1, 63, 0x10], &[0b0110_0011]),
    ];
    let whole = two_blocks(0xc2, 0, &scans);
    read(&whole).unwrap();
    for missing in 0..4 {
        let mut fewer = scans.to_vec();
        fewer.remove(missing);
        let error = read(&two_blocks(0xc2, 0, &fewer)).unwrap_err();
        let expected = if missing % 2 == 0 { "that go on from one another" } else { "last bit" };
        assert!(error.contains(expected), "without scan {missing}: {error}");
        let mut emptied = scans.to_vec();
        emptied[missing].1 = &[];
        let error = read(&two_blocks(0xc2, 0, &emptied)).unwrap_err();
        assert!(error.contains("scan of 2 units, found one"), "scan {missing} empty: {error}");
    }
    // The rest may be missing altogether: only DC.
    let error = read(&two_blocks(0xc2, 0, &scans[..2])).unwrap_err();
    assert!(error.contains("found too few for component 1"), "{error}");
}

#[test]
fn restarts_follow_one_another() {
    // Each block is a DC of 0 and nothing else.
    let of = |data: &[u8]| read(&two_blocks(0xc0, 1, &[([0, 63, 0], data)]));
    of(&[0b0011_1111, 0xff, 0xd0, 0b0011_1111]).unwrap();
    for data in [&[0b0011_1111][..], &[0b0011_1111, 0xff, 0xd1, 0b0011_1111], &[0b0000_1111]] {
        assert!(of(data).unwrap_err().contains("ends after 1;"), "{data:?}");
    }
}

/// A progressive frame of many components would have a word for each block of each of them.
#[test]
fn more_components_than_a_picture_has_are_refused() {
    let [grey, _] = pictures();
    let frame = grey.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let after = frame + 2 + usize::from(u16::from_be_bytes([grey[frame + 2], grey[frame + 3]]));
    for components in [5u8, 255] {
        let mut head = vec![0xff, 0xc2];
        head.extend((8 + 3 * u16::from(components)).to_be_bytes());
        head.extend(&grey[frame + 4..frame + 9]);
        head.push(components);
        (0..components).for_each(|name| head.extend([name, 0x11, 0]));
        let error = read(&[&grey[..frame], &head, &grey[after..]].concat()).unwrap_err();
        assert!(error.contains("its frame cannot be read"), "{components}: {error}");
    }
}
