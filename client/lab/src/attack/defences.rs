//! `ringfence-lab defences`: what does the shadow defence hide, and at what cost, beside plainer ones?
//!
//! Each defence is tried in several strengths. Of each the attack on one image's gradient is scored, and
//! the light CNN that a federation of sites trains with it. Defences are compared where they cost
//! the model the same: at the strongest setting that costs less than a point of macro-F1.

mod kinds;
mod report;
mod trial;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use ringfence_learning::data::{Channels, load};
use ringfence_options::{DataArgs, at_least_one, each_once};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::job::Attacker;
use super::material::Material;
use super::terms::AttackName;
use super::victim::Victim;
use crate::files;
use crate::threads::each;
use kinds::Kind;
use report::Report;
use trial::{Attacked, Trained, Training, Trial};

/// Arguments of `ringfence-lab defences`.
#[derive(Debug, clap::Args)]
pub(crate) struct Defences {
    /// An image folder with labels.csv, or a MedMNIST .npz, with classes.
    #[arg(long)]
    data: PathBuf,
    #[command(flatten)]
    images_read: DataArgs,
    /// Side of the square images, in pixels: a multiple of 16.
    #[arg(long, default_value_t = 32)]
    side: usize,
    /// The attack, on the gradient of one image before the first round: inverting, idlg, dlg or linear.
    #[arg(long, value_enum, default_value = "inverting")]
    attack: AttackName,
    /// Images that are attacked without a defence; those on which that exceeds --above count.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    images: u64,
    /// PSNR in dB that the attack without a defence must exceed on an image, for it to count.
    #[arg(long, default_value_t = 20.0)]
    above: f64,
    /// Steps of Inverting Gradients.
    #[arg(long, default_value_t = super::inverting::STEPS, value_parser = at_least_one::<usize>)]
    steps: usize,
    /// Rounds of training.
    #[arg(long, default_value_t = 10, value_parser = at_least_one::<u32>)]
    rounds: u32,
    /// Round, from 0, whose amplitude of noise the attacked images have: it grows from round to round.
    #[arg(long, default_value_t = 0)]
    attacked_round: u32,
    /// Passes over a site's images a round.
    #[arg(long, default_value_t = 2, value_parser = at_least_one::<usize>)]
    epochs: usize,
    /// Seeds of training.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 3])]
    seeds: Vec<u64>,
    /// Defences by name, as in none, shadow, gaussian-1, clip-0.1; all of the list unless given.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Folder for results and report. Started again, results that are there are kept.
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

/// Seed of the division of the data, the attacked model and the attack.
const SEED: u64 = 1;

impl Defences {
    /// Attacks, trains, and reports.
    ///
    /// # Errors
    /// When the data are not fit, the folder holds results of other settings, or the attack without a
    /// defence exceeds --above on no image.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        ensure!(
            self.side >= 16 && self.side.is_multiple_of(16),
            "--side {}: expected a multiple of 16 from 16 pixels, which all attacked models take",
            self.side
        );
        ensure!(
            self.attacked_round < self.rounds,
            "--attacked-round {}: expected one of the {} rounds, counted from 0",
            self.attacked_round,
            self.rounds
        );
        ensure!(
            matches!(
                self.attack,
                AttackName::Inverting | AttackName::Idlg | AttackName::Dlg | AttackName::Linear
            ),
            "--attack {}: expected inverting, idlg, dlg or linear, which look for one image in one gradient",
            self.attack
        );
        each_once("--seeds", &self.seeds)?;
        files::result_folder(&self.out)?;
        let options = self.images_read.options((self.side, Channels::Grey), SEED, &[])?;
        let dataset = load(&self.data, &options)?;
        let material = Material::new(dataset.clone(), self.images as usize, SEED)?;
        material.check(self.attack)?;
        let mut kinds = if self.kinds.is_empty() { Kind::all() } else { self.kinds.clone() };
        if !kinds.contains(&Kind::None) {
            kinds.insert(0, Kind::None);
        }
        each_once("--kinds", &kinds)?;
        let training = Training::new(&dataset, self.rounds, self.epochs).context("--data")?;
        self.check_settings(&material)?;

