//! Masks: what is taken for inside, and what is refused until it is chosen.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};
use ringfence_imaging::{Axis, Limits, MaskOptions, ReadOptions, decode, read, read_mask};

use crate::cases::{expected, path};
use crate::make::{self, Dicom, Nifti};

/// All planes of the mask, one after the other.
pub(crate) fn masked(image: &Path, mask: &Path, options: &MaskOptions) -> Result<Vec<f32>, String> {
    let image = read(image, &ReadOptions::default()).unwrap();
    let mask = read_mask(mask, &image, Axis::Axial, options, Limits::default());
    mask.map(|mask| mask.planes.concat()).map_err(|error| error.to_string())
}

pub(crate) fn labels(labels: &[u32]) -> MaskOptions {
    MaskOptions { labels: labels.to_vec(), channel: None }
}

pub(crate) fn channel(channel: usize) -> MaskOptions {
    MaskOptions { labels: Vec::new(), channel: Some(channel) }
}

fn case(folder: &str, ending: &str, options: &MaskOptions) -> Result<Vec<f32>, String> {
    let file = |name: &str| path(&format!("{folder}/{name}.{ending}"));
    masked(&file("te"), &file("te_m"), options)
}

#[test]
fn the_mask_of_case_4_lies_elsewhere() {
    let error = case("04_mask_geometry", "nii.gz", &MaskOptions::default()).unwrap_err();
    for part in ["te_m.nii.gz", "from (0, 0, 0)", "from (-63, -63, 0)", "2 slices of 64 x 64"] {
        assert!(error.contains(part), "{error}, expected {part}");
    }
    // With the header of its image it lies as it was drawn.
    let folder = tempfile::tempdir().unwrap();
    let inflate = |name: &str| {
        let bytes = std::fs::read(path(&format!("04_mask_geometry/{name}.nii.gz"))).unwrap();
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut plain)
            .unwrap();
        plain
    };
    let (image, mut mask) = (inflate("te"), inflate("te_m"));
    mask[252..328].copy_from_slice(&image[252..328]);
    let file = folder.path().join("te_m.nii");
    std::fs::write(&file, mask).unwrap();
    let found = masked(&path("04_mask_geometry/te.nii.gz"), &file, &MaskOptions::default());
    assert_eq!(found.unwrap(), expected("04_mask_geometry/expected.npy"));
}

#[test]
fn the_channel_of_case_5_is_chosen() {
    let folder = "05_mask_onehot_4d";
    let error = case(folder, "nii.gz", &MaskOptions::default()).unwrap_err();
    assert!(error.contains("found 2 volumes") && error.contains("--mask-channel"), "{error}");
    let lesion = case(folder, "nii.gz", &channel(1)).unwrap();
    assert_eq!(lesion, expected("05_mask_onehot_4d/expected.npy"));
    let background = case(folder, "nii.gz", &channel(0)).unwrap();
    assert!(background.iter().zip(&lesion).all(|(one, other)| one + other == 1.0));
    let error = case(folder, "nii.gz", &channel(2)).unwrap_err();
    assert!(error.contains("expected a mask channel below 2, found 2"), "{error}");
}

#[test]
fn the_fractions_of_case_6_count_from_one_half() {
    let found = case("06_seg_fractional", "dcm", &MaskOptions::default()).unwrap();
    assert_eq!(found, expected("06_seg_fractional/expected.npy"));
    assert_eq!(found.iter().sum::<f32>(), 173.0);
}

#[test]
fn labels_and_channels_of_case_7_are_chosen() {
    let folder = "07_mask_pictures/idx123";
    let error = case(folder, "png", &MaskOptions::default()).unwrap_err();
    assert!(error.contains("the values 0, 1, 2, 3") && error.contains("--mask-label"), "{error}");
    let all = case(folder, "png", &labels(&[1, 2, 3])).unwrap();
    assert_eq!(all, expected("07_mask_pictures/idx123/expected.npy"));
    let each = [1, 2, 3].map(|label| case(folder, "png", &labels(&[label])).unwrap());
    for (index, all) in all.iter().enumerate() {
        assert_eq!(each.iter().map(|mask| mask[index]).sum::<f32>(), *all);
    }
    assert!(each.iter().all(|mask| mask.contains(&1.0)));
    let folder = "07_mask_pictures/alpha_mask";
    let error = case(folder, "png", &MaskOptions::default()).unwrap_err();
    assert!(error.contains("transparency that is used (channel 3 of 4)"), "{error}");
    let alpha = case(folder, "png", &channel(3)).unwrap();
    assert_eq!(alpha, expected("07_mask_pictures/alpha_mask/expected.npy"));
}

