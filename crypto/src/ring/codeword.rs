//! Shares of one word as a Reed-Solomon codeword: what a polynomial of degree below `t` takes at
//! the holders' points. Whoever collects such words can tell which of them do not belong.

use super::field;
use super::params::MODULUS;

/// Evaluation point of the holder at a window offset.
pub fn holder_point(offset: usize) -> u64 {
    offset as u64 + 1
}

/// Evaluation point of the i-th secret of a polynomial.
pub fn secret_point(index: usize) -> u64 {
    field::sub(0, index as u64 % MODULUS)
}

/// Lagrange coefficients: the value at `x` of a polynomial is their sum with its values at the
/// `nodes`, which are public and distinct modulo q.
pub fn lagrange(nodes: &[u64], x: u64) -> Vec<u64> {
    let others =
        |i: usize| nodes.iter().enumerate().filter(move |(j, _)| *j != i).map(|(_, other)| *other);
    let at = |(i, node): (usize, &u64)| {
        let numerator = others(i).fold(1, |product, o| field::mul(product, field::sub(x, o)));
        let denominator = others(i).fold(1, |product, o| field::mul(product, field::sub(*node, o)));
        // Distinct nodes: the denominator is never zero.
        field::mul(numerator, field::inv(denominator).unwrap_or(0))
    };
    nodes.iter().enumerate().map(at).collect()
}

/// The sum of products of weights and values.
fn combine(weights: &[u64], values: impl Iterator<Item = u64>) -> u64 {
    weights.iter().zip(values).fold(0, |sum, (w, value)| field::add(sum, field::mul(*w, value)))
}

/// One word of each of some holders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Distinct evaluation points.
    pub points: Vec<u64>,
    /// A word for each.
    pub values: Vec<u64>,
}

