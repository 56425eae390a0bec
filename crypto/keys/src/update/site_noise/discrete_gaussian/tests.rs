use rand::Rng;
use rand::rngs::ChaCha20Rng;

use super::*;
use crate::testing::rng;

/// A fresh stream.
fn stream(seed: u64) -> Xof {
    Xof::keyed(&[7; 32], &[b"discrete gaussian tests", &seed.to_le_bytes()])
}

fn draw(sigma: f64, count: usize, seed: u64) -> Vec<i32> {
    let mut out = vec![0; count];
    let sampler = DiscreteGaussian::new(sigma).unwrap();
    sampler.fill(&mut stream(seed), &mut Candidates::new(), &mut out);
    out
}

#[test]
fn the_base_table_is_the_half_gaussian() {
    let rho = |k: usize| (-(k as f64).powi(2) / (2.0 * BASE_SIGMA * BASE_SIGMA)).exp();
    let total: f64 = (0..200).map(rho).sum();
    for k in 0..ENTRIES {
        let below = if k == 0 { 0 } else { HALF[k - 1] };
        let table = (HALF[k] - below) as f64 / 2f64.powi(128);
        let formula = rho(k) / total;
        assert!((table / formula - 1.0).abs() < 1e-9, "k = {k}: {table} against {formula}");
    }
    assert!(((1u128 << 127) - (HALF[63] >> 1)) as f64 / 2f64.powi(127) < 2f64.powi(-74));
}

/// The probability of every value that the candidates give, computed from the table and the
/// acceptance numbers, is the closed form's: no sampling, no luck.
#[test]
fn the_distribution_computed_from_the_parts_is_the_closed_form() {
    for sigma in [10.0, 12.81, 31.4, 57.6, 57.7, 64.0, 100.0, 333.33, 4099.0] {
        let DiscreteGaussian { scale, .. } = DiscreteGaussian::new(sigma).unwrap();
        let Scale { steps, bound, target, base, .. } = scale;
        let (mut log_ratios, mut weights) = (Vec::new(), Vec::new());
        for y in 0..=bound {
            let x = y / steps;
            let below = if x == 0 { 0 } else { HALF[x as usize - 1] };
            // The last entry has the whole tail, 2^-76.
            let Some(entry) = HALF.get(x as usize) else { continue };
            let t = real(y) * real(y) * target - real(x) * real(x) * base;
            let kept = acceptance(t) as f64 / 2f64.powi(62);
            let implied = (entry - below) as f64 / 2f64.powi(128) * kept;
            let formula = (-0.5 * (y as f64 / sigma).powi(2)).exp();
            log_ratios.push((implied / formula).ln());
            weights.push(formula);
        }
        // Differences, so that adding them up loses nothing.
        let first = log_ratios[0];
        log_ratios.iter_mut().for_each(|ratio| *ratio -= first);
        let total: f64 = weights.iter().sum();
        let weighed = |f: &dyn Fn(f64) -> f64| {
            let sum: f64 = log_ratios.iter().zip(&weights).map(|(r, w)| f(*r) * w).sum();
            sum / total
        };
        let mean = weighed(&|ratio| ratio);
        // This oracle is double precision itself: about 2^-50 near zero, 2^-46 at ten sigma.
        let rms = weighed(&|ratio| (ratio - mean).powi(2)).sqrt();
        let sup = log_ratios.iter().map(|ratio| (ratio - mean).abs()).fold(0.0, f64::max);
        assert!(rms < 2f64.powi(-48), "sigma {sigma}: {rms:e}");
        if scale.steps >= 10 {
            assert!(sup < 2f64.powi(-43), "sigma {sigma}: {sup:e}");
        }
        let distance = weighed(&|ratio| (ratio - mean).exp_m1().abs()) / 2.0;
        assert!(distance < 2f64.powi(-48), "sigma {sigma}: {distance:e}");
    }
}

