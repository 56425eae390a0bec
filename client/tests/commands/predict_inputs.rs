//! What `ringfence predict` takes for an image, and what it says of the rest.

use crate::predict::{again, known_model, lines, partly, write};
use crate::support::ringfence;

/// Nothing tells a mask from an image but its name, and a model makes a mask of everything.
#[test]
fn masks_beside_images_are_refused_unless_a_table_says_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    known_model(folder, &[], |name, _| if name == "head.bias" { -5.0 } else { 0.0 });
    let flat = |x: u32, y: u32| (x * 3 + y) as u8;
    for (data, masks) in [
        ("a", ["masks/1.png", "masks/2.png"]),
        ("b", ["labelsTr/1.png", "labelsTr/x/2.png"]),
        ("c", ["images/1_mask.png", "images/2_seg.png"]),
        ("d_masks", ["images/segmentation-1.png", "1st_manual/2.png"]),
    ] {
        let at = |name: &str| folder.join(data).join(name);
        for name in ["images/1.png", "images/2.png", masks[0], masks[1]] {
            write(&at(name), (16, 16), flat);
        }
        let predict = |inputs: &[&str]| {
            let head = ["predict", "--model", "model.safetensors", "--out", "out"];
            std::fs::remove_dir_all(folder.join("out")).ok();
            ringfence(folder, &[&head[..], inputs].concat())
        };
        let error = predict(&[data]).unwrap_err();
        for said in [masks[0], "found a mask by the name", " of 4)", "labels.csv", "file,mask"] {
            let said = said.split('/').next().unwrap();
            assert!(error.contains(said), "{data}: {said}: {error}");
        }
        assert!(!folder.join("out").exists());
        // As a shell names all of a folder.
        let named = ["images/1.png", masks[0]].map(|name| format!("{data}/{name}"));
        let error = predict(&named.each_ref().map(String::as_str)).unwrap_err();
        assert!(error.contains("(1 file of 2)"), "{error}");
        // Whoever names them alone means them.
        let said = predict(&[&named[1]]).unwrap();
        assert!(said.contains("1 image of 1 file predicted"), "{said}");
        let table = format!("file,mask\nimages/1.png,{}\nimages/2.png,{}\n", masks[0], masks[1]);
        std::fs::write(at("labels.csv"), table).unwrap();
        std::fs::write(at("notes.json"), "{}").unwrap();
        // These are no masks by their values.
        std::fs::remove_dir_all(folder.join("out")).ok();
        for mask in masks {
            write(&at(mask), (16, 16), |x, _| u8::from(x > 3));
        }
        let said = predict(&[data]).unwrap();
        assert!(said.contains("2 images of 2 files predicted, 0 files not read"), "{said}");
        assert!(said.contains("left aside: 2 masks\n"), "{said}");
    }
}

/// Files that are none by their names are passed over; all others are to be read.
#[test]
fn files_that_are_not_read_are_told_by_the_exit_code_and_notes_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    known_model(folder, &[], |name, _| if name == "head.bias" { -5.0 } else { 0.0 });
    let images = folder.join("images");
    write(&images.join("a.png"), (16, 16), |x, _| x as u8);
    for name in ["README", "Notes.TXT", "list.CSV", ".hidden", "found.xlsx", "DICOMDIR"] {
        std::fs::write(images.join(name), "text").unwrap();
    }
    let predict = ["predict", "--model", "model.safetensors", "images", "--out", "out"];
    let said = ringfence(folder, &predict).unwrap();
    assert!(said.contains("1 image of 1 file predicted, 0 files not read"), "{said}");
    assert!(!folder.join("out/not-read.csv").exists());
    std::fs::write(images.join("b.png"), "text").unwrap();
    std::fs::write(images.join("scan"), "").unwrap();
    let said = partly(folder, &predict);
    assert!(said.contains("1 image of 1 file predicted, 2 files not read"), "{said}");
    assert!(said.contains("ringfence: 2 files not read: each with its reason"), "{said}");
    assert_eq!(lines(&folder.join("out/not-read.csv")).len(), 3);
    let help = ringfence(folder, &["predict", "--help"]).unwrap();
    assert!(help.contains("not-read.csv") && help.contains("exit code is 3"), "{help}");
}

/// A link that leads nowhere and a pipe are one file each that is not read.
#[cfg(unix)]
#[test]
fn what_is_no_file_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    known_model(folder, &[], |name, _| if name == "head.bias" { -5.0 } else { 0.0 });
    let images = folder.join("images");
    write(&images.join("a.png"), (16, 16), |x, _| x as u8);
    std::os::unix::fs::symlink("nowhere", images.join("link.png")).unwrap();
    let pipe = images.join("f.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let predict = ["predict", "--model", "model.safetensors", "images", "--out", "out"];
    let said = partly(folder, &predict);
    assert!(said.contains("1 image of 1 file predicted, 2 files not read"), "{said}");
    let told = "f.png: expected a file, found a pipe, a socket or a device; take it off";
    assert!(said.contains(told), "{said}");
    assert!(said.contains("link.png: No such file"), "{said}");
    let line = said.lines().find(|line| line.starts_with("not read: ")).unwrap();
    assert!(line.len() < 700, "{line}");
    // The pipe alone, with a window that somebody might heed.
    let window = ["--window=40,400", "--out", "out2"];
    let alone = ["predict", "--model", "model.safetensors", "images/f.png"];
    let error = ringfence(folder, &[&alone[..], &window].concat()).unwrap_err();
    assert!(error.contains("none of 1 file could be read"), "{error}");
}

