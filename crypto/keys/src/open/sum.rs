//! Opening the sum, at the sites: unseal the holders' openings, reconstruct the key sum, decrypt,
//! check everything, and only then have a mean.

mod decode;

use std::io::{self, Read};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use ringfence_crypto::Digest;
use ringfence_crypto::packing::PackingError;
use ringfence_crypto::statement::{CertificateError, FailureClass, SignatureError, SiteId, Study};
use ringfence_crypto::wire::canonical;
use ringfence_crypto::wire::frame;
use ringfence_crypto::wire::message::OpeningFrame;

use crate::check::CheckKey;
use crate::holder::{OpeningBinding, SALT_BYTES, SealedOpening};
use crate::identity::Identity;
use crate::quantize::Means;
use crate::reconstruct::{KeySum, ReconstructError};
use crate::seal::Purpose;
use crate::share::Share;
use decode::decode;

/// The sum could not be opened. The details stay at the site; see [`OpenError::class`].
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing certified.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Too few openings, or too many lies.
    #[error(transparent)]
    Reconstruct(#[from] ReconstructError),
    /// The sum of the bodies could not be read.
    #[error("could not read the sum of the bodies: {0}")]
    Io(#[from] io::Error),
    /// The study's own numbers.
    #[error(transparent)]
    Packing(#[from] PackingError),
    /// Noise beyond its bound: the sum does not belong to the keys.
    #[error(
        "coefficient {coefficient} has noise {noise}, expected at most {bound} for {sites} sites: sum and keys do not belong together (was a site shown another manifest?)"
    )]
    Noise {
        /// Index over all blocks.
        coefficient: usize,
        /// What came.
        noise: i64,
        /// Largest allowed.
        bound: u64,
        /// Contributions in the set.
        sites: usize,
    },
    /// A block whose noise is too large on average.
    #[error(
        "block {block} has a noise mean square of {mean_square:.1}, expected at most {bound:.1} for {sites} sites"
    )]
    NoiseMeanSquare {
        /// The block.
        block: usize,
        /// What came.
        mean_square: f64,
        /// Largest allowed.
        bound: f64,
        /// Contributions in the set.
        sites: usize,
    },
    /// A slot beyond what the set can sum to, or padding that is not zero.
    #[error(
        "value {index} sums to {sum}, expected at most {limit} for {sites} sites: a contribution was not encoded as the study says"
    )]
    Slot {
        /// Index over all slots; 0 is the count.
        index: usize,
        /// What came.
        sum: u64,
        /// Largest allowed.
        limit: u64,
        /// Contributions in the set.
        sites: usize,
    },
    /// Another number of sites was counted.
    #[error("the sum counts {counted} sites, the certified set has {expected}")]
    Count {
        /// Counted by the sum.
        counted: u64,
        /// In the set.
        expected: usize,
    },
    /// The check words do not match.
    #[error("the check words do not match the sum: the sum of the bodies was altered on the way")]
    Check,
}

impl OpenError {
    /// What may be posted: the error's class and nothing else.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Certificate(_) | Self::Reconstruct(_) | Self::Io(_) => FailureClass::Openings,
            Self::Check => FailureClass::Check,
            Self::Packing(_)
            | Self::Noise { .. }
            | Self::NoiseMeanSquare { .. }
            | Self::Slot { .. }
            | Self::Count { .. } => FailureClass::Decoding,
        }
    }
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

/// The round and closing that openings must be for.
#[derive(Clone, Copy, Debug)]
pub struct OpeningContext<'a> {
    /// The study.
    pub study: &'a Study,
    /// Round number.
    pub round: u32,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Digest of the certified closing.
    pub closing: Digest,
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
        .map(zeroize::Zeroizing::new)
        .map_err(|_| wrong(format!("its content key has {} bytes, expected 32", key.len())))?;
    let binding = OpeningBinding { manifest, closing, holder, recipient: None };
    let associated = canonical::bytes("opening-content", &binding);
    let payload = Payload { msg: &sealed.content, aad: &associated };
    let plaintext = ChaCha20Poly1305::new(&key)
        .decrypt(&Nonce::default(), payload)
        .map(zeroize::Zeroizing::new)
        .map_err(|_| wrong("its content does not decrypt".into()))?;
    if statement.plaintext != Digest::of(&plaintext) {
        return Err(wrong("the digest of its content differs".into()));
    }
    let words = plaintext.get(SALT_BYTES..).unwrap_or_default();
    let share = Share::from_bytes(words, &study.threshold).map_err(|e| wrong(e.to_string()))?;
    Ok((offset, share))
}

/// How far the noise of a sum stayed from spoiling it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseReport {
    /// Largest absolute noise of any coefficient.
    pub largest: u64,
    /// Largest that would have been accepted.
    pub bound: u64,
    /// `log2((Delta/2) / largest)`: bits between the noise and a wrong digit.
    pub margin_bits: f64,
}

/// The opened sum: the integers that the quantized updates of the certified set add up to.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenedSum {
    /// Contributions in it.
    pub sites: usize,
    /// The noise that was taken off.
    pub noise: NoiseReport,
    sums: Vec<u64>,
}

impl OpenedSum {
    /// One sum for each value of the layout.
    pub fn sums(&self) -> &[u64] {
        &self.sums
    }

    /// Decrypts the sum of the bodies of `sites` contributions with the sum of their keys, on the
    /// threads of the current rayon pool.
    ///
    /// Noise, slots, count and check words are all verified before anything is returned: a wrong
    /// sum is an error, never a result.
    ///
    /// # Errors
    /// [`OpenError`] with the first thing that is out of bounds.
    pub fn open(
        study: &Study,
        round: &Digest,
        sites: usize,
        keys: &KeySum,
        check_key: &CheckKey,
        sum: &mut impl Read,
    ) -> Result<Self, OpenError> {
        let mut sums = Vec::with_capacity(study.layout.values());
        let take = |part: &[u64]| sums.extend_from_slice(part);
        let noise = decode(study, round, sites, keys, check_key, sum, take)?;
        Ok(Self { sites, noise, sums })
    }
}

/// The mean update of the certified set, without the sums that it comes from: a third of their memory.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenedMean {
    /// Contributions in it.
    pub sites: usize,
    /// The noise that was taken off.
    pub noise: NoiseReport,
    mean: Vec<f32>,
}

impl OpenedMean {
    /// One value for each of the layout: [`mean`](crate::quantize::mean()) of the opened sum.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Decrypts and verifies as [`OpenedSum::open`].
    ///
    /// # Errors
    /// As [`OpenedSum::open`].
    pub fn open(
        study: &Study,
        round: &Digest,
        sites: usize,
        keys: &KeySum,
        check_key: &CheckKey,
        sum: &mut impl Read,
    ) -> Result<Self, OpenError> {
        let mut means = Means::new(sites, &study.layout, &study.packing);
        let noise = decode(study, round, sites, keys, check_key, sum, |part| means.extend(part))?;
        Ok(Self { sites, noise, mean: means.finish() })
    }
}
