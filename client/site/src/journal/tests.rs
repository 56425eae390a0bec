//! The journal: what is decided once stays decided.

use std::fs;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{ClosingId, UnixSeconds};
use ringfence_crypto::statement::{Certificate, Endorsement};
use ringfence_crypto::wire::json::MAX_STUDY;

use super::*;
use crate::transport::Openings;

mod crashes;

const THREE: RoundNumber = RoundNumber(3);

fn study(name: &[u8]) -> StudyId {
    StudyId(Digest::of(name))
}

fn endorsement(closing: &[u8]) -> Endorsement {
    Endorsement {
        study: study(b"study"),
        round: THREE,
        closing: ClosingId(Digest::of(closing)),
        holder: "a".parse().unwrap(),
    }
}

fn closing(study: StudyId, round: u32) -> Signed<Closing> {
    let (zero, signature) = ("00".repeat(32), "00".repeat(64));
    let statement = format!(
        r#"{{"study":"{study}","round":{round},"manifest":"{zero}","freeze":"{zero}","closed_at":0,
        "included":[],"excluded":[],"reviews":[],"sum":null,"checkpoint":{{"size":{round},"root":"{zero}"}}}}"#
    );
    let signed = format!(r#"{{"statement":{statement},"signature":"{signature}"}}"#);
    json::parse(signed.as_bytes(), MAX_STUDY, "closing").unwrap()
}

/// Endorses round 3.
fn endorse(round: &RoundJournal, of: &[u8]) -> Result<(), JournalError> {
    round.endorse(&endorsement(of), &closing(study(b"study"), 3))
}

#[test]
fn an_endorsement_is_written_once_and_survives() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(b"study");
    {
        let journal = Journal::open(folder.path()).unwrap();
        endorse(&journal.round(study, THREE).unwrap(), b"first").unwrap();
        let second = endorse(&journal.round(study, THREE).unwrap(), b"second");
        assert!(matches!(second, Err(JournalError::Exists(_))));
    }
    let (journal, other) = (Journal::open(folder.path()).unwrap(), self::study(b"other"));
    assert_eq!(journal.holder_records(study).unwrap().endorsed, [endorsement(b"first")]);
    assert_eq!(journal.holder_records(other).unwrap().endorsed, []);
}

#[test]
fn the_state_of_another_version_of_the_protocol_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(Journal::open(folder.path()).unwrap());
    drop(Journal::open(folder.path()).unwrap());
    let format = folder.path().join("format.json");
    fs::write(&format, r#"{"protocol": 3, "more": true}"#).unwrap();
    let error = Journal::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("of protocol version 3, and this program speaks version 2"), "{error}");
    // Version 1 wrote no such file.
    fs::remove_file(&format).unwrap();
    fs::create_dir_all(folder.path().join("studies")).unwrap();
    let error = Journal::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("of protocol version 1"), "{error}");
    assert!(!format.exists());
    // Of this protocol, with a file for each statement: they are not looked at, and not forgotten.
    fs::write(&format, r#"{"protocol": 2}"#).unwrap();
    let error = Journal::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("whose state is of version 1"), "{error}");
    assert!(error.contains("a new identity and --state another folder"), "{error}");
}

#[test]
fn the_last_closing_is_that_of_the_highest_round() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let study = study(b"study");
    assert_eq!(journal.last_closing(study).unwrap(), None);
    let closing = |round| closing(study, round);
    let saved = |round| journal.round(study, RoundNumber(round)).unwrap().closing().unwrap();
    // The last two do not sort by their names.
    for round in [7, 3, 999_999, 1_000_000] {
        journal.round(study, RoundNumber(round)).unwrap().save_closing(&closing(round)).unwrap();
        assert_eq!(saved(round), Some(closing(round)));
        let expected = if round == 3 { 7 } else { round };
        assert_eq!(journal.last_closing(study).unwrap(), Some(closing(expected)));
    }
    // A round without a closing of its own, but with a certificate; and one with neither.
    let (closing, endorsements) = (closing(1_000_001), Vec::new());
    let certificate = Certificate { closing: closing.clone(), endorsements };
    journal.round(study, RoundNumber(1_000_001)).unwrap().save_certificate(&certificate).unwrap();
    journal.round(study, RoundNumber(1_000_002)).unwrap();
    assert_eq!(journal.last_closing(study).unwrap(), Some(closing));
    let other = self::study(b"other");
    assert_eq!(journal.last_closing(other).unwrap(), None);
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Journal::open(folder.path()).unwrap();
    assert!(matches!(Journal::open(folder.path()), Err(JournalError::Locked(_))));
}

