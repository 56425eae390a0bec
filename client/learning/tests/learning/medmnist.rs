//! MedMNIST files as programs write them: labels of any width, arrays in either order, classes that
//! nobody has.

use std::fs::File;
use std::path::{Path, PathBuf};

use npyz::npz::NpzWriter;
use npyz::{AutoSerialize, Order, WriterBuilder as _};
use ringfence_learning::data::{self, DataOptions, Dataset};
use ringfence_learning::task::{Classification, remarks};

use crate::folders::options;

const COUNT: u64 = 40;
const SIDE: u64 = 8;

/// A pixel of image number `image`.
fn pixel(image: u64, row: u64, column: u64) -> u8 {
    (image * 5 + row * 16 + column * 3) as u8
}

/// A file of `COUNT` images a split, and these labels.
fn archive<L: AutoSerialize>(folder: &Path, order: Order, label: impl Fn(u64) -> L) -> PathBuf {
    let path = folder.join("written.npz");
    let mut file = NpzWriter::new(File::create(&path).unwrap());
    let stored = Default::default();
    for split in ["train", "val", "test"] {
        let images = file.array(&format!("{split}_images"), stored).unwrap();
        let images = images.default_dtype().order(order).shape(&[COUNT, SIDE, SIDE]);
        let mut images = images.begin_nd().unwrap();
        let values = SIDE * SIDE * COUNT;
        let row_major = |at: u64| pixel(at / SIDE / SIDE, at / SIDE % SIDE, at % SIDE);
        let column_major = |at: u64| pixel(at % COUNT, at / COUNT % SIDE, at / COUNT / SIDE);
        let value = |at: u64| match order {
            Order::C => row_major(at),
            Order::Fortran => column_major(at),
        };
        images.extend((0..values).map(value)).unwrap();
        images.finish().unwrap();
        let labels = file.array(&format!("{split}_labels"), stored).unwrap();
        let labels = labels.default_dtype().order(order).shape(&[COUNT, 1]);
        let mut labels = labels.begin_nd().unwrap();
        labels.extend((0..COUNT).map(&label)).unwrap();
        labels.finish().unwrap();
    }
    path
}

fn two_sites() -> DataOptions {
    DataOptions { side: 16, sites: Some(2), ..options() }
}

fn read(path: &Path) -> Dataset {
    data::load(path, &two_sites()).unwrap()
}

#[test]
fn labels_of_any_width_and_arrays_in_either_order_are_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let expected = read(&archive(folder.path(), Order::C, |at| (at % 2) as u8));
    for order in [Order::C, Order::Fortran] {
        let path = archive(folder.path(), order, |at| (at % 2) as i64);
        assert!(read(&path) == expected, "{order:?}, i64");
        let path = archive(folder.path(), order, |at| (at % 2) as i32);
        assert!(read(&path) == expected, "{order:?}, i32");
        let path = archive(folder.path(), order, |at| (at % 2) as u16);
        assert!(read(&path) == expected, "{order:?}, u16");
    }
    // The records that a ledger charges are of the same images, too.
    let samples = &expected.sites[0].train;
    let names = |order| {
        let path = archive(folder.path(), order, |at| (at % 2) as u8);
        data::record_names(&path, samples).unwrap()
    };
    assert_eq!(names(Order::C), names(Order::Fortran));
}

#[test]
fn labels_that_are_none_are_refused_with_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path, expected: &str| {
        let error = data::load(path, &two_sites()).unwrap_err().to_string();
        assert!(error.contains("array `train_labels`: expected whole numbers from 0"), "{error}");
        assert!(error.contains(expected) && error.contains("(numpy.savez)"), "{error}");
    };
    let path = archive(folder.path(), Order::C, |at| at as i64 % 3 - 1);
    refused(&path, "found label -1");
    let path = archive(folder.path(), Order::C, |at| at * 100);
    refused(&path, "found label 300");
    let path = archive(folder.path(), Order::C, |at| at as f64);
    refused(&path, "found values of type '<f8'");
}

/// As of tables: the model has an output for a class that it never sees.
#[test]
fn a_class_that_nobody_has_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let said = |label: &dyn Fn(u64) -> u8, named: &[&str]| {
        let path = archive(folder.path(), Order::C, label);
        let classes = named.iter().map(ToString::to_string).collect();
        let data = data::load(&path, &DataOptions { classes, ..two_sites() }).unwrap();
        remarks(&Classification::light(16, &data.classes).unwrap(), &data)
    };
    let lines = said(&|at| (at % 2) as u8, &[]);
    assert!(!lines.iter().any(|line| line.contains("image at all")), "{lines:?}");
    let lines = said(&|at| 3 * (at % 2) as u8, &[]);
    assert!(lines.contains(&"no image at all of these classes: `1`, `2`".to_owned()), "{lines:?}");
    let lines = said(&|at| (at % 2) as u8, &["normal", "covid", "other"]);
    assert!(lines.contains(&"no image at all of these classes: `other`".to_owned()), "{lines:?}");
}
