//! Hospitals' scanners, simulated: what one of other slices, noise, contrast and resolution would
//! have made of the images.
//!
//! In the manner of PPPML-HMI (Zhou et al., arXiv 2302.11571), which trains hospitals that differ
//! by their devices and settings; the ranges are this file's. A mask stays that of its slice: the
//! patient is the same.

mod volumes;

use std::collections::BTreeSet;

use rand::{Rng, RngExt};

use self::volumes::volumes;
use super::chance::rng;
use super::dataset::{Sample, SiteData};
use super::detector::detect;
use super::error::DataError;

/// How a site's scanner makes images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scanner {
    /// Neighbouring slices of a volume averaged into each, an odd number; 1 leaves them thin.
    /// Neighbours are a file's slices, or a group's images called alike but for their last number.
    pub slices: usize,
    /// Standard deviation of the detector's Gaussian noise, in grey values (black 0, white 1).
    pub noise: f32,
    /// Exponent of the grey curve, `grey^gamma`: above 1 darker, below 1 brighter.
    pub gamma: f32,
    /// Slope of the linear window, `1/2 + contrast * (grey - 1/2)`, cut to `[0, 1]`.
    pub contrast: f32,
    /// Pixels along a side of the detector's grid for one of the image, at most 1.
    pub resolution: f32,
}

/// Slices averaged at most.
const MOST_SLICES: usize = 5;
/// Noise at most: 90 HU in the usual lung window of 1500 HU, a low-dose scan.
const MOST_NOISE: f32 = 0.06;
/// Powers of two by which gamma and contrast go up or down at most: gamma 0.66 to 1.52, contrast
/// 0.76 to 1.32. Beyond that an image is badly exported rather than another scanner's.
const MOST_GAMMA: f32 = 0.6;
const MOST_CONTRAST: f32 = 0.4;
/// Powers of two by which the grid is coarser at most: half the pixels along a side.
const MOST_BLUR: f32 = 1.0;
/// The largest strength: beyond what scanners differ by, to see at which differences methods part.
pub(crate) const MOST_STRENGTH: f32 = 3.0;

impl Scanner {
    /// The scanner that leaves images as they are.
    pub const PLAIN: Self =
        Self { slices: 1, noise: 0.0, gamma: 1.0, contrast: 1.0, resolution: 1.0 };

    /// The scanner of the site at `position` (from 0) among a study's sites.
    ///
    /// At strength 1: 1, 3 or 5 slices, in turn from site to site; noise 0 to 0.06; gamma
    /// `2^-0.6` to `2^0.6`; contrast `2^-0.4` to `2^0.4`; resolution 1/2 to 1, uniform in its
    /// logarithm. Another strength, up to 3, narrows or widens all ranges in proportion, those of
    /// gamma, contrast and resolution by their logarithm; 0 is [`Scanner::PLAIN`] everywhere.
    #[must_use]
    pub fn of_site(seed: u64, position: usize, strength: f32) -> Self {
        let strength = strength.clamp(0.0, MOST_STRENGTH);
        // The generators' labels say `device`, as published divisions were drawn.
        let turn: usize = rng(seed, "device", "turn").random_range(0..3);
        let level = (position % 3 + turn) % 3;
        let beside = (strength * level as f32).round() as usize;
        let drawn = Self::drawn(strength, &mut rng(seed, "device", &position.to_string()));
        Self { slices: (1 + 2 * beside).min(MOST_SLICES), ..drawn }
    }

    /// A scanner of thin slices by chance, in the ranges of [`Scanner::of_site`].
    pub(crate) fn drawn(strength: f32, rng: &mut impl Rng) -> Self {
        let mut drawn = |low: f32, high: f32| strength * rng.random_range(low..=high);
        Self {
            slices: 1,
            noise: drawn(0.0, MOST_NOISE),
            gamma: drawn(-MOST_GAMMA, MOST_GAMMA).exp2(),
            contrast: drawn(-MOST_CONTRAST, MOST_CONTRAST).exp2(),
            resolution: drawn(-MOST_BLUR, 0.0).exp2(),
        }
    }

