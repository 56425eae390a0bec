//! Why a site's state cannot be used.

use std::io;
use std::path::Path;

use ringfence_crypto::protocol::OtherVersion;
use ringfence_crypto::wire::json::JsonError;

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is damaged.
    #[error(
        "{path} is damaged ({source}); if this state was restored from a backup, run `ringfence restored`"
    )]
    Damaged {
        /// The file.
        path: String,
        /// Why.
        source: JsonError,
    },
    /// Made by another version of the protocol.
    #[error("{root}: {source}; give --state another folder for the new study")]
    Version {
        /// The state directory.
        root: String,
        /// Which version.
        source: OtherVersion,
    },
    /// Another process uses it.
    #[error("{0} is in use by another ringfence process of this site; wait for it, or stop it")]
    Locked(String),
    /// A decision that was already made.
    #[error("{0} exists already: this decision is made once and never again")]
    Exists(String),
}

impl JournalError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }
}
