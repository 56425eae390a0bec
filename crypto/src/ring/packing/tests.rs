use super::*;
use crate::ring::field;
use crate::ring::noise_bound::LIFTING_SLACK;
use crate::ring::params::ERROR_TAIL;
use crate::ring::words::{from_word, to_word, word_modulus};
use proptest::prelude::*;

/// `(b, n, c, S, w)`: the table in docs/parameters.md, computed by the vectors' generator in
/// decimal arithmetic.
const TABLE: [(u8, usize, u16, u8, u8); 24] = [
    (8, 3, 1, 5, 52),
    (8, 5, 1, 4, 47),
    (8, 10, 2, 4, 52),
    (8, 32, 4, 4, 58),
    (8, 100, 4, 3, 51),
    (8, 256, 4, 3, 55),
    (8, 500, 4, 3, 60),
    (8, 1000, 4, 2, 44),
    (8, 10_000, 4, 2, 54),
    (10, 10, 2, 3, 46),
    (10, 100, 4, 3, 58),
    (10, 500, 4, 2, 46),
    (12, 3, 1, 3, 44),
    (12, 10, 2, 3, 52),
    (12, 1000, 4, 2, 52),
    (12, 10_000, 4, 1, 36),
    (16, 3, 1, 3, 57),
    (16, 5, 1, 2, 41),
    (16, 10, 2, 2, 44),
    (16, 100, 4, 2, 52),
    (16, 256, 4, 2, 55),
    (16, 500, 4, 2, 58),
    (16, 1000, 4, 1, 34),
    (16, 10_000, 4, 1, 40),
];

#[test]
fn slots_and_words_are_those_of_the_security_notes() {
    for (bits, sites, collusion, slots, wire_bits) in TABLE {
        let packing = Packing::derive(bits, 0, sites, collusion).unwrap();
        let got = (packing.slots, packing.wire_bits);
        assert_eq!(got, (slots, wire_bits), "{bits} bits, {sites} sites: {packing:?}");
        packing.check(sites, collusion).unwrap();
    }
}

#[test]
fn a_larger_scale_or_narrower_words_are_refused() {
    for sites in [3, 5, 10, 64, 1000, 10_000] {
        for bits in VALUE_BITS {
            let packing = Packing::derive(bits, 0, sites, 1).unwrap();
            packing.check(sites, 1).unwrap();
            let scaled = Packing { delta_bits: packing.delta_bits + 1, ..packing };
            assert!(matches!(scaled.check(sites, 1), Err(PackingError::Wraps { .. })));
            let narrow = Packing { wire_bits: packing.wire_bits - 1, ..packing };
            let error = narrow.check(sites, 1).unwrap_err();
            let floor = matches!(error, PackingError::WireBits(31));
            let noise = matches!(error, PackingError::Noise { .. });
            assert!(noise || floor, "{narrow:?}: {error}");
            Packing { wire_bits: 64, ..packing }.check(sites, 1).unwrap();
            assert!(sites <= 1 << (packing.slot_bits - packing.value_bits));
        }
    }
}

#[test]
fn sites_that_choose_their_noise_have_room_or_get_it() {
    // Room for four of a hundred that choose, not for sixteen.
    let packing = Packing::derive(16, 0, 100, 4).unwrap();
    packing.check(100, 4).unwrap();
    let error = packing.check(100, 16).unwrap_err();
    assert!(matches!(error, PackingError::Noise { collusion: 16, .. }), "{error}");
    let wider = Packing::derive(16, 0, 100, 16).unwrap();
    assert_eq!(wider, Packing { wire_bits: packing.wire_bits + 1, ..packing });
}

