//! What key holders open in a dispute: functionals of each key, then the culprits' whole keys.
//! `docs/disputes.md`, section 4.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_crypto::api::{OpeningFrame, opening_words};
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{DisputeCertificate, Subject, VerdictCertificate};
use ringfence_crypto::wire::frame;
use ringfence_keys::duties::disputes::{open_functionals, open_keys};
use ringfence_keys::open::{CheckedPart, OpeningContext};
use ringfence_keys::share::dealt::DealtShare;
use ringfence_keys::share::functional::{Determined, Undetermined};
use ringfence_keys::share::reconstruct::KeySum;
use ringfence_keys::share::share::{Share, share_words};
use zeroize::Zeroizing;

use crate::error::SiteError;
use crate::openings::{Fetched, Place};
use crate::site::Site;
use crate::spoiled::{Spoiled, may};
use crate::transport::{Openings, TransportError};
use crate::wait::{Awaited, Waiting};

impl Site {
    /// The functional of each site that is left, once it is determined for all of them.
    pub(crate) async fn functionals(
        &self,
        spoiled: &Spoiled<'_>,
        dispute: &DisputeCertificate,
    ) -> Result<BTreeMap<SiteId, u64>, SiteError> {
        let index = dispute.statement.index;
        if let Some(ticket) = may(self.holder()?.may_answer(spoiled.case(), dispute))? {
            let sites = ticket.sites();
            let answer = self.answer(spoiled, Openings::Functionals(index), &sites, |shares| {
                let mut rng = ringfence_keys::system_rng()
                    .map_err(|error| SiteError::Randomness(error.to_string()))?;
                Ok(open_functionals(&self.identity, &self.study, &ticket, shares, &mut rng)?)
            });
            answer.await?;
        }
        let sites: Vec<SiteId> = spoiled.left().into_iter().map(|(site, _)| site).collect();
        let (threshold, free) = (self.study.threshold, spoiled.judged.judgement.free);
        let l = usize::from(threshold.packing);
        let subject = Subject::Functionals { dispute: dispute.statement.id() };
        let words = opening_words(&threshold, subject, sites.len());
        let place = Place { openings: Openings::Functionals(index), subject, words };
        self.gather(spoiled, place, Awaited::Functionals(index), |answers| {
            let mut found = BTreeMap::new();
            for (site, at) in sites.iter().zip((0..).step_by(l)) {
                let of_site = |words: &'_ [u64]| words.get(at..at + l).unwrap_or_default().to_vec();
                let values: BTreeMap<usize, Vec<u64>> =
                    answers.iter().map(|(offset, words)| (*offset, of_site(words))).collect();
                let values = values.iter().map(|(offset, of)| (*offset, of.as_slice())).collect();
                let determined: Result<Determined, Undetermined> =
                    Determined::of_answers(&values, &threshold, free);
                found.insert(site.clone(), determined.ok()?.value);
            }
            Some(found)
        })
        .await
    }

    /// The whole keys of the sites that a verdict names, once each is determined.
    pub(crate) async fn culprits_keys(
        &self,
        spoiled: &Spoiled<'_>,
        dispute: &DisputeCertificate,
        verdict: &VerdictCertificate,
    ) -> Result<Vec<KeySum>, SiteError> {
        let index = dispute.statement.index;
        if let Some(ticket) = may(self.holder()?.may_remove(spoiled.case(), dispute, verdict))? {
            let answer = self.answer(spoiled, Openings::Keys(index), ticket.sites(), |shares| {
                let mut rng = ringfence_keys::system_rng()
                    .map_err(|error| SiteError::Randomness(error.to_string()))?;
                Ok(open_keys(&self.identity, &self.study, &ticket, shares, &mut rng)?)
            });
            answer.await?;
        }
        let named = verdict.statement.sites.len();
        let (threshold, free) = (self.study.threshold, spoiled.judged.judgement.free);
        let each = share_words(&threshold);
        let subject = Subject::Keys { verdict: verdict.statement.id() };
        let words = opening_words(&threshold, subject, named);
        let place = Place { openings: Openings::Keys(index), subject, words };
        self.gather(spoiled, place, Awaited::Keys(index), |answers| {
            let key = |place: usize| {
                let share = |(offset, words): (&usize, &Zeroizing<Vec<u64>>)| {
                    let words = words.chunks(each).nth(place)?;
                    Some((*offset, Share::from_words(words, &threshold)?))
                };
                let shares: Vec<(usize, Share)> =
                    answers.iter().map(share).collect::<Option<_>>()?;
                let key = KeySum::reconstruct(&shares, &threshold, free).ok()?;
                key.is_determined(&threshold, free).then_some(key)
            };
            (0..named).map(key).collect()
        })
        .await
    }