#[test]
fn damage_is_an_error_and_abstention_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let study = study(b"study");
    assert_eq!(journal.restores(study).unwrap(), []);
    let record = |seconds, round| {
        let (restored_at, through) = (UnixSeconds(seconds), Some(RoundNumber(round)));
        RestoreRecord { restored_at, request: None, through, private: false }
    };
    journal.restored(study, record(7, 4)).unwrap();
    journal.restored(study, record(9, 2)).unwrap();
    assert_eq!(journal.restores(study).unwrap(), [record(7, 4), record(9, 2)]);
    let round = journal.round(study, RoundNumber(0)).unwrap();
    round.records.note(&[Noted::new("contribution", b"{")]).unwrap();
    assert!(matches!(journal.contributions(), Err(JournalError::Damaged { .. })));
}

#[test]
fn a_state_is_of_one_site() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = ringfence_keys::system_rng().unwrap();
    let mut site = |name: &str| {
        ringfence_keys::identity::Identity::generate(name.parse().unwrap(), &mut rng)
            .unwrap()
            .public()
    };
    let (a, b, again) = (site("a"), site("b"), site("a"));
    Journal::open(folder.path()).unwrap().bind(&a, &[]).unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    journal.bind(&a, &[]).unwrap();
    for other in [b, again] {
        let error = journal.bind(&other, &[]).unwrap_err().to_string();
        let site =
            |of: &RosterEntry| format!("site {} (signature key {})", of.id, of.signature_key);
        assert!(error.contains(&site(&a)) && error.contains(&site(&other)), "{error}");
    }
}

#[test]
fn a_secret_that_is_not_that_of_the_published_key_is_damaged() {
    use ringfence_keys::round_secret::{RoundSecret, publish};
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let keys = journal.round_keys(study(b"study")).unwrap();
    let mut rng = ringfence_keys::system_rng().unwrap();
    let site =
        ringfence_keys::identity::Identity::generate("a".parse().unwrap(), &mut rng).unwrap();
    let secrets = [0, 1].map(|_| RoundSecret::generate(&mut rng).unwrap());
    let statement = publish(&site, study(b"study"), THREE, &secrets);
    keys.save(&statement, &secrets).unwrap();
    let secret = |round| keys.secret(RoundNumber(round), statement.id());
    assert_eq!(secret(3).unwrap().unwrap().expose(), secrets[0].expose());
    assert!(secret(5).unwrap().is_none());
    let path = keys.records.path().to_owned();
    let whole = fs::read(&path).unwrap();
    let text = hex::encode(secrets[0].expose());
    let place = whole.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    let digest = Digest::of(text.as_bytes()).0;
    let listed = whole.windows(32).any(|window| window == digest);
    assert!(!listed, "what is destroyed leaves nothing");
    let mut flipped = whole.clone();
    flipped[place + 7] = if whole[place + 7] == b'0' { b'1' } else { b'0' };
    fs::write(&path, &flipped).unwrap();
    let error = secret(3).unwrap_err().to_string();
    assert!(error.contains("secret-000003 is damaged"), "{error}");
    assert!(error.contains("accuses nobody"), "{error}");
    assert!(secret(4).unwrap().is_some());
    fs::write(&path, &whole).unwrap();
    assert_eq!(keys.secret_rounds().unwrap(), [THREE, RoundNumber(4)]);
    keys.destroy(THREE).unwrap();
    let destroyed = fs::read(&path).unwrap();
    assert!(!destroyed.windows(8).any(|window| window == &text.as_bytes()[..8]));
    drop((keys, journal));
    // Of nothing that is destroyed, whoever opens it next.
    let journal = Journal::open(folder.path()).unwrap();
    let keys = journal.round_keys(study(b"study")).unwrap();
    assert_eq!(keys.secret_rounds().unwrap(), [RoundNumber(4)]);
    assert!(keys.secret(THREE, statement.id()).unwrap().is_none());
    assert!(keys.secret(RoundNumber(4), statement.id()).unwrap().is_some());
}