#[test]
fn refuses_what_overflows() {
    assert_eq!(Packing::derive(25, 0, 3, 1), Err(PackingError::ValueBits(25)));
    assert!(matches!(Packing::derive(24, 0, 1 << 50, 1), Err(PackingError::Overflow { .. })));
    assert!(matches!(Packing::derive(24, 0, 1 << 30, 1), Err(PackingError::Overflow { .. })));
    let packing = Packing::derive(16, 0, 5, 1).unwrap();
    let bold = Packing { slots: packing.slots + 1, ..packing };
    assert!(matches!(bold.check(5, 1), Err(PackingError::Wraps { .. })));
    assert!(matches!(packing.check(9, 1), Err(PackingError::Slots { expected: 20, .. })));
    let empty = Packing { slots: 0, ..packing };
    assert!(matches!(empty.check(5, 1), Err(PackingError::Slots { .. })));
    let hostile = Packing { slots: 255, delta_bits: 255, slot_bits: 19, ..packing };
    assert!(matches!(hostile.check(5, 1), Err(PackingError::Wraps { .. })));
    let wide = Packing { wire_bits: 65, ..packing };
    assert_eq!(wide.check(5, 1), Err(PackingError::WireBits(65)));
    let narrow = Packing { wire_bits: 31, ..packing };
    assert_eq!(narrow.check(5, 1), Err(PackingError::WireBits(31)));
    assert!(matches!(packing.blocks(1 << 28), Err(PackingError::TooLarge { .. })));
    assert_eq!(packing.blocks(1), Ok(MIN_BLOCKS));
    assert_eq!(packing.body_bytes(2 * 8192 - 1), Ok(2 * 41 * 512));
}

#[test]
fn noise_widens_the_slots_and_not_the_quantizer() {
    let (plain, noisy) =
        (Packing::derive(16, 0, 10, 2).unwrap(), Packing::derive(16, 100_000, 10, 2).unwrap());
    assert_eq!((plain.value_limit(), plain.contribution_limit()), (65_535, 65_535));
    assert_eq!((noisy.value_limit(), noisy.contribution_limit()), (65_535, 265_535));
    assert_eq!((noisy.slot_limit(10), noisy.noise_offset(10)), (2_655_350, 1_000_000));
    // 10 * 265,536 needs 22 bits where 10 * 65,536 needed 20; the coefficient still has 2 slots.
    assert_eq!((plain.slot_bits, noisy.slot_bits), (20, 22));
    assert_eq!((plain.slots, noisy.slots), (2, 2));
    noisy.check(10, 2).unwrap();
    // Neither fits the other's noise.
    let more = Packing { noise_bound: 100_000, ..plain };
    let error = more.check(10, 2).unwrap_err();
    assert!(error.to_string().contains("16 bits with noise of up to 100000 need slots of 22"));
    let less = Packing { noise_bound: 0, ..noisy };
    assert!(matches!(less.check(10, 2), Err(PackingError::Slots { expected: 20, .. })));
}

#[test]
fn noise_that_has_no_room_is_refused() {
    let most = MAX_NOISE_BOUND;
    assert_eq!(Packing::derive(16, most + 1, 3, 1), Err(PackingError::NoiseBound(most + 1)));
    let sound = Packing::derive(16, most, 3, 1).unwrap();
    assert!(sound.contribution_limit() <= u32::MAX.into(), "a value fits 32 bits");
    let beyond = Packing { noise_bound: most + 1, ..sound };
    assert_eq!(beyond.check(3, 1), Err(PackingError::NoiseBound(most + 1)));
    let error = Packing::derive(24, most, 1 << 25, 1).unwrap_err().to_string();
    assert!(error.contains("24-bit values with noise of up to 1073741824 over"), "{error}");
    assert!(error.contains("use fewer bits, or a larger clip bound"), "{error}");
}

/// Few sites, many, and the powers of two at which a slot grows.
fn sites() -> impl Strategy<Value = usize> {
    prop_oneof![
        3usize..=100,
        3usize..=10_000,
        (2u32..14, 0usize..3).prop_map(|(log, off)| ((1 << log) + off - 1).clamp(3, 10_000)),
    ]
}

/// None, some, and whatever leaves room for a slot over all of `sites()`.
fn noise() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1u32..=5000, (0u32..=24).prop_map(|log| (1 << log) - 1)]
}

