//! Why a site's state cannot be used.

use std::io;
use std::path::Path;

use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::protocol::OtherVersion;
use ringfence_crypto::signature::PublicKey;
use ringfence_durable::advice;

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Reading or writing failed.
    #[error("{path}: {source}{}", advice(source))]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is damaged.
    #[error(
        "{path} is damaged ({reason}): something has altered it on this site's own disk, and nothing is signed on it; check the disk, put the state directory back from a backup and run `ringfence restored`"
    )]
    Damaged {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The secret of a round is not that of the key that was published.
    #[error(
        "{path} is damaged: it does not hold the secret of the round key that this site has published for round {round}, so that this site can read nothing that was sealed to it; it does not hold in this round and accuses nobody, the others go on without it; check the disk, and if you have a backup of this one file, put it back and go on"
    )]
    RoundSecret {
        /// The file.
        path: String,
        /// The round.
        round: RoundNumber,
    },
    /// A part of a contribution is gone.
    #[error(
        "{path} is not there, and with {kind} this site sends the contribution that it has signed: exactly those bytes, so they cannot be made again; put the file back from a backup and run the command again, or go on without: the round closes without this contribution, and this site takes part in the next"
    )]
    Missing {
        /// The file.
        path: String,
        /// What it holds.
        kind: &'static str,
    },
    /// The state of another site.
    #[error(
        "{root} is the state of site {owner} (signature key {owner_key}), and this is site {site} (signature key {site_key}): on another's state a site could sign twice what it may sign once; give --state this site's own folder, or a new one"
    )]
    OtherSite {
        /// The state directory.
        root: String,
        /// Whose state it is.
        owner: SiteId,
        /// That site's signature key.
        owner_key: Box<PublicKey>,
        /// Who would use it.
        site: SiteId,
        /// This site's signature key.
        site_key: Box<PublicKey>,
    },
    /// Made by another version of the protocol.
    #[error("{root}: {source}; give --state another folder for the new study")]
    Version {
        /// The state directory.
        root: String,
        /// Which version.
        source: OtherVersion,
    },
    /// Made by another version of this program.
    #[error(
        "{root} was made by another version of this program, whose state is of version {found}, and this one reads and writes version {expected}; finish the study with that version, or begin a new study with a new identity and --state another folder: with the same identity in another folder a site forgets what it may do once only"
    )]
    State {
        /// The state directory.
        root: String,
        /// The version that it has.
        found: u32,
        /// The version that this program uses.
        expected: u32,
    },
    /// Another process uses it.
    #[error("{0} is in use by another ringfence process of this site; wait for it, or stop it")]
    Locked(String),
    /// A decision that was already made.
    #[error("{0} exists already: this decision is made once and never again")]
    Exists(String),
}

impl JournalError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }

    pub(crate) fn damaged(path: &Path, reason: String) -> Self {
        Self::Damaged { path: path.display().to_string(), reason }
    }
}
