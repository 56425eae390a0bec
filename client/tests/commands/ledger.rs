//! `ringfence ledger`: made once, shown in words and in JSON, and refused where it is none.

use std::path::Path;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, StudyId, UnixSeconds};
use ringfence_keys::identity::Identity;
use ringfence_keys::update::site_noise::inexact::Inexactness;
use ringfence_privacy::Mechanism;
use ringfence_site::Journal;
use ringfence_site::ledger::{Budget, Ledger, RoundCharge, Units};
use serde_json::Value;

use crate::support::ringfence;

const NEW: [&str; 11] = [
    "ledger",
    "init",
    "cohort",
    "--epsilon",
    "8",
    "--delta",
    "1e-5",
    "--unit",
    "patient",
    "--identity",
    "north.identity",
];

/// Charges so many of three rounds to two patients, and the last two of them to a third.
fn charge(folder: &Path, rounds: usize) {
    let identity = std::fs::read_to_string(folder.join("north.identity")).unwrap();
    let site = Identity::from_file(&identity).unwrap().public();
    let journal = Journal::open(&folder.join("state")).unwrap();
    let mut ledger = Ledger::open(&folder.join("cohort"), &site, &journal).unwrap();
    let all = [(0, &["a", "b"][..]), (1, &["a", "b", "c"]), (2, &["a", "b", "c"])];
    for (round, names) in all.into_iter().take(rounds) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let charge = RoundCharge {
            study: StudyId(Digest::of(b"study")),
            mechanisms: &[(Mechanism::gaussian(10.0, 1.0), 2)],
            once: &[],
            inexact: Inexactness { added: 1e-9, squared: 0.0 },
            budget: Budget { epsilon: 2.0, delta: 1e-6 },
            units: &Units::Patients(names.clone()),
        };
        ledger.charge(&charge, RoundNumber(round), UnixSeconds(1_800_000_000)).unwrap();
    }
}

#[test]
fn a_ledger_is_made_once_and_says_what_is_spent_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| ringfence(folder.path(), arguments);
    run(&["keygen", "--site", "north"]).unwrap();
    let said = run(&NEW).unwrap();
    assert!(said.contains("epsilon 8 at delta 0.00001 for each patient"), "{said}");
    assert!(said.contains("never put it back alone"), "{said}");
    let again = run(&NEW).unwrap_err();
    assert!(again.contains("never overwritten"), "{again}");
    let shown = run(&["ledger", "show", "cohort"]).unwrap();
    assert!(shown.contains("spent    nothing"), "{shown}");

    charge(folder.path(), 1);
    let shown = run(&["ledger", "show", "cohort"]).unwrap();
    assert!(shown.contains("or less by half of 2 (1 charge)\n"), "{shown}");
    std::fs::remove_dir_all(folder.path().join("cohort")).unwrap();
    std::fs::remove_dir_all(folder.path().join("state")).unwrap();
    run(&NEW).unwrap();
    charge(folder.path(), 3);
    let shown = run(&["ledger", "show", "cohort"]).unwrap();
    assert!(shown.contains("(3 charges)\n"), "{shown}");
    let json = run(&["ledger", "show", "cohort", "--json"]).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["unit"], &json["entries"]), (&Value::from("patient"), &Value::from(3)));
    let (spent, study) = (&json["spent"], &json["studies"][0]);
    assert_eq!((&spent["units"], &study["rounds"]), (&Value::from(3), &Value::from(3)));
    let number = |value: &Value| value.as_f64().unwrap();
    let worst = number(&spent["worst_epsilon"]);
    assert!(worst > 0.0 && worst < number(&study["spent"]["worst_epsilon"]));
    assert!((number(&json["epsilon_left"]) - (8.0 - worst)).abs() < 1e-12);
    let worst = format!("epsilon {} by the patient that has spent most", up(worst));
    assert!(shown.contains(&worst) && shown.contains("as north"), "{shown}");
    assert!(shown.contains("left     epsilon") && shown.contains("half of 3"), "{shown}");
    // At the hospital's epsilon of 8 what the noise lacks cannot be taken off delta outright, at the
    // study's of 2 it can.
    let caveat = "NOT      the sums themselves, at so large an epsilon: they are within 3.0e-9 of";
    assert_eq!((shown.matches(caveat).count(), shown.matches("NOT  ").count()), (1, 1), "{shown}");
    assert!((number(&spent["within"]) / 3e-9 - 1.0).abs() < 1e-9, "{spent}");
    assert_eq!(study["spent"]["within"], Value::Null);
}

fn up(epsilon: f64) -> String {
    format!("{:.4}", (epsilon * 1e4).ceil() / 1e4)
}

#[test]
fn what_is_no_ledger_or_no_budget_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| ringfence(folder.path(), arguments);
    run(&["keygen", "--site", "north"]).unwrap();
    let missing = run(&["ledger", "show", "cohort"]).unwrap_err();
    assert!(
        missing.contains("expected a folder that `ringfence ledger init` has made"),
        "{missing}"
    );
    for (option, value, said) in [
        (4, "0", "expected a finite epsilon above zero, got 0"),
        (4, "inf", "got inf"),
        (6, "1", "expected a delta above 0 and below 1, got 1"),
        (8, "hospital", "expected a unit of privacy (record, patient or site)"),
        (10, "south.identity", "south.identity"),
    ] {
        let mut arguments = NEW;
        arguments[option] = value;
        let error = run(&arguments).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    assert!(!folder.path().join("cohort").exists());
    run(&NEW).unwrap();
    charge(folder.path(), 3);
    let entries = folder.path().join("cohort/entries");
    let text = std::fs::read_to_string(&entries).unwrap();
    std::fs::write(&entries, text.replacen("\"round\":1", "\"round\":2", 1)).unwrap();
    let error = run(&["ledger", "show", "cohort"]).unwrap_err();
    assert!(error.contains("entry 2 of 3: its authentication code does not hold"), "{error}");
    assert!(error.contains("put the newest copy of the ledger's folder back"), "{error}");
}
