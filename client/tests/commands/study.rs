//! `ringfence study new` and `study show`: whoever signs a study has seen all of it.

use std::path::Path;

use ringfence_crypto::Digest;
use serde_json::Value;

use crate::support::ringfence;

/// RFC 8032, test 1: a public key.
const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
/// Of the same test: a secret seed. Many seeds have the form of a public key.
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

/// Three identities, a model with its plan, and a study of them in `study.json`.
fn prepare(folder: &Path) -> String {
    let run = |arguments: &[&str]| ringfence(folder, arguments).unwrap();
    run(&["init", "--side", "16", "--rounds", "17", "--epochs", "6"]);
    ["a", "b", "c"].iter().for_each(|site| _ = run(&["keygen", "--site", site]));
    run(&new(KEY))
}

fn new(key: &str) -> Vec<&str> {
    let mut new = vec!["study", "new", "--name", "lungs of three", "--aggregator-key", key];
    new.extend(["--model", "model.safetensors", "--clip", "0.375", "--bits", "15"]);
    new.extend(["--sample-counts", "181,60,250", "--min-round-seconds", "61"]);
    new.extend(["--longest-round-seconds", "86399", "--review-seconds", "607"]);
    new.extend(["--initiator-timeout-seconds", "3611"]);
    new.extend(["--site", "a.public.json", "--site", "b.public.json", "--site", "c.public.json"]);
    new
}

/// Every value of a JSON document, with the path to it. An array of numbers is one value.
fn leaves(at: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| leaves(&format!("{at}.{name}"), value, found));
        }
        Value::Array(items) if !items.iter().all(Value::is_number) => {
            let items = items.iter().enumerate();
            items.for_each(|(place, value)| leaves(&format!("{at}[{place}]"), value, found));
        }
        value => found.push((at.to_owned(), value.clone())),
    }
}

/// How a value is shown: of bytes that are too long to compare, the digest.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.len() > 64 => match hex(text) {
            Some(bytes) => Digest::of(&bytes).to_string(),
            None => text.clone(),
        },
        Value::String(text) => text.clone(),
        Value::Array(numbers) => {
            numbers.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
        }
        number => number.to_string(),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Whether a text stands in the output by itself, not as a part of a longer number or name.
fn stands(output: &str, wanted: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    output.match_indices(wanted).any(|(start, _)| {
        let after = output[start + wanted.len()..].chars().next();
        !output[..start].ends_with(inside) && !after.is_some_and(inside)
    })
}

/// Gives every number of a document a value that it shares with no other.
fn renumber(value: &mut Value, next: &mut u64) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|value| renumber(value, next)),
        Value::Array(items) => items.iter_mut().for_each(|value| renumber(value, next)),
        Value::Number(number) => {
            *next += 1;
            *number = (*next).into();
        }
        _ => {}
    }
}

#[test]
fn show_has_the_value_of_every_field_that_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let said = prepare(folder.path());
    let path = folder.path().join("study.json");
    let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let show = || ringfence(folder.path(), &["study", "show", "--tensors"]).unwrap();
    let check = |study: &Value| {
        let output = show();
        let mut fields = Vec::new();
        leaves("study", study, &mut fields);
        for (at, value) in &fields {
            assert!(stands(&output, &shown(value)), "{at} = {value} is not shown:\n{output}");
        }
        fields.len()
    };
    let fields = check(&file["study"]);
    assert!(fields > 60, "{fields} fields: the study was not looked through");
    let output = show();
    // What decides, in a few lines, each as `study show` has it or shorter.
    assert!(said.lines().count() <= 22, "{said}");
    for text in
        ["sites       3: a, b, c\n", "c = ", "fewest      3", "16 bits", "privacy ", "plan "]
    {
        let text = text.replace("16 bits", "15 bits a value");
        assert!(said.contains(&text), "{text}: {said}");
    }
    assert!(said.contains("`ringfence study show` has all"), "{said}");
    assert!(output.contains("sound       yes\n"), "{output}");
    assert!(output.contains("signatures  0 of 3; not yet by a, b, c ("), "{output}");
    for setting in ["rounds = 17", "training.epochs = 6", "side = 16"] {
        assert!(output.contains(setting), "{output}");
    }

    // Small numbers stand in the output by chance: no two are the same now, and the study is
    // shown although nobody could run it.
    let mut renumbered = file.clone();
    let mut next = 130;
    for (name, field) in renumbered["study"].as_object_mut().unwrap() {
        // The layout's shapes are a model's.
        if name != "layout" {
            renumber(field, &mut next);
        }
    }
    // What is 8 bits wide holds such a number, and so do all others.
    assert!(next < 256, "{next}");
    std::fs::write(&path, renumbered.to_string()).unwrap();
    check(&renumbered["study"]);
    assert!(show().contains("sound       NO, nobody should sign it: "), "{}", show());
    let error = ringfence(folder.path(), &["study", "sign", "--identity", "a.identity"]);
    assert!(error.is_err(), "{error:?}");

    // Its author's text moves no cursor and hides nothing.
    let mut hostile = file;
    hostile["study"]["name"] = "lungs\u{1b}[2J\u{202e}".into();
    std::fs::write(&path, hostile.to_string()).unwrap();
    assert!(show().starts_with(r"study       lungs\u{1b}[2J\u{202e} ("), "{}", show());
}

