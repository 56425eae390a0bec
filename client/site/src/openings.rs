//! One holder's opening as this site fetches it: its own part, checked before it is unsealed.

use std::collections::BTreeMap;

use ringfence_crypto::api::{OpeningPart, opening_part_bytes};
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::statement::{Study, Subject};
use ringfence_keys::open::{CheckedPart, OpeningContext, UnusableOpening};

use crate::error::{ServedError, SiteError};
use crate::site::Site;
use crate::transport::Openings;

/// How often a part that is not what its holder signed is asked for.
const ATTEMPTS: u32 = 3;

/// Which openings are asked for, and how many words each holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) openings: Openings,
    pub(crate) subject: Subject,
    pub(crate) words: usize,
}

impl Place {
    /// The holders that have opened.
    pub(crate) fn posted(&self, study: &Study, status: &RoundStatus) -> Vec<SiteId> {
        let of = |index: u16| status.disputes.iter().find(|of| of.index == index);
        let posted = match self.openings {
            Openings::Sum => Some(&status.opened),
            Openings::Functionals(index) => of(index).map(|of| &of.answered),
            Openings::Keys(index) => of(index).map(|of| &of.removing),
        };
        let sites = posted.into_iter().flat_map(|posted| posted.sites(&study.roster));
        sites.cloned().collect()
    }
}

/// What came of fetching a holder's opening. Whose fault it is that it cannot be used is settled
/// here and nowhere else: only what the holder signed is held against it.
#[derive(Debug)]
pub(crate) enum Fetched<T> {
    /// What was sealed to this site.
    Opened(T),
    /// The holder's lie: this is what it signed, and it cannot be used. It stays so.
    Unusable(UnusableOpening),
    /// The aggregator's fault: it served another thing or nothing, however often it was asked.
    /// Asked later it may serve the right one, so nothing is held against the holder.
    NotServed(SiteError),
}

impl Site {
    /// This site's parts of the openings of a round's sum as the aggregator lists them, without the
    /// first `from` of `expected`, by holder; unchecked, and some may be missing: those are asked for by
    /// themselves.
    pub(crate) async fn opened_parts(
        &self,
        round: RoundNumber,
        mut from: usize,
        expected: usize,
    ) -> BTreeMap<SiteId, OpeningPart> {
        let mut parts = BTreeMap::new();
        while from < expected {
            match self.at(round).opened(self.id(), from).await {
                Ok(page) if !page.is_empty() => {
                    from += page.len();
                    parts.extend(by_holder(page));
                }
                _ => break,
            }
        }
        parts
    }

    /// This site's parts of as many openings as are needed, where they came along with the news that
    /// they are there, and how many of the aggregator's list these are; unchecked.
    pub(crate) fn opened_along(
        &self,
        round: RoundNumber,
    ) -> (BTreeMap<SiteId, OpeningPart>, usize) {
        let window = self.study.window(round);
        let came = self.at(round).opened_along(self.id());
        let listed = came.len();
        let mut parts = by_holder(came);
        parts.retain(|holder, _| window.contains(holder));
        match parts.len() < usize::from(self.study.threshold.opening) {
            true => (BTreeMap::new(), 0),
            false => (parts, listed),
        }
    }

    /// Fetches this site's part of a holder's opening, checks it against the holder's statement, and
    /// unseals it; `served` is what came of it in a list. A part that is not what the holder signed is
    /// fetched by itself, [`ATTEMPTS`] times in all.
    ///
    /// # Errors
    /// [`SiteError`] when the aggregator cannot be reached.
    pub(crate) async fn fetch_opening<T>(
        &self,
        context: OpeningContext<'_>,
        place: Openings,
        (holder, served): (&SiteId, Option<OpeningPart>),
        unseal: impl Fn(&CheckedPart<'_>) -> Result<T, UnusableOpening>,
    ) -> Result<Fetched<T>, SiteError> {
        let mut served = served;
        // A list is asked for once, and each part that it lacks as often as ever.
        let mut attempt = u32::from(served.is_none());
        loop {
            let part = match served.take() {
                Some(part) => self.check_part(context, holder, part),
                None => self.checked_part(context, place, holder).await,
            };
            let fault = match part {
                Ok(part) => {
                    return Ok(match unseal(&part) {
                        Ok(opened) => Fetched::Opened(opened),
                        Err(lie) => Fetched::Unusable(lie),
                    });
                }
                Err(SiteError::Transport(error)) if error.is_away() => return Err(error.into()),
                Err(fault) => fault,
            };
            if attempt == ATTEMPTS {
                return Ok(Fetched::NotServed(fault));
            }
            if attempt > 0 {
                self.transport.pause(attempt).await;
            }
            attempt += 1;
        }
    }

    /// This site's part of a holder's opening; what comes back is what the holder signed.
    async fn checked_part<'a>(
        &'a self,
        context: OpeningContext<'a>,
        place: Openings,
        holder: &SiteId,
    ) -> Result<CheckedPart<'a>, SiteError> {
        let OpeningContext { study, round, words, .. } = context;
        let limit = opening_part_bytes(words, study.roster.len());
        let part = self.at(round).opening_part(place, holder, self.id(), limit).await?;
        self.check_part(context, holder, part)
    }

    fn check_part<'a>(
        &'a self,
        context: OpeningContext<'a>,
        holder: &SiteId,
        part: OpeningPart,
    ) -> Result<CheckedPart<'a>, SiteError> {
        let signer = &part.statement.statement.holder;
        if signer != holder {
            let (expected, got) = (holder.clone(), signer.clone());
            return Err(ServedError::OpeningOfAnother { expected, got }.into());
        }
        CheckedPart::check(&self.identity, context, part)
            .map_err(|source| ServedError::OpeningPart { holder: holder.clone(), source }.into())
    }
}

fn by_holder(parts: Vec<Option<OpeningPart>>) -> BTreeMap<SiteId, OpeningPart> {
    let parts = parts.into_iter().flatten();
    parts.map(|part| (part.statement.statement.holder.clone(), part)).collect()
}
