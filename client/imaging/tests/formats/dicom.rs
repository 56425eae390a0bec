//! DICOM: encodings, codecs, values, frames.

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma};
use ringfence_imaging::{
    Fault, Intensity, Limits, ReadOptions, Scale, SliceOptions, Slices, Stack, decode,
};

use crate::jpeg_2000::JPEG_2000;
use crate::make::{self, Dicom};

const STORED: Intensity = Intensity::Stored;

fn read(file: &Dicom, intensity: Intensity) -> Stack {
    decode(&file.bytes(), &ReadOptions { intensity, ..ReadOptions::default() }).unwrap()
}

fn values(file: &Dicom, intensity: Intensity) -> Vec<f32> {
    read(file, intensity).planes[0].values.clone()
}

fn refused(bytes: &[u8]) -> Fault {
    decode(bytes, &ReadOptions::default()).unwrap_err()
}

/// 12-bit samples of a 6 x 4 picture.
fn samples() -> Vec<u16> {
    (0..24).map(|index: u16| index * 173 % 4096).collect()
}

fn expected() -> Vec<f32> {
    samples().into_iter().map(f32::from).collect()
}

#[test]
fn plain_encodings_read_alike() {
    for uid in [make::EXPLICIT, make::IMPLICIT, make::BIG_ENDIAN, make::DEFLATED] {
        let mut file = Dicom::new(uid, 6, 4, (16, 12));
        file.words(&samples());
        let stack = read(&file, STORED);
        assert_eq!((stack.width, stack.height, stack.info.bits), (6, 4, 12), "{uid}");
        assert_eq!(stack.planes[0].values, expected(), "{uid}");
        assert_eq!(stack.info.transfer_syntax.as_ref().unwrap().0, uid);
        let mut octets = Dicom::new(uid, 3, 2, (8, 8));
        octets.octets(&[1, 2, 3, 4, 5, 6]);
        assert_eq!(values(&octets, STORED), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "{uid}");
    }
    for uid in [make::EXPLICIT, make::IMPLICIT] {
        let mut file = Dicom::new(uid, 6, 4, (16, 12));
        file.words(&samples());
        let options = ReadOptions { intensity: STORED, ..ReadOptions::default() };
        let stack = decode(&file.bare(), &options).unwrap();
        assert_eq!((&stack.planes[0].values, stack.info.transfer_syntax), (&expected(), None));
    }
}

#[test]
fn a_preamble_may_look_like_another_format() {
    let mut file = Dicom::new(make::EXPLICIT, 3, 2, (8, 8));
    let mut bytes = file.octets(&[0; 6]).bytes();
    bytes[..4].copy_from_slice(b"II\x2a\0");
    decode(&bytes, &ReadOptions::default()).unwrap();
}

#[test]
fn each_codec_reads() {
    let lossless = |uid, fragment: Vec<u8>| {
        let mut file = Dicom::new(uid, 6, 4, (16, 12));
        assert_eq!(values(file.fragments(&[fragment]), STORED), expected(), "{uid}");
    };
    let (high, low) = (|value: &u16| (value >> 8) as u8, |value: &u16| *value as u8);
    let planes = [samples().iter().map(high).collect(), samples().iter().map(low).collect()];
    lossless(make::RLE, make::rle(&planes));
    lossless(make::JPEG_LOSSLESS, make::jpeg_lossless(&samples(), 6, 12));
    let mut coded = Vec::new();
    jpegls::encode(&samples(), 6, 4, &mut coded).unwrap();
    lossless(make::JPEG_LS, coded);
    let long: Vec<f32> = (0..240).map(|index: u16| f32::from(index * 173 % 4096)).collect();
    let mut file = Dicom::new(make::JPEG_2000, 20, 12, (16, 16));
    assert_eq!(values(file.fragments(&[JPEG_2000.to_vec()]), STORED), long);
    let picture =
        DynamicImage::from(ImageBuffer::from_fn(16, 8, |x, y| Luma([(x * 9 + y * 5) as u8])));
    let mut file = Dicom::new(make::JPEG, 16, 8, (8, 8));
    file.fragments(&[make::picture(&picture, ImageFormat::Jpeg)]);
    for (value, pixel) in values(&file, STORED).iter().zip(picture.as_bytes()) {
        assert!((value - f32::from(*pixel)).abs() < 6.0, "{value} and {pixel}");
    }
}

