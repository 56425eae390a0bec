//! Letters that are not seen, or turn what stands beside them: a name that somebody else chose must not
//! change how a report reads.

/// Whether a letter moves a terminal's cursor, changes the direction of writing (Unicode's bidirectional
/// controls), or has no width. Letters that combine with others, as many scripts have, are none.
pub fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}'
        )
        || ('\u{2028}'..='\u{202e}').contains(&letter)
        || ('\u{2060}'..='\u{206f}').contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_scripts_are_seen_and_tricks_are_not() {
        for name in [
            "Lungs 2027, \u{fc}ber \u{3b5} = 1",
            "e\u{301}tude",
            "\u{915}\u{93f}",
            "\u{5e8}\u{5d9}\u{5d0}\u{5d5}\u{5ea}",
            "\u{80ba}",
        ] {
            assert!(!name.chars().any(is_unseen), "{name}");
        }
        for trick in
            ['\n', '\u{1b}', '\u{7f}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{ad}']
        {
            assert!(is_unseen(trick), "{trick:?}");
        }
    }
}
