//! Envelopes: what a dealer's share for one key holder is bound to, and how the holder opens it.

use rand::CryptoRng;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{ManifestId, SiteId};
use ringfence_crypto::ring::field::ResidueError;
use ringfence_crypto::statement::{Header, HexBytes, Study};
use ringfence_crypto::wire::canonical::Canonical;

use super::dealt::DealtShare;
use super::seal::{Purpose, SealError, seal};
use crate::identity::Identity;
use crate::round_secret::RoundSecret;

/// What an envelope is bound to.
#[derive(Clone, Copy, Debug)]
pub struct EnvelopeBinding<'a> {
    /// The round's manifest.
    pub manifest: ManifestId,
    /// Who deals.
    pub dealer: &'a SiteId,
    /// To whom.
    pub holder: &'a SiteId,
}

impl Canonical for EnvelopeBinding<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.manifest.encode(out);
        self.dealer.encode(out);
        self.holder.encode(out);
    }
}

/// The envelope at hand is not the one that its dealer signed for: the aggregator's fault (or that
/// of the way), and never a reason to complain about the dealer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the envelope of {dealer} for {holder} that the aggregator showed, {got} bytes, is not the one its header names: the aggregator lost or altered it, which is no reason to complain about {dealer}; it is asked for again, and {dealer} may send it again"
)]
pub struct WrongEnvelope {
    /// Who dealt it.
    pub dealer: SiteId,
    /// Whom it is for.
    pub holder: SiteId,
    /// Bytes that came.
    pub got: usize,
}

/// The right envelope is of no use: what a holder complains about. Only [`open_envelope`] finds it,
/// after the envelope's digest has been checked against the header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Complaint {
    /// Sealed to somebody else, or rubbish.
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

impl Complaint {
    /// Whom it is about.
    pub fn dealer(&self) -> &SiteId {
        match self {
            Self::Seal { dealer, .. } | Self::Share { dealer, .. } => dealer,
        }
    }
}

/// Why there is no share: by whose fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The aggregator's: ask for the right one.
    #[error(transparent)]
    Wrong(#[from] WrongEnvelope),
    /// The dealer's: complain.
    #[error(transparent)]
    Bad(#[from] Complaint),
}

/// Seals bytes as an envelope to the owner of a KEM key. Honest dealers seal what sharing their key
/// gives ([`Contribution`](crate::encrypt::contribution::Contribution)). Public, for whoever plays a
/// dealer that does not: anyone can seal anything to a public key, so no honest site relies on what
/// an envelope holds before its review.
///
/// # Errors
/// [`SealError::Key`] when `recipient` is no X-Wing key.
pub fn seal_envelope(
    recipient: &HexBytes,
    binding: EnvelopeBinding<'_>,
    bytes: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealError> {
    seal(recipient, Purpose::Envelope, &binding, bytes, rng)
}

/// Opens the envelope that `header`'s site dealt to this holder: with the round's secret, or with
/// the long-term one (`None`) where the manifest names no round keys of this holder. The header
/// must have passed [`Header::check`].
///
/// # Errors
/// [`EnvelopeError`] tells the aggregator's fault from the dealer's.
pub fn open_envelope(
    identity: &Identity,
    round_secret: Option<&RoundSecret>,
    study: &Study,
    header: &Header,
    sealed: &[u8],
) -> Result<DealtShare, EnvelopeError> {
    let dealer = || header.site.clone();
    let offset = study.holder_offset(header.round, identity.site());
    let named = offset.and_then(|offset| Some((offset, header.envelopes.get(offset)?)));
    let Some((offset, _)) = named.filter(|(_, digest)| **digest == Digest::of(sealed)) else {
        let holder = identity.site().clone();
        return Err(WrongEnvelope { dealer: dealer(), holder, got: sealed.len() }.into());
    };
    let binding = EnvelopeBinding {
        manifest: header.manifest,
        dealer: &header.site,
        holder: identity.site(),
    };
    let bytes = round_secret
        .map_or(identity.kem(), RoundSecret::kem)
        .open(Purpose::Envelope, &binding, sealed)
        .map_err(|source| Complaint::Seal { dealer: dealer(), source })?;
    DealtShare::from_dealt(&bytes, &study.threshold, offset)
        .map_err(|source| Complaint::Share { dealer: dealer(), source }.into())
}

#[cfg(test)]
mod tests {
    use super::super::dealt::{dealt_bytes, dealt_words};
    use super::*;
    use crate::testing::{rng, study};
    use ringfence_crypto::id::RoundNumber;
    use ringfence_crypto::ring::params::MODULUS;
    use ringfence_crypto::signature::Statement;
    use ringfence_crypto::statement::CHECK_BYTES;

    #[test]
    fn residues_at_or_above_q_are_refused() {
        let (study, identities) = study(5);
        let mut words = vec![0u8; dealt_words(&study.threshold) * 8];
        words[8..16].copy_from_slice(&MODULUS.to_le_bytes());
        // Properly sealed, and named by the header; the first holders are dealt seeds.
        let last = 4;
        assert_eq!(dealt_bytes(&study.threshold, last), words.len());
        let (dealer, holder) = (identities[0].site(), &study.roster[last]);
        let manifest = ManifestId(Digest::of(b"manifest"));
        let binding = EnvelopeBinding { manifest, dealer, holder: &holder.id };
        let sealed = seal_envelope(&holder.kem_key, binding, &words, &mut rng(1)).unwrap();
        let header = Header {
            study: study.id(),
            round: RoundNumber(0),
            manifest,
            site: dealer.clone(),
            body_bytes: 0,
            body: Digest::of(b"body"),
            check: HexBytes(vec![0; CHECK_BYTES]),
            envelopes: vec![Digest::of(&sealed); 5],
            spent: None,
        };
        let error = open_envelope(&identities[last], None, &study, &header, &sealed).unwrap_err();
        assert!(error.to_string().contains("word 1 is 18446744069414584321"), "{error}");
        assert!(matches!(error, EnvelopeError::Bad(Complaint::Share { .. })), "{error:?}");
        // Altered on the way, it is no reason to complain.
        let error = open_envelope(&identities[last], None, &study, &header, &sealed[1..]);
        assert!(matches!(error, Err(EnvelopeError::Wrong(_))), "{error:?}");
        // An empty envelope that the dealer signed for is one.
        let header = Header { envelopes: vec![Digest::of(b""); 5], ..header };
        let error = open_envelope(&identities[last], None, &study, &header, b"");
        assert!(matches!(error, Err(EnvelopeError::Bad(Complaint::Seal { .. }))), "{error:?}");
    }
}
