//! A ledger that was put back from a copy is known by what the site's journal has seen.

use ringfence_crypto::id::{ManifestId, ModelId};
use ringfence_crypto::statement::{Header, HexBytes};

use super::*;
use crate::journal::{ContributionRecord, JournalError, RestoreRecord};
use ringfence_keys::study::spending::rounded_up;

#[test]
fn a_ledger_that_was_copied_back_is_refused_in_every_study() {
    let (hospital, names) = (Hospital::new(AMPLE), patients(0..3));
    let (units, older) = (Units::Patients(names.clone()), hospital.folder.path().join("older"));
    hospital.charge(round("s", &units), 0).unwrap();
    copy(&hospital.ledger(), &older);
    hospital.charge(round("s", &units), 1).unwrap();
    let newest = hospital.folder.path().join("newest");
    copy(&hospital.ledger(), &newest);
    copy(&older, &hospital.ledger());
    for name in ["s", "another"] {
        let error = hospital.charge(round(name, &units), 2).unwrap_err().to_string();
        assert!(error.contains("copied back") && error.contains("with 2 entries"), "{error}");
        assert!(
            error.contains("now it holds 1") && error.contains("ringfence restored"),
            "{error}"
        );
    }
    // As long, but another past: an identity that never used this state went on from the copy.
    let state = hospital.folder.path().join("other-state");
    let journal = Journal::open(&state).unwrap();
    let mut ledger = Ledger::open(&hospital.ledger(), &hospital.site(), &journal).unwrap();
    ledger.charge(&round("t", &units), RoundNumber(0), NOW).unwrap();
    drop(ledger);
    let error = hospital.charge(round("s", &units), 2).unwrap_err().to_string();
    assert!(error.contains("another one in that place"), "{error}");
    copy(&newest, &hospital.ledger());
    assert_eq!(hospital.charge(round("s", &units), 2).unwrap().rounds, 3);
}

#[test]
fn a_study_is_charged_to_one_ledger() {
    let (hospital, names) = (Hospital::new(AMPLE), patients(0..3));
    let units = Units::Patients(names.clone());
    hospital.charge(round("s", &units), 0).unwrap();
    let other = hospital.folder.path().join("other");
    hospital.init(&other, AMPLE, UnitKind::Patient).unwrap();
    let journal = Journal::open(&hospital.state()).unwrap();
    let mut ledger = Ledger::open(&other, &hospital.site(), &journal).unwrap();
    let error = ledger.charge(&round("s", &units), RoundNumber(1), NOW).unwrap_err().to_string();
    assert!(error.contains("charged to another ledger"), "{error}");
    // Other patients, in another study, may have one of their own.
    ledger.charge(&round("t", &units), RoundNumber(0), NOW).unwrap();
}

#[test]
fn two_sites_of_a_study_do_not_share_patients() {
    let (hospital, mut rng) = (Hospital::new(AMPLE), system_rng().unwrap());
    let south = Identity::generate("south".parse().unwrap(), &mut rng).unwrap();
    let owners = [hospital.site(), south.public()];
    let folder = hospital.folder.path().join("shared");
    let terms = Terms::new(AMPLE, UnitKind::Patient, &owners, NOW).unwrap();
    Ledger::init(&folder, &terms, &mut rng).unwrap();
    let names = patients(0..3);
    let units = Units::Patients(names.clone());
    let charge = |site: &RosterEntry, state: &str, name: &str| {
        let journal = Journal::open(&hospital.folder.path().join(state)).unwrap();
        let mut ledger = Ledger::open(&folder, site, &journal).unwrap();
        ledger.charge(&round(name, &units), RoundNumber(0), NOW)
    };
    charge(&owners[0], "a", "s").unwrap();
    let error = charge(&owners[1], "b", "s").unwrap_err().to_string();
    assert!(error.contains("by site north, and this is site south"), "{error}");
    charge(&owners[1], "b", "t").unwrap();
    let summary = LedgerSummary::read(&folder).unwrap();
    assert_eq!(summary.spent.worst_epsilon, epsilon_of(2));
}

