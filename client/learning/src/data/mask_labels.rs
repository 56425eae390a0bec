//! Whether the masks of a folder that have one label each have the same, and whether a label that is
//! chosen stands in any of them.

use std::collections::{BTreeMap, BTreeSet};
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
    /// The only labels of masks, each with the files in which it stands: a file of 0 and 1 beside one
    /// of 0 and 2 means two things, and nobody can tell from one of them that it does.
    only: BTreeMap<u32, BTreeSet<PathBuf>>,
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
        found.only.entry(label).or_default().insert(path.to_owned());
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

    /// Refuses two labels. To be asked when all are read.
    ///
    /// # Errors
    /// [`DataError::MaskLabels`] with a mask of the label that the fewest have.
    pub(super) fn check(&self) -> Result<(), DataError> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rarest = found.meanings().into_iter().min_by_key(|(_, masks)| masks.len());
        let mask = rarest.and_then(|(_, masks)| masks.into_iter().next());
        mask.and_then(|(path, label)| found.beside(path, label)).map_or(Ok(()), Err)
    }

    /// Why a mask with this only label means something else than most masks, if it does. Where no
    /// meaning has more masks than each other one, nobody can tell which is meant, and all of them do.
    /// To be asked when all are read.
    pub(super) fn deviating(&self, path: &Path, label: u32) -> Option<DataError> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = meaning(label);
        let meanings = found.meanings();
        let count = meanings.get(&own).map_or(0, Vec::len);
        let is_usual = meanings.iter().all(|(other, masks)| *other == own || masks.len() < count);
        if is_usual { None } else { found.beside(path, label) }
    }
}

impl Found {
    /// The masks by what their only label means, in the order of labels and paths.
    fn meanings(&self) -> BTreeMap<u32, Vec<(&Path, u32)>> {
        let mut meanings = BTreeMap::<u32, Vec<_>>::new();
        for (label, masks) in &self.only {
            let masks = masks.iter().map(|path| (path.as_path(), *label));
            meanings.entry(meaning(*label)).or_default().extend(masks);
        }
        meanings.values_mut().for_each(|masks| masks.sort());
        meanings
    }

    /// A mask beside those that the most others are like; `None` where all mean the same.
    fn beside(&self, path: &Path, label: u32) -> Option<DataError> {
        let meanings = self.meanings();
        let own = meaning(label);
        let others = meanings.iter().filter(|(other, _)| **other != own);
        // The first of as many.
        let (_, others) = others.rev().max_by_key(|(_, masks)| masks.len())?;
        let (other, other_label) = others.first()?;
        Some(DataError::MaskLabels {
            path: path.to_owned(),
            label,
            masks: meanings.get(&own).map_or(0, Vec::len),
            other: other.to_path_buf(),
            other_label: *other_label,
            other_masks: others.len(),
            all: meanings.values().map(Vec::len).sum(),
            labels: self.only.keys().copied().collect(),
        })
    }
}

/// What a mask's only label means: 1 for all that are the same.
fn meaning(label: u32) -> u32 {
    if INSIDE.contains(&label) { 1 } else { label }
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
        let error = labels.check().unwrap_err().to_string();
        for said in
            ["z: ", "label 2, as in 1 of 4, and label 1 in 3 (b for one)", "(1,2,255,65535 for all"]
        {
            assert!(error.contains(said), "{said}: {error}");
        }
        assert!(labels.deviating(Path::new("z"), 2).unwrap().to_string() == error);
        assert!(labels.deviating(Path::new("c"), 255).is_none());
    }

    /// The one that deviates is told, whatever its label and its place among the others.
    #[test]
    fn what_most_masks_have_is_meant() {
        let of = |masks: &[(&str, u32)]| {
            let labels = MaskLabels::default();
            for (name, label) in masks {
                let mask =
                    Mask { planes: Vec::new(), only_label: Some(*label), without_chosen: None };
                labels.note(Path::new(name), &mask);
                labels.note(Path::new(name), &mask);
            }
            labels
        };
        let labels = of(&[("a", 1), ("b", 2), ("c", 2), ("d", 3), ("e", 2)]);
        let error = labels.check().unwrap_err().to_string();
        assert!(error.starts_with("a: ") && error.contains("label 2 in 3 (b for one)"), "{error}");
        let deviates = |name: &str, label| labels.deviating(Path::new(name), label).is_some();
        assert!(deviates("a", 1) && deviates("d", 3) && !deviates("b", 2));
        // As many of each: nobody can tell.
        let labels = of(&[("a", 1), ("b", 2)]);
        assert!(labels.check().is_err());
        for (name, label) in [("a", 1), ("b", 2)] {
            let error = labels.deviating(Path::new(name), label).unwrap().to_string();
            assert!(error.starts_with(&format!("{name}: ")), "{error}");
        }
        assert!(of(&[("a", 7), ("b", 7)]).deviating(Path::new("a"), 7).is_none());
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
