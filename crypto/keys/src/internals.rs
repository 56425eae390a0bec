//! Private operations on secrets, for benchmarks that measure whether their time depends on them.
//! Not part of the interface.

use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::Digest;
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::ring::packing::{Packing, PackingError};
use ringfence_crypto::ring::params::{KEY_WORDS, RING_DEGREE};
use ringfence_crypto::ring::xof::Xof;
use ringfence_crypto::threshold::Threshold;

use crate::encrypt::check::{CheckKey, CheckWords};
use crate::encrypt::rlwe_noise;
use crate::encrypt::transform::product;
use crate::secret::SecretWords;
use crate::update::quantize::{QuantizeError, QuantizedUpdate};
use crate::update::site_noise::discrete_gaussian::{Candidates, DiscreteGaussian};

/// Bytes of randomness that a block's errors take.
pub const UNIFORM_BYTES: usize = rlwe_noise::UNIFORM_BYTES;

/// Errors of a block from uniform bytes, as residues.
pub fn errors_from_uniform(uniform: &[u8; UNIFORM_BYTES], errors: &mut [u64; RING_DEGREE]) {
    rlwe_noise::errors_from_uniform(uniform, errors);
}

/// Draws errors for so many blocks from a stream of bulk randomness, as an encryption does; the last
/// block's.
pub fn draw_errors(seed: [u8; 32], blocks: usize) -> Box<[u64; RING_DEGREE]> {
    let mut stream = Xof::keyed(&seed, &[b"errors"]);
    let mut uniform = Box::new([0; UNIFORM_BYTES]);
    let mut errors = Box::new([0; RING_DEGREE]);
    for _ in 0..blocks {
        stream.fill(uniform.as_mut_slice());
        rlwe_noise::errors_from_uniform(&uniform, &mut errors);
    }
    errors
}

/// The like for noise that is added to `RING_DEGREE` values a block.
pub fn draw_noise(
    sampler: &DiscreteGaussian,
    seed: [u8; 32],
    blocks: usize,
) -> Box<[i32; RING_DEGREE]> {
    let mut stream = Xof::keyed(&seed, &[b"noise"]);
    let mut candidates = Candidates::new();
    let mut noise = Box::new([0; RING_DEGREE]);
    for _ in 0..blocks {
        sampler.fill(&mut stream, &mut candidates, noise.as_mut_slice());
    }
    noise
}

/// What a round's operations depend on besides secrets.
#[derive(Debug)]
pub struct Round {
    public: [u64; RING_DEGREE],
    packing: Packing,
    check_key: CheckKey,
}

impl Round {
    /// A round with this public polynomial.
    ///
    /// # Errors
    /// [`PackingError`] never, for 16 bits and 10 sites.
    pub fn new(public: [u64; RING_DEGREE]) -> Result<Self, PackingError> {
        let check_key = CheckKey::generate(&mut ChaCha20Rng::seed_from_u64(1));
        Ok(Self { public, packing: Packing::derive(16, 0, 10, 2)?, check_key })
    }

    /// `a s` for a key given by its values.
    pub fn product(&self, key: &[u64; RING_DEGREE]) -> [u64; RING_DEGREE] {
        let mut out = [0; RING_DEGREE];
        product(&self.public, key, &mut out);
        out
    }

    /// A message added to a mask and rounded to wire words.
    pub fn mask(&self, message: &[u64; RING_DEGREE]) -> [u64; RING_DEGREE] {
        let Packing { delta_bits, wire_bits, .. } = self.packing;
        let mut words = [0; RING_DEGREE];
        crate::encrypt::blocks::mask(&self.public, message, delta_bits, wire_bits, &mut words);
        words
    }

    /// Check words of a block's wire words.
    pub fn check(&self, words: &[u64; RING_DEGREE]) -> CheckWords {
        let wire_bits = self.packing.wire_bits;
        self.check_key.vectors(Digest::of(b"round").into(), wire_bits).of_block(0, words)
    }
}

/// Shares a key vector; `seed` stands for the operating system's randomness.
pub fn share(key: &[u64; KEY_WORDS], threshold: &Threshold, seed: [u8; 32]) -> usize {
    let key = SecretWords::from(key.to_vec());
    let dealt =
        crate::share::deal::share_vector(&key, threshold, &mut ChaCha20Rng::from_seed(seed));
    dealt.iter().map(|dealt| dealt.as_bytes().len()).sum()
}

/// Quantizes one block of values at 16 bits.
///
/// # Errors
/// [`QuantizeError`] for values that are not finite.
pub fn quantize(values: &[f32; RING_DEGREE]) -> Result<QuantizedUpdate, QuantizeError> {
    let tensor = TensorLayout { name: "w".into(), shape: vec![RING_DEGREE as u32], clip: 0.5 };
    let layout = Layout { tensors: vec![tensor] };
    let packing = Packing {
        value_bits: 16,
        noise_bound: 0,
        slot_bits: 20,
        slots: 2,
        delta_bits: 24,
        wire_bits: 44,
    };
    QuantizedUpdate::quantize(values, &layout, &packing, &mut ChaCha20Rng::seed_from_u64(1))
}
