//! `ringfence-lab attack`, small and on phantoms: the report, going on after an interruption, and what
//! cannot be run is refused. What the attacks find is tested beside them.
#![allow(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach the helper functions"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ringfence_learning::data::phantom::{PhantomOptions, generate};
use ringfence_learning::data::write_folder;
use serde_json::Value;

fn attack(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringfence-lab"))
        .args(["attack", "--side", "16"])
        .args(arguments)
        .env("RAYON_NUM_THREADS", "1")
        .current_dir(folder)
        .output()
        .unwrap()
}

fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = attack(folder, arguments);
    assert!(!output.status.success(), "{arguments:?} was not refused");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_report_has_every_result_and_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let asked =
        ["--images", "2", "--attack", "linear,imprint,labels", "--stage", "plain,ciphertext,sum-2"];
    let output = attack(folder.path(), &asked);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said} {}", String::from_utf8(output.stderr).unwrap());
    assert!(said.contains("phantoms, no patients") && said.contains("as guessing"), "{said}");

    let out = folder.path().join("out");
    let report = || -> Value {
        serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap()
    };
    let first = report();
    assert_eq!(first["controls_hold"], true);
    let rows = first["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2 * 3 * 2);
    for row in rows {
        for key in ["mse", "psnr", "ssim", "psnr_guess"] {
            assert!(row[key].is_number(), "{key} of {row}");
        }
        assert!(row["attack"].is_string() && row["stage"].is_string() && row["image"].is_string());
        if row["stage"] == "ciphertext" {
            assert_eq!(row["psnr"], row["psnr_guess"], "{row}");
        }
        if row["stage"] == "plain" && row["attack"] == "linear" {
            assert!(row["psnr"].as_f64().unwrap() > 80.0, "{row}");
        }
    }
    assert_eq!(first["labels"].as_array().unwrap().len(), 6);
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("succeed on a plain gradient") && page.contains("linear.png"), "{page}");
    for sheet in ["linear.png", "imprint.png"] {
        assert!(fs::metadata(out.join(sheet)).unwrap().len() > 1000);
    }

    // A result that is lost is made again, and is the same; the others are kept.
    let lost = out.join("results/imprint/sum-2/0001.json");
    let result = |file: &Path| -> Value {
        let mut row: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        row["seconds"].take();
        row
    };
    let before = result(&lost);
    fs::remove_file(&lost).unwrap();
    let kept = out.join("results/imprint/sum-2/0000.json");
    let written = fs::metadata(&kept).unwrap().modified().unwrap();
    assert!(attack(folder.path(), &asked).status.success());
    assert_eq!(result(&lost), before);
    assert_eq!(fs::metadata(&kept).unwrap().modified().unwrap(), written);

    let other = refused(folder.path(), &["--images", "2", "--seed", "2", "--attack", "linear"]);
    assert!(other.contains("other settings") && other.contains("`seed` is 1, now 2"), "{other}");
}

#[test]
fn what_was_kept_is_held_against_its_place_and_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let asked =
        ["--images", "2", "--attack", "linear", "--stage", "sum-2,ciphertext", "--out", "out"];
    let output = attack(folder.path(), &asked);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    // Its failure on ciphertext says something only if it succeeds where nothing is hidden.
    assert!(said.contains("linear was not tried on plain gradients"), "{said}");
    let results = folder.path().join("out/results/linear");
    // A picture that is lost is made again.
    let picture = results.join("sum-2/0001.png");
    let before = fs::read(&picture).unwrap();
    fs::remove_file(&picture).unwrap();
    assert!(attack(folder.path(), &asked).status.success());
    assert_eq!(fs::read(&picture).unwrap(), before);
    // A result of another stage is none of this one.
    let line = results.join("sum-2/0000.json");
    let own = fs::read(&line).unwrap();
    fs::copy(results.join("ciphertext/0000.json"), &line).unwrap();
    let error = refused(folder.path(), &asked);
    assert!(error.contains("expected a result of linear at sum-2, found one of linear"), "{error}");
    fs::write(&line, own).unwrap();
    // Results without their settings may be anybody's.
    fs::remove_file(folder.path().join("out/settings.json")).unwrap();
    let error = refused(folder.path(), &asked);
    assert!(error.contains("and no settings.json"), "{error}");
    // Of other classes the same images are other data.
    let data = folder.path().join("data");
    let options = PhantomOptions { side: 16, sites: 3, patients: 9, slices: 2, seed: 3 };
    write_folder(&generate(&options).unwrap(), &data).unwrap();
    let asked = ["--data", "data", "--images", "2", "--attack", "linear", "--stage", "ciphertext"];
    let asked = [&asked[..], &["--out", "classes"]].concat();
    assert!(attack(folder.path(), &asked).status.success());
    let labels = data.join("labels.csv");
    let table = fs::read_to_string(&labels).unwrap();
    let renamed = table.replace("lesion", "finding");
    assert_ne!(renamed, table);
    fs::write(&labels, renamed).unwrap();
    assert!(refused(folder.path(), &asked).contains("other settings (`values`"));
    // What is refused leaves nothing that stands against the right command.
    let wrong = ["--images", "2", "--attack", "idlg", "--model", "dense", "--out", "new"];
    assert!(refused(folder.path(), &wrong).contains("sigmoid LeNet"));
    assert!(!folder.path().join("new/settings.json").exists());
}

