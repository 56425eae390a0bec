//! The aggregator's closing of a round: the set that is fixed, and the sum over it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::freeze::{Freeze, FreezeError};
use super::header::Header;
use super::manifest::Manifest;
use super::receipt::Receipt;
use super::review::{Review, ReviewError};
use super::study::Study;
use crate::dealing::{Broken, Exclusion, Judge, Judgement, Reviewed, Trust};
use crate::digest::Digest;
use crate::id::{
    ClosingId, FreezeId, HeaderId, ManifestId, RoundNumber, SiteId, StudyId, UnixSeconds,
};
use crate::log::{Checkpoint, LogEntry};
use crate::signature::{SignatureError, Signed, Statement};
use crate::time::{MAX_CLOCK_AHEAD, Utc};
use crate::wire::canonical::{Canonical, canonical};

/// One contribution of the set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Included {
    /// Who contributed.
    pub site: SiteId,
    /// Its header.
    pub header: HeaderId,
}
canonical!(Included { site, header });

/// Why a contribution that got a receipt is not in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExclusionReason {
    /// The reviews show that its site is corrupt.
    Barred,
    /// Too few of its shares lie on one codeword to tell which are wrong.
    Undetermined,
    /// A holder that is still needed says that its share is not sound.
    Accused,
    /// The aggregator lost or damaged its bytes, and did not get them again in time.
    Damaged,
    /// Another contribution of its group is not there: the study holds its sets apart.
    GroupIncomplete,
}

impl Canonical for ExclusionReason {
    fn encode(&self, out: &mut Vec<u8>) {
        let variant = match self {
            Self::Barred => 0u8,
            Self::Undetermined => 1,
            Self::Accused => 2,
            Self::Damaged => 3,
            Self::GroupIncomplete => 4,
        };
        variant.encode(out);
    }
}

impl From<Exclusion> for ExclusionReason {
    fn from(exclusion: Exclusion) -> Self {
        match exclusion {
            Exclusion::Barred => Self::Barred,
            Exclusion::Undetermined => Self::Undetermined,
            Exclusion::Accused => Self::Accused,
        }
    }
}

impl fmt::Display for ExclusionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Barred => {
                "the key holders' reviews show that it dealt or reviewed falsely, and it is barred"
            }
            Self::Undetermined => {
                "too few of the key shares that it dealt lie on one polynomial to tell which are wrong"
            }
            Self::Accused => "a key holder that is needed says that its key share is not sound",
            Self::Damaged => {
                "the aggregator lost or damaged its bytes and did not get them again in time"
            }
            Self::GroupIncomplete => {
                "another contribution of its group is missing, and the study counts a group whole or not at all"
            }
        })
    }
}

/// One contribution that got a receipt and is not in the set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// The study.
    pub study: StudyId,
    /// Round number.
    pub round: RoundNumber,
    /// The round's manifest.
    pub manifest: ManifestId,
    /// The list of contributions that was reviewed.
    pub freeze: FreezeId,
    /// When the set was fixed.
    pub closed_at: UnixSeconds,
    /// The set, ascending by name.
    pub included: Vec<Included>,
    /// Those of the freeze that are not in the set, ascending by name, each with its reason; none in
    /// an abort.
    pub excluded: Vec<Excluded>,
    /// Digests of the reviews that were judged, in window order of their holders.
    pub reviews: Vec<Digest>,
    /// BLAKE3 root of the sum of the bodies; none for an abort.
    pub sum: Option<Digest>,
    /// The study's log with everything that came before this closing.
    pub checkpoint: Checkpoint,
}
canonical!(Closing {
    study,
    round,
    manifest,
    freeze,
    closed_at,
    included,
    excluded,
    reviews,
    sum,
    checkpoint
});

impl Statement for Closing {
    const LABEL: &'static str = "closing";
    type Id = ClosingId;
}

