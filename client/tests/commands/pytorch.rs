//! The PyTorch example as a site would run it. It needs Python with torch and safetensors (`PYTHON`
//! names one); where there is none, the test says so and checks nothing.

use std::path::Path;
use std::process::Command;

use ringfence_clock::Clock;
use ringfence_federation::Aggregator;
use ringfence_weights::Weights;

use crate::support::{binaries, ringfence};

const SITES: [&str; 3] = ["a", "b", "c"];

#[tokio::test(flavor = "multi_thread")]
async fn an_update_from_pytorch_reaches_the_mean() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let imports = Command::new(&python).args(["-c", "import torch, safetensors.torch"]).output();
    if !imports.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: {python} cannot import torch and safetensors");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    let key = aggregator.public_key().to_string();
    let shapes: Vec<(String, Vec<usize>)> = [
        ("0.bias", vec![8]),
        ("0.weight", vec![8, 4]),
        ("2.bias", vec![1]),
        ("2.weight", vec![1, 8]),
    ]
    .map(|(name, shape)| (name.to_owned(), shape))
    .into();
    let values = (0..49).map(|index| (index as f32 * 0.7).sin() / 2.0).collect();
    let base = Weights::from_values(&shapes, values).unwrap();
    base.save(&folder.join("base.safetensors")).unwrap();
    let zero = Weights::from_values(&shapes, vec![0.0; 49]).unwrap();
    zero.save(&folder.join("zero.safetensors")).unwrap();

    let run = |arguments: &[&str]| ringfence(folder, arguments).unwrap();
    SITES.iter().for_each(|site| _ = run(&["keygen", "--site", site]));
    let mut new = vec!["study", "new", "--name", "t", "--aggregator-key", &key];
    new.extend(["--training", "none"]);
    new.extend(["--model", "base.safetensors", "--clip", "2", "--min-round-seconds", "1"]);
    new.extend(["--site", "a.public.json", "--site", "b.public.json", "--site", "c.public.json"]);
    run(&new);
    for site in SITES {
        run(&["study", "sign", "--identity", &format!("{site}.identity")]);
    }
    run(&["study", "register", "--server", aggregator.url(), "--admin-token-file", "admin.token"]);
    let member = |site: &str| -> Vec<String> {
        let identity = format!("{site}.identity");
        let state = format!("state-{site}");
        ["--identity", &identity, "--state", &state, "--server", aggregator.url()]
            .map(str::to_owned)
            .into()
    };
    let step = |site: &str, step: &[&str]| {
        let member = member(site);
        let member = member.iter().map(String::as_str);
        run(&step.iter().copied().chain(member).collect::<Vec<_>>());
    };
    step("a", &["open", "--base", "base.safetensors", "--seconds", "120"]);
    let path = std::env::join_paths(
        std::iter::once(binaries())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pytorch_update.py");
    let trained = Command::new(&python)
        .arg(example)
        .arg("base.safetensors")
        .args(member("a"))
        .current_dir(folder)
        .env("PATH", path.unwrap())
        .output()
        .unwrap();
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    for site in ["b", "c"] {
        step(site, &["contribute", "--base", "base.safetensors", "--update", "zero.safetensors"]);
    }
    // Three holders wait for each other.
    std::thread::scope(|scope| {
        for site in SITES {
            scope.spawn(move || step(site, &["hold"]));
        }
    });
    let mean = ["mean", "--base", "base.safetensors", "--out", "mean.safetensors"];
    step("b", &[&mean[..], &["--model-out", "next.safetensors"]].concat());
    let update = Weights::load(&folder.join("update.safetensors")).unwrap();
    let mean = Weights::load(&folder.join("mean.safetensors")).unwrap();
    let apart = update.values().zip(mean.values()).map(|(u, m)| (u / 3.0 - m).abs());
    // One step of 16 bits between -2 and 2.
    assert!(apart.fold(0.0, f32::max) < 4.0 / 65535.0);
    assert!(update.values().any(|value| value.abs() > 0.1));
}
