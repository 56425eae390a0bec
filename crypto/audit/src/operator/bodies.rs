//! All stored bodies and sums, looked at: each alone, and each beside those of its round.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use ringfence_crypto::ring::packing::Packing;
use serde::Serialize;

use super::OperatorError;
use super::folder::{Extract, ExtractFile};
use super::rows::Rows;
use super::uniform::{self, ALARM_BITS, MOST_BYTES, Statistic};

/// Bodies of a round of which each pair is compared; of more each with the next one.
const ALL_PAIRS: usize = 16;

/// A test that uniform residues do not fail.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NotUniform {
    /// Which body, or which two.
    pub body: String,
    /// The test.
    #[serde(flatten)]
    pub statistic: Statistic,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Bodies {
    /// Bodies and sums that were tested.
    pub tested: u64,
    /// Pairs whose difference was tested.
    pub pairs: u64,
    /// Tests in all: each fails by chance once in two to the power of `alarm_bits`.
    pub tests: u64,
    /// See above.
    pub alarm_bits: u32,
    /// Bodies of no study in the extract, or too short to tell anything of.
    pub not_tested: Vec<String>,
    /// Pairs that are the same, byte by byte.
    pub equal: Vec<String>,
    /// Tests that failed.
    pub not_uniform: Vec<NotUniform>,
}

/// A body's beginning.
struct Body {
    name: String,
    site: String,
    bytes: Vec<u8>,
}

impl Bodies {
    /// Looks at all of them.
    pub(super) fn look(extract: &Extract, rows: &Rows) -> Result<Self, OperatorError> {
        let mut bodies = Self { alarm_bits: ALARM_BITS, ..Self::default() };
        let mut rounds: BTreeMap<(String, u64), Vec<Source<'_>>> = BTreeMap::new();
        for small in &rows.small {
            let (study, round) = &small.round;
            let name = format!("round {round}, {} (table small, study {study})", small.site);
            let source = Source::Row(name, &small.site, &small.body);
            rounds.entry(small.round.clone()).or_default().push(source);
        }
        for kind in ["bodies", "sum"] {
            for file in extract.of(kind) {
                let mut parts = file.name.split('/').skip(2);
                let (Some(study), Some(round)) = (parts.next(), parts.next()) else { continue };
                let Ok(round) = round.parse() else { continue };
                let of_round = rounds.entry((study.to_owned(), round)).or_default();
                of_round.push(Source::File(file));
            }
        }
        // The bodies of the same sites in the round before.
        let mut before: (String, Vec<Body>) = Default::default();
        for ((study, _), sources) in &rounds {
            let packings = rows.packing_of.get(study).map(Vec::as_slice).unwrap_or_default();
            let few = sources.len() <= ALL_PAIRS;
            let mut held: Vec<Body> = Vec::new();
            for source in sources {
                let body = source.read(extract)?;
                bodies.alone(&body, packings);
                held.iter().for_each(|other| bodies.pair(other, &body, packings));
                if before.0 == *study {
                    let same = before.1.iter().filter(|other| other.site == body.site);
                    same.for_each(|other| bodies.pair(other, &body, packings));
                }
                if !few {
                    held.clear();
                }
                held.push(body);
            }
            let kept = if few { held } else { Vec::new() };
            before = (study.clone(), kept);
        }
        Ok(bodies)
    }

    /// Whether anything is not as it should be.
    pub fn is_suspect(&self) -> bool {
        !self.not_uniform.is_empty() || !self.equal.is_empty()
    }

    fn alone(&mut self, body: &Body, packings: &[Packing]) {
        let tests = |bits| uniform::of_body(&body.bytes, bits);
        match self.judge(|| body.name.clone(), packings, tests) {
            true => self.tested += 1,
            false => self.not_tested.push(body.name.clone()),
        }
    }

    fn pair(&mut self, one: &Body, other: &Body, packings: &[Packing]) {
        let name = || format!("{} and {}", one.name, other.name);
        if one.bytes == other.bytes && !one.bytes.is_empty() {
            self.equal.push(name());
        } else if self
            .judge(name, packings, |bits| uniform::of_difference(&one.bytes, &other.bytes, bits))
        {
            self.pairs += 1;
        }
    }

    /// Whether there was anything to test, in any of the study's wire words.
    fn judge(
        &mut self,
        name: impl Fn() -> String,
        packings: &[Packing],
        tests: impl Fn(u8) -> Vec<Statistic>,
    ) -> bool {
        let mut widths: Vec<u8> = packings.iter().map(|packing| packing.wire_bits).collect();
        widths.sort_unstable();
        widths.dedup();
        let before = self.tests;
        for statistic in widths.into_iter().flat_map(tests) {
            self.tests += 1;
            if !statistic.is_uniform() {
                self.not_uniform.push(NotUniform { body: name(), statistic });
            }
        }
        self.tests > before
    }
}

/// Where a body is.
enum Source<'a> {
    Row(String, &'a str, &'a [u8]),
    File(&'a ExtractFile),
}

impl Source<'_> {
    fn read(&self, extract: &Extract) -> Result<Body, OperatorError> {
        match self {
            Self::Row(name, site, bytes) => Ok(Body {
                name: name.clone(),
                site: (*site).to_owned(),
                bytes: bytes.get(..MOST_BYTES).unwrap_or(bytes).to_vec(),
            }),
            Self::File(file) => {
                let path = extract.path(file);
                let open = File::open(&path).map_err(OperatorError::read(&path))?;
                let mut bytes = Vec::new();
                let mut beginning = open.take(MOST_BYTES as u64);
                beginning.read_to_end(&mut bytes).map_err(OperatorError::read(&path))?;
                let site = file.name.rsplit('/').next().unwrap_or_default().to_owned();
                Ok(Body { name: file.name.clone(), site, bytes })
            }
        }
    }
}