#[test]
fn the_mask_of_case_8_lies_on_its_picture() {
    let (image, mask) = (path("08_exif/te.jpg"), path("08_exif/te_m.png"));
    let found = masked(&image, &mask, &MaskOptions::default()).unwrap();
    assert_eq!(found, expected("08_exif/expected.npy"));
}

const WIDTH: u32 = 40;
const HEIGHT: u32 = 24;

/// A disc.
fn inside(x: u32, y: u32) -> bool {
    (i64::from(x) - 18).pow(2) + (i64::from(y) - 11).pow(2) < 60
}

fn disc(inner: u8) -> GrayImage {
    ImageBuffer::from_fn(WIDTH, HEIGHT, |x, y| Luma([if inside(x, y) { inner } else { 0 }]))
}

/// What is read of a mask in this file on a grey picture of the same size.
fn of(bytes: &[u8], options: &MaskOptions) -> Result<Vec<f32>, String> {
    let folder = tempfile::tempdir().unwrap();
    let (image, mask) = (folder.path().join("image"), folder.path().join("mask"));
    std::fs::write(&image, make::picture(&disc(9).into(), ImageFormat::Png)).unwrap();
    std::fs::write(&mask, bytes).unwrap();
    masked(&image, &mask, options)
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    make::picture(&image.into(), ImageFormat::Png)
}

fn jpeg(image: &DynamicImage, quality: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality)).unwrap();
    bytes.into_inner()
}

fn expected_disc() -> Vec<f32> {
    (0..WIDTH * HEIGHT).map(|index| f32::from(inside(index % WIDTH, index / WIDTH))).collect()
}

#[test]
fn a_mask_of_two_levels_says_which_label_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let picture = write("picture", png(disc(9)));
    let volume = write("volume", Nifti::counting(&[3, 1, 2], (2, 8), false, |i| i as u8).bytes());
    let label_of = |image: &Path, mask: Vec<u8>, options: &MaskOptions| {
        let image = read(image, &ReadOptions::default()).unwrap();
        let mask = write("mask", mask);
        read_mask(&mask, &image, Axis::Axial, options, Limits::default()).unwrap().only_label
    };
    let any = MaskOptions::default();
    for label in [1, 2, 255] {
        assert_eq!(label_of(&picture, png(disc(label)), &any), Some(label.into()));
        let of = |index| if index == 2 { label } else { 0_u8 };
        let mask = Nifti::counting(&[3, 1, 2], (2, 8), false, of);
        assert_eq!(label_of(&volume, mask.bytes(), &any), Some(label.into()));
    }
    // Nothing inside, chosen labels and JPEG's blurred white say nothing of the kind.
    assert_eq!(label_of(&picture, png(disc(0)), &any), None);
    assert_eq!(label_of(&picture, png(disc(2)), &labels(&[2])), None);
    assert_eq!(label_of(&picture, jpeg(&disc(255).into(), 75), &any), None);
}

