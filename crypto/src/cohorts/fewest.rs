//! The fewest sites that any combination is over: the least weight of a code, for which no fast way is
//! known. It is searched for where that is affordable, and kept between two bounds elsewhere.

use super::echelon::{inverse, multiply, subtract};

/// Most zero sets that are tried.
const MOST_TRIES: u64 = 20_000;

/// The least weight of a combination of `r` rows, given by their cells in each of `k` columns; column
/// `j` counts `weights[j]` times. None where that takes too long.
///
/// A vector of least weight is zero in columns of rank `r - 1`: else another vector were zero there
/// and in one column more. So it is the one vector, but for a factor, that is zero in some `r - 1`
/// independent columns, and trying them all finds it.
pub(super) fn search(columns: &[Vec<u64>], rank: usize, weights: &[usize]) -> Option<usize> {
    let zeros = rank.checked_sub(1)?;
    if combinations(columns.len(), zeros)? > MOST_TRIES {
        return None;
    }
    let mut best = None;
    let mut chosen: Vec<usize> = (0..zeros).collect();
    loop {
        let zero: Vec<&[u64]> =
            chosen.iter().filter_map(|place| columns.get(*place)).map(Vec::as_slice).collect();
        if let Some(factors) = kernel(&zero, rank) {
            let weight = columns.iter().zip(weights).filter(|(column, _)| {
                let terms = column.iter().zip(&factors).map(|(a, b)| multiply(*a, *b));
                terms.fold(0, add) != 0
            });
            let weight = weight.map(|(_, weight)| weight).sum();
            best = Some(best.map_or(weight, |best: usize| best.min(weight)));
        }
        if !next(&mut chosen, columns.len()) {
            return best;
        }
    }
}

fn add(a: u64, b: u64) -> u64 {
    let mut sum = [a];
    subtract(&mut sum, b, &[MINUS_ONE]);
    let [sum] = sum;
    sum
}

/// `-1` modulo the prime.
const MINUS_ONE: u64 = (1 << 61) - 2;

/// `n` over `k`; none where it overflows.
fn combinations(n: usize, k: usize) -> Option<u64> {
    let (n, k) = (u64::try_from(n).ok()?, u64::try_from(k).ok()?);
    (0..k).try_fold(1u64, |so_far, i| Some(so_far.checked_mul(n.checked_sub(i)?)? / (i + 1)))
}

/// The next choice of ascending places below `n`.
fn next(chosen: &mut [usize], n: usize) -> bool {
    let count = chosen.len();
    let movable = chosen.iter().enumerate().rev().find(|(i, place)| **place + count - i < n);
    let Some((first, place)) = movable.map(|(i, place)| (i, *place)) else { return false };
    let moved = chosen.iter_mut().skip(first);
    moved.zip(place + 1..).for_each(|(place, to)| *place = to);
    true
}

/// The factors of the rows whose combination is zero in these columns, `rank - 1` of them; none
/// unless there is one but for a factor.
fn kernel(columns: &[&[u64]], rank: usize) -> Option<Vec<u64>> {
    let mut rows: Vec<(usize, Vec<u64>)> = Vec::new();
    for column in columns {
        let mut row = column.to_vec();
        for (pivot, known) in &rows {
            let factor = *row.get(*pivot)?;
            subtract(&mut row, factor, known);
        }
        let (pivot, first) = row.iter().copied().enumerate().find(|(_, cell)| *cell != 0)?;
        let inverse = inverse(first);
        row.iter_mut().for_each(|cell| *cell = multiply(*cell, inverse));
        for (_, known) in &mut rows {
            let factor = *known.get(pivot)?;
            subtract(known, factor, &row);
        }
        rows.push((pivot, row));
    }
    let free = (0..rank).find(|place| rows.iter().all(|(pivot, _)| pivot != place))?;
    let mut factors = vec![0; rank];
    *factors.get_mut(free)? = 1;
    for (pivot, row) in &rows {
        *factors.get_mut(*pivot)? = multiply(*row.get(free)?, MINUS_ONE);
    }
    Some(factors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_all_made_once() {
        let mut chosen = vec![0, 1, 2];
        let mut seen = std::collections::BTreeSet::new();
        loop {
            assert!(seen.insert(chosen.clone()));
            if !next(&mut chosen, 6) {
                break;
            }
        }
        assert_eq!((seen.len() as u64, combinations(6, 3)), (20, Some(20)));
        assert_eq!(
            (combinations(5, 0), combinations(2, 3), next(&mut [], 4)),
            (Some(1), Some(0), false)
        );
        assert_eq!(combinations(10_000, 5_000), None);
    }

    #[test]
    fn what_takes_too_long_is_not_tried() {
        let columns = vec![vec![1; 20]; 60];
        assert_eq!(search(&columns, 20, &[1; 60]), None);
    }
}
