//! What attacks see and know, in files for another program: so a public attack library can be tried on
//! the same gradients (`benches/python/breaching_attack.py`).

use std::path::Path;

use anyhow::Context;

use super::job::Attacker;
use super::terms::Stage;
use crate::files;

/// Writes the plain gradient of each attacked image, the weights that it was taken at, the class that
/// the attacker is told, and the image, for the score: `DIR/ATTACK-NUMBER.json`.
///
/// # Errors
/// When a gradient cannot be taken, or a file cannot be written.
pub(super) fn plain_gradients(folder: &Path, attacker: &Attacker<'_>) -> anyhow::Result<()> {
    files::result_folder(folder)?;
    for (number, target) in attacker.material.targets.iter().enumerate() {
        let (sites, seen, seed) = attacker.sight(Stage::Plain, number)?;
        let weights = &sites.first().context("no site takes part")?.weights;
        let (low, high) = target.range();
        let seen = serde_json::json!({
            "attack": attacker.attack,
            "model": attacker.victim.name,
            "image": target.sample.name,
            "side": attacker.material.side,
            "classes": attacker.material.classes,
            "label": target.sample.label,
            "seed": seed,
            "steps": attacker.steps,
            // As the model gets it: mean 0, variance 1. Grey values are (input - low) / (high - low).
            "input": target.input,
            "low": low,
            "high": high,
            "shapes": weights.shapes(),
            "weights": weights.values().collect::<Vec<f32>>(),
            "gradient": seen.values,
        });
        let file = folder.join(format!("{}-{number:04}.json", attacker.attack));
        files::write(&file, &serde_json::to_vec(&seen)?)?;
    }
    Ok(())
}
