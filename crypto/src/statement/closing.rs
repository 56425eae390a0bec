//! The aggregator's closing of a round: the set that is fixed, and the sum over it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::header::Header;
use super::manifest::Manifest;
use super::receipt::Receipt;
use super::review::{Review, complaints};
use super::study::Study;
use crate::digest::Digest;
use crate::id::{ClosingId, HeaderId, ManifestId, RoundNumber, SiteId, StudyId, UnixSeconds};
use crate::log::{Checkpoint, LogEntry};
use crate::signature::{SignatureError, Signed, Statement};
use crate::time::{MAX_CLOCK_AHEAD, Utc};
use crate::wire::canonical::{Canonical, canonical};

/// One contribution of the set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Included {
    /// Who contributed.
    pub site: SiteId,
    /// Its header.
    pub header: HeaderId,
}
canonical!(Included { site, header });

/// Why a contribution that got a receipt is not in the set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ExclusionReason {
    /// More than `c` holders complain about its envelopes: the digests of their reviews.
    Complaints(Vec<Digest>),
    /// The aggregator lost or damaged its bytes, and did not get them again in time.
    Damaged,
}

impl Canonical for ExclusionReason {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Complaints(reviews) => {
                0u8.encode(out);
                reviews.encode(out);
            }
            Self::Damaged => 1u8.encode(out),
        }
    }
}

impl fmt::Display for ExclusionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complaints(reviews) => {
                write!(f, "{} key holders complain about its envelopes", reviews.len())
            }
            Self::Damaged => f.write_str(
                "the aggregator lost or damaged its bytes and did not get them again in time",
            ),
        }
    }
}

impl ExclusionReason {
    /// The reviews that it names.
    pub fn reviews(&self) -> &[Digest] {
        match self {
            Self::Complaints(reviews) => reviews,
            Self::Damaged => &[],
        }
    }
}

/// One contribution that got a receipt and is not in the set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Excluded {
    /// The dealer.
    pub site: SiteId,
    /// Its header.
    pub header: HeaderId,
    /// Why it is left out.
    pub reason: ExclusionReason,
}
canonical!(Excluded { site, header, reason });

/// The aggregator's signed end of a round: the set, and the digest of the sum over it.
/// An empty set is an *abort*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// The study.
    pub study: StudyId,
    /// Round number.
    pub round: RoundNumber,
    /// The round's manifest.
    pub manifest: ManifestId,
    /// When the set was fixed.
    pub closed_at: UnixSeconds,
    /// The set, ascending by name.
    pub included: Vec<Included>,
    /// Receipts that are not in the set, ascending by name, each with its reason.
    pub excluded: Vec<Excluded>,
    /// BLAKE3 root of the sum of the bodies; none for an abort.
    pub sum: Option<Digest>,
    /// The study's log with everything that came before this closing.
    pub checkpoint: Checkpoint,
}
canonical!(Closing { study, round, manifest, closed_at, included, excluded, sum, checkpoint });

impl Statement for Closing {
    const LABEL: &'static str = "closing";
    type Id = ClosingId;
}

