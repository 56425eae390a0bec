//! The opening's format: one holder's words, sealed to every site, and what a site makes of the part
//! that is sealed to it.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use rand::CryptoRng;
use ringfence_crypto::Digest;
use ringfence_crypto::api::{
    OpeningContext, OpeningFrame, OpeningPart, PartError, SALT_BYTES, recipients,
};
use ringfence_crypto::id::{ClosingId, ManifestId, SiteId};
use ringfence_crypto::ring::field;
use ringfence_crypto::statement::{Opening, Subject};
use ringfence_crypto::wire::canonical::{self, Canonical};
use zeroize::Zeroizing;

use crate::identity::Identity;
use crate::share::seal::{Purpose, SealError, seal};
use crate::share::share::Share;

/// What an opening is bound to.
struct OpeningBinding<'a> {
    manifest: ManifestId,
    closing: ClosingId,
    holder: &'a SiteId,
    subject: Subject,
    /// A recipient of the content key; none for the content itself.
    recipient: Option<&'a SiteId>,
}

impl Canonical for OpeningBinding<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.manifest.encode(out);
        self.closing.encode(out);
        self.holder.encode(out);
        self.subject.encode(out);
        self.recipient.cloned().encode(out);
    }
}

/// An opening that could not be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealOpeningError {
    /// A recipient's key is none.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Seals words, as bytes, to every site. Honest holders seal what the [`duties`](crate::duties) let
/// them open, and only those read the words of a share. Public, for whoever plays a holder that
/// lies: a holder can sign any words, and sites tell by the others' openings.
///
/// The content is salt and share words under ChaCha20-Poly1305; its key is used once, the nonce is
/// zero. The associated data are the canonical bytes of an opening binding without recipient,
/// under the label `opening-content`. The statement's plaintext digest is that of salt and words.
///
/// # Errors
/// [`SealOpeningError`] when a site's key is none.
pub fn seal_opening(
    identity: &Identity,
    context: OpeningContext<'_>,
    words: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<OpeningFrame, SealOpeningError> {
    let OpeningContext { study, round: _, manifest, closing, subject, words: _ } = context;
    let mut plaintext = Zeroizing::new(vec![0; SALT_BYTES + words.len()]);
    let (salt, sealed) = plaintext.split_at_mut(SALT_BYTES);
    rng.fill_bytes(salt);
    sealed.copy_from_slice(words);

    let holder = identity.site();
    let binding = OpeningBinding { manifest, closing, holder, subject, recipient: None };
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
            let binding = OpeningBinding { manifest, closing, holder, subject, recipient };
            seal(&site.kem_key, Purpose::Opening, &binding, content_key.as_slice(), rng)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let statement = identity.sign(Opening {
        manifest,
        closing,
        holder: holder.clone(),
        subject,
        content: Digest::of(&content),
        recipients: recipients(study, &keys).checkpoint().root,
        plaintext: Digest::of(&plaintext),
    });
    Ok(OpeningFrame { statement, content, keys })
}

/// A holder's opening that no recipient, or not this one, can use: what the holder signed does not
/// hold what it says. Whose fault it is, is settled before: see [`CheckedPart`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the opening of {holder} does not hold what its statement says: {reason}")]
pub struct UnusableOpening {
    /// Who opened.
    pub holder: SiteId,
    /// What is wrong.
    pub reason: String,
}

/// A part of an opening that is what its holder signed, for this site and this round: whatever is
/// still wrong with it is the holder's doing, and not that of who served it.
#[derive(Debug)]
pub struct CheckedPart<'a> {
    identity: &'a Identity,
    context: OpeningContext<'a>,
    part: OpeningPart,
    offset: usize,
}

impl<'a> CheckedPart<'a> {
    /// Checks a part against its statement, and the statement against the round.
    ///
    /// # Errors
    /// [`PartError`]: the aggregator's fault. Fetched again it may be right.
    pub fn check(
        identity: &'a Identity,
        context: OpeningContext<'a>,
        part: OpeningPart,
    ) -> Result<Self, PartError> {
        let offset = part.check(context, identity.site())?;
        Ok(Self { identity, context, part, offset })
    }

    /// Unseals the holder's share of the key sum; returns it with the holder's window offset.
    ///
    /// # Errors
    /// [`UnusableOpening`] names the holder and what is wrong.
    pub fn unseal(&self) -> Result<(usize, Share), UnusableOpening> {
        let (offset, words) = self.unseal_words()?;
        let other = || UnusableOpening {
            holder: self.part.statement.statement.holder.clone(),
            reason: format!("it holds {} words, which are no share", words.len()),
        };
        let share = Share::from_words(&words, &self.context.study.threshold).ok_or_else(other)?;
        Ok((offset, share))
    }

    /// Unseals the holder's words, as many as the context says; with the holder's window offset.
    ///
    /// # Errors
    /// [`UnusableOpening`] names the holder and what is wrong.
    pub fn unseal_words(&self) -> Result<(usize, Zeroizing<Vec<u64>>), UnusableOpening> {
        let OpeningPart { statement, key, path: _, content } = &self.part;
        let Opening { holder, plaintext: digest, .. } = &statement.statement;
        let OpeningContext { manifest, closing, subject, .. } = self.context;
        let wrong = |reason: String| UnusableOpening { holder: holder.clone(), reason };
        let recipient = Some(self.identity.site());
        let binding = OpeningBinding { manifest, closing, holder, subject, recipient };
        let kem = self.identity.kem();
        let key = kem.open(Purpose::Opening, &binding, key).map_err(|e| wrong(e.to_string()))?;
        let key = Key::try_from(key.as_slice())
            .map(Zeroizing::new)
            .map_err(|_| wrong(format!("its content key has {} bytes, expected 32", key.len())))?;
        let binding = OpeningBinding { manifest, closing, holder, subject, recipient: None };
        let associated = canonical::bytes("opening-content", &binding);
        let plaintext = ChaCha20Poly1305::new(&key)
            .decrypt(&Nonce::default(), Payload { msg: content, aad: &associated })
            .map(Zeroizing::new)
            .map_err(|_| wrong("its content does not decrypt".into()))?;
        if *digest != Digest::of(&plaintext) {
            return Err(wrong("the digest of what it decrypts to differs".into()));
        }
        let words = plaintext.get(SALT_BYTES..).unwrap_or_default();
        let words = field::parse_residues(words, self.context.words);
        Ok((self.offset, Zeroizing::new(words.map_err(|error| wrong(error.to_string()))?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::share::share_words;
    use crate::testing::{rng, study};
    use ringfence_crypto::id::RoundNumber;
    use ringfence_crypto::ring::params::MODULUS;

    #[test]
    fn residues_at_or_above_q_are_refused_and_their_holder_named() {
        let (study, identities) = study(5);
        let mut words = vec![0u8; share_words(&study.threshold) * 8];
        words[8..16].copy_from_slice(&MODULUS.to_le_bytes());
        let (manifest, closing) = (Digest::of(b"manifest").into(), Digest::of(b"closing").into());
        let (subject, count) = (Subject::Sum, share_words(&study.threshold));
        let round = RoundNumber(0);
        let context =
            OpeningContext { study: &study, round, manifest, closing, subject, words: count };
        let bad = seal_opening(&identities[2], context, &words, &mut rng(2)).unwrap();
        let part = bad.check(&study, count).unwrap().part(4).unwrap();
        let part = CheckedPart::check(&identities[4], context, part).unwrap();
        let error = part.unseal().unwrap_err().to_string();
        assert!(error.contains("site-2"), "{error}");
        assert!(error.contains("expected a residue below q"), "{error}");
    }
}
