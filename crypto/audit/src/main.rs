//! The `ringfence-audit` command.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use ringfence_audit::{Disk, Options, Report, Step, audit_with_progress, dpia, page, pdf, text};
use ringfence_exit::{end_on_lost_output, failure};

/// What it ends with where there is nothing to audit: as where its arguments are wrong.
const UNREADABLE: u8 = 2;

/// What is done sooner says nothing of its progress; what takes longer does so as often.
const PATIENCE: Duration = Duration::from_secs(2);

/// Checks what a study left behind, offline and without a key: that one set was certified in each
/// round, that keys were opened once and under that certificate only, that the sums are those of the
/// bodies, how much of the privacy budget is spent, and that the log shows all of it.
///
/// Ends with 0 where nothing is false and nothing missing, 1 where something is false, 2 where the
/// folder is no export that can be read, 3 where something could not be checked.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Folder of the export: docs/audit.md says what is in it and how to get it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Add up so many random parts of each sum instead of all of it
    #[arg(long, value_name = "PARTS", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// Expect no bodies: the sums are not added up again
    #[arg(long, conflicts_with = "sample")]
    without_bodies: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write the report as one page of HTML, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the report as a PDF, too
    #[arg(long, value_name = "FILE")]
    pdf: Option<PathBuf>,
    /// Write a draft of a data protection impact assessment (Markdown), with what the study states
    /// filled in, too
    #[arg(long, value_name = "FILE")]
    dpia: Option<PathBuf>,
}

fn main() -> ExitCode {
    end_on_lost_output("ringfence-audit");
    let Arguments { folder, sample, without_bodies, json, html, pdf, dpia } = Arguments::parse();
    let options = Options { sample, without_bodies, seed: None };
    let said = Cell::new(Instant::now());
    let progress = |step: Step| {
        if said.get().elapsed() >= PATIENCE {
            eprintln!("ringfence-audit: checking {step}");
            said.set(Instant::now());
        }
    };
    let report = match audit_with_progress(&Disk::at(&folder), &options, &progress) {
        Ok(report) => report,
        Err(error) => return fail(&error),
    };
    if let Err(words) = write_files(&report, [html, pdf, dpia]) {
        eprintln!("ringfence-audit: {words}");
        return ExitCode::from(UNREADABLE);
    }
    let out = match json {
        true => serde_json::to_string_pretty(&report).map(|json| json + "\n"),
        false => Ok(text(&report)),
    };
    let written = out.map_err(std::io::Error::from);
    if let Err(error) = written.and_then(|out| std::io::stdout().write_all(out.as_bytes())) {
        return fail(&error);
    }
    ExitCode::from(report.exit_code())
}

/// The forms of the report that go into files.
fn write_files(report: &Report, files: [Option<PathBuf>; 3]) -> Result<(), String> {
    let write = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    let [html, as_pdf, draft] = files;
    if let Some(path) = html {
        write(&path, page(report).as_bytes())?;
    }
    if let Some(path) = as_pdf {
        write(&path, &pdf(report).map_err(|error| error.to_string())?)?;
    }
    if let Some(path) = draft {
        write(&path, dpia(report).as_bytes())?;
    }
    Ok(())
}

fn fail(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("ringfence-audit: {}", failure(error, |_| ""));
    ExitCode::from(UNREADABLE)
}
