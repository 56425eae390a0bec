//! `ringfence predict`: a model in use.

mod inputs;
mod judged;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use image::{GrayImage, Luma, RgbImage};
use indicatif::ProgressIterator;
use ringfence_learning::data::{DataError, Picture};
use ringfence_learning::task::{Tint, rgb_pixels, tinted};
use ringfence_learning::{DataOptions, TaskName, TrainingPlan, predict};
use ringfence_options::{DeviceArgs, ObjectArg, ReadArgs, each_once};
use ringfence_words::{counted, listed_by};

use crate::files::empty_folder;
use inputs::Inputs;
use judged::{Judged, inside};

/// Arguments of `ringfence predict`.
#[derive(Debug, clap::Args)]
pub(crate) struct Predict {
    /// A model that `ringfence` wrote, with its plan.
    #[arg(long)]
    model: PathBuf,
    /// Images, or folders of them: PNG, JPEG, TIFF, GIF, NIfTI, DICOM. Where a folder has a table
    /// labels.csv, predictions are compared with its labels or masks.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadArgs,
    #[command(flatten)]
    object: ObjectArg,
    #[command(flatten)]
    device: DeviceArgs,
    /// Folder for masks, pictures and predictions.csv; it must be empty or new.
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

impl Predict {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        self.device.choose()?;
        each_once("the inputs", self.inputs.iter().map(|input| input.display()))?;
        let (plan, weights) = TrainingPlan::load(&self.model)?;
        let task = plan.task()?;
        let options = DataOptions {
            side: plan.side,
            classes: plan.classes.clone(),
            imaging: self.reading.imaging(plan.reading())?,
            mask: self.reading.mask(),
            ..DataOptions::default()
        };
        let object = self.object.name(plan.task, false)?;
        let inputs = Inputs::find(&self.inputs, plan.task, &options)?;
        self.check_mask_options(plan.task, &inputs)?;
        inputs.check_heeded(&options)?;
        empty_folder(&self.out)?;
        // Before the work: `slice_index` was meant for `slice`, perhaps.
        if let Some(unused) = inputs.unused_columns() {
            println!("{unused}");
        }
        let mut judged = Judged::new(plan.task, &plan.classes);
        let mut table = self.table()?;
        let (mut count, mut shares) = (0, Vec::new());
        let (mut refused, mut uncompared) = (Vec::new(), Vec::new());
        for (number, input) in inputs.files.iter().enumerate().progress() {
            let name = &input.name;
            let pictures = match input.read(&options) {
                Ok((pictures, None)) => pictures,
                Ok((pictures, Some(error))) => {
                    uncompared.push((name.clone(), reason(&input.path, &error)));
                    pictures
                }
                Err(error) => {
                    refused.push((name.clone(), reason(&input.path, &error)));
                    continue;
                }
            };
            let samples: Vec<_> = pictures.iter().map(|picture| picture.sample.clone()).collect();
            let outputs = predict(task.as_ref(), &weights, &samples)?;
            for (picture, output) in pictures.iter().zip(&outputs) {
                let prediction = task.prediction(output);
                let inside = inside(&prediction, picture, plan.side)?;
                let share = inside.as_ref().map(|inside| share(inside));
                let truth = judged.add(picture, output, inside.as_deref());
                let mut columns = vec!["file", "slice", "class"];
                columns.extend(prediction.values.iter().map(|(name, _)| name.as_str()));
                let slice = picture.slice.map(|slice| slice.to_string()).unwrap_or_default();
                let mut fields =
                    vec![name.clone(), slice, prediction.class.clone().unwrap_or_default()];
                // A mask's only value is its share, which is counted in the mask that is written.
                let values = prediction.values.iter().map(|(_, value)| share.unwrap_or(*value));
                fields.extend(values.map(|value| format!("{value:.4}")));
                if inputs.has_table {
                    columns.extend(judged.columns());
                    fields.extend(truth);
                }
                if count == 0 {
                    table.write_record(columns)?;
                }
                count += 1;
                table.write_record(fields)?;
                if let Some(inside) = &inside {
                    shares.extend(share);
                    let stem = stem(name, number, picture.slice);
                    self.save_mask(&stem, picture, inside, plan.channels)?;
                }
            }
        }
        table.flush()?;
        self.report(&refused, &uncompared)?;
        let files = |number: usize| counted(number as u64, "file");
        ensure!(count > 0, "none of {} could be read", files(inputs.files.len()));
        println!(
            "{} of {} predicted, {} not read; written to {}",
            counted(count as u64, "image"),
            files(inputs.files.len() - refused.len()),
            files(refused.len()),
            self.out.display()
        );
        if !shares.is_empty() {
            let percent = 100.0 * shares.iter().sum::<f64>() / shares.len() as f64;
            println!("{object}: {percent:.1} % of the pixels, mean of the images");
        }
        if let Some(left_aside) = inputs.left_aside() {
            println!("{left_aside}");
        }
        if inputs.has_table {
            inputs.check_chosen().context("the predictions are written, and not compared")?;
            println!("{}", judged.summary(count, task.as_ref())?);
        }
        Ok(())
    }

