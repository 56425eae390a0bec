//! Colour in DICOM: what the attributes say counts, in every encoding.

use image::{DynamicImage, ImageBuffer, ImageFormat, Rgb};
use ringfence_imaging::{Channels, Fault, Intensity, ReadOptions, decode};

use crate::make::{self, Dicom};

/// Two colours, six columns of each in eight rows, and the same in YBR_FULL.
const RGB: [[u8; 3]; 2] = [[200, 30, 60], [10, 180, 90]];
const YBR: [[u8; 3]; 2] = [[84, 114, 211], [150, 60, 90]];

fn pixels(colours: [[u8; 3]; 2]) -> Vec<u8> {
    (0..96).flat_map(|pixel| colours[pixel % 12 / 6]).collect()
}

fn planes(colours: [[u8; 3]; 2]) -> Vec<Vec<u8>> {
    let pixels = pixels(colours);
    (0..3).map(|channel| pixels.iter().skip(channel).step_by(3).copied().collect()).collect()
}

fn file(uid: &'static str, photometric: &str) -> Dicom {
    let mut file = Dicom::new(uid, 12, 8, (8, 8));
    file.word(0x0028, 0x0002, 3).word(0x0028, 0x0006, 0);
    file.text(0x0028, 0x0004, b"CS", photometric);
    file
}

/// Grey values of the two colours, in [0, 255].
fn greys(file: &Dicom) -> Result<[f32; 2], Fault> {
    let options = ReadOptions { intensity: Intensity::Stored, ..ReadOptions::default() };
    let stack = decode(&file.bytes(), &options)?;
    let values = &stack.planes[0].values;
    Ok([values[13], values[22]])
}

fn luma([red, green, blue]: [f64; 3]) -> f32 {
    (0.2126 * red + 0.7152 * green + 0.0722 * blue) as f32
}

/// The equations of PS3.3, C.7.6.3.1.2, solved for RGB.
fn of_ybr([y, blue, red]: [u8; 3]) -> f32 {
    let (y, blue, red) = (f64::from(y), f64::from(blue) - 128.0, f64::from(red) - 128.0);
    luma(
        [y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue]
            .map(|value: f64| value.clamp(0.0, 255.0)),
    )
}

fn of_rgb(rgb: [u8; 3]) -> f32 {
    luma(rgb.map(f64::from))
}

fn close(file: &Dicom, expected: [f32; 2], most: f32, what: &str) {
    let found = greys(file).unwrap();
    for (found, expected) in found.into_iter().zip(expected) {
        assert!((found - expected).abs() <= most, "{what}: {found}, expected {expected}");
    }
}

#[test]
fn plain_and_run_length_samples_are_what_the_attributes_say() {
    for (photometric, colours, expected) in
        [("RGB", RGB, RGB.map(of_rgb)), ("YBR_FULL", YBR, YBR.map(of_ybr))]
    {
        for uid in [make::EXPLICIT, make::IMPLICIT, make::DEFLATED, make::BIG_ENDIAN] {
            let mut by_pixel = file(uid, photometric);
            close(by_pixel.octets(&pixels(colours)), expected, 1e-3, photometric);
            let mut by_plane = file(uid, photometric);
            by_plane.word(0x0028, 0x0006, 1).octets(&planes(colours).concat());
            close(&by_plane, expected, 1e-3, photometric);
        }
        for planar in [0, 1] {
            let mut run_lengths = file(make::RLE, photometric);
            run_lengths.word(0x0028, 0x0006, planar).fragments(&[make::rle(&planes(colours))]);
            close(&run_lengths, expected, 1e-3, photometric);
        }
    }
    // Two pixels share their chroma.
    let pairs: Vec<u8> = (0..48)
        .flat_map(|pair| {
            let [y, blue, red] = YBR[pair % 6 / 3];
            [y, y, blue, red]
        })
        .collect();
    let mut subsampled = file(make::EXPLICIT, "YBR_FULL_422");
    close(subsampled.octets(&pairs), YBR.map(of_ybr), 1e-3, "YBR_FULL_422");
    let error = greys(subsampled.octets(&pairs[..188])).unwrap_err().to_string();
    assert!(error.contains("expected 192 bytes"), "{error}");
}

