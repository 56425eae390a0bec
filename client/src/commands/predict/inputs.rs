//! What is predicted on: files, what folders hold, and what their tables say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use ringfence_learning::data::{
    Labelled, LabelledFolder, LabelledImage, Stated, Use, check_heeded, is_series, read_pictures,
};
use ringfence_learning::{DataError, DataOptions, TaskName};
use ringfence_words::{counted, listed};

use super::names::{is_no_image, is_other, is_table};
use super::root::{CalledMask, Root};

/// A file to predict on, or a folder of slices.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    /// Its name in `predictions.csv`.
    pub(super) name: String,
    /// What a table says of it.
    labelled: Option<LabelledImage>,
    /// Whether it is called as masks are.
    mask: CalledMask,
}

impl Input {
    /// Its images, and what of its table's lines and masks is at fault.
    pub(super) fn read(&self, options: &DataOptions) -> Result<Labelled, DataError> {
        match &self.labelled {
            Some(image) => image.read(options),
            None => read_pictures(&self.path, options)
                .map(|pictures| Labelled { pictures, ..Labelled::default() }),
        }
    }

    /// Why the mask of one of its images means something else than most masks of its folder, if it does.
    pub(super) fn deviating(&self, stated: &Stated) -> Option<DataError> {
        self.labelled.as_ref()?.deviating(stated)
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
    /// By input, and there in the order of the names; each once.
    pub(super) files: Vec<Input>,
    /// Files whose lines in a table name a slice that is no number, each with what is wrong.
    pub(super) bad_lines: Vec<(String, String)>,
    /// Whether there is a table, and whether one names masks, and splits.
    pub(super) has_table: bool,
    pub(super) has_masks: bool,
    pub(super) has_splits: bool,
    /// Columns of tables that mean nothing here.
    unused_columns: BTreeSet<String>,
    /// How many files were left aside: masks of tables, and what else tables do not name.
    masks: usize,
    others: usize,
    /// Where was searched, as given.
    given: Vec<String>,
    /// Folders that were searched, and what was given more than once.
    searched: BTreeSet<PathBuf>,
    again: Vec<String>,
}

impl Inputs {
    /// Searches through the inputs. Of a folder with a table `labels.csv`, the table says what are
    /// its images; a folder of slices of a DICOM series is one. Hidden files, other tables and notes
    /// are passed over, and what is given twice is taken once.
    ///
    /// # Errors
    /// A folder or table that cannot be read, nothing to predict on, or files that are masks by their
    /// names.
    pub(super) fn find(
        inputs: &[PathBuf],
        task: TaskName,
        options: &DataOptions,
    ) -> anyhow::Result<Self> {
        let given = inputs.iter().map(|input| input.display().to_string()).collect();
        let mut found = Self { given, ..Self::default() };
        for input in inputs {
            // As a shell names all of a folder: the table says what the others are.
            ensure!(
                !is_table(input),
                "{}: expected images or their folder, found a table; name the folder it is in, and none of what it holds, or leave the table out",
                input.display()
            );
            let folder = if input.is_dir() { input } else { input.parent().unwrap_or(input) };
            let root = Root { input, folder };
            let first = found.files.len();
            found.search(input, &root, task, options)?;
            if let Some(new) = found.files.get_mut(first..) {
                new.sort_by(|one, other| one.name.cmp(&other.name));
            }
        }
        found.once();
        if let (true, Some((file, reason))) = (found.files.is_empty(), found.bad_lines.first()) {
            bail!("{file}: {reason}");
        }
        ensure!(!found.files.is_empty(), "there is no image file {}", found.places());
        found.check_masks()?;
        Ok(found)
    }

    /// The inputs as one says where something is.
    pub(super) fn places(&self) -> String {
        format!("in {}", listed(&self.given))
    }