/// All bounds of a packing, each in plain integers.
fn bounds_hold(packing: Packing, sites: usize, collusion: u16) -> bool {
    let Packing { value_bits, noise_bound, slot_bits, slots, delta_bits, wire_bits } = packing;
    let noise = 2 * u128::from(noise_bound);
    let largest = (sites as u128) * ((1 << value_bits) - 1 + noise);
    // A slot has room for a step more of each site than its largest value, and no more than
    // it must. Without noise that is a sum over the next power of two of sites.
    let room = |bits: u8| 1u128 << bits >= sites as u128 * ((1 << value_bits) + noise);
    let sums: Option<u128> = (0..slots).try_fold(0u128, |sum, slot| {
        let shift = u32::from(slot) * u32::from(slot_bits);
        (shift < 64).then(|| sum + (largest << shift))
    });
    let below_q = |sum: u128| (sum + 1) << delta_bits < u128::from(MODULUS);
    let noise = NoiseModel::new(sites, collusion, wire_bits).bound();
    slots > 0
        && room(slot_bits)
        && !room(slot_bits - 1)
        && (1..63).contains(&delta_bits)
        && sums.is_some_and(|sums| sums < 1 << 64 && below_q(sums))
        && u128::from(noise) * 2 < 1 << delta_bits
}

proptest! {
    /// What is derived holds every bound, and a packing one step to any side of it is refused
    /// exactly when a bound does not hold.
    #[test]
    fn a_packing_is_refused_exactly_when_a_bound_does_not_hold(
        bits in VALUE_BITS, noise in noise(), sites in sites(), c in 0u16..=8,
        field in 0usize..4, up: bool,
    ) {
        let derived = Packing::derive(bits, noise, sites, c).unwrap();
        prop_assert!(bounds_hold(derived, sites, c) && derived.check(sites, c).is_ok());
        let mut other = derived;
        let stated = match field {
            0 => &mut other.slot_bits,
            1 => &mut other.slots,
            2 => &mut other.delta_bits,
            _ => &mut other.wire_bits,
        };
        *stated = if up { *stated + 1 } else { *stated - 1 };
        let holds = WIRE_BITS.contains(&other.wire_bits) && bounds_hold(other, sites, c);
        prop_assert_eq!(other.check(sites, c).is_ok(), holds, "{:?}", other);
        // One site more than a slot has room for.
        let full = (1u128 << derived.slot_bits) / ((1 << bits) + 2 * u128::from(noise));
        let crowded = derived.check(full as usize + 1, c);
        prop_assert!(matches!(crowded, Err(PackingError::Slots { .. })), "{:?}", crowded);
    }

    /// The words of residues that are all rounded up, or all down, by as much as rounding can:
    /// their sum lifts to within `n h` and the lifting's error of the residues' sum, which is
    /// what the bound on noise that no sum exceeds rests on.
    #[test]
    fn rounding_at_its_worst_stays_within_half_widths(
        sites in 3usize..200, wire_bits in 32u8..=63, start: u64, up: bool,
    ) {
        let (q, p) = (u128::from(MODULUS), word_modulus(wire_bits));
        let (mut residues, mut words) = (0, 0u64);
        for site in 0..sites as u64 {
            // Next to half a word beyond a multiple of `q / p`, on either side.
            let word = u128::from(start.wrapping_mul(2 * site + 1) % p);
            let below = (2 * word + 1) * q / (2 * u128::from(p));
            let residue = if up { (below + 3) % q } else { below - 2 } as u64;
            residues = field::add(residues, residue);
            words = ((u128::from(words) + u128::from(to_word(residue, wire_bits)))
                % u128::from(p)) as u64;
        }
        let lifted = from_word(words, wire_bits);
        let off = field::sub(lifted, residues);
        let (off, sign) = if off > MODULUS / 2 { (MODULUS - off, false) } else { (off, true) };
        let half_width = NoiseModel::new(sites, 0, wire_bits).rounding_half_width();
        let most = sites as f64 * half_width;
        // Up to the 2^-52 of a double: `h` has up to 32 bits.
        let bound = most + LIFTING_SLACK + most * 2f64.powi(-50);
        prop_assert!(off as f64 <= bound, "{} of {}", off, most);
        // And it is the worst: each residue is within a few units of the largest rounding.
        if most < MODULUS as f64 / 4.0 && half_width > 8.0 {
            let least = most - 6.0 * sites as f64 - LIFTING_SLACK;
            prop_assert!(sign == up && off as f64 >= least, "{} of {}", off, most);
        }
        let all = sites as f64 * (half_width + ERROR_TAIL as f64);
        let model = NoiseModel::new(sites, 2, wire_bits);
        prop_assert!(model.bound() as f64 <= all * 1.001 + LIFTING_SLACK + 1.0);
    }
}
