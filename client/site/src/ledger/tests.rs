//! The ledger: what is charged stays charged, whatever happens to the machine.

mod altered;
mod budgets;
mod copied_back;
mod crashes;

use std::fs;
use std::path::{Path, PathBuf};

use ringfence_crypto::Digest;
use ringfence_keys::identity::Identity;
use ringfence_keys::system_rng;
use ringfence_privacy::{Accountant, Mechanism};

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const DELTA: f64 = 1e-5;

/// What each round does here; without sampling, because its accounting takes microseconds.
const STEPS: [Release; 1] =
    [(Mechanism::Gaussian { noise_multiplier: 10.0, sampling_rate: 1.0 }, 50)];

/// Larger than anything that the tests spend.
const AMPLE: Budget = Budget { epsilon: 1000.0, delta: DELTA };

/// A hospital with a ledger and the state of one identity.
struct Hospital {
    folder: tempfile::TempDir,
    identity: Identity,
}

impl Hospital {
    fn new(budget: Budget) -> Self {
        let (folder, mut rng) = (tempfile::tempdir().unwrap(), system_rng().unwrap());
        let identity = Identity::generate("north".parse().unwrap(), &mut rng).unwrap();
        let hospital = Self { folder, identity };
        hospital.init(&hospital.ledger(), budget, UnitKind::Patient).unwrap();
        hospital
    }

    fn init(&self, folder: &Path, budget: Budget, unit: UnitKind) -> Result<(), LedgerError> {
        let terms = Terms::new(budget, unit, &[self.site()], NOW)?;
        Ledger::init(folder, &terms, &mut system_rng().unwrap())
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn site(&self) -> RosterEntry {
        self.identity.public()
    }

    /// Opens everything anew, as a new process does.
    fn open<T>(&self, run: impl FnOnce(&mut Ledger<'_>) -> T) -> Result<T, LedgerError> {
        let journal = Journal::open(&self.state())?;
        let mut ledger = Ledger::open(&self.ledger(), &self.site(), &journal)?;
        Ok(run(&mut ledger))
    }

    fn charge(&self, charge: RoundCharge<'_>, round: u32) -> Result<Spent, LedgerError> {
        self.open(|ledger| ledger.charge(&charge, RoundNumber(round), NOW))?
    }

    fn restored(&self, charge: RoundCharge<'_>, through: u32) -> Result<Spent, LedgerError> {
        let restores = Digest::of(b"restores that no journal holds");
        Ok(self.settled(charge, (restores, through))?.spent)
    }

    fn settled(
        &self,
        charge: RoundCharge<'_>,
        (restores, through): (Digest, u32),
    ) -> Result<Restored, LedgerError> {
        let journal = Journal::open(&self.state())?;
        let ledger = RestoredLedger::open(&self.ledger(), &self.site(), &journal)?;
        ledger.charge(&charge, (restores, RoundNumber(through)), NOW)
    }

    /// What a round would come to; nothing is charged.
    fn check(&self, charge: RoundCharge<'_>, round: u32) -> Result<Spent, LedgerError> {
        let journal = Journal::open(&self.state())?;
        let ledger = Ledger::open(&self.ledger(), &self.site(), &journal)?;
        ledger.check(&charge, RoundNumber(round))
    }

    fn summary(&self) -> LedgerSummary {
        LedgerSummary::read(&self.ledger()).unwrap()
    }

    /// The bytes of one of the ledger's files.
    fn bytes(&self, file: &str) -> Vec<u8> {
        fs::read(self.ledger().join(file)).unwrap()
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        fs::write(self.ledger().join(file), bytes).unwrap();
    }
}

fn study(name: &str) -> StudyId {
    StudyId(Digest::of(name.as_bytes()))
}

fn patients(names: std::ops::Range<u32>) -> Vec<String> {
    names.map(|number| format!("patient-{number}")).collect()
}

/// A round of a study with these units and an ample budget.
fn round<'a>(name: &str, units: &'a Units) -> RoundCharge<'a> {
    let (study, inexact) = (study(name), Inexactness::default());
    RoundCharge { study, mechanisms: &STEPS, once: &[], inexact, budget: AMPLE, units }
}

/// Epsilon of so many rounds of [`STEPS`], by the accountant alone.
fn epsilon_of(rounds: u64) -> f64 {
    let [(mechanism, times)] = STEPS;
    ringfence_privacy::epsilon(&[(mechanism, times * rounds)], DELTA, Accountant::Rdp).unwrap()
}

/// Copies a folder whole.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let at = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &at),
            false => _ = fs::copy(&path, &at).unwrap(),
        }
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let each = entries.map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    each.flatten().collect()
}

