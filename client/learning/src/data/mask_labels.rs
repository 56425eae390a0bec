//! Whether the masks of a folder that have one label each have the same, and whether a label that is
//! chosen stands in any of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ringfence_imaging::Mask;

use super::error::DataError;

/// What programs write for inside where nothing else is meant: 1, and white of 8 and of 16 bits. Masks
/// of one folder with different ones of these say the same.
const INSIDE: [u32; 3] = [1, 255, 65535];

/// What the masks of a folder say of labels, shared by all that read them.
#[derive(Clone, Debug, Default)]
pub(super) struct MaskLabels(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    /// The only labels of masks, each with the first file in which it stands: a file of 0 and 1
    /// beside one of 0 and 2 means two things, and nobody can tell from one of them that it does.
    only: BTreeMap<u32, PathBuf>,
    /// Whether a mask holds a label that is chosen.
    is_chosen_held: bool,
    /// The first mask without one, and the values that it holds.
    without_chosen: Option<(PathBuf, String)>,
}

impl MaskLabels {
    /// Takes note of a mask.
    pub(super) fn note(&self, path: &Path, mask: &Mask) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Files are read in no order, and an error names the same ones each time.
        match &mask.without_chosen {
            None => found.is_chosen_held = true,
            Some(values) => {
                let is_first =
                    found.without_chosen.as_ref().is_none_or(|(first, _)| path < first.as_path());
                if is_first {
                    found.without_chosen = Some((path.to_owned(), values.clone()));
                }
            }
        }
        let Some(label) = mask.only_label else { return };
        let label = if INSIDE.contains(&label) { 1 } else { label };
        let first = found.only.entry(label).or_insert_with(|| path.to_owned());
        if path < first.as_path() {
            *first = path.to_owned();
        }
    }

    /// Refuses a choice of labels of which none stands in any mask. To be asked when all are read: one
    /// alone may show nothing of what was chosen.
    ///
    /// # Errors
    /// [`DataError::NoMaskLabel`] with a mask and its values.
    pub(super) fn check_chosen(&self) -> Result<(), DataError> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &found.without_chosen {
            Some((path, values)) if !found.is_chosen_held => {
                Err(DataError::NoMaskLabel { path: path.clone(), found: values.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Refuses two labels.
    ///
    /// # Errors
    /// [`DataError::MaskLabels`] with a file for each of two.
    pub(super) fn check(&self) -> Result<(), DataError> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut labels = found.only.iter();
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
        let note = |name: &str, only_label| {
            let mask = Mask { planes: Vec::new(), only_label, without_chosen: None };
            labels.note(Path::new(name), &mask);
        };
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

    #[test]
    fn a_choice_that_no_mask_holds_is_refused_and_one_that_some_hold_is_not() {
        let labels = MaskLabels::default();
        labels.check_chosen().unwrap();
        let note = |name: &str, without: Option<&str>| {
            let without_chosen = without.map(str::to_owned);
            let mask = Mask { planes: Vec::new(), only_label: None, without_chosen };
            labels.note(Path::new(name), &mask);
        };
        note("b", Some("the values 0, 255"));
        note("a", Some("the value 0"));
        let error = labels.check_chosen().unwrap_err().to_string();
        assert!(error.starts_with("a: ") && error.contains("the value 0 in this one"), "{error}");
        note("c", None);
        labels.check_chosen().unwrap();
    }
}
