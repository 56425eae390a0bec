//! A table's classes: their names, and which label means which.

use std::collections::{BTreeMap, BTreeSet};

use super::super::classes::{is_number, of_name};
use super::super::error::DataError;
use super::columns::Columns;
use super::line::Line;

/// The classes' names, and which label means which.
pub(super) struct Classes {
    pub(super) names: Vec<String>,
    numbers: BTreeMap<String, u32>,
}

impl Classes {
    /// The study's classes if it names them (see [`DataOptions::classes`]), else those of the
    /// table: numbers in their order, other labels in the alphabet's.
    ///
    /// # Errors
    /// [`DataError::ClassNames`] where a label has two names, or a name two labels.
    ///
    /// [`DataOptions::classes`]: super::super::options::DataOptions::classes
    pub(super) fn of(
        columns: &Columns,
        lines: &[Line],
        named: &[String],
    ) -> Result<Self, DataError> {
        let given = given_names(columns, lines)?;
        let labels: BTreeSet<&str> =
            lines.iter().filter_map(|line| line.label.as_deref()).collect();
        let mut labels: Vec<&str> = labels.into_iter().collect();
        // A stable sort by number leaves the alphabet's order where there is none.
        labels.sort_by_key(|label| label.parse::<i64>().unwrap_or(i64::MAX));
        let name = |label: &&str| given.get(label).map_or(*label, |(name, _)| name).to_string();
        let names: Vec<String> = match named {
            [] => labels.iter().map(name).collect(),
            named => named.to_vec(),
        };
        let mut numbers = BTreeMap::new();
        for (index, label) in labels.iter().enumerate() {
            let number = match named {
                [] => Some(index),
                // By name alone: the study's numbers need not be this table's.
                named => of_name(named, given.get(label).map_or(label, |(name, _)| name)),
            };
            if let Some(number) = number.and_then(|number| u32::try_from(number).ok()) {
                numbers.insert((*label).to_string(), number);
            }
        }
        Ok(Self { names, numbers })
    }

    /// The class of a line, if it has a label.
    ///
    /// # Errors
    /// [`DataError::Class`] where the study has no such class, [`DataError::ClassNumber`] where the
    /// label is a number without a name, and the study's classes have names.
    pub(super) fn number(&self, columns: &Columns, line: &Line) -> Result<Option<u32>, DataError> {
        let Some(label) = &line.label else { return Ok(None) };
        let refuse = || {
            let (path, classes) = (columns.path.clone(), self.names.clone());
            let (line, label_name) = (line.number, line.label_name.clone());
            let is_bare = label_name.is_none() && is_number(label);
            if is_bare && !classes.iter().all(|class| is_number(class)) {
                return DataError::ClassNumber { path, line, label: label.clone(), classes };
            }
            let label = label_name.unwrap_or_else(|| label.clone());
            DataError::Class { path, line, label, classes }
        };
        self.numbers.get(label).copied().map(Some).ok_or_else(refuse)
    }
}

/// The name of each label that has one, and the line that says so.
fn given_names<'a>(
    columns: &Columns,
    lines: &'a [Line],
) -> Result<BTreeMap<&'a str, (&'a str, u64)>, DataError> {
    let mut names = BTreeMap::<&str, (&str, u64)>::new();
    let mut labels = BTreeMap::<&str, (&str, u64)>::new();
    for line in lines {
        let (Some(label), Some(name)) = (line.label.as_deref(), line.label_name.as_deref()) else {
            continue;
        };
        let (first_name, of_label) = *names.entry(label).or_insert((name, line.number));
        let (first_label, of_name) = *labels.entry(name).or_insert((label, line.number));
        let first = match (first_name == name, first_label == label) {
            (true, true) => continue,
            (false, _) => (of_label, label, first_name),
            (true, false) => (of_name, first_label, name),
        };
        let pair = |label: &str, name: &str| (label.to_string(), name.to_string());
        return Err(DataError::ClassNames {
            path: columns.path.clone(),
            first_line: first.0,
            first: pair(first.1, first.2),
            second_line: line.number,
            second: pair(label, name),
        });
    }
    Ok(names)
}
