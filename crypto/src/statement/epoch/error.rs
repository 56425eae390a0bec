//! Why an epoch is refused.

use std::fmt;

use super::MissingSignatures;
use crate::id::{RoundNumber, SiteId, StudyId};
use crate::signature::SignatureError;
use crate::statement::StudyError;
use crate::threshold::Threshold;

/// Which of a site's keys an epoch is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WhichKey {
    /// The one of the roster before.
    Old,
    /// The one of the roster after, where it is another.
    New,
}

impl fmt::Display for WhichKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Old => "its key until now",
            Self::New => "its new key",
        })
    }
}

/// An epoch that is not this study's next, or that is not signed by whom it needs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EpochError {
    /// Of another study.
    #[error("the epoch is of study {got}, expected {expected}, the study as it was first signed")]
    First {
        /// The first study.
        expected: StudyId,
        /// As stated.
        got: StudyId,
    },
    /// Not the next one.
    #[error(
        "the epoch has number {got}, expected {expected}: epochs are numbered from 1, each once"
    )]
    Number {
        /// The next number.
        expected: u32,
        /// As stated.
        got: u32,
    },
    /// It stands on another study.
    #[error(
        "the epoch changes study {got}, expected {expected}, the one that is in force; make the change again from that"
    )]
    Before {
        /// The study in force.
        expected: StudyId,
        /// As stated.
        got: StudyId,
    },
    /// The study that comes with it is another one.
    #[error("the epoch names the study {expected} after it, and comes with {got}")]
    After {
        /// As the epoch names it.
        expected: StudyId,
        /// As it came.
        got: StudyId,
    },
    /// It ends before the epoch before it began.
    #[error(
        "round {got} is to be the last under the roster before, expected {least} at least, the last round of the epoch before"
    )]
    LastRound {
        /// The last round of the epoch before.
        least: RoundNumber,
        /// As stated.
        got: RoundNumber,
    },
    /// It changes nothing.
    #[error("the epoch changes nothing: expected a site that comes, goes or has new keys")]
    NoChange,
    /// A site in two changes.
    #[error("{0} stands in two changes of one epoch; make the second one an epoch of its own")]
    SiteTwice(SiteId),
    /// A site that is changed and is not there.
    #[error("{0} is not on the roster before, so it cannot be revoked, leave or have new keys")]
    NotOnRoster(SiteId),
    /// A site that comes and is there.
    #[error(
        "{0} is on the roster already: one with new keys is rotated, one that has lost its keys revoked first"
    )]
    OnRoster(SiteId),
    /// New keys that are none.
    #[error("the new keys of {0} are those that it has")]
    SameKeys(SiteId),
    /// The changes give another roster.
    #[error(
        "the changes do not give the roster of the study after them: expected the same sites in the same order, those that come last"
    )]
    Roster,
    /// The study after it cannot run.
    #[error("the study after the changes cannot run: {0}")]
    Study(#[from] StudyError),
    /// Something else is changed.
    #[error(
        "the study after the changes has another {0}: an epoch changes the roster and what follows from it; everything else takes a new study"
    )]
    Carried(&'static str),
    /// Thresholds that do not follow.
    #[error(
        "the study after the changes has the thresholds {got:?}, expected {expected:?}, which follow from the roster"
    )]
    Threshold {
        /// As they follow.
        expected: Threshold,
        /// As stated.
        got: Threshold,
    },
    /// Another number of contributions.
    #[error(
        "the study after the changes opens a sum for {got} contributions, expected {expected}, which follows from the roster"
    )]
    MinSites {
        /// As it follows.
        expected: u16,
        /// As stated.
        got: u16,
    },
    /// A group that is another one.
    #[error(
        "the changes would make a group of {}, which are not all new and were no group before: a study that holds its sets apart changes its roster by whole groups (sites that come: a multiple of {size})",
        group.iter().map(SiteId::as_str).collect::<Vec<_>>().join(", ")
    )]
    Groups {
        /// The sites of a group, at least.
        size: u16,
        /// The group.
        group: Vec<SiteId>,
    },
    /// A site that is gone knows the check key.
    #[error(
        "{0} is gone after the changes and knows the check key, which is the same as before; expected another one"
    )]
    CheckKeyKept(SiteId),
    /// Signed by somebody who has no say.
    #[error("the epoch carries a signature by {0}, who is on neither roster or signed already")]
    Signer(SiteId),
    /// A signature that holds under none of the site's keys.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Signatures are missing.
    #[error("the epoch is not signed yet: {0}")]
    Unsigned(MissingSignatures),
}
