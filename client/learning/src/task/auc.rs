//! The area under the receiver operating characteristic.

/// The mean over the classes of the area under the curve of each class against all others (Provost
/// and Domingos, 2000, without weights, as MedMNIST's evaluation has it). With two classes both
/// areas are the same. Classes that no sample is of, or all are, have no area; `None` where none
/// has one.
///
/// `truths` are class numbers, `shares[i][k]` is the probability of class `k` for sample `i`.
pub(super) fn mean_auc(truths: &[u32], shares: &[Vec<f64>], classes: usize) -> Option<f64> {
    let of_class = |class: usize| {
        let ranked = truths
            .iter()
            .zip(shares)
            .filter_map(|(truth, shares)| Some((*shares.get(class)?, *truth as usize == class)));
        auc(ranked.collect())
    };
    let areas: Vec<f64> = (0..classes).filter_map(of_class).collect();
    (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
}

/// The share of pairs of one sample that is of the class and one that is not in which the first has
/// the higher value, where equal ones count half: the Mann-Whitney statistic (Hanley and McNeil,
/// 1982). `None` without pairs.
fn auc(mut ranked: Vec<(f64, bool)>) -> Option<f64> {
    ranked.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let (mut below, mut wins) = (0.0, 0.0);
    for equal in ranked.chunk_by(|(one, _), (other, _)| one == other) {
        let inside = equal.iter().filter(|(_, of_class)| *of_class).count() as f64;
        let outside = equal.len() as f64 - inside;
        wins += inside * (below + outside / 2.0);
        below += outside;
    }
    let pairs = below * (ranked.len() as f64 - below);
    (pairs > 0.0).then(|| wins / pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By counting pairs, as it is defined.
    fn counted(ranked: &[(f64, bool)]) -> Option<f64> {
        let of = |wanted: bool| ranked.iter().filter(move |(_, of_class)| *of_class == wanted);
        let (mut wins, mut pairs) = (0.0, 0.0);
        for (inside, _) in of(true) {
            for (outside, _) in of(false) {
                pairs += 1.0;
                wins += f64::from(inside > outside) + 0.5 * f64::from(inside == outside);
            }
        }
        (pairs > 0.0).then(|| wins / pairs)
    }

    #[test]
    fn areas_are_the_shares_of_ordered_pairs() {
        // Ties within and across the classes, in no order.
        let ranked: Vec<(f64, bool)> =
            (0..60_u32).map(|i| (f64::from(i * 7919 % 11) / 11.0, i * 104_729 % 5 < 2)).collect();
        let area = auc(ranked.clone()).unwrap();
        assert!((area - counted(&ranked).unwrap()).abs() < 1e-12);
        assert!((0.1..0.9).contains(&area), "{area}");
        assert_eq!(auc(vec![(0.1, false), (0.2, false), (0.9, true)]), Some(1.0));
        assert_eq!(auc(vec![(0.9, false), (0.2, true)]), Some(0.0));
        assert_eq!(auc(vec![(0.9, true), (0.2, true)]), None);
        assert_eq!(auc(vec![]), None);
    }

    #[test]
    fn classes_that_do_not_occur_have_no_part_in_the_mean() {
        let shares = [[0.6, 0.4, 0.0], [0.5, 0.5, 0.0], [0.7, 0.3, 0.0]].map(|row| row.to_vec());
        // Class 0 against 1: one of two pairs; the same of class 1; class 2 is nowhere.
        let area = mean_auc(&[0, 1, 1], &shares, 3).unwrap();
        assert!((area - 0.5).abs() < 1e-12, "{area}");
        assert_eq!(mean_auc(&[1, 1, 1], &shares, 3), None);
    }
}
