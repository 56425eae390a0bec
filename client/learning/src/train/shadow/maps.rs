//! The defence's maps, each from the one before: a value for each pixel, row-major.

/// Divisor of every softmax.
const TEMPERATURE: f64 = 20.0;
/// What of the mask is the new one.
const MOMENTUM: f64 = 0.1;
/// Bins of the histogram.
const BINS: usize = 256;
/// The highest level of an 8-bit image.
pub(super) const TOP_LEVEL: f64 = 255.0;
/// Share of the pixels that count as diagnostic.
const DIAGNOSTIC: f64 = 0.3;
/// How much less these get at least and at most.
const LEAST_SHARE: f64 = 0.1;
const MOST_SHARE: f64 = 0.5;
/// The amplitude before the first round, as a share of the image's largest value.
const AMPLITUDE: f64 = 0.19;

/// Square error of each pixel, the mean over the channels: `one` and `other` have `pixels` values of
/// each channel, one channel after the other.
#[must_use]
pub fn square_errors(one: &[f32], other: &[f32], pixels: usize) -> Vec<f64> {
    let channels = (one.len() / pixels.max(1)).max(1) as f64;
    let mut errors = vec![0.0; pixels];
    for (one, other) in one.chunks_exact(pixels.max(1)).zip(other.chunks_exact(pixels.max(1))) {
        for (error, (a, b)) in errors.iter_mut().zip(one.iter().zip(other)) {
            *error += (f64::from(*a) - f64::from(*b)).powi(2) / channels;
        }
    }
    errors
}

/// `softmax(values / 20)`: positive, and together 1.
#[must_use]
pub fn softmax(values: &[f64]) -> Vec<f64> {
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = values.iter().map(|v| ((v - most) / TEMPERATURE).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}

/// The mask with momentum: a tenth of the new one and nine tenths of the one before; the new one
/// where there is none before.
#[must_use]
pub fn with_momentum(new: &[f64], before: Option<&[f64]>) -> Vec<f64> {
    match before {
        None => new.to_vec(),
        Some(before) => {
            let both = new.iter().zip(before);
            both.map(|(new, before)| MOMENTUM * new + (1.0 - MOMENTUM) * before).collect()
        }
    }
}

/// Histogram equalisation: values become levels from 0 to 255, as evenly as a histogram of 256 bins
/// between the least and the largest value tells them apart. A value's level is the share of values
/// in its bin or below it, without the lowest bin's own: `255 (c(v) - c(0)) / (1 - c(0))`. Where all
/// values are equal, all levels are 0.
#[must_use]
pub fn equalised(values: &[f64]) -> Vec<f64> {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let wide = (most - least).max(f64::MIN_POSITIVE);
    let bin = |value: f64| (((value - least) / wide * BINS as f64) as usize).min(BINS - 1);
    let mut below = vec![0_usize; BINS];
    values.iter().for_each(|value| below[bin(*value)] += 1);
    let mut sum = 0;
    for count in &mut below {
        sum += *count;
        *count = sum;
    }
    let lowest = below.first().copied().unwrap_or(0);
    let others = values.len().saturating_sub(lowest).max(1) as f64;
    let level = |value: &f64| TOP_LEVEL * (below[bin(*value)] - lowest) as f64 / others;
    values.iter().map(level).collect()
}

/// Where the image is at risk: `softmax(histeq(1 / mask) / 20)`.
#[must_use]
pub fn risk(mask: &[f64]) -> Vec<f64> {
    let inverse: Vec<f64> = mask.iter().map(|m| 1.0 / m.max(f64::MIN_POSITIVE)).collect();
    softmax(&equalised(&inverse))
}

/// Where the diagnosis is, for levels of Grad-CAM++ from 0 to 255: `softmax(levels / 20)` over the
/// 30 % of the pixels with the highest levels, the first of equals, and 0 elsewhere. A map without
/// any level above 0 says nothing: all is 0.
#[must_use]
pub fn diagnostic(levels: &[f64]) -> Vec<f64> {
    let mut map = vec![0.0; levels.len()];
    if levels.iter().all(|level| *level <= 0.0) {
        return map;
    }
    let mut order: Vec<usize> = (0..levels.len()).collect();
    order.sort_by(|a, b| levels[*b].total_cmp(&levels[*a]));
    order.truncate((DIAGNOSTIC * levels.len() as f64).round() as usize);
    let top: Vec<f64> = order.iter().map(|place| levels[*place]).collect();
    for (place, share) in order.iter().zip(softmax(&top)) {
        map[*place] = share;
    }
    map
}

/// How much less noise the diagnostic pixels get: `clip(round / rounds, 0.1, 0.5)`.
#[must_use]
pub fn share(round: u32, rounds: u32) -> f64 {
    progress(round, rounds).clamp(LEAST_SHARE, MOST_SHARE)
}

/// `s - share sign(s) c`, with `s` and `c` divided by their largest absolute values.
#[must_use]
pub fn noise(risk: &[f64], diagnostic: &[f64], share: f64) -> Vec<f64> {
    let (risk, diagnostic) = (to_peak(risk, 1.0), to_peak(diagnostic, 1.0));
    let sign = |value: f64| if value == 0.0 { 0.0 } else { value.signum() };
    risk.iter().zip(diagnostic).map(|(s, c)| s - share * sign(*s) * c).collect()
}

/// `0.19 exp(round / rounds) most`, `most` the image's largest value: the noise's largest absolute
/// value.
#[must_use]
pub fn amplitude(round: u32, rounds: u32, most: f64) -> f64 {
    AMPLITUDE * progress(round, rounds).exp() * most
}

/// The map, scaled so that its largest absolute value is this; zeros stay zeros.
#[must_use]
pub fn to_peak(map: &[f64], peak: f64) -> Vec<f64> {
    let most = map.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    let factor = if most > 0.0 { peak / most } else { 0.0 };
    map.iter().map(|value| value * factor).collect()
}

/// `image + noise`, the same noise on each channel.
#[must_use]
pub fn added(image: &[f32], noise: &[f64]) -> Vec<f32> {
    let noise = noise.iter().cycle();
    image.iter().zip(noise).map(|(x, n)| (f64::from(*x) + n) as f32).collect()
}

fn progress(round: u32, rounds: u32) -> f64 {
    f64::from(round) / f64::from(rounds.max(1))
}
