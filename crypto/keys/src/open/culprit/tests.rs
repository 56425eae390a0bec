use super::*;
use crate::testing::{rng, study};
use proptest::prelude::*;
use rand::Rng;
use ringfence_crypto::ring::noise_bound::{LIFTING_SLACK, NoiseModel};
use ringfence_crypto::ring::packing::{Packing, VALUE_BITS, WIRE_BITS};
use ringfence_crypto::ring::words::{from_word, to_word};
use ringfence_crypto::statement::Summands;
use std::cell::Cell;

/// Any packing that some roster may have: value bits, sites, colluding ones; wire bits are raised
/// to what these need; the part of two blocks that is padding.
fn packings() -> impl Strategy<Value = (Packing, usize, u16, usize)> {
    let sites = prop_oneof![3usize..=40, 3usize..=10_000];
    (VALUE_BITS, sites, 1u16..=4, WIRE_BITS, 0usize..9000).prop_map(
        |(bits, sites, collusion, wire_bits, padding)| {
            let packing = Packing::derive(bits, 0, sites, collusion).unwrap();
            let wire_bits = wire_bits.max(packing.wire_bits);
            (Packing { wire_bits, ..packing }, sites, collusion, padding)
        },
    )
}

/// Positions of two blocks, the count's among them more often than others.
fn positions() -> impl Strategy<Value = Position> {
    let any = (0u64..2, 0u16..4096);
    let any = any.prop_map(|(block, coefficient)| Position { block, coefficient });
    prop_oneof![1 => Just(Position { block: 0, coefficient: 0 }), 4 => any]
}

fn with_packing(study: &Study, packing: Packing, collusion: u16, padding: usize) -> Study {
    let mut study = study.clone();
    (study.packing, study.threshold.collusion) = (packing, collusion);
    let values = 2 * packing.block_values() - 1 - padding.min(packing.block_values());
    study.layout.tensors[0].shape = vec![values as u32];
    study
}

/// What a site that keeps to the format may send at a position.
fn message(study: &Study, position: Position, rng: &mut impl Rng) -> u64 {
    let Packing { slots, slot_bits, .. } = study.packing;
    let limits = SlotLimits::new(study, Summands::alike(1, &study.packing));
    let values = (0..slots).map(|slot| {
        let largest = limits.largest(position, slot);
        let value = match rng.next_u32() % 4 {
            _ if slot == 0 && position == (Position { block: 0, coefficient: 0 }) => 1,
            0 => 0,
            1 => largest,
            _ => rng.next_u64() % (largest + 1),
        };
        value << (slot * slot_bits)
    });
    values.sum()
}

fn residue(study: &Study, functional: u64, error: i64, message: u64) -> u64 {
    let plain = field::reduce(u128::from(message) << study.packing.delta_bits);
    field::add(field::add(functional, plain), field::from_signed(error))
}

fn word(study: &Study, functional: u64, error: i64, message: u64) -> u64 {
    to_word(residue(study, functional, error, message), study.packing.wire_bits)
}

fn error(rng: &mut impl Rng) -> i64 {
    let tail = ERROR_TAIL as i64;
    (rng.next_u64() % (2 * ERROR_TAIL + 1)) as i64 - tail
}

#[test]
fn a_coefficient_in_the_format_has_no_fault() {
    let (study, _) = study(3);
    proptest!(ProptestConfig::with_cases(512), |(
        (packing, _, collusion, padding) in packings(), position in positions(), seed: u64,
    )| {
        let (study, mut rng) = (with_packing(&study, packing, collusion, padding), rng(seed));
        for _ in 0..64 {
            let (functional, message) = (rng.next_u64() % MODULUS, message(&study, position, &mut rng));
            let word = word(&study, functional, error(&mut rng), message);
            let judged = judge_coefficient(&study, 0, position, word, functional);
            prop_assert_eq!(judged, Ok(()), "{:?}", packing);
        }
    });
}