/// What a set is checked against.
#[derive(Clone, Copy, Debug)]
pub struct SetView<'a> {
    /// Trust before the round.
    pub trust: &'a Trust,
    /// The checked freeze.
    pub freeze: &'a Freeze,
    /// The headers of all contributions that it names.
    pub headers: &'a [Signed<Header>],
    /// The holders' reviews, at least those that the closing lists.
    pub reviews: &'a [Signed<Review>],
}

/// A closing that nobody should endorse.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClosingError {
    /// Of another round or study.
    #[error(
        "the closing is for round {got} (manifest {got_manifest}) of study {got_study}, expected round {expected} (manifest {expected_manifest}) of study {expected_study}"
    )]
    Round {
        /// This round.
        expected: RoundNumber,
        /// This round's manifest.
        expected_manifest: ManifestId,
        /// This study.
        expected_study: StudyId,
        /// As stated.
        got: RoundNumber,
        /// As stated.
        got_manifest: ManifestId,
        /// As stated.
        got_study: StudyId,
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
    /// The freeze names what its sites have not signed.
    #[error(transparent)]
    List(#[from] FreezeError),
    /// Of another list.
    #[error("the closing is of freeze {got}, expected {expected}; keep both freezes as evidence")]
    Freeze {
        /// The round's freeze.
        expected: FreezeId,
        /// As stated.
        got: FreezeId,
    },
    /// A set and its exclusions that are not the freeze's list.
    #[error(
        "the closing's set and exclusions are not the contributions of its freeze: {site} is missing, or not of the freeze"
    )]
    NotTheList {
        /// The first that differs.
        site: SiteId,
    },
    /// A review that it lists was not shown, or stands twice.
    #[error(
        "the closing lists the review {0}, which was not shown, stands twice or is out of window order"
    )]
    ReviewMissing(Digest),
    /// A review that counts is none.
    #[error(transparent)]
    Review(#[from] ReviewError),
    /// More corrupt sites than the study allows for.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// A contribution left out without cause, or kept against the reviews.
    #[error(
        "the closing says of {site}: {got}, but its reviews say: {expected}",
        got = said(*.got), expected = said(*.expected)
    )]
    Judgement {
        /// Whose contribution.
        site: SiteId,
        /// What follows from the reviews; none: it belongs to the set.
        expected: Option<ExclusionReason>,
        /// As stated; none: it is in the set.
        got: Option<ExclusionReason>,
    },
    /// A set although the reviews allow none.
    #[error(
        "the closing has a set, but its reviews allow none: t + c' holders that are not set aside must have reviewed, and min_sites contributions must be left"
    )]
    NoSet,
    /// Signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