/// A grey PNG of few bits is spread over 0 to 255: 1 is no value of its own there.
#[test]
fn a_mask_without_the_label_that_is_chosen_says_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("image"), png(disc(9))).unwrap();
    let image = read(&at("image"), &ReadOptions::default()).unwrap();
    let of = |bytes: Vec<u8>, options: &MaskOptions| {
        std::fs::write(at("mask"), bytes).unwrap();
        let mask = read_mask(&at("mask"), &image, Axis::Axial, options, Limits::default());
        mask.unwrap().without_chosen
    };
    let mut bits = Vec::new();
    let mut encoder = png::Encoder::new(&mut bits, WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let row = vec![0b1010_1010; WIDTH.div_ceil(8) as usize];
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&row.repeat(HEIGHT as usize)).unwrap();
    writer.finish().unwrap();
    let spread = "the values 0, 255 (a grey PNG of fewer than 8 bits counts from 0 to 255)";
    assert_eq!(of(bits.clone(), &labels(&[1])).as_deref(), Some(spread));
    assert_eq!(of(bits.clone(), &labels(&[255])), None);
    assert_eq!(of(bits, &MaskOptions::default()), None);
    assert_eq!(of(png(disc(2)), &labels(&[3, 4])).as_deref(), Some("the values 0, 2"));
    assert_eq!(of(png(disc(2)), &labels(&[3, 2])), None);
    assert_eq!(of(png(disc(0)), &labels(&[1])).as_deref(), Some("the value 0"));
}

