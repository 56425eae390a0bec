//! A finished run, as it is kept.

use std::fmt;
use std::path::Path;

use anyhow::{Context, ensure};
use ringfence_options::name;
use ringfence_weights::Weights;
use serde::{Deserialize, Serialize};

use super::method::MethodName;

/// Which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) method: MethodName,
    pub(super) seed: u64,
    pub(super) encrypted: bool,
}

impl Key {
    /// The run's row in a table, without its seed.
    pub(super) fn row(&self) -> String {
        let encrypted = if self.encrypted { "-encrypted" } else { "" };
        format!("{}{encrypted}", name(self.method))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-seed-{}", self.row(), self.seed))
    }
}

/// A site's test scores, by the scores' names, the primary one first.
pub(super) type Table = Vec<(String, Vec<(String, f64)>)>;

/// What a run gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) key: Key,
    /// Everything that the run follows from, beside the images.
    pub(super) settings: serde_json::Value,
    /// Primary score on validation images after each round, mean of the sites; round 0 is before
    /// the first.
    pub(super) validation: Vec<f64>,
    /// Rounds after which the models were taken: one number, or one for each site alone.
    pub(super) chosen: Vec<u32>,
    /// Test scores of each site's own or of the common model.
    pub(super) test: Table,
    /// Test scores after fine-tuning the common model at each site.
    pub(super) personalised: Option<Table>,
    pub(super) seconds: f64,
}

impl Run {
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
        ensure!(
            run.key == key && run.settings == *settings,
            "{} is a run with other settings or data; use another folder with --out",
            path.display()
        );
        Ok(Some(run))
    }

    /// The model that a site ends with: its own, the common one, or the common one fine-tuned.
    pub(super) fn model(&self, out: &Path, site: &str) -> anyhow::Result<Weights> {
        let folder = out.join("runs").join(self.key.to_string());
        let own = folder.join(format!("model-{site}.safetensors"));
        let path = if own.exists() { own } else { folder.join("model.safetensors") };
        Ok(Weights::load(&path)?)
    }

    /// The mean of the sites' primary test scores.
    pub(super) fn headline(&self) -> String {
        let name = self.test.first().and_then(|(_, scores)| scores.first());
        let name = name.map(|(name, _)| name.clone()).unwrap_or_default();
        let personal = match &self.personalised {
            Some(table) => format!(", fine-tuned {:.3}", mean(table, &name)),
            None => String::new(),
        };
        format!("{name} {:.3}{personal}", mean(&self.test, &name))
    }
}

/// The mean over sites of one score.
pub(super) fn mean(table: &Table, score: &str) -> f64 {
    let values: Vec<f64> = table
        .iter()
        .filter_map(|(_, scores)| scores.iter().find(|(name, _)| name == score).map(|(_, v)| *v))
        .collect();
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
