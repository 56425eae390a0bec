//! A site's contribution: body, envelopes and signed header.

use std::io::{self, Write};

use rand::CryptoRng;
use ringfence_crypto::Digest;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Header, HolderKeys, Manifest, Spent, SpentError, Study};

use super::check::{CheckBinding, CheckKey};
use super::one_time_key::{EncryptError, Encryption, EncryptionContext, OneTimeKey};
use super::self_check::SelfCheckError;
use crate::identity::Identity;
use crate::share::envelope::{EnvelopeBinding, seal_envelope};
use crate::share::seal::SealError;
use crate::update::quantize::{IntegerUpdate, Value};

/// Everything but the body, which was written as it was made.
#[derive(Debug)]
pub struct Contribution {
    /// The signed header.
    pub header: Signed<Header>,
    /// One sealed share for each key holder, in window order.
    pub envelopes: Vec<Vec<u8>>,
}

/// What a contribution is made for, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct ContributionContext<'a> {
    /// The study.
    pub study: &'a Study,
    /// The checked manifest of the round.
    pub manifest: &'a Manifest,
    /// The key holders' KEM keys.
    pub holder_keys: &'a HolderKeys,
    /// The site.
    pub identity: &'a Identity,
    /// The study's check key.
    pub check_key: &'a CheckKey,
    /// What the site's data have spent of the study's privacy budget, this round included; none where
    /// the study has no budget.
    pub spent: Option<Spent>,
}

/// A contribution that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ContributeError {
    /// The body could not be encrypted or written.
    #[error(transparent)]
    Encrypt(EncryptError),
    /// A share could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The body does not decrypt to the update, or the shares are not the key's: this machine
    /// computed wrongly.
    #[error(transparent)]
    SelfCheck(#[from] SelfCheckError),
    /// Nobody would take a header with this.
    #[error("this contribution breaks the study's privacy policy, and is not made: {0}")]
    Spent(#[from] SpentError),
}

impl From<EncryptError> for ContributeError {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::SelfCheck(fault) => Self::SelfCheck(fault),
            error => Self::Encrypt(error),
        }
    }
}

impl Contribution {
    /// Encrypts a quantized update, or one with noise where the study asks for it, under a fresh key for the round of a checked manifest, shares
    /// the key among the round's holders and signs the header, once the body has been decrypted
    /// again and the shares are seen to be the key's: no fault of this machine is signed for. The
    /// caller makes body, envelopes and header durable before any byte of them leaves.
    ///
    /// # Errors
    /// [`ContributeError`]; nothing may be sent then.
    pub fn make(
        context: ContributionContext<'_>,
        update: &impl IntegerUpdate,
        rng: &mut impl CryptoRng,
        body: &mut (impl Write + Send),
    ) -> Result<Self, ContributeError> {
        Self::stream(context, rng, body, |encryption, body| {
            encryption.update(update.values(), body)
        })
    }

    /// As [`Contribution::make`], for values that come piece by piece and are quantized on the
    /// way: `feed` gives them to the encryption in layout order, with the writer that it is given.
    /// Memory is bounded by a batch of blocks, whatever the size of the model.
    ///
    /// # Errors
    /// [`ContributeError`], or what `feed` returns; nothing may be sent then.
    pub fn stream<V: Value, W: Write + Send, E: Into<ContributeError>>(
        context: ContributionContext<'_>,
        rng: &mut impl CryptoRng,
        body: &mut W,
        feed: impl FnOnce(&mut Encryption<'_, V>, &mut HashingWriter<'_, W>) -> Result<(), E>,
    ) -> Result<Self, ContributeError> {
        let ContributionContext { study, manifest, holder_keys, identity, check_key, spent } =
            context;
        study.privacy.check_spent(spent)?;
        // Nobody takes a contribution of a site that has no place.
        let place = study.position(identity.site()).unwrap_or(study.roster.len());
        let context = EncryptionContext::new(study, place, manifest, check_key);
        let id = context.manifest;
        let mut body = HashingWriter { inner: body, hasher: blake3::Hasher::new(), bytes: 0 };
        let mut encryption = OneTimeKey::generate(rng).start(context, rng)?;
        feed(&mut encryption, &mut body).map_err(Into::into)?;
        let used = encryption.finish(&mut body)?;
        let (bytes, body) = (body.bytes, Digest::finish(&body.hasher));
        let binding = CheckBinding { manifest: id, site: identity.site(), body };
        let check = check_key.seal_words(binding, used.check());
        let shares = used.share(&study.threshold, rng)?;
        let mut envelopes = Vec::with_capacity(shares.len());
        let holders = study.holders(manifest.round).zip(holder_keys.iter());
        for (share, (holder, key)) in shares.iter().zip(holders) {
            let (dealer, holder) = (identity.site(), &holder.id);
            let binding = EnvelopeBinding { manifest: id, dealer, holder };
            envelopes.push(match key.key() {
                Some(key) => seal_envelope(key, binding, share.as_bytes(), rng)?,
                // Its holder published what nobody can seal to, and gets nothing: an empty envelope.
                None => Vec::new(),
            });
        }
        let header = identity.sign(Header {
            study: manifest.study,
            round: manifest.round,
            manifest: id,
            site: identity.site().clone(),
            body_bytes: bytes,
            body,
            check,
            envelopes: envelopes.iter().map(|envelope| Digest::of(envelope)).collect(),
            spent,
        });
        Ok(Self { header, envelopes })
    }
}

/// Hashes a body as it is written.
#[derive(Debug)]
pub struct HashingWriter<'a, W> {
    inner: &'a mut W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Write for HashingWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
