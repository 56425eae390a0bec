//! The table `labels.csv` of an image folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};

use super::classes::class_number;
use super::dataset::Split;
use super::error::DataError;
use super::group::Item;
use super::options::DataOptions;

/// One line: an image with what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) file: String,
    /// Which slice of a volume.
    pub(super) slice: Option<usize>,
    pub(super) mask: Option<String>,
    pub(super) item: Item,
}

impl Row {
    /// The name that the sample will have: the file, with `#` and the slice of a volume.
    pub(super) fn name(&self) -> String {
        let slice = self.slice.map(|slice| format!("#{slice}")).unwrap_or_default();
        format!("{}{slice}", self.file)
    }
}

/// Reads the table at `path`: its rows, and the names of the classes in the order of their labels.
///
/// Columns: `file`; at least one of `label` and `mask`; and optionally `site`, `split`, a group
/// (`patient` or `volume`), `slice`, a slice of a volume counted from 0, and `label_name`, which
/// names the class where `label` is a number. Others are ignored. Without a group column each file
/// is a group of its own, with all its slices.
pub(super) fn read(
    path: &Path,
    options: &DataOptions,
) -> Result<(Vec<Row>, Vec<String>), DataError> {
    let csv_error = |source: csv::Error| {
        if source.is_io_error() {
            DataError::File { path: path.to_path_buf(), source: source.into() }
        } else {
            DataError::Csv { path: path.to_path_buf(), source }
        }
    };
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_path(path).map_err(csv_error)?;
    let columns = Columns::find(path, reader.headers().map_err(csv_error)?, options)?;
    let mut lines = Vec::new();
    for record in reader.records() {
        lines.push(Line::parse(&columns, &record.map_err(csv_error)?)?);
    }
    if lines.is_empty() {
        return Err(DataError::Empty { path: path.to_path_buf() });
    }
    check_straddling(&columns, &lines)?;
    let classes = Classes::of(&lines, &options.classes);
    let rows = lines
        .into_iter()
        .map(|line| {
            let label = classes.number(&columns, &line)?;
            let Line { file, slice, mask, item, .. } = line;
            Ok(Row { file, slice, mask, item: Item { label, ..item } })
        })
        .collect::<Result<_, DataError>>()?;
    Ok((rows, classes.names))
}

/// Where the columns stand.
struct Columns {
    path: PathBuf,
    file: usize,
    slice: Option<usize>,
    label: Option<usize>,
    label_name: Option<usize>,
    site: Option<usize>,
    mask: Option<usize>,
    split: Option<usize>,
    group: Option<(&'static str, usize)>,
}

impl Columns {
    fn find(path: &Path, header: &StringRecord, options: &DataOptions) -> Result<Self, DataError> {
        let at = |name: &str| header.iter().position(|column| column == name);
        let missing = |column| DataError::Column {
            path: path.to_path_buf(),
            column,
            found: header.iter().map(ToString::to_string).collect(),
        };
        let group = |name: &'static str| at(name).map(|column| (name, column));
        let (label, mask) = (at("label"), at("mask"));
        if label.is_none() && mask.is_none() {
            return Err(missing("label"));
        }
        Ok(Self {
            path: path.to_path_buf(),
            file: at("file").ok_or_else(|| missing("file"))?,
            slice: at("slice"),
            label,
            label_name: at("label_name"),
            site: at("site"),
            mask,
            split: at("split").filter(|_| !options.ignore_split),
            group: group("patient").or_else(|| group("volume")),
        })
    }

