//! Witnesses, forks and proofs that others can check.

use std::fs;
use std::path::Path;

use ringfence_audit::{Disk, Options, Report, Seen, Subject, Verdict, audit, text, write_proofs};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::{LogEntry, NoteKey, SignedNote, TlogProof, origin};
use ringfence_testkit::{Record, rng};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash, check_record, record_hash};

use crate::cosigned::{cosigned, put_cosigned};
use crate::export::export;
use crate::honest::verdict;
use crate::studies::record;

fn two_rounds(models: [&[u8]; 3]) -> Record {
    let (mut record, mut rng) = (record(|_| ()), rng(31));
    record.run(models[0], models[1], &mut rng);
    record.run(models[1], models[2], &mut rng);
    record
}

fn found(folder: &Path, seen: &[&SignedNote]) -> Report {
    let seen = seen.iter().map(|note| Seen { from: "site-1".into(), note: note.to_string() });
    let options = Options { seen: seen.collect(), ..Options::default() };
    audit(&Disk::at(folder), &options).unwrap()
}

fn witnesses(folder: &Path, notes: &[SignedNote]) -> (Verdict, String) {
    put_cosigned(folder, notes);
    let report = found(folder, &[]);
    (verdict(&report, None, Subject::Witnesses), text(&report))
}

#[test]
fn the_sites_that_cosigned_this_history_are_counted() {
    let (mut record, mut rng) = (record(|_| ()), rng(31));
    record.run(b"model 0", b"model 1", &mut rng);
    let early = cosigned(&record, &[0, 5], 1_800_000_000);
    record.run(b"model 1", b"model 2", &mut rng);
    let late = cosigned(&record, &[1, 2], 1_800_000_060);
    let folder = tempfile::tempdir().unwrap();
    export(&record, folder.path());
    let folder = folder.path();

    let (verdict, said) = witnesses(folder, &[]);
    assert_eq!(verdict, Verdict::Pending);
    assert!(said.contains("None of the 7 sites has cosigned this log"), "{said}");
    let (verdict, said) = witnesses(folder, &[early.clone(), late.clone()]);
    assert_eq!(verdict, Verdict::Proven, "{said}");
    assert!(said.contains("4 of 7 sites have signed"), "{said}");
    assert!(said.contains("Not cosigned by: site-3, site-4, site-6."), "{said}");
    assert_eq!(found(folder, &[]).exit_code(), 0);

    // A line of a stranger is passed over; what is altered, doubled or no note is a fault.
    let stranger = format!("{late}\u{2014} witness.example/w AAAAAAAAAAAA\n").parse().unwrap();
    assert_eq!(witnesses(folder, &[stranger]).0, Verdict::Proven);
    let (verdict, said) = witnesses(folder, &[late.clone(), late.clone()]);
    assert_eq!(verdict, Verdict::False);
    assert!(said.contains("site-1 stands twice"), "{said}");
    let altered = late.to_string();
    let line = altered.lines().last().unwrap();
    let (start, middle) = (altered.find(line).unwrap(), line.len() - 20);
    let other = if altered.as_bytes()[start + middle] == b'A' { "B" } else { "A" };
    let mut altered = altered;
    altered.replace_range(start + middle..=start + middle, other);
    let (verdict, said) = witnesses(folder, &[altered.parse().unwrap()]);
    assert_eq!(verdict, Verdict::False);
    assert!(said.contains("in the name of site-2 does not hold"), "{said}");
    for text in ["{}", "[1]", "[\"text\"]", "[\"a\\n\\n\\u2014 b AAAAAAAA\\n\"]", "["] {
        fs::write(folder.join("log/cosignatures.json"), text).unwrap();
        let report = found(folder, &[]);
        assert_eq!(super::honest::verdict(&report, None, Subject::Witnesses), Verdict::False);
    }
    // Of a longer log than this: somebody looked again meanwhile.
    record.begin(b"model 2");
    let later = cosigned(&record, &[3], 1_800_000_090);
    let (verdict, said) = witnesses(folder, &[later.clone(), late]);
    assert_eq!(verdict, Verdict::Proven);
    assert!(said.contains("2 of 7 sites"), "{said}");
    let report = found(folder, &[&later]);
    assert_eq!(super::honest::verdict(&report, None, Subject::Seen), Verdict::Missing);
    assert!(text(&report).contains("fetch the export again, and compare then"));
}

