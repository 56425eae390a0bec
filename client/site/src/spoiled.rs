//! A sum that was determined and does not decode: the dispute that finds who broke the format, and
//! the sum without them. `docs/disputes.md`, sections 3 and 4.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Seek};

use ringfence_crypto::id::{HeaderId, RoundNumber, SiteId};
use ringfence_crypto::round::{DisputeStatus, RoundStatus};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{
    Certificate, DisputeCertificate, Manifest, Proceedings, Settled, Study, Summands,
    VerdictCertificate,
};
use ringfence_keys::duties::disputes::{Case, endorse_dispute, endorse_verdict};
use ringfence_keys::duties::holder::{Decision, HolderError};
use ringfence_keys::encrypt::check::CheckWords;
use ringfence_keys::open::{
    Evidence, Position, Recount, RecountError, SumContext, first_failure, judge_coefficient,
    wire_word,
};
use ringfence_keys::share::reconstruct::KeySum;

use crate::error::{SiteError, SpoiledError};
use crate::judged::Judged;
use crate::site::Site;
use crate::sum::VerifiedSum;
use crate::transport::TransportError;
use crate::wait::Awaited;

/// What the aggregator answers to an endorsement for which it is too late, among others.
const CONFLICT: u16 = 409;

/// A round whose sum is in dispute, as far as it has come.
pub(crate) struct Spoiled<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) certificate: &'a Certificate,
    pub(crate) judged: &'a Judged,
    /// What was certified.
    pub(crate) proceedings: Proceedings,
    /// The true sum, added up by this site, over the sites that are left.
    pub(crate) sum: VerifiedSum,
    /// The sum of their keys, determined.
    pub(crate) keys: KeySum,
    /// What was found out about others.
    pub(crate) evidence: Vec<Evidence>,
}

impl Spoiled<'_> {
    pub(crate) fn case(&self) -> Case<'_> {
        let Self { manifest, certificate, proceedings, .. } = self;
        Case { manifest, certificate, proceedings }
    }

    /// The contributions that are left, ascending by site.
    pub(crate) fn left(&self) -> Vec<(SiteId, HeaderId)> {
        let removed = self.proceedings.removed();
        let included = self.certificate.closing.statement.included.iter();
        let left = included.filter(|entry| !removed.contains(&entry.site));
        left.map(|entry| (entry.site.clone(), entry.header)).collect()
    }

    /// What a sum over those that are left may be.
    pub(crate) fn summands(&self, study: &Study) -> Summands {
        study.summands_of(self.left().iter().map(|(site, _)| site))
    }
}