        let victim = Victim::new(self.attack, None, &material, SEED)?;
        let attacker = Attacker::new(self.attack, victim, &material, (SEED, self.steps))?;
        let at = (self.attacked_round, self.rounds);
        let all: Vec<usize> = (0..material.targets.len()).collect();
        let attacked = |kind: Kind, images: &[usize]| {
            self.attacked(&Trial { attacker: &attacker, kind, at }, images)
        };
        let images = attacked(Kind::None, &all)?;
        let strong = images.iter().enumerate().filter(|(_, found)| found.plain.psnr > self.above);
        let strong: Vec<usize> = strong.map(|(image, _)| image).collect();
        ensure!(
            !strong.is_empty(),
            "the attack without a defence exceeds {} dB on none of {} images: there is nothing to defend; take a lower --above, more --steps or another --attack",
            self.above,
            images.len()
        );
        eprintln!("{} of {} images are attacked", strong.len(), images.len());
        // On a thread of its own, as all jobs.
        let cost = each(1, |_| kept(&self.file("cost", "shadow"), || training.cost()))?;
        let cost = cost.into_iter().next().context("the cost was not taken")?;
        let mut report = Report::new(self.above, &material, &strong, cost);
        for kind in &kinds {
            let found = attacked(*kind, &strong)?;
            let trained = each(u32::try_from(self.seeds.len())?, |place| {
                let seed = self.seeds.get(place as usize).copied().unwrap_or_default();
                let file = self.file(&format!("training/{kind}"), &format!("seed-{seed}"));
                kept(&file, || training.run(*kind, seed))
            })?;
            let f1: f64 = trained.iter().map(|run: &Trained| run.f1).sum();
            eprintln!("{kind}: macro-F1 {:.3}", f1 / trained.len().max(1) as f64);
            report.add(*kind, &found, &trained)?;
        }
        report.choose();
        files::write(
            &self.out.join("report.json"),
            serde_json::to_string_pretty(&report)?.as_bytes(),
        )?;
        files::write(&self.out.join("report.md"), report.table().as_bytes())?;
        println!("{}\n{}", report.table(), self.out.join("report.json").display());
        Ok(())
    }

    /// Attacks on these images.
    fn attacked(&self, trial: &Trial<'_>, images: &[usize]) -> anyhow::Result<Vec<Attacked>> {
        let file =
            |image: usize| self.file(&format!("attack/{}", trial.kind), &format!("{image:04}"));
        let is_missing = images.iter().any(|image| !file(*image).is_file());
        let denoiser = if is_missing { trial.denoiser()? } else { None };
        each(u32::try_from(images.len())?, |place| {
            let image = images.get(place as usize).copied().unwrap_or_default();
            kept(&file(image), || trial.attack(image, denoiser.as_ref()))
        })
    }

    /// Refuses a folder with results of other settings.
    fn check_settings(&self, material: &Material) -> anyhow::Result<()> {
        let images = material.targets.iter().flat_map(|target| &target.sample.image);
        let bytes: Vec<u8> = images.flat_map(|value| value.to_le_bytes()).collect();
        let settings = serde_json::json!({
            "side": self.side,
            "attack": self.attack,
            "images": self.images,
            "steps": self.steps,
            "rounds": self.rounds,
            "attacked_round": self.attacked_round,
            "epochs": self.epochs,
            "attacked": ringfence_crypto::Digest::of(&bytes).to_string(),
        });
        let _ = super::kept::Kept::open(&self.out, &settings)?;
        Ok(())
    }

    fn file(&self, folder: &str, name: &str) -> PathBuf {
        self.out.join("results").join(folder).join(format!("{name}.json"))
    }
}

/// A result from its file, or anew.
fn kept<T: Serialize + DeserializeOwned>(
    file: &Path,
    make: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if file.is_file() {
        let bytes =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        return serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is broken: remove it, and start again", file.display()));
    }
    let made = make()?;
    files::make_folder(file.parent().context("a result has no folder")?)?;
    files::write(file, serde_json::to_string_pretty(&made)?.as_bytes())?;
    Ok(made)
}