#[test]
fn what_is_not_decoded_is_refused_by_its_transfer_syntax() {
    let mut file = Dicom::new(make::JPEG_XL, 6, 4, (16, 12));
    let error = refused(&file.fragments(&[vec![1, 2, 3, 4]]).bytes()).to_string();
    assert!(error.contains("1.2.840.10008.1.2.4.110 (JPEG XL Lossless)"), "{error}");
    let mut file = Dicom::new("1.2.3.4.5", 6, 4, (16, 12));
    let error = refused(&file.words(&samples()).bytes()).to_string();
    assert!(error.contains("1.2.3.4.5 (unknown)"), "{error}");
    let mut twelve = make::picture(
        &DynamicImage::from(ImageBuffer::<Luma<u8>, _>::new(6, 4)),
        ImageFormat::Jpeg,
    );
    let frame = twelve.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    twelve[frame + 1] = 0xc1;
    twelve[frame + 4] = 12;
    let mut file = Dicom::new(make::JPEG, 6, 4, (16, 12));
    let error = refused(&file.fragments(&[twelve]).bytes()).to_string();
    assert!(error.contains("not decoded: samples of 12 bits"), "{error}");
}

#[test]
fn signs_shifts_and_single_bits() {
    let mut signed = Dicom::new(make::EXPLICIT, 4, 1, (16, 12));
    signed.word(0x0028, 0x0103, 1).words(&[0, 1, 0x0fff, 0x0800]);
    assert_eq!(values(&signed, STORED), [0.0, 1.0, -1.0, -2048.0]);
    // Overlay bits below the stored ones.
    let mut shifted = Dicom::new(make::EXPLICIT, 2, 1, (16, 12));
    shifted.word(0x0028, 0x0102, 15).words(&[0x1235, 0xffff]);
    assert_eq!(values(&shifted, STORED), [f32::from(0x123_u16), 4095.0]);
    let mut bits = Dicom::new(make::EXPLICIT, 5, 1, (1, 1));
    bits.text(0x0028, 0x0008, b"IS", "2").octets(&[0b0110_1001, 0b10]);
    let stack = read(&bits, Intensity::Auto);
    assert_eq!(stack.planes[0].values, [1.0, 0.0, 0.0, 1.0, 0.0]);
    assert_eq!(stack.planes[1].values, [1.0, 1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn modality_units_windows_and_inversion() {
    let mut file = Dicom::new(make::EXPLICIT, 5, 1, (16, 12));
    file.words(&[0, 274, 424, 1174, 4000]);
    file.text(0x0028, 0x1052, b"DS", "-1024").text(0x0028, 0x1053, b"DS", "1");
    assert_eq!(values(&file, STORED), [-1024.0, -750.0, -600.0, 150.0, 2976.0]);
    // From the least to the greatest value, without a window.
    assert_eq!(read(&file, Intensity::Auto).info.scale, Scale::Unit { low: -1024.0, high: 2976.0 });
    let lung = Intensity::Window { center: -600.0, width: 1500.0 };
    let seen = values(&file, lung);
    for (value, expected) in seen.iter().zip([326.0 / 1500.0, 0.4, 0.5, 1.0, 1.0]) {
        assert!((value - expected).abs() < 1e-6, "{seen:?}");
    }
    // The stored window leaves out half a unit at either end (PS3.3, C.11.2.1.2.1).
    file.text(0x0028, 0x1050, b"DS", "-600\\40").text(0x0028, 0x1051, b"DS", "1500\\400");
    let stack = read(&file, Intensity::Auto);
    assert_eq!(stack.info.scale, Scale::Unit { low: -1350.0, high: 149.0 });
    file.text(0x0028, 0x1056, b"CS", "LINEAR_EXACT");
    assert_eq!(values(&file, Intensity::Auto), seen);
    file.text(0x0028, 0x1056, b"CS", "SIGMOID");
    assert!((values(&file, Intensity::Auto)[2] - 0.5).abs() < 1e-6);
    file.text(0x0028, 0x0004, b"CS", "MONOCHROME1");
    let inverted: Vec<f32> = seen.iter().map(|value| 1.0 - value).collect();
    assert_eq!(values(&file, lung), inverted);
}

#[test]
fn padding_is_black_and_outside_the_range() {
    let mut file = Dicom::new(make::EXPLICIT, 4, 1, (16, 12));
    file.words(&[4000, 100, 200, 300]).word(0x0028, 0x0120, 4000);
    assert_eq!(values(&file, Intensity::Auto), [0.0, 0.0, 0.5, 1.0]);
    file.text(0x0028, 0x0004, b"CS", "MONOCHROME1");
    assert_eq!(values(&file, Intensity::Auto), [0.0, 1.0, 0.5, 0.0]);
    assert_eq!(values(&file, STORED), [4000.0, 100.0, 200.0, 300.0]);
    file.word(0x0028, 0x0121, 200).word(0x0028, 0x0120, 90);
    assert_eq!(values(&file, Intensity::Auto), [0.0, 0.0, 0.0, 1.0]);
    // With another sign than the samples have: -2,000 of signed ones, and of unsigned ones 63,536.
    let padded = |bits: u16, signed: u16, samples: [u16; 4], padding: &dyn Fn(&mut Dicom)| {
        let mut file = Dicom::new(make::EXPLICIT, 4, 1, (16, bits));
        padding(file.word(0x0028, 0x0103, signed).words(&samples));
        values(&file, Intensity::Auto)
    };
    let signed = |file: &mut Dicom| _ = file.put(0x0028, 0x0120, b"SS", vec![0x30, 0xf8]);
    let unsigned = |file: &mut Dicom| _ = file.word(0x0028, 0x0120, 0xf830);
    let of = |padding: u16| [padding, 100, 200, 300];
    let seen = [0.0, 0.0, 0.5, 1.0];
    assert_eq!(padded(16, 1, of(0xf830), &signed), seen);
    assert_eq!(padded(16, 1, of(0xf830), &unsigned), seen);
    assert_eq!(padded(16, 0, of(0xf830), &signed), seen);
    assert_eq!(padded(12, 1, of(0x0830), &|file| _ = file.word(0x0028, 0x0120, 0x0830)), seen);
    // A picture's own value is none, though its stored bits are the same.
    assert_eq!(padded(12, 0, [2096, 0, 1048, 524], &unsigned), [1.0, 0.0, 0.5, 0.25]);
}

#[test]
fn attributes_of_unknown_representation_are_understood() {
    let mut file = Dicom::new(make::EXPLICIT, 2, 1, (16, 12));
    file.words(&[10, 20]).put(0x0028, 0x1052, b"UN", b"-5".to_vec());
    file.put(0x0028, 0x1053, b"UN", b"2 ".to_vec()).put(0x0028, 0x0011, b"UN", vec![2, 0]);
    assert_eq!(values(&file, STORED), [15.0, 35.0]);
}

#[test]
fn numbers_that_cannot_be_read_are_refused_by_name() {
    let plain = || {
        let mut file = Dicom::new(make::EXPLICIT, 2, 1, (16, 12));
        file.words(&[10, 20]);
        file
    };
    // Each attribute that is used, with a text that is no number of its kind.
    let texts: [(u16, u16, &[u8; 2], &str, &str); 31] = [
        (
            0x0028,
            0x0008,
            b"IS",
            "1\\2",
            "NumberOfFrames (0028,0008): expected one number, found `1\\2`",
        ),
        (0x0028, 0x1052, b"DS", "0\\-1024", "RescaleIntercept (0028,1052): expected one number"),
        (
            0x0028,
            0x1053,
            b"DS",
            "1\\2",
            "RescaleSlope (0028,1053): expected one number, found `1\\2`",
        ),
        (
            0x0028,
            0x0008,
            b"IS",
            "-1",
            "NumberOfFrames (0028,0008): expected at least 1 frame, found -1",
        ),
        (0x0028, 0x0101, b"US", "", "expected BitsStored (0028,0101), found it empty"),
        (
            0x0028,
            0x0004,
            b"CS",
            "MONOCHROME3",
            "PhotometricInterpretation (0028,0004): expected MONO",
        ),
        (0x0028, 0x0004, b"CS", "monochrome2", "in capitals, found monochrome2"),
        (0x0028, 0x0004, b"CS", "CMYK", "photometric interpretation CMYK"),
        (0x0028, 0x0008, b"IS", "1,0", "NumberOfFrames (0028,0008)"),
        (0x0028, 0x0008, b"IS", "1.5", "NumberOfFrames (0028,0008): expected a whole number"),
        (0x0028, 0x1050, b"DS", "40,5", "WindowCenter (0028,1050)"),
        (0x0028, 0x1050, b"DS", "", "expected WindowCenter (0028,1050), found it empty"),
        (0x0028, 0x1050, b"DS", "40\\x", "WindowCenter (0028,1050): expected a number"),
        (0x0028, 0x1050, b"DS", "40\\", "WindowCenter (0028,1050): expected a number"),
        (
            0x0028,
            0x1050,
            b"DS",
            "40\\-600",
            "as many WindowCenter (0028,1050) as WindowWidth (0028,1051), found 2 and 1",
        ),
        (0x0028, 0x1051, b"DS", "400\\x", "WindowWidth (0028,1051): expected a number"),
        (0x0028, 0x1052, b"DS", "", "expected RescaleIntercept (0028,1052), found it empty"),
        (0x0028, 0x1053, b"DS", " ", "expected RescaleSlope (0028,1053), found it empty"),
        (0x0028, 0x0008, b"IS", "", "expected NumberOfFrames (0028,0008), found it empty"),
        (0x0028, 0x0120, b"US", "", "expected PixelPaddingValue (0028,0120), found it empty"),
        (
            0x0028,
            0x0034,
            b"IS",
            "2\\1",
            "pixels that are not square (PixelAspectRatio (0028,0034) of 2\\1), which is not read",
        ),
        (0x0028, 0x0034, b"IS", "0\\1", "PixelAspectRatio (0028,0034): expected two numbers above"),
        (0x0028, 0x0034, b"IS", "", "expected PixelAspectRatio (0028,0034), found it empty"),
        (
            0x2050,
            0x0020,
            b"CS",
            "INVERSE",
            "PresentationLUTShape (2050,0020): expected IDENTITY as of MONOCHROME2, found INVERSE",
        ),
        (0x2050, 0x0020, b"CS", "LIN OD", "expected IDENTITY or INVERSE, found LIN OD"),
        (0x0028, 0x1051, b"DS", "wide", "WindowWidth (0028,1051)"),
        (0x0028, 0x1051, b"DS", "0", "WindowWidth (0028,1051): expected a width of at least 1"),
        (0x0028, 0x1052, b"DS", "nan", "RescaleIntercept (0028,1052)"),
        (0x0028, 0x1053, b"DS", "1e999", "RescaleSlope (0028,1053)"),
        (0x0028, 0x1053, b"DS", "0", "RescaleSlope (0028,1053): expected a number other than 0"),
        (0x0028, 0x1056, b"CS", "CURVE", "VOILUTFunction (0028,1056)"),
    ];
    for (group, element, vr, text, name) in texts {
        let mut file = plain();
        file.text(0x0028, 0x1050, b"DS", "40").text(0x0028, 0x1051, b"DS", "400");
        file.text(group, element, vr, text);
        let error = refused(&file.bytes()).to_string();
        assert!(error.contains(name), "{error}, expected {name}");
    }
    for (element, name) in [
        (0x0002, "SamplesPerPixel"),
        (0x0006, "PlanarConfiguration"),
        (0x0010, "Rows"),
        (0x0100, "BitsAllocated"),
        (0x0101, "BitsStored"),
        (0x0102, "HighBit"),
        (0x0103, "PixelRepresentation"),
        (0x0120, "PixelPaddingValue"),
    ] {
        let error = refused(&plain().text(0x0028, element, b"LO", "x").bytes()).to_string();
        assert!(error.contains(name) && error.contains("`x`"), "{error}, expected {name}");
    }
    let rows = [2_u16, 3].map(u16::to_le_bytes).concat();
    let error = refused(&plain().put(0x0028, 0x0010, b"US", rows).bytes()).to_string();
    assert!(error.contains("Rows (0028,0010): expected one number, found `2\\3`"), "{error}");
    // Of several windows the first counts.
    let mut windows = plain();
    windows.text(0x0028, 0x1050, b"DS", "40\\-600").text(0x0028, 0x1051, b"DS", "400\\1500");
    decode(&windows.bytes(), &ReadOptions::default()).unwrap();
    let error = refused(&plain().word(0x0028, 0x0103, 2).bytes()).to_string();
    assert!(error.contains("PixelRepresentation (0028,0103) of 0 or 1, found 2"), "{error}");
    // What may be empty is absent then, and what says the same twice is read.
    let mut empty = plain();
    empty.text(0x0028, 0x0006, b"US", "").text(0x2050, 0x0020, b"CS", "");
    empty.text(0x0028, 0x0034, b"IS", "3\\3");
    assert_eq!(values(&empty, Intensity::Auto), [0.0, 1.0]);
    empty.text(0x2050, 0x0020, b"CS", "INVERSE").text(0x0028, 0x0004, b"CS", "MONOCHROME1");
    assert_eq!(values(&empty, Intensity::Auto), [1.0, 0.0]);
}

#[test]
fn frames_are_chosen_and_share_their_range() {
    let mut file = Dicom::new(make::EXPLICIT, 2, 1, (16, 12));
    file.text(0x0028, 0x0008, b"IS", "3").words(&[0, 100, 200, 300, 400, 1000]);
    let slices = SliceOptions { which: Slices::At(vec![2, 0]), ..SliceOptions::default() };
    let stack = decode(&file.bytes(), &ReadOptions { slices, ..ReadOptions::default() }).unwrap();
    assert_eq!((stack.info.slices, stack.planes[0].index, stack.planes[1].index), (3, 2, 0));
    assert_eq!(stack.planes[0].values, [0.4, 1.0]);
    assert_eq!(stack.planes[1].values, [0.0, 0.1]);
    // Windows of their own would be a scale of each frame.
    let window = |center: f64| {
        let mut voi = Dicom::item();
        voi.decimals(0x0028, 0x1050, &[center]).decimals(0x0028, 0x1051, &[400.0]);
        let mut groups = Dicom::item();
        groups.sequence(0x0028, 0x9132, &[voi]);
        groups
    };
    let mut windows = file.clone();
    windows.sequence(0x5200, 0x9230, &[window(40.0), window(40.0), window(40.0)]);
    decode(&windows.bytes(), &ReadOptions::default()).unwrap();
    windows.sequence(0x5200, 0x9230, &[window(40.0), window(40.0), window(50.0)]);
    let error = refused(&windows.bytes()).to_string();
    assert!(error.contains("expected one window for all slices, found center 40"), "{error}");
    // Two fragments for each of two frames, told apart by the offset table only.
    let mut split = Dicom::new(make::RLE, 6, 4, (16, 12));
    split.text(0x0028, 0x0008, b"IS", "2").fragments(&vec![vec![0; 4]; 4]);
    let error = refused(&split.bytes()).to_string();
    assert!(error.contains("2 frames cannot be told apart in 4 fragments"), "{error}");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let plain = || {
        let mut file = Dicom::new(make::EXPLICIT, 6, 4, (16, 12));
        file.words(&samples());
        file
    };
    let error = refused(plain().words(&samples()[1..]).bytes().as_slice()).to_string();
    assert!(error.contains("expected 48 bytes of pixel data up to frame 0, found 46"), "{error}");
    let mut bytes = plain().bytes();
    bytes.truncate(bytes.len() - 3);
    let error = refused(&bytes).to_string();
    assert!(error.contains("claims 48 bytes, found 45"), "{error}");
    let wrong = [
        (plain().word(0x0028, 0x0010, 0).bytes(), "found 0"),
        (plain().word(0x0028, 0x0101, 17).bytes(), "do not fit"),
        (plain().word(0x0028, 0x0100, 12).bytes(), "12 bits allocated"),
        (plain().word(0x0028, 0x0002, 3).bytes(), "found 3"),
        (plain().text(0x0028, 0x0008, b"IS", "0").bytes(), "1 frame"),
        (Dicom::new(make::EXPLICIT, 6, 4, (16, 12)).bytes(), "no pixel data (modality OT)"),
    ];
    for (bytes, reason) in wrong {
        let error = refused(&bytes).to_string();
        assert!(error.contains(reason), "{error}, expected {reason}");
    }
    // The codec's picture is larger than the attributes say.
    let mut other = Dicom::new(make::JPEG_LOSSLESS, 6, 2, (16, 12));
    let fragment = make::jpeg_lossless(&samples(), 6, 12);
    let error = refused(&other.fragments(&[fragment]).bytes()).to_string();
    assert!(error.contains("expected 6 x 2 pixels"), "{error}");
    let mut many = Dicom::new(make::EXPLICIT, u16::MAX, u16::MAX, (16, 12));
    let error = refused(&many.words(&samples()).bytes());
    assert!(matches!(error, Fault::TooLarge { .. }), "{error}");
    let mut bomb = Dicom::new(make::DEFLATED, 6, 4, (16, 12));
    bomb.octets(&vec![0; 1 << 20]);
    let limits = Limits { bytes: 1 << 16, ..Limits::default() };
    let error = decode(&bomb.bytes(), &ReadOptions { limits, ..ReadOptions::default() });
    assert!(matches!(error.unwrap_err(), Fault::TooLarge { most: 65536, .. }));
}
