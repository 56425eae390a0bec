//! Looking for updates in every byte of an extract, on all cores.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;

use ringfence_crypto::ring::words::GROUP;
use serde::Serialize;

use super::OperatorError;
use super::canary::{Canary, LONGEST, SIGNS};
use super::folder::Extract;
use super::rows::Rows;
use super::scan::{Found, Scanner};

/// Bytes that are looked at together.
const PART: u64 = 4 << 20;

/// Something of an update, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundIn {
    /// The file, or the body in a table.
    pub file: String,
    /// An update, or a sum.
    pub canary: String,
    /// How it is encoded there.
    pub encoding: String,
    /// Where about, in bytes from the file's beginning.
    pub at: u64,
    /// The place in the update of the value that was seen last.
    pub value: u32,
}

/// What came out of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Search {
    /// The updates that were looked for.
    pub updates: Vec<String>,
    /// Bytes that were looked at.
    pub bytes: u64,
    /// The binary logarithm of the chance that anything is found where nothing is, for updates whose
    /// steps up and down are as random as a coin.
    pub log2_false_alarm: f64,
    /// What was found.
    pub found: Vec<FoundIn>,
}

/// A part of a file.
struct Job<'a> {
    name: &'a str,
    path: PathBuf,
    start: u64,
    /// Whether it is a body: its wire words are looked at, too.
    body: bool,
    length: u64,
}

impl Search {
    /// Looks through everything.
    pub(super) fn run(
        extract: &Extract,
        rows: &Rows,
        scanner: &Scanner,
        canaries: &[Canary],
    ) -> Result<Self, OperatorError> {
        let mut search =
            Self { updates: canaries.iter().map(|c| c.name.clone()).collect(), ..Self::default() };
        for small in &rows.small {
            let name = format!("round {}, {} (table small)", small.round.1, small.site);
            search.bytes += small.body.len() as u64;
            search.add(&name, 0, scanner.scan(&small.body));
            search.add(&name, 0, scanner.scan_body(&small.body));
        }
        let widths: Vec<u64> =
            rows.packings().iter().map(|packing| u64::from(packing.wire_bits)).collect();
        // Whole groups of whatever width: parts of a body begin with one.
        let group =
            widths.iter().fold(GROUP as u64 / 8, |all, width| all / gcd(all, *width) * width);
        let of_body = (PART / group).max(1) * group;
        let mut jobs = Vec::new();
        for file in &extract.files {
            search.bytes += file.bytes;
            let body = matches!(file.kind, Some("bodies" | "sum" | "parts" | "adding"));
            let length = if body { of_body } else { PART };
            let path = extract.path(file);
            let starts = (0..file.bytes.max(1)).step_by(usize::try_from(length).unwrap_or(1));
            jobs.extend(starts.map(|start| Job {
                name: &file.name,
                path: path.clone(),
                start,
                body,
                length,
            }));
        }
        let jobs = Mutex::new(jobs.into_iter());
        let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
        let found = Mutex::new(Vec::new());
        let work = || -> Result<(), OperatorError> {
            while let Some(job) = next() {
                let of_job = job.look(scanner)?;
                if !of_job.is_empty() {
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.push((job.name, job.start, of_job));
                }
            }
            Ok(())
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| match worker.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by_key(|(name, start, _)| (*name, *start));
        found.into_iter().for_each(|(name, start, found)| search.add(name, start, found));
        search.log2_false_alarm = scanner.comparisons(search.bytes).log2() - SIGNS as f64;
        Ok(search)
    }

    /// Each kind of what a file holds once.
    fn add(&mut self, file: &str, start: u64, found: Vec<Found>) {
        for Found { canary, encoding, at, value } in found {
            let is_known = |known: &FoundIn| {
                known.file == file && known.canary == canary && known.encoding == encoding
            };
            if !self.found.iter().any(is_known) {
                let (file, at) = (file.to_owned(), start + at);
                self.found.push(FoundIn { file, canary, encoding, at, value });
            }
        }
    }
}

impl Job<'_> {
    fn look(&self, scanner: &Scanner) -> Result<Vec<Found>, OperatorError> {
        let failed = || OperatorError::read(&self.path);
        let mut file = File::open(&self.path).map_err(failed())?;
        file.seek(SeekFrom::Start(self.start)).map_err(failed())?;
        let mut bytes = Vec::new();
        // What lies across a border is whole in one of the parts.
        let part = file.take(self.length + LONGEST as u64).read_to_end(&mut bytes);
        part.map_err(failed())?;
        let mut found = scanner.scan(&bytes);
        if self.body {
            let own = usize::try_from(self.length).unwrap_or(usize::MAX).min(bytes.len());
            found.extend(scanner.scan_body(bytes.get(..own).unwrap_or_default()));
        }
        Ok(found)
    }
}

fn gcd(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { gcd(other, one % other) }
}
