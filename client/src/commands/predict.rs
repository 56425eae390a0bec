//! `ringfence predict`: a model in use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use image::imageops::{self, FilterType};
use image::{GrayImage, ImageBuffer, Luma, RgbImage};
use indicatif::ProgressIterator;
use ringfence_learning::data::{DataError, Picture, read_pictures};
use ringfence_learning::task::{Prediction, tinted};
use ringfence_learning::{TrainingPlan, predict};
use ringfence_options::{DataArgs, DeviceArgs};

use crate::files::make_folder;

/// Arguments of `ringfence predict`.
#[derive(Debug, clap::Args)]
pub(crate) struct Predict {
    /// A model that `ringfence` wrote, with its plan.
    #[arg(long)]
    model: PathBuf,
    /// Images, or folders of them: PNG, JPEG, TIFF, GIF, NIfTI, DICOM.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    images: DataArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Folder for masks, pictures and predictions.csv.
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

impl Predict {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        self.device.choose()?;
        let (plan, weights) = TrainingPlan::load(&self.model)?;
        let task = plan.task()?;
        let files = files(&self.inputs)?;
        make_folder(&self.out)?;
        let options = self.images.imaging();
        let table = self.out.join("predictions.csv");
        let mut rows = csv::Writer::from_path(&table)
            .with_context(|| format!("cannot write {}", table.display()))?;
        let (mut count, mut refused) = (0, Vec::new());
        for (number, (path, name)) in files.iter().enumerate().progress() {
            let pictures = match read_pictures(path, plan.side, &options) {
                Ok(pictures) => pictures,
                Err(error) => {
                    refused.push((name.clone(), reason(path, &error)));
                    continue;
                }
            };
            let samples: Vec<_> = pictures.iter().map(|picture| picture.sample.clone()).collect();
            let outputs = predict(task.as_ref(), &weights, &samples)?;
            for (picture, output) in pictures.iter().zip(&outputs) {
                let prediction = task.prediction(output);
                if count == 0 {
                    let columns = prediction.values.iter().map(|(name, _)| name.as_str());
                    rows.write_record(["file", "slice", "class"].into_iter().chain(columns))?;
                }
                count += 1;
                let Prediction { class, values, .. } = &prediction;
                let slice = picture.slice.map(|slice| slice.to_string()).unwrap_or_default();
                let values = values.iter().map(|(_, value)| format!("{value:.4}"));
                let start = [name.clone(), slice, class.clone().unwrap_or_default()];
                rows.write_record(start.into_iter().chain(values))?;
                if let Some(probabilities) = &prediction.mask {
                    let stem = stem(name, number, picture.slice);
                    self.save_mask(&stem, picture, probabilities, plan.side)?;
                }
            }
        }
        rows.flush()?;
        if let Some(line) = not_read(&refused) {
            eprintln!("{line}");
        }
        ensure!(count > 0, "none of the {} files could be read", files.len());
        println!(
            "{count} images of {} files predicted, {} files not read; written to {}",
            files.len() - refused.len(),
            refused.len(),
            self.out.display()
        );
        Ok(())
    }

    /// The mask and the image with the mask over it, both in the image's own size.
    fn save_mask(
        &self,
        stem: &str,
        picture: &Picture,
        probabilities: &[f32],
        side: usize,
    ) -> anyhow::Result<()> {
        let length = |length: usize| u32::try_from(length).context("an image too large");
        let (width, height, side) =
            (length(picture.width)?, length(picture.height)?, length(side)?);
        let map: ImageBuffer<Luma<f32>, _> =
            ImageBuffer::from_raw(side, side, probabilities.to_vec()).context("a wrong mask")?;
        let map = imageops::resize(&map, width, height, FilterType::Triangle);
        let mask: GrayImage = ImageBuffer::from_fn(width, height, |x, y| {
            Luma([if map.get_pixel(x, y).0[0] >= 0.5 { 255 } else { 0 }])
        });
        let mut overlay = RgbImage::new(width, height);
        for ((pixel, inside), grey) in overlay.pixels_mut().zip(mask.pixels()).zip(&picture.values)
        {
            let grey = (grey.clamp(0.0, 1.0) * 255.0).round() as u8;
            *pixel = tinted(grey, inside.0[0] != 0);
        }
        for (kind, image) in [
            ("mask", image::DynamicImage::from(mask)),
            ("overlay", image::DynamicImage::from(overlay)),
        ] {
            let path = self.out.join(format!("{stem}-{kind}.png"));
            image.save(&path).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// The files to read, in the order of their names, each with its name in the table: folders are
/// searched through, tables and hidden files left aside.
fn files(inputs: &[PathBuf]) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for input in inputs {
        let root = if input.is_dir() { input.as_path() } else { input.parent().unwrap_or(input) };
        let first = files.len();
        collect(input, root, &mut files)?;
        if let Some(found) = files.get_mut(first..) {
            found.sort();
        }
    }
    ensure!(!files.is_empty(), "there is no image file in the folders given");
    Ok(files)
}

fn collect(path: &Path, root: &Path, files: &mut Vec<(PathBuf, String)>) -> anyhow::Result<()> {
    let at = || format!("cannot read {}", path.display());
    if !std::fs::metadata(path).with_context(at)?.is_dir() {
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        files.push((path.to_path_buf(), name));
        return Ok(());
    }
    for entry in std::fs::read_dir(path).with_context(at)? {
        let path = entry.with_context(at)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let table = path.extension().is_some_and(|e| e == "csv" || e == "txt" || e == "md");
        if !hidden && !table {
            collect(&path, root, files)?;
        }
    }
    Ok(())
}

/// Why a file was not read, without its path.
fn reason(path: &Path, error: &DataError) -> String {
    let text = error.to_string();
    text.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&text).to_owned()
}

/// The files that were not read in one line: how many for each reason, with the first of each.
fn not_read(refused: &[(String, String)]) -> Option<String> {
    let mut reasons = BTreeMap::<&str, Vec<&str>>::new();
    refused.iter().for_each(|(name, reason)| reasons.entry(reason).or_default().push(name));
    let lines: Vec<String> = reasons
        .into_iter()
        .map(|(reason, names)| match names.as_slice() {
            [first, _, ..] => format!("{} files, the first {first}: {reason}", names.len()),
            names => format!("{}: {reason}", names.concat()),
        })
        .collect();
    (!lines.is_empty()).then(|| format!("not read: {}", lines.join("; ")))
}

/// A file name for the results: the image's own, made unique by its number where it is one of many.
fn stem(name: &str, number: usize, slice: Option<usize>) -> String {
    let base = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
    let base = base.strip_suffix(".nii").unwrap_or(&base).to_owned();
    match slice {
        Some(slice) => format!("{number:04}-{base}-{slice:04}"),
        None => format!("{number:04}-{base}"),
    }
}

#[cfg(test)]
mod tests {
    use super::not_read;

    #[test]
    fn files_that_are_not_read_are_one_line() {
        let of = |name: &str, reason: &str| (name.to_owned(), reason.to_owned());
        let mut refused = vec![of("notes.doc", "found text")];
        refused.extend((0..108).map(|file| of(&format!("{file}.png"), "found an empty file")));
        assert_eq!(
            not_read(&refused).unwrap(),
            "not read: 108 files, the first 0.png: found an empty file; notes.doc: found text"
        );
        assert_eq!(not_read(&[]), None);
    }
}