    /// Refuses to say what of masks is inside where none are read.
    fn check_mask_options(&self, task: TaskName, inputs: &Inputs) -> anyhow::Result<()> {
        let given = self.reading.given_for_masks().join(", ");
        ensure!(
            given.is_empty() || task == TaskName::Segmentation,
            "{given} would change nothing: the model names classes; leave it out"
        );
        ensure!(
            given.is_empty() || inputs.has_masks,
            "{given} would change nothing: no labels.csv in the folders given names a mask; leave it out"
        );
        Ok(())
    }

    /// Says which files were not read and which not compared, in a line each, and writes all of them
    /// to `not-read.csv`.
    fn report(&self, refused: &[Fault], uncompared: &[Fault]) -> anyhow::Result<()> {
        if refused.is_empty() && uncompared.is_empty() {
            return Ok(());
        }
        let path = self.out.join("not-read.csv");
        let cannot = || format!("cannot write {}", path.display());
        let mut table = csv::Writer::from_path(&path).with_context(cannot)?;
        table.write_record(["file", "part", "reason"]).with_context(cannot)?;
        for (faults, what, part) in
            [(refused, "not read", "image"), (uncompared, "not compared", "mask")]
        {
            for (name, reason) in faults {
                table.write_record([name.as_str(), part, reason.as_str()]).with_context(cannot)?;
            }
            if let Some(line) = told(what, faults) {
                eprintln!("{line}");
            }
        }
        table.flush().with_context(cannot)?;
        eprintln!("each of them is in {}", path.display());
        Ok(())
    }

    fn table(&self) -> anyhow::Result<csv::Writer<File>> {
        let path = self.out.join("predictions.csv");
        csv::Writer::from_path(&path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The mask and the image with the mask over it, both in the image's own size.
    fn save_mask(
        &self,
        stem: &str,
        picture: &Picture,
        inside: &[bool],
        channels: usize,
    ) -> anyhow::Result<()> {
        let length = |length: usize| u32::try_from(length).context("an image too large");
        let (width, height) = (length(picture.width)?, length(picture.height)?);
        let mut mask = GrayImage::new(width, height);
        let mut overlay = RgbImage::new(width, height);
        let places = mask.pixels_mut().zip(overlay.pixels_mut());
        let pixels = rgb_pixels(&picture.values, channels);
        for ((mask, overlay), (inside, pixel)) in places.zip(inside.iter().zip(pixels)) {
            *mask = Luma([if *inside { 255 } else { 0 }]);
            *overlay = tinted(pixel, *inside, Tint::Prediction);
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

/// Share of the pixels of a mask that are inside, in `[0, 1]`.
fn share(inside: &[bool]) -> f64 {
    let pixels = inside.iter().filter(|inside| **inside).count();
    pixels as f64 / inside.len().max(1) as f64
}

/// Why a file was not read, without its path.
fn reason(path: &Path, error: &DataError) -> String {
    // Of many masks with the same fault one is enough: the image says which.
    if let DataError::Imaging(error) = error
        && error.path != path
    {
        return format!("its mask: {}", error.fault);
    }
    let text = error.to_string();
    text.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&text).to_owned()
}

/// A file's name, and what is wrong with it.
type Fault = (String, String);

/// The files at fault in one line: how many for each reason, with the first of each.
fn told(what: &str, refused: &[Fault]) -> Option<String> {
    let mut reasons = BTreeMap::<&str, Vec<&str>>::new();
    refused.iter().for_each(|(name, reason)| reasons.entry(reason).or_default().push(name));
    let lines: Vec<String> = reasons
        .into_iter()
        .map(|(reason, names)| match names.as_slice() {
            [first, _, ..] => {
                format!("{}, the first {first}: {reason}", counted(names.len() as u64, "file"))
            }
            names => format!("{}: {reason}", names.concat()),
        })
        .collect();
    (!lines.is_empty()).then(|| format!("{what}: {}", listed_by("; ", lines)))
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
    use super::told;

    #[test]
    fn files_that_are_not_read_are_one_line() {
        let of = |name: &str, reason: &str| (name.to_owned(), reason.to_owned());
        let mut refused = vec![of("notes.doc", "found text")];
        refused.extend((0..108).map(|file| of(&format!("{file}.png"), "found an empty file")));
        assert_eq!(
            told("not read", &refused).unwrap(),
            "not read: 108 files, the first 0.png: found an empty file; notes.doc: found text"
        );
        assert_eq!(told("not read", &[]), None);
        // As many reasons as files.
        let refused: Vec<_> = (0..4322).map(|file| of("a.png", &format!("fault {file}"))).collect();
        let line = told("not read", &refused).unwrap();
        assert!(line.len() < 300 && line.ends_with(" ... and 4,312 more"), "{line}");
    }
}
