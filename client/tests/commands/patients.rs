//! What happens between a site, its patients and its privacy ledger while a study runs: patients that
//! change, a round that is charged for others, a ledger that somebody else has, a slip of the hand.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::Study;
use ringfence_federation::Aggregator;
use ringfence_keys::identity::Identity;
use ringfence_keys::study::spending::Spending;
use ringfence_site::Journal;
use ringfence_site::ledger::{Budget, Ledger, RoundCharge, Units};

use crate::private::{
    PATIENTS, SITES, ended, init, ledger, log, register, shown, start_for, stated, study,
};
use crate::support::ringfence;

/// Charges round 0 to a site's ledger for a patient who is not among its images any more.
fn charge_somebody(folder: &Path, study: &Study, site: &str) {
    let identity = std::fs::read_to_string(folder.join(format!("{site}.identity"))).unwrap();
    let owner = Identity::from_file(&identity).unwrap().public();
    let journal = Journal::open(&folder.join(format!("state-{site}"))).unwrap();
    let path = folder.join(format!("ledger-{site}"));
    let mut ledger = Ledger::open(&path, &owner, &journal).unwrap();
    let (spending, budget) = (Spending::of(study).unwrap(), study.privacy.budget().unwrap());
    let charge = RoundCharge {
        study: study.id(),
        mechanisms: &spending.each_round,
        once: &spending.once,
        inexact: spending.inexact,
        budget: Budget { epsilon: budget.epsilon.into(), delta: budget.delta.into() },
        units: &Units::Patients(vec!["who has left".to_owned()]),
    };
    ledger.charge(&charge, RoundNumber(0), Clock::system().now()).unwrap();
}

/// Gives every patient of a table another name.
fn rename_patients(table: &Path) {
    let text = std::fs::read_to_string(table).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column = header.iter().position(|name| *name == "patient").unwrap();
    let mut renamed = header.join(",");
    for mut line in lines {
        let name = format!("other-{}", line[column]);
        line[column] = &name;
        renamed += &format!("\n{}", line.join(","));
    }
    std::fs::write(table, renamed + "\n").unwrap();
}

fn waited_for(what: impl Fn() -> bool, why: impl Fn() -> String) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed().as_secs() < 120, "{}", why());
        sleep(Duration::from_millis(20));
    }
}

/// What a site had trained is not sent for other patients than it was trained on. A round that is
/// charged for others costs a site that round's contribution and no more. A ledger that somebody else
/// has is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_patients_have_changed_trains_anew_and_none_ends_by_its_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    init(folder, &["--rounds", "2", "--epochs", "1"]);
    // Nobody opens the first round in the place of its initiator.
    let policy = format!("{PATIENTS} --initiator-timeout-seconds 3600");
    let study = study(folder, &aggregator.public_key().to_string(), &policy);
    register(folder, &aggregator);
    for site in SITES {
        ledger(folder, &format!("ledger-{site}"), (site, "patient", "99"));
    }
    charge_somebody(folder, &study, "c");
    let url = aggregator.url();
    let mut early = start_for(folder, url, ("d", "40"));
    let checkpoint = folder.join(format!("state-d/training/{}/checkpoint.safetensors", study.id()));
    waited_for(|| checkpoint.exists(), || log(folder, "d"));
    early.kill().unwrap();
    early.wait().unwrap();
    rename_patients(&folder.join("images-d/labels.csv"));

    let lock = std::fs::File::options().write(true).open(folder.join("ledger-b/lock")).unwrap();
    lock.lock().unwrap();
    let mut processes = SITES.map(|site| start_for(folder, url, (site, "40")));
    waited_for(|| log(folder, "b").contains("ledger-b is in use by"), || log(folder, "b"));
    drop(lock);
    for (site, process) in SITES.iter().zip(&mut processes) {
        ended(folder, site, process);
    }

    let said = |site: &str, expected: &[&str]| {
        let log = log(folder, site);
        for expected in expected {
            assert!(log.contains(expected), "{site}: {expected:?} is not said:\n{log}");
        }
        log
    };
    let of_d = said("d", &["round 0: what this site had trained", "and training starts over"]);
    assert!(!of_d.contains("goes on training"), "{of_d}");
    said("b", &["waiting until", "that is over; going on"]);
    said(
        "c",
        &[
            "round 0: no contribution of this site: round 0 of study",
            "is charged already, with other units",
            "round 1: charged to the privacy ledger",
        ],
    );
    for (site, rounds, contributed) in [("b", 2, true), ("c", 2, false), ("d", 2, true)] {
        let summary = shown(folder, &["ledger", "show", "--json", &format!("ledger-{site}")]);
        let of_study = &summary["studies"][0];
        assert_eq!(of_study["rounds"], rounds, "{site}: {summary}");
        assert_eq!(stated(folder, &study, site, 0).is_some(), contributed, "{site}");
        assert!(stated(folder, &study, site, 1).is_some(), "{site}");
    }
    // Those of before were not charged: nothing of them has left.
    let units = |site: &str| {
        shown(folder, &["ledger", "show", "--json", &format!("ledger-{site}")])["spent"]["units"]
            .as_u64()
            .unwrap()
    };
    assert_eq!((units("d"), units("c")), (units("b"), units("b") + 1));
}

