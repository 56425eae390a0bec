//! Reading data: what is accepted, how it is divided, and what is refused with which words.

// The lint's exception for tests does not reach the helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use image::{ImageBuffer, Luma};
use npyz::WriterBuilder as _;
use npyz::npz::NpzWriter;
use ringfence::learning::data::{self, DataError, DataOptions, Dataset, Split, phantom};

fn options() -> DataOptions {
    DataOptions { side: 16, ..DataOptions::default() }
}

/// A folder with this table; every file named `*.png` in it is written, 16 px wide.
fn folder(table: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("labels.csv"), table).unwrap();
    for (number, file) in
        table.split([',', '\n']).filter(|field| field.ends_with(".png")).enumerate()
    {
        let grey = |x: u32, y: u32| Luma([(x * 9 + y * 5) as u8 ^ number as u8]);
        ImageBuffer::from_fn(16, 16, grey).save(folder.path().join(file)).unwrap();
    }
    folder
}

/// `groups` volumes of `images` images at each of the named sites.
fn table(sites: &[(&str, usize, usize)]) -> String {
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

fn refused(folder: &Path, options: &DataOptions) -> String {
    data::load(folder, options).unwrap_err().to_string()
}

/// Group to split, checking that no group is in two splits or at two sites.
fn splits(data: &Dataset) -> BTreeMap<String, (String, Split)> {
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

fn names(data: &Dataset) -> Vec<&str> {
    data.sites.iter().map(|site| site.site.as_str()).collect()
}

#[test]
fn volumes_are_divided_without_straddling_and_always_alike() {
    let folder = folder(&table(&[("a", 10, 2), ("b", 5, 3)]));
    let data = data::load(folder.path(), &options()).unwrap();
    assert_eq!(names(&data), ["a", "b"]);
    assert_eq!(data.classes, ["0", "1"]);
    let a = &data.sites[0];
    assert_eq!([a.train.len(), a.validation.len(), a.test.len()], [12, 4, 4]);
    assert_eq!(splits(&data).len(), 15);
    assert_eq!(data, data::load(folder.path(), &options()).unwrap());
    let other = data::load(folder.path(), &DataOptions { seed: 2, ..options() }).unwrap();
    assert_ne!(splits(&data), splits(&other));
}

#[test]
fn more_sites_are_cut_from_single_origins_and_fewer_are_the_largest() {
    let folder = folder(&table(&[("a", 10, 2), ("b", 5, 3), ("c", 2, 1)]));
    let sites = |count| data::load(folder.path(), &DataOptions { sites: Some(count), ..options() });
    let six = sites(6).unwrap();
    assert_eq!(names(&six), ["a-1", "a-2", "a-3", "b-1", "b-2", "c"]);
    for site in &six.sites {
        let origins: BTreeSet<char> =
            site.samples().filter_map(|(_, s)| s.group.chars().next()).collect();
        assert_eq!(origins.len(), 1, "{}", site.site);
    }
    assert_eq!(splits(&six).len(), 17);
    let two = sites(2).unwrap();
    assert_eq!(names(&two), ["a", "b"]);
    assert_eq!(two.left_out[0].0, "c");
    let error = sites(9).unwrap_err();
    assert!(matches!(error, DataError::Sites { asked: 9, possible: 8, .. }), "{error}");
}

#[test]
fn tiny_volumes_are_learnt_from_and_not_tested_on() {
    let mut table = table(&[("a", 6, 4)]);
    for tiny in 0..4 {
        table += &format!("tiny{tiny}.png,0,a,tiny{tiny}\n");
    }
    let folder = folder(&table);
    for seed in 0..8 {
        let data = data::load(folder.path(), &DataOptions { seed, ..options() }).unwrap();
        let found = splits(&data);
        assert!((0..4).all(|tiny| found[&format!("tiny{tiny}")].1 == Split::Train), "seed {seed}");
    }
}

#[test]
fn without_a_site_column_groups_make_five_sites() {
    let table: String = (0..12).map(|i| format!("{i}.png,x{}\n", i % 2)).collect();
    let folder = folder(&format!("file,label\n{table}"));
    let data = data::load(folder.path(), &options()).unwrap();
    assert_eq!(names(&data), ["site-1", "site-2", "site-3", "site-4", "site-5"]);
    assert_eq!(splits(&data).len(), 12);
    assert_eq!(data.classes, ["x0", "x1"]);
}

#[test]
fn a_given_split_is_respected_and_a_straddling_patient_is_named() {
    let table = "file,label,label_name,site,patient,split,extra\n\
        1.png,7,ill,a,p1,train,\n2.png,7,ill,a,p1,train,\n3.png,2,well,a,p2,val,\n4.png,2,well,a,p3,test,\n\
        5.png,2,well,b,p1,train,\n6.png,7,ill,b,p2,validation,\n";
    let ok = folder(table);
    let data = data::load(ok.path(), &options()).unwrap();
    assert_eq!(names(&data), ["a"]);
    let a = &data.sites[0];
    assert_eq!([a.train.len(), a.validation.len(), a.test.len()], [2, 1, 1]);
    assert_eq!(data.classes, ["well", "ill"]);
    assert_eq!((a.train[0].label, a.test[0].label), (Some(1), Some(0)));
    assert_eq!(data.left_out[0].0, "b");
    assert!(data.left_out[0].1.contains("`test`"), "{:?}", data.left_out);

    // Another site's patient of the same name is another patient; the same site's is not.
    let bad = folder(&table.replace("4.png,2,well,a,p3,test", "4.png,2,well,a,p1,test"));
    let error = refused(bad.path(), &options());
    assert!(
        error.contains("patient `p1` of site `a`") && error.contains("`train` and `test`"),
        "{error}"
    );
    data::load(bad.path(), &DataOptions { ignore_split: true, ..options() }).unwrap();
}

#[test]
fn a_study_names_its_classes_for_sites_that_lack_some() {
    let folder = folder("file,label,site,patient\n1.png,1,a,p\n2.png,1,a,q\n");
    let pinned = |classes: &[&str]| {
        let classes = classes.iter().map(ToString::to_string).collect();
        data::load(folder.path(), &DataOptions { classes, ..options() })
    };
    let data = pinned(&["normal", "lesion"]).unwrap();
    assert_eq!(data.sites[0].train[0].label, Some(1));
    assert_eq!(data.classes, ["normal", "lesion"]);
    assert_eq!(data::load(folder.path(), &options()).unwrap().classes, ["1"]);
    let error = pinned(&["normal"]).unwrap_err().to_string();
    assert!(error.contains("line 2, column `label`") && error.contains("found `1`"), "{error}");
}

#[test]
fn a_cap_keeps_every_split() {
    let folder = folder(&table(&[("a", 10, 4)]));
    let data =
        data::load(folder.path(), &DataOptions { max_per_site: Some(10), ..options() }).unwrap();
    let a = &data.sites[0];
    assert_eq!([a.train.len(), a.validation.len(), a.test.len()], [6, 2, 2]);
    splits(&data);
}

#[test]
fn bad_tables_and_files_are_refused_by_name() {
    let cases = [
        ("label,site\n1,a\n", "expected a column `file`, found [\"label\", \"site\"]"),
        ("file,site\n1.png,a\n", "expected a column `label`"),
        ("file,label\n", "found none"),
        ("file,label,split\n1.png,0,trian\n", "line 2, column `split`: expected train, val"),
        ("file,label,site\n1.png,0,\n", "line 2, column `site`"),
        ("file,label,site\n1.png,0\n", "not a valid CSV table"),
        ("file,label,site,patient\n1.png,0,a,p\n2.png,1,a,p\n", "has one patient or volume only"),
    ];
    for (table, expected) in cases {
        let folder = folder(table);
        let error = refused(folder.path(), &options());
        assert!(error.contains(expected) && error.contains("labels.csv"), "{table:?}: {error}");
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(refused(empty.path(), &options()).contains("labels.csv"));
    assert!(refused(&empty.path().join("nowhere"), &options()).contains("nowhere"));
    fs::write(empty.path().join("notes.txt"), "x").unwrap();
    assert!(refused(&empty.path().join("notes.txt"), &options()).contains("expected a folder"));
}

#[test]
fn damaged_absent_and_misfitting_images_are_refused_by_name() {
    let table = "file,mask,site,patient\n1.png,m1.png,a,p\n2.png,m2.png,a,q\n";
    let folder = folder(table);
    data::load(folder.path(), &options()).unwrap();
    let path = |name: &str| folder.path().join(name);
    let whole = fs::read(path("2.png")).unwrap();
    fs::write(path("2.png"), &whole[..whole.len() / 2]).unwrap();
    let error = refused(folder.path(), &options());
    assert!(error.contains("2.png") && error.contains("cannot be decoded"), "{error}");
    fs::write(path("2.png"), "not an image").unwrap();
    assert!(refused(folder.path(), &options()).contains("2.png"));
    fs::remove_file(path("2.png")).unwrap();
    assert!(refused(folder.path(), &options()).contains("2.png"));
    fs::write(path("2.png"), whole).unwrap();
    ImageBuffer::from_pixel(16, 15, Luma([1_u8])).save(path("m2.png")).unwrap();
    let error = refused(folder.path(), &options());
    assert!(
        error.contains("m2.png") && error.contains("16 x 16") && error.contains("16 x 15"),
        "{error}"
    );
}

#[test]
fn options_out_of_range_are_refused() {
    let folder = folder(&table(&[("a", 4, 1)]));
    for bad in [
        DataOptions { side: 4, ..options() },
        DataOptions { sites: Some(0), ..options() },
        DataOptions { max_per_site: Some(2), ..options() },
        DataOptions { dirichlet_alpha: f64::NAN, ..options() },
    ] {
        assert!(
            matches!(data::load(folder.path(), &bad), Err(DataError::Option { .. })),
            "{bad:?}"
        );
    }
}

#[test]
fn a_dataset_is_written_and_read_back_the_same() {
    let options = phantom::PhantomOptions { side: 16, sites: 2, patients: 3, slices: 2, seed: 1 };
    let mut data = phantom::generate(&options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    data::write_folder(&data, folder.path()).unwrap();
    let mut read = data::load(folder.path(), &self::options()).unwrap();
    for dataset in [&mut data, &mut read] {
        for site in &mut dataset.sites {
            for sample in site.train.iter_mut().chain(&mut site.validation).chain(&mut site.test) {
                sample.name.clear();
            }
        }
    }
    assert_eq!(read, data);
}

/// A MedMNIST file whose image number `i` of each split is all `i`, with label `i % 2`.
fn medmnist(folder: &Path, side: u64, labels_short: bool) -> PathBuf {
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

#[test]
fn medmnist_is_spread_by_label_skew_and_padded() {
    let folder = tempfile::tempdir().unwrap();
    let path = medmnist(folder.path(), 28, false);
    let load = |alpha| {
        let options = DataOptions { side: 32, sites: Some(4), dirichlet_alpha: alpha, ..options() };
        data::load(&path, &options).unwrap()
    };
    let data = load(0.5);
    assert_eq!(splits(&data).len(), 180);
    let sizes: Vec<usize> = data.sites.iter().map(|site| site.train.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 120);
    assert!(sizes.iter().all(|size| *size >= 10), "{sizes:?}");
    let sample = data.sites[0]
        .samples()
        .map(|(_, s)| s)
        .find(|s| s.name == "train-00077" || s.name.starts_with("train"))
        .unwrap();
    let number: f32 = sample.name.trim_start_matches("train-").parse().unwrap();
    assert_eq!(sample.label, Some(number as u32 % 2));
    assert_eq!((sample.image[0], sample.image[32 * 16]), (0.0, 0.0));
    assert!((sample.image[2 * 32 + 2] - number / 255.0).abs() < 1e-6);
    // The share of class 1 differs more between sites the smaller alpha is.
    let unevenness = |data: &Dataset| {
        let share = |site: &data::SiteData| {
            site.train.iter().filter(|s| s.label == Some(1)).count() as f64
                / site.train.len() as f64
        };
        let shares: Vec<f64> = data.sites.iter().map(share).collect();
        shares.iter().fold(0.0_f64, |most, s| most.max((s - 0.5).abs()))
    };
    assert!(unevenness(&data) > unevenness(&load(1000.0)) + 0.1);
}

#[test]
fn damaged_numpy_archives_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = medmnist(folder.path(), 28, true);
    let error = refused(&path, &options());
    assert!(error.contains("train_labels") && error.contains("small.npz"), "{error}");
    let path = medmnist(folder.path(), 28, false);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(refused(&path, &options()).contains("small.npz"));
    // A damaged byte inside the first image array: decompression or the archive's checksum tells.
    let mut flipped = whole;
    flipped[300] ^= 1;
    fs::write(&path, flipped).unwrap();
    assert!(refused(&path, &options()).contains("train_images"));
    let mut file = NpzWriter::new(File::create(&path).unwrap());
    let mut labels = file
        .array("train_labels", Default::default())
        .unwrap()
        .default_dtype()
        .shape(&[1])
        .begin_nd()
        .unwrap();
    labels.push(&0_u8).unwrap();
    labels.finish().unwrap();
    file.zip_writer().flush().ok();
    drop(file);
    let error = refused(&path, &options());
    assert!(error.contains("train_images") && error.contains("no array"), "{error}");
}
