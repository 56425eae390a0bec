//! The key holder: reviews envelopes, endorses at most one closing per round number, and opens
//! only what is certified.
//!
//! [`Holder`] is a sans-IO machine like the aggregator's round: a decision is first asked for, then
//! made durable by the caller, then recorded, and only then may it leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use rand::CryptoRng;
use ringfence_crypto::Digest;
use ringfence_crypto::field::ResidueError;
use ringfence_crypto::statement::{
    Certificate, CertificateError, Closing, ClosingError, Endorsement, Header, Manifest, Opening,
    Receipt, Review, Signed, SiteId, Statement, Study,
};
use ringfence_crypto::threshold::Threshold;
use ringfence_crypto::wire::canonical::{self, Canonical};
use ringfence_crypto::wire::frame::{self, FrameError};
use ringfence_crypto::wire::message::OpeningFrame;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::contribution::EnvelopeBinding;
use crate::identity::Identity;
use crate::logged::{LogError, LogProofs, Seen};
use crate::round_secret::RoundSecret;
use crate::seal::{Purpose, SEAL_OVERHEAD, SealError, seal};
use crate::share::{Share, share_words};

/// What a key holder refuses to do, and why.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// Not in the window.
    #[error("{site} is no key holder of round {round}")]
    NoHolder {
        /// This site.
        site: SiteId,
        /// The round.
        round: u32,
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
        round: u32,
        /// On record.
        endorsed: Digest,
        /// As shown.
        shown: Digest,
    },
    /// Certified is another closing than the one that this holder endorsed.
    #[error(
        "closing {certified} of round {round} is certified, and this holder endorsed {endorsed}: it opens no other set; more sites endorsed twice than the study allows for, keep both closings as evidence"
    )]
    EndorsedOther {
        /// The round.
        round: u32,
        /// On record.
        endorsed: Digest,
        /// As certified.
        certified: Digest,
    },
    /// The closing leaves out this site's own receipt.
    #[error(
        "the closing of round {round} leaves out this site's contribution {header}, for which it holds a receipt"
    )]
    ReceiptOmitted {
        /// The round.
        round: u32,
        /// Digest of the header.
        header: Digest,
    },
    /// The log lacks something, or is another one than before.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Restored from a backup.
    #[error(
        "this holder was restored from a backup and abstains through round {through}: it might have endorsed there already"
    )]
    Abstains {
        /// Last round of abstention.
        through: u32,
    },
    /// Not certified.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A certified abort has nothing to open.
    #[error("round {0} ended in a certified abort: nothing may be opened")]
    Aborted(u32),
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
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The frame is too long.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// An envelope that its holder complains about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not the envelope that the header names.
    #[error("the envelope of {dealer} is not the one its header names")]
    Digest {
        /// Who dealt it.
        dealer: SiteId,
    },
    /// Sealed to somebody else or altered.
    #[error("the envelope of {dealer} does not open: {source}")]
    Seal {
        /// Who dealt it.
        dealer: SiteId,
        /// Why.
        source: SealError,
    },
    /// No residues inside.
    #[error("the envelope of {dealer} holds no share: {source}")]
    Share {
        /// Who dealt it.
        dealer: SiteId,
        /// Why.
        source: ResidueError,
    },
}

/// Opens the envelope that `header`'s site dealt to this holder: with the round's secret, or with
/// the long-term one (`None`) where the manifest names no round keys of this holder.
///
/// # Errors
/// [`EnvelopeError`]: a reason to complain about the dealer.
pub fn open_envelope(
    identity: &Identity,
    round_secret: Option<&RoundSecret>,
    study: &Study,
    header: &Header,
    sealed: &[u8],
) -> Result<Share, EnvelopeError> {
    let dealer = || header.site.clone();
    let offset = study.holder_offset(header.round, identity.site());
    let named = offset.and_then(|offset| Some((offset, header.envelopes.get(offset)?)));
    let Some((offset, _)) = named.filter(|(_, digest)| **digest == Digest::of(sealed)) else {
        return Err(EnvelopeError::Digest { dealer: dealer() });
    };
    let binding = EnvelopeBinding {
        manifest: header.manifest,
        dealer: &header.site,
        holder: identity.site(),
    };
    let bytes = round_secret
        .map_or(identity.kem(), RoundSecret::kem)
        .open(Purpose::Envelope, &binding, sealed)
        .map_err(|source| EnvelopeError::Seal { dealer: dealer(), source })?;
    Share::from_dealt(&bytes, &study.threshold, offset)
        .map_err(|source| EnvelopeError::Share { dealer: dealer(), source })
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
    endorsed: BTreeMap<u32, Endorsement>,
    abstains_through: Option<u32>,
    seen: Option<Seen>,
}