fn said(reason: Option<ExclusionReason>) -> String {
    reason.map_or_else(|| "it belongs to the set".to_owned(), |reason| reason.to_string())
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
    /// before, freeze, headers and reviews that this closing names, and the site's own receipt. Proofs
    /// are asked for and checked in this order.
    pub fn logged(&self, manifest: &Manifest, receipt: Option<&Receipt>) -> Vec<LogEntry> {
        let included = self.included.iter().map(|entry| entry.header);
        let excluded = self.excluded.iter().map(|entry| entry.header);
        std::iter::once(LogEntry::of::<Manifest>(self.manifest))
            .chain(manifest.previous.map(LogEntry::of::<Self>))
            .chain([LogEntry::of::<Freeze>(self.freeze)])
            .chain(included.chain(excluded).map(LogEntry::of::<Header>))
            .chain(self.reviews.iter().map(|review| LogEntry::of::<Review>(*review)))
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
                expected_study: manifest.study,
                got: closing.round,
                got_manifest: closing.manifest,
                got_study: closing.study,
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
        if closing.is_abort()
            && let Some(entry) = closing.excluded.first()
        {
            return Err(ClosingError::NotTheList { site: entry.site.clone() });
        }
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

    /// What everybody concludes from the reviews that this closing lists. `trust` is the one before
    /// the round; the freeze has been checked ([`Freeze::check`]), `reviews` are searched.
    ///
    /// # Errors
    /// [`ClosingError`] when the freeze is another one, a review that is listed is missing or unsound,
    /// or more sites are shown to be corrupt than the study allows for.
    pub fn judge(
        &self,
        study: &Study,
        trust: &Trust,
        freeze: &Freeze,
        reviews: &[Signed<Review>],
    ) -> Result<Judgement, ClosingError> {
        let reviewed = self.judged(study, freeze, reviews)?;
        let (window, dealers) = (study.window(self.round), freeze.dealers());
        Ok(Judge::of(study, &window, &dealers, trust).judge(&reviewed)?)
    }

    /// The reviews that this closing lists, checked, in its order.
    ///
    /// # Errors
    /// [`ClosingError`], as [`Closing::judge`].
    pub fn judged(
        &self,
        study: &Study,
        freeze: &Freeze,
        reviews: &[Signed<Review>],
    ) -> Result<Vec<Reviewed>, ClosingError> {
        let (expected, got) = (freeze.id(), self.freeze);
        if expected != got {
            return Err(ClosingError::Freeze { expected, got });
        }
        let shown: BTreeMap<Digest, &Signed<Review>> =
            reviews.iter().map(|review| (review.id(), review)).collect();
        let mut last = None;
        let mut judged = Vec::with_capacity(self.reviews.len());
        for digest in &self.reviews {
            let missing = || ClosingError::ReviewMissing(*digest);
            let review = shown.get(digest).ok_or_else(missing)?;
            Review::check(review, study, freeze)?;
            // Window order also says that no holder stands twice.
            let offset = study.holder_offset(self.round, &review.statement.holder);
            if offset <= last {
                return Err(missing());
            }
            last = offset;
            judged.push(review.statement.reviewed());
        }
        Ok(judged)
    }

    /// Checks the set against the signed headers and reviews that a holder fetched: set and
    /// exclusions are the freeze's list, every entry is what its site signed, and whoever is left out
    /// is so by the reviews, or the aggregator signs that it lost the bytes, or another one of its
    /// group is missing. That the aggregator lost bytes nobody else can check; the set that is left
    /// needs `min_sites` contributions and whole groups all the same. An abort needs no reason: it
    /// opens nothing.
    ///
    /// # Errors
    /// [`ClosingError`] with the first contribution that is wrong.
    pub fn check_set(&self, study: &Study, shown: SetView<'_>) -> Result<Judgement, ClosingError> {
        let SetView { trust, freeze, headers, reviews } = shown;
        let judgement = self.judge(study, trust, freeze, reviews)?;
        if self.is_abort() {
            return Ok(judgement);
        }
        if judgement.set.is_empty() {
            return Err(ClosingError::NoSet);
        }
        self.is_list(freeze)?;
        freeze.check_headers(study, headers)?;
        let lost = self.excluded.iter().filter(|out| out.reason == ExclusionReason::Damaged);
        let lost: BTreeSet<&SiteId> = lost.map(|out| &out.site).collect();
        let left_out = study.left_out(&freeze.contributions, &judgement, &lost);
        for entry in &freeze.contributions {
            let site = &entry.site;
            let expected = left_out.get(site).copied();
            let got = self.exclusion(&entry.header).copied();
            if got != expected {
                return Err(ClosingError::Judgement { site: site.clone(), expected, got });
            }
        }
        Ok(judgement)
    }

    /// Refuses a set that is not, with its exclusions, the freeze's list.
    fn is_list(&self, freeze: &Freeze) -> Result<(), ClosingError> {
        let included = self.included.iter().map(|entry| (&entry.site, entry.header));
        let excluded = self.excluded.iter().map(|entry| (&entry.site, entry.header));
        let stated: BTreeMap<&SiteId, HeaderId> = included.chain(excluded).collect();
        let list: BTreeMap<&SiteId, HeaderId> =
            freeze.contributions.iter().map(|entry| (&entry.site, entry.header)).collect();
        let both = || stated.iter().chain(&list);
        match both().find(|(site, _)| stated.get(*site) != list.get(*site)) {
            Some((site, _)) => Err(ClosingError::NotTheList { site: (*site).clone() }),
            None => Ok(()),
        }
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
