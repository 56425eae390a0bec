//! Prediction sheets: what several models make of the same samples, side by side.

mod text;

use std::io::Cursor;
use std::path::Path;

use image::{Rgb, RgbImage, imageops};

use self::text::{Line, Size, width};
use crate::data::{DataError, Sample};
use crate::error::LearnError;
use crate::task::panel::shown;
use crate::task::{Panel, Task};
use crate::train::predict;
use ringfence_durable::Readers;
use ringfence_weights::Weights;

/// Side of a panel on the sheet, in pixels: images are enlarged to it.
const PANEL: u32 = 192;
const GAP: u32 = 12;
const HEADER: u32 = 40;
const CAPTION: u32 = 24;
const PAPER: Rgb<u8> = Rgb([250, 250, 248]);
const INK: Rgb<u8> = Rgb([32, 36, 44]);
const RIGHT: Rgb<u8> = Rgb([22, 122, 62]);
const WRONG: Rgb<u8> = Rgb([190, 36, 36]);

/// Draws a sheet: one row a sample; columns image, truth, and one for each captioned model.
///
/// A segmentation is drawn over the image, a class is written below it, green when right and red
/// when wrong.
///
/// # Errors
/// [`LearnError::NoSamples`] for no samples, and as [`predict`].
pub fn sheet(
    task: &dyn Task,
    samples: &[Sample],
    columns: &[(&str, &Weights)],
) -> Result<RgbImage, LearnError> {
    if samples.is_empty() {
        return Err(LearnError::NoSamples("draw"));
    }
    let predictions = columns
        .iter()
        .map(|(_, weights)| predict(task, weights, samples))
        .collect::<Result<Vec<_>, LearnError>>()?;
    let across = u32::try_from(columns.len() + 2).unwrap_or(u32::MAX);
    let down = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    let size = (GAP + across * (PANEL + GAP), HEADER + down * (PANEL + CAPTION + GAP));
    let mut page = RgbImage::from_pixel(size.0, size.1, PAPER);

    let titles = ["image", "truth"].into_iter().chain(columns.iter().map(|(caption, _)| *caption));
    for (column, title) in titles.enumerate() {
        let title = shortened(title, Size::Title);
        let line = Line { text: &title, size: Size::Title, colour: INK };
        line.draw_centred(&mut page, centre(column), HEADER / 2);
    }
    for (row, sample) in samples.iter().enumerate() {
        let image = Panel { picture: shown(sample), caption: sample.group.clone(), right: None };
        let mut panels = vec![image, task.picture(sample, None)?];
        for logits in &predictions {
            panels.push(task.picture(sample, Some(&logits[row]))?);
        }
        for (column, panel) in panels.iter().enumerate() {
            draw_panel(&mut page, panel, column, row);
        }
    }
    Ok(page)
}

/// Draws a sheet and writes it as a PNG file.
///
/// # Errors
/// As [`sheet`], and [`DataError::Image`] when the file cannot be written.
pub fn save_sheet(
    path: &Path,
    task: &dyn Task,
    samples: &[Sample],
    columns: &[(&str, &Weights)],
) -> Result<(), LearnError> {
    let page = sheet(task, samples, columns)?;
    let mut file = Cursor::new(Vec::new());
    let saved = page
        .write_to(&mut file, image::ImageFormat::Png)
        .and_then(|()| Ok(ringfence_durable::write(path, file.get_ref(), Readers::Usual)?));
    saved.map_err(|source| DataError::Image { path: path.to_path_buf(), source }.into())
}

/// A few samples that show a set well: from different patients as far as there are enough, and
/// those with the most to see first: the largest mask, else classes by turns.
#[must_use]
pub fn spread(samples: &[Sample], count: usize) -> Vec<Sample> {
    let inside =
        |sample: &Sample| sample.mask.as_ref().map_or(0.0, |mask| mask.iter().sum::<f32>());
    let mut left: Vec<&Sample> = samples.iter().collect();
    left.sort_by(|a, b| inside(b).total_cmp(&inside(a)));
    let mut chosen: Vec<Sample> = Vec::new();
    while chosen.len() < count && !left.is_empty() {
        let shown = |sample: &Sample| {
            let same_group = chosen.iter().filter(|other| other.group == sample.group).count();
            let same_class = chosen.iter().filter(|other| other.label == sample.label).count();
            (same_group, if sample.mask.is_some() { 0 } else { same_class })
        };
        let next = (0..left.len()).min_by_key(|index| shown(left[*index])).unwrap_or(0);
        chosen.push(left.remove(next).clone());
    }
    chosen
}

fn draw_panel(page: &mut RgbImage, panel: &Panel, column: usize, row: usize) {
    let left = centre(column).saturating_sub(PANEL / 2);
    let top = HEADER + u32::try_from(row).unwrap_or(0) * (PANEL + CAPTION + GAP);
    // Enlarged without smoothing, so that each pixel that was decided on can be seen.
    let large = imageops::resize(&panel.picture, PANEL, PANEL, imageops::FilterType::Nearest);
    imageops::replace(page, &large, left.into(), top.into());
    let colour = match panel.right {
        Some(true) => RIGHT,
        Some(false) => WRONG,
        None => INK,
    };
    let caption = shortened(&panel.caption, Size::Caption);
    let line = Line { text: &caption, size: Size::Caption, colour };
    line.draw_centred(page, centre(column), top + PANEL + CAPTION / 2);
}

fn centre(column: usize) -> u32 {
    GAP + u32::try_from(column).unwrap_or(0) * (PANEL + GAP) + PANEL / 2
}

/// A text that fits a panel's width, its middle left out where it is too long.
fn shortened(text: &str, size: Size) -> String {
    if width(text, size) <= PANEL {
        return text.to_string();
    }
    let letters: Vec<char> = text.chars().collect();
    let keep = (1..letters.len()).rev().find(|keep| {
        let kept = letters.iter().take(*keep).collect::<String>();
        width(&kept, size) + width("..", size) <= PANEL
    });
    let keep = keep.unwrap_or(1);
    let (head, tail) = (keep.div_ceil(2), keep / 2);
    let end = letters.iter().skip(letters.len() - tail);
    letters.iter().take(head).chain(&['.', '.']).chain(end).collect()
}
