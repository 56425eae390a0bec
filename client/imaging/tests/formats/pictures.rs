//! PNG, JPEG, TIFF and GIF.

use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};
use ringfence_imaging::{
    Fault, Format, Heeded, Limits, MaskOptions, ReadOptions, Scale, SliceOptions, Slices, decode,
    heeded, read, slices,
};

use crate::make::{self, Dicom, Nifti};
use crate::masks::masked;

fn grey(x: u32, y: u32) -> u8 {
    (x * 9 + y * 5) as u8
}

fn ramp() -> GrayImage {
    ImageBuffer::from_fn(12, 8, |x, y| Luma([grey(x, y)]))
}

fn close(bytes: &[u8], expected: impl Fn(u32, u32) -> f32, most: f32) {
    let stack = decode(bytes, &ReadOptions::default()).unwrap();
    assert_eq!((stack.width, stack.height, stack.planes.len()), (12, 8, 1));
    for (index, value) in stack.planes[0].values.iter().enumerate() {
        let expected = expected(index as u32 % 12, index as u32 / 12);
        assert!((value - expected).abs() <= most, "{index}: {value}, expected {expected}");
    }
}

#[test]
fn bits_channels_and_formats_read_alike() {
    let unit = |x, y| f32::from(grey(x, y)) / 255.0;
    let eight = DynamicImage::from(ramp());
    let sixteen =
        DynamicImage::from(ImageBuffer::from_fn(12, 8, |x, y| Luma([u16::from(grey(x, y)) * 257])));
    let transparent =
        DynamicImage::from(ImageBuffer::from_fn(12, 8, |x, y| LumaA([grey(x, y), 3])));
    let rgb = DynamicImage::from(ImageBuffer::from_fn(12, 8, |x, y| Rgb([grey(x, y); 3])));
    let rgba = DynamicImage::from(ImageBuffer::from_fn(12, 8, |x, y| {
        let value = grey(x, y);
        Rgba([value, value, value, 200])
    }));
    for image in [&eight, &sixteen, &transparent, &rgb, &rgba] {
        close(&make::picture(image, ImageFormat::Png), unit, 2e-6);
    }
    for image in [&eight, &sixteen, &rgb, &rgba] {
        close(&make::picture(image, ImageFormat::Tiff), unit, 2e-6);
    }
    close(&make::picture(&rgba, ImageFormat::Gif), unit, 2e-6);
    close(&make::picture(&eight, ImageFormat::Jpeg), unit, 0.05);
    close(&make::picture(&rgb, ImageFormat::Jpeg), unit, 0.05);
}

#[test]
fn colour_becomes_grey_by_bt_709() {
    let colours = DynamicImage::from(ImageBuffer::from_fn(12, 8, |x, _| {
        Rgb([[255_u8, 0, 0], [0, 255, 0], [0, 0, 255]][x as usize % 3])
    }));
    let weights = [0.2126, 0.7152, 0.0722];
    close(&make::picture(&colours, ImageFormat::Png), |x, _| weights[x as usize % 3], 1e-4);
}

#[test]
fn the_extension_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scan.png");
    std::fs::write(&path, make::picture(&ramp().into(), ImageFormat::Jpeg)).unwrap();
    let stack = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!(stack.info.format, Format::Jpeg);
    assert_eq!((stack.info.bits, stack.info.channels), (8, 1));
    assert_eq!(stack.info.scale, Scale::Unit { low: 0.0, high: 255.0 });
}

#[test]
fn errors_name_the_file_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, &ReadOptions::default()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        error
    };
    assert!(refused("empty.png", b"").contains("found an empty file"));
    assert!(refused("notes.png", b"no picture").contains("found text"));
    assert!(refused("set.png", b"PK\x03\x04....").contains("MedMNIST"));
    for start in [b"II\x2b\0\x08\0\0\0", b"MM\0\x2b\0\x08\0\0"] {
        let error = refused("big.tif", start);
        assert!(error.contains("found a BigTIFF picture (save it as an ordinary TIFF"), "{error}");
    }
    assert!(refused("odd.png", &[1, 2, 3]).contains("3 bytes that start with 01 02 03"));
    assert!(
        refused("gz.nii.gz", &make::gzip(b"no volume")).contains("a gzipped file that holds text")
    );
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff, ImageFormat::Gif] {
        let image = DynamicImage::from(ramp());
        // GIF is only written in colour.
        let image = if format == ImageFormat::Gif { image.to_rgba8().into() } else { image };
        let whole = make::picture(&image, format);
        for half in [whole.len() / 2, whole.len() * 3 / 4] {
            let error = refused("half", &whole[..half]);
            assert!(error.contains("cannot be decoded as"), "{format:?} of {half} bytes: {error}");
        }
    }
    let missing = read(&folder.path().join("missing.png"), &ReadOptions::default());
    assert!(matches!(missing.unwrap_err().fault, Fault::File(_)));
    let floats = DynamicImage::from(ImageBuffer::from_fn(2, 2, |_, _| Rgb([0.5_f32; 3])));
    let error = refused("floats", &make::picture(&floats, ImageFormat::Tiff));
    assert!(error.contains("32-bit floats"), "{error}");
}

