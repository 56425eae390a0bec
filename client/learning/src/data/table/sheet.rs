//! A CSV file as spreadsheets write it: its first line and its records, nothing of it understood.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use ringfence_durable::text;

use super::super::error::DataError;

/// What may part the fields of a line.
const DELIMITERS: [u8; 3] = *b",;\t";

/// A table: column names, and the records below them.
pub(super) struct Sheet {
    /// The names in the first line. Some may be empty.
    pub(super) header: Vec<String>,
    pub(super) records: Vec<Record>,
    /// What parts the fields: `,`, `;` or a tab.
    pub(super) delimiter: u8,
}

/// One record, of as many fields as the header has names.
pub(super) struct Record {
    /// Number of the line in which it begins, the first being 1.
    pub(super) line: u64,
    pub(super) fields: StringRecord,
}

impl Sheet {
    /// Reads a table.
    ///
    /// UTF-8 with or without byte order mark, or UTF-16 with one; fields parted by commas,
    /// semicolons or tabs, whichever makes columns of `known` names of the first line, and quoted or
    /// not; any line ends. Excel's first line `sep=;` is heeded. Blank lines and delimiters at the
    /// ends of lines are no data.
    ///
    /// # Errors
    /// [`DataError::File`], [`DataError::Text`] for another encoding, [`DataError::Quote`] for a
    /// quoted field without end, [`DataError::Fields`] for a line of more or fewer fields.
    pub(super) fn read(path: &Path, known: impl Fn(&str) -> bool) -> Result<Self, DataError> {
        let file = |source| DataError::File { path: path.to_path_buf(), source };
        // Whoever reads a pipe waits until somebody writes to it.
        let metadata = std::fs::metadata(path).map_err(file)?;
        if !metadata.is_file() {
            return Err(file(std::io::Error::other(
                "expected a table, found a folder, a pipe, a socket or a device",
            )));
        }
        let bytes = std::fs::read(path).map_err(file)?;
        let undecodable = |source| DataError::Text { path: path.to_path_buf(), source };
        let text = text::decode(&bytes).map_err(undecodable)?;
        let (text, said, skipped) = without_sep(&text);
        let delimiter = said.unwrap_or_else(|| delimiter(text, known));
        if let Some(line) = unclosed_quote(text, delimiter) {
            return Err(DataError::Quote { path: path.to_path_buf(), line: line + skipped });
        }
        let mut records = records(path, text, delimiter)?.into_iter();
        let mut header: Vec<String> = match records.next() {
            Some(first) => first.fields.iter().map(ToString::to_string).collect(),
            None => Vec::new(),
        };
        while header.last().is_some_and(String::is_empty) {
            header.pop();
        }
        let records = records.map(|record| {
            let line = record.line + skipped;
            let fields = fit(record.fields, header.len()).map_err(|found| DataError::Fields {
                path: path.to_path_buf(),
                line,
                expected: header.len(),
                found,
                delimiter: named(delimiter),
            })?;
            Ok(Record { line, fields })
        });
        let records = records.collect::<Result<_, DataError>>()?;
        Ok(Self { header, records, delimiter })
    }
}

/// The text after a first line `sep=;`, that line's delimiter, and how many lines were taken away.
fn without_sep(text: &str) -> (&str, Option<u8>, u64) {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let first = first.trim_end_matches('\r');
    match first.strip_prefix("sep=").map(str::as_bytes) {
        Some([delimiter]) if DELIMITERS.contains(delimiter) => (rest, Some(*delimiter), 1),
        _ => (text, None, 0),
    }
}

/// The delimiter that makes most known columns of the first line; of equals the one that makes most
/// columns, and the comma before others.
fn delimiter(text: &str, known: impl Fn(&str) -> bool) -> u8 {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let columns = |delimiter: u8| {
        let mut reader = reader(first, delimiter);
        let names = reader.records().next().and_then(Result::ok).unwrap_or_default();
        (names.iter().filter(|name| known(name)).count(), names.len())
    };
    // Of equals `max_by_key` takes the last.
    DELIMITERS.into_iter().rev().max_by_key(|delimiter| columns(*delimiter)).unwrap_or(b',')
}

fn reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes())
}

/// All records in which something stands.
fn records(path: &Path, text: &str, delimiter: u8) -> Result<Vec<Record>, DataError> {
    let (mut line, mut counted) = (1, 0);
    let mut found = Vec::new();
    for record in reader(text, delimiter).records() {
        let csv = |source| DataError::Csv { path: path.to_path_buf(), source };
        let fields = record.map_err(csv)?;
        // The reader's own line is that of blank lines before the record.
        let start = fields.position().map_or(0, csv::Position::byte);
        let start = usize::try_from(start).unwrap_or(text.len());
        let blank = text.get(start..).unwrap_or_default();
        let start = start + blank.len() - blank.trim_start_matches(['\r', '\n']).len();
        line += ends(text.get(counted..start).unwrap_or_default());
        counted = start;
        if fields.iter().any(|field| !field.is_empty()) {
            found.push(Record { line, fields });
        }
    }
    Ok(found)
}

/// How many lines end in a text: by LF, by CR LF, or by CR.
fn ends(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let end = |(at, byte): (usize, &u8)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    bytes.iter().enumerate().filter(|place| end(*place)).count() as u64
}

/// The record with `length` fields: empty ones at its end are delimiters too many. Else how many
/// there are.
fn fit(mut fields: StringRecord, length: usize) -> Result<StringRecord, usize> {
    let found = fields.len();
    if found < length || fields.iter().skip(length).any(|field| !field.is_empty()) {
        return Err(found);
    }
    fields.truncate(length);
    Ok(fields)
}

/// The line of a quote that is not closed before a delimiter or a line's end: what follows it would
/// be taken for one field.
fn unclosed_quote(text: &str, delimiter: u8) -> Option<u64> {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied();
    let (mut index, mut begins) = (0, true);
    while let Some(byte) = at(index) {
        if byte == b'"' && begins {
            let opened = index;
            loop {
                index += 1;
                match at(index) {
                    Some(b'"') if at(index + 1) == Some(b'"') => index += 1,
                    Some(b'"') => break,
                    Some(_) => {}
                    None => return Some(ends(&text[..opened]) + 1),
                }
            }
            index += 1;
            while at(index) == Some(b' ') {
                index += 1;
            }
            match at(index) {
                Some(b'\n' | b'\r') | None => {}
                Some(next) if next == delimiter => {}
                Some(_) => return Some(ends(&text[..opened]) + 1),
            }
            begins = false;
            continue;
        }
        begins = byte == delimiter || byte == b'\n' || byte == b'\r';
        index += 1;
    }
    None
}

/// A delimiter as one says it.
pub(super) fn named(delimiter: u8) -> &'static str {
    match delimiter {
        b',' => "commas",
        b';' => "semicolons",
        _ => "tabs",
    }
}
