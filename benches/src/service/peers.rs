//! NVIDIA FLARE's round, which protects nothing, where Python has it: `pip install nvflare`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use serde::Deserialize;

use super::federation::SITES;

/// What the script exits with when the library is not installed.
const NOT_INSTALLED: i32 = 3;

/// What one of its rounds takes.
#[derive(Debug, Deserialize)]
pub(super) struct Peer {
    /// CPU-seconds of all its processes.
    pub(super) cpu_seconds: f64,
    /// Seconds.
    pub(super) seconds: f64,
}

/// Rounds that are run of it: start and end of a job take many times a small round's CPU time, and
/// vary.
fn rounds(values: usize) -> usize {
    (20_000_000 / values.max(1)).clamp(4, 10)
}

/// The mean round of its simulator; none, with a note, where it is missing or fails.
///
/// # Errors
/// When it answers something else than a row.
pub(super) fn nvflare(values: usize) -> anyhow::Result<Option<Peer>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/nvflare_round.py");
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let numbers = [("--parameters", values), ("--sites", SITES), ("--rounds", rounds(values))];
    let mut command = Command::new(&python);
    command.arg(&script);
    for (name, number) in numbers {
        command.args([name, &number.to_string()]);
    }
    let Ok(child) = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() else {
        eprintln!("  no row of NVFlare: {} cannot be started", python.display());
        return Ok(None);
    };
    let output = child.wait_with_output()?;
    if output.status.code() == Some(NOT_INSTALLED) {
        eprintln!("  no row of NVFlare: Python cannot import it");
        return Ok(None);
    }
    if !output.status.success() {
        eprintln!("  no row of NVFlare: nvflare_round.py failed, {}", output.status);
        return Ok(None);
    }
    let peer = serde_json::from_slice(&output.stdout).context("nvflare_round.py gave no row")?;
    Ok(Some(peer))
}