    /// What this scanner makes of a square image of `side * side` pixels: of each channel of a
    /// colour image alike, with noise of its own.
    pub(crate) fn seen(&self, image: &[f32], side: usize, rng: &mut impl Rng) -> Vec<f32> {
        let channels = image.chunks_exact((side * side).max(1));
        let mut seen: Vec<f32> = channels
            .flat_map(|channel| detect(channel, side, self.resolution, self.noise, &mut *rng))
            .collect();
        seen.iter_mut().for_each(|grey| *grey = self.shown(*grey));
        seen
    }

    /// Makes the images of one site anew; `seed` and the samples' names fix the noise.
    ///
    /// # Errors
    /// [`DataError::Option`] when a property is out of its range, [`DataError::Square`] when an
    /// image is not square.
    pub fn apply(&self, site: &mut SiteData, seed: u64) -> Result<(), DataError> {
        for samples in [&mut site.train, &mut site.validation, &mut site.test] {
            self.apply_to(samples, &site.site, seed)?;
        }
        Ok(())
    }

    /// Makes the images of one split anew.
    pub(super) fn apply_to(
        &self,
        samples: &mut [Sample],
        site: &str,
        seed: u64,
    ) -> Result<(), DataError> {
        self.check()?;
        if *self == Self::PLAIN {
            return Ok(());
        }
        let thin: Vec<Vec<f32>> = samples.iter().map(|sample| sample.image.clone()).collect();
        let places = samples.iter().map(|sample| (sample.group.clone(), sample.name.clone()));
        for volume in volumes(places) {
            for (at, &index) in volume.iter().enumerate() {
                let slab = volume.get(around(at, self.slices, volume.len())).unwrap_or_default();
                let slab: Vec<&[f32]> =
                    slab.iter().filter_map(|index| thin.get(*index)).map(Vec::as_slice).collect();
                let Some(sample) = samples.get_mut(index) else { continue };
                let values = sample.image.len();
                let (channels, side) = sample.shape().unwrap_or((1, values.isqrt()));
                let sizes = || slab.iter().map(|slice| slice.len()).chain([values]);
                let wrong = |size: &usize| side == 0 || *size != channels * side * side;
                if let Some(found) = sizes().find(wrong) {
                    return Err(DataError::Square { sample: sample.name.clone(), side, found });
                }
                let mut rng = rng(seed, "device noise", &format!("{site}/{}", sample.name));
                sample.image = self.seen(&mean(&slab), side, &mut rng);
            }
        }
        Ok(())
    }

    /// Which of `all` must be read so that `kept` can be made: these and the slices that are
    /// averaged with them. `place` gives an index's group and name.
    pub(super) fn needs(
        &self,
        all: &[usize],
        kept: &[usize],
        place: impl Fn(usize) -> (String, String),
    ) -> Vec<usize> {
        let kept: BTreeSet<usize> = kept.iter().copied().collect();
        let mut needed = kept.clone();
        for volume in volumes(all.iter().map(|index| place(*index))) {
            let volume: Vec<usize> =
                volume.into_iter().filter_map(|at| all.get(at).copied()).collect();
            for (at, index) in volume.iter().enumerate() {
                if kept.contains(index) {
                    needed.extend(&volume[around(at, self.slices, volume.len())]);
                }
            }
        }
        needed.into_iter().collect()
    }

    /// A grey value in this scanner's window and curve.
    fn shown(&self, grey: f32) -> f32 {
        let window = (0.5 + self.contrast * (grey - 0.5)).clamp(0.0, 1.0);
        window.powf(self.gamma)
    }

    fn check(&self) -> Result<(), DataError> {
        let refuse =
            |option, expected, found: String| Err(DataError::Option { option, expected, found });
        let positive = |value: f32| value.is_finite() && value > 0.0;
        if self.slices.is_multiple_of(2) {
            return refuse("slices", "an odd number of slices", self.slices.to_string());
        }
        if !(self.noise.is_finite() && self.noise >= 0.0) {
            return refuse("noise", "a standard deviation from 0", self.noise.to_string());
        }
        if !positive(self.gamma) || !positive(self.contrast) {
            let found = format!("{} and {}", self.gamma, self.contrast);
            return refuse("gamma and contrast", "positive numbers", found);
        }
        if !(positive(self.resolution) && self.resolution <= 1.0) {
            return refuse("resolution", "above 0 up to 1", self.resolution.to_string());
        }
        Ok(())
    }
}

