//! The `ringfence-aggregator` command.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use ringfence_aggregator::{
    Backup, Config, ExtractOptions, Identity, LogFormat, Server, back_up, extract, named,
    new_token, openapi, with_file,
};
use ringfence_clock::Clock;
use ringfence_crypto::id::StudyId;
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

/// The command that takes a configuration file.
const SERVE: &str = "serve";

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
    /// Make a token, and print the line with its hash that goes into the file of --tokens
    Token {
        /// File for the token; it must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// What whoever has it may do
        #[arg(long)]
        role: Role,
        /// Whose it is: a name without spaces
        #[arg(long, value_parser = without_spaces)]
        name: String,
        /// Digest of a study that an auditor may read, once for each; all unless given
        #[arg(long, value_name = "DIGEST")]
        study: Vec<StudyId>,
    },
    /// Print the OpenAPI document of the service; a running one serves it at /openapi.json
    Openapi,
    /// Copy the data into a folder, also while they are served; a later copy into the same folder
    /// takes only what is new. The marks are not in it
    Backup {
        /// Folder that `serve` stores in
        #[arg(long, value_name = "DIR", env = "RINGFENCE_DATA")]
        data: PathBuf,
        /// Folder for the copy; made if it does not exist
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Take everything that root can take from here into a folder, also while it serves, for
    /// `ringfence-audit --operator`: what of it says anything about an update?
    Extract(Box<ExtractOptions>),
    /// Serve until SIGTERM or ctrl-c; prints `listening on URL` once it is ready
    Serve(Box<Config>),
}

/// What whoever has a token may do.
#[derive(Clone, Copy, ValueEnum)]
enum Role {
    /// Register studies, and read all
    Admin,
    /// Read studies
    Auditor,
}

fn without_spaces(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '#') {
        true => Err("expected a name without spaces and #".to_owned()),
        false => Ok(text.to_owned()),
    }
}

fn main() -> ExitCode {
    end_on_lost_output("ringfence-aggregator");
    match arguments().and_then(|arguments| run(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringfence-aggregator: {}", failure(error.as_ref(), advice_on_room));
            ExitCode::FAILURE
        }
    }
}

/// The arguments, with what the configuration file says where they and the environment say nothing.
fn arguments() -> anyhow::Result<Arguments> {
    let given: Vec<OsString> = std::env::args_os().collect();
    let mut command = Arguments::command();
    let serves = given.get(1).is_some_and(|name| name == SERVE);
    if let Some(path) = named(&given).filter(|_| serves) {
        let mut failed = None;
        command = command.mut_subcommand(SERVE, |serve| match with_file(serve.clone(), &path) {
            Ok(serve) => serve,
            Err(error) => {
                failed = Some(error);
                serve
            }
        });
        let asks_for_help = given.iter().any(|word| word == "--help" || word == "-h");
        if let Some(error) = failed.filter(|_| !asks_for_help) {
            return Err(error.into());
        }
    }
    Ok(Arguments::from_arg_matches(&command.get_matches_from(given)).unwrap_or_else(|e| e.exit()))
}

/// Writes what happens to standard error.
fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Keygen { key } => println!("{}", Identity::generate(&key)?.public_key()),
        Command::PublicKey { key } => println!("{}", Identity::load(&key)?.public_key()),
        Command::Token { out, role, name, study } => {
            let role = match (role, study.is_empty()) {
                (Role::Admin, true) => "admin",
                (Role::Admin, false) => bail!("--study is for auditors: an admin may read all"),
                (Role::Auditor, _) => "auditor",
            };
            let studies: String = study.iter().map(|study| format!(" {study}")).collect();
            println!("{role} {name} {}{studies}", new_token(&out)?);
        }
        Command::Openapi => print!("{}", openapi()),
        Command::Backup { data, to } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let Backup { files, new } = runtime.block_on(back_up(&data, &to))?;
            println!("the database and {files} files, {new} of them new, are in {}", to.display());
        }
        Command::Extract(options) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let list = runtime.block_on(extract(&options))?;
            println!("everything is in {}", options.out.display());
            if let Some(memory) = list.memory {
                println!(
                    "{} bytes of the memory of process {} are with it, and this server's key in them: keep the folder as you keep the key, and remove it when it was looked at",
                    memory.bytes, memory.process
                );
            }
        }
        Command::Serve(config) => {
            log(config.log_format);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let outcome = runtime.block_on(serve(&config));
            // Adding up may be under way; it is done again at the next start.
            runtime.shutdown_timeout(Duration::from_secs(1));
            outcome?;
        }
    }
    Ok(())
}

/// Waits until nobody can write to standard input any more. On a thread that nobody waits for: a read
/// cannot be cancelled.
async fn stdin_closed() {
    let (closed, is_closed) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = closed.send(());
    });
    let _ = is_closed.await;
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
    // Who rotates logs sends it. From here on it does not end the process; with TLS, the certificate is
    // read again.
    let _hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let server = Server::start(config, clock).await?;
    // A whole line, so at once: a program may be waiting for it.
    println!("listening on {}", server.url());
    if let Some(address) = server.metrics_address() {
        tracing::info!(%address, "metrics");
    }
    server
        .run(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
                () = stdin_closed(), if config.until_stdin_closes => {}
            }
        })
        .await;
    Ok(())
}
