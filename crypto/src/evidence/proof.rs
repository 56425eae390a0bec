//! The file: a round's signed statements, each with its place in the study's log, and what proves
//! these places.

use serde::{Deserialize, Serialize};

use crate::dealing::Trust;
use crate::id::RoundNumber;
use crate::log::{ConsistencyProof, LeavesProof, LogEntry, SignedNote};
use crate::protocol::ProtocolVersion;
use crate::round::Event;
use crate::signature::Signed;
use crate::statement::{Closing, Manifest, RoundKeys, SignedEpoch};
use crate::wire::json::{self, JsonError};

/// Most bytes of a round proof: one of 10,000 sites takes some 60 MB.
pub const MAX_ROUND_PROOF: usize = 256 << 20;

/// A statement and its place in the study's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logged<T> {
    /// Index of its leaf, from 0.
    pub leaf: u64,
    /// The statement.
    pub statement: T,
}

/// How the round before ended, as this one's manifest names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Its closing.
    pub closing: Logged<Signed<Closing>>,
    /// Who was barred or in doubt after it.
    pub trust: Trust,
}

/// What proves that the statements are in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogEvidence {
    /// The log's size and root, signed by the aggregator: a C2SP signed note, as text.
    #[serde(with = "note_text")]
    pub checkpoint: SignedNote,
    /// That it has every statement of the file at the place that the file states.
    pub leaves: LeavesProof,
    /// That it begins with the log that the closing was signed over; none before the closing.
    pub closing: Option<ConsistencyProof>,
}

/// Every signed statement that a round stands on, with its place in the study's log. As JSON it has
/// one spelling: compact, fields in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundProof {
    /// Which protocol the study runs under.
    pub protocol: ProtocolVersion,
    /// Which round.
    pub round: RoundNumber,
    /// The study's epochs up to this round, in order.
    pub epochs: Vec<Logged<SignedEpoch>>,
    /// How the round before ended; none in round 0.
    pub before: Option<Before>,
    /// The statements of round keys that the manifest names, in window order of their holders.
    pub round_keys: Vec<Logged<Signed<RoundKeys>>>,
    /// The manifest.
    pub manifest: Logged<Signed<Manifest>>,
    /// All other statements of the round, in the order of the log.
    pub events: Vec<Logged<Event>>,
    /// That all of them are in the log.
    pub log: LogEvidence,
}

/// A file that is no round proof.
#[derive(Debug, thiserror::Error)]
pub enum RoundProofError {
    /// Not its JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The same in another spelling.
    #[error(
        "expected a round proof in its one spelling (compact JSON, fields in their order); byte {0} differs: the file was altered, or written by another program"
    )]
    Spelling(usize),
}

impl RoundProof {
    /// Reads a file of at most [`MAX_ROUND_PROOF`] bytes.
    ///
    /// # Errors
    /// [`RoundProofError`] for anything that is no such file, and for one in another spelling.
    pub fn parse(bytes: &[u8]) -> Result<Self, RoundProofError> {
        let proof: Self = json::parse(bytes, MAX_ROUND_PROOF, "round proof")?;
        let spelt = proof.to_bytes();
        match spelt == bytes {
            true => Ok(proof),
            false => {
                let same = spelt.iter().zip(bytes).take_while(|(ours, theirs)| ours == theirs);
                Err(RoundProofError::Spelling(same.count()))
            }
        }
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::compact(self)
    }

    /// Every statement of the file as the log holds it, in the order of the log as far as the file
    /// keeps to it. A note of the aggregator's, which has no leaf, has no entry.
    pub fn entries(&self) -> Vec<(u64, LogEntry)> {
        let epochs = self.epochs.iter().map(|logged| {
            (logged.leaf, LogEntry::of::<crate::statement::Epoch>(id_of(&logged.statement)))
        });
        let before = self.before.iter().map(|before| signed(&before.closing));
        let keys = self.round_keys.iter().map(signed);
        let events = self.events.iter();
        let events = events.filter_map(|event| Some((event.leaf, event.statement.entry()?)));
        let mut entries: Vec<(u64, LogEntry)> = epochs
            .chain(before)
            .chain(keys)
            .chain([signed(&self.manifest)])
            .chain(events)
            .collect();
        entries.sort_by_key(|(leaf, _)| *leaf);
        entries
    }
}

fn id_of(epoch: &SignedEpoch) -> crate::Digest {
    crate::signature::Statement::id(&epoch.epoch)
}

fn signed<T: crate::signature::Statement>(logged: &Logged<Signed<T>>) -> (u64, LogEntry) {
    (logged.leaf, LogEntry::of_signed(&logged.statement))
}

mod note_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::log::SignedNote;

    pub(super) fn serialize<S: Serializer>(note: &SignedNote, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(note)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SignedNote, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
