//! The key sum of a certified set, from the holders' openings.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use ringfence_crypto::api::{OpeningPart, opening_words};
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Certificate, Manifest, Subject};
use ringfence_keys::open::{CheckedPart, OpenError, OpeningContext};
use ringfence_keys::share::reconstruct::KeySum;
use ringfence_keys::share::share::Share;

use crate::error::SiteError;
use crate::judged::Judged;
use crate::openings::Fetched;
use crate::round_wait::RoundWait;
use crate::site::Site;
use crate::transport::Openings;
use crate::wait::Awaited;

/// After how long an opening that the aggregator did not serve is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// Openings that are fetched at the same time, at most.
const AT_ONCE: usize = 8;

/// What the openings of a round come to.
pub(crate) enum KeysFound<T> {
    /// A key sum under which the sum opens.
    Opened(KeySum, T),
    /// The key sum, which is determined, and under which the sum does not open.
    Spoiled(KeySum),
}

impl Site {
    /// Finds the key sum from the openings that count, and whether the sum opens under it; waits for
    /// more while no candidate opens it and none is determined, until all have come or this site's
    /// patience is over. Whoever lies among them costs time only: what the sum must look like tells
    /// the right key sum from the others.
    pub(crate) async fn key_sum<T>(
        &self,
        manifest: &Manifest,
        certificate: &Certificate,
        (judged, mut status): (&Judged, RoundStatus),
        open: impl Fn(&KeySum) -> Result<T, OpenError>,
    ) -> Result<(KeysFound<T>, Vec<(SiteId, String)>), SiteError> {
        let round = manifest.round;
        let holders = self.study.window(round);
        let included = &certificate.closing.statement.included;
        let set: Vec<SiteId> = included.iter().map(|entry| entry.site.clone()).collect();
        let (threshold, free) = (&self.study.threshold, judged.judgement.free);
        let context = OpeningContext {
            study: &self.study,
            round,
            manifest: manifest.id(),
            closing: certificate.closing.id(),
            subject: Subject::Sum,
            words: opening_words(threshold, Subject::Sum, set.len()),
        };
        let end = self.clock.moment().after(self.patience);
        let (mut openings, mut unusable) = (Vec::new(), Vec::<(SiteId, String)>::new());
        // Fetched once: an opening never changes.
        let mut fetched = BTreeSet::new();
        let mut tried: Option<(usize, OpenError)> = None;
        let (mut along, mut listed) = self.opened_along(round);
        loop {
            let mut faults = Vec::new();
            let mut served = std::mem::take(&mut along);
            let mut opened: BTreeSet<SiteId> =
                status.opened.sites(&self.study.roster).cloned().collect();
            let lacking: Vec<&SiteId> = opened
                .iter()
                .filter(|holder| !fetched.contains(*holder) && !served.contains_key(*holder))
                .collect();
            // Where others are known to be there, all are judged. Its own opening tells a site nothing
            // new, unless those that came along do not suffice.
            let came_along = !served.is_empty();
            let may_suffice = came_along && lacking.iter().all(|holder| *holder == self.id());
            let own_is_left = may_suffice && !lacking.is_empty();
            if may_suffice {
                opened = served.keys().cloned().collect();
            } else if !lacking.is_empty() {
                served.extend(self.opened_parts(round, listed, opened.len()).await);
                listed = 0;
            }
            // The list may have some that came after the status.
            let came = served.keys().filter(|holder| holders.contains(holder));
            opened.extend(came.cloned().collect::<Vec<_>>());
            let mut fetching = Vec::new();
            for holder in opened.iter().filter(|holder| !fetched.contains(*holder)) {
                fetching.push(self.opening_of(context, holder.clone(), served.remove(holder)));
            }
            let news: Vec<_> = stream::iter(fetching).buffered(AT_ONCE).try_collect().await?;
            for (holder, opening) in news {
                match opening {
                    Fetched::Opened(opening) => openings.push(opening),
                    Fetched::Unusable(lie) => unusable.push((holder.clone(), lie.to_string())),
                    Fetched::NotServed(fault) => {
                        faults.push((holder.clone(), fault.to_string()));
                        continue;
                    }
                }
                fetched.insert(holder.clone());
            }
            // A review may come after its holder's opening.
            let opened: Vec<SiteId> = opened.into_iter().collect();
            let openers = self.openers(judged, &set, &opened, &status).await?;
            let (counting, others): (Vec<_>, Vec<_>) = openings
                .drain(..)
                .partition(|(offset, _): &(usize, Share)| openers.contains(offset));
            let usable = counting.len();
            // What was tried without a new opening fails again.
            let error = match tried.take().filter(|(before, _)| *before == usable) {
                Some((_, error)) => error,
                None => match self.try_openings(&counting, free, &open) {
                    Ok(KeysFound::Spoiled(_)) if own_is_left => OpenError::Check,
                    Ok(found) => {
                        let (KeysFound::Opened(keys, _) | KeysFound::Spoiled(keys)) = &found;
                        let named = |offset: &usize, reason: &str| {
                            Some((holders.get(*offset)?.clone(), reason.to_owned()))
                        };
                        let lied = "its share disagrees with the others: it lied";
                        unusable.extend(keys.disagreeing.iter().filter_map(|at| named(at, lied)));
                        let reason = |offset: &usize| match holders.get(*offset) {
                            Some(holder) if judged.judgement.aside.contains(holder) => {
                                "it is set aside: it is barred, or stands in a pair with a site that it accused or that accused it"
                            }
                            _ => "it has made no review that agrees with every dealer of the set",
                        };
                        let offsets = others.iter().map(|(offset, _)| offset);
                        unusable.extend(offsets.filter_map(|offset| named(offset, reason(offset))));
                        unusable.extend(faults);
                        return Ok((found, unusable));
                    }
                    Err(error) => error,
                },
            };
            openings.extend(counting);
            openings.extend(others);
            if may_suffice {
                // More may be there.
                continue;
            }
            let left = end.since(self.clock.moment());
            let all = holders.iter().all(|holder| fetched.contains(holder));
            if (all && usable == openings.len()) || left.is_zero() {
                return Err(error.into());
            }
            tried = Some((usable, error));
            let until = self.clock.now().after(left.as_secs());
            let wait = RoundWait::of(&self.study, Awaited::End, &status, None, until);
            self.tell_waiting(&status, wait);
            // An opening that is served at last is no change of the round.
            let left = if faults.is_empty() { left } else { left.min(AGAIN) };
            status = self.changed(round, status.version, left).await?;
        }
    }

    async fn opening_of(
        &self,
        context: OpeningContext<'_>,
        holder: SiteId,
        served: Option<OpeningPart>,
    ) -> Result<(SiteId, Fetched<(usize, Share)>), SiteError> {
        let unseal = |part: &CheckedPart<'_>| part.unseal();
        let opening = self.fetch_opening(context, Openings::Sum, (&holder, served), unseal).await?;
        Ok((holder, opening))
    }

    /// The first candidate for the key sum under which the sum opens; or the key sum that is
    /// determined and under which it does not.
    fn try_openings<T>(
        &self,
        openings: &[(usize, Share)],
        free: usize,
        open: impl Fn(&KeySum) -> Result<T, OpenError>,
    ) -> Result<KeysFound<T>, OpenError> {
        let threshold = &self.study.threshold;
        let mut first = None;
        for keys in KeySum::candidates(openings, threshold, free)? {
            match open(&keys) {
                Ok(opened) => return Ok(KeysFound::Opened(keys, opened)),
                Err(_) if keys.is_determined(threshold, free) => {
                    return Ok(KeysFound::Spoiled(keys));
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        // There is a candidate, or an error above.
        Err(first.unwrap_or(OpenError::Check))
    }
}
