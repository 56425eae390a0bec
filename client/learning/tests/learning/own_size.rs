//! Masks at their images' own size: kept of test images, scored, and bounded.

use std::fs;
use std::path::Path;

use image::{ImageBuffer, Luma};
use ringfence_learning::data;
use ringfence_learning::{Segmentation, Task, evaluate};
use ringfence_weights::Weights;

use crate::folders::{options, refused};

/// Nine images of this size at two sites, three a split, with masks whose left quarter is inside.
fn folder(size: impl Fn(usize) -> (u32, u32)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut table = "file,mask,site,split\n".to_owned();
    let save = |name: &str, (width, height): (u32, u32), grey: &dyn Fn(u32) -> u8| {
        let path: &Path = &folder.path().join(name);
        ImageBuffer::from_fn(width, height, |x, _| Luma([grey(x)])).save(path).unwrap();
    };
    for number in 0..18 {
        let (width, height) = size(number);
        let split = ["train", "val", "test"][number % 3];
        save(&format!("i{number}.png"), (width, height), &|x| (5 * x) as u8);
        save(&format!("m{number}.png"), (width, height), &|x| u8::from(x < width / 4) * 255);
        table += &format!("i{number}.png,m{number}.png,{},{split}\n", ["a", "b"][number % 2]);
    }
    fs::write(folder.path().join("labels.csv"), table).unwrap();
    folder
}

#[test]
fn test_images_keep_their_masks_where_any_has_another_size() {
    // One image only, at one site; those of the model's size have theirs as well, so that all sites
    // have the same scores.
    let mixed = folder(|number| if number == 5 { (40, 24) } else { (16, 16) });
    let data = data::load(mixed.path(), &options()).unwrap();
    let mut sizes = Vec::new();
    for site in &data.sites {
        for sample in site.train.iter().chain(&site.validation) {
            assert_eq!(sample.own_mask, None, "{}", sample.name);
        }
        for sample in &site.test {
            let mask = sample.own_mask.as_ref().unwrap();
            let (width, _) = mask.size();
            let inside =
                mask.pixels().enumerate().all(|(i, inside)| inside == (i % width < width / 4));
            assert!(inside && mask.share_inside() == 0.25, "{}", sample.name);
            sizes.push((sample.name.clone(), mask.size()));
        }
    }
    sizes.sort();
    let expected = [11, 14, 17, 2, 5, 8]
        .map(|number| (format!("i{number}.png"), if number == 5 { (40, 24) } else { (16, 16) }));
    assert_eq!(sizes, expected);

    let all_alike = folder(|_| (16, 16));
    let data = data::load(all_alike.path(), &options()).unwrap();
    assert!(data.sites.iter().flat_map(|site| &site.test).all(|sample| sample.own_mask.is_none()));
}

#[test]
fn a_model_is_scored_at_both_sizes() {
    let folder = folder(|_| (40, 24));
    let data = data::load(folder.path(), &options()).unwrap();
    let task = Segmentation::light(16).unwrap();
    // Everything is inside: a quarter is right, at any size.
    let shapes = task.initial_weights(1).unwrap().shapes();
    let value = |(name, shape): &(String, Vec<usize>)| {
        let value = if name == "head.bias" { 4.0 } else { 0.0 };
        vec![value; shape.iter().product()]
    };
    let values = shapes.iter().flat_map(value).collect();
    let weights = Weights::from_values(&shapes, values).unwrap();
    let site = &data.sites[0];
    let scores = evaluate(&task, &weights, &site.test).unwrap();
    let names: Vec<&str> = scores.iter().map(|score| score.name).collect();
    let own = ["Dice at own size", "Jaccard at own size"];
    assert_eq!(names, [&["Dice", "Jaccard", "accuracy"][..], &own].concat());
    for (name, expected) in [("Dice", 0.4), (own[0], 0.4), ("Jaccard", 0.25), (own[1], 0.25)] {
        let found = scores.get(name).unwrap();
        assert!((found - expected).abs() < 1e-12, "{name}: {found}");
    }
    let validation = evaluate(&task, &weights, &site.validation).unwrap();
    assert_eq!((validation.get("Dice"), validation.get(own[0])), (scores.get("Dice"), None));
}

#[test]
fn masks_at_own_size_that_do_not_fit_are_refused() {
    let folder = folder(|_| (40, 24));
    // 18 samples of 256 pixels take 8 bytes each; six masks of 960 pixels a bit each.
    let mut enough = options();
    enough.memory = Some(18 * 256 * 8 + 6 * 120);
    data::load(folder.path(), &enough).unwrap();
    enough.memory = enough.memory.map(|memory| memory - 1);
    let error = refused(folder.path(), &enough);
    for text in ["expected free memory for the masks of the test images", "--max-per-site"] {
        assert!(error.contains(text), "{error}");
    }
}
