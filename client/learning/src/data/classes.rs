//! What a label means.

/// The class a label means in a study's list of classes: as a name, else as an index.
pub(super) fn class_number(classes: &[String], label: &str) -> Option<usize> {
    let index = || label.parse::<usize>().ok().filter(|index| *index < classes.len());
    classes.iter().position(|class| class == label).or_else(index)
}