#[test]
fn after_a_restore_every_round_that_may_be_forgotten_is_charged() {
    let (hospital, names, late) = (Hospital::new(AMPLE), patients(0..3), patients(3..5));
    let (units, all) = (Units::Patients(names.clone()), patients(0..5));
    let backup = hospital.folder.path().join("backup");
    hospital.charge(round("s", &units), 0).unwrap();
    hospital.charge(round("s", &units), 1).unwrap();
    copy(&hospital.ledger(), &backup.join("ledger"));
    copy(&hospital.state(), &backup.join("state"));
    for number in 2..4 {
        hospital.charge(round("s", &Units::Patients(all.clone())), number).unwrap();
    }
    copy(&backup.join("ledger"), &hospital.ledger());
    copy(&backup.join("state"), &hospital.state());
    // Both agree, so nothing is seen here; what this site signed in the log tells.
    let known = |signed| hospital.open(|ledger| ledger.check_log(study("s"), signed)).unwrap();
    known(2).unwrap();
    let error = known(4).unwrap_err().to_string();
    assert!(error.contains("in 4 rounds, and the ledger knows of 2"), "{error}");
    hospital.charge(round("another", &Units::Patients(late.clone())), 0).unwrap();
    let forgotten = hospital.restored(round("s", &units), 5).unwrap();
    assert_eq!((forgotten.rounds, forgotten.epsilon), (6, rounded_up(epsilon_of(6))));
    // Whoever might have stood in a forgotten round is charged for it.
    let summary = hospital.summary();
    assert_eq!((summary.spent.units, summary.spent.median_epsilon), (5, epsilon_of(6)));
    assert_eq!(summary.studies[0].spent.units, 5);
    assert_eq!(summary.studies[0].forgotten_rounds, 4);
    known(6).unwrap();
    for number in [2, 5] {
        let error = hospital.charge(round("s", &units), number).unwrap_err().to_string();
        assert!(error.contains("after a restore from a backup through round 5"), "{error}");
    }
    assert_eq!(hospital.charge(round("s", &units), 6).unwrap().rounds, 7);
    // Once is enough; a later one charges what is new.
    let entries = hospital.bytes("entries");
    assert_eq!(hospital.restored(round("s", &units), 5).unwrap().rounds, 7);
    assert_eq!(hospital.bytes("entries"), entries);
    assert_eq!(hospital.restored(round("s", &units), 8).unwrap().rounds, 9);
}

#[test]
fn a_ledger_that_was_restored_alone_is_mended_study_by_study() {
    let (hospital, names) = (Hospital::new(AMPLE), patients(0..3));
    let (units, older) = (Units::Patients(names.clone()), hospital.folder.path().join("older"));
    copy(&hospital.ledger(), &older);
    hospital.charge(round("s", &units), 0).unwrap();
    hospital.charge(round("t", &units), 0).unwrap();
    copy(&older, &hospital.ledger());
    assert_eq!(hospital.restored(round("s", &units), 2).unwrap().rounds, 3);
    // What the other study has spent is still missing.
    let error = hospital.charge(round("s", &units), 3).unwrap_err().to_string();
    assert!(error.contains(&format!("in study {}", study("t"))), "{error}");
    hospital.restored(round("t", &units), 0).unwrap();
    assert_eq!(hospital.charge(round("s", &units), 3).unwrap().rounds, 4);
    assert_eq!(hospital.summary().spent.worst_epsilon, epsilon_of(5));
}

