//! Bearer tokens: the administrator's, and those of auditors and further administrators, of which only
//! hashes are kept.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ringfence_crypto::api::token;
use ringfence_crypto::id::StudyId;
use ringfence_durable::text;
use zeroize::Zeroizing;

use crate::core::senders::Sender;
use crate::identity::{Identity, IdentityError, new_secret, read_secret};

/// Most bytes of the file with the tokens' hashes: thousands of auditors.
const MAX_FILE: usize = 1 << 20;

/// What whoever has a token may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Register studies, and read all.
    Admin,
    /// Read these.
    Auditor(Scope),
}

/// Which studies an auditor may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Whichever are registered.
    All,
    /// These.
    Named(Vec<StudyId>),
}

impl Scope {
    /// Whether this one is among them.
    pub(crate) fn admits(&self, study: StudyId) -> bool {
        match self {
            Self::All => true,
            Self::Named(named) => named.contains(&study),
        }
    }
}

/// A file of tokens that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line that is none.
    #[error(
        "{path}, line {line}: expected `admin NAME HASH` or `auditor NAME HASH [STUDY ...]` as `ringfence-aggregator token` prints it, {reason}"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// All tokens that are known.
#[derive(Clone)]
pub(crate) struct Tokens {
    known: Vec<(blake3::Hash, Holder)>,
}

/// Whoever has a token.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// What he may do.
    pub(crate) role: Role,
    /// What he takes of the service now.
    pub(crate) sender: Sender,
}

impl From<Role> for Holder {
    fn from(role: Role) -> Self {
        Self { role, sender: Sender::default() }
    }
}

impl Tokens {
    /// Reads the administrator's token: one line of at least 16 bytes, and not the key that the
    /// aggregator signs with: whoever registers studies would have it.
    pub(crate) fn load(path: &Path, identity: &Identity) -> Result<Self, IdentityError> {
        let file = read_secret(path)?;
        let token = token(&file)
            .map_err(|reason| IdentityError::Token { path: path.to_owned(), reason })?;
        if identity.is_seed(token) {
            return Err(IdentityError::TokenIsKey(path.to_owned()));
        }
        Ok(Self { known: vec![(blake3::hash(token.as_bytes()), Role::Admin.into())] })
    }

    /// With those whose hashes stand in a file, a line each; `#` begins a remark.
    ///
    /// # Errors
    /// [`TokensError`] names the line.
    pub(crate) fn with_hashes(mut self, path: &Path) -> Result<Self, TokensError> {
        let io = |source| TokensError::Io { path: path.to_owned(), source };
        let bytes = ringfence_durable::read(path, MAX_FILE).map_err(io)?;
        let file = text::decode(&bytes).map_err(io)?;
        for (line, row) in (1..).zip(file.lines()) {
            let row = row.split('#').next().unwrap_or_default().trim();
            if row.is_empty() {
                continue;
            }
            let wrong = |reason| TokensError::Line { path: path.to_owned(), line, reason };
            let (hash, role) = hashed(row).map_err(wrong)?;
            if self.known.iter().any(|(known, _)| *known == hash) {
                return Err(wrong("got the hash of a token that is known already; a token has one line, with all of its studies".to_owned()));
            }
            self.known.push((hash, role.into()));
        }
        Ok(self)
    }

    /// These tokens.
    #[cfg(test)]
    pub(crate) fn of_tests<'a>(tokens: impl Iterator<Item = (&'a str, Role)>) -> Self {
        Self {
            known: tokens
                .map(|(token, role)| (blake3::hash(token.as_bytes()), role.into()))
                .collect(),
        }
    }

    /// Everybody's hash, and what he may do.
    pub(crate) fn all(&self) -> impl Iterator<Item = &(blake3::Hash, Holder)> {
        self.known.iter()
    }

    /// Whose token this is. `blake3::Hash` compares in constant time, and what is compared are hashes,
    /// so that nothing can be learned byte by byte.
    pub(crate) fn holder(&self, token: &[u8]) -> Option<Holder> {
        let hash = blake3::hash(token);
        let known = self.known.iter().find(|(known, _)| *known == hash);
        known.map(|(_, holder)| holder.clone())
    }
}

/// One line of the file.
fn hashed(row: &str) -> Result<(blake3::Hash, Role), String> {
    let words: Vec<&str> = row.split_whitespace().collect();
    let [role, _name, hash, studies @ ..] = words.as_slice() else {
        return Err(format!("got {} words", words.len()));
    };
    let hash = blake3::Hash::from_hex(hash)
        .map_err(|_| "the hash is none of 64 hexadecimal digits".to_owned())?;
    let studies: Result<Vec<StudyId>, _> = studies.iter().map(|study| study.parse()).collect();
    let studies = studies.map_err(|error| format!("a study: {error}"))?;
    let role = match (*role, studies.is_empty()) {
        ("admin", true) => Role::Admin,
        ("admin", false) => return Err("got studies after an admin, who may read all".into()),
        ("auditor", true) => Role::Auditor(Scope::All),
        ("auditor", false) => Role::Auditor(Scope::Named(studies)),
        (other, _) => return Err(format!("got the role {other:?}")),
    };
    Ok((hash, role))
}

/// Makes a new token in a file that only its owner may read; answers with its hash.
///
/// # Errors
/// [`IdentityError`] when the file exists or cannot be written.
pub fn new_token(path: &Path) -> Result<String, IdentityError> {
    let token = Zeroizing::new(hex::encode(new_secret(path)?.as_ref()));
    Ok(blake3::hash(token.as_bytes()).to_hex().to_string())
}

impl fmt::Debug for Tokens {
    /// Nothing of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.known.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(lines: &str) -> Result<Tokens, TokensError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, lines).unwrap();
        Tokens { known: Vec::new() }.with_hashes(&path)
    }

    #[test]
    fn a_token_has_the_role_of_its_line() {
        let hash = |token: &str| blake3::hash(token.as_bytes()).to_hex();
        let study = StudyId(ringfence_crypto::Digest::of(b"a study"));
        let lines = format!(
            "# who may read\n\nadmin head {}\nauditor all {} # of every study\nauditor one {} {study}\n",
            hash("first"),
            hash("second"),
            hash("third")
        );
        let tokens = load(&lines).unwrap();
        let role = |token: &[u8]| tokens.holder(token).map(|holder| holder.role);
        assert_eq!(role(b"first"), Some(Role::Admin));
        assert_eq!(role(b"second"), Some(Role::Auditor(Scope::All)));
        let Some(Role::Auditor(of)) = role(b"third") else { panic!() };
        assert!(of.admits(study) && !of.admits(StudyId(ringfence_crypto::Digest::of(b"another"))));
        assert_eq!(role(b"fourth"), None);
        assert_eq!(format!("{tokens:?}"), "Tokens(3)");
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let hash = blake3::hash(b"x").to_hex();
        for (bad, line, word) in [
            ("auditor".to_owned(), 2, "got 1 words"),
            ("auditor a secret".to_owned(), 2, "the hash is none of 64 hexadecimal digits"),
            (format!("reader a {hash}"), 2, "got the role \"reader\""),
            (format!("auditor a {hash} study"), 2, "a study: "),
            (format!("admin a {hash} {hash}"), 2, "studies after an admin"),
            (format!("auditor a {hash}\nauditor a {hash}"), 3, "known already"),
        ] {
            let error = load(&format!("# first\n{bad}\n")).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}:")) && error.contains(word), "{error}");
            // It may be a token that was put in the place of its hash.
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
