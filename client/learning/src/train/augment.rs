//! Training images, changed anew each time they are seen, so that few of them say more.

use std::f32::consts::PI;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::data::dataset::Sample;
use crate::data::detector::bilinear;
use crate::data::scanner::{MOST_STRENGTH, Scanner};
use crate::error::LearnError;

/// How a training image may differ from the one on disk, each time by chance.
///
/// The kinds of change are those of nnU-Net (Isensee et al., 2021); the ranges are this file's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Augmentation {
    /// Mirrored left to right with probability one half.
    pub flip: bool,
    /// Strength of turning, scaling and moving, the mask with the image: at 1 up to 15 degrees, by
    /// `2^-0.3` to `2^0.3`, and by a tenth of the side. 0 leaves the geometry alone.
    pub geometry: f32,
    /// Strength of another scanner's noise, grey curve, contrast and resolution, in the ranges of
    /// [`Scanner::of_site`]. 0 leaves the grey values alone.
    pub intensity: f32,
}

/// As it stands in a plan: earlier plans say `flip` and whether, and nothing else.
#[derive(Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected an augmentation of `flip`, `geometry` and `intensity`"
)]
enum Written {
    Flip(bool),
    All { flip: bool, geometry: f32, intensity: f32 },
}

impl From<Written> for Augmentation {
    fn from(written: Written) -> Self {
        match written {
            Written::Flip(flip) => Self { flip, ..Self::default() },
            Written::All { flip, geometry, intensity } => Self { flip, geometry, intensity },
        }
    }
}

/// Turn at most, in radians.
const MOST_TURN: f32 = 15.0 * PI / 180.0;
/// Power of two by which an image is scaled at most: 0.81 to 1.23.
const MOST_SCALE: f32 = 0.3;
/// Move at most, as a share of the side.
const MOST_MOVE: f32 = 0.1;

impl Augmentation {
    /// Mirroring alone.
    pub const FLIP: Self = Self { flip: true, geometry: 0.0, intensity: 0.0 };

    /// A sample as it is seen this time.
    pub(super) fn apply(&self, sample: &Sample, rng: &mut impl Rng) -> Sample {
        let mut sample = sample.clone();
        let side = sample.shape().map_or(0, |(_, side)| side);
        if self.flip && rng.random_bool(0.5) {
            mirror(&mut sample.image, side);
            sample.mask.iter_mut().for_each(|mask| mirror(mask, side));
        }
        if self.geometry > 0.0 {
            let moved = Placement::drawn(self.geometry, side, rng);
            sample.image = moved.of(&sample.image, side);
            if let Some(mask) = &mut sample.mask {
                *mask = moved.of(mask, side);
                // Between a pixel inside and one outside, the nearer of them decides.
                mask.iter_mut().for_each(|value| *value = f32::from(*value >= 0.5));
            }
        }
        if self.intensity > 0.0 {
            sample.image = Scanner::drawn(self.intensity, rng).seen(&sample.image, side, rng);
        }
        sample
    }

    pub(super) fn check(&self) -> Result<(), LearnError> {
        let strengths = [("geometry", self.geometry), ("intensity", self.intensity)];
        for (option, strength) in strengths {
            if !(0.0..=MOST_STRENGTH).contains(&strength) {
                let expected = "a strength from 0 to 3";
                return Err(LearnError::Option { option, expected, found: strength.to_string() });
            }
        }
        Ok(())
    }
}

fn mirror(image: &mut [f32], side: usize) {
    image.chunks_exact_mut(side.max(1)).for_each(<[f32]>::reverse);
}

/// From a pixel of the new image to its place in the old one: turn and scale about the middle, then
/// a move, all in pixels.
#[derive(Clone, Copy, Debug)]
struct Placement {
    cos: f32,
    sin: f32,
    right: f32,
    down: f32,
}

impl Placement {
    fn drawn(strength: f32, side: usize, rng: &mut impl Rng) -> Self {
        let mut drawn = |most: f32| strength * rng.random_range(-most..=most);
        let (turn, scale) = (drawn(MOST_TURN), drawn(MOST_SCALE).exp2());
        let (right, down) = (drawn(MOST_MOVE), drawn(MOST_MOVE));
        let side = side as f32;
        Self {
            cos: scale * turn.cos(),
            sin: scale * turn.sin(),
            right: right * side,
            down: down * side,
        }
    }

