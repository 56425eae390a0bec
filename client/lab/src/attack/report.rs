//! The report: what each attack finds at each stage, beside the guess.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use super::control::Control;
use super::job::{LabelRow, Row};
use super::kept::Kept;
use super::material::Material;
use super::score::ImageScore;
use super::terms::{AttackName, Stage};
use super::thresholds::Thresholds;
use super::{membership, page, sheet, site};
use crate::files;

/// All that was found.
#[derive(Serialize)]
pub(super) struct Report {
    /// Whether the images are phantoms.
    pub(super) generated: bool,
    /// Whether the positive controls hold; otherwise nothing here proves anything.
    pub(super) controls_hold: bool,
    pub(super) controls: [Control; 2],
    pub(super) thresholds: Thresholds,
    /// Images that the attacker knows.
    pub(super) public_images: usize,
    pub(super) victims: Vec<(AttackName, &'static str)>,
    pub(super) summary: Vec<Summary>,
    pub(super) labels_summary: Vec<LabelSummary>,
    pub(super) rows: Vec<Row>,
    pub(super) labels: Vec<LabelRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) membership: Option<membership::Section>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) site: Option<site::Section>,
    /// How long images' results took, each on one core, all added up.
    pub(super) seconds: f64,
}

/// An attack at a stage, over all images.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) attack: AttackName,
    pub(super) stage: String,
    pub(super) about: String,
    pub(super) images: usize,
    /// Means over the images.
    pub(super) mse: f64,
    pub(super) psnr: f64,
    pub(super) ssim: f64,
    pub(super) psnr_guess: f64,
    pub(super) ssim_guess: f64,
    /// Of the shadow defence: mean PSNR and SSIM of an attacker who does not know of it.
    pub(super) unaware: Option<(f64, f64)>,
    pub(super) gmsd: f64,
    pub(super) gmsd_guess: f64,
    /// Share of the images that the attack succeeded on.
    pub(super) success: f64,
    /// Share on which the attacker believes that he has found something.
    pub(super) found: f64,
    /// Of ciphertext: whether the score is that of guessing.
    pub(super) equals_guess: Option<bool>,
}

/// Label inference at a stage.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LabelSummary {
    pub(super) stage: String,
    pub(super) images: usize,
    /// Share of the images whose class is counted right, and the same of the guess: classes as frequent
    /// as among other images.
    pub(super) right: f64,
    pub(super) right_guess: f64,
}

impl Report {
    pub(super) fn new(
        generated: bool,
        material: &Material,
        controls: [Control; 2],
        thresholds: Thresholds,
    ) -> Self {
        Self {
            generated,
            controls_hold: controls.iter().all(|control| control.holds),
            controls,
            thresholds,
            public_images: material.public.inputs.len(),
            victims: Vec::new(),
            summary: Vec::new(),
            labels_summary: Vec::new(),
            rows: Vec::new(),
            labels: Vec::new(),
            membership: None,
            site: None,
            seconds: 0.0,
        }
    }

    /// Whether an attack on images succeeds on the plain gradients that it was tried on; nothing where
    /// it was tried on none. What it does not find elsewhere says something only if it does.
    pub(super) fn succeeds_plainly(&self, attack: AttackName) -> Option<bool> {
        let plain = Stage::Plain.to_string();
        let mut lines = self.summary.iter();
        let line = lines.find(|line| line.attack == attack && line.stage == plain)?;
        Some(line.success >= self.thresholds.control_plain_success)
    }

