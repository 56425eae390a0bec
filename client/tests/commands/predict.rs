//! `ringfence predict` on folders with a table: predictions beside what is true, by hand.

use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use ringfence_learning::TrainingPlan;
use ringfence_weights::Weights;

use crate::support::ringfence;

/// A model whose values are known: by the tensor's name and the value's place in it.
pub(crate) fn known_model(folder: &Path, init: &[&str], value: impl Fn(&str, usize) -> f32) {
    ringfence(folder, &[&["init", "--side", "16"], init].concat()).unwrap();
    let path = folder.join("model.safetensors");
    let (plan, weights) = TrainingPlan::load(&path).unwrap();
    let shapes = weights.shapes();
    let of = |(name, shape): &(String, Vec<usize>)| {
        (0..shape.iter().product()).map(|place| value(name, place)).collect::<Vec<f32>>()
    };
    let values = shapes.iter().flat_map(of).collect();
    plan.save(&Weights::from_values(&shapes, values).unwrap(), &path).unwrap();
}

/// Predicts into the folder `out` after emptying it, which is not taken otherwise.
pub(crate) fn again(folder: &Path, predict: &[&str]) -> Result<String, String> {
    std::fs::remove_dir_all(folder.join("out")).unwrap();
    ringfence(folder, predict)
}

/// Predicts into the folder `out` what can be read of files of which some cannot: what it says.
pub(crate) fn partly(folder: &Path, predict: &[&str]) -> String {
    std::fs::remove_dir_all(folder.join("out")).ok();
    let output = crate::support::command(folder, predict).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.trim_end().ends_with("each with its reason in out/not-read.csv"), "{said}");
    said
}

pub(crate) fn write(path: &Path, (width, height): (u32, u32), grey: impl Fn(u32, u32) -> u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_fn(width, height, |x, y| Luma([grey(x, y)])).save(path).unwrap();
}

/// The fields of a table's lines, the first of which is its header.
pub(crate) fn lines(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn masks_of_the_table_are_compared_with_and_not_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Every pixel is inside with a probability of 0.99.
    known_model(folder, &[], |name, _| if name == "head.bias" { 5.0 } else { 0.0 });
    let images = folder.join("images");
    let flat = |x: u32, y: u32| (x * 3 + y * 2) as u8;
    write(&images.join("a.png"), (40, 24), flat);
    write(&images.join("b.png"), (20, 10), flat);
    write(&images.join("healthy.png"), (16, 16), flat);
    write(&images.join("new/other.png"), (8, 8), flat);
    write(&images.join("masks/a.png"), (40, 24), |x, _| if x < 10 { 255 } else { 0 });
    write(&images.join("masks/b.png"), (20, 10), |_, y| if y < 5 { 1 } else { 0 });
    write(&images.join("masks/healthy.png"), (16, 16), |_, _| 0);
    let table = "file,mask,site,split\na.png,masks/a.png,x,train\nb.png,masks/b.png,y,test\n\
                 healthy.png,masks/healthy.png,x,whatever\ngone.png,masks/a.png,x,test\n";
    std::fs::write(images.join("labels.csv"), table).unwrap();
    let predict = ["predict", "--model", "model.safetensors", "images", "--out", "out"];
    let said = partly(folder, &predict);
    assert!(said.contains("3 images of 3 files predicted, 1 file not read;"), "{said}");
    assert!(said.contains("ringfence: 1 file not read: each with its reason"), "{said}");
    let left_aside = "left aside: 3 masks, 1 file that no labels.csv names";
    assert!(said.contains(left_aside), "{said}");
    // All of 960, 200 and 256 pixels are predicted, 240, 100 and 0 of them are inside.
    let dice = 2.0 * 340.0 / (2.0 * 340.0 + 1076.0);
    let scores = format!(
        "3 of 3 images have a mask in labels.csv: Dice at own size {dice:.3}, Jaccard at own size \
         {:.3}; mean Dice at own size of 2 images {:.3}",
        340.0 / 1416.0,
        (0.4 + 2.0 / 3.0) / 2.0
    );
    assert!(said.contains(&scores), "{said}\n{scores}");
    let trained = "\n1 of the 3 compared is in the split `train` of labels.csv: of images that a model was trained on, scores say little";
    assert!(said.contains(trained), "{said}");
    assert_eq!(
        lines(&folder.join("out/predictions.csv")),
        [
            "file,slice,class,share of pixels,split,true share of pixels,Dice at own size,\
             Jaccard at own size",
            "a.png,,,1.0000,train,0.2500,0.4000,0.2500",
            "b.png,,,1.0000,test,0.5000,0.6667,0.5000",
            "healthy.png,,,1.0000,whatever,0.0000,,",
        ]
        .map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>())
    );
    assert!(!folder.join("out/0003-a-mask.png").exists());

    // A mask of other values is told of, unless it is said what of it is inside.
    write(&images.join("masks/b.png"), (20, 10), |_, y| if y < 5 { 2 } else { (y % 2) as u8 });
    let error = ringfence(folder, &predict).unwrap_err();
    let expected = "cannot write to out: expected an empty or a new folder";
    assert!(error.contains(expected) && error.contains("-a-mask.png"), "{error}");
    let said = partly(folder, &predict);
    assert!(said.contains("3 images of 3 files predicted, 1 file not read"), "{said}");
    assert!(said.contains("ringfence: 1 file not read, 1 mask not compared: each"), "{said}");
    let compared = "3 of 3 images have a mask in labels.csv, and 2 of them could be compared (why not is in out/not-read.csv): Dice";
    assert!(said.contains(compared), "{said}");
    let faults = lines(&folder.join("out/not-read.csv"));
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert_eq!(faults[0], ["file", "part", "reason"]);
    assert_eq!((faults[1][0].as_str(), faults[1][1].as_str()), ("gone.png", "image"));
    assert_eq!((faults[2][0].as_str(), faults[2][1].as_str()), ("b.png", "mask"));
    let chosen = [&predict[..], &["--mask-label", "2,255"]].concat();
    assert!(partly(folder, &chosen).contains(&scores), "{said}");
    let unread = [&predict[..3], &["images/new", "--mask-label", "2", "--out", "out"]].concat();
    let error = ringfence(folder, &unread).unwrap_err();
    assert!(error.contains("--mask-label would change nothing: no labels.csv"), "{error}");
}

