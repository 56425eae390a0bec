//! `ringfence predict`: a model in use.

mod inputs;
mod judged;
mod names;
mod not_read;
mod root;
mod table;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use image::{GrayImage, Luma, RgbImage};
use indicatif::ProgressIterator;
use ringfence_exit::INCOMPLETE;
use ringfence_learning::data::{Labelled, Picture, slices_apart};
use ringfence_learning::task::{Tint, rgb_pixels, tinted};
use ringfence_learning::{DataOptions, TaskName, TrainingPlan, predict};
use ringfence_options::{DeviceArgs, ObjectArg, ReadArgs};
use ringfence_words::counted;

use crate::files::{empty_folder, write_result};
use inputs::Inputs;
use judged::{Judged, inside};
use not_read::{Faults, list, reason};
use table::Predictions;

/// Arguments of `ringfence predict`.
#[derive(Debug, clap::Args)]
pub(crate) struct Predict {
    /// A model that `ringfence` wrote, with its plan.
    #[arg(long)]
    model: PathBuf,
    /// Images, or folders of them: PNG, JPEG, TIFF, GIF, NIfTI, DICOM. Where a folder has a table
    /// labels.csv, predictions are compared with its labels or masks. Files that cannot be read, and
    /// masks that cannot be compared, are listed in not-read.csv beside the predictions of all
    /// others, and the exit code is 3 then.
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
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        self.device.choose()?;
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
        let paths = inputs.files.iter().map(|file| file.path.as_path());
        let apart = slices_apart(paths, &options.imaging);
        for line in [inputs.unused_columns(), inputs.given_again(), apart].into_iter().flatten() {
            println!("{line}");
        }
        let mut judged = Judged::new(plan.task, &plan.classes);
        let mut table = Predictions::default();
        let (mut files, mut shares) = (0, Vec::new());
        let mut faults = Faults { lines: inputs.bad_lines.clone(), ..Faults::default() };
        for (number, input) in inputs.files.iter().enumerate().progress() {
            let name = &input.name;
            let fault = |error| (name.clone(), reason(&input.path, &error));
            let Labelled { pictures, masks, lines } = match input.read(&options) {
                Ok(read) => read,
                Err(error) => {
                    faults.images.push(fault(error));
                    continue;
                }
            };
            faults.masks.extend(masks.into_iter().map(fault));
            faults.lines.extend(lines.into_iter().map(fault));
            files += usize::from(!pictures.is_empty());
            let samples: Vec<_> = pictures.iter().map(|picture| picture.sample.clone()).collect();
            let outputs = predict(task.as_ref(), &weights, &samples)?;
            for (picture, output) in pictures.iter().zip(&outputs) {
                let prediction = task.prediction(output);
                let inside = inside(&prediction, picture, plan.side)?;
                let share = inside.as_ref().map(|inside| share(inside));
                judged.add(picture, output, inside.as_deref());
                table.add((number, name), picture, &prediction, share);
                if let Some(inside) = &inside {
                    shares.extend(share);
                    let stem = stem(name, number, picture.slice);
                    self.save_mask(&stem, picture, inside, plan.channels)?;
                }
            }
        }
        // Most masks of a folder say what is meant, and these are known once all are read.
        for (place, number, stated) in table.stated() {
            let Some(input) = inputs.files.get(number) else { continue };
            if let Some(error) = input.deviating(stated) {
                judged.leave_out(place);
                let fault = (input.name.clone(), reason(&input.path, &error));
                // A volume has one mask, and many slices of it.
                if faults.masks.last() != Some(&fault) {
                    faults.masks.push(fault);
                }
            }
        }
        let count = table.count();
        // With the pictures that it names all there, and not before.
        table.write(&self.table_path(), &inputs, &judged)?;
        let said = faults.write(&self.out)?;
        said.iter().for_each(|line| eprintln!("{line}"));
        let incomplete = faults.summary(&self.out);
        let in_words = |number: usize| counted(number as u64, "file");
        ensure!(
            count > 0,
            "none of {} could be read: {}",
            in_words(inputs.files.len()),
            incomplete.unwrap_or_default()
        );
        println!(
            "{} of {} predicted, {} not read; written to {}",
            counted(count as u64, "image"),
            in_words(files),
            in_words(faults.images.len()),
            self.out.display()
        );
        if !shares.is_empty() {
            let percent = 100.0 * shares.iter().sum::<f64>() / shares.len() as f64;
            println!("{object}: {percent:.1} % of the pixels, mean of the images");
        }
        if let Some(left_aside) = inputs.left_aside() {
            println!("{left_aside}");
        }
        let compared = if inputs.has_table { inputs.check_chosen() } else { Ok(()) };
        if inputs.has_table && compared.is_ok() {
            println!("{}", judged.summary(task.as_ref(), &list(&self.out))?);
        }
        if let Some(incomplete) = &incomplete {
            eprintln!("ringfence: {incomplete}");
        }
        compared.context("the predictions are written, and not compared")?;
        Ok(incomplete.map_or(ExitCode::SUCCESS, |_| INCOMPLETE.into()))
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
            "{given} would change nothing: no labels.csv {} names a mask; leave it out",
            inputs.places()
        );
        Ok(())
    }

    fn table_path(&self) -> PathBuf {
        self.out.join("predictions.csv")
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
            let mut file = Cursor::new(Vec::new());
            let encoded = image.write_to(&mut file, image::ImageFormat::Png);
            encoded.with_context(|| format!("cannot write {}", path.display()))?;
            write_result(&path, file.get_ref())?;
        }
        Ok(())
    }
}

/// Share of the pixels of a mask that are inside, in `[0, 1]`.
fn share(inside: &[bool]) -> f64 {
    let pixels = inside.iter().filter(|inside| **inside).count();
    pixels as f64 / inside.len().max(1) as f64
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
