//! Checksums and end marks: what shows that a file is damaged or cut where its values do not.

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, Rgba};
use ringfence_imaging::{Limits, ReadOptions, decode};

use crate::make::{self, Dicom, Nifti};

fn refused(bytes: &[u8]) -> String {
    decode(bytes, &ReadOptions::default()).unwrap_err().to_string()
}

fn volume() -> Vec<u8> {
    make::gzip(&Nifti::counting(&[8, 8, 3, 2], (4, 16), false, |index| index as i16).bytes())
}

#[test]
fn gzip_is_read_to_its_trailer() {
    let whole = volume();
    decode(&whole, &ReadOptions::default()).unwrap();
    // The last eight bytes are the checksum and the length (RFC 1952, 2.3.1).
    for at in whole.len() - 8..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(refused(&changed).contains("after its voxels"), "byte {at}");
        assert!(refused(&whole[..at]).contains("after its voxels"), "cut at {at}");
    }
    assert!(refused(&[&whole[..], b"more"].concat()).contains("after its voxels"));
    // A second member continues the first; it is inflated within the limits.
    let bomb = [&whole[..], &make::gzip(&vec![0; 1 << 20])].concat();
    let limits = Limits { bytes: 1 << 16, ..Limits::default() };
    let error = decode(&bomb, &ReadOptions { limits, ..ReadOptions::default() }).unwrap_err();
    assert!(error.to_string().contains("at most 65536"), "{error}");
}

/// Zeros that fill up a block are no part of the data: `gzip -d` passes over them (gzip manual,
/// "Tapes"). Whatever else follows is counted.
#[test]
fn zeros_may_follow_a_gzip_file_and_nothing_else() {
    let whole = volume();
    let expected = decode(&whole, &ReadOptions::default()).unwrap().planes;
    for zeros in [1, 511, 70_000] {
        let padded = [&whole[..], &vec![0; zeros]].concat();
        assert_eq!(decode(&padded, &ReadOptions::default()).unwrap().planes, expected);
    }
    for (more, found) in [(&b"\n"[..], 1), (b"\0\0\n", 3), (b"\0\x1f\x8b", 3), (b"more", 4)] {
        let error = refused(&[&whole[..], more].concat());
        let said = format!("found neither: after it {found} bytes that are neither; cut them off");
        assert!(error.contains(&said), "{error}");
    }
}

/// Of what follows nobody knows what it is: another file's end, or another file.
#[test]
fn nothing_follows_the_last_voxel_of_a_nifti_file() {
    let plain = Nifti::counting(&[8, 8, 3, 2], (4, 16), false, |index| index as i16).bytes();
    let (half, rest) = plain.split_at(500);
    // One stream in two members, as programs write that pack in pieces.
    decode(&[make::gzip(half), make::gzip(rest)].concat(), &ReadOptions::default()).unwrap();
    let longer = [&plain[..], b"more"].concat();
    let twice = [make::gzip(&plain), make::gzip(&plain)].concat();
    let cut = &plain[..plain.len() - 2];
    let later = "expected 384 bytes of the volumes of later times, found";
    for (bytes, expected) in [
        (longer.clone(), format!("{later} 388")),
        (make::gzip(&longer), format!("{later} 388")),
        (twice, format!("{later} {}", 384 + plain.len())),
        (cut.to_vec(), format!("{later} 382")),
        (make::gzip(cut), format!("{later} 382")),
    ] {
        let error = refused(&bytes);
        assert!(error.contains("after its voxels") && error.contains(&expected), "{error}");
    }
    let one = Nifti::counting(&[8, 8, 3], (4, 16), false, |index| index as i16).bytes();
    let error = refused(&make::gzip(&[&one[..], b"more"].concat()));
    assert!(error.contains("after its voxels: expected the end of the file, found 4"), "{error}");
}

fn png() -> Vec<u8> {
    let image = ImageBuffer::from_fn(30, 20, |x, y| Luma([(x * 7 + y * 3) as u8]));
    make::picture(&DynamicImage::from(image), ImageFormat::Png)
}

/// A chunk with its checksum.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let covered = [&kind[..], data].concat();
    let mut sum = flate2::Crc::new();
    sum.update(&covered);
    [&(data.len() as u32).to_be_bytes()[..], &covered, &sum.sum().to_be_bytes()].concat()
}

