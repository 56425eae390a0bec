//! Where a file's slices lie in the patient.

use std::fmt;

/// A point or a step in the patient, in mm along DICOM's axes: towards the patient's left, back and
/// head (PS3.3, C.7.6.2.1.1).
pub type Vector = [f64; 3];

/// Where the slices of a file lie in the patient.
#[derive(Clone, Debug, PartialEq)]
pub struct Geometry {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// From a pixel to the next of its row.
    pub across: Vector,
    /// From a row to the next.
    pub down: Vector,
    /// The middle of the first pixel of each slice of the file.
    pub origins: Vec<Vector>,
    /// DICOM's Frame of Reference UID. Positions of different frames cannot be compared.
    pub frame_of_reference: Option<String>,
}

/// How far two grids may lie apart and be the same, as a part of the shorter side of a pixel.
pub(crate) const TOLERANCE: f64 = 0.1;

/// How the pixels of one plane are found in another: rows for columns, and either way round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) swapped: bool,
    pub(crate) across_reversed: bool,
    pub(crate) down_reversed: bool,
}

impl Geometry {
    /// Across the slices, with length 1.
    pub(crate) fn normal(&self) -> Vector {
        unit(cross(self.across, self.down))
    }

    /// How far a point may lie off, in mm.
    pub(crate) fn tolerance(&self) -> f64 {
        TOLERANCE * length(self.across).min(length(self.down))
    }

    /// How `other` has to be turned so that its rows and columns run as those of this one and have
    /// the same pixels; `None` if there is no such way.
    pub(crate) fn turn_of(&self, other: &Self) -> Option<Turn> {
        let flags = [false, true];
        let turns = flags.into_iter().flat_map(|swapped| {
            flags.into_iter().flat_map(move |across_reversed| {
                flags.map(|down_reversed| Turn { swapped, across_reversed, down_reversed })
            })
        });
        turns.into_iter().find(|turn| self.fits(&other.turned(*turn)))
    }

    /// Whether rows and columns run alike, to the last pixel.
    fn fits(&self, other: &Self) -> bool {
        let apart = |one, other, steps: usize| {
            length(scale(minus(one, other), steps.saturating_sub(1) as f64))
        };
        (self.width, self.height) == (other.width, other.height)
            && apart(self.across, other.across, self.width) <= self.tolerance()
            && apart(self.down, other.down, self.height) <= self.tolerance()
    }

    /// The same pixels, named in another order.
    pub(crate) fn turned(&self, turn: Turn) -> Self {
        let mut turned = self.clone();
        if turn.swapped {
            (turned.width, turned.height) = (self.height, self.width);
            (turned.across, turned.down) = (self.down, self.across);
        }
        let mut shift = [0.0; 3];
        if turn.across_reversed {
            shift = plus(shift, scale(turned.across, turned.width.saturating_sub(1) as f64));
            turned.across = scale(turned.across, -1.0);
        }
        if turn.down_reversed {
            shift = plus(shift, scale(turned.down, turned.height.saturating_sub(1) as f64));
            turned.down = scale(turned.down, -1.0);
        }
        turned.origins.iter_mut().for_each(|origin| *origin = plus(*origin, shift));
        turned
    }
}

impl Turn {
    /// Brings the values of a plane of `width * height` into the turned order.
    pub(crate) fn apply(self, values: &[f32], width: usize, height: usize) -> Vec<f32> {
        let (across, down) = if self.swapped { (height, width) } else { (width, height) };
        let place = |index: usize| {
            let (mut x, mut y) = (index % across, index / across);
            if self.across_reversed {
                x = across - 1 - x;
            }
            if self.down_reversed {
                y = down - 1 - y;
            }
            if self.swapped { x * width + y } else { y * width + x }
        };
        (0..width * height).map(|index| values.get(place(index)).copied().unwrap_or(0.0)).collect()
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height, across, down, origins, .. } = self;
        write!(f, "{} slices of {width} x {height} pixels", origins.len())?;
        if let (Some(first), Some(last)) = (origins.first(), origins.last()) {
            write!(f, " from {} to {}", Millimetres(*first), Millimetres(*last))?;
        }
        write!(f, ", steps {} across and {} down", Millimetres(*across), Millimetres(*down))?;
        match &self.frame_of_reference {
            Some(uid) => write!(f, ", frame of reference {uid}"),
            None => Ok(()),
        }
    }
}

struct Millimetres(Vector);

impl fmt::Display for Millimetres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [left, back, head] = self.0.map(|value| (value * 1000.0).round() / 1000.0 + 0.0);
        write!(f, "({left}, {back}, {head}) mm")
    }
}

pub(crate) fn plus(one: Vector, other: Vector) -> Vector {
    [0, 1, 2].map(|axis: usize| one[axis] + other[axis])
}

pub(crate) fn minus(one: Vector, other: Vector) -> Vector {
    plus(one, scale(other, -1.0))
}

pub(crate) fn scale(vector: Vector, factor: f64) -> Vector {
    vector.map(|value| value * factor)
}

pub(crate) fn dot(one: Vector, other: Vector) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

pub(crate) fn cross([a, b, c]: Vector, [x, y, z]: Vector) -> Vector {
    [b * z - c * y, c * x - a * z, a * y - b * x]
}

pub(crate) fn length(vector: Vector) -> f64 {
    dot(vector, vector).sqrt()
}

/// The vector with length 1; a vector without length stays as it is.
pub(crate) fn unit(vector: Vector) -> Vector {
    let length = length(vector);
    if length > 0.0 { scale(vector, 1.0 / length) } else { vector }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_is_found_and_brings_pixels_and_origins_along() {
        let image = Geometry {
            width: 3,
            height: 2,
            across: [0.5, 0.0, 0.0],
            down: [0.0, 0.0, -2.0],
            origins: vec![[10.0, 20.0, 30.0]],
            frame_of_reference: None,
        };
        // The middle of each pixel tells it apart.
        let middles = |geometry: &Geometry| -> Vec<Vector> {
            let at = |index: usize| {
                let across = scale(geometry.across, (index % geometry.width) as f64);
                let down = scale(geometry.down, (index / geometry.width) as f64);
                plus(geometry.origins[0], plus(across, down))
            };
            (0..geometry.width * geometry.height).map(at).collect()
        };
        let seen = middles(&image);
        for flags in 0..8 {
            let bit = |bit: u32| flags >> bit & 1 == 1;
            let turn = Turn { swapped: bit(0), across_reversed: bit(1), down_reversed: bit(2) };
            let other = image.turned(turn);
            let back = image.turn_of(&other).unwrap();
            assert_eq!(other.turned(back).origins, image.origins, "{turn:?}");
            let values: Vec<f32> = middles(&other)
                .iter()
                .map(|middle| seen.iter().position(|seen| seen == middle).unwrap() as f32)
                .collect();
            let found = back.apply(&values, other.width, other.height);
            assert_eq!(found, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "{turn:?}");
        }
        let oblique = Geometry { across: [0.4, 0.3, 0.0], ..image.clone() };
        assert_eq!(image.turn_of(&oblique), None);
        let nearly = Geometry { across: [0.52, 0.0, 0.0], ..image.clone() };
        assert!(image.turn_of(&nearly).is_some());
        let coarser = Geometry { across: [0.53, 0.0, 0.0], ..image.clone() };
        assert_eq!(image.turn_of(&coarser), None);
    }
}
