//! The `ringfence` command on wrong files and wrong orders: what a person reads then.

use std::path::Path;

use ringfence_weights::Weights;

use crate::support::{command, ringfence};

fn model(path: &Path, shape: usize, value: f32) {
    let shapes = [("w".to_owned(), vec![shape])];
    Weights::from_values(&shapes, vec![value; shape]).unwrap().save(path).unwrap();
}

const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"; // RFC 8032, test 1

fn new_study<'a>(sites: &[&'a str], extra: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["study", "new", "--name", "t", "--aggregator-key", KEY];
    arguments.extend(["--model", "model.safetensors"]);
    if !extra.contains(&"--training") {
        arguments.extend(["--training", "none"]);
    }
    if !extra.contains(&"--clip") {
        arguments.extend(["--clip", "0.5"]);
    }
    for site in sites {
        arguments.extend(["--site", site]);
    }
    arguments.extend(extra);
    arguments
}

#[test]
fn every_wrong_step_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| ringfence(folder.path(), arguments);
    let refused = |arguments: &[&str], expected: &str| {
        let error = run(arguments).unwrap_err();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    };
    for site in ["a", "b", "c"] {
        run(&["keygen", "--site", site]).unwrap();
    }
    refused(&["keygen", "--site", "a"], "never overwritten");
    refused(&["keygen", "--site", "A/B"], "lower-case letters");
    // As they were given, and not as what 32 or 64 bits make of them.
    for (arguments, expected) in [
        (&["study", "new", "--delta", "1e-300"][..], "32 bits can hold, got 1e-300, nearer to 0"),
        (&["study", "new", "--clip", "1e99"], "32 bits can hold, got 1e99, beyond all of them"),
        (&["init", "--learning-rate", "1e-400"], "64 bits can hold, got 1e-400, nearer to 0"),
    ] {
        refused(arguments, expected);
    }
    refused(
        &["study", "cost", "--parameters", "1000", "--sites", "2"],
        "expected 3 to 10000 sites",
    );
    let cost = ["study", "cost", "--parameters", "1000000", "--sites", "10"];
    let said = run(&cost).unwrap();
    assert!(said.contains("2.771 bytes a parameter"), "{said}");
    assert!(
        said.contains("10 %  some site is singled out in 100 % of the studies; with"),
        "{said}"
    );
    let said = run(&[&cost[..], &["--json"]].concat()).unwrap();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["packing"]["wire_bits"], 44);
    assert!(said["encrypt_seconds"].as_f64().unwrap() > 0.0);
    let forecasts = said["drop_outs_by_chance"].as_array().unwrap();
    assert_eq!((forecasts.len(), &said["rounds"]), (4, &20.into()));
    let opened = |at: usize| forecasts[at]["opened_apart"].as_f64().unwrap();
    assert!(opened(0) > opened(3), "{forecasts:?}");
    let mode = std::os::unix::fs::MetadataExt::mode(
        &std::fs::metadata(folder.path().join("a.identity")).unwrap(),
    );
    assert_eq!(mode & 0o777, 0o600, "the secret identity is readable by others");

    let all = ["a.public.json", "b.public.json", "c.public.json"];
    refused(&new_study(&all, &[]), "model.safetensors");
    model(&folder.path().join("model.safetensors"), 10, 0.0);
    let mut turned = new_study(&all, &[]);
    turned[3] = "lungs\u{202e}gnul";
    refused(&turned, "turn others round: \"lungs\\u{202e}gnul\"; leave them out");
    refused(&new_study(&all[..2], &[]), "expected 3 to 10000 sites, got 2");
    refused(&new_study(&["a.public.json", "a.public.json", "b.public.json"], &[]), "stands twice");
    refused(&new_study(&all, &["--bits", "25"]), "expected 2 to 24 bits a value, got 25");
    refused(&new_study(&all, &["--clip", "0"]), "expected a finite number above zero");
    refused(&new_study(&all, &["--collusion", "3"]), "lower c or l, or add sites");
    refused(&new_study(&["a.identity", "b.public.json", "c.public.json"], &[]), "a.identity");
    model(&folder.path().join("model.safetensors"), 10, f32::NAN);
    refused(&new_study(&all, &[]), "NaN");
    model(&folder.path().join("model.safetensors"), 10, 0.0);
    refused(&new_study(&all, &["--training", "plan"]), "say --training none");
    refused(
        &new_study(&all, &["--sample-counts", "1,300,300"]),
        "would lose 8.2 bits, expected at most 8",
    );
    let said = run(&new_study(&all, &["--sample-counts", "10,1000,1000"])).unwrap();
    let expected = "moves the mean of all sites by 0.498 C at most";
    assert!(said.contains(expected) && said.contains("opened by 0.990 C"), "{said}");
    refused(&new_study(&all, &[]), "cannot write study.json: it exists already; give another name");
    let said = run(&new_study(&all, &["--force"])).unwrap();
    assert!(said.contains("none pinned") && said.contains("all sites count alike"), "{said}");

    refused(&["study", "verify"], "lacks the signatures of a, b, c");
    run(&["study", "sign", "--identity", "a.identity"]).unwrap();
    refused(&["study", "sign", "--identity", "a.identity"], "signed already");
    refused(&["study", "sign", "--identity", "b.public.json"], "identity file");
    let member = ["--identity", "a.identity", "--state", "s", "--server", "http://127.0.0.1:1"];
    let contribute = |base: &'static str, update: &'static str| {
        let mut arguments = vec!["contribute", "--base", base, "--update", update];
        arguments.extend(member);
        arguments
    };
    let model_file = "model.safetensors";
    refused(&contribute(model_file, model_file), "lacks the signatures of b, c");
    for site in ["b", "c"] {
        run(&["study", "sign", "--identity", &format!("{site}.identity")]).unwrap();
    }
    assert!(run(&["study", "verify"]).unwrap().contains("signed by all 3 sites"));

    // Tensors of another shape, NaN, no tensors at all: refused before anything is asked for.
    model(&folder.path().join("wide.safetensors"), 11, 0.0);
    refused(
        &contribute(model_file, "wide.safetensors"),
        "shape [11], the study's layout says [10]",
    );
    refused(&contribute("wide.safetensors", model_file), "shape [11]");
    model(&folder.path().join("nan.safetensors"), 10, f32::NAN);
    refused(&contribute(model_file, "nan.safetensors"), "NaN");
    std::fs::write(folder.path().join("text.safetensors"), "no tensors").unwrap();
    refused(&contribute(model_file, "text.safetensors"), "text.safetensors");
    refused(&contribute(model_file, model_file), "could not be reached");

    let mut study = std::fs::read_to_string(folder.path().join("study.json")).unwrap();
    study = study.replace("\"min_sites\": 3", "\"min_sites\": 2");
    std::fs::write(folder.path().join("study.json"), study).unwrap();
    refused(&["study", "verify"], "min_sites is 2, expected 3 to 3");
    std::fs::write(folder.path().join("study.json"), "{").unwrap();
    refused(&["study", "verify"], "expected the JSON of a study file");
}

