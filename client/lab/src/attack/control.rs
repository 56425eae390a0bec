//! The positive control: on a plain gradient the attacks must succeed.

use ringfence_learning::Sample;
use serde::Serialize;

use super::job::Attacker;
use super::material::Material;
use super::score::ImageScore;
use super::terms::{AttackName, Target};
use super::thresholds::Thresholds;
use super::victim::Victim;

/// What a control has shown.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Control {
    pub(super) name: &'static str,
    pub(super) image: String,
    /// What is asked for, in words.
    pub(super) asked: String,
    pub(super) found: f64,
    pub(super) holds: bool,
}

/// Runs the controls on the first image.
///
/// # Errors
/// Those of the attacks.
pub(super) fn run(
    material: &Material,
    seed: u64,
    thresholds: &Thresholds,
) -> anyhow::Result<[Control; 2]> {
    let labelled = labelled(material);
    let Some(target) = labelled.targets.first() else {
        anyhow::bail!("no image is attacked; expected at least one (--images)");
    };
    let image = target.sample.name.clone();
    let found =
        |attack, victim| Attacker::new(attack, victim, &labelled, (seed, 0))?.control(target);

    let linear = AttackName::Linear;
    let grey = found(linear, Victim::new(linear, None, &labelled, seed)?)?;
    let away = grey.iter().zip(&target.sample.image).map(|(a, b)| f64::from((a - b).abs()));
    let error = away.fold(0.0, f64::max);
    let most = thresholds.control_linear_error;
    let linear = Control {
        name: "linear-layer inversion of the plain gradient, largest error of a grey value",
        image: image.clone(),
        asked: format!("below {most:e}"),
        found: error,
        holds: error < most,
    };

    let victim = Victim::lenet(labelled.side, &labelled.classes, seed)?;
    let grey = found(AttackName::Idlg, victim)?;
    let psnr = ImageScore::of(&grey, &target.sample.image).psnr;
    let least = thresholds.control_lenet_psnr;
    let lenet = Control {
        name: "iDLG on the plain gradient of the sigmoid LeNet, PSNR in dB",
        image,
        asked: format!("above {least}"),
        found: psnr,
        holds: psnr > least,
    };
    Ok([linear, lenet])
}

/// The attacked images with classes: where data have none, two that are made up.
fn labelled(material: &Material) -> Material {
    let needs = !material.fits(AttackName::Linear);
    let classes = if needs {
        ["made up", "made up, too"].map(String::from).to_vec()
    } else {
        material.classes.clone()
    };
    let sample = |sample: &Sample| Sample {
        label: if needs { Some(0) } else { sample.label },
        ..sample.clone()
    };
    let target = |target: &Target| {
        let label = sample(&target.sample).label;
        target.clone().labelled(label)
    };
    Material {
        targets: material.targets.iter().take(1).map(target).collect(),
        others: material.others.iter().map(sample).collect(),
        public: material.public.clone(),
        public_samples: material.public_samples.iter().map(sample).collect(),
        classes,
        side: material.side,
    }
}
