//! Results in files: one for each attack, stage and image, so that a start goes on where the last one
//! ended.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use image::GrayImage;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::job::{LabelRow, Outcome, Row};
use super::material::Material;
use super::terms::{AttackName, Stage};
use crate::files;

/// A folder of results.
pub(super) struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// The results in a folder, of these settings.
    ///
    /// # Errors
    /// When the folder holds results of other settings, or cannot be written.
    pub(super) fn open(out: &Path, settings: &serde_json::Value) -> anyhow::Result<Self> {
        let file = out.join("settings.json");
        if file.exists() {
            let found: serde_json::Value = read(&file).with_context(|| {
                format!(
                    "nobody knows of which settings {} is: take another --out, or remove it",
                    out.display()
                )
            })?;
            let differs =
                |(name, value): &(&String, &serde_json::Value)| found.get(name) != Some(value);
            let other = settings.as_object().and_then(|all| all.iter().find(differs));
            if let Some((name, now)) = other {
                let before = found.get(name).unwrap_or(&serde_json::Value::Null);
                bail!(
                    "{} holds results of other settings (`{name}` is {before}, now {now}): take another --out, or remove it",
                    out.display()
                );
            }
        }
        ensure!(
            file.exists() || !out.join("results").exists(),
            "{} holds results, and no settings.json that says of which settings: take another --out, or remove it",
            out.display()
        );
        files::make_folder(out)?;
        files::write(&file, serde_json::to_string_pretty(settings)?.as_bytes())?;
        Ok(Self { folder: out.join("results") })
    }

    /// Whether there is a result at a place below the folder of results.
    pub(super) fn has(&self, place: &str) -> bool {
        self.at(place).is_file()
    }

    /// Keeps a result at its place.
    ///
    /// # Errors
    /// When files cannot be written.
    pub(super) fn put<T: Serialize>(&self, place: &str, result: &T) -> anyhow::Result<()> {
        let file = self.at(place);
        files::make_folder(file.parent().context("a result has no folder")?)?;
        files::write(&file, serde_json::to_string(result)?.as_bytes())
    }

    /// The result at its place.
    ///
    /// # Errors
    /// When it is not there, or broken.
    pub(super) fn get<T: DeserializeOwned>(&self, place: &str) -> anyhow::Result<T> {
        read(&self.at(place))
    }

    /// The result at its place; where it is not there, it is made and kept.
    ///
    /// # Errors
    /// Those of `make`, [`Kept::get`] and [`Kept::put`].
    pub(super) fn made_once<T: Serialize + DeserializeOwned>(
        &self,
        place: &str,
        make: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if self.has(place) {
            return self.get(place);
        }
        let made = make()?;
        self.put(place, &made)?;
        Ok(made)
    }

    fn at(&self, place: &str) -> PathBuf {
        self.folder.join(format!("{place}.json"))
    }

    /// What is not there yet of an attack, by stage.
    pub(super) fn missing(
        &self,
        attack: AttackName,
        stages: &[Stage],
        material: &Material,
    ) -> Vec<(Stage, usize)> {
        let images = 0..material.targets.len();
        let stages = attack.stages(stages).into_iter();
        let all = stages.flat_map(|stage| images.clone().map(move |image| (stage, image)));
        let is_there = |stage: Stage, image: usize| {
            let has = |kind: &str| self.file(attack, stage, image, kind).is_file();
            has("json") && (has("png") || !attack.finds_images())
        };
        all.filter(|(stage, image)| !is_there(*stage, *image)).collect()
    }

    /// Keeps a result: its picture first, since the line says that both are there.
    ///
    /// # Errors
    /// When files cannot be written.
    pub(super) fn keep(
        &self,
        attack: AttackName,
        stage: Stage,
        image: usize,
        outcome: &Outcome,
    ) -> anyhow::Result<()> {
        let file = self.file(attack, stage, image, "json");
        files::make_folder(file.parent().context("a result has no folder")?)?;
        let line = match outcome {
            Outcome::Image(row, grey) => {
                let mut png = std::io::Cursor::new(Vec::new());
                picture(grey).write_to(&mut png, image::ImageFormat::Png)?;
                files::write(&self.file(attack, stage, image, "png"), png.get_ref())?;
                serde_json::to_string_pretty(row)?
            }
            Outcome::Labels(row) => serde_json::to_string_pretty(row)?,
        };
        files::write(&file, line.as_bytes())
    }

    /// The line on an image.
    ///
    /// # Errors
    /// When it is not there, or broken.
    pub(super) fn row(&self, of: AttackName, stage: Stage, image: usize) -> anyhow::Result<Row> {
        let file = self.file(of, stage, image, "json");
        let row: Row = read(&file)?;
        let is_of_place = row.attack == of && row.stage == stage.to_string();
        let scores = [row.psnr, row.psnr_guess, row.ssim, row.ssim_guess];
        let are_scores = scores.iter().all(|score| score.is_finite() && *score <= 120.0);
        ensure!(
            is_of_place && are_scores,
            "{}: expected a result of {of} at {stage}, found one of {} at {} with a PSNR of {}: remove it, and start again",
            file.display(),
            row.attack,
            row.stage,
            row.psnr
        );
        Ok(row)
    }

    /// The line on the labels of a batch.
    ///
    /// # Errors
    /// As [`Kept::row`].
    pub(super) fn labels(&self, stage: Stage, image: usize) -> anyhow::Result<LabelRow> {
        read(&self.file(AttackName::Labels, stage, image, "json"))
    }

    /// The picture that was made of an image.
    ///
    /// # Errors
    /// As [`Kept::row`].
    pub(super) fn picture(
        &self,
        of: AttackName,
        stage: Stage,
        image: usize,
    ) -> anyhow::Result<GrayImage> {
        let file = self.file(of, stage, image, "png");
        let read = image::open(&file).with_context(|| {
            format!("cannot read {}: remove it, and start again", file.display())
        })?;
        Ok(read.into_luma8())
    }

    fn file(&self, attack: AttackName, stage: Stage, image: usize, kind: &str) -> PathBuf {
        let folder = self.folder.join(attack.name()).join(stage.to_string());
        folder.join(format!("{image:04}.{kind}"))
    }
}

/// Grey values in [0, 1] as a picture.
pub(super) fn picture(grey: &[f32]) -> GrayImage {
    let side = u32::try_from(grey.len().isqrt()).unwrap_or(0);
    let bytes = grey.iter().map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8);
    GrayImage::from_raw(side, side, bytes.collect()).unwrap_or_default()
}

fn read<T: DeserializeOwned>(file: &Path) -> anyhow::Result<T> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is broken: remove it, and start again", file.display()))
}
