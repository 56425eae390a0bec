//! `ringfence ledger init / show`: what a hospital lets be spent on its patients' privacy.

use std::path::PathBuf;

use ringfence_clock::Clock;
use ringfence_crypto::wire::json;
use ringfence_keys::update::site_noise::inexact::not_outright;
use ringfence_options::number;
use ringfence_site::ledger::{Budget, Ledger, LedgerSummary, SpentSummary, Terms, UnitKind, shown};
use ringfence_words::counted;

use crate::identity::read_identity;

/// Commands on privacy ledgers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum LedgerCommand {
    /// Make the privacy ledger of a cohort: the patients of one hospital, for all studies.
    Init(Init),
    /// Show what was spent of the budget, by study and in all, and what is left.
    Show(Show),
}

/// Arguments of `ringfence ledger init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Folder of the ledger. All studies that train on these patients use this one.
    folder: PathBuf,
    /// The hospital's own budget: the largest epsilon of each unit, over all studies together.
    #[arg(long, value_parser = number::<f64>)]
    epsilon: f64,
    /// The delta at which that epsilon holds: well below one divided by the number of units.
    #[arg(long, value_parser = number::<f64>)]
    delta: f64,
    /// What is protected as one: patient, record (an image, where no patients are named), or site.
    /// All studies that use the ledger must protect the same.
    #[arg(long)]
    unit: UnitKind,
    /// The secret identity file of a site that may use the ledger; several may be given.
    #[arg(long, required = true)]
    identity: Vec<PathBuf>,
}

/// Arguments of `ringfence ledger show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Folder of the ledger.
    folder: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl LedgerCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Init(init) => init.run(),
            Self::Show(show) => show.run(),
        }
    }
}

impl Init {
    /// Makes a ledger; never overwrites one.
    fn run(self) -> anyhow::Result<()> {
        let identities = self.identity.iter().map(|path| Ok(read_identity(path)?.public()));
        let owners = identities.collect::<anyhow::Result<Vec<_>>>()?;
        let budget = Budget { epsilon: self.epsilon, delta: self.delta };
        let terms = Terms::new(budget, self.unit, &owners, Clock::system().now())?;
        Ledger::init(&self.folder, &terms, &mut ringfence_keys::system_rng()?)?;
        let folder = self.folder.display();
        println!("ledger: {folder} ({budget} for each {}, over all studies)", self.unit);
        println!(
            "its cohort.key never leaves the site; back the folder up together with the state directory, and never put it back alone"
        );
        Ok(())
    }
}

impl Show {
    fn run(self) -> anyhow::Result<()> {
        let summary = LedgerSummary::read(&self.folder)?;
        if self.json {
            println!("{}", String::from_utf8_lossy(&json::pretty(&summary)));
        } else {
            print!("{}", describe(&summary));
        }
        Ok(())
    }
}

/// What is left of an epsilon, rounded down.
fn down(epsilon: f64) -> String {
    format!("{:.4}", (epsilon * 1e4).floor() / 1e4)
}

fn describe(summary: &LedgerSummary) -> String {
    let LedgerSummary { ledger, terms, entries, spent, epsilon_left, studies } = summary;
    let (unit, budget) = (terms.unit, terms.budget);
    let owners: Vec<&str> = terms.owners.iter().map(|owner| owner.site.as_str()).collect();
    let mut text = format!(
        "ledger   {ledger}, made {} for {}\n\
         budget   {budget} for each {unit}, over all studies\n",
        terms.made_at.utc(),
        owners.join(", "),
    );
    if studies.is_empty() {
        return text + "spent    nothing\n";
    }
    text += &format!(
        "spent    epsilon {} by the {unit} that has spent most, {} or less by half of {} ({})\n\
         left     epsilon {} for the {unit} that has spent most; several rounds together cost less than the sum of each alone\n",
        shown(spent.worst_epsilon),
        shown(spent.median_epsilon),
        spent.units,
        counted(*entries as u64, "charge"),
        down(*epsilon_left),
    );
    text += &caveat(spent);
    for study in studies {
        text += &format!(
            "\nstudy    {} (as {})\n\
             budget   {} for each {unit}\n\
             rounds   {}{}, from {} to {}\n\
             spent    epsilon {} by the {unit} that has spent most, {} or less by half of {}\n\
             left     epsilon {}\n",
            study.study,
            study.site,
            study.budget,
            study.rounds,
            match study.forgotten_rounds {
                0 => String::new(),
                some => format!(
                    " ({some} of them because a restore from a backup may have forgotten them)"
                ),
            },
            study.first_at.utc(),
            study.last_at.utc(),
            shown(study.spent.worst_epsilon),
            shown(study.spent.median_epsilon),
            study.spent.units,
            down(study.epsilon_left),
        );
        text += &caveat(&study.spent);
    }
    text
}

/// What these epsilons do not hold for, as `study show` says it.
fn caveat(spent: &SpentSummary) -> String {
    let line = |within| format!("NOT      {}\n", not_outright(within));
    spent.within.map(line).unwrap_or_default()
}