#[test]
fn acceptance_is_the_exponential() {
    for k in 0..200_000u32 {
        let t = f64::from(k) / 10_000.0;
        let expected = (-t).exp() * 2f64.powi(62);
        let error = (acceptance(t) as f64 - expected).abs();
        assert!(error <= expected * 2f64.powi(-49) + 2.0, "{t}: {error}");
    }
    // What rounding makes of zero, and exponents beyond what 62 bits compare.
    assert_eq!(acceptance(-1e-13), 1 << 62);
    assert!(acceptance(1e4) <= 2 && acceptance(f64::MAX) <= 2);
}

/// Runs one candidate through: the table number's result, the acceptance number with the sign
/// below it, and the low part's word. The value if it is kept.
fn candidate(sigma: f64, x: u64, word: u64, part: u32) -> Option<i64> {
    let scale = DiscreteGaussian::new(sigma).unwrap().scale;
    let (mut values, mut kept) = ([x; 8], [2; 8]);
    let (words, parts) = (word.to_le_bytes().repeat(8), part.to_le_bytes().repeat(8));
    propose(&mut values, &words, &parts, scale, &mut kept);
    assert!(values.iter().all(|v| *v == values[0]) && kept.iter().all(|k| *k == kept[0]));
    assert!(kept[0] < 2);
    (kept[0] == 1).then_some(values[0] as i64)
}

#[test]
fn candidates_by_hand() {
    // K = 3 for a width of 19.2: 2^32 mod 3 = 1, and the word 0 alone is incomplete.
    let third = u32::MAX / 3 + 1;
    assert_eq!(candidate(19.2, 4, 0, third), Some(13));
    assert_eq!(candidate(19.2, 4, 1, third), Some(-13));
    assert_eq!(candidate(19.2, 4, 0, 1), Some(12));
    assert_eq!(candidate(19.2, 4, 0, 0), None);
    // Zero is kept with one sign.
    assert_eq!(candidate(19.2, 0, 0, 1), Some(0));
    assert_eq!(candidate(19.2, 0, 1, 1), None);
    // exp(-(13^2 / (2 19.2^2) - 4^2 / (2 6.4^2))) = 0.966653..., of 62 bits above the sign.
    let exponent: f64 = 169.0 / (2.0 * 19.2 * 19.2) - 16.0 / (2.0 * 6.4 * 6.4);
    let chance = (-exponent).exp();
    let at = |chance: f64| ((chance * 2f64.powi(62)) as u64) << 2;
    assert_eq!(candidate(19.2, 4, at(chance - 1e-12), third), Some(13));
    assert_eq!(candidate(19.2, 4, at(chance + 1e-12), third), None);
    // Nothing beyond the bound: 10 * 12.5 = 125 = 62 * 2 + 1.
    assert_eq!(candidate(12.5, 62, 0, u32::MAX), Some(125));
    assert_eq!(candidate(12.5, 63, 0, 1), None);
}

/// Chi-squared of samples against probabilities, as standard deviations from its mean. Cells are
/// runs of values of 1/20 sigma, or single ones; those beyond four sigma are two cells.
fn chi_squared(sigma: f64, samples: impl Iterator<Item = i64>) -> f64 {
    let width = ((sigma / 20.0) as i64).max(1);
    let edge = (4.0 * sigma) as i64 / width;
    let cell = |e: i64| (e.div_euclid(width).clamp(-edge - 1, edge) + edge + 1) as usize;
    let mut expected = vec![0.0; 2 * edge as usize + 2];
    let reach = (12.0 * sigma) as i64;
    let rho = |e: i64| (-0.5 * (e as f64 / sigma).powi(2)).exp();
    let total: f64 = (-reach..=reach).map(rho).sum();
    (-reach..=reach).for_each(|e| expected[cell(e)] += rho(e) / total);
    let mut seen = vec![0u32; expected.len()];
    samples.for_each(|e| seen[cell(e)] += 1);
    let count: u32 = seen.iter().sum();
    let cells = expected.iter().zip(&seen).map(|(p, seen)| {
        let expected = p * f64::from(count);
        (f64::from(*seen) - expected).powi(2) / expected
    });
    let freedom = expected.len() as f64 - 1.0;
    (cells.sum::<f64>() - freedom) / (2.0 * freedom).sqrt()
}