#[test]
fn names_of_units_never_reach_the_disk_and_are_keyed() {
    let (a, b) = (Hospital::new(AMPLE), Hospital::new(AMPLE));
    let (names, mut hashes) = (patients(0..3), Vec::new());
    for hospital in [&a, &b] {
        hospital.charge(round("s", &Units::Patients(names.clone())), 0).unwrap();
        for file in files(&hospital.ledger()).into_iter().chain(files(&hospital.state())) {
            let bytes = fs::read(&file).unwrap();
            for name in &names {
                let digest = Digest::of(name.as_bytes());
                let holds = |what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
                assert!(!holds(name.as_bytes()) && !holds(&digest.0), "{}", file.display());
            }
        }
        let [snapshot] = &files(&hospital.ledger().join("snapshots"))[..] else { panic!() };
        hashes.push(fs::read(snapshot).unwrap());
    }
    let (one, other) = (&hashes[0], &hashes[1]);
    assert!(one.chunks(32).all(|hash| other.chunks(32).all(|theirs| theirs != hash)));
}

#[cfg(unix)]
#[test]
fn a_cohort_key_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let hospital = Hospital::new(AMPLE);
    let key = hospital.ledger().join("cohort.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = hospital.open(|_| ()).unwrap_err().to_string();
    assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
}

#[test]
fn a_ledger_is_made_once_and_used_by_one_process_at_a_time() {
    let hospital = Hospital::new(AMPLE);
    let again = hospital.init(&hospital.ledger(), AMPLE, UnitKind::Patient);
    assert!(matches!(again, Err(LedgerError::Exists(_))), "{again:?}");
    let names = patients(0..2);
    hospital.charge(round("s", &Units::Patients(names.clone())), 0).unwrap();
    // Its terms alone are gone: making it anew would forget what was spent.
    let terms = hospital.bytes("ledger.json");
    fs::remove_file(hospital.ledger().join("ledger.json")).unwrap();
    let none = hospital.open(|_| ()).unwrap_err().to_string();
    assert!(none.contains("no privacy ledger"), "{none}");
    let again = hospital.init(&hospital.ledger(), AMPLE, UnitKind::Patient);
    assert!(matches!(again, Err(LedgerError::Exists(_))), "{again:?}");
    hospital.write("ledger.json", &terms);
    let locked = hospital.open(|_| LedgerSummary::read(&hospital.ledger()).unwrap_err()).unwrap();
    assert!(matches!(locked, LedgerError::Locked { .. }), "{locked}");
    assert!(locked.to_string().contains("was for 5 s"), "{locked}");
    #[cfg(target_os = "linux")]
    assert!(locked.to_string().contains(&format!("by process {}", std::process::id())), "{locked}");
    // For a moment it is waited for.
    let folder = hospital.ledger();
    let reader = hospital
        .open(|_| {
            let reader = std::thread::spawn(move || LedgerSummary::read(&folder).map(|_| ()));
            std::thread::sleep(std::time::Duration::from_millis(200));
            reader
        })
        .unwrap();
    reader.join().unwrap().unwrap();
    // Whoever has let others at it writes no more.
    let mut released = Book::open(&hospital.ledger()).unwrap().released();
    let entry = released.kept[0].entry.clone();
    let refused = released.append(entry);
    assert!(matches!(refused, Err(LedgerError::Released { .. })), "{refused:?}");
    // A crash before the terms were written: what was drawn then serves.
    let other = hospital.folder.path().join("other");
    hospital.init(&other, AMPLE, UnitKind::Patient).unwrap();
    fs::remove_file(other.join("ledger.json")).unwrap();
    hospital.init(&other, AMPLE, UnitKind::Site).unwrap();
    assert_eq!(LedgerSummary::read(&other).unwrap().terms.unit, UnitKind::Site);
}

#[test]
fn a_budget_or_owners_that_are_none_are_refused() {
    let hospital = Hospital::new(AMPLE);
    let folder = hospital.folder.path().join("other");
    for (epsilon, delta, said) in [
        (0.0, 1e-5, "expected a finite epsilon above zero, got 0"),
        (f64::NAN, 1e-5, "got NaN"),
        (f64::INFINITY, 1e-5, "got inf"),
        (1.0, 0.0, "expected a delta above 0 and below 1, got 0"),
        (1.0, 1.0, "got 1"),
        (1.0, f64::NAN, "got NaN"),
    ] {
        let error = hospital.init(&folder, Budget { epsilon, delta }, UnitKind::Patient);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    for owners in [vec![], vec![hospital.site(), hospital.site()]] {
        let made = Terms::new(AMPLE, UnitKind::Patient, &owners, NOW);
        assert!(matches!(made, Err(LedgerError::Owners { .. })), "{made:?}");
    }
    assert!(!folder.exists());
}
