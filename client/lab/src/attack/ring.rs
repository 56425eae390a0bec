//! What insiders obtain of a site's update on the ring of PPPML-HMI (Zhou et al. 2024).
//!
//! All sites hold one secret key. The initiator adds a Gaussian mask to its update, and every site adds
//! its own to what comes by. The two neighbours of a site decrypt what it got and what it sent, and
//! subtract; of two sites the initiator takes its own update off twice the mean. The benches have the
//! ring with its cipher (`benches/src/schemes/cyclic.rs`), and these breaks beside it. Here is its
//! arithmetic, masks in 32-bit floating point and sums in fixed point, without the cipher: whoever
//! subtracts holds the key.
//!
//! In a round of Ringfence the same parties hold a ciphertext under a one-time key of which each has
//! at most a share, and a study of two sites is refused.

use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

/// Width of the mask over the bound of an update, and how many widths it may have.
const WIDTH: f32 = 2.0;
const TAIL: f64 = 10.0;

/// The update of a site on a ring of so many, as its neighbours, or the other one of two, recover it.
/// What the others add is random, up to `clip`: it cancels.
pub(super) fn stolen(update: &[f32], sites: usize, clip: f32, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let width = WIDTH * clip;
    let largest = sites as f64 * f64::from(clip) + TAIL * f64::from(width);
    let scale = 2_f64.powi(63 - largest.log2().ceil() as i32);
    let fixed = |value: f32| (f64::from(value) * scale).round() as i64;
    let float = |word: i64| (word as f64 / scale) as f32;
    let recovered = update.iter().map(|own| {
        let normal: f32 = StandardNormal.sample(&mut rng);
        let (mask, first) = (width * normal, rng.random_range(-clip..=clip));
        let got = fixed(first + mask);
        let sent = got.wrapping_add(fixed(*own));
        match sites {
            // The initiator takes its mask off, and knows the mean of two.
            2 => 2.0 * ((float(sent) - mask) / 2.0) - first,
            _ => float(sent) - float(got),
        }
    });
    recovered.collect()
}

#[cfg(test)]
mod tests {
    use ringfence_learning::data::phantom::{PhantomOptions, generate};

    use super::*;
    use crate::attack::job::{Attacker, Outcome, Row};
    use crate::attack::material::Material;
    use crate::attack::terms::{AttackName, Stage};
    use crate::attack::victim::Victim;

    fn row(attack: AttackName, stage: Stage, side: usize) -> Row {
        let options = PhantomOptions { side, sites: 3, patients: 10, slices: 3, seed: 3 };
        let material = Material::new(generate(&options).unwrap(), 1, 1).unwrap();
        let victim = Victim::new(attack, None, &material, 1).unwrap();
        match Attacker::new(attack, victim, &material, (1, 0)).unwrap().run(stage, 0).unwrap() {
            Outcome::Image(row, _) => row,
            Outcome::Labels(_) => panic!("labels, not an image"),
        }
    }

    #[test]
    fn insiders_of_the_ring_get_the_image_and_in_a_round_of_ringfence_they_guess() {
        for (attack, sites, least) in [
            (AttackName::Linear, 2, 60.0),
            (AttackName::Linear, 3, 60.0),
            (AttackName::Idlg, 3, 25.0),
        ] {
            let row = row(attack, Stage::Ring(sites), 16);
            assert!(row.psnr > least, "{row:?}");
        }
        let row = row(AttackName::Linear, Stage::Ciphertext, 16);
        assert!(!row.found && row.psnr == row.psnr_guess, "{row:?}");
    }

    #[test]
    fn insiders_recover_the_update_to_rounding() {
        let update: Vec<f32> = (0..3000).map(|place| 0.5 * (place as f32).sin()).collect();
        for sites in [2, 3, 10] {
            let found = stolen(&update, sites, 0.5, 7);
            let away = found.iter().zip(&update).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // 32-bit numbers of about the mask's width.
            assert!(away < 1e-6, "{sites}: {away:e}");
        }
    }
}
