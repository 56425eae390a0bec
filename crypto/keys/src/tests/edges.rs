//! Opening at the edge of every bound: slots at zero and at the most that the sites can sum to,
//! noise at its largest on either side, for every width of values and many numbers of sites; and
//! one step past each bound.

use ringfence_crypto::Digest;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::noise_bound::NoiseModel;
use ringfence_crypto::ring::packing::{Packing, VALUE_BITS};
use ringfence_crypto::ring::params::{KEY_WORDS, MODULUS, RING_DEGREE};
use ringfence_crypto::ring::words::{block_bytes, from_word, pack, to_word, word_modulus};
use ringfence_crypto::statement::{Study, Summands};

use crate::encrypt::check::{CheckKey, CheckWords};
use crate::open::{OpenError, OpenedSum, SumContext};
use crate::share::reconstruct::KeySum;
use crate::share::share::Share;
use crate::testing;

/// Coefficients of a block with the largest noise: the count's own, the last one, and two between.
const NOISY: [usize; 4] = [0, 1, 2048, 4095];

/// The sum of two full blocks over so many sites, under a key sum of zero: with no mask on it, what
/// is opened is exactly what was put in.
struct Edge {
    study: Study,
    check_key: CheckKey,
    sites: usize,
    /// Packed coefficients of each block.
    blocks: [[u64; RING_DEGREE]; 2],
    words: Vec<u64>,
    /// The words that the headers' check words are of.
    promised: Vec<u64>,
}

impl Edge {
    /// Slots are all at their limit, all zero, or by turns, coefficient by coefficient.
    fn new(study: &Study, check_key: CheckKey, packing: Packing, sites: usize) -> Self {
        let mut study = study.clone();
        study.packing = packing;
        study.layout.tensors[0].shape = vec![2 * packing.block_values() as u32 - 1];
        let limit = packing.slot_limit(sites);
        let message = |at: usize| {
            let full = |slot: u8| match at % 4 {
                0 => true,
                1 => false,
                turn => usize::from(slot) % 2 == turn % 2,
            };
            let slots = (0..packing.slots).filter(|slot| full(*slot));
            slots.map(|slot| limit << (slot * packing.slot_bits)).sum()
        };
        let mut blocks = [std::array::from_fn(message), std::array::from_fn(|k| message(k + 1))];
        let count_mask = (1 << packing.slot_bits) - 1;
        blocks[0][0] = blocks[0][0] & !count_mask | sites as u64;
        let mut edge = Self { study, check_key, sites, blocks, words: vec![], promised: vec![] };
        let (bound, nearest) = (edge.bound(), |at| edge.nearest(at));
        let words = (0..2 * RING_DEGREE).map(|at| match NOISY.contains(&(at % RING_DEGREE)) {
            true => edge.outermost(at, at % 2 == 0, bound),
            false => nearest(at),
        });
        edge.words = words.collect();
        edge.promised = edge.words.clone();
        edge
    }

    fn bound(&self) -> u64 {
        let Study { packing, threshold, .. } = &self.study;
        NoiseModel::new(self.sites, threshold.collusion, packing.wire_bits).bound()
    }

    fn target(&self, at: usize) -> u64 {
        let message = self.blocks[at / RING_DEGREE][at % RING_DEGREE];
        field::reduce(u128::from(message) << self.study.packing.delta_bits)
    }

    fn nearest(&self, at: usize) -> u64 {
        to_word(self.target(at), self.study.packing.wire_bits)
    }

    /// How far above (or below) coefficient `at` a word lifts to; none on the other side.
    fn noise(&self, at: usize, word: u64, above: bool) -> Option<u64> {
        let lifted = from_word(word, self.study.packing.wire_bits);
        let (from, to) = (self.target(at), lifted);
        let off = if above { field::sub(to, from) } else { field::sub(from, to) };
        (off <= MODULUS / 2).then_some(off)
    }

    fn step(&self, word: u64, up: bool) -> u64 {
        let modulus = word_modulus(self.study.packing.wire_bits);
        let by = if up { 1 } else { modulus - 1 };
        ((u128::from(word) + u128::from(by)) % u128::from(modulus)) as u64
    }

    /// The word with the largest noise on one side that is not beyond the bound.
    fn outermost(&self, at: usize, above: bool, bound: u64) -> u64 {
        let target = self.target(at);
        let edge = if above { field::add(target, bound) } else { field::sub(target, bound) };
        let mut word = to_word(edge, self.study.packing.wire_bits);
        while self.noise(at, word, above).is_none_or(|noise| noise > bound) {
            word = self.step(word, !above);
        }
        // At 64 bits a residue is worth a little more than a word, and rounding may stop short.
        loop {
            let next = self.step(word, above);
            if self.noise(at, next, above).is_none_or(|noise| noise > bound) {
                return word;
            }
            word = next;
        }
    }