#[test]
fn a_fork_is_named_and_both_heads_are_kept() {
    let one = two_rounds([b"model 0", b"model 1", b"model 2"]);
    let mut other = record(|_| ());
    other.parties = one.parties.clone();
    other.run(b"model 0", b"model 1 for others", &mut rng(31));
    let folder = tempfile::tempdir().unwrap();
    export(&one, folder.path());
    let folder = folder.path();
    let (here, there) = (one.checkpoint().1, cosigned(&other, &[4], 1_800_000_000));
    assert_eq!(found(folder, &[&here]).verdict, Verdict::Proven);

    // Compared by hand, and as what the aggregator let slip through.
    let by_hand = found(folder, &[&here, &there]);
    assert_eq!(by_hand.exit_code(), 1);
    put_cosigned(folder, std::slice::from_ref(&there));
    let by_itself = found(folder, &[]);
    assert_eq!(verdict(&by_itself, None, Subject::Witnesses), Verdict::False);
    for (report, seen_by) in [(&by_hand, "site-1"), (&by_itself, "site-4")] {
        let [fork] = report.forks.as_slice() else { panic!("{:?}", report.forks) };
        assert_eq!(fork.seen_by, seen_by);
        assert_eq!((&fork.seen, &fork.here), (&there.to_string(), &here.to_string()));
        assert_eq!(fork.here_at_that_size.size, other.log.size());
        let said = text(report);
        assert!(said.contains("The log was forked") && said.contains("two histories"), "{said}");
        let shown = there.to_string();
        assert!(shown.lines().all(|line| said.contains(line)), "{said}");
        let json = serde_json::to_string(report).unwrap();
        assert!(json.contains("\"forks\":[{\"seen_by\""), "{json}");
    }
    // What the aggregator has not signed is no evidence against it.
    let forged = there.to_string().replacen('1', "2", 200);
    let report = found(folder, &[&forged.parse().unwrap()]);
    assert_eq!(verdict(&report, None, Subject::Seen), Verdict::Missing);
}

#[test]
fn each_statement_has_a_proof_that_others_can_check() {
    let record = two_rounds([b"model 0", b"model 1", b"model 2"]);
    let folder = tempfile::tempdir().unwrap();
    export(&record, folder.path());
    let (all, one) = (folder.path().join("proofs"), folder.path().join("of round 1"));
    let disk = Disk::at(folder.path());
    assert_eq!(write_proofs(&disk, None, &all).unwrap(), record.entries.len());
    let of_one = write_proofs(&disk, Some(RoundNumber(1)), &one).unwrap();
    assert!(0 < of_one && of_one < record.entries.len());
    assert_eq!(fs::read_dir(&one).unwrap().count(), of_one + 1);
    let vkey = fs::read_to_string(all.join("log.vkey")).unwrap();
    let key: NoteKey = vkey.trim_end().parse().unwrap();
    assert_eq!(key.name().as_str(), origin(record.parties.id));

    for (index, entry) in record.entries.iter().enumerate() {
        let name = format!("{index:06}-{}.tlog-proof", entry.label());
        let file = fs::read_to_string(all.join(&name)).unwrap();
        let ours: TlogProof = file.parse().unwrap();
        assert_eq!(ours.verify(entry.leaf(), &key).unwrap(), record.checkpoint().0);
        checked_by_others(&file, vkey.trim_end(), (index as u64, entry));
    }
    let missing = write_proofs(&disk, Some(RoundNumber(7)), &one).unwrap_err().to_string();
    assert!(missing.contains("round 7: the folder has no file of it"), "{missing}");
    fs::remove_file(folder.path().join("log/entries.txt")).unwrap();
    let nothing = write_proofs(&disk, None, &all).unwrap_err().to_string();
    assert!(nothing.contains("the log proves nothing: There is no log/entries.txt"), "{nothing}");
}

/// The same with `signed_note` and `tlog_tiles`, which know nothing of Ringfence, and the text of
/// <https://c2sp.org/tlog-proof>.
fn checked_by_others(file: &str, vkey: &str, (index, entry): (u64, &LogEntry)) {
    let (proof, note) = file.split_once("\n\n").unwrap();
    let mut lines = proof.lines();
    assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
    let extra = lines.next().unwrap().strip_prefix("extra ").unwrap();
    assert_eq!(lines.next(), Some(format!("index {index}").as_str()));
    let hashes: Vec<Hash> = lines.map(|line| Hash::parse_hash(line).unwrap()).collect();
    let note = Note::from_bytes(note.as_bytes()).unwrap();
    let known = VerifierList::new(vec![Box::new(StandardVerifier::new(vkey).unwrap())]);
    assert_eq!(note.verify(&known).unwrap().0.len(), 1);
    let head = Checkpoint::from_bytes(note.text()).unwrap();
    // The extra data are the leaf's.
    let data = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, extra).unwrap();
    assert_eq!(data, entry.data());
    let leaf = record_hash(&data);
    check_record(&hashes, head.size(), *head.hash(), index, leaf).unwrap();
    check_record(&hashes, head.size(), *head.hash(), index, record_hash(b"other")).unwrap_err();
}