impl Words {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.points.len().min(self.values.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Places of the words that do not lie on the one polynomial of degree below `t` (at least 1)
    /// that at least `agreeing` of them lie on; `None` if there is no such polynomial.
    ///
    /// It is unique if `2 agreeing - len >= t`: two such polynomials would share `t` points. With a
    /// smaller `agreeing` the answer is `None`, too: nothing is determined then.
    pub fn strays(&self, t: usize, agreeing: usize) -> Option<Vec<usize>> {
        let count = self.len();
        if t == 0 || agreeing > count || agreeing < t || 2 * agreeing < t + count {
            return None;
        }
        let clean = self.off(&(0..t).collect::<Vec<_>>());
        if clean.len() <= count - agreeing {
            return Some(clean);
        }
        let good = self.located(t, count - agreeing)?;
        let strays = self.off(good.get(..t)?);
        (strays.len() <= count - agreeing).then_some(strays)
    }

    /// Places of the words off the polynomial through the words at `base`.
    fn off(&self, base: &[usize]) -> Vec<usize> {
        let at = |list: &[u64], i: usize| list.get(i).copied().unwrap_or(0);
        let nodes: Vec<u64> = base.iter().map(|i| at(&self.points, *i)).collect();
        let stray = |i: &usize| {
            let weights = lagrange(&nodes, at(&self.points, *i));
            combine(&weights, base.iter().map(|b| at(&self.values, *b))) != at(&self.values, *i)
        };
        (0..self.len()).filter(|i| !base.contains(i)).filter(stray).collect()
    }

    /// Berlekamp and Welch: places at which the error locator does not vanish, if at most `lies`
    /// words are wrong. It finds `Q` of degree below `t + lies` and monic `E` of degree `lies` with
    /// `Q(x) = y E(x)` at every point; then `Q / E` is the polynomial.
    fn located(&self, t: usize, lies: usize) -> Option<Vec<usize>> {
        let powers = |x: u64| std::iter::successors(Some(1), move |p| Some(field::mul(*p, x)));
        let mut rows: Vec<Vec<u64>> = (self.points.iter().zip(&self.values))
            .map(|(x, y)| {
                let of_q = powers(*x).take(t + lies);
                let of_e = powers(*x).take(lies).map(|p| field::neg(field::mul(*y, p)));
                let right = field::mul(*y, field::pow(*x, lies as u64));
                of_q.chain(of_e).chain([right]).collect()
            })
            .collect();
        let solution = solve(&mut rows, t + 2 * lies)?;
        let locator: Vec<u64> = solution.get(t + lies..)?.iter().copied().chain([1]).collect();
        let evaluate =
            |x: u64| locator.iter().rev().fold(0, |s, c| field::add(field::mul(s, x), *c));
        let good = self.points.iter().enumerate().filter(|(_, x)| evaluate(**x) != 0);
        Some(good.map(|(i, _)| i).collect())
    }
}

/// Gauss-Jordan elimination over `F_q` of rows of `unknowns` coefficients and a right-hand side;
/// free unknowns are zero. `None` without a solution.
fn solve(rows: &mut [Vec<u64>], unknowns: usize) -> Option<Vec<u64>> {
    let cell = |row: &[u64], column: usize| row.get(column).copied().unwrap_or(0);
    let mut pivots = Vec::new();
    for column in 0..unknowns {
        let rank = pivots.len();
        let pivot = rows.iter().skip(rank).position(|row| cell(row, column) != 0);
        let Some(pivot) = pivot else { continue };
        rows.swap(rank, rank + pivot);
        let leading = rows.get_mut(rank)?;
        let inverse = field::inv(cell(leading, column))?;
        leading.iter_mut().for_each(|value| *value = field::mul(*value, inverse));
        let leading = leading.clone();
        for (index, row) in rows.iter_mut().enumerate() {
            let factor = cell(row, column);
            if index == rank || factor == 0 {
                continue;
            }
            for (value, lead) in row.iter_mut().zip(&leading) {
                *value = field::sub(*value, field::mul(factor, *lead));
            }
        }
        pivots.push(column);
    }
    if rows.iter().skip(pivots.len()).any(|row| cell(row, unknowns) != 0) {
        return None;
    }
    let mut solution = vec![0; unknowns];
    for (row, column) in rows.iter().zip(&pivots) {
        if let Some(place) = solution.get_mut(*column) {
            *place = cell(row, unknowns);
        }
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Values at holders' points of the polynomial with these coefficients.
    fn codeword(coefficients: &[u64], holders: usize) -> Words {
        let points: Vec<u64> = (0..holders).map(holder_point).collect();
        let value =
            |x: &u64| coefficients.iter().rev().fold(0, |s, c| field::add(field::mul(s, *x), *c));
        Words { values: points.iter().map(value).collect(), points }
    }

    #[test]
    fn by_hand() {
        // 3 + 2 x at 1..5; t = 2.
        let mut words = codeword(&[3, 2], 5);
        assert_eq!(words.values, [5, 7, 9, 11, 13]);
        assert_eq!(words.strays(2, 5), Some(vec![]));
        words.values[1] = 8;
        assert_eq!(words.strays(2, 4), Some(vec![1]));
        assert_eq!(words.strays(2, 5), None, "four agree");
        words.values[3] = 0;
        assert_eq!(words.strays(2, 4), None, "three agree");
        assert_eq!(words.strays(2, 3), None, "three of five do not determine a line");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn up_to_c_lies_anywhere_are_found(
            (c, l) in (1usize..5, 1usize..4),
            seed in any::<u64>(),
            lies in prop::collection::vec((any::<prop::sample::Index>(), 1..MODULUS), 0..5),
        ) {
            let m = 3 * c + l;
            let t = m - 2 * c;
            let coefficients: Vec<u64> =
                (0..t as u64).map(|i| field::mul(seed % MODULUS, field::pow(7, i + 1))).collect();
            let mut words = codeword(&coefficients, m);
            let mut wrong: Vec<usize> = Vec::new();
            for (place, by) in lies.iter().take(c) {
                let place = place.index(m);
                if !wrong.contains(&place) {
                    wrong.push(place);
                    words.values[place] = field::add(words.values[place], *by);
                }
            }
            wrong.sort_unstable();
            prop_assert_eq!(words.strays(t, t + c), Some(wrong));
        }
    }
}
