//! Text of others, made fit for a terminal: it may hold anything.

/// Most characters that are shown of an aggregator's text.
const LONGEST: usize = 500;

/// A text without control characters and without those that turn or hide what stands beside them (such
/// as U+202E): they are written as escapes.
pub fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            // Fit to be shown; these alone are escaped for other reasons.
            '"' | '\'' | '\\' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// An aggregator's text, [`escaped`]. What is longer than [`LONGEST`] characters is cut, and says so.
pub(crate) fn printable(text: &str) -> String {
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(end, _)| end);
    let (shown, more) = text.split_at(end);
    match more.chars().count() {
        0 => escaped(shown),
        more => format!("{}... (cut: {more} more characters)", escaped(shown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_cursor_or_turns_a_line_is_escaped() {
        let hostile =
            "\u{1b}[2J\u{1b}[31mround 0\r\nringfence: all is well\u{7}\u{202e}\u{2066}\u{9b}\u{0}";
        let shown = printable(hostile);
        assert_eq!(
            shown,
            r"\u{1b}[2J\u{1b}[31mround 0\r\nringfence: all is well\u{7}\u{202e}\u{2066}\u{9b}\0"
        );
        assert!(!shown.chars().any(char::is_control));
    }

    #[test]
    fn words_stay_as_they_are_and_long_ones_are_cut() {
        let words = r#"site "b" isn't due: C:\path, größer, 中文"#;
        assert_eq!(printable(words), words);
        let longest = "x".repeat(LONGEST);
        assert_eq!(printable(&longest), longest);
        assert_eq!(printable(&(longest.clone() + "yz")), longest + "... (cut: 2 more characters)");
    }
}
