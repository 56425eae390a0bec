//! The command itself: its files and what it ends with.

use std::fs;
use std::process::{Command, Output};

use crate::export::export;
use crate::studies::record;

fn audit(arguments: &[&str], folder: &std::path::Path) -> Output {
    let program = env!("CARGO_BIN_EXE_ringfence-audit");
    Command::new(program).args(arguments).current_dir(folder).output().unwrap()
}

#[test]
fn every_form_of_the_report_is_written() {
    let mut record = record(|_| ());
    record.run(b"model 0", b"model 1", &mut ringfence_testkit::rng(11));
    let folder = tempfile::tempdir().unwrap();
    export(&record, &folder.path().join("export"));
    let forms = ["--html", "report.html", "--pdf", "report.pdf", "--dpia", "dpia.md"];
    let done = audit(&[&["export"], &forms[..]].concat(), folder.path());
    let said = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("\nWhat was protected\n") && said.contains("\nThe checks\n"), "{said}");
    let starts = |file: &str, with: &[u8]| {
        assert!(fs::read(folder.path().join(file)).unwrap().starts_with(with), "{file}");
    };
    starts("report.html", b"<!doctype html>");
    starts("report.pdf", b"%PDF-1.7");
    starts("dpia.md", b"# Data protection impact assessment: study ");
    // What was altered is told in all of them, and by what it ends with.
    fs::write(folder.path().join("export/rounds/0.sum"), "x").unwrap();
    let done = audit(&[&["export"], &forms[..]].concat(), folder.path());
    assert_eq!(done.status.code(), Some(1));
    let draft = fs::read_to_string(folder.path().join("dpia.md")).unwrap();
    assert!(draft.contains("sum of round 0 is FALSE"), "{draft}");
    let nowhere = audit(&["export", "--pdf", "no/such/folder.pdf"], folder.path());
    assert_eq!(nowhere.status.code(), Some(2));
    let said = String::from_utf8_lossy(&nowhere.stderr);
    assert!(said.contains("cannot write no/such/folder.pdf"), "{said}");
}