    fn field_error(
        &self,
        line: u64,
        column: &'static str,
        expected: &'static str,
        found: &str,
    ) -> DataError {
        DataError::Field {
            path: self.path.clone(),
            line,
            column,
            expected,
            found: found.to_string(),
        }
    }
}

/// One line as written.
struct Line {
    number: u64,
    file: String,
    slice: Option<usize>,
    mask: Option<String>,
    label: Option<String>,
    label_name: Option<String>,
    item: Item,
}

impl Line {
    fn parse(columns: &Columns, record: &StringRecord) -> Result<Self, DataError> {
        let number = record.position().map_or(0, csv::Position::line);
        let filled = |column: usize| record.get(column).filter(|field| !field.is_empty());
        let optional = |column: Option<usize>| column.and_then(filled).map(ToString::to_string);
        let required = |column: usize, name, expected| {
            let field = filled(column).map(ToString::to_string);
            field.ok_or_else(|| columns.field_error(number, name, expected, ""))
        };
        let file = required(columns.file, "file", "the image's path within the folder")?;
        let site =
            columns.site.map(|column| required(column, "site", "the site's name")).transpose()?;
        let group = match columns.group {
            Some((name, column)) => required(column, name, "the patient's or volume's name")?,
            None => file.clone(),
        };
        let split = match columns.split {
            None => None,
            Some(column) => Some(match record.get(column).unwrap_or_default() {
                "train" => Split::Train,
                "val" | "validation" => Split::Validation,
                "test" => Split::Test,
                other => {
                    let expected = "train, val, validation or test";
                    return Err(columns.field_error(number, "split", expected, other));
                }
            }),
        };
        let slice = optional(columns.slice).map(|field| {
            let expected = "a slice's number, from 0";
            field.parse().map_err(|_| columns.field_error(number, "slice", expected, &field))
        });
        Ok(Self {
            number,
            slice: slice.transpose()?,
            mask: optional(columns.mask),
            label: optional(columns.label),
            label_name: optional(columns.label_name),
            item: Item { site, group, split, label: None },
            file,
        })
    }
}

fn check_straddling(columns: &Columns, lines: &[Line]) -> Result<(), DataError> {
    let mut splits = BTreeMap::new();
    for Line { item, .. } in lines {
        let Some(split) = item.split else { continue };
        let first = *splits.entry((&item.site, &item.group)).or_insert(split);
        if first != split {
            return Err(DataError::Straddle {
                path: columns.path.clone(),
                column: columns.group.map_or("file", |(name, _)| name),
                group: item.group.clone(),
                site: item.site.clone().unwrap_or_default(),
                first: first.name(),
                second: split.name(),
            });
        }
    }
    Ok(())
}

/// The classes' names, and which label means which.
struct Classes {
    names: Vec<String>,
    numbers: BTreeMap<String, u32>,
}

impl Classes {
    /// The study's classes if it names them (see [`DataOptions::classes`]), else those of the
    /// table: numbers in their order, other labels in the alphabet's.
    fn of(lines: &[Line], named: &[String]) -> Self {
        let labels: BTreeSet<&str> =
            lines.iter().filter_map(|line| line.label.as_deref()).collect();
        let mut labels: Vec<&str> = labels.into_iter().collect();
        // A stable sort by number leaves the alphabet's order where there is none.
        labels.sort_by_key(|label| label.parse::<u32>().unwrap_or(u32::MAX));
        let name = |label: &str| {
            let line = lines.iter().find(|line| line.label.as_deref() == Some(label));
            line.and_then(|line| line.label_name.clone()).unwrap_or_else(|| label.to_string())
        };
        let names: Vec<String> = if named.is_empty() {
            labels.iter().map(|label| name(label)).collect()
        } else {
            named.to_vec()
        };
        let mut numbers = BTreeMap::new();
        for (index, label) in labels.iter().enumerate() {
            let number = if named.is_empty() {
                Some(index)
            } else {
                class_number(named, &name(label), label)
            };
            if let Some(number) = number.and_then(|number| u32::try_from(number).ok()) {
                numbers.insert((*label).to_string(), number);
            }
        }
        Self { names, numbers }
    }

    fn number(&self, columns: &Columns, line: &Line) -> Result<Option<u32>, DataError> {
        let Some(label) = &line.label else { return Ok(None) };
        let number = self.numbers.get(label).copied();
        let refuse =
            || columns.field_error(line.number, "label", "one of the study's classes", label);
        number.map(Some).ok_or_else(refuse)
    }
}
