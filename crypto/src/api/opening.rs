//! A holder's opening as the holder posts it, whole, and as each site fetches it: its own part.
//!
//! The content is encrypted once, and its key sealed to every site of the roster. The statement
//! names the digest of the content and the root of a tree over the sealed keys, hashed like the log
//! ([`LogHash`], RFC 6962). So a part, one sealed key with its path and the content, is checked
//! against the statement alone.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{ClosingId, ManifestId, RoundNumber, SiteId};
use crate::log::{Checkpoint, InclusionProof, LogHash, Tree};
use crate::ring::params::KEY_WORDS;
use crate::signature::{SignatureError, Signed};
use crate::statement::{Opening, Study, Subject};
use crate::threshold::Threshold;
use crate::wire::canonical::{self, Canonical};

/// Bytes of a content key as it is sealed to a site: X-Wing's encapsulation, the key, the tag.
pub const SEALED_KEY_BYTES: usize = 1120 + 32 + 16;

/// Bytes of the salt ahead of an opening's share words: a digest of the words alone could be
/// guessed at.
pub const SALT_BYTES: usize = 32;

/// Words of one share of a key: one for each polynomial that carries some of its words.
pub fn share_words(threshold: &Threshold) -> usize {
    KEY_WORDS.div_ceil(usize::from(threshold.packing).max(1))
}

/// Words of an opening on `subject`: a share of the key sum; a functional's `l` for each of `sites`
/// sites; a share of the key of each of `sites` sites.
pub fn opening_words(threshold: &Threshold, subject: Subject, sites: usize) -> usize {
    match subject {
        Subject::Sum => share_words(threshold),
        Subject::Functionals { .. } => usize::from(threshold.packing).saturating_mul(sites),
        Subject::Keys { .. } => share_words(threshold).saturating_mul(sites),
    }
}

/// Bytes of an opening's encrypted content: salt, words and tag.
pub fn content_bytes(words: usize) -> usize {
    SALT_BYTES.saturating_add(words.saturating_mul(8)).saturating_add(16)
}

/// Most bytes of an opening's statement in a frame: a name of 32 bytes, six hashes and a
/// signature, each as text with its count, and which subject.
const STATEMENT_BYTES: usize = (8 + 32) + 6 * (8 + 64) + (8 + 128) + 8;

/// Most bytes of an [`OpeningFrame`] of so many words for a roster of `sites` sites: what a holder
/// posts.
pub fn opening_frame_bytes(words: usize, sites: usize) -> usize {
    let content = 8 + content_bytes(words);
    STATEMENT_BYTES + content + 8 + sites * (8 + SEALED_KEY_BYTES)
}

/// Most bytes of an [`OpeningPart`] of so many words for a roster of `sites` sites: what a site
/// fetches of one holder's opening.
pub fn opening_part_bytes(words: usize, sites: usize) -> usize {
    let content = 8 + content_bytes(words);
    let depth = sites.next_power_of_two().ilog2() as usize;
    STATEMENT_BYTES + (8 + SEALED_KEY_BYTES) + (8 + depth * (8 + 64)) + content
}

/// What a leaf of the recipients' tree is the hash of, under the label `opening-recipient`.
struct Recipient<'a> {
    site: &'a SiteId,
    /// Of the sealed content key.
    key: Digest,
}

impl Canonical for Recipient<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { site, key } = self;
        site.encode(out);
        key.encode(out);
    }
}

/// The leaf of a recipient in the tree that an opening's statement names.
pub fn recipient_leaf(site: &SiteId, key: &[u8]) -> LogHash {
    let recipient = Recipient { site, key: Digest::of(key) };
    LogHash::leaf(&canonical::bytes("opening-recipient", &recipient))
}

/// The tree over the sealed content keys, one for each site of the roster in its order; its root
/// stands in the statement.
pub fn recipients(study: &Study, keys: &[Vec<u8>]) -> Tree {
    let mut tree = Tree::default();
    for (site, key) in study.roster.iter().zip(keys) {
        tree.append(recipient_leaf(&site.id, key));
    }
    tree
}

