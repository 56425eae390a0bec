//! A key holder in a dispute: what it endorses once, and what it opens only under a certificate.
//!
//! `docs/disputes.md`, section 4. What a holder endorses it has determined itself: the position from
//! the true sum that it added up and from a determined key sum, the culprits from functionals of all
//! sites that are determined.

use std::collections::BTreeSet;

use rand::CryptoRng;
use ringfence_crypto::api::{OpeningFrame, opening_words};
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::ring::field;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Certifiable, Certificate, Closing, Dispute, DisputeCertificate, DisputeEndorsement,
    DisputeError, Manifest, Proceedings, Quorum, Study, Subject, Verdict, VerdictCertificate,
    VerdictEndorsement,
};
use zeroize::Zeroizing;

use super::holder::{Decision, Holder, HolderError};
use crate::identity::Identity;
use crate::open::{OpeningContext, Position, seal_opening};
use crate::share::dealt::DealtShare;
use crate::share::functional::Row;
use crate::share::share::share_words;

/// A certified round with all that was certified of it since.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The checked manifest.
    pub manifest: &'a Manifest,
    /// The certificate of its set.
    pub certificate: &'a Certificate,
    /// Verdicts and settled disputes so far.
    pub proceedings: &'a Proceedings,
}

impl<'a> Case<'a> {
    fn closing(&self) -> &'a Closing {
        &self.certificate.closing.statement
    }

    /// The sites whose contributions are still in the sum, ascending.
    pub fn left(&self) -> Vec<SiteId> {
        let removed = self.proceedings.removed();
        let included = self.closing().included.iter().map(|entry| &entry.site);
        included.filter(|site| !removed.contains(*site)).cloned().collect()
    }
}

impl Holder {
    /// Whether this holder endorses that the sum fails first at a position that it has found itself:
    /// one dispute a study, round and index.
    ///
    /// # Errors
    /// [`HolderError`] when the case does not hold, the round is settled, the study has no disputes or
    /// as many as it can have were settled, or another dispute is on record.
    pub fn dispute(&self, case: Case<'_>, at: Position) -> Result<Decision<Dispute>, HolderError> {
        self.tries(case)?;
        let Manifest { study, round, .. } = *case.manifest;
        let dispute = Dispute {
            study,
            round,
            closing: case.certificate.closing.id(),
            index: case.proceedings.next_index(),
            after: case.proceedings.last_verdict(),
            block: at.block,
            coefficient: at.coefficient,
        };
        dispute.check(&self.study, case.closing())?;
        once(self.disputed.get(&(round, dispute.index)), dispute, round)
    }

    /// Takes note of an endorsed dispute that is durable.
    pub fn record_dispute(&mut self, dispute: Dispute) {
        self.disputed.entry((dispute.round, dispute.index)).or_insert(dispute);
    }

    /// Whether this holder endorses that exactly these sites are out of bounds at the position of a
    /// certified dispute, or, without one, that exactly their check words are wrong. It has determined
    /// that for all sites of the set.
    ///
    /// # Errors
    /// [`HolderError`] as for [`Holder::dispute`], or when the dispute is not certified or not the next.
    pub fn judge(
        &self,
        case: Case<'_>,
        dispute: Option<&DisputeCertificate>,
        culprits: &BTreeSet<SiteId>,
    ) -> Result<Decision<Verdict>, HolderError> {
        self.tries(case)?;
        if let Some(dispute) = dispute {
            self.next(case, dispute)?;
        }
        let Manifest { study, round, .. } = *case.manifest;
        let (closing, sites) = (case.certificate.closing.id(), culprits.iter().cloned().collect());
        let dispute = dispute.map(|certified| certified.statement.id());
        let verdict = Verdict { study, round, closing, dispute, sites };
        verdict.check(&self.study, case.closing())?;
        once(self.judged.get(&(round, dispute)), verdict, round)
    }

    /// Takes note of an endorsed verdict that is durable.
    pub fn record_verdict(&mut self, verdict: Verdict) {
        self.judged.entry((verdict.round, verdict.dispute)).or_insert(verdict);
    }

