//! Who was in the training? Guesses from scores, and how many of them are right.

/// Guesses about canaries, each of which a fair coin put in or left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guesses {
    /// Canaries in all.
    pub(super) canaries: usize,
    /// Guesses made; about the other canaries nothing is said.
    pub(super) made: usize,
    /// Those that were right.
    pub(super) right: usize,
}

impl Guesses {
    /// Of so many guesses, those that go to the highest scores say "in"; the others, `out`, go to
    /// the lowest and say "out".
    pub(super) fn of(scores: &[f64], present: &[bool], (made, out): (usize, usize)) -> Self {
        let mut order: Vec<(f64, bool)> =
            scores.iter().copied().zip(present.iter().copied()).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let lowest = order.iter().take(out).filter(|(_, present)| !present).count();
        let highest = order.iter().rev().take(made - out).filter(|(_, present)| *present).count();
        Self { canaries: scores.len(), made, right: lowest + highest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_guessed_and_the_middle_is_left_out() {
        let scores = [0.1, 0.9, 0.5, -1.0, 0.4, 2.0];
        let present = [true, true, false, false, true, true];
        let guesses = Guesses::of(&scores, &present, (4, 2));
        // 0.9 and 2.0 are in; -1.0 is out and 0.1 is not.
        assert_eq!(guesses, Guesses { canaries: 6, made: 4, right: 3 });
        assert_eq!(Guesses::of(&scores, &present, (3, 0)).right, 2);
    }
}
