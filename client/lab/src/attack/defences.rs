//! `ringfence-lab defences`: what does the shadow defence hide, and at what cost, beside plainer ones?
//!
//! Each defence is tried in several strengths. Of each the attack on one image's gradient is scored, and
//! the light CNN that a federation of sites trains with it. Defences are compared where they cost
//! the model the same: at the strongest setting that costs less than a point of macro-F1.

mod kinds;
mod report;
mod trial;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use ringfence_learning::Dataset;
use ringfence_learning::data::{Channels, load};
use ringfence_options::{DataArgs, at_least_one, each_once};

use super::job::Attacker;
use super::kept::Kept;
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
        let results = self.results(&dataset)?;

        let victim = Victim::new(self.attack, None, &material, SEED)?;
        let attacker = Attacker::new(self.attack, victim, &material, (SEED, self.steps))?;
        let at = (self.attacked_round, self.rounds);
        let all: Vec<usize> = (0..material.targets.len()).collect();
        let of = |kind: Kind, images: &[usize]| {
            attacked(&results, &Trial { attacker: &attacker, kind, at }, images)
        };
        let images = of(Kind::None, &all)?;
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
        let cost = each(1, |_| results.made_once("cost/shadow", || training.cost()))?;
        let cost = cost.into_iter().next().context("the cost was not taken")?;
        let mut report = Report::new(self.above, &material, &strong, cost);
        for kind in &kinds {
            let found = of(*kind, &strong)?;
            let trained = each(u32::try_from(self.seeds.len())?, |place| {
                let seed = self.seeds.get(place as usize).copied().unwrap_or_default();
                let place = format!("training/{kind}/seed-{seed}");
                results.made_once(&place, || training.run(*kind, seed))
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

    /// The folder's results; one with results of other settings is refused.
    fn results(&self, dataset: &Dataset) -> anyhow::Result<Kept> {
        let settings = serde_json::json!({
            "side": self.side,
            "attack": self.attack,
            "images": self.images,
            "steps": self.steps,
            "rounds": self.rounds,
            "attacked_round": self.attacked_round,
            "epochs": self.epochs,
            "values": super::digest(dataset),
        });
        Kept::open(&self.out, &settings)
    }
}

/// Attacks on these images.
fn attacked(results: &Kept, trial: &Trial<'_>, images: &[usize]) -> anyhow::Result<Vec<Attacked>> {
    let place = |image: usize| format!("attack/{}/{image:04}", trial.kind);
    let is_missing = images.iter().any(|image| !results.has(&place(*image)));
    let denoiser = if is_missing { trial.denoiser()? } else { None };
    each(u32::try_from(images.len())?, |number| {
        let image = images.get(number as usize).copied().unwrap_or_default();
        results.made_once(&place(image), || trial.attack(image, denoiser.as_ref()))
    })
}
