//! Studies with a privacy budget, from `study new` to the last round: what is charged and stated, who
//! is refused and when, and where a site's part ends.

use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{SignedStudy, Spent, Study};
use ringfence_federation::Aggregator;
use ringfence_keys::update::site_noise::parameters::SiteNoise;
use ringfence_learning::data::phantom::{self, PhantomOptions};
use ringfence_learning::data::{self, write_folder};
use ringfence_learning::{DataOptions, Dataset, Simulation, TrainingPlan};
use ringfence_site::Journal;
use ringfence_weights::Weights;
use serde_json::Value;

use crate::join::joining_for;
use crate::support::ringfence;

/// Round 1 is beyond what the hospital of the last one allows.
pub(crate) const SITES: [&str; 4] = ["a", "b", "c", "d"];

pub(crate) fn init(folder: &Path, plan: &[&str]) {
    let options =
        PhantomOptions { side: 16, sites: 4, patients: 6, slices: 2, ..PhantomOptions::default() };
    let dataset = phantom::generate(&options).unwrap();
    for (name, site) in SITES.iter().zip(dataset.sites.clone()) {
        let own = Dataset { sites: vec![site], ..dataset.clone() };
        write_folder(&own, &folder.join(format!("images-{name}"))).unwrap();
    }
    ringfence(folder, &[&["init", "--side", "16"], plan].concat()).unwrap();
    SITES.iter().for_each(|site| _ = ringfence(folder, &["keygen", "--site", site]).unwrap());
}

/// A study of these sites with a privacy policy, signed.
pub(crate) fn study(folder: &Path, key: &str, policy: &str) -> Study {
    let mut new = vec!["study", "new", "--name", "t", "--aggregator-key", key, "--clip", "0.5"];
    new.extend(["--model", "model.safetensors", "--min-sites", "3"]);
    new.extend(["--min-round-seconds", "1", "--review-seconds", "5"]);
    if !policy.contains("--initiator-timeout-seconds") {
        new.extend(["--initiator-timeout-seconds", "2"]);
    }
    let public: Vec<String> = SITES.iter().map(|site| format!("{site}.public.json")).collect();
    public.iter().for_each(|site| new.extend(["--site", site]));
    new.extend(policy.split_whitespace());
    ringfence(folder, &new).unwrap();
    for site in SITES {
        let identity = format!("{site}.identity");
        ringfence(folder, &["study", "sign", "--identity", &identity]).unwrap();
    }
    SignedStudy::parse(&std::fs::read(folder.join("study.json")).unwrap()).unwrap().study
}

pub(crate) fn register(folder: &Path, aggregator: &Aggregator) {
    let register = ["study", "register", "--admin-token-file", "admin.token", "--server"];
    ringfence(folder, &[&register[..], &[aggregator.url()]].concat()).unwrap();
}

pub(crate) fn ledger(folder: &Path, name: &str, (site, unit, epsilon): (&str, &str, &str)) {
    let identity = format!("{site}.identity");
    let mut init = vec!["ledger", "init", name, "--unit", unit, "--identity", &identity];
    init.extend(["--delta", "1e-3", "--epsilon", epsilon]);
    ringfence(folder, &init).unwrap();
}

fn start(folder: &Path, url: &str, site: &str) -> Child {
    // A round waits this long for the site whose budget is spent.
    start_for(folder, url, (site, "45"))
}

/// The like, with rounds that stay open for so many seconds.
pub(crate) fn start_for(folder: &Path, url: &str, (site, seconds): (&str, &str)) -> Child {
    let path = folder.join(format!("{site}.log"));
    let log = std::fs::File::options().create(true).append(true).open(path).unwrap();
    let output = log.try_clone().unwrap();
    let mut join = joining_for(folder, url, (site, seconds));
    join.args(["--ledger", &format!("ledger-{site}")]);
    join.stdout(output).stderr(Stdio::from(log)).spawn().unwrap()
}

