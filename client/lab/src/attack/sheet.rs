//! Pictures side by side: what each stage gives away of each image.

use std::path::{Path, PathBuf};

use anyhow::Context;
use image::{DynamicImage, GrayImage};
use ringfence_learning::picture::{Heading, panels, save_png};
use ringfence_learning::task::{Caption, Panel};

use super::kept::{Kept, picture};
use super::material::Material;
use super::terms::{AttackName, Stage};

/// Images on a sheet at most.
const ROWS: usize = 6;

/// Where an attack's sheet is, in the report's folder.
pub(super) fn file(attack: AttackName) -> PathBuf {
    PathBuf::from(format!("{attack}.png"))
}

/// Draws the first images: the true one, the mean image, and what was made of what each stage shows,
/// with its PSNR.
///
/// # Errors
/// When a result is not there, or the file cannot be written.
pub(super) fn save(
    out: &Path,
    kept: &Kept,
    attack: AttackName,
    stages: &[Stage],
    material: &Material,
) -> anyhow::Result<()> {
    let stage_names: Vec<String> = stages.iter().map(ToString::to_string).collect();
    let names: Vec<&str> =
        ["image", "guess"].into_iter().chain(stage_names.iter().map(String::as_str)).collect();
    let mut rows = Vec::new();
    for (number, target) in material.targets.iter().enumerate().take(ROWS) {
        let first = kept.row(attack, *stages.first().context("no stage")?, number)?;
        let guess = picture(&target.grey(&material.public.mean));
        let mut row = vec![
            panel(picture(&target.sample.image), target.sample.name.clone()),
            panel(guess, format!("{:.1} dB", first.psnr_guess)),
        ];
        for stage in stages {
            let line = kept.row(attack, *stage, number)?;
            let caption = match line.found {
                true => format!("{:.1} dB", line.psnr),
                false => "nothing found".to_owned(),
            };
            row.push(panel(kept.picture(attack, *stage, number)?, caption));
        }
        rows.push(row);
    }
    let title = format!("{attack}: what each stage gives away");
    let page = panels(Heading { title: &title, object: "" }, &names, &rows);
    Ok(save_png(&out.join(file(attack)), &page)?)
}

fn panel(grey: GrayImage, caption: String) -> Panel {
    let picture = Some(DynamicImage::ImageLuma8(grey).into_rgb8());
    Panel { picture, caption: Caption::Text(caption), right: None }
}
