//! What names a record in a privacy ledger, and whether data name patients.

use std::collections::BTreeSet;
use std::fs;

use ringfence_learning::data::{self, DataOptions, record_names};
use ringfence_learning::{Dataset, Sample};

use crate::folders::{folder, medmnist, options, table};

/// The training samples of a site, with their names in a ledger.
fn named(path: &std::path::Path, data: &Dataset) -> Vec<(Sample, String)> {
    let train = data.sites[0].train.clone();
    let names = record_names(path, &train).unwrap();
    train.into_iter().zip(names).collect()
}

#[test]
fn a_record_is_known_again_wherever_it_lies_and_at_any_size() {
    let first = folder(&table(&[("a", 5, 1)]));
    let data = data::load(first.path(), &options()).unwrap();
    let before = named(first.path(), &data);
    let distinct: BTreeSet<&String> = before.iter().map(|(_, name)| name).collect();
    assert_eq!(distinct.len(), data.sites[0].train.len());

    // The same files under other names, in another folder, for a study of another size.
    let second = tempfile::tempdir().unwrap();
    fs::create_dir(second.path().join("images")).unwrap();
    let mut rows = "file,label,site,patient\n".to_owned();
    for (number, (sample, _)) in before.iter().enumerate() {
        let moved = format!("images/{number}#.png");
        fs::copy(first.path().join(&sample.name), second.path().join(&moved)).unwrap();
        rows += &format!("{moved},{},a,p{number}\n", number % 2);
    }
    fs::write(second.path().join("labels.csv"), rows).unwrap();
    let larger = DataOptions { side: 32, ..options() };
    let again = data::load(second.path(), &larger).unwrap();
    let after = named(second.path(), &again);
    assert!(after.iter().all(|(_, name)| distinct.contains(name)));
    // A volume is no patient; a patient is.
    assert!(!data.names_patients && again.names_patients);
}

/// Else what a file manager leaves in a folder of slices would give its patient a new budget.
#[test]
fn a_series_is_the_same_record_whatever_is_hidden_in_its_folder() {
    let folder = folder(&table(&[("a", 5, 1)]));
    let data = data::load(folder.path(), &options()).unwrap();
    let mut sample = data.sites[0].train[0].clone();
    let series = folder.path().join("series");
    fs::create_dir(&series).unwrap();
    for slice in ["1.dcm", "2.dcm"] {
        fs::write(series.join(slice), slice).unwrap();
    }
    sample.name = "series#0001".into();
    let name = |sample: &Sample| record_names(folder.path(), std::slice::from_ref(sample)).unwrap();
    let before = name(&sample);
    fs::write(series.join(".DS_Store"), "left").unwrap();
    assert_eq!(name(&sample), before);
    fs::write(series.join("3.dcm"), "3").unwrap();
    assert_ne!(name(&sample), before);
}

#[test]
fn two_records_that_are_one_image_are_refused() {
    let folder = folder(&table(&[("a", 8, 1)]));
    let data = data::load(folder.path(), &options()).unwrap();
    let [first, second, ..] = &data.sites[0].train[..] else { panic!() };
    fs::copy(folder.path().join(&first.name), folder.path().join(&second.name)).unwrap();
    let error = record_names(folder.path(), &data.sites[0].train).unwrap_err().to_string();
    let expected = format!("{} and {} are the same image", first.name, second.name);
    assert!(error.contains(&expected) && error.contains("name the patients"), "{error}");
}

#[test]
fn images_of_an_archive_are_named_by_their_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let path = medmnist(folder.path(), 28, false);
    let names = |seed| {
        let options = DataOptions { seed, sites: Some(2), ..options() };
        let data = data::load(&path, &options).unwrap();
        assert!(!data.names_patients);
        let sites = data.sites.iter().map(|site| record_names(&path, &site.train).unwrap());
        sites.collect::<Vec<_>>()
    };
    let (one, other) = (names(1), names(2));
    let all = |sites: &[Vec<String>]| sites.iter().flatten().cloned().collect::<BTreeSet<_>>();
    // All 120 training images, whoever has which.
    assert_eq!((all(&one).len(), all(&one)), (120, all(&other)));
    assert_ne!(one, other);
}