impl Holder {
    /// From the endorsements on disk. `abstains_through` is set after a restore from a backup, to
    /// one more than the highest round that the log or a peer shows. `seen` is the checkpoint of
    /// the last closing on disk.
    pub fn restore(
        study: Arc<Study>,
        site: SiteId,
        endorsed: impl IntoIterator<Item = Endorsement>,
        abstains_through: Option<u32>,
        seen: Option<Seen>,
    ) -> Self {
        let endorsed = endorsed.into_iter().map(|record| (record.round, record)).collect();
        Self { study, site, endorsed, abstains_through, seen }
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
        let shown = closing.digest();
        if let Some(record) = self.endorsed.get(&round) {
            return match record.closing == shown {
                true => Ok(Decision::Repeat(record.clone())),
                false => Err(HolderError::Endorsed { round, endorsed: record.closing, shown }),
            };
        }
        if let Some(through) = self.abstains_through.filter(|through| round <= *through) {
            return Err(HolderError::Abstains { through });
        }
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
        certificate.check(&self.study, manifest)?;
        let certified = certificate.closing.digest();
        if let Some(record) = self.endorsed.get(&round).filter(|own| own.closing != certified) {
            return Err(HolderError::EndorsedOther { round, endorsed: record.closing, certified });
        }
        let closing = &certificate.closing.statement;
        if closing.is_abort() {
            return Err(HolderError::Aborted(round));
        }
        Ok(CertifiedSet { closing, digest: certified })
    }
}

/// A certified set: what [`open_share_sum`] asks for, and only [`Holder::may_open`] gives.
#[derive(Clone, Debug)]
pub struct CertifiedSet<'a> {
    closing: &'a Closing,
    digest: Digest,
}

impl CertifiedSet<'_> {
    /// The contributions whose shares are to be summed.
    pub fn sites(&self) -> impl Iterator<Item = (&SiteId, Digest)> {
        self.closing.included.iter().map(|entry| (&entry.site, entry.header))
    }
}

/// What an opening is bound to.
pub(crate) struct OpeningBinding<'a> {
    pub(crate) manifest: Digest,
    pub(crate) closing: Digest,
    pub(crate) holder: &'a SiteId,
    /// A recipient of the content key; none for the content itself.
    pub(crate) recipient: Option<&'a SiteId>,
}

impl Canonical for OpeningBinding<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.manifest.encode(out);
        self.closing.encode(out);
        self.holder.encode(out);
        self.recipient.cloned().encode(out);
    }
}

/// The content, encrypted once, and its key sealed to each recipient.
#[derive(Serialize, Deserialize)]
pub(crate) struct SealedOpening {
    /// The content key, sealed to each site in roster order.
    pub(crate) keys: Vec<Vec<u8>>,
    /// Salt and share words under ChaCha20-Poly1305; the key is used once, the nonce is zero. The
    /// associated data are the canonical bytes of an [`OpeningBinding`] without recipient, under the
    /// label `opening-content`. The statement's plaintext digest is that of salt and words.
    pub(crate) content: Vec<u8>,
}

/// Bytes of the salt ahead of the share words: a digest of the words alone could be guessed at.
pub(crate) const SALT_BYTES: usize = 32;

/// Bytes of a sealed opening for a roster of `sites` sites: content, and a content key for each.
pub fn opening_bytes(threshold: &Threshold, sites: usize) -> usize {
    // The frame's counts take eight bytes each.
    let content = SALT_BYTES + share_words(threshold) * 8 + TAG_BYTES;
    8 + sites * (8 + SEAL_OVERHEAD + 32) + 8 + content
}

/// Bytes of a ChaCha20-Poly1305 tag.
const TAG_BYTES: usize = 16;

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
    seal_opening(identity, study, (set.closing.manifest, set.digest), &sum.to_bytes(), rng)
}

/// Seals a share of the key sum to every site, for a manifest and a closing.
pub(crate) fn seal_opening(
    identity: &Identity,
    study: &Study,
    (manifest, closing): (Digest, Digest),
    share: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<OpeningFrame, HolderError> {
    let mut plaintext = Zeroizing::new(vec![0; SALT_BYTES + share.len()]);
    let (salt, words) = plaintext.split_at_mut(SALT_BYTES);
    rng.fill_bytes(salt);
    words.copy_from_slice(share);

    let holder = identity.site();
    let binding = OpeningBinding { manifest, closing, holder, recipient: None };
    let mut content_key = Zeroizing::new(Key::default());
    rng.fill_bytes(content_key.as_mut_slice());
    let associated = canonical::bytes("opening-content", &binding);
    let content = ChaCha20Poly1305::new(&content_key)
        .encrypt(&Nonce::default(), Payload { msg: &plaintext, aad: &associated })
        .map_err(|_| SealError::Key)?;
    let keys = study
        .roster
        .iter()
        .map(|site| {
            let recipient = Some(&site.id);
            let binding = OpeningBinding { manifest, closing, holder, recipient };
            seal(&site.kem_key, Purpose::Opening, &binding, content_key.as_slice(), rng)
        })
        .collect::<Result<_, _>>()?;
    let sealed = frame::encode(&SealedOpening { keys, content })?;
    let statement = identity.sign(Opening {
        manifest,
        closing,
        holder: holder.clone(),
        sealed: Digest::of(&sealed),
        plaintext: Digest::of(&plaintext),
    });
    Ok(OpeningFrame { statement, sealed })
}

/// A holder's review of the envelopes it was dealt: complaints ascending by name.
pub fn review(
    identity: &Identity,
    manifest: &Manifest,
    complaints: BTreeSet<SiteId>,
) -> Signed<Review> {
    identity.sign(Review {
        manifest: manifest.digest(),
        holder: identity.site().clone(),
        complaints: complaints.into_iter().collect(),
    })
}