pub(crate) fn log(folder: &Path, site: &str) -> String {
    std::fs::read_to_string(folder.join(format!("{site}.log"))).unwrap_or_default()
}

/// Waits until a process has ended well.
pub(crate) fn ended(folder: &Path, site: &str, process: &mut Child) {
    let started = Instant::now();
    let end = loop {
        if let Some(end) = process.try_wait().unwrap() {
            break end;
        }
        assert!(started.elapsed().as_secs() < 300, "{site} hangs: {}", log(folder, site));
        sleep(Duration::from_millis(100));
    };
    assert!(end.success(), "{site}: {}", log(folder, site));
}

/// What a site's header of a round states, as its state has it.
pub(crate) fn stated(folder: &Path, study: &Study, site: &str, round: u32) -> Option<Spent> {
    let journal = Journal::open(&folder.join(format!("state-{site}"))).unwrap();
    let round = journal.round(study.id(), RoundNumber(round)).unwrap();
    round.contribution().unwrap().map(|record| record.header.statement.spent.unwrap())
}

pub(crate) fn shown(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&ringfence(folder, arguments).unwrap()).unwrap()
}

pub(crate) const PATIENTS: &str = "--privacy patient --privacy-clip 1 --rate 0.6 --steps 4 --normaliser 2 \
    --records-per-step 2 --delta 1e-3 --epsilon 20";