#[test]
fn of_many_tensors_the_first_are_shown_and_how_far_the_others_are_clipped() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let path = folder.path().join("study.json");
    let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let count = file["study"]["layout"]["tensors"].as_array().unwrap().len();
    assert!(count > 20, "{count}");
    let of_tensors = |arguments: &[&str]| -> Vec<String> {
        let said = ringfence(folder.path(), arguments).unwrap();
        let lines = said.lines().filter(|line| line.contains(", updates clipped to "));
        lines.map(|line| line.trim().to_owned()).collect()
    };
    let all = of_tensors(&["study", "show", "--tensors"]);
    assert_eq!(all.len(), count);
    let first = of_tensors(&["study", "show"]);
    let [one, two, three, others] = &first[..] else { panic!("{first:?}") };
    assert_eq!([one, two, three], [&all[0], &all[1], &all[2]]);
    let more = count - 3;
    let clipped = "updates clipped to [-0.375, 0.375]";
    assert_eq!(*others, format!("and {more} more, {clipped} (--tensors lists all)"));
    // A bound that differs is not passed over.
    file["study"]["layout"]["tensors"][count - 2]["clip"] = 8.0.into();
    std::fs::write(&path, file.to_string()).unwrap();
    let first = of_tensors(&["study", "show"]);
    assert!(first[3].contains("clipped to between [-0.375, 0.375] and [-8, 8]"), "{first:?}");
}

/// Two studies from one initial model would bar each other's sites.
#[test]
fn every_study_begins_from_a_model_of_its_own_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| ringfence(folder.path(), arguments).unwrap();
    let init = |out: &str, seed: &[&str]| {
        let said = run(&[&["init", "--side", "16", "--out", out], seed].concat());
        said.lines().find_map(|line| line.strip_prefix("digest ")).unwrap().to_owned()
    };
    let (one, other) = (init("one.st", &[]), init("other.st", &[]));
    assert_ne!(one, other);
    let said = run(&["init", "--side", "16", "--out", "third.st"]);
    let seed = said.lines().next().unwrap().rsplit_once("; seed ").unwrap().1;
    let digest = said.lines().find_map(|line| line.strip_prefix("digest ")).unwrap();
    assert_eq!(init("again.st", &["--seed", seed]), digest);
    assert_eq!(init("usual.st", &["--seed", "1"]), init("as-usual.st", &["--seed", "1"]));

    ["a", "b", "c"].iter().for_each(|site| _ = run(&["keygen", "--site", site]));
    for (model, warned) in [("one.st", false), ("usual.st", true)] {
        let mut new = new(KEY);
        *new.iter_mut().find(|word| **word == "model.safetensors").unwrap() = model;
        new.push("--force");
        let said = run(&new);
        assert_eq!(said.contains("warning: the model is what every"), warned, "{model}: {said}");
    }
}

#[test]
fn a_secret_identity_is_not_taken_for_a_public_file() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    std::fs::remove_file(folder.path().join("study.json")).unwrap();
    let mut command = new(KEY);
    let place = command.iter().position(|word| *word == "a.public.json").unwrap();
    command[place] = "a.identity";
    let error = ringfence(folder.path(), &command).unwrap_err();
    let said = "a.identity: expected a public site file (SITE.public.json), got a secret identity";
    assert!(error.contains(said), "{error}");
}

