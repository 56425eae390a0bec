//! Files that hold more pictures than one, or more than they say: none of it is dropped in silence.

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, GrayImage, ImageFormat, Luma, RgbaImage};
use ringfence_imaging::{MaskOptions, ReadOptions, decode};

use crate::make::{self, Dicom, chunk};
use crate::masks::masked;

fn refused(bytes: &[u8]) -> String {
    decode(bytes, &ReadOptions::default()).unwrap_err().to_string()
}

fn grey() -> GrayImage {
    GrayImage::from_fn(4, 3, |x, y| Luma([(x * 50 + y * 20) as u8]))
}

/// A TIFF whose first page is followed by pages of the same pixels, each with this entry first where
/// there is one: a tag, a type, and a value.
fn pages(more: &[Option<(u16, u16, u32)>]) -> Vec<u8> {
    let mut file = make::picture(&DynamicImage::from(grey()), ImageFormat::Tiff);
    assert_eq!(file[..2], *b"II");
    let long = |file: &[u8], at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let start = long(&file, 4) as usize;
    let count = u16::from_le_bytes(file[start..start + 2].try_into().unwrap());
    let entries = file[start + 2..start + 2 + 12 * usize::from(count)].to_vec();
    let mut next = start + 2 + entries.len();
    for entry in more {
        let here = file.len() as u32;
        file[next..next + 4].copy_from_slice(&here.to_le_bytes());
        file.extend((count + u16::from(entry.is_some())).to_le_bytes());
        if let Some((tag, kind, value)) = entry {
            file.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            file.extend([1_u32.to_le_bytes(), value.to_le_bytes()].concat());
        }
        file.extend(&entries);
        next = file.len();
        file.extend([0; 4]);
    }
    file
}

#[test]
fn pages_and_frames_are_refused_unless_there_is_one() {
    let whole = decode(&pages(&[]), &ReadOptions::default()).unwrap();
    // A smaller copy, a mask of transparency, and a copy as older programs say it.
    let lesser = [Some((254, 4, 1)), Some((254, 4, 4)), Some((255, 3, 2))];
    assert_eq!(decode(&pages(&lesser), &ReadOptions::default()).unwrap(), whole);
    for more in [&[None][..], &[Some((254, 4, 2))], &[lesser[0], None]] {
        assert!(refused(&pages(more)).contains("TIFF file with 2 pages, which is not read"));
    }
    // Pages that lead back to the first do not go on for ever.
    let mut ring = pages(&[None]);
    let first = ring[4..8].to_vec();
    let last = ring.len() - 4;
    ring[last..].copy_from_slice(&first);
    assert!(refused(&ring).contains("2 pages"));

    let gif = |frames: usize| {
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new(&mut bytes);
        let frame = || Frame::new(RgbaImage::from_pixel(4, 3, [9, 9, 9, 255].into()));
        encoder.encode_frames((0..frames).map(|_| frame())).unwrap();
        drop(encoder);
        bytes
    };
    decode(&gif(1), &ReadOptions::default()).unwrap();
    assert!(refused(&gif(3)).contains("GIF file with 3 frames"));
    let mut png = Cursor::new(Vec::new());
    DynamicImage::from(grey()).write_to(&mut png, ImageFormat::Png).unwrap();
    let png = png.into_inner();
    // After the header chunk.
    let animated = |frames: u8| {
        let control = chunk(b"acTL", &[0, 0, 0, frames, 0, 0, 0, 0]);
        let (header, rest) = png.split_at(33);
        [header, &control, rest].concat()
    };
    assert!(refused(&animated(2)).contains("PNG file with 2 frames"));
    // Masks, too.
    let folder = tempfile::tempdir().unwrap();
    let [image, mask] = ["image.png", "mask"].map(|name| folder.path().join(name));
    std::fs::write(&image, &png).unwrap();
    for (bytes, said) in [(pages(&[None]), "2 pages"), (gif(2), "2 frames")] {
        std::fs::write(&mask, bytes).unwrap();
        let error = masked(&image, &mask, &MaskOptions::default()).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn frames_that_a_file_does_not_count_are_refused() {
    let with = |bytes: usize| {
        let mut file = Dicom::new(make::EXPLICIT, 4, 2, (8, 8));
        file.octets(&vec![7; bytes]);
        file
    };
    for filled in [8, 9, 10] {
        decode(&with(filled).bytes(), &ReadOptions::default()).unwrap();
    }
    let said = "expected 8 bytes of pixel data, as its number of frames (1), size and samples say";
    assert!(refused(&with(16).bytes()).contains(&format!("{said}, found 16")));
    decode(with(16).text(0x0028, 0x0008, b"IS", "2").bytes().as_slice(), &ReadOptions::default())
        .unwrap();
    // Whole chroma under the name of shared chroma.
    let mut whole = with(24);
    whole.text(0x0028, 0x0004, b"CS", "YBR_FULL_422").word(0x0028, 0x0002, 3);
    assert!(refused(&whole.bytes()).contains("expected 16 bytes of pixel data"));
    decode(whole.octets(&[7; 16]).bytes().as_slice(), &ReadOptions::default()).unwrap();

    let mut coded = Dicom::new(make::RLE, 4, 2, (8, 8));
    let frame = make::rle(&[vec![7; 8]]);
    decode(
        coded.fragments(std::slice::from_ref(&frame)).bytes().as_slice(),
        &ReadOptions::default(),
    )
    .unwrap();
    let error = refused(&coded.fragments(&[frame.clone(), frame]).bytes());
    assert!(error.contains("expected one frame, found 2 fragments of several"), "{error}");
}