#[test]
fn a_missing_part_of_a_contribution_says_what_it_is_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let round = journal.round(study(b"study"), THREE).unwrap();
    let missing = round.envelopes().unwrap_err().to_string();
    assert!(
        missing.contains("000003.journal: envelopes is not there, and with the sealed shares"),
        "{missing}"
    );
    assert!(missing.contains("put the file back"), "{missing}");
    let digest = Digest::of(b"body");
    let missing = round.check_body(digest).unwrap_err().to_string();
    assert!(missing.contains("body.bin is not there"), "{missing}");
    fs::write(round.body(), b"body").unwrap();
    round.check_body(digest).unwrap();
    fs::write(round.body(), b"bodz").unwrap();
    let damaged = round.check_body(digest).unwrap_err().to_string();
    assert!(damaged.contains("body.bin is damaged"), "{damaged}");
}

#[test]
fn every_opening_is_made_once_and_all_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let round = journal.round(study(b"study"), THREE).unwrap();
    let all = [Openings::Keys(2), Openings::Functionals(1), Openings::Keys(1), Openings::Sum];
    for of in all {
        assert_eq!(round.opening(of).unwrap(), None);
        round.save_opening(of, of.to_string().as_bytes()).unwrap();
        assert!(matches!(round.save_opening(of, b"another"), Err(JournalError::Exists(_))));
    }
    let [keys_2, functionals_1, keys_1, sum] = all.map(|of| of.to_string().into_bytes());
    assert_eq!(round.openings().unwrap(), [sum, functionals_1, keys_1, keys_2]);
}

#[test]
fn reviews_that_cannot_be_read_count_as_missing() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let round = journal.round(study(b"study"), THREE).unwrap();
    assert_eq!(round.reviews(), None);
    round.delete_reviews().unwrap();
    round.save_reviews(&[]).unwrap();
    assert_eq!(round.reviews(), Some(Vec::new()));
    fs::write(round.reviews_file(), b"[{").unwrap();
    assert_eq!(round.reviews(), None);
    round.delete_reviews().unwrap();
    assert!(!round.reviews_file().exists());
}

#[test]
fn what_others_keep_in_the_state_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(Journal::open(folder.path()).unwrap());
    let study = format!("studies/{}", study(b"study"));
    let foreign = [
        "other-site".into(),
        format!("other-site/{study}/rounds/000003"),
        "studies/notes".into(),
        format!("{study}/notes"),
        format!("{study}/rounds/000003"),
    ];
    let own = [String::new(), study.clone(), format!("{study}/rounds")];
    let unfinished = |place: &String| {
        let place = folder.path().join(place);
        fs::create_dir_all(&place).unwrap();
        let path = place.join(".unfinished-x");
        fs::write(&path, b"half").unwrap();
        path
    };
    let (foreign, own) = (foreign.map(|f| unfinished(&f)), own.map(|o| unfinished(&o)));
    Journal::open(folder.path()).unwrap();
    for path in foreign {
        assert!(path.exists(), "{}", path.display());
    }
    for path in own {
        assert!(!path.exists(), "{}", path.display());
    }
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_beside_the_state_does_no_harm() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("lost+found");
    fs::create_dir(&foreign).unwrap();
    let allow = |mode| fs::set_permissions(&foreign, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o000);
    // Root can read everything: nothing is tested then.
    let opened = fs::read_dir(&foreign).is_err().then(|| Journal::open(folder.path()));
    // So that it can be deleted.
    allow(0o700);
    opened.map(Result::unwrap);
}

#[cfg(unix)]
#[test]
fn the_state_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let round = journal.round(study(b"study"), THREE).unwrap();
    endorse(&round, b"first").unwrap();
    let mode = fs::metadata(round.records.path()).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}