/// The round and closing that an opening is for.
#[derive(Clone, Copy, Debug)]
pub struct OpeningContext<'a> {
    /// The study.
    pub study: &'a Study,
    /// Round number.
    pub round: RoundNumber,
    /// The round's manifest.
    pub manifest: ManifestId,
    /// The certified closing.
    pub closing: ClosingId,
    /// What is opened.
    pub subject: Subject,
    /// How many words its content holds ([`opening_words`]).
    pub words: usize,
}

/// A holder's opening as it is posted, as a binary frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpeningFrame {
    /// The signed statement.
    pub statement: Signed<Opening>,
    /// Salt and share words, encrypted.
    #[serde(with = "crate::wire::byte_string")]
    pub content: Vec<u8>,
    /// The content's key, sealed to each site in roster order.
    #[serde(with = "crate::wire::byte_string::list")]
    pub keys: Vec<Vec<u8>>,
}

/// A frame that does not hold what its statement names, or not what the study asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpeningFrameError {
    /// Not one key a site.
    #[error("the opening holds {got} content keys, expected one for each of the {expected} sites")]
    Keys {
        /// Sites of the roster.
        expected: usize,
        /// Keys that came.
        got: usize,
    },
    /// A key that is too short or too long.
    #[error(
        "the opening's content key for {site} has {got} bytes, expected {SEALED_KEY_BYTES}: a key of 32 bytes, sealed"
    )]
    KeyBytes {
        /// Whose key.
        site: SiteId,
        /// Bytes that came.
        got: usize,
    },
    /// Content that is too short or too long.
    #[error(
        "the opening's content has {got} bytes, expected {expected}: salt, share words and tag"
    )]
    ContentBytes {
        /// By the study's thresholds.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// Not the content of the statement.
    #[error("the opening's content has digest {got}, its statement names {expected}")]
    Content {
        /// By the statement.
        expected: Digest,
        /// What came.
        got: Digest,
    },
    /// Not the keys of the statement.
    #[error(
        "the opening's content keys have the root {got}, its statement names {expected}; they are sent in roster order"
    )]
    Recipients {
        /// By the statement.
        expected: LogHash,
        /// What came.
        got: LogHash,
    },
}

impl OpeningFrame {
    /// Checks that the frame holds what its statement names, as many keys as the roster has
    /// sites, and so many words. Who signed the statement and for which round is checked by the round.
    ///
    /// # Errors
    /// [`OpeningFrameError`] with the first thing that is wrong.
    pub fn check(self, study: &Study, words: usize) -> Result<CheckedOpening, OpeningFrameError> {
        let (expected, got) = (study.roster.len(), self.keys.len());
        if expected != got {
            return Err(OpeningFrameError::Keys { expected, got });
        }
        let wrong = |key: &Vec<u8>| key.len() != SEALED_KEY_BYTES;
        let wrong = study.roster.iter().zip(&self.keys).find(|(_, key)| wrong(key));
        if let Some((site, key)) = wrong {
            return Err(OpeningFrameError::KeyBytes { site: site.id.clone(), got: key.len() });
        }
        let (expected, got) = (content_bytes(words), self.content.len());
        if expected != got {
            return Err(OpeningFrameError::ContentBytes { expected, got });
        }
        let statement = &self.statement.statement;
        let (expected, got) = (statement.content, Digest::of(&self.content));
        if expected != got {
            return Err(OpeningFrameError::Content { expected, got });
        }
        let tree = recipients(study, &self.keys);
        let (expected, got) = (statement.recipients, tree.checkpoint().root);
        if expected != got {
            return Err(OpeningFrameError::Recipients { expected, got });
        }
        Ok(CheckedOpening { frame: self, tree })
    }
}

/// An opening that holds what its statement names: only such a one is cut into parts.
#[derive(Clone, Debug)]
pub struct CheckedOpening {
    frame: OpeningFrame,
    tree: Tree,
}

impl CheckedOpening {
    /// The opening as it was posted.
    pub fn frame(&self) -> &OpeningFrame {
        &self.frame
    }

    /// The sealed key of the site at a position of the roster, and its path in the tree; none
    /// beyond the roster's end.
    pub fn key(&self, position: usize) -> Option<(&[u8], Vec<LogHash>)> {
        let key = self.frame.keys.get(position)?;
        // `position` is below the number of leaves, so there is a path.
        let proof = self.tree.inclusion(position as u64, self.tree.size()).ok()?;
        Some((key, proof.hashes))
    }

