//! The `ringfence-aggregator` command.
#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use ringfence_aggregator::{Config, Identity, Server};
use ringfence_clock::Clock;
use ringfence_durable::advice_on_room;
use ringfence_exit::{end_on_lost_output, failure};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Ringfence's aggregator: an HTTP service that adds ciphertexts and can open none of them
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the aggregator's key and print its public half, which goes into study files
    Keygen {
        /// File for the secret seed; it must not exist
        #[arg(long, value_name = "FILE", env = "RINGFENCE_KEY")]
        key: PathBuf,
    },
    /// Print the public half of the aggregator's key
    PublicKey {
        /// File with the secret seed
        #[arg(long, value_name = "FILE", env = "RINGFENCE_KEY")]
        key: PathBuf,
    },
    /// Serve until SIGTERM or ctrl-c; prints `listening on URL` once it is ready
    Serve(Config),
}

fn main() -> ExitCode {
    end_on_lost_output("ringfence-aggregator");
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringfence-aggregator: {}", failure(error.as_ref(), advice_on_room));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Keygen { key } => println!("{}", Identity::generate(&key)?.public_key()),
        Command::PublicKey { key } => println!("{}", Identity::load(&key)?.public_key()),
        Command::Serve(config) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let outcome = runtime.block_on(serve(&config));
            // Adding up may be under way; it is done again at the next start.
            runtime.shutdown_timeout(Duration::from_secs(1));
            outcome?;
        }
    }
    Ok(())
}

/// Clocks that nobody has set show a time before 2020; from the year 10000 on HTTP has no date.
const EARLIEST: u64 = 1_577_836_800;
const LATEST: u64 = 253_402_300_799;

async fn serve(config: &Config) -> anyhow::Result<()> {
    let clock = Clock::system();
    let now = clock.now();
    ensure!(
        (EARLIEST..=LATEST).contains(&now.0),
        "this machine's clock shows {}; set it first: every statement of the aggregator has its time",
        now.utc()
    );
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let server = Server::start(config, clock).await?;
    // A whole line, so at once: a program may be waiting for it.
    println!("listening on http://{}", server.address());
    server
        .run(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        })
        .await;
    Ok(())
}
