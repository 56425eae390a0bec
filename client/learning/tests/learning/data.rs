//! Reading data: what is accepted and how it is divided.

use std::collections::BTreeSet;

use crate::folders::{folder, names, options, refused, splits, table};
use ringfence_learning::data::{self, DataError, DataOptions, LeftOutReason, Split, phantom};

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
    assert_eq!((two.left_out[0].site.as_deref(), two.left_out[0].images), (Some("c"), 2));
    assert_eq!(two.left_out[0].reason, LeftOutReason::Smaller(2));
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
        5.png,2,well,b,p4,train,\n6.png,7,ill,b,p5,validation,\n";
    let ok = folder(table);
    let data = data::load(ok.path(), &options()).unwrap();
    assert_eq!(names(&data), ["a"]);
    let a = &data.sites[0];
    assert_eq!([a.train.len(), a.validation.len(), a.test.len()], [2, 1, 1]);
    assert_eq!(data.classes, ["well", "ill"]);
    assert_eq!((a.train[0].label, a.test[0].label), (Some(1), Some(0)));
    assert_eq!((data.left_out[0].site.as_deref(), data.left_out[0].images), (Some("b"), 2));
    assert_eq!(data.left_out[0].reason, LeftOutReason::NoSplit(Split::Test));
    assert_eq!(data.unused_columns, ["extra"]);

    let bad = folder(&table.replace("4.png,2,well,a,p3,test", "4.png,2,well,a,p1,test"));
    let error = refused(bad.path(), &options());
    assert!(
        error.contains("patient `p1` is in `train` (line 2) and in `test` (line 5)"),
        "{error}"
    );
    data::load(bad.path(), &DataOptions { ignore_split: true, ..options() }).unwrap();
}

#[test]
fn a_study_names_its_classes_for_sites_that_lack_some() {
    let folder = folder("file,label,site,patient\n1.png,lesion,a,p\n2.png,lesion,a,q\n");
    let pinned = |classes: &[&str]| {
        let classes = classes.iter().map(ToString::to_string).collect();
        data::load(folder.path(), &DataOptions { classes, ..options() })
    };
    let data = pinned(&["normal", "lesion"]).unwrap();
    assert_eq!(data.sites[0].train[0].label, Some(1));
    assert_eq!(data.classes, ["normal", "lesion"]);
    assert_eq!(data::load(folder.path(), &options()).unwrap().classes, ["lesion"]);
    let error = pinned(&["normal"]).unwrap_err().to_string();
    assert!(
        error.contains("line 2, column `label`")
            && error.contains("classes `normal`, found `lesion`"),
        "{error}"
    );
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
