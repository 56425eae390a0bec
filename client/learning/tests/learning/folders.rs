//! What the tests of reading data share: folders and files to read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::{ImageBuffer, Luma};
use npyz::WriterBuilder as _;
use npyz::npz::NpzWriter;
use ringfence_learning::data::{self, DataOptions, Dataset, Split};

/// 16 px, all else as usual.
pub(crate) fn options() -> DataOptions {
    DataOptions { side: 16, ..DataOptions::default() }
}

/// A folder with this table; every file named `*.png` in it is written, 16 px wide. Those whose
/// names start with `m` are masks.
pub(crate) fn folder(table: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("labels.csv"), table).unwrap();
    for (number, file) in
        table.split([',', '\n']).filter(|field| field.ends_with(".png")).enumerate()
    {
        let is_mask = file.starts_with('m');
        let grey = |x: u32, y: u32| {
            let value = (x * 9 + y * 5) as u8 ^ number as u8;
            Luma([if is_mask { value & 0x80 } else { value }])
        };
        ImageBuffer::from_fn(16, 16, grey).save(folder.path().join(file)).unwrap();
    }
    folder
}

/// `groups` volumes of `images` images at each of the named sites.
pub(crate) fn table(sites: &[(&str, usize, usize)]) -> String {
    let mut table = "file,label,site,volume\n".to_string();
    for (site, groups, images) in sites {
        for group in 0..*groups {
            for image in 0..*images {
                table += &format!("{site}{group}{image}.png,{},{site},{site}{group}\n", image % 2);
            }
        }
    }
    table
}

/// The words with which data are refused.
pub(crate) fn refused(folder: &Path, options: &DataOptions) -> String {
    data::load(folder, options).unwrap_err().to_string()
}

/// Group to split, checking that no group is in two splits or at two sites.
pub(crate) fn splits(data: &Dataset) -> BTreeMap<String, (String, Split)> {
    let mut found = BTreeMap::new();
    for site in &data.sites {
        assert!(!site.train.is_empty() && !site.test.is_empty(), "{}", site.site);
        for (split, sample) in site.samples() {
            let place = (site.site.clone(), split);
            assert_eq!(*found.entry(sample.group.clone()).or_insert(place.clone()), place);
        }
    }
    found
}

/// The names of a study's sites.
pub(crate) fn names(data: &Dataset) -> Vec<&str> {
    data.sites.iter().map(|site| site.site.as_str()).collect()
}

/// A MedMNIST file whose image number `i` of each split is all `i`, with label `i % 2`.
pub(crate) fn medmnist(folder: &Path, side: u64, labels_short: bool) -> PathBuf {
    let path = folder.join("small.npz");
    let mut file = NpzWriter::create(&path).unwrap();
    let stored = Default::default();
    for (split, count) in [("train", 120), ("val", 20), ("test", 40)] {
        let mut images = file
            .array(&format!("{split}_images"), stored)
            .unwrap()
            .default_dtype()
            .shape(&[count, side, side])
            .begin_nd()
            .unwrap();
        images.extend((0..count).flat_map(|i| vec![i as u8; (side * side) as usize])).unwrap();
        images.finish().unwrap();
        let count = count - u64::from(labels_short);
        let mut labels = file
            .array(&format!("{split}_labels"), stored)
            .unwrap()
            .default_dtype()
            .shape(&[count, 1])
            .begin_nd()
            .unwrap();
        labels.extend((0..count).map(|i| (i % 2) as u8)).unwrap();
        labels.finish().unwrap();
    }
    path
}
