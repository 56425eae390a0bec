//! tfhe's own GLWE decryption under the same modulus as the oracle: a sum made by us decrypts
//! there to the same integers.

use ringfence_crypto::ciphertext::{block_bytes, from_word, public_polynomial, unpack};
use ringfence_crypto::params::{MODULUS, RING_DEGREE};
use tfhe::core_crypto::prelude::{
    CiphertextModulus, GlweCiphertext, GlweSecretKey, PlaintextCount, PlaintextList,
    PolynomialSize, decrypt_glwe_ciphertext,
};

use super::fixture::{Fixture, plain_sum};
use crate::transform::Transform;

/// Coefficients of a polynomial given by its values: its product with one.
fn coefficients(values: &[u64]) -> Vec<u64> {
    let transform = Transform::get();
    let mut out = [0; RING_DEGREE];
    let one = transform.factor(&[1; RING_DEGREE]);
    transform.product(values.try_into().unwrap(), &one, &mut out);
    out.to_vec()
}

#[test]
fn a_sum_of_ours_decrypts_in_tfhe_to_the_same_integers() {
    let mut fixture = Fixture::new(5, None, 3 * RING_DEGREE as u32);
    let made: Vec<_> = (0..5).map(|k| fixture.contribute(k)).collect();
    let mut round = fixture.round();
    fixture.collect(&mut round, &made);
    let (closing, sum) = fixture.close(&mut round, &made);
    fixture.endorse(&mut round, &[]);
    let frames = fixture.openings(&mut round, &made, &[]);
    let keys = fixture.key_sum(1, closing.digest(), &frames).unwrap();

    let modulus = CiphertextModulus::<u64>::new(u128::from(MODULUS));
    let key_sum = coefficients(&keys.words()[..RING_DEGREE]);
    let secret_key = GlweSecretKey::from_container(key_sum, PolynomialSize(RING_DEGREE));
    let packing = &fixture.study.packing;
    let mut slots = Vec::new();
    let bits = packing.wire_bits;
    for (block, bytes) in sum.chunks(block_bytes(bits)).enumerate() {
        let mut words = [0; RING_DEGREE];
        unpack(bytes, bits, &mut words);
        let mut public = [0; RING_DEGREE];
        public_polynomial(&fixture.manifest().digest(), block as u64, &mut public);
        let mut glwe = coefficients(&public);
        glwe.extend(words.iter().map(|word| from_word(*word, bits)));
        let glwe = GlweCiphertext::from_container(glwe, PolynomialSize(RING_DEGREE), modulus);
        let mut plain = PlaintextList::new(0u64, PlaintextCount(RING_DEGREE));
        decrypt_glwe_ciphertext(&secret_key, &glwe, &mut plain);
        for slot in 0..packing.slots {
            for phase in plain.as_ref() {
                // tfhe gives Delta M + noise; M is what is left of the rounded quotient.
                let half = 1u64 << (packing.delta_bits - 1);
                let message = ringfence_crypto::field::add(*phase, half) >> packing.delta_bits;
                let slot_value = message >> (slot * packing.slot_bits);
                slots.push(slot_value & ((1 << packing.slot_bits) - 1));
            }
        }
    }
    assert_eq!(slots[0], 5, "the count of sites");
    let expected = plain_sum(&made);
    let mismatches = expected.iter().zip(&slots[1..]).filter(|(a, b)| a != b).count();
    assert_eq!(mismatches, 0, "of {} values", expected.len());
}
