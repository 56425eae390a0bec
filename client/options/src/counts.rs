//! Numbers, and lists in which each thing stands once.

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

/// The parser of a number with places, of 32 or 64 bits. One that these cannot hold is refused as it was
/// given: it would become 0, or infinite.
///
/// # Errors
/// What is expected, and what came.
pub fn number<T: FromStr + Copy + Into<f64>>(text: &str) -> Result<T, String> {
    let wrong = || format!("expected a number as in 0.5 or 1e-5, got {text}");
    let number = text.parse::<T>().map_err(|_| wrong())?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = !mantissa.contains(|digit| matches!(digit, '1'..='9'));
    let (value, bits) = (number.into(), 8 * size_of::<T>());
    if value == 0.0 && !is_zero {
        return Err(format!(
            "expected 0, or a number that {bits} bits can hold, got {text}, nearer to 0 than any of them"
        ));
    }
    if value.is_infinite() && !is_zero {
        return Err(format!(
            "expected a number that {bits} bits can hold, got {text}, beyond all of them"
        ));
    }
    Ok(number)
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
    fn numbers_that_would_be_lost_are_refused_as_they_were_given() {
        assert_eq!(number::<f32>("1e-5"), Ok(1e-5));
        assert_eq!((number::<f64>("-0.0"), number::<f64>("1e-300")), (Ok(-0.0), Ok(1e-300)));
        assert!(number::<f32>("inf").unwrap().is_infinite());
        for (text, expected) in [
            ("1e-300", "32 bits can hold, got 1e-300, nearer to 0"),
            ("-0.01E-50", "got -0.01E-50, nearer to 0"),
            ("1e300", "32 bits can hold, got 1e300, beyond all"),
            ("0,5", "expected a number as in 0.5 or 1e-5, got 0,5"),
        ] {
            let error = number::<f32>(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(number::<f64>("1e-400").unwrap_err().contains("64 bits can hold, got 1e-400"));
    }

    #[test]
    fn what_stands_twice_is_named() {
        each_once("--seeds", [1, 2, 3]).unwrap();
        let error = each_once("--seeds", [1, 2, 1]).unwrap_err().to_string();
        assert_eq!(error, "expected each of --seeds once, got 1 twice; leave one out");
    }
}
