//! The privacy ledger in processes that are killed, and on a disk that is full.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the lints' exception for tests does not reach the helper functions"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, StudyId, UnixSeconds};
use ringfence_crypto::statement::{RosterEntry, Spent};
use ringfence_keys::identity::Identity;
use ringfence_keys::system_rng;
use ringfence_keys::update::site_noise::inexact::Inexactness;
use ringfence_privacy::{Accountant, Mechanism, Release};
use ringfence_site::Journal;
use ringfence_site::ledger::{
    Budget, Ledger, LedgerError, LedgerSummary, RoundCharge, Terms, UnitKind, Units,
};

const FOLDER: &str = "RINGFENCE_TEST_LEDGER_FOLDER";
const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const AMPLE: Budget = Budget { epsilon: 1000.0, delta: 1e-5 };
const STEPS: [Release; 1] =
    [(Mechanism::Gaussian { noise_multiplier: 10.0, sampling_rate: 1.0 }, 50)];

/// A process that is being started has for a moment every file that this one has open, locks too. So
/// what opens ledgers here is not run beside what starts processes.
static ALONE: Mutex<()> = Mutex::new(());

/// A hospital with a ledger and the state of one identity.
struct Hospital {
    folder: tempfile::TempDir,
    identity: Identity,
}

impl Hospital {
    fn new() -> Self {
        let (folder, mut rng) = (tempfile::tempdir().unwrap(), system_rng().unwrap());
        let identity = Identity::generate("north".parse().unwrap(), &mut rng).unwrap();
        let terms = Terms::new(AMPLE, UnitKind::Patient, &[identity.public()], NOW).unwrap();
        Ledger::init(&folder.path().join("ledger"), &terms, &mut rng).unwrap();
        Self { folder, identity }
    }

    fn charge(&self, charge: RoundCharge<'_>, round: u32) -> Result<Spent, LedgerError> {
        charge_in(self.folder.path(), &self.identity.public(), charge, round)
    }

    fn summary(&self) -> LedgerSummary {
        LedgerSummary::read(&self.folder.path().join("ledger")).unwrap()
    }
}

/// Opens everything anew, as a new process does, and charges a round.
fn charge_in(
    folder: &Path,
    site: &RosterEntry,
    charge: RoundCharge<'_>,
    round: u32,
) -> Result<Spent, LedgerError> {
    let journal = Journal::open(&folder.join("state"))?;
    let mut ledger = Ledger::open(&folder.join("ledger"), site, &journal)?;
    ledger.charge(&charge, RoundNumber(round), NOW)
}

fn patients(names: std::ops::Range<u32>) -> Vec<String> {
    names.map(|number| format!("patient-{number}")).collect()
}

fn round<'a>(units: &'a Units) -> RoundCharge<'a> {
    let study = StudyId(Digest::of(b"study"));
    let inexact = Inexactness::default();
    RoundCharge { study, mechanisms: &STEPS, once: &[], inexact, budget: AMPLE, units }
}

/// Epsilon of so many rounds, by the accountant alone.
fn epsilon_of(rounds: u64) -> f64 {
    let [(mechanism, times)] = STEPS;
    let releases = [(mechanism, times * rounds)];
    ringfence_privacy::epsilon(&releases, AMPLE.delta, Accountant::Rdp).unwrap()
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
        // Another set of units in each round.
        let names = &names[..1 + number as usize % 40];
        let units = Units::Patients(names.to_vec());
        match charge_in(&folder, &site, round(&units), number) {
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
    command.args(["--ignored", "--exact", "--nocapture", "child"]);
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
    let _alone = ALONE.lock();
    let hospital = Hospital::new();
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
    let _alone = ALONE.lock();
    let mut failed = 0;
    for blocks in 3..9 {
        let hospital = Hospital::new();
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
        let units = Units::Patients(names[..1 + said as usize].to_vec());
        assert_eq!(hospital.charge(round(&units), said).unwrap().rounds, said + 1);
    }
    assert!(failed >= 3, "no write failed in the middle of an entry");
}