    /// Takes note that Q sites hold one model of a round: nothing of it is in dispute any more.
    pub fn record_settled(&mut self, round: RoundNumber) {
        self.settled.insert(round);
    }

    /// Permission to open functionals: only those of a certified dispute, the next of its case.
    ///
    /// # Errors
    /// [`HolderError`] as for [`Holder::dispute`], or when the dispute is not certified or not the next.
    pub fn may_answer<'a>(
        &self,
        case: Case<'a>,
        dispute: &'a DisputeCertificate,
    ) -> Result<CertifiedDispute<'a>, HolderError> {
        self.tries(case)?;
        self.next(case, dispute)?;
        Ok(CertifiedDispute { case, dispute: &dispute.statement })
    }

    /// Permission to open whole keys: only those of the sites that a certified verdict names, which is
    /// that of a certified dispute.
    ///
    /// # Errors
    /// [`HolderError`] as for [`Holder::dispute`], or when dispute or verdict are not certified or do
    /// not belong together.
    pub fn may_remove<'a>(
        &self,
        case: Case<'a>,
        dispute: &DisputeCertificate,
        verdict: &'a VerdictCertificate,
    ) -> Result<CertifiedVerdict<'a>, HolderError> {
        self.tries(case)?;
        self.next(case, dispute)?;
        certified(&self.study, verdict)?;
        verdict.statement.check(&self.study, case.closing())?;
        let left = case.left();
        let of_set = verdict.statement.sites.iter().all(|site| left.contains(site));
        if verdict.statement.dispute != Some(dispute.statement.id()) || !of_set {
            let index = dispute.statement.index;
            return Err(DisputeError::OutOfOrder { index }.into());
        }
        Ok(CertifiedVerdict { case, verdict: &verdict.statement })
    }

    /// Whether anything of a case may be endorsed or opened by this holder at all.
    fn tries(&self, case: Case<'_>) -> Result<(), HolderError> {
        let round = case.manifest.round;
        if self.settled.contains(&round) {
            return Err(HolderError::Settled(round));
        }
        // Certified, and no other set than the one that this holder endorsed.
        self.may_open(case.manifest, case.certificate)?;
        Ok(case.proceedings.check(&self.study, case.closing())?)
    }

    /// Whether a dispute is certified and the next of its case.
    fn next(&self, case: Case<'_>, dispute: &DisputeCertificate) -> Result<(), HolderError> {
        certified(&self.study, dispute)?;
        dispute.statement.check(&self.study, case.closing())?;
        let Dispute { index, after, .. } = dispute.statement;
        let next = (case.proceedings.next_index(), case.proceedings.last_verdict());
        match (index, after) == next {
            true => Ok(()),
            false => Err(DisputeError::OutOfOrder { index }.into()),
        }
    }
}

fn certified<S: Certifiable>(study: &Study, quorum: &Quorum<S>) -> Result<(), HolderError> {
    Ok(quorum.check(study).map_err(DisputeError::from)?)
}

/// The same as on record, or fresh where nothing is.
fn once<S: Certifiable>(
    known: Option<&S>,
    statement: S,
    round: RoundNumber,
) -> Result<Decision<S>, HolderError> {
    match known {
        None => Ok(Decision::Fresh(statement)),
        Some(known) if *known == statement => Ok(Decision::Repeat(statement)),
        Some(_) => Err(HolderError::EndorsedDispute { what: S::LABEL, round }),
    }
}

/// A certified dispute: what [`open_functionals`] asks for, and only [`Holder::may_answer`] gives.
#[derive(Clone, Copy, Debug)]
pub struct CertifiedDispute<'a> {
    case: Case<'a>,
    dispute: &'a Dispute,
}

impl CertifiedDispute<'_> {
    /// The sites whose functionals are opened, ascending.
    pub fn sites(&self) -> Vec<SiteId> {
        self.case.left()
    }
}

/// A certified verdict of a dispute: what [`open_keys`] asks for, and only [`Holder::may_remove`]
/// gives.
#[derive(Clone, Copy, Debug)]
pub struct CertifiedVerdict<'a> {
    case: Case<'a>,
    verdict: &'a Verdict,
}

