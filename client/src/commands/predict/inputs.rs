//! What is predicted on: files, what folders hold, and what their tables say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use ringfence_learning::data::{
    LabelledFolder, LabelledImage, Picture, Use, check_heeded, is_series, read_pictures,
};
use ringfence_learning::{DataError, DataOptions, TaskName};
use ringfence_words::{counted, listed};

/// A file to predict on, or a folder of slices.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    /// Its name in `predictions.csv`.
    pub(super) name: String,
    /// What a table says of it.
    labelled: Option<LabelledImage>,
}

impl Input {
    /// Its images, and what is wrong with their mask, if only that is.
    pub(super) fn read(
        &self,
        options: &DataOptions,
    ) -> Result<(Vec<Picture>, Option<DataError>), DataError> {
        match &self.labelled {
            Some(image) => image.read(options),
            None => read_pictures(&self.path, options).map(|pictures| (pictures, None)),
        }
    }

    fn uses(&self) -> Vec<Use> {
        match &self.labelled {
            Some(image) => image.uses().collect(),
            None => vec![Use::image(self.path.clone())],
        }
    }
}

/// What is predicted on.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// By input, and there in the order of the names.
    pub(super) files: Vec<Input>,
    /// Whether there is a table, and whether one names masks.
    pub(super) has_table: bool,
    pub(super) has_masks: bool,
    /// Columns of tables that mean nothing here.
    unused_columns: BTreeSet<String>,
    /// How many files were left aside: masks of tables, and what else tables do not name.
    masks: usize,
    others: usize,
}

impl Inputs {
    /// Searches through the inputs. Of a folder with a table `labels.csv`, the table says what are
    /// its images; a folder of slices of a DICOM series is one. Hidden files, other tables and notes are passed over.
    ///
    /// # Errors
    /// A folder or table that cannot be read, or nothing to predict on.
    pub(super) fn find(
        inputs: &[PathBuf],
        task: TaskName,
        options: &DataOptions,
    ) -> anyhow::Result<Self> {
        let mut found = Self::default();
        for input in inputs {
            let root = if input.is_dir() { input } else { input.parent().unwrap_or(input) };
            let first = found.files.len();
            found.search(input, root, task, options)?;
            if let Some(new) = found.files.get_mut(first..) {
                new.sort_by(|one, other| one.name.cmp(&other.name));
            }
        }
        ensure!(!found.files.is_empty(), "there is no image file in the folders given");
        Ok(found)
    }

    /// Refuses options that would change nothing in any of the files.
    ///
    /// # Errors
    /// As [`check_heeded`].
    pub(super) fn check_heeded(&self, options: &DataOptions) -> Result<(), DataError> {
        let uses = self.files.iter().flat_map(Input::uses);
        check_heeded(uses, &options.imaging)
    }

    /// Refuses labels of masks that were chosen and stand in none of a folder, when all are read:
    /// predictions would be compared with nothing.
    ///
    /// # Errors
    /// As [`LabelledImage::check_chosen`].
    pub(super) fn check_chosen(&self) -> Result<(), DataError> {
        self.files
            .iter()
            .filter_map(|file| file.labelled.as_ref())
            .try_for_each(LabelledImage::check_chosen)
    }

    fn search(
        &mut self,
        path: &Path,
        root: &Path,
        task: TaskName,
        options: &DataOptions,
    ) -> anyhow::Result<()> {
        if !is_folder(path)? {
            self.add(path, root, None);
            return Ok(());
        }
        let table = LabelledFolder::read(path, task, options).or_else(|error| {
            let advice = "; to predict without the table, name its images one by one";
            bail!("{error}{}", if entries(path)?.is_empty() { "" } else { advice })
        })?;
        let Some(table) = table else {
            // Slices read one by one would have no order, and each a scale of its own.
            if is_series(path, options.imaging.limits)? {
                self.add(path, root, None);
                return Ok(());
            }
            return entries(path)?
                .iter()
                .try_for_each(|entry| self.search(entry, root, task, options));
        };
        self.has_table = true;
        self.has_masks |= table.has_masks();
        self.unused_columns.extend(table.unused_columns.iter().cloned());
        self.leave_aside(path, &table)?;
        for image in table.images {
            self.add(&image.path.clone(), root, Some(image));
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, root: &Path, labelled: Option<LabelledImage>) {
        // A folder of slices may be all that is asked for.
        let within = path.strip_prefix(root).ok().filter(|name| !name.as_os_str().is_empty());
        let name = within.or_else(|| path.file_name().map(Path::new)).unwrap_or(path);
        let name = name.display().to_string();
        self.files.push(Input { path: path.to_path_buf(), name, labelled });
    }

    /// Counts what lies in the folder of a table and is none of its images.
    fn leave_aside(&mut self, folder: &Path, table: &LabelledFolder) -> anyhow::Result<()> {
        for path in entries(folder)? {
            if table.names(&path) {
                continue;
            }
            if table.is_mask(&path) {
                self.masks += 1;
            } else if is_folder(&path)? {
                self.leave_aside(&path, table)?;
            } else {
                self.others += 1;
            }
        }
        Ok(())
    }

    /// The columns that are not used in words; `None` where all are.
    pub(super) fn unused_columns(&self) -> Option<String> {
        let columns = &self.unused_columns;
        (!columns.is_empty())
            .then(|| format!("columns of the table that are not used: {}", listed(columns)))
    }

    /// What was left aside in words; `None` where nothing was.
    pub(super) fn left_aside(&self) -> Option<String> {
        let parts = [
            (self.masks, "mask", ""),
            (self.others, "file", " that no labels.csv names (name it to predict on it)"),
        ];
        let parts = parts.iter().filter(|(count, ..)| *count > 0);
        let parts: Vec<String> = parts
            .map(|(count, what, of)| format!("{}{of}", counted(*count as u64, what)))
            .collect();
        (!parts.is_empty()).then(|| format!("left aside: {}", parts.join(", ")))
    }
}

fn is_folder(path: &Path) -> anyhow::Result<bool> {
    let metadata = std::fs::metadata(path);
    Ok(metadata.with_context(|| format!("cannot read {}", path.display()))?.is_dir())
}

/// What a folder holds, without hidden files, tables and notes.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let at = || format!("cannot read {}", folder.display());
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(at)? {
        let path = entry.with_context(at)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let table = path.extension().is_some_and(|e| e == "csv" || e == "txt" || e == "md");
        if !hidden && !table {
            entries.push(path);
        }
    }
    Ok(entries)
}
