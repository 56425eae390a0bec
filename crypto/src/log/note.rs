//! Signed notes: text, a blank line, signature lines (<https://c2sp.org/signed-note>), with Ed25519
//! keys only.
//!
//! The aggregator signs its log's checkpoints with the key of its receipts and closings. Neither
//! can be taken for the other: a statement's signed bytes begin with a 32-bit count and so hold
//! zero bytes, and a note's text holds no control character but the newline.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer};
use sha2::{Digest as _, Sha256};

use super::text::{MAX_LINE, shown};
use crate::signature::PublicKey;

/// Most bytes of a note: 16 signatures, which every reader must take, of a post-quantum 5 kB each
/// are 107 kB in base64.
pub const MAX_NOTE: usize = 256 << 10;

/// Most signature lines of a note: far more than the 16 that every reader must take.
pub const MAX_SIGNATURES: usize = 100;

/// The signature type of Ed25519.
const ED25519: u8 = 1;

/// Ahead of every signature line: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// The name of a key: not empty, without spaces, control characters and `+`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(String);

/// A note, key name or verifier key that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// More bytes than are read.
    #[error("expected a signed note of at most {MAX_NOTE} bytes, got {0}")]
    TooLong(usize),
    /// Control characters.
    #[error("expected a signed note without control characters other than newlines")]
    Control,
    /// Not text, blank line, signatures.
    #[error(
        "expected a note's text, a blank line and lines of signatures, each ended by a newline"
    )]
    Structure,
    /// Not `— name base64`.
    #[error("expected a signature line `{DASH}NAME BASE64`, got {0:?}")]
    Line(String),
    /// No or too many signatures.
    #[error("expected 1 to {MAX_SIGNATURES} signatures on a note, got {0}")]
    Signatures(usize),
    /// Not a name.
    #[error(
        "expected a key name of 1 to {MAX_LINE} bytes without spaces, control characters and `+`, got {0:?}"
    )]
    Name(String),
    /// Not a verifier key.
    #[error("expected a verifier key NAME+KEYID+BASE64 with an Ed25519 key, got {0:?}")]
    Key(String),
    /// The key's ID is not the hash of name and key.
    #[error("the verifier key states key ID {got:?}, expected {expected} for its name and key")]
    KeyId {
        /// By name and key.
        expected: String,
        /// As stated.
        got: String,
    },
    /// The expected key did not sign.
    #[error("the note has no signature by {name}+{id}; it is signed by {signers:?}")]
    Unsigned {
        /// Name of the key.
        name: String,
        /// ID of the key.
        id: String,
        /// Names of the keys that signed.
        signers: Vec<String>,
    },
    /// The expected key's signature stands twice.
    #[error("the note has more than one signature by {0}, expected one")]
    Twice(String),
    /// The signature does not hold.
    #[error(
        "the note's signature by {0} does not verify; it was altered or signed by somebody else"
    )]
    Signature(String),
}

impl KeyName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let length = 1..=MAX_LINE;
        let stranger = |c: char| c.is_whitespace() || c < ' ' || c == '+';
        match length.contains(&text.len()) && !text.contains(stranger) {
            true => Ok(Self(text.to_owned())),
            false => Err(NoteError::Name(shown(text))),
        }
    }
}

/// An Ed25519 key with its name. As text: `NAME+KEYID+BASE64`, the key ID in eight hexadecimal
/// digits and base64 of the type byte 1 and the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteKey {
    name: KeyName,
    key: PublicKey,
}

impl NoteKey {
    /// A key under a name.
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str, key: PublicKey) -> Result<Self, NoteError> {
        Ok(Self { name: name.parse()?, key })
    }

    /// Its name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// `SHA-256(name || 0x0A || 0x01 || key)[:4]`.
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, ED25519, &self.key)
    }

    /// Signs a text with `signer`, the secret half of this key.
    ///
    /// # Errors
    /// [`NoteError`] when the text cannot be that of a note, or `signer` belongs to another key.
    pub fn sign(
        &self,
        text: String,
        signer: &impl Signer<Signature>,
    ) -> Result<SignedNote, NoteError> {
        let signature = signer.sign(text.as_bytes());
        let signature = NoteSignature {
            name: self.name.clone(),
            id: self.id(),
            bytes: signature.to_bytes().to_vec(),
        };
        let note = SignedNote { text, signatures: vec![signature] };
        // What others would refuse is not handed out.
        let note: SignedNote = note.to_string().parse()?;
        note.verify(self)?;
        Ok(note)
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![ED25519];
        bytes.extend_from_slice(self.key.as_bytes());
        let (name, id) = (self.name.as_str(), hex::encode(self.id()));
        write!(f, "{name}+{id}+{}", STANDARD.encode(bytes))
    }
}

impl FromStr for NoteKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let refuse = || NoteError::Key(shown(text));
        // The base64 may hold a `+` of its own.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(got), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refuse());
        };
        // 33 bytes without a spare bit: one spelling.
        let bytes = (key.len() == 44).then(|| STANDARD.decode(key).ok()).flatten();
        let bytes = bytes.ok_or_else(refuse)?;
        let (ED25519, key) = bytes.split_first().map_or((0, &[][..]), |(kind, key)| (*kind, key))
        else {
            return Err(refuse());
        };
        let key = key.try_into().map_err(|_| refuse())?;
        let key = PublicKey::from_bytes(key).map_err(|_| refuse())?;
        let key = Self::new(name, key)?;
        let expected = hex::encode(key.id());
        match expected == got {
            true => Ok(key),
            false => Err(NoteError::KeyId { expected, got: shown(got) }),
        }
    }
}