    /// The same in words, unless it does.
    pub(super) fn not_controlled(&self, attack: AttackName) -> Option<&'static str> {
        match self.succeeds_plainly(attack) {
            Some(true) => None,
            Some(false) => Some(
                "fails on plain gradients: what it does not find at other stages proves nothing",
            ),
            None => Some(
                "was not tried on plain gradients (--stage plain): what it does not find proves nothing",
            ),
        }
    }

    /// Which model an attack is tried on.
    pub(super) fn victim(&mut self, attack: AttackName, name: &'static str) {
        self.victims.push((attack, name));
    }

    /// Adds an attack's results.
    ///
    /// # Errors
    /// When one is not there.
    pub(super) fn add(
        &mut self,
        kept: &Kept,
        attack: AttackName,
        stages: &[Stage],
        material: &Material,
    ) -> anyhow::Result<()> {
        for stage in &attack.stages(stages) {
            let images = 0..material.targets.len();
            if attack.finds_images() {
                let rows = images.map(|image| kept.row(attack, *stage, image));
                let rows = rows.collect::<anyhow::Result<Vec<Row>>>()?;
                self.seconds += rows.iter().map(|row| row.seconds).sum::<f64>();
                self.summary.push(summary(attack, *stage, &rows, &self.thresholds));
                self.rows.extend(rows);
            } else {
                let rows = images.map(|image| kept.labels(*stage, image));
                let rows = rows.collect::<anyhow::Result<Vec<LabelRow>>>()?;
                let images: usize = rows.iter().map(|row| row.images).sum();
                let share = |count: usize| count as f64 / images.max(1) as f64;
                self.labels_summary.push(LabelSummary {
                    stage: stage.to_string(),
                    images,
                    right: share(rows.iter().map(|row| row.right).sum()),
                    right_guess: share(rows.iter().map(|row| row.right_guess).sum()),
                });
                self.labels.extend(rows);
            }
        }
        Ok(())
    }

    /// Writes `report.json`, `report.html` and a sheet of pictures for each attack.
    ///
    /// # Errors
    /// When files cannot be written.
    pub(super) fn write(
        &self,
        out: &Path,
        kept: &Kept,
        stages: &[Stage],
        material: &Material,
    ) -> anyhow::Result<()> {
        let attacks = self.victims.iter().map(|(attack, _)| *attack);
        for attack in attacks.filter(|attack| attack.finds_images()) {
            sheet::save(out, kept, attack, &attack.stages(stages), material)?;
        }
        files::write(&out.join("report.json"), serde_json::to_string_pretty(self)?.as_bytes())?;
        files::write(&out.join("report.html"), page::html(self)?.as_bytes())
    }

    /// The control that failed.
    pub(super) fn failed_control(&self) -> Option<String> {
        let failed = self.controls.iter().find(|control| !control.holds).map(|failed| {
            let Control { name, asked, found, .. } = failed;
            format!("{name}: expected {asked}, found {found:.3e}")
        });
        let of_members = || self.membership.as_ref().and_then(membership::Section::failed);
        failed.or_else(of_members).or_else(|| self.site.as_ref().and_then(site::Section::failed))
    }

    /// Results of attacks that have a section of their own.
    pub(super) fn results(&self) -> usize {
        let members = self.membership.as_ref().map_or(0, membership::Section::results);
        members + self.site.as_ref().map_or(0, site::Section::results)
    }

    /// What the page says of attacks that have a section of their own.
    ///
    /// # Errors
    /// Writing to a text does not fail.
    pub(super) fn sections(&self) -> anyhow::Result<String> {
        let members = self.membership.as_ref().map(membership::Section::html).transpose()?;
        let sites = self.site.as_ref().map(site::Section::html).transpose()?;
        Ok(members.into_iter().chain(sites).collect())
    }

    /// The tables for a terminal.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for Control { name, asked, found, holds, .. } in &self.controls {
            let holds = if *holds { "holds" } else { "FAILS" };
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{holds}  {name}: {} ({asked})", number(*found));
        }
        if !self.summary.is_empty() {
            let _ = writeln!(
                text,
                "\n{:<23}{:<12}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}{:>9}{:>7}",
                "attack",
                "stage",
                "PSNR",
                "guess",
                "SSIM",
                "guess",
                "GMSD",
                "guess",
                "success",
                "found"
            );
        }
        for line in &self.summary {
            let note = match line.equals_guess {
                Some(true) => "  as guessing",
                Some(false) => "  NOT AS GUESSING",
                None => "",
            };
            let note = match line.unaware {
                Some((psnr, _)) => format!("  {psnr:.1} of one who does not know"),
                None => note.to_owned(),
            };
            let _ = writeln!(
                text,
                "{:<23}{:<12}{:>7.1}{:>7.1}{:>7.2}{:>7.2}{:>7.2}{:>7.2}{:>8.0}%{:>6.0}%{note}",
                line.attack.name(),
                line.stage,
                line.psnr,
                line.psnr_guess,
                line.ssim,
                line.ssim_guess,
                line.gmsd,
                line.gmsd_guess,
                100.0 * line.success,
                100.0 * line.found
            );
        }
        for (attack, _) in self.victims.iter().filter(|(attack, _)| attack.finds_images()) {
            if let Some(reason) = self.not_controlled(*attack) {
                let _ = writeln!(text, "{attack} {reason}");
            }
        }
        for line in &self.labels_summary {
            let _ = writeln!(
                text,
                "labels {:<12} right {:.0} %, by guessing {:.0} %",
                line.stage,
                100.0 * line.right,
                100.0 * line.right_guess
            );
        }
        text.extend(self.membership.as_ref().map(membership::Section::text));
        text.extend(self.site.as_ref().map(site::Section::text));
        text
    }
}