/// A shell names all of a folder by `*`, its table too.
#[test]
fn a_table_is_no_mask() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    known_model(folder, &[], |name, _| if name == "head.bias" { -5.0 } else { 0.0 });
    write(&folder.join("mk/a.png"), (16, 16), |x, _| x as u8);
    std::fs::write(folder.join("mk/labels.txt"), "text").unwrap();
    std::fs::write(folder.join("mk/labels.csv.bak"), "text").unwrap();
    let model = ["predict", "--model", "model.safetensors", "--out", "out"];
    // Within the folder a copy of a table is one file that is not read.
    let said = partly(folder, &[&model[..], &["mk"]].concat());
    assert!(said.contains("1 image of 1 file predicted, 1 file not read"), "{said}");
    let all = ["mk/a.png", "mk/labels.csv.bak", "mk/labels.txt"];
    let said = partly(folder, &[&model[..], &all].concat());
    assert!(said.contains("1 image of 1 file predicted, 2 files not read"), "{said}");
    std::fs::write(folder.join("mk/labels.csv"), "file,mask\na.png,m.png\n").unwrap();
    let named = [&model[..], &all, &["mk/labels.csv"]].concat();
    let error = again(folder, &named).unwrap_err();
    assert!(
        error.contains("mk/labels.csv: expected images or their folder, found a table"),
        "{error}"
    );
}

/// The other slices of the volume are not at fault.
#[test]
fn lines_that_name_no_slice_are_left_out_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    known_model(folder, &[], |name, _| if name == "head.bias" { 5.0 } else { 0.0 });
    let series = folder.join("data/s");
    std::fs::create_dir_all(&series).unwrap();
    for height in 0..3_u8 {
        let bytes = crate::slices::slice(f64::from(height), u16::from(height));
        std::fs::write(series.join(height.to_string()), bytes).unwrap();
    }
    // A mask for each slice, in a file of its own.
    write(&folder.join("data/m0.png"), (2, 2), |x, _| x as u8);
    write(&folder.join("data/m2.png"), (2, 2), |_, _| 1);
    let table = "file,slice,mask\ns,0,m0.png\ns,3,m2.png\ns,-1,m2.png\ns,2,m2.png\ns,last,\n\
                 s,1,\n";
    std::fs::write(folder.join("data/labels.csv"), table).unwrap();
    let predict = ["predict", "--model", "model.safetensors", "data", "--out", "out"];
    let said = partly(folder, &predict);
    assert!(said.contains("3 images of 1 file predicted, 0 files not read"), "{said}");
    assert!(said.contains("ringfence: 3 lines of a table not read: each"), "{said}");
    assert!(said.contains("2 of 3 images have a mask in labels.csv"), "{said}");
    for told in [
        "line 3, column `slice`: expected a slice of s below 3, counted from 0, found `3`",
        "line 4, column `slice`: expected a slice's number, from 0, found `-1`",
        "line 6, column `slice`: expected a slice's number, from 0, found `last`",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    let shares = lines(&folder.join("out/predictions.csv"));
    let shares: Vec<_> = shares.iter().skip(1).map(|line| [&*line[1], &*line[4]]).collect();
    assert_eq!(shares, [["0", "0.5000"], ["2", "1.0000"], ["1", ""]]);
    let faults = lines(&folder.join("out/not-read.csv"));
    assert!(faults[1..].iter().all(|line| line[..2] == ["s", "line"]), "{faults:?}");
    // No line is left.
    std::fs::write(folder.join("data/labels.csv"), "file,slice,mask\ns,x,m0.png\n").unwrap();
    let error = again(folder, &predict).unwrap_err();
    assert!(error.contains("line 2, column `slice`"), "{error}");
}

#[test]
fn what_is_given_twice_is_taken_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    known_model(folder, &[], |name, _| if name == "head.bias" { 5.0 } else { 0.0 });
    let images = folder.join("images");
    for name in ["a.png", "x/b.png"] {
        write(&images.join(name), (16, 16), |x, _| x as u8);
    }
    write(&images.join("truth/a.png"), (16, 16), |_, _| 1);
    #[cfg(unix)]
    std::os::unix::fs::symlink(&images, images.join("x/again")).unwrap();
    std::fs::write(images.join("labels.csv"), "file,mask\na.png,truth/a.png\n").unwrap();
    let predict = ["predict", "--model", "model.safetensors", "--out", "out"];
    for (inputs, again, count) in [
        (&["images/a.png", "images"][..], "images/a.png", 1),
        (&["images", "images"], "images", 1),
        (&["images/x/b.png", "images/x/../x/b.png"], "images/x/../x/b.png", 1),
        (&["images/a.png", "images/x", "images/x/b.png"], "images/x/b.png", 2),
    ] {
        std::fs::remove_dir_all(folder.join("out")).ok();
        let said = ringfence(folder, &[&predict[..], inputs].concat()).unwrap();
        let told = said.lines().find(|line| line.starts_with("given more than once, taken once: "));
        assert!(told.is_some_and(|line| line.contains(again)), "{inputs:?}: {said}");
        assert_eq!(lines(&folder.join("out/predictions.csv")).len(), 1 + count, "{said}");
    }
    // As the table knows it, though it was named first.
    std::fs::remove_dir_all(folder.join("out")).unwrap();
    let said = ringfence(folder, &[&predict[..], &["images/a.png", "images"]].concat()).unwrap();
    assert!(said.contains("1 of 1 image has a mask in labels.csv"), "{said}");
}
