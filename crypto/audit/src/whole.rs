//! The whole log: one history that all files are of, and nothing in it that no file shows.

use std::collections::BTreeSet;

use ringfence_crypto::evidence::Verifier;
use ringfence_crypto::log::{
    Checkpoint, CheckpointText, InclusionProof, LogEntry, SignedNote, StudyLog,
};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Epoch, RoundKeys};

use crate::folder::Folder;
use crate::report::{Line, Subject, Verdict};
use crate::rounds::Rounds;

/// The log as the folder has it: its signed state, and all of its entries.
#[derive(Debug, Default)]
pub(crate) struct WholeLog {
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The note that says so.
    note: String,
    log: StudyLog,
    entries: Vec<LogEntry>,
    /// Why it is not whole.
    lacks: Option<(Verdict, String)>,
}

impl WholeLog {
    /// Reads checkpoint and entries, and holds one against the other.
    pub(crate) fn read(folder: Folder<'_>, verifier: &Verifier) -> Self {
        let mut whole = Self::default();
        match signed(folder, verifier) {
            Ok((checkpoint, note)) => {
                (whole.checkpoint, whole.note) = (Some(checkpoint), note.to_string());
            }
            Err(lacks) => whole.lacks = Some(lacks),
        }
        match entries(folder) {
            Ok(entries) => {
                whole.log = entries.iter().copied().collect();
                whole.entries = entries;
            }
            Err(lacks) => {
                whole.lacks.get_or_insert(lacks);
            }
        }
        if let (Some(checkpoint), None) = (whole.checkpoint, &whole.lacks) {
            let got = whole.log.checkpoint();
            if got != checkpoint {
                let words = format!(
                    "The entries make a log of {got}, and the aggregator signed {checkpoint}: entries were altered, or another log was signed."
                );
                whole.lacks = Some((Verdict::False, words));
            }
        }
        whole
    }

    /// Why it is not the whole log that the aggregator signed, if it is not.
    pub(crate) fn why_not(&self) -> Option<&str> {
        self.lacks.as_ref().map(|(_, words)| words.as_str())
    }

    /// Whether it is not the whole log that the aggregator signed.
    pub(crate) fn lacks(&self) -> bool {
        self.lacks.is_some()
    }

    /// The signed checkpoint.
    pub(crate) fn note(&self) -> &str {
        &self.note
    }

    /// How many leaves it has.
    pub(crate) fn size(&self) -> u64 {
        self.log.size()
    }

    /// Its state when it had so many leaves; none where it has fewer.
    pub(crate) fn at(&self, size: u64) -> Option<Checkpoint> {
        self.log.checkpoint_at(size).ok()
    }

