//! Pairwise masking (Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine
//! Learning", CCS 2017): a small reference implementation, all in one process.
//!
//! Each pair of sites agrees on a seed by X25519; the lower index adds its expansion, the higher
//! one subtracts it, so pair masks cancel in the sum. A self mask of each site, whose seed is
//! Shamir-shared among all (threshold `min(floor(2n/3) + 1, n - 1)`), is taken off by the server
//! after the unmasking round. Masks are ChaCha20 streams over 64-bit words that carry as many
//! packed values as fit: fewer bytes and less expansion than one value a word.
//!
//! Simulated: no network, no signatures, nobody drops out (then no pair mask has to be rebuilt,
//! which is the protocol's expensive case), an honest server.

use std::hint::black_box;

use anyhow::{Context, anyhow, ensure};
use chacha20::ChaCha20Rng;
use chacha20poly1305::aead::Aead;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use rand::{CryptoRng, Rng, SeedableRng};
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::MODULUS;
use x25519_dalek::{PublicKey, StaticSecret};

use super::measured::{Costs, row, system_rng};
use super::report::Row;
use super::slots::Slots;
use super::workload::Workload;

type Seed = [u8; 32];

/// The mask seed agreed with each site; none with oneself.
type MaskSeeds = Vec<Option<Seed>>;

/// 32 bits of a seed in each field element.
const SEED_WORDS: usize = 8;

/// One site's secrets for a round.
struct Site {
    index: usize,
    mask_secret: StaticSecret,
    seal_secret: StaticSecret,
    self_seed: Seed,
}

/// What a site publishes first.
#[derive(Clone)]
struct PublicKeys {
    mask: PublicKey,
    seal: PublicKey,
}

/// Shares of one site's self-mask seed and mask secret for one other site, in clear.
struct SeedShare {
    self_seed: [u64; SEED_WORDS],
    mask_secret: [u64; SEED_WORDS],
}

impl Site {
    fn generate(index: usize, rng: &mut impl CryptoRng) -> Self {
        let mut self_seed = [0; 32];
        rng.fill_bytes(&mut self_seed);
        let mut secret = || StaticSecret::random_from_rng(rng);
        Self { index, mask_secret: secret(), seal_secret: secret(), self_seed }
    }

    fn public(&self) -> PublicKeys {
        let mask = PublicKey::from(&self.mask_secret);
        PublicKeys { mask, seal: PublicKey::from(&self.seal_secret) }
    }

    /// Agrees on a mask seed with every other site and seals shares of its own secrets to each:
    /// the seeds, and what goes to the others through the server.
    fn share(
        &self,
        roster: &[PublicKeys],
        threshold: usize,
        rng: &mut impl CryptoRng,
    ) -> anyhow::Result<(MaskSeeds, Vec<Vec<u8>>)> {
        let self_shares = shamir(&self.self_seed, roster.len(), threshold, rng);
        let secret_shares = shamir(self.mask_secret.as_bytes(), roster.len(), threshold, rng);
        let (mut seeds, mut sealed) = (Vec::new(), Vec::new());
        let shares = self_shares.iter().zip(&secret_shares);
        for ((index, other), (self_share, secret_share)) in roster.iter().enumerate().zip(shares) {
            if index == self.index {
                seeds.push(None);
                continue;
            }
            let agreed = self.mask_secret.diffie_hellman(&other.mask);
            seeds.push(Some(blake3::derive_key("pairwise masking 1 mask", agreed.as_bytes())));
            let mut plain = field::to_bytes(self_share);
            plain.extend(field::to_bytes(secret_share));
            let key = self.seal_key(&other.seal, self.index);
            sealed.push(
                // A key for each direction of a pair and round, so the nonce may be fixed.
                ChaCha20Poly1305::new(&key.into())
                    .encrypt(&[0; 12].into(), plain.as_slice())
                    .map_err(|_| anyhow!("a share could not be sealed"))?,
            );
        }
        Ok((seeds, sealed))
    }

    fn seal_key(&self, other: &PublicKey, dealer: usize) -> Seed {
        let mut hasher = blake3::Hasher::new_derive_key("pairwise masking 1 seal");
        hasher.update(self.seal_secret.diffie_hellman(other).as_bytes());
        hasher.update(&(dealer as u64).to_le_bytes());
        hasher.finalize().into()
    }

