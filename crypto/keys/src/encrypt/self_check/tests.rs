use ringfence_crypto::Digest;
use ringfence_crypto::layout::Layout;
use ringfence_crypto::ring::params::MODULUS;
use ringfence_crypto::ring::words::{block_bytes, pack};

use super::super::check::CheckKey;
use super::*;
use crate::encrypt::blocks::mask;
use crate::encrypt::rlwe_noise::{UNIFORM_BYTES, errors_from_uniform};
use crate::encrypt::transform;
use crate::testing::rng;
use rand::Rng;

/// A block in the making, which tests spoil.
struct Making {
    packing: Packing,
    range: Summands,
    check_key: CheckKey,
    key: SecretWords,
    block: usize,
    values: usize,
    message: [u64; RING_DEGREE],
    errors: [u64; RING_DEGREE],
    /// What is added to each of the masks.
    beside: [u64; RING_DEGREE],
}

impl Making {
    /// The last of three blocks, half full, or the first.
    fn new(packing: Packing, block: usize) -> Self {
        let mut rng = rng(block as u64);
        let values = match block {
            0 => packing.block_values() - 1,
            _ => packing.block_values() - 100,
        };
        let mut message = [0; RING_DEGREE];
        let counted = usize::from(block == 0);
        message[0] = counted as u64;
        for value in counted..values + counted {
            let random = match value % 3 {
                0 => packing.value_limit(),
                _ => rng.next_u64() & packing.value_limit(),
            };
            let shift = value / RING_DEGREE * usize::from(packing.slot_bits);
            message[value % RING_DEGREE] |= random << shift;
        }
        let (mut uniform, mut errors) = ([0; UNIFORM_BYTES], [0; RING_DEGREE]);
        rng.fill_bytes(&mut uniform);
        errors_from_uniform(&uniform, &mut errors);
        let key = SecretWords::uniform(RING_DEGREE, &mut rng);
        let check_key = CheckKey::generate(&mut rng);
        let range = Summands::alike(1, &packing);
        let beside = [0; RING_DEGREE];
        Self { packing, range, check_key, key, block, values, message, errors, beside }
    }

    /// Encrypts, lets `spoil` alter the wire words, and checks. Check words are those of the
    /// words before or after.
    fn checked(
        &self,
        spoil: impl Fn(&mut [u64; RING_DEGREE]),
        of_spoilt: bool,
    ) -> Result<(), SelfCheckError> {
        let (manifest, packing) = (Digest::of(b"round").into(), &self.packing);
        let (check_key, layout) = (&self.check_key, &Layout { tensors: vec![] });
        let range = self.range;
        let context = EncryptionContext { manifest, packing, layout, range, check_key };
        let (mut public, mut masks) = ([0; RING_DEGREE], [0; RING_DEGREE]);
        public_polynomial(manifest, self.block as u64, &mut public);
        transform::product(&public, self.key.as_slice(), &mut masks);
        for (mask, beside) in masks.iter_mut().zip(&self.beside) {
            *mask = field::add(*mask, *beside);
        }
        let Packing { delta_bits, wire_bits, .. } = self.packing;
        let mut words = self.errors;
        mask(&masks, &self.message, delta_bits, wire_bits, &mut words);
        let vectors = check_key.vectors(manifest, wire_bits);
        let right = vectors.of_block(self.block, &words);
        spoil(&mut words);
        let check = if of_spoilt { vectors.of_block(self.block, &words) } else { right };
        let mut bytes = vec![0; block_bytes(wire_bits)];
        pack(&words, wire_bits, &mut bytes);
        let randomness = BulkRandomness::draw(&mut rng(9));
        SelfCheck::new(&context, &self.key, &randomness).check_block(
            EncryptedBlock {
                block: self.block,
                values: self.values,
                message: &self.message,
                masks: &masks,
                bytes: &bytes,
                check: &check,
            },
            &mut SelfCheckScratch::new(),
        )
    }
}

/// Packings with one slot and several, words from narrow to wide.
fn packings() -> Vec<Packing> {
    let of = |(bits, sites, c)| Packing::derive(bits, 0, sites, c).unwrap();
    let packings = [(16, 3, 1), (16, 10, 2), (8, 3, 1), (12, 10_000, 4), (24, 500, 4)].map(of);
    let wide = Packing { wire_bits: 64, ..packings[1] };
    packings.into_iter().chain([wide]).collect()
}

#[test]
fn sound_blocks_pass_with_noise_up_to_the_tail() {
    for packing in packings() {
        for block in [0, 2] {
            let mut making = Making::new(packing, block);
            assert_eq!(making.checked(|_| (), true), Ok(()), "{packing:?}");
            making.errors = std::array::from_fn(|k| field::from_signed([64, -64, 0][k % 3]));
            assert_eq!(making.checked(|_| (), true), Ok(()), "{packing:?}");
        }
    }
}

