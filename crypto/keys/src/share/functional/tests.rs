use ringfence_crypto::Digest;

use super::super::dealt::tests::{altered, dealt};
use super::super::share::tests::secret;
use super::*;
use crate::encrypt::transform::product;

fn manifest() -> ManifestId {
    Digest::of(b"round").into()
}

/// Coefficients of `a_j s`, by the transform.
fn product_with(key: &[u64], block: u64) -> [u64; RING_DEGREE] {
    let (mut public, mut out) = ([0; RING_DEGREE], [0; RING_DEGREE]);
    public_polynomial(manifest(), block, &mut public);
    product(&public, key, &mut out);
    out
}

#[test]
fn a_row_gives_its_coefficient_of_the_product() {
    for (seed, block) in [(1, 0), (2, 1), (3, 16_383)] {
        let key = secret(seed);
        let product = product_with(&key, block);
        for coefficient in [0, 1, 2, 777, 2048, 4095] {
            let row = Row::of(manifest(), block, coefficient).unwrap();
            let value = row
                .0
                .iter()
                .zip(&key)
                .fold(0, |sum, (factor, word)| field::add(sum, field::mul(*factor, *word)));
            assert_eq!(value, product[usize::from(coefficient)], "{block}, {coefficient}");
        }
    }
    assert_eq!(Row::of(manifest(), 0, 4096), Err(PositionError(4096)));
    assert_eq!(Row::of(manifest(), 0, u16::MAX), Err(PositionError(u16::MAX)));
}

/// A key, its shares, and the functional that holders are asked for.
struct Scene {
    threshold: Threshold,
    row: Row,
    shares: Vec<DealtShare>,
    right: u64,
}

impl Scene {
    fn new(m: u16, c: u16, l: u16) -> Self {
        let threshold = Threshold::derive(m, c, l, usize::from(m)).unwrap();
        let (key, row) = (secret(5), Row::of(manifest(), 3, 1234).unwrap());
        let shares = dealt(&key, &threshold, 6);
        Self { threshold, row, shares, right: product_with(&key, 3)[1234] }
    }

    /// What these holders post; liars raise the value number `k mod l`.
    fn answers(&self, holders: &[usize], liars: &[usize]) -> BTreeMap<usize, Vec<u64>> {
        let answer = |k: &usize| {
            let mut values = self.row.of_share(&self.shares[*k], &self.threshold).to_vec();
            if liars.contains(k) {
                let at = k % values.len();
                values[at] = field::add(values[at], 1 + *k as u64);
            }
            (*k, values)
        };
        holders.iter().map(answer).collect()
    }

    fn determine(
        &self,
        answers: &BTreeMap<usize, Vec<u64>>,
        free: usize,
    ) -> Result<Determined, Undetermined> {
        let answers = answers.iter().map(|(k, values)| (*k, values.as_slice())).collect();
        Determined::of_answers(&answers, &self.threshold, free)
    }
}

#[test]
fn what_holders_post_determines_the_coefficient_and_names_who_lies() {
    // In the second l does not divide 4096.
    for (m, c, l) in [(4, 1, 1), (9, 2, 3), (8, 2, 2), (16, 4, 4)] {
        let scene = Scene::new(m, c, l);
        let all: Vec<usize> = (0..usize::from(m)).collect();
        let c = usize::from(c);
        for liars in [&[][..], &[1], &[0, 3], &all[..c], &all[all.len() - c..]] {
            let liars = &liars[..liars.len().min(c)];
            let found = scene.determine(&scene.answers(&all, liars), c).unwrap();
            assert_eq!((found.value, &found.strays[..]), (scene.right, liars), "({m}, {c}, {l})");
        }
        // All honest holders and nobody else.
        let honest = &all[c..];
        let found = scene.determine(&scene.answers(honest, &[]), c).unwrap();
        assert_eq!((found.value, found.strays), (scene.right, vec![]), "({m}, {c}, {l})");
    }
}

#[test]
fn too_few_answers_or_too_many_lies_determine_nothing() {
    // t = 4: six must agree.
    let scene = Scene::new(8, 2, 2);
    let five = scene.answers(&[0, 2, 3, 5, 7], &[]);
    let few = Undetermined::TooFew { needed: 6, got: 5 };
    assert_eq!(scene.determine(&five, 2).unwrap_err(), few);
    // With c' = 1 they are enough, and one of six may lie.
    assert_eq!(scene.determine(&five, 1).unwrap().value, scene.right);
    let six = scene.answers(&[0, 2, 3, 5, 6, 7], &[5]);
    let lied = Undetermined::Inconsistent { needed: 6, got: 6 };
    assert_eq!(scene.determine(&six, 2).unwrap_err(), lied);
    assert_eq!(scene.determine(&six, 1).unwrap().strays, [5]);
    // Three lies: in one polynomial, and in different ones, of which each has two at most.
    for liars in [[0, 2, 4], [1, 2, 3]] {
        let answers = scene.answers(&[0, 1, 2, 3, 4, 5, 6, 7], &liars);
        let lied = Undetermined::Inconsistent { needed: 6, got: 8 };
        assert_eq!(scene.determine(&answers, 2).unwrap_err(), lied, "{liars:?}");
    }
    // Nobody is corrupt any more: all must agree.
    let answers = scene.answers(&[0, 1, 2, 3, 4, 5, 6, 7], &[4]);
    let lied = Undetermined::Inconsistent { needed: 8, got: 8 };
    assert_eq!(scene.determine(&answers, 0).unwrap_err(), lied);
}

#[test]
fn answers_that_are_none_stray() {
    let scene = Scene::new(8, 2, 2);
    let mut answers = scene.answers(&[0, 1, 2, 3, 4, 5, 6, 7], &[]);
    answers.insert(3, vec![1]);
    let mut unreduced = answers[&6].clone();
    unreduced[1] = u64::MAX;
    answers.insert(6, unreduced);
    let found = scene.determine(&answers, 2).unwrap();
    assert_eq!((found.value, &found.strays[..]), (scene.right, &[3, 6][..]));
    assert!(!format!("{found:?}").contains(&scene.right.to_string()));
}

#[test]
fn masks_and_padding_are_in_no_functional() {
    let scene = Scene::new(9, 2, 3);
    let share = &scene.shares[8];
    let values = |share: &DealtShare| scene.row.of_share(share, &scene.threshold);
    for mask in [0, 1] {
        let masked = altered(share, share.key_words().len() + mask, &scene.threshold);
        assert_eq!(values(&masked), values(share));
    }
    // 4096 = 3 * 1365 + 1: the last polynomial carries one word of the key.
    let last = altered(share, share.key_words().len() - 1, &scene.threshold);
    let (a, b) = (values(&last), values(share));
    assert!(a[0] != b[0] && a[1..] == b[1..]);
}
