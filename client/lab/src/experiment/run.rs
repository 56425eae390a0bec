//! A finished run, as it is kept.

use std::fmt;
use std::path::Path;

use anyhow::{Context, ensure};
use ringfence_learning::Scores;
use ringfence_options::name;
use ringfence_options::score::score;
use ringfence_weights::Weights;
use serde::{Deserialize, Serialize};

use super::method::MethodName;
use super::private::{Level, Statement};

/// Which run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) method: MethodName,
    pub(super) seed: u64,
    pub(super) encrypted: bool,
    /// How private, where that is an axis of the experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) level: Option<Level>,
}

impl Key {
    /// The run's row in a table, without its seed.
    pub(super) fn row(&self) -> String {
        let encrypted = if self.encrypted { "-encrypted" } else { "" };
        let level = self.level.map(|level| format!("-{level}")).unwrap_or_default();
        format!("{}{encrypted}{level}", name(self.method))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-seed-{}", self.row(), self.seed))
    }
}

/// The sites' test scores.
pub(super) type Table = Vec<SiteScores>;

/// A site's test scores.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SiteScores {
    pub(super) site: String,
    /// The class that all test images are of, where there is but one.
    pub(super) one_class: Option<String>,
    /// By the scores' names, the primary one first; `None` where one is undefined.
    pub(super) scores: Vec<(String, Option<f64>)>,
}

impl SiteScores {
    pub(super) fn new(site: &str, scores: &Scores) -> Self {
        let one_class = scores.one_class().map(str::to_owned);
        Self { site: site.to_owned(), one_class, scores: scores.pairs() }
    }

    pub(super) fn get(&self, score: &str) -> Option<f64> {
        self.scores.iter().find(|(name, _)| name == score)?.1
    }
}

/// What is kept of a run with a level beside the rest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PrivateRun {
    pub(super) statement: Statement,
    /// Test scores of the common model on all sites' images together.
    pub(super) together: SiteScores,
    /// Of ordinary training the round that does best on validation images, with its test scores:
    /// what choosing by a score would have given.
    pub(super) chosen: Option<(u32, Table)>,
}

/// What a run gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) key: Key,
    /// Everything that the run follows from, beside the images.
    pub(super) settings: serde_json::Value,
    /// Primary score on validation images after each round, mean of the sites; round 0 is before
    /// the first.
    pub(super) validation: Vec<f64>,
    /// Rounds after which the models were taken: one number, or one for each site alone. 0 is the
    /// first model.
    pub(super) chosen: Vec<u32>,
    /// Whether a site has no validation images: its training images stand for them.
    #[serde(default)]
    pub(super) by_training: bool,
    /// Test scores of each site's own or of the common model.
    pub(super) test: Table,
    /// Test scores after fine-tuning the common model at each site.
    pub(super) personalised: Option<Table>,
    /// Of a mixture each site's share of its own model, beside the common one and beside that one
    /// fine-tuned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shares: Option<(Vec<f64>, Vec<f64>)>,
    /// What a run is that has a level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) private: Option<PrivateRun>,
    pub(super) seconds: f64,
}

impl Run {
    /// Whether the folder holds a finished run, of whatever settings.
    pub(super) fn is_kept(folder: &Path) -> bool {
        folder.join("run.json").exists()
    }

