//! What stands in a study's log.

use super::hash::LogHash;
use crate::digest::Digest;
use crate::signature::{Signed, Statement};
use crate::wire::canonical::{self, Canonical};

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
/// The statement's label is the one it is signed under without the prefix: `round-keys`, `manifest`,
/// `header`, `receipt`, `review`, `closing`, `endorsement`, `opening` or `acknowledgement`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Canonical for LogEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        self.label.encode(out);
        self.digest.encode(out);
    }
}