/// The residues that round furthest up or down, with an error at the sampler's tail: no fault; the
/// next word is one.
#[test]
fn noise_is_judged_to_the_word() {
    let (study, _) = study(3);
    proptest!(ProptestConfig::with_cases(512), |(
        (packing, _, collusion, padding) in packings(), position in positions(), seed: u64,
        above: bool,
    )| {
        let (study, mut rng) = (with_packing(&study, packing, collusion, padding), rng(seed));
        let modulus = word_modulus(packing.wire_bits);
        let half_word = (u128::from(MODULUS) / 2 / u128::from(modulus)) as u64;
        let of = 32 + rng.next_u64() % (modulus - 64);
        // The lowest residue that rounds up to this word, or the highest that rounds down to it.
        let lifted = from_word(of, packing.wire_bits);
        let border = if above { lifted - half_word } else { lifted + half_word };
        let mut rounded = (border - 8..border + 9).filter(|r| to_word(*r, packing.wire_bits) == of);
        let end = if above { rounded.next() } else { rounded.next_back() }.unwrap();
        let tail = if above { ERROR_TAIL as i64 } else { -(ERROR_TAIL as i64) };
        let message = message(&study, position, &mut rng);
        let functional = field::sub(end, residue(&study, 0, tail, message));
        let judged = judge_coefficient(&study, 0, position, of, functional);
        prop_assert_eq!(judged, Ok(()), "{:?}", packing);
        // Where a word is worth more than what the rounding formulas may miss.
        if packing.wire_bits <= 61 {
            let next = if above { of + 1 } else { of - 1 };
            let fault = judge_coefficient(&study, 0, position, next, functional).unwrap_err();
            let CoefficientFault::Noise { noise, bound } = fault else { panic!("{fault}") };
            prop_assert!(noise.unsigned_abs() > bound && (noise > 0) == above, "{}", fault);
        }
    });
}

#[test]
fn each_fault_is_named() {
    let (study, _) = study(3);
    let packing = Packing::derive(16, 0, 10, 2).unwrap();
    // A bit of room above the slots, which a smaller scale leaves.
    let packing = Packing { delta_bits: packing.delta_bits - 1, wire_bits: 60, ..packing };
    packing.check(10, 2).unwrap();
    let Packing { slot_bits, slots, delta_bits, .. } = packing;
    let study = with_packing(&study, packing, 2, 1);
    let judge = |position, error, message| {
        judge_coefficient(&study, 0, position, word(&study, 77, error, message), 77)
    };
    let at = |block, coefficient| Position { block, coefficient };
    let last = slot_bits * (slots - 1);
    assert_eq!(judge(at(0, 0), 0, 1), Ok(()));
    for counted in [0, 2] {
        let fault = CoefficientFault::Count { counted, expected: 1 };
        assert_eq!(judge(at(0, 0), 0, counted), Err(fault));
    }
    // Value 3 and the value in the highest slot, one above 2^16 - 1.
    let limit = packing.value_limit();
    for (slot, value) in [(0, 3), (slots - 1, (u64::from(slots) - 1) * 4096 + 3)] {
        assert_eq!(judge(at(0, 3), 0, limit << (slot * slot_bits)), Ok(()));
        let fault = CoefficientFault::Slot { value, got: limit + 1, least: 0, most: limit };
        assert_eq!(judge(at(0, 3), 0, (limit + 1) << (slot * slot_bits)), Err(fault));
    }
    // Above the highest slot.
    let got = 1 << slot_bits;
    let top = judge(at(1, 3), 0, got << last).unwrap_err();
    assert!(matches!(top, CoefficientFault::Slot { got: seen, .. } if seen == got), "{top}");
    // The last value of two blocks is padding.
    let value = 2 * packing.block_values() as u64 - 1;
    let fault = CoefficientFault::Padding { value, got: 1 };
    assert_eq!(judge(at(1, 4095), 0, 1 << last), Err(fault));
    assert_eq!(judge(at(1, 4094), 0, 1 << last), Ok(()));
    let half = 1 << (delta_bits - 1);
    for noise in [half / 2, -half / 2] {
        let fault = judge(at(1, 9), noise, limit).unwrap_err();
        assert!(matches!(fault, CoefficientFault::Noise { .. }), "{fault}");
    }
    // A word from p on is the residue that it adds up as.
    let modulus = word_modulus(packing.wire_bits);
    let (low, functional) = (0, field::neg(residue(&study, 0, 0, 5)));
    assert_eq!(judge_coefficient(&study, 0, at(1, 9), low, functional), Ok(()));
    assert_eq!(judge_coefficient(&study, 0, at(1, 9), modulus, functional), Ok(()));
}