/// A baseline JPEG of the two colours in YCbCr, with a JFIF marker and the components 1, 2, 3.
fn jpeg() -> Vec<u8> {
    let image = ImageBuffer::from_fn(12, 8, |x, _| Rgb(RGB[x as usize / 6]));
    make::picture(&DynamicImage::from(image), ImageFormat::Jpeg)
}

/// The same with other names of its components, in the frame and in the scan.
fn renamed(mut jpeg: Vec<u8>, names: [u8; 3]) -> Vec<u8> {
    let after = |marker: u8, jpeg: &[u8]| {
        jpeg.windows(2).position(|pair| pair == [0xff, marker]).unwrap() + 2
    };
    let (frame, scan) = (after(0xc0, &jpeg), after(0xda, &jpeg));
    for (index, name) in names.into_iter().enumerate() {
        jpeg[frame + 8 + 3 * index] = name;
        jpeg[scan + 3 + 2 * index] = name;
    }
    jpeg
}

/// The same with an Adobe marker in the place of the JFIF marker.
fn adobe(jpeg: &[u8], transform: u8) -> Vec<u8> {
    let jfif = usize::from(u16::from_be_bytes([jpeg[4], jpeg[5]])) + 4;
    assert_eq!(jpeg[2..4], [0xff, 0xe0]);
    let marker = b"\xff\xd8\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0";
    [&marker[..], &[transform], &jpeg[jfif..]].concat()
}

#[test]
fn jpeg_components_are_what_the_attributes_say_whatever_its_markers() {
    let streams = [
        jpeg(),
        renamed(jpeg(), *b"RGB"),
        renamed(jpeg(), [0, 1, 2]),
        adobe(&jpeg(), 0),
        adobe(&jpeg(), 1),
        adobe(&renamed(jpeg(), *b"RGB"), 0),
    ];
    for (index, stream) in streams.iter().enumerate() {
        for photometric in ["YBR_FULL_422", "YBR_FULL"] {
            let mut coded = file(make::JPEG, photometric);
            coded.fragments(std::slice::from_ref(stream));
            close(&coded, RGB.map(of_rgb), 4.0, &format!("{photometric}, stream {index}"));
        }
        // Said to be RGB, the components are taken as that.
        let mut coded = file(make::JPEG, "RGB");
        coded.fragments(std::slice::from_ref(stream));
        close(&coded, [[84, 114, 211], [119, 112, 50]].map(of_rgb), 4.0, &format!("RGB, {index}"));
    }
    let mut other = file(make::JPEG, "YBR_PARTIAL_420");
    let error = greys(other.fragments(&[jpeg()])).unwrap_err().to_string();
    assert!(error.contains("YBR_PARTIAL_420"), "{error}");
}

#[test]
fn jpeg_2000_undoes_its_own_transform_only() {
    let stream = |name: &str| {
        std::fs::read(crate::cases::path(&format!("01_dicom_jpeg_colour/{name}.j2k"))).unwrap()
    };
    let read = |photometric, name: &str| {
        let mut file = file(make::JPEG_2000, photometric);
        file.fragments(&[stream(name)]);
        file
    };
    close(&read("YBR_RCT", "rgb_with_transform"), RGB.map(of_rgb), 1e-3, "YBR_RCT");
    close(&read("RGB", "rgb_with_transform"), RGB.map(of_rgb), 1e-3, "RGB, transformed");
    close(&read("RGB", "ybr_without_transform"), YBR.map(of_rgb), 1e-3, "RGB");
    close(&read("YBR_FULL", "ybr_without_transform"), YBR.map(of_ybr), 1e-3, "YBR_FULL");
    let error = greys(&read("YBR_RCT", "ybr_without_transform")).unwrap_err().to_string();
    assert!(error.contains("expected the multiple component transform of YBR_RCT"), "{error}");
}

