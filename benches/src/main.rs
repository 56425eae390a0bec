//! What Ringfence costs beside other schemes: `cargo run --release -p ringfence-benches --
//! schemes`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use ringfence_benches::machine::Machine;
use ringfence_benches::schemes::workload::Workload;
use ringfence_benches::schemes::{self, chart, report};
use ringfence_benches::{constant_time, service, targets, training};
use serde::Serialize;

/// Comparisons with checked results.
#[derive(Parser)]
#[command(name = "ringfence-benches", version)]
struct Command {
    #[command(subcommand)]
    comparison: Comparison,
}

#[derive(Subcommand)]
enum Comparison {
    /// Secure-aggregation schemes on the same updates; with all of them, and not --quick, the
    /// targets, too.
    Schemes(Schemes),
    /// Ringfence against its own targets.
    Targets(Targets),
    /// Whether the time of operations on secrets depends on them.
    ConstantTime(ConstantTime),
    /// Training steps beside stock candle's and PyTorch's, or private steps beside ordinary ones and Opacus's.
    Training(Training),
    /// Rounds of the shipped programs beside a service that protects nothing.
    Service(Service),
    /// What rounds of many simulated sites cost the aggregator, in all sizes.
    Crowd(Crowd),
    /// The server of that service.
    #[command(hide = true)]
    PlainServer(service::PlainServer),
    /// A site's part in one of its rounds.
    #[command(hide = true)]
    PlainSite(service::PlainSite),
}

#[derive(Args)]
struct Service {
    /// Values of the model, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000, 10_000_000])]
    values: Vec<usize>,
    /// Timed turns of each kind; medians count.
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// Whole rounds alone, without the aggregator's uploads, closings and small contributions.
    #[arg(long)]
    only_rounds: bool,
    /// The aggregator alone, without whole rounds.
    #[arg(long, conflicts_with_all = ["only_rounds", "values", "peers"])]
    only_aggregator: bool,
    /// NVIDIA FLARE's unprotected round, too, where python3, or what PYTHON names, can import it.
    #[arg(long)]
    peers: bool,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
}

impl Service {
    fn run(&self) -> anyhow::Result<()> {
        let options = service::Options {
            values: if self.only_aggregator { Vec::new() } else { self.values.clone() },
            repetitions: self.repetitions.max(1),
            aggregator: !self.only_rounds,
            peers: self.peers,
        };
        let rows = service::run(&options)?;
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&rows)?),
            false => print!("{}", service::table(&rows)),
        }
        Ok(())
    }
}

#[derive(Args)]
struct Crowd {
    /// Sites of a study, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 10_000])]
    sites: Vec<usize>,
    /// The part of the sites that does not come, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.3])]
    absent: Vec<f64>,
    /// Values of the model; the first for all numbers of sites, the others for the first of them.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 100_000, 1_000_000])]
    values: Vec<usize>,
    /// File for a chart.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
}

impl Crowd {
    fn run(&self) -> anyhow::Result<()> {
        let shares = self.absent.iter().all(|share| (0.0..1.0).contains(share));
        anyhow::ensure!(shares, "expected parts from 0 to below 1 in --absent, as in 0.3");
        let (values, larger) = self.values.split_first().context("no --values")?;
        let few = self.sites.first().context("no --sites")?;
        let sizes = self.sites.iter().map(|sites| (*sites, *values));
        let sizes = sizes.chain(larger.iter().map(|values| (*few, *values)));
        let mut costs = Vec::new();
        for (sites, values) in sizes {
            for absent in &self.absent {
                eprintln!("{sites} sites, {values} values, {absent} absent ...");
                let cost = service::crowd(service::Crowd { sites, absent: *absent, values })?;
                eprint!("{}", service::table(&cost.rows()));
                costs.push(cost);
            }
        }
        if let Some(path) = &self.svg {
            fs::write(path, service::crowd_chart(&costs)?)?;
        }
        let rows: Vec<service::Row> = costs.iter().flat_map(service::Cost::rows).collect();
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&rows)?),
            false => print!("{}", service::table(&rows)),
        }
        Ok(())
    }
}

#[derive(Args)]
struct Training {
    /// Times that each engine has its turn; the best step counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Without stock candle, whose turns take most of the time.
    #[arg(long)]
    without_candle: bool,
    /// Steps of private training (DP-SGD) beside ordinary ones instead, by Ringfence and by Opacus.
    #[arg(long, conflicts_with = "without_candle")]
    private: bool,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
}

impl Training {
    fn run(&self) -> anyhow::Result<()> {
        if self.private {
            let rows = training::private::run(self.rounds.max(1))?;
            match self.json {
                true => println!("{}", serde_json::to_string_pretty(&rows)?),
                false => print!("{}", training::private::table(&rows)),
            }
            return Ok(());
        }
        let rows = training::run(self.rounds.max(1), !self.without_candle)?;
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&rows)?),
            false => print!("{}", training::table(&rows)),
        }
        Ok(())
    }
}

