//! Which masks of a folder `ringfence predict` compares its predictions with.

use crate::predict::{again, known_model, lines, partly, write};

/// Eleven masks say what is meant, whatever the names of those that say something else.
#[test]
fn a_mask_that_means_something_else_than_most_is_left_out_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    known_model(folder, &[], |name, _| if name == "head.bias" { 5.0 } else { 0.0 });
    let images = folder.join("images");
    let names: Vec<String> = (0..12).map(|number| format!("{number:02}.png")).collect();
    let table: String = names.iter().map(|name| format!("{name},masks/{name}\n")).collect();
    let label = |name: &str, label: u8| {
        let mask = images.join("masks").join(name);
        write(&mask, (16, 16), move |x, _| if x < 4 { label } else { 0 });
    };
    for name in &names {
        write(&images.join(name), (16, 16), |x, y| (x * 3 + y) as u8);
        label(name, 2);
    }
    std::fs::write(images.join("labels.csv"), format!("file,mask\n{table}")).unwrap();
    let predict = ["predict", "--model", "model.safetensors", "images", "--out", "out"];
    let scores = "Dice at own size 0.400, Jaccard at own size 0.250";
    // The first that is read, in the middle, and the last.
    for odd in ["00.png", "05.png", "11.png"] {
        label(odd, 1);
        let said = partly(folder, &predict);
        let compared = "12 of 12 images have a mask in labels.csv, and 11 of them could be compared (why not is in out/not-read.csv): ";
        assert!(said.contains(&format!("{compared}{scores}")), "{said}");
        assert!(said.contains("ringfence: 1 mask not compared: each"), "{said}");
        let reason = format!(
            "not compared: {odd}: its mask: expected the same label beside 0 as in the other masks (1 and white are the same), found label 1, as in 1 of 12, and label 2 in 11 (images/masks/"
        );
        assert!(said.contains(&reason), "{said}");
        let faults = lines(&folder.join("out/not-read.csv"));
        assert_eq!((faults.len(), faults[1][0].as_str()), (2, odd), "{faults:?}");
        let predictions = lines(&folder.join("out/predictions.csv"));
        for line in &predictions[1..] {
            let truth = if line[0] == odd { ["", "", ""] } else { ["0.2500", "0.4000", "0.2500"] };
            assert_eq!(line[4..], truth, "{line:?}");
        }
        label(odd, 2);
    }
    // As many of each: nobody can tell which is meant.
    names.iter().take(6).for_each(|name| label(name, 1));
    let said = partly(folder, &predict);
    let none = "12 of 12 images have a mask in labels.csv, and none of them could be compared";
    assert!(said.contains(none) && !said.contains("Dice"), "{said}");
    let faults = std::fs::read_to_string(folder.join("out/not-read.csv")).unwrap();
    let advice = "say which labels are inside by --mask-label (1,2 for all of them)";
    assert_eq!(faults.matches(advice).count(), 12, "{faults}");
    let said = again(folder, &[&predict[..], &["--mask-label", "1,2"]].concat()).unwrap();
    let all = "12 of 12 images have a mask in labels.csv: ";
    assert!(said.contains(&format!("{all}{scores}")), "{said}");
}

/// A table that names masks of some images says nothing of the others.
#[test]
fn images_without_a_mask_are_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    known_model(folder, &[], |name, _| if name == "head.bias" { 5.0 } else { 0.0 });
    for name in ["a", "b"] {
        write(&folder.join(format!("images/{name}.png")), (16, 16), |x, _| x as u8);
    }
    std::fs::write(folder.join("images/labels.csv"), "file,mask\na.png,\nb.png,\n").unwrap();
    let predict = ["predict", "--model", "model.safetensors", "images", "--out", "out"];
    let said = crate::support::ringfence(folder, &predict).unwrap();
    assert!(said.contains("0 of 2 images have a mask in labels.csv\n"), "{said}");
}
