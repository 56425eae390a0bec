//! Which of a site's models does best on the site's own validation images.

use std::fmt;

use ringfence_learning::{LearnError, SiteData, Task, evaluate};
use ringfence_options::score::score;
use ringfence_weights::Weights;
use ringfence_words::counted;
use serde::Serialize;

/// A site's own model, trained on its images alone.
pub(crate) const OWN: &str = "local only";

/// A site's models beside each other, and which of them to use there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct BestModel {
    /// Its name; `null` where the validation images do not tell.
    best: Option<&'static str>,
    /// Whether it is the site's own, so that the site should keep it; `null` where that is not known.
    keep_yours: Option<bool>,
    /// By which score.
    metric: Option<&'static str>,
    validation_images: usize,
    models: Vec<ModelScore>,
}

/// One model's score on the validation images.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct ModelScore {
    model: &'static str,
    /// `null` where it is undefined.
    score: Option<f64>,
}

impl BestModel {
    /// Of these models by their names: of equals the first, so that the site's own comes first and the
    /// common one before what is made from it.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub(crate) fn of(
        task: &dyn Task,
        site: &SiteData,
        models: &[(&'static str, &Weights)],
    ) -> Result<Self, LearnError> {
        let mut scores = Vec::new();
        if !site.validation.is_empty() {
            for (model, weights) in models {
                scores.push((*model, evaluate(task, weights, &site.validation)?.leading()));
            }
        }
        let names = models.iter().map(|(name, _)| *name);
        Ok(Self::between(names, &scores, site.validation.len()))
    }

    fn between(
        names: impl Iterator<Item = &'static str>,
        scores: &[(&'static str, Option<(&'static str, f64)>)],
        validation_images: usize,
    ) -> Self {
        let of = |model| scores.iter().find(|(name, _)| *name == model)?.1;
        let models: Vec<ModelScore> = names
            .map(|model| ModelScore { model, score: of(model).map(|(_, value)| value) })
            .collect();
        let mut best: Option<(&'static str, f64)> = None;
        for (model, value) in models.iter().filter_map(|of| Some((of.model, of.score?))) {
            if best.is_none_or(|(_, highest)| value > highest) {
                best = Some((model, value));
            }
        }
        let best = best.map(|(model, _)| model);
        let own_is_known = models.iter().any(|of| of.model == OWN && of.score.is_some());
        let keep_yours = best.filter(|_| own_is_known).map(|best| best == OWN);
        let metric = scores.iter().find_map(|(_, score)| Some(score.as_ref()?.0));
        Self { best, keep_yours, metric, validation_images, models }
    }
}

impl fmt::Display for BestModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { best, keep_yours, metric, validation_images, models } = self;
        let (Some(best), Some(metric)) = (best, metric) else {
            return match validation_images {
                0 => f.write_str("which model is best here is not known: there are no validation images"),
                _ => f.write_str("which model is best here is not known: every score on the validation images is undefined"),
            };
        };
        let images = counted(*validation_images as u64, "validation image");
        let each: Vec<String> =
            models.iter().map(|of| format!("{} {}", of.model, score(of.score))).collect();
        match keep_yours {
            Some(true) => {
                write!(f, "keep yours: no other model is better than the one trained here alone")?
            }
            _ => write!(f, "the {best} model is best")?,
        }
        write!(f, " on this site's {images} ({metric}: {})", each.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(scores: &[(&'static str, Option<f64>)]) -> BestModel {
        let of: Vec<_> = scores
            .iter()
            .map(|(model, score)| (*model, score.map(|value| ("Dice", value))))
            .collect();
        BestModel::between(scores.iter().map(|(model, _)| *model), &of, 4)
    }

    #[test]
    fn a_site_is_told_to_keep_its_own_model_where_no_other_is_better() {
        let three = |own, federated, personal| {
            said(&[(OWN, own), ("federated", federated), ("personalised", personal)])
        };
        let best = three(Some(0.7), Some(0.6), Some(0.69));
        assert_eq!((best.best, best.keep_yours), (Some(OWN), Some(true)));
        assert_eq!(
            best.to_string(),
            "keep yours: no other model is better than the one trained here alone on this site's 4 validation images (Dice: local only 0.700, federated 0.600, personalised 0.690)"
        );
        // Of equals the site's own; then the common one.
        assert_eq!(three(Some(0.7), Some(0.7), Some(0.7)).keep_yours, Some(true));
        assert_eq!(three(Some(0.5), Some(0.7), Some(0.7)).best, Some("federated"));
        let best = three(Some(0.5), Some(0.6), Some(0.7));
        assert_eq!((best.best, best.keep_yours), (Some("personalised"), Some(false)));
        assert!(best.to_string().starts_with("the personalised model is best on"), "{best}");
    }

    #[test]
    fn what_is_not_known_is_said() {
        let best = said(&[("federated", Some(0.6)), ("personalised", Some(0.7))]);
        assert_eq!((best.best, best.keep_yours), (Some("personalised"), None));
        let best = said(&[(OWN, None), ("federated", Some(0.6))]);
        assert_eq!((best.best, best.keep_yours), (Some("federated"), None));
        let best = said(&[(OWN, None), ("federated", None)]);
        assert_eq!((best.best, best.keep_yours), (None, None));
        assert!(best.to_string().contains("undefined"), "{best}");
        let none = BestModel::between(["federated"].into_iter(), &[], 0);
        assert!(none.to_string().contains("no validation images"), "{none}");
        assert_eq!(none.models.len(), 1);
    }
}
