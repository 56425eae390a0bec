//! `ringfence-lab attack`: what can be found in what leaves a site, from the plain gradient to the
//! ciphertext?
//!
//! Known attacks are run on images at stages of evidence. What each finds is scored beside the score
//! of whoever sees nothing and answers with the mean of other patients' images. A positive control
//! comes first: where the attacks fail on a plain gradient, their failure elsewhere proves nothing.
//! Every result is kept in a file of its own, and one that is there already is not made again. What
//! the attacks need and show is in `docs/attacks.md`.

mod adam;
mod answer;
mod control;
mod defences;
mod denoise;
mod export;
mod imprint;
mod inverting;
mod job;
mod kept;
mod labels;
mod lbfgs;
mod leakage;
mod lenet;
mod linear;
mod material;
mod membership;
mod number;
mod observe;
mod page;
mod progress;
mod rehearsal;
mod report;
mod ring;
mod score;
mod shadow;
mod sheet;
mod site;
mod terms;
#[cfg(test)]
mod tests;
mod thresholds;
#[cfg(test)]
mod unpinned;
mod victim;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use ringfence_crypto::Digest;
use ringfence_learning::data::phantom::{PhantomOptions, generate};
use ringfence_learning::data::{Channels, load};
use ringfence_learning::{Dataset, ModelName, Sample};
use ringfence_options::{DataArgs, at_least_one, duration, each_once};
use ringfence_words::counted;

use crate::files;
use crate::threads::each;
pub(crate) use defences::Defences;
use job::Attacker;
use kept::Kept;

use material::Material;
use progress::Progress;
use report::Report;
use terms::{AttackName, Stage};
use thresholds::Thresholds;
use victim::Victim;

/// Generated patients a hospital: enough for 20 attacked ones and others beside them.
const PATIENTS: usize = 16;

/// Arguments of `ringfence-lab attack`.
#[derive(Debug, clap::Args)]
pub(crate) struct Attack {
    /// An image folder with labels.csv, or a MedMNIST .npz; generated phantoms unless given.
    #[arg(long)]
    data: Option<PathBuf>,
    #[command(flatten)]
    images_read: DataArgs,
    /// Side of the square images, in pixels: a multiple of 16.
    #[arg(long, default_value_t = 32)]
    side: usize,
    /// Which attacks are run; linear, inverting and imprint unless given.
    #[arg(long, value_enum, value_delimiter = ',')]
    attack: Vec<AttackName>,
    /// Run all attacks that the data are fit for.
    #[arg(long, conflicts_with = "attack")]
    full: bool,
    /// What the attacker sees: plain, update, ciphertext, sum-N, dp-E, shadow, both; all of these, with
    /// N = 1, 2, 3, 5, 10 and E = 10, 6, 3, 1, unless given. And ring-N: what insiders of PPPML-HMI's
    /// ring see.
    #[arg(long, value_delimiter = ',')]
    stage: Vec<Stage>,
    /// The attacked model; each attack's own unless given.
    #[arg(long)]
    model: Option<ModelName>,
    /// Images that are attacked, each of another patient as far as there are enough.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    images: u64,
    /// Steps of Inverting Gradients.
    #[arg(long, default_value_t = inverting::STEPS, value_parser = at_least_one::<usize>)]
    steps: usize,
    /// Models that membership inference trains for each stage: each is attacked with the others as the
    /// attacker's.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(4..=1000))]
    shadow_models: u16,
    /// Fixes images, models, starts and noise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes what idlg and inverting see of plain gradients, too, for another program: a new folder.
    #[arg(long)]
    export: Option<PathBuf>,
    /// Folder for results, report and pictures. Started again, results that are there are kept.
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

impl Attack {
    /// Attacks, and reports.
    ///
    /// # Errors
    /// When data, models and attacks do not fit each other, the folder holds other results, or a
    /// positive control fails (the report is written all the same, and says so).
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let thresholds = Thresholds::committed()?;
        each_once("--attack", self.attack.iter().map(|attack| attack.name()))?;
        each_once("--stage", self.stage.iter().map(ToString::to_string))?;
        files::result_folder(&self.out)?;
        let dataset = self.dataset()?;
        let material = Material::new(dataset.clone(), self.images as usize, self.seed)?;
        let stages = if self.stage.is_empty() { Stage::usual() } else { self.stage.clone() };
        let attacks = self.at_stages(self.attacks(&material)?, &stages)?;
        let (own, attacks): (Vec<AttackName>, Vec<AttackName>) =
            attacks.into_iter().partition(|attack| attack.has_own_section());
        let own = self.with_own_section(own, &stages, &dataset)?;
        if let Some(model) = self.model {
            attacks.iter().try_for_each(|attack| victim::check(*attack, model))?;
        }
        self.check_export(&attacks)?;
        let kept = Kept::open(&self.out, &self.settings(&dataset))?;
        let started = Instant::now();

