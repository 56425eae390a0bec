//! What a crash leaves of a journal, what a disk alters in it, and what was durable before.

use super::*;

/// Flips the lowest bit of a byte of these bytes in a round's journal, the fourth last.
fn flip(round: &RoundJournal, bytes: &[u8]) {
    let path = round.records.path();
    let mut whole = fs::read(path).unwrap();
    let place = whole.windows(bytes.len()).rposition(|window| window == bytes).unwrap();
    whole[place + bytes.len() - 4] ^= 1;
    fs::write(path, whole).unwrap();
}

#[test]
fn a_flipped_bit_in_any_record_is_damage_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(b"study");
    let flipped = |name: &str, bytes: &[u8]| {
        // As the next process finds it.
        let journal = Journal::open(folder.path()).unwrap();
        let round = journal.round(study, THREE).unwrap();
        flip(&round, bytes);
        let error = round.records.bytes(name).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{name} is damaged")), "{error}");
    };
    {
        let journal = Journal::open(folder.path()).unwrap();
        let round = journal.round(study, THREE).unwrap();
        round.save_trust_before(&ringfence_crypto::dealing::Trust::default()).unwrap();
        round.save_opening(Openings::Sum, b"opening").unwrap();
        endorse(&round, b"first").unwrap();
    }
    let closing = json::compact(&self::closing(study, 3));
    let first = json::compact(&endorsement(b"first"));
    for _ in 0..2 {
        flipped("closing", &closing);
        let journal = Journal::open(folder.path()).unwrap();
        let round = journal.round(study, THREE).unwrap();
        let damage = round.closing().unwrap_err();
        assert!(damage.to_string().contains("000003.journal: closing is damaged"), "{damage}");
        let mut whole = fs::read(round.records.path()).unwrap();
        let place = whole.windows(closing.len()).rposition(|window| window[..9] == closing[..9]);
        whole[place.unwrap() + closing.len() - 4] ^= 1;
        fs::write(round.records.path(), whole).unwrap();
        assert_eq!(round.closing().unwrap(), Some(self::closing(study, 3)));
    }
    // The last one, too: it was decided, whatever it was, and is no empty place for another decision.
    flipped("endorsement", &first);
    let journal = Journal::open(folder.path()).unwrap();
    let round = journal.round(study, THREE).unwrap();
    assert!(journal.holder_records(study).is_err());
    assert!(matches!(endorse(&round, b"second"), Err(JournalError::Exists(_))));
    // Every bit of it, and of its header: never is it as if it had not been made.
    let path = round.records.path().to_owned();
    drop((round, journal));
    let damaged = fs::read(&path).unwrap();
    let start = damaged.windows(4).rposition(|window| window == b"RFJ1").unwrap();
    for bit in start * 8..damaged.len() * 8 {
        let mut bytes = damaged.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let round = journal.round(study, THREE).unwrap();
        let whole = round.endorsement().ok().flatten();
        assert!(whole.is_none_or(|whole| whole == endorsement(b"first")), "bit {bit}");
        assert!(endorse(&round, b"second").is_err(), "bit {bit}");
    }
}

#[test]
fn only_what_a_damaged_record_held_is_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let round = journal.round(study(b"study"), THREE).unwrap();
    endorse(&round, b"first").unwrap();
    flip(&round, &json::compact(&endorsement(b"first")));
    assert!(!round.put_back("endorsement", &endorsement(b"second")).unwrap());
    assert!(round.endorsement().is_err());
    assert!(round.put_back("endorsement", &endorsement(b"first")).unwrap());
    assert_eq!(round.endorsement().unwrap(), Some(endorsement(b"first")));
}

#[test]
fn what_a_crash_left_is_removed_and_what_was_decided_stays() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(b"study");
    let rounds = folder.path().join(format!("studies/{study}/rounds"));
    {
        let journal = Journal::open(folder.path()).unwrap();
        let round = journal.round(study, THREE).unwrap();
        endorse(&round, b"first").unwrap();
        round.save_opening(Openings::Sum, b"opening").unwrap();
        // As a kill leaves them: a body and a sum, half-written.
        for name in ["body", "sum"] {
            let name = format!("{}{name}", ringfence_durable::UNFINISHED);
            fs::write(rounds.join(name), b"half").unwrap();
        }
        // A second process does not come as far as to remove anything.
        assert!(matches!(Journal::open(folder.path()), Err(JournalError::Locked(_))));
        assert_eq!(fs::read_dir(&rounds).unwrap().count(), 3);
    };
    let journal = Journal::open(folder.path()).unwrap();
    let round = journal.round(study, THREE).unwrap();
    assert_eq!(fs::read_dir(&rounds).unwrap().count(), 1);
    assert_eq!(journal.holder_records(study).unwrap().endorsed, [endorsement(b"first")]);
    assert_eq!(round.opening(Openings::Sum).unwrap().as_deref(), Some(&b"opening"[..]));
    let again = round.save_opening(Openings::Sum, b"another").unwrap_err();
    assert!(again.to_string().contains("made once and never again"), "{again}");
    assert_eq!(round.opening(Openings::Sum).unwrap().as_deref(), Some(&b"opening"[..]));
}