/// What the table says of a mask is true of the file, not of the model's smaller picture of it.
#[test]
fn the_share_of_pixels_is_that_of_the_mask_that_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Values that are drawn without any pattern, so that masks are neither empty nor full.
    known_model(folder, &[], |name, place| {
        let drawn = (name.len() * 131 + place * 7919 + 17) % 2003;
        if name.ends_with("bias") { 0.0 } else { drawn as f32 / 2003.0 - 0.5 }
    });
    for (number, size) in [(40, 24), (53, 31), (37, 61)].into_iter().enumerate() {
        let grey = |x: u32, y: u32| (x * x * 5 + y * 29 + x * y) as u8;
        write(&folder.join(format!("images/{number}.png")), size, grey);
    }
    let said =
        ringfence(folder, &["predict", "--model", "model.safetensors", "images", "--out", "out"]);
    let (mut shares, mut at_model_size) = (Vec::new(), 0);
    for line in &lines(&folder.join("out/predictions.csv"))[1..] {
        let number: usize = line[0].trim_end_matches(".png").parse().unwrap();
        let mask = folder.join(format!("out/{number:04}-{number}-mask.png"));
        let mask = image::open(mask).unwrap().into_luma8();
        let inside = mask.pixels().filter(|pixel| pixel.0[0] == 255).count();
        let share = inside as f64 / f64::from(mask.width() * mask.height());
        assert_eq!(line[3], format!("{share:.4}"));
        let of_256 = (share * 256.0).round() / 256.0;
        at_model_size += usize::from(line[3] == format!("{of_256:.4}"));
        shares.push(share);
    }
    assert!(at_model_size < 3, "{shares:?} are shares of 16 x 16 pixels, too");
    let percent = 100.0 * shares.iter().sum::<f64>() / 3.0;
    let said = said.unwrap();
    assert!(said.contains(&format!("{percent:.1} % of the pixels, mean")), "{said}");
}

