//! Figures of merit.

/// One figure of merit.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Name, as in tables: `Dice`, `accuracy`.
    pub name: &'static str,
    /// In `[0, 1]`, higher is better. `None` where the samples leave it undefined.
    pub value: Option<f64>,
}

/// A task's scores on some samples, the one that matters most first.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    primary: Score,
    others: Vec<Score>,
    one_class: Option<String>,
}

impl Scores {
    /// Scores led by `primary`, by which checkpoints are chosen and models compared.
    #[must_use]
    pub fn new(primary: Score, others: Vec<Score>) -> Self {
        Self { primary, others, one_class: None }
    }

    /// The same, of samples that are all of this class (see [`Task::one_class`]).
    ///
    /// [`Task::one_class`]: super::Task::one_class
    #[must_use]
    pub fn of_one_class(self, one_class: Option<String>) -> Self {
        Self { one_class, ..self }
    }

    /// The score by which checkpoints are chosen and models compared.
    #[must_use]
    pub fn primary(&self) -> &Score {
        &self.primary
    }

    /// The class that all samples are of, where there is but one: to tell it from others was not
    /// asked for.
    #[must_use]
    pub fn one_class(&self) -> Option<&str> {
        self.one_class.as_deref()
    }

    /// The first score that is defined, the primary one wherever it is: what tells checkpoints
    /// apart on these samples.
    #[must_use]
    pub fn leading(&self) -> Option<(&'static str, f64)> {
        self.iter().find_map(|score| Some((score.name, score.value?)))
    }

    /// All scores, the primary one first.
    pub fn iter(&self) -> impl Iterator<Item = &Score> {
        std::iter::once(&self.primary).chain(&self.others)
    }

    /// All scores as names and values, for a file.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, Option<f64>)> {
        self.iter().map(|score| (score.name.to_owned(), score.value)).collect()
    }

    /// The value of the score of this name, if it is defined.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|score| score.name == name)?.value
    }
}

/// What a model is chosen by at several sites: the mean of the primary scores over the sites where
/// it is defined; if it is so nowhere, of what is ([`Scores::leading`]).
#[must_use]
pub fn mean_for_choice(sites: &[Scores]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let defined: Vec<f64> = sites.iter().filter_map(|scores| scores.primary.value).collect();
    if !defined.is_empty() {
        return mean(&defined);
    }
    let leading = sites.iter().filter_map(|scores| Some(scores.leading()?.1));
    mean(&leading.collect::<Vec<_>>())
}

/// `a / b`, or `empty` where there is nothing to divide by.
pub(super) fn ratio(a: f64, b: f64, empty: f64) -> f64 {
    if b > 0.0 { a / b } else { empty }
}
