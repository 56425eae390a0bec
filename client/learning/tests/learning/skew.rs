//! Label skew: data that name no site, in MedMNIST files and in folders.

use std::fs;

use crate::folders::{folder, medmnist, options, splits};
use image::{ImageBuffer, Luma};
use ringfence_learning::ModelName;
use ringfence_learning::data::{self, DataError, DataOptions, Dataset, Split};
use ringfence_learning::task::{Classification, remarks};

/// How far the share of class 1 among a site's training images is from one half, at most.
fn unevenness(data: &Dataset) -> f64 {
    let share = |site: &data::SiteData| {
        let of_class = site.train.iter().filter(|sample| sample.label == Some(1)).count();
        (of_class as f64 / site.train.len() as f64 - 0.5).abs()
    };
    data.sites.iter().map(share).fold(0.0, f64::max)
}

/// 60 patients of three images, all of one class a patient but for the third of every fifth.
fn patients() -> tempfile::TempDir {
    let mut table = "file,label,patient\n".to_string();
    for patient in 0..60 {
        for image in 0..3 {
            let odd = image == 2 && patient % 5 == 0;
            let label = if odd { "other" } else { ["well", "ill"][patient % 2] };
            table += &format!("{patient}-{image}.png,{label},p{patient}\n");
        }
    }
    folder(&table)
}

/// The format has numbers only: what they are taken for is said.
#[test]
fn labels_of_a_medmnist_file_are_places_in_the_studys_list_which_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = medmnist(folder.path(), 28, false);
    let load = |classes: &[&str]| {
        let classes: Vec<String> = classes.iter().map(ToString::to_string).collect();
        data::load(&path, &DataOptions { classes, sites: Some(3), ..options() }).unwrap()
    };
    let first = |data: &data::Dataset| {
        let mut samples = data.sites.iter().flat_map(|site| site.samples());
        samples.find(|(_, sample)| sample.name == "train-00001").unwrap().1.label
    };
    let named = load(&["normal", "pneumonia"]);
    assert_eq!(first(&named), Some(1));
    assert_eq!(
        named.remarks,
        [
            "the labels of a MedMNIST file are numbers, taken for the study's classes in their order: 0 is `normal`, 1 is `pneumonia`"
        ]
    );
    let task = Classification::new(ModelName::Dense, 16, &named.classes).unwrap();
    assert!(remarks(&task, &named).contains(&named.remarks[0]));
    let numbers = load(&["1", "0"]);
    assert_eq!((first(&numbers), numbers.remarks.len()), (Some(0), 0));
    assert!(load(&[]).remarks.is_empty());
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
    // This division is what published figures were measured on.
    assert_eq!(sizes, [32, 34, 36, 18]);
    let numbers = |site: &data::SiteData| -> u32 {
        let number = |name: &str| name.trim_start_matches("test-").parse::<u32>().unwrap();
        site.test.iter().map(|sample| number(&sample.name)).sum()
    };
    assert_eq!(data.sites.iter().map(numbers).collect::<Vec<_>>(), [194, 239, 216, 131]);
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
    assert!(unevenness(&data) > unevenness(&load(1000.0)) + 0.1);
}

#[test]
fn a_folder_without_sites_is_spread_by_whole_patients() {
    let folder = patients();
    let load = |seed, alpha| {
        let options = DataOptions { sites: Some(4), seed, dirichlet_alpha: alpha, ..options() };
        data::load(folder.path(), &options).unwrap()
    };
    let skewed = load(1, 0.3);
    // Every patient is at one site and in one split, with all images.
    assert_eq!(splits(&skewed).len(), 60);
    assert_eq!(skewed.sites.iter().map(|site| site.samples().count()).sum::<usize>(), 180);
    assert_eq!(skewed, load(1, 0.3));
    assert_ne!(skewed, load(2, 0.3));
    // Class `ill` is the first by alphabet; class 1 is `other`, of which there is little.
    assert_eq!(skewed.classes, ["ill", "other", "well"]);
    let share = |data: &Dataset| {
        let ill = |site: &data::SiteData| {
            let ill = site.samples().filter(|(_, sample)| sample.label == Some(0)).count();
            ill as f64 / site.samples().count() as f64
        };
        let shares: Vec<f64> = data.sites.iter().map(ill).collect();
        shares.iter().fold(0.0_f64, |most, s| most.max(*s))
            - shares.iter().fold(1.0_f64, |least, s| least.min(*s))
    };
    let (skew, even) = (share(&skewed), share(&load(1, 1000.0)));
    assert!(skew > 0.4 && even < 0.2, "{skew} and {even}");
}

#[test]
fn a_folder_is_spread_as_a_medmnist_file_with_the_same_labels() {
    let folder = tempfile::tempdir().unwrap();
    let archive = medmnist(folder.path(), 28, false);
    let mut table = "file,label,split\n".to_string();
    for (split, count) in [("train", 120), ("val", 20), ("test", 40)] {
        for index in 0..count {
            let name = format!("{split}-{index:05}.png");
            let grey = ImageBuffer::from_pixel(28, 28, Luma([index as u8]));
            grey.save(folder.path().join(&name)).unwrap();
            table += &format!("{name},{},{split}\n", index % 2);
        }
    }
    fs::write(folder.path().join("labels.csv"), table).unwrap();
    let options = DataOptions { sites: Some(4), ..options() };
    let names = |data: Dataset| -> Vec<(String, Split, String)> {
        let of = |site: &data::SiteData| -> Vec<_> {
            let name = |name: &str| name.trim_end_matches(".png").to_string();
            site.samples().map(|(s, sample)| (site.site.clone(), s, name(&sample.name))).collect()
        };
        data.sites.iter().flat_map(of).collect()
    };
    let from_folder = names(data::load(folder.path(), &options).unwrap());
    assert_eq!(from_folder, names(data::load(&archive, &options).unwrap()));
    assert_eq!(from_folder.len(), 180);
}

#[test]
fn a_skew_that_leaves_a_site_empty_is_refused() {
    let folder = patients();
    let options = DataOptions { sites: Some(8), dirichlet_alpha: 1e-4, ..options() };
    let error = data::load(folder.path(), &options).unwrap_err();
    assert!(matches!(error, DataError::Sites { asked: 8, .. }), "{error}");
    assert!(error.to_string().contains("raise dirichlet_alpha"), "{error}");
}