#[test]
fn every_chunk_of_a_png_fits_its_checksum_up_to_the_end_chunk() {
    let whole = png();
    decode(&whole, &ReadOptions::default()).unwrap();
    let error = refused(&whole[..whole.len() - 12]);
    assert!(error.contains("expected an end chunk, found none"), "{error}");
    for cut in whole.len() - 11..whole.len() {
        assert!(refused(&whole[..cut]).contains("ends within a chunk"), "{cut}");
    }
    // A chunk that decoders pass over, right and with a changed byte.
    let (start, end) = whole.split_at(whole.len() - 12);
    let text = chunk(b"tEXt", b"Comment\0a note");
    decode(&[start, &text, end].concat(), &ReadOptions::default()).unwrap();
    let mut changed = text.clone();
    changed[18] ^= 1;
    let error = refused(&[start, &changed, end].concat());
    assert!(error.contains("the checksum of its chunk tEXt"), "{error}");
    // The deflated pixels have a checksum of their own, at the end of the last IDAT.
    let at = whole.windows(4).rposition(|kind| kind == b"IDAT").unwrap();
    let length = u32::from_be_bytes(whole[at - 4..at].try_into().unwrap()) as usize;
    let mut pixels = whole[at + 4..at + 4 + length].to_vec();
    *pixels.last_mut().unwrap() ^= 1;
    let error = refused(&[&whole[..at - 4], &chunk(b"IDAT", &pixels), end].concat());
    assert!(error.contains("its pixels"), "{error}");
}

#[test]
fn a_jpeg_and_a_gif_end_with_their_marks() {
    let image = DynamicImage::from(ImageBuffer::from_fn(30, 20, |x, y| Luma([(x * 7 + y) as u8])));
    let jpeg = make::picture(&image, ImageFormat::Jpeg);
    // A thumbnail brings an end mark of its own, before the scan.
    let length = (jpeg.len() as u16 + 2).to_be_bytes();
    let thumbnail = [&jpeg[..2], &[0xff, 0xed], &length, &jpeg, &jpeg[2..]].concat();
    for whole in [&jpeg, &thumbnail] {
        decode(whole, &ReadOptions::default()).unwrap();
        decode(&[whole, &b"more"[..]].concat(), &ReadOptions::default()).unwrap();
        for cut in [whole.len() - 1, whole.len() - 2, whole.len() - 20] {
            let error = refused(&whole[..cut]);
            assert!(error.contains("expected an end marker after the last scan"), "{error}");
        }
    }
    let colour = ImageBuffer::from_fn(30, 20, |x, y| Rgba([x as u8, y as u8, 3, 255]));
    let gif = make::picture(&DynamicImage::from(colour), ImageFormat::Gif);
    decode(&gif, &ReadOptions::default()).unwrap();
    let error = refused(&gif[..gif.len() - 1]);
    assert!(error.contains("expected a trailer at its end"), "{error}");
}

#[test]
fn encoded_dicom_ends_with_its_marks() {
    let samples: Vec<u16> = (0..240).map(|index: u16| index * 173 % 4096).collect();
    let mut jpeg_ls = Vec::new();
    jpegls::encode(&samples, 20, 12, &mut jpeg_ls).unwrap();
    let lossless = make::jpeg_lossless(&samples, 20, 12);
    for (uid, stream) in [(make::JPEG_LS, jpeg_ls), (make::JPEG_LOSSLESS, lossless)] {
        let mut file = Dicom::new(uid, 20, 12, (16, 12));
        decode(&file.fragments(std::slice::from_ref(&stream)).bytes(), &ReadOptions::default())
            .unwrap();
        let error = refused(&file.fragments(&[stream[..stream.len() - 2].to_vec()]).bytes());
        assert!(error.contains("expected an end marker"), "{uid}: {error}");
    }
    let mut deflated = Dicom::new(make::DEFLATED, 20, 12, (16, 12));
    let whole = deflated.words(&samples).bytes();
    decode(&[&whole[..], &[0]].concat(), &ReadOptions::default()).unwrap();
    let error = refused(&[&whole[..], b"more"].concat());
    assert!(error.contains("4 bytes after the end of its data set"), "{error}");
    // Some programs leave the trailer of gzip.
    let mut sum = flate2::Crc::new();
    sum.update(&Dicom::new(make::EXPLICIT, 20, 12, (16, 12)).words(&samples).bare());
    let trailer = [sum.sum().to_le_bytes(), sum.amount().to_le_bytes()].concat();
    let mut sealed = [whole, trailer].concat();
    decode(&sealed, &ReadOptions::default()).unwrap();
    *sealed.last_mut().unwrap() ^= 1;
    assert!(refused(&sealed).contains("8 bytes after the end of its data set"));
}