        eprintln!("positive controls");
        let controls = control::run(&material, self.seed, &thresholds)?;
        let mut report = Report::new(self.data.is_none(), &material, controls, thresholds);
        let each_stage = attacks.iter().map(|attack| attack.stages(&stages).len());
        let all = each_stage.sum::<usize>() * material.targets.len();
        let progress = Progress::new();
        for attack in &attacks {
            progress.plan(*attack, kept.missing(*attack, &stages, &material).len());
        }
        for attack in attacks {
            let victim = Victim::new(attack, self.model, &material, self.seed)?;
            report.victim(attack, victim.name);
            let missing = kept.missing(attack, &stages, &material);
            let exported = self.export.as_ref().filter(|_| attack.is_compared());
            if !missing.is_empty() || exported.is_some() {
                let attacker = Attacker::new(attack, victim, &material, (self.seed, self.steps))?;
                if let Some(folder) = exported {
                    export::plain_gradients(folder, &attacker)?;
                }
                let attacker = attacker.rehearsed(&missing)?;
                each(u32::try_from(missing.len())?, |place| {
                    let Some((stage, image)) = missing.get(place as usize).copied() else {
                        return Ok(());
                    };
                    let before = Instant::now();
                    kept.keep(attack, stage, image, &attacker.run(stage, image)?)?;
                    progress.ended(attack, stage, before.elapsed());
                    Ok(())
                })?;
            }
            report.add(&kept, attack, &stages, &material)?;
        }
        for attack in own {
            let (model, seed, files) = (self.model, self.seed, (&kept, &progress));
            if attack == AttackName::Membership {
                let models = self.shadow_models.into();
                let request = membership::Request { dataset: &dataset, model, models, seed };
                let section = membership::run(&request, &stages, files, &thresholds)?;
                report.membership = Some(section);
            } else {
                let updates = self.images as usize;
                let request = site::Request { dataset: &dataset, model, updates, seed };
                report.site = Some(site::run(&request, &stages, files)?);
            }
        }
        report.write(&self.out, &kept, &stages, &material)?;
        println!("{}", report.text());
        println!(
            "{}, which took one core {}; this start took {}; {}",
            counted((all + report.results()) as u64, "result"),
            duration(Duration::try_from_secs_f64(report.seconds).unwrap_or_default()),
            duration(started.elapsed()),
            self.out.join("report.html").display()
        );
        if let Some(failed) = report.failed_control() {
            bail!("{failed}: the attacks are too weak here, and the report proves nothing");
        }
        Ok(())
    }

    fn dataset(&self) -> anyhow::Result<Dataset> {
        ensure!(
            self.side >= 16 && self.side.is_multiple_of(16),
            "--side {}: expected a multiple of 16 from 16 pixels, which all attacked models take",
            self.side
        );
        let Some(path) = &self.data else {
            self.images_read.check_without_data()?;
            let sites = self.images_read.sites.unwrap_or(PhantomOptions::default().sites);
            let (side, seed) = (self.side, self.seed);
            let options = PhantomOptions {
                side,
                sites,
                seed,
                patients: PATIENTS,
                ..PhantomOptions::default()
            };
            println!("no --data: the images are generated phantoms, no patients");
            return Ok(generate(&options)?);
        };
        let options = self.images_read.options((self.side, Channels::Grey), self.seed, &[])?;
        Ok(load(path, &options)?)
    }

