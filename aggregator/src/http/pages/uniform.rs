//! Whether bytes are uniform: their histogram, the chi-square test against it, and a picture of them.

use std::fmt::Write as _;

use maud::{Markup, html};

/// Degrees of freedom: 256 values whose counts have a given sum.
const FREEDOM: f64 = 255.0;

/// Fewest bytes of which the statistic has about its distribution: 5 of each value.
const FEWEST: u64 = 5 * 256;

/// Pixels of a row of the picture.
const WIDTH: usize = 256;

/// What the test finds of some bytes.
#[derive(Clone, Debug)]
pub(super) struct Uniformity {
    counts: [u64; 256],
    total: u64,
    /// Pearson's statistic.
    pub(super) statistic: f64,
    /// How likely it is at least as large for uniform bytes.
    pub(super) p: f64,
}

impl Uniformity {
    /// Of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut counts = [0u64; 256];
        for byte in bytes {
            if let Some(count) = counts.get_mut(usize::from(*byte)) {
                *count += 1;
            }
        }
        let total = bytes.len() as u64;
        let expected = total as f64 / 256.0;
        let statistic = match total {
            0 => 0.0,
            _ => counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum(),
        };
        Self { counts, total, statistic, p: tail(statistic) }
    }

    /// How often each value is expected.
    pub(super) fn expected(&self) -> f64 {
        self.total as f64 / 256.0
    }

    /// Whether there are enough bytes for the test.
    pub(super) fn is_valid(&self) -> bool {
        self.total >= FEWEST
    }

    /// How often the most frequent value occurs.
    pub(super) fn most(&self) -> u64 {
        self.counts.iter().copied().max().unwrap_or_default()
    }

    /// How often the rarest value occurs.
    pub(super) fn least(&self) -> u64 {
        self.counts.iter().copied().min().unwrap_or_default()
    }

    /// The p-value as it is read.
    pub(super) fn p_in_words(&self) -> String {
        match self.p {
            p if p < 1e-6 => "less than 0.000001".to_owned(),
            p if p < 0.001 => format!("{p:.6}"),
            p => format!("{p:.3}"),
        }
    }
}

/// The probability that chi-square with 255 degrees of freedom is at least `x`.
///
/// For an odd number `k` of degrees of freedom it is a finite sum (Abramowitz and Stegun, 26.4.4):
/// `erfc(sqrt(x/2)) + e^(-x/2) sum (x/2)^(j - 1/2) / Gamma(j + 1/2)` over `j = 1 .. (k - 1)/2`.
fn tail(x: f64) -> f64 {
    let half = x / 2.0;
    if half <= 0.0 {
        return 1.0;
    }
    // The first term, by Gamma(3/2) = sqrt(pi)/2; each next one is x/2 / (j + 1/2) times the last. In
    // logarithms: e^(-x/2) is 0 where the sum is large.
    let mut logarithm = 0.5 * half.ln() - half - (std::f64::consts::PI.sqrt() / 2.0).ln();
    let mut sum = libm::erfc(half.sqrt());
    let mut j = 1.0;
    while j <= (FREEDOM - 1.0) / 2.0 {
        sum += logarithm.exp();
        logarithm += half.ln() - (j + 0.5).ln();
        j += 1.0;
    }
    sum.clamp(0.0, 1.0)
}

