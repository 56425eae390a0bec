//! The `ringfence-audit` command.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use ringfence_audit::operator::{OperatorReport, operator, operator_text, read_update};
use ringfence_audit::{
    Disk, Options, Report, Seen, Step, audit_with_progress, dpia, page, pdf, text, write_proofs,
};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::note::MAX_NOTE;
use ringfence_exit::{end_on_lost_output, failure};
use serde::Serialize;

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
    /// A checkpoint that somebody else has of this log, a site's file `checkpoint` or another export's
    /// log/checkpoint: one that is not of this log shows that the aggregator keeps two. Repeatable
    #[arg(long, value_name = "FILE")]
    seen: Vec<PathBuf>,
    /// Write a proof of each statement into this folder, too, which others can check alone (C2SP
    /// tlog-proof)
    #[arg(long, value_name = "DIR")]
    proofs: Option<PathBuf>,
    /// With --proofs: of the statements of this round only
    #[arg(long, value_name = "ROUND", requires = "proofs")]
    round: Option<RoundNumber>,
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
    /// Look at what root on the server can extract instead: DIR is what `ringfence-aggregator extract`
    /// has filled (docs/no_plaintext.md). Lists all of it, tests whether stored bodies are noise; ends
    /// with 1 where something of an update is to be read, 3 where something is not known
    #[arg(long, conflicts_with_all = ["sample", "without_bodies", "seen", "proofs", "html", "pdf", "dpia"])]
    operator: bool,
    /// Look for this update in all of it, and for the sums of those given; once for each
    #[arg(long, value_name = "UPDATE.safetensors", requires = "operator")]
    canary: Vec<PathBuf>,
}

fn main() -> ExitCode {
    end_on_lost_output("ringfence-audit");
    let Arguments {
        folder,
        sample,
        without_bodies,
        seen,
        proofs,
        round,
        json,
        html,
        pdf,
        dpia,
        operator,
        canary,
    } = Arguments::parse();
    if operator {
        return look(&folder, &canary, json);
    }
    let seen = match seen.iter().map(|path| read_seen(path)).collect() {
        Ok(seen) => seen,
        Err(error) => return fail(&error),
    };
    let options = Options { sample, without_bodies, seed: None, seen };
    let said = Cell::new(Instant::now());
    let progress = |step: Step| {
        if said.get().elapsed() >= PATIENCE {
            eprintln!("ringfence-audit: checking {step}");
            said.set(Instant::now());
        }
    };
    let files: Vec<&PathBuf> = [&html, &pdf, &dpia].into_iter().flatten().collect();
    if let Err(words) = apart(&folder, &files) {
        eprintln!("ringfence-audit: {words}");
        return ExitCode::from(UNREADABLE);
    }
    let report = match audit_with_progress(&Disk::at(&folder), &options, &progress) {
        Ok(report) => report,
        Err(error) => return fail(&error),
    };
    if let Err(words) = write_files(&report, [html, pdf, dpia]) {
        eprintln!("ringfence-audit: {words}");
        return ExitCode::from(UNREADABLE);
    }
    if let Some(out) = proofs {
        match write_proofs(&Disk::at(&folder), round, &out) {
            Ok(count) => eprintln!("ringfence-audit: {count} proofs are in {}", out.display()),
            Err(error) => return fail(&error),
        }
    }
    let out = match json {
        true => as_json(&report),
        false => Ok(text(&report)),
    };
    end(out, report.exit_code())
}

/// What root on the server can extract.
fn look(folder: &Path, canaries: &[PathBuf], json: bool) -> ExitCode {
    let canaries: Result<Vec<_>, _> = canaries.iter().map(|path| read_update(path)).collect();
    let canaries = match canaries {
        Ok(canaries) => canaries,
        Err(error) => return fail(&error),
    };
    let report: OperatorReport = match operator(folder, &canaries) {
        Ok(report) => report,
        Err(error) => return fail(&error),
    };
    let out = match json {
        true => as_json(&report),
        false => Ok(operator_text(&report)),
    };
    end(out, report.exit_code())
}

fn as_json(report: &impl Serialize) -> std::io::Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

/// Writes the report and ends.
fn end(out: std::io::Result<String>, code: u8) -> ExitCode {
    match out.and_then(|out| std::io::stdout().write_all(out.as_bytes())) {
        Ok(()) => ExitCode::from(code),
        Err(error) => fail(&error),
    }
}

/// Reports must not take the place of evidence, nor of each other.
fn apart(folder: &Path, files: &[&PathBuf]) -> Result<(), String> {
    let within = folder.canonicalize().ok();
    let mut seen: Vec<PathBuf> = Vec::new();
    for path in files {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).canonicalize();
        // One that is not there is told when it is written to.
        let Ok(parent) = parent else { continue };
        let whole = path.file_name().map_or_else(|| parent.clone(), |name| parent.join(name));
        if within.as_ref().is_some_and(|within| whole.starts_with(within)) {
            return Err(format!(
                "{} is in the folder of the evidence, which stays as it is: write the report somewhere else",
                path.display()
            ));
        }
        if seen.contains(&whole) {
            return Err(format!("two reports cannot both be written to {}", path.display()));
        }
        seen.push(whole);
    }
    Ok(())
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

/// A checkpoint that somebody else has.
fn read_seen(path: &Path) -> std::io::Result<Seen> {
    let from = path.display().to_string();
    let failed = |error: std::io::Error| {
        std::io::Error::new(error.kind(), format!("cannot read {from}: {error}"))
    };
    // Opening what is no plain file may wait for ever.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::other("expected a site's file `checkpoint`")));
    }
    let mut note = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(MAX_NOTE as u64 + 1).read_to_string(&mut note).map_err(failed)?;
    Ok(Seen { from, note })
}

fn fail(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("ringfence-audit: {}", failure(error, |_| ""));
    ExitCode::from(UNREADABLE)
}
