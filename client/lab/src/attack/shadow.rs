//! Images as a site with the shadow defence trains on them.

use ringfence_learning::shadow::{DefendedRound, Shadow};
use ringfence_learning::{Classification, ModelName, Sample, Task};

use super::material::Material;
use super::victim::Victim;

/// A round, from 0, of so many.
pub(super) type At = (u32, u32);

/// The attacked models are those before the first round, where the defence's noise is weakest.
pub(super) const FIRST: At = (0, 10);

/// Seed of the defence's decoders. That of a study is public, and so is this.
const SEED: u64 = 1;

/// The images with the defence's noise. What it needs of a model, convolutions, the dense one does not
/// have, and no site could train that with the defence: the noise is made by the light CNN there, to
/// see what whoever rebuilds `x + n` perfectly has of `x`.
///
/// # Errors
/// Those of the defence.
pub(super) fn defended(
    victim: &Victim,
    material: &Material,
    samples: &[Sample],
    (round, rounds): At,
) -> anyhow::Result<Vec<Sample>> {
    let mut shadow = Shadow::new();
    if victim.name == ModelName::Dense.name() {
        let task = Classification::light(material.side, &material.classes)?;
        let start = &task.initial_weights(SEED)?;
        let at = DefendedRound { task: &task, start, samples, round, rounds, seed: SEED };
        return Ok(shadow.defended(&at)?);
    }
    let (task, start) = (victim.task.as_ref(), &victim.weights);
    Ok(shadow.defended(&DefendedRound { task, start, samples, round, rounds, seed: SEED })?)
}