/// A TIFF may store white as 0. Its labels are the values that it shows, as of other pictures, and not
/// those that it stores.
#[test]
fn labels_of_a_tiff_in_which_0_is_white_are_the_values_that_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let of = |(width, bits): (u16, u16), strip: &[u8], options: &MaskOptions| {
        let size = ImageBuffer::from_pixel(width.into(), 1, Luma([9_u8]));
        std::fs::write(at("image"), png(size)).unwrap();
        let tags = [(256, width), (257, 1), (258, bits), (259, 1), (262, 0)];
        std::fs::write(at("mask"), make::tiff(&tags, (274, 3, 1, [0, 1, 0, 0]), 1, strip)).unwrap();
        masked(&at("image"), &at("mask"), options)
    };
    let (any, bytes) = (MaskOptions::default(), (4, 8));
    let stored = [0, 255, 254, 0];
    assert_eq!(of(bytes, &stored, &labels(&[255])).unwrap(), [1.0, 0.0, 0.0, 1.0]);
    assert_eq!(of(bytes, &stored, &labels(&[1])).unwrap(), [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(of(bytes, &stored, &labels(&[254])).unwrap(), [0.0; 4]);
    let error = of(bytes, &stored, &any).unwrap_err();
    let values = "the values 0, 1, 255 (a TIFF in which 0 is white counts as it is shown)";
    assert!(error.contains(values) && error.contains("--mask-label"), "{error}");
    // What is shown as white is inside.
    assert_eq!(of(bytes, &[0, 255, 255, 0], &any).unwrap(), [1.0, 0.0, 0.0, 1.0]);
    assert_eq!(of((8, 1), &[0b0111_1101], &any).unwrap()[..2], [1.0, 0.0]);
    assert_eq!(of((8, 1), &[0b0111_1101], &labels(&[1])).unwrap()[..2], [1.0, 0.0]);
    let (deep, words) = ((2, 16), [0, 0, 0xff, 0xff]);
    assert_eq!(of(deep, &words, &labels(&[65535])).unwrap(), [1.0, 0.0]);
}

#[test]
fn two_levels_are_read_in_every_picture() {
    let rgb = ImageBuffer::from_fn(WIDTH, HEIGHT, |x, y| Rgb([u8::from(inside(x, y)) * 255; 3]));
    let rgba = ImageBuffer::from_fn(WIDTH, HEIGHT, |x, y| {
        let value = u8::from(inside(x, y)) * 255;
        Rgba([value, value, value, 255])
    });
    let wide = ImageBuffer::from_fn(WIDTH, HEIGHT, |x, y| Luma([u16::from(inside(x, y)) * 700]));
    let files = [
        png(disc(1)),
        png(disc(200)),
        png(disc(255)),
        png(rgb.clone()),
        png(rgba.clone()),
        png(wide),
        make::picture(&disc(255).into(), ImageFormat::Tiff),
        make::picture(&rgba.into(), ImageFormat::Gif),
        jpeg(&disc(255).into(), 75),
        jpeg(&disc(255).into(), 50),
        jpeg(&rgb.into(), 90),
    ];
    for (index, file) in files.iter().enumerate() {
        let found = of(file, &MaskOptions::default());
        assert_eq!(found.as_ref(), Ok(&expected_disc()), "file {index}");
    }
    for value in [0, 1, 255] {
        let flat = GrayImage::from_pixel(WIDTH, HEIGHT, Luma([value]));
        let found = of(&png(flat), &MaskOptions::default()).unwrap();
        assert!(found.iter().all(|found| *found == f32::from(value.min(1))), "{value}");
    }
}

#[test]
fn more_than_two_levels_are_refused_or_chosen() {
    let ones = ImageBuffer::from_fn(WIDTH, HEIGHT, |x, y| Luma([1 + u8::from(inside(x, y))]));
    let error = of(&png(ones.clone()), &MaskOptions::default()).unwrap_err();
    assert!(error.contains("found the values 1, 2;"), "{error}");
    assert_eq!(of(&png(ones), &labels(&[2])).unwrap(), expected_disc());
    let wide = ImageBuffer::from_fn(WIDTH, HEIGHT, |x, y| {
        Luma([if inside(x, y) { 300 } else { (x % 9) as u16 }])
    });
    let error = of(&png(wide.clone()), &MaskOptions::default()).unwrap_err();
    assert!(error.contains("0, 1, 2, 3, 4, 5 and more"), "{error}");
    assert_eq!(of(&png(wide), &labels(&[300])).unwrap(), expected_disc());
    // An anti-aliased edge is no level of its own, but neither is it told from one.
    let mut soft = disc(255);
    soft.put_pixel(18, 3, Luma([128]));
    let error = of(&png(soft), &MaskOptions::default()).unwrap_err();
    assert!(error.contains("0, 128, 255"), "{error}");
    assert!(of(&png(disc(255)), &labels(&[7])).unwrap().iter().all(|value| *value == 0.0));
}

#[test]
fn colour_and_transparency_are_refused_or_chosen() {
    let coded = ImageBuffer::from_fn(WIDTH, HEIGHT, |x, y| {
        Rgb(if inside(x, y) { [255_u8, 0, 0] } else { [0, 255, 0] })
    });
    let error = of(&png(coded.clone()), &MaskOptions::default()).unwrap_err();
    assert!(error.contains("colour (3 channels that differ)"), "{error}");
    assert_eq!(of(&png(coded.clone()), &channel(0)).unwrap(), expected_disc());
    let both = MaskOptions { labels: vec![0], channel: Some(1) };
    assert_eq!(of(&png(coded), &both).unwrap(), expected_disc());
    let alpha = ImageBuffer::from_fn(WIDTH, HEIGHT, |x, y| LumaA([255, u8::from(inside(x, y))]));
    let error = of(&png(alpha.clone()), &MaskOptions::default()).unwrap_err();
    assert!(error.contains("transparency that is used (channel 1 of 2)"), "{error}");
    assert_eq!(of(&png(alpha), &channel(1)).unwrap(), expected_disc());
}

#[test]
fn jpeg_masks_have_two_clear_levels() {
    let refused = |image: &GrayImage| {
        of(&jpeg(&image.clone().into(), 90), &MaskOptions::default()).unwrap_err()
    };
    assert!(refused(&disc(1)).contains("nothing brighter than 1 of 255"));
    assert!(refused(&disc(128)).contains("nothing brighter than"));
    let mut three = disc(255);
    for (x, y) in (0..10).flat_map(|x| (0..10).map(move |y| (x, y))) {
        three.put_pixel(x, y, Luma([128]));
    }
    assert!(refused(&three).contains("away from an edge, by column 0 and row 0"));
    let error = of(&jpeg(&disc(255).into(), 90), &labels(&[255])).unwrap_err();
    assert!(error.contains("JPEG, which changes values"), "{error}");
}

#[test]
fn volumes_are_chosen_from_alike() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let image = write("image", Nifti::counting(&[3, 1, 2], (2, 8), false, |i| i as u8).bytes());
    let read = |values: [f32; 6], options: &MaskOptions| {
        let file = Nifti::counting(&[3, 1, 2], (16, 32), false, |index| values[index]);
        let mut found = masked(&image, &write("mask", file.bytes()), options)?;
        // The right stands at the left edge.
        found.chunks_mut(3).for_each(<[f32]>::reverse);
        Ok::<_, String>(found)
    };
    let none = MaskOptions::default();
    assert_eq!(
        read([0.0, 0.0, 7.0, 0.0, 7.0, 0.0], &none).unwrap(),
        [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    );
    let organs = [0.0, 1.0, 2.0, 0.0, 2.0, 0.0];
    assert!(read(organs, &none).unwrap_err().contains("the values 0, 1, 2;"));
    assert_eq!(read(organs, &labels(&[2])).unwrap(), [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    let rescaled = [0.0, 1.0000001, 1.9999999, 0.0, 2.0000002, 0.0];
    assert_eq!(read(rescaled, &labels(&[2])).unwrap(), [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    let shares = [0.0, 0.49, 0.5, 1.0, 0.7, 0.1];
    assert_eq!(read(shares, &none).unwrap(), [0.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
    assert!(read([0.0, -1.0, 0.0, 0.0, 0.0, 0.0], &none).is_err());
    let error = read([0.0, f32::NAN, 1.0, 0.0, 0.0, 0.0], &none).unwrap_err();
    assert!(error.contains("no numbers"), "{error}");
    let colours = vec![0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0];
    let coded = Nifti {
        voxels: colours,
        datatype: (128, 24),
        ..Nifti::counting(&[3, 1, 2], (2, 8), false, |_| 0_u8)
    };
    let mask = write("coded", coded.bytes());
    assert!(masked(&image, &mask, &none).unwrap_err().contains("colour (3 channels"));
    let found = masked(&image, &mask, &channel(0)).unwrap();
    assert_eq!(found, [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
}

/// Labels are what is stored, whatever slope a file has for its values.
#[test]
fn labels_are_stored_values_where_a_file_rescales_them() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["image", "mask"].map(|name| folder.path().join(name));
    let read = |image: &[u8], mask: &[u8], options: &MaskOptions| {
        std::fs::write(&paths[0], image).unwrap();
        std::fs::write(&paths[1], mask).unwrap();
        masked(&paths[0], &paths[1], options)
    };
    let none = MaskOptions::default();
    let volume = |stored: [i16; 3], rescale: (f32, f32), options: &MaskOptions| {
        let mask = Nifti::counting(&[3, 1, 1], (4, 16), false, |index| stored[index]);
        let mask = Nifti { rescale, ..mask };
        let image = Nifti::counting(&[3, 1, 1], (2, 8), false, |index| index as u8);
        let mut found = read(&image.bytes(), &mask.bytes(), options)?;
        // The right stands at the left edge.
        found.reverse();
        Ok::<_, String>(found)
    };
    let picture = |stored: [u16; 3], (slope, intercept): (f32, f32), options: &MaskOptions| {
        let mut file = Dicom::new(make::EXPLICIT, 3, 1, (16, 16));
        let image = file.words(&[1, 2, 3]).bytes();
        file.decimals(0x0028, 0x1053, &[slope.into()]);
        file.decimals(0x0028, 0x1052, &[intercept.into()]);
        read(&image, &file.words(&stored).bytes(), options)
    };
    for rescale in [(0.5, 0.0), (2.0, 0.0), (1.0, -1024.0), (-1.0, 0.0)] {
        for (label, inside) in [(1, [0.0, 1.0, 0.0]), (2, [0.0, 0.0, 1.0])] {
            let found = volume([0, 1, 2], rescale, &labels(&[label])).unwrap();
            assert_eq!(found, inside, "{rescale:?}");
            let found = picture([0, 1, 2], rescale, &labels(&[label])).unwrap();
            assert_eq!(found, inside, "{rescale:?}");
        }
        let two = [volume([0, 1, 0], rescale, &none), picture([0, 1, 0], rescale, &none)];
        assert_eq!(two.map(Result::unwrap), [[0.0, 1.0, 0.0]; 2], "{rescale:?}");
        let three = [volume([0, 1, 2], rescale, &none), picture([0, 1, 2], rescale, &none)];
        for error in three.map(Result::unwrap_err) {
            let said = format!("values 0, 1, 2, stored with a slope of {}", rescale.0);
            assert!(error.contains(&said) && error.contains("--mask-label"), "{error}");
        }
    }
    // As nibabel saves zeros and ones in 16 bits; 0 is what the file calls so.
    let spread = (1.0 / 65535.0, 32768.0 / 65535.0);
    let found = volume([i16::MIN, i16::MAX, i16::MIN], spread, &none).unwrap();
    assert_eq!(found, [0.0, 1.0, 0.0]);
    assert_eq!(picture([1024, 1025, 1024], (1.0, -1024.0), &none).unwrap(), [0.0, 1.0, 0.0]);
    // Stored 0 is inside by the file's own values: nobody knows which is meant.
    for turned in [volume([0, 1, 0], (-1.0, 1.0), &none), picture([0, 1, 0], (-1.0, 1.0), &none)] {
        let error = turned.unwrap_err();
        assert!(error.contains("slope of -1 and an intercept of 1"), "{error}");
    }
}

/// What a refusal advises can be done: labels count from 1, and edges are no labels.
#[test]
fn the_advice_on_levels_fits_them() {
    let of = |values: [f32; 8], advice: &str| {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["image", "mask"].map(|name| folder.path().join(name));
        let image = Nifti::counting(&[8, 1, 1], (2, 8), false, |index| index as u8);
        std::fs::write(&paths[0], image.bytes()).unwrap();
        let mask = Nifti::counting(&[8, 1, 1], (16, 32), false, |index| values[index]);
        std::fs::write(&paths[1], mask.bytes()).unwrap();
        let error = masked(&paths[0], &paths[1], &MaskOptions::default()).unwrap_err();
        assert!(error.ends_with(advice), "{error}");
    };
    of([0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0], "choose those that are inside by --mask-label");
    of([0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], "save it with 0 outside and 1 inside");
    of([0.0, 32.0, 64.0, 99.0, 128.0, 160.0, 192.0, 255.0], "saved as 0 and 1");
}

#[test]
fn dicom_pictures_of_a_mask_are_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::write(&image, Dicom::new(make::EXPLICIT, 3, 2, (8, 8)).octets(&[9; 6]).bytes())
        .unwrap();
    let read = |file: &Dicom, options: &MaskOptions| {
        let mask = folder.path().join("mask");
        std::fs::write(&mask, file.bytes()).unwrap();
        masked(&image, &mask, options)
    };
    let none = MaskOptions::default();
    let mut file = Dicom::new(make::EXPLICIT, 3, 2, (8, 8));
    file.octets(&[0, 255, 0, 255, 0, 0]);
    assert_eq!(read(&file, &none).unwrap(), [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    file.text(0x0028, 0x0004, b"CS", "MONOCHROME1");
    assert!(read(&file, &none).unwrap_err().contains("MONOCHROME1"));
    assert_eq!(read(&file, &labels(&[0])).unwrap(), [1.0, 0.0, 1.0, 0.0, 1.0, 1.0]);
    file.text(0x0028, 0x0004, b"CS", "PALETTE COLOR").octets(&[0, 1, 2, 0, 1, 2]);
    assert!(read(&file, &none).unwrap_err().contains("a palette"));
    assert_eq!(read(&file, &labels(&[2])).unwrap(), [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    let mut colour = Dicom::new(make::EXPLICIT, 3, 2, (8, 8));
    colour.word(0x0028, 0x0002, 3).text(0x0028, 0x0004, b"CS", "RGB");
    colour.octets(&[0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    assert!(read(&colour, &none).unwrap_err().contains("colour"));
    assert_eq!(read(&colour, &channel(1)).unwrap(), [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    // A picture says nothing of the size of its image beyond its own.
    let mut other = Dicom::new(make::EXPLICIT, 2, 3, (8, 8));
    let error = read(other.octets(&[0; 6]), &none).unwrap_err();
    assert!(error.contains("3 x 2 pixels like its image, found 2 x 3"), "{error}");
    decode(&other.bytes(), &ReadOptions::default()).unwrap();
}