impl CertifiedVerdict<'_> {
    /// The sites whose keys are opened, ascending.
    pub fn sites(&self) -> &[SiteId] {
        &self.verdict.sites
    }
}

/// Seals this holder's shares of one functional of each site's key to every site.
///
/// # Errors
/// [`HolderError::Shares`] unless `shares` are those of exactly the sites that are left, ascending.
pub fn open_functionals(
    identity: &Identity,
    study: &Study,
    answer: &CertifiedDispute<'_>,
    shares: &[(SiteId, DealtShare)],
    rng: &mut impl CryptoRng,
) -> Result<OpeningFrame, HolderError> {
    let CertifiedDispute { case, dispute } = answer;
    let sites = answer.sites();
    same_sites(&sites, shares)?;
    let Dispute { block, coefficient, .. } = **dispute;
    let blocks = study.blocks().unwrap_or(0);
    // A certified dispute has been checked: this is a position of a body.
    let row = Row::of(case.manifest.id(), block, coefficient)
        .map_err(|_| DisputeError::Position { block, coefficient, blocks })?;
    // Its full length at once: growing would leave copies of secrets behind.
    let length = usize::from(study.threshold.packing) * shares.len();
    let mut words = Zeroizing::new(Vec::with_capacity(length));
    for (_, share) in shares {
        words.extend_from_slice(&row.of_share(share, &study.threshold));
    }
    let subject = Subject::Functionals { dispute: dispute.id() };
    let context = context(study, *case, subject, sites.len());
    let bytes = Zeroizing::new(field::to_bytes(&words));
    Ok(seal_opening(identity, context, &bytes, rng)?)
}

/// Seals this holder's whole shares of the named sites' keys to every site.
///
/// # Errors
/// [`HolderError::Shares`] unless `shares` are those of exactly the named sites, ascending.
pub fn open_keys(
    identity: &Identity,
    study: &Study,
    removal: &CertifiedVerdict<'_>,
    shares: &[(SiteId, DealtShare)],
    rng: &mut impl CryptoRng,
) -> Result<OpeningFrame, HolderError> {
    let CertifiedVerdict { case, verdict } = removal;
    same_sites(&verdict.sites, shares)?;
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(shares.len() * share_words(&study.threshold) * 8));
    for (_, share) in shares {
        bytes.extend(share.key_words().iter().flat_map(|word| word.to_le_bytes()));
    }
    let subject = Subject::Keys { verdict: verdict.id() };
    let context = context(study, *case, subject, verdict.sites.len());
    Ok(seal_opening(identity, context, &bytes, rng)?)
}

fn context<'a>(
    study: &'a Study,
    case: Case<'a>,
    subject: Subject,
    sites: usize,
) -> OpeningContext<'a> {
    OpeningContext {
        study,
        round: case.manifest.round,
        manifest: case.manifest.id(),
        closing: case.certificate.closing.id(),
        subject,
        words: opening_words(&study.threshold, subject, sites),
    }
}

fn same_sites(expected: &[SiteId], shares: &[(SiteId, DealtShare)]) -> Result<(), HolderError> {
    if expected.iter().eq(shares.iter().map(|(site, _)| site)) {
        return Ok(());
    }
    let at_hand: BTreeSet<&SiteId> = shares.iter().map(|(site, _)| site).collect();
    let missing = expected.iter().filter(|site| !at_hand.contains(site)).count();
    let extra = (shares.len() + missing).saturating_sub(expected.len());
    Err(HolderError::Shares { missing, extra })
}

/// Signs an endorsement that is durable.
pub fn endorse_dispute(identity: &Identity, statement: Dispute) -> Signed<DisputeEndorsement> {
    identity.sign(DisputeEndorsement { statement, holder: identity.site().clone() })
}

/// Signs an endorsement that is durable.
pub fn endorse_verdict(identity: &Identity, statement: Verdict) -> Signed<VerdictEndorsement> {
    identity.sign(VerdictEndorsement { statement, holder: identity.site().clone() })
}
