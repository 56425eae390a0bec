//! Prediction sheets: what several models make of the same samples, side by side.

mod text;

use std::io::Cursor;
use std::path::Path;

use image::{Rgb, RgbImage, imageops};

use self::text::{Line, Size, width};
use crate::chart::shortened as letters_at_most;
use crate::data::{DataError, Sample};
use crate::error::LearnError;
use crate::task::panel::shown;
use crate::task::{Caption, Panel, Task, Tint};
use crate::train::predict;
use ringfence_durable::Readers;
use ringfence_weights::Weights;

/// Side of a panel on the sheet, in pixels: images are enlarged to it.
const PANEL: u32 = 192;
const GAP: u32 = 12;
/// Heights of the title, of the legend and of the columns' names.
const TITLE: u32 = 38;
const LEGEND: u32 = 24;
const NAMES: u32 = 34;
const HEADER: u32 = TITLE + LEGEND + NAMES;
/// Height of a caption: two lines.
const CAPTION: u32 = 2 * LINE + 4;
const LINE: u32 = 17;
const PAPER: Rgb<u8> = Rgb([250, 250, 248]);
const INK: Rgb<u8> = Rgb([32, 36, 44]);
const RIGHT: Rgb<u8> = Rgb([22, 122, 62]);
const WRONG: Rgb<u8> = Rgb([190, 36, 36]);

/// The title of a sheet of a site's test images; `generated` says whether these are phantoms.
#[must_use]
pub fn title(site: &str, generated: bool) -> String {
    let what = if generated { "generated phantoms, no patients" } else { "test images" };
    format!("{site}: {what}")
}

/// What a sheet says above its pictures, and what its masks show.
#[derive(Clone, Copy, Debug)]
pub struct Heading<'a> {
    /// The title: whose images these are.
    pub title: &'a str,
    /// What lies inside the masks: a lesion, a vessel.
    pub object: &'a str,
}

/// Draws a sheet: one row a sample; columns image, truth, and one for each captioned model.
///
/// A segmentation is drawn over the image. A class is written, green when right and red when wrong:
/// the image stands in the first column only.
///
/// # Errors
/// [`LearnError::NoSamples`] for no samples, and as [`predict`].
pub fn sheet(
    task: &dyn Task,
    heading: Heading<'_>,
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
    let mut rows = Vec::new();
    for (row, sample) in samples.iter().enumerate() {
        let caption = Caption::Text(sample.name.clone());
        let mut panels = vec![Panel { picture: Some(shown(sample)), caption, right: None }];
        panels.push(task.picture(sample, None)?);
        for logits in &predictions {
            panels.push(task.picture(sample, Some(&logits[row]))?);
        }
        rows.push(panels);
    }
    let names = ["image", "truth"].into_iter().chain(columns.iter().map(|(caption, _)| *caption));
    let names: Vec<&str> = names.collect();
    let mut page = panels(heading, &names, &rows);
    draw_legend(&mut page, &rows);
    Ok(page)
}

/// Draws rows of panels below a title and the columns' names, without a legend.
#[must_use]
pub fn panels(heading: Heading<'_>, names: &[&str], rows: &[Vec<Panel>]) -> RgbImage {
    let across = u32::try_from(names.len()).unwrap_or(u32::MAX);
    let down = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let size = (GAP + across * (PANEL + GAP), HEADER + down * (PANEL + CAPTION + GAP));
    let mut page = RgbImage::from_pixel(size.0, size.1, PAPER);

    let title = shortened(heading.title, Size::Title, size.0 - 2 * GAP);
    Line { text: &title, size: Size::Title, colour: INK }.draw_from(&mut page, GAP, TITLE / 2);
    for (column, name) in names.iter().enumerate() {
        let name = shortened(name, Size::Title, PANEL);
        let line = Line { text: &name, size: Size::Title, colour: INK };
        line.draw_centred(&mut page, centre(column), TITLE + LEGEND + NAMES / 2);
    }
    for (row, panels) in rows.iter().enumerate() {
        for (column, panel) in panels.iter().enumerate() {
            draw_panel(&mut page, panel, heading.object, (column, row));
        }
    }
    page
}

/// Draws a sheet and writes it as a PNG file.
///
/// # Errors
/// As [`sheet`], and [`DataError::Image`] when the file cannot be written.
pub fn save_sheet(
    path: &Path,
    task: &dyn Task,
    heading: Heading<'_>,
    samples: &[Sample],
    columns: &[(&str, &Weights)],
) -> Result<(), LearnError> {
    save_png(path, &sheet(task, heading, samples, columns)?)
}