    /// Opens what `dealer` sealed to this site.
    fn receive(
        &self,
        dealer: usize,
        roster: &[PublicKeys],
        sealed: &[u8],
    ) -> anyhow::Result<SeedShare> {
        let keys = roster.get(dealer).context("no such dealer")?;
        let plain = ChaCha20Poly1305::new(&self.seal_key(&keys.seal, dealer).into())
            .decrypt(&[0; 12].into(), sealed)
            .map_err(|_| anyhow!("a share of site {dealer} does not open"))?;
        let words = field::parse_residues(&plain, 2 * SEED_WORDS)?;
        let (self_seed, mask_secret) = words.split_at(SEED_WORDS);
        let (self_seed, mask_secret) = (self_seed.try_into()?, mask_secret.try_into()?);
        Ok(SeedShare { self_seed, mask_secret })
    }

    /// Masks packed words.
    fn mask(&self, words: &mut [u64], seeds: &[Option<Seed>]) {
        add_stream(words, self.self_seed, false);
        for (index, seed) in seeds.iter().enumerate() {
            if let Some(seed) = seed {
                add_stream(words, *seed, index < self.index);
            }
        }
    }
}

/// Adds or subtracts the ChaCha20 stream of a seed, modulo 2^64.
fn add_stream(words: &mut [u64], seed: Seed, negate: bool) {
    let mut stream = ChaCha20Rng::from_seed(seed);
    let mut buffer = [0u8; 4096];
    for words in words.chunks_mut(buffer.len() / 8) {
        stream.fill_bytes(&mut buffer);
        let (masks, _) = buffer.as_chunks::<8>();
        for (word, mask) in words.iter_mut().zip(masks) {
            let mask = u64::from_le_bytes(*mask);
            *word = if negate { word.wrapping_sub(mask) } else { word.wrapping_add(mask) };
        }
    }
}

/// Shamir shares of a seed at the points 1..=n, over Ringfence's 64-bit prime field.
fn shamir(
    secret: &Seed,
    sites: usize,
    threshold: usize,
    rng: &mut impl CryptoRng,
) -> Vec<[u64; SEED_WORDS]> {
    let (limbs, _) = secret.as_chunks::<4>();
    let mut shares = vec![[0; SEED_WORDS]; sites];
    for (word, limb) in limbs.iter().enumerate() {
        let mut coefficients = vec![u64::from(u32::from_le_bytes(*limb))];
        coefficients.extend((1..threshold).map(|_| {
            std::iter::repeat_with(|| rng.next_u64()).find(|w| *w < MODULUS).unwrap_or_default()
        }));
        for (share, point) in shares.iter_mut().zip(1u64..) {
            let value = coefficients.iter().rev();
            if let Some(slot) = share.get_mut(word) {
                *slot = value.fold(0, |sum, c| field::add(field::mul(sum, point), *c));
            }
        }
    }
    shares
}

/// The seed from shares at distinct points.
fn reconstruct(shares: &[(u64, [u64; SEED_WORDS])]) -> anyhow::Result<Seed> {
    let mut words = [0u64; SEED_WORDS];
    for (point, share) in shares {
        let mut weight = 1;
        for (other, _) in shares.iter().filter(|(other, _)| other != point) {
            let inverse = field::inv(field::sub(*other, *point)).context("equal points")?;
            weight = field::mul(weight, field::mul(*other, inverse));
        }
        for (word, value) in words.iter_mut().zip(share) {
            *word = field::add(*word, field::mul(weight, *value));
        }
    }
    let mut seed = [0; 32];
    let (limbs, _) = seed.as_chunks_mut::<4>();
    for (limb, word) in limbs.iter_mut().zip(words) {
        *limb = u32::try_from(word).context("shares of no seed")?.to_le_bytes();
    }
    Ok(seed)
}

