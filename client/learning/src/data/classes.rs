//! What a label means.

use ringfence_words::listed;

/// Whether a label is a number and no name.
pub(super) fn is_number(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|letter| letter.is_ascii_digit())
}

/// The class that a name means in a study's list of classes.
pub(super) fn of_name(classes: &[String], name: &str) -> Option<usize> {
    classes.iter().position(|class| class == name)
}

/// The class that a number means in a study's list of classes, where labels are numbers by the format
/// of their file: as a name, where the classes are numbers themselves, else by its place in the list.
pub(super) fn of_number(classes: &[String], number: usize) -> Option<usize> {
    if classes.iter().all(|class| is_number(class)) {
        return of_name(classes, &number.to_string());
    }
    (number < classes.len()).then_some(number)
}

/// What the labels of a MedMNIST file mean, which are numbers by its format, where the study's classes
/// have names; `None` elsewhere.
pub(super) fn numbered_classes(classes: &[String]) -> Option<String> {
    if classes.iter().all(|class| is_number(class)) {
        return None;
    }
    let pairs = classes.iter().enumerate().map(|(number, class)| format!("{number} is `{class}`"));
    Some(format!(
        "the labels of a MedMNIST file are numbers, taken for the study's classes in their order: {}",
        listed(pairs)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_among_names_and_names_among_numbers() {
        let classes = |names: [&str; 2]| names.map(String::from).to_vec();
        let named = classes(["covid", "normal"]);
        assert_eq!([0, 1, 2].map(|number| of_number(&named, number)), [Some(0), Some(1), None]);
        let numbers = classes(["2", "1"]);
        assert_eq!([0, 1, 2].map(|number| of_number(&numbers, number)), [None, Some(1), Some(0)]);
        let text = numbered_classes(&named).unwrap();
        assert!(text.ends_with("in their order: 0 is `covid`, 1 is `normal`"), "{text}");
        assert_eq!([numbered_classes(&numbers), numbered_classes(&[])], [None, None]);
    }
}
