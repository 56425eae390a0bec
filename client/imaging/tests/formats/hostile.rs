//! Damaged files of every format: truncated, with bytes changed, with a range overwritten. Whatever
//! comes of them, as an image or as a mask, nothing panics, and what is read is consistent and, where
//! it is scaled, in `[0, 1]`.

use std::sync::LazyLock;

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, Rgba};
use proptest::prelude::*;
use proptest::sample::Index;
use ringfence_imaging::{
    Axis, Intensity, Limits, MaskOptions, ReadOptions, Scale, Stack, decode, read_mask,
};

use crate::jpeg_2000::JPEG_2000;
use crate::make::{self, Dicom, Nifti, Palette};
use crate::segmentations;

/// One file of each format and encoding, small enough that most changes hit something that matters.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let grey =
        DynamicImage::from(ImageBuffer::from_fn(20, 12, |x, y| Luma([(x * 9 + y * 5) as u8])));
    let colour = DynamicImage::from(ImageBuffer::from_fn(20, 12, |x, y| {
        Rgba([x as u8 * 12, y as u8 * 20, 7, 255 - x as u8])
    }));
    let samples: Vec<u16> = (0..240).map(|index: u16| index * 173 % 4096).collect();
    let bytes =
        |shift: u16| samples.iter().map(|value| (value >> shift) as u8).collect::<Vec<u8>>();
    let dicom = |uid| Dicom::new(uid, 20, 12, (16, 12));
    let fragment = |uid, fragment: Vec<u8>| dicom(uid).fragments(&[fragment]).bytes();
    let mut jpeg_ls = Vec::new();
    jpegls::encode(&samples, 20, 12, &mut jpeg_ls).unwrap();
    let baseline = make::picture(&grey, ImageFormat::Jpeg);
    let volume = Nifti::counting(&[5, 6, 7], (4, 16), false, |index| index as i16);
    let second =
        Nifti { second: true, ..Nifti::counting(&[5, 6, 7], (16, 32), true, |i| i as f32) };
    let mut sixteen = Dicom::new(make::JPEG_2000, 20, 12, (16, 16));
    let indices = (0..240).map(|index: u8| index / 3 % 4).collect();
    let colours = vec![[0; 3], [128, 0, 0], [255; 3], [9, 9, 0]];
    let palette = Palette { width: 20, indices, colours, alphas: vec![7] };
    vec![
        ("PNG", make::picture(&colour, ImageFormat::Png)),
        ("PNG, palette", palette.interlaced_png(2)),
        ("JPEG", make::picture(&grey, ImageFormat::Jpeg)),
        ("TIFF", make::picture(&colour, ImageFormat::Tiff)),
        ("GIF", make::picture(&colour, ImageFormat::Gif)),
        ("NIfTI-1", volume.bytes()),
        ("NIfTI-1, gzipped", make::gzip(&volume.bytes())),
        ("NIfTI-2", second.bytes()),
        ("explicit", dicom(make::EXPLICIT).words(&samples).bytes()),
        ("implicit", dicom(make::IMPLICIT).words(&samples).bytes()),
        ("bare", dicom(make::IMPLICIT).words(&samples).bare()),
        ("big-endian", dicom(make::BIG_ENDIAN).words(&samples).bytes()),
        ("deflated", dicom(make::DEFLATED).words(&samples).bytes()),
        ("RLE", fragment(make::RLE, make::rle(&[bytes(8), bytes(0)]))),
        ("JPEG baseline", Dicom::new(make::JPEG, 20, 12, (8, 8)).fragments(&[baseline]).bytes()),
        ("JPEG lossless", fragment(make::JPEG_LOSSLESS, make::jpeg_lossless(&samples, 20, 12))),
        ("JPEG-LS", fragment(make::JPEG_LS, jpeg_ls)),
        ("JPEG 2000", sixteen.fragments(&[JPEG_2000.to_vec()]).bytes()),
        ("segmentation", segmentations::sample().bytes()),
    ]
}

