//! `ringfence-lab experiment` on phantoms: kept runs, refused ones, and what encryption changes.
#![allow(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach the helper functions"
)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs the command in a folder: its output, or what it says on failing.
fn lab(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence-lab"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

const ARGUMENTS: [&str; 16] = [
    "experiment",
    "--sites",
    "3",
    "--side",
    "16",
    "--rounds",
    "2",
    "--epochs",
    "1",
    "--methods",
    "local,fedavg,perfedavg",
    "--seeds",
    "1,2",
    "--encrypted",
    "--out",
    "out",
]; // fmt: skip

fn run(folder: &Path, name: &str) -> Value {
    let path = folder.join("out/runs").join(name).join("run.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn runs_are_kept_and_encryption_changes_rounding_only() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let output = lab(folder, &ARGUMENTS).unwrap();
    for row in ["local", "fedavg-encrypted, fine-tuned", "perfedavg", "perfedavg, fine-tuned"] {
        assert!(output.contains(&format!("\n{row} ")), "{row}: {output}");
    }
    assert!(output.contains(" +- "), "{output}");
    for file in ["report.json", "curves.svg", "bars.svg", "predictions-hospital-3.png"] {
        assert!(folder.join("out").join(file).is_file(), "{file}");
    }
    // The first rounds differ by one step of the quantizer: so little that validation hardly moves.
    let validation = |name: &str| run(folder, name)["validation"][1].as_f64().unwrap();
    let apart = validation("fedavg-seed-1") - validation("fedavg-encrypted-seed-1");
    assert!(apart.abs() < 0.01, "{apart}");
    // Of a common model the personalised ones differ by site, and nothing else does.
    let perfedavg = run(folder, "perfedavg-seed-2");
    assert_eq!(perfedavg["personalised"].as_array().unwrap().len(), 3);
    assert_eq!(perfedavg["chosen"].as_array().unwrap().len(), 1);
    assert_eq!(run(folder, "local-seed-2")["chosen"].as_array().unwrap().len(), 3);
    assert!(run(folder, "local-seed-2")["personalised"].is_null());

    // A lost run is repeated with the same bits; the others are kept.
    let before = run(folder, "perfedavg-seed-2");
    std::fs::remove_dir_all(folder.join("out/runs/perfedavg-seed-2")).unwrap();
    let again = lab(folder, &ARGUMENTS).unwrap();
    assert_eq!(again.matches(" kept ").count(), 9, "{again}");
    for part in ["validation", "test", "personalised", "chosen"] {
        assert_eq!(run(folder, "perfedavg-seed-2")[part], before[part], "{part}");
    }
    let mut other = ARGUMENTS.to_vec();
    other.extend(["--learning-rate", "0.1"]);
    let error = lab(folder, &other).unwrap_err();
    assert!(error.contains("other settings or data"), "{error}");
}
