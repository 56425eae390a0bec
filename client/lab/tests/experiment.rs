//! `ringfence-lab experiment` on phantoms: kept runs, refused ones, and what encryption changes.
#![allow(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach the helper functions"
)]

use std::path::Path;
use std::process::Command;

use ringfence_learning::data::phantom::{self, PhantomOptions};
use ringfence_learning::data::write_folder;
use ringfence_learning::{Dataset, SiteData};
use serde_json::Value;

/// Runs the command in a folder: its output, or what it says on failing.
fn lab(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence-lab"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

const ARGUMENTS: [&str; 16] = [
    "experiment",
    "--sites",
    "3",
    "--side",
    "16",
    "--rounds",
    "2",
    "--epochs",
    "1",
    "--methods",
    "local,fedavg,perfedavg",
    "--seeds",
    "1,2",
    "--encrypted",
    "--out",
    "out",
]; // fmt: skip

fn run(folder: &Path, name: &str) -> Value {
    let path = folder.join("out/runs").join(name).join("run.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn runs_are_kept_and_encryption_changes_rounding_only() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let output = lab(folder, &ARGUMENTS).unwrap();
    for row in ["local", "fedavg-encrypted, fine-tuned", "perfedavg", "perfedavg, fine-tuned"] {
        assert!(output.contains(&format!("\n{row} ")), "{row}: {output}");
    }
    assert!(output.contains(" +- "), "{output}");
    for file in ["report.json", "curves.svg", "bars.svg", "predictions-hospital-3.png"] {
        assert!(folder.join("out").join(file).is_file(), "{file}");
    }
    // The first rounds differ by one step of the quantizer: so little that validation hardly moves.
    let validation = |name: &str| run(folder, name)["validation"][1].as_f64().unwrap();
    let apart = validation("fedavg-seed-1") - validation("fedavg-encrypted-seed-1");
    assert!(apart.abs() < 0.01, "{apart}");
    // Of a common model the personalised ones differ by site, and nothing else does.
    let perfedavg = run(folder, "perfedavg-seed-2");
    assert_eq!(perfedavg["personalised"].as_array().unwrap().len(), 3);
    assert_eq!(perfedavg["chosen"].as_array().unwrap().len(), 1);
    assert_eq!(run(folder, "local-seed-2")["chosen"].as_array().unwrap().len(), 3);
    assert!(run(folder, "local-seed-2")["personalised"].is_null());

    // A lost run is repeated with the same bits; the others are kept.
    let before = run(folder, "perfedavg-seed-2");
    std::fs::remove_dir_all(folder.join("out/runs/perfedavg-seed-2")).unwrap();
    let again = lab(folder, &ARGUMENTS).unwrap();
    assert_eq!(again.matches(" kept ").count(), 9, "{again}");
    for part in ["validation", "test", "personalised", "chosen"] {
        assert_eq!(run(folder, "perfedavg-seed-2")[part], before[part], "{part}");
    }
    let mut other = ARGUMENTS.to_vec();
    other.extend(["--learning-rate", "0.1"]);
    let error = lab(folder, &other).unwrap_err();
    assert!(error.contains("other settings or data"), "{error}");
}

#[test]
fn off_a_terminal_a_line_now_and_then_says_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec!["experiment", "--sites", "3", "--side", "16", "--rounds", "60"];
    arguments.extend(["--epochs", "1", "--methods", "local", "--seeds", "4"]);
    arguments.extend(["--progress-seconds", "1"]);
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence-lab"))
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (said, wrong) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    let (said, wrong) = (said.unwrap(), wrong.unwrap());
    assert!(output.status.success(), "{wrong}");
    let line = wrong.lines().find(|line| line.contains("now local-seed-4")).unwrap();
    assert!(line.starts_with("after ") && line.contains(" of 1 run, "), "{line}");
    // The sites stand there before anything trains, with what their masks say.
    assert!(said.find("  hospital-3 ").unwrap() < said.find("local-seed-4").unwrap(), "{said}");
    assert!(said.contains("% of the pixels inside"), "{said}");
}

/// Four hospitals: two of both classes, one of sick people only, one of a single patient.
fn uneven_hospitals(folder: &Path) {
    let options =
        PhantomOptions { side: 16, sites: 4, patients: 5, slices: 2, ..PhantomOptions::default() };
    let dataset = phantom::generate(&options).unwrap();
    let mut sites = dataset.sites;
    for (place, site) in sites.iter_mut().enumerate() {
        let SiteData { train, validation, test, .. } = site;
        for samples in [train, validation, test] {
            for (number, sample) in samples.iter_mut().enumerate() {
                sample.label = Some(if place == 2 { 1 } else { number as u32 % 2 });
            }
        }
    }
    sites[3].validation.clear();
    sites[3].test.clear();
    let classes = ["well", "ill"].map(String::from).to_vec();
    write_folder(&Dataset { classes, sites, ..dataset }, folder).unwrap();
}

#[test]
fn what_is_left_out_of_one_class_or_untrained_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    uneven_hospitals(&folder.join("images"));
    let mut arguments = vec!["experiment", "--data", "images", "--task", "classification"];
    arguments.extend(["--side", "16", "--rounds", "1", "--seeds", "1,2", "--out", "out"]);
    // Steps so small that no prediction changes.
    arguments.extend(["--methods", "local,fedavg", "--learning-rate", "1e-12"]);
    let output = lab(folder, &arguments).unwrap();
    let once = |text: &str| assert_eq!(output.matches(text).count(), 1, "{text}: {output}");
    once("(site `hospital-4`): no image in the split `test`; give it some, or divide anew");
    once("training images of one class: hospital-3 (ill);");
    once("* test images of one class only: hospital-3 (ill).");
    for (run, at) in [("fedavg-seed-1", "\n"), ("local-seed-2", " at 3 of 3 sites\n")] {
        let line = output.split_inclusive('\n').find(|line| line.starts_with(run)).unwrap();
        let expected = format!("no round beat the untrained model on validation images{at}");
        assert!(line.ends_with(&expected), "{line}");
    }
    let tables: Vec<&str> = output.split("\n\n").filter(|table| table.contains("mean")).collect();
    for (name, cell) in [("macro-F1", "undefined"), ("accuracy", " +- "), ("F1", "undefined")] {
        let table = tables.iter().find(|table| table.trim_start().starts_with(name)).unwrap();
        assert!(table.contains("hospital-3*") && table.contains(cell), "{table}");
    }
    let run = run(folder, "fedavg-seed-1");
    let site = &run["test"][2];
    assert_eq!((&site["site"], &site["one_class"]), (&"hospital-3".into(), &"ill".into()));
    assert_eq!(site["scores"][0], serde_json::json!(["macro-F1", null]));
    let report = std::fs::read_to_string(folder.join("out/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["test_images_of_one_class"]["hospital-3"], "ill");
    assert_eq!(report["untrained"].as_array().unwrap().len(), 4);
    let mean = report["summary"][0]["mean_of_sites"]["macro-F1"]["runs"][0].as_f64().unwrap();
    let local = self::run(folder, "local-seed-1");
    let of = |site: usize| local["test"][site]["scores"][0][1].as_f64().unwrap();
    assert!((mean - (of(0) + of(1)) / 2.0).abs() < 1e-12, "{mean}");
}

/// The two largest hospitals have a quarter of the sick.
#[test]
fn the_largest_sites_are_refused_where_most_of_a_class_would_go() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    uneven_hospitals(&folder.join("images"));
    let table = folder.join("images/labels.csv");
    let text = std::fs::read_to_string(&table).unwrap();
    let relabelled = text.lines().map(|line| match line.contains(",hospital-3,") {
        false => line.replace(",ill,", ",well,").replacen("/0000.png,well", "/0000.png,ill", 1),
        true => line.to_owned(),
    });
    let kept = relabelled.enumerate().filter(|(number, line)| {
        !line.contains(",hospital-3,") || number % 2 == 0 || line.ends_with("test")
    });
    let lines: Vec<String> = kept.map(|(_, line)| line).collect();
    std::fs::write(&table, lines.join("\n")).unwrap();
    let mut arguments = vec!["experiment", "--data", "images", "--task", "classification"];
    arguments.extend(["--side", "16", "--rounds", "1", "--sites", "2", "--out", "out"]);
    let error = lab(folder, &arguments).unwrap_err();
    assert!(error.contains("the 2 largest sites have 2 of the "), "{error}");
    assert!(
        error.contains("images of class `ill`: expected at least half; ask for more"),
        "{error}"
    );
}

#[test]
fn a_closed_pipe_ends_it_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence-lab"))
        .args(["experiment", "--side", "16", "--sites", "3", "--rounds", "1", "--epochs", "1"])
        .args(["--methods", "local", "--seeds", "1"])
        .current_dir(folder.path())
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(141), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
