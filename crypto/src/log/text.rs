//! What the log's texts share: how long a line may be, numbers in one spelling, and as much of a
//! stranger's text as an error repeats.

/// Most bytes of an origin or extension line: what C2SP's cosignatures allow an origin.
pub const MAX_LINE: usize = 255;

/// The number that `text` spells in the only way.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let number = text.parse::<u64>().ok()?;
    // Refuses a sign and leading zeros, which `parse` takes.
    (number.to_string() == text).then_some(number)
}

/// As much of a stranger's text as an error repeats.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
