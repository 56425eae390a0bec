//! What each defence hides and what it costs, side by side.

use std::fmt::Write;

use serde::Serialize;

use super::kinds::Kind;
use super::trial::{Attacked, Cost, Trained};
use crate::attack::material::Material;
use crate::attack::score::ImageScore;

/// Points of macro-F1, in hundredths, below which a loss counts as none.
const MOST_LOSS: f64 = 1.0;

/// All that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// PSNR in dB that the attack without a defence exceeds on every image that counts.
    above: f64,
    /// How many images were attacked without a defence, and how many of them count.
    images: usize,
    counting: usize,
    /// What the shadow defence costs.
    cost: Cost,
    lines: Vec<Line>,
}

/// A defence at one strength. Scores of attacks are means over the images.
#[derive(Clone, Debug, Serialize)]
struct Line {
    defence: String,
    family: &'static str,
    /// Mean macro-F1 of the test images over the seeds, and its standard deviation.
    f1: f64,
    f1_deviation: f64,
    /// Points of it that the defence costs.
    f1_loss: f64,
    psnr: f64,
    ssim: f64,
    /// Of an attacker who knows of noise on images.
    psnr_aware: f64,
    ssim_aware: f64,
    /// Of the image as it was trained on.
    psnr_trained_on: f64,
    ssim_trained_on: f64,
    psnr_guess: f64,
    ssim_guess: f64,
    /// What the defence takes from the attack.
    psnr_down: f64,
    ssim_down: f64,
    psnr_down_aware: f64,
    ssim_down_aware: f64,
    /// Of DP-SGD: epsilon of one step on one image, at delta 1e-5.
    epsilon_of_a_step: Option<f64>,
    /// Seconds of a training, mean over the seeds.
    seconds: f64,
    /// Whether its family is compared at this strength.
    compared: bool,
}

impl Report {
    pub(super) fn new(above: f64, material: &Material, counting: &[usize], cost: Cost) -> Self {
        let (images, counting) = (material.targets.len(), counting.len());
        Self { above, images, counting, cost, lines: Vec::new() }
    }

    /// Adds a defence; the first is none.
    ///
    /// # Errors
    /// When epsilon cannot be computed.
    pub(super) fn add(
        &mut self,
        kind: Kind,
        attacked: &[Attacked],
        trained: &[Trained],
    ) -> anyhow::Result<()> {
        let mean = |of: &dyn Fn(&Attacked) -> f64| {
            attacked.iter().map(of).sum::<f64>() / attacked.len().max(1) as f64
        };
        let both = |of: fn(&Attacked) -> ImageScore| {
            (mean(&|one| of(one).psnr), mean(&|one| of(one).ssim))
        };
        let (psnr, ssim) = both(|one| one.plain);
        let (psnr_aware, ssim_aware) = both(|one| one.aware);
        let (psnr_trained_on, ssim_trained_on) = both(|one| one.trained_on);
        let (psnr_guess, ssim_guess) = both(|one| one.guess);
        let runs = trained.len().max(1) as f64;
        let f1 = trained.iter().map(|run| run.f1).sum::<f64>() / runs;
        let squares = trained.iter().map(|run| (run.f1 - f1).powi(2)).sum::<f64>();
        let none = self.lines.first();
        let below = |of: fn(&Line) -> f64, now: f64| none.map_or(0.0, |none| of(none) - now);
        let line = Line {
            defence: kind.to_string(),
            family: kind.family(),
            f1,
            f1_deviation: (squares / (runs - 1.0).max(1.0)).sqrt(),
            f1_loss: 100.0 * below(|none| none.f1, f1),
            psnr,
            ssim,
            psnr_aware,
            ssim_aware,
            psnr_trained_on,
            ssim_trained_on,
            psnr_guess,
            ssim_guess,
            psnr_down: below(|none| none.psnr, psnr),
            ssim_down: below(|none| none.ssim, ssim),
            psnr_down_aware: below(|none| none.psnr, psnr_aware),
            ssim_down_aware: below(|none| none.ssim, ssim_aware),
            epsilon_of_a_step: kind.epsilon()?,
            seconds: trained.iter().map(|run| run.seconds).sum::<f64>() / runs,
            compared: false,
        };
        self.lines.push(line);
        Ok(())
    }

