//! The key holder: reviews envelopes, endorses at most one closing per round number, and opens
//! only what is certified.
//!
//! [`Holder`] is a sans-IO machine like the aggregator's round: a decision is first asked for, then
//! made durable by the caller, then recorded, and only then may it leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::CryptoRng;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::id::{ClosingId, HeaderId, RoundNumber, SiteId};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Certificate, CertificateError, Closing, ClosingError, Endorsement, Header, Manifest, Receipt,
    Review, Study,
};

use super::abstention::{Abstention, AbstentionError};
use super::logged::{LogError, LogProofs, Seen};
use crate::identity::Identity;
use crate::open::{OpeningContext, SealOpeningError, seal_opening};
use crate::share::envelope::Complaint;
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
    /// The closing leaves out this site's own receipt.
    #[error(
        "the closing of round {round} leaves out this site's contribution {header}, for which it holds a receipt"
    )]
    ReceiptOmitted {
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
    /// The aggregator's closing.
    pub closing: &'a Signed<Closing>,
    /// The headers of all contributions that it names.
    pub headers: &'a [Signed<Header>],
    /// The holders' reviews.
    pub reviews: &'a [Signed<Review>],
    /// This site's own receipt, if it contributed.
    pub receipt: Option<&'a Signed<Receipt>>,
    /// What shows that the closing's checkpoint contains all of it.
    pub log: &'a LogProofs,
}

/// May the endorsement leave, and must it be recorded first?
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Make it durable, then [`Holder::record`] it, then sign and send.
    Fresh(Endorsement),
    /// It is on record: sign and send the same again.
    Repeat(Endorsement),
}

/// A site in its duty as key holder of one study, over all rounds.
#[derive(Debug)]
pub struct Holder {
    study: Arc<Study>,
    site: SiteId,
    endorsed: BTreeMap<RoundNumber, Endorsement>,
    abstains: Option<Abstention>,
    seen: Option<Seen>,
}

impl Holder {
    /// From the endorsements on disk. `abstains` is set after a restore from a backup. `seen` is the
    /// checkpoint of the last closing on disk.
    pub fn restore(
        study: Arc<Study>,
        site: SiteId,
        endorsed: impl IntoIterator<Item = Endorsement>,
        abstains: Option<Abstention>,
        seen: Option<Seen>,
    ) -> Self {
        let endorsed = endorsed.into_iter().map(|record| (record.round, record)).collect();
        Self { study, site, endorsed, abstains, seen }
    }

    /// Whether this holder endorses the closing it is shown: at most one per round number,
    /// whatever manifests exist.
    ///
    /// # Errors
    /// [`HolderError`] when the closing is wrong or another one is on record.
    pub fn endorse(&self, view: ClosingView<'_>) -> Result<Decision, HolderError> {
        let ClosingView { manifest, closing, headers, reviews, receipt, log } = view;
        let round = manifest.round;
        if self.study.holder_offset(round, &self.site).is_none() {
            return Err(HolderError::NoHolder { site: self.site.clone(), round });
        }
        let shown = closing.id();
        if let Some(record) = self.endorsed.get(&round) {
            return match record.closing == shown {
                true => Ok(Decision::Repeat(record.clone())),
                false => Err(HolderError::Endorsed { round, endorsed: record.closing, shown }),
            };
        }
        self.takes_part(manifest)?;
        Closing::check(closing, &self.study, manifest)?;
        closing.statement.check_set(&self.study, headers, reviews)?;
        if let Some(receipt) = receipt {
            self.own_receipt(&closing.statement, &receipt.statement)?;
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

    /// A set must hold this site's own contribution or say why not; an abort opens nothing.
    fn own_receipt(&self, closing: &Closing, receipt: &Receipt) -> Result<(), HolderError> {
        let excluded = closing.excluded.iter().any(|entry| entry.header == receipt.header);
        if closing.is_abort() || excluded || closing.includes(&self.site, &receipt.header) {
            return Ok(());
        }
        Err(HolderError::ReceiptOmitted { round: closing.round, header: receipt.header })
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
        if self.study.holder_offset(round, &self.site).is_none() {
            return Err(HolderError::NoHolder { site: self.site.clone(), round });
        }
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
    shares: &[(SiteId, Share)],
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
    let context = OpeningContext { study, round, manifest, closing: set.id };
    Ok(seal_opening(identity, context, &sum.to_bytes(), rng)?)
}

/// A holder's review of the envelopes it was dealt: whom it complains about, ascending by name.
pub fn review(
    identity: &Identity,
    manifest: &Manifest,
    complaints: &[Complaint],
) -> Signed<Review> {
    let complaints: BTreeSet<&SiteId> = complaints.iter().map(Complaint::dealer).collect();
    identity.sign(Review {
        manifest: manifest.id(),
        holder: identity.site().clone(),
        complaints: complaints.into_iter().cloned().collect(),
    })
}
