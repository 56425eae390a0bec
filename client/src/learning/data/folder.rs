//! A folder of images with a table `labels.csv`.

use std::fs;
use std::path::Path;

use rayon::prelude::*;

use super::divide::{self, Plan};
use super::table::{self, Row};
use super::{DataError, DataOptions, Dataset, Sample, SiteData, Split, grey};

const TABLE: &str = "labels.csv";

/// Reads the folder: the table is checked first, then every image that is used is decoded.
pub(super) fn load(folder: &Path, options: &DataOptions) -> Result<Dataset, DataError> {
    let path = folder.join(TABLE);
    let (rows, classes) = table::read(&path, options)?;
    let items: Vec<_> = rows.iter().map(|row| row.item.clone()).collect();
    let (plans, left_out) = divide::divide(&path, &items, options)?;
    let sites = plans
        .into_iter()
        .map(|plan| read_site(folder, &rows, plan, options.side))
        .collect::<Result<_, _>>()?;
    Ok(Dataset { side: options.side, classes, sites, left_out })
}

/// Writes a dataset as a folder that [`load`](super::load) reads back: `images/`, `masks/` and
/// `labels.csv` with the columns `file,label,site,patient,mask,split`.
///
/// Grey values are rounded to 8 bits. Samples are numbered anew, by site and split.
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
            grey::write(&folder.join(&image), &sample.image, dataset.side)?;
            let mut mask = String::new();
            if let Some(values) = &sample.mask {
                mask = format!("masks/{number:02}/{index:04}.png");
                grey::write(&folder.join(&mask), values, dataset.side)?;
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

fn read_site(
    folder: &Path,
    rows: &[Row],
    mut plan: Plan,
    side: usize,
) -> Result<SiteData, DataError> {
    let mut read = |split| -> Result<Vec<Sample>, DataError> {
        let chosen = plan.samples.remove(&split).unwrap_or_default();
        chosen.into_par_iter().map(|index| read_sample(folder, &rows[index], side)).collect()
    };
    Ok(SiteData {
        train: read(Split::Train)?,
        validation: read(Split::Validation)?,
        test: read(Split::Test)?,
        site: plan.site,
    })
}

fn read_sample(folder: &Path, row: &Row, side: usize) -> Result<Sample, DataError> {
    let (image, size) = grey::read_image(&folder.join(&row.file), side)?;
    let mask = match &row.mask {
        Some(mask) => Some(grey::read_mask(&folder.join(mask), size, side)?),
        None => None,
    };
    Ok(Sample {
        name: row.file.clone(),
        group: row.item.group.clone(),
        image,
        label: row.label,
        mask,
    })
}
