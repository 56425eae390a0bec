//! Elimination of 0/1 rows, modulo a prime instead of over the rationals.
//!
//! With `p = 2^61 - 1`, what comes out is what the rationals give as long as no minor of the matrix
//! that is not zero is a multiple of `p`. A minor of `r` rows is at most `(r + 1)^((r + 1) / 2) / 2^r`
//! in magnitude (Hadamard), which is below `p` up to `r = 36`: up to that rank every answer is right.
//! Beyond, the rank is never too large, and it is right whenever it is the number of rows or of
//! different columns. What else is left is a minor that happens to be a multiple of this one prime:
//! fewer than `r log2(r)` of some 10^16 primes of that size divide it, so that nobody meets one but by
//! looking for it, and whoever chose the sets to that end would have shown it in the log.

use super::bits::Bits;

/// A Mersenne prime.
const P: u64 = (1 << 61) - 1;

/// Most numbers that a matrix may have before rows are not looked at any more: 64 MiB.
pub const MOST_CELLS: usize = 1 << 23;

/// The rows seen, in reduced row echelon form: each has a one at its pivot, where the others have none.
#[derive(Clone, Debug)]
pub(super) struct Echelon {
    width: usize,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    pivot: usize,
    cells: Vec<u64>,
}

impl Echelon {
    /// No rows yet, of so many columns.
    pub(super) fn new(width: usize) -> Self {
        Self { width, rows: Vec::new() }
    }

    pub(super) fn rank(&self) -> usize {
        self.rows.len()
    }

    /// Whether another row would be too much.
    pub(super) fn is_full(&self) -> bool {
        (self.rows.len() + 1).saturating_mul(self.width) > MOST_CELLS
    }

    /// Adds a row; whether it was independent of those before.
    pub(super) fn add(&mut self, set: &Bits) -> bool {
        let mut cells: Vec<u64> = (0..self.width).map(|place| u64::from(set.has(place))).collect();
        for Row { pivot, cells: known } in &self.rows {
            let factor = cells.get(*pivot).copied().unwrap_or(0);
            subtract(&mut cells, factor, known);
        }
        let Some((pivot, first)) = cells.iter().copied().enumerate().find(|(_, cell)| *cell != 0)
        else {
            return false;
        };
        let inverse = inverse(first);
        cells.iter_mut().for_each(|cell| *cell = multiply(*cell, inverse));
        for known in &mut self.rows {
            let factor = known.cells.get(pivot).copied().unwrap_or(0);
            subtract(&mut known.cells, factor, &cells);
        }
        self.rows.push(Row { pivot, cells });
        true
    }

    /// The columns whose unit vector is a combination of the rows. Each pivot is in one row only, so
    /// such a vector is a row.
    pub(super) fn units(&self) -> Vec<usize> {
        let alone = self.rows.iter().filter(|row| row.support().count() == 1);
        let mut units: Vec<usize> = alone.map(|row| row.pivot).collect();
        units.sort_unstable();
        units
    }

    /// The columns of the rows, each a combination.
    pub(super) fn supports(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().map(|row| row.support().count())
    }

    /// The rows' cells in these columns, a vector a column.
    pub(super) fn columns(&self, of: &[usize]) -> Vec<Vec<u64>> {
        let cell = |row: &Row, column: usize| row.cells.get(column).copied().unwrap_or(0);
        of.iter().map(|column| self.rows.iter().map(|row| cell(row, *column)).collect()).collect()
    }
}

impl Row {
    fn support(&self) -> impl Iterator<Item = &u64> {
        self.cells.iter().filter(|cell| **cell != 0)
    }
}

/// `cells -= factor * other`, cell by cell.
pub(super) fn subtract(cells: &mut [u64], factor: u64, other: &[u64]) {
    if factor == 0 {
        return;
    }
    let factor = P - factor;
    for (cell, other) in cells.iter_mut().zip(other) {
        *cell = reduce(u128::from(*cell) + u128::from(factor) * u128::from(*other));
    }
}

pub(super) fn multiply(a: u64, b: u64) -> u64 {
    reduce(u128::from(a) * u128::from(b))
}

/// A number below `2^122 + 2^61`, modulo `P`.
fn reduce(wide: u128) -> u64 {
    let folded = (wide as u64 & P) + (wide >> 61) as u64;
    let folded = (folded & P) + (folded >> 61);
    if folded >= P { folded - P } else { folded }
}

/// The inverse of what is not zero: its power `P - 2` (Fermat).
pub(super) fn inverse(of: u64) -> u64 {
    let (mut power, mut base, mut exponent) = (1, of, P - 2);
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = multiply(power, base);
        }
        base = multiply(base, base);
        exponent >>= 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prime_s_arithmetic() {
        for of in [1, 2, 3, P - 1, 12345678901234567] {
            assert_eq!(multiply(of, inverse(of)), 1, "{of}");
        }
        assert_eq!(multiply(P - 1, P - 1), 1);
        let mut cells = [0, 1, P - 1];
        subtract(&mut cells, P - 1, &[P - 1, P - 1, P - 1]);
        assert_eq!(cells, [P - 1, 0, P - 2]);
    }

    #[test]
    fn hadamard_s_bound_is_below_the_prime_up_to_rank_36() {
        let bits = |rank: f64| (rank + 1.0) / 2.0 * (rank + 1.0).log2() - rank;
        assert!(bits(36.0) < 60.9 && bits(37.0) > 61.0, "{} {}", bits(36.0), bits(37.0));
    }

    #[test]
    fn rows_are_independent_or_not() {
        let mut echelon = Echelon::new(4);
        assert!(echelon.add(&Bits::of([0, 1, 2])));
        assert!(!echelon.add(&Bits::of([0, 1, 2])));
        assert!(echelon.add(&Bits::of([0, 1])));
        assert_eq!((echelon.rank(), echelon.units()), (2, vec![2]));
        assert!(echelon.add(&Bits::of([0, 3])));
        assert_eq!((echelon.rank(), echelon.units()), (3, vec![2]));
        assert!(!echelon.is_full());
        assert!(!Echelon::new(MOST_CELLS).is_full() && Echelon::new(MOST_CELLS + 1).is_full());
    }
}
