//! Three sites as processes of their own, from the first round to the last, one of them killed over
//! and over; and the model that comes of it in use.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ringfence_clock::Clock;
use ringfence_federation::Aggregator;
use ringfence_learning::data::phantom::{self, PhantomOptions};
use ringfence_learning::data::{self, write_folder};
use ringfence_learning::{DataOptions, Dataset, Personal, Simulation, TrainingPlan};
use ringfence_weights::Weights;

use crate::support::{command, ringfence};

pub(crate) const SITES: [&str; 3] = ["a", "b", "c"];

/// Every site's images in a folder of its own, as at a hospital; of different numbers.
pub(crate) fn write_images(folder: &Path) -> Vec<usize> {
    let options =
        PhantomOptions { side: 16, sites: 3, patients: 6, slices: 3, ..PhantomOptions::default() };
    let dataset = phantom::generate(&options).unwrap();
    let mut counts = Vec::new();
    for (number, (name, mut site)) in SITES.iter().zip(dataset.sites.clone()).enumerate() {
        site.train.truncate(3 + 2 * number);
        counts.push(site.train.len());
        let own = Dataset { sites: vec![site], ..dataset.clone() };
        write_folder(&own, &folder.join(format!("images-{name}"))).unwrap();
    }
    counts
}

/// A site's `join`, ready to be started.
pub(crate) fn joining(folder: &Path, url: &str, site: &str) -> Command {
    joining_for(folder, url, (site, "120"))
}

/// The like, with rounds that stay open for so many seconds.
pub(crate) fn joining_for(folder: &Path, url: &str, (site, seconds): (&str, &str)) -> Command {
    let (identity, state) = (format!("{site}.identity"), format!("state-{site}"));
    let (data, out) = (format!("images-{site}"), format!("out-{site}"));
    let arguments = [
        "join",
        "--model",
        "model.safetensors",
        "--server",
        url,
        "--round-seconds",
        seconds,
        "--identity",
        &identity,
        "--state",
        &state,
        "--data",
        &data,
        "--out",
        &out,
    ]; // fmt: skip
    command(folder, &arguments)
}

fn join(folder: &Path, url: &str, site: &str) -> Child {
    let path = folder.join(format!("{site}.log"));
    let log = std::fs::File::options().create(true).append(true).open(path).unwrap();
    let output = log.try_clone().unwrap();
    joining(folder, url, site).stdout(output).stderr(Stdio::from(log)).spawn().unwrap()
}

/// A study of these sites, signed and registered, trained by `plan`.
pub(crate) fn prepare(folder: &Path, aggregator: &Aggregator, counts: &[usize], plan: &[&str]) {
    let run = |arguments: &[&str]| ringfence(folder, arguments).unwrap();
    run(&[&["init", "--side", "16"], plan].concat());
    SITES.iter().for_each(|site| _ = run(&["keygen", "--site", site]));
    let counts = counts.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let key = aggregator.public_key().to_string();
    let mut new = vec!["study", "new", "--name", "t", "--aggregator-key", &key];
    new.extend(["--model", "model.safetensors", "--clip", "0.5", "--sample-counts", &counts]);
    new.extend(["--min-round-seconds", "1", "--review-seconds", "5"]);
    new.extend(["--initiator-timeout-seconds", "2"]);
    let public: Vec<String> = SITES.iter().map(|site| format!("{site}.public.json")).collect();
    public.iter().for_each(|site| new.extend(["--site", site]));
    run(&new);
    for site in SITES {
        run(&["study", "sign", "--identity", &format!("{site}.identity")]);
    }
    run(&["study", "register", "--server", aggregator.url(), "--admin-token-file", "admin.token"]);
}

/// The common model after the first round of the same sites without encryption.
fn simulated(folder: &Path, counts: &[usize]) -> Weights {
    let (plan, _) = TrainingPlan::load(&folder.join("model.safetensors")).unwrap();
    let options = DataOptions { side: 16, sites: Some(1), ..DataOptions::default() };
    let [mut dataset, b, c] =
        SITES.map(|s| data::load(&folder.join(format!("images-{s}")), &options).unwrap());
    dataset.sites.extend(b.sites.into_iter().chain(c.sites));
    let weights: Vec<f64> = counts.iter().map(|count| *count as f64).collect();
    let mut simulation = Simulation::new(&plan).unwrap();
    simulation.round(0, &dataset, &weights).unwrap();
    simulation.model().clone()
}