    /// Chooses at which strength each family is compared: of those that cost less than a point the one
    /// that takes most from the attack; where each costs more, the one that costs least.
    pub(super) fn choose(&mut self) {
        let mut families: Vec<&'static str> = self.lines.iter().map(|line| line.family).collect();
        families.dedup();
        for family in families {
            let of_family = |line: &&mut Line| line.family == family;
            let cheap = |line: &Line| line.f1_loss < MOST_LOSS;
            let best = self.lines.iter_mut().filter(of_family).max_by(|a, b| {
                let both = cheap(a).cmp(&cheap(b));
                both.then_with(|| {
                    let hides = a.psnr_down_aware.total_cmp(&b.psnr_down_aware);
                    if cheap(a) { hides } else { b.f1_loss.total_cmp(&a.f1_loss) }
                })
            });
            if let Some(best) = best {
                best.compared = true;
            }
        }
    }

    /// A table in Markdown.
    pub(super) fn table(&self) -> String {
        let mut table = format!(
            "The attack without a defence exceeds {} dB on {} of {} images. Means over these; of macro-F1 over the seeds.\n\n\
             | defence | macro-F1 | loss, points | PSNR | SSIM | PSNR, aware | SSIM, aware | down, dB | down, SSIM | x + n itself | s a training | compared |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
            self.above, self.counting, self.images
        );
        for line in &self.lines {
            // Writing to a text cannot fail.
            let _ = writeln!(
                table,
                "| {} | {:.3} ± {:.3} | {:.1} | {:.1} | {:.2} | {:.1} | {:.2} | {:.1} | {:.2} | {:.1} | {:.0} | {} |",
                line.defence,
                line.f1,
                line.f1_deviation,
                line.f1_loss,
                line.psnr,
                line.ssim,
                line.psnr_aware,
                line.ssim_aware,
                line.psnr_down_aware,
                line.ssim_down_aware,
                line.psnr_trained_on,
                line.seconds,
                if line.compared { "yes" } else { "" }
            );
        }
        if let Some(line) = self.lines.first() {
            let _ = writeln!(
                table,
                "\nWhoever sees nothing has {:.1} dB and {:.2}. `down` is what an attacker who knows the defence has less than without it.",
                line.psnr_guess, line.ssim_guess
            );
        }
        let Cost { images, first, matched, later } = &self.cost;
        let _ = writeln!(
            table,
            "The shadow defence took {first:.3} s an image in the first round, {matched:.3} s in the others of the first fifth and {later:.3} s in later ones, on one thread ({images} images)."
        );
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(defence: &str, family: &'static str, f1_loss: f64, psnr_down_aware: f64) -> Line {
        let zero = 0.0;
        Line {
            defence: defence.to_owned(),
            family,
            f1: 0.5,
            f1_deviation: zero,
            f1_loss,
            psnr: zero,
            ssim: zero,
            psnr_aware: zero,
            ssim_aware: zero,
            psnr_trained_on: zero,
            ssim_trained_on: zero,
            psnr_guess: zero,
            ssim_guess: zero,
            psnr_down: zero,
            ssim_down: zero,
            psnr_down_aware,
            ssim_down_aware: zero,
            epsilon_of_a_step: None,
            seconds: zero,
            compared: false,
        }
    }

    #[test]
    fn defences_are_compared_where_they_cost_the_same() {
        let mut report = Report {
            above: 20.0,
            images: 2,
            counting: 1,
            cost: Cost { images: 16, first: 0.2, matched: 0.1, later: 0.01 },
            lines: vec![
                line("none", "none", 0.0, 0.0),
                line("gaussian-1", "gaussian", 0.4, 1.0),
                line("gaussian-2", "gaussian", 0.9, 3.0),
                line("gaussian-3", "gaussian", 1.5, 5.0),
                line("dp-0.1", "dp", 4.0, 7.0),
                line("dp-0.5", "dp", 9.0, 8.0),
            ],
        };
        report.choose();
        let compared = report.lines.iter().filter(|line| line.compared);
        let compared: Vec<&str> = compared.map(|line| line.defence.as_str()).collect();
        assert_eq!(compared, ["none", "gaussian-2", "dp-0.1"]);
        assert!(report.table().contains("exceeds 20 dB on 1 of 2 images"), "{}", report.table());
    }
}
