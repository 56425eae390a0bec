//! Checkpoints: the size and root of a log, and the text of them that the log's key signs
//! (<https://c2sp.org/tlog-checkpoint>).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::hash::LogHash;
use super::note::{NoteError, NoteKey, SignedNote};
pub use super::text::MAX_LINE;
use super::text::{decimal, shown};
use crate::wire::canonical::canonical;

/// Most extension lines. Ringfence writes none; C2SP advises against them.
pub const MAX_EXTENSIONS: usize = 16;

/// Size and root of a study's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Number of leaves.
    pub size: u64,
    /// Root of the Merkle tree over them.
    pub root: LogHash,
}
canonical!(Checkpoint { size, root });

impl fmt::Display for Checkpoint {
    /// For messages to people; the signed text is [`CheckpointText`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} leaves, root {}", self.size, self.root)
    }
}

/// A checkpoint with the identity of its log: the text of a signed note.
///
/// One line each for origin, size in decimal digits and root in base64, then any extension lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointText {
    origin: String,
    checkpoint: Checkpoint,
    extensions: Vec<String>,
}

/// Text that is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// No final newline or fewer than three lines.
    #[error("expected a checkpoint of three or more lines, each ended by a newline")]
    Lines,
    /// An origin or extension that is empty, too long or has control characters.
    #[error(
        "expected a checkpoint's origin and extension lines of 1 to {MAX_LINE} bytes without control characters, got {0:?}"
    )]
    Line(String),
    /// More extension lines than are read.
    #[error("expected at most {MAX_EXTENSIONS} extension lines in a checkpoint, got {0}")]
    Extensions(usize),
    /// No number, or another spelling of one.
    #[error("expected a log's size in decimal digits without leading zeros, got {0:?}")]
    Size(String),
    /// Not 32 bytes, or another spelling of them.
    #[error("expected a root of 32 bytes in padded base64, got {0:?}")]
    Root(String),
    /// Of another log.
    #[error("the checkpoint is of log {got:?}, expected {expected:?}")]
    Origin {
        /// The log's origin.
        expected: String,
        /// As stated.
        got: String,
    },
    /// The note or its signature.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The empty log has one root only.
    #[error("the checkpoint of an empty log has root {got}, expected {}", LogHash::empty())]
    Empty {
        /// As stated.
        got: LogHash,
    },
}

impl CheckpointText {
    /// The text of a checkpoint without extension lines.
    ///
    /// # Errors
    /// [`CheckpointError`] when the origin cannot stand on its line.
    pub fn new(origin: &str, checkpoint: Checkpoint) -> Result<Self, CheckpointError> {
        let text = Self { origin: line(origin)?, checkpoint, extensions: Vec::new() };
        text.check_empty()?;
        Ok(text)
    }

    /// The checkpoint that a note is, signed by `key`, whose name is the log's origin.
    ///
    /// # Errors
    /// [`CheckpointError`] with the first thing that is wrong.
    pub fn verified(note: &SignedNote, key: &NoteKey) -> Result<Self, CheckpointError> {
        let text: Self = note.verify(key)?.parse()?;
        let expected = key.name().as_str();
        match text.origin == expected {
            true => Ok(text),
            false => {
                Err(CheckpointError::Origin { expected: expected.to_owned(), got: text.origin })
            }
        }
    }

    /// Which log it is.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Size and root.
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// Lines after the root, opaque.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    fn check_empty(&self) -> Result<(), CheckpointError> {
        let Checkpoint { size, root } = self.checkpoint;
        match size == 0 && root != LogHash::empty() {
            true => Err(CheckpointError::Empty { got: root }),
            false => Ok(()),
        }
    }
}

impl fmt::Display for CheckpointText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checkpoint { size, root } = self.checkpoint;
        writeln!(f, "{}\n{size}\n{}", self.origin, root.to_base64())?;
        self.extensions.iter().try_for_each(|extension| writeln!(f, "{extension}"))
    }
}

impl FromStr for CheckpointText {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let text = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Lines);
        };
        let count = lines.clone().count();
        if count > MAX_EXTENSIONS {
            return Err(CheckpointError::Extensions(count));
        }
        let size = decimal(size).ok_or_else(|| CheckpointError::Size(shown(size)))?;
        let root = LogHash::from_base64(root).ok_or_else(|| CheckpointError::Root(shown(root)))?;
        let extensions = lines.map(line).collect::<Result<_, _>>()?;
        let checkpoint = Checkpoint { size, root };
        let text = Self { origin: line(origin)?, checkpoint, extensions };
        text.check_empty()?;
        Ok(text)
    }
}

fn line(text: &str) -> Result<String, CheckpointError> {
    let length = 1..=MAX_LINE;
    match length.contains(&text.len()) && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(CheckpointError::Line(shown(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const EXAMPLE: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn example_of_the_specification() {
        let parsed: CheckpointText = EXAMPLE.parse().unwrap();
        assert_eq!(parsed.origin(), "example.com/behind-the-sofa");
        assert_eq!(parsed.checkpoint().size, 20_852_163);
        assert_eq!(parsed.to_string(), EXAMPLE);
        let extended = format!("{EXAMPLE}an extension\nanother\n");
        let parsed: CheckpointText = extended.parse().unwrap();
        assert_eq!(parsed.extensions(), ["an extension", "another"]);
        assert_eq!(parsed.to_string(), extended);
    }

    #[test]
    fn one_encoding_per_checkpoint() {
        let refused = |from: &str, to: &str, reason: &str| {
            let altered = EXAMPLE.replacen(from, to, 1);
            assert_ne!(altered, EXAMPLE);
            let error = altered.parse::<CheckpointText>().unwrap_err().to_string();
            assert!(error.contains(reason), "{altered:?}: {error}");
        };
        refused("q2I=\n", "q2I=", "ended by a newline");
        refused("\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", "", "three or more lines");
        for size in ["020852163", "+20852163", "-1", "", " 20852163", "2.0", "0x10"] {
            refused("20852163", size, "without leading zeros");
        }
        refused("20852163", "18446744073709551616", "without leading zeros");
        refused("20852163", "0", "empty log has root");
        refused("q2I=", "q2I", "padded base64");
        refused("q2I=", "q2J=", "padded base64"); // stray bits after the last byte
        refused("q2I=", "q2I==", "padded base64");
        refused("om/X", "om_X", "padded base64");
        refused("CsUYapGG", "", "padded base64");
        refused("example.com/behind-the-sofa", "", "1 to 255 bytes");
        refused("example.com", &"a".repeat(256), "1 to 255 bytes");
        refused("example.com", "example\tcom", "without control");
        refused("q2I=\n", "q2I=\n\n", "1 to 255 bytes");
        refused("q2I=\n", "q2I=\r\n", "padded base64");
        refused("q2I=\n", &format!("q2I=\n{}", "x\n".repeat(17)), "at most 16 extension");
    }
}
