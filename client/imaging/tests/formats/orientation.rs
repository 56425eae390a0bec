//! Pictures are turned as they are shown, by EXIF in JPEG and PNG and by TIFF's own tag, or refused.

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma};
use ringfence_imaging::{MaskOptions, ReadOptions, decode};

use crate::make::{self, Ordered as _};
use crate::masks::masked;

pub(crate) const WIDTH: usize = 24;
pub(crate) const HEIGHT: usize = 16;

/// Brightness of a stored pixel.
fn stored(x: usize, y: usize) -> u8 {
    (x * 9 + y * 2) as u8
}

/// Width, and the pixels as they are shown (TIFF 6.0, tag 274; EXIF has the same values).
pub(crate) fn shown(orientation: u16) -> (usize, Vec<u8>) {
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

/// The entry that says the orientation: its type, how many values, and the four bytes of these.
#[derive(Clone, Copy)]
struct Entry(u16, u32, [u8; 4]);

impl Entry {
    fn short(orientation: u16) -> Self {
        let [high, low] = orientation.to_be_bytes();
        Self(3, 1, [high, low, 0, 0])
    }

    /// A directory of this entry alone.
    fn exif(self) -> Vec<u8> {
        let Self(kind, count, value) = self;
        let entry = [0x0112_u16.ordered(true), kind.ordered(true), count.ordered(true)].concat();
        [&b"MM\0\x2a\0\0\0\x08\0\x01"[..], &entry, &value, &[0; 4]].concat()
    }
}

pub(crate) fn exif(orientation: u16) -> Vec<u8> {
    Entry::short(orientation).exif()
}

pub(crate) fn picture(format: ImageFormat) -> Vec<u8> {
    let image = ImageBuffer::from_fn(WIDTH as u32, HEIGHT as u32, |x, y| {
        Luma([stored(x as usize, y as usize)])
    });
    make::picture(&DynamicImage::from(image), format)
}

pub(crate) fn jpeg(exif: &[u8]) -> Vec<u8> {
    let jpeg = picture(ImageFormat::Jpeg);
    [&jpeg[..2], &segment(exif), &jpeg[2..]].concat()
}

/// The segment of a JPEG that holds EXIF data.
pub(crate) fn segment(exif: &[u8]) -> Vec<u8> {
    let length = (exif.len() as u16 + 8).ordered(true);
    [&[0xff, 0xe1], &length[..], b"Exif\0\0", exif].concat()
}

/// With the chunk before the pixels, or after them.
fn png(exif: &[u8], late: bool) -> Vec<u8> {
    let png = picture(ImageFormat::Png);
    let chunk = make::chunk(b"eXIf", exif);
    let at = if late { png.len() - 12 } else { 33 };
    [&png[..at], &chunk, &png[at..]].concat()
}

/// With the data in a text chunk, as before there was a chunk for them.
fn png_profile(exif: &[u8], name: &str, deflated: bool) -> Vec<u8> {
    let png = picture(ImageFormat::Png);
    let data = [b"Exif\0\0", exif].concat();
    let mut digits: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.insert(20, '\n');
    let text = format!("\nexif\n{:8}\n{digits}\n", data.len());
    let head = format!("Raw profile type {name}\0");
    let chunk = match deflated {
        false => make::chunk(b"tEXt", format!("{head}{text}").as_bytes()),
        true => {
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut zlib, text.as_bytes()).unwrap();
            make::chunk(b"zTXt", &[head.as_bytes(), b"\0", &zlib.finish().unwrap()].concat())
        }
    };
    [&png[..33], &chunk, &png[33..]].concat()
}

/// Of the same pixels, with this entry.
fn tiff(entry: Entry) -> Vec<u8> {
    let pixels: Vec<u8> =
        (0..WIDTH * HEIGHT).map(|index| stored(index % WIDTH, index / WIDTH)).collect();
    let tags = [(256, WIDTH as u16), (257, HEIGHT as u16), (258, 8), (259, 1), (262, 1)];
    make::tiff(&tags, (274, entry.0, entry.1, entry.2), HEIGHT as u16, &pixels)
}