/// Nobody was in more rounds of a study than its budget is enough for: a number that was typed wrongly
/// costs that budget, and nothing of the hospital's beyond it.
#[test]
fn a_restore_charges_no_more_rounds_than_a_budget_is_enough_for() {
    let tight = Budget { epsilon: (epsilon_of(3) + epsilon_of(4)) / 2.0, delta: DELTA };
    let (hospital, names) = (Hospital::new(AMPLE), patients(0..3));
    let units = Units::Patients(names.clone());
    let charge = RoundCharge { budget: tight, ..round("s", &units) };
    hospital.charge(charge, 0).unwrap();
    let spent = hospital.restored(charge, 500).unwrap();
    assert_eq!((spent.rounds, spent.epsilon), (3, rounded_up(epsilon_of(3))));
    assert_eq!(hospital.summary().spent.worst_epsilon, epsilon_of(3));
    // Its part in the study ends there, and it stays away through the round that was given.
    let error = hospital.charge(charge, 501).unwrap_err();
    assert!(matches!(error, LedgerError::Overspent(_)), "{error}");
    let error = hospital.charge(charge, 500).unwrap_err();
    assert!(matches!(error, LedgerError::Forgotten { .. }), "{error}");
    // No header of a round that is covered counts more rounds than the ledger knows.
    let known = |signed| hospital.open(|ledger| ledger.check_log(study("s"), signed)).unwrap();
    known(501).unwrap();
    known(502).unwrap_err();
    // Again, and further: nothing is left to be forgotten.
    assert_eq!(hospital.restored(charge, 600).unwrap(), spent);
}

/// Whoever the ledger knows may have been in forgotten rounds: a patient of another study in as many as
/// the budget is enough for, one who is charged already in the rest.
#[test]
fn a_restore_charges_what_the_unit_of_the_fewest_rounds_may_have_been_in() {
    let tight = Budget { epsilon: (epsilon_of(3) + epsilon_of(4)) / 2.0, delta: DELTA };
    let hospital = Hospital::new(AMPLE);
    let (units, others) = (Units::Patients(patients(0..3)), Units::Patients(patients(5..6)));
    hospital.charge(round("another", &others), 0).unwrap();
    let charge = RoundCharge { budget: tight, ..round("s", &units) };
    hospital.charge(charge, 0).unwrap();
    let spent = hospital.restored(charge, 500).unwrap();
    assert_eq!((spent.rounds, spent.epsilon), (4, rounded_up(epsilon_of(4))));
    let error = hospital.charge(charge, 501).unwrap_err();
    assert!(error.to_string().contains("3 of 4 units"), "{error}");
}

/// A contribution of the journal that the ledger does not know was charged somewhere else, or before
/// it was copied back.
#[test]
fn a_contribution_that_was_never_charged_is_found() {
    let (hospital, names) = (Hospital::new(AMPLE), patients(0..3));
    let units = Units::Patients(names.clone());
    hospital.charge(round("s", &units), 0).unwrap();
    let digest = Digest::of(b"any");
    let header = hospital.identity.sign(Header {
        study: study("s"),
        round: RoundNumber(4),
        manifest: ManifestId(digest),
        site: hospital.site().id,
        body_bytes: 0,
        body: digest,
        check: HexBytes(Vec::new()),
        envelopes: Vec::new(),
        spent: None,
    });
    let record = ContributionRecord { base_model: ModelId(digest), header, update: None };
    let journal = Journal::open(&hospital.state()).unwrap();
    let made = journal.round(study("s"), RoundNumber(4)).unwrap();
    made.contribute(|_| Ok::<_, JournalError>((Vec::new(), record))).unwrap();
    drop(journal);
    let error = hospital.charge(round("s", &units), 5).unwrap_err().to_string();
    assert!(error.contains("does not hold round 4"), "{error}");
    // An operator who names an earlier round does not get around it.
    assert_eq!(hospital.restored(round("s", &units), 1).unwrap().rounds, 5);
    hospital.charge(round("s", &units), 5).unwrap();
}

