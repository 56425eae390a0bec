//! Killed at every write, on a full disk, and again and again: what was acknowledged stays.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

const FOLDER: &str = "RINGFENCE_TEST_LEDGER_FOLDER";

/// As a kill leaves it at every byte of the entry, and as a power cut may, with blocks of zeros.
#[test]
fn a_charge_that_is_cut_off_at_any_byte_is_made_again() {
    let (hospital, names) = (Hospital::new(AMPLE), patients(0..3));
    let (units, before) = (Units::Patients(&names), hospital.folder.path().join("before"));
    hospital.charge(round("s", &units), 0).unwrap();
    let old = hospital.bytes("entries");
    let folders = [hospital.ledger(), hospital.state()];
    folders.iter().for_each(|folder| copy(folder, &before.join(folder.file_name().unwrap())));
    let after = hospital.charge(round("s", &units), 1).unwrap();
    let (new, head) = (hospital.bytes("entries"), hospital.bytes("head.json"));
    let line = new[old.len()..].to_vec();
    let cut = |length: usize| [&old[..], &line[..length]].concat();
    let zeros = |bytes: Vec<u8>, zeros: usize| [bytes, vec![0; zeros]].concat();
    let cuts = (0..line.len()).map(|length| (cut(length), 1));
    let blank = [1, 7, 500, 4096].map(|length| (zeros(old.clone(), length), 1));
    let half = [10, line.len() - 1].map(|length| (zeros(cut(length), 600), 1));
    // Whole, and not acknowledged: it is kept. What lies behind it is not.
    let whole = [(new.clone(), 2), (zeros(new.clone(), 50), 2), (cut(line.len()), 2)];
    let back = || {
        folders.iter().for_each(|folder| copy(&before.join(folder.file_name().unwrap()), folder));
    };
    back();
    for (at, (entries, kept)) in cuts.chain(blank).chain(half).chain(whole).enumerate() {
        hospital.write("entries", &entries);
        assert_eq!(hospital.summary().entries, kept);
        // Charging takes its time: after every seventh cut, and after each of the special ones.
        if at % 7 == 0 || at >= line.len() {
            assert_eq!(hospital.charge(round("s", &units), 1).unwrap(), after);
            let written = (hospital.bytes("entries"), hospital.bytes("head.json"));
            assert!(written == (new.clone(), head.clone()), "after {} bytes", entries.len());
            back();
        }
    }
}

/// A crash between any two of the files: each is whole or as it was.
#[test]
fn a_crash_between_any_two_writes_loses_nothing() {
    let (hospital, names, more) = (Hospital::new(AMPLE), patients(0..3), patients(0..9));
    let before = hospital.folder.path().join("before");
    hospital.charge(round("s", &Units::Patients(&names)), 0).unwrap();
    let folders = [hospital.ledger(), hospital.state()];
    folders.iter().for_each(|folder| copy(folder, &before.join(folder.file_name().unwrap())));
    let charge = || hospital.charge(round("s", &Units::Patients(&more)), 1);
    let after = charge().unwrap();
    // In the order in which they are written.
    let written: Vec<PathBuf> = files(&hospital.ledger().join("snapshots"))
        .into_iter()
        .chain(["entries", "head.json"].map(|file| hospital.ledger().join(file)))
        .chain([hospital.state().join("studies").join(study("s").to_string()).join("ledger.json")])
        .collect();
    let contents: Vec<_> = written.iter().map(|file| fs::read(file).unwrap()).collect();
    for done in 0..=written.len() {
        folders.iter().for_each(|folder| copy(&before.join(folder.file_name().unwrap()), folder));
        for (file, bytes) in written.iter().zip(&contents).take(done) {
            // The journal's digests are listed before its file is written: leave them out.
            let _ = fs::remove_file(file.with_file_name("B3SUMS"));
            fs::write(file, bytes).unwrap();
        }
        for folder in [hospital.ledger(), hospital.ledger().join("snapshots")] {
            fs::write(folder.join(".unfinished-x"), b"half").unwrap();
        }
        assert_eq!(charge().unwrap(), after, "after {done} writes");
        assert_eq!(hospital.bytes("entries"), contents[written.len() - 3]);
        assert!(!files(&hospital.ledger()).iter().any(|file| file.ends_with(".unfinished-x")));
    }
}

