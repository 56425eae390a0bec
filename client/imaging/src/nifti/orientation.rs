//! From voxel indices to the patient, and which stored axis runs along which direction.

use crate::geometry::{Vector, cross, dot, plus, scale, unit};

/// From voxel indices to millimetres along DICOM's axes, in which the first two run the other way
/// than in NIfTI.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine {
    /// How far a step along each stored axis moves.
    pub(super) steps: [Vector; 3],
    /// The middle of the first voxel.
    pub(super) origin: Vector,
}

impl Affine {
    /// The stored axes run to the right, to the front and to the top, as without any orientation.
    pub(super) const UNKNOWN: Self =
        Self { steps: [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]], origin: [0.0; 3] };

    /// Of the rows of `sform`.
    pub(super) fn of_rows([right, front, top]: [[f64; 4]; 3]) -> Self {
        let column = |axis: usize| [-right[axis], -front[axis], top[axis]];
        Self { steps: [0, 1, 2].map(column), origin: column(3) }
    }

    /// Of a unit quaternion (NIfTI-1 standard, method 2), whose columns are scaled by the voxel's
    /// sides and the last one reversed where `qfac` is negative.
    pub(super) fn of_quaternion([b, c, d]: [f64; 3], offset: [f64; 3], pixdim: [f64; 4]) -> Self {
        let rest = 1.0 - (b * b + c * c + d * d);
        // Beyond what rounding to 32 bits explains there is no rotation.
        let a = if rest < -1e-5 { f64::NAN } else { rest.max(0.0).sqrt() };
        let last = if pixdim[0] < 0.0 { -pixdim[3] } else { pixdim[3] };
        let sides = [pixdim[1], pixdim[2], last];
        let rotation = [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ];
        let row = |axis: usize| {
            let [x, y, z] = rotation[axis];
            [x * sides[0], y * sides[1], z * sides[2], offset[axis]]
        };
        Self::of_rows([0, 1, 2].map(row))
    }

    /// The affine, if its axes span a space: finite, none of them zero, and not in one plane. Across
    /// a single slice a step may be missing, and is made up at right angles.
    pub(super) fn sound(mut self, shape: [usize; 3]) -> Option<Self> {
        let [x, y, z] = self.steps;
        if shape[2] == 1 && z == [0.0; 3] {
            self.steps[2] = unit(cross(x, y));
        }
        let [x, y, z] = self.steps;
        let finite = self.steps.as_flattened().iter().chain(&self.origin).all(|v| v.is_finite());
        let spanned = dot(cross(unit(x), unit(y)), unit(z)).abs() > 1e-3;
        (finite && spanned).then_some(self)
    }

    /// The middle of a voxel.
    pub(super) fn at(&self, voxel: [usize; 3]) -> Vector {
        let mut point = self.origin;
        for (step, index) in self.steps.iter().zip(voxel) {
            point = plus(point, scale(*step, index as f64));
        }
        point
    }

    /// For each of three directions the stored axis that lies closest, and whether it runs the
    /// other way.
    pub(super) fn along(&self, directions: [Vector; 3]) -> [(usize, bool); 3] {
        closest(&directions.map(|direction| self.steps.map(|step| dot(direction, step))))
    }
}

/// `directions[i][j]` is how far one step along the stored axis `j` moves along direction `i`.
/// The columns are scaled to length 1, and the stored axes choose in turn, as in nibabel's
/// `io_orientation` (which takes the nearest rotation instead: the same where nothing is sheared).
fn closest(directions: &[[f64; 3]; 3]) -> [(usize, bool); 3] {
    let mut axes: [Option<(usize, bool)>; 3] = [None; 3];
    for stored in 0..3 {
        let column = directions.map(|row| row[stored]);
        let free = (0..3).filter(|row| axes[*row].is_none());
        if let Some(row) = free.max_by(|a, b| column[*a].abs().total_cmp(&column[*b].abs())) {
            axes[row] = Some((stored, column[row] < 0.0));
        }
    }
    axes.map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{length, minus};

    #[test]
    fn axes_are_found_behind_permutations_flips_and_tilts() {
        let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        assert_eq!(closest(&identity), [(0, false), (1, false), (2, false)]);
        // Stored as anterior to posterior, bottom to top, right to left, tilted and stretched.
        let turned = [[0.1, 0.0, -5.0], [-0.9, 0.3, 0.2], [0.2, 0.8, 0.1]];
        assert_eq!(closest(&turned), [(2, true), (0, true), (1, false)]);
    }

    #[test]
    fn a_quaternion_turns_a_quarter_about_the_long_axis() {
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let turned =
            Affine::of_quaternion([0.0, 0.0, half], [1.0, 2.0, 3.0], [-1.0, 2.0, 3.0, 4.0]);
        let expected = [[0.0, -2.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, -4.0]];
        for (step, expected) in turned.steps.iter().zip(expected) {
            assert!(length(minus(*step, expected)) < 1e-12, "{turned:?}");
        }
        assert_eq!(turned.origin, [-1.0, -2.0, 3.0]);
    }

    #[test]
    fn matrices_that_say_nothing_do_not_count() {
        let shape = [4, 4, 4];
        let rows = |value| Affine::of_rows([[value; 4]; 3]);
        assert_eq!(rows(0.0).sound(shape), None);
        assert_eq!(rows(f64::NAN).sound(shape), None);
        // All three axes run the same way.
        assert_eq!(rows(1.0).sound(shape), None);
        assert_eq!(Affine::of_quaternion([1.0; 3], [0.0; 3], [1.0; 4]).sound(shape), None);
        assert_eq!(Affine::of_quaternion([0.0; 3], [0.0; 3], [0.0; 4]).sound(shape), None);
        assert!(Affine::UNKNOWN.sound(shape).is_some());
        let flat = Affine { steps: [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0; 3]], origin: [0.0; 3] };
        assert_eq!(flat.sound(shape), None);
        assert_eq!(flat.sound([4, 4, 1]).unwrap().steps[2], [0.0, 0.0, 1.0]);
    }
}