    /// The attacks that are asked for, or those of the usual ones that the data are fit for.
    fn attacks(&self, material: &Material) -> anyhow::Result<Vec<AttackName>> {
        if !self.attack.is_empty() {
            self.attack.iter().try_for_each(|attack| material.check(*attack))?;
            return Ok(self.attack.clone());
        }
        let all = if self.full { &AttackName::ALL[..] } else { &AttackName::USUAL[..] };
        let fitting = |attack: &&AttackName| material.fits(**attack);
        let mut attacks: Vec<AttackName> = all.iter().filter(fitting).copied().collect();
        if let Some(model) = self.model {
            attacks.retain(|attack| attack.models().contains(&model));
            ensure!(
                !attacks.is_empty(),
                "--model {model}: none of the attacks that are run by default fits it; name one with --attack"
            );
        }
        if attacks.is_empty() {
            attacks.push(AttackName::InvertingSegmentation);
            material.check(AttackName::InvertingSegmentation)?;
        }
        Ok(attacks)
    }

    /// Those that are tried at any of the stages; of attacks that are asked for, all must be.
    fn at_stages(
        &self,
        mut attacks: Vec<AttackName>,
        stages: &[Stage],
    ) -> anyhow::Result<Vec<AttackName>> {
        let none = |attack: &AttackName| attack.stages(stages).is_empty();
        if let Some(attack) = attacks.iter().find(|attack| none(attack))
            && (!self.attack.is_empty() || attacks.iter().all(none))
        {
            bail!(
                "--attack {attack}: the stages shadow and both are for attacks on classification, which the shadow defence is for; add other stages, or take --attack inverting on data with classes"
            );
        }
        attacks.retain(|attack| !none(attack));
        Ok(attacks)
    }

    /// Those attacks with a section of their own that stages and data are fit for.
    fn with_own_section(
        &self,
        attacks: Vec<AttackName>,
        stages: &[Stage],
        dataset: &Dataset,
    ) -> anyhow::Result<Vec<AttackName>> {
        let mut fit = Vec::new();
        for attack in attacks {
            if let Some(model) = self.model {
                victim::check(attack, model)?;
            }
            let checked = match attack {
                AttackName::Membership => membership::check(stages, dataset),
                _ => site::check(dataset),
            };
            match checked {
                Ok(()) => fit.push(attack),
                // Not asked for by its name.
                Err(error) if self.attack.is_empty() => eprintln!("left out: {error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(fit)
    }

    /// What all results follow from, beside the program.
    fn settings(&self, dataset: &Dataset) -> serde_json::Value {
        serde_json::json!({
            "side": self.side,
            "images": self.images,
            "seed": self.seed,
            "model": self.model,
            "steps": self.steps,
            "shadow_models": self.shadow_models,
            // The last in the alphabet: other settings explain other images.
            "values": digest(dataset),
        })
    }

    /// Refuses a folder for exported gradients that has something in it, or gets nothing.
    fn check_export(&self, attacks: &[AttackName]) -> anyhow::Result<()> {
        let Some(folder) = &self.export else { return Ok(()) };
        ensure!(
            attacks.iter().any(|attack| attack.is_compared()),
            "--export: expected --attack idlg or inverting, whose gradients are written; neither is run"
        );
        let is_used = std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some());
        ensure!(
            !is_used,
            "--export {}: expected a new or an empty folder, found files in it",
            folder.display()
        );
        Ok(())
    }
}

/// A digest of all images with their names, patients, classes and masks, and of which site and split
/// each is.
fn digest(dataset: &Dataset) -> String {
    let mut text = format!("{:?}", dataset.classes);
    for site in &dataset.sites {
        for (split, sample) in site.samples() {
            let Sample { name, group, label, mask, image, .. } = sample;
            let bytes: Vec<u8> = image.iter().flat_map(|value| value.to_le_bytes()).collect();
            let image = Digest::of(&bytes);
            text += &format!("\n{} {split:?} {name} {group} {label:?} {mask:?} {image}", site.site);
        }
    }
    Digest::of(text.as_bytes()).to_string()
}
