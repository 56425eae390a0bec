//! The sums, added up once more from the bodies.
//!
//! All bodies of a round are read side by side, window after window, so that memory does not grow with
//! them: of each window the words are added, and of each body the hashes of its windows are kept, which
//! lead to its digest.

use std::collections::BTreeSet;
use std::io;

use rand::seq::index::sample;
use rand::{Rng, SeedableRng};
use ringfence_crypto::Digest;
use ringfence_crypto::evidence::RoundSummary;
use ringfence_crypto::hash_ranges::HashRanges;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::ring::words::WordSum;

use crate::audit::Options;
use crate::folder::Folder;
use crate::progress::{Progress, Step};
use crate::report::{Line, Subject, Verdict};
use crate::rounds::Kept;

/// About so many bytes of each body are held at a time.
const WINDOW: u64 = 8 << 20;

/// Why a sum is not proven.
type Lack = (Verdict, String);

/// What is added up: the files, and how they are divided.
struct Adding<'a> {
    folder: Folder<'a>,
    kept: &'a Kept,
    /// Whose bodies, each with the digest that its site signed.
    set: Vec<(&'a SiteId, Digest)>,
    ranges: HashRanges,
    wire_bits: u8,
}

/// Checks the sum of a round against the bodies of its set.
pub(crate) fn check_sum(
    folder: Folder<'_>,
    (kept, summary): (&Kept, &RoundSummary),
    options: &Options,
    progress: Progress<'_>,
) -> Option<Line> {
    let expected = summary.sum?;
    let line = |(verdict, words): Lack| Line::new(Subject::Sum, verdict, words);
    let set = summary.included.iter();
    let set: Option<Vec<_>> =
        set.map(|site| Some((site, kept.bodies.get(site).map(|(_, body)| *body)?))).collect();
    let Some(set) = set else {
        let words = "A contribution of the set has no header in the file.".to_owned();
        return Some(line((Verdict::Missing, words)));
    };
    Some(match added(folder, (kept, set), expected, options, progress) {
        Ok(words) => Line::new(Subject::Sum, Verdict::Proven, words),
        Err(lack) => line(lack),
    })
}

