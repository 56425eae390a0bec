//! `ringfence privacy epsilon / calibrate`: which epsilon DP-SGD has, and which noise a target needs.

use ringfence_crypto::wire::json;
use ringfence_options::number;
use ringfence_privacy::calibrate::{Target, noise_multiplier};
use ringfence_privacy::error::plain;
use ringfence_privacy::{Accountant, Mechanism, delta_below_one_over_records, epsilon};
use ringfence_words::noun;
use serde::Serialize;

/// Commands on privacy budgets. They touch no data: numbers in, numbers out.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum PrivacyCommand {
    /// The epsilon of a training with DP-SGD.
    Epsilon(Epsilon),
    /// The least noise with which a training with DP-SGD meets an epsilon.
    Calibrate(Calibrate),
}

impl PrivacyCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Epsilon(epsilon) => epsilon.run(),
            Self::Calibrate(calibrate) => calibrate.run(),
        }
    }
}

/// What both commands take.
#[derive(Debug, clap::Args)]
struct Training {
    /// Probability with which a step draws a unit, each by itself (Poisson sampling); above 0, at
    /// most 1.
    #[arg(long, allow_negative_numbers = true, value_parser = number::<f64>)]
    rate: f64,
    /// Steps of the training, of all rounds together.
    #[arg(long)]
    steps: u64,
    /// Delta; above 0, below 1, and below one over the number of records.
    #[arg(long, allow_negative_numbers = true, value_parser = number::<f64>)]
    delta: f64,
    /// How epsilon is computed, an upper bound in both cases: `rdp` (Rényi divergences) or `pld`
    /// (distribution of the privacy loss; tighter, slower).
    #[arg(long, default_value_t = Accountant::Rdp)]
    accountant: Accountant,
    /// Units in the data: a delta that is not below one over it is refused.
    #[arg(long)]
    records: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `ringfence privacy epsilon`.
#[derive(Debug, clap::Args)]
pub(crate) struct Epsilon {
    /// Noise multiplier: the noise's standard deviation over the L2 clip; above 0.
    #[arg(long, allow_negative_numbers = true, value_parser = number::<f64>)]
    noise: f64,
    #[command(flatten)]
    training: Training,
}

/// Arguments of `ringfence privacy calibrate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Calibrate {
    /// The epsilon that must not be exceeded; above 0.
    #[arg(long, allow_negative_numbers = true, value_parser = number::<f64>)]
    epsilon: f64,
    #[command(flatten)]
    training: Training,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Printed {
    /// An upper bound, in nats.
    epsilon: f64,
    delta: f64,
    noise_multiplier: f64,
    sampling_rate: f64,
    steps: u64,
    accountant: Accountant,
    /// Which data sets are neighbours.
    adjacency: &'static str,
    /// Whom the epsilon is about.
    unit: &'static str,
}

impl Epsilon {
    fn run(self) -> anyhow::Result<()> {
        let printed = self.training.with_noise(self.noise)?;
        self.training.print(&printed, None)
    }
}

impl Calibrate {
    fn run(self) -> anyhow::Result<()> {
        let training = &self.training;
        training.check_records()?;
        let target = Target { epsilon: self.epsilon, delta: training.delta };
        let noise = noise_multiplier(target, training.rate, training.steps, training.accountant)?;
        training.print(&training.with_noise(noise)?, Some(self.epsilon))
    }
}

impl Training {
    fn check_records(&self) -> anyhow::Result<()> {
        Ok(self
            .records
            .map_or(Ok(()), |records| delta_below_one_over_records(self.delta, records))?)
    }

    fn with_noise(&self, noise_multiplier: f64) -> anyhow::Result<Printed> {
        self.check_records()?;
        let step = Mechanism::gaussian(noise_multiplier, self.rate);
        Ok(Printed {
            epsilon: epsilon(&[(step, self.steps)], self.delta, self.accountant)?,
            delta: self.delta,
            noise_multiplier,
            sampling_rate: self.rate,
            steps: self.steps,
            accountant: self.accountant,
            adjacency: "add or remove one unit",
            unit: "what was sampled and clipped as one",
        })
    }

    fn print(&self, printed: &Printed, target: Option<f64>) -> anyhow::Result<()> {
        if self.json {
            println!("{}", String::from_utf8_lossy(&json::pretty(printed)));
        } else {
            print!("{}", describe(printed, target));
        }
        Ok(())
    }
}

fn describe(printed: &Printed, target: Option<f64>) -> String {
    let Printed { delta, noise_multiplier: noise, sampling_rate: rate, steps, .. } = printed;
    // Never printed below what was computed.
    let epsilon = (printed.epsilon * 1e4).ceil() / 1e4;
    let guarantee = format!("epsilon {epsilon} at delta {delta:e}, per unit that was sampled");
    let head = match target {
        None => guarantee,
        Some(target) => format!(
            "noise multiplier {noise}: the least for epsilon {target}, rounded up\n{guarantee}"
        ),
    };
    let accountant = match printed.accountant {
        Accountant::Rdp => "rdp (Rényi divergences); an upper bound, `--accountant pld` is tighter",
        Accountant::Pld => "pld (distribution of the privacy loss); an upper bound, and tight",
    };
    let sampling = match *rate < 1.0 {
        true => {
            format!("each drawing every unit with probability {} (Poisson sampling)", plain(*rate))
        }
        false => "each with every unit".to_owned(),
    };
    format!(
        "{head}\n\
         \x20 training    {steps} {}, {sampling}; noise of {noise} times the clip\n\
         \x20 accountant  {accountant}\n\
         \x20 neighbours  data with one unit added or removed; the unit is what was sampled and clipped\n\
         \x20             as one: an image, or a patient\n",
        noun(*steps, "step"),
    )
}
