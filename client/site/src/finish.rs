//! Finishing a round: fetch what is certified, open the sum, check everything, acknowledge.

use std::collections::BTreeSet;
use std::time::Duration;

use ringfence_crypto::api::opening_words;
use ringfence_crypto::id::{ManifestId, SiteId};
use ringfence_crypto::round::RoundState;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Manifest, Outcome, Proceedings, Subject, VerdictCertificate,
};
use ringfence_keys::duties::disputes::Case;
use ringfence_keys::open::{
    CheckedPart, Evidence, OpenError, OpenedMean, OpenedSum, OpeningContext, SumContext,
};
use ringfence_keys::share::reconstruct::KeySum;
use ringfence_keys::share::share::Share;

use crate::contribute::{Contributed, Joined};
use crate::done::{Done, RoundEnd};
use crate::error::SiteError;
use crate::judged::Judged;
use crate::openings::Fetched;
use crate::site::{Hidden, Site};
use crate::spoiled::Spoiled;
use crate::sum::VerifiedSum;
use crate::transport::Openings;
use crate::wait::Awaited;

/// After how long an opening that the aggregator did not serve is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// What opening a certified set gives.
struct CertifiedSum {
    opened: OpenedMean,
    sums: Option<OpenedSum>,
    unusable: Vec<(SiteId, String)>,
    evidence: Vec<Evidence>,
    proceedings: Proceedings,
    judged: Judged,
}

/// What the openings of a round come to.
enum KeysFound<T> {
    /// A key sum under which the sum opens.
    Opened(KeySum, T),
    /// The key sum, which is determined, and under which the sum does not open.
    Spoiled(KeySum),
}

impl<'a> Contributed<'a> {
    /// Waits for the round's end and opens the sum; this site's contribution must be in it.
    ///
    /// # Errors
    /// [`SiteError`]; a wrong mean is never returned.
    pub async fn finish(self) -> Result<RoundEnd<'a>, SiteError> {
        let header = self.receipt().header;
        let end = self.site.end_of(self.manifest.clone()).await?;
        if let RoundEnd::Done(done) = &end {
            let closing = &done.certificate.closing.statement;
            if done.left_out.is_none() && !closing.includes(self.site.id(), &header) {
                return Err(SiteError::LeftOut(closing.round));
            }
        }
        Ok(end)
    }
}

impl<'a> Joined<'a> {
    /// Opens the sum without having contributed: a site that was away catches up.
    ///
    /// # Errors
    /// [`SiteError`]; a wrong mean is never returned.
    pub async fn finish(self) -> Result<RoundEnd<'a>, SiteError> {
        self.site.end_of(self.manifest).await
    }
}

impl Site {
    fn end_of(&self, manifest: Signed<Manifest>) -> Hidden<'_, RoundEnd<'_>> {
        Box::pin(async move { self.finish(&manifest).await })
    }

