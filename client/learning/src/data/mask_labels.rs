//! Whether the masks of a folder that have one label each have the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::DataError;

/// What programs write for inside where nothing else is meant: 1, and white of 8 and of 16 bits. Masks
/// of one folder with different ones of these say the same.
const INSIDE: [u32; 3] = [1, 255, 65535];

/// The only labels of a folder's masks, each with the first file in which it stands: a file of 0 and 1
/// beside one of 0 and 2 means two things, and nobody can tell from one of them that it does.
#[derive(Clone, Debug, Default)]
pub(super) struct MaskLabels(Arc<Mutex<BTreeMap<u32, PathBuf>>>);

impl MaskLabels {
    /// Takes note of a mask's only label.
    pub(super) fn note(&self, mask: &Path, label: Option<u32>) {
        let Some(label) = label else { return };
        let label = if INSIDE.contains(&label) { 1 } else { label };
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = first.entry(label).or_insert_with(|| mask.to_owned());
        // Files are read in no order, and an error names the same ones each time.
        if mask < first.as_path() {
            *first = mask.to_owned();
        }
    }

    /// Refuses two labels.
    ///
    /// # Errors
    /// [`DataError::MaskLabels`] with a file for each of two.
    pub(super) fn check(&self) -> Result<(), DataError> {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut labels = first.iter();
        let (Some((label, path)), Some((other_label, other))) = (labels.next(), labels.next())
        else {
            return Ok(());
        };
        Err(DataError::MaskLabels {
            path: path.clone(),
            label: *label,
            other: other.clone(),
            other_label: *other_label,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_white_are_the_same_and_other_labels_are_not() {
        let labels = MaskLabels::default();
        let note = |name: &str, label| labels.note(Path::new(name), label);
        for (name, label) in [("b", Some(1)), ("c", Some(255)), ("d", Some(65535)), ("e", None)] {
            note(name, label);
        }
        labels.check().unwrap();
        note("z", Some(2));
        note("y", Some(2));
        note("a", Some(255));
        let error = labels.check().unwrap_err().to_string();
        for said in ["y: ", "label 2", "that of a", "--mask-label 2"] {
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