impl Site {
    /// Takes the culprits of a determined sum that does not decode out of it: endorses the dispute
    /// and the verdict where this site is a key holder, waits for both, and answers them.
    ///
    /// # Errors
    /// [`SiteError`] when too few holders answer within this site's patience, nobody is out of bounds,
    /// or what is certified is not what this site has found.
    pub(crate) async fn without_culprits<'a>(
        &self,
        mut spoiled: Spoiled<'a>,
    ) -> Result<Spoiled<'a>, SiteError> {
        let round = spoiled.manifest.round;
        let at = self.first_failure(&spoiled)?;
        let dispute = self.certified_dispute(&spoiled, at).await?;
        let functionals = self.functionals(&spoiled, &dispute).await?;
        let (culprits, found) = self.culprits(&spoiled, &dispute, at, &functionals).await?;
        spoiled.evidence.extend(found);
        self.journal.round(self.study_id, round)?.save_evidence(&spoiled.evidence)?;
        let verdict = self.certified_verdict(spoiled.case(), Some(&dispute), &culprits).await?;
        let keys = self.culprits_keys(&spoiled, &dispute, &verdict).await?;
        self.remove(&mut spoiled, &verdict.statement.sites).await?;
        spoiled.keys = spoiled.keys.without(&keys);
        spoiled.proceedings.disputes.push(Settled { dispute, verdict });
        Ok(spoiled)
    }

    fn first_failure(&self, spoiled: &Spoiled<'_>) -> Result<Position, SiteError> {
        let Spoiled { manifest, sum, keys, .. } = spoiled;
        let context = SumContext {
            study: &self.study,
            manifest: manifest.id(),
            summands: spoiled.summands(&self.study),
            keys,
            check: &sum.check,
            check_key: self.check_key()?,
        };
        let found = tokio::task::block_in_place(|| first_failure(context, &mut sum.reader()?));
        Ok(found?.ok_or(SpoiledError::NoFailure(manifest.round))?)
    }

    /// The dispute at the position that this site has found, certified.
    async fn certified_dispute(
        &self,
        spoiled: &Spoiled<'_>,
        at: Position,
    ) -> Result<DisputeCertificate, SiteError> {
        let (round, index) = (spoiled.manifest.round, spoiled.proceedings.next_index());
        let disputed = |status: &RoundStatus| of(status, index).is_some_and(|of| of.disputed);
        if let Some(decision) = may(self.holder()?.dispute(spoiled.case(), at))? {
            let dispute = match decision {
                Decision::Fresh(dispute) => {
                    self.journal.round(self.study_id, round)?.save_dispute(&dispute)?;
                    dispute
                }
                Decision::Repeat(dispute) => dispute,
            };
            self.journal.round(self.study_id, round)?.sync()?;
            let put = self.at(round).put_dispute(&endorse_dispute(&self.identity, dispute)).await;
            self.taken_or(put, round, disputed).await?;
        }
        self.wait_and_mend(round, Awaited::Dispute(index), disputed).await?;
        let dispute = self.at(round).dispute(index).await?;
        dispute.check(&self.study)?;
        let named = &dispute.statement;
        let found = (at.block, at.coefficient, spoiled.proceedings.last_verdict());
        if named.index != index || (named.block, named.coefficient, named.after) != found {
            return Err(SpoiledError::OtherDispute { round, index }.into());
        }
        Ok(dispute)
    }

    /// The verdict that exactly these sites are culprits, certified. Without a dispute it is on check
    /// words.
    pub(crate) async fn certified_verdict(
        &self,
        case: Case<'_>,
        dispute: Option<&DisputeCertificate>,
        culprits: &BTreeSet<SiteId>,
    ) -> Result<VerdictCertificate, SiteError> {
        let round = case.manifest.round;
        let index = dispute.map_or(0, |dispute| dispute.statement.index);
        let judged = |status: &RoundStatus| of(status, index).is_some_and(|of| of.judged);
        if let Some(decision) = may(self.holder()?.judge(case, dispute, culprits))? {
            let verdict = match decision {
                Decision::Fresh(verdict) => {
                    self.journal.round(self.study_id, round)?.save_verdict(index, &verdict)?;
                    verdict
                }
                Decision::Repeat(verdict) => verdict,
            };
            self.journal.round(self.study_id, round)?.sync()?;
            let endorsement = endorse_verdict(&self.identity, verdict);
            let put = self.at(round).put_verdict(index, &endorsement).await;
            self.taken_or(put, round, judged).await?;
        }
        self.wait_and_mend(round, Awaited::Verdict(index), judged).await?;
        let verdict = self.at(round).verdict(index).await?;
        verdict.check(&self.study)?;
        let named = &verdict.statement;
        let of_dispute = named.dispute == dispute.map(|dispute| dispute.statement.id());
        if !of_dispute || !named.sites.iter().eq(culprits) {
            return Err(SpoiledError::OtherDispute { round, index }.into());
        }
        Ok(verdict)
    }

    /// Lets an endorsement be refused that came after the certificate: the other holders were enough,
    /// and the round may have ended since.
    async fn taken_or(
        &self,
        put: Result<(), TransportError>,
        round: RoundNumber,
        certified: impl Fn(&RoundStatus) -> bool,
    ) -> Result<(), SiteError> {
        match put {
            Err(refusal) if refusal.status() == Some(CONFLICT) => {
                match certified(&self.at(round).status().await?) {
                    true => Ok(()),
                    false => Err(refusal.into()),
                }
            }
            put => Ok(put?),
        }
    }

    /// Who is out of bounds at the disputed position, with the evidence.
    async fn culprits(
        &self,
        spoiled: &Spoiled<'_>,
        dispute: &DisputeCertificate,
        at: Position,
        functionals: &BTreeMap<SiteId, u64>,
    ) -> Result<(BTreeSet<SiteId>, Vec<Evidence>), SiteError> {
        let round = spoiled.manifest.round;
        let part = self.journal.round(self.study_id, round)?.scratch()?;
        let (mut culprits, mut found) = (BTreeSet::new(), Vec::new());
        for (site, named) in spoiled.left() {
            let header = self.set_header(round, &site, named).await?;
            self.body(round, &site, &part).await?;
            let word = tokio::task::block_in_place(|| {
                let mut body = part.reopen()?;
                body.rewind()?;
                let mut body = BufReader::with_capacity(1 << 20, body);
                wire_word(&self.study, &header.statement, at, &mut body)
            })?;
            // All of them are there: the functionals were waited for.
            let functional = functionals.get(&site).copied().unwrap_or_default();
            // A set's sites are in the roster.
            let place = self.study.position(&site).unwrap_or(self.study.roster.len());
            if let Err(fault) = judge_coefficient(&self.study, place, at, word, functional) {
                let dispute = dispute.statement.id().into();
                found.push(Evidence::Format { dispute, header, position: at, fault });
                culprits.insert(site);
            }
        }
        match culprits.is_empty() {
            true => Err(SpoiledError::NoCulprit(round).into()),
            false => Ok((culprits, found)),
        }
    }

    /// Takes the bodies of these sites out of the sum.
    async fn remove(&self, spoiled: &mut Spoiled<'_>, sites: &[SiteId]) -> Result<(), SiteError> {
        let (round, id) = (spoiled.manifest.round, spoiled.manifest.id());
        let (part, check_key) =
            (self.journal.round(self.study_id, round)?.scratch()?, self.check_key()?);
        for (site, named) in spoiled.left() {
            if !sites.contains(&site) {
                continue;
            }
            let header = self.set_header(round, &site, named).await?;
            self.body(round, &site, &part).await?;
            let VerifiedSum { file, check, .. } = &mut spoiled.sum;
            tokio::task::block_in_place(|| {
                let sum = file.reopen()?;
                let of_all =
                    std::mem::replace(check, CheckWords::zero(self.study.packing.wire_bits));
                let mut count = Recount::resume(&self.study, id, check_key, sum, of_all);
                count.remove(&header, &mut BufReader::with_capacity(1 << 20, part.reopen()?))?;
                *check = count.into_check();
                Ok::<_, RecountError>(())
            })?;
        }
        Ok(())
    }
}

/// What a holder may do in a dispute; nothing for who holds no keys in the round, abstains after a
/// restore, or has destroyed its shares because Q sites hold one model.
pub(crate) fn may<T>(decision: Result<T, HolderError>) -> Result<Option<T>, SiteError> {
    match decision {
        Ok(decision) => Ok(Some(decision)),
        Err(HolderError::NoHolder { .. } | HolderError::Abstains(_) | HolderError::Settled(_)) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn of(status: &RoundStatus, index: u16) -> Option<&DisputeStatus> {
    status.disputes.iter().find(|of| of.index == index)
}
