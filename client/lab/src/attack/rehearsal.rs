//! Whether an attack's answers are worth more than a guess, by images that the attacker knows: he plays
//! the victim himself, sees what he would see, and compares. Where his answers are worse than the
//! mean image, he answers with the mean image. The images under attack are not looked at.

use anyhow::Context;
use ringfence_learning::Sample;

use super::job::{Attacker, Outcome};
use super::material::Material;
use super::terms::{Public, Stage, Target};
use crate::threads::each;

/// Images that are rehearsed with, at most.
const IMAGES: usize = 2;

impl<'a> Attacker<'a> {
    /// Rehearses the attack at the stages of these results, and gives it up where it does worse than
    /// guessing.
    ///
    /// # Errors
    /// Those of the attack.
    pub(super) fn rehearsed(self, results: &[(Stage, usize)]) -> anyhow::Result<Self> {
        if !self.attack.is_rehearsed() {
            return Ok(self);
        }
        let mut stages: Vec<Stage> = results.iter().map(|(stage, _)| *stage).collect();
        stages.dedup();
        eprintln!("{}: rehearsed on known images", self.attack);
        let known = &self.material.public_samples;
        let (targets, others) = known.split_at(IMAGES.min(known.len() / 2));
        let played = |sample: &Sample| targets.iter().any(|target| target.group == sample.group);
        // Of other patients, as the images under attack are.
        let others: Vec<Sample> = others.iter().filter(|sample| !played(sample)).cloned().collect();
        if others.is_empty() {
            return Ok(self);
        }
        let material = Material {
            targets: targets.iter().map(Target::new).collect::<anyhow::Result<Vec<_>>>()?,
            others: others.clone(),
            public: Public::new(&others.iter().collect::<Vec<_>>())?,
            public_samples: others,
            classes: self.material.classes.clone(),
            side: self.material.side,
        };
        let own = self.material;
        let rehearsal = self.before(&material, Vec::new());
        let jobs = targets.len() * stages.len();
        let above = each(u32::try_from(jobs)?, |job| {
            let (place, image) = (job as usize / targets.len(), job as usize % targets.len());
            let stage = stages.get(place).context("no such stage")?;
            match rehearsal.run(*stage, image)? {
                Outcome::Image(row, _) => Ok(row.psnr - row.psnr_guess),
                Outcome::Labels(_) => Ok(0.0),
            }
        })?;
        let above = above.chunks(targets.len()).map(|images| images.iter().sum());
        let given_up = worse_than_guessing(&stages, &above.collect::<Vec<f64>>());
        Ok(rehearsal.before(own, given_up))
    }
}

/// The stages at which answers are so many dB above the guess, where that is less than none.
pub(super) fn worse_than_guessing(stages: &[Stage], above: &[f64]) -> Vec<Stage> {
    let worse = stages.iter().zip(above).filter(|(_, above)| **above < 0.0);
    worse.map(|(stage, _)| *stage).collect()
}
