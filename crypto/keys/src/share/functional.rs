//! One coefficient of a contributor's mask, from what its shares' holders post in a dispute.
//!
//! Coefficient `k` of `a_j s` is linear in the key's words: `sum_x row_x s[x]` with
//! `row_x = N^-1 point_x^-k a_j[x]`. So for word `u` of every polynomial the sum
//! `F_u = sum_p row_{p l + u} P_p` is a polynomial of degree below t, whose value at `-u` is that
//! word's part of the coefficient. Each holder posts the `l` values `F_u` at its own point, and no
//! more than these `l` is known of it then. `docs/disputes.md`, section 4.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ringfence_crypto::id::ManifestId;
use ringfence_crypto::ring::ciphertext::public_polynomial;
use ringfence_crypto::ring::codeword::{Words, holder_point, lagrange, secret_point};
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::{MODULUS, RING_DEGREE};
use ringfence_crypto::threshold::Threshold;
use zeroize::Zeroizing;

use super::dealt::DealtShare;
use crate::encrypt::transform::inverse_power;

/// `N^-1 mod q`.
const INVERSE_DEGREE: u64 = field::pow(RING_DEGREE as u64, MODULUS - 2);

/// No coefficient of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "coefficient {0} of a block: expected one below {RING_DEGREE}; the dispute names no position of a body"
)]
pub struct PositionError(pub u16);

/// The public row of one position: one factor for each of the `N` words of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(Vec<u64>);

impl Row {
    /// The row of a coefficient of a block, in the round of a manifest.
    ///
    /// # Errors
    /// [`PositionError`] unless `coefficient` is below `N`.
    pub fn of(manifest: ManifestId, block: u64, coefficient: u16) -> Result<Self, PositionError> {
        if usize::from(coefficient) >= RING_DEGREE {
            return Err(PositionError(coefficient));
        }
        let mut public = [0; RING_DEGREE];
        public_polynomial(manifest, block, &mut public);
        let factor = |(x, a): (usize, &u64)| {
            let power = inverse_power(x, coefficient.into());
            field::mul(field::mul(INVERSE_DEGREE, power), *a)
        };
        Ok(Self(public.iter().enumerate().map(factor).collect()))
    }

    /// `F_0` to `F_{l-1}` at the point of the holder that this share was dealt to. In constant time.
    pub fn of_share(&self, share: &DealtShare, threshold: &Threshold) -> Zeroizing<Vec<u64>> {
        let l = usize::from(threshold.packing);
        let mut values = Zeroizing::new(vec![0; l]);
        for (word, factors) in share.key_words().iter().zip(self.0.chunks(l)) {
            // The last polynomial has fewer factors where l does not divide N: it carries padding.
            for (value, factor) in values.iter_mut().zip(factors) {
                *value = field::add(*value, field::mul(*factor, *word));
            }
        }
        values
    }
}

/// A functional of one site's key: coefficient `k` of its `a_j s`.
///
/// It takes the mask off one coefficient of that site's body: as secret as the coefficient.
pub struct Determined {
    /// The functional.
    pub value: u64,
    /// Window offsets of holders that lied about it, ascending.
    pub strays: Vec<usize>,
}

/// What the holders have posted determines no functional.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undetermined {
    /// Too few of them: wait for more.
    #[error("{got} holders have posted functionals, needed {needed}: wait for others")]
    TooFew {
        /// `t + c'`.
        needed: usize,
        /// Holders that have posted.
        got: usize,
    },
    /// More lies than there are corrupt holders, or not enough answers to tell.
    #[error(
        "of {got} holders' functionals no {needed} agree: wait for others, unless all have posted; then more than c sites are corrupt"
    )]
    Inconsistent {
        /// How many must agree: `t + c'`, and all but `c'`.
        needed: usize,
        /// Holders that have posted.
        got: usize,
    },
}

impl Determined {
    /// The functional that holders posted: by window offset the `l` values of [`Row::of_share`], of
    /// holders whose openings count. At most `free` (`c'`) of them lie.
    ///
    /// Every polynomial needs `t + c'` values on one codeword, and all but `c'` of those that came;
    /// a holder that strays from any of them lied. An answer of another length than `l`, or with a
    /// word from q on, strays.
    ///
    /// # Errors
    /// [`Undetermined`] when there are too few values or too many lies.
    pub fn of_answers(
        answers: &BTreeMap<usize, &[u64]>,
        threshold: &Threshold,
        free: usize,
    ) -> Result<Self, Undetermined> {
        let (t, l) = (usize::from(threshold.opening), usize::from(threshold.packing));
        let got = answers.len();
        let enough = t.saturating_add(free);
        if got < enough {
            return Err(Undetermined::TooFew { needed: enough, got });
        }
        // Honest holders all agree, and they are all but `free` of those who answered.
        let needed = enough.max(got - free);
        let refuse = Undetermined::Inconsistent { needed, got };
        let sound = |values: &[u64]| values.len() == l && values.iter().all(|v| *v < MODULUS);
        let mut strays: BTreeSet<usize> = BTreeSet::new();
        strays.extend(answers.iter().filter(|(_, values)| !sound(values)).map(|(k, _)| *k));
        let sound: Vec<(usize, &[u64])> = (answers.iter().map(|(k, values)| (*k, *values)))
            .filter(|(offset, _)| !strays.contains(offset))
            .collect();
        let points: Vec<u64> = sound.iter().map(|(offset, _)| holder_point(*offset)).collect();
        for u in 0..l {
            let values = sound.iter().filter_map(|(_, values)| values.get(u)).copied().collect();
            let words = Words { points: points.clone(), values };
            let found = words.strays(t, needed).ok_or_else(|| refuse.clone())?;
            strays.extend(found.iter().filter_map(|at| sound.get(*at)).map(|(offset, _)| offset));
        }
        if got - strays.len() < needed {
            return Err(refuse);
        }
        let good = sound.iter().filter(|(offset, _)| !strays.contains(offset));
        let good: Vec<(usize, &[u64])> = good.copied().take(t).collect();
        Ok(Self { value: functional(&good, l), strays: strays.into_iter().collect() })
    }
}

/// `sum_u F_u(-u)` of polynomials through the values of t holders.
fn functional(values: &[(usize, &[u64])], l: usize) -> u64 {
    let nodes: Vec<u64> = values.iter().map(|(offset, _)| holder_point(*offset)).collect();
    (0..l).fold(0, |sum, u| {
        let weights = lagrange(&nodes, secret_point(u));
        let terms = weights.iter().zip(values.iter().filter_map(|(_, values)| values.get(u)));
        terms.fold(sum, |sum, (weight, value)| field::add(sum, field::mul(*weight, *value)))
    })
}

impl fmt::Debug for Determined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Determined(strays {:?})", self.strays)
    }
}

#[cfg(test)]
mod tests;
