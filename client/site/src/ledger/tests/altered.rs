//! A ledger that was altered, cut, reordered or put together of two is refused, and says where.

use super::*;

/// A ledger of three entries over two sets of units.
fn three_entries() -> Hospital {
    let (hospital, names, more) = (Hospital::new(AMPLE), patients(0..2), patients(1..4));
    hospital.charge(round("s", &Units::Patients(names.clone())), 0).unwrap();
    hospital.charge(round("s", &Units::Patients(more.clone())), 1).unwrap();
    hospital.charge(round("t", &Units::Patients(more.clone())), 0).unwrap();
    hospital
}

fn refused(hospital: &Hospital, said: &str) {
    let error = LedgerSummary::read(&hospital.ledger()).unwrap_err().to_string();
    assert!(error.contains(said), "expected {said}: {error}");
    assert!(error.contains("was altered") && error.contains("put the newest copy"), "{error}");
}

#[test]
fn every_flipped_byte_is_found() {
    let hospital = three_entries();
    let whole = hospital.summary();
    let mut flipped = 0;
    for file in files(&hospital.ledger()) {
        let bytes = fs::read(&file).unwrap();
        for (place, byte) in bytes.iter().enumerate() {
            // Letters to their other case, and everything else to its neighbour.
            let bit = if byte.is_ascii_alphabetic() && place % 2 == 0 { 0x20 } else { 1 };
            let mut altered = bytes.clone();
            altered[place] ^= bit;
            fs::write(&file, altered).unwrap();
            let read = LedgerSummary::read(&hospital.ledger());
            assert!(read.is_err(), "{} at {place}: {read:?}", file.display());
            flipped += 1;
        }
        fs::write(&file, &bytes).unwrap();
        assert_eq!(hospital.summary(), whole);
    }
    assert!(flipped > 2000, "{flipped}");
}

#[test]
fn a_ledger_that_is_cut_anywhere_is_refused() {
    let hospital = three_entries();
    let entries = hospital.bytes("entries");
    for length in (0..entries.len()).step_by(37).chain([entries.len() - 1]) {
        hospital.write("entries", &entries[..length]);
        let error = LedgerSummary::read(&hospital.ledger()).unwrap_err().to_string();
        assert!(error.contains("of 3"), "{error}");
    }
}

#[test]
fn entries_taken_out_repeated_or_reordered_are_named() {
    let hospital = three_entries();
    let entries = hospital.bytes("entries");
    let lines: Vec<&[u8]> = entries.split_inclusive(|byte| *byte == b'\n').collect();
    let [first, second, third] = lines[..] else { panic!() };
    for (lines, said) in [
        (vec![second, third], "entry 1 of 3: entry 2 of a ledger stands in its place"),
        (vec![first, third, third], "entry 2 of 3: entry 3 of a ledger stands in its place"),
        (vec![first, third, second], "entry 2 of 3: entry 3 of a ledger stands in its place"),
        (vec![first, first, third], "entry 2 of 3: entry 1 of a ledger stands in its place"),
    ] {
        hospital.write("entries", &lines.concat());
        refused(&hospital, said);
    }
    // Behind the end it was never acknowledged, and is not counted.
    hospital.write("entries", &[first, second, third, first].concat());
    assert_eq!(hospital.summary().entries, 3);
}

#[test]
fn parts_of_another_ledger_are_refused() {
    let (hospital, other) = (three_entries(), three_entries());
    for (file, said) in [
        ("entries", "entry 1 of 3: its authentication code does not hold"),
        ("head.json", "head.json was altered (its authentication code does not hold"),
        ("ledger.json", "ledger.json was altered (its authentication code does not hold"),
        ("cohort.key", "ledger.json was altered (its authentication code does not hold"),
    ] {
        let own = hospital.bytes(file);
        hospital.write(file, &other.bytes(file));
        refused(&hospital, said);
        hospital.write(file, &own);
    }
    // The head of an older copy beside entries that were changed since is none of theirs.
    let older = Hospital::new(AMPLE);
    for file in ["ledger.json", "cohort.key", "head.json"] {
        older.write(file, &hospital.bytes(file));
    }
    older.write("entries", b"");
    refused(&older, "it holds 0 of 3 entries");
    // The whole ledger of another hospital.
    copy(&other.ledger(), &hospital.ledger());
    let error = hospital.open(|_| ()).unwrap_err().to_string();
    assert!(error.contains("belongs to north") && error.contains("own cohort"), "{error}");
}

#[test]
fn a_hostile_disk_fills_no_memory() {
    let hospital = three_entries();
    let large = |file: &Path, bytes: u64| {
        let file = fs::File::options().write(true).open(file).unwrap();
        file.set_len(bytes).unwrap();
    };
    for (file, bytes) in [("ledger.json", 1 << 40), ("head.json", 1 << 40), ("entries", 1 << 40)] {
        let own = hospital.bytes(file);
        large(&hospital.ledger().join(file), bytes);
        let error = LedgerSummary::read(&hospital.ledger()).unwrap_err().to_string();
        assert!(error.contains("expected a file of at most"), "{error}");
        hospital.write(file, &own);
    }
    for snapshot in files(&hospital.ledger().join("snapshots")) {
        let own = fs::read(&snapshot).unwrap();
        large(&snapshot, 1 << 40);
        let error = LedgerSummary::read(&hospital.ledger()).unwrap_err().to_string();
        assert!(error.contains("expected a file of at most"), "{error}");
        fs::write(&snapshot, own).unwrap();
    }
    let mut entries = hospital.bytes("entries");
    entries.splice(0..0, vec![b' '; 20_000]);
    hospital.write("entries", &entries);
    refused(&hospital, "expected fewer than 16384");
}
