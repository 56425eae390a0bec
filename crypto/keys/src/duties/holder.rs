//! The key holder: reviews envelopes, endorses at most one closing per round number, and opens
//! only what is certified.
//!
//! What it does when the sum cannot be decoded is in [`disputes`](super::disputes).
//!
//! [`Holder`] is a sans-IO machine like the aggregator's round: a decision is first asked for, then
//! made durable by the caller, then recorded, and only then may it leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::CryptoRng;
use ringfence_crypto::api::{OpeningFrame, opening_words};
use ringfence_crypto::dealing::{Answer, Trust};
use ringfence_crypto::id::{
    ClosingId, DisputeId, FreezeId, HeaderId, ManifestId, RoundNumber, SiteId,
};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Certificate, CertificateError, Closing, ClosingError, Dispute, DisputeError, Endorsement,
    Freeze, FreezeError, Header, Included, Manifest, Receipt, Review, SetView, Study, Subject,
    Verdict,
};

use super::abstention::{Abstention, AbstentionError};
use super::logged::{LogError, LogProofs, Seen};
use crate::identity::Identity;
use crate::open::{OpeningContext, SealOpeningError, seal_opening};
use crate::share::dealt::DealtShare;
use crate::share::share::Share;

/// What a key holder refuses to do, and why.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// Not in the window.
    #[error("{site} is no key holder of round {round}")]
    NoHolder {
        /// This site.
        site: SiteId,
        /// The round.
        round: RoundNumber,
    },
    /// The closing should not be endorsed.
    #[error(transparent)]
    Closing(#[from] ClosingError),
    /// The freeze should not be reviewed, and no closing of it endorsed.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// Reviewed another freeze already.
    #[error(
        "this holder has reviewed freeze {reviewed} in round {round} and reviews no other ({shown} was shown): two answers would cancel their masks; the aggregator signed two freezes, keep both as evidence"
    )]
    Reviewed {
        /// The round.
        round: RoundNumber,
        /// On record.
        reviewed: FreezeId,
        /// As shown.
        shown: FreezeId,
    },
    /// The dispute or verdict should not be endorsed, or does not hold.
    #[error(transparent)]
    Dispute(#[from] DisputeError),
    /// Endorsed another dispute or verdict already.
    #[error(
        "this holder has endorsed another {what} in round {round} and endorses no second one; what it sees has changed: keep its state as evidence"
    )]
    EndorsedDispute {
        /// `dispute` or `verdict`.
        what: &'static str,
        /// The round.
        round: RoundNumber,
    },
    /// Q sites hold one model of the round.
    #[error(
        "round {0} is settled: Q sites have acknowledged one model, and this holder has destroyed its shares; nothing of it is in dispute any more"
    )]
    Settled(RoundNumber),
    /// Endorsed another closing already.
    #[error(
        "this holder has endorsed closing {endorsed} in round {round} and endorses no other ({shown} was shown); the aggregator signed two closings, keep both as evidence"
    )]
    Endorsed {
        /// The round.
        round: RoundNumber,
        /// On record.
        endorsed: ClosingId,
        /// As shown.
        shown: ClosingId,
    },
    /// Certified is another closing than the one that this holder endorsed.
    #[error(
        "closing {certified} of round {round} is certified, and this holder endorsed {endorsed}: it opens no other set; more sites endorsed twice than the study allows for, keep both closings as evidence"
    )]
    EndorsedOther {
        /// The round.
        round: RoundNumber,
        /// On record.
        endorsed: ClosingId,
        /// As certified.
        certified: ClosingId,
    },
    /// The freeze or closing leaves out this site's own receipt.
    #[error(
        "the {what} of round {round} leaves out this site's contribution {header}, for which it holds a receipt"
    )]
    ReceiptOmitted {
        /// `freeze` or `closing`.
        what: &'static str,
        /// The round.
        round: RoundNumber,
        /// The header.
        header: HeaderId,
    },
    /// The log lacks something, or is another one than before.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Restored from a backup.
    #[error(transparent)]
    Abstains(#[from] AbstentionError),
    /// Not certified.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A certified abort has nothing to open.
    #[error("round {0} ended in a certified abort: nothing may be opened")]
    Aborted(RoundNumber),
    /// Shares missing or of sites outside the set.
    #[error(
        "the shares at hand are not those of the certified set: {missing} missing, {extra} too many"
    )]
    Shares {
        /// In the set, not at hand.
        missing: usize,
        /// At hand, not in the set.
        extra: usize,
    },
    /// The opening could not be sealed.
    #[error(transparent)]
    Opening(#[from] SealOpeningError),
}