/// Writes a picture as a PNG file.
///
/// # Errors
/// [`DataError::Image`] when the file cannot be written.
pub fn save_png(path: &Path, page: &RgbImage) -> Result<(), LearnError> {
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

/// What the colours mean: of masks, or of classes' names.
fn draw_legend(page: &mut RgbImage, rows: &[Vec<Panel>]) {
    let masks = rows.iter().flatten().any(|panel| matches!(panel.caption, Caption::Inside(_)));
    let entries = match masks {
        true => [(Tint::Truth.colour(), "truth"), (Tint::Prediction.colour(), "prediction")],
        false => [(RIGHT, "right"), (WRONG, "wrong")],
    };
    let (mut x, y) = (GAP, TITLE + LEGEND / 2);
    for (colour, text) in entries {
        let square = RgbImage::from_pixel(LINE - 3, LINE - 3, colour);
        imageops::replace(page, &square, x.into(), (y - (LINE - 3) / 2).into());
        x += LINE + 3;
        Line { text, size: Size::Caption, colour: INK }.draw_from(page, x, y);
        x += width(text, Size::Caption) + 2 * GAP;
    }
}

fn draw_panel(page: &mut RgbImage, panel: &Panel, object: &str, (column, row): (usize, usize)) {
    let left = centre(column).saturating_sub(PANEL / 2);
    let top = HEADER + u32::try_from(row).unwrap_or(0) * (PANEL + CAPTION + GAP);
    let colour = match panel.right {
        Some(true) => RIGHT,
        Some(false) => WRONG,
        None => INK,
    };
    let text = match &panel.caption {
        Caption::Text(text) => text.clone(),
        Caption::Inside(percent) => format!("{object} {percent:.1} %"),
    };
    let (size, middle) = match &panel.picture {
        Some(picture) => {
            // Enlarged without smoothing, so that each pixel that was decided on can be seen.
            let nearest = imageops::FilterType::Nearest;
            let large = imageops::resize(picture, PANEL, PANEL, nearest);
            imageops::replace(page, &large, left.into(), top.into());
            (Size::Caption, top + PANEL + CAPTION / 2)
        }
        None => (Size::Title, top + PANEL / 2),
    };
    let lines = wrapped(&text, size, PANEL);
    let between = if panel.picture.is_some() { LINE } else { LINE + 6 };
    let first = middle - u32::try_from(lines.len().saturating_sub(1)).unwrap_or(0) * between / 2;
    for (y, text) in (first..).step_by(between as usize).zip(&lines) {
        Line { text, size, colour }.draw_centred(page, centre(column), y);
    }
}

fn centre(column: usize) -> u32 {
    GAP + u32::try_from(column).unwrap_or(0) * (PANEL + GAP) + PANEL / 2
}

/// A text on one line or two; broken behind a separator where the first half has one.
fn wrapped(text: &str, size: Size, across: u32) -> Vec<String> {
    if width(text, size) <= across {
        return vec![text.to_owned()];
    }
    let letters: Vec<char> = text.chars().collect();
    let most = usize::try_from(across / width("m", size)).unwrap_or(1).max(3);
    let separates = |letter: &char| "/ _-.".contains(*letter);
    let first = letters.iter().take(most);
    let end = first.enumerate().skip(most / 2).rfind(|(_, letter)| separates(letter));
    let end = end.map_or(most, |(index, _)| index + 1);
    let (first, rest) = letters.split_at(end.min(letters.len()));
    let rest = rest.iter().collect::<String>();
    vec![first.iter().collect(), shortened(&rest, size, across)]
}

/// A text that fits so many pixels, its middle left out where it is too long.
fn shortened(text: &str, size: Size, across: u32) -> String {
    letters_at_most(text, usize::try_from(across / width("m", size)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_are_shown_on_two_lines() {
        let lines = |text| wrapped(text, Size::Caption, PANEL);
        assert_eq!(lines("scan-1.png"), ["scan-1.png"]);
        assert_eq!(
            lines("hospital-north/p0012/slice_031.png"),
            ["hospital-north/p0012/", "slice_031.png"]
        );
        assert_eq!(lines("abcdefghijklmnopqrstuvwxyz"), ["abcdefghijklmnopqrstu", "vwxyz"]);
        let long = "a-university-hospital/of-the-north/patient-0012/series-3/slice_031.png";
        let [first, second] = &lines(long)[..] else { panic!("{:?}", lines(long)) };
        assert_eq!(first, "a-university-");
        assert!(second.starts_with("hospital/o") && second.ends_with("_031.png"), "{second}");
        assert!(width(second, Size::Caption) <= PANEL);
    }
}
