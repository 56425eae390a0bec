//! The administrator's token.

use std::fmt;
use std::path::Path;

use ringfence_crypto::api::token;

use crate::identity::{Identity, IdentityError, read_secret};

/// The administrator's token, kept as its hash only.
#[derive(Clone, Copy)]
pub(crate) struct AdminToken {
    hash: blake3::Hash,
}

impl AdminToken {
    /// Reads the token: one line of at least 16 bytes, and not the key that the aggregator signs
    /// with: whoever registers studies would have it.
    pub(crate) fn load(path: &Path, identity: &Identity) -> Result<Self, IdentityError> {
        let file = read_secret(path)?;
        let token = token(&file)
            .map_err(|reason| IdentityError::Token { path: path.to_owned(), reason })?;
        if identity.is_seed(token) {
            return Err(IdentityError::TokenIsKey(path.to_owned()));
        }
        Ok(Self { hash: blake3::hash(token.as_bytes()) })
    }

    /// Whether an `Authorization` header carries the token. `blake3::Hash` compares in constant
    /// time, and what is compared are hashes, so that nothing can be learned byte by byte.
    pub(crate) fn admits(&self, authorization: Option<&[u8]>) -> bool {
        let token = authorization.and_then(|value| value.strip_prefix(b"Bearer "));
        token.is_some_and(|token| blake3::hash(token) == self.hash)
    }
}

impl fmt::Debug for AdminToken {
    /// Nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}
