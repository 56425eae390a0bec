//! Register tiles for the processor's vector unit.

use pulp::{Arch, Simd, WithSimd};

/// Shape of the register tiles, and so of packed kernels: it depends on the processor alone.
///
/// A tile of `rows` pixels (or input channels) by `columns` output channels stays in registers
/// while products are added to it. With 32 registers 24 hold sums: enough for two units that take
/// four cycles for a fused multiply-add, and eight are left for operands. With 16 it is half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// Floats in a register.
    pub(super) lanes: usize,
    /// Registers across: 2, or 1 where the output has no more channels than one register.
    pub(super) registers: usize,
    /// Whether the processor has 32 registers.
    pub(super) many: bool,
}

impl Tile {
    /// For outputs of `width` channels.
    pub(super) fn of(width: usize) -> Self {
        struct Width(usize);
        impl WithSimd for Width {
            type Output = Tile;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> Tile {
                Tile::of_unit::<S>(self.0)
            }
        }
        Arch::new().dispatch(Width(width))
    }

    /// The same on a certain vector unit.
    pub(super) fn of_unit<S: Simd>(width: usize) -> Self {
        let (lanes, many) = (S::F32_LANES, S::REGISTER_COUNT >= 32);
        let registers = if width > lanes { 2 } else { 1 };
        Self { lanes, registers, many }
    }

    /// Output channels of a tile.
    pub(super) fn columns(&self) -> usize {
        self.lanes * self.registers
    }

    /// Input channels of a tile of the kernel's gradient.
    pub(super) fn gradient_rows(&self) -> usize {
        match (self.many, self.registers) {
            (true, 1) => 16,
            (true, _) | (false, 1) => 8,
            (false, _) => 4,
        }
    }
}
