//! How far a predicted mask covers the true one.

use super::own_size::{DICE_AT_OWN_SIZE, JACCARD_AT_OWN_SIZE};
use super::score::{Score, Scores, ratio};

/// Pixels by truth and prediction, of one mask or of many.
///
/// `Dice = 2 TP / (2 TP + FP + FN)`, `Jaccard = TP / (TP + FP + FN)`, `accuracy` = share of pixels
/// that are right, where TP, FP and FN count the pixels that are inside by both, by the prediction
/// only, and by the truth only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    true_positive: u64,
    false_positive: u64,
    false_negative: u64,
    true_negative: u64,
}

impl Overlap {
    /// Of masks whose pixels are, pair by pair, inside by the truth and by the prediction.
    #[must_use]
    pub fn of(pixels: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut overlap = Self::default();
        for (truth, predicted) in pixels {
            let count = match (truth, predicted) {
                (true, true) => &mut overlap.true_positive,
                (false, true) => &mut overlap.false_positive,
                (true, false) => &mut overlap.false_negative,
                (false, false) => &mut overlap.true_negative,
            };
            *count += 1;
        }
        overlap
    }

    /// Counts the pixels of another mask, too: as one large image would score.
    pub fn add(&mut self, other: Self) {
        self.true_positive += other.true_positive;
        self.false_positive += other.false_positive;
        self.false_negative += other.false_negative;
        self.true_negative += other.true_negative;
    }

    /// What the true masks are throughout, where they are but one thing: to predict nothing, or
    /// everything, would be perfect there.
    #[must_use]
    pub fn one_class(&self) -> Option<&'static str> {
        if self.true_positive + self.false_negative == 0 {
            Some("nothing inside")
        } else if self.true_negative + self.false_positive == 0 {
            Some("everything inside")
        } else {
            None
        }
    }

    /// Whether nothing is inside, by the truth and by the prediction.
    #[must_use]
    pub fn both_empty(&self) -> bool {
        self.true_positive + self.false_positive + self.false_negative == 0
    }

    fn wrong(&self) -> f64 {
        (self.false_positive + self.false_negative) as f64
    }

    // Without anything inside, and nothing predicted, the prediction is perfect: hence the 1.

    /// The Dice coefficient; 1 where neither mask has anything inside.
    #[must_use]
    pub fn dice(&self) -> f64 {
        let both = 2.0 * self.true_positive as f64;
        ratio(both, both + self.wrong(), 1.0)
    }

    /// The Jaccard index; 1 where neither mask has anything inside.
    #[must_use]
    pub fn jaccard(&self) -> f64 {
        let both = self.true_positive as f64;
        ratio(both, both + self.wrong(), 1.0)
    }

    /// The share of pixels that are right; 1 where there is none.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        let right = (self.true_positive + self.true_negative) as f64;
        ratio(right, right + self.wrong(), 1.0)
    }
    /// The scores of masks at their images' own size: Dice and Jaccard, undefined where the truth is
    /// one thing throughout.
    #[must_use]
    pub fn scores_at_own_size(&self) -> Scores {
        let one_class = self.one_class();
        let told_apart = |value: f64| Some(value).filter(|_| one_class.is_none());
        let dice = Score { name: DICE_AT_OWN_SIZE, value: told_apart(self.dice()) };
        let jaccard = Score { name: JACCARD_AT_OWN_SIZE, value: told_apart(self.jaccard()) };
        Scores::new(dice, vec![jaccard]).of_one_class(one_class.map(str::to_owned))
    }
}