#[test]
fn labels_of_the_table_give_the_scores_of_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Finds `ill` where the left half is the brighter one, and is undecided elsewhere.
    let init = ["--task", "classification", "--model", "dense", "--classes", "well,ill"];
    known_model(folder, &init, |name, place| match name {
        "hidden.kernel" if place < 256 && place % 16 < 8 => 1.0,
        "head.kernel" if place == 64 => 1.0,
        _ => 0.0,
    });
    let images = folder.join("images");
    let bright = |left: bool| move |x: u32, _: u32| if (x < 8) == left { 200 } else { 40 };
    for (name, left) in [("i1", true), ("i2", false), ("w1", false), ("w2", false), ("new", true)] {
        write(&images.join(format!("{name}.png")), (16, 16), bright(left));
    }
    let table = "File;Label;Mask\ni1.png;ill;\ni2.png;ill;\nw1.png;well;new.png\nw2.png;well;\n";
    std::fs::write(images.join("labels.csv"), table).unwrap();
    let predict = ["predict", "--model", "model.safetensors", "images", "--out", "out"];
    let said = ringfence(folder, &predict).unwrap();
    // `well`: TP 2, FP 1; `ill`: TP 1, FN 1; of four pairs two are in order and two ties.
    let scores = "4 of 4 images have a label in labels.csv: macro-F1 0.733, accuracy 0.750, \
                  F1 0.667, AUC 0.750";
    assert!(said.contains(scores) && said.contains("left aside: 1 mask\n"), "{said}");
    let written = lines(&folder.join("out/predictions.csv"));
    assert_eq!(written[0].join(","), "file,slice,class,well,ill,label");
    assert_eq!((written[1][2].as_str(), written[1][5].as_str()), ("ill", "ill"));
    assert_eq!(written[2].join(","), "i2.png,,well,0.5000,0.5000,ill");

    // What no picture heeds is refused before anything is written.
    for option in
        [["--window", "40,80"], ["--axis", "sagittal"], ["--axis", "axial"], ["--every", "2"]]
    {
        std::fs::remove_dir_all(folder.join("out")).ok();
        let error = ringfence(folder, &[&predict[..], &option[..]].concat()).unwrap_err();
        let expected = format!("leave out {}, which would change nothing", option[0]);
        assert!(error.contains(&expected) && !folder.join("out").exists(), "{error}");
    }

    let table = "file,label\ni1.png,ill\ni2.png,ill\nw1.png,\n";
    std::fs::write(images.join("labels.csv"), table).unwrap();
    let said = ringfence(folder, &predict).unwrap();
    let one_class = "2 of 3 images have a label in labels.csv: macro-F1 undefined, accuracy 0.500, \
                     F1 undefined, AUC undefined (images of one class only: ill)";
    assert!(said.contains(one_class), "{said}");

    // Numbers name none of the model's classes.
    let numbers = "file,label\ni1.png,1\nw1.png,0\n";
    std::fs::write(images.join("labels.csv"), numbers).unwrap();
    std::fs::remove_dir_all(folder.join("out")).ok();
    let error = ringfence(folder, &predict).unwrap_err();
    for expected in ["line 2", "classes `well`, `ill`, found the number 1", "`label_name`"] {
        assert!(error.contains(expected), "{error}, expected {expected}");
    }
    let numbers = "file,label,label_name\ni1.png,0,ill\ni2.png,0,ill\nw1.png,1,well\n";
    std::fs::write(images.join("labels.csv"), numbers).unwrap();
    assert!(ringfence(folder, &predict).unwrap().contains("macro-F1 0.667, accuracy 0.667"));

    // A table that does not fit the model is refused, and the files can be named instead.
    std::fs::write(images.join("labels.csv"), "file,label\ni1.png,mild\n").unwrap();
    let error = ringfence(folder, &predict).unwrap_err();
    for text in
        ["images/labels.csv: line 2", "`well`, `ill`, found `mild`", "name its images one by one"]
    {
        assert!(error.contains(text), "{text}: {error}");
    }
    let named = [&predict[..3], &["images/i1.png", "--out", "out"]].concat();
    assert!(!again(folder, &named).unwrap().contains("labels.csv"));
    let written = lines(&folder.join("out/predictions.csv"));
    assert_eq!(written[0].join(","), "file,slice,class,well,ill");
    let error = ringfence(folder, &[&named[..], &["--mask-channel", "0"]].concat()).unwrap_err();
    assert!(error.contains("--mask-channel would change nothing: the model names"), "{error}");
}

