//! What may be done to an export, by its documents (docs/audit.md, docs/protocol.md, docs/wire.md) and
//! not by what checks it. Who does it has every key but those of the sites, unless said otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::evidence::RoundProof;
use ringfence_crypto::log::{LogEntry, StudyLog};
use serde_json::Value;

/// What was done, and which checks may name it; none where it depends on the place.
pub(crate) struct Tampering {
    pub(crate) what: String,
    pub(crate) named_by: &'static [&'static str],
}

fn done(what: impl Into<String>, named_by: &'static [&'static str]) -> Tampering {
    Tampering { what: what.into(), named_by }
}

/// A kind of tampering: it alters a folder.
pub(crate) type Kind = fn(&Path, &mut ChaCha20Rng) -> Tampering;

/// All kinds that need no more than the folder.
pub(crate) const KINDS: [Kind; 20] = [
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
    round_of_another_number,
    round_dropped,
    bodies_swapped,
    body_cut,
    body_shifted,
    sum_shifted,
    log_entry_altered,
    trust_altered,
    removal_forged,
];

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
) -> String {
    let files = proofs(folder);
    let path = &files[any(rng, files.len())];
    alter_file(path, rng, alter)
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

fn any_byte_of_a_file(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let mut files = Vec::new();
    all_files(folder, &mut files);
    files.sort();
    let path = &files[any(rng, files.len())];
    let mut bytes = fs::read(path).unwrap();
    let at = loop {
        let at = any(rng, bytes.len());
        // Blanks between the values of the study file, which people read, say nothing.
        if name(path) != "study.json" || !bytes[at].is_ascii_whitespace() {
            break at;
        }
    };
    bytes[at] ^= 1 << any(rng, 8);
    fs::write(path, bytes).unwrap();
    done(format!("byte {at} of {}", name(path)), &[])
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

fn any_value_of_a_statement(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let what = alter_proof(folder, rng, |proof, rng| {
        let at = any(rng, events(proof).len() + 1);
        let statement = match events(proof).get_mut(at) {
            Some(event) => &mut event["statement"],
            None => &mut proof["manifest"]["statement"],
        };
        let kind = shown(statement);
        format!("{kind}: {}", alter_value(statement, rng))
    });
    done(what, &[])
}

fn any_signature(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let what = alter_proof(folder, rng, |proof, rng| {
        let at = any(rng, events(proof).len());
        let statement = events(proof)[at]["statement"].as_object_mut().unwrap();
        let signed = statement.values_mut().next().unwrap();
        let signature = &mut signed["signature"];
        format!("signature of event {at}: {}", alter_value(signature, rng))
    });
    done(what, &[])
}

fn dropped(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let what = alter_proof(folder, rng, |proof, rng| {
        let at = any(rng, events(proof).len());
        format!("dropped {}", shown(&events(proof).remove(at)["statement"]))
    });
    done(what, &["log"])
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

fn dropped_with_a_new_proof(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let log = log(folder);
    let what = alter_proof(folder, rng, |proof, rng| {
        let at = any(rng, events(proof).len());
        let gone = shown(&events(proof).remove(at)["statement"]);
        prove_anew(proof, &log);
        format!("dropped, and proved without it: {gone}")
    });
    done(what, &["whole-log"])
}

fn doubled(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let what = alter_proof(folder, rng, |proof, rng| {
        let at = any(rng, events(proof).len());
        let twice = events(proof)[at].clone();
        let what = shown(&twice["statement"]);
        events(proof).insert(at, twice);
        format!("doubled {what}")
    });
    done(what, &["log"])
}

fn doubled_at_another_leaf(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let log = log(folder);
    let what = alter_proof(folder, rng, |proof, rng| {
        let at = any(rng, events(proof).len());
        let mut twice = events(proof)[at].clone();
        let what = shown(&twice["statement"]);
        twice["leaf"] = Value::from(log.size() - 1);
        events(proof).push(twice);
        prove_anew(proof, &log);
        format!("doubled at the last leaf {what}")
    });
    done(what, &["log"])
}

fn reordered(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let what = alter_proof(folder, rng, |proof, rng| {
        let all = events(proof);
        let at = any(rng, all.len() - 1);
        let other = at + 1 + any(rng, all.len() - at - 1);
        all.swap(at, other);
        format!("events {at} and {other} swapped")
    });
    done(what, &["log"])
}

fn renumbered(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let what = alter_proof(folder, rng, |proof, rng| {
        let all = events(proof);
        let at = any(rng, all.len() - 1);
        let (one, other) = (all[at]["leaf"].clone(), all[at + 1]["leaf"].clone());
        (all[at]["leaf"], all[at + 1]["leaf"]) = (other, one);
        all.swap(at, at + 1);
        format!("events {at} and {} swapped with their leaves", at + 1)
    });
    done(what, &["log"])
}

fn signatures_swapped(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let what = alter_proof(folder, rng, |proof, rng| {
        let all = events(proof);
        let at = any(rng, all.len() - 1);
        fn signature(event: &mut Value) -> &mut Value {
            let statement = event["statement"].as_object_mut().unwrap();
            &mut statement.values_mut().next().unwrap()["signature"]
        }
        let (one, other) = (signature(&mut all[at]).clone(), signature(&mut all[at + 1]).clone());
        (*signature(&mut all[at]), *signature(&mut all[at + 1])) = (other, one);
        format!("signatures of events {at} and {} swapped", at + 1)
    });
    done(what, &[])
}

fn hashes_of_the_proof(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let what = alter_proof(folder, rng, |proof, rng| {
        format!("log: {}", alter_value(&mut proof["log"], rng))
    });
    done(what, &["log", "closing-log", "file"])
}

fn round_of_another_number(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let files = proofs(folder);
    let from = any(rng, files.len());
    let to = (from + 1 + any(rng, files.len() - 1)) % files.len();
    fs::copy(&files[from], &files[to]).unwrap();
    done(format!("{} in the place of {}", name(&files[from]), name(&files[to])), &["file"])
}

fn round_dropped(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let files = proofs(folder);
    let at = &files[any(rng, files.len())];
    fs::remove_file(at).unwrap();
    done(format!("{} removed", name(at)), &["rounds", "whole-log"])
}

/// A round's folder of bodies.
fn bodies(folder: &Path, rng: &mut ChaCha20Rng) -> Vec<PathBuf> {
    let rounds = fs::read_dir(folder.join("rounds")).unwrap().map(|entry| entry.unwrap().path());
    let mut rounds: Vec<PathBuf> = rounds.filter(|path| path.is_dir()).collect();
    rounds.sort();
    let mut bodies = Vec::new();
    all_files(&rounds[any(rng, rounds.len())], &mut bodies);
    bodies.sort();
    bodies
}

fn bodies_swapped(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let bodies = bodies(folder, rng);
    let at = any(rng, bodies.len() - 1);
    let (one, other) = (fs::read(&bodies[at]).unwrap(), fs::read(&bodies[at + 1]).unwrap());
    fs::write(&bodies[at], other).unwrap();
    fs::write(&bodies[at + 1], one).unwrap();
    done(format!("bodies of {} and {} swapped", name(&bodies[at]), name(&bodies[at + 1])), &["sum"])
}

fn body_cut(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let bodies = bodies(folder, rng);
    let path = &bodies[any(rng, bodies.len())];
    let mut bytes = fs::read(path).unwrap();
    bytes.truncate(any(rng, bytes.len()));
    fs::write(path, &bytes).unwrap();
    done(format!("body of {} cut to {} bytes", name(path), bytes.len()), &["sum"])
}

/// What one body gains another loses: their sum stays.
fn body_shifted(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let bodies = bodies(folder, rng);
    let at = any(rng, bodies.len() - 1);
    let (mut one, mut other) = (fs::read(&bodies[at]).unwrap(), fs::read(&bodies[at + 1]).unwrap());
    let place = any(rng, one.len());
    (one[place], other[place]) = (one[place].wrapping_add(1), other[place].wrapping_sub(1));
    fs::write(&bodies[at], one).unwrap();
    fs::write(&bodies[at + 1], other).unwrap();
    done(
        format!("byte {place} moved from {} to {}", name(&bodies[at + 1]), name(&bodies[at])),
        &["sum"],
    )
}

fn sum_shifted(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let mut files = Vec::new();
    all_files(&folder.join("rounds"), &mut files);
    files.retain(|path| path.extension().is_some_and(|ending| ending == "sum"));
    files.sort();
    let path = &files[any(rng, files.len())];
    let mut sum = fs::read(path).unwrap();
    match any(rng, 3) {
        0 => sum.rotate_left(8),
        1 => sum.push(0),
        _ => _ = sum.pop(),
    }
    fs::write(path, sum).unwrap();
    done(format!("{} shifted", name(path)), &["sum"])
}

fn log_entry_altered(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
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
    done(format!("entry {at} of the log {what}"), &["one-history", "whole-log"])
}

/// A round before which somebody is barred who is not, or nobody who is.
fn trust_altered(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let files = proofs(folder);
    let path = &files[1 + any(rng, files.len() - 1)];
    let what = alter_file(path, rng, |proof, rng| {
        let barred = proof["before"]["trust"]["barred"].as_array_mut().unwrap();
        match barred.is_empty() {
            true => barred.push(Value::from(format!("site-{}", any(rng, 7)))),
            false => barred.clear(),
        }
        "trust before the round altered".to_owned()
    });
    done(what, &["manifest"])
}

/// Of the certificate of a verdict so many endorsements are left out, that it is none any more; or it
/// names another site.
fn removal_forged(folder: &Path, rng: &mut ChaCha20Rng) -> Tampering {
    let log = log(folder);
    let files = proofs(folder);
    let has_verdict = |path: &&PathBuf| fs::read_to_string(path).unwrap().contains("\"judged\"");
    let path = files.iter().find(has_verdict).unwrap();
    let names_another = any(rng, 2) == 0;
    let what = alter_file(path, rng, |proof, _| {
        let judged = |event: &Value| !event["statement"]["judged"].is_null();
        if names_another {
            for event in events(proof).iter_mut().filter(|event| judged(event)) {
                let verdict = &mut event["statement"]["judged"]["statement"]["statement"];
                verdict["sites"] = Value::from(vec!["site-2"]);
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
        true => done(what, &["disputes"]),
        false => done(what, &["openings"]),
    }
}
