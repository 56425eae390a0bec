//! Finishing a round: fetch what is certified, open the sum, check everything, acknowledge.

use std::collections::BTreeSet;

use ringfence_crypto::id::{ManifestId, RoundNumber, SiteId};
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Manifest, Outcome, Proceedings, Summands, VerdictCertificate,
};
use ringfence_keys::duties::disputes::Case;
use ringfence_keys::encrypt::check::CheckKey;
use ringfence_keys::open::{Evidence, OpenError, OpenedMean, OpenedSum, SumContext};
use ringfence_keys::share::reconstruct::KeySum;

use crate::contribute::{Contributed, Joined};
use crate::done::{Abort, Done, RoundEnd};
use crate::error::{SiteError, SpoiledError};
use crate::judged::Judged;
use crate::key_sum::KeysFound;
use crate::site::{Hidden, Site};
use crate::spoiled::Spoiled;
use crate::sum::VerifiedSum;
use crate::wait::Awaited;

/// What opening a certified set gives.
struct CertifiedSum {
    opened: OpenedMean,
    sums: Option<OpenedSum>,
    unusable: Vec<(SiteId, String)>,
    evidence: Vec<Evidence>,
    proceedings: Proceedings,
    judged: Judged,
}

/// Whether a round has an end: an abort, or enough openings.
fn has_ended(status: &RoundStatus) -> bool {
    matches!(status.state, RoundState::Opened | RoundState::Aborted)
}

impl<'a> Contributed<'a> {
    /// Waits for the round's end and opens the sum; this site's contribution must be in it.
    ///
    /// # Errors
    /// [`SiteError`]; a wrong mean is never returned.
    pub async fn finish(self) -> Result<RoundEnd<'a>, SiteError> {
        let header = self.receipt().header;
        let end = self.site.end_of(self.manifest.statement.round).await?;
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
        self.site.end_of(self.manifest.statement.round).await
    }
}

impl Site {
    fn end_of(&self, round: RoundNumber) -> Hidden<'_, RoundEnd<'_>> {
        Box::pin(self.finish(round))
    }

    async fn finish(&self, round: RoundNumber) -> Result<RoundEnd<'_>, SiteError> {
        self.help_if_behind().await?;
        let certified = |status: &RoundStatus| status.state == RoundState::Certified;
        let looked = |status: &RoundStatus| certified(status) || has_ended(status);
        let status = self.wait_and_mend(round, Awaited::End, looked).await?;
        let certificate = self.certificate(round).await?;
        let closing = &certificate.closing.statement;
        if closing.is_abort() {
            self.witness_in_passing().await?;
            self.settle(round)?;
            self.destroyed()?;
            let freeze = self.journal.round(self.study_id, round)?.freeze()?;
            let freeze = freeze.as_ref().map(|freeze| &freeze.statement);
            return Ok(RoundEnd::Aborted(Abort::of(&self.study, &certificate, freeze)));
        }
        // The one that the certificate stands on: it may have replaced the one that was joined.
        let manifest = &self.manifest(round).await?;
        let opening = self.open_certified(&manifest.statement, &certificate, status);
        let (opened, one_history) = tokio::join!(opening, self.witness_in_passing());
        // Nothing is applied or acknowledged in a study whose log is forked.
        one_history?;
        let CertifiedSum { opened, sums, unusable, evidence, proceedings, judged } = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let failed = matches!(
                    error,
                    SiteError::Open(_)
                        | SiteError::Spoiled(
                            SpoiledError::Unnamed { .. }
                                | SpoiledError::StillSpoiled { .. }
                                | SpoiledError::NoCulprit(_)
                        )
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
        status: RoundStatus,
    ) -> Result<CertifiedSum, SiteError> {
        let (check_key, round) = (self.check_key()?, manifest.round);
        let judged = self.judged(manifest, certificate).await?;
        // The sum comes while the others open.
        let (fetched, status) = tokio::try_join!(
            self.fetch_sum(round),
            self.wait_and_mend_from(Some(status), round, Awaited::End, has_ended),
        )?;
        let mut sum = self.verified_sum(manifest, certificate, fetched).await?;
        let check_words = self.check_words_verdict(manifest, certificate, &sum).await?;
        let proceedings = Proceedings { check_words, disputes: Vec::new() };
        let mut evidence = std::mem::take(&mut sum.evidence);
        let included = certificate.closing.statement.included.iter();
        let summands = self.study.summands_of(included.map(|entry| &entry.site));
        let open = |keys: &KeySum| self.open_sum(manifest, (&sum, check_key), summands, keys);
        let (found, unusable) =
            self.key_sum(manifest, certificate, (&judged, status), open).await?;
        let keys = match found {
            KeysFound::Opened(keys, opened) => {
                let sums = self.plain_sums(manifest, (&sum, check_key), summands, &keys)?;
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
        let mut outcome =
            self.open_sum(manifest, (&spoiled.sum, check_key), summands, &spoiled.keys);
        let threshold = &self.study.threshold;
        let (holders, collusion) = (threshold.holders, threshold.collusion);
        loop {
            let Spoiled { sum, keys, .. } = &spoiled;
            let settled = spoiled.proceedings.disputes.len();
            match outcome {
                Ok(opened) => {
                    let summands = spoiled.summands(&self.study);
                    let sums = self.plain_sums(manifest, (sum, check_key), summands, keys)?;
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
                    return Err(SpoiledError::Unnamed { round, holders, source }.into());
                }
                Err(source) if settled >= usize::from(collusion) => {
                    return Err(SpoiledError::StillSpoiled { round, collusion, source }.into());
                }
                Err(_) => {
                    // Hardly ever there: not a part of every round's future.
                    let without: Hidden<'_, Spoiled<'_>> = Box::pin(self.without_culprits(spoiled));
                    spoiled = without.await?;
                }
            }
            let summands = spoiled.summands(&self.study);
            outcome = self.open_sum(manifest, (&spoiled.sum, check_key), summands, &spoiled.keys);
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
        (sum, check_key): (&'a VerifiedSum, &'a CheckKey),
        summands: Summands,
        keys: &'a KeySum,
    ) -> SumContext<'a> {
        let (study, check) = (&*self.study, &sum.check);
        SumContext { study, manifest: manifest.id(), summands, keys, check, check_key }
    }

    fn open_sum(
        &self,
        manifest: &Manifest,
        (sum, check_key): (&VerifiedSum, &CheckKey),
        summands: Summands,
        keys: &KeySum,
    ) -> Result<OpenedMean, OpenError> {
        let context = self.context(manifest, (sum, check_key), summands, keys);
        tokio::task::block_in_place(|| OpenedMean::open(context, &mut sum.reader()?))
    }

    /// The sums themselves, where the site keeps them.
    fn plain_sums(
        &self,
        manifest: &Manifest,
        (sum, check_key): (&VerifiedSum, &CheckKey),
        summands: Summands,
        keys: &KeySum,
    ) -> Result<Option<OpenedSum>, OpenError> {
        let context = self.context(manifest, (sum, check_key), summands, keys);
        let open = || tokio::task::block_in_place(|| OpenedSum::open(context, &mut sum.reader()?));
        self.keeps_sums.then(open).transpose()
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
        // Kept, to be sent back should the aggregator lose it. Not synced for it: whenever the round is
        // finished again, these are the same bytes.
        self.journal.round(self.study_id, round)?.save_acknowledgement(&signed)?;
        let status = self.at(round).put_acknowledgement(&signed).await?;
        self.saw(&status);
        Ok(())
    }
}