/// A site that adds noise may use all of its room, `0..=2^b - 1 + 2B`, and no more; the sum of so
/// many sites is held against so many times as much.
#[test]
fn noise_of_a_site_has_its_room() {
    let (study, _) = study(3);
    let packing = Packing::derive(16, 500, 10, 2).unwrap();
    let study = with_packing(&study, packing, 2, 0);
    let limit = packing.value_limit() + 1000;
    let position = Position { block: 0, coefficient: 3 };
    let judge = |value| judge_coefficient(&study, 0, position, word(&study, 77, 0, value), 77);
    assert_eq!((judge(0), judge(limit)), (Ok(()), Ok(())));
    let fault = CoefficientFault::Slot { value: 3, got: limit + 1, least: 0, most: limit };
    assert_eq!(judge(limit + 1), Err(fault));
    let all = study.summands(0..3);
    assert_eq!((all.least, all.most), (0, 3 * limit));
    assert_eq!(all, Summands::alike(3, &packing));
}

/// The sum of some sites' coefficients at one position.
#[derive(Debug, Default)]
struct Total {
    word: u64,
    functional: u64,
    sites: usize,
    faults: usize,
}

impl Total {
    fn add(&mut self, study: &Study, position: Position, word: u64, functional: u64) {
        let modulus = u128::from(word_modulus(study.packing.wire_bits));
        self.word = ((u128::from(self.word) + u128::from(word)) % modulus) as u64;
        self.functional = field::add(self.functional, functional);
        self.sites += 1;
        let judged = judge_coefficient(study, 0, position, word, functional);
        self.faults += usize::from(judged.is_err());
    }

    fn noise(&self, study: &Study) -> i64 {
        let lifted = from_word(self.word, study.packing.wire_bits);
        split(field::sub(lifted, self.functional), study.packing.delta_bits).1
    }

    /// Whether the sum decodes at the position.
    fn decodes(&self, study: &Study, position: Position) -> bool {
        let Packing { wire_bits, delta_bits, .. } = study.packing;
        let bound = NoiseModel::new(self.sites, study.threshold.collusion, wire_bits).bound();
        let lifted = from_word(self.word, wire_bits);
        let (message, noise) = split(field::sub(lifted, self.functional), delta_bits);
        noise.unsigned_abs() <= bound
            && SlotLimits::new(study, Summands::alike(self.sites, &study.packing))
                .check(position, message)
                .is_ok()
    }
}

/// The word furthest out before a fault is seen.
fn outermost(study: &Study, position: Position, functional: u64, message: u64, above: bool) -> u64 {
    let modulus = u128::from(word_modulus(study.packing.wire_bits));
    let by = if above { 1 } else { modulus - 1 };
    let mut last = word(study, functional, 0, message);
    loop {
        let next = ((u128::from(last) + by) % modulus) as u64;
        if judge_coefficient(study, 0, position, next, functional).is_err() {
            return last;
        }
        last = next;
    }
}

/// A word, and a functional under which it stands for a message, an error, and a residue that lies
/// `rounded` and up to 3 below what the word lifts to.
fn lifting(
    study: &Study,
    rng: &mut impl Rng,
    message: u64,
    error: i64,
    rounded: u64,
) -> (u64, u64) {
    let wire_bits = study.packing.wire_bits;
    let word = rng.next_u64() % word_modulus(wire_bits);
    let of = field::sub(from_word(word, wire_bits), rounded);
    (word, field::sub(of, residue(study, 0, error, message)))
}

#[test]
fn a_sum_that_fails_has_a_coefficient_that_is_at_fault() {
    let (study, _) = study(3);
    let (failed, good) = (Cell::new(0), Cell::new(0));
    proptest!(ProptestConfig::with_cases(2048), |(
        (packing, sites, collusion, padding) in packings(), position in positions(), seed: u64,
        corrupt in prop::collection::vec((0u8..6, any::<u64>()), 0..=4), count in 3usize..=40,
    )| {
        let (study, mut rng) = (with_packing(&study, packing, collusion, padding), rng(seed));
        let corrupt = &corrupt[..corrupt.len().min(collusion.into())];
        let count = count.min(sites);
        let mut total = Total::default();
        for _ in corrupt.len()..count {
            let (functional, message) = (rng.next_u64() % MODULUS, message(&study, position, &mut rng));
            // Within two of the sampler's widths: what honest sites draw, but rarely more.
            let word = word(&study, functional, error(&mut rng) / 5, message);
            total.add(&study, position, word, functional);
        }
        let bound = NoiseModel::new(count, collusion, packing.wire_bits).bound() as i64;
        for (kind, random) in corrupt {
            let functional = rng.next_u64() % MODULUS;
            let good = message(&study, position, &mut rng);
            let word = match kind {
                0 => outermost(&study, position, functional, good, random % 2 == 0),
                1 => word(&study, functional, bound / 8 * (random % 17) as i64 - bound, good),
                2 => to_word(random % MODULUS, packing.wire_bits),
                3 => word(&study, functional, 0, good ^ 1 << (random % 20)),
                4 => word(&study, functional, 0, 0),
                _ => word(&study, functional, 0, good.saturating_add(random % 2)),
            };
            total.add(&study, position, word, functional);
        }
        let decodes = total.decodes(&study, position);
        prop_assert!(decodes || total.faults > 0, "{:?}, noise {}", packing, total.noise(&study));
        let count = if decodes { &good } else { &failed };
        count.set(count.get() + 1);
    });
    assert!(failed.get() > 100 && good.get() > 100, "{failed:?} failed, {good:?} did not");
}

