//! Divergences that are computed once and serve many compositions.

use std::sync::OnceLock;

use super::{RdpEpsilon, check_order, conversion, divergence};
use crate::error::{Error, check_delta, expect};
use crate::mechanism::Mechanism;

/// The divergence of each of some mechanisms at each of some orders, computed when it is first asked
/// for. An accountant spends its time on divergences: adding them up costs next to nothing. So whoever
/// asks for many compositions of the same mechanisms keeps one of these.
#[derive(Debug)]
pub struct Curves {
    orders: Vec<f64>,
    mechanisms: Vec<(Mechanism, Vec<OnceLock<f64>>)>,
}

impl Curves {
    /// Of these mechanisms, over rising orders of the caller's. Nothing is computed yet.
    ///
    /// # Errors
    /// Numbers outside their ranges; orders that do not rise, or none.
    pub fn new(orders: Vec<f64>, mechanisms: &[Mechanism]) -> Result<Self, Error> {
        orders.iter().try_for_each(|order| check_order(*order).map(|_| ()))?;
        expect("number of orders", orders.len() as f64, "at least 1", !orders.is_empty())?;
        let rising = orders.is_sorted();
        expect("orders", orders.len() as f64, "a list that rises", rising)?;
        let none = || orders.iter().map(|_| OnceLock::new()).collect();
        let curve = |mechanism: &Mechanism| mechanism.check().map(|()| (*mechanism, none()));
        let mechanisms = mechanisms.iter().map(curve).collect::<Result<_, _>>()?;
        Ok(Self { orders, mechanisms })
    }

    /// The epsilon of a composition: how often each of the mechanisms was applied, in their order; 0
    /// of none.
    ///
    /// # Errors
    /// A delta outside its range, or another number of times than of mechanisms.
    pub fn epsilon(&self, times: &[u64], delta: f64) -> Result<RdpEpsilon, Error> {
        check_delta(delta)?;
        let right = times.len() == self.mechanisms.len();
        expect("how often", times.len() as f64, "a number for each mechanism", right)?;
        let mut best = RdpEpsilon { epsilon: f64::INFINITY, order: 1.0 };
        let used = || self.mechanisms.iter().zip(times).filter(|(_, times)| **times > 0);
        if used().next().is_none() {
            return Ok(RdpEpsilon { epsilon: 0.0, ..best });
        }
        for (place, &order) in self.orders.iter().enumerate() {
            let of = |(mechanism, curve): &(Mechanism, Vec<OnceLock<f64>>)| match curve.get(place) {
                Some(kept) => *kept.get_or_init(|| divergence(mechanism, order)),
                // Curves are as long as the orders are.
                None => divergence(mechanism, order),
            };
            let spent = used().map(|(curve, times)| *times as f64 * of(curve)).sum::<f64>();
            // The divergence rises with the order, and so does what the conversion adds to it apart
            // from delta: no later order can do better than this.
            if spent + conversion(order, 0.0) > best.epsilon {
                break;
            }
            let epsilon = spent + conversion(order, delta.ln());
            if epsilon < best.epsilon {
                best = RdpEpsilon { epsilon, order };
            }
        }
        Ok(RdpEpsilon { epsilon: best.epsilon.max(0.0), ..best })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{epsilon, orders};
    use super::*;

    #[test]
    fn what_is_kept_changes_no_answer() {
        let mechanisms = [1.1, 2.0, 3.5].map(|noise| Mechanism::gaussian(noise, 0.02));
        let curves = Curves::new(orders(), &mechanisms).unwrap();
        for times in [[10, 0, 0], [10, 3, 700], [0, 1, 0], [5, 5, 5], [10, 0, 0]] {
            let used = mechanisms.into_iter().zip(times).filter(|(_, times)| *times > 0);
            let alone = epsilon(&used.collect::<Vec<_>>(), 1e-6).unwrap();
            assert_eq!(curves.epsilon(&times, 1e-6).unwrap(), alone, "{times:?}");
        }
        assert_eq!(curves.epsilon(&[0; 3], 1e-6).unwrap().epsilon, 0.0);
        assert!(curves.epsilon(&[1; 2], 1e-6).is_err() && curves.epsilon(&[1; 3], 0.0).is_err());
    }
}