/// As Windows' editors and PowerShell save them.
#[test]
fn files_with_a_byte_order_mark_are_read_and_other_encodings_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run = |arguments: &[&str]| ringfence(folder.path(), arguments);
    let marked = |name: &str| {
        let text = std::fs::read_to_string(path(name)).unwrap();
        std::fs::write(path(name), format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
    };
    let sites = ["a", "b", "c"];
    sites.iter().for_each(|site| _ = run(&["keygen", "--site", site]).unwrap());
    model(&path("model.safetensors"), 10, 0.0);
    marked("a.public.json");
    let text = std::fs::read_to_string(path("b.public.json")).unwrap();
    let utf16 = |text: &str| -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    std::fs::write(path("b.public.json"), utf16(&text)).unwrap();
    let all = ["a.public.json", "b.public.json", "c.public.json"];
    run(&new_study(&all, &[])).unwrap();
    marked("study.json");
    for site in sites {
        let identity = format!("{site}.identity");
        marked(&identity);
        run(&["study", "sign", "--identity", &identity]).unwrap();
    }
    marked("study.json");
    assert!(run(&["study", "verify"]).unwrap().contains("signed by all 3 sites"));

    std::fs::write(path("c.public.json"), b"{\"id\":\"Z\xfcrich\"}").unwrap();
    let error = run(&new_study(&all, &["--out", "other.json"])).unwrap_err();
    for text in ["c.public.json: expected text in UTF-8", "line 1; save the file as UTF-8"] {
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn a_count_of_nothing_and_a_thing_twice_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, option) in [
        (&["init", "--rounds", "0"][..], "--rounds"),
        (&["init", "--epochs", "0"], "--epochs"),
        (&["demo", "--batch", "0"], "--batch"),
        (&["demo", "--sites", "0"], "--sites"),
        (&["demo", "--max-per-site", "0"], "--max-per-site"),
        (&["demo", "--round-seconds", "0"], "--round-seconds"),
        (&["study", "cost", "--sites", "5", "--parameters", "0"], "--parameters"),
    ] {
        let error = ringfence(folder.path(), arguments).unwrap_err();
        let expected = "expected a whole number of 1 or more, got 0";
        assert!(error.contains(option) && error.contains(expected), "{arguments:?}: {error}");
    }
    for (step, expected) in
        [("0", "of 2 or more, got 0"), ("1", "got 1, which would change nothing")]
    {
        let predict = ["predict", "--model", "m", "i", "--every", step];
        let error = ringfence(folder.path(), &predict).unwrap_err();
        assert!(error.contains(expected), "--every {step}: {error}");
    }
    let error = ringfence(folder.path(), &["demo", "--bits", "40"]).unwrap_err();
    assert!(error.contains("expected 2 to 24 bits a value, got 40"), "{error}");
}

