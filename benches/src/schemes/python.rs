//! Libraries that are used from Python, where they are installed: TenSEAL and OpenFHE.
//!
//! The updates go to the script as raw little-endian float32, one site after another; it answers
//! with one row. Where the library cannot be imported the row is left out with a note. The
//! interpreter is `python3`, or what the variable `PYTHON` names: each wheel of OpenFHE serves one
//! version of Python only (1.6.1.0.22.4: Python 3.10, where TenSEAL is 0.3.16).

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::report::Row;
use super::workload::{CLIP, Workload};

/// What a script exits with when its library is not installed.
const NOT_INSTALLED: i32 = 3;

/// TenSEAL's CKKS at NVIDIA FLARE's settings.
pub(super) fn tenseal(workload: &Workload) -> anyhow::Result<Option<Row>> {
    run("tenseal_ckks.py", workload)
}

/// OpenFHE's BFV at depth 0.
pub(super) fn openfhe(workload: &Workload) -> anyhow::Result<Option<Row>> {
    run("openfhe_bfv.py", workload)
}

fn run(script: &str, workload: &Workload) -> anyhow::Result<Option<Row>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let spawned = Command::new(&python)
        .arg(&path)
        .args(["--parameters", &workload.parameters().to_string()])
        .args(["--sites", &workload.sites().to_string()])
        .args(["--bits", &workload.bits.to_string()])
        .args(["--clip", &CLIP.to_string()])
        .args(["--repetitions", &workload.repetitions.to_string()])
        .env("OMP_NUM_THREADS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        eprintln!("  no row: {} cannot be started", python.display());
        return Ok(None);
    };
    // A script that ends early closes the pipe; its status says why.
    let mut input = child.stdin.take().context("no pipe")?;
    for update in &workload.updates {
        let bytes: Vec<u8> = update.iter().flat_map(|value| value.to_le_bytes()).collect();
        if input.write_all(&bytes).is_err() {
            break;
        }
    }
    drop(input);
    let output = child.wait_with_output()?;
    if output.status.code() == Some(NOT_INSTALLED) {
        eprintln!("  no row: {script} cannot import its library");
        return Ok(None);
    }
    ensure!(output.status.success(), "{script} failed: {}", output.status);
    let row: Row =
        serde_json::from_slice(&output.stdout).with_context(|| format!("{script} gave no row"))?;
    let error = row.max_error.context("no max_error")?;
    let bound = 1.0 / ((1u64 << workload.bits) - 1) as f64;
    ensure!(error <= bound.max(1e-4), "{script}: the mean is off by {error:e}");
    Ok(Some(row))
}
