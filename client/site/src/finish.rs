//! Finishing a round: fetch what is certified, open the sum, check everything, acknowledge.

use std::io::{BufReader, Seek};

use ringfence_crypto::id::{ManifestId, ModelId, SiteId};
use ringfence_crypto::round::RoundState;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, ExclusionReason, Manifest, Outcome, Weighting,
};
use ringfence_keys::open::{OpenError, OpenedMean, OpenedSum, OpeningContext, SumContext, unseal};
use ringfence_keys::share::reconstruct::{KeySum, ReconstructError};

use crate::contribute::{Contributed, Joined};
use crate::error::SiteError;
use crate::site::Site;

/// How a round ended.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one a round, and moved on at once")]
pub enum RoundEnd<'a> {
    /// A certified abort: nothing was opened, the base model stays.
    Aborted,
    /// The sum is open.
    Done(Done<'a>),
}

/// An opened and checked round, before its mean is applied.
#[derive(Debug)]
pub struct Done<'a> {
    site: &'a Site,
    manifest: ManifestId,
    certificate: Certificate,
    /// The mean of the encrypted updates.
    pub opened: OpenedMean,
    /// The sums that it is the mean of, where the site keeps them.
    sums: Option<OpenedSum>,
    /// What their mean is multiplied by, where the study weights them.
    correction: Option<f64>,
    /// Why this site's own contribution is not in the set, if it made one and the closing says so.
    pub left_out: Option<ExclusionReason>,
    /// Holders whose openings could not be used, each with the reason.
    pub unusable: Vec<(SiteId, String)>,
}

impl<'a> Contributed<'a> {
    /// Waits for the round's end and opens the sum; this site's contribution must be in it.
    ///
    /// # Errors
    /// [`SiteError`]; a wrong mean is never returned.
    pub async fn finish(self) -> Result<RoundEnd<'a>, SiteError> {
        let header = self.receipt().header;
        let end = self.site.finish(&self.manifest).await?;
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
        self.site.finish(&self.manifest).await
    }
}