    /// The part of the site at a position of the roster; none beyond its end.
    pub fn part(&self, position: usize) -> Option<OpeningPart> {
        let (key, path) = self.key(position)?;
        let OpeningFrame { statement, content, keys: _ } = &self.frame;
        let (statement, content) = (statement.clone(), content.clone());
        Some(OpeningPart { statement, key: key.to_vec(), path, content })
    }
}

/// One site's part of a holder's opening, as a binary frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpeningPart {
    /// The signed statement.
    pub statement: Signed<Opening>,
    /// The content's key, sealed to the site.
    #[serde(with = "crate::wire::byte_string")]
    pub key: Vec<u8>,
    /// What leads from the site's leaf to the root in the statement: siblings, from the leaf's own
    /// up to the root's child.
    pub path: Vec<LogHash>,
    /// Salt and share words, encrypted.
    #[serde(with = "crate::wire::byte_string")]
    pub content: Vec<u8>,
}

/// A part that is not what the holder signed. Who serves it is at fault, never the holder: an
/// aggregator takes and keeps only openings that check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// For another closing, or by no holder of the round.
    #[error("the opening of {0} is for another round, closing or subject, or {0} is no key holder")]
    Other(SiteId),
    /// Signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A recipient that is none.
    #[error("site {0} is not on the study's roster: no opening is sealed to it")]
    Stranger(SiteId),
    /// Other content.
    #[error(
        "the content of the opening of {holder} has digest {got}, its statement names {expected}"
    )]
    Content {
        /// Who opened.
        holder: SiteId,
        /// By the statement.
        expected: Digest,
        /// What came.
        got: Digest,
    },
    /// Another key, or a path from elsewhere.
    #[error(
        "the content key for {recipient} and its path of {hashes} hashes do not lead to the root that the opening of {holder} names ({expected})"
    )]
    Key {
        /// Who opened.
        holder: SiteId,
        /// Whose key it should be.
        recipient: SiteId,
        /// Hashes of the path.
        hashes: usize,
        /// By the statement.
        expected: LogHash,
    },
}

impl OpeningPart {
    /// Checks statement, content and key; returns the holder's window offset. What checks is what
    /// the holder signed: if it cannot be used, that is the holder's doing.
    ///
    /// # Errors
    /// [`PartError`] with the first thing that is wrong.
    pub fn check(
        &self,
        context: OpeningContext<'_>,
        recipient: &SiteId,
    ) -> Result<usize, PartError> {
        let OpeningContext { study, round, manifest, closing, subject, words: _ } = context;
        let statement = &self.statement.statement;
        let holder = &statement.holder;
        let other = || PartError::Other(holder.clone());
        let offset = study.holder_offset(round, holder).ok_or_else(other)?;
        let stated = (statement.manifest, statement.closing, statement.subject);
        if stated != (manifest, closing, subject) {
            return Err(other());
        }
        let site = study.site(holder).ok_or_else(other)?;
        self.statement.verify(&site.signature_key, holder)?;
        self.check_bytes(study, recipient)?;
        Ok(offset)
    }

    /// Checks content and key against the statement, for who has checked the statement before.
    ///
    /// # Errors
    /// [`PartError`] with the first thing that is wrong.
    pub fn check_bytes(&self, study: &Study, recipient: &SiteId) -> Result<(), PartError> {
        let Opening { holder, content: expected, recipients: root, .. } = &self.statement.statement;
        let (expected, got) = (*expected, Digest::of(&self.content));
        if expected != got {
            return Err(PartError::Content { holder: holder.clone(), expected, got });
        }
        let stranger = || PartError::Stranger(recipient.clone());
        let index = study.position(recipient).ok_or_else(stranger)? as u64;
        let size = study.roster.len() as u64;
        let proof = InclusionProof { index, size, hashes: self.path.clone() };
        let leaf = recipient_leaf(recipient, &self.key);
        proof.verify(leaf, &Checkpoint { size, root: *root }).map_err(|_| PartError::Key {
            holder: holder.clone(),
            recipient: recipient.clone(),
            hashes: self.path.len(),
            expected: *root,
        })
    }
}
