//! What may be done to an export, by its documents (docs/audit.md, docs/protocol.md, docs/wire.md) and
//! not by what checks it. Who does it has every key but those of the sites, unless said otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::RngExt as _;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::evidence::RoundProof;
use ringfence_crypto::log::{LogEntry, SignedNote, StudyLog};
use ringfence_testkit::Record;
use serde_json::Value;

use crate::cosigned::put_cosigned;
use crate::export::export;
use crate::lies;
use crate::studies::{eventful, random, record};

/// What was done, and what must be named: one of these checks, of the study or of a round.
pub(crate) struct Tampering {
    pub(crate) what: String,
    pub(crate) named: Vec<(Option<u32>, &'static str)>,
    /// Nothing can be held against the study file any more.
    pub(crate) unreadable: bool,
}

impl Tampering {
    pub(crate) fn of_study(what: impl Into<String>, checks: &[&'static str]) -> Option<Self> {
        Self::named(what, None, checks)
    }

    pub(crate) fn of_round(
        what: impl Into<String>,
        round: u32,
        checks: &[&'static str],
    ) -> Option<Self> {
        Self::named(what, Some(round), checks)
    }

    fn named(what: impl Into<String>, round: Option<u32>, checks: &[&'static str]) -> Option<Self> {
        let named = checks.iter().map(|check| (round, *check)).collect();
        Some(Self { what: what.into(), named, unreadable: false })
    }

    fn of_the_study_file(what: impl Into<String>) -> Option<Self> {
        Some(Self { what: what.into(), named: Vec::new(), unreadable: true })
    }
}

/// A kind of tampering: it alters a folder, if that has what it alters.
type Kind = fn(&Path, &mut ChaCha20Rng) -> Option<Tampering>;

/// All kinds that need no more than the folder.
const KINDS: [Kind; 27] = [
    any_byte_of_a_file,
    any_value_of_a_statement,
    any_signature,
    dropped,
    dropped_with_a_new_proof,
    doubled,
    doubled_at_another_leaf,
    reordered,
    renumbered,
    signatures_swapped,
    hashes_of_the_proof,
    checkpoint_of_the_proof,
    round_of_another_number,
    round_dropped,
    round_of_another_study,
    log_of_another_study,
    study_of_another_study,
    file_cut,
    file_removed,
    bodies_swapped,
    body_cut,
    body_shifted,
    sum_shifted,
    log_entry_altered,
    trust_altered,
    removal_forged,
    cosignature_forged,
];

/// The lies of those who have a key to sign them with: an aggregator, and a site of its budget.
type Lie = fn(&mut ChaCha20Rng) -> (Record, Vec<SignedNote>, Tampering);

const LIES: [Lie; 10] = [
    lies::a_false_sum,
    lies::a_set_without_a_site,
    lies::a_second_closing_hidden,
    lies::a_second_closing_shown,
    lies::two_sums_from_one_model,
    lies::less_budget_than_is_spent,
    lies::budget_that_comes_back,
    lies::an_opening_before_the_certificate,
    lies::a_torn_group,
    lies::another_history_for_a_site,
];

/// How many kinds there are: as many numbers in a row have each of them.
pub(crate) const COUNT: u64 = (KINDS.len() + LIES.len()) as u64;

/// The export of an honest study with this number, altered; it depends on nothing but the number.
pub(crate) fn tampered(number: u64, folder: &Path) -> Tampering {
    let mut rng = ringfence_testkit::rng(number);
    let kind = (number % COUNT) as usize;
    let Some(tamper) = KINDS.get(kind) else {
        let (record, notes, tampering) = LIES[kind - KINDS.len()](&mut rng);
        export(&record, folder);
        put_cosigned(folder, &notes);
        return tampering;
    };
    // What a random study lacks, such as a second round, this one has.
    for study in [random(1_000_000 + number), eventful()] {
        _ = fs::remove_dir_all(folder);
        export(&study, folder);
        if let Some(done) = tamper(folder, &mut rng) {
            return done;
        }
    }
    panic!("kind {kind} has nothing to alter in a study in which everything happens");
}

/// The checks of a round's statements and of its file.
const OF_A_FILE: [&str; 16] = [
    "file",
    "epochs",
    "manifest",
    "round-keys",
    "contributions",
    "receipts",
    "freeze",
    "reviews",
    "closing",
    "certificate",
    "openings",
    "disputes",
    "acknowledgements",
    "budget",
    "log",
    "closing-log",
];

/// The checks that are about an event of a kind.
fn checks_of(event: &Value) -> &'static [&'static str] {
    match event.as_object().unwrap().keys().next().unwrap().as_str() {
        "announced" => &["contributions", "budget", "file"],
        "received" => &["receipts", "file"],
        "frozen" => &["freeze", "file"],
        "reviewed" => &["reviews", "file"],
        "closed" => &["closing", "file"],
        "endorsed" => &["certificate", "file"],
        "disputed" | "judged" => &["disputes", "file"],
        "opened" => &["openings", "file"],
        "acknowledged" => &["acknowledgements", "file"],
        other => panic!("{other}"),
    }
}

/// The round of a file `rounds/N...`.
fn round_of(path: &Path) -> u32 {
    let text = path.to_string_lossy();
    let (_, rest) = text.rsplit_once("rounds/").unwrap();
    rest.split('.').next().unwrap().parse().unwrap()
}

fn any(rng: &mut ChaCha20Rng, of: usize) -> usize {
    rng.random_range(0..of)
}

/// The proof files of the folder.
fn proofs(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder.join("rounds"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    files
}

fn all_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { all_files(&entry, found) } else { found.push(entry) }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Alters one proof file as JSON, with its spelling as it was.
fn alter_proof(
    folder: &Path,
    rng: &mut ChaCha20Rng,
    alter: impl FnOnce(&mut Value, &mut ChaCha20Rng) -> String,
) -> (u32, String) {
    let files = proofs(folder);
    let path = &files[any(rng, files.len())];
    (round_of(path), alter_file(path, rng, alter))
}

fn alter_file(
    path: &Path,
    rng: &mut ChaCha20Rng,
    alter: impl FnOnce(&mut Value, &mut ChaCha20Rng) -> String,
) -> String {
    let before = fs::read(path).unwrap();
    let mut value: Value = serde_json::from_slice(&before).unwrap();
    let what = alter(&mut value, rng);
    // In the one spelling of a proof, where it still is one: so that it is not found by its spelling.
    let after = serde_json::from_value::<RoundProof>(value.clone());
    let after = after.map_or_else(|_| value.to_string().into_bytes(), |proof| proof.to_bytes());
    assert_ne!(before, after, "{what}");
    fs::write(path, after).unwrap();
    format!("{}: {what}", name(path))
}

fn events(proof: &mut Value) -> &mut Vec<Value> {
    proof["events"].as_array_mut().unwrap()
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

/// Any file of the folder.
fn any_file(folder: &Path, rng: &mut ChaCha20Rng) -> PathBuf {
    let mut files = Vec::new();
    all_files(folder, &mut files);
    files.sort();
    files.swap_remove(any(rng, files.len()))
}

/// What names a file of which nothing is known but that it was altered.
fn altered(path: &Path, what: impl Into<String>) -> Option<Tampering> {
    let what = format!("{}: {}", path.display(), what.into());
    match name(path).as_str() {
        "study.json" => Tampering::of_the_study_file(what),
        "checkpoint" | "entries.txt" => Tampering::of_study(what, &["one-history"]),
        proof if proof.ends_with(".json") => Tampering::of_round(what, round_of(path), &OF_A_FILE),
        _ => Tampering::of_round(what, round_of(path), &["sum"]),
    }
}

fn any_byte_of_a_file(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let path = any_file(folder, rng);
    let mut bytes = fs::read(&path).unwrap();
    let at = loop {
        let at = any(rng, bytes.len());
        // Blanks between the values of the study file, which people read, say nothing.
        if name(&path) != "study.json" || !bytes[at].is_ascii_whitespace() {
            break at;
        }
    };
    bytes[at] ^= 1 << any(rng, 8);
    fs::write(&path, bytes).unwrap();
    altered(&path, format!("a bit of byte {at}"))
}

fn file_cut(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let path = any_file(folder, rng);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| !byte.is_ascii_whitespace()).unwrap();
    bytes.truncate(any(rng, end));
    fs::write(&path, &bytes).unwrap();
    altered(&path, format!("cut to {} bytes", bytes.len()))
}

/// A file that is needed is not there.
fn file_removed(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let of_round = |path: &Path| folder.join(format!("rounds/{}.proof.json", round_of(path)));
    let is_body = |path: &Path| path.parent().unwrap().extension() == Some("bodies".as_ref());
    let path = loop {
        let path = any_file(folder, rng);
        // Who has the bodies needs no sum; a body outside the set is in no sum.
        let is_sum = name(&path).ends_with(".sum");
        let is_needed =
            || !is_body(&path) || included(&read_json(&of_round(&path))).contains(&name(&path));
        if !is_sum && is_needed() {
            break path;
        }
    };
    fs::remove_file(&path).unwrap();
    match name(&path).ends_with(".proof.json") {
        true => Tampering::of_study(format!("{} removed", name(&path)), &["rounds", "whole-log"]),
        false => altered(&path, "removed"),
    }
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The sites of the set that a round's file closes.
fn included(proof: &Value) -> Vec<String> {
    let closed = proof["events"].as_array().unwrap().iter();
    let closed = closed.map(|event| &event["statement"]["closed"]["statement"]["included"]);
    let sites = closed.filter_map(Value::as_array).flatten();
    sites.map(|entry| entry["site"].as_str().unwrap().to_owned()).collect()
}

/// Alters one value somewhere below.
fn alter_value(value: &mut Value, rng: &mut ChaCha20Rng) -> String {
    match value {
        Value::Object(fields) => {
            let key = fields.keys().nth(any(rng, fields.len())).unwrap().clone();
            format!("{key}.{}", alter_value(&mut fields[&key], rng))
        }
        Value::Array(items) if items.is_empty() => {
            items.push(Value::Null);
            "one more".to_owned()
        }
        Value::Array(items) => {
            let at = any(rng, items.len());
            match any(rng, 4) {
                0 => {
                    items.remove(at);
                    format!("{at} removed")
                }
                1 => {
                    let twice = items[at].clone();
                    items.insert(at, twice);
                    format!("{at} doubled")
                }
                _ => format!("{at}.{}", alter_value(&mut items[at], rng)),
            }
        }
        Value::Number(number) => {
            let before = number.to_string();
            *value = match number.as_u64() {
                Some(number) => Value::from(number + 1),
                None => Value::from(number.as_f64().unwrap() + 1.0),
            };
            format!("{before} -> {value}")
        }
        Value::String(text) => {
            let before = text.clone();
            let at = any(rng, text.chars().count().max(1));
            let letter = text.chars().nth(at).unwrap_or('0');
            let other = if letter == '0' { '1' } else { '0' };
            if text.is_empty() {
                *text = "0".to_owned();
                return "empty -> 0".to_owned();
            }
            *text =
                text.chars().enumerate().map(|(k, l)| if k == at { other } else { l }).collect();
            format!("{} -> {}", shown(&before.clone().into()), shown(&text.clone().into()))
        }
        Value::Bool(flag) => {
            *flag = !*flag;
            "flag".to_owned()
        }
        Value::Null => {
            *value = Value::from(0);
            "null -> 0".to_owned()
        }
    }
}

fn any_value_of_a_statement(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let mut checks: &[&str] = &["manifest", "file"];
    let (round, what) = alter_proof(folder, rng, |proof, rng| {
        let at = any(rng, events(proof).len() + 1);
        let statement = match events(proof).get_mut(at) {
            Some(event) => {
                checks = checks_of(&event["statement"]);
                &mut event["statement"]
            }
            None => &mut proof["manifest"]["statement"],
        };
        let kind = shown(statement);
        format!("{kind}: {}", alter_value(statement, rng))
    });
    Tampering::of_round(what, round, checks)
}

fn any_signature(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let mut checks: &[&str] = &[];
    let (round, what) = alter_proof(folder, rng, |proof, rng| {
        let at = any(rng, events(proof).len());
        checks = checks_of(&events(proof)[at]["statement"]);
        let statement = events(proof)[at]["statement"].as_object_mut().unwrap();
        let signature = &mut statement.values_mut().next().unwrap()["signature"];
        format!("signature of event {at}: {}", alter_value(signature, rng))
    });
    Tampering::of_round(what, round, checks)
}

fn dropped(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let (round, what) = alter_proof(folder, rng, |proof, rng| {
        let at = any(rng, events(proof).len());
        format!("dropped {}", shown(&events(proof).remove(at)["statement"]))
    });
    Tampering::of_round(what, round, &["log"])
}

/// The log of the folder, as its operator has it.
fn log(folder: &Path) -> StudyLog {
    let entries = fs::read_to_string(folder.join("log/entries.txt")).unwrap();
    entries.lines().map(|line| line.parse::<LogEntry>().unwrap()).collect()
}

/// A proof that a file's statements are in the log, made anew.
fn prove_anew(proof: &mut Value, log: &StudyLog) {
    let leaf = |logged: &Value| logged["leaf"].as_u64().unwrap();
    let lists = ["epochs", "round_keys", "events"];
    let mut leaves: Vec<u64> = lists
        .iter()
        .flat_map(|list| proof[list].as_array().unwrap().iter().map(leaf))
        .chain([leaf(&proof["manifest"])])
        .collect();
    if !proof["before"].is_null() {
        leaves.push(leaf(&proof["before"]["closing"]));
    }
    leaves.sort_unstable();
    leaves.dedup();
    let size = log.size();
    proof["log"]["leaves"] =
        serde_json::to_value(log.leaves_proof(&leaves, size).unwrap()).unwrap();
}

fn dropped_with_a_new_proof(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let log = log(folder);
    let mut is_closing = false;
    let (round, what) = alter_proof(folder, rng, |proof, rng| {
        let at = any(rng, events(proof).len());
        let gone = events(proof).remove(at);
        is_closing = !gone["statement"]["closed"].is_null();
        prove_anew(proof, &log);
        format!("dropped, and proved without it: {}", shown(&gone["statement"]))
    });
    let mut done = Tampering::of_study(what, &["whole-log"])?;
    if is_closing {
        // The file of the round after it has the closing, too: the log is whole. What stands on the
        // closing does not, here.
        done.named.extend([(Some(round), "certificate"), (None, "rounds")]);
    }
    Some(done)
}

fn doubled(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let (round, what) = alter_proof(folder, rng, |proof, rng| {
        let at = any(rng, events(proof).len());
        let twice = events(proof)[at].clone();
        let what = shown(&twice["statement"]);
        events(proof).insert(at, twice);
        format!("doubled {what}")
    });
    Tampering::of_round(what, round, &["log"])
}

fn doubled_at_another_leaf(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let log = log(folder);
    let (round, what) = alter_proof(folder, rng, |proof, rng| {
        let at = any(rng, events(proof).len());
        let mut twice = events(proof)[at].clone();
        let what = shown(&twice["statement"]);
        twice["leaf"] = Value::from(log.size() - 1);
        events(proof).push(twice);
        prove_anew(proof, &log);
        format!("doubled at the last leaf {what}")
    });
    Tampering::of_round(what, round, &["log"])
}

fn reordered(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let (round, what) = alter_proof(folder, rng, |proof, rng| {
        let all = events(proof);
        let at = any(rng, all.len() - 1);
        let other = at + 1 + any(rng, all.len() - at - 1);
        all.swap(at, other);
        format!("events {at} and {other} swapped")
    });
    Tampering::of_round(what, round, &["log"])
}

fn renumbered(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let (round, what) = alter_proof(folder, rng, |proof, rng| {
        let all = events(proof);
        let at = any(rng, all.len() - 1);
        let (one, other) = (all[at]["leaf"].clone(), all[at + 1]["leaf"].clone());
        (all[at]["leaf"], all[at + 1]["leaf"]) = (other, one);
        all.swap(at, at + 1);
        format!("events {at} and {} swapped with their leaves", at + 1)
    });
    Tampering::of_round(what, round, &["log"])
}

fn signatures_swapped(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let mut checks: &[&str] = &[];
    let (round, what) = alter_proof(folder, rng, |proof, rng| {
        let all = events(proof);
        let at = any(rng, all.len() - 1);
        fn signature(event: &mut Value) -> &mut Value {
            let statement = event["statement"].as_object_mut().unwrap();
            &mut statement.values_mut().next().unwrap()["signature"]
        }
        checks = checks_of(&all[at]["statement"]);
        let (one, other) = (signature(&mut all[at]).clone(), signature(&mut all[at + 1]).clone());
        (*signature(&mut all[at]), *signature(&mut all[at + 1])) = (other, one);
        format!("signatures of events {at} and {} swapped", at + 1)
    });
    Tampering::of_round(what, round, checks)
}

fn hashes_of_the_proof(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let mut checks: &[&str] = &[];
    let (round, what) = alter_proof(folder, rng, |proof, rng| {
        let field =
            if proof["log"]["closing"].is_null() || rng_bool(rng) { "leaves" } else { "closing" };
        checks = if field == "leaves" { &["log", "file"] } else { &["closing-log", "file"] };
        format!("log.{field}: {}", alter_value(&mut proof["log"][field], rng))
    });
    Tampering::of_round(what, round, checks)
}

fn rng_bool(rng: &mut ChaCha20Rng) -> bool {
    any(rng, 2) == 0
}

fn checkpoint_of_the_proof(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let (round, what) = alter_proof(folder, rng, |proof, rng| {
        format!("log.checkpoint: {}", alter_value(&mut proof["log"]["checkpoint"], rng))
    });
    Tampering::of_round(what, round, &["log", "file"])
}

fn round_of_another_number(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let files = proofs(folder);
    if files.len() < 2 {
        return None;
    }
    let from = any(rng, files.len());
    let to = (from + 1 + any(rng, files.len() - 1)) % files.len();
    fs::copy(&files[from], &files[to]).unwrap();
    let what = format!("{} in the place of {}", name(&files[from]), name(&files[to]));
    Tampering::of_round(what, round_of(&files[to]), &["file"])
}

fn round_dropped(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let files = proofs(folder);
    let at = &files[any(rng, files.len())];
    fs::remove_file(at).unwrap();
    Tampering::of_study(format!("{} removed", name(at)), &["rounds", "whole-log"])
}

/// An export of another study of the same sites, its round 0 over.
fn another_study(folder: &Path, rng: &mut ChaCha20Rng) -> PathBuf {
    let mut other = record(|study| study.name = "another".to_owned());
    other.run(b"model 0", b"model 1", rng);
    let to = folder.with_extension("other");
    export(&other, &to);
    to
}

/// Puts files of another study in the place of these.
fn from_another(folder: &Path, rng: &mut ChaCha20Rng, files: &[&str]) -> String {
    let other = another_study(folder, rng);
    for file in files {
        fs::copy(other.join(file), folder.join(file)).unwrap();
    }
    fs::remove_dir_all(other).unwrap();
    format!("{files:?} of another study")
}

fn round_of_another_study(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let what = from_another(folder, rng, &["rounds/0.proof.json"]);
    Tampering::of_round(what, 0, &["manifest"])
}

fn log_of_another_study(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let what = from_another(folder, rng, &["log/checkpoint", "log/entries.txt"]);
    Tampering::of_study(what, &["one-history"])
}

fn study_of_another_study(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let what = from_another(folder, rng, &["study.json"]);
    Tampering::of_round(what, 0, &["manifest"])
}

/// A round's folder of bodies.
fn bodies(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Vec<PathBuf>> {
    let rounds = fs::read_dir(folder.join("rounds")).unwrap().map(|entry| entry.unwrap().path());
    let mut rounds: Vec<PathBuf> = rounds.filter(|path| path.is_dir()).collect();
    if rounds.is_empty() {
        return None;
    }
    rounds.sort();
    let mut bodies = Vec::new();
    all_files(&rounds[any(rng, rounds.len())], &mut bodies);
    bodies.sort();
    Some(bodies)
}

fn bodies_swapped(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let bodies = bodies(folder, rng)?;
    let at = any(rng, bodies.len() - 1);
    let (one, other) = (fs::read(&bodies[at]).unwrap(), fs::read(&bodies[at + 1]).unwrap());
    fs::write(&bodies[at], other).unwrap();
    fs::write(&bodies[at + 1], one).unwrap();
    let what = format!("bodies of {} and {} swapped", name(&bodies[at]), name(&bodies[at + 1]));
    Tampering::of_round(what, round_of(&bodies[at]), &["sum"])
}

fn body_cut(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let bodies = bodies(folder, rng)?;
    let path = &bodies[any(rng, bodies.len())];
    let mut bytes = fs::read(path).unwrap();
    match rng_bool(rng) {
        true => bytes.truncate(any(rng, bytes.len())),
        false => bytes.extend(vec![0; 1 + any(rng, 100)]),
    }
    fs::write(path, &bytes).unwrap();
    let what = format!("body of {} of {} bytes", name(path), bytes.len());
    Tampering::of_round(what, round_of(path), &["sum"])
}

/// What one body gains another loses: their sum stays.
fn body_shifted(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let bodies = bodies(folder, rng)?;
    let at = any(rng, bodies.len() - 1);
    let (mut one, mut other) = (fs::read(&bodies[at]).unwrap(), fs::read(&bodies[at + 1]).unwrap());
    let place = any(rng, one.len());
    (one[place], other[place]) = (one[place].wrapping_add(1), other[place].wrapping_sub(1));
    fs::write(&bodies[at], one).unwrap();
    fs::write(&bodies[at + 1], other).unwrap();
    let what =
        format!("byte {place} moved from {} to {}", name(&bodies[at + 1]), name(&bodies[at]));
    Tampering::of_round(what, round_of(&bodies[at]), &["sum"])
}

fn sum_shifted(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let mut files = Vec::new();
    all_files(&folder.join("rounds"), &mut files);
    files.retain(|path| path.extension().is_some_and(|ending| ending == "sum"));
    if files.is_empty() {
        return None;
    }
    files.sort();
    let path = &files[any(rng, files.len())];
    let mut sum = fs::read(path).unwrap();
    match any(rng, 3) {
        0 => sum.rotate_left(8),
        1 => sum.push(0),
        _ => _ = sum.pop(),
    }
    fs::write(path, sum).unwrap();
    Tampering::of_round(format!("{} shifted", name(path)), round_of(path), &["sum"])
}

fn log_entry_altered(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let path = folder.join("log/entries.txt");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = any(rng, lines.len() - 1);
    let what = match any(rng, 4) {
        0 => {
            lines.remove(at);
            "removed"
        }
        1 => {
            let twice = lines[at].clone();
            lines.insert(at, twice);
            "doubled"
        }
        2 => {
            lines.swap(at, at + 1);
            "swapped with the next"
        }
        _ => {
            let (_, digest) = lines[at].split_once(' ').unwrap();
            let label = if lines[at].starts_with("receipt") { "review" } else { "receipt" };
            lines[at] = format!("{label} {digest}");
            "of another kind"
        }
    };
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    Tampering::of_study(format!("entry {at} of the log {what}"), &["one-history"])
}

/// A round before which somebody is barred who is not, or nobody who is.
fn trust_altered(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let files = proofs(folder);
    if files.len() < 2 {
        return None;
    }
    let path = &files[1 + any(rng, files.len() - 1)];
    let what = alter_file(path, rng, |proof, rng| {
        let barred = proof["before"]["trust"]["barred"].as_array_mut().unwrap();
        match barred.is_empty() {
            true => barred.push(Value::from(format!("site-{}", any(rng, 7)))),
            false => barred.clear(),
        }
        "trust before the round altered".to_owned()
    });
    Tampering::of_round(what, round_of(path), &["manifest"])
}

/// Of the certificate of a verdict so many endorsements are left out, that it is none any more; or it
/// names another site.
fn removal_forged(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let log = log(folder);
    let files = proofs(folder);
    let has_verdict = |path: &&PathBuf| fs::read_to_string(path).unwrap().contains("\"judged\"");
    let path = files.iter().find(has_verdict)?;
    let names_another = rng_bool(rng);
    let judged = |event: &Value| !event["statement"]["judged"].is_null();
    let what = alter_file(path, rng, |proof, _| {
        if names_another {
            let set = included(proof);
            for event in events(proof).iter_mut().filter(|event| judged(event)) {
                let sites = &mut event["statement"]["judged"]["statement"]["statement"]["sites"];
                let other = set.iter().find(|site| sites[0] != **site).unwrap();
                *sites = Value::from(vec![other.clone()]);
            }
            return "the verdict names another site".to_owned();
        }
        let mut kept = 0;
        events(proof).retain(|event| {
            kept += usize::from(judged(event));
            !judged(event) || kept <= 3
        });
        prove_anew(proof, &log);
        "a verdict without its quorum".to_owned()
    });
    match names_another {
        true => Tampering::of_round(what, round_of(path), &["disputes"]),
        false => Tampering::of_round(what, round_of(path), &["openings"]),
    }
}

/// In a site's name, with a signature that is not the site's.
fn cosignature_forged(folder: &Path, rng: &mut ChaCha20Rng) -> Option<Tampering> {
    let study = read_json(&folder.join("study.json"));
    let roster = study["study"]["roster"].as_array().unwrap();
    let site = roster[any(rng, roster.len())]["id"].as_str().unwrap();
    let note = fs::read_to_string(folder.join("log/checkpoint")).unwrap();
    let origin = note.lines().next().unwrap();
    let signature: [u8; 76] = std::array::from_fn(|_| rng.random());
    let signature = BASE64.encode(signature);
    let forged = format!("{note}\u{2014} {origin}/{site} {signature}\n").parse().unwrap();
    put_cosigned(folder, &[forged]);
    Tampering::of_study(format!("a cosignature in the name of {site}"), &["witnesses"])
}