const SIGMAS: [f64; 5] = [10.0, 17.3, 64.0, 903.7, 50_000.0];
const COUNT: usize = 1 << 18;

#[test]
fn samples_are_distributed_as_the_closed_form_says() {
    for (seed, sigma) in SIGMAS.into_iter().enumerate() {
        let samples = draw(sigma, COUNT, seed as u64);
        let found = chi_squared(sigma, samples.iter().map(|e| i64::from(*e)));
        assert!(found.abs() < 6.0, "sigma {sigma}: {found}");
        let moment = |power: i32| {
            samples.iter().map(|e| (f64::from(*e) / sigma).powi(power)).sum::<f64>() / COUNT as f64
        };
        let root = (COUNT as f64).sqrt();
        // Six standard deviations of each estimate: E x^2k = 1, 3, 15, 105.
        for (power, expected, variance) in
            [(1, 0.0, 1.0), (2, 1.0, 2.0f64), (3, 0.0, 15.0), (4, 3.0, 96.0)]
        {
            let off = (moment(power) - expected).abs() * root / variance.sqrt();
            assert!(off < 6.0, "sigma {sigma}, moment {power}: {off}");
        }
        let beyond = samples.iter().filter(|e| f64::from(**e).abs() > 4.5 * sigma).count();
        // 1.8 are expected, of a width of ten fewer.
        assert!(beyond < 15, "sigma {sigma}: {beyond} samples beyond 4.5 sigma");
    }
}

#[test]
fn planted_faults_are_found() {
    let mut rng = rng(9);
    for sigma in [17.3, 903.7] {
        let samples = draw(sigma, COUNT, 77);
        let samples = || samples.iter().map(|e| i64::from(*e));
        let narrow = chi_squared(sigma / 0.98, samples());
        assert!(narrow > 8.0, "sigma {sigma}, narrow: {narrow}");
        // One negative sample of thirty-two turned positive.
        let bias = |e: i64| if rng.next_u32().is_multiple_of(32) { e.abs() } else { e };
        let biased = chi_squared(sigma, samples().map(bias));
        assert!(biased > 8.0, "sigma {sigma}, biased signs: {biased}");
    }
    // Every candidate kept: `K x + u` is not smooth.
    let DiscreteGaussian { scale, .. } = DiscreteGaussian::new(64.0).unwrap();
    let mut rough = || {
        let mut x = [rng.next_u64(); 8];
        count_reached(&limits(&HALF, 0), &mut x);
        let y = (x[0] * scale.steps + rng.next_u64() % scale.steps) as i64;
        if rng.next_u32().is_multiple_of(2) { y } else { -y }
    };
    let rough = chi_squared(64.0, (0..COUNT).map(|_| rough()));
    assert!(rough > 8.0, "{rough}");
    // Zero kept with either sign.
    let samples = draw(10.0, COUNT, 78);
    let mut left = samples.iter().filter(|e| **e == 0).count();
    let twice = samples.into_iter().map(|e| {
        let replaced = e != 0 && left > 0;
        left -= usize::from(replaced);
        if replaced { 0 } else { i64::from(e) }
    });
    let twice = chi_squared(10.0, twice);
    assert!(twice > 8.0, "{twice}");
}

/// The exact sampler of Canonne, Kamath and Steinke (2020), in integers only, for a width whose
/// square is the fraction `a / b`. (The `opendp` crate has one as well, with 40 others below it,
/// two random number generators of 2019 among them, and no licence that its manifest names.)
mod exact {
    use super::*;

    fn below(limit: u128, rng: &mut ChaCha20Rng) -> u128 {
        let bits = 128 - (limit - 1).leading_zeros();
        loop {
            let number = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
            let number = number.checked_shr(128 - bits).unwrap_or(0);
            if number < limit {
                return number;
            }
        }
    }