#[test]
fn a_sites_keys_are_shown_as_its_keygen_has_printed_them() {
    let folder = tempfile::tempdir().unwrap();
    let printed = ringfence(folder.path(), &["keygen", "--site", "d", "--out", "d"]).unwrap();
    prepare(folder.path());
    let mut replaced = new(KEY);
    *replaced.last_mut().unwrap() = "d/d.public.json";
    replaced.push("--force");
    ringfence(folder.path(), &replaced).unwrap();
    let output = ringfence(folder.path(), &["study", "show"]).unwrap();
    let lines = || printed.lines().filter(|line| line.contains(" key") && line.starts_with("  "));
    assert_eq!(lines().count(), 2, "{printed}");
    for line in lines() {
        assert!(output.contains(line), "{line}\n{output}");
    }
}

#[test]
fn the_aggregators_key_is_taken_as_text_and_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, mode).unwrap();
    };
    let key = || {
        let file = std::fs::read(folder.path().join("study.json")).unwrap();
        let file: Value = serde_json::from_slice(&file).unwrap();
        file["study"]["aggregator_key"].as_str().unwrap().to_owned()
    };
    assert_eq!(key(), KEY);
    let other = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    // As a shell's redirection writes it, and as Windows' editors leave it.
    for text in [format!("{other}\n"), format!("\u{feff}{other}\r\n")] {
        write("aggregator.pub", &text, 0o644);
        std::fs::remove_file(folder.path().join("study.json")).unwrap();
        ringfence(folder.path(), &new("aggregator.pub")).unwrap();
        assert_eq!(key(), other);
    }
    std::fs::remove_file(folder.path().join("study.json")).unwrap();

    let refused = |given: &str, expected: &str| {
        let error = ringfence(folder.path(), &new(given)).unwrap_err();
        for text in [expected, "64 lower-case hexadecimal digits, or a file", given] {
            assert!(error.contains(text), "{given}: {error}");
        }
        assert!(!error.contains(SEED), "{error}");
        assert!(!folder.path().join("study.json").exists());
    };
    refused("nowhere.pub", "No such file");
    refused(&KEY[..63], "No such file");
    write("aggregator.pub", "not a key", 0o644);
    refused("aggregator.pub", "holds no public key");
    write("aggregator.pub", "", 0o644);
    refused("aggregator.pub", "holds no public key");
    // The other file of the aggregator's keygen, with its permissions.
    write("aggregator.key", &format!("{SEED}\n"), 0o600);
    refused("aggregator.key", "may be read by its owner only, as secret keys are");
    // Two lines are no key, and neither is shown.
    write("both", &format!("{SEED}\n{KEY}\n"), 0o644);
    refused("both", "holds no public key");
}

/// The next study of a series: with the last model's plan, or with its values and another plan.
#[test]
fn a_study_goes_on_from_a_model_with_its_plan_or_another() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let run = |arguments: &[&str]| ringfence(folder.path(), arguments);
    let last = run(&["init", "--side", "16", "--seed", "9", "--rounds", "4", "--out", "last.st"]);
    let digest =
        |said: &str| said.lines().find_map(|line| line.strip_prefix("digest ")).unwrap().to_owned();
    let values = digest(&last.unwrap());
    let from = ["init", "--from", "last.st", "--rounds", "5", "--out", "next.st"];
    let said = run(&[&from[..], &["--side", "16"]].concat()).unwrap();
    assert_eq!(digest(&said), values, "{said}");
    for (model, rounds) in [("last.st", "rounds = 4"), ("next.st", "rounds = 5")] {
        let mut new = new(KEY);
        new.extend(["--out", "other.json", "--force"]);
        *new.iter_mut().find(|word| **word == "model.safetensors").unwrap() = model;
        run(&new).unwrap();
        let said = run(&["study", "show", "--study", "other.json"]).unwrap();
        assert!(said.contains(rounds) && said.contains(&values), "{said}");
    }

    let refused = |changed: &[&str], expected: &str| {
        let error = run(&[&from[..], changed, &["--force"]].concat()).unwrap_err();
        assert!(error.contains("last.st") && error.contains(expected), "{changed:?}: {error}");
    };
    refused(&["--side", "16", "--model", "unet"], "tensor");
    let classes = ["--task", "classification", "--classes", "a,b", "--side", "32"];
    refused(&classes, "--from takes a model of the same --model, --side and number of --classes");
    let error = run(&["init", "--from", "nowhere.st", "--out", "new.st"]).unwrap_err();
    assert!(error.contains("nowhere.st"), "{error}");
}