/// The child: charges rounds, each said on a line once it is acknowledged, until it is killed or a
/// write fails. Its folder is made by the parent.
#[test]
#[ignore = "run as a child process by the tests below"]
fn child() {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let identity = fs::read_to_string(folder.join("identity")).unwrap();
    let site = Identity::from_file(&identity).unwrap().public();
    let names = patients(0..40);
    // The last that is kept, once more.
    let kept = LedgerSummary::read(&folder.join("ledger")).unwrap();
    let kept = kept.studies.first().map_or(0, |study| study.rounds);
    for number in kept.saturating_sub(1).. {
        let journal = Journal::open(&folder.join("state")).unwrap();
        let mut ledger = Ledger::open(&folder.join("ledger"), &site, &journal).unwrap();
        // Another set of units in each round.
        let names = &names[..1 + number as usize % 40];
        let units = Units::Patients(names);
        match ledger.charge(&round("s", &units), RoundNumber(number), NOW) {
            Ok(_) => println!("\nacknowledged {number}"),
            Err(error) => {
                println!("\nrefused {number}: {error}");
                return;
            }
        }
    }
}

/// The child's command, run by a shell with these limits.
fn run(hospital: &Hospital, limits: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{limits} exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "ledger::tests::crashes::child"]);
    command.env(FOLDER, hospital.folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let identity = hospital.identity.to_file();
    fs::write(hospital.folder.path().join("identity"), identity.as_bytes()).unwrap();
    command
}

fn acknowledged(lines: impl Iterator<Item = String>) -> Option<u32> {
    let numbers = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
    numbers.max()
}

#[test]
fn a_process_that_is_killed_at_any_moment_forgets_nothing() {
    let hospital = Hospital::new(AMPLE);
    let (mut last, mut kept) = (None, 0);
    for attempt in 0u64..12 {
        let mut child = run(&hospital, "").spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (sender, numbers) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok()).for_each(
                |number: u32| {
                    let _ = sender.send(number);
                },
            );
        });
        // It has charged a new round, and then some moments more.
        for _ in 0..2 {
            last = last.max(numbers.recv_timeout(Duration::from_secs(120)).ok());
        }
        std::thread::sleep(Duration::from_millis(7 * attempt));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        last = last.max(numbers.try_iter().max());
        kept = hospital.summary().studies.first().map_or(0, |study| study.rounds);
        let said = last.map_or(0, |last| last + 1);
        // At most the one that was being charged is there beside them.
        assert!((said..=said + 1).contains(&kept), "{kept} rounds are kept, {said} acknowledged");
    }
    assert!(kept >= 12, "the child was killed too early to test anything: {kept}");
    assert_eq!(hospital.summary().spent.worst_epsilon, epsilon_of(kept.into()));
}

/// No file may grow beyond so many blocks: a write fails in the middle of an entry, as on a full disk.
#[test]
fn a_full_disk_leaves_what_was_there() {
    let mut failed = 0;
    for blocks in 3..9 {
        let hospital = Hospital::new(AMPLE);
        // The write fails instead of ending the process.
        let output =
            run(&hospital, &format!("trap '' XFSZ; ulimit -f {blocks};")).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let said = acknowledged(output.lines().map(str::to_owned)).map_or(0, |last| last + 1);
        assert!(output.contains("refused") || said == 0, "{output}");
        failed += u32::from(output.contains("entries: "));
        let summary = hospital.summary();
        assert_eq!(summary.entries, said as usize, "{output}");
        // Where there is room again, it goes on.
        let names = patients(0..40);
        let units = Units::Patients(&names[..1 + said as usize]);
        assert_eq!(hospital.charge(round("s", &units), said).unwrap().rounds, said + 1);
    }
    assert!(failed >= 3, "no write failed in the middle of an entry");
}
