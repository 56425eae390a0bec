//! The literal ring's known faults, each shown at work.

use chacha20::ChaCha20Rng;
use rand::SeedableRng;

use super::*;

const PARAMETERS: usize = 3000;

/// Fixed-point rounding, cipher noise of four terms (4 * 2^17 of 2^60) and float32 of the sum.
const CLOSE: f64 = 2e-6;

fn workload(sites: usize) -> Workload {
    Workload::new(PARAMETERS, sites.max(3), 16, 1).unwrap()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}

fn difference(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn mask(sigma: f64) -> Vec<f32> {
    gaussian_mask(PARAMETERS, sigma, &mut ChaCha20Rng::seed_from_u64(3))
}

#[test]
fn two_neighbours_recover_the_update_between_them() {
    let workload = workload(4);
    let mut ring = Ring::new(4, PARAMETERS, MASK_SIGMA);
    let hops = ring.pass(&workload.updates, &mask(MASK_SIGMA), None).unwrap();
    // Site 1 knows what it sent to site 2, site 3 what it got from there; both hold the key. The
    // initiator's mask is in both and cancels.
    let (sent, got) = (ring.decrypt(&hops[1]), ring.decrypt(&hops[2]));
    let stolen = difference(&got, &sent);
    assert!(distance(&stolen, &workload.updates[2]) < CLOSE);
    assert!(distance(&stolen, &workload.updates[1]) > 0.1, "updates differ: not a fluke");
}

#[test]
fn with_two_sites_the_mean_is_the_other_ones_update() {
    let updates = workload(3).updates[..2].to_vec();
    let mut ring = Ring::new(2, PARAMETERS, MASK_SIGMA);
    let mask = mask(MASK_SIGMA);
    let model = ring.pass(&updates, &mask, None).unwrap().pop().unwrap();
    let mean = ring.finish(&model, &mask, 2);
    let other: Vec<f32> = mean.iter().zip(&updates[0]).map(|(m, own)| 2.0 * m - own).collect();
    assert!(distance(&other, &updates[1]) < CLOSE);
}

#[test]
fn one_silent_site_stops_the_round() {
    let workload = workload(5);
    let mut ring = Ring::new(5, PARAMETERS, MASK_SIGMA);
    for silent in 0..5 {
        let outcome = ring.pass(&workload.updates, &mask(MASK_SIGMA), Some(silent));
        assert_eq!(outcome.err(), Some(Stopped { site: silent }));
    }
}

#[test]
fn a_gaussian_mask_is_no_one_time_pad() {
    // Site 1 has the key and sees u_0 + mask. Is u_0 one known update or another one (an imprint,
    // last round's, a suspected record's)? The nearer one is the likelier: a Gaussian around it.
    // With a one-time pad the guess would be right half of the time; updates differ by about 0.4
    // a coordinate, so 3000 of them leave no doubt at this mask's width.
    let updates = workload(3).updates;
    let mut right = 0;
    for trial in 0..20 {
        let truth = trial % 2;
        let mut rng = ChaCha20Rng::seed_from_u64(100 + trial as u64);
        let seen = masked(&updates[truth], &gaussian_mask(PARAMETERS, MASK_SIGMA, &mut rng));
        let score = |candidate: &[f32]| -> f64 {
            seen.iter().zip(candidate).map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        let guess = usize::from(score(&updates[1]) < score(&updates[0]));
        right += usize::from(guess == truth);
    }
    assert_eq!(right, 20);
}

#[test]
fn float_masks_lose_precision() {
    // The wider the mask, the better it hides and the more of the update's float32 bits it eats.
    let workload = workload(4);
    let error = |sigma: f64| {
        let mask = mask(sigma);
        let mut ring = Ring::new(4, PARAMETERS, sigma);
        let model = ring.pass(&workload.updates, &mask, None).unwrap().pop().unwrap();
        let mean = ring.finish(&model, &mask, 4);
        let exact: Vec<f32> = (0..PARAMETERS)
            .map(|k| workload.updates.iter().map(|u| f64::from(u[k])).sum::<f64>() / 4.0)
            .map(|mean| mean as f32)
            .collect();
        distance(&mean, &exact)
    };
    let (narrow, wide) = (error(1.0), error(1e5));
    assert!(narrow < 1e-6, "{narrow:e}");
    // A float32 near 10^5 steps by 2^-7; a quarter of half a step is 10^-3.
    assert!(wide > 1000.0 * narrow && wide > 5e-4, "{wide:e} against {narrow:e}");
}

#[test]
fn whoever_holds_the_one_key_opens_every_update() {
    let workload = workload(4);
    let mut ring = Ring::new(4, PARAMETERS, MASK_SIGMA);
    // A site's own encrypted update, on its way into the running model: any other member reads it.
    for update in &workload.updates {
        let wire = ring.encrypt(update);
        assert!(distance(&ring.decrypt(&wire), update) < CLOSE);
    }
}
