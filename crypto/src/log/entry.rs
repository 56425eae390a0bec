//! What stands in a study's log.

use std::fmt;
use std::str::FromStr;

use super::hash::LogHash;
use super::text::shown;
use crate::digest::Digest;
use crate::signature::{Signed, Statement};
use crate::statement::{
    Acknowledgement, Closing, DisputeEndorsement, Endorsement, Epoch, Freeze, Header, Manifest,
    Opening, Receipt, Review, RoundKeys, VerdictEndorsement,
};
use crate::wire::canonical::{self, Canonical};

/// The labels of all kinds of statements that a log has.
pub const KINDS: [&str; 13] = [
    Epoch::LABEL,
    RoundKeys::LABEL,
    Manifest::LABEL,
    Header::LABEL,
    Receipt::LABEL,
    Freeze::LABEL,
    Review::LABEL,
    Closing::LABEL,
    Endorsement::LABEL,
    DisputeEndorsement::LABEL,
    VerdictEndorsement::LABEL,
    Opening::LABEL,
    Acknowledgement::LABEL,
];

/// Label of a leaf's data.
const LABEL: &str = "log-entry";

/// One statement as the log holds it: its kind and its digest, never its content.
///
/// The data of the leaf, which [`LogHash::leaf`] hashes, are the canonical bytes of label
/// `log-entry` over the statement's label, as a counted string, and its digest, 32 bytes:
///
/// ```text
/// LE32(22) || "ringfence/v2/log-entry" || LE32(len(label)) || label || digest
/// ```
///
/// The statement's label is the one it is signed under without the prefix: one of [`KINDS`].
///
/// As text, label and digest with a space between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogEntry {
    label: &'static str,
    digest: Digest,
}

impl LogEntry {
    /// The entry of the statement of kind `T` with this name.
    pub fn of<T: Statement>(id: T::Id) -> Self {
        Self { label: T::LABEL, digest: id.into() }
    }

    /// The entry of a signed statement. Its signature is not part of it.
    pub fn of_signed<T: Statement>(signed: &Signed<T>) -> Self {
        Self::of::<T>(signed.id())
    }

    /// Label of the statement.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// Digest of the statement.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The leaf's data.
    pub fn data(&self) -> Vec<u8> {
        canonical::bytes(LABEL, self)
    }

    /// The leaf's hash.
    pub fn leaf(&self) -> LogHash {
        LogHash::leaf(&self.data())
    }
}

/// Text that is no entry of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a statement's label and its digest of 64 hexadecimal digits with a space between, got {0:?}"
)]
pub struct LogEntryError(String);

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.label, self.digest)
    }
}

impl FromStr for LogEntry {
    type Err = LogEntryError;

    fn from_str(text: &str) -> Result<Self, LogEntryError> {
        let refuse = || LogEntryError(shown(text));
        let (label, digest) = text.split_once(' ').ok_or_else(refuse)?;
        let label = KINDS.into_iter().find(|kind| *kind == label).ok_or_else(refuse)?;
        Ok(Self { label, digest: digest.parse().map_err(|_| refuse())? })
    }
}

impl Canonical for LogEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        self.label.encode(out);
        self.digest.encode(out);
    }
}