/// A patient whom the ledger has forgotten, too, may have been in every forgotten round. Whoever comes
/// to be known after the restore is charged for them, in that study and for the hospital.
#[test]
fn a_unit_that_is_first_seen_after_a_restore_is_charged_for_what_was_forgotten() {
    let (hospital, known) = (Hospital::new(AMPLE), Units::Patients(patients(0..3)));
    let late = Units::Patients(patients(3..5));
    hospital.charge(round("s", &known), 0).unwrap();
    // Rounds 1 to 3 are forgotten.
    hospital.restored(round("s", &known), 3).unwrap();
    // Their fourth each: three that were forgotten, and this one.
    assert_eq!(hospital.charge(round("s", &late), 4).unwrap().epsilon, rounded_up(epsilon_of(4)));
    assert_eq!(hospital.summary().spent.median_epsilon, epsilon_of(4));
    let newest = Units::Patients(patients(7..8));
    hospital.charge(round("another", &newest), 0).unwrap();
    assert_eq!(hospital.summary().spent.median_epsilon, epsilon_of(4));
    // A budget that is enough for all that it may have been in, and for no more.
    let tight = Budget { epsilon: (epsilon_of(3) + epsilon_of(4)) / 2.0, delta: DELTA };
    let hospital = Hospital::new(tight);
    hospital.charge(round("s", &known), 0).unwrap();
    hospital.restored(round("s", &known), 2).unwrap();
    hospital.charge(round("another", &late), 0).unwrap();
    let error = hospital.charge(round("another", &late), 1).unwrap_err();
    assert!(matches!(error, LedgerError::Overspent(_)), "{error}");
}

/// Nobody was in more rounds than the study's budget is enough for: a patient of whom no round is known
/// may have been in as many, one of whom a round is known in fewer.
#[test]
fn a_forgotten_unit_is_charged_no_more_than_a_budget_is_enough_for() {
    let tight = Budget { epsilon: (epsilon_of(3) + epsilon_of(4)) / 2.0, delta: DELTA };
    let (hospital, units) = (Hospital::new(AMPLE), Units::Patients(patients(0..3)));
    let charge = RoundCharge { budget: tight, ..round("s", &units) };
    hospital.charge(charge, 0).unwrap();
    hospital.restored(charge, 500).unwrap();
    hospital.restored(charge, 600).unwrap();
    hospital.charge(round("another", &Units::Patients(patients(5..6))), 0).unwrap();
    // Three forgotten ones of the first study, and this one.
    assert_eq!(hospital.summary().spent.worst_epsilon, epsilon_of(4));
}

/// A ledger that knows nobody any more.
#[test]
fn a_restore_is_charged_where_nobody_is_known() {
    let hospital = Hospital::new(AMPLE);
    let forgotten = hospital.restored(round("s", &Units::Patients(Vec::new())), 2).unwrap();
    assert_eq!((forgotten.rounds, forgotten.epsilon), (3, rounded_up(epsilon_of(3))));
    let units = Units::Patients(patients(0..3));
    let spent = hospital.charge(round("s", &units), 3).unwrap();
    assert_eq!((spent.rounds, spent.epsilon), (4, rounded_up(epsilon_of(4))));
}