#[derive(Args)]
struct ConstantTime {
    /// Runs of each operation.
    #[arg(long, default_value_t = 100_000)]
    measurements: usize,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
}

impl ConstantTime {
    fn run(&self) -> anyhow::Result<()> {
        let findings = constant_time::run(self.measurements)?;
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&findings)?),
            false => print!("{}", constant_time::table(&findings)),
        }
        let wrong = findings.iter().filter(|f| f.leaks() != f.leaky_on_purpose).count();
        anyhow::ensure!(wrong == 0, "{wrong} operations are not as they should be");
        Ok(())
    }
}

#[derive(Args)]
struct Targets {
    /// Timed repetitions of each step.
    #[arg(long, default_value_t = 7)]
    repetitions: usize,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
}

impl Targets {
    fn run(&self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let targets = targets::run(self.repetitions.max(1))?;
        let report = Report { machine: &machine, targets: &targets, schemes: &[] };
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&report)?),
            false => print!("{}", targets::table(&targets)),
        }
        Ok(())
    }
}

/// Everything that one command measures.
#[derive(Serialize)]
struct Report<'a> {
    machine: &'a Machine,
    targets: &'a [targets::Figure],
    schemes: &'a [report::Row],
}

#[derive(Args)]
struct Schemes {
    /// Values in an update.
    #[arg(long, default_value_t = 1_000_000)]
    parameters: usize,
    /// Sites, three or more.
    #[arg(long, default_value_t = 10)]
    sites: usize,
    /// Bits of a quantized value.
    #[arg(long, default_value_t = 16)]
    bits: u8,
    /// Threads that Ringfence may use; its peers run on one.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Names of schemes, separated by commas; all without it.
    #[arg(long, value_delimiter = ',')]
    schemes: Vec<String>,
    /// At most 5,000 parameters and two repetitions: does it run?
    #[arg(long)]
    quick: bool,
    /// Timed repetitions of each step.
    #[arg(long, default_value_t = 7)]
    repetitions: usize,
    /// Folder for schemes.json (the rows), schemes.svg (their chart) and report.json (the machine,
    /// Ringfence's own targets, the rows).
    #[arg(long, default_value = "out")]
    out: PathBuf,
    /// Print the JSON alone instead of the table.
    #[arg(long)]
    json: bool,
}

impl Schemes {
    fn run(&self) -> anyhow::Result<()> {
        let (most, repetitions) = if self.quick {
            (5_000, 2.min(self.repetitions))
        } else {
            (usize::MAX, self.repetitions)
        };
        let parameters = self.parameters.min(most);
        let mut workload = Workload::new(parameters, self.sites, self.bits, repetitions)?;
        workload.threads = self.threads.max(1);
        let threads = match workload.threads {
            1 => "one thread".to_owned(),
            threads => format!("{threads} threads for Ringfence, one for the others"),
        };
        let title = format!(
            "Secure aggregation of {parameters} parameters, {} sites, {} bits, {threads}",
            self.sites, self.bits
        );
        fs::create_dir_all(&self.out)
            .with_context(|| format!("could not make the folder {}", self.out.display()))?;
        let machine = Machine::here();
        let targets = if self.schemes.is_empty() && !self.quick {
            eprintln!("targets ...");
            targets::run(repetitions)?
        } else {
            Vec::new()
        };
        // After every scheme: the slow ones come last, and what is measured is kept.
        let rows = schemes::run(&workload, &self.schemes, |rows| {
            let report = Report { machine: &machine, targets: &targets, schemes: rows };
            let report = format!("{}\n", serde_json::to_string_pretty(&report)?);
            fs::write(self.out.join("report.json"), report)?;
            fs::write(self.out.join("schemes.json"), format!("{}\n", report::json(rows)?))?;
            fs::write(self.out.join("schemes.svg"), chart::svg(rows, &title))?;
            Ok(())
        })?;
        if self.json {
            println!("{}", report::json(&rows)?);
        } else {
            println!("{title}; medians of {repetitions} repetitions\n\n{}", report::table(&rows));
            print!("{}", targets::table(&targets));
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let result = match Command::parse().comparison {
        Comparison::Schemes(schemes) => schemes.run(),
        Comparison::Targets(options) => options.run(),
        Comparison::ConstantTime(options) => options.run(),
        Comparison::Training(options) => options.run(),
        Comparison::Service(options) => options.run(),
        Comparison::Crowd(options) => options.run(),
        Comparison::PlainServer(server) => server.run(),
        Comparison::PlainSite(site) => site.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringfence-benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}
