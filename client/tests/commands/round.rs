//! `ringfence round`: whole rounds of three sites, with updates from elsewhere.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_federation::Aggregator;
use ringfence_weights::Weights;

use crate::support::{command, ringfence};

pub(crate) const SITES: [&str; 3] = ["a", "b", "c"];

/// Three sites with a signed study that pins no plan, a model, and an update of each site.
pub(crate) fn prepare(folder: &Path, aggregator: &Aggregator) {
    let run = |arguments: &[&str]| ringfence(folder, arguments).unwrap();
    let shapes = [("w".to_owned(), vec![10])];
    let files = [("model", 0.0), ("update-a", 0.1), ("update-b", 0.2), ("update-c", 0.3)];
    for (name, value) in files {
        let weights = Weights::from_values(&shapes, vec![value; 10]).unwrap();
        weights.save(&folder.join(format!("{name}.safetensors"))).unwrap();
    }
    SITES.iter().for_each(|site| _ = run(&["keygen", "--site", site]));
    let key = aggregator.public_key().to_string();
    let mut new = vec!["study", "new", "--name", "rounds", "--aggregator-key", &key];
    new.extend(["--model", "model.safetensors", "--training", "none", "--clip", "0.5"]);
    let public = SITES.map(|site| format!("{site}.public.json"));
    public.iter().for_each(|site| new.extend(["--site", site]));
    run(&new);
    for site in SITES {
        run(&["study", "sign", "--identity", &format!("{site}.identity")]);
    }
    run(&["study", "register", "--server", aggregator.url(), "--admin-token-file", "admin.token"]);
}

/// The words of a site's part in a round from a model, whose results have this number.
pub(crate) fn words(url: &str, site: &str, base: &str, number: u32, extra: &[&str]) -> Vec<String> {
    let mut words = vec!["round".to_owned()];
    for (option, value) in [
        ("--identity", format!("{site}.identity")),
        ("--state", format!("state-{site}")),
        ("--server", url.to_owned()),
        ("--base", format!("{base}.safetensors")),
        ("--update", format!("update-{site}.safetensors")),
        ("--out", format!("mean-{site}-{number}.safetensors")),
        ("--model-out", format!("{site}-{number}.safetensors")),
    ] {
        words.extend([option.to_owned(), value]);
    }
    words.extend(extra.iter().map(|word| (*word).to_owned()));
    words
}

pub(crate) fn texts(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// All sites take part at the same time; what each said.
fn all(folder: &Path, url: &str, base: &str, number: u32, extra: &[&str]) -> [String; 3] {
    thread::scope(|scope| {
        let parts = SITES.map(|site| {
            let words = words(url, site, base, number, extra);
            scope.spawn(move || ringfence(folder, &texts(&words)).unwrap())
        });
        parts.map(|part| part.join().unwrap())
    })
}

/// The model that all sites have after a round.
fn model(folder: &Path, number: u32) -> Vec<f32> {
    let file = |site: &str| fs::read(folder.join(format!("{site}-{number}.safetensors"))).unwrap();
    assert!(SITES.iter().all(|site| file(site) == file("a")), "one model");
    Weights::load(&folder.join(format!("a-{number}.safetensors"))).unwrap().into_values()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_takes_part_in_a_round_from_its_opening_to_its_mean() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    prepare(folder, &aggregator);
    let url = aggregator.url();
    let is_near = |values: Vec<f32>, wanted: f32| {
        assert!(values.iter().all(|value| (value - wanted).abs() < 1e-4), "{values:?}");
    };

    let said = all(folder, url, "model", 0, &[]);
    for said in &said {
        assert!(said.contains("round 0 is open, opened by a"), "{said}");
        assert!(said.contains("round 0: receipt for contribution "), "{said}");
        assert!(said.contains("round 0: endorsed the closing and opened"), "{said}");
        assert!(said.contains("round 0: mean of 3 sites over 10 values"), "{said}");
    }
    is_near(model(folder, 0), 0.2);

    // What lies there is not replaced without a word; the same again is the same round.
    let again = words(url, "b", "model", 0, &[]);
    let error = ringfence(folder, &texts(&again)).unwrap_err();
    assert!(error.contains("--force"), "{error}");
    let said = all(folder, url, "model", 0, &["--force"]);
    assert!(said[1].contains("round 0: this update has been contributed already"), "{}", said[1]);
    is_near(model(folder, 0), 0.2);

    // The next round starts from the model that came of it. One site's process is killed on its way.
    let next = words(url, "c", "a-0", 1, &[]);
    let mut killed = command(folder, &texts(&next)).spawn().unwrap();
    let others = SITES[..2].iter().map(|site| words(url, site, "a-0", 1, &[]));
    let others: Vec<Vec<String>> = others.collect();
    thread::scope(|scope| {
        let others: Vec<_> = others
            .iter()
            .map(|words| scope.spawn(|| ringfence(folder, &texts(words)).unwrap()))
            .collect();
        thread::sleep(Duration::from_millis(400));
        killed.kill().unwrap();
        killed.wait().unwrap();
        let said = ringfence(folder, &texts(&words(url, "c", "a-0", 1, &["--force"]))).unwrap();
        assert!(said.contains("round 1: mean of 3 sites"), "{said}");
        for other in others {
            let said = other.join().unwrap();
            assert!(said.contains("round 1 is open, opened by b"), "{said}");
        }
    });
    is_near(model(folder, 1), 0.4);

    // No round is opened from a model that the sites have not agreed on, not even by whose turn it is.
    let wrong = words(url, "c", "model", 2, &["--patience", "1"]);
    let error = ringfence(folder, &texts(&wrong)).unwrap_err();
    assert!(
        error.contains("acknowledged this site's model") || error.contains("not open"),
        "{error}"
    );
    let other = words(url, "a", "model", 2, &["--round", "1"]);
    let error = ringfence(folder, &texts(&other)).unwrap_err();
    assert!(error.contains("round 1 starts from another model"), "{error}");
}