#[test]
fn a_model_of_colours_reads_and_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    known_model(folder, &["--colour"], |name, _| if name == "head.bias" { -5.0 } else { 0.0 });
    let images = folder.join("images");
    write(&images.join("grey.png"), (20, 10), |x, _| x as u8);
    let pixel = |x: u32, y: u32| Rgb([10 * x as u8, 20 * y as u8, 77]);
    RgbImage::from_fn(20, 10, pixel).save(images.join("colour.png")).unwrap();
    let predict = ["predict", "--model", "model.safetensors", "images", "--out", "out"];
    let said = partly(folder, &predict);
    assert!(said.contains("1 image of 1 file predicted, 1 file not read"), "{said}");
    // Nothing is inside, so that the image shows as it is.
    let overlay = image::open(folder.join("out/0000-colour-overlay.png")).unwrap().into_rgb8();
    assert!(overlay.enumerate_pixels().all(|(x, y, found)| *found == pixel(x, y)));
    let windowed = [&predict[..], &["--window", "40,80"]].concat();
    let error = ringfence(folder, &windowed).unwrap_err();
    assert!(error.contains("--window would change nothing: images in colour"), "{error}");
    std::fs::remove_file(images.join("colour.png")).unwrap();
    let error = again(folder, &predict).unwrap_err();
    assert!(
        error.contains(
            "grey.png: expected an image in colour, as the training plan says, found PNG in grey"
        ),
        "{error}"
    );
}

/// 1 in one file and 2 in another: each alone would be read, and the folder means two things.
#[test]
fn masks_of_two_labels_in_one_folder_are_refused_unless_one_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    known_model(folder, &[], |name, _| if name == "head.bias" { 5.0 } else { 0.0 });
    let images = folder.join("images");
    let mut table = "file,mask,site,split\n".to_owned();
    let sites = [("a", 1), ("b", 255), ("c", 2)];
    for ((site, label), split) in sites.iter().flat_map(|of| [(of, "train"), (of, "test")]) {
        let (name, label) = (format!("{site}-{split}"), *label);
        write(&images.join(format!("{name}.png")), (16, 16), |x, y| (x * 3 + y) as u8);
        let mask = images.join(format!("masks/{name}.png"));
        write(&mask, (16, 16), move |x, _| if x < 4 { label } else { 0 });
        table += &format!("{name}.png,masks/{name}.png,{site},{split}\n");
    }
    std::fs::write(images.join("labels.csv"), table).unwrap();
    let error = ringfence(folder, &["demo", "--data", "images", "--side", "16", "--sites", "3"])
        .unwrap_err();
    for said in [
        "images/masks/c-test.png: ",
        "found label 2, as in 2 of 6, and label 1 in 4 (images/masks/a-test.png for one)",
        "--mask-label (1,2,255 for all of them)",
    ] {
        assert!(error.contains(said), "{said}: {error}");
    }
    let predict = ["predict", "--model", "model.safetensors", "images", "--out", "out"];
    let said = partly(folder, &predict);
    assert!(said.contains("6 images of 6 files predicted, 0 files not read"), "{said}");
    assert!(said.contains("ringfence: 2 masks not compared: each"), "{said}");
    let compared = "6 of 6 images have a mask in labels.csv, and 4 of them could be compared";
    assert!(said.contains(compared), "{said}");
    let all = [&predict[..], &["--mask-label", "1,2,255"]].concat();
    let said = again(folder, &all).unwrap();
    assert!(said.contains("6 images of 6 files predicted, 0 files not read"), "{said}");
    // A label that no mask holds: the predictions are there, and no score of nothing.
    std::fs::remove_dir_all(folder.join("out")).unwrap();
    let none = [&predict[..], &["--mask-label", "7"]].concat();
    let error = ringfence(folder, &none).unwrap_err();
    assert!(error.contains("written, and not compared"), "{error}");
    assert!(error.contains("a-test.png: expected a label that --mask-label chooses"), "{error}");
    assert!(error.contains("but the values 0, 1 in this one"), "{error}");
    let twice = [&predict[..], &["--mask-label", "1,1"]].concat();
    let error = ringfence(folder, &twice).unwrap_err();
    assert!(error.contains("expected each of --mask-label once, got 1 twice"), "{error}");

    // Another fault of every mask is told once.
    let channel = [&predict[..], &["--mask-channel", "3"]].concat();
    std::fs::remove_dir_all(folder.join("out")).unwrap();
    let output = crate::support::command(folder, &channel).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let line = "not compared: 6 files, the first a-test.png: its mask: expected a mask channel below 1, found 3";
    assert!(error.contains(line) && !error.contains("c-test.png"), "{error}");
    let said = String::from_utf8(output.stdout).unwrap();
    let none = "6 of 6 images have a mask in labels.csv, and none of them could be compared (why not is in out/not-read.csv)\n";
    assert!(said.contains(none), "{said}");
}

