//! The transformed kernel as the products read it.

use pulp::{Simd, WithSimd};

use super::super::gather::Direction;
use super::super::lanes::Tile;
use super::matrices::{Kernel, square};
use super::{GAP, Winograd};
use crate::vector::Float;

/// The most lanes of a register.
const LANES: usize = 16;

/// Writes a block's `G g G^T` as `[point][source channel][column]`, with a gap after each point; columns
/// beyond the last are left as they are, and what comes of them is not used.
pub(super) struct Pack<'a> {
    pub(super) of: &'a Winograd<'a>,
    pub(super) tile: Tile,
    pub(super) index: usize,
    pub(super) packed: &'a mut [f32],
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.of.direction {
            Direction::Forward => self.run::<S, false>(simd),
            Direction::Backward => self.run::<S, true>(simd),
        }
    }
}

impl Pack<'_> {
    #[inline(always)]
    fn run<S: Simd, const TURNED: bool>(self, simd: S) {
        let Winograd { depth, width, kernel: values, .. } = *self.of;
        let (columns, zero) = (self.tile.columns(), simd.splat_f32s(0.0));
        let panel = depth * columns + GAP;
        for start in (0..columns).step_by(S::F32_LANES) {
            let first = self.index * columns + start;
            if first >= width {
                break;
            }
            let used = S::F32_LANES.min(width - first);
            for channel in 0..depth {
                let mut nines = [&[0.0; 9]; LANES];
                for (lane, nine) in nines.iter_mut().enumerate().take(used) {
                    let at = if TURNED {
                        channel * width + first + lane
                    } else {
                        (first + lane) * depth + channel
                    };
                    if let Some(values) = values[at * 9..].first_chunk::<9>() {
                        *nine = values;
                    }
                }
                let taps = transposed::<TURNED>(&nines);
                let mut g = [[zero; 3]; 3];
                for (g, taps) in g.as_flattened_mut().iter_mut().zip(&taps) {
                    *g = f32::load(simd, &taps[..S::F32_LANES]);
                }
                let found = square(simd, Kernel, g);
                let at = channel * columns + start;
                let planes = self.packed.chunks_exact_mut(panel);
                for (found, plane) in found.as_flattened().iter().zip(planes) {
                    f32::write(simd, *found, &mut plane[at..at + S::F32_LANES]);
                }
            }
        }
    }
}

/// `[tap][lane]` of `[lane][tap]`, the taps turned round if wanted: squares of four by four, which the
/// compiler moves as wholes.
#[inline(always)]
fn transposed<const TURNED: bool>(nines: &[&[f32; 9]; LANES]) -> [[f32; LANES]; 9] {
    let mut taps = [[0.0; LANES]; 9];
    for quarter in 0..LANES / 4 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|lane| nines[4 * quarter + lane]);
        let four = 4 * quarter..4 * quarter + 4;
        for tap in 0..9 {
            let to = if TURNED { 8 - tap } else { tap };
            taps[to][four.clone()].copy_from_slice(&[a[tap], b[tap], c[tap], d[tap]]);
        }
    }
    taps
}
