//! The opening's format: one holder's share of the key sum, sealed to every site.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use rand::CryptoRng;
use ringfence_crypto::Digest;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::id::{ClosingId, ManifestId, RoundNumber, SiteId};
use ringfence_crypto::signature::SignatureError;
use ringfence_crypto::statement::{Opening, Study};
use ringfence_crypto::threshold::Threshold;
use ringfence_crypto::wire::canonical::{self, Canonical};
use ringfence_crypto::wire::frame::{self, FrameError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::identity::Identity;
use crate::share::seal::{Purpose, SEAL_OVERHEAD, SealError, seal};
use crate::share::share::{Share, share_words};

/// The round and closing that an opening is for.
#[derive(Clone, Copy, Debug)]
pub struct OpeningContext<'a> {
    /// The study.
    pub study: &'a Study,
    /// Round number.
    pub round: RoundNumber,
    /// The round's manifest.
    pub manifest: ManifestId,
    /// The certified closing.
    pub closing: ClosingId,
}

/// What an opening is bound to.
struct OpeningBinding<'a> {
    manifest: ManifestId,
    closing: ClosingId,
    holder: &'a SiteId,
    /// A recipient of the content key; none for the content itself.
    recipient: Option<&'a SiteId>,
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
    /// associated data are the canonical bytes of an [`OpeningBinding`] without recipient, under
    /// the label `opening-content`. The statement's plaintext digest is that of salt and words.
    pub(crate) content: Vec<u8>,
}

/// Bytes of the salt ahead of the share words: a digest of the words alone could be guessed at.
pub(super) const SALT_BYTES: usize = 32;

/// Bytes of a sealed opening for a roster of `sites` sites: content, and a content key for each.
pub fn opening_bytes(threshold: &Threshold, sites: usize) -> usize {
    // The frame's counts take eight bytes each.
    let content = SALT_BYTES + share_words(threshold) * 8 + TAG_BYTES;
    8 + sites * (8 + SEAL_OVERHEAD + 32) + 8 + content
}

/// Bytes of a ChaCha20-Poly1305 tag.
const TAG_BYTES: usize = 16;

/// An opening that could not be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealOpeningError {
    /// A recipient's key is none.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The frame is too long.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Seals a share of the key sum to every site.
pub(crate) fn seal_opening(
    identity: &Identity,
    context: OpeningContext<'_>,
    share: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<OpeningFrame, SealOpeningError> {
    let OpeningContext { study, round: _, manifest, closing } = context;
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

/// One holder's opening that a recipient cannot use.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OpeningError {
    /// For another closing, or by no holder of the round.
    #[error("the opening of {0} is for another round or closing, or {0} is no key holder")]
    Other(SiteId),
    /// Signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// What was sealed is not what the statement says.
    #[error("the opening of {holder} does not hold what its statement says: {reason}")]
    Content {
        /// Who opened.
        holder: SiteId,
        /// What is wrong.
        reason: String,
    },
}

/// Unseals one holder's share of the key sum; returns it with the holder's window offset.
///
/// # Errors
/// [`OpeningError`] names the holder and what is wrong.
pub fn unseal(
    identity: &Identity,
    context: OpeningContext<'_>,
    opening: &OpeningFrame,
) -> Result<(usize, Share), OpeningError> {
    let statement = &opening.statement.statement;
    let holder = &statement.holder;
    let OpeningContext { study, round, manifest, closing } = context;
    let other = || OpeningError::Other(holder.clone());
    let offset = study.holder_offset(round, holder).ok_or_else(other)?;
    if statement.manifest != manifest || statement.closing != closing {
        return Err(other());
    }
    let site = study.site(holder).ok_or_else(other)?;
    opening.statement.verify(&site.signature_key, holder)?;
    let wrong = |reason: String| OpeningError::Content { holder: holder.clone(), reason };
    if statement.sealed != Digest::of(&opening.sealed) {
        return Err(wrong("its digest differs".into()));
    }
    let sealed: SealedOpening =
        frame::decode(&opening.sealed, "a sealed opening").map_err(|e| wrong(e.to_string()))?;
    let recipient = identity.site();
    let position = study.position(recipient).ok_or_else(other)?;
    let key = sealed.keys.get(position);
    let key = key.ok_or_else(|| wrong("it holds no content key for this site".into()))?;
    let binding = OpeningBinding { manifest, closing, holder, recipient: Some(recipient) };
    let key =
        identity.kem().open(Purpose::Opening, &binding, key).map_err(|e| wrong(e.to_string()))?;
    let key = Key::try_from(key.as_slice())
        .map(Zeroizing::new)
        .map_err(|_| wrong(format!("its content key has {} bytes, expected 32", key.len())))?;
    let binding = OpeningBinding { manifest, closing, holder, recipient: None };
    let associated = canonical::bytes("opening-content", &binding);
    let payload = Payload { msg: &sealed.content, aad: &associated };
    let plaintext = ChaCha20Poly1305::new(&key)
        .decrypt(&Nonce::default(), payload)
        .map(Zeroizing::new)
        .map_err(|_| wrong("its content does not decrypt".into()))?;
    if statement.plaintext != Digest::of(&plaintext) {
        return Err(wrong("the digest of its content differs".into()));
    }
    let words = plaintext.get(SALT_BYTES..).unwrap_or_default();
    let share = Share::from_bytes(words, &study.threshold).map_err(|e| wrong(e.to_string()))?;
    Ok((offset, share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{rng, study};
    use ringfence_crypto::ring::params::MODULUS;

    #[test]
    fn residues_at_or_above_q_are_refused_and_their_holder_named() {
        let (study, identities) = study(5);
        let mut words = vec![0u8; share_words(&study.threshold) * 8];
        words[8..16].copy_from_slice(&MODULUS.to_le_bytes());
        let (manifest, closing) = (Digest::of(b"manifest").into(), Digest::of(b"closing").into());
        let context = OpeningContext { study: &study, round: RoundNumber(0), manifest, closing };
        let bad = seal_opening(&identities[2], context, &words, &mut rng(2)).unwrap();
        let error = unseal(&identities[4], context, &bad).unwrap_err().to_string();
        assert!(error.contains("site-2"), "{error}");
        assert!(error.contains("expected a residue below q"), "{error}");
    }
}
