//! What a label means.

/// The class a label means in a study's list of classes: by the class's name, else by the label
/// itself, as a name or as an index.
pub(super) fn class_number(classes: &[String], name: &str, label: &str) -> Option<usize> {
    let named = |wanted: &str| classes.iter().position(|class| class == wanted);
    let index = || label.parse::<usize>().ok().filter(|index| *index < classes.len());
    named(name).or_else(|| named(label)).or_else(index)
}