    /// True with the probability `exp(-numerator / denominator)`.
    fn exponential(mut numerator: u128, denominator: u128, rng: &mut ChaCha20Rng) -> bool {
        while numerator > denominator {
            if !exponential(1, 1, rng) {
                return false;
            }
            numerator -= denominator;
        }
        let mut k = 1;
        while below(denominator * k, rng) < numerator {
            k += 1;
        }
        k % 2 == 1
    }

    fn laplace(scale: u128, rng: &mut ChaCha20Rng) -> i128 {
        loop {
            let low = below(scale, rng);
            if !exponential(low, scale, rng) {
                continue;
            }
            let mut high = 0;
            while exponential(1, 1, rng) {
                high += 1;
            }
            let (magnitude, negative) = ((low + scale * high) as i128, below(2, rng) == 1);
            if magnitude != 0 || !negative {
                return if negative { -magnitude } else { magnitude };
            }
        }
    }

    pub(super) fn gaussian(a: u128, b: u128, rng: &mut ChaCha20Rng) -> i64 {
        let scale = (a / b).isqrt() + 1;
        loop {
            let y = laplace(scale, rng);
            let off = y.unsigned_abs() * scale * b;
            let off = off.abs_diff(a);
            if exponential(off * off, 2 * a * b * scale * scale, rng) {
                return y as i64;
            }
        }
    }
}

#[test]
fn samples_are_distributed_as_those_of_an_exact_sampler() {
    let mut rng = rng(4);
    for (a, b) in [(4761, 16), (500 * 500, 1)] {
        let (sigma, count) = ((a as f64 / b as f64).sqrt(), 1 << 17);
        let oracle: Vec<i64> = (0..count).map(|_| exact::gaussian(a, b, &mut rng)).collect();
        let own = draw(sigma, count, 8);
        let closed_form = chi_squared(sigma, oracle.iter().copied());
        assert!(closed_form.abs() < 6.0, "the oracle, sigma {sigma}: {closed_form}");
        // Kolmogorov and Smirnov: the largest distance of the two cumulative distributions.
        let mut all: Vec<(i64, i32)> = oracle.into_iter().map(|e| (e, 1)).collect();
        all.extend(own.into_iter().map(|e| (i64::from(e), -1)));
        all.sort_unstable();
        let (mut off, mut largest) = (0i32, 0);
        for run in all.chunk_by(|a, b| a.0 == b.0) {
            off += run.iter().map(|(_, sign)| sign).sum::<i32>();
            largest = largest.max(off.abs());
        }
        let statistic = f64::from(largest) / (2.0 * count as f64).sqrt();
        // Exceeded with a probability of 2 exp(-2 * 2.5^2), 7e-6.
        assert!(statistic < 2.5, "sigma {sigma}: {statistic}");
    }
}

#[test]
fn widths_that_it_does_not_have_are_refused() {
    for sigma in [9.99, 4_194_304.5, f64::NAN, f64::INFINITY, -20.0, 0.0] {
        let error = DiscreteGaussian::new(sigma).unwrap_err().to_string();
        assert!(error.contains("expected 10 to 4194304"), "{error}");
    }
    assert!(SigmaError(5.0).to_string().contains("take more bits a value"));
    assert!(SigmaError(1e9).to_string().contains("take fewer bits a value"));
    let widest = DiscreteGaussian::new(LARGEST_SIGMA).unwrap();
    assert_eq!(widest.bound(), 41_943_040);
    // The largest square is exact.
    assert!((f64::from(widest.bound()) + 7e6).powi(2) < 2f64.powi(53));
}

#[test]
fn the_distance_grows_with_the_samples_and_is_small() {
    let at =
        |sigma: f64, samples| DiscreteGaussian::new(sigma).unwrap().inexactness(samples).distance();
    // 10^6 values, 100 rounds, 4 survivors.
    assert!((1e-12..1e-10).contains(&at(900.0, 4e8)), "{}", at(900.0, 4e8));
    assert!((1e-10..1e-9).contains(&at(20.0, 4e8)), "{}", at(20.0, 4e8));
    assert!(at(900.0, 8e8) > at(900.0, 4e8));
    assert_eq!(at(900.0, f64::INFINITY), 1.0);
}