    /// The image in its new place, each of its channels.
    fn of(&self, image: &[f32], side: usize) -> Vec<f32> {
        let middle = (side as f32 - 1.0) / 2.0;
        let pixel = |channel: &[f32], index: usize| {
            let (dx, dy) = ((index % side) as f32 - middle, (index / side) as f32 - middle);
            let x = self.cos * dx - self.sin * dy + middle + self.right;
            let y = self.sin * dx + self.cos * dy + middle + self.down;
            bilinear(channel, side, x, y)
        };
        let channels = image.chunks_exact((side * side).max(1));
        channels
            .flat_map(|channel| (0..side * side).map(move |index| pixel(channel, index)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::ChaCha20Rng;

    use super::*;
    use crate::{TaskName, TrainOptions};

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(5)
    }

    /// A bright disc off the middle, and itself as the mask.
    fn disc(side: usize) -> Sample {
        let inside = |i: usize| {
            let (x, y) = ((i % side) as f32, (i / side) as f32);
            let middle = side as f32 / 2.0;
            f32::from((x - middle - 4.0).powi(2) + (y - middle).powi(2) < 64.0)
        };
        let image: Vec<f32> = (0..side * side).map(inside).collect();
        let (name, group) = ("a".to_owned(), "p".to_owned());
        let mask = Some(image.clone());
        Sample { name, group, mask, image, label: Some(1), own_mask: None }
    }

    #[test]
    fn moves_and_quarter_turns_are_exact() {
        let image: Vec<f32> = (0..25_u8).map(f32::from).collect();
        let still = Placement { cos: 1.0, sin: 0.0, right: 0.0, down: 0.0 };
        assert_eq!(still.of(&image, 5), image);
        let moved = Placement { right: 2.0, down: 1.0, ..still }.of(&image, 5);
        // Row 0 is row 1 from column 2 on, and the last value again beyond the border.
        assert_eq!(&moved[..5], [7.0, 8.0, 9.0, 9.0, 9.0]);
        assert_eq!(&moved[20..], [22.0, 23.0, 24.0, 24.0, 24.0]);
        let turned = Placement { cos: 0.0, sin: 1.0, ..still }.of(&image, 5);
        let expected: Vec<f32> = (0..25).map(|i| image[(i % 5) * 5 + (4 - i / 5)]).collect();
        assert_eq!(turned, expected);
        let half = Placement { right: 0.5, ..still }.of(&image, 5);
        assert_eq!(&half[..5], [0.5, 1.5, 2.5, 3.5, 4.0]);
    }

    #[test]
    fn masks_go_where_their_images_go() {
        let sample = disc(64);
        let augmentation = Augmentation { geometry: 1.0, ..Augmentation::FLIP };
        let (mut rng, mut moved) = (rng(), 0);
        for _ in 0..50 {
            let seen = augmentation.apply(&sample, &mut rng);
            let inside: Vec<f32> = seen.image.iter().map(|v| f32::from(*v >= 0.5)).collect();
            assert_eq!(seen.mask.as_ref(), Some(&inside));
            assert_eq!((seen.label, &seen.name), (sample.label, &sample.name));
            // By a scale between 2^-0.3 and 2^0.3 along each side.
            let area: f32 = inside.iter().sum::<f32>() / sample.image.iter().sum::<f32>();
            assert!((0.6..1.6).contains(&area), "{area}");
            moved += usize::from(seen.mask != sample.mask);
        }
        assert!(moved > 45, "{moved} of 50 have moved");
    }

    #[test]
    fn channels_go_where_the_image_goes_and_stay_apart() {
        let sample = disc(32);
        let faint: Vec<f32> = sample.image.iter().map(|value| value / 2.0).collect();
        let image = [sample.image.clone(), faint, vec![0.25; 32 * 32]].concat();
        let colour = Sample { image, ..sample.clone() };
        let augmentation = Augmentation { geometry: 1.0, ..Augmentation::FLIP };
        let (mut one, mut other) = (rng(), rng());
        for _ in 0..10 {
            let (grey, seen) =
                (augmentation.apply(&sample, &mut one), augmentation.apply(&colour, &mut other));
            assert_eq!((&seen.mask, seen.shape()), (&grey.mask, Some((3, 32))));
            let close = |values: &[f32], share: f32| {
                let pairs = values.iter().zip(&grey.image);
                pairs.for_each(|(value, grey)| assert!((value - share * grey).abs() < 1e-6));
            };
            close(&seen.image[..1024], 1.0);
            close(&seen.image[1024..2048], 0.5);
            assert!(seen.image[2048..].iter().all(|value| (value - 0.25).abs() < 1e-6));
        }
        let intensity = Augmentation { intensity: 1.0, ..Augmentation::default() };
        let seen = intensity.apply(&colour, &mut one);
        // Noise of its own in each channel, on the grid of the image.
        let noise = |from: usize| seen.image[from..from + 8].to_vec();
        assert_eq!((seen.shape(), seen.mask), (Some((3, 32)), colour.mask.clone()));
        assert_ne!(noise(2048), noise(2048 + 8 * 32));
    }

    #[test]
    fn turns_scales_and_moves_fill_their_documented_ranges() {
        let mut rng = rng();
        let drawn: Vec<Placement> =
            (0..2000).map(|_| Placement::drawn(1.0, 100, &mut rng)).collect();
        let range = |of: &dyn Fn(&Placement) -> f32| {
            drawn.iter().map(of).fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(v), b.max(v)))
        };
        let fills = |(least, most): (f32, f32), low: f32, high: f32| {
            let slack = 0.02 * (high - low);
            assert!(least >= low - 1e-4 && least < low + slack, "{least} and {low}");
            assert!(most <= high + 1e-4 && most > high - slack, "{most} and {high}");
        };
        fills(range(&|p| p.sin.atan2(p.cos).to_degrees()), -15.0, 15.0);
        fills(range(&|p| p.cos.hypot(p.sin).log2()), -0.3, 0.3);
        fills(range(&|p| p.right), -10.0, 10.0);
        fills(range(&|p| p.down), -10.0, 10.0);
    }