#[tokio::test(flavor = "multi_thread")]
async fn patients_are_charged_each_round_and_training_ends_where_a_hospital_s_budget_does() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    init(folder, &["--rounds", "2", "--epochs", "1"]);
    let study = study(folder, &aggregator.public_key().to_string(), PATIENTS);
    register(folder, &aggregator);
    let show = shown(folder, &["study", "show", "--json"]);
    let privacy = &show["privacy"];
    assert_eq!(privacy["plan_rounds"], 2);
    let of_plan = privacy["epsilon_of_plan"].as_f64().unwrap();
    assert!(of_plan > 19.9 && of_plan <= 20.0, "the noise is found for the plan: {privacy}");

    for site in ["a", "b", "c"] {
        ledger(folder, &format!("ledger-{site}"), (site, "patient", "1000"));
    }
    // Less than one round spends, for two rounds.
    let one = ringfence_keys::study::spending::spent(&study, 1).unwrap().unwrap().epsilon;
    let tight = (f64::from(one) + 0.5).to_string();
    assert!(f64::from(one) + 0.5 < of_plan);
    ledger(folder, "ledger-d", ("d", "patient", &tight));

    let mut processes = SITES.map(|site| start(folder, aggregator.url(), site));
    // Killed while it trains, or just after: what it spends is the same.
    let started = Instant::now();
    while !log(folder, "b").contains("privately") && started.elapsed().as_secs() < 120 {
        sleep(Duration::from_millis(50));
    }
    processes[1].kill().unwrap();
    processes[1].wait().unwrap();
    processes[1] = start(folder, aggregator.url(), "b");
    for (site, process) in SITES.iter().zip(&mut processes) {
        ended(folder, site, process);
    }

    let model = |site: &str| {
        TrainingPlan::load(&folder.join(format!("out-{site}/model.safetensors"))).unwrap().1
    };
    for site in ["b", "c", "d"] {
        assert_eq!(model("a"), model(site), "{site}");
    }
    for (site, rounds) in [("a", 2), ("b", 2), ("c", 2), ("d", 1)] {
        let summary = shown(folder, &["ledger", "show", "--json", &format!("ledger-{site}")]);
        let of_study = &summary["studies"][0];
        assert_eq!(of_study["rounds"], rounds, "{site}: {summary}");
        assert_eq!(of_study["study"], study.id().to_string());
        let spent = ringfence_keys::study::spending::spent(&study, rounds).unwrap().unwrap();
        // The header of the last round says what the ledger and the study's accountant say.
        assert_eq!(stated(folder, &study, site, rounds - 1), Some(spent), "{site}");
        let epsilon = of_study["spent"]["worst_epsilon"].as_f64().unwrap();
        assert!((epsilon / f64::from(spent.epsilon) - 1.0).abs() < 1e-6, "{site}: {summary}");
    }
    assert_eq!(stated(folder, &study, "d", 1), None);
    let said = log(folder, "d");
    for expected in [
        "this site trains privately on",
        "round 0: charged to the privacy ledger; after 1 round the patient that has spent most",
        "round 1: no contribution of this site: round 1 of study",
        "would overspend the hospital's budget over all studies",
    ] {
        assert!(said.contains(expected), "{expected:?} is not said:\n{said}");
    }
    assert_eq!(said.matches("this site trains privately").count(), 1, "trained in vain:\n{said}");
    assert!(log(folder, "a").contains("round 1: charged to the privacy ledger; after 2 rounds"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let seed = folder.join(format!("state-a/training/{}/noise.seed", study.id()));
        assert_eq!(seed.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// A round that ended before a site came costs it neither time nor budget; it holds keys in it, and
/// contributes to the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_comes_too_late_neither_trains_nor_pays_and_takes_part_in_the_next_round() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    init(folder, &["--rounds", "2", "--epochs", "1"]);
    let study = study(folder, &aggregator.public_key().to_string(), PATIENTS);
    register(folder, &aggregator);
    SITES
        .iter()
        .for_each(|site| ledger(folder, &format!("ledger-{site}"), (site, "patient", "99")));
    let url = aggregator.url();
    let early = ["a", "b", "c"].map(|site| (site, start_for(folder, url, (site, "20"))));
    let started = Instant::now();
    while !log(folder, "a").contains("round 0: 3 of 4 reviews")
        && !log(folder, "a").contains("endorsements of the closing")
    {
        assert!(started.elapsed().as_secs() < 120, "{}", log(folder, "a"));
        sleep(Duration::from_millis(100));
    }
    let late = ("d", start_for(folder, url, ("d", "20")));
    for (site, mut process) in early.into_iter().chain([late]) {
        ended(folder, site, &mut process);
    }
    let said = log(folder, "d");
    let too_late: Vec<&str> =
        said.lines().filter(|line| line.contains("and takes none any more")).collect();
    assert_eq!(too_late.len(), 1, "{said}");
    for expected in [
        "round 0 took contributions until 20",
        "this site does not train for it",
        "as key holder, waits for the round's end and goes on with round 1",
    ] {
        assert!(too_late[0].contains(expected), "{expected:?} is not in {}", too_late[0]);
    }
    for vain in ["round 0: this site trains", "round 0: charged", "(409)"] {
        assert!(!said.contains(vain), "{vain:?} is in {said}");
    }
    assert!(said.contains("round 0: mean of 3 sites opened"), "{said}");
    assert!(said.contains("round 1: charged to the privacy ledger; after 1 round"), "{said}");
    let summary = shown(folder, &["ledger", "show", "--json", "ledger-d"]);
    assert_eq!(summary["studies"][0]["rounds"], 1, "{summary}");
    assert_eq!(stated(folder, &study, "d", 0), None);
}

/// The opened mean is the mean of the updates and the noise that the study has: no more, no less.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_s_noise_is_in_the_opened_mean() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    init(folder, &["--rounds", "1", "--epochs", "1"]);
    let policy = "--privacy site --privacy-clip 3 --delta 1e-5 --epsilon 50";
    let study = study(folder, &aggregator.public_key().to_string(), policy);
    register(folder, &aggregator);
    let said = ringfence(folder, &["study", "show"]).unwrap();
    assert!(
        said.contains("protects each site's update") && !said.contains("NOT ENFORCED"),
        "{said}"
    );
    for site in SITES {
        ledger(folder, &format!("ledger-{site}"), (site, "site", "60"));
    }
    let mut processes = SITES.map(|site| start(folder, aggregator.url(), site));
    for (site, process) in SITES.iter().zip(&mut processes) {
        ended(folder, site, process);
        let spent = ringfence_keys::study::spending::spent(&study, 1).unwrap();
        assert_eq!(stated(folder, &study, site, 0), spent, "{site}");
    }

    let (plan, initial) = TrainingPlan::load(&folder.join("model.safetensors")).unwrap();
    let options = DataOptions { side: 16, sites: Some(1), ..DataOptions::default() };
    let [mut dataset, b, c, d] =
        SITES.map(|s| data::load(&folder.join(format!("images-{s}")), &options).unwrap());
    dataset.sites.extend(b.sites.into_iter().chain(c.sites).chain(d.sites));
    let mut simulation = Simulation::new(&plan).unwrap();
    simulation.round(0, &dataset, &[1.0; 4]).unwrap();
    let plain = simulation.model().difference(&initial).unwrap();
    let opened = folder.join(format!("state-a/training/{}/mean-00000.safetensors", study.id()));
    let noise = plain.difference(&Weights::load(&opened).unwrap()).unwrap();
    let squares: f64 = noise.values().map(|value| f64::from(value).powi(2)).sum();
    let deviation = (squares / noise.len() as f64).sqrt();
    let expected = SiteNoise::of(&study).unwrap().noise_in_mean(4);
    // 20,000 values: the estimate is within 1 %.
    assert!((deviation / expected - 1.0).abs() < 0.03, "{deviation} where {expected} is added");
}

#[test]
fn what_a_private_study_lacks_is_told_before_anything_is_trained_or_sent() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    init(folder, &["--rounds", "2", "--epochs", "1"]);
    // RFC 8032, test 1.
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    study(folder, key, PATIENTS);
    ledger(folder, "images-ledger", ("a", "record", "10"));
    ledger(folder, "ledger-b", ("b", "patient", "10"));
    ledger(folder, "good", ("a", "patient", "10"));
    let member = ["--identity", "a.identity", "--state", "s", "--server", "http://127.0.0.1:1"];
    let join = ["join", "--model", "model.safetensors", "--patience", "0"];
    let contribute = ["contribute", "--base", "model.safetensors", "--update", "model.safetensors"];
    let refused = |command: &[&str], more: &str, expected: &str| {
        let more: Vec<&str> = more.split_whitespace().collect();
        let error = ringfence(folder, &[command, &member, &more].concat()).unwrap_err();
        assert!(error.contains(expected), "{more:?}: {error}");
        let trained = folder.join("s/training");
        let checkpoints = std::fs::read_dir(trained).into_iter().flatten();
        let written = checkpoints.flatten().flat_map(|study| std::fs::read_dir(study.path()));
        // Where results will be written is noted before.
        let written = written.flatten().flatten().filter(|of| of.file_name() != "results.json");
        assert_eq!(written.count(), 0, "{more:?}: something was trained");
    };
    refused(&join, "--data images-a", "has a privacy budget for each patient");
    refused(&join, "--data images-a --ledger good", "could not be reached");
    let table = std::fs::read_to_string(folder.join("images-b/labels.csv")).unwrap();
    let renamed = table.replacen("patient", "group", 1);
    std::fs::write(folder.join("images-b/labels.csv"), renamed).unwrap();
    refused(&join, "--data images-b --ledger good", "expected a column `patient` in labels.csv");

    refused(&contribute, "--ledger good", "say by --trained-privately");
    refused(&contribute, "--trained-privately", "has a privacy budget for each patient");
    let private = "--trained-privately --ledger good";
    refused(&contribute, private, "give --units a file that names those");
    std::fs::write(folder.join("units"), "one\n\ntwo\n").unwrap();
    refused(&contribute, &format!("{private} --units units"), "line 2 is empty");

    // A study without a budget.
    ringfence(folder, &["init", "--side", "16", "--force"]).unwrap();
    std::fs::remove_file(folder.join("study.json")).unwrap();
    study(folder, key, "");
    let spare = "the study has no privacy budget";
    refused(&join, "--data images-a --ledger good", spare);
    refused(&contribute, "--ledger good", spare);
    refused(&contribute, "--trained-privately", "--trained-privately says nothing in this study");
}
