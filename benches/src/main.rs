//! What Ringfence costs beside other schemes: `cargo run --release -p ringfence-benches -- schemes`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use ringfence_benches::schemes::workload::Workload;
use ringfence_benches::schemes::{self, chart, report};

/// Comparisons with checked results.
#[derive(Parser)]
#[command(name = "ringfence-benches", version)]
struct Command {
    #[command(subcommand)]
    comparison: Comparison,
}

#[derive(Subcommand)]
enum Comparison {
    /// Secure-aggregation schemes on the same updates.
    Schemes(Schemes),
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
    /// Threads of each step; only one is compared so far.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=1))]
    threads: u8,
    /// Names of schemes, separated by commas; all without it.
    #[arg(long, value_delimiter = ',')]
    schemes: Vec<String>,
    /// At most 5,000 parameters and two repetitions: does it run?
    #[arg(long)]
    quick: bool,
    /// Timed repetitions of each step.
    #[arg(long, default_value_t = 7)]
    repetitions: usize,
    /// Folder for schemes.json and schemes.svg.
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
        let workload = Workload::new(parameters, self.sites, self.bits, repetitions)?;
        let rows = schemes::run(&workload, &self.schemes)?;
        let json = report::json(&rows)?;
        let title = format!(
            "Secure aggregation of {parameters} parameters, {} sites, {} bits, one thread",
            self.sites, self.bits
        );
        fs::create_dir_all(&self.out)
            .with_context(|| format!("could not make the folder {}", self.out.display()))?;
        fs::write(self.out.join("schemes.json"), format!("{json}\n"))?;
        fs::write(self.out.join("schemes.svg"), chart::svg(&rows, &title))?;
        if self.json {
            println!("{json}");
        } else {
            println!("{title}; medians of {repetitions} repetitions\n\n{}", report::table(&rows));
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let result = match Command::parse().comparison {
        Comparison::Schemes(schemes) => schemes.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringfence-benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}