/// What a holder is shown before it endorses.
#[derive(Clone, Copy, Debug)]
pub struct ClosingView<'a> {
    /// The checked manifest.
    pub manifest: &'a Manifest,
    /// Trust before the round.
    pub trust: &'a Trust,
    /// The aggregator's freeze.
    pub freeze: &'a Signed<Freeze>,
    /// The aggregator's closing.
    pub closing: &'a Signed<Closing>,
    /// The headers of all contributions that it names.
    pub headers: &'a [Signed<Header>],
    /// The holders' reviews, at least those that the closing lists.
    pub reviews: &'a [Signed<Review>],
    /// This site's own receipt, if it contributed.
    pub receipt: Option<&'a Signed<Receipt>>,
    /// What shows that the closing's checkpoint contains all of it.
    pub log: &'a LogProofs,
}

/// What a holder is shown before it reviews.
#[derive(Clone, Copy, Debug)]
pub struct FreezeView<'a> {
    /// The checked manifest.
    pub manifest: &'a Manifest,
    /// Trust before the round.
    pub trust: &'a Trust,
    /// The aggregator's freeze.
    pub freeze: &'a Signed<Freeze>,
    /// The headers of all contributions that it names.
    pub headers: &'a [Signed<Header>],
    /// This site's own receipt, if it contributed.
    pub receipt: Option<&'a Signed<Receipt>>,
}

/// May the statement leave, and must it be recorded first?
#[derive(Clone, Debug, PartialEq)]
pub enum Decision<T = Endorsement> {
    /// Make it durable, then record it, then sign and send.
    Fresh(T),
    /// It is on record: sign and send the same again.
    Repeat(T),
}

/// What a holder has on disk of a study: everything that it may say once only.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Its endorsements of closings.
    pub endorsed: Vec<Endorsement>,
    /// Which freeze it reviewed, by round.
    pub reviewed: Vec<(RoundNumber, FreezeId)>,
    /// Disputes that it endorsed.
    pub disputes: Vec<Dispute>,
    /// Verdicts that it endorsed.
    pub verdicts: Vec<Verdict>,
    /// Rounds of which it saw that Q sites hold one model.
    pub settled: Vec<RoundNumber>,
}

/// A site in its duty as key holder of one study, over all rounds.
#[derive(Debug)]
pub struct Holder {
    pub(super) study: Arc<Study>,
    pub(super) site: SiteId,
    endorsed: BTreeMap<RoundNumber, Endorsement>,
    reviewed: BTreeMap<RoundNumber, FreezeId>,
    pub(super) disputed: BTreeMap<(RoundNumber, u16), Dispute>,
    pub(super) judged: BTreeMap<(RoundNumber, Option<DisputeId>), Verdict>,
    pub(super) settled: BTreeSet<RoundNumber>,
    abstains: Option<Abstention>,
    seen: Option<Seen>,
}

impl Holder {
    /// From what is on disk. `abstains` is set after a restore from a backup. `seen` is the
    /// checkpoint of the last closing on disk.
    pub fn restore(
        study: Arc<Study>,
        site: SiteId,
        records: Records,
        abstains: Option<Abstention>,
        seen: Option<Seen>,
    ) -> Self {
        let Records { endorsed, reviewed, disputes, verdicts, settled } = records;
        Self {
            study,
            site,
            endorsed: endorsed.into_iter().map(|record| (record.round, record)).collect(),
            reviewed: reviewed.into_iter().collect(),
            disputed: disputes.into_iter().map(|d| ((d.round, d.index), d)).collect(),
            judged: verdicts.into_iter().map(|v| ((v.round, v.dispute), v)).collect(),
            settled: settled.into_iter().collect(),
            abstains,
            seen,
        }
    }

