//! `ringfence-lab audit-privacy`: does training leak less than the epsilon that is reported for it?
//!
//! The shipped trainer is attacked, and what the attacks find bounds epsilon from below. The bound
//! must not be above what is reported. That would say little of weak attacks: without noise they
//! must find that nothing is hidden, and five planted faults must be found as often as was computed
//! beforehand. What that shows, and what it cannot, is in `docs/privacy_audit.md`.

mod audit;
mod canaries;
mod checks;
mod curve;
mod family;
mod faulty;
mod guesses;
mod one_run;
mod progress;
mod report;
mod statistics;
mod training;

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::ValueEnum;
use ringfence_options::{name, number};
use ringfence_words::listed_by;

use crate::files;
use crate::threads::each;
use audit::{Audit, Outcome, Setting, View};
use checks::{Check, Checkup, Seen};
use faulty::Fault;
use progress::Progress;
use report::{Row, beyond};

/// Every image in every step, each step seen: where the bound can come near to epsilon.
const EVERY_STEP: Setting = Setting {
    name: "white box, every step",
    view: View::White,
    trainings: 4,
    classes: 16,
    images: 1,
    noise_multiplier: 1.4,
    rate: 1.0,
    steps: 2,
};

/// Poisson samples.
const SAMPLED: Setting = Setting {
    name: "white box, sampled",
    noise_multiplier: 1.5,
    rate: 0.25,
    steps: 16,
    trainings: 2,
    ..EVERY_STEP
};

/// Patients of four images each.
const PATIENTS: Setting = Setting {
    name: "white box, patients",
    classes: 8,
    images: 4,
    noise_multiplier: 2.0,
    trainings: 1,
    ..EVERY_STEP
};

/// Several steps in one go, and the losses of the last weights alone.
const LAST_WEIGHTS: Setting = Setting {
    name: "black box, last weights",
    view: View::Black,
    noise_multiplier: 2.0,
    steps: 4,
    trainings: 2,
    ..EVERY_STEP
};

/// Few units and little noise, so that it shows who takes part.
const CHECKED: Setting =
    Setting { name: "checks", trainings: 1, classes: 4, noise_multiplier: 0.7, ..SAMPLED };

/// Noise of the positive control, over the clip.
const NO_NOISE: f64 = 1e-3;
/// Runs of the positive control at most.
const CONTROLS: usize = 20;

/// Which faults are planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Faults {
    All,
    None,
    One(Fault),
}

fn faults(text: &str) -> Result<Faults, String> {
    match text {
        "all" => Ok(Faults::All),
        "none" => Ok(Faults::None),
        text => Fault::from_str(text, false).map(Faults::One).map_err(|_| {
            let known = Fault::value_variants().iter().map(|fault| name(*fault));
            format!("expected `all`, `none` or one of {}", listed_by(", ", known))
        }),
    }
}

/// Arguments of `ringfence-lab audit-privacy`.
#[derive(Debug, clap::Args)]
pub(crate) struct AuditPrivacy {
    /// Trainings of each audit, and of each planted fault.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Which faults are planted, to see that they are found: all, none, weak-noise, batch-clipping,
    /// shuffling, sampled-normaliser or images-for-patients.
    #[arg(long, default_value = "all", value_parser = faults)]
    fault: Faults,
    /// Only audits of what the last weights show. No fault is planted.
    #[arg(long, conflicts_with = "white_box")]
    black_box: bool,
    /// Only audits of what every step shows.
    #[arg(long)]
    white_box: bool,
    /// Fixes who takes part, and on one machine the noise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Confidence of each bound, and the share of the runs that must have a true one.
    #[arg(long, default_value_t = 0.95, value_parser = number::<f64>)]
    confidence: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Folder for the report: report.txt and report.json.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl AuditPrivacy {
    /// Audits, and reports.
    ///
    /// # Errors
    /// When an audit does not end as it should, and when files cannot be written.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let confidence = self.confidence;
        ensure!(
            (0.5..1.0).contains(&confidence),
            "--confidence: expected a number from 0.5 to below 1, found {confidence}"
        );
        let planted = self.planted()?;
        if let Some(out) = &self.out {
            files::result_folder(out)?;
        }
        let rows = self.rows(&planted)?;
        let (table, json) = (report::table(&rows), serde_json::to_string_pretty(&rows)?);
        if let Some(out) = &self.out {
            files::make_folder(out)?;
            files::write(&out.join("report.txt"), table.as_bytes())?;
            files::write(&out.join("report.json"), json.as_bytes())?;
        }
        if self.json {
            println!("{json}")
        } else {
            print!("{table}")
        }
        let broken: Vec<String> = rows.iter().filter(|row| !row.holds()).map(Row::said).collect();
        match broken.is_empty() {
            true => Ok(()),
            false => bail!("the audit failed; {}", listed_by("; ", broken)),
        }
    }

