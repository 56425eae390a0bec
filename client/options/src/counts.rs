//! Numbers of things, and lists in which each thing stands once.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use anyhow::bail;

/// The parser of a number of things of which there must be some.
///
/// # Errors
/// What is expected, and what came.
pub fn at_least_one<T: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(number) if number >= T::from(1) => Ok(number),
        _ => Err(format!("expected a whole number of 1 or more, got {text}")),
    }
}

/// Refuses a list in which something stands twice: `option` is the option that it was given by.
///
/// # Errors
/// The option, and what stands twice.
pub fn each_once<T: Display>(
    option: &str,
    list: impl IntoIterator<Item = T>,
) -> anyhow::Result<()> {
    let mut known = BTreeSet::new();
    for item in list.into_iter().map(|item| item.to_string()) {
        if known.contains(&item) {
            bail!("expected each of {option} once, got {item} twice; leave one out");
        }
        known.insert(item);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_of_a_thing_is_refused_and_so_is_what_is_no_number() {
        assert_eq!(at_least_one::<u32>("1"), Ok(1));
        assert_eq!(at_least_one::<usize>("4096"), Ok(4096));
        for text in ["0", "-1", "1.5", "", "4294967296"] {
            let error = at_least_one::<u32>(text).unwrap_err();
            assert!(error.ends_with(&format!("1 or more, got {text}")), "{error}");
        }
    }

    #[test]
    fn what_stands_twice_is_named() {
        each_once("--seeds", [1, 2, 3]).unwrap();
        let error = each_once("--seeds", [1, 2, 1]).unwrap_err().to_string();
        assert_eq!(error, "expected each of --seeds once, got 1 twice; leave one out");
    }
}