fn added(
    folder: Folder<'_>,
    (kept, set): (&Kept, Vec<(&SiteId, Digest)>),
    expected: Digest,
    options: &Options,
    progress: Progress<'_>,
) -> Result<String, Lack> {
    let whole = kept.study.body_bytes().map_err(|error| (Verdict::False, error.to_string()))?;
    let wire_bits = kept.study.packing.wire_bits;
    // Whole groups of words, and whole chunks of the hash.
    let unit = 1024 * u64::from(wire_bits);
    let window = match options.sample {
        Some(_) => unit,
        None => unit * (WINDOW / unit).max(1),
    };
    let ranges = HashRanges::new(whole, window);
    let ranges = ranges.map_err(|error| (Verdict::False, error.to_string()))?;
    let gone = folder.gone(kept.round).map_err(|error| (Verdict::False, error.to_string()))?;
    let mut absent = Vec::new();
    for (site, _) in &set {
        let path = Folder::body(kept.round, site);
        match folder.0.length(&path) {
            Ok(Some(_)) => {}
            Ok(None) => absent.push(*site),
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    if let Some(first) = absent.first() {
        return Err(without(absent.len(), set.len(), first, gone));
    }
    let adding = Adding { folder, kept, set, ranges, wire_bits };
    match options.sample {
        Some(units) => adding.sampled((units, options.seed), expected, progress),
        None => adding.whole(expected, progress),
    }
}

/// What is said where bodies are not in the folder. A server deletes all of a round, and says so without
/// a signature: its words are a stranger's, and are not repeated.
fn without(absent: usize, of: usize, first: &SiteId, gone: bool) -> Lack {
    match gone && absent == of {
        true => (
            Verdict::Gone,
            format!(
                "None of the {of} bodies is here, and the folder says, in a note that nobody signed, that the time for which the operator keeps them was over: they cannot be added up any more. What they were stays signed: {of} digests in the sites' headers."
            ),
        ),
        false => (
            Verdict::Missing,
            format!(
                "{absent} of {of} bodies of the set are not in this folder, the first of them that of {first}: the sum was not added up again."
            ),
        ),
    }
}

impl Adding<'_> {
    /// All of it.
    fn whole(&self, expected: Digest, progress: Progress<'_>) -> Result<String, Lack> {
        let every: BTreeSet<u64> = (0..self.ranges.count()).collect();
        let sum = self.add(&every, |_, _| Ok(()), progress)?;
        self.other_bodies()?;
        if sum != Some(expected) {
            return Err((
                Verdict::False,
                format!(
                    "The {} bodies of the set have the digests that their sites signed, and their sum is another one than the closing names ({expected}): the aggregator signed a false sum.",
                    self.set.len()
                ),
            ));
        }
        self.stated_sum(expected)?;
        Ok(format!(
            "All {} bodies of the set have the digests that their sites signed, and added up once more they give the sum that the closing names, to the last bit.",
            self.set.len()
        ))
    }

    /// So many units, chosen at random, of the sum that is in the folder.
    fn sampled(
        &self,
        (units, seed): (u32, Option<u64>),
        expected: Digest,
        progress: Progress<'_>,
    ) -> Result<String, Lack> {
        let count = self.ranges.count();
        let all = usize::try_from(count).unwrap_or(usize::MAX);
        let taken = usize::try_from(units).unwrap_or(usize::MAX).clamp(1, all.max(1));
        let mut rng = random(seed);
        let chosen: BTreeSet<u64> =
            sample(&mut rng, all, taken).iter().map(|at| at as u64).collect();
        let path = Folder::sum(self.kept.round);
        if !self.stated_sum(expected)? {
            let words = "The sum is not in this folder: parts of it cannot be compared.";
            return Err((Verdict::Missing, words.to_owned()));
        }
        self.other_bodies()?;
        let compared = |index, added: &[u8]| {
            let range = self.ranges.bytes(index);
            let mut stated = Vec::new();
            self.read(&path, index, &mut stated)?;
            match added == stated {
                true => Ok(()),
                false => Err((
                    Verdict::False,
                    format!(
                        "Bytes {} to {} of the sum are not the sum of the bodies: the aggregator signed a false sum.",
                        range.start, range.end
                    ),
                )),
            }
        };
        self.add(&chosen, compared, progress)?;
        let found = |fraction: f64| 100.0 * (1.0 - (1.0 - fraction).powi(taken as i32));
        Ok(format!(
            "All {} bodies of the set and the sum have the digests that were signed. {taken} of {count} parts of {} bytes, chosen at random, are the sum of the bodies' parts. A sum that is false in 1 % of its parts would have been found with {:.1} %, in 10 % with {:.1} %, in a single part with {:.1} %.",
            self.set.len(),
            self.ranges.bytes(0).end,
            found(0.01),
            found(0.1),
            100.0 * taken as f64 / count.max(1) as f64
        ))
    }

    /// Reads every body once, and adds these windows up. `each` is shown the sum of each of them.
    /// Answers with the digest of the sum where they are all.
    fn add(
        &self,
        windows: &BTreeSet<u64>,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), Lack>,
        progress: Progress<'_>,
    ) -> Result<Option<Digest>, Lack> {
        let mut hashes: Vec<Vec<_>> = vec![Vec::new(); self.set.len()];
        let mut of_sum = Vec::new();
        let (mut bytes, mut files) = (Vec::new(), Vec::new());
        for (site, _) in &self.set {
            let path = Folder::body(self.kept.round, site);
            let whole = self.length();
            match self.folder.0.length(&path).map_err(|error| unreadable(&path, &error))? {
                Some(length) if length == whole => {}
                other => {
                    let length = other.unwrap_or(0);
                    return Err((
                        Verdict::False,
                        format!("The body of {site} has {length} bytes, expected {whole}."),
                    ));
                }
            }
            files.push(path);
        }
        for index in 0..self.ranges.count() {
            let range = self.ranges.bytes(index);
            let length = range.end - range.start;
            let bytes_of_it = usize::try_from(length).unwrap_or(usize::MAX);
            let sum = windows.contains(&index).then(|| WordSum::new(self.wire_bits, bytes_of_it));
            let sum = sum.transpose().map_err(|error| (Verdict::False, error.to_string()));
            let mut sum = sum?;
            for (place, (path, hashes)) in files.iter().zip(&mut hashes).enumerate() {
                self.read(path, index, &mut bytes)?;
                let done = range.start.saturating_mul(files.len() as u64)
                    + length.saturating_mul(place as u64);
                let of = self.length().saturating_mul(files.len() as u64);
                progress(Step::Sum { round: self.kept.round, done, of });
                let mut hasher = self.ranges.hasher(index);
                hasher.update(&bytes);
                hashes.extend(hasher.finish().unwrap_or_default());
                if let Some(sum) = &mut sum {
                    sum.add(&bytes).map_err(|error| (Verdict::False, error.to_string()))?;
                }
            }
            if let Some(sum) = sum {
                let sum = sum.finish();
                each(index, &sum)?;
                let mut hasher = self.ranges.hasher(index);
                hasher.update(&sum);
                of_sum.extend(hasher.finish().unwrap_or_default());
            }
        }
        for ((site, signed), hashes) in self.set.iter().zip(hashes) {
            if self.ranges.root(hashes) != Some(*signed) {
                return Err(altered(site, *signed));
            }
        }
        Ok(self.ranges.root(of_sum))
    }

    /// Whether there is a sum in the folder: it has the digest that the closing names.
    fn stated_sum(&self, expected: Digest) -> Result<bool, Lack> {
        match self.hash(&Folder::sum(self.kept.round))? {
            None => Ok(false),
            Some(Some(got)) if got == expected => Ok(true),
            Some(_) => Err((
                Verdict::False,
                format!(
                    "The sum in this folder has not the digest {expected} that the closing names: it was altered."
                ),
            )),
        }
    }

    /// Bodies that are in the folder and not in the set have the digests that were signed, too.
    fn other_bodies(&self) -> Result<(), Lack> {
        let in_set: BTreeSet<&SiteId> = self.set.iter().map(|(site, _)| *site).collect();
        let others = self.kept.bodies.iter().filter(|(site, _)| !in_set.contains(site));
        for (site, (_, signed)) in others {
            let hash = self.hash(&Folder::body(self.kept.round, site))?;
            if hash.is_some_and(|got| got != Some(*signed)) {
                return Err(altered(site, *signed));
            }
        }
        Ok(())
    }

    /// The digest of a file, window after window; no digest of one that is not as long as a body, and
    /// nothing where there is no file.
    fn hash(&self, path: &str) -> Result<Option<Option<Digest>>, Lack> {
        let length = self.folder.0.length(path).map_err(|error| unreadable(path, &error))?;
        let Some(length) = length else { return Ok(None) };
        if length != self.length() {
            return Ok(Some(None));
        }
        let (mut hashes, mut bytes) = (Vec::new(), Vec::new());
        for index in 0..self.ranges.count() {
            self.read(path, index, &mut bytes)?;
            let mut hasher = self.ranges.hasher(index);
            hasher.update(&bytes);
            hashes.extend(hasher.finish().unwrap_or_default());
        }
        Ok(Some(self.ranges.root(hashes)))
    }

    /// A window of a file.
    fn read(&self, path: &str, index: u64, into: &mut Vec<u8>) -> Result<(), Lack> {
        let range = self.ranges.bytes(index);
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let read = self.folder.0.read(path, range.start, length, into);
        read.map_err(|error| unreadable(path, &error))
    }

    /// Bytes of every body.
    fn length(&self) -> u64 {
        self.ranges.bytes(self.ranges.count() - 1).end
    }
}

fn altered(site: &SiteId, signed: Digest) -> Lack {
    let words = format!(
        "The body of {site} in this folder has not the digest {signed} that {site} signed: it was altered."
    );
    (Verdict::False, words)
}

/// Randomness that whoever made the export could not know.
fn random(seed: Option<u64>) -> impl Rng {
    match seed {
        Some(seed) => rand::rngs::ChaCha20Rng::seed_from_u64(seed),
        None => rand::make_rng(),
    }
}

fn unreadable(path: &str, error: &io::Error) -> Lack {
    (Verdict::False, format!("{path} cannot be read: {error}."))
}