    /// Opens this holder's shares of some sites' keys, if it has them all, durably first.
    async fn answer(
        &self,
        spoiled: &Spoiled<'_>,
        place: Openings,
        sites: &[SiteId],
        seal: impl FnOnce(&[(SiteId, DealtShare)]) -> Result<OpeningFrame, SiteError>,
    ) -> Result<(), SiteError> {
        let manifest = spoiled.manifest;
        let journal = self.journal.round(self.study_id, manifest.round)?;
        let bytes = match journal.opening(place)? {
            Some(bytes) => {
                journal.sync()?;
                bytes
            }
            None => {
                let left = spoiled.left();
                let named: Vec<_> =
                    left.into_iter().filter(|(site, _)| sites.contains(site)).collect();
                let shares = self.shares(manifest, &named).await?;
                if shares.len() < named.len() {
                    // A dealer of the set cheated this holder: its openings do not count anyway.
                    return Ok(());
                }
                let frame = frame::encode(&seal(&shares)?).map_err(TransportError::from)?;
                journal.save_opening(place, &frame)?;
                frame
            }
        };
        let frame: OpeningFrame =
            frame::decode(&bytes, "an opening").map_err(TransportError::from)?;
        Ok(self.at(manifest.round).put_opening(place, &frame).await?)
    }

    /// Gathers the openings of holders whose openings count until they determine something; waits for
    /// more within this site's patience.
    async fn gather<T>(
        &self,
        spoiled: &Spoiled<'_>,
        place: Place,
        what: Awaited,
        determine: impl Fn(&BTreeMap<usize, Zeroizing<Vec<u64>>>) -> Option<T>,
    ) -> Result<T, SiteError> {
        let Spoiled { manifest, certificate, judged, .. } = spoiled;
        let round = manifest.round;
        let set: Vec<SiteId> = spoiled.left().into_iter().map(|(site, _)| site).collect();
        let mut waiting = Waiting::begin(self, round)?;
        let mut answers = BTreeMap::new();
        let mut fetched = BTreeSet::new();
        let mut version = 0;
        loop {
            let ready = |status: &RoundStatus| {
                let posted = place.posted(&self.study, status);
                status.version > version && posted.iter().any(|holder| !fetched.contains(holder))
            };
            let status = self.wait_on(&mut waiting, round, what, ready).await?;
            version = status.version;
            let posted = place.posted(&self.study, &status);
            let openers = self.openers(judged, &set, &posted, &status).await?;
            let context = OpeningContext {
                study: &self.study,
                round,
                manifest: manifest.id(),
                closing: certificate.closing.id(),
                subject: place.subject,
                words: place.words,
            };
            for holder in posted {
                let unseal = |part: &CheckedPart<'_>| part.unseal_words();
                let counts = self
                    .study
                    .holder_offset(round, &holder)
                    .is_some_and(|offset| openers.contains(&offset));
                if !counts || fetched.contains(&holder) {
                    continue;
                }
                match self.fetch_opening(context, place.openings, (&holder, None), unseal).await? {
                    Fetched::Opened((offset, words)) => {
                        answers.insert(offset, words);
                        fetched.insert(holder);
                    }
                    Fetched::Unusable(_) => {
                        fetched.insert(holder);
                    }
                    Fetched::NotServed(_) => {}
                }
            }
            if let Some(found) = determine(&answers) {
                return Ok(found);
            }
        }
    }
}
