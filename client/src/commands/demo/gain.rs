//! What one way of training brings the sites over another, in one line.

use std::fmt;

use serde::Serialize;

/// A site's scores, by column: `None` where a score is undefined.
pub(super) type Row = Vec<(&'static str, Option<f64>)>;

/// How the sites' scores in one column stand to those in another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Gain {
    /// What is judged.
    what: &'static str,
    metric: String,
    /// The column that is judged.
    of: &'static str,
    /// The column that it is held against.
    over: &'static str,
    /// Sites whose score is higher.
    gain: usize,
    /// Sites whose score is lower.
    lose: usize,
    /// Sites whose score is the same to three places, as it is printed.
    same: usize,
    /// Sites where either score is undefined.
    undefined: usize,
    /// Mean of the differences, over the sites where both are defined.
    mean: Option<f64>,
}

impl Gain {
    /// What federation brings over training alone, personalisation over federation, and both
    /// together: as many of them as the rows have columns for.
    pub(super) fn all(metric: &str, rows: &[Row]) -> Vec<Self> {
        let comparisons = [
            ("federation", "federated", "local only"),
            ("personalisation", "personalised", "federated"),
            ("both", "personalised", "local only"),
        ];
        let there =
            |column| rows.first().is_some_and(|row| row.iter().any(|(name, _)| *name == column));
        comparisons
            .into_iter()
            .filter(|(_, of, over)| there(*of) && there(*over))
            .map(|(what, of, over)| Self::between(what, metric, of, over, rows))
            .collect()
    }

    fn between(
        what: &'static str,
        metric: &str,
        of: &'static str,
        over: &'static str,
        rows: &[Row],
    ) -> Self {
        let score = |row: &Row, column| row.iter().find(|(name, _)| *name == column)?.1;
        let pairs: Vec<(f64, f64)> =
            rows.iter().filter_map(|row| Some((score(row, of)?, score(row, over)?))).collect();
        let places = |value: f64| (value * 1000.0).round();
        let count = |is: &dyn Fn(f64, f64) -> bool| {
            pairs.iter().filter(|(a, b)| is(places(*a), places(*b))).count()
        };
        let sum: f64 = pairs.iter().map(|(a, b)| a - b).sum();
        Self {
            what,
            metric: metric.to_owned(),
            of,
            over,
            gain: count(&|a, b| a > b),
            lose: count(&|a, b| a < b),
            same: count(&|a, b| a == b),
            undefined: rows.len() - pairs.len(),
            mean: (!pairs.is_empty()).then(|| sum / pairs.len() as f64),
        }
    }
}

impl fmt::Display for Gain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, metric, of, over, gain, lose, same, undefined, mean } = self;
        let gains = if *gain == 1 { "site gains" } else { "sites gain" };
        let loses = if *lose == 1 { "loses" } else { "lose" };
        write!(f, "{what:<16} {gain} {gains}, {lose} {loses}")?;
        for (count, word) in [(same, "the same"), (undefined, "undefined")] {
            if *count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        match mean {
            Some(mean) => write!(f, "; mean {mean:+.3}")?,
            None => f.write_str("; mean undefined")?,
        }
        write!(f, " ({metric}, {of} over {over})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(local: Option<f64>, federated: Option<f64>, personal: Option<f64>) -> Row {
        vec![("before", Some(0.0)), ("local only", local), ("federated", federated)]
            .into_iter()
            .chain(personal.map(|score| ("personalised", Some(score))))
            .collect()
    }

    #[test]
    fn sites_that_lose_are_counted_like_those_that_gain() {
        let rows = [
            row(Some(0.5), Some(0.6), Some(0.7)),
            row(Some(0.5), Some(0.4), Some(0.45)),
            row(Some(0.5), Some(0.3), Some(0.3004)),
        ];
        let lines: Vec<String> = Gain::all("Dice", &rows).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "federation       1 site gains, 2 lose; mean -0.067 (Dice, federated over local only)",
                "personalisation  2 sites gain, 0 lose, 1 the same; mean +0.050 (Dice, personalised over federated)",
                "both             1 site gains, 2 lose; mean -0.017 (Dice, personalised over local only)",
            ]
        );
    }

    #[test]
    fn undefined_scores_are_counted_and_no_part_of_the_mean() {
        let rows = [row(None, Some(0.6), None), row(Some(0.5), Some(0.4), None)];
        let gains = Gain::all("Dice", &rows);
        assert_eq!(gains.len(), 1, "without personalisation there is nothing to say of it");
        assert_eq!(
            gains[0].to_string(),
            "federation       0 sites gain, 1 loses, 1 undefined; mean -0.100 (Dice, federated over local only)"
        );
        let nothing = [row(None, Some(0.6), None)];
        assert!(Gain::all("Dice", &nothing)[0].to_string().contains("; mean undefined ("));
    }
}