/// The file of this name somewhere below a folder.
pub(crate) fn walk(folder: &Path, name: &str) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.map(|path| if path.is_dir() { walk(&path, name) } else { path });
    found.into_iter().find(|path| path.ends_with(name)).unwrap()
}

/// Chance in every image, so that training that goes on must draw it again.
const PLAN: [&str; 8] =
    ["--rounds", "3", "--epochs", "6", "--augment-geometry", "1", "--augment-intensity", "0.5"]; // fmt: skip

#[tokio::test(flavor = "multi_thread")]
async fn a_site_killed_over_and_over_ends_with_the_others_model_and_the_model_predicts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    let counts = write_images(folder);
    prepare(folder, &aggregator, &counts, &PLAN);

    let mut processes = SITES.map(|site| join(folder, aggregator.url(), site));
    let started = Instant::now();
    let (mut kills, mut pause) = (0, 150);
    while processes[1].try_wait().unwrap().is_none() && kills < 12 {
        sleep(Duration::from_millis(pause));
        // The pauses grow, so that every step of a round is hit and yet the study ends.
        pause += 130;
        if processes[1].try_wait().unwrap().is_none() {
            processes[1].kill().unwrap();
            processes[1].wait().unwrap();
            kills += 1;
            processes[1] = join(folder, aggregator.url(), "b");
        }
    }
    assert!(kills >= 2, "the study was over after {kills} kills");
    let log = |site: &str| std::fs::read_to_string(folder.join(format!("{site}.log"))).unwrap();
    for (process, site) in processes.iter_mut().zip(SITES) {
        let end = loop {
            if let Some(end) = process.try_wait().unwrap() {
                break end;
            }
            let logs = || SITES.map(|site| format!("{site}:\n{}", log(site))).join("\n");
            assert!(started.elapsed() < Duration::from_secs(300), "{site} hangs\n{}", logs());
            sleep(Duration::from_millis(100));
        };
        assert!(end.success(), "{site}: {}", log(site));
    }

    let model = |site: &str| {
        TrainingPlan::load(&folder.join(format!("out-{site}/model.safetensors"))).unwrap().1
    };
    let common = model("a");
    assert_eq!(common, model("b"));
    assert_eq!(common, model("c"));
    // What the sites opened in the first round is the mean of their updates weighted by the counts,
    // up to one step of the 16-bit quantizer for each site.
    let initial = TrainingPlan::load(&folder.join("model.safetensors")).unwrap().1;
    let plain = simulated(folder, &counts).difference(&initial).unwrap();
    let opened = walk(&folder.join("state-b/training"), "mean-00000.safetensors");
    let opened = Weights::load(&opened).unwrap();
    let largest = *counts.iter().max().unwrap() as f32;
    let step = 1.0 / 65535.0 * largest * counts.len() as f32 / counts.iter().sum::<usize>() as f32;
    let apart = plain.difference(&opened).unwrap().values().map(f32::abs).fold(0.0, f32::max);
    assert!(apart < step, "{apart} apart, a step is {step}");
    assert!(plain.values().map(f32::abs).fold(0.0, f32::max) > 100.0 * step);
    let report = std::fs::read_to_string(folder.join("out-b/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let opened = report["opened"].as_array().unwrap();
    assert_eq!(opened.len(), 3, "{report}");
    let recorded = opened[0]["precision"]["step"].as_f64().unwrap();
    // Of the clip bound, which is 0.5 here.
    assert!((recorded * 0.5 / (f64::from(step) / counts.len() as f64) - 1.0).abs() < 1e-3);
    // Each round's holders without a key of that round, if any, stand in the report.
    let sealings = report["sealings"].as_array().unwrap();
    assert_eq!(sealings.len(), 3, "{report}");
    for (round, sealed) in sealings.iter().enumerate() {
        assert_eq!(sealed["round"].as_u64(), Some(round as u64), "{report}");
        assert!(sealed["sealing"]["long_term"].is_array(), "{report}");
    }
    for name in ["report.json", "curve.svg", "predictions.png"] {
        assert!(folder.join("out-b").join(name).is_file(), "{name}");
    }
    // Without a model of its own the site is told which of the others is best, and not to keep one.
    let best = &report["best_on_validation"];
    assert_eq!(best["best"], "federated", "{report}");
    assert!(best["keep_yours"].is_null(), "{report}");
    assert!(log("b").contains("the federated model is best on this site's"), "{}", log("b"));
    // Started again after the end, a site does nothing but say so, and draw the curve where it was
    // killed before that.
    let curve = folder.join("out-b/curve.svg");
    std::fs::remove_file(&curve).unwrap();
    let mut again = join(folder, aggregator.url(), "b");
    assert!(again.wait().unwrap().success(), "{}", log("b"));
    assert!(curve.is_file(), "{}", log("b"));
    // With --train-alone it has one, trained from the study's first weights, and is told whether to keep
    // it. The second time it is taken as it lies there.
    let mut all_said = String::new();
    for trains in [1, 1] {
        let mut alone = joining(folder, aggregator.url(), "b");
        let output = alone.args(["--train-alone", "--json"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
        all_said += &said;
        assert_eq!(all_said.matches("\"trains_alone\"").count(), trains, "{all_said}");
        let line = said.lines().find(|line| line.contains("\"best_model\"")).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let report = std::fs::read(folder.join("out-b/report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        let best = &report["best_on_validation"];
        for field in ["best", "keep_yours", "metric", "validation_images", "models"] {
            assert_eq!(line[field], best[field], "{field}: {line}");
        }
        assert_eq!(best["models"][0]["model"], "local only", "{best}");
        assert_eq!(best["models"][1]["model"], "federated", "{best}");
        let scores = [0, 1].map(|at| best["models"][at]["score"].as_f64().unwrap());
        assert_eq!(best["keep_yours"], scores[0] >= scores[1], "{best}");
        let own = TrainingPlan::load(&folder.join("out-b/model-alone.safetensors")).unwrap().1;
        assert_ne!(own, common);
    }
    // Nor does it write over what is another's, though this study has results by now.
    std::fs::rename(folder.join("out-b"), folder.join("own")).unwrap();
    std::fs::create_dir(folder.join("out-b")).unwrap();
    std::fs::rename(folder.join("own/report.json"), folder.join("out-b/report.json")).unwrap();
    let training = std::fs::read_dir(folder.join("state-b/training")).unwrap().next();
    let list = training.unwrap().unwrap().path().join("results.json");
    let own = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, own.replace("out-b", "own")).unwrap();
    let refused = joining(folder, aggregator.url(), "b").output().unwrap();
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("out-b/report.json: it exists already"), "{refused}");

    // The model in use, by somebody who has nothing but the file and images.
    let predict =
        ["predict", "--model", "out-a/model.safetensors", "images-a/images", "--out", "predicted"];
    let output = ringfence(folder, &predict).unwrap();
    assert!(output.contains("0 files not read"), "{output}");
    let table = std::fs::read_to_string(folder.join("predicted/predictions.csv")).unwrap();
    assert!(table.starts_with("file,slice,class,share of pixels\n"), "{table}");
    let masks = std::fs::read_dir(folder.join("predicted")).unwrap();
    let masks = masks.filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().ends_with("-mask.png")
    });
    assert_eq!(masks.count(), table.lines().count() - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_models_and_images_are_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    let counts = write_images(folder);
    prepare(folder, &aggregator, &counts, &PLAN);
    let refused = |changed: &[&str], expected: &str| {
        let mut arguments = vec!["join", "--identity", "a.identity", "--state", "s"];
        arguments.extend(["--server", aggregator.url()]);
        arguments.extend(changed);
        let error = ringfence(folder, &arguments).unwrap_err();
        assert!(error.contains(expected), "{changed:?}: {error}");
    };
    let good = ["--model", "model.safetensors"];
    let plain = TrainingPlan::load(&folder.join("model.safetensors")).unwrap().1;
    plain.save(&folder.join("plain.safetensors")).unwrap();
    refused(&["--model", "plain.safetensors", "--data", "images-a"], "no training plan");
    let nowhere = "ringfence: nowhere: entity not found; check that the path exists\n";
    refused(&[good[0], good[1], "--data", "nowhere"], nowhere);
    refused(&[good[0], good[1], "--data", "images-a", "--data-site", "x"], "--data-site x");
    // The plan is for segmentation.
    let defended = [good[0], good[1], "--data", "images-a", "--defence", "shadow"];
    refused(&defended, "expected a classification model with convolutions (cnn-light, cnn or");
    // Of one site's images no more sites can be made, and a study's number of sites is no advice here.
    let divided = [good[0], good[1], "--data", "images-a", "--data-site", "a", "--sites", "9"];
    refused(&divided, "--sites 9 divides these images among 9 sites, and at most ");
    refused(&divided, "where all of them are this site's own, leave --sites out");
    // Results of another site or study are not written over; this site has written none yet.
    std::fs::create_dir(folder.join("used")).unwrap();
    std::fs::write(folder.join("used/report.json"), "another's").unwrap();
    let used =
        "used/report.json: it exists already; this site has written nothing of this study there";
    refused(&[good[0], good[1], "--data", "images-a", "--out", "used"], used);
    // A table of two sites: neither's images are dropped in silence.
    let table = std::fs::read_to_string(folder.join("images-a/labels.csv")).unwrap();
    let mut lines = table.lines();
    let mut both = format!("{}\n", lines.next().unwrap());
    for (number, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        let [file, label, _, patient, mask, split] = fields[..] else { panic!("{line}") };
        let site = ["north", "south"][number % 2];
        both += &format!("{file},{label},{site},{site}:{patient},{mask},{split}\n");
    }
    std::fs::write(folder.join("images-a/labels.csv"), both).unwrap();
    let several = "images-a/labels.csv: expected the images of one site, found those of `north`, `south`; say which are yours by --data-site";
    refused(&[good[0], good[1], "--data", "images-a"], several);
    refused(&[good[0], good[1], "--data", "images-a", "--sites", "1"], several);
    refused(
        &[good[0], good[1], "--data", "images-a", "--data-site", "nord"],
        "expected one of the data's sites `north`, `south`, got --data-site nord",
    );
    std::fs::write(folder.join("images-a/labels.csv"), table).unwrap();
    ringfence(folder, &["init", "--side", "16", "--seed", "2", "--out", "other.safetensors"])
        .unwrap();
    refused(
        &["--model", "other.safetensors", "--data", "images-a"],
        "use the study's initial model",
    );
    // The same initial model under another plan: each setting that differs is named.
    let (plan, initial) = TrainingPlan::load(&folder.join("model.safetensors")).unwrap();
    let mut training = plan.training.clone();
    training.epochs = 7;
    let other = TrainingPlan { rounds: 4, training, ..plan };
    other.save(&initial, &folder.join("replanned.safetensors")).unwrap();
    for expected in
        ["rounds: the study says 3, this site 4", "training.epochs: the study says 6, this site 7"]
    {
        refused(&["--model", "replanned.safetensors", "--data", "images-a"], expected);
    }
    // Nor one by which a site would keep something of its own: the rounds would not.
    let (plan, initial) = TrainingPlan::load(&folder.join("model.safetensors")).unwrap();
    let kept = TrainingPlan { personal: Some(Personal::default()), ..plan };
    kept.save(&initial, &folder.join("personal.safetensors")).unwrap();
    refused(
        &["--model", "personal.safetensors", "--data", "images-a"],
        "expected a training plan without `personal`",
    );
    std::fs::write(folder.join("images-a/images/00/0000.png"), "no picture").unwrap();
    refused(&[good[0], good[1], "--data", "images-a"], "0000.png");
    let error = ringfence(folder, &["init", "--task", "classification"]).unwrap_err();
    assert!(error.contains("--classes normal,pneumonia"), "{error}");
    for (classes, expected) in [
        ("normal,Normal", "--classes: expected different classes, got `normal` and `Normal`"),
        ("normal, normal", "--classes: expected different classes"),
        ("covid-19,COVID19", "in a table are taken for one"),
        ("00,01", "the class `00`, which tables read as `0`; write 0"),
        ("normal,none", "`none`, which tables hold where nothing is known"),
    ] {
        let init = ["init", "--task", "classification", "--classes", classes];
        let error = ringfence(folder, &init).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let error = ringfence(folder, &["init", "--model", "cnn"]).unwrap_err();
    assert!(error.contains("unet-light"), "{error}");
    let error = ringfence(folder, &["init", "--augment-geometry", "4"]).unwrap_err();
    assert!(error.contains("geometry") && error.contains("from 0 to 3"), "{error}");
}

/// The same weights under the same names, and labels that mean something else: version 1 let both
/// sites take part.
#[test]
fn classes_in_another_order_and_studies_without_a_plan_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let run = |arguments: &[&str]| ringfence(folder, arguments).unwrap();
    let classes = ["--classes", "normal,pneumonia", "--side", "32"];
    run(&[&["init", "--task", "classification"], &classes[..]].concat());
    SITES.iter().for_each(|site| _ = run(&["keygen", "--site", site]));
    // RFC 8032, test 1.
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let study = |out: &str, training: &str| {
        let mut new = vec!["study", "new", "--name", "t", "--aggregator-key", key, "--out", out];
        new.extend(["--model", "model.safetensors", "--clip", "0.5", "--training", training]);
        new.extend(["--site", "a.public.json", "--site", "b.public.json"]);
        new.extend(["--site", "c.public.json"]);
        run(&new);
        for site in SITES {
            let identity = format!("{site}.identity");
            run(&["study", "sign", "--study", out, "--identity", &identity]);
        }
        run(&["study", "show", "--study", out])
    };
    let said = study("pinned.json", "plan");
    assert!(said.contains(r#"classes = ["normal","pneumonia"]"#), "{said}");
    study("free.json", "none");

    let (plan, initial) = TrainingPlan::load(&folder.join("model.safetensors")).unwrap();
    // Whatever model an aggregator hands out instead, by the same plan: no site begins with it, and
    // none asks a server for anything before.
    let crafted = Weights::from_values(&initial.shapes(), vec![0.1; initial.len()]).unwrap();
    plan.save(&crafted, &folder.join("crafted.safetensors")).unwrap();
    let wide = ["--model", "cnn", "--out", "wide.safetensors"];
    run(&[&["init", "--task", "classification"], &classes[..], &wide[..]].concat());
    for (model, expected) in [
        ("crafted.safetensors", "the study starts from the model"),
        ("wide.safetensors", "study's layout"),
    ] {
        for site in SITES {
            let identity = format!("{site}.identity");
            let mut join = vec!["join", "--identity", &identity, "--state", site, "--data", "none"];
            join.extend(["--server", "http://127.0.0.1:1", "--model", model]);
            join.extend(["--study", "pinned.json"]);
            let error = ringfence(folder, &join).unwrap_err();
            assert!(error.contains(expected), "{site}, {model}: {error}");
        }
    }
    let swapped = TrainingPlan { classes: plan.classes.iter().rev().cloned().collect(), ..plan };
    swapped.save(&initial, &folder.join("swapped.safetensors")).unwrap();
    let refused = |study: &str, model: &str, expected: &str| {
        let mut join = vec!["join", "--identity", "a.identity", "--state", "s", "--data", "none"];
        join.extend(["--server", "http://127.0.0.1:1", "--study", study, "--model", model]);
        let error = ringfence(folder, &join).unwrap_err();
        assert!(error.contains(expected), "{study}, {model}: {error}");
    };
    let differ =
        r#"classes: the study says ["normal","pneumonia"], this site ["pneumonia","normal"]"#;
    refused("pinned.json", "swapped.safetensors", differ);
    refused("free.json", "model.safetensors", "the study pins no training plan");
    // With the study's plan it goes on to the images.
    refused("pinned.json", "model.safetensors", "ringfence: none: ");
}