    fn planted(&self) -> anyhow::Result<Vec<Fault>> {
        match (self.fault, self.black_box) {
            (Faults::One(fault), true) => bail!(
                "--fault {}: found by what every step shows; leave out --black-box",
                name(fault)
            ),
            (Faults::One(fault), false) => Ok(vec![fault]),
            (Faults::All, false) => Ok(Fault::value_variants().to_vec()),
            (Faults::All, true) | (Faults::None, _) => Ok(Vec::new()),
        }
    }

    fn rows(&self, planted: &[Fault]) -> anyhow::Result<Vec<Row>> {
        let settings = [EVERY_STEP, SAMPLED, PATIENTS, LAST_WEIGHTS].into_iter().filter(
            |setting| match setting.view {
                View::White => !self.black_box,
                View::Black => !self.white_box,
            },
        );
        let settings: Vec<Setting> = settings.collect();
        let runs = self.runs as usize;
        let checks = usize::from(!self.black_box);
        let controls = runs.min(CONTROLS) * settings.len();
        let progress = Progress::new(controls + runs * (settings.len() + checks + planted.len()));
        let (mut controls, mut rows, mut patients) = (Vec::new(), Vec::new(), None);
        for setting in settings {
            let audit = Audit::new(setting, self.confidence)?;
            let control = self.outcomes(&audit, None, Some(NO_NOISE), &progress)?;
            controls.push(Row::control(&audit, &control));
            let outcomes = self.outcomes(&audit, None, None, &progress)?;
            let predicted = audit.rehearse(1.0);
            rows.push(Row::shipped(&audit, &outcomes, &predicted, self.confidence));
            if setting.images > 1 {
                patients = Some(audit);
            }
        }
        controls.append(&mut rows);
        let mut rows = controls;
        if let Some(patients) = patients {
            let checkup = Checkup::new(CHECKED)?;
            rows.extend(self.false_alarms(&checkup, &progress)?);
            for fault in planted {
                rows.push(self.fault(*fault, &patients, &checkup, &progress)?);
            }
        }
        Ok(rows)
    }

    /// The bounds of all runs.
    fn outcomes(
        &self,
        audit: &Audit,
        fault: Option<Fault>,
        noise: Option<f64>,
        progress: &Progress,
    ) -> anyhow::Result<Vec<Outcome>> {
        let runs = if noise.is_some() { self.runs.min(CONTROLS as u32) } else { self.runs };
        let run = |run| {
            let outcome = audit.run(self.seed_of(run), fault, noise)?;
            progress.ran(audit.setting.name);
            Ok(outcome)
        };
        each(runs, run)
    }

    /// How often each check finds the shipped trainer faulty.
    fn false_alarms(&self, checkup: &Checkup, progress: &Progress) -> anyhow::Result<[Row; 3]> {
        let seen = self.seen(checkup, None, progress)?;
        Ok(Check::ALL.map(|check| {
            let alarms = seen.iter().filter(|seen| seen.alarms(check)).count();
            Row::false_alarms(checkup, check, alarms, seen.len())
        }))
    }

    /// How often a planted fault is found, by the audit that is for it.
    fn fault(
        &self,
        fault: Fault,
        patients: &Audit,
        checkup: &Checkup,
        progress: &Progress,
    ) -> anyhow::Result<Row> {
        let check = match fault {
            Fault::WeakNoise => Check::Deviation,
            Fault::SampledNormaliser => Check::Constancy,
            Fault::Shuffling => Check::Participation,
            // Gradients at right angles: the batch's mean is long as the root of `b` under a
            // unit's, still far above the clip, and a unit's part in `b` times the clipped one is
            // that root.
            Fault::BatchClipping => {
                let batch = patients.setting.canaries() as f64 / 2.0;
                return self.beyond(fault, patients, batch.sqrt(), progress);
            }
            Fault::ImagesForPatients => {
                let images = patients.setting.images as f64;
                return self.beyond(fault, patients, images, progress);
            }
        };
        let seen = self.seen(checkup, Some(fault), progress)?;
        let found = seen.iter().filter(|seen| seen.alarms(check)).count();
        Ok(Row::checked(checkup, fault, (found, seen.len()), checkup.power(check)))
    }

    /// What all runs show to the checks.
    fn seen(
        &self,
        checkup: &Checkup,
        fault: Option<Fault>,
        progress: &Progress,
    ) -> anyhow::Result<Vec<Seen>> {
        let run = |run| {
            let seen = checkup.run(self.seed_of(run), fault)?;
            progress.ran(checkup.setting.name);
            Ok(seen)
        };
        each(self.runs, run)
    }

    /// A fault with which a unit shifts the sum by so many clips: how often bounds are above
    /// epsilon.
    fn beyond(
        &self,
        fault: Fault,
        audit: &Audit,
        shift: f64,
        progress: &Progress,
    ) -> anyhow::Result<Row> {
        let power = beyond(&audit.rehearse(shift), audit.family.declared);
        let outcomes = self.outcomes(audit, Some(fault), None, progress)?;
        Ok(Row::bounded(audit, fault, &outcomes, power))
    }

    /// Each run's own seed, far from those of other `--seed`s.
    fn seed_of(&self, run: u32) -> u64 {
        self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(run))
    }
}
