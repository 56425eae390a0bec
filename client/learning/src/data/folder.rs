//! A folder of images with a table `labels.csv`.

use std::fs;
use std::path::Path;

use super::dataset::{Dataset, Sample, SiteData, Split};
use super::division::{Division, SitePart};
use super::error::DataError;
use super::options::DataOptions;
use super::table::{self, Row, Table};
use super::{memory, raster, stack};

/// The table of a folder.
pub(super) const TABLE: &str = "labels.csv";

/// Reads the folder: the table is checked first, then every image that is used is decoded.
///
/// A row that names a volume and no slice gives a sample for each slice that is asked for.
pub(super) fn load(folder: &Path, options: &DataOptions) -> Result<Dataset, DataError> {
    let path = folder.join(TABLE);
    let Table { rows, classes, unused_columns } = table::read(&path, options)?;
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
    memory::check(folder, samples.sum(), options)?;
    let mut sites = Vec::with_capacity(parts.len());
    for (position, whole) in parts.into_iter().enumerate() {
        let mut kept = whole.clone();
        left_out.extend(kept.cap(options, &items));
        sites.push(read_site(folder, &rows, [&whole, &kept], position, options)?);
    }
    Ok(Dataset { side: options.side, classes, sites, left_out, unused_columns })
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
    let mut writer = csv::Writer::from_path(&path).map_err(table)?;
    rows.iter().try_for_each(|row| writer.write_record(row)).map_err(table)?;
    writer.flush().map_err(file)
}

/// Reads the samples of one site that it keeps of all, as its scanner shows them. A slice's neighbours are
/// read with it where the scanner averages them, also those that the site does not keep.
fn read_site(
    folder: &Path,
    rows: &[Row],
    [whole, kept]: [&SitePart; 2],
    position: usize,
    options: &DataOptions,
) -> Result<SiteData, DataError> {
    let scanner = options.scanner(position);
    let read = |split| -> Result<Vec<Sample>, DataError> {
        let of = |part: &SitePart| part.samples.get(&split).cloned().unwrap_or_default();
        let kept = of(kept);
        let place = |index: usize| {
            rows.get(index).map(|row| (row.item.group.clone(), row.name())).unwrap_or_default()
        };
        let needed = scanner.needs(&of(whole), &kept, place);
        let chosen: Vec<&Row> = needed.iter().filter_map(|index| rows.get(*index)).collect();
        let mut samples = stack::read(folder, &chosen, options)?;
        scanner.apply_to(&mut samples, &whole.site, options.seed)?;
        let made = needed.into_iter().zip(samples);
        Ok(made
            .filter(|(index, _)| kept.binary_search(index).is_ok())
            .map(|(_, sample)| sample)
            .collect())
    };
    Ok(SiteData {
        train: read(Split::Train)?,
        validation: read(Split::Validation)?,
        test: read(Split::Test)?,
        site: whole.site.clone(),
    })
}