/// The ID of a key: `SHA-256(name || 0x0A || kind || key)[:4]`.
pub(super) fn key_id(name: &KeyName, kind: u8, key: &PublicKey) -> [u8; 4] {
    let hash = Sha256::new()
        .chain_update(name.as_str())
        .chain_update([b'\n', kind])
        .chain_update(key.as_bytes())
        .finalize();
    // As a big-endian number's bytes, which is the order they stand in.
    let [a, b, c, d, ..]: [u8; 32] = hash.into();
    [a, b, c, d]
}

/// One signature line, by whatever kind of key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoteSignature {
    pub(super) name: KeyName,
    pub(super) id: [u8; 4],
    pub(super) bytes: Vec<u8>,
}

/// A text and its signatures. It parses from exactly one text and shows as that; what it says
/// counts only once [`SignedNote::verify`] has found the signature of a known key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// The text, with its final newline, if `key` signed it. Signatures by other keys are ignored,
    /// as the specification wants it: so witnesses can be added.
    ///
    /// # Errors
    /// [`NoteError`] when the key did not sign or its signature does not hold (strictly).
    pub fn verify(&self, key: &NoteKey) -> Result<&str, NoteError> {
        let signature = self.by(&key.name, key.id())?;
        let refuse = || NoteError::Signature(key.name.0.clone());
        let signature = Signature::from_slice(signature).map_err(|_| refuse())?;
        match key.key.verifies(self.text.as_bytes(), &signature) {
            true => Ok(&self.text),
            false => Err(refuse()),
        }
    }

    /// The text, whoever signed it: of a stranger until [`SignedNote::verify`] says more.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names of the keys whose signatures it has, in order; nothing says that they hold.
    pub fn signers(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|line| line.name.as_str())
    }

    /// Leaves the signatures of keys with one name, and none by anybody else.
    pub fn keep_only(&mut self, name: &str) {
        self.signatures.retain(|line| line.name.as_str() == name);
    }

    /// Adds the signatures that another note of the same text has and this one lacks, unless they are
    /// more than a note may have: then none. Whether it has them now.
    pub fn gather(&mut self, other: &Self) -> bool {
        let mut lacking = other.signatures.clone();
        lacking.retain(|line| !self.signatures.contains(line));
        let fits = self.text == other.text
            && self.signatures.len().saturating_add(lacking.len()) <= MAX_SIGNATURES;
        if fits {
            self.signatures.append(&mut lacking);
        }
        fits
    }

    /// The only signature by a key, which is not checked.
    pub(super) fn by(&self, name: &KeyName, id: [u8; 4]) -> Result<&[u8], NoteError> {
        let mut by_key = self.signatures.iter().filter(|line| line.name == *name && line.id == id);
        let Some(signature) = by_key.next() else {
            let signers = self.signatures.iter().map(|line| shown(line.name.as_str()));
            let (name, id, signers) = (name.0.clone(), hex::encode(id), signers.collect());
            return Err(NoteError::Unsigned { name, id, signers });
        };
        match by_key.next() {
            Some(_) => Err(NoteError::Twice(name.0.clone())),
            None => Ok(&signature.bytes),
        }
    }

    /// Adds a signature as the last line.
    pub(super) fn add(&mut self, signature: NoteSignature) {
        self.signatures.push(signature);
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| {
            let bytes = [&line.id[..], &line.bytes].concat();
            writeln!(f, "{DASH}{} {}", line.name.as_str(), STANDARD.encode(bytes))
        })
    }
}

impl FromStr for SignedNote {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::TooLong(note.len()));
        }
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Control);
        }
        // The text may have empty lines; the signatures come after the last.
        let end = note.rfind("\n\n").ok_or(NoteError::Structure)?;
        let (text, rest) = note.split_at_checked(end + 1).ok_or(NoteError::Structure)?;
        let lines = rest.strip_prefix('\n').and_then(|rest| rest.strip_suffix('\n'));
        let lines = lines.ok_or(NoteError::Structure)?;
        let count = lines.split('\n').count();
        if count > MAX_SIGNATURES {
            return Err(NoteError::Signatures(count));
        }
        let signatures = lines.split('\n').map(signature_line).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }
}

fn signature_line(line: &str) -> Result<NoteSignature, NoteError> {
    let refuse = || NoteError::Line(shown(line));
    let (name, base64) =
        line.strip_prefix(DASH).and_then(|rest| rest.split_once(' ')).ok_or_else(refuse)?;
    let bytes = STANDARD.decode(base64).map_err(|_| refuse())?;
    let (id, bytes) = bytes.split_first_chunk::<4>().ok_or_else(refuse)?;
    if bytes.is_empty() {
        return Err(refuse());
    }
    Ok(NoteSignature { name: name.parse()?, id: *id, bytes: bytes.to_vec() })
}
