//! Gaussian noise on a sum.

use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::chance::generator;
use crate::train::derivation::Key;

/// Values that one stream of the generator serves: fixed, so that the noise does not depend on how
/// many threads there are.
const STREAM: usize = 1 << 14;

/// `(sum + noise) / normaliser` for each value, the noise normal with this deviation.
///
/// A normal number made in floating point has gaps from which the sum beneath it can be told
/// (Mironov 2012). Each is therefore the sum of four over two, in doubles, so that reaching a given
/// result in one way only is as good as impossible (Holohan and Braghin, "Secure Random Sampling in
/// Differential Privacy", 2021; Opacus' secure mode does the same), and the result is rounded to 32
/// bits, which keeps 24 of its 53 bits.
pub(super) fn noised(sum: &[f32], key: &Key, deviation: f64, normaliser: f64) -> Vec<f32> {
    let mut noised = vec![0.0; sum.len()];
    let streams = noised.par_chunks_mut(STREAM).zip(sum.par_chunks(STREAM)).enumerate();
    streams.for_each(|(stream, (noised, sum))| {
        let mut rng = generator(key);
        rng.set_stream(stream as u64);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        for (noised, value) in noised.iter_mut().zip(sum) {
            let standard = (normal() + normal() + normal() + normal()) / 2.0;
            *noised = ((f64::from(*value) + deviation * standard) / normaliser) as f32;
        }
    });
    noised
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_normal_with_the_deviation_and_differs_between_streams_and_keys() {
        let key = |byte: u8| Key::new([byte; 32]);
        let sum = vec![5.0; 3 * STREAM + 7];
        let values = noised(&sum, &key(1), 0.5, 2.0);
        let standard: Vec<f64> =
            values.iter().map(|value| (f64::from(*value) * 2.0 - 5.0) / 0.5).collect();
        let count = standard.len() as f64;
        let moment = |power: i32| standard.iter().map(|z| z.powi(power)).sum::<f64>() / count;
        // Four standard errors of 49,159: sqrt(1, 2, 96 / n) = 0.0045, 0.0064, 0.044.
        assert!(moment(1).abs() < 0.018, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.026, "{}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.18, "{}", moment(4));
        let beyond = standard.iter().filter(|z| z.abs() > 1.959_964).count() as f64 / count;
        assert!((beyond - 0.05).abs() < 0.004, "{beyond}");
        assert_ne!(values[..7], values[STREAM..STREAM + 7]);
        assert_eq!(values, noised(&sum, &key(1), 0.5, 2.0));
        assert_ne!(values[..7], noised(&sum[..7], &key(2), 0.5, 2.0));
    }
}
