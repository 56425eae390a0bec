//! Data that are refused, and with which words: the file or site, what was expected, what to do.

use std::fs::{self, File};
use std::io::Write as _;

use crate::folders::{folder, medmnist, names, options, refused, table};
use image::{ImageBuffer, Luma};
use npyz::WriterBuilder as _;
use npyz::npz::NpzWriter;
use ringfence_learning::data::{self, DataError, DataOptions, LeftOutReason};
use ringfence_learning::task::remarks;
use ringfence_learning::{
    Classification, ModelName, Task as _, TaskName, TrainOptions, TrainingPlan,
};
use ringfence_weights::MeanStep;

#[test]
fn bad_tables_and_files_are_refused_by_name() {
    let cases = [
        ("label,site\n1,a\n", "expected a column `file`, found `label`, `site` (parted"),
        ("file,site\n1.png,a\n", "expected a column `label` or `mask`"),
        ("", "expected a column `file`, found no column (parted"),
        ("file,label\n", "found none"),
        ("file,label,split\n1.png,0,trian\n", "line 2, column `split`: expected train, val"),
        ("file,label,site\n1.png,0,\n", "line 2, column `site`"),
        ("file,label,site\n1.png,0\n", "line 2: expected 3 fields as in the first line, found 2"),
        (
            "file,label,site,patient\n1.png,0,a,p\n2.png,1,a,p\n",
            "site `a`: one patient or volume only, and needs one to train on and another to test on); mend the data",
        ),
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

#[cfg(unix)]
fn make_pipe(path: &std::path::Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
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
    // Neither a pipe, of which reading would not end.
    #[cfg(unix)]
    {
        make_pipe(&path("2.png"));
        let error = refused(folder.path(), &options());
        let expected = "2.png: expected a file, found a pipe, a socket or a device";
        assert!(error.contains(expected), "{error}");
        fs::remove_file(path("2.png")).unwrap();
        let table = fs::read(path("labels.csv")).unwrap();
        fs::remove_file(path("labels.csv")).unwrap();
        make_pipe(&path("labels.csv"));
        let error = refused(folder.path(), &options());
        assert!(error.contains("labels.csv: expected a table, found a folder, a pipe"), "{error}");
        fs::remove_file(path("labels.csv")).unwrap();
        fs::write(path("labels.csv"), table).unwrap();
    }
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
fn damaged_numpy_archives_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = medmnist(folder.path(), 28, true);
    let error = refused(&path, &options());
    assert!(
        error.contains("train_images")
            && error.contains("119 labels")
            && error.contains("small.npz"),
        "{error}"
    );
    let path = medmnist(folder.path(), 28, false);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(refused(&path, &options()).contains("small.npz"));
    // A damaged byte inside the first image array: decompression or the archive's checksum tells.
    let mut flipped = whole;
    flipped[300] ^= 1;
    fs::write(&path, flipped).unwrap();
    assert!(refused(&path, &options()).contains("train_images"));
    // The checksum of an array, as the archive's directory has it: its values are as they were.
    let path = medmnist(folder.path(), 28, false);
    let whole = fs::read(&path).unwrap();
    for name in ["train_images", "val_labels"] {
        let at = whole.windows(name.len()).rposition(|bytes| bytes == name.as_bytes()).unwrap();
        // An entry of 46 bytes stands before its name, and the checksum 16 bytes within it.
        let entry = at - 46;
        assert_eq!(whole[entry..entry + 4], *b"PK\x01\x02");
        let mut flipped = whole.clone();
        flipped[entry + 16] ^= 1;
        fs::write(&path, flipped).unwrap();
        let error = refused(&path, &options());
        assert!(error.contains(name) && error.contains("Invalid checksum"), "{error}");
    }
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
    assert!(error.contains("val_labels") && error.contains("no array"), "{error}");
}

#[test]
fn empty_files_and_absent_masks_are_refused_by_name() {
    let folder = folder("file,mask,site,patient\n1.png,m1.png,a,p\n2.png,m2.png,a,q\n");
    let path = |name: &str| folder.path().join(name);
    let whole = fs::read(path("m2.png")).unwrap();
    fs::write(path("1.png"), "").unwrap();
    let error = refused(folder.path(), &options());
    assert!(error.contains("1.png: expected an image, found an empty file"), "{error}");
    fs::write(path("1.png"), &whole).unwrap();
    fs::remove_file(path("m2.png")).unwrap();
    let error = refused(folder.path(), &options());
    assert!(error.contains("m2.png") && error.contains("check that the path exists"), "{error}");
    fs::create_dir(path("m2.png")).unwrap();
    assert!(refused(folder.path(), &options()).contains("m2.png"));
}

#[test]
fn labels_out_of_range_are_refused_with_file_and_line() {
    let classes = vec!["normal".to_string()];
    let folder = folder("file,label,site,patient\n1.png,normal,a,p\n2.png,lesion,a,q\n");
    let options = DataOptions { classes: classes.clone(), ..options() };
    let error = refused(folder.path(), &options);
    assert!(error.contains("labels.csv: line 3, column `label`"), "{error}");
    assert!(error.contains("one of the study's classes `normal`, found `lesion`"), "{error}");
    let path = medmnist(folder.path(), 28, false);
    let error = refused(&path, &options);
    assert!(error.contains("small.npz: array `train_labels`"), "{error}");
    assert!(error.ends_with("the study's classes `normal`, found 1"), "{error}");
}

#[test]
fn a_site_of_one_class_is_noted_and_a_study_of_one_class_refused() {
    let rows = |site: &str, label: &str| -> String {
        let row = |i| format!("{site}{i}.png,{label},{site},{site}p{i}\n");
        (0..4).map(row).collect()
    };
    let header = "file,label,site,patient\n";
    let task = |classes: &[String]| Classification::new(ModelName::Dense, 16, classes).unwrap();
    let two = folder(&format!("{header}{}{}", rows("a", "well"), rows("b", "ill")));
    let data = data::load(two.path(), &options()).unwrap();
    task(&data.classes).check(&data).unwrap();
    let said = remarks(&task(&data.classes), &data);
    assert!(said[0].starts_with("training images of one class: a (well), b (ill);"), "{said:?}");
    assert_eq!(said.len(), 1);

    let mixed = folder(&table(&[("a", 6, 2)]));
    let mixed = data::load(mixed.path(), &options()).unwrap();
    assert!(remarks(&task(&mixed.classes), &mixed).is_empty());

    // A site of its own may be of one class, a study may not.
    let one = folder(&format!("{header}{}{}", rows("a", "ill"), rows("b", "ill")));
    let classes = ["well", "ill"].map(String::from).to_vec();
    let options = DataOptions { classes: classes.clone(), ..options() };
    let data = data::load(one.path(), &options).unwrap();
    let plan = TrainingPlan {
        task: TaskName::Classification,
        model: ModelName::Dense,
        side: 16,
        channels: 1,
        classes,
        rounds: 1,
        training: TrainOptions::for_task(TaskName::Classification),
        mean_step: MeanStep::Add,
        fine_tuning: None,
        personal: None,
    };
    plan.check_site(&data).unwrap();
    let error = plan.check(&data).unwrap_err().to_string();
    assert!(error.contains("found `ill` only, at all 2 sites together"), "{error}");
}

#[test]
fn a_site_of_a_single_patient_is_left_out_by_name() {
    let folder = folder(&table(&[("a", 4, 2), ("b", 1, 6)]));
    let data = data::load(folder.path(), &options()).unwrap();
    assert_eq!(names(&data), ["a"]);
    assert_eq!((data.left_out[0].site.as_deref(), data.left_out[0].images), (Some("b"), 6));
    assert_eq!(data.left_out[0].reason, LeftOutReason::OneGroup);
    let error = refused(folder.path(), &DataOptions { sites: Some(5), ..options() });
    assert!(error.contains("labels.csv: expected 5 sites, but at most 2"), "{error}");
}

/// Data that name no site are nobody's by name.
#[test]
fn images_without_a_site_are_not_called_one() {
    let folder = folder("file,label,patient\n1.png,0,p\n2.png,1,p\n");
    let one = DataOptions { one_site: Some(data::OneSite::Only), ..options() };
    for (options, asked) in [(one, "expected 1 site"), (options(), "expected 5 sites")] {
        let error = refused(folder.path(), &options);
        assert!(error.contains(asked), "{error}");
        let said = "(the data, which name no site: one patient or volume only";
        assert!(error.contains(said) && !error.contains('`'), "{error}");
    }
}

#[test]
fn too_little_memory_is_told_before_any_image_is_decoded() {
    // 20 images of 16 x 16 pixels at 8 bytes: 40,960.
    let folder = folder(&table(&[("a", 10, 2)]));
    let with = |memory| DataOptions { memory: Some(memory), ..options() };
    data::load(folder.path(), &with(40_960)).unwrap();
    fs::write(folder.path().join("a00.png"), "damaged").unwrap();
    let error = data::load(folder.path(), &with(40_959)).unwrap_err();
    assert!(matches!(error, DataError::Memory { samples: 20, side: 16, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("20 images of 16 x 16") && text.contains("--max-per-site"), "{text}");
    assert!(text.contains(&folder.path().display().to_string()), "{text}");
    // Fewer are read when a site keeps fewer: then the damage is found.
    let few = DataOptions { max_per_site: Some(19), ..with(40_959) };
    let error = data::load(folder.path(), &few);
    assert!(!matches!(error, Err(DataError::Memory { .. })), "{error:?}");

    let archive = medmnist(folder.path(), 28, false);
    let bytes = 180 * 16 * 16 * 8;
    data::load(&archive, &with(bytes)).unwrap();
    let error = data::load(&archive, &with(bytes - 1)).unwrap_err();
    assert!(matches!(error, DataError::Memory { samples: 180, .. }), "{error}");
    assert!(error.to_string().contains("small.npz"), "{error}");
    let few = DataOptions { max_per_site: Some(10), ..with(bytes - 1) };
    assert_eq!(data::load(&archive, &few).unwrap().sites.len(), 5);
}
