//! `ringfence-lab audit-privacy`, small: the shipped trainer holds, planted faults are found, and
//! what cannot be run is refused. The larger one is in `docs/privacy_audit.md`.
#![allow(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach the helper functions"
)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn audit(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringfence-lab"))
        .arg("audit-privacy")
        .args(arguments)
        .env("RAYON_NUM_THREADS", "1")
        .current_dir(folder)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_shipped_trainer_holds_and_every_planted_fault_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let output = audit(folder.path(), &["--runs", "3", "--json", "--out", "out"]);
    assert!(output.status.success(), "{}", said(&output));
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    let named = |name: &str| {
        let row = rows.iter().find(|row| row["audit"] == name);
        row.unwrap_or_else(|| panic!("no row `{name}` of {rows:?}"))
    };
    let number = |value: &Value| value.as_f64().unwrap();

    let views = ["every step", "sampled", "patients"].map(|seen| format!("white box, {seen}"));
    for view in views.iter().chain([&"black box, last weights".to_owned()]) {
        let (row, control) = (named(view), named(&format!("control without noise: {view}")));
        let epsilon = number(&row["epsilon"]);
        assert_eq!(number(&row["bound"]["within"]), 1.0, "{row}");
        assert!(number(&row["bound"]["median"]) > 0.0, "an attack that finds nothing: {row}");
        assert!(number(&control["bound"]["low"]) > epsilon, "{control}");
    }
    assert_eq!(named(&views[2])["unit"], "patient");
    // Two steps of noise 1.4 are one of 0.99: `gaussian::epsilon(0.99, 1e-5)` is 4.43.
    let sharp = named(&views[0]);
    assert!((number(&sharp["epsilon"]) - 4.43).abs() < 0.01, "{sharp}");
    // The command asks for 0.6 of the median of many; of three runs it may be less by chance.
    assert!(number(&sharp["predicted"]) >= 0.6 * number(&sharp["epsilon"]), "{sharp}");
    assert!(number(&sharp["observed"]) >= 0.5 * number(&sharp["epsilon"]), "{sharp}");
    // The whole curve says more than one epsilon and delta.
    assert!(number(&sharp["observed"]) > number(&sharp["bound"]["one_pair"]), "{sharp}");

    for check in ["too little noise", "noise that varies", "units in turn"] {
        // One of three is not beyond chance; a fault would show in all.
        let row = named(&format!("false alarms: {check}"));
        assert!(number(&row["observed"]) < 0.5 && number(&row["predicted"]) == 0.01, "{row}");
    }
    let faults = [
        "noise x 0.8",
        "clipping per batch",
        "shuffling accounted as Poisson",
        "normaliser = sampled size",
        "images for patients",
    ];
    for fault in faults {
        let row = named(&format!("planted: {fault}"));
        assert!(number(&row["predicted"]) >= 0.9 && number(&row["observed"]) == 1.0, "{row}");
    }
    assert_eq!(rows.len(), 4 + 4 + 3 + 5);
    let kept = std::fs::read(folder.path().join("out/report.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), Value::Array(rows.clone()));
    let table = std::fs::read_to_string(folder.path().join("out/report.txt")).unwrap();
    assert_eq!(table.lines().count(), 17, "{table}");
}

#[test]
fn parts_can_be_run_alone_and_nonsense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = audit(folder.path(), &["--runs", "1", "--black-box"]);
    assert!(output.status.success(), "{}", said(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("\nblack box, last weights ") && !table.contains("white"), "{table}");
    for (arguments, expected) in [
        (vec!["--black-box", "--white-box"], "cannot be used with"),
        (vec!["--black-box", "--fault", "shuffling"], "--fault shuffling: "),
        (vec!["--fault", "nothing"], "expected `all`, `none` or one of weak-noise, "),
        (vec!["--confidence", "1"], "--confidence: expected a number from 0.5 to below 1"),
        (vec!["--runs", "0"], "--runs"),
    ] {
        let output = audit(folder.path(), &arguments);
        let error = said(&output);
        assert!(!output.status.success() && error.contains(expected), "{arguments:?}: {error}");
    }
}
