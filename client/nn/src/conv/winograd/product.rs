//! The products of transformed tiles and a transformed kernel: a product of matrices for each point.

use pulp::{Simd, WithSimd};

use super::super::gather::multiply;
use super::{Planes, Sizes};

/// The products of one block of columns at all points.
pub(super) struct Multiply<'a> {
    pub(super) sizes: Sizes,
    /// How many tiles there are.
    pub(super) count: usize,
    pub(super) packed: &'a [f32],
    /// The source's points, and those of the block's columns.
    pub(super) points: (&'a [f32], &'a mut [f32]),
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.sizes.tile.many, self.sizes.tile.registers) {
            (true, 1) => self.run::<S, 24, 8, 1>(simd),
            (true, _) => self.run::<S, 12, 4, 2>(simd),
            (false, 1) => self.run::<S, 12, 4, 1>(simd),
            (false, _) => self.run::<S, 6, 2, 2>(simd),
        }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    fn run<S: Simd, const ROWS: usize, const FEW: usize, const REGISTERS: usize>(self, simd: S) {
        let Self { sizes, count, packed, points: (of_source, of_target) } = self;
        let (depth, columns) = (sizes.depth, sizes.tile.columns());
        let (from, to) = (Planes::of(count, depth), Planes::of(count, columns));
        let zeros = vec![0.0; depth];
        let planes = of_source.chunks_exact(from.plane).zip(of_target.chunks_exact_mut(to.plane));
        for ((rows, outs), panel) in planes.zip(packed.chunks_exact(sizes.panel())) {
            let (panel, _) = S::as_simd_f32s(&panel[..depth * columns]);
            let (panel, _) = panel.as_chunks::<REGISTERS>();
            let product = Product { depth, zeros: &zeros, panel };
            let mut row = 0;
            while row < count {
                let (left, rows) = (count - row, &rows[row * depth..count * depth]);
                let outs = &mut outs[row * columns..count * columns];
                if left > 2 * FEW {
                    product.write::<S, ROWS>(simd, rows, outs);
                    row += ROWS;
                } else {
                    product.write::<S, FEW>(simd, rows, outs);
                    row += FEW;
                }
            }
        }
    }
}

/// A point's product with a block of columns.
#[derive(Clone, Copy)]
struct Product<'a, V, const REGISTERS: usize> {
    depth: usize,
    zeros: &'a [f32],
    panel: &'a [[V; REGISTERS]],
}

impl<V: Copy, const REGISTERS: usize> Product<'_, V, REGISTERS> {
    /// Writes the first rows, as many as there are.
    #[inline(always)]
    fn write<S: Simd<f32s = V>, const ROWS: usize>(&self, simd: S, rows: &[f32], outs: &mut [f32]) {
        let mut sources = [self.zeros; ROWS];
        let rows = rows.chunks_exact(self.depth);
        sources.iter_mut().zip(rows).for_each(|(source, row)| *source = row);
        let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
        multiply(simd, &mut sums, &sources, self.panel);
        let (outs, _) = S::as_mut_simd_f32s(outs);
        let (outs, _) = outs.as_chunks_mut::<REGISTERS>();
        outs.iter_mut().zip(&sums).for_each(|(out, sums)| *out = *sums);
    }
}
