//! One line of a table, each field checked on its own.

use super::super::dataset::Split;
use super::super::error::DataError;
use super::super::group::Item;
use super::columns::Columns;
use super::sheet::Record;

/// What programs write where nothing is known. No class, site or patient is called so.
const NOTHING: [&str; 18] = [
    "nan", "-nan", "null", "(null)", "nil", "none", "na", "n/a", "n.a.", "<na>", "#n/a", "#na",
    "#nv", "#ref!", "#value!", "-", "--", "?",
];

/// One line as written.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) file: String,
    /// Its slice, or why that is none.
    pub(super) slice: Result<Option<usize>, DataError>,
    pub(super) mask: Option<String>,
    pub(super) label: Option<String>,
    pub(super) label_name: Option<String>,
    /// What stands in the column `split`, whatever it is.
    pub(super) said_split: Option<String>,
    pub(super) item: Item,
}

impl Line {
    /// Reads the fields of a record. A slice that is no number is told in its place: the other lines
    /// of the volume are not at fault.
    ///
    /// # Errors
    /// [`DataError::Field`] for the first other field that may not stand there.
    pub(super) fn parse(columns: &Columns, record: &Record) -> Result<Self, DataError> {
        let fields = Fields { columns, record };
        let file = fields.required("file", columns.file, "the image's path within the folder")?;
        let site = columns.site.map(|at| fields.required("site", at, "the site's name"));
        let group = match columns.group {
            Some((name, at)) => fields.required(name, at, "the patient's or volume's name")?,
            None => file.clone(),
        };
        let split = columns.split.map(|at| fields.split(at)).transpose()?;
        let label = match fields.optional("label", columns.label)? {
            Some(label) => Some(fields.number("label", &label)?.unwrap_or(label)),
            None => None,
        };
        // As many tables write what is not labelled.
        if let Some(label) = label.as_deref().filter(|label| is_negative(label)) {
            let expected = "a class, or an empty field where there is none";
            return Err(fields.error("label", expected, label));
        }
        Ok(Self {
            number: record.line,
            slice: fields.slice(),
            mask: fields.optional("mask", columns.mask)?,
            label,
            label_name: fields.optional("label_name", columns.label_name)?,
            said_split: fields.said_split(),
            item: Item { site: site.transpose()?, group, split, label: None },
            file,
        })
    }
}

/// The fields of one record, by column.
struct Fields<'a> {
    columns: &'a Columns,
    record: &'a Record,
}

impl Fields<'_> {
    fn error(&self, column: &'static str, expected: &'static str, found: &str) -> DataError {
        self.columns.field_error(self.record.line, column, expected, found)
    }

    fn optional(
        &self,
        column: &'static str,
        at: Option<usize>,
    ) -> Result<Option<String>, DataError> {
        let field = at.and_then(|at| self.record.fields.get(at)).unwrap_or_default();
        if field.contains(['\n', '\r']) {
            return Err(self.error(column, "one line of text", field));
        }
        if is_nothing(field) {
            return Err(self.error(column, "a name, or an empty field where there is none", field));
        }
        Ok(Some(field.to_string()).filter(|field| !field.is_empty()))
    }

    fn required(
        &self,
        column: &'static str,
        at: usize,
        expected: &'static str,
    ) -> Result<String, DataError> {
        let field = self.optional(column, Some(at))?;
        field.ok_or_else(|| self.error(column, expected, ""))
    }

    fn split(&self, at: usize) -> Result<Split, DataError> {
        let field = self.optional("split", Some(at))?.unwrap_or_default();
        match field.to_lowercase().as_str() {
            "train" => Ok(Split::Train),
            "val" | "validation" => Ok(Split::Validation),
            "test" => Ok(Split::Test),
            _ => Err(self.error("split", "train, val, validation or test", &field)),
        }
    }

    /// The field `split` as it is written.
    fn said_split(&self) -> Option<String> {
        let field = self.columns.said_split.and_then(|at| self.record.fields.get(at))?;
        (!field.is_empty()).then(|| field.to_owned())
    }

    fn slice(&self) -> Result<Option<usize>, DataError> {
        let Some(field) = self.optional("slice", self.columns.slice)? else { return Ok(None) };
        let number = self.number("slice", &field)?.and_then(|number| number.parse().ok());
        let refuse = || self.error("slice", "a slice's number, from 0", &field);
        number.map(Some).ok_or_else(refuse)
    }

    /// A whole number in its usual spelling, however a program wrote it: `1` of `1.0`, `1,0`, `01`
    /// and `1e0`. `None` for other text.
    fn number(&self, column: &'static str, field: &str) -> Result<Option<String>, DataError> {
        if let Some((whole, places)) = field.split_once(',')
            && !self.columns.decimal_comma
            && is_digits(whole.strip_prefix('-').unwrap_or(whole))
            && is_digits(places)
        {
            let expected = "a number with a decimal point (commas part this table's fields)";
            return Err(self.error(column, expected, field));
        }
        Ok(whole_number(field))
    }
}

/// A whole number in its usual spelling; `None` for other text. See [`Fields::number`].
pub(super) fn whole_number(field: &str) -> Option<String> {
    if field.contains(['e', 'E']) {
        // Whole numbers up to 2^53 are exact.
        let number = number(field).filter(|number| number.fract() == 0.0 && number.abs() < 9e15);
        return number.map(|number| format!("{}", number as i64));
    }
    let (sign, digits) = match field.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", field.strip_prefix('+').unwrap_or(field)),
    };
    let (whole, places) = digits.split_once(['.', ',']).unwrap_or((digits, "0"));
    if !is_digits(whole) || !places.bytes().all(|place| place == b'0') {
        return None;
    }
    match whole.trim_start_matches('0') {
        "" => Some("0".to_string()),
        digits => Some(format!("{sign}{digits}")),
    }
}

/// A number in digits, with a decimal point or comma and an exponent; `None` for other text.
pub(super) fn number(field: &str) -> Option<f64> {
    let is_of_numbers = |letter: u8| letter.is_ascii_digit() || b"+-.,eE".contains(&letter);
    let number = field.bytes().all(is_of_numbers).then(|| field.replace(',', "."))?;
    number.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Whether a field says that nothing is known.
pub(super) fn is_nothing(field: &str) -> bool {
    NOTHING.contains(&field.to_lowercase().as_str())
}

pub(super) fn is_negative(label: &str) -> bool {
    number(label).is_some_and(|number| number < 0.0)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::whole_number;

    #[test]
    fn whole_numbers_have_one_spelling_and_other_text_none() {
        for (written, number) in [
            ("0", "0"),
            ("0.0", "0"),
            ("0,0", "0"),
            ("-0.00", "0"),
            ("00", "0"),
            ("007", "7"),
            ("+7", "7"),
            ("12.000", "12"),
            ("-3", "-3"),
            ("10", "10"),
            ("5.", "5"),
            ("1e0", "1"),
            ("1.50E+01", "15"),
            ("2e3", "2000"),
            ("12345678901234567891", "12345678901234567891"),
        ] {
            assert_eq!(whole_number(written).as_deref(), Some(number), "{written}");
        }
        for text in
            ["", "-", ".", ",0", "0.5", "1.0.0", "1e-3", "1e", "e1", "1e400", "normal", "3 ", "½"]
        {
            assert_eq!(whole_number(text), None, "{text:?}");
        }
    }
}
