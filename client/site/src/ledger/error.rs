//! Why a ledger cannot be used, or a round not be charged to it.

use std::io;
use std::path::Path;
use std::time::Duration;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_durable::advice;

use super::entry::Budget;
use super::overspent::{Overspent, Whose};
use super::units::{MOST_UNITS, UnitKind};
use crate::journal::JournalError;

/// What is done when a ledger is not what it was.
const PUT_BACK: &str = "put the newest copy of the ledger's folder back; if there is none of this state, put the ledger and the state directory back from one backup and run `ringfence restored`; with --ledger it charges every round that the ledger may have forgotten";

/// A ledger that cannot be used, or that a round cannot be charged to. Nothing has left the site.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Reading or writing failed.
    #[error("{path}: {source}{}", advice(source))]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The site's journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The accountant.
    #[error(transparent)]
    Accounting(#[from] ringfence_privacy::Error),
    /// No ledger lies there.
    #[error("{0} is no privacy ledger: expected a folder that `ringfence ledger init` has made")]
    None(String),
    /// One lies there already.
    #[error(
        "{0} holds a privacy ledger, or a part of one, already: a ledger is never overwritten, because with it what was spent would be forgotten; give another folder, or use this one"
    )]
    Exists(String),
    /// Nobody would own it.
    #[error("expected 1 to {most} identities that the ledger belongs to, each once, got {got}")]
    Owners {
        /// How many came.
        got: usize,
        /// How many may.
        most: usize,
    },
    /// Another process uses it.
    #[error(
        "{root} is in use by {}, and was for {} s; a ringfence has it for a moment, while it charges a round: if it stays so, see what that process does",
        holder.map_or("another process".to_owned(), |process| format!("process {process}")),
        waited.as_secs()
    )]
    Locked {
        /// The ledger.
        root: String,
        /// The process that has it, where the operating system says it.
        holder: Option<u32>,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Written to after others were let at it: a mistake in this program.
    #[error("{root} is not locked any more, so nothing is written to it; please report this")]
    Released {
        /// The ledger.
        root: String,
    },
    /// Made by another version of this program.
    #[error(
        "{root} has files of format {found}, and this program reads format {expected}; use the version of ringfence that made it"
    )]
    Format {
        /// The ledger.
        root: String,
        /// As stated.
        found: u32,
        /// As known here.
        expected: u32,
    },
    /// A file was altered.
    #[error(
        "{path} was altered ({reason}); nothing is charged to it and no update leaves: {PUT_BACK}"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Others may read the cohort key.
    #[error(
        "{path} may be read by others (mode {mode:03o}), expected by its owner only: with it the names of patients can be tried out; run `chmod 600` on it"
    )]
    KeyReaders {
        /// The file.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// Of another hospital.
    #[error(
        "{root} belongs to {owners}, and this is site {site} with another signature key: give --ledger the folder of this site's own cohort"
    )]
    NotOwner {
        /// The ledger.
        root: String,
        /// Its owners.
        owners: String,
        /// Who would use it.
        site: SiteId,
    },
    /// A restore is noted, and what the ledger may have forgotten is not charged.
    #[error(
        "site state and ledger: a restore from a backup is noted in study {study}, and what {root} may have forgotten of that study is not charged yet; until then nothing is charged in any study: run `ringfence restored {} --ledger {root}` with that study's --study, and this --identity and --state{}",
        through.map_or("--continue".to_owned(), |through| format!("--through {through}")),
        match through {
            Some(_) => "; it needs no server",
            None => ", which waits for the other sites' answers, or the same with `--through N` in place of --continue, which needs no server (`ringfence restored --help` says which N)",
        }
    )]
    Unsettled {
        /// The ledger.
        root: String,
        /// The study.
        study: StudyId,
        /// Through which round; none while that is not known.
        through: Option<RoundNumber>,
    },
    /// It has forgotten what the site's journal saw.
    #[error(
        "{root} was copied back: in study {study} this site saw it with {seen} entries, the last of them {last}, and now it holds {found}; what was spent since would be spent again, so nothing is charged: {PUT_BACK}",
        last = last.short()
    )]
    CopiedBack {
        /// The ledger.
        root: String,
        /// The study in which it was seen.
        study: StudyId,
        /// Entries that were seen.
        seen: u64,
        /// What named the last of them.
        last: Digest,
        /// What is there.
        found: String,
    },
    /// A signed header of this site counts more rounds.
    #[error(
        "{root} was copied back: this site has signed in the log of study {study} that its data were used in {signed} rounds, and the ledger knows of {known}: {PUT_BACK}"
    )]
    LogKnowsMore {
        /// The ledger.
        root: String,
        /// The study.
        study: StudyId,
        /// As signed.
        signed: u32,
        /// As charged.
        known: u32,
    },
    /// The journal knows of a contribution that was never charged.
    #[error(
        "{root} does not hold round {round} of study {study}, to which this site contributed: it was copied back, or it is not the ledger that this study's rounds are charged to: {PUT_BACK}"
    )]
    Uncharged {
        /// The ledger.
        root: String,
        /// The study.
        study: StudyId,
        /// The first such round.
        round: RoundNumber,
    },
    /// The study is charged to another ledger.
    #[error(
        "the rounds of study {study} are charged to another ledger than {root} (its digest is {noted}, this one's {found}): the same patients must not have two budgets; give --ledger that one",
        noted = noted.short(), found = found.short()
    )]
    OtherLedger {
        /// The ledger that was given.
        root: String,
        /// The study.
        study: StudyId,
        /// Digest of the other one's terms.
        noted: Digest,
        /// Digest of this one's terms.
        found: Digest,
    },
    /// After a restore, a ledger that no study is known to be charged to.
    #[error(
        "nothing shows that study {study} is charged to the ledger {root} ({found}): this state has forgotten its charges, and knows of other studies, {other} among them, which are charged to the ledger {known}; give --ledger that one, or say by --unfamiliar-ledger that this is the right one",
        study = study.short(), found = found.short(), other = other.short(), known = known.short()
    )]
    Unfamiliar {
        /// The ledger that was given.
        root: String,
        /// The study.
        study: StudyId,
        /// A study whose ledger is known.
        other: StudyId,
        /// Digest of that one's terms.
        known: Digest,
        /// Digest of the given one's terms.
        found: Digest,
    },
    /// The study is charged by another site.
    #[error(
        "study {study} is charged to this ledger by site {charged}, and this is site {site}: two sites of one study must not train on the same patients"
    )]
    OtherSite {
        /// The study.
        study: StudyId,
        /// Who charges it.
        charged: SiteId,
        /// Who would.
        site: SiteId,
    },
    /// The study's policy is another one.
    #[error(
        "the rounds of study {study} were charged under a budget of {charged}, and now it is {got}: a study's policy is fixed by its digest, so this study file is not the one that was signed"
    )]
    PolicyChanged {
        /// The study.
        study: StudyId,
        /// As charged.
        charged: Budget,
        /// As given.
        got: Budget,
    },
    /// A round is charged once.
    #[error(
        "round {round} of study {study} is charged already, with {differs}: what has left under it cannot be known to be the same; contribute to the next round, or give exactly what was charged"
    )]
    OtherCharge {
        /// The study.
        study: StudyId,
        /// The round.
        round: RoundNumber,
        /// What is not the same.
        differs: &'static str,
    },
    /// The site was restored.
    #[error(
        "round {round} of study {study} is charged as forgotten, after a restore from a backup through round {through}: this site takes part again after that"
    )]
    Forgotten {
        /// The study.
        study: StudyId,
        /// The round.
        round: RoundNumber,
        /// The last forgotten one.
        through: RoundNumber,
    },
    /// Another kind of unit than the ledger's.
    #[error(
        "the study counts privacy by {got}, and {root} keeps account by {expected}: epsilons of the two do not add up; use a ledger for such units (`ringfence ledger init --unit {got}`) and data that it alone accounts for"
    )]
    Unit {
        /// The ledger.
        root: String,
        /// The ledger's.
        expected: UnitKind,
        /// The study's.
        got: UnitKind,
    },
    /// No units, or too many.
    #[error("expected 1 to {MOST_UNITS} units (records or patients) in all, got {got}")]
    Units {
        /// How many.
        got: usize,
    },
    /// A round without a mechanism, or with too many.
    #[error("expected 1 to {most} mechanisms a round, each used at least once, got {got}")]
    Mechanisms {
        /// How many came.
        got: usize,
        /// How many may.
        most: usize,
    },
    /// No epsilon.
    #[error("expected a finite epsilon above zero, got {0}")]
    Epsilon(f64),
    /// No delta.
    #[error("expected a delta above 0 and below 1, got {0}")]
    Delta(f64),
    /// A delta with which publishing all about one unit would count as private.
    #[error(
        "expected {whose} delta to be below 1/{units}, for {units} units take part, got {delta}: at that delta publishing all about one of them would count as private; {way_out}",
        way_out = match whose {
            Whose::Study => "the study needs a policy with a smaller one",
            Whose::Hospital => "let fewer units take part; a ledger is given a smaller one when it is made, before anything is charged to it",
        }
    )]
    DeltaForUnits {
        /// Whose delta.
        whose: Whose,
        /// The delta.
        delta: f64,
        /// Units of the round.
        units: usize,
    },
    /// Noise that is not exact enough for so small a delta.
    #[error(
        "the noise of all charged rounds together is within {distance:.1e} of exact noise, which may take a tenth of delta at most, and delta is {delta:e}: nothing more is charged to it; a study or a ledger with a larger delta is needed"
    )]
    DeltaTaken {
        /// The delta.
        delta: f64,
        /// Statistical distance of all noise from exact noise.
        distance: f64,
    },
    /// No room.
    #[error("{root} is full: expected at most {most} entries; no study goes on with it")]
    Full {
        /// The ledger.
        root: String,
        /// How many there may be.
        most: usize,
    },
    /// A budget does not suffice.
    #[error(transparent)]
    Overspent(Box<Overspent>),
}