/// A folder of slices is the volume that a table would name: one order and one scale for all.
#[test]
fn a_folder_of_slices_is_predicted_as_through_a_table() {
    use crate::slices::slice;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    known_model(folder, &[], |name, _| if name == "head.bias" { -5.0 } else { 0.0 });
    let series = folder.join("data/series");
    std::fs::create_dir_all(&series).unwrap();
    // Their names tell nothing of their order, and the values of each nothing of their scale.
    for (name, height, value) in [("a", 5.0, 200), ("b", 0.0, 100), ("c", 2.5, 0)] {
        std::fs::write(series.join(name), slice(height, value)).unwrap();
    }
    let predict = |input: &str, out: &str| {
        ringfence(folder, &["predict", "--model", "model.safetensors", input, "--out", out])
    };
    let greys = |out: &str| {
        let grey = |number: usize| {
            let name = format!("{out}/0000-series-{number:04}-overlay.png");
            image::open(folder.join(name)).unwrap().into_luma8().get_pixel(0, 0).0[0]
        };
        [0, 1, 2].map(grey)
    };
    for (input, out) in [("data/series", "alone"), ("data", "within")] {
        let said = predict(input, out).unwrap();
        assert!(said.contains("3 images of 1 file predicted"), "{said}");
        assert_eq!(greys(out), [128, 0, 255], "{input}");
        assert_eq!(lines(&folder.join(out).join("predictions.csv"))[1][..2], ["series", "0"]);
    }
    let table = "file,mask,site,slice_index\nseries,,a,7\n";
    std::fs::write(folder.join("data/labels.csv"), table).unwrap();
    let said = predict("data", "table").unwrap();
    assert_eq!(greys("table"), [128, 0, 255]);
    assert!(said.contains("columns of the table that are not used: slice_index\n"), "{said}");
    // Slices that do not say where they lie have no order, and each would be scaled by itself.
    std::fs::remove_file(folder.join("data/labels.csv")).unwrap();
    let unplaced = folder.join("unplaced");
    std::fs::create_dir(&unplaced).unwrap();
    for name in ["a", "b"] {
        let bytes = slice(0.0, 7);
        let at = bytes.windows(4).position(|part| part == [0x20, 0, 0x32, 0]).unwrap();
        // The position becomes an attribute that says nothing of it.
        let bytes = [&bytes[..at], &[0x20, 0, 0x30, 0], &bytes[at + 4..]].concat();
        std::fs::write(unplaced.join(name), bytes).unwrap();
    }
    let error = predict("unplaced", "unplaced-out").unwrap_err();
    assert!(error.contains("unplaced: expected ImagePositionPatient (0020,0032), "), "{error}");
    assert!(error.contains("a series are put in order, found none in any of 2 files"), "{error}");
    assert!(error.contains("none of 1 file could be read"), "{error}");
    // A gap is refused as it is there.
    std::fs::write(series.join("d"), slice(9.0, 1)).unwrap();
    let error = predict("data", "gap").unwrap_err();
    assert!(error.contains("expected slices that are"), "{error}");
}

/// What says how a study's data are divided means nothing to a model in use.
#[test]
fn options_that_divide_data_are_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    for option in [
        &["--sites", "3"][..],
        &["--max-per-site", "3"],
        &["--dirichlet", "0.5"],
        &["--ignore-split"],
        &["--scanners", "1"],
    ] {
        let command = [&["predict", "--model", "m", "images"], option].concat();
        let error = ringfence(folder.path(), &command).unwrap_err();
        let expected = format!("unexpected argument '{}'", option[0]);
        assert!(error.contains(&expected), "{option:?}: {error}");
    }
    let help = ringfence(folder.path(), &["predict", "--help"]).unwrap();
    for option in ["--window", "--axis", "--every", "--mask-label", "--mask-channel"] {
        assert!(help.contains(option), "{option}: {help}");
    }
}
