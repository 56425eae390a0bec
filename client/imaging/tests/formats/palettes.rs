//! Masks with a palette: their labels are indices, and without labels their greys count.

use image::{GrayImage, ImageFormat};
use ringfence_imaging::MaskOptions;

use crate::make::{self, Palette};
use crate::masks::{channel, labels, masked};
use crate::orientation::exif;

/// No multiple of the pixels in a byte, and of those in a block of Adam7.
const WIDTH: usize = 37;
const HEIGHT: usize = 21;

const BLACK: [u8; 3] = [0; 3];
const WHITE: [u8; 3] = [255; 3];
const RED: [u8; 3] = [128, 0, 0];
const GREEN: [u8; 3] = [0, 128, 0];

/// Slanting stripes of the first so many indices.
fn stripes(count: usize, colours: &[[u8; 3]]) -> Palette {
    let index = |pixel: usize| ((pixel % WIDTH + 2 * (pixel / WIDTH)) / 3 % count) as u8;
    let indices = (0..WIDTH * HEIGHT).map(index).collect();
    Palette { width: WIDTH, indices, colours: colours.to_vec(), alphas: Vec::new() }
}

/// What is read of a mask on a grey picture of its size.
fn of(mask: &[u8], options: &MaskOptions) -> Result<Vec<f32>, String> {
    on((WIDTH, HEIGHT), mask, options)
}

fn on(size: (usize, usize), mask: &[u8], options: &MaskOptions) -> Result<Vec<f32>, String> {
    let folder = tempfile::tempdir().unwrap();
    let (image, file) = (folder.path().join("image"), folder.path().join("mask"));
    let grey = GrayImage::new(size.0 as u32, size.1 as u32);
    std::fs::write(&image, make::picture(&grey.into(), ImageFormat::Png)).unwrap();
    std::fs::write(&file, mask).unwrap();
    masked(&image, &file, options)
}

/// 1 where a pixel has one of these indices.
fn where_it_is(picture: &Palette, chosen: &[u8]) -> Vec<f32> {
    picture.indices.iter().map(|index| f32::from(chosen.contains(index))).collect()
}

#[test]
fn indices_are_chosen_in_png_of_every_depth() {
    // The colours of the PASCAL VOC masks, of which red and green differ in no grey.
    let voc = [BLACK, RED, GREEN, [128, 128, 0], [0, 0, 128]];
    for (bits, count) in [(1, 2), (2, 4), (4, 5), (8, 5)] {
        let mut picture = stripes(count, &voc[..count]);
        for alphas in [vec![], vec![0, 200]] {
            picture.alphas = alphas;
            for file in [picture.png(bits), picture.interlaced_png(bits)] {
                for index in 0..count as u8 {
                    let found = of(&file, &labels(&[index.into()])).unwrap();
                    assert_eq!(found, where_it_is(&picture, &[index]), "{bits} bits, {index}");
                }
                let found = of(&file, &labels(&[1, 3, 77])).unwrap();
                assert_eq!(found, where_it_is(&picture, &[1, 3]), "{bits} bits");
            }
        }
    }
}

#[test]
fn indices_are_chosen_in_gif() {
    let picture = stripes(4, &[BLACK, RED, GREEN, RED]);
    for (interlaced, transparent) in
        [(false, None), (true, None), (false, Some(0)), (true, Some(3))]
    {
        let file = picture.gif(interlaced, transparent, 0);
        for index in 0..4 {
            let found = of(&file, &labels(&[index.into()])).unwrap();
            assert_eq!(found, where_it_is(&picture, &[index]), "{interlaced} {transparent:?}");
        }
    }
    // Beside a frame that is narrower than the picture there are no indices.
    let error = on((WIDTH + 2, HEIGHT), &picture.gif(false, None, 2), &labels(&[1])).unwrap_err();
    assert!(error.contains("transparency that is used (channel 3 of 4)"), "{error}");
}

#[test]
fn black_and_one_grey_need_no_choice() {
    let grey = [128; 3];
    for (colours, inside) in
        [([BLACK, WHITE], 1), ([WHITE, BLACK], 0), ([BLACK, grey], 1), ([BLACK, [1; 3]], 1)]
    {
        let mut picture = stripes(2, &colours);
        let expected = where_it_is(&picture, &[inside]);
        // Alike everywhere, alpha says nothing.
        for alphas in [vec![], vec![9, 9]] {
            picture.alphas = alphas;
            let files = [picture.png(1), picture.interlaced_png(4), picture.png(8)];
            for file in files.into_iter().chain([picture.gif(true, None, 0)]) {
                assert_eq!(of(&file, &MaskOptions::default()).as_ref(), Ok(&expected));
            }
        }
    }
    for (colour, inside) in [(BLACK, 0.0), (WHITE, 1.0)] {
        let flat = stripes(1, &[colour, RED]);
        let found = of(&flat.png(2), &MaskOptions::default()).unwrap();
        assert!(found.iter().all(|value| *value == inside), "{colour:?}");
    }
}

