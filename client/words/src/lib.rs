//! How numbers of things and lists of names are said, alike by every program.
#![forbid(unsafe_code)]

use std::fmt::Display;

/// Most items of a list that are shown: of more, the number says enough.
pub const MOST_LISTED: usize = 10;

/// A number of things in words: `1 round`, `2 rounds`, `4,312 files`, `2 abilities`, `2 masses`.
///
/// `thing` is the singular of an English noun with a regular plural.
#[must_use]
pub fn counted(number: u64, thing: &str) -> String {
    format!("{} {}", grouped(number), noun(number, thing))
}

/// What so many of a thing are called: its singular for 1, else its plural.
#[must_use]
pub fn noun(number: u64, thing: &str) -> String {
    let ends = |endings: &[&str]| endings.iter().any(|ending| thing.ends_with(ending));
    match thing.strip_suffix('y') {
        _ if number == 1 => thing.to_owned(),
        Some(stem) if !ends(&["ay", "ey", "oy", "uy"]) => format!("{stem}ies"),
        // Its `ch` is a `k`.
        _ if ends(&["epoch"]) => format!("{thing}s"),
        _ if ends(&["s", "x", "z", "ch", "sh"]) => format!("{thing}es"),
        _ => format!("{thing}s"),
    }
}

/// A number with a comma after every three digits from the right.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Items in a row; of more than [`MOST_LISTED`], the first ones and how many more there are.
#[must_use]
pub fn listed<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    listed_by(", ", items)
}

/// As [`listed`], with something else between the items.
#[must_use]
pub fn listed_by<T: Display>(between: &str, items: impl IntoIterator<Item = T>) -> String {
    let mut items = items.into_iter();
    let first: Vec<String> =
        items.by_ref().take(MOST_LISTED).map(|item| item.to_string()).collect();
    let text = first.join(between);
    match items.count() as u64 {
        0 => text,
        more => format!("{text} ... and {} more", grouped(more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        for (number, thing, said) in [
            (0, "round", "0 rounds"),
            (1, "round", "1 round"),
            (2, "key holder", "2 key holders"),
            (1, "copy", "1 copy"),
            (3, "copy", "3 copies"),
            (2, "key", "2 keys"),
            (2, "class", "2 classes"),
            (2, "match", "2 matches"),
            (40, "local epoch", "40 local epochs"),
            (4312, "file", "4,312 files"),
            (1_000_000, "value", "1,000,000 values"),
        ] {
            assert_eq!(counted(number, thing), said);
        }
    }

    #[test]
    fn of_many_items_the_first_are_listed() {
        assert_eq!(listed(["a", "b"]), "a, b");
        assert_eq!(listed(0..10), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9");
        assert_eq!(listed(0..4322), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 ... and 4,312 more");
        assert_eq!(listed::<&str>([]), "");
    }
}