/// The mean of images of one size.
fn mean(slab: &[&[f32]]) -> Vec<f32> {
    let mut sum = vec![0.0; slab.first().map_or(0, |slice| slice.len())];
    for slice in slab {
        sum.iter_mut().zip(*slice).for_each(|(sum, value)| *sum += value);
    }
    sum.iter().map(|sum| sum / slab.len() as f32).collect()
}

/// The slices averaged into the one at `at`: half of them on either side, fewer at a volume's ends.
fn around(at: usize, slices: usize, len: usize) -> std::ops::Range<usize> {
    at.saturating_sub(slices / 2)..(at + slices / 2 + 1).min(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(group: &str, name: &str, grey: f32) -> Sample {
        Sample {
            name: name.into(),
            group: group.into(),
            image: vec![grey; 64 * 64],
            label: Some(1),
            mask: Some(vec![1.0; 64 * 64]),
            own_mask: None,
        }
    }

    fn made(scanner: Scanner, mut samples: Vec<Sample>) -> Vec<Sample> {
        scanner.apply_to(&mut samples, "site", 1).unwrap();
        samples
    }

    #[test]
    fn slices_are_averaged_with_their_volumes_neighbours_in_natural_order() {
        // Number 10 comes after 9 whatever the alphabet says; `q` and another file stay apart.
        let names = ["v#10", "v#8", "v#9", "w#11"];
        let mut samples: Vec<Sample> =
            names.iter().zip([0.9, 0.1, 0.2, 0.7]).map(|(n, grey)| sample("p", n, grey)).collect();
        samples.push(sample("q", "v#11", 0.5));
        let three = Scanner { slices: 3, ..Scanner::PLAIN };
        let made = made(three, samples.clone());
        let close = |index: usize, grey: f32| {
            assert!(made[index].image.iter().all(|v| (v - grey).abs() < 1e-6), "{index}");
            assert_eq!((made[index].label, &made[index].mask), (Some(1), &samples[index].mask));
        };
        close(0, 0.55); // the last: itself and 9
        close(1, 0.15); // the first: itself and 9
        close(2, 0.4); // 8, 9 and 10
        close(3, 0.7);
        close(4, 0.5);
        let place = |index: usize| {
            let sample: &Sample = &samples[index];
            (sample.group.clone(), sample.name.clone())
        };
        assert_eq!(three.needs(&[0, 1, 2, 3, 4], &[0, 4], place), [0, 2, 4]);
        assert_eq!(Scanner::PLAIN.needs(&[0, 1, 2, 3, 4], &[0, 4], place), [0, 4]);
    }

    #[test]
    fn noise_has_its_variance_and_resolution_its_blur() {
        let noisy = Scanner { noise: 0.05, ..Scanner::PLAIN };
        let image = &made(noisy, vec![sample("p", "a", 0.5)])[0].image;
        let count = image.len() as f64;
        let mean = image.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let variance = image.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
        // Four standard errors: sd / sqrt(n) of the mean, sqrt(2 / n) of the variance, relatively.
        assert!((mean - 0.5).abs() < 4.0 * 0.05 / count.sqrt(), "{mean}");
        assert!((variance / 0.0025 - 1.0).abs() < 4.0 * (2.0 / count).sqrt(), "{variance}");
        // Columns of 0 and 1 are all 1/2 on a grid of half as many, and stay so.
        let mut stripes = sample("p", "a", 0.0);
        stripes.image.iter_mut().enumerate().for_each(|(i, v)| *v = f32::from(i % 2 == 1));
        let half = Scanner { resolution: 0.5, ..Scanner::PLAIN };
        assert!(made(half, vec![stripes])[0].image.iter().all(|v| (v - 0.5).abs() < 1e-6));
    }

    #[test]
    fn gamma_and_contrast_are_their_formulas() {
        let grey = |scanner, grey| made(scanner, vec![sample("p", "a", grey)])[0].image[0];
        let gamma = Scanner { gamma: 2.0, ..Scanner::PLAIN };
        assert!((grey(gamma, 0.3) - 0.09).abs() < 1e-6);
        let steep = Scanner { contrast: 2.0, ..Scanner::PLAIN };
        assert!((grey(steep, 0.6) - 0.7).abs() < 1e-6);
        assert_eq!((grey(steep, 0.1), grey(steep, 0.9)), (0.0, 1.0));
        let both = Scanner { contrast: 2.0, gamma: 2.0, ..Scanner::PLAIN };
        assert!((grey(both, 0.6) - 0.49).abs() < 1e-6);
    }

    #[test]
    fn each_channel_is_seen_alike_with_noise_of_its_own() {
        let mut colour = sample("p", "a", 0.5);
        colour.image = [[0.2; 4096], [0.5; 4096], [0.9; 4096]].concat();
        let gamma = Scanner { gamma: 2.0, resolution: 0.5, ..Scanner::PLAIN };
        let seen = &made(gamma, vec![colour.clone()])[0].image;
        for (channel, value) in seen.chunks_exact(4096).zip([0.04, 0.25, 0.81]) {
            assert!(channel.iter().all(|seen| (seen - value).abs() < 1e-6), "{value}");
        }
        let noisy = Scanner { noise: 0.02, ..Scanner::PLAIN };
        let seen = &made(noisy, vec![colour])[0].image;
        let noise = |channel: usize, value: f32| seen[channel * 4096] - value;
        assert!((noise(0, 0.2) - noise(1, 0.5)).abs() > 1e-6);
        assert!(seen.len() == 3 * 4096 && noise(2, 0.9) != 0.0);
    }

    #[test]
    fn sites_differ_within_the_documented_ranges_and_strength_scales_them() {
        let scanners: Vec<Scanner> = (0..60).map(|site| Scanner::of_site(1, site, 1.0)).collect();
        for (site, scanner) in scanners.iter().enumerate() {
            assert_eq!(*scanner, Scanner::of_site(1, site, 1.0));
            assert_ne!(*scanner, Scanner::of_site(2, site, 1.0));
            assert!([1, 3, 5].contains(&scanner.slices));
            assert!((0.0..=0.06).contains(&scanner.noise));
            assert!((0.659..1.516).contains(&scanner.gamma));
            assert!((0.757..1.32).contains(&scanner.contrast));
            assert!((0.5..=1.0).contains(&scanner.resolution));
            assert!(scanners.iter().filter(|other| *other == scanner).count() == 1);
            let weak = Scanner::of_site(1, site, 0.5);
            assert!((weak.noise - scanner.noise / 2.0).abs() < 1e-6);
            assert!((weak.gamma.powi(2) - scanner.gamma).abs() < 1e-4);
            assert!(weak.slices <= scanner.slices.min(3));
            assert_eq!(Scanner::of_site(1, site, 0.0), Scanner::PLAIN);
        }
        // Any three sites in a row have the three thicknesses.
        for three in scanners.windows(3) {
            let slices: BTreeSet<usize> = three.iter().map(|scanner| scanner.slices).collect();
            assert_eq!(slices.len(), 3);
        }
    }

    #[test]
    fn impossible_scanners_and_images_are_refused() {
        for bad in [
            Scanner { slices: 2, ..Scanner::PLAIN },
            Scanner { noise: -1.0, ..Scanner::PLAIN },
            Scanner { gamma: 0.0, ..Scanner::PLAIN },
            Scanner { contrast: f32::NAN, ..Scanner::PLAIN },
            Scanner { resolution: 1.5, ..Scanner::PLAIN },
        ] {
            let mut samples = [sample("p", "a", 0.5)];
            let error = bad.apply_to(&mut samples, "site", 1).unwrap_err();
            assert!(matches!(error, DataError::Option { .. }), "{bad:?}: {error}");
        }
        let mut samples = [sample("p", "a", 0.5)];
        samples[0].image.pop();
        let gamma = Scanner { gamma: 2.0, ..Scanner::PLAIN };
        let error = gamma.apply_to(&mut samples, "site", 1).unwrap_err().to_string();
        assert!(error.contains("sample `a`"), "{error}");
    }
}
