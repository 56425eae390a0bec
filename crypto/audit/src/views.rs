//! Whether others have seen the same log: the sites that cosigned it as its witnesses, and checkpoints
//! that came from elsewhere. Of a fork both signed heads are kept.

use std::collections::BTreeMap;

use ringfence_crypto::evidence::Verifier;
use ringfence_crypto::id::{SiteId, UnixSeconds};
use ringfence_crypto::log::note::NoteError;
use ringfence_crypto::log::{Checkpoint, CheckpointText, SignedNote, Witness, origin};
use ringfence_crypto::signature::PublicKey;
use serde::Serialize;

use crate::folder::Folder;
use crate::report::{Line, Subject, Verdict};
use crate::rounds::Rounds;
use crate::whole::WholeLog;

/// A checkpoint that somebody else has seen, such as a site's or another export's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where it is from, in words.
    pub from: String,
    /// The signed note.
    pub note: String,
}

/// Two signed heads of one log of which neither continues the other: the aggregator keeps two histories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fork {
    /// Who has seen the other head.
    pub seen_by: String,
    /// That head, a signed note.
    pub seen: String,
    /// The head of this export, a signed note.
    pub here: String,
    /// What this export's log has at the size of the other head.
    pub here_at_that_size: Checkpoint,
}

/// What others have seen, held against an export's log.
pub(crate) struct Views<'a> {
    verifier: &'a Verifier,
    whole: &'a WholeLog,
    /// The keys of each site, under whatever roster.
    keys: BTreeMap<SiteId, Vec<PublicKey>>,
    pub(crate) forks: Vec<Fork>,
}

/// A head that somebody has seen, against this log.
enum Against {
    /// It is a state of this log.
    Same(Checkpoint),
    /// It is not, and signed all the same.
    Forked(Checkpoint, Checkpoint),
    /// It is of a longer log.
    Later(Checkpoint),
}

impl<'a> Views<'a> {
    pub(crate) fn new(verifier: &'a Verifier, whole: &'a WholeLog, rounds: &Rounds) -> Self {
        let studies = rounds.kept.iter().map(|kept| &kept.study);
        let mut keys: BTreeMap<SiteId, Vec<PublicKey>> = BTreeMap::new();
        for study in std::iter::once(&verifier.study().study).chain(studies) {
            for site in &study.roster {
                let known = keys.entry(site.id.clone()).or_default();
                if !known.contains(&site.signature_key) {
                    known.push(site.signature_key);
                }
            }
        }
        Self { verifier, whole, keys, forks: Vec::new() }
    }

    /// How many sites have cosigned this log, as far as the folder says; none where it says nothing.
    pub(crate) fn witnesses(&mut self, folder: Folder<'_>) -> Option<Line> {
        let line = |verdict, words: String| Line::new(Subject::Witnesses, verdict, words);
        let notes = match folder.cosignatures() {
            Ok(Some(bytes)) => serde_json::from_slice::<Vec<String>>(&bytes)
                .map_err(|error| format!("log/cosignatures.json: {error}")),
            Ok(None) => return None,
            Err(error) => Err(error.to_string()),
        };
        Some(match notes.and_then(|notes| self.cosigned(&notes)) {
            Ok(found) => found,
            Err(words) => line(Verdict::False, words),
        })
    }

    fn cosigned(&mut self, notes: &[String]) -> Result<Line, String> {
        let line = |verdict, words: String| Ok(Line::new(Subject::Witnesses, verdict, words));
        if self.whole.lacks() {
            return line(
                Verdict::Missing,
                "Without the whole log it cannot be told whether the sites' cosignatures are of it."
                    .to_owned(),
            );
        }
        let mut seen: BTreeMap<SiteId, (u64, UnixSeconds)> = BTreeMap::new();
        for text in notes {
            let (note, head) = self.head(text).map_err(|error| {
                format!("log/cosignatures.json has a checkpoint that does not hold: {error}")
            })?;
            let sites = self.signers(&note)?;
            match self.against(head) {
                Against::Same(head) => {
                    for (site, time) in sites {
                        if seen.insert(site.clone(), (head.size, time)).is_some() {
                            return Err(format!("{site} stands twice in log/cosignatures.json."));
                        }
                    }
                }
                // It has cosigned since the export was begun.
                Against::Later(_) => {}
                Against::Forked(head, here) => {
                    let names: Vec<&str> = sites.keys().map(SiteId::as_str).collect();
                    let seen_by =
                        if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
                    let words = self.fork(seen_by, text, (head, here));
                    return line(Verdict::False, words);
                }
            }
        }
        let all = self.keys.len();
        let Some(least) = seen.values().map(|(size, _)| *size).min() else {
            return line(
                Verdict::Pending,
                format!(
                    "None of the {all} sites has cosigned this log: that this is the history which they were shown, nobody but the aggregator says. Ask a site for its file `checkpoint`, and compare (--seen)."
                ),
            );
        };
        let (size, latest) = (self.whole.size(), seen.values().max().copied().unwrap_or_default());
        let missing: Vec<&str> =
            self.keys.keys().filter(|site| !seen.contains_key(*site)).map(SiteId::as_str).collect();
        let missing = match missing.as_slice() {
            [] => String::new(),
            some => format!(" Not cosigned by: {}.", some.join(", ")),
        };
        line(
            Verdict::Proven,
            format!(
                "{} of {all} sites have signed that this is the history which they were shown: its first {least} of {size} leaves each of them, its first {} the one that looked last ({}).{missing}",
                seen.len(),
                latest.0,
                latest.1.utc()
            ),
        )
    }