#[test]
fn the_shadow_defence_stands_in_the_report_beside_one_who_does_not_know_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let asked =
        ["--images", "2", "--attack", "linear", "--stage", "plain,shadow,both", "--out", "out"];
    let output = attack(folder.path(), &asked);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said} {}", String::from_utf8(output.stderr).unwrap());
    assert!(said.contains("of one who does not know"), "{said}");
    let report = fs::read(folder.path().join("out/report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let of =
        |stage: &str| -> Vec<&Value> { rows.iter().filter(|row| row["stage"] == stage).collect() };
    assert_eq!([of("plain").len(), of("shadow").len(), of("both").len()], [2; 3]);
    let number = |value: &Value| value.as_f64().unwrap();
    for (plain, shadow) in of("plain").iter().zip(of("shadow")) {
        // A perfect inversion has the noise in its image.
        assert!(number(&plain["psnr"]) > 80.0 && number(&shadow["psnr"]) < 40.0, "{shadow}");
        assert!(number(&shadow["psnr"]) >= number(&shadow["unaware"]["psnr"]), "{shadow}");
        assert!(plain["unaware"].is_null(), "{plain}");
    }
    for both in of("both") {
        assert!(number(&both["psnr"]) < 30.0, "{both}");
    }
    let page = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    assert!(page.contains("One who does not know of the defence"), "{page}");
    // It is for classes.
    let error = refused(
        folder.path(),
        &["--attack", "inverting-segmentation", "--stage", "shadow,both", "--out", "other"],
    );
    assert!(error.contains("shadow and both are for attacks on classification"), "{error}");
}

#[test]
fn defences_are_compared_and_a_start_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let options = PhantomOptions { side: 16, sites: 3, patients: 9, slices: 2, seed: 3 };
    write_folder(&generate(&options).unwrap(), &data).unwrap();
    let defences = |arguments: &[&str]| {
        let usual = ["defences", "--side", "16", "--data", "data", "--images", "2", "--seeds", "1"];
        Command::new(env!("CARGO_BIN_EXE_ringfence-lab"))
            .args(usual)
            .args(["--rounds", "2", "--epochs", "1", "--steps", "60"])
            .args(arguments)
            .env("RAYON_NUM_THREADS", "1")
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let asked = ["--attack", "linear", "--kinds", "none,shadow,gaussian-1,sparse-0.01,dp-0.5"];
    let output = defences(&asked);
    assert!(output.status.success(), "{}", String::from_utf8(output.stderr).unwrap());
    let report = || -> Value {
        serde_json::from_slice(&fs::read(folder.path().join("out/report.json")).unwrap()).unwrap()
    };
    let first = report();
    let lines = first["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 5);
    for line in lines {
        for key in ["f1", "f1_loss", "psnr", "ssim", "psnr_aware", "psnr_down", "ssim_down"] {
            assert!(line[key].is_number(), "{key} of {line}");
        }
    }
    assert!(lines[0]["psnr"].as_f64().unwrap() > 80.0, "{}", lines[0]);
    assert!(lines[1]["psnr"].as_f64().unwrap() < 40.0, "{}", lines[1]);
    assert!(lines[4]["epsilon_of_a_step"].as_f64().unwrap() > 1.0, "{}", lines[4]);
    let lost = folder.path().join("out/results/training/shadow/seed-1.json");
    fs::remove_file(&lost).unwrap();
    assert!(defences(&asked).status.success());
    let again = report();
    assert_eq!(again["lines"][1]["f1"], first["lines"][1]["f1"]);
    let refused = |arguments: &[&str]| {
        let output = defences(arguments);
        assert!(!output.status.success(), "{arguments:?} was not refused");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["--attack", "imprint"]).contains("expected inverting, idlg, dlg or linear"));
    assert!(refused(&["--kinds", "shadows"]).contains("expected none, shadow"));
    assert!(refused(&["--attack", "idlg"]).contains("other settings"));
    let none = ["--attack", "linear", "--above", "130", "--kinds", "none"];
    assert!(refused(&none).contains("nothing to defend"));
}

#[test]
fn final_models_and_sites_have_sections_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let asked = ["--images", "20", "--attack", "membership,site", "--shadow-models", "8"];
    let asked = [&asked[..], &["--model", "dense", "--stage", "ciphertext,sum-2,dp-10"]].concat();
    let output = attack(folder.path(), &asked);
    let said = String::from_utf8(output.stdout).unwrap();
    let out = folder.path().join("out");
    let report = || -> Value {
        serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap()
    };
    let first = report();
    let number = |value: &Value| value.as_f64().unwrap();

    // A model that was trained too long tells whom by; ciphertext and private training do not.
    let members = &first["membership"];
    let auc = |line: &Value| number(&line["ratio"]["auc"]["value"]);
    assert!(members["control_holds"] == true && auc(&members["control"]) > 0.7, "{members}");
    let lines = members["lines"].as_array().unwrap();
    let stages: Vec<&str> = lines.iter().map(|line| line["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["ciphertext", "sum-2", "dp-10"]);
    assert!(lines[0]["equals_guess"] == true && (auc(&lines[0]) - 0.5).abs() < 0.1, "{members}");
    assert!(auc(&lines[2]) < auc(&members["control"]), "{members}");
    let allowed = number(&lines[2]["allowed"][1]);
    assert!(number(&lines[2]["ratio"]["found_at_10"]["value"]) <= allowed, "{members}");

    // Images of 16 px hardly tell the generated hospitals apart, and the report says so.
    let sites = &first["site"];
    assert_eq!(sites["sites"].as_array().unwrap().len(), 5);
    assert_eq!(output.status.success(), sites["control_holds"] == true, "{said}");
    assert!(said.contains("by classes") && said.contains("epsilon allows"), "{said}");
    let lines = sites["lines"].as_array().unwrap();
    assert!(lines[0]["stage"] == "ciphertext" && lines[0]["equals_guess"] == true, "{sites}");
    assert_eq!(sites["rows"].as_array().unwrap().len(), 3 * 20);
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("<h2>membership, on the model dense"), "{page}");
    assert!(page.contains("<h2>site, on the model dense"), "{page}");

    // What is lost is made again, and is the same.
    for lost in ["membership/sum-2/0003", "membership/dp-10/0001", "site/dp-10/0007"] {
        fs::remove_file(out.join(format!("results/{lost}.json"))).unwrap();
    }
    assert_eq!(attack(folder.path(), &asked).status, output.status);
    let again = report();
    assert_eq!((&again["membership"], &again["site"]["lines"]), (members, &sites["lines"]));
}

#[test]
fn what_does_not_fit_is_refused_with_what_does() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str]| refused(folder.path(), arguments);
    let error = refused(&["--attack", "linear", "--model", "cnn-light", "--images", "2"]);
    assert!(
        error.contains("attacks that fit cnn-light: inverting, labels, membership, site"),
        "{error}"
    );
    let error = refused(&["--stage", "plain,shadows"]);
    assert!(error.contains("expected plain, update, ciphertext"), "{error}");
    let error = refused(&["--attack", "membership", "--stage", "plain"]);
    assert!(error.contains("none of the stages shows a final model"), "{error}");
    let error = refused(&["--attack", "site", "--sites", "1", "--images", "2"]);
    assert!(error.contains("at least two sites") && error.contains("found 1"), "{error}");
    let error = refused(&["--images", "900"]);
    assert!(error.contains("--images 900") && error.contains("attack fewer"), "{error}");
    let error = refused(&["--side", "20"]);
    assert!(error.contains("cannot be used multiple times"), "{error}");
    let error = refused(&["--data", "nowhere"]);
    assert!(error.contains("nowhere"), "{error}");

    // Images without classes and masks: no attack's victim learns anything from them.
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let mut table = String::from("file,site,patient,label\n");
    for number in 0..12_u8 {
        let pixels = (0..=255_u8).map(|at| at.wrapping_mul(number + 3) / 2 + at / 3).collect();
        let image = image::GrayImage::from_raw(16, 16, pixels).unwrap();
        image.save(data.join(format!("{number}.png"))).unwrap();
        table += &format!("{number}.png,one,{number},same\n");
    }
    fs::write(data.join("labels.csv"), table).unwrap();
    let error = refused(&["--data", "data", "--images", "2", "--attack", "imprint"]);
    assert!(
        error.contains("--attack imprint") && error.contains("at least two classes"),
        "{error}"
    );
    assert!(error.contains("attacks that fit: none"), "{error}");
}