    /// A finished run from its folder.
    pub(super) fn load(
        folder: &Path,
        key: Key,
        settings: &serde_json::Value,
    ) -> anyhow::Result<Option<Self>> {
        let path = folder.join("run.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let run: Self = serde_json::from_slice(&bytes).with_context(|| {
            format!("{} is no finished run; delete it, and it is repeated", path.display())
        })?;
        // As a file gives them back: a number that is read may differ in its last place from the one
        // that was written.
        let settings: serde_json::Value = serde_json::from_str(&settings.to_string())?;
        ensure!(
            run.key == key && run.settings == settings,
            "{} is a run with other settings or data; use another folder with --out",
            path.display()
        );
        Ok(Some(run))
    }

    /// The model that a site ends with: its own, the common one, or the common one fine-tuned.
    pub(super) fn model(&self, out: &Path, site: &str) -> anyhow::Result<Weights> {
        Self::model_in(&out.join("runs").join(self.key.to_string()), site)
    }

    /// The same from the run's folder.
    pub(super) fn model_in(folder: &Path, site: &str) -> anyhow::Result<Weights> {
        let own = folder.join(format!("model-{site}.safetensors"));
        let path = if own.exists() { own } else { folder.join("model.safetensors") };
        Ok(Weights::load(&path)?)
    }

    /// The mean of the sites' primary test scores.
    pub(super) fn headline(&self) -> String {
        let name = self.test.first().and_then(|site| site.scores.first());
        let name = name.map(|(name, _)| name.clone()).unwrap_or_default();
        let personal = match &self.personalised {
            Some(table) => format!(", fine-tuned {}", score(mean(table, &name))),
            None => String::new(),
        };
        let untrained = self.untrained().map(|text| format!("; {text}")).unwrap_or_default();
        let private = match &self.private {
            Some(private) => format!("; {}", private.statement),
            None => String::new(),
        };
        format!("{name} {}{personal}{untrained}{private}", score(mean(&self.test, &name)))
    }

    /// That the untrained model was chosen, if it was: no round did better on validation images.
    pub(super) fn untrained(&self) -> Option<String> {
        let untrained = self.chosen.iter().filter(|round| **round == 0).count();
        let by = match self.by_training {
            true => "validation images (training images where there are none)",
            false => "validation images",
        };
        let beaten = format!("no round beat the untrained model on {by}");
        match (untrained, self.chosen.len()) {
            (0, _) => None,
            (_, 1) => Some(beaten),
            (sites, all) => Some(format!("{beaten} at {sites} of {all} sites")),
        }
    }
}

/// The mean of one score over the sites where it is defined, if there are any.
pub(super) fn mean(table: &Table, score: &str) -> Option<f64> {
    let values: Vec<f64> = table.iter().filter_map(|site| site.get(score)).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_that_no_round_did_better_on_are_named() {
        let run = |by_training| {
            let run = serde_json::json!({
                "key": Key { method: MethodName::Fedavg, seed: 1, encrypted: false, level: None },
                "settings": null, "validation": [], "chosen": [0], "by_training": by_training,
                "test": [], "personalised": null, "seconds": 0.0,
            });
            serde_json::from_value::<Run>(run).unwrap().untrained().unwrap()
        };
        assert_eq!(run(false), "no round beat the untrained model on validation images");
        assert!(run(true).ends_with(" (training images where there are none)"));
    }

    #[test]
    fn a_run_is_known_again_by_settings_whose_numbers_are_long() {
        let folder = tempfile::tempdir().unwrap();
        let (method, seed, encrypted) = (MethodName::Fedavg, 1, false);
        let key = Key { method, seed, encrypted, level: Some(Level::Epsilon(1.0)) };
        let numbers: Vec<f64> = (1..2000).map(|i| f64::from(i).sqrt() / 3.0).collect();
        let settings = serde_json::json!({ "numbers": numbers });
        let (validation, chosen, test) = (Vec::new(), vec![1], Vec::new());
        let (personalised, private, seconds) = (None, None, 0.0);
        let run = Run {
            key,
            settings: settings.clone(),
            validation,
            chosen,
            by_training: false,
            test,
            personalised,
            shares: None,
            private,
            seconds,
        };
        assert!(Run::load(folder.path(), key, &settings).unwrap().is_none());
        let bytes = serde_json::to_vec_pretty(&run).unwrap();
        std::fs::write(folder.path().join("run.json"), bytes).unwrap();
        assert!(Run::load(folder.path(), key, &settings).unwrap().is_some());
        let other = serde_json::json!({ "numbers": [1.0] });
        assert!(Run::load(folder.path(), key, &other).is_err());
    }
}
