//! A folder of images with a table `labels.csv`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ringfence_imaging::MaskOptions;

use super::apart::slices_apart;
use super::dataset::{Dataset, Sample, SiteData, Split};
use super::division::{Division, SitePart};
use super::error::DataError;
use super::heeded::{Use, check_heeded};
use super::mask_labels::MaskLabels;
use super::memory::{self, Left};
use super::options::DataOptions;
use super::table::{self, Row, Table};
use super::{raster, stack};

/// The table of a folder.
pub(super) const TABLE: &str = "labels.csv";

/// The table of a folder; `None` where there is none.
///
/// # Errors
/// [`DataError::TableName`] for a table whose name has other letters' case.
pub(super) fn table_of(folder: &Path) -> Result<Option<PathBuf>, DataError> {
    let table = folder.join(TABLE);
    if table.is_file() {
        return Ok(Some(table));
    }
    let Ok(entries) = folder.read_dir() else { return Ok(None) };
    let mut paths = entries.flatten().map(|entry| entry.path());
    let is_like = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(TABLE)) && path.is_file()
    };
    paths.find(is_like).map_or(Ok(None), |path| Err(DataError::TableName { path }))
}

/// Reads the folder: the table is checked first, then every image that is used is decoded.
///
/// A row that names a volume and no slice gives a sample for each slice that is asked for.
pub(super) fn load(folder: &Path, options: &DataOptions) -> Result<Dataset, DataError> {
    let path = table_of(folder)?.unwrap_or_else(|| folder.join(TABLE));
    let Table { rows, bad_slices, classes, unused_columns, names_patients, .. } =
        table::read(&path, options)?;
    if let Some(bad) = bad_slices.into_iter().next() {
        return Err(bad.error);
    }
    check_heeded(rows.iter().flat_map(|row| Use::of_row(folder, row)), &options.imaging)?;
    check_mask_options(&rows, options)?;
    let rows = stack::expand(folder, rows, options)?;
    table::check_images(&path, &rows)?;
    let items: Vec<_> = rows.iter().map(|row| row.item.clone()).collect();
    let Division { sites: parts, mut left_out } = Division::of(&path, &items, options)?;
    let samples = parts.iter().enumerate().map(|(position, part)| {
        // At most: neighbouring slices may be the same ones.
        let whole: usize = part.samples.values().map(Vec::len).sum();
        let kept = options.max_per_site.unwrap_or(whole);
        kept.saturating_mul(options.scanner(position).slices).min(whole)
    });
    let used = parts.iter().flat_map(|part| part.samples.values().flatten());
    let files: BTreeSet<PathBuf> =
        used.filter_map(|index| rows.get(*index)).map(|row| folder.join(&row.file)).collect();
    let files = files.iter().map(PathBuf::as_path);
    let remarks = slices_apart(files, &options.imaging).into_iter().collect();
    let left = memory::check(folder, samples.sum(), options)?;
    let labels = MaskLabels::default();
    let mut sites = Vec::with_capacity(parts.len());
    for (position, whole) in parts.into_iter().enumerate() {
        let mut kept = whole.clone();
        left_out.extend(kept.cap(options, &items));
        let part =
            Part { folder, rows: &rows, whole: &whole, kept: &kept, position, labels: &labels };
        sites.push(part.read(options, &left)?);
    }
    labels.check()?;
    labels.check_chosen()?;
    let side = options.side;
    let mut dataset =
        Dataset { side, classes, sites, left_out, unused_columns, remarks, names_patients };
    forget_own_masks(&mut dataset);
    Ok(dataset)
}

/// Refuses to say what of masks is inside where there are none.
fn check_mask_options(rows: &[Row], options: &DataOptions) -> Result<(), DataError> {
    if options.mask == MaskOptions::default() || rows.iter().any(|row| row.mask.is_some()) {
        return Ok(());
    }
    Err(DataError::Option {
        option: "mask",
        expected: "a table that names masks",
        found: "none; leave out --mask-label and --mask-channel, which would change nothing".into(),
    })
}