    /// Whose cosignatures hold on a note. Lines by names that are no site's of this study are passed
    /// over; one in a site's name that is not by its key is a fault.
    fn signers(&self, note: &SignedNote) -> Result<BTreeMap<SiteId, UnixSeconds>, String> {
        let of_sites = format!("{}/", origin(self.verifier.study().id));
        let mut sites = BTreeMap::new();
        for name in note.signers() {
            let Some(name) = name.strip_prefix(&of_sites) else { continue };
            let site = name.parse::<SiteId>().ok();
            let known = site.and_then(|site| self.keys.get_key_value(&site));
            let Some((site, keys)) = known else { continue };
            let by = |key: &PublicKey| {
                let witness = Witness::site(self.verifier.study().id, site, *key).ok()?;
                witness.verify(note).ok()
            };
            let cosignature = keys.iter().find_map(by).ok_or_else(|| {
                format!("A cosignature in the name of {site} does not hold: it was altered, or made by somebody else.")
            })?;
            sites.insert(site.clone(), cosignature.time);
        }
        Ok(sites)
    }

    /// A checkpoint from elsewhere, against this log.
    pub(crate) fn seen(&mut self, seen: &Seen) -> Line {
        let line = |verdict, words: String| Line::new(Subject::Seen, verdict, words);
        let Seen { from, note } = seen;
        let (note, head) = match self.head(note) {
            Ok(head) => head,
            Err(error) => {
                return line(
                    Verdict::Missing,
                    format!("{from} is no checkpoint of this study's log: {error}"),
                );
            }
        };
        if self.whole.lacks() {
            let words = format!("{from} cannot be compared: the whole log is not in the folder.");
            return line(Verdict::Missing, words);
        }
        match self.against(head) {
            Against::Same(head) => {
                let by = self.signers(&note).unwrap_or_default();
                let by: Vec<&str> = by.keys().map(SiteId::as_str).collect();
                let by = match by.as_slice() {
                    [] => String::new(),
                    sites => format!(", cosigned by {}", sites.join(", ")),
                };
                line(
                    Verdict::Proven,
                    format!(
                        "{from} is a state of this log, at {} of its {} leaves{by}.",
                        head.size,
                        self.whole.size()
                    ),
                )
            }
            Against::Later(head) => line(
                Verdict::Missing,
                format!(
                    "{from} is of a log of {} leaves, more than the {} here: fetch the export again, and compare then.",
                    head.size,
                    self.whole.size()
                ),
            ),
            Against::Forked(head, here) => {
                let words = self.fork(from.clone(), &seen.note, (head, here));
                line(Verdict::False, words)
            }
        }
    }

    /// Keeps both heads; says what it means.
    fn fork(&mut self, by: String, note: &str, (head, here): (Checkpoint, Checkpoint)) -> String {
        let words = format!(
            "The log was forked: {by} has a checkpoint of {head}, which the aggregator signed, and this log had {here}. The aggregator keeps two histories of this study, or was put back to an older one. Both signed heads are in the report: they are the evidence."
        );
        self.forks.push(Fork {
            seen_by: by,
            seen: note.to_owned(),
            here: self.whole.note().to_owned(),
            here_at_that_size: here,
        });
        words
    }

    /// A note that the aggregator has signed, and what it says.
    fn head(&self, note: &str) -> Result<(SignedNote, Checkpoint), String> {
        let note: SignedNote = note.parse().map_err(|error: NoteError| error.to_string())?;
        let text = CheckpointText::verified(&note, self.verifier.log_key());
        let head = text.map_err(|error| error.to_string())?.checkpoint();
        Ok((note, head))
    }

    fn against(&self, head: Checkpoint) -> Against {
        match self.whole.at(head.size) {
            None => Against::Later(head),
            Some(here) if here == head => Against::Same(head),
            Some(here) => Against::Forked(head, here),
        }
    }
}
