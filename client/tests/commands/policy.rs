//! A study's privacy policy: its options, and what `study show` says of it.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::ringfence;

/// RFC 8032, test 1: a public key.
const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// Three identities and a model with a plan of 17 rounds.
fn prepare(folder: &Path) {
    ringfence(folder, &["init", "--side", "16", "--rounds", "17"]).unwrap();
    ["a", "b", "c"].iter().for_each(|site| _ = ringfence(folder, &["keygen", "--site", site]));
}

/// `ringfence study new` of them with these options more.
fn new(folder: &Path, more: &str) -> Result<String, String> {
    let mut new = vec!["study", "new", "--name", "lungs", "--aggregator-key", KEY, "--clip", "0.5"];
    new.extend(["--model", "model.safetensors"]);
    new.extend(["--site", "a.public.json", "--site", "b.public.json", "--site", "c.public.json"]);
    new.extend(more.split_whitespace());
    ringfence(folder, &new)
}

const RECORD: &str = "--privacy record --privacy-clip 1.5 --noise-multiplier 2 --rate 0.04 \
    --steps 225 --normaliser 40 --delta 1e-5 --epsilon 9";
const SITE: &str =
    "--privacy site --privacy-clip 1.5 --noise-multiplier 2 --delta 1e-5 --epsilon 9";

#[test]
fn options_that_lack_or_say_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let refused = |more: &str, expected: &str| {
        let error = new(folder.path(), more).unwrap_err();
        assert!(error.contains(expected), "{more}: {error}");
        assert!(!folder.path().join("study.json").exists(), "{more}");
    };
    for (option, value) in [
        ("--privacy-clip", "1.5"),
        ("--noise-multiplier", "2"),
        ("--rate", "0.04"),
        ("--steps", "225"),
        ("--normaliser", "40"),
        ("--delta", "1e-5"),
        ("--epsilon", "9"),
    ] {
        let alone = format!("{option} {value}");
        refused(&alone, &format!("{option} says nothing without --privacy"));
        let lacking = RECORD.replace(&alone, "");
        assert_ne!(lacking, RECORD);
        match option {
            // It is found, for the plan's rounds; without a plan nobody knows how many.
            "--noise-multiplier" => {
                refused(&format!("{lacking} --training none"), "give --noise-multiplier");
                refused(
                    &lacking.replace("0.04", "1").replace("--epsilon 9", "--epsilon 1e-9"),
                    "no noise keeps 17 rounds",
                );
            }
            _ => refused(&lacking, &format!("--privacy record needs {option}")),
        }
        if option == "--noise-multiplier" {
            let lacking = format!("{} --training none", SITE.replace(&alone, ""));
            refused(&lacking, "give --noise-multiplier");
            let strict = SITE.replace(&alone, "").replace("--epsilon 9", "--epsilon 1e-9");
            refused(&strict, "no noise keeps 17 rounds");
        } else if SITE.contains(option) {
            let error = format!("--privacy site needs {option}");
            refused(&SITE.replace(&alone, ""), &error);
        } else {
            let error = format!("{option} says nothing with --privacy site; leave it out");
            refused(&format!("{SITE} {alone}"), &error);
        }
    }
    let spare = format!("{RECORD} --records-per-step 3");
    refused(&spare, "--records-per-step says nothing with --privacy record");
    let lacking = RECORD.replace("record", "patient");
    refused(&lacking, "--privacy patient needs --records-per-step");
    refused(&RECORD.replace("record", "hospital"), "possible values: record, patient, site");
    // Numbers that no policy has, and the rest of the study.
    refused(&RECORD.replace("0.04", "1.5"), "rate is 1.5, expected above 0 and at most 1");
    refused(&format!("{RECORD} --training none"), "needs a pinned training plan");
    let counts = "--sample-counts 150000,200000,160000";
    refused(&format!("{RECORD} {counts}"), "delta is 0.00001, expected below 1/200000");
}

/// Every option fits, and the noise is found where it is not given.
#[test]
fn a_policy_is_pinned_with_the_noise_that_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let given = "--noise-multiplier 2";
    let patient = format!("{RECORD} --records-per-step 6").replace("record ", "patient ");
    let found = [RECORD.replace(given, ""), SITE.replace(given, "")];
    for options in [RECORD.to_owned(), patient, SITE.replace("--epsilon 9", "--epsilon 90")]
        .into_iter()
        .chain(found)
    {
        new(folder.path(), &format!("{options} --force")).unwrap();
        let said = ringfence(folder.path(), &["study", "show", "--json"]).unwrap();
        let shown: Value = serde_json::from_str(&said).unwrap();
        let privacy = &shown["privacy"];
        assert_eq!(shown["fault"], Value::Null);
        if options.contains(given) {
            continue;
        }
        // 17 rounds spend the whole budget, and not more.
        let spent = privacy["epsilon_of_plan"].as_f64().unwrap();
        assert!(spent > 8.99 && spent <= 9.0, "{options}: {privacy}");
        assert_eq!(privacy["rounds_within_budget"], 17, "{options}: {privacy}");
    }
    // Settings with which training cannot be private.
    ringfence(folder.path(), &["init", "--algorithm", "perfedavg", "--side", "16", "--force"])
        .unwrap();
    let error = new(folder.path(), &format!("{RECORD} --force")).unwrap_err();
    assert!(error.contains("`fed_avg` or `fed_prox` in private training"), "{error}");
}

