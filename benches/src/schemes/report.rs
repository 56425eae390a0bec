//! Rows of the comparison, as JSON and as a table.

use serde::{Deserialize, Serialize};

/// What one scheme costs. Figures that nobody measured are null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Name of the scheme.
    pub scheme: String,
    /// Values in an update.
    pub parameters: usize,
    /// Sites in the sum.
    pub sites: usize,
    /// Bits of a quantized value.
    pub bits: u8,
    /// Threads that each step ran on.
    pub threads: usize,
    /// Quantize, pack and encrypt, at one site.
    pub encrypt_seconds: Option<f64>,
    /// Share and seal keys, at one site; 0 where there is nothing to share.
    pub share_seconds: Option<f64>,
    /// The encrypted update alone.
    pub body_bytes_per_parameter: Option<f64>,
    /// Everything that one site uploads in a round, envelopes and openings included.
    pub bytes_per_parameter: Option<f64>,
    /// Adding one site's body into the sum, at the aggregator.
    pub add_seconds: Option<f64>,
    /// From the sum and the openings to the decoded mean, at one recipient.
    pub open_seconds: Option<f64>,
    /// Largest absolute error of the decoded mean against the mean of the float updates.
    pub max_error: Option<f64>,
    /// Library, version, parameter set, what is simulated, repetitions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub settings: String,
    /// Measured on fewer values and scaled linearly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extrapolated: bool,
    /// Not measured here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quoted: bool,
    /// Where settings or quoted figures come from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

/// The rows as a JSON array, one key a line.
///
/// # Errors
/// When a figure is no finite number.
pub fn json(rows: &[Row]) -> anyhow::Result<String> {
    for row in rows {
        for (name, value) in row.figures() {
            let finite = value.is_none_or(f64::is_finite);
            anyhow::ensure!(finite, "{name} of {} is {value:?}, not a number", row.scheme);
        }
    }
    Ok(serde_json::to_string_pretty(rows)?)
}

impl Row {
    fn figures(&self) -> [(&'static str, Option<f64>); 7] {
        [
            ("encrypt_seconds", self.encrypt_seconds),
            ("share_seconds", self.share_seconds),
            ("body_bytes_per_parameter", self.body_bytes_per_parameter),
            ("bytes_per_parameter", self.bytes_per_parameter),
            ("add_seconds", self.add_seconds),
            ("open_seconds", self.open_seconds),
            ("max_error", self.max_error),
        ]
    }

    /// The name with its mark: `*` extrapolated, `q` quoted.
    pub fn label(&self) -> String {
        match (self.extrapolated, self.quoted) {
            (_, true) => format!("{} q", self.scheme),
            (true, false) => format!("{} *", self.scheme),
            (false, false) => self.scheme.clone(),
        }
    }
}

/// A time with three digits and a unit that suits it.
pub fn seconds(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        v if v < 1e-3 => format!("{} us", digits(v * 1e6)),
        v if v < 1.0 => format!("{} ms", digits(v * 1e3)),
        v if v < 3600.0 => format!("{} s", digits(v)),
        v => format!("{} h", digits(v / 3600.0)),
    }
}

/// Three significant digits, no exponent.
pub fn digits(value: f64) -> String {
    let places = if value == 0.0 { 0 } else { (2 - value.abs().log10().floor() as i32).max(0) };
    format!("{value:.*}", places.unsigned_abs() as usize)
}

/// The rows as aligned text, the settings of each scheme below.
pub fn table(rows: &[Row]) -> String {
    let header =
        ["scheme", "encrypt", "share", "body B/param", "all B/param", "add", "open", "max error"];
    let mut lines = vec![header.map(String::from)];
    let cell = |value: Option<f64>, show: fn(f64) -> String| value.map_or("-".into(), show);
    for row in rows {
        lines.push([
            row.label(),
            cell(row.encrypt_seconds, seconds),
            cell(row.share_seconds, seconds),
            cell(row.body_bytes_per_parameter, digits),
            cell(row.bytes_per_parameter, digits),
            cell(row.add_seconds, seconds),
            cell(row.open_seconds, seconds),
            cell(row.max_error, |error| format!("{error:.1e}")),
        ]);
    }
    let mut widths = [0; 8];
    for line in &lines {
        widths.iter_mut().zip(line).for_each(|(width, cell)| *width = cell.len().max(*width));
    }
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text.push_str("* measured on fewer values, scaled linearly; q quoted, not measured here\n\n");
    for row in rows {
        let source = if row.source.is_empty() { "" } else { " Source: " };
        text.push_str(&format!("{}: {}{source}{}\n", row.scheme, row.settings, row.source));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 12] = [
        "scheme",
        "parameters",
        "sites",
        "bits",
        "threads",
        "encrypt_seconds",
        "share_seconds",
        "body_bytes_per_parameter",
        "bytes_per_parameter",
        "add_seconds",
        "open_seconds",
        "max_error",
    ];

    fn keys(row: &Row) -> Vec<String> {
        let text = json(std::slice::from_ref(row)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut keys: Vec<_> = value[0].as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    }

    #[test]
    fn a_row_has_exactly_the_agreed_keys() {
        let mut expected: Vec<_> = KEYS.map(String::from).to_vec();
        expected.sort();
        assert_eq!(keys(&Row::default()), expected);
        let mut full = Row { extrapolated: true, quoted: true, ..Row::default() };
        (full.settings, full.source) = ("a".into(), "b".into());
        expected.extend(["extrapolated", "quoted", "settings", "source"].map(String::from));
        expected.sort();
        assert_eq!(keys(&full), expected);
        let back: Vec<Row> = serde_json::from_str(&json(&[full.clone()]).unwrap()).unwrap();
        assert_eq!(back, [full]);
    }

    #[test]
    fn a_figure_that_is_no_number_is_refused_and_a_missing_one_is_null() {
        let row = Row { add_seconds: Some(f64::NAN), ..Row::default() };
        assert!(json(&[row]).unwrap_err().to_string().contains("add_seconds"));
        assert!(json(&[Row::default()]).unwrap().contains("\"open_seconds\": null"));
    }

    #[test]
    fn the_table_aligns_and_marks() {
        let mut slow = Row { scheme: "slow".into(), extrapolated: true, ..Row::default() };
        slow.encrypt_seconds = Some(127.0);
        let fast = Row { scheme: "fast".into(), encrypt_seconds: Some(0.00912), ..slow.clone() };
        let text = table(&[slow, Row { extrapolated: false, ..fast }]);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("slow *    127 s"), "{}", lines[1]);
        assert!(lines[2].starts_with("fast    9.12 ms"), "{}", lines[2]);
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let shown = [4.2e-5, 0.0836, 12.34, 7200.0].map(seconds);
        assert_eq!(shown, ["42.0 us", "83.6 ms", "12.3 s", "2.00 h"]);
    }
}
