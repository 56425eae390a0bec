//! Finishing a round: fetch what is certified, open the sum, check everything, acknowledge.

use std::collections::BTreeSet;
use std::io::{BufReader, Seek};
use std::path::PathBuf;
use std::time::Duration;

use ringfence_crypto::id::{ManifestId, ModelId, SiteId};
use ringfence_crypto::round::RoundState;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, ExclusionReason, Manifest, Outcome,
};
use ringfence_keys::open::{
    Evidence, OpenError, OpenedMean, OpenedSum, OpeningContext, SumContext,
};
use ringfence_keys::share::reconstruct::KeySum;
use ringfence_keys::share::share::Share;
use ringfence_keys::update::precision::Precision;

use crate::contribute::{Contributed, Joined};
use crate::error::SiteError;
use crate::openings::Fetched;
use crate::site::Site;
use crate::sum::VerifiedSum;

/// After how long an opening that the aggregator did not serve is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

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
    /// Why this site's own contribution is not in the set, if it made one and the closing says so.
    pub left_out: Option<ExclusionReason>,
    /// Holders whose openings could not be used, each with the reason.
    pub unusable: Vec<(SiteId, String)>,
    /// What was found out about others while the sum was checked.
    pub evidence: Vec<Evidence>,
    /// The file that keeps it, if there is any.
    pub evidence_file: PathBuf,
}

/// What opening a certified set gives.
struct CertifiedSum {
    opened: OpenedMean,
    sums: Option<OpenedSum>,
    unusable: Vec<(SiteId, String)>,
    evidence: Vec<Evidence>,
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
        let CertifiedSum { opened, sums, unusable, evidence } = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if let SiteError::Open(_) = &error {
                    // Nothing but that it failed; a later run may still apply it.
                    let _ = self.acknowledge(manifest.id(), &certificate, Outcome::Failed).await;
                }
                return Err(error);
            }
        };
        let own = self.journal.round(self.study_id, round)?.contribution()?;
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
            evidence_file: self.journal.round(self.study_id, round)?.evidence(),
        }))
    }

    /// Fetches sum and openings of a certified set and opens it.
    async fn open_certified(
        &self,
        manifest: &Manifest,
        certificate: &Certificate,
    ) -> Result<CertifiedSum, SiteError> {
        let closing = &certificate.closing.statement;
        let VerifiedSum { file, check, evidence } =
            self.verified_sum(manifest, certificate).await?;
        let sites = closing.included.len();
        let (study, check_key, check) = (&*self.study, &self.check_key, &check);
        let of = manifest.id();
        let reader = || -> Result<_, OpenError> {
            let mut file = file.reopen()?;
            file.rewind()?;
            Ok(BufReader::with_capacity(1 << 20, file))
        };
        let open = |keys: &KeySum| {
            let context = SumContext { study, manifest: of, sites, keys, check, check_key };
            tokio::task::block_in_place(|| OpenedMean::open(context, &mut reader()?))
        };
        let (keys, opened, unusable) = self.key_sum(manifest, certificate, open).await?;
        let context = SumContext { study, manifest: of, sites, keys: &keys, check, check_key };
        let sums = self
            .keeps_sums
            .then(|| tokio::task::block_in_place(|| OpenedSum::open(context, &mut reader()?)));
        Ok(CertifiedSum { opened, sums: sums.transpose()?, unusable, evidence })
    }

    /// Finds the key sum under which the sum opens, from all openings present; waits for more while
    /// none does, until all have come or this site's patience is over. Whoever lies among them costs
    /// time only: what the sum must look like tells the right key sum from the others.
    async fn key_sum<T>(
        &self,
        manifest: &Manifest,
        certificate: &Certificate,
        open: impl Fn(&KeySum) -> Result<T, OpenError>,
    ) -> Result<(KeySum, T, Vec<(SiteId, String)>), SiteError> {
        let round = manifest.round;
        let holders: Vec<SiteId> = self.study.holders(round).map(|site| site.id.clone()).collect();
        let context = OpeningContext {
            study: &self.study,
            round,
            manifest: manifest.id(),
            closing: certificate.closing.id(),
        };
        let end = self.clock.moment().after(self.patience);
        let (mut openings, mut unusable) = (Vec::new(), Vec::<(SiteId, String)>::new());
        // Fetched once: an opening never changes.
        let mut fetched = BTreeSet::new();
        let mut failed = None;
        let mut status = self.at(round).status().await?;
        loop {
            let before = openings.len();
            let mut faults = Vec::new();
            for holder in &status.opened {
                if fetched.contains(holder) {
                    continue;
                }
                match self.fetch_opening(context, holder).await? {
                    Fetched::Share(opening) => openings.push(opening),
                    Fetched::Unusable(lie) => unusable.push((holder.clone(), lie.to_string())),
                    Fetched::NotServed(fault) => {
                        faults.push((holder.clone(), fault.to_string()));
                        continue;
                    }
                }
                fetched.insert(holder.clone());
            }
            // What was tried without a new opening fails again.
            let error = match failed.filter(|_| openings.len() == before) {
                Some(error) => error,
                None => match self.try_openings(&openings, &open) {
                    Ok((keys, opened)) => {
                        unusable.extend(keys.disagreeing.iter().filter_map(|offset| {
                            let reason = "its share disagrees with the others: it lied, or a dealer lied to it";
                            Some((holders.get(*offset)?.clone(), reason.to_owned()))
                        }));
                        unusable.extend(faults);
                        return Ok((keys, opened, unusable));
                    }
                    Err(error) => error,
                },
            };
            let left = end.since(self.clock.moment());
            let all = holders.iter().all(|holder| fetched.contains(holder));
            if all || left.is_zero() {
                return Err(error.into());
            }
            failed = Some(error);
            // An opening that is served at last is no change of the round.
            let left = if faults.is_empty() { left } else { left.min(AGAIN) };
            status = self.changed(round, status.version, left).await?;
        }
    }

    /// The first candidate for the key sum under which the sum opens.
    fn try_openings<T>(
        &self,
        openings: &[(usize, Share)],
        open: impl Fn(&KeySum) -> Result<T, OpenError>,
    ) -> Result<(KeySum, T), OpenError> {
        let mut first = None;
        for keys in KeySum::candidates(openings, &self.study.threshold)? {
            match open(&keys) {
                Ok(opened) => return Ok((keys, opened)),
                Err(error) => first = first.or(Some(error)),
            }
        }
        // There is a candidate, or an error above.
        Err(first.unwrap_or(OpenError::Check))
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
        self.site.study.weighting.weighted(self.opened.mean().to_vec(), self.places())
    }

    /// How precise the mean is, over the sites that are in it.
    pub fn precision(&self) -> Precision {
        Precision::of(&self.site.study, self.places())
    }

    /// The places in the roster of the sites that the mean is over.
    fn places(&self) -> impl Iterator<Item = usize> + Clone {
        let included = &self.certificate.closing.statement.included;
        included.iter().filter_map(|entry| self.site.study.position(&entry.site))
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
