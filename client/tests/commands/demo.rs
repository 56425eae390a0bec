//! `ringfence demo` as a person runs it, with and without faults.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::binaries;

fn demo(out: &Path, arguments: &[&str]) -> Output {
    binaries();
    Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["demo", "--epochs", "1", "--side", "32", "--max-per-site", "8", "--out"])
        .arg(out)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Names that are one on a roster are told apart before anything is trained.
#[test]
fn sites_that_would_be_called_alike_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = "file,mask,site\n".to_owned();
    for site in ["Klinik Süd", "Klinik Sôd", "west"] {
        for number in 0..3 {
            let file = format!("{site}{number}.png");
            image::GrayImage::new(32, 32).save(folder.path().join(&file)).unwrap();
            image::GrayImage::new(32, 32).save(folder.path().join(format!("m{file}"))).unwrap();
            table += &format!("{file},m{file},{site}\n");
        }
    }
    std::fs::write(folder.path().join("labels.csv"), table).unwrap();
    let data = folder.path().to_str().unwrap();
    let output = demo(&folder.path().join("out"), &["--data", data, "--sites", "3"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!output.status.success(), "{out}");
    assert!(out.contains("the data's site `Klinik Sôd` is called `klinik-s-d`"), "{out}");
    assert!(!out.contains("every hospital trains alone"), "{out}");
    assert!(
        err.contains("`Klinik Sôd` and `Klinik Süd` would both be called `klinik-s-d`"),
        "{err}"
    );
}

#[test]
fn faults_within_the_bounds_change_nothing_but_what_they_must() {
    let folder = tempfile::tempdir().unwrap();
    let quick = ["--rounds", "2", "--round-seconds", "6"];
    let faults = ["--drop", "hospital-2@0", "--mute", "3@1"];
    let output = demo(folder.path(), &[&quick[..], &faults[..]].concat());
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(out.matches(": 0 mismatches over").count(), 2, "{out}");
    assert!(
        out.contains("opened by hospital-1; 4 contributions; 4 of 5 key holders opened"),
        "{out}"
    );
    assert!(
        out.contains("opened by hospital-2; 5 contributions; 4 of 5 key holders opened"),
        "{out}"
    );
    let personal = "model-hospital-5.safetensors";
    for file in
        ["report.json", "ring.svg", "model.safetensors", "predictions-hospital-5.png", personal]
    {
        assert!(folder.path().join(file).is_file(), "{file} was not written");
    }
    what_federation_and_personalisation_bring_agrees_with_the_table(folder.path(), &out);
    every_site_is_told_which_of_its_models_is_best(folder.path(), &out);
}

