//! Public sample files, which are not part of this repository: a folder as docs/formats.md lists
//! it, named by the variable `RINGFENCE_FORMATS`.

use std::path::{Path, PathBuf};

use ringfence_imaging::{Fault, Intensity, ReadOptions, read};

use crate::hostile;

/// Refused files of docs/formats.md, with what their reason says.
const REFUSED: [(&str, &str); 8] = [
    ("dicom/pydicom_JPEG-lossy.dcm", "1.2.840.10008.1.2.4.51 (JPEG Extended"),
    ("dicom/pydicom_JPGExtended.dcm", "samples of 12 bits"),
    ("dicom/pydicom_MR_truncated.dcm", "claims 8192 bytes, found 8130"),
    ("dicom/pydicom_color-px.dcm", "not square"),
    ("dicom/pydicom_liver_1frame.dcm", "which is read as a mask"),
    ("dicom/pydicom_no_meta.dcm", "expected PNG"),
    ("dicom/pydicom_rtplan.dcm", "modality RTPLAN"),
    ("nifti/nibabel_row_major.dconn.nii", "connectivity matrix"),
];

fn samples() -> Option<PathBuf> {
    let folder = std::env::var_os("RINGFENCE_FORMATS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: set RINGFENCE_FORMATS to the folder of samples in docs/formats.md");
    }
    folder
}

fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let kinds = ["dicom", "gif", "jpeg", "nifti", "png16", "png_odd", "tiff"];
    let files = kinds.iter().flat_map(|kind| {
        std::fs::read_dir(folder.join(kind)).unwrap().map(move |entry| {
            let path = entry.unwrap().path();
            (format!("{kind}/{}", path.file_name().unwrap().display()), path)
        })
    });
    files.collect()
}

#[test]
fn samples_are_read_or_refused_for_a_reason() {
    let Some(folder) = samples() else { return };
    let files = files(&folder);
    for (name, path) in &files {
        let refused = REFUSED.iter().find(|(file, _)| file == name);
        for intensity in [Intensity::Auto, Intensity::Stored] {
            let options = ReadOptions { intensity, ..ReadOptions::default() };
            match (read(path, &options), refused) {
                (Ok(_), None) => {}
                (Err(error), Some((_, reason))) => {
                    let text = error.to_string();
                    assert!(text.contains(reason), "{text}, expected {reason}");
                    assert!(!matches!(error.fault, Fault::File(_)), "{text}");
                }
                (Ok(_), Some(_)) => panic!("{name} is read"),
                (Err(error), None) => panic!("{error}"),
            }
        }
    }
    let count = files.len();
    assert!(count > 90, "expected the samples of docs/formats.md, found {count} files");
}

/// Real files have more structure than those made here. Half of the changes hit the first 2 KiB,
/// where the headers are.
#[test]
fn damaged_samples_do_no_harm() {
    let Some(folder) = samples() else { return };
    // Marsaglia's xorshift64, of a fixed seed.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for (name, path) in files(&folder) {
        let whole = std::fs::read(path).unwrap();
        // As many changes as take about a second a file.
        for _ in 0..(10_000_000 / whole.len()).clamp(5, 500) {
            let mut bytes = whole.clone();
            for _ in 0..=random(3) {
                let end = if random(2) == 0 { bytes.len() } else { bytes.len().min(2048) };
                bytes[random(end)] = random(256) as u8;
            }
            if random(4) == 0 {
                bytes.truncate(random(bytes.len()));
            }
            hostile::survives(&name, &bytes);
        }
    }
}