    fn open(&self) -> Result<OpenedSum, OpenError> {
        let Study { packing, threshold, .. } = &self.study;
        let manifest = Digest::of(b"round").into();
        let vectors = self.check_key.vectors(manifest, packing.wire_bits);
        let mut check = CheckWords::zero(packing.wire_bits);
        for (block, words) in self.promised.chunks(RING_DEGREE).enumerate() {
            check.add(&vectors.of_block(block, words.try_into().unwrap()));
        }
        // Shares of a constant are that constant at every holder.
        let share = |k| (k, Share::from_bytes(&[0; 8 * KEY_WORDS], threshold).unwrap());
        let keys = KeySum::reconstruct(&[share(0), share(1)], threshold, 0).unwrap();
        let bytes = block_bytes(packing.wire_bits);
        let mut sum = vec![0; 2 * bytes];
        for (words, out) in self.words.chunks(RING_DEGREE).zip(sum.chunks_mut(bytes)) {
            pack(words, packing.wire_bits, out);
        }
        let (study, keys, check, check_key) = (&self.study, &keys, &check, &self.check_key);
        let summands = Summands::alike(self.sites, packing);
        let context = SumContext { study, manifest, summands, keys, check, check_key };
        OpenedSum::open(context, &mut &sum[..])
    }

    /// What the coefficients hold, slot by slot, without the count.
    fn sums(&self) -> Vec<u64> {
        let Packing { slots, slot_bits, .. } = self.study.packing;
        let mut sums = Vec::new();
        for block in &self.blocks {
            for slot in 0..slots {
                let mask = (1 << slot_bits) - 1;
                sums.extend(block.iter().map(|c| c >> (slot * slot_bits) & mask));
            }
        }
        sums.split_off(1)
    }
}

/// All value widths, with the numbers of sites at which a slot is full, just over-full, and large.
fn edges(mut test: impl FnMut(Edge)) {
    let (study, identities) = testing::study(3);
    assert_eq!((study.threshold.packing, study.threshold.opening), (1, 2));
    for bits in VALUE_BITS {
        for sites in [3, 4, 5, 8, 9, 64, 100, 1000, 8192, 10_000] {
            let packing = Packing::derive(bits, 0, sites, study.threshold.collusion).unwrap();
            // The narrowest words that do, and the widest.
            for wire_bits in [packing.wire_bits, 64] {
                let check_key = identities[0].check_key(&study).unwrap();
                test(Edge::new(&study, check_key, Packing { wire_bits, ..packing }, sites));
            }
        }
    }
    // With room for noise of the sites.
    for (bits, noise_bound, sites) in [(2, 1, 3), (12, 6144, 4), (16, 100_000, 10), (24, 9, 1000)] {
        let collusion = study.threshold.collusion;
        let packing = Packing::derive(bits, noise_bound, sites, collusion).unwrap();
        let check_key = identities[0].check_key(&study).unwrap();
        test(Edge::new(&study, check_key, packing, sites));
    }
}

#[test]
fn sums_at_every_edge_open_exactly() {
    edges(|edge| {
        let packing = edge.study.packing;
        let opened = edge.open().unwrap_or_else(|error| panic!("{packing:?}: {error}"));
        assert!(opened.sums() == edge.sums(), "{packing:?}, {} sites", edge.sites);
        // The noise is as large as words let it be: their distance, and what lifting is off.
        let step = (u128::from(MODULUS) >> packing.wire_bits) as u64 + 4;
        let (bound, largest) = (edge.bound(), opened.noise.largest);
        assert!(largest <= bound && largest + step > bound, "{largest} of {bound}, step {step}");
    });
}

#[test]
fn one_step_past_any_bound_is_refused() {
    edges(|mut edge| {
        let packing = edge.study.packing;
        // Noise one word further out, on either side of zero and of the largest sum.
        let half = 1 << (packing.delta_bits - 1);
        for at in [1, 2048, RING_DEGREE + 1, RING_DEGREE + 2048] {
            let (before, above) = (edge.words[at], at % 2 == 0);
            edge.words[at] = edge.step(before, above);
            let noise = edge.noise(at, edge.words[at], above).unwrap();
            let error = edge.open().unwrap_err();
            let seen = matches!(error, OpenError::Noise { .. });
            // Beyond half the scale it is another digit's noise, and then the digit is wrong.
            assert!(seen || noise >= half, "{packing:?}, noise {noise}: {error}");
            edge.words[at] = before;
        }
        // One more than the sites can sum to, in the lowest and in the highest slot.
        for slot in [0, packing.slots - 1] {
            let (limit, unit) = (packing.slot_limit(edge.sites), 1 << (slot * packing.slot_bits));
            let at = if slot == 0 { RING_DEGREE + 3 } else { RING_DEGREE + 7 };
            let whole = edge.blocks[1][at - RING_DEGREE];
            assert_eq!(whole >> (slot * packing.slot_bits) & limit, limit);
            edge.blocks[1][at - RING_DEGREE] = whole + unit;
            let before = std::mem::replace(&mut edge.words[at], 0);
            edge.words[at] = edge.nearest(at);
            let error = edge.open().unwrap_err();
            // Above the highest slot the modulus may come first, and then the digits are others.
            let wraps = u128::from(whole + unit + 1) << packing.delta_bits >= MODULUS.into();
            let seen = matches!(error, OpenError::Slot { .. });
            assert!(seen || wraps && slot > 0, "{packing:?}, slot {slot}: {error}");
            (edge.words[at], edge.blocks[1][at - RING_DEGREE]) = (before, whole);
        }
        assert!(edge.open().is_ok());
    });
}
