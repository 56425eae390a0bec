//! A site that trains with the shadow defence beside two that do not.

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ringfence_clock::Clock;
use ringfence_federation::Aggregator;
use ringfence_learning::data;
use ringfence_learning::shadow::{DefendedRound, Shadow};
use ringfence_learning::{DataOptions, Simulation, TrainingPlan};
use ringfence_weights::Weights;

use crate::join::{SITES, joining, prepare, walk, write_images};

const PLAN: [&str; 8] =
    ["--task", "classification", "--classes", "healthy,lesion", "--rounds", "2", "--epochs", "2"]; // fmt: skip

/// One site's choice: the study says nothing of it, and the others need not know. Killed and started
/// again, it goes on with the same images.
#[tokio::test(flavor = "multi_thread")]
async fn one_site_of_a_study_trains_with_the_shadow_defence() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    let counts = write_images(folder);
    prepare(folder, &aggregator, &counts, &PLAN);
    let start = |site: &str| -> Child {
        let path = folder.join(format!("{site}.log"));
        let log = std::fs::File::options().create(true).append(true).open(path).unwrap();
        let mut command = joining(folder, aggregator.url(), site);
        if site == "b" {
            command.args(["--defence", "shadow"]);
        }
        command.stdout(log.try_clone().unwrap()).stderr(Stdio::from(log)).spawn().unwrap()
    };
    let mut processes = SITES.map(start);
    sleep(Duration::from_millis(700));
    processes[1].kill().unwrap();
    processes[1].wait().unwrap();
    processes[1] = start("b");
    let started = Instant::now();
    for (process, site) in processes.iter_mut().zip(SITES) {
        let log = || std::fs::read_to_string(folder.join(format!("{site}.log"))).unwrap();
        let end = loop {
            if let Some(end) = process.try_wait().unwrap() {
                break end;
            }
            assert!(started.elapsed() < Duration::from_secs(300), "{site} hangs: {}", log());
            sleep(Duration::from_millis(50));
        };
        assert!(end.success(), "{site}: {}", log());
    }

    // The first round's mean is that of the same training in plaintext, b's on images with noise.
    let (plan, initial) = TrainingPlan::load(&folder.join("model.safetensors")).unwrap();
    let classes = plan.classes.clone();
    let options = DataOptions { side: 16, sites: Some(1), classes, ..DataOptions::default() };
    let [mut dataset, b, c] =
        SITES.map(|s| data::load(&folder.join(format!("images-{s}")), &options).unwrap());
    dataset.sites.extend(b.sites.into_iter().chain(c.sites));
    let weights: Vec<f64> = counts.iter().map(|count| *count as f64).collect();
    let mean = |dataset: &data::Dataset| {
        let mut simulation = Simulation::new(&plan).unwrap();
        simulation.round(0, dataset, &weights).unwrap();
        simulation.model().difference(&initial).unwrap()
    };
    let undefended = mean(&dataset);
    let task = plan.task().unwrap();
    let (rounds, seed) = (plan.rounds, plan.training.seed);
    let samples = &dataset.sites[1].train.clone();
    let at =
        DefendedRound { task: task.as_ref(), start: &initial, samples, round: 0, rounds, seed };
    dataset.sites[1].train = Shadow::new().defended(&at).unwrap();
    let plain = mean(&dataset);
    let opened = walk(&folder.join("state-b/training"), "mean-00000.safetensors");
    let opened = Weights::load(&opened).unwrap();
    let apart = |one: &Weights| {
        let apart = one.difference(&opened).unwrap();
        apart.values().map(f32::abs).fold(0.0, f32::max)
    };
    let largest = *counts.iter().max().unwrap() as f32;
    let step = 1.0 / 65535.0 * largest * 3.0 / counts.iter().sum::<usize>() as f32;
    assert!(apart(&plain) < step, "{} apart, a step is {step}", apart(&plain));
    assert!(apart(&undefended) > 10.0 * step, "{}", apart(&undefended));
    // What the next rounds need is kept, at that site alone.
    let kept = |site: &str| {
        let studies = std::fs::read_dir(folder.join(format!("state-{site}/training"))).unwrap();
        studies
            .filter(|study| study.as_ref().unwrap().path().join("shadow.safetensors").is_file())
            .count()
    };
    assert_eq!([kept("a"), kept("b"), kept("c")], [0, 1, 0]);
}