/// Small numbers by their powers of ten, others with two digits.
pub(super) fn number(value: f64) -> String {
    if value.abs() < 0.01 { format!("{value:.1e}") } else { format!("{value:.2}") }
}

fn summary(attack: AttackName, stage: Stage, rows: &[Row], thresholds: &Thresholds) -> Summary {
    let count = rows.len().max(1) as f64;
    let mean = |of: &dyn Fn(&Row) -> f64| rows.iter().map(of).sum::<f64>() / count;
    let share = |of: &dyn Fn(&Row) -> bool| mean(&|row| f64::from(u8::from(of(row))));
    let Thresholds { success_psnr, success_above_guess, ciphertext_from_guess, .. } = *thresholds;
    let above = |row: &Row| row.psnr - row.psnr_guess;
    let from_guess = mean(&above);
    let variance = mean(&|row| (above(row) - from_guess).powi(2));
    let two_errors = 2.0 * (variance / count).sqrt();
    let equal = from_guess.abs() <= ciphertext_from_guess.max(two_errors);
    Summary {
        attack,
        stage: stage.to_string(),
        about: stage.about(),
        images: rows.len(),
        mse: mean(&|row| row.mse),
        psnr: mean(&|row| row.psnr),
        ssim: mean(&|row| row.ssim),
        psnr_guess: mean(&|row| row.psnr_guess),
        ssim_guess: mean(&|row| row.ssim_guess),
        unaware: unaware(rows),
        gmsd: mean(&|row| row.gmsd),
        gmsd_guess: mean(&|row| row.gmsd_guess),
        success: share(&|row| row.psnr >= success_psnr && above(row) >= success_above_guess),
        found: share(&|row| row.found),
        equals_guess: (stage == Stage::Ciphertext).then_some(equal),
    }
}

/// Mean PSNR and SSIM of an attacker who does not know the defence, where rows have them.
fn unaware(rows: &[Row]) -> Option<(f64, f64)> {
    let scores = rows.iter().map(|row| row.unaware).collect::<Option<Vec<ImageScore>>>()?;
    let count = scores.len().max(1) as f64;
    let mean = |of: fn(&ImageScore) -> f64| scores.iter().map(of).sum::<f64>() / count;
    (!scores.is_empty()).then(|| (mean(|score| score.psnr), mean(|score| score.ssim)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(psnr: f64, found: bool) -> Row {
        Row {
            attack: AttackName::Linear,
            stage: "ciphertext".into(),
            image: "x".into(),
            mse: 0.1,
            psnr,
            ssim: 0.5,
            mse_guess: 0.1,
            psnr_guess: 15.0,
            ssim_guess: 0.4,
            gmsd: 0.2,
            gmsd_guess: 0.3,
            found,
            unaware: None,
            seconds: 1.0,
        }
    }

    #[test]
    fn success_is_far_above_the_guess_and_ciphertext_is_near_it() {
        let thresholds = Thresholds::committed().unwrap();
        let of = |rows: &[Row]| summary(AttackName::Linear, Stage::Ciphertext, rows, &thresholds);
        let guessed = of(&[row(15.0, false), row(15.2, false)]);
        assert_eq!((guessed.success, guessed.found, guessed.equals_guess), (0.0, 0.0, Some(true)));
        let found = of(&[row(40.0, true), row(41.0, true), row(17.0, true), row(39.0, true)]);
        assert_eq!((found.success, found.equals_guess), (0.75, Some(false)));
        assert_eq!(number(3.2e-6), "3.2e-6");
        assert_eq!(number(42.5), "42.50");
    }
}
