//! What the bench prints.

use std::fmt::Write;

use serde::Serialize;

use crate::schemes::report::digits;

/// Which side is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More is better: a target is the least.
    Higher,
    /// Less is better: a target is the most.
    Lower,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What it is, with its unit.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// What it is held against, where there is a target.
    pub target: Option<f64>,
    /// Which side of the target is the better one.
    pub better: Better,
}

impl Row {
    /// Whether the target is met; none without one.
    pub fn met(&self) -> Option<bool> {
        self.target.map(|target| match self.better {
            Better::Higher => self.value >= target,
            Better::Lower => self.value <= target,
        })
    }
}

/// A figure that should be at least this.
pub(super) fn at_least(name: &str, value: f64, target: f64) -> Row {
    Row { name: name.to_owned(), value, target: Some(target), better: Better::Higher }
}

/// A figure that should be at most this.
pub(super) fn at_most(name: &str, value: f64, target: f64) -> Row {
    Row { name: name.to_owned(), value, target: Some(target), better: Better::Lower }
}

/// A figure without a target.
pub(super) fn shown(name: &str, value: f64, better: Better) -> Row {
    Row { name: name.to_owned(), value, target: None, better }
}

/// The rows as aligned text.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let target = match (row.target, row.better) {
            (Some(target), Better::Higher) => format!("at least {}", digits(target)),
            (Some(target), Better::Lower) => format!("at most {}", digits(target)),
            (None, _) => String::new(),
        };
        let met = match row.met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let line = format!("{:<width$}  {:>10}  {target:<15}  {met}", row.name, digits(row.value));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_from_its_better_side() {
        assert_eq!(at_least("a", 0.9, 0.95).met(), Some(false));
        assert_eq!(at_least("a", 0.95, 0.95).met(), Some(true));
        assert_eq!(at_most("a", 0.9, 0.95).met(), Some(true));
        assert_eq!(at_most("a", 1.0, 0.95).met(), Some(false));
        assert_eq!(shown("a", 1.0, Better::Lower).met(), None);
        let json = serde_json::to_value(at_most("a", 1.0, 0.5)).unwrap();
        let expected =
            serde_json::json!({"name": "a", "value": 1.0, "target": 0.5, "better": "lower"});
        assert_eq!(json, expected);
        assert!(table(&[at_most("slow", 1.0, 0.5)]).contains("at most 0.500  "));
    }
}
