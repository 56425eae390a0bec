//! Files of vectors: found, parsed without a field left over, each given to one check. Every test
//! program includes this file: those of the public half, of the secret half, and of models.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A test for each kind of file of one half, and one that no file is left unread.
macro_rules! checks {
    ($folder:expr, $half:literal; $($kind:ident => $check:path),+ $(,)?) => {
        $(
            #[test]
            fn $kind() {
                files::each($folder, $half, stringify!($kind), $check);
            }
        )+

        #[test]
        fn no_file_is_unread() {
            files::all_known($folder, $half, &[$(stringify!($kind)),+]);
        }
    };
}

/// Every file, by its name without ending.
fn all(folder: &str) -> BTreeMap<String, Map<String, Value>> {
    let entries = std::fs::read_dir(folder).unwrap();
    let read = |path: &Path| {
        assert_eq!(path.extension().unwrap(), "json", "{}", path.display());
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let file = serde_json::from_slice(&std::fs::read(path).unwrap());
        (name, file.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    };
    entries.map(|entry| read(&entry.unwrap().path())).collect()
}

/// Takes a text field of a file's head.
fn take(name: &str, file: &mut Map<String, Value>, field: &str) -> String {
    match file.remove(field) {
        Some(Value::String(text)) => text,
        other => panic!("{name}: expected text in {field:?}, got {other:?}"),
    }
}

/// The content of a file, without its head.
fn content<T: DeserializeOwned>(name: &str, mut file: Map<String, Value>) -> T {
    for field in ["version", "half", "kind", "about"] {
        take(name, &mut file, field);
    }
    serde_json::from_value(Value::Object(file)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// One file's content, for checks that need more than their own.
pub(crate) fn read<T: DeserializeOwned>(folder: &str, name: &str) -> T {
    let text = std::fs::read(format!("{folder}/{name}.json")).unwrap();
    content(name, serde_json::from_slice(&text).unwrap())
}

/// Gives every file of a kind to its check. A file with a field that the check does not read does
/// not parse; a check that does not use a field is a warning of the compiler.
pub(crate) fn each<T: DeserializeOwned>(
    folder: &str,
    half: &str,
    kind: &str,
    check: impl Fn(&str, T),
) {
    let mut checked = 0;
    for (name, mut file) in all(folder) {
        let head = file.clone();
        let of = |field: &str| head.get(field).and_then(Value::as_str);
        if of("half") == Some(half) && of("kind") == Some(kind) {
            // Shown when the check fails.
            println!("{name}");
            check(&name, content(&name, std::mem::take(&mut file)));
            checked += 1;
        }
    }
    assert!(checked > 0, "no file of kind {kind}");
}

/// Every file names its half, and every one of this half a kind that has a check.
pub(crate) fn all_known(folder: &str, half: &str, kinds: &[&str]) {
    for (name, mut file) in all(folder) {
        assert_eq!(take(&name, &mut file, "version"), "v2", "{name}");
        let (of, kind) = (take(&name, &mut file, "half"), take(&name, &mut file, "kind"));
        assert!(["public", "secret", "model"].contains(&of.as_str()), "{name}: half {of:?}");
        assert!(of != half || kinds.contains(&kind.as_str()), "{name}: no check of {kind:?}");
        assert_eq!(kind.ends_with("_bad"), name.contains("_bad_"), "{name}");
    }
}

/// A refusal must say what the vector says.
pub(crate) fn refused<T>(result: Result<T, impl std::fmt::Display>, expected: &str) {
    let error = result.err().expect("accepted what must be refused").to_string();
    assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
}

/// A 64-bit word: 16 hexadecimal digits, the highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        assert_eq!(text.len(), 16, "{text}");
        u64::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Words as numbers.
pub(crate) fn numbers(words: &[Word]) -> Vec<u64> {
    words.iter().map(|word| word.0).collect()
}

/// The extendable output of BLAKE3 over a text.
pub(crate) fn stream(label: &str) -> blake3::OutputReader {
    blake3::Hasher::new().update(label.as_bytes()).finalize_xof()
}