#[test]
fn all_eight_orientations_are_applied() {
    for orientation in 1..=8 {
        let (width, pixels) = shown(orientation);
        let exif = exif(orientation);
        let prefixed = [b"Exif\0\0", &exif[..]].concat();
        // One of another type, as some programs write it.
        let long = Entry(4, 1, u32::from(orientation).to_be_bytes());
        // Data that go on in a second segment.
        let (start, rest) = (segment(&exif[..15]), segment(&exif[15..]));
        let plain = picture(ImageFormat::Jpeg);
        let parted = [&plain[..2], &start, &rest, &plain[2..]].concat();
        let files = [
            ("JPEG", jpeg(&exif), 4.0),
            ("JPEG, LONG", jpeg(&long.exif()), 4.0),
            ("JPEG, two segments", parted, 4.0),
            ("PNG", png(&exif, false), 0.01),
            ("PNG, text", png_profile(&exif, "exif", false), 0.01),
            ("PNG, deflated text", png_profile(&exif, "APP1", true), 0.01),
            ("PNG, at its end", png(&exif, true), 0.01),
            ("PNG, LONG", png(&long.exif(), false), 0.01),
            ("PNG, as a segment of a JPEG", png(&prefixed, false), 0.01),
            ("TIFF", tiff(Entry::short(orientation)), 0.01),
            ("TIFF, LONG", tiff(long), 0.01),
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

/// What programs write that do not know how a picture is turned: it says nothing, also beside one that
/// does.
#[test]
fn an_orientation_of_0_says_nothing() {
    let nothing = Entry::short(0);
    let long = Entry(4, 1, [0; 4]);
    for bytes in [jpeg(&exif(0)), png(&exif(0), true), tiff(nothing), tiff(long)] {
        let stack = decode(&bytes, &ReadOptions::default()).unwrap();
        assert_eq!((stack.width, stack.height), (WIDTH, HEIGHT));
    }
    let plain = picture(ImageFormat::Jpeg);
    let both = [&plain[..2], &segment(&exif(0)), &segment(&exif(6)), &plain[2..]].concat();
    assert_eq!(decode(&both, &ReadOptions::default()).unwrap().width, HEIGHT);
}

/// A picture that says how it is turned, and not so that it can be used, is not taken as it is stored.
#[test]
fn an_orientation_that_cannot_be_used_is_refused_by_name() {
    let refused = |bytes: &[u8], expected: &str| {
        let error = decode(bytes, &ReadOptions::default()).unwrap_err().to_string();
        assert!(error.contains("Orientation (274)") && error.contains(expected), "{error}");
        // Fetched again, it would say the same.
        assert!(error.contains("export the file anew or correct that in a copy"), "{error}");
    };
    for (entry, expected) in [
        (Entry::short(9), "expected 1 to 8, found 9"),
        (Entry(4, 1, 70_000_u32.to_be_bytes()), "expected 1 to 8, found 70000"),
        (Entry(3, 2, [0, 6, 0, 6]), "expected one SHORT or LONG, found 2 of type SHORT"),
        (Entry(1, 1, [6, 0, 0, 0]), "expected one SHORT or LONG, found 1 of type BYTE"),
        (Entry(2, 2, *b"6\0\0\0"), "expected one SHORT or LONG, found 2 of type ASCII"),
        (Entry(99, 1, [0, 6, 0, 0]), "expected one SHORT or LONG, found 1 of type 99"),
    ] {
        for bytes in [jpeg(&entry.exif()), png(&entry.exif(), false), tiff(entry)] {
            refused(&bytes, expected);
        }
    }
    let whole = exif(6);
    for cut in [5, 9, 12, 21] {
        let expected = "expected a whole first directory, found one that is cut off";
        refused(&jpeg(&whole[..cut]), expected);
        refused(&png(&whole[..cut], true), expected);
    }
    refused(&jpeg(b"a note"), "expected EXIF data with the header of a TIFF, found none");
    let (one, other, plain) = (segment(&exif(6)), segment(&exif(8)), picture(ImageFormat::Jpeg));
    let both = |other: &[u8]| [&plain[..2], &one, other, &plain[2..]].concat();
    refused(&both(&other), "expected one orientation, found 6 by EXIF");
    decode(&both(&one), &ReadOptions::default()).unwrap();
    // What is not there says nothing.
    for empty in [&[][..], &[0; 12]] {
        decode(&jpeg(empty), &ReadOptions::default()).unwrap();
    }
}

#[test]
fn masks_are_turned_or_refused_alike() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Shown on its side: the image is as high as the stored mask is wide.
    let image = ImageBuffer::from_pixel(HEIGHT as u32, WIDTH as u32, Luma([9_u8]));
    std::fs::write(at("image"), make::picture(&DynamicImage::from(image), ImageFormat::Png))
        .unwrap();
    let drawn =
        ImageBuffer::from_fn(WIDTH as u32, HEIGHT as u32, |x, _| Luma([u8::from(x < 8) * 255]));
    let drawn = DynamicImage::from(drawn);
    let mask = |format: ImageFormat, entry: Entry| {
        let bytes = make::picture(&drawn, format);
        let bytes = match format {
            ImageFormat::Jpeg => [&bytes[..2], &segment(&entry.exif()), &bytes[2..]].concat(),
            _ => [&bytes[..33], &make::chunk(b"eXIf", &entry.exif()), &bytes[33..]].concat(),
        };
        std::fs::write(at("mask"), bytes).unwrap();
        masked(&at("image"), &at("mask"), &MaskOptions::default())
    };
    let upper: Vec<f32> = (0..WIDTH * HEIGHT).map(|at| f32::from(at / HEIGHT < 8)).collect();
    for format in [ImageFormat::Jpeg, ImageFormat::Png] {
        assert_eq!(mask(format, Entry(4, 1, [0, 0, 0, 6])).unwrap(), upper, "{format:?}");
        let error = mask(format, Entry(1, 1, [6, 0, 0, 0])).unwrap_err();
        assert!(error.contains("EXIF Orientation (274): expected one SHORT"), "{error}");
    }
}

pub(crate) fn read(bytes: &[u8]) -> Result<(), String> {
    decode(bytes, &ReadOptions::default()).map(drop).map_err(|error| error.to_string())
}

/// Two statements that differ are none, wherever they stand.
#[test]
fn orientations_that_differ_are_refused() {
    let two = |first: &[u8], second: &[u8]| {
        let png = png(first, false);
        [&png[..33], &make::chunk(b"eXIf", second), &png[33..]].concat()
    };
    let with_text = |first: &[u8]| {
        let profile = png_profile(&exif(6), "exif", true);
        [&profile[..33], &make::chunk(b"eXIf", first), &profile[33..]].concat()
    };
    read(&two(&exif(6), &exif(6))).unwrap();
    read(&with_text(&exif(6))).unwrap();
    for file in [two(&exif(6), &exif(1)), with_text(&exif(1))] {
        let error = read(&file).unwrap_err();
        assert!(error.contains("expected one orientation, found "), "{error}");
        assert!(["1 by EXIF", "6 by EXIF"].iter().all(|said| error.contains(said)), "{error}");
    }
    let unreadable = {
        let png = picture(ImageFormat::Png);
        let chunk = make::chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 3\nno digits\n");
        [&png[..33], &chunk, &png[33..]].concat()
    };
    let error = read(&unreadable).unwrap_err();
    assert!(error.contains("Orientation (274)"), "{error}");
}