    #[test]
    fn other_scanners_change_grey_values_and_nothing_else() {
        let sample = disc(64);
        let augmentation = Augmentation { intensity: 1.0, ..Augmentation::default() };
        let mut rng = rng();
        let first = augmentation.apply(&sample, &mut rng);
        assert_eq!(first.mask, sample.mask);
        assert!(first.image.iter().all(|grey| (0.0..=1.0).contains(grey)));
        assert_ne!(first.image, sample.image);
        assert_ne!(first.image, augmentation.apply(&sample, &mut rng).image);
        assert_eq!(Augmentation::default().apply(&sample, &mut rng), sample);
    }

    #[test]
    fn plans_are_read_as_they_were_written_before_too() {
        let options = TrainOptions {
            augmentation: Augmentation { flip: true, geometry: 1.0, intensity: 0.5 },
            ..TrainOptions::for_task(TaskName::Segmentation)
        };
        let mut json = serde_json::to_value(&options).unwrap();
        assert_eq!(options, serde_json::from_value(json.clone()).unwrap());
        let fields = json.as_object_mut().unwrap();
        fields.remove("augmentation");
        for (flip, expected) in [(true, Augmentation::FLIP), (false, Augmentation::default())] {
            let mut before = fields.clone();
            before.insert("flip".into(), flip.into());
            let read: TrainOptions = serde_json::from_value(before.into()).unwrap();
            assert_eq!(read, TrainOptions { augmentation: expected, ..options.clone() });
        }
        fields.insert("augmentation".into(), serde_json::json!({ "flip": true, "turn": 1 }));
        let error = serde_json::from_value::<TrainOptions>(json).unwrap_err().to_string();
        assert!(error.contains("`flip`, `geometry` and `intensity`"), "{error}");
    }

    #[test]
    fn strengths_out_of_range_are_refused() {
        for strength in [-0.1, 3.1, f32::NAN, f32::INFINITY] {
            let geometry = Augmentation { geometry: strength, ..Augmentation::FLIP };
            let error = geometry.check().unwrap_err().to_string();
            assert!(error.contains("geometry") && error.contains("0 to 3"), "{error}");
            assert!(Augmentation { intensity: strength, ..Augmentation::FLIP }.check().is_err());
        }
        assert!(Augmentation { geometry: 3.0, ..Augmentation::FLIP }.check().is_ok());
    }
}
