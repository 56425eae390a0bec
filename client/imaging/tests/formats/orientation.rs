//! Pictures are turned as they are shown: EXIF in JPEG and PNG, and TIFF's own tag.

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma};
use ringfence_imaging::{ReadOptions, decode};

use crate::make::{self, Ordered as _};

const WIDTH: usize = 24;
const HEIGHT: usize = 16;

/// Brightness of a stored pixel.
fn stored(x: usize, y: usize) -> u8 {
    (x * 9 + y * 2) as u8
}

/// Width, and the pixels as they are shown (TIFF 6.0, tag 274; EXIF has the same values).
fn shown(orientation: u16) -> (usize, Vec<u8>) {
    let (right, bottom) = (WIDTH - 1, HEIGHT - 1);
    let turned = orientation > 4;
    let (width, height) = if turned { (HEIGHT, WIDTH) } else { (WIDTH, HEIGHT) };
    let pixel = |index: usize| {
        let (x, y) = (index % width, index / width);
        match orientation {
            2 => stored(right - x, y),
            3 => stored(right - x, bottom - y),
            4 => stored(x, bottom - y),
            5 => stored(y, x),
            6 => stored(y, bottom - x),
            7 => stored(right - y, bottom - x),
            8 => stored(right - y, x),
            _ => stored(x, y),
        }
    };
    (width, (0..width * height).map(pixel).collect())
}

/// A directory of one entry: the orientation.
pub(crate) fn exif(orientation: u16) -> Vec<u8> {
    let entry = [0x0112_u16.ordered(true), 3_u16.ordered(true), 1_u32.ordered(true)].concat();
    let value = [orientation.ordered(true), vec![0; 6]].concat();
    [&b"MM\0\x2a\0\0\0\x08\0\x01"[..], &entry, &value].concat()
}

fn picture(format: ImageFormat) -> Vec<u8> {
    let image = ImageBuffer::from_fn(WIDTH as u32, HEIGHT as u32, |x, y| {
        Luma([stored(x as usize, y as usize)])
    });
    make::picture(&DynamicImage::from(image), format)
}

fn jpeg(orientation: u16) -> Vec<u8> {
    let (jpeg, exif) = (picture(ImageFormat::Jpeg), exif(orientation));
    let length = (exif.len() as u16 + 8).ordered(true);
    [&jpeg[..2], &[0xff, 0xe1], &length, b"Exif\0\0", &exif, &jpeg[2..]].concat()
}

/// With the chunk before the pixels, or after them.
fn png(orientation: u16, late: bool) -> Vec<u8> {
    let png = picture(ImageFormat::Png);
    let chunk = make::chunk(b"eXIf", &exif(orientation));
    let at = if late { png.len() - 12 } else { 33 };
    [&png[..at], &chunk, &png[at..]].concat()
}

fn tiff(orientation: u16) -> Vec<u8> {
    let entries = [
        (256, WIDTH as u16),
        (257, HEIGHT as u16),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8 + 2 + 9 * 12 + 4),
        (274, orientation),
        (278, HEIGHT as u16),
        (279, (WIDTH * HEIGHT) as u16),
    ];
    let mut bytes = b"II\x2a\0\x08\0\0\0\x09\0".to_vec();
    for (tag, value) in entries {
        bytes.extend(
            [u16::ordered(tag, false), 3_u16.ordered(false), 1_u32.ordered(false)].concat(),
        );
        bytes.extend([value.ordered(false), vec![0; 2]].concat());
    }
    bytes.extend([0; 4]);
    bytes.extend((0..WIDTH * HEIGHT).map(|index| stored(index % WIDTH, index / WIDTH)));
    bytes
}

#[test]
fn all_eight_orientations_are_applied() {
    for orientation in 1..=8 {
        let (width, pixels) = shown(orientation);
        let files = [
            ("JPEG", jpeg(orientation), 4.0),
            ("PNG", png(orientation, false), 0.01),
            ("PNG, at its end", png(orientation, true), 0.01),
            ("TIFF", tiff(orientation), 0.01),
        ];
        for (format, bytes, most) in files {
            let stack = decode(&bytes, &ReadOptions::default()).unwrap();
            assert_eq!(stack.width, width, "{format}, {orientation}");
            for (found, expected) in stack.planes[0].values.iter().zip(&pixels) {
                let difference = (found * 255.0 - f32::from(*expected)).abs();
                assert!(difference <= most, "{format}, {orientation}: {found}, {expected}");
            }
        }
    }
}