    async fn finish(&self, manifest: &Signed<Manifest>) -> Result<RoundEnd<'_>, SiteError> {
        let round = manifest.statement.round;
        let ended = |state| matches!(state, RoundState::Opened | RoundState::Aborted);
        self.help_if_behind().await?;
        self.wait_and_mend(round, Awaited::End, |status| ended(status.state)).await?;
        let certificate = self.certificate(round).await?;
        let closing = &certificate.closing.statement;
        if closing.is_abort() {
            self.settle(round)?;
            return Ok(RoundEnd::Aborted);
        }
        let opened = self.open_certified(&manifest.statement, &certificate).await;
        let CertifiedSum { opened, sums, unusable, evidence, proceedings, judged } = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let failed = matches!(
                    error,
                    SiteError::Open(_)
                        | SiteError::Unnamed { .. }
                        | SiteError::StillSpoiled { .. }
                        | SiteError::NoCulprit(_)
                );
                if failed {
                    // Nothing but that it failed; a later run may still apply it.
                    let _ = self.acknowledge(manifest.id(), &certificate, Outcome::Failed).await;
                }
                return Err(error);
            }
        };
        let journal = self.journal.round(self.study_id, round)?;
        let own = journal.contribution()?;
        let left_out = own.and_then(|own| closing.exclusion(&own.header.id()).cloned());
        let manifest = manifest.id();
        Ok(RoundEnd::Done(Done {
            site: self,
            manifest,
            certificate,
            opened,
            sums,
            left_out,
            unusable,
            evidence,
            evidence_file: journal.evidence(),
            trust: proceedings.bar(judged.judgement.trust),
            trust_before: judged.trust,
            proceedings,
            reviews_file: judged.changed_by,
        }))
    }

    /// Fetches sum and openings of a certified set and opens it, without those who broke the format.
    async fn open_certified(
        &self,
        manifest: &Manifest,
        certificate: &Certificate,
    ) -> Result<CertifiedSum, SiteError> {
        let judged = self.judged(manifest, certificate).await?;
        let mut sum = self.verified_sum(manifest, certificate).await?;
        let check_words = self.check_words_verdict(manifest, certificate, &sum).await?;
        let proceedings = Proceedings { check_words, disputes: Vec::new() };
        let mut evidence = std::mem::take(&mut sum.evidence);
        let sites = certificate.closing.statement.included.len();
        let open = |keys: &KeySum| self.open_sum(manifest, &sum, sites, keys);
        let (found, unusable) = self.key_sum(manifest, certificate, &judged, open).await?;
        let keys = match found {
            KeysFound::Opened(keys, opened) => {
                let sums = self.plain_sums(manifest, &sum, sites, &keys)?;
                return Ok(CertifiedSum { opened, sums, unusable, evidence, proceedings, judged });
            }
            KeysFound::Spoiled(keys) => keys,
        };
        if !sum.recounted {
            sum = self.recount(manifest, certificate).await?;
            evidence.append(&mut sum.evidence);
        }
        let mut spoiled =
            Spoiled { manifest, certificate, judged: &judged, proceedings, sum, keys, evidence };
        let mut outcome = self.open_sum(manifest, &spoiled.sum, sites, &spoiled.keys);
        let threshold = &self.study.threshold;
        let (round, holders, collusion) = (manifest.round, threshold.holders, threshold.collusion);
        loop {
            let Spoiled { sum, keys, .. } = &spoiled;
            let settled = spoiled.proceedings.disputes.len();
            match outcome {
                Ok(opened) => {
                    let sums = self.plain_sums(manifest, sum, spoiled.sites(), keys)?;
                    let Spoiled { evidence, proceedings, .. } = spoiled;
                    return Ok(CertifiedSum {
                        opened,
                        sums,
                        unusable,
                        evidence,
                        proceedings,
                        judged,
                    });
                }
                Err(source) if !threshold.names() => {
                    return Err(SiteError::Unnamed { round, holders, source });
                }
                Err(source) if settled >= usize::from(collusion) => {
                    return Err(SiteError::StillSpoiled { round, collusion, source });
                }
                Err(_) => {
                    // Hardly ever there: not a part of every round's future.
                    let without: Hidden<'_, Spoiled<'_>> = Box::pin(self.without_culprits(spoiled));
                    spoiled = without.await?;
                }
            }
            outcome = self.open_sum(manifest, &spoiled.sum, spoiled.sites(), &spoiled.keys);
        }
    }

    /// The verdict on the check words that were found to be wrong, if any were; its sites stay in the
    /// mean, for their bodies are what they are.
    async fn check_words_verdict(
        &self,
        manifest: &Manifest,
        certificate: &Certificate,
        sum: &VerifiedSum,
    ) -> Result<Option<VerdictCertificate>, SiteError> {
        let wrong = sum.evidence.iter().filter_map(|found| match found {
            Evidence::CheckWords { header } => Some(header.statement.site.clone()),
            _ => None,
        });
        let culprits: BTreeSet<SiteId> = wrong.collect();
        if culprits.is_empty() || !self.study.threshold.names() {
            return Ok(None);
        }
        let proceedings = &Proceedings::default();
        let case = Case { manifest, certificate, proceedings };
        self.certified_verdict(case, None, &culprits).await.map(Some)
    }

    fn context<'a>(
        &'a self,
        manifest: &Manifest,
        sum: &'a VerifiedSum,
        sites: usize,
        keys: &'a KeySum,
    ) -> SumContext<'a> {
        let (study, check_key, check) = (&*self.study, &self.check_key, &sum.check);
        SumContext { study, manifest: manifest.id(), sites, keys, check, check_key }
    }

    fn open_sum(
        &self,
        manifest: &Manifest,
        sum: &VerifiedSum,
        sites: usize,
        keys: &KeySum,
    ) -> Result<OpenedMean, OpenError> {
        let context = self.context(manifest, sum, sites, keys);
        tokio::task::block_in_place(|| OpenedMean::open(context, &mut sum.reader()?))
    }

    /// The sums themselves, where the site keeps them.
    fn plain_sums(
        &self,
        manifest: &Manifest,
        sum: &VerifiedSum,
        sites: usize,
        keys: &KeySum,
    ) -> Result<Option<OpenedSum>, OpenError> {
        let context = self.context(manifest, sum, sites, keys);
        let open = || tokio::task::block_in_place(|| OpenedSum::open(context, &mut sum.reader()?));
        self.keeps_sums.then(open).transpose()
    }

    /// Finds the key sum from the openings that count, and whether the sum opens under it; waits for
    /// more while no candidate opens it and none is determined, until all have come or this site's
    /// patience is over. Whoever lies among them costs time only: what the sum must look like tells
    /// the right key sum from the others.
    async fn key_sum<T>(
        &self,
        manifest: &Manifest,
        certificate: &Certificate,
        judged: &Judged,
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
        let mut status = self.at(round).status().await?;
        loop {
            let mut faults = Vec::new();
            for holder in &status.opened {
                if fetched.contains(holder) {
                    continue;
                }
                let unseal = |part: &CheckedPart<'_>| part.unseal();
                match self.fetch_opening(context, Openings::Sum, holder, unseal).await? {
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
            let openers = self.openers(judged, &set, &status.opened, &status).await?;
            let (counting, others): (Vec<_>, Vec<_>) = openings
                .drain(..)
                .partition(|(offset, _): &(usize, Share)| openers.contains(offset));
            let usable = counting.len();
            // What was tried without a new opening fails again.
            let error = match tried.take().filter(|(before, _)| *before == usable) {
                Some((_, error)) => error,
                None => match self.try_openings(&counting, free, &open) {
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
            let left = end.since(self.clock.moment());
            let all = holders.iter().all(|holder| fetched.contains(holder));
            if (all && usable == openings.len()) || left.is_zero() {
                return Err(error.into());
            }
            tried = Some((usable, error));
            // An opening that is served at last is no change of the round.
            let left = if faults.is_empty() { left } else { left.min(AGAIN) };
            status = self.changed(round, status.version, left).await?;
        }
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

    pub(crate) async fn acknowledge(
        &self,
        manifest: ManifestId,
        certificate: &Certificate,
        outcome: Outcome,
    ) -> Result<(), SiteError> {
        let statement = Acknowledgement {
            manifest,
            closing: certificate.closing.id(),
            site: self.id().clone(),
            outcome,
        };
        let round = certificate.closing.statement.round;
        let signed = self.identity.sign(statement);
        // Kept, to be sent back should the aggregator lose it.
        self.journal.round(self.study_id, round)?.save_acknowledgement(&signed)?;
        Ok(self.at(round).put_acknowledgement(&signed).await?)
    }
}
