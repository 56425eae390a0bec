//! A sum that was determined and does not decode: the dispute that finds who broke the format, and
//! the sum without them. `docs/disputes.md`, sections 3 and 4.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Seek};

use ringfence_crypto::api::{OpeningFrame, opening_words};
use ringfence_crypto::id::{HeaderId, RoundNumber, SiteId};
use ringfence_crypto::round::{DisputeStatus, RoundStatus};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{
    Certificate, DisputeCertificate, Manifest, Proceedings, Settled, Subject, VerdictCertificate,
};
use ringfence_crypto::wire::frame;
use ringfence_keys::duties::disputes::{
    Case, endorse_dispute, endorse_verdict, open_functionals, open_keys,
};
use ringfence_keys::duties::holder::{Decision, HolderError};
use ringfence_keys::encrypt::check::CheckWords;
use ringfence_keys::open::{
    CheckedPart, Evidence, OpeningContext, Position, Recount, RecountError, SumContext,
    first_failure, judge_coefficient, wire_word,
};
use ringfence_keys::share::dealt::DealtShare;
use ringfence_keys::share::functional::{Determined, Undetermined};
use ringfence_keys::share::reconstruct::KeySum;
use ringfence_keys::share::share::{Share, share_words};
use zeroize::Zeroizing;

use crate::error::SiteError;
use crate::judged::Judged;
use crate::openings::{Fetched, Place};
use crate::site::Site;
use crate::sum::VerifiedSum;
use crate::transport::{Openings, TransportError};
use crate::wait::{Awaited, Waiting};

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
    fn case(&self) -> Case<'_> {
        let Self { manifest, certificate, proceedings, .. } = self;
        Case { manifest, certificate, proceedings }
    }

    /// The contributions that are left, ascending by site.
    fn left(&self) -> Vec<(SiteId, HeaderId)> {
        let removed = self.proceedings.removed();
        let included = self.certificate.closing.statement.included.iter();
        let left = included.filter(|entry| !removed.contains(&entry.site));
        left.map(|entry| (entry.site.clone(), entry.header)).collect()
    }

    /// Contributions that are left.
    pub(crate) fn sites(&self) -> usize {
        self.left().len()
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
            sites: spoiled.sites(),
            keys,
            check: &sum.check,
            check_key: &self.check_key,
        };
        let found = tokio::task::block_in_place(|| first_failure(context, &mut sum.reader()?));
        found?.ok_or(SiteError::NoFailure(manifest.round))
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
            let put = self.at(round).put_dispute(&endorse_dispute(&self.identity, dispute)).await;
            self.taken_or(put, round, disputed).await?;
        }
        self.wait_and_mend(round, Awaited::Dispute(index), disputed).await?;
        let dispute = self.at(round).dispute(index).await?;
        dispute.check(&self.study)?;
        let named = &dispute.statement;
        let found = (at.block, at.coefficient, spoiled.proceedings.last_verdict());
        if named.index != index || (named.block, named.coefficient, named.after) != found {
            return Err(SiteError::OtherDispute { round, index });
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
            return Err(SiteError::OtherDispute { round, index });
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

    /// The functional of each site that is left, once it is determined for all of them.
    async fn functionals(
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
            if let Err(fault) = judge_coefficient(&self.study, at, word, functional) {
                let dispute = dispute.statement.id().into();
                found.push(Evidence::Format { dispute, header, position: at, fault });
                culprits.insert(site);
            }
        }
        match culprits.is_empty() {
            true => Err(SiteError::NoCulprit(round)),
            false => Ok((culprits, found)),
        }
    }

    /// The whole keys of the sites that a verdict names, once each is determined.
    async fn culprits_keys(
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
            Some(bytes) => bytes,
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
                let posted = place.posted(status);
                status.version > version && posted.iter().any(|holder| !fetched.contains(holder))
            };
            let status = self.wait_on(&mut waiting, round, what, ready).await?;
            version = status.version;
            let posted = place.posted(&status);
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
                match self.fetch_opening(context, place.openings, &holder, unseal).await? {
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

    /// Takes the bodies of these sites out of the sum.
    async fn remove(&self, spoiled: &mut Spoiled<'_>, sites: &[SiteId]) -> Result<(), SiteError> {
        let (round, id) = (spoiled.manifest.round, spoiled.manifest.id());
        let part = self.journal.round(self.study_id, round)?.scratch()?;
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
                let mut count = Recount::resume(&self.study, id, &self.check_key, sum, of_all);
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
fn may<T>(decision: Result<T, HolderError>) -> Result<Option<T>, SiteError> {
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
