//! Bulk randomness for one encryption: keyed BLAKE3 over a seed from the operating system.
//!
//! The stream of block `j` is keyed BLAKE3's extendable output over
//! `"ringfence/randomness/1" || LE64(j)`. An encryption takes from it the uniform bytes of the
//! block's errors ([`crate::encrypt::rlwe_noise`]), then four bytes for the rounding of each value
//! of the block, in order, whether there is such a value or not (value 0 of block 0 is the count).
//! The weights with which it checks its own products ([`crate::encrypt`]) are the output over
//! `"ringfence/self-check/1"`, and go nowhere.
//!
//! Rounding and errors of a body of 10^6 values take 8 MB of randomness. A 32-byte seed is drawn
//! for the one encryption, never stored, and expanded block by block, so that blocks can be
//! encrypted on several cores. The assumption, that keyed BLAKE3 is a pseudorandom function, is
//! the one that the check words rest on anyway.

use rand::CryptoRng;
use ringfence_crypto::ring::xof::Xof;
use zeroize::Zeroizing;

/// The seed of one encryption.
pub(crate) struct BulkRandomness(Zeroizing<[u8; 32]>);

impl BulkRandomness {
    /// Draws the seed.
    pub(crate) fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        Self(seed)
    }

    /// The stream of one block; wiped on drop.
    pub(crate) fn block(&self, block: u64) -> Xof {
        Xof::keyed(&self.0, &[b"ringfence/randomness/1", &block.to_le_bytes()])
    }

    /// The stream that the self-check draws its weights from; wiped on drop.
    pub(crate) fn self_check(&self) -> Xof {
        Xof::keyed(&self.0, &[b"ringfence/self-check/1"])
    }
}
