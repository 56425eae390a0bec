//! Where chance comes from: generators that a seed, a purpose and a name fix.

use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;

/// A generator of its own for each purpose and site, so that one site's division does not depend
/// on which others there are.
pub(super) fn rng(seed: u64, purpose: &str, site: &str) -> ChaCha20Rng {
    let mut hasher = blake3::Hasher::new_derive_key("ringfence learning data division v1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&(purpose.len() as u64).to_le_bytes());
    hasher.update(purpose.as_bytes());
    hasher.update(site.as_bytes());
    ChaCha20Rng::from_seed(*hasher.finalize().as_bytes())
}
