//! The cohort key: it authenticates the ledger and hides the units' names.
//!
//! It lies beside what it authenticates, because nobody at a site could type it in each round. So
//! whoever may read and write the folder could also write another ledger. The key is against damage,
//! mixed-up folders and edits by hand; against a site that cheats stand its own signed headers.

use std::fmt;
use std::path::Path;

use ringfence_crypto::Digest;
use ringfence_durable::{self as durable, Readers};
use ringfence_keys::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::error::LedgerError;

/// The file's name.
const FILE: &str = "cohort.key";

/// Bytes of the file: the digits and a newline.
const FILE_BYTES: usize = 65;

/// What the key is used for. No label is the beginning of another one, so what is hashed for one use
/// is never what is hashed for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// `ledger.json`.
    Terms,
    /// A line of `entries`.
    Entry,
    /// `head.json`.
    Head,
    /// The name of a unit.
    Unit,
    /// A set of units.
    Snapshot,
}

impl Use {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Terms => b"ringfence/ledger-terms/1",
            Self::Entry => b"ringfence/ledger-entry/1",
            Self::Head => b"ringfence/ledger-head/1",
            Self::Unit => b"ringfence/ledger-unit/1",
            Self::Snapshot => b"ringfence/ledger-snapshot/1",
        }
    }
}

/// The key of one cohort: 32 bytes from the operating system. It never leaves the site.
pub(super) struct CohortKey(Zeroizing<[u8; 32]>);

impl CohortKey {
    /// Draws a key and writes it, for its owner's eyes only. One that is there is read instead: a
    /// crash may have come before anything was made under it.
    pub(super) fn make(folder: &Path, rng: &mut impl CryptoRng) -> Result<Self, LedgerError> {
        let path = folder.join(FILE);
        if path.exists() {
            return Self::read(folder);
        }
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut_slice());
        let mut digits = Zeroizing::new([b'\n'; FILE_BYTES]);
        if let Some(digits) = digits.get_mut(..FILE_BYTES - 1) {
            // Of exactly this length.
            let _ = hex::encode_to_slice(key.as_slice(), digits);
        }
        durable::create(&path, digits.as_slice(), Readers::Owner)
            .map_err(|source| LedgerError::io(&path, source))?;
        Ok(Self(key))
    }

    /// Reads the key of a ledger. What stands in the file is never shown.
    pub(super) fn read(folder: &Path) -> Result<Self, LedgerError> {
        let path = folder.join(FILE);
        let bytes = durable::read(&path, FILE_BYTES).map(Zeroizing::new);
        let bytes = bytes.map_err(|source| LedgerError::io(&path, source))?;
        check_readers(&path)?;
        let mut key = Zeroizing::new([0; 32]);
        match bytes.split_last() {
            Some((b'\n', digits))
                if !digits.iter().any(u8::is_ascii_uppercase)
                    && hex::decode_to_slice(digits, key.as_mut_slice()).is_ok() =>
            {
                Ok(Self(key))
            }
            _ => Err(LedgerError::damaged(
                &path,
                "expected 64 lower-case hexadecimal digits and a newline".to_owned(),
            )),
        }
    }

    /// The code by which bytes are known to be this cohort's: keyed BLAKE3 over the label of their
    /// use and the bytes. Codes compare in constant time.
    pub(super) fn code(&self, of: Use, bytes: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        let code = hasher.update(of.label()).update(bytes).finalize();
        hasher.zeroize();
        code
    }

    /// A digest that nobody without the key can tell from a random one.
    pub(super) fn digest(&self, of: Use, bytes: &[u8]) -> Digest {
        Digest(*self.code(of, bytes).as_bytes())
    }
}

impl fmt::Debug for CohortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CohortKey(not shown)")
    }
}

/// Refuses a key that others than its owner may read: with it, whoever sees a snapshot can try out
/// the names of patients. A folder that came back from a backup may have lost its permissions.
#[cfg(unix)]
fn check_readers(path: &Path) -> Result<(), LedgerError> {
    use std::os::unix::fs::PermissionsExt;
    let about = std::fs::metadata(path).map_err(|source| LedgerError::io(path, source))?;
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(LedgerError::KeyReaders { path: path.display().to_string(), mode });
    }
    Ok(())
}

/// Elsewhere permissions do not tell.
#[cfg(not(unix))]
fn check_readers(_: &Path) -> Result<(), LedgerError> {
    Ok(())
}
