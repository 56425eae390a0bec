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
use ringfence_weights::Weights;
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

/// A small experiment with budgets.
fn private(more: &[&'static str]) -> Vec<&'static str> {
    let words = "experiment --sites 3 --side 16 --rounds 2 --epochs 1 --seeds 1 --out out \
                 --private-unit image --private-steps 4 --private-rate 0.25 --private-delta 0.001 \
                 --private-momentum 0 --private-learning-rate 0.05";
    words.split_whitespace().chain(more.iter().copied()).collect()
}

#[test]
fn budgets_are_an_axis_and_every_row_says_whose_epsilon_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let axis = private(&["--epsilons", "2,1e9,none", "--parameter-noise", "0.5"]);
    let output = lab(folder, &axis).unwrap();
    for (row, says) in [
        ("fedavg-epsilon-2 ", "epsilon 2.000 at delta 1.00e-3 for each image, not patient"),
        ("fedavg-epsilon-1e9 ", "at delta 1.00e-3 for each image, not patient"),
        ("fedavg-not-private ", "  not private"),
        ("fedavg-not-private, best round ", "  not private"),
        ("fedavg-no-epsilon-noise-0.5 ", "noise 0.5 on each value, unclipped: no epsilon"),
    ] {
        let lines: Vec<_> = output.lines().filter(|line| line.starts_with(row)).collect();
        assert!(!lines.is_empty() && lines.iter().all(|line| line.contains(says)), "{output}");
    }
    // The last round counts, whatever the others scored; beside it, of ordinary training, the best.
    let ordinary = run(folder, "fedavg-not-private-seed-1");
    assert_eq!(ordinary["chosen"], serde_json::json!([2]));
    assert!(ordinary["private"]["chosen"][0].is_u64(), "{ordinary}");
    assert!(ordinary["personalised"].is_null());
    let strict = run(folder, "fedavg-epsilon-2-seed-1");
    assert_eq!(strict["chosen"], serde_json::json!([2]));
    assert!(strict["private"]["chosen"].is_null());
    let epsilon = strict["private"]["statement"]["private"]["epsilon"].as_f64().unwrap();
    assert!(epsilon > 1.99 && epsilon <= 2.0, "{epsilon}");
    // So much noise is told from so little by the model itself.
    let apart = |name: &str| {
        let model = |name: &str| {
            let path = folder.join("out/runs").join(name).join("model.safetensors");
            Weights::load(&path).unwrap()
        };
        let difference = model(name).difference(&model("fedavg-not-private-seed-1")).unwrap();
        difference.values().map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
    };
    let (strict, lax) = (apart("fedavg-epsilon-2-seed-1"), apart("fedavg-epsilon-1e9-seed-1"));
    assert!(strict > 1.5 * lax, "{strict} {lax}");

    // A lost run is repeated to the bit; with another budget for the rest it is another experiment.
    let before = run(folder, "fedavg-epsilon-2-seed-1");
    std::fs::remove_dir_all(folder.join("out/runs/fedavg-epsilon-2-seed-1")).unwrap();
    let again = lab(folder, &axis).unwrap();
    assert_eq!(again.matches(" kept ").count(), 3, "{again}");
    let after = run(folder, "fedavg-epsilon-2-seed-1");
    for part in ["validation", "test", "private", "settings"] {
        assert_eq!(after[part], before[part], "{part}");
    }
    let other = private(&["--epsilons", "2", "--private-clip", "0.5"]);
    let error = lab(folder, &other).unwrap_err();
    assert!(error.contains("other settings or data"), "{error}");
    let error = lab(folder, &private(&["--epsilons", "1", "--methods", "perfedavg"])).unwrap_err();
    assert!(error.contains("expected fedavg, fedprox or fedadam"), "{error}");
}

#[test]
fn a_warm_start_is_of_the_same_architecture_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first = ["experiment", "--sites", "3", "--side", "16", "--rounds", "1", "--seeds", "1"];
    let mut warm = first.to_vec();
    warm.extend(["--methods", "fedavg", "--fine-tune-steps", "0", "--out", "warm"]);
    lab(folder, &warm).unwrap();
    let model = "warm/runs/fedavg-seed-1/model.safetensors";
    let mut more = first.to_vec();
    more.extend(["--methods", "fedavg", "--out", "out", "--start", model]);
    let output = lab(folder, &more).unwrap();
    let digest = Weights::load(&folder.join(model)).unwrap().digest();
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(output.contains(&digest) && output.contains("16 px"), "{output}");
    let report = std::fs::read_to_string(folder.join("out/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["start"]["digest"], digest);
    assert_eq!(report["start"]["plan"]["rounds"], 1);
    // Round 0 of the one is the end of the other.
    let (cold, warm) = (folder.join("warm/runs/fedavg-seed-1/run.json"), "fedavg-seed-1");
    let cold: Value = serde_json::from_slice(&std::fs::read(cold).unwrap()).unwrap();
    let best = cold["chosen"][0].as_u64().unwrap() as usize;
    assert_eq!(run(folder, warm)["validation"][0], cold["validation"][best]);
    let error = lab(folder, &[&more[..], &["--model", "unet"]].concat()).unwrap_err();
    let both = error.contains("unet on 16 px, with `") && error.contains("found unet-light on");
    assert!(both && error.matches('[').count() == 2, "{error}");
}

/// A row of what fine-tuning does stands beside each common model, and the help says so.
#[test]
fn every_common_model_is_fine_tuned_by_one_step_as_the_help_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let help = lab(folder, &["experiment", "--help"]).unwrap();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = "unless given, 1 for PerFedAvg and in every federated method of `ringfence-lab experiment` without --epsilons, else 0";
    assert!(words.contains(said), "{words}");
    let run = ["experiment", "--sites", "3", "--side", "16", "--rounds", "1", "--seeds", "1"];
    let run = [&run[..], &["--methods", "fedavg", "--epochs", "1"]].concat();
    let usual = lab(folder, &[&run[..], &["--out", "usual"]].concat()).unwrap();
    assert!(usual.contains("fedavg, fine-tuned"), "{usual}");
    let none = ["--fine-tune-steps", "0", "--out", "none"];
    let none = lab(folder, &[&run[..], &none].concat()).unwrap();
    assert!(!none.contains("fine-tuned"), "{none}");
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

#[test]
fn sites_train_with_the_shadow_defence_where_the_model_fits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let run_with = |arguments: &[&str]| {
        let usual = ["experiment", "--side", "16", "--sites", "3", "--seeds", "1"];
        let rest = ["--rounds", "2", "--methods", "local,fedavg", "--max-per-site", "8"];
        lab(folder, &[&usual[..], &rest, arguments].concat())
    };
    let classes = ["--task", "classification", "--fine-tune-steps", "0"];
    let defended = [&classes[..], &["--defence", "shadow", "--out", "defended"]].concat();
    let of = |out: &str, run: &str| -> Value {
        let path = folder.join(out).join("runs").join(run).join("run.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    run_with(&defended).unwrap();
    let first = of("defended", "fedavg-seed-1");
    assert_eq!(first["settings"]["defence"], "shadow");
    // What trains alone sends nothing, and has no use for it.
    assert!(of("defended", "local-seed-1")["settings"]["defence"].is_null());
    let model = |out: &str| {
        Weights::load(&folder.join(out).join("runs/fedavg-seed-1/model.safetensors")).unwrap()
    };
    let once = model("defended");
    std::fs::remove_dir_all(folder.join("defended/runs/fedavg-seed-1")).unwrap();
    run_with(&defended).unwrap();
    assert_eq!(model("defended"), once);
    run_with(&[&classes[..], &["--out", "plain"]].concat()).unwrap();
    assert!(of("plain", "fedavg-seed-1")["settings"]["defence"].is_null());
    // It changes what is learnt, if a round is chosen at all.
    let chosen = |out: &str| of(out, "fedavg-seed-1")["chosen"][0].as_u64();
    assert!(model("plain") != once || (chosen("plain"), chosen("defended")) == (Some(0), Some(0)));
    // Runs without it are no runs with it.
    let error = run_with(&[&classes[..], &["--out", "defended"]].concat()).unwrap_err();
    assert!(error.contains("other settings"), "{error}");
    for arguments in [&["--defence", "shadow"][..], &["--model", "dense", "--defence", "shadow"]] {
        let task: &[&str] = if arguments.len() > 2 { &classes } else { &[] };
        let error = run_with(&[task, arguments].concat()).unwrap_err();
        assert!(error.contains("cnn-light, cnn or residual"), "{error}");
    }
}

#[test]
fn sites_that_keep_something_of_their_own_are_methods_like_others() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let methods = "mixture,local-tuned,local,fedavg,fedbn,fedrep,ditto,fedavg-moments";
    let usual = ["experiment", "--sites", "3", "--side", "16", "--rounds", "2", "--epochs", "2"];
    let more = ["--seeds", "1", "--fine-tune-epochs", "2"];
    let arguments = [&usual[..], &more[..], &["--methods", methods]].concat();
    let output = lab(folder, &arguments).unwrap();
    for row in ["fedbn", "fedrep, fine-tuned", "mixture", "mixture, fine-tuned", "local-tuned"] {
        assert!(output.contains(&format!("\n{row} ")), "{row}: {output}");
    }
    // Each site has a model and a round of its own.
    for method in ["fedbn", "fedrep", "ditto", "fedavg-moments"] {
        let kept = run(folder, &format!("{method}-seed-1"));
        assert_eq!(kept["chosen"].as_array().unwrap().len(), 3, "{kept}");
        assert!(kept["settings"]["plan"]["personal"].is_object(), "{kept}");
        let runs = folder.join(format!("out/runs/{method}-seed-1"));
        assert!(runs.join("model-hospital-2.safetensors").is_file(), "{method}");
    }
    // A share of the site's own model for each, and none of the two models is worse alone on what
    // it was chosen by.
    let mixture = run(folder, "mixture-seed-1");
    for shares in mixture["shares"].as_array().unwrap() {
        let shares: Vec<f64> =
            shares.as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).collect();
        assert_eq!(shares.len(), 3);
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{shares:?}");
    }
    // Encrypted, what is the site's own is sent as zeros: the opened sum is checked in every round.
    let encrypted = ["--methods", "fedbn", "--encrypted", "--out", "encrypted"];
    lab(folder, &[&usual[..], &more[..], &encrypted[..]].concat()).unwrap();
    let path = folder.join("encrypted/runs/fedbn-encrypted-seed-1/run.json");
    let through = serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(through["chosen"].as_array().unwrap().len(), 3, "{through}");

    let lacking = [&usual[..], &["--methods", "local,mixture"]].concat();
    let error = lab(folder, &lacking).unwrap_err();
    assert!(error.contains("--methods mixture: expected fedavg among the methods"), "{error}");
    let private = ["--methods", "fedbn", "--epsilons", "1"];
    let error = lab(folder, &[&usual[..], &private[..]].concat()).unwrap_err();
    assert!(error.contains("--methods fedbn has no --epsilons"), "{error}");
}
