//! Smooth noise in space: what makes tissue uneven and borders irregular.

/// Value noise in `[-1, 1]`: a number by chance at each lattice point, smoothly interpolated.
pub(super) fn texture(seed: u32, x: f32, y: f32, z: f32) -> f32 {
    let (cell, fraction) = split([x, y, z]);
    let weight = fraction.map(|t| t * t * (3.0 - 2.0 * t));
    let mut sum = 0.0;
    for corner in 0..8 {
        let mut share = 1.0;
        let mut point = cell;
        for axis in 0..3 {
            let upper = corner >> axis & 1;
            point[axis] += upper;
            share *= if upper == 1 { weight[axis] } else { 1.0 - weight[axis] };
        }
        sum += share * lattice(seed, point);
    }
    sum
}

fn split(point: [f32; 3]) -> ([i32; 3], [f32; 3]) {
    (point.map(|t| t.floor() as i32), point.map(|t| t - t.floor()))
}

/// A number in `[-1, 1]` that depends on all bits of the point: the finaliser of MurmurHash3.
fn lattice(seed: u32, [x, y, z]: [i32; 3]) -> f32 {
    let mut bits = seed;
    for value in [x, y, z] {
        bits = (bits ^ value.cast_unsigned()).wrapping_mul(0x9e37_79b1);
        bits ^= bits >> 16;
        bits = bits.wrapping_mul(0x85eb_ca6b);
        bits ^= bits >> 13;
        bits = bits.wrapping_mul(0xc2b2_ae35);
        bits ^= bits >> 16;
    }
    bits as f32 / u32::MAX as f32 * 2.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texture_is_smooth_bounded_and_uneven() {
        let values: Vec<f32> = (0..2000).map(|i| texture(7, i as f32 * 0.05, 1.3, 2.7)).collect();
        assert!(values.iter().all(|value| value.abs() <= 1.0));
        assert!(values.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.2));
        let spread = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        assert!(spread > 0.4);
        assert_ne!(texture(7, 0.5, 0.5, 0.5), texture(8, 0.5, 0.5, 0.5));
    }
}
