//! Names of classes that tables can name.

use std::collections::BTreeMap;

use super::check::folded;
use super::line::{is_negative, is_nothing, whole_number};

/// A list of classes of which a table cannot name each one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassNameError {
    /// An empty name.
    #[error("expected names of classes, got an empty one")]
    Empty,
    /// A name of several lines.
    #[error("expected names of one line, got the class {0:?}, which no table can name")]
    Lines(String),
    /// What programs write where nothing is known.
    #[error(
        "expected names of classes, got `{0}`, which tables hold where nothing is known and no class is called; name it otherwise"
    )]
    Nothing(String),
    /// A number below 0.
    #[error(
        "expected names or numbers from 0, got the class `{0}`, which tables hold where nothing is known; name it otherwise"
    )]
    Negative(String),
    /// A number that is read as another text.
    #[error(
        "expected numbers in their usual spelling, got the class `{got}`, which tables read as `{read}`; write {read}"
    )]
    Number {
        /// As it came.
        got: String,
        /// What a table with it says.
        read: String,
    },
    /// Two names that are taken for one.
    #[error(
        "expected different classes, got `{first}` and `{second}`, which in a table are taken for one; name one otherwise"
    )]
    Alike {
        /// The one that came first.
        first: String,
        /// The other.
        second: String,
    },
}

/// Checks that a table can name each of these classes, by the rules that its labels are read by.
///
/// # Errors
/// [`ClassNameError`] with the first name that it cannot.
pub fn check_class_names(classes: &[String]) -> Result<(), ClassNameError> {
    let mut known = BTreeMap::new();
    for class in classes {
        let name = || class.clone();
        if class.is_empty() {
            return Err(ClassNameError::Empty);
        }
        if class.contains(['\n', '\r']) {
            return Err(ClassNameError::Lines(name()));
        }
        if is_nothing(class) {
            return Err(ClassNameError::Nothing(name()));
        }
        if is_negative(class) {
            return Err(ClassNameError::Negative(name()));
        }
        if let Some(read) = whole_number(class).filter(|read| read != class) {
            return Err(ClassNameError::Number { got: name(), read });
        }
        if let Some(first) = known.insert(folded("label", class), class) {
            return Err(ClassNameError::Alike { first: first.clone(), second: name() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(classes: &[&str]) -> Result<(), String> {
        let classes: Vec<String> = classes.iter().map(ToString::to_string).collect();
        check_class_names(&classes).map_err(|error| error.to_string())
    }

    #[test]
    fn names_that_no_table_can_name_are_refused_with_the_reason() {
        for classes in [
            &["normal", "covid-19"][..],
            &["0", "1"],
            &["TRUE", "FALSE"],
            &["grade 0.5", "grade 1"],
            &["1-12", "11-2"],
            &["1", "no finding"],
        ] {
            checked(classes).unwrap();
        }
        for (classes, expected) in [
            (&["00", "01"][..], "the class `00`, which tables read as `0`; write 0"),
            (&["1.0", "2"], "the class `1.0`, which tables read as `1`"),
            (&["0", "1e0"], "the class `1e0`, which tables read as `1`"),
            (&["0", "0.0"], "the class `0.0`, which tables read as `0`"),
            (&["+1", "0"], "the class `+1`, which tables read as `1`"),
            (&["normal", "none"], "got `none`, which tables hold where nothing is known"),
            (&["NaN", "normal"], "got `NaN`, which tables hold where nothing is known"),
            (&["0", "-1"], "numbers from 0, got the class `-1`"),
            (&["1", "TRUE"], "got `1` and `TRUE`, which in a table are taken for one"),
            (&["0", "no"], "got `0` and `no`"),
            (&["covid-19", "COVID19"], "got `covid-19` and `COVID19`"),
            (&["normal", "Normal"], "got `normal` and `Normal`"),
            (&["a", ""], "got an empty one"),
            (&["a\nb", "c"], "got the class \"a\\nb\""),
        ] {
            let error = checked(classes).unwrap_err();
            assert!(error.contains(expected), "{classes:?}: {error}");
        }
    }
}
