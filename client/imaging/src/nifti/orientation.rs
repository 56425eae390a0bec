//! Which stored axis runs along which anatomical one.

/// For left to right, back to front and bottom to top (the directions in which NIfTI's coordinates
/// grow): the stored axis that lies closest, and whether it runs the other way.
///
/// `directions[i][j]` is how far one step along the stored axis `j` moves along coordinate `i`.
/// The columns are scaled to length 1, and the stored axes choose in turn, as in nibabel's
/// `io_orientation` (which takes the nearest rotation instead: the same where nothing is sheared).
pub(super) fn closest(directions: &[[f64; 3]; 3]) -> [(usize, bool); 3] {
    let mut axes: [Option<(usize, bool)>; 3] = [None; 3];
    let mut left_over = Vec::new();
    let [right, front, top] = *directions;
    let columns = right.into_iter().zip(front).zip(top).map(|((x, y), z)| [x, y, z]);
    for (stored, column) in columns.enumerate() {
        let length = column.iter().map(|value| value * value).sum::<f64>().sqrt();
        let free = (0..3).filter(|row| axes[*row].is_none());
        let best = free.max_by(|a, b| column[*a].abs().total_cmp(&column[*b].abs()));
        match best {
            Some(row) if length.is_finite() && column[row] != 0.0 => {
                axes[row] = Some((stored, column[row] < 0.0));
            }
            _ => left_over.push(stored),
        }
    }
    // A direction without length says nothing: what is left is taken in order.
    let mut left_over = left_over.into_iter();
    axes.map(|axis| {
        axis.or_else(|| left_over.next().map(|stored| (stored, false))).unwrap_or_default()
    })
}

/// The rotation of a unit quaternion (NIfTI-1 standard, method 2), columns scaled by the voxel's
/// sides, the last one reversed where `qfac` is negative.
pub(super) fn of_quaternion(b: f64, c: f64, d: f64, pixdim: [f64; 4]) -> [[f64; 3]; 3] {
    let a = (1.0 - (b * b + c * c + d * d)).max(0.0).sqrt();
    let last = if pixdim[0] < 0.0 { -pixdim[3] } else { pixdim[3] };
    let sides = [pixdim[1], pixdim[2], last];
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    rotation.map(|row| [row[0] * sides[0], row[1] * sides[1], row[2] * sides[2]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_found_behind_permutations_flips_and_tilts() {
        let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        assert_eq!(closest(&identity), [(0, false), (1, false), (2, false)]);
        // Stored as anterior to posterior, bottom to top, right to left, tilted and stretched.
        let turned = [[0.1, 0.0, -5.0], [-0.9, 0.3, 0.2], [0.2, 0.8, 0.1]];
        assert_eq!(closest(&turned), [(2, true), (0, true), (1, false)]);
        assert_eq!(closest(&[[0.0; 3]; 3]), [(0, false), (1, false), (2, false)]);
        assert_eq!(closest(&[[f64::NAN; 3]; 3]), [(0, false), (1, false), (2, false)]);
    }

    #[test]
    fn a_quaternion_turns_a_quarter_about_the_long_axis() {
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let turned = of_quaternion(0.0, 0.0, half, [-1.0, 2.0, 3.0, 4.0]);
        let expected = [[0.0, -3.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, -4.0]];
        for (row, expected) in turned.iter().zip(expected) {
            assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{turned:?}");
        }
    }
}