    /// Permission to answer for the shares of a freeze: one freeze a study and round number.
    ///
    /// # Errors
    /// [`HolderError`] when the freeze is wrong, leaves out this site's own receipt, or another one
    /// was reviewed; also when this site abstains or is no holder.
    pub fn review(&self, view: FreezeView<'_>) -> Result<Decision<FreezeId>, HolderError> {
        let FreezeView { manifest, trust, freeze, headers, receipt } = view;
        let round = manifest.round;
        self.holds(round)?;
        let shown = freeze.id();
        if let Some(reviewed) = self.reviewed.get(&round).copied() {
            return match reviewed == shown {
                true => Ok(Decision::Repeat(shown)),
                false => Err(HolderError::Reviewed { round, reviewed, shown }),
            };
        }
        self.takes_part(manifest)?;
        Freeze::check(freeze, &self.study, manifest, trust)?;
        freeze.statement.check_headers(&self.study, headers)?;
        self.own_receipt(&freeze.statement, receipt)?;
        Ok(Decision::Fresh(shown))
    }

    /// Takes note of a review that is durable.
    pub fn record_review(&mut self, round: RoundNumber, freeze: FreezeId) {
        self.reviewed.entry(round).or_insert(freeze);
    }

    pub(super) fn holds(&self, round: RoundNumber) -> Result<(), HolderError> {
        match self.study.holder_offset(round, &self.site) {
            Some(_) => Ok(()),
            None => Err(HolderError::NoHolder { site: self.site.clone(), round }),
        }
    }

    /// A freeze must hold this site's own receipt.
    fn own_receipt(
        &self,
        freeze: &Freeze,
        receipt: Option<&Signed<Receipt>>,
    ) -> Result<(), HolderError> {
        let Some(Receipt { header, .. }) = receipt.map(|signed| &signed.statement) else {
            return Ok(());
        };
        let header = *header;
        let own = Included { site: self.site.clone(), header };
        match freeze.includes(&own) {
            true => Ok(()),
            false => {
                let round = freeze.round;
                Err(HolderError::ReceiptOmitted { what: "freeze", round, header })
            }
        }
    }

    /// Whether this holder endorses the closing it is shown: at most one per round number,
    /// whatever manifests exist.
    ///
    /// # Errors
    /// [`HolderError`] when the closing is wrong or another one is on record.
    pub fn endorse(&self, view: ClosingView<'_>) -> Result<Decision, HolderError> {
        let ClosingView { manifest, trust, freeze, closing, headers, reviews, receipt, log } = view;
        let round = manifest.round;
        self.holds(round)?;
        let shown = closing.id();
        if let Some(record) = self.endorsed.get(&round) {
            return match record.closing == shown {
                true => Ok(Decision::Repeat(record.clone())),
                false => Err(HolderError::Endorsed { round, endorsed: record.closing, shown }),
            };
        }
        self.takes_part(manifest)?;
        Closing::check(closing, &self.study, manifest)?;
        Freeze::check(freeze, &self.study, manifest, trust)?;
        let shown_to = SetView { trust, freeze: &freeze.statement, headers, reviews };
        closing.statement.check_set(&self.study, shown_to)?;
        // Set and exclusions are the freeze's list. An abort opens nothing.
        if !closing.statement.is_abort() {
            self.own_receipt(&freeze.statement, receipt)?;
        }
        log.check_inclusion(manifest, &closing.statement, receipt.map(|signed| &signed.statement))?;
        log.check_consistency(&closing.statement, self.seen)?;
        let (study, holder) = (manifest.study, self.site.clone());
        Ok(Decision::Fresh(Endorsement { study, round, closing: shown, holder }))
    }

    /// Whether this holder does anything in the round of a manifest: review, endorse, open.
    ///
    /// # Errors
    /// [`HolderError::Abstains`] after a restore from a backup.
    pub fn takes_part(&self, manifest: &Manifest) -> Result<(), HolderError> {
        Ok(self.abstains.map_or(Ok(()), |abstains| abstains.allows(manifest))?)
    }