#[test]
fn what_colours_do_not_say_is_refused_with_the_indices() {
    let mut clear = stripes(2, &[BLACK, WHITE]);
    clear.alphas = vec![0];
    for (picture, found) in [
        (stripes(2, &[BLACK, RED]), "the indices 0 (0, 0, 0), 1 (128, 0, 0) are in use"),
        (stripes(2, &[BLACK, BLACK]), "0 (0, 0, 0), 1 (0, 0, 0) are"),
        (stripes(3, &[BLACK, WHITE, WHITE]), "1 (255, 255, 255), 2 (255, 255, 255) are"),
        (stripes(2, &[[1; 3], WHITE]), "0 (1, 1, 1), 1 (255, 255, 255) are"),
        (stripes(1, &[RED, BLACK]), "the indices 0 (128, 0, 0) are"),
        (stripes(9, &[[7; 3]; 9]), "5 (7, 7, 7) and more are"),
        (clear, "0 (0, 0, 0, alpha 0), 1 (255, 255, 255) are"),
    ] {
        let error = of(&picture.png(4), &MaskOptions::default()).unwrap_err();
        for said in [found, "--mask-label", "--mask-channel"] {
            assert!(error.contains(said), "{error}, expected {said}");
        }
    }
}

#[test]
fn a_grey_is_no_index_and_chosen_by_its_channel() {
    let picture = stripes(2, &[BLACK, WHITE]);
    for file in [picture.png(1), picture.gif(false, None, 0)] {
        let error = of(&file, &labels(&[255])).unwrap_err();
        assert!(error.contains("--mask-label 255 is a grey"), "{error}");
        assert!(error.contains("0 (0, 0, 0), 1 (255, 255, 255)"), "{error}");
        let grey = MaskOptions { labels: vec![255], channel: Some(0) };
        assert_eq!(of(&file, &grey).unwrap(), where_it_is(&picture, &[1]));
    }
    // Where indices are greys, a label is both.
    let ramp: Vec<[u8; 3]> = (0..=255).map(|grey| [grey; 3]).collect();
    let ramp = stripes(3, &ramp).png(8);
    assert_eq!(of(&ramp, &labels(&[2])).unwrap(), where_it_is(&stripes(3, &[]), &[2]));
    // The other channels are those of the colours, with alpha where there is one.
    let mut coded = stripes(3, &[BLACK, RED, GREEN]);
    assert_eq!(of(&coded.png(2), &channel(1)).unwrap(), where_it_is(&coded, &[2]));
    let error = of(&coded.png(2), &channel(3)).unwrap_err();
    assert!(error.contains("expected a mask channel below 3, found 3"), "{error}");
    coded.alphas = vec![0, 9, 0];
    assert_eq!(of(&coded.png(2), &channel(3)).unwrap(), where_it_is(&coded, &[1]));
}

#[test]
fn an_index_without_a_colour_is_damage() {
    let picture = stripes(4, &[BLACK, RED, GREEN]);
    for file in [picture.png(2), picture.interlaced_png(8)] {
        for options in [MaskOptions::default(), labels(&[1])] {
            let error = of(&file, &options).unwrap_err();
            assert!(error.contains("expected indices below 3"), "{error}");
        }
    }
}

#[test]
fn palettes_are_turned_as_they_are_shown() {
    let picture = stripes(3, &[BLACK, RED, GREEN]);
    let mut file = picture.png(2);
    let end = file.len() - 12;
    file.splice(end..end, make::chunk(b"eXIf", &exif(6)));
    let found = on((HEIGHT, WIDTH), &file, &labels(&[2])).unwrap();
    // A quarter turn clockwise: the last row becomes the first column.
    let upright = where_it_is(&picture, &[2]);
    let turned = |index: usize| {
        let (x, y) = (index % HEIGHT, index / HEIGHT);
        upright[(HEIGHT - 1 - x) * WIDTH + y]
    };
    assert_eq!(found, (0..WIDTH * HEIGHT).map(turned).collect::<Vec<f32>>());
}