    /// Keeps each file once: as a table names it, if one does.
    fn once(&mut self) {
        let mut kept = Vec::<Input>::with_capacity(self.files.len());
        let mut known = BTreeMap::new();
        for file in std::mem::take(&mut self.files) {
            // A file that is not there is told of when it is read.
            let place = file.path.canonicalize().unwrap_or_else(|_| file.path.clone());
            match known.get(&place).and_then(|at: &usize| kept.get_mut(*at)) {
                None => {
                    known.insert(place, kept.len());
                    kept.push(file);
                }
                Some(first) => {
                    self.again.push(file.path.display().to_string());
                    if first.labelled.is_none() && file.labelled.is_some() {
                        *first = file;
                    }
                }
            }
        }
        self.files = kept;
    }

    /// Refuses masks: a model would make masks of them, and nobody would see that they are no images.
    /// Only names tell, so that whoever means these files names nothing else.
    fn check_masks(&self) -> anyhow::Result<()> {
        let of = |mask| self.files.iter().filter(move |file| file.mask == mask);
        let images = of(CalledMask::No).filter(|file| !is_other(&file.path)).count();
        let masks = of(CalledMask::Within).chain(of(CalledMask::Named)).count();
        let first =
            of(CalledMask::Within).chain(of(CalledMask::Named).filter(|_| images > 0)).next();
        let Some(Input { path, .. }) = first else { return Ok(()) };
        let masks = counted(masks as u64, "file");
        bail!(
            "{}: expected images, found a mask by the name of the file or its folder ({masks} of {}), and no labels.csv says otherwise; name the images or their folder alone, or write a labels.csv beside them with the columns file,mask",
            path.display(),
            self.files.len()
        )
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
        root: &Root<'_>,
        task: TaskName,
        options: &DataOptions,
    ) -> anyhow::Result<()> {
        if !is_folder(path)? {
            self.add(path, root, None);
            return Ok(());
        }
        // Also a folder that holds a link to itself.
        let place = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        if !self.searched.insert(place) {
            self.again.push(path.display().to_string());
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
        self.has_splits |= table.names_splits;
        self.unused_columns.extend(table.unused_columns.iter().cloned());
        self.leave_aside(path, &table, &mut BTreeSet::new())?;
        let bad_lines = table.bad_lines.iter().map(|(file, error)| {
            (root.name(&path.join(file)).display().to_string(), error.to_string())
        });
        self.bad_lines.extend(bad_lines);
        for image in table.images {
            self.add(&image.path.clone(), root, Some(image));
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, root: &Root<'_>, labelled: Option<LabelledImage>) {
        let name = root.name(path).display().to_string();
        let mask = if labelled.is_some() { CalledMask::No } else { root.called_mask(path) };
        self.files.push(Input { path: path.to_path_buf(), name, labelled, mask });
    }

    /// Counts what lies in the folder of a table and is none of its images. A folder is looked through
    /// once, also where links lead back to it.
    fn leave_aside(
        &mut self,
        folder: &Path,
        table: &LabelledFolder,
        seen: &mut BTreeSet<PathBuf>,
    ) -> anyhow::Result<()> {
        if !seen.insert(folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf())) {
            return Ok(());
        }
        for path in entries(folder)? {
            if table.names(&path) {
                continue;
            }
            if table.is_mask(&path) {
                self.masks += 1;
            } else if is_folder(&path)? {
                self.leave_aside(&path, table, seen)?;
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

    /// What was given more than once, in words; `None` where nothing was.
    pub(super) fn given_again(&self) -> Option<String> {
        let again = &self.again;
        (!again.is_empty()).then(|| format!("given more than once, taken once: {}", listed(again)))
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

/// Whether this is a folder. A link that leads nowhere is none: it is one file that is not read.
fn is_folder(path: &Path) -> anyhow::Result<bool> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(_) if path.is_symlink() => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// What a folder holds, without hidden files, tables and notes.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let at = || format!("cannot read {}", folder.display());
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(at)? {
        let path = entry.with_context(at)?.path();
        if !is_no_image(&path) {
            entries.push(path);
        }
    }
    Ok(entries)
}
