//! Figures of merit.

/// One figure of merit.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Name, as in tables: `Dice`, `accuracy`.
    pub name: &'static str,
    /// In `[0, 1]`, higher is better.
    pub value: f64,
}

/// A task's scores on some samples, the one that matters most first.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    primary: Score,
    others: Vec<Score>,
}

impl Scores {
    /// Scores led by `primary`, by which checkpoints are chosen and models compared.
    #[must_use]
    pub fn new(primary: Score, others: Vec<Score>) -> Self {
        Self { primary, others }
    }

    /// The score by which checkpoints are chosen and models compared.
    #[must_use]
    pub fn primary(&self) -> &Score {
        &self.primary
    }

    /// All scores, the primary one first.
    pub fn iter(&self) -> impl Iterator<Item = &Score> {
        std::iter::once(&self.primary).chain(&self.others)
    }

    /// All scores as names and values, for a file.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, f64)> {
        self.iter().map(|score| (score.name.to_owned(), score.value)).collect()
    }

    /// The value of the score of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|score| score.name == name).map(|score| score.value)
    }
}

/// `a / b`, or `empty` where there is nothing to divide by.
pub(super) fn ratio(a: f64, b: f64, empty: f64) -> f64 {
    if b > 0.0 { a / b } else { empty }
}
