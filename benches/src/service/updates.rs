//! What both services work on: the same updates, whose plain mean is known.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use ringfence_weights::Weights;

use super::federation::{SITES, Service};

/// Values beyond this are clipped; the updates stay within.
pub(super) const CLIP: f32 = 0.5;

/// Their plain mean; they themselves lie in files.
#[derive(Debug)]
pub(super) struct Updates {
    values: usize,
    mean: Vec<f64>,
}

impl Updates {
    /// Makes them, as safetensors and as raw float32.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn make(folder: &Path, values: usize) -> anyhow::Result<Self> {
        let mut mean = vec![0.0; values];
        let base: Vec<f32> = (0..values).map(|k| value(SITES, k)).collect();
        save(&folder.join("model.safetensors"), base.clone())?;
        save_raw(&folder.join("model.f32"), &base)?;
        for site in 0..SITES {
            let update: Vec<f32> = (0..values).map(|k| value(site, k)).collect();
            let add = |(mean, value): (&mut f64, &f32)| *mean += f64::from(*value) / SITES as f64;
            mean.iter_mut().zip(&update).for_each(add);
            save_raw(&folder.join(format!("update-{site}.f32")), &update)?;
            save(&folder.join(format!("update-{site}.safetensors")), update)?;
        }
        Ok(Self { values, mean })
    }

    /// Compares what the sites got with the plain mean.
    ///
    /// # Errors
    /// When one is off by more than quantizing to 16 bits explains.
    pub(super) fn check(&self, service: &impl Service, round: usize) -> anyhow::Result<()> {
        let step = 2.0 * f64::from(CLIP) / f64::from(u16::MAX);
        for site in 0..SITES {
            let mean = service.mean(round, site)?;
            ensure!(mean.len() == self.values, "a mean of {} values", mean.len());
            let off =
                mean.iter().zip(&self.mean).map(|(got, plain)| (f64::from(*got) - plain).abs());
            let off = off.fold(0.0, f64::max);
            ensure!(off <= step, "site {site}'s mean is off by {off:e}, expected {step:e} at most");
        }
        Ok(())
    }
}

/// A value of a site's update, within the clip bound, the same every time.
fn value(site: usize, index: usize) -> f32 {
    let mixed = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(site as u32 * 9);
    let unit = (mixed >> 40) as f32 / (1 << 24) as f32;
    CLIP * (2.0 * unit - 1.0)
}

fn save(path: &Path, values: Vec<f32>) -> anyhow::Result<()> {
    let shape = [("weights".to_owned(), vec![values.len()])];
    Ok(Weights::from_values(&shape, values)?.save(path)?)
}

fn save_raw(path: &Path, values: &[f32]) -> anyhow::Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok(fs::write(path, bytes)?)
}