/// The histogram, with the band in which uniform bytes stay.
pub(super) fn histogram(found: &Uniformity) -> Markup {
    let expected = found.expected();
    let deviation = expected.sqrt();
    let top = (found.most() as f64).max(expected + 4.0 * deviation).max(1.0);
    let height = |count: f64| 140.0 * (count / top).clamp(0.0, 1.0);
    let line = |count: f64| format!("M0 {:.2}H256", 140.0 - height(count));
    let mut bars = String::new();
    for (value, count) in found.counts.iter().enumerate() {
        let tall = height(*count as f64);
        // Writing to a string cannot fail.
        let _ = write!(bars, "M{value} 140v{:.2}h1v{tall:.2}z", -tall);
    }
    html! {
        svg.histogram viewBox="0 0 256 152" role="img" aria-labelledby="histogram-title histogram-text" {
            title #histogram-title { "Histogram of byte values" }
            desc #histogram-text {
                "Each of 256 byte values occurs between " (found.least()) " and " (found.most())
                " times; uniform bytes give " (format!("{expected:.1}")) " of each."
            }
            path.bars d=(bars) {}
            path.expected d=(line(expected)) {}
            @for side in [-3.0, 3.0] { path.bound d=(line(expected + side * deviation)) {} }
            path.axis d="M0 140.25H256" {}
            text x="0" y="149" { "0" }
            text x="128" y="149" text-anchor="middle" { "byte value" }
            text x="256" y="149" text-anchor="end" { "255" }
        }
    }
}

/// The bytes as a picture: one pixel each, in rows of 256, as many rows as are full.
///
/// # Errors
/// The encoder's, which writes to memory.
pub(super) fn picture(bytes: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let rows = (bytes.len() / WIDTH).max(1);
    let mut pixels = bytes.get(..rows * WIDTH).unwrap_or(bytes).to_vec();
    // A body of less than a row: the rest of it is white.
    pixels.resize(rows * WIDTH, 255);
    let mut out = Vec::new();
    let height = u32::try_from(rows).unwrap_or(u32::MAX);
    let mut encoder = png::Encoder::new(&mut out, WIDTH as u32, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    // Noise gets no smaller.
    encoder.set_compression(png::Compression::NoCompression);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_that_of_tables() {
        for (x, p) in TABLE {
            assert!((tail(x) - p).abs() < 1e-9 * p.max(1e-3), "{x}: {} {p}", tail(x));
        }
        assert_eq!((tail(0.0), tail(1e9)), (1.0, 0.0));
    }

    /// Regularised upper incomplete gamma functions Q(255/2, x/2), by mpmath with 40 digits.
    const TABLE: [(f64, f64); 7] = [
        (100.0, 1.0),
        (200.5, 0.995065464575416),
        (255.0, 0.488222521770406),
        (293.2478350807, 0.0500000000000048),
        (310.4573882199, 0.010000000000006),
        (400.0, 1.66000252441245e-8),
        (600.0, 7.53197375227867e-30),
    ];

    /// A generator whose bytes are uniform.
    fn uniform(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn uniform_bytes_pass_and_numbers_do_not() {
        let found = Uniformity::of(&uniform(65_536));
        assert!(
            found.is_valid() && found.p > 0.001 && found.p < 0.999,
            "{} {}",
            found.statistic,
            found.p
        );
        // What an update is that nobody has encrypted.
        let plain: Vec<u8> =
            (0..16_384u32).flat_map(|k| ((k as f32 * 0.37).sin() * 0.01).to_le_bytes()).collect();
        assert!(Uniformity::of(&plain).p < 1e-9);
        // A cipher's words whose highest bits are always 0.
        let narrow: Vec<u8> = uniform(65_536)
            .chunks(8)
            .flat_map(|word| {
                let mut word = word.to_vec();
                word[7] &= 0x1f;
                word
            })
            .collect();
        assert!(Uniformity::of(&narrow).p < 1e-9);
        assert!(!Uniformity::of(&uniform(1279)).is_valid());
        assert_eq!(Uniformity::of(&[]).p, 1.0);
    }

    #[test]
    fn the_picture_is_the_bytes() {
        let bytes = uniform(65_536);
        let read = |picture: &[u8]| {
            let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            ((info.width, info.height), pixels)
        };
        assert_eq!(read(&picture(&bytes).unwrap()), ((256, 256), bytes.clone()));
        assert_eq!(read(&picture(&bytes[..600]).unwrap()), ((256, 2), bytes[..512].to_vec()));
        let ((256, 1), pixels) = read(&picture(&bytes[..10]).unwrap()) else { panic!() };
        assert_eq!((&pixels[..10], &pixels[10..]), (&bytes[..10], &[255; 246][..]));
    }
}