impl LedgerError {
    /// Whether it keeps a site from contributing to a round and from nothing else: a budget is spent,
    /// or what is charged for the round is not what would be sent. Everything else is to be mended
    /// before the site goes on: a wrong folder, one that was altered or copied back.
    pub fn leaves_out_round(&self) -> bool {
        match self {
            Self::Overspent(_)
            | Self::Forgotten { .. }
            | Self::OtherCharge { .. }
            | Self::DeltaTaken { .. }
            | Self::DeltaForUnits { .. }
            | Self::Full { .. } => true,
            Self::Io { .. }
            | Self::Journal(_)
            | Self::Accounting(_)
            | Self::None(_)
            | Self::Exists(_)
            | Self::Owners { .. }
            | Self::Locked { .. }
            | Self::Released { .. }
            | Self::Format { .. }
            | Self::Damaged { .. }
            | Self::KeyReaders { .. }
            | Self::NotOwner { .. }
            | Self::Unsettled { .. }
            | Self::CopiedBack { .. }
            | Self::LogKnowsMore { .. }
            | Self::Uncharged { .. }
            | Self::OtherLedger { .. }
            | Self::Unfamiliar { .. }
            | Self::OtherSite { .. }
            | Self::PolicyChanged { .. }
            | Self::Unit { .. }
            | Self::Units { .. }
            | Self::Mechanisms { .. }
            | Self::Epsilon(_)
            | Self::Delta(_) => false,
        }
    }

    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }

    pub(super) fn damaged(path: &Path, reason: String) -> Self {
        Self::Damaged { path: path.display().to_string(), reason }
    }
}