/// Honest noise as large as the Chernoff bound lets it be, and `c` sites that go as far as they can
/// without a fault: the sum is just within its bound.
#[test]
fn what_passes_at_each_site_is_what_the_sum_s_bound_leaves_to_it() {
    let (study, _) = study(3);
    let position = Position { block: 1, coefficient: 7 };
    for (sites, collusion, wire_bits) in [(24, 4, 64), (24, 4, 63), (24, 2, 60), (100, 4, 58)] {
        let packing = Packing::derive(16, 0, 100, 4).unwrap();
        let study = with_packing(&study, Packing { wire_bits, ..packing }, collusion, 0);
        let model = NoiseModel::new(sites, collusion, wire_bits);
        let most = ERROR_TAIL as f64 + model.rounding_half_width();
        // Less 4, and 4 more for what lifting is off: the sum's, and that of the honest part.
        let chernoff = model.bound() as f64 - f64::from(collusion) * most - LIFTING_SLACK;
        let (mut rng, mut total) = (rng(sites as u64), Total::default());
        let honest = sites - usize::from(collusion);
        for left in (1..=honest).rev() {
            let message = message(&study, position, &mut rng);
            // What is missing, shared out among the sites that are left.
            let missing = chernoff - 8.0 - total.noise(&study) as f64;
            let error = (missing / left as f64).floor() as i64;
            let (word, functional) = lifting(&study, &mut rng, message, error, 0);
            total.add(&study, position, word, functional);
        }
        let noise = total.noise(&study) as f64;
        assert!(noise > chernoff - 12.0 && noise <= chernoff - 4.0, "{noise} of {chernoff}");
        for _ in 0..collusion {
            let (functional, message) =
                (rng.next_u64() % MODULUS, message(&study, position, &mut rng));
            let word = outermost(&study, position, functional, message, true);
            total.add(&study, position, word, functional);
        }
        let (noise, bound) = (total.noise(&study), model.bound() as i64);
        assert!(total.faults == 0 && total.decodes(&study, position), "{noise} of {bound}");
        // Each is less than a word from the most.
        let step = (u128::from(MODULUS) >> wire_bits) as i64 + 2;
        assert!(noise > bound - 16 - i64::from(collusion) * step, "{noise} of {bound}");
    }
}

/// What the Chernoff bound calls a chance of 2^-64: all sites' noise is at its largest. Nobody broke
/// the format, and nobody is named.
#[test]
fn a_sum_may_fail_by_chance_and_names_nobody() {
    let (study, _) = study(3);
    let packing = Packing::derive(16, 0, 100, 4).unwrap();
    // The noise stays below half the scale, where it would be another digit's.
    let packing = Packing { wire_bits: 60, ..packing };
    let (study, position) =
        (with_packing(&study, packing, 4, 0), Position { block: 1, coefficient: 7 });
    let half_word = (u128::from(MODULUS) / 2 / u128::from(word_modulus(packing.wire_bits))) as u64;
    let (mut rng, mut total) = (rng(1), Total::default());
    for _ in 0..100 {
        let message = message(&study, position, &mut rng);
        let tail = ERROR_TAIL as i64;
        let (of, functional) =
            lifting(&study, &mut rng, message, tail, half_word.saturating_sub(8));
        assert_eq!(of, word(&study, functional, tail, message), "an honest site's word");
        total.add(&study, position, of, functional);
    }
    assert!(!total.decodes(&study, position));
    assert_eq!(total.faults, 0);
}