#[test]
fn a_wire_word_that_flips_is_noticed() {
    for packing in packings() {
        let (making, w) = (Making::new(packing, 2), packing.wire_bits);
        for (index, bit) in [(0, w - 1), (17, w / 2), (2047, 0), (4095, w - 2)] {
            let flip = |words: &mut [u64; RING_DEGREE]| words[index] ^= 1 << bit;
            let noticed = making.checked(flip, false);
            assert_eq!(noticed, Err(SelfCheckError::CheckWords { block: 2 }), "{packing:?}");
            // Its check words fit: the message or the noise does not.
            let noticed = making.checked(flip, true);
            let expected = Err(SelfCheckError::Decryption { block: 2 });
            // The lowest bit of a wide word is within the noise.
            assert!(noticed == expected || bit == 0 && w > 56, "{packing:?}, bit {bit}");
        }
    }
}

#[test]
fn noise_beyond_the_tail_and_rounding_is_noticed() {
    for packing in packings() {
        let mut making = Making::new(packing, 2);
        let most = NoiseModel::new(1, 1, packing.wire_bits).bound() as i64;
        for noise in [2 * most + 8, -2 * most - 8] {
            making.errors[9] = field::from_signed(noise);
            let noticed = making.checked(|_| (), true);
            assert_eq!(noticed, Err(SelfCheckError::Decryption { block: 2 }), "{packing:?}");
        }
    }
}

/// Words, check words, message and noise fit each other: only the masks are not the key's.
#[test]
fn a_wrong_product_is_noticed() {
    for packing in packings() {
        let mut making = Making::new(packing, 2);
        for (place, by) in [(0, 1), (63, MODULUS - 1), (64, 1 << 40), (4095, 1 << 63)] {
            making.beside = [0; RING_DEGREE];
            making.beside[place] = by;
            let noticed = making.checked(|_| (), true);
            assert_eq!(noticed, Err(SelfCheckError::Decryption { block: 2 }), "{packing:?}");
        }
        // At one point only: all coefficients are wrong.
        let (mut value, mut everywhere) = ([0; RING_DEGREE], [0; RING_DEGREE]);
        value[77] = 5;
        transform::product(&value, &[1; RING_DEGREE], &mut everywhere);
        making.beside = everywhere;
        let noticed = making.checked(|_| (), true);
        assert_eq!(noticed, Err(SelfCheckError::Decryption { block: 2 }), "{packing:?}");
    }
}

#[test]
fn messages_out_of_their_bounds_are_noticed() {
    for packing in packings() {
        let Packing { slot_bits, slots, value_bits, .. } = packing;
        let top = (u32::from(slots) - 1) * u32::from(slot_bits);
        let spoilt = |block, place: usize, spoil: &dyn Fn(&mut u64)| {
            let mut making = Making::new(packing, block);
            spoil(&mut making.message[place]);
            let noticed = making.checked(|_| (), true);
            let expected = Err(SelfCheckError::Message { block });
            assert_eq!(noticed, expected, "{packing:?}, block {block}, {place}");
        };
        let lowest = u64::MAX >> (64 - if slots == 1 { 64 } else { u32::from(slot_bits) });
        // The count: none, and two.
        spoilt(0, 0, &|message| *message &= !lowest);
        spoilt(0, 0, &|message| *message += 1);
        // A value of one bit too many, in the first and in the last slot.
        spoilt(0, 3, &|message| *message |= 1 << value_bits);
        spoilt(2, 3, &|message| *message |= 1 << (top + u32::from(value_bits)));
        // Padding, and what lies above all slots.
        spoilt(2, 4095, &|message| *message |= 1 << top);
        spoilt(2, 4095 - 100, &|message| *message |= 1 << 63);
    }
}

/// Of a site that counts less than others: values that were not weighted.
#[test]
fn a_value_out_of_the_site_s_range_is_noticed() {
    for packing in packings() {
        let making = Making::new(packing, 2);
        let with = |least, most| Making {
            range: Summands { sites: 1, least, most },
            ..Making::new(packing, 2)
        };
        let slot = |at: usize| making.message[at] & packing.value_limit();
        let (least, most) = (0..making.values.min(RING_DEGREE))
            .fold((u64::MAX, 0), |(least, most), at| (least.min(slot(at)), most.max(slot(at))));
        assert_eq!((least < most, most), (true, packing.value_limit()), "{packing:?}");
        assert_eq!(with(0, most).checked(|_| (), true), Ok(()), "{packing:?}");
        let expected = Err(SelfCheckError::Message { block: 2 });
        assert_eq!(with(0, most - 1).checked(|_| (), true), expected, "{packing:?}");
        assert_eq!(with(least + 1, most).checked(|_| (), true), expected, "{packing:?}");
    }
}
