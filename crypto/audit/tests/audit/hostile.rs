//! Exports that are made to harm whoever reads them: each has its verdict, soon and in little memory.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ringfence_audit::{Disk, Options, Report, Subject, Verdict, audit, text};
use ringfence_crypto::id::RoundNumber;
use ringfence_testkit::rng;

use crate::export::export;
use crate::honest::verdict;
use crate::studies::record;

/// A folder with one honest round.
fn honest() -> tempfile::TempDir {
    let mut record = record(|_| ());
    record.run(b"model 0", b"model 1", &mut rng(31));
    let folder = tempfile::tempdir().unwrap();
    export(&record, folder.path());
    folder
}

/// What an audit says, within a time that no honest export of this size needs.
fn soon(folder: &Path) -> Result<Report, String> {
    let start = Instant::now();
    let report = audit(&Disk::at(folder), &Options::default()).map_err(|error| error.to_string());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    report
}

fn is_false(report: &Report, round: Option<u32>, check: Subject, words: &str) {
    assert_eq!(verdict(report, round, check), Verdict::False, "{}", text(report));
    assert_eq!(report.exit_code(), 1);
    assert!(text(report).contains(words), "{words}: {}", text(report));
}

/// A file of so many bytes that takes no room.
fn long(path: &Path, bytes: u64) {
    File::create(path).unwrap().set_len(bytes).unwrap();
}

const FILES: [(&str, Option<u32>, Subject); 5] = [
    ("log/checkpoint", None, Subject::OneHistory),
    ("log/entries.txt", None, Subject::OneHistory),
    ("rounds/0.proof.json", Some(0), Subject::File),
    ("rounds/0.sum", Some(0), Subject::Sum),
    ("rounds/0.bodies/site-3", Some(0), Subject::Sum),
];

#[test]
fn files_longer_than_any_such_file_are_not_read() {
    for (file, round, check) in FILES {
        let folder = honest();
        long(&folder.path().join(file), 1 << 40);
        let report = soon(folder.path()).unwrap();
        let words = if check == Subject::Sum { "" } else { "1099511627776 bytes, more than" };
        is_false(&report, round, check, words);
    }
    let folder = honest();
    long(&folder.path().join("study.json"), 1 << 40);
    assert!(soon(folder.path()).unwrap_err().contains("more than the 67108864"));
    let folder = honest();
    long(&folder.path().join("log/checkpoint"), (256 << 10) + 1);
    let report = soon(folder.path()).unwrap();
    is_false(&report, None, Subject::OneHistory, "262145 bytes, more than the 262144");
}

#[test]
fn what_is_no_plain_file_is_not_opened() {
    let replace = |path: &Path, by: &dyn Fn(&Path)| {
        fs::remove_file(path).unwrap();
        by(path);
    };
    let fifo = |path: &Path| {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let folder_instead = |path: &Path| fs::create_dir(path).unwrap();
    let endless = |path: &Path| symlink("/dev/zero", path).unwrap();
    let nowhere = |path: &Path| symlink("nowhere", path).unwrap();
    let itself = |path: &Path| symlink(path, path).unwrap();
    for (by, words) in [
        (&folder_instead as &dyn Fn(&Path), "it is no plain file"),
        (&fifo, "it is no plain file"),
        (&endless, "it is a link"),
        (&nowhere, "it is a link"),
        (&itself, "it is a link"),
    ] {
        for (file, round, check) in FILES {
            let folder = honest();
            replace(&folder.path().join(file), by);
            is_false(&soon(folder.path()).unwrap(), round, check, words);
        }
        let folder = honest();
        replace(&folder.path().join("study.json"), by);
        assert!(soon(folder.path()).unwrap_err().contains(words));
    }
    let folder = honest();
    fs::remove_dir_all(folder.path().join("rounds")).unwrap();
    fs::write(folder.path().join("rounds"), "").unwrap();
    assert!(soon(folder.path()).unwrap_err().contains("it is no folder; fetch the export again"));
}

/// Who makes an export puts links to the reader's own files into it: nothing of them is in the report.
#[test]
fn nothing_of_what_links_lead_to_is_reported() {
    let own = tempfile::tempdir().unwrap();
    fs::write(own.path().join("secret"), "a secret of the reader's\n").unwrap();
    for name in ["log/entries.txt", "log/checkpoint", "log/cosignatures.json", "rounds/0.gone"] {
        let folder = honest();
        let path = folder.path().join(name);
        _ = fs::remove_file(&path);
        symlink(own.path().join("secret"), &path).unwrap();
        let report = soon(folder.path()).unwrap();
        assert!(!text(&report).contains("secret of"), "{}", text(&report));
        assert_eq!(report.exit_code(), 1, "{name}: {}", text(&report));
    }
    // A folder that is one leads out as well.
    let folder = honest();
    let bodies = folder.path().join("rounds/0.bodies");
    fs::rename(&bodies, own.path().join("bodies")).unwrap();
    symlink(own.path().join("bodies"), &bodies).unwrap();
    is_false(&soon(folder.path()).unwrap(), Some(0), Subject::Sum, "it is a link");
}

#[test]
fn json_of_any_depth_and_length_ends() {
    let deep = "[".repeat(50 << 20);
    let wide = format!("[{}1]", "1,".repeat(20 << 20));
    for json in [&deep, &wide, "", "null", "\u{feff}{}", "{\"protocol\":1e999}"] {
        let folder = honest();
        fs::write(folder.path().join("rounds/0.proof.json"), json).unwrap();
        is_false(&soon(folder.path()).unwrap(), Some(0), Subject::File, "round proof");
        fs::write(folder.path().join("study.json"), json).unwrap();
        assert!(soon(folder.path()).unwrap_err().starts_with("study.json: "));
    }
}

#[test]
fn names_that_lead_elsewhere_lead_nowhere() {
    let folder = honest();
    let proof = folder.path().join("rounds/0.proof.json");
    let text = fs::read_to_string(&proof).unwrap();
    // A site's name is no path.
    fs::write(&proof, text.replace("site-3", "../../x")).unwrap();
    is_false(&soon(folder.path()).unwrap(), Some(0), Subject::File, "expected a site name");
}

#[test]
fn a_hundred_thousand_other_files_are_passed_over() {
    let folder = honest();
    for number in 0..100_000 {
        let name = format!("rounds/{number:05}.proof.json.bak");
        File::create(folder.path().join(name)).unwrap();
    }
    // Other spellings of a number, and numbers beyond any round, are no rounds.
    for name in ["00", "+1", "4294967296", "100000", "-1", "1e1"] {
        fs::write(folder.path().join(format!("rounds/{name}.proof.json")), "x").unwrap();
    }
    let report = soon(folder.path()).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", text(&report));
    assert_eq!(report.rounds.len(), 1);
}

#[test]
fn a_last_round_far_away_is_said_to_be_alone() {
    let folder = honest();
    let at = |name: &str| folder.path().join(format!("rounds/{name}.proof.json"));
    fs::copy(at("0"), at("99999")).unwrap();
    let report = soon(folder.path()).unwrap();
    assert_eq!(verdict(&report, None, Subject::Rounds), Verdict::Missing);
    assert!(text(&report).contains("99998 rounds have no file, the first of them round 1"));
    let file = report.rounds.iter().find(|round| round.round == RoundNumber(99_999)).unwrap();
    assert!(file.lines.iter().any(|line| line.check == Subject::File));
}