/// The row of pairwise masking.
pub(super) fn run(workload: &Workload) -> anyhow::Result<Option<Row>> {
    let sites = workload.sites();
    // A site's own share does not count: n - 1 others hold them.
    let threshold = (2 * sites / 3 + 1).min(sites - 1);
    let slots = Slots::new(workload.slot_bits(), 0.0)?;
    let mut rng = system_rng()?;
    let members: Vec<Site> = (0..sites).map(|index| Site::generate(index, &mut rng)).collect();
    let roster: Vec<PublicKeys> = members.iter().map(Site::public).collect();

    // Every site shares, masks and uploads; the server adds.
    let mut sum = vec![0u64; slots.words(workload.parameters(), 1)];
    let mut dealt = Vec::new();
    for (site, update) in members.iter().zip(&workload.updates) {
        let (seeds, sealed) = site.share(&roster, threshold, &mut rng)?;
        let mut body = slots.pack(&workload.quantize(update), 1);
        site.mask(&mut body, &seeds);
        sum.iter_mut().zip(&body).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
        dealt.push(sealed);
    }
    // Unmasking round: each survivor hands over its shares of the self-mask seeds.
    let mut openings: Vec<Vec<(u64, [u64; SEED_WORDS])>> = vec![Vec::new(); sites];
    for (site, point) in members.iter().zip(1u64..).take(threshold + 1) {
        for (dealer, (sealed, opening)) in dealt.iter().zip(&mut openings).enumerate() {
            if dealer == site.index {
                continue; // a site keeps no share of its own seed here: others suffice
            }
            let slot = if site.index > dealer { site.index - 1 } else { site.index };
            let share = site.receive(dealer, &roster, sealed.get(slot).context("no share")?)?;
            debug_assert_ne!(share.mask_secret, share.self_seed);
            opening.push((point, share.self_seed));
        }
    }
    openings.iter_mut().for_each(|shares| shares.truncate(threshold));
    let enough = openings.iter().all(|shares| shares.len() == threshold);
    ensure!(enough, "{threshold} of {sites} shares are needed from others than the dealer");

    let (update, site) = (workload.one()?, members.first().context("no sites")?);
    let (share_seconds, (seeds, sealed)) =
        workload.time(|| site.share(&roster, threshold, &mut rng))?;
    let (encrypt_seconds, body) = workload.time(|| {
        let mut body = slots.pack(&workload.quantize(black_box(update)), 1);
        site.mask(&mut body, &seeds);
        Ok(body)
    })?;
    let mut scratch = sum.clone();
    let (add_seconds, ()) = workload.time(|| {
        let words = black_box(&body).iter();
        scratch.iter_mut().zip(words).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
        Ok(())
    })?;
    let (open_seconds, max_error) = workload.time_opening(workload.repetitions, || {
        let mut words = black_box(&sum).clone();
        for shares in &openings {
            add_stream(&mut words, reconstruct(shares)?, true);
        }
        Ok(slots.unpack(&words, workload.parameters()))
    })?;
    let body_bytes = 8 * body.len();
    let shares: usize = sealed.iter().map(Vec::len).sum();
    let unmasking = (sites - 1) * SEED_WORDS * 8;
    let upload = body_bytes + 2 * 32 + shares + unmasking;
    Ok(Some(Row {
        source: "Bonawitz et al., CCS 2017; own reference implementation".into(),
        ..row(
            "pairwise-masking",
            workload,
            Costs {
                encrypt_seconds,
                share_seconds,
                body_bytes: body_bytes as f64,
                upload_bytes: upload as f64,
                add_seconds,
                open_seconds,
                max_error,
            },
            format!(
                "complete graph: {} pair masks and a self mask (ChaCha20), X25519, Shamir \
                 threshold {threshold}, {} values a 64-bit word. Simulated: no network, no \
                 signatures, no drop-outs, honest server; three interactive rounds a site.",
                sites - 1,
                slots.slots
            ),
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_come_back_from_enough_shares_and_not_from_fewer() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let secret: Seed = std::array::from_fn(|k| (k * 37) as u8);
        let shares: Vec<_> = (1u64..).zip(shamir(&secret, 7, 5, &mut rng)).collect();
        assert_eq!(reconstruct(&shares[2..]).unwrap(), secret);
        assert_ne!(reconstruct(&shares[3..]).ok(), Some(secret));
    }

    #[test]
    fn a_single_body_without_its_masks_is_noise_and_pair_masks_cancel() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let members: Vec<_> = (0..3).map(|index| Site::generate(index, &mut rng)).collect();
        let roster: Vec<_> = members.iter().map(Site::public).collect();
        let mut sum = vec![0u64; 1000];
        for site in &members {
            let (seeds, _) = site.share(&roster, 2, &mut rng).unwrap();
            let mut body = vec![5u64; 1000];
            site.mask(&mut body, &seeds);
            assert!(body.iter().all(|word| *word != 5), "a word without a mask");
            sum.iter_mut().zip(&body).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
            add_stream(&mut sum, site.self_seed, true);
        }
        assert_eq!(sum, vec![15; 1000]);
    }
}
