//! Simulated scanners, as a study's data are read through them.

use std::fs;

use image::{ImageBuffer, Luma};
use ringfence_learning::data::phantom::{self, PhantomOptions};
use ringfence_learning::data::{self, DataError, DataOptions, Dataset, Sample, Scanner};

fn options(scanners: Option<f32>) -> DataOptions {
    DataOptions { side: 32, sites: Some(3), scanners, ..DataOptions::default() }
}

/// A folder of phantoms: three sites of six patients with eight slices.
fn folder() -> tempfile::TempDir {
    let phantoms = PhantomOptions { side: 32, sites: 3, patients: 6, slices: 8, seed: 1 };
    let folder = tempfile::tempdir().unwrap();
    data::write_folder(&phantom::generate(&phantoms).unwrap(), folder.path()).unwrap();
    folder
}

fn samples(data: &Dataset) -> Vec<&Sample> {
    data.sites.iter().flat_map(|site| site.samples()).map(|(_, sample)| sample).collect()
}

#[test]
fn scanners_change_all_splits_images_and_nothing_else() {
    let folder = folder();
    let load = |options: &DataOptions| data::load(folder.path(), options).unwrap();
    let (plain, made) = (load(&options(None)), load(&options(Some(1.0))));
    for (site, before) in made.sites.iter().zip(&plain.sites) {
        assert_eq!(site.site, before.site);
        for ((split, sample), (same, thin)) in site.samples().zip(before.samples()) {
            assert_eq!((split, &sample.name, &sample.group), (same, &thin.name, &thin.group));
            assert_eq!((sample.label, &sample.mask), (thin.label, &thin.mask));
            assert_ne!(sample.image, thin.image, "{split:?} {}", sample.name);
            assert!(sample.image.iter().all(|value| (0.0..=1.0).contains(value)));
        }
    }
    assert_eq!(made, load(&options(Some(1.0))));
    assert_ne!(made, load(&DataOptions { seed: 2, ignore_split: false, ..options(Some(1.0)) }));
    assert_eq!(plain, load(&options(Some(0.0))));
}

#[test]
fn a_capped_site_has_the_images_of_the_whole_one() {
    let folder = folder();
    let whole = data::load(folder.path(), &options(Some(1.0))).unwrap();
    let capped = DataOptions { max_per_site: Some(6), ..options(Some(1.0)) };
    let capped = data::load(folder.path(), &capped).unwrap();
    // Some site averages slices, most of whose neighbours are not kept.
    assert!((0..3).any(|site| Scanner::of_site(1, site, 1.0).slices == 5));
    let whole = samples(&whole);
    for site in &capped.sites {
        assert_eq!(site.samples().count(), 6);
        for (_, sample) in site.samples() {
            let same = whole.iter().find(|other| other.name == sample.name).unwrap();
            assert_eq!(sample, *same);
        }
    }
}

#[test]
fn equal_images_become_each_sites_own() {
    // The same picture at six patients of three sites.
    let folder = tempfile::tempdir().unwrap();
    let mut table = "file,label,site,patient\n".to_string();
    for file in 0..18 {
        let grey = |x: u32, y: u32| Luma([((x * 8) as u8) ^ (y as u8)]);
        let name = format!("{file}.png");
        ImageBuffer::from_fn(32, 32, grey).save(folder.path().join(&name)).unwrap();
        table += &format!("{name},{},s{},p{file}\n", file % 2, file / 6);
    }
    fs::write(folder.path().join("labels.csv"), table).unwrap();
    let data = data::load(folder.path(), &options(Some(1.0))).unwrap();
    let mean = |sample: &Sample| sample.image.iter().sum::<f32>() / sample.image.len() as f32;
    let of_site = |site: usize| -> Vec<f32> {
        data.sites[site].samples().map(|(_, sample)| mean(sample)).collect()
    };
    let spread = |values: &[f32]| {
        values.iter().fold(0.0_f32, |most, value| most.max((value - values[0]).abs()))
    };
    for (one, other) in [(0, 1), (1, 2), (0, 2)] {
        let between = (of_site(one)[0] - of_site(other)[0]).abs();
        assert!(between > 2.0 * spread(&of_site(one)).max(spread(&of_site(other))), "{between}");
    }
}

#[test]
fn a_strength_out_of_range_is_refused() {
    let folder = folder();
    assert!(data::load(folder.path(), &options(Some(3.0))).is_ok());
    for bad in [-0.1, 3.5, f32::NAN] {
        let error = data::load(folder.path(), &options(Some(bad))).unwrap_err();
        assert!(matches!(error, DataError::Option { option: "scanners", .. }), "{error}");
    }
}