/// A round from its manifest to its opening, cut off at every byte as a crash may: what was decided
/// before is there, the piece of a record is not, and the round goes on from there.
#[test]
fn a_journal_that_is_cut_off_at_any_byte_goes_on_from_its_last_whole_record() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(b"study");
    let steps: [&dyn Fn(&RoundJournal); 4] = [
        &|round| round.save_trust_before(&ringfence_crypto::dealing::Trust::default()).unwrap(),
        &|round| endorse(round, b"first").unwrap(),
        &|round| round.save_opening(Openings::Sum, b"opening").unwrap(),
        &|round| round.save_opening(Openings::Keys(1), &[0; 700]).unwrap(),
    ];
    let path = folder.path().join(format!("studies/{study}/rounds/000003.journal"));
    let mut ends = vec![0];
    for step in steps {
        let journal = Journal::open(folder.path()).unwrap();
        step(&journal.round(study, THREE).unwrap());
        ends.push(fs::metadata(&path).unwrap().len() as usize);
    }
    let whole = fs::read(&path).unwrap();
    let check = |bytes: &[u8], done: usize, goes_on: bool| {
        let what = format!("{} bytes", bytes.len());
        fs::write(&path, bytes).unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let round = journal.round(study, THREE).unwrap();
        let found = [
            round.trust_before().unwrap().is_some(),
            round.endorsement().unwrap().is_some(),
            round.opening(Openings::Sum).unwrap().is_some(),
            round.opening(Openings::Keys(1)).unwrap().is_some(),
        ];
        assert!(found.iter().enumerate().all(|(step, found)| *found == (step < done)), "{what}");
        if done >= 2 {
            assert!(matches!(endorse(&round, b"second"), Err(JournalError::Exists(_))), "{what}");
        }
        if !goes_on {
            return;
        }
        // And on: as if nothing had been cut off.
        for step in &steps[done..] {
            step(&round);
        }
        assert_eq!(fs::read(&path).unwrap().len(), whole.len(), "{what}");
        drop((round, journal));
        let journal = Journal::open(folder.path()).unwrap();
        let round = journal.round(study, THREE).unwrap();
        assert_eq!(round.endorsement().unwrap(), Some(endorsement(b"first")), "{what}");
        assert_eq!(round.opening(Openings::Keys(1)).unwrap().as_deref(), Some(&[0; 700][..]));
    };
    for length in 0..=whole.len() {
        let done = ends.iter().rposition(|end| *end <= length).unwrap();
        // Syncing takes its time: after every ninth cut, and around the ends of records.
        let at_end = ends.iter().any(|end| end.abs_diff(length) <= 1);
        check(&whole[..length], done, at_end || length % 9 == 0);
    }
    // A power cut may leave zeros in the place of the last sectors of what was being written.
    let last = ends[3];
    for from in (last..whole.len()).filter(|from| *from == last || from % 512 == 0) {
        let zeros = vec![0; whole.len() - from];
        check(&[&whole[..from], &zeros].concat(), 3, true);
    }
    // No crash leaves this: a piece of a record before others is damage.
    for cut in [1, 40, 100] {
        fs::write(&path, [&whole[..ends[1] - cut], &whole[ends[1]..]].concat()).unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let error = journal.round(study, THREE).unwrap().endorsement().unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("000003.journal is damaged"), "{error}");
    }
}

#[test]
fn what_a_sync_makes_durable_is_all_before_it_and_it_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(b"study");
    let journal = Journal::open(folder.path()).unwrap();
    let syncs = ringfence_durable::Syncs::below(folder.path());
    let round = journal.round(study, THREE).unwrap();
    assert_eq!(syncs.take(), 3, "the study's folders");
    let path = round.records.path().to_owned();
    let length = || fs::metadata(&path).unwrap().len();
    let manifest = &ringfence_crypto::dealing::Trust::default();
    round.save_trust_before(manifest).unwrap();
    assert_eq!((syncs.take(), syncs.durable(&path)), (0, None), "noted");
    endorse(&round, b"first").unwrap();
    assert_eq!((syncs.take(), syncs.durable(&path)), (2, Some(length())), "names and bytes");
    assert!(endorse(&round, b"second").is_err());
    round.sync().unwrap();
    assert_eq!(syncs.take(), 0);
    round.save_judged_trust(manifest).unwrap();
    // The same again is not appended.
    let before = length();
    round.save_judged_trust(manifest).unwrap();
    assert_eq!((syncs.take(), length()), (0, before));
    drop((round, journal));
    // The next process does not know what was synced, but that the name was.
    let journal = Journal::open(folder.path()).unwrap();
    let round = journal.round(study, THREE).unwrap();
    assert!(syncs.durable(&path) < Some(length()));
    round.sync().unwrap();
    assert_eq!((syncs.take(), syncs.durable(&path)), (1, Some(length())));
    round.save_opening(Openings::Sum, b"opening").unwrap();
    assert_eq!(syncs.take(), 1);
}

/// A certificate that a power cut took is asked for again before a later round is gone into.
#[test]
fn rounds_are_checked_from_the_first_one_whose_certificate_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(b"study");
    let journal = Journal::open(folder.path()).unwrap();
    let from = |until| journal.first_to_check(study, RoundNumber(until)).unwrap();
    assert_eq!(from(9), None);
    for round in 0..4 {
        let of = journal.round(study, RoundNumber(round)).unwrap();
        of.records.note(&[Noted::new("manifest", b"{}")]).unwrap();
        if round != 1 {
            of.records.note(&[Noted::new("certificate", b"{}")]).unwrap();
        }
    }
    assert_eq!((from(0), from(1), from(9)), (Some(RoundNumber(0)), Some(RoundNumber(1)), from(1)));
    let of = journal.round(study, RoundNumber(1)).unwrap();
    of.records.note(&[Noted::new("certificate", b"{}")]).unwrap();
    assert_eq!((from(2), from(9)), (Some(RoundNumber(2)), Some(THREE)));
}
