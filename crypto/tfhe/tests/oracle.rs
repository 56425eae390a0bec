//! tfhe's own GLWE decryption under the same modulus as the oracle: a sum made by us decrypts
//! there to the same integers, and what tfhe encrypts under a round's public polynomials decrypts
//! here.
#![allow(clippy::unwrap_used, reason = "a test program")]

use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::{MODULUS, RING_DEGREE};
use ringfence_crypto::ring::words::block_bytes;
use tfhe::core_crypto::algorithms::slice_algorithms::{
    slice_wrapping_add_assign_custom_mod, slice_wrapping_scalar_mul_assign_custom_mod,
};
use tfhe::core_crypto::prelude::{
    GlweCiphertextOwned, LweCiphertext, LweSize, MonomialDegree, PlaintextCount, PlaintextList,
    decrypt_glwe_ciphertext, decrypt_lwe_ciphertext, extract_lwe_sample_from_glwe_ciphertext,
    lwe_ciphertext_add_assign,
};

use ringfence_testkit::Rehearsal;
use ringfence_tfhe::glwe;

#[test]
fn a_sum_of_ours_decrypts_adds_and_scales_in_tfhe() {
    let values = 3 * RING_DEGREE;
    let value = |k: usize, i: usize| ((i * 7 + k * 13) % 100) as f32 / 150.0 - 0.3;
    let update = |k: usize| (0..values).map(|i| value(k, i)).collect();
    let updates: Vec<Vec<f32>> = (0..5).map(update).collect();
    let round = Rehearsal::new(5, None, values as u32).run(&updates);
    let keys = round.key_sum(1);

    let (packing, manifest) = (&round.parties.study.packing, round.manifest_id());
    let key = glwe::secret_key(&keys);
    assert_eq!(glwe::key_words(&key).unwrap(), keys.words()[..RING_DEGREE]);
    let messages = |ciphertext: &GlweCiphertextOwned<u64>| {
        let mut plain = PlaintextList::new(0u64, PlaintextCount(RING_DEGREE));
        decrypt_glwe_ciphertext(&key, ciphertext, &mut plain);
        // tfhe gives Delta M + noise; M is what is left of the rounded quotient.
        let half = 1u64 << (packing.delta_bits - 1);
        let message = |phase: &u64| field::add(*phase, half) >> packing.delta_bits;
        plain.as_ref().iter().map(message).collect::<Vec<u64>>()
    };
    let mut slots = Vec::new();
    let bytes = block_bytes(packing.wire_bits);
    for (block, words) in round.sum.chunks(bytes).enumerate() {
        let ciphertext = glwe::ciphertext(packing, manifest, block as u64, words).unwrap();
        assert_eq!(glwe::block(packing, manifest, block as u64, &ciphertext).unwrap(), words);
        let found = messages(&ciphertext);
        for slot in 0..packing.slots {
            let of_slot =
                |m: &u64| *m >> (slot * packing.slot_bits) & ((1 << packing.slot_bits) - 1);
            slots.extend(found.iter().map(of_slot));
        }
        // TFHE computation goes on: 3 sum - 2 sum = sum. (tfhe's wrappers of these two take
        // moduli that are powers of two only.)
        let (mut triple, mut other) = (ciphertext.clone(), ciphertext.clone());
        slice_wrapping_scalar_mul_assign_custom_mod(triple.as_mut(), 3, MODULUS);
        slice_wrapping_scalar_mul_assign_custom_mod(other.as_mut(), MODULUS - 2, MODULUS);
        slice_wrapping_add_assign_custom_mod(triple.as_mut(), other.as_ref(), MODULUS);
        assert!(messages(&triple) == found, "block {block}");
        // A single coefficient, as an LWE ciphertext, twice.
        let size = LweSize(RING_DEGREE + 1);
        let mut sample = LweCiphertext::new(0u64, size, glwe::modulus());
        extract_lwe_sample_from_glwe_ciphertext(&ciphertext, &mut sample, MonomialDegree(77));
        let same = sample.clone();
        lwe_ciphertext_add_assign(&mut sample, &same);
        let phase = decrypt_lwe_ciphertext(&key.as_lwe_secret_key(), &sample).0;
        let half = 1u64 << (packing.delta_bits - 1);
        assert_eq!(field::add(phase, half) >> packing.delta_bits, 2 * found[77], "block {block}");
    }
    assert_eq!(slots[0], 5, "the count of sites");
    let expected = &round.plain;
    let mismatches = expected.iter().zip(&slots[1..]).filter(|(a, b)| a != b).count();
    assert_eq!(mismatches, 0, "of {} values", expected.len());
}

#[test]
fn what_is_no_block_of_the_round_is_refused() {
    let rehearsal = Rehearsal::new(3, None, 100);
    let (packing, manifest) = (&rehearsal.study.packing, rehearsal.manifest().id());
    let bytes = vec![7; block_bytes(packing.wire_bits)];
    let ciphertext = glwe::ciphertext(packing, manifest, 1, &bytes).unwrap();
    assert_eq!(glwe::block(packing, manifest, 0, &ciphertext), Err(glwe::GlweError::Mask(0)));
    let short = glwe::ciphertext(packing, manifest, 1, &bytes[1..]);
    assert!(matches!(short, Err(glwe::GlweError::Length { .. })));
}