/// Keeps the masks at the images' own size only where that is another one than the model's, at any
/// site: then all test images have them, so that all sites have the same scores.
fn forget_own_masks(dataset: &mut Dataset) {
    let side = dataset.side;
    let test = |site: &SiteData| {
        let mut masks = site.test.iter().filter_map(|sample| sample.own_mask.as_ref());
        masks.any(|mask| mask.size() != (side, side))
    };
    if dataset.sites.iter().any(test) {
        return;
    }
    let samples = dataset.sites.iter_mut().flat_map(|site| &mut site.test);
    samples.for_each(|sample| sample.own_mask = None);
}

/// Writes a dataset as a folder that [`load`](super::load) reads back: `images/`, `masks/` and
/// `labels.csv` with the columns `file,label,site,patient,mask,split`.
///
/// Values are rounded to 8 bits. Samples are numbered anew, by site and split.
///
/// # Errors
/// [`DataError::File`] or [`DataError::Image`] naming the file that could not be written.
pub fn write(dataset: &Dataset, folder: &Path) -> Result<(), DataError> {
    let path = folder.join(TABLE);
    let file = |source| DataError::File { path: path.clone(), source };
    let table = |source| DataError::Csv { path: path.clone(), source };
    let mut rows = vec![["file", "label", "site", "patient", "mask", "split"].map(String::from)];
    for (number, site) in dataset.sites.iter().enumerate() {
        for folder in
            [folder.join(format!("images/{number:02}")), folder.join(format!("masks/{number:02}"))]
        {
            let made = fs::create_dir_all(&folder);
            made.map_err(|source| DataError::File { path: folder, source })?;
        }
        for (index, (split, sample)) in site.samples().enumerate() {
            let image = format!("images/{number:02}/{index:04}.png");
            raster::write(&folder.join(&image), &sample.image, dataset.side)?;
            let mut mask = String::new();
            if let Some(values) = &sample.mask {
                mask = format!("masks/{number:02}/{index:04}.png");
                raster::write(&folder.join(&mask), values, dataset.side)?;
            }
            let class = sample.label.and_then(|label| dataset.classes.get(label as usize));
            let label = class.cloned().unwrap_or_default();
            rows.push([
                image,
                label,
                site.site.clone(),
                sample.group.clone(),
                mask,
                split.name().into(),
            ]);
        }
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| writer.write_record(row)).map_err(table)?;
    let bytes = writer.into_inner().map_err(|error| file(error.into_error()))?;
    ringfence_durable::write_result(&path, &bytes).map_err(file)
}

/// The part of the rows that is one site's.
struct Part<'a> {
    folder: &'a Path,
    rows: &'a [Row],
    /// All of the site's rows.
    whole: &'a SitePart,
    /// Those that it keeps.
    kept: &'a SitePart,
    /// Its place among the sites.
    position: usize,
    /// Those of all sites' masks.
    labels: &'a MaskLabels,
}

impl Part<'_> {
    /// Reads the samples that the site keeps, as its scanner shows them. A slice's neighbours are
    /// read with it where the scanner averages them, also those that the site does not keep.
    fn read(&self, options: &DataOptions, left: &Left) -> Result<SiteData, DataError> {
        Ok(SiteData {
            train: self.split(Split::Train, options, None)?,
            validation: self.split(Split::Validation, options, None)?,
            test: self.split(Split::Test, options, Some(left))?,
            site: self.whole.site.clone(),
        })
    }

    fn split(
        &self,
        split: Split,
        options: &DataOptions,
        own_masks: Option<&Left>,
    ) -> Result<Vec<Sample>, DataError> {
        let Self { folder, rows, whole, kept, position, labels } = *self;
        let scanner = options.scanner(position);
        let of = |part: &SitePart| part.samples.get(&split).cloned().unwrap_or_default();
        let kept = of(kept);
        let place = |index: usize| {
            rows.get(index).map(|row| (row.item.group.clone(), row.name())).unwrap_or_default()
        };
        let needed = scanner.needs(&of(whole), &kept, place);
        let chosen: Vec<&Row> = needed.iter().filter_map(|index| rows.get(*index)).collect();
        let mut samples = stack::read(folder, &chosen, options, own_masks, labels)?;
        scanner.apply_to(&mut samples, &whole.site, options.seed)?;
        let made = needed.into_iter().zip(samples);
        Ok(made
            .filter(|(index, _)| kept.binary_search(index).is_ok())
            .map(|(_, sample)| sample)
            .collect())
    }
}