#[test]
fn a_palette_gives_colours() {
    let expected = [of_rgb([255, 0, 10]), of_rgb([0, 100, 20])];
    let mut palette = Dicom::new(make::EXPLICIT, 3, 1, (8, 8));
    palette.text(0x0028, 0x0004, b"CS", "PALETTE COLOR").octets(&[4, 5, 9, 0]);
    let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    for (index, table) in [[255, 0], [0, 100], [10, 20]].iter().enumerate() {
        // Two entries, the first for the value 4.
        palette.put(0x0028, 0x1101 + index as u16, b"US", words(&[2, 4, 8]));
        palette.put(0x0028, 0x1201 + index as u16, b"OW", words(table));
    }
    let options = ReadOptions { intensity: Intensity::Stored, ..ReadOptions::default() };
    let stack = decode(&palette.bytes(), &options).unwrap();
    assert_eq!(stack.planes[0].values, [expected[0], expected[1], expected[1]]);
    let channels = Channels::Colour;
    let stack = decode(&palette.bytes(), &ReadOptions { channels, ..options }).unwrap();
    let planes = [[255.0, 0.0, 0.0], [0.0, 100.0, 100.0], [10.0, 20.0, 20.0]];
    assert_eq!(stack.planes[0].values, planes.concat());
    // Entries of 8 bits where 16 are stated, and in the upper half of their words where 8 are.
    for (stated, table) in [(16, [10, 20]), (8, [10 << 8, 20 << 8])] {
        for index in 0..3 {
            palette.put(0x0028, 0x1101 + index, b"US", words(&[2, 4, stated]));
            palette.put(0x0028, 0x1201 + index, b"OW", words(&table));
        }
        let error = decode(&palette.bytes(), &ReadOptions::default()).unwrap_err().to_string();
        let said = format!("found {} at most", table[1]);
        assert!(error.contains("PaletteColor") && error.contains(&said), "{error}");
    }
}

/// Red, green and blue in [0, 1] of the pixels 13 and 22, which are of the two colours.
fn colours(bytes: &[u8]) -> Result<[[f32; 3]; 2], Fault> {
    let options = ReadOptions { channels: Channels::Colour, ..ReadOptions::default() };
    let stack = decode(bytes, &options)?;
    let values = &stack.planes[0].values;
    assert_eq!(values.len(), 3 * stack.width * stack.height);
    Ok([13, 22].map(|pixel| [0, 1, 2].map(|channel| values[channel * 96 + pixel])))
}

#[test]
fn colours_stay_what_they_are_where_they_are_asked_for() {
    let close = |found: [[f32; 3]; 2], colours: [[u8; 3]; 2], most: f32, what: &str| {
        for (found, expected) in found.as_flattened().iter().zip(colours.as_flattened()) {
            let expected = f32::from(*expected) / 255.0;
            assert!((found - expected).abs() <= most, "{what}: {found}, expected {expected}");
        }
    };
    for planar in [0, 1] {
        let samples = if planar == 0 { pixels(RGB) } else { planes(RGB).concat() };
        let mut rgb = file(make::EXPLICIT, "RGB");
        rgb.word(0x0028, 0x0006, planar).octets(&samples);
        close(colours(&rgb.bytes()).unwrap(), RGB, 1e-6, "RGB");
    }
    // By the equations of PS3.3, up to rounding.
    let of_ybr = [[200, 30, 59], [97, 201, 30]];
    let mut ybr = file(make::EXPLICIT, "YBR_FULL");
    ybr.octets(&pixels(YBR));
    close(colours(&ybr.bytes()).unwrap(), of_ybr, 0.6 / 255.0, "YBR_FULL");
    let mut jpeg_file = file(make::JPEG, "YBR_FULL_422");
    jpeg_file.fragments(&[jpeg()]);
    close(colours(&jpeg_file.bytes()).unwrap(), RGB, 12.0 / 255.0, "JPEG");

    let mut grey = Dicom::new(make::EXPLICIT, 12, 8, (8, 8));
    grey.octets(&[7; 96]);
    let error = colours(&grey.bytes()).unwrap_err();
    assert!(matches!(error, Fault::Grey { .. }), "{error}");
    let windowed = ReadOptions {
        channels: Channels::Colour,
        intensity: Intensity::Window { center: 40.0, width: 80.0 },
        ..ReadOptions::default()
    };
    let error = decode(&ybr.bytes(), &windowed).unwrap_err().to_string();
    assert!(error.contains("option `window`: expected none for images in colour"), "{error}");
}
