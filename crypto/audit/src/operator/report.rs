//! What came out.

use std::fmt::Write as _;

use ringfence_crypto::held::{ExtractList, Held, Place};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::bodies::Bodies;
use super::search::Search;
use crate::text::shown;

/// All that is held of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What it is.
    pub held: Held,
    /// Rows or files.
    pub count: u64,
    /// Their bytes, of rows as they stand in the extract.
    pub bytes: u64,
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Held { kind, place, what, of_updates, says } = self.held;
        let place = match place {
            Place::Table => "table",
            Place::Files => "files",
            Place::Beside => "beside",
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", kind)?;
        map.serialize_entry("place", place)?;
        map.serialize_entry("what", what)?;
        map.serialize_entry("count", &self.count)?;
        map.serialize_entry("bytes", &self.bytes)?;
        map.serialize_entry("of_updates", of_updates.name())?;
        map.serialize_entry("says", says)?;
        map.end()
    }
}

/// What root can extract, and what of it says anything about an update.
#[derive(Clone, Debug, Serialize)]
pub struct OperatorReport {
    /// What made it.
    pub program: String,
    /// What the extract says of itself.
    pub list: ExtractList,
    /// Everything that is known.
    pub items: Vec<Item>,
    /// Everything that is not: files, tables' rows.
    pub unknown: Vec<String>,
    /// Folders of the extract in which less lies, or more, than was taken.
    pub altered: Vec<String>,
    /// Whether stored bodies look like noise.
    pub bodies: Bodies,
    /// Where updates were found; none where none were looked for.
    pub search: Option<Search>,
}

impl OperatorReport {
    /// What it ends with: 1 where something of an update is to be read, or a body is not what a mask
    /// makes; 3 where something is held that the list does not know, or is not as it was taken; 0
    /// otherwise.
    pub fn exit_code(&self) -> u8 {
        let found = self.search.as_ref().is_some_and(|search| !search.found.is_empty());
        if found || self.bodies.is_suspect() {
            1
        } else if !self.unknown.is_empty() || !self.altered.is_empty() {
            ringfence_exit::INCOMPLETE
        } else {
            0
        }
    }
}

/// The report as text, for a terminal.
pub fn operator_text(report: &OperatorReport) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &OperatorReport, out: &mut String) -> std::fmt::Result {
    writeln!(out, "{}, over an extract by {}", report.program, shown(&report.list.program))?;
    writeln!(out, "{}\n", conclusion(report))?;
    let heads = [
        (Place::Table, "In the database"),
        (Place::Files, "In files"),
        (Place::Beside, "Beside that"),
    ];
    for (place, head) in heads {
        let items: Vec<_> = report.items.iter().filter(|item| item.held.place == place).collect();
        if items.is_empty() {
            continue;
        }
        writeln!(out, "{head}:")?;
        for Item { held, count, bytes } in items {
            let Held { kind, what, says, .. } = held;
            writeln!(out, "  {kind:<22} {count:>7} of {bytes:>11} bytes  {what}.")?;
            writeln!(out, "  {:<22} Of an update it says: {says}.", "")?;
        }
        writeln!(out)?;
    }
    for unknown in &report.unknown {
        writeln!(out, "NOT KNOWN  {}", shown(unknown))?;
    }
    for altered in &report.altered {
        writeln!(out, "NOT AS TAKEN  {}", shown(altered))?;
    }
    for named in &report.list.named {
        let (kind, path) = (shown(&named.kind), shown(&named.path));
        writeln!(out, "named, not copied: {kind}, {path}, {} bytes", named.bytes)?;
    }
    match &report.list.memory {
        Some(memory) => writeln!(
            out,
            "memory of process {}: {} bytes in {} ranges; {} that the kernel keeps were not read",
            memory.process,
            memory.bytes,
            memory.ranges,
            memory.not_read.len()
        )?,
        None => writeln!(out, "memory: not in this extract (`extract --process`)")?,
    }
    writeln!(out)?;
    write_bodies(&report.bodies, out)?;
    match &report.search {
        Some(search) => write_search(search, out),
        None => writeln!(out, "updates: none were looked for (--canary FILE)"),
    }
}

fn write_bodies(bodies: &Bodies, out: &mut String) -> std::fmt::Result {
    let Bodies { tested, pairs, tests, alarm_bits, .. } = bodies;
    writeln!(
        out,
        "bodies: {tested} bodies and sums and {pairs} differences of two, {tests} tests that uniform residues fail once in 2^{alarm_bits} each"
    )?;
    for body in &bodies.not_tested {
        writeln!(out, "  not tested, of no study here or too short: {}", shown(body))?;
    }
    for pair in &bodies.equal {
        writeln!(out, "  THE SAME: {}", shown(pair))?;
    }
    for failed in &bodies.not_uniform {
        let s = &failed.statistic;
        let (name, body) = (s.test, shown(&failed.body));
        writeln!(out, "  NOT UNIFORM: {body}: {name} {:.1}, at most {:.1}", s.value, s.limit)?;
    }
    Ok(())
}

fn write_search(search: &Search, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "updates: {} looked for in {} bytes, and their sums; a false alarm has a chance of 2^{:.0}",
        search.updates.len(),
        search.bytes,
        search.log2_false_alarm
    )?;
    for found in &search.found {
        writeln!(
            out,
            "  FOUND {} in {}, {}, about byte {}",
            shown(&found.canary),
            shown(&found.file),
            found.encoding,
            found.at
        )?;
    }
    Ok(())
}

/// What it comes to, in a sentence or two.
fn conclusion(report: &OperatorReport) -> String {
    let found = report.search.as_ref().map_or(0, |search| search.found.len());
    if found > 0 {
        return format!("{found} places show values of an update in the clear.");
    }
    if report.bodies.is_suspect() {
        return "Stored bodies are not what a mask makes of an update: see below.".to_owned();
    }
    if !report.unknown.is_empty() {
        return match report.unknown.len() {
            1 => "One thing is held that this program does not know: see below.".to_owned(),
            more => format!("{more} things are held that this program does not know: see below."),
        };
    }
    if !report.altered.is_empty() {
        return "This is not all that was taken, or more than it: see below; take a new extract."
            .to_owned();
    }
    let searched = match &report.search {
        Some(_) => "none of the updates that were looked for is there in the clear",
        None => "no update was looked for",
    };
    let bodies = match report.bodies.tested {
        0 => "no body is there to test",
        _ => "stored bodies look like noise",
    };
    format!("Everything that is held is listed; {bodies}; {searched}.")
}