#[test]
fn sizes_and_slices_are_checked() {
    let bytes = make::picture(&ramp().into(), ImageFormat::Png);
    let limits = Limits { values: 95, ..Limits::default() };
    let error = decode(&bytes, &ReadOptions { limits, ..ReadOptions::default() }).unwrap_err();
    assert!(matches!(error, Fault::TooLarge { most: 95, found: 96, .. }), "{error}");
    let limits = Limits { bytes: 10, ..Limits::default() };
    let error = decode(&bytes, &ReadOptions { limits, ..ReadOptions::default() }).unwrap_err();
    assert!(matches!(error, Fault::TooLarge { most: 10, .. }), "{error}");
    let slices = SliceOptions { which: Slices::At(vec![1]), ..SliceOptions::default() };
    let error = decode(&bytes, &ReadOptions { slices, ..ReadOptions::default() }).unwrap_err();
    assert!(matches!(error, Fault::Index { asked: 1, count: 1, .. }), "{error}");
}

#[test]
fn volumes_and_their_values_heed_options() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let Heeded { axis, slices, intensity } = heeded(&path, &ReadOptions::default()).unwrap();
        (axis, slices, intensity)
    };
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff, ImageFormat::Gif] {
        let image = if format == ImageFormat::Gif {
            DynamicImage::from(ramp()).into_rgba8().into()
        } else {
            ramp().into()
        };
        assert_eq!(of("a", &make::picture(&image, format)), (false, false, false));
    }
    let volume = |depth| Nifti::counting(&[2, 3, depth], (2, 8), false, |index| index as u8);
    assert_eq!(of("b", &make::gzip(&volume(4).bytes())), (true, true, true));
    assert_eq!(of("c", &volume(1).bytes()), (true, false, true));
    let mut frames = Dicom::new(make::EXPLICIT, 2, 1, (8, 8));
    frames.text(0x0028, 0x0008, b"IS", "2").octets(&[0; 4]);
    assert_eq!(of("d", &frames.bytes()), (false, true, true));
    let mut colour = Dicom::new(make::EXPLICIT, 2, 1, (8, 8));
    colour.word(0x0028, 0x0002, 3).text(0x0028, 0x0004, b"CS", "RGB").octets(&[0; 6]);
    assert_eq!(of("e", &colour.bytes()), (false, false, false));
    std::fs::write(folder.path().join("f"), "text").unwrap();
    let error = heeded(&folder.path().join("f"), &ReadOptions::default()).unwrap_err();
    assert!(matches!(error.fault, Fault::Unknown { .. }), "{error}");
}

#[test]
fn slices_are_counted_without_decoding() {
    let folder = tempfile::tempdir().unwrap();
    let count = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        slices(&path, &ReadOptions::default())
    };
    let picture = make::picture(&ramp().into(), ImageFormat::Png);
    assert_eq!(count("a", &picture[..20]).unwrap(), 1);
    let volume = Nifti::counting(&[2, 3, 4], (2, 8), false, |index| index as u8).bytes();
    assert_eq!(count("b", &make::gzip(&volume)).unwrap(), 4);
    assert_eq!(count("c", &volume[..360]).unwrap(), 4);
    let mut frames = Dicom::new(make::EXPLICIT, 2, 1, (8, 8));
    frames.text(0x0028, 0x0008, b"IS", "5").octets(&[0; 4]);
    assert_eq!(count("d", &frames.bytes()).unwrap(), 5);
    assert!(count("e.png", b"text").unwrap_err().to_string().contains("e.png"));
}

/// Read as if it were not there, every row of such a file is mirrored in pieces of eight pixels.
#[test]
fn bits_that_run_backwards_are_refused_by_the_tag_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // 16 x 8 pixels of one bit, by the tag FillOrder.
    let of = |order: u16, compression: u16| {
        let tags = [(256, 16), (257, 8), (258, 1), (259, compression), (262, 1)];
        let value = [order.to_be_bytes(), [0; 2]].concat().try_into().unwrap();
        make::tiff(&tags, (266, 3, 1, value), 8, &[0b1100_0000; 16])
    };
    let stack = decode(&of(1, 1), &ReadOptions::default()).unwrap();
    assert_eq!(stack.planes[0].values[..4], [1.0, 1.0, 0.0, 0.0]);
    let (image, mask) = (folder.path().join("image"), folder.path().join("mask"));
    let plain = DynamicImage::from(GrayImage::new(16, 8));
    std::fs::write(&image, make::picture(&plain, ImageFormat::Png)).unwrap();
    // Plain, LZW, fax of group 4, PackBits.
    for compression in [1, 5, 4, 32773] {
        let bytes = of(2, compression);
        let error = decode(&bytes, &ReadOptions::default()).unwrap_err().to_string();
        assert!(error.contains("a FillOrder (266) of 2") && error.contains("as PNG"), "{error}");
        std::fs::write(&mask, &bytes).unwrap();
        let error = masked(&image, &mask, &MaskOptions::default()).unwrap_err();
        assert!(error.contains("a FillOrder (266) of 2"), "{error}");
    }
    let error = decode(&of(3, 1), &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("FillOrder (266): expected 1 or 2, found 3"), "{error}");
    // Twice in one directory: of the two one is wrong, whichever a reader takes.
    let tags = [(256, 16), (257, 8), (258, 1), (259, 1), (262, 1), (266, 1)];
    let twice = make::tiff(&tags, (266, 3, 1, [0, 2, 0, 0]), 8, &[0b1100_0000; 16]);
    let error = decode(&twice, &ReadOptions::default()).unwrap_err().to_string();
    let expected =
        "FillOrder (266): expected one value, found it twice in one directory, as 1 and as 2";
    assert!(error.contains(expected), "{error}");
}