    /// Every leaf's place and entry.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = (u64, LogEntry)> {
        (0..).zip(self.entries.iter().copied())
    }

    /// Proves that this entry is at this leaf.
    pub(crate) fn inclusion(&self, leaf: u64, entry: &LogEntry) -> Result<InclusionProof, String> {
        let here = usize::try_from(leaf).ok().and_then(|at| self.entries.get(at));
        match here == Some(entry) {
            true => self.log.inclusion_at(leaf, self.log.size()).map_err(|error| error.to_string()),
            false => Err(format!("at leaf {leaf} it has another statement than {entry}")),
        }
    }

    /// Whether all files are of this history.
    pub(crate) fn one_history(&self, rounds: &Rounds) -> Line {
        let line = |verdict, words: String| Line::new(Subject::OneHistory, verdict, words);
        if let Some((verdict, words)) = &self.lacks {
            return line(*verdict, words.clone());
        }
        let files: Vec<_> =
            rounds.kept.iter().filter_map(|kept| Some((kept.round, kept.checkpoint?))).collect();
        for (round, checkpoint) in &files {
            match self.log.checkpoint_at(checkpoint.size) {
                Ok(at) if at == *checkpoint => {}
                Ok(at) => {
                    return line(
                        Verdict::False,
                        format!(
                            "The file of round {round} is of a log with {checkpoint}, and this one had {at}: the aggregator signed two histories. Keep both: its signatures are the evidence."
                        ),
                    );
                }
                Err(_) => {
                    return line(
                        Verdict::Missing,
                        format!(
                            "The file of round {round} is of a log of {} leaves, later than the {} entries here: fetch the export again.",
                            checkpoint.size,
                            self.log.size()
                        ),
                    );
                }
            }
        }
        let (size, files) = (self.log.size(), files.len());
        line(
            Verdict::Proven,
            format!(
                "The log's {size} entries have the root that the aggregator signed, and the {files} files of rounds are of this one log."
            ),
        )
    }

    /// Whether every statement of the log is in a file.
    pub(crate) fn whole(&self, rounds: &Rounds) -> Line {
        let line = |verdict, words: String| Line::new(Subject::WholeLog, verdict, words);
        if let Some((verdict, words)) = &self.lacks {
            return line(*verdict, words.clone());
        }
        // Those that are proved to be in a log that the aggregator signed.
        for kept in rounds.kept.iter().filter(|kept| kept.checkpoint.is_some()) {
            let here = |leaf: u64| usize::try_from(leaf).ok().and_then(|at| self.entries.get(at));
            let other = kept.entries.iter().find_map(|(leaf, entry)| {
                here(*leaf).filter(|at| *at != entry).map(|at| (leaf, at))
            });
            if let Some((leaf, at)) = other {
                return line(
                    Verdict::False,
                    format!(
                        "At leaf {leaf} the log has {at}, and the file of round {} another statement: they are of two histories. Keep both: the aggregator signed them.",
                        kept.round
                    ),
                );
            }
        }
        let shown: BTreeSet<u64> = rounds
            .kept
            .iter()
            .flat_map(|kept| kept.entries.iter().map(|(leaf, _)| *leaf))
            .collect();
        let sizes = rounds.kept.iter().filter_map(|kept| Some(kept.checkpoint?.size));
        // What came before every file was made cannot have been too late for all of them.
        let earliest = sizes.min().unwrap_or(0);
        let of_no_round = [Epoch::LABEL, RoundKeys::LABEL];
        let (mut unused, mut late, mut withheld) = (0, Vec::new(), Vec::new());
        for (leaf, entry) in (0..).zip(&self.entries).filter(|(leaf, _)| !shown.contains(leaf)) {
            if of_no_round.contains(&entry.label()) {
                unused += 1;
            } else if leaf < earliest {
                withheld.push((leaf, entry));
            } else {
                late.push((leaf, entry));
            }
        }
        let first = |of: &[(u64, &LogEntry)]| {
            of.first().map_or_else(String::new, |(leaf, entry)| format!("{entry} at leaf {leaf}"))
        };
        if !withheld.is_empty() {
            let complete = rounds.missing.is_empty();
            let verdict = if complete { Verdict::False } else { Verdict::Missing };
            return line(
                verdict,
                format!(
                    "The log has {} statements that no file shows, the first of them {}: they were left out of this export.",
                    withheld.len(),
                    first(&withheld)
                ),
            );
        }
        if !late.is_empty() {
            return line(
                Verdict::Missing,
                format!(
                    "The log has {} statements that came after a file was made, the first of them {}: fetch the export again.",
                    late.len(),
                    first(&late)
                ),
            );
        }
        line(
            Verdict::Proven,
            format!(
                "Each of the log's {} entries is in a file of this export, but for {unused} that are of no round so far (keys for rounds to come, changes of the roster). There is no other closing, no other opening.",
                self.entries.len()
            ),
        )
    }
}

fn signed(
    folder: Folder<'_>,
    verifier: &Verifier,
) -> Result<(Checkpoint, SignedNote), (Verdict, String)> {
    let read = folder.checkpoint().map_err(|error| (Verdict::False, error.to_string()))?;
    let bytes = read.ok_or_else(|| (Verdict::Missing, "There is no log/checkpoint.".to_owned()))?;
    let fault = |error: String| (Verdict::False, format!("The log's checkpoint: {error}"));
    let note = String::from_utf8(bytes).map_err(|error| fault(error.to_string()))?;
    let note: SignedNote = note
        .parse()
        .map_err(|error: ringfence_crypto::log::note::NoteError| fault(error.to_string()))?;
    let text = CheckpointText::verified(&note, verifier.log_key());
    let checkpoint = text.map_err(|error| fault(error.to_string()))?.checkpoint();
    Ok((checkpoint, note))
}

fn entries(folder: Folder<'_>) -> Result<Vec<LogEntry>, (Verdict, String)> {
    let read = folder.entries().map_err(|error| (Verdict::False, error.to_string()))?;
    let bytes = read.ok_or_else(|| {
        let words = "There is no log/entries.txt: whether the log has more than the files show cannot be told.";
        (Verdict::Missing, words.to_owned())
    })?;
    let fault = |error: String| (Verdict::False, format!("log/entries.txt: {error}"));
    let text = String::from_utf8(bytes).map_err(|error| fault(error.to_string()))?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(fault("expected a newline at its end; it was cut off".to_owned()));
    }
    let entry = |(line, text): (usize, &str)| {
        text.parse().map_err(|error| fault(format!("line {}: {error}", line + 1)))
    };
    text.split_terminator('\n').enumerate().map(entry).collect()
}
