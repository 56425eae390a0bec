//! `ringfence privacy`: the numbers, and what a person reads on wrong ones.

use serde_json::Value;

use crate::support::ringfence;

fn run(arguments: &[&str]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    ringfence(folder.path(), &[&["privacy"], arguments].concat())
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&run(&[arguments, &["--json"]].concat()).unwrap()).unwrap()
}

const TRAINING: [&str; 6] = ["--rate", "0.04", "--steps", "2250", "--delta", "1e-5"];

#[test]
fn epsilon_is_the_published_one_and_says_whom_it_is_about() {
    let arguments = [&["epsilon", "--noise", "1.5"][..], &TRAINING].concat();
    let said = json(&arguments);
    let rdp = said["epsilon"].as_f64().unwrap();
    assert!((rdp - 7.329_111_171_43).abs() < 1e-6, "{said}");
    assert_eq!(said["accountant"], "rdp");
    assert_eq!(said["adjacency"], "add or remove one unit");
    let pld = json(&[&arguments[..], &["--accountant", "pld"]].concat());
    let pld = pld["epsilon"].as_f64().unwrap();
    assert!(pld < rdp && pld > 0.9 * rdp, "{pld}");
    let said = run(&arguments).unwrap();
    for text in
        ["epsilon 7.3292 at delta 1e-5, per unit that was sampled", "rdp", "added or removed"]
    {
        assert!(said.contains(text), "{said}");
    }
}

#[test]
fn calibrated_noise_meets_its_target() {
    let arguments = [&["calibrate", "--epsilon", "3"][..], &TRAINING].concat();
    let said = json(&[&arguments[..], &["--records", "5000"]].concat());
    assert!(said["epsilon"].as_f64().unwrap() <= 3.0, "{said}");
    let noise = said["noise_multiplier"].to_string();
    let back = json(&[&["epsilon", "--noise", &noise][..], &TRAINING].concat());
    assert_eq!(back["epsilon"], said["epsilon"]);
    let less = format!("{}", said["noise_multiplier"].as_f64().unwrap() * 0.999_99);
    let above = json(&[&["epsilon", "--noise", &less][..], &TRAINING].concat());
    assert!(above["epsilon"].as_f64().unwrap() > 3.0, "{above}");
    let words = run(&arguments).unwrap();
    assert!(words.contains("the least for epsilon 3"), "{words}");
}

#[test]
fn wrong_numbers_are_refused_with_what_was_expected() {
    for (arguments, said) in [
        (
            "epsilon --noise 0 --rate 0.04 --steps 10 --delta 1e-5",
            "noise multiplier: expected a number above 0",
        ),
        ("epsilon --noise -1 --rate 0.04 --steps 10 --delta 1e-5", "got -1"),
        ("epsilon --noise NaN --rate 0.04 --steps 10 --delta 1e-5", "got NaN"),
        (
            "epsilon --noise 1 --rate 1.5 --steps 10 --delta 1e-5",
            "sampling rate: expected a number above",
        ),
        ("epsilon --noise 1 --rate 0 --steps 10 --delta 1e-5", "got 0"),
        (
            "epsilon --noise 1 --rate 0.5 --steps 0 --delta 1e-5",
            "(steps): expected at least 1, got 0",
        ),
        (
            "epsilon --noise 1 --rate 0.5 --steps 10 --delta 1",
            "delta: expected a number above 0 and below 1",
        ),
        (
            "epsilon --noise 1 --rate 0.5 --steps 10 --delta 1e-3 --records 1000",
            "below 1/1000 = 1.000e-3",
        ),
        (
            "epsilon --noise 1 --rate 0.5 --steps 10 --delta 1e-5 --accountant prv",
            "expected `rdp` or `pld`",
        ),
        (
            "calibrate --epsilon 0 --rate 0.5 --steps 10 --delta 1e-5",
            "epsilon: expected a finite number",
        ),
        ("calibrate --epsilon 3 --rate 0.5 --steps 10 --delta 1e-2 --records 100", "below 1/100"),
        (
            "calibrate --epsilon 1e30 --rate 0.5 --steps 10 --delta 1e-5",
            "expected a target that needs noise",
        ),
    ] {
        let error = run(&arguments.split(' ').collect::<Vec<_>>()).unwrap_err();
        assert!(error.contains(said), "{arguments}: {error}");
    }
}
