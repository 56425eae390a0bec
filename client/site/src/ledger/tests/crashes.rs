//! Killed at every write: what was acknowledged stays. Real processes are killed in `tests/ledger.rs`.

use super::*;

/// As a kill leaves it at every byte of the entry, and as a power cut may, with blocks of zeros.
#[test]
fn a_charge_that_is_cut_off_at_any_byte_is_made_again() {
    let (hospital, names) = (Hospital::new(AMPLE), patients(0..3));
    let (units, before) = (Units::Patients(names.clone()), hospital.folder.path().join("before"));
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
    hospital.charge(round("s", &Units::Patients(names.clone())), 0).unwrap();
    let folders = [hospital.ledger(), hospital.state()];
    folders.iter().for_each(|folder| copy(folder, &before.join(folder.file_name().unwrap())));
    let charge = || hospital.charge(round("s", &Units::Patients(more.clone())), 1);
    let after = charge().unwrap();
    // In the order in which they are written.
    let written: Vec<PathBuf> = files(&hospital.ledger().join("snapshots"))
        .into_iter()
        .chain(["entries", "head.json"].map(|file| hospital.ledger().join(file)))
        .chain([hospital
            .state()
            .join("studies")
            .join(study("s").to_string())
            .join("study.journal")])
        .collect();
    let contents: Vec<_> = written.iter().map(|file| fs::read(file).unwrap()).collect();
    for done in 0..=written.len() {
        folders.iter().for_each(|folder| copy(&before.join(folder.file_name().unwrap()), folder));
        for (file, bytes) in written.iter().zip(&contents).take(done) {
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