/// A closing that nobody should endorse.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClosingError {
    /// Of another round.
    #[error(
        "the closing is for round {got} (manifest {got_manifest}), expected round {expected} (manifest {expected_manifest})"
    )]
    Round {
        /// This round.
        expected: RoundNumber,
        /// This round's manifest.
        expected_manifest: ManifestId,
        /// As stated.
        got: RoundNumber,
        /// As stated.
        got_manifest: ManifestId,
    },
    /// A set too small to protect its members.
    #[error(
        "the closing's set has {got} contributions, expected none (an abort) or at least {min}"
    )]
    SetSize {
        /// As stated.
        got: usize,
        /// The study's `min_sites`.
        min: u16,
    },
    /// Closed before it was opened.
    #[error(
        "the closing says that the round was closed at {closed_at}, before its manifest opened it at {opened_at}; the aggregator signed a wrong time: look at its clock"
    )]
    ClosedBeforeOpened {
        /// As stated.
        closed_at: Utc,
        /// By the manifest.
        opened_at: Utc,
    },
    /// Closed in the future.
    #[error(
        "the closing says that the round was closed at {closed_at}, more than {MAX_CLOCK_AHEAD} s ahead of this site's clock, which shows {now}; look at the aggregator's clock first, then at this site's"
    )]
    ClosedAhead {
        /// As stated.
        closed_at: Utc,
        /// The time at whoever checks.
        now: Utc,
    },
    /// Out of order, twice, or not on the roster.
    #[error("the closing's entry {0} is out of order, stands twice or is not on the roster")]
    Entry(SiteId),
    /// A sum without a set or the other way round.
    #[error("a closing names a sum if and only if its set is not empty")]
    Sum,
    /// A log too small for what the closing names.
    #[error(
        "the closing's checkpoint has {got} leaves, expected at least {min}: the manifest and every header that it names"
    )]
    Checkpoint {
        /// As stated.
        got: u64,
        /// Statements that must be in it.
        min: u64,
    },
    /// A contribution whose header is not the site's own.
    #[error("the closing names header {got} of {site}, but what that site signed is {expected:?}")]
    Header {
        /// Whose header.
        site: SiteId,
        /// What the site signed.
        expected: Option<HeaderId>,
        /// As stated.
        got: HeaderId,
    },
    /// A contribution left out without cause.
    #[error(
        "the closing leaves out {site}, whose contribution has a receipt, with {complaints} complaints; more than c = {collusion} are needed"
    )]
    Omitted {
        /// Who was left out.
        site: SiteId,
        /// Complaints shown.
        complaints: usize,
        /// The study's bound.
        collusion: u16,
    },
    /// Signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Closing {
    /// Whether this ends the round without a sum.
    pub fn is_abort(&self) -> bool {
        self.included.is_empty()
    }

    /// Whether the set contains the contribution with this header.
    pub fn includes(&self, site: &SiteId, header: &HeaderId) -> bool {
        self.included.iter().any(|entry| entry.site == *site && entry.header == *header)
    }

    /// The header under which a site's contribution is in the set.
    pub fn header_of(&self, site: &SiteId) -> Option<HeaderId> {
        self.included.iter().find(|entry| entry.site == *site).map(|entry| entry.header)
    }

    /// What the checkpoint must contain, as far as a site can tell: the manifest, the closing
    /// before, every header and review that this closing names, and the site's own receipt. Proofs
    /// are asked for and checked in this order.
    pub fn logged(&self, manifest: &Manifest, receipt: Option<&Receipt>) -> Vec<LogEntry> {
        let included = self.included.iter().map(|entry| entry.header);
        let excluded = self.excluded.iter().map(|entry| entry.header);
        let reviews = self.excluded.iter().flat_map(|entry| entry.reason.reviews());
        std::iter::once(LogEntry::of::<Manifest>(self.manifest))
            .chain(manifest.previous.map(LogEntry::of::<Self>))
            .chain(included.chain(excluded).map(LogEntry::of::<Header>))
            .chain(reviews.map(|review| LogEntry::of::<Review>(*review)))
            .chain(receipt.map(|receipt| LogEntry::of::<Receipt>(receipt.id())))
            .collect()
    }

    /// Checks what the statement alone shows: the aggregator's signature, the round, the set's
    /// size and order, the log's size, and that it was not closed before it was opened.
    ///
    /// # Errors
    /// [`ClosingError`] with the first thing that is wrong.
    pub fn check(
        signed: &Signed<Self>,
        study: &Study,
        manifest: &Manifest,
    ) -> Result<(), ClosingError> {
        let closing = &signed.statement;
        signed.verify(&study.aggregator_key, &"the aggregator")?;
        let expected_manifest = manifest.id();
        if closing.study != manifest.study
            || closing.round != manifest.round
            || closing.manifest != expected_manifest
        {
            return Err(ClosingError::Round {
                expected: manifest.round,
                expected_manifest,
                got: closing.round,
                got_manifest: closing.manifest,
            });
        }
        if closing.closed_at < manifest.opened_at {
            let (closed_at, opened_at) = (closing.closed_at.utc(), manifest.opened_at.utc());
            return Err(ClosingError::ClosedBeforeOpened { closed_at, opened_at });
        }
        let got = closing.included.len();
        if got != 0 && got < usize::from(study.min_sites) {
            return Err(ClosingError::SetSize { got, min: study.min_sites });
        }
        if closing.sum.is_some() == closing.is_abort() {
            return Err(ClosingError::Sum);
        }
        let (got, min) = (closing.checkpoint.size, closing.logged(manifest, None).len() as u64);
        if got < min {
            return Err(ClosingError::Checkpoint { got, min });
        }
        ascending(study, closing.included.iter().map(|entry| &entry.site))?;
        ascending(study, closing.excluded.iter().map(|entry| &entry.site))?;
        match closing.excluded.iter().find(|entry| closing.header_of(&entry.site).is_some()) {
            Some(both) => Err(ClosingError::Entry(both.site.clone())),
            None => Ok(()),
        }
    }

    /// Refuses a closing from the future, by the clock of the holder that is to endorse it: the next
    /// round may not be opened before that time. Not a part of [`Closing::check`]: an auditor who
    /// checks it later has another time.
    ///
    /// # Errors
    /// [`ClosingError::ClosedAhead`].
    pub fn check_clock(&self, now: UnixSeconds) -> Result<(), ClosingError> {
        if self.closed_at <= now.after(MAX_CLOCK_AHEAD) {
            return Ok(());
        }
        let (closed_at, now) = (self.closed_at.utc(), now.utc());
        Err(ClosingError::ClosedAhead { closed_at, now })
    }

    /// The reason for which the contribution with this header is left out, if it is.
    pub fn exclusion(&self, header: &HeaderId) -> Option<&ExclusionReason> {
        self.excluded.iter().find(|entry| entry.header == *header).map(|entry| &entry.reason)
    }

    /// Checks the set against the signed headers and reviews that a holder fetched: every entry is
    /// what its site signed, and whoever is left out drew more than `c` complaints, or the
    /// aggregator signs that it lost the bytes. That it lost them nobody else can check; the set
    /// that is left needs `min_sites` contributions all the same.
    ///
    /// # Errors
    /// [`ClosingError`] with the first contribution that is wrong.
    pub fn check_set(
        &self,
        study: &Study,
        headers: &[Signed<Header>],
        reviews: &[Signed<Review>],
    ) -> Result<(), ClosingError> {
        let entries = self
            .included
            .iter()
            .map(|entry| (&entry.site, entry.header))
            .chain(self.excluded.iter().map(|entry| (&entry.site, entry.header)));
        for (site, got) in entries {
            let header = headers.iter().find(|header| header.statement.site == *site);
            let expected = header.map(Signed::id);
            let (Some(header), Some(member)) = (header, study.site(site)) else {
                return Err(ClosingError::Header { site: site.clone(), expected, got });
            };
            header.verify(&member.signature_key, site)?;
            if expected != Some(got) || header.statement.manifest != self.manifest {
                return Err(ClosingError::Header { site: site.clone(), expected, got });
            }
        }
        for entry in &self.excluded {
            if entry.reason == ExclusionReason::Damaged {
                continue;
            }
            let complaints = complaints(study, self.round, self.manifest, &entry.site, reviews)?;
            let collusion = study.threshold.collusion;
            // An abort needs no reason for each contribution: it opens nothing.
            if complaints.len() <= usize::from(collusion) && !self.is_abort() {
                let (site, complaints) = (entry.site.clone(), complaints.len());
                return Err(ClosingError::Omitted { site, complaints, collusion });
            }
        }
        Ok(())
    }
}

fn ascending<'a>(
    study: &Study,
    sites: impl Iterator<Item = &'a SiteId>,
) -> Result<(), ClosingError> {
    let mut previous: Option<&SiteId> = None;
    for site in sites {
        if previous.is_some_and(|previous| previous >= site) || study.site(site).is_none() {
            return Err(ClosingError::Entry(site.clone()));
        }
        previous = Some(site);
    }
    Ok(())
}