impl Site {
    async fn finish(&self, manifest: &Signed<Manifest>) -> Result<RoundEnd<'_>, SiteError> {
        let round = manifest.statement.round;
        let ended = |state| matches!(state, RoundState::Opened | RoundState::Aborted);
        self.help_if_behind().await?;
        self.wait_and_mend(round, "its end", |status| ended(status.state)).await?;
        let certificate = self.certificate(round).await?;
        let closing = &certificate.closing.statement;
        if closing.is_abort() {
            return Ok(RoundEnd::Aborted);
        }
        let opened = self.open_certified(&manifest.statement, &certificate).await;
        let (opened, sums, unusable) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if let SiteError::Open(error) = &error {
                    let outcome = Outcome::Failed { class: error.class() };
                    let _ = self.acknowledge(manifest.id(), &certificate, outcome).await;
                }
                return Err(error);
            }
        };
        let weighting = &self.study.weighting;
        let correction = (*weighting != Weighting::Equal).then(|| {
            let places = closing.included.iter().filter_map(|s| self.study.position(&s.site));
            weighting.correction(places)
        });
        let own = self.journal.round(self.study_id, round)?.contribution()?;
        let left_out = own.and_then(|own| closing.exclusion(&own.header.id()).cloned());
        let manifest = manifest.id();
        Ok(RoundEnd::Done(Done {
            site: self,
            manifest,
            certificate,
            opened,
            sums,
            correction,
            left_out,
            unusable,
        }))
    }

    /// Fetches sum and openings of a certified set and opens it.
    async fn open_certified(
        &self,
        manifest: &Manifest,
        certificate: &Certificate,
    ) -> Result<(OpenedMean, Option<OpenedSum>, Vec<(SiteId, String)>), SiteError> {
        let round = manifest.round;
        let closing = &certificate.closing.statement;
        let scratch = self.journal.round(self.study_id, round)?.scratch()?;
        let bytes = self.study.body_bytes()?;
        let end = self.clock.moment().after(self.patience);
        let got = loop {
            match self.at(round).sum(scratch.path(), bytes).await {
                // The aggregator lost bytes: the sum comes, or patience ends with the reason.
                Err(error) if error.is_busy() => self.mend(round, error, end, |_| false).await?,
                got => break got?,
            };
        };
        if let Some(expected) = closing.sum.filter(|expected| *expected != got) {
            return Err(SiteError::Sum { round, expected, got });
        }
        let (keys, unusable) = self.key_sum(manifest, certificate).await?;
        let sites = closing.included.len();
        let (study, check_key) = (&*self.study, &self.check_key);
        let context = SumContext { study, manifest: manifest.id(), sites, keys: &keys, check_key };
        let reader = || -> Result<_, OpenError> {
            let mut file = scratch.reopen()?;
            file.rewind()?;
            Ok(BufReader::with_capacity(1 << 20, file))
        };
        let opened = tokio::task::block_in_place(|| OpenedMean::open(context, &mut reader()?))?;
        let sums = self
            .keeps_sums
            .then(|| tokio::task::block_in_place(|| OpenedSum::open(context, &mut reader()?)));
        Ok((opened, sums.transpose()?, unusable))
    }

    /// Reconstructs the key sum from all openings present; waits for more while they do not do.
    async fn key_sum(
        &self,
        manifest: &Manifest,
        certificate: &Certificate,
    ) -> Result<(KeySum, Vec<(SiteId, String)>), SiteError> {
        let round = manifest.round;
        let holders: Vec<SiteId> = self.study.holders(round).map(|site| site.id.clone()).collect();
        let context = OpeningContext {
            study: &self.study,
            round,
            manifest: manifest.id(),
            closing: certificate.closing.id(),
        };
        let end = self.clock.moment().after(self.patience);
        let mut status = self.at(round).status().await?;
        loop {
            let (mut openings, mut unusable) = (Vec::new(), Vec::new());
            for holder in &status.opened {
                let frame = match self.at(round).opening(holder).await {
                    // The aggregator lost it, and says so; others may do.
                    Err(error) if error.is_busy() => {
                        unusable.push((holder.clone(), error.to_string()));
                        continue;
                    }
                    frame => frame?,
                };
                match unseal(&self.identity, context, &frame) {
                    Ok(opening) => openings.push(opening),
                    Err(error) => unusable.push((holder.clone(), error.to_string())),
                }
            }
            match KeySum::reconstruct(&openings, &self.study.threshold) {
                Ok(keys) => {
                    unusable.extend(keys.disagreeing.iter().filter_map(|offset| {
                        let reason =
                            "its share disagrees with the others: it lied, or a dealer lied to it";
                        Some((holders.get(*offset)?.clone(), reason.to_owned()))
                    }));
                    return Ok((keys, unusable));
                }
                Err(error) => {
                    let left = end.since(self.clock.moment());
                    let all = status.opened.len() == holders.len();
                    if all || left.is_zero() {
                        return Err(OpenError::from(error).into());
                    }
                    debug_assert!(matches!(
                        error,
                        ReconstructError::TooFew { .. } | ReconstructError::Inconsistent { .. }
                    ));
                    status = self.changed(round, status.version, left).await?;
                }
            }
        }
    }

    async fn acknowledge(
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

impl Done<'_> {
    /// The mean update, in layout order, weighted as the study says.
    pub fn mean(&self) -> Vec<f32> {
        let mean = self.opened.mean();
        match self.correction {
            None => mean.to_vec(),
            Some(factor) => mean.iter().map(|v| (f64::from(*v) * factor) as f32).collect(),
        }
    }

    /// The sums that the mean is of, where the site keeps them ([`Site::keeping_sums`]).
    pub fn sums(&self) -> Option<&OpenedSum> {
        self.sums.as_ref()
    }

    /// The certificate of the opened set.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Says which model this site holds now. A site goes on only once Q sites say the same.
    ///
    /// # Errors
    /// [`SiteError`] when the aggregator refuses or cannot be reached.
    pub async fn acknowledge(self, model: ModelId) -> Result<(), SiteError> {
        let outcome = Outcome::Applied { model: self.site.check_key.model(&model) };
        self.site.acknowledge(self.manifest, &self.certificate, outcome).await
    }
}