#[test]
fn old_names_say_what_they_are_called_now() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, now) in [
        (&["demo", "--devices", "1.0"][..], "--devices is called --scanners now"),
        (&["demo", "--weights", "samples"], "--weights is called --weighting now"),
        (&["demo", "--server", "adam"], "--server is called --mean-step now"),
        (&["init", "--server", "adam"], "--server is called --mean-step now"),
        (&["init", "--server-rate", "0.1"], "--server-rate is called --mean-step-rate now"),
        (&["plan", "--sites", "10"], "`ringfence plan` is `ringfence study cost` now"),
        (
            &["experiment", "--methods", "local", "--encrypted"],
            "`ringfence experiment` is `ringfence-lab experiment` now (cargo run --release -p ringfence-lab)",
        ),
    ] {
        let error = ringfence(folder.path(), arguments).unwrap_err();
        assert!(error.contains(now), "{arguments:?}: {error}");
    }
    // Of a site in a study `--server` is the aggregator's URL, as before.
    std::fs::write(folder.path().join("token"), "an-auditor-s-token\n").unwrap();
    let status = ["status", "--server", "http://127.0.0.1:1", "--digest", KEY];
    let nobody = ringfence(folder.path(), &status).unwrap_err();
    assert!(nobody.contains("--identity") && nobody.contains("--token-file"), "{nobody}");
    let status = [&status[..], &["--token-file", "token"]].concat();
    let error = ringfence(folder.path(), &status).unwrap_err();
    assert!(error.contains("could not be reached"), "{error}");
}

/// A full disk below a redirected output.
#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_one_line_and_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["study", "cost", "--parameters", "1000", "--sites", "10"][..],
        &["study", "cost", "--parameters", "1000", "--sites", "10", "--json"],
        &["keygen", "--site", "a"],
        &["init", "--side", "16"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(folder.path(), arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = "ringfence: cannot write to standard output: No space left on device";
        assert!(said.starts_with(expected) && said.lines().count() == 1, "{arguments:?}: {said}");
    }
}

#[test]
fn a_closed_pipe_ends_a_command_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code) in [
        (&["study", "cost", "--parameters", "1000", "--sites", "10"][..], 141),
        (&["study", "cost", "--parameters", "1000", "--sites", "10", "--json"], 141),
        (&["keygen", "--site", "a"], 141),
        (&["init", "--side", "16"], 141),
        // Help is not worth an error.
        (&["--help"], 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(folder.path(), arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
    // What was to be made is there.
    assert!(folder.path().join("a.public.json").is_file());
}