/// A restore is noted in one study, and another one on the same state and ledger would go on with what
/// the ledger has forgotten of the first.
#[test]
fn nothing_is_charged_in_any_study_while_a_restore_is_not_settled() {
    let (hospital, units) = (Hospital::new(AMPLE), Units::Patients(patients(0..3)));
    let noted = |through: Option<u32>, private| {
        let journal = Journal::open(&hospital.state()).unwrap();
        let through = through.map(RoundNumber);
        let record = RestoreRecord { restored_at: NOW, request: None, through, private };
        journal.restored(study("s"), record).unwrap();
        journal.unsettled().unwrap()
    };
    let refused = |said: &str| {
        for name in ["s", "another"] {
            let error = hospital.charge(round(name, &units), 9).unwrap_err();
            assert!(!error.leaves_out_round() && error.to_string().contains(said), "{error}");
            hospital.check(round(name, &units), 9).unwrap_err();
        }
    };
    let settle = || {
        let journal = Journal::open(&hospital.state()).unwrap();
        let unsettled = journal.unsettled().unwrap();
        drop(journal);
        let (restores, through) = (unsettled[0].restores, unsettled[0].through.unwrap().0);
        hospital.settled(round("s", &units), (restores, through)).unwrap().spent.rounds
    };
    // How far it reaches is not known yet, and then it is.
    assert_eq!(noted(None, true).len(), 1);
    refused("ringfence restored --continue --ledger");
    noted(Some(1), true);
    refused("ringfence restored --through 1 --ledger");
    assert_eq!(settle(), 2);
    hospital.charge(round("another", &units), 0).unwrap();
    // Another one within the same second is another one.
    noted(Some(4), true);
    refused("--through 4");
    assert_eq!(settle(), 5);
    hospital.charge(round("another", &units), 1).unwrap();
    // An open one takes back no number that was given, and settles nothing either.
    noted(None, true);
    refused("--continue");
    // A study without a budget has nothing to settle.
    assert_eq!(noted(Some(4), false), []);
    hospital.charge(round("another", &units), 2).unwrap();
    // Nor has a ledger to do with a study that is known to be charged to another one.
    hospital.charge(round("s", &units), 5).unwrap();
    noted(Some(6), true);
    refused("--through 6");
    let other = hospital.folder.path().join("other");
    hospital.init(&other, AMPLE, UnitKind::Patient).unwrap();
    let journal = Journal::open(&hospital.state()).unwrap();
    let mut ledger = Ledger::open(&other, &hospital.site(), &journal).unwrap();
    ledger.charge(&round("t", &units), RoundNumber(0), NOW).unwrap();
}

/// A state that has forgotten a study's charges cannot tell which ledger they were made to: it believes
/// no ledger that it does not know, and what was said wrongly can be put right.
#[test]
fn a_forgotten_study_is_settled_with_a_ledger_that_is_known_or_said_to_be_right() {
    let (hospital, units) = (Hospital::new(AMPLE), Units::Patients(patients(0..3)));
    hospital.charge(round("another", &units), 0).unwrap();
    let other = hospital.folder.path().join("other");
    hospital.init(&other, AMPLE, UnitKind::Patient).unwrap();
    let journal = || Journal::open(&hospital.state()).unwrap();
    let record = RestoreRecord {
        restored_at: NOW,
        request: None,
        through: Some(RoundNumber(1)),
        private: true,
    };
    journal().restored(study("s"), record).unwrap();
    let familiar = |ledger: &Path| {
        let journal = journal();
        let ledger = RestoredLedger::open(ledger, &hospital.site(), &journal)?;
        ledger.check_familiar(study("s"))
    };
    let error = familiar(&other).unwrap_err();
    assert!(matches!(error, LedgerError::Unfamiliar { .. }), "{error}");
    assert!(error.to_string().contains("--unfamiliar-ledger"), "{error}");
    familiar(&hospital.ledger()).unwrap();

    // It is said all the same, and wrongly.
    let to_settle = || journal().restores_to_settle(study("s")).unwrap();
    let restores = to_settle().unwrap().restores;
    let settle = |ledger: &Path| {
        let journal = journal();
        let ledger = RestoredLedger::open(ledger, &hospital.site(), &journal)?;
        ledger.charge(&round("s", &units), (restores, RoundNumber(1)), NOW)
    };
    assert_eq!(settle(&other).unwrap().spent.rounds, 2);
    familiar(&other).unwrap();
    assert!(to_settle().unwrap().assumed.is_some(), "it is not known to be the right one");
    assert_eq!(journal().unsettled().unwrap(), [], "and holds nothing back");
    // The right one is taken, too, and is known to be the right one once a round is charged to it.
    assert_eq!(settle(&hospital.ledger()).unwrap().spent.rounds, 2);
    assert_eq!(hospital.charge(round("s", &units), 2).unwrap().rounds, 3);
    assert_eq!(to_settle(), None);
    let error = settle(&other).unwrap_err();
    assert!(matches!(error, LedgerError::OtherLedger { .. }), "{error}");
}
