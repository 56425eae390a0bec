//! What stands at an axis: as many digits as tell its labels apart, and no more.

/// Most digits behind the point.
const MOST: usize = 6;

/// Digits behind the point with which every one of these values is shown as it is.
pub(super) fn digits(values: &[f64]) -> usize {
    let exact = |value: &f64, digits: usize| {
        let shown: f64 = format!("{value:.digits$}").parse().unwrap_or(f64::NAN);
        (shown - value).abs() < 1e-9
    };
    let enough = (0..MOST).find(|digits| values.iter().all(|value| exact(value, *digits)));
    enough.unwrap_or(MOST)
}

/// A whole number; nothing for a value between two of them.
pub(super) fn whole(value: f64) -> String {
    if (value - value.round()).abs() < 1e-9 { format!("{value:.0}") } else { String::new() }
}

/// A text of at most so many letters, its middle left out where it is longer: beginnings and ends
/// tell names apart.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= most {
        return text.to_owned();
    }
    let keep = most.saturating_sub(2);
    let (head, tail) = (keep.div_ceil(2), keep / 2);
    let end = letters.iter().skip(letters.len() - tail);
    letters.iter().take(head).chain(&['.', '.']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_the_digits_they_need() {
        assert_eq!(digits(&[0.0, 0.1, 0.2, 0.1 + 0.2]), 1);
        assert_eq!(digits(&[0.0, 0.02, 0.04]), 2);
        assert_eq!(digits(&[0.0, 0.025, 0.05]), 3);
        assert_eq!(digits(&[0.0, 1.0]), 0);
        assert_eq!(digits(&[1.0 / 3.0]), MOST);
        assert_eq!((whole(3.0), whole(2.5)), ("3".to_owned(), String::new()));
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shortened("hospital-1", 12), "hospital-1");
        assert_eq!(shortened("university-hospital-north-1", 12), "unive..rth-1");
        assert_eq!(shortened("abcdef", 2), "..");
    }
}