    /// The last checkpoint that was seen.
    pub fn seen(&self) -> Option<Seen> {
        self.seen
    }

    /// Takes note of an endorsement that is durable, and of the checkpoint of the closing that it
    /// endorses, durable too.
    pub fn record(&mut self, endorsement: Endorsement, closing: &Closing) {
        self.endorsed.entry(endorsement.round).or_insert(endorsement);
        let shown = Seen::from(closing);
        if self.seen.is_none_or(|seen| seen.checkpoint.size < shown.checkpoint.size) {
            self.seen = Some(shown);
        }
    }

    /// Permission to open: only a certified set, and no other than the one that this holder
    /// endorsed, if it endorsed one. Two certificates in a round would need more corrupt sites than
    /// the study allows for; this holder answers for one set all the same.
    ///
    /// # Errors
    /// [`HolderError`] when the certificate does not hold, is of an abort or of another closing
    /// than the one on record, or this site is no holder.
    pub fn may_open<'a>(
        &self,
        manifest: &Manifest,
        certificate: &'a Certificate,
    ) -> Result<CertifiedSet<'a>, HolderError> {
        let round = manifest.round;
        self.holds(round)?;
        self.takes_part(manifest)?;
        certificate.check(&self.study, manifest)?;
        let certified = certificate.closing.id();
        if let Some(record) = self.endorsed.get(&round).filter(|own| own.closing != certified) {
            return Err(HolderError::EndorsedOther { round, endorsed: record.closing, certified });
        }
        let closing = &certificate.closing.statement;
        if closing.is_abort() {
            return Err(HolderError::Aborted(round));
        }
        Ok(CertifiedSet { closing, id: certified })
    }
}

/// A certified set: what [`open_share_sum`] asks for, and only [`Holder::may_open`] gives.
#[derive(Clone, Debug)]
pub struct CertifiedSet<'a> {
    closing: &'a Closing,
    id: ClosingId,
}

impl CertifiedSet<'_> {
    /// The contributions whose shares are to be summed.
    pub fn sites(&self) -> impl Iterator<Item = (&SiteId, HeaderId)> {
        self.closing.included.iter().map(|entry| (&entry.site, entry.header))
    }
}

/// Sums the shares dealt to this holder over the certified set and seals the sum to every site.
///
/// # Errors
/// [`HolderError::Shares`] unless `shares` are exactly those of the set.
pub fn open_share_sum(
    identity: &Identity,
    study: &Study,
    set: &CertifiedSet<'_>,
    shares: &[(SiteId, DealtShare)],
    rng: &mut impl CryptoRng,
) -> Result<OpeningFrame, HolderError> {
    let expected: BTreeSet<&SiteId> = set.sites().map(|(site, _)| site).collect();
    let at_hand: BTreeSet<&SiteId> = shares.iter().map(|(site, _)| site).collect();
    if expected != at_hand || shares.len() != at_hand.len() {
        return Err(HolderError::Shares {
            missing: expected.difference(&at_hand).count(),
            extra: shares.len().saturating_sub(expected.intersection(&at_hand).count()),
        });
    }
    let sum = Share::sum(shares.iter().map(|(_, share)| share), &study.threshold);
    let Closing { round, manifest, .. } = *set.closing;
    let (subject, sites) = (Subject::Sum, expected.len());
    let words = opening_words(&study.threshold, subject, sites);
    let context = OpeningContext { study, round, manifest, closing: set.id, subject, words };
    Ok(seal_opening(identity, context, &sum.to_bytes(), rng)?)
}

/// A holder's review of a freeze that [`Holder::review`] allows: an answer for each contribution, in its
/// order. Durable before it leaves.
pub fn sign_review(
    identity: &Identity,
    manifest: ManifestId,
    freeze: FreezeId,
    answers: Vec<Answer>,
) -> Signed<Review> {
    identity.sign(Review { manifest, freeze, holder: identity.site().clone(), answers })
}