fn every_site_is_told_which_of_its_models_is_best(folder: &Path, out: &str) {
    let report = std::fs::read_to_string(folder.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let sites = report["scores"].as_array().unwrap();
    assert_eq!(sites.len(), 5);
    for site in sites {
        let (name, best) = (site["site"].as_str().unwrap(), &site["best_on_validation"]);
        let models = best["models"].as_array().unwrap();
        let names: Vec<_> = models.iter().map(|of| of["model"].as_str().unwrap()).collect();
        assert_eq!(names, ["local only", "federated", "personalised"]);
        let score = |at: usize| models[at]["score"].as_f64().unwrap();
        let keeps = score(0) >= score(1).max(score(2));
        assert_eq!(best["keep_yours"], keeps, "{best}");
        assert_eq!(best["best"] == "local only", keeps, "{best}");
        let words = if keeps { "keep yours: " } else { "the " };
        assert!(out.contains(&format!("\n{name}: {words}")), "{name}: {out}");
    }
}

/// The lines below the table say what its columns do, and how many sites gain and lose.
fn what_federation_and_personalisation_bring_agrees_with_the_table(folder: &Path, out: &str) {
    let report = std::fs::read_to_string(folder.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let sites = report["scores"].as_array().unwrap();
    for (what, of, over) in [
        ("federation", "federated", "local only"),
        ("personalisation", "personalised", "federated"),
        ("both", "personalised", "local only"),
    ] {
        let line = out.lines().find(|line| line.starts_with(&format!("{what} "))).unwrap();
        assert!(line.ends_with(&format!("(Dice, {of} over {over})")), "{line}");
        let score = |site: &serde_json::Value, column: &str| {
            let dice = &site["scores"][0];
            assert_eq!(dice["metric"], "Dice");
            dice[column.replace(' ', "_")].as_f64()
        };
        let places = |value: f64| (value * 1000.0).round();
        let pairs = sites.iter().filter_map(|site| Some((score(site, of)?, score(site, over)?)));
        let lose = pairs.clone().filter(|(a, b)| places(*a) < places(*b)).count();
        let gain = pairs.filter(|(a, b)| places(*a) > places(*b)).count();
        let (gains, loses) =
            (if gain == 1 { "gains" } else { "gain" }, if lose == 1 { "s" } else { "" });
        let sites = if gain == 1 { "site" } else { "sites" };
        assert!(line.contains(&format!(" {gain} {sites} {gains}, {lose} lose{loses}")), "{line}");
    }
}

#[test]
fn without_personalisation_nothing_is_said_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path(), &["--rounds", "1", "--fine-tune-epochs", "0"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("\nfederation ") && !out.contains("personalis"), "{out}");
    assert!(!folder.path().join("model-hospital-5.safetensors").exists());
}

#[test]
fn a_spoiler_is_named_and_the_mean_is_that_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--rounds", "2", "--round-seconds", "60", "--spoil", "1@0", "--flip", "2@1"];
    let output = demo(folder.path(), &arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    for said in [
        "played   hospital-2 adds noise beyond any bound to its body (simulated)",
        "found    format: the body of hospital-2 breaks the format",
        "found    evidence kept in ",
        "found    hospital-2 is barred from the next round on",
        "proof    opened sum = plain integer sum of the others: 0 mismatches over",
        "opened by hospital-3; 4 contributions",
        "disk     the body of hospital-3 is mended",
    ] {
        assert!(out.contains(said), "{said:?} is not in {out}");
    }
    let report = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let findings = &report["rounds"][0]["findings"];
    assert_eq!(findings["removed"], serde_json::json!(["hospital-2"]));
    assert_eq!(findings["barred"], serde_json::json!(["hospital-2"]));
}

#[test]
fn refuses_what_makes_no_study() {
    for (arguments, expected) in [
        (&["--sites", "2"][..], "at least 3 sites"),
        (&["--drop", "9@0"], "names no site or round of this run"),
        (
            &["--drop", "1@0", "--drop", "1@0"],
            "--drop 1@0 and --drop 1@0 are of one site and round",
        ),
        (&["--spoil", "1@0", "--spoil", "hospital-2@0"], "--spoil hospital-2@0 are of one site"),
        (&["--drop", "1@99"], "names no site or round of this run"),
        (&["--mute", "nonsense"], "expected K@R"),
        (&["--lie", "0@0", "--lie", "1@0"], "a study of 5 sites withstands c = 1"),
        (&["--sites", "3", "--baddeal", "1@0"], "nobody can be named"),
        (
            &["--sites", "3", "--drop", "0@0"],
            "it would have 2 contributions (hospital-1 takes no part), and with 3 sites it takes 3; let fewer sites fail in it, or take --sites 4 at least",
        ),
        (&["--sites", "3", "--drop", "hospital-2@1:after"], "hospital-2 answers nothing"),
        (&["--mute", "1@0", "--mute", "2@0"], "3 key holders whose reviews count"),
        (&["--flip", "2@0", "--drop", "2@0:after"], "sends no body again"),
        (&["--spoil", "0@0:after"], "only --drop has :before and :after"),
        (&["--scanners", "4"], "--scanners would change nothing"),
        (&["--colour"], "--colour would change nothing: the images are generated, in grey"),
        (&["--data", "/nonexistent/folder"], "/nonexistent/folder"),
        (&["--bits", "40"], "expected 2 to 24 bits"),
        (&["--fine-tune-epochs", "0", "--fine-tune-learning-rate", "0.1"], "--fine-tune-epochs"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = demo(folder.path(), arguments);
        let err = text(&output.stderr);
        assert!(!output.status.success() && err.contains(expected), "{arguments:?}: {err}");
    }
}
