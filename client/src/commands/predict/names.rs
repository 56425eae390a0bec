//! What files are by the names that people give them and their folders: masks, or no images at all.

use std::ffi::OsStr;
use std::path::Path;

/// Ends of the names of files that are no images: tables, notes, documents.
const OTHERS: [&str; 18] = [
    "csv", "tsv", "xls", "xlsx", "ods", "txt", "md", "json", "yaml", "yml", "xml", "htm", "html",
    "log", "pdf", "doc", "docx", "ini",
];
/// Names of notes, and of what systems and DICOM media hold beside images.
const NAMES: [&str; 5] = ["readme", "license", "licence", "dicomdir", "thumbs.db"];

/// What masks are called.
const MASKS: [&str; 12] = [
    "mask",
    "masks",
    "label",
    "labels",
    "seg",
    "segs",
    "gt",
    "truth",
    "groundtruth",
    "annotation",
    "annotations",
    "manual",
];
/// Ends of words that say the same: `lungmask`, `segmentations`.
const ENDS: [&str; 4] = ["mask", "masks", "segmentation", "segmentations"];
/// Ends of files' names that say nothing of what is shown.
const KINDS: [&str; 9] = ["nii", "gz", "png", "jpg", "jpeg", "tif", "tiff", "gif", "dcm"];

/// Whether a file is called as masks are: `a_mask.png`, `a_mask_1.png`, `seg.nii.gz`, `segmentation-0.nii`.
/// What stands within a name, or a number, says nothing.
pub(super) fn is_mask_file(name: &Path) -> bool {
    let mut words = words(name);
    while words.last().is_some_and(|word| KINDS.contains(&word.as_str())) {
        words.pop();
    }
    words.retain(|word| !word.bytes().all(|byte| byte.is_ascii_digit()));
    let says = |word: Option<&String>| {
        word.is_some_and(|word| says_mask(word.trim_end_matches(|end: char| end.is_ascii_digit())))
    };
    says(words.first()) || says(words.last())
}

/// Whether a file is a table, a note or a document by its name, also where it is a copy: `labels.csv`,
/// `labels.csv.bak`, `mask.txt~`.
pub(super) fn is_other(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.split('.').skip(1).any(|end| OTHERS.contains(&end.trim_end_matches('~')))
}

/// Whether a folder is called as folders of masks are: `masks`, `labelsTr`, `1st_manual`, `lung masks`;
/// not `label 1`, which is a class.
pub(super) fn is_mask_folder(name: &Path) -> bool {
    let words = words(name);
    let last = words.len().saturating_sub(1);
    words.iter().enumerate().any(|(place, word)| {
        // As nnU-Net calls those for training and testing.
        let word = word.strip_suffix("tr").or_else(|| word.strip_suffix("ts")).unwrap_or(word);
        says_mask(word) && (place == last || word != "label")
    })
}

fn says_mask(word: &str) -> bool {
    MASKS.contains(&word) || ENDS.iter().any(|end| word.ends_with(end))
}

/// The runs of letters and digits of a path's last part, in lower case.
fn words(path: &Path) -> Vec<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let parts = name.split(|letter: char| !letter.is_alphanumeric());
    parts.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether a file is called as a folder's table is.
pub(super) fn is_table(path: &Path) -> bool {
    path.is_file() && path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("labels.csv"))
}

/// Whether a file is none by its name: hidden, a table, a note, or what systems leave in folders.
pub(super) fn is_no_image(path: &Path) -> bool {
    let lower = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().to_lowercase();
    let name = lower(path.file_name());
    name.starts_with('.')
        || NAMES.contains(&name.as_str())
        || OTHERS.contains(&lower(path.extension()).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_known_by_the_names_that_people_give_them() {
        for name in [
            "a_mask.png",
            "benign (1)_mask_1.png",
            "BraTS20_Training_001_seg.nii",
            "x-seg.nii.gz",
            "segmentation-0.nii",
            "ISIC_0000000_segmentation.png",
            "21_manual1.gif",
            "mask.dcm",
            "lungmask.nii.gz",
            "MASK_7.tif",
            "p1_GT.png",
        ] {
            assert!(is_mask_file(name.as_ref()), "{name}");
        }
        for name in ["labels.csv", "labels.csv.bak", "Labels.TXT", "mask.json~", "x_seg.xml"] {
            assert!(is_other(name.as_ref()), "{name}");
        }
        for name in ["a.png", "0001.dcm", "masked.png", "unlabelled.png", "segment.png", ""] {
            assert!(!is_mask_file(name.as_ref()) && !is_other(name.as_ref()), "{name}");
        }
        for name in [
            "masks",
            "Mask",
            "labels",
            "label",
            "labelsTr",
            "1st_manual",
            "Lung masks v2",
            "ground_truth",
        ] {
            assert!(is_mask_folder(name.as_ref()), "{name}");
        }
        for name in [
            "images",
            "imagesTr",
            "label_0",
            "labelled",
            "unmasking",
            "site 3",
            "training",
            "series",
        ] {
            assert!(!is_mask_folder(name.as_ref()), "{name}");
        }
    }
}