#[test]
fn sets_are_held_apart_by_groups_that_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let said = new(folder.path(), "--privacy sets-apart").unwrap();
    for expected in [
        "sets are held apart: a sum is over all or none of each group",
        "tell of c + 2 = 3 sites together at least",
        "  group     a, b, c",
        "0 sites may, and there is a sum",
        "no noise is added, and the opened sums are exact",
    ] {
        assert!(said.contains(expected), "{expected:?} is not said:\n{said}");
    }
    let said = ringfence(folder.path(), &["study", "show", "--json"]).unwrap();
    let shown: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&shown["fault"], &shown["study"]["privacy"]), (&Value::Null, &json!("sets_apart")));
    assert_eq!(shown["groups"], json!([["a", "b", "c"]]));
    let error = new(folder.path(), "--privacy sets-apart --epsilon 2 --force").unwrap_err();
    assert!(error.contains("--epsilon says nothing with --privacy sets-apart"), "{error}");
}

/// A study with a policy in the place of none, as another version would have made it.
fn with_policy(folder: &Path, policy: &Value) {
    let path = folder.join("study.json");
    let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    file["study"]["privacy"] = policy.clone();
    std::fs::write(&path, file.to_string()).unwrap();
}

#[test]
fn show_says_what_is_promised_and_when_it_is_spent() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    new(folder.path(), "").unwrap();
    let show = || ringfence(folder.path(), &["study", "show"]).unwrap();
    let json = || -> Value {
        let said = ringfence(folder.path(), &["study", "show", "--json"]).unwrap();
        serde_json::from_str(&said).unwrap()
    };
    assert!(show().contains("privacy     none beyond encryption"), "{}", show());
    let none = json();
    assert_eq!((&none["privacy"], &none["fault"]), (&Value::Null, &Value::Null));
    assert_eq!(none["study"]["name"], "lungs");
    assert!(show().contains(none["id"].as_str().unwrap()));

    let mut policy = json!({"record_level": {
        "unit": "record", "clip": 1.5, "noise_multiplier": 1.5, "rate": 0.04, "steps": 225,
        "normaliser": 40.0, "delta": 1e-5, "epsilon": 9.0,
    }});
    with_policy(folder.path(), &policy);
    let said = show();
    for expected in [
        "privacy     protects each record (image, volume or row) in a site's training data",
        "against   everybody: the other sites, the aggregator",
        "225 steps a round",
        "a record's gradient is clipped to an L2 norm of 1.5",
        "noise of standard deviation 2.2500 (1.5 times that)",
        "divided by 40",
        "epsilon 9 at delta 0.00001 over the whole study",
        "NOT       a patient with several records",
    ] {
        assert!(said.contains(expected), "{expected:?} is not said:\n{said}");
    }
    // The public vectors: 2,250 steps are epsilon 7.329; the budget is enough for 10 rounds and more.
    let privacy = &json()["privacy"];
    let most = privacy["rounds_within_budget"].as_u64().unwrap();
    assert!((11..=16).contains(&most), "{privacy}");
    assert!(said.contains(&format!("it is spent after {most} rounds")), "{said}");
    assert_eq!(privacy["plan_rounds"], 17);
    let of_plan = privacy["epsilon_of_plan"].as_f64().unwrap();
    assert!(of_plan > 9.0 && of_plan < 11.0, "{privacy}");
    assert!(said.contains(", MORE THAN THE BUDGET"), "{said}");
    assert_eq!(privacy["policy"], policy);

    policy["record_level"]["unit"] = json!({"patient": {"records_per_step": 6}});
    with_policy(folder.path(), &policy);
    let said = show();
    assert!(said.contains("protects each patient, with all its records, in"), "{said}");
    assert!(
        said.contains("a patient's (of at most 6 records a step, together) gradient"),
        "{said}"
    );
    assert!(!said.contains("a patient with several records"), "{said}");

    let site = json!({"site_level":
        {"clip": 3.0, "noise_multiplier": 2.0, "delta": 1e-5, "epsilon": 9.0}});
    with_policy(folder.path(), &site);
    let said = show();
    assert!(said.contains("protects each site's update"), "{said}");
    assert!(said.contains("up to c = 1 other sites together"), "{said}");
    assert!(said.contains("clipped to an L2 norm of 3;"), "{said}");
    // The packing has no room for noise: nothing is computed from it.
    assert!(said.contains("room for noise of 0, expected"), "{said}");

    // A study that nobody could run is shown all the same, and quickly.
    for (field, wrong) in [
        ("steps", json!(0)),
        ("rate", json!(-1.0)),
        ("noise_multiplier", json!(1e-38)),
        ("noise_multiplier", json!(1e38)),
        ("rate", json!(1e-38)),
        ("steps", json!(u32::MAX)),
        ("delta", json!(0.0)),
        ("epsilon", json!(1e39)),
    ] {
        let mut hostile = policy.clone();
        hostile["record_level"][field] = wrong;
        with_policy(folder.path(), &hostile);
        assert!(show().contains("privacy     protects each patient"), "{hostile}");
        assert!(json()["privacy"].is_object(), "{hostile}");
    }
}
