//! The tables of an extract, row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use ringfence_crypto::held::{self, Place};
use ringfence_crypto::ring::packing::{Packing, WIRE_BITS};
use serde_json::Value;

use super::OperatorError;
use super::folder::Extract;

/// Bytes of a row at most.
const MAX_ROW: u64 = 64 << 20;

/// Tables whose rows state how a study packs values.
const STUDIES: [&str; 4] = ["studies", "epochs", "drafts", "proposals"];

/// A body that lies in a table.
#[derive(Debug)]
pub(super) struct SmallBody {
    pub(super) round: (String, u64),
    pub(super) site: String,
    pub(super) body: Vec<u8>,
}

/// What the tables hold.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Of each kind: how many rows, and their bytes as they stand in the extract.
    pub(super) counts: BTreeMap<String, (u64, u64)>,
    /// How studies pack values, by study.
    pub(super) packing_of: BTreeMap<String, Vec<Packing>>,
    /// Bodies in the table of small contributions.
    pub(super) small: Vec<SmallBody>,
    /// Kinds that the list does not know.
    pub(super) unknown: BTreeSet<String>,
}

impl Rows {
    pub(super) fn read(extract: &Extract) -> Result<Self, OperatorError> {
        let mut rows = Self::default();
        let tables = extract.files.iter().filter_map(|file| Some((file, held::of(file.kind?)?)));
        for (file, table) in tables.filter(|(_, held)| held.place == Place::Table) {
            let path = extract.path(file);
            let open = File::open(&path).map_err(OperatorError::read(&path))?;
            let mut reader = BufReader::new(open);
            rows.counts.insert(table.kind.to_owned(), (0, 0));
            for line in 1.. {
                let mut row = Vec::new();
                let mut bounded = (&mut reader).take(MAX_ROW);
                bounded.read_until(b'\n', &mut row).map_err(OperatorError::read(&path))?;
                if row.is_empty() {
                    break;
                }
                let wrong = || OperatorError::Row { path: path.clone(), line };
                let value: Value = serde_json::from_slice(&row).map_err(|_| wrong())?;
                rows.take(table.kind, row.len() as u64, &value).ok_or_else(wrong)?;
            }
        }
        Ok(rows)
    }

    /// All packings.
    pub(super) fn packings(&self) -> Vec<Packing> {
        let mut packings: Vec<Packing> = Vec::new();
        for packing in self.packing_of.values().flatten() {
            if !packings.contains(packing) {
                packings.push(*packing);
            }
        }
        packings
    }

    /// Takes note of a row; none where it is no row of its table.
    fn take(&mut self, table: &str, bytes: u64, row: &Value) -> Option<()> {
        let row = row.as_object()?;
        let text = |column: &str| row.get(column).and_then(Value::as_str);
        self.count(table, bytes);
        if table == "events" {
            let event: Value = serde_json::from_str(text("event")?).ok()?;
            let kind = format!("events: {}", event.as_object()?.keys().next()?);
            match held::of(&kind) {
                Some(_) => self.count(&kind, bytes),
                None => _ = self.unknown.insert(kind),
            }
        }
        if STUDIES.contains(&table) {
            let file: Value = serde_json::from_str(text("file")?).ok()?;
            let known = self.packing_of.entry(text("study")?.to_owned()).or_default();
            packings(&file, known);
        }
        if table == "small" && !row.get("body")?.is_null() {
            let body = bytes_of(row.get("body")?)?;
            let round = (text("study")?.to_owned(), row.get("round")?.as_u64()?);
            self.small.push(SmallBody { round, site: text("site")?.to_owned(), body });
        }
        Some(())
    }

    fn count(&mut self, kind: &str, bytes: u64) {
        let (count, sum) = self.counts.entry(kind.to_owned()).or_default();
        *count += 1;
        *sum += bytes;
    }
}

/// Whatever is called a packing in a study file or an epoch's.
fn packings(value: &Value, known: &mut Vec<Packing>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (name == "packing").then(|| packing(field)).flatten() {
                    Some(packing) if !known.contains(&packing) => known.push(packing),
                    Some(_) => {}
                    None => packings(field, known),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| packings(item, known)),
        _ => {}
    }
}

/// A packing whose numbers stay in range, whatever else is wrong with it.
fn packing(value: &Value) -> Option<Packing> {
    let packing: Packing = serde_json::from_value(value.clone()).ok()?;
    let Packing { slot_bits, slots, delta_bits, wire_bits, .. } = packing;
    let used = u32::from(slots) * u32::from(slot_bits) + u32::from(delta_bits);
    (WIRE_BITS.contains(&wire_bits) && slots > 0 && used <= 64).then_some(packing)
}

/// A column of bytes: as text, or as hexadecimal digits.
fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    if let Some(text) = value.as_str() {
        return Some(text.as_bytes().to_vec());
    }
    let digits = value.get("hex")?.as_str()?.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let of_pair = |[high, low]: &[u8; 2]| Some((digit(high)? << 4 | digit(low)?) as u8);
    rest.is_empty().then(|| pairs.iter().map(of_pair).collect())?
}