/// Small, so that a changed size field is refused and not obeyed.
const LIMITS: Limits = Limits { bytes: 1 << 22, values: 1 << 18 };

/// An image for every mask, without any place.
static IMAGE: LazyLock<Stack> = LazyLock::new(|| {
    let image = DynamicImage::from(ImageBuffer::from_pixel(20, 12, Luma([9_u8])));
    decode(&make::picture(&image, ImageFormat::Png), &ReadOptions::default()).unwrap()
});

/// Reads the file as a mask of itself where it is an image, else of another image.
fn survives_as_mask(name: &str, bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let own = decode(bytes, &ReadOptions { limits: LIMITS, ..ReadOptions::default() }).ok();
    let image = own.as_ref().unwrap_or(&IMAGE);
    for labels in [vec![], vec![1, 3]] {
        let options = MaskOptions { labels, channel: None };
        match read_mask(file.path(), image, Axis::Axial, &options, LIMITS) {
            Ok(mask) => {
                let planes = mask.planes;
                assert_eq!(planes.len(), image.planes.len(), "{name}");
                let flat = planes.concat();
                assert_eq!(flat.len(), planes.len() * image.width * image.height, "{name}");
                assert!(flat.iter().all(|value| [0.0, 1.0].contains(value)), "{name}");
            }
            Err(error) => assert!(!error.fault.to_string().is_empty()),
        }
    }
}

pub(crate) fn survives(name: &str, bytes: &[u8]) {
    for intensity in [Intensity::Auto, Intensity::Stored] {
        let options = ReadOptions { limits: LIMITS, intensity, ..ReadOptions::default() };
        let stack = match decode(bytes, &options) {
            Ok(stack) => stack,
            Err(fault) => {
                assert!(!fault.to_string().is_empty());
                continue;
            }
        };
        assert!(!stack.planes.is_empty(), "{name}");
        for plane in &stack.planes {
            assert_eq!(plane.values.len(), stack.width * stack.height, "{name}");
            let unit = plane.values.iter().all(|value| (0.0..=1.0).contains(value));
            assert!(unit || stack.info.scale == Scale::Stored, "{name}");
        }
    }
}

/// What was made can be read: the damage below is done to good files.
#[test]
fn undamaged_files_are_read() {
    for (name, bytes) in files() {
        let options = ReadOptions { limits: LIMITS, ..ReadOptions::default() };
        let read = decode(&bytes, &options);
        // It is read as a mask only.
        if name == "segmentation" {
            assert!(read.unwrap_err().to_string().contains("which is read as a mask"));
            continue;
        }
        read.unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
}

/// Every file cut at every byte.
#[test]
fn truncated_files_are_refused() {
    for (name, bytes) in files() {
        for length in 0..bytes.len() {
            survives(name, &bytes[..length]);
            survives_as_mask(name, &bytes[..length]);
            let options = ReadOptions { limits: LIMITS, ..ReadOptions::default() };
            let read = decode(&bytes[..length], &options).is_ok();
            assert!(!read, "{name} is read at {length} of {}", bytes.len());
        }
    }
}

/// 400, each over all files, or the variable `PROPTEST_CASES`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_do_no_harm(changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6)) {
        for (name, mut bytes) in files() {
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            survives(name, &bytes);
            survives_as_mask(name, &bytes);
        }
    }

    #[test]
    fn flipped_bits_do_no_harm(flips in prop::collection::vec((any::<Index>(), 0..8_u32), 1..4)) {
        for (name, mut bytes) in files() {
            for (at, bit) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            survives(name, &bytes);
            survives_as_mask(name, &bytes);
        }
    }

    #[test]
    fn overwritten_ranges_do_no_harm(
        start in any::<Index>(),
        filling in prop::collection::vec(prop_oneof![Just(0), Just(255), any::<u8>()], 1..40),
    ) {
        for (name, mut bytes) in files() {
            let start = start.index(bytes.len());
            for (byte, value) in bytes[start..].iter_mut().zip(&filling) {
                *byte = *value;
            }
            survives(name, &bytes);
            survives_as_mask(name, &bytes);
        }
    }
}
