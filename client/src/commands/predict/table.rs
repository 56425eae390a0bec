//! `predictions.csv`.

use std::path::Path;

use anyhow::Context;
use csv::IntoInnerError;
use ringfence_learning::data::{Picture, Stated};
use ringfence_learning::task::Prediction;

use super::inputs::Inputs;
use super::judged::Judged;
use crate::files::write_result;

/// The lines of the table, which are written once all are there.
#[derive(Debug, Default)]
pub(super) struct Predictions {
    header: Vec<String>,
    lines: Vec<Line>,
}

/// One image.
#[derive(Debug)]
struct Line {
    /// Its file, by its place among the inputs.
    input: usize,
    fields: Vec<String>,
    stated: Stated,
}

impl Predictions {
    /// Adds what is predicted of an image of this input. A mask's only value is its share, which is
    /// counted in the mask that is written.
    pub(super) fn add(
        &mut self,
        (input, name): (usize, &str),
        picture: &Picture,
        prediction: &Prediction,
        share: Option<f64>,
    ) {
        if self.lines.is_empty() {
            let values = prediction.values.iter().map(|(name, _)| name.clone());
            let columns = ["file", "slice", "class"].map(str::to_owned);
            self.header = columns.into_iter().chain(values).collect();
        }
        let slice = picture.slice.map(|slice| slice.to_string()).unwrap_or_default();
        let mut fields = vec![name.to_owned(), slice, prediction.class.clone().unwrap_or_default()];
        let values = prediction.values.iter().map(|(_, value)| share.unwrap_or(*value));
        fields.extend(values.map(|value| format!("{value:.4}")));
        self.lines.push(Line { input, fields, stated: picture.stated.clone() });
    }

    /// How many images there are.
    pub(super) fn count(&self) -> usize {
        self.lines.len()
    }

    /// What tables say of the images: each with its place here, and that of its file among the inputs.
    pub(super) fn stated(&self) -> impl Iterator<Item = (usize, usize, &Stated)> {
        self.lines.iter().enumerate().map(|(place, line)| (place, line.input, &line.stated))
    }

    /// Writes the table. Where inputs have a table, each image has its split there, and what is true of
    /// it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn write(
        &self,
        path: &Path,
        inputs: &Inputs,
        judged: &Judged,
    ) -> anyhow::Result<()> {
        let cannot = || format!("cannot write {}", path.display());
        let mut table = csv::Writer::from_writer(Vec::new());
        let splits = ["split"].into_iter().filter(|_| inputs.has_splits);
        let truths = judged.columns().iter().copied().filter(|_| inputs.has_table);
        let header = self.header.iter().map(String::as_str).chain(splits).chain(truths);
        if !self.lines.is_empty() {
            table.write_record(header).with_context(cannot)?;
        }
        for (place, Line { fields, stated, .. }) in self.lines.iter().enumerate() {
            let mut fields = fields.clone();
            if inputs.has_splits {
                fields.push(stated.split.clone().unwrap_or_default());
            }
            if inputs.has_table {
                fields.extend(judged.fields(place));
            }
            table.write_record(fields).with_context(cannot)?;
        }
        let table = table.into_inner().map_err(IntoInnerError::into_error).with_context(cannot)?;
        write_result(path, &table)
    }
}