#[test]
fn a_restore_through_more_rounds_than_there_are_is_refused_and_what_holds_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    init(folder, &["--rounds", "6", "--epochs", "1"]);
    // RFC 8032, test 1.
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    study(folder, key, PATIENTS);
    let restored = |through: &str| {
        let member = ["--identity", "a.identity", "--state", "s", "--server", "http://127.0.0.1:1"];
        ringfence(folder, &[&["restored", "--through", through], &member[..]].concat())
    };
    let error = restored("500").unwrap_err();
    assert!(error.contains("the study's plan has 6 rounds, so that 6 is the largest"), "{error}");
    let said = restored("5").unwrap();
    assert!(
        said.contains("holding keys through round 5") && !said.contains("earlier run"),
        "{said}"
    );
    let said = restored("4").unwrap();
    assert!(said.contains("holding keys through round 5"), "{said}");
    assert!(said.contains("an earlier run of this command said 5: that stands"), "{said}");
    assert!(said.contains("until then no study of this state is charged to it"), "{said}");
    let error = restored("-1").unwrap_err();
    assert!(error.contains("expected the number of a round, from 0 to 4294967295"), "{error}");
}

/// The study's aggregator is gone: nothing of it is needed. Six rounds can have been forgotten of a plan
/// of six, and not seven. While the others are still asked, `join` begins nothing.
#[test]
fn a_restore_is_charged_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    init(folder, &["--rounds", "6", "--epochs", "1"]);
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    // Enough for far more rounds than the plan has.
    let ample = PATIENTS.replace("--epsilon 20", "--epsilon 500 --noise-multiplier 1.5");
    study(folder, key, &ample);
    let member = ["--identity", "a.identity", "--state", "s", "--server", "http://127.0.0.1:1"];
    let ledger = ["ledger", "init", "kept", "--unit", "patient", "--identity", "a.identity"];
    ringfence(folder, &[&ledger[..], &["--epsilon", "900", "--delta", "1e-5"]].concat()).unwrap();
    let rounds = || {
        let shown = shown(folder, &["ledger", "show", "--json", "kept"]);
        shown["studies"][0]["rounds"].as_u64()
    };
    let open = [&["restored", "--patience", "0"], &member[..]].concat();
    ringfence(folder, &open).unwrap_err();
    let join = ["join", "--model", "model.safetensors", "--data", "none", "--ledger", "kept"];
    let error = ringfence(folder, &[&join[..], &member[..]].concat()).unwrap_err();
    assert!(error.contains("takes part in none"), "{error}");
    assert_eq!(rounds(), None);
    let by_hand = [&["restored", "--through", "6", "--ledger", "kept"], &member[..]].concat();
    ringfence(folder, &by_hand).unwrap();
    assert_eq!(rounds(), Some(6));
}
