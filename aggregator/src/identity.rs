//! The aggregator's signing key. With the administrator's token it is all that is secret here, and
//! neither opens a contribution.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ringfence_crypto::api::TokenError;
use ringfence_crypto::log::checkpoint::CheckpointError;
use ringfence_crypto::log::{Checkpoint, CheckpointText, NoteKey, SignedNote};
use ringfence_crypto::signature::{PublicKey, Signed, Statement, sign};
use ringfence_durable::{Readers, text};
use zeroize::Zeroizing;

/// Most bytes of a key or token file: more can be neither.
const MAX_SECRET: usize = 4096;

/// A key or token file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `keygen` or `token` on a file that is there.
    #[error(
        "{0} exists already and may be the key or token of running studies; choose another file"
    )]
    Exists(PathBuf),
    /// A signing key that is no secret.
    #[error(
        "{path} may be read by others than its owner (mode {mode:o}), as public keys are; expected the signing key's file as `keygen` made it; if it is that one, nobody else may have read it: `chmod 600` it"
    )]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not a key.
    #[error("{0} holds no Ed25519 seed of 64 hexadecimal digits; make one with `keygen`")]
    Key(PathBuf),
    /// Not a token.
    #[error("{path} holds {reason}")]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: TokenError,
    },
    /// The signing key as a token.
    #[error(
        "the administrator's token in {0} is the aggregator's signing key, which whoever registers a study would have then; put another secret there"
    )]
    TokenIsKey(PathBuf),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(getrandom::Error),
}

/// The key that signs receipts and closings.
pub struct Identity {
    // Zeroized on drop.
    key: SigningKey,
}

impl Identity {
    /// Makes a new key and stores its seed in a new file that only its owner may read.
    ///
    /// # Errors
    /// [`IdentityError`] when the file exists or cannot be written.
    pub fn generate(path: &Path) -> Result<Self, IdentityError> {
        Ok(Self { key: SigningKey::from_bytes(&*new_secret(path)?) })
    }

    /// Reads the key.
    ///
    /// # Errors
    /// [`IdentityError`] when the file cannot be read or holds no key.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        // A public key has the same form, and as a secret one everybody would know it.
        let io = |source| IdentityError::Io { path: path.to_owned(), source };
        if let Some(mode) = readable_by_others(path).map_err(io)? {
            return Err(IdentityError::Readable { path: path.to_owned(), mode });
        }
        let file = read_secret(path)?;
        let mut seed = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(file.trim_ascii_end(), seed.as_mut())
            .map_err(|_| IdentityError::Key(path.to_owned()))?;
        Ok(Self { key: SigningKey::from_bytes(&seed) })
    }

    /// A key for another purpose, which this name tells apart from all others: all that have this key
    /// derive the same one, and nobody else can.
    pub(crate) fn derived(&self, purpose: &'static str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(purpose, self.key.as_bytes()))
    }

    /// Whether a text is this key's seed, as its file has it.
    pub(crate) fn is_seed(&self, text: &str) -> bool {
        let mut seed = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(text, seed.as_mut()).is_ok() && *seed == *self.key.as_bytes()
    }

    /// What verifies receipts and closings; it stands in the study file.
    pub fn public_key(&self) -> PublicKey {
        self.key.verifying_key().into()
    }

    /// Signs a statement of the aggregator.
    pub(crate) fn sign<T: Statement>(&self, statement: T) -> Signed<T> {
        sign(statement, &self.key)
    }

    /// Signs the checkpoint of the log with this origin as a note.
    pub(crate) fn sign_checkpoint(
        &self,
        origin: &str,
        checkpoint: Checkpoint,
    ) -> Result<SignedNote, CheckpointError> {
        let key = NoteKey::new(origin, self.public_key())?;
        let text = CheckpointText::new(origin, checkpoint)?;
        Ok(key.sign(text.to_string(), &self.key)?)
    }
}

impl fmt::Debug for Identity {
    /// The public key only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.public_key())
    }
}

/// Makes 32 random bytes and stores them in a new file that only its owner may read, as a line of
/// hexadecimal digits.
///
/// # Errors
/// [`IdentityError`] when the file exists or cannot be written.
pub(crate) fn new_secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, IdentityError> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    getrandom::fill(bytes.as_mut()).map_err(IdentityError::Random)?;
    let mut line = Zeroizing::new(hex::encode(bytes.as_ref()));
    line.push('\n');
    ringfence_durable::create(path, line.as_bytes(), Readers::Owner).map_err(
        |source| match source.kind() {
            io::ErrorKind::AlreadyExists => IdentityError::Exists(path.to_owned()),
            _ => IdentityError::Io { path: path.to_owned(), source },
        },
    )?;
    Ok(bytes)
}

/// Reads a file that only its owner should be able to read.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let io = |source| IdentityError::Io { path: path.to_owned(), source };
    let bytes = Zeroizing::new(ringfence_durable::read(path, MAX_SECRET).map_err(io)?);
    let text = text::decode(&bytes).map_err(io)?.into_owned();
    let bytes = Zeroizing::new(text.into_bytes());
    warn_of_readers(path).map_err(io)?;
    Ok(bytes)
}

/// Warns of a secret's file that others than its owner may read.
pub(crate) fn warn_of_readers(path: &Path) -> io::Result<()> {
    if let Some(mode) = readable_by_others(path)? {
        tracing::warn!(
            path = %path.display(),
            mode = format_args!("{mode:o}"),
            "a secret that others than its owner may read; chmod 600 it"
        );
    }
    Ok(())
}

/// The mode of a file that others than its owner may read.
fn readable_by_others(path: &Path) -> io::Result<Option<u32>> {
    let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
    Ok(Some(mode).filter(|mode| mode & 0o077 != 0))
}
