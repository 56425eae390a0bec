//! Executes every `sh` block of docs/walkthrough.md, in order, in one shell: a study of three
//! processes, and a round by hand.

use std::path::Path;
use std::process::Command;

use ringfence_weights::Weights;

use crate::join::write_images;
use crate::support::binaries;

fn tensors(path: &Path, value: f32) {
    let shapes = [("bias".to_owned(), vec![3]), ("kernel".to_owned(), vec![3, 40])];
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    Weights::from_values(&shapes, vec![value; 123]).unwrap().save(path).unwrap();
}

/// The blocks, as one script that stops at the first failure.
fn script(port: u16) -> String {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/walkthrough.md"));
    let page = page.unwrap().replace("8750", &port.to_string());
    let blocks: Vec<&str> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 14, "the walk-through has lost its blocks");
    format!("set -euo pipefail\nholders=\n{}", blocks.join("\n"))
}

#[test]
fn the_documented_study_and_round_run_as_written() {
    let folder = tempfile::tempdir().unwrap();
    tensors(&folder.path().join("model.safetensors"), 1.0);
    for (site, value) in [("a", 0.1), ("b", 0.2), ("c", -0.9)] {
        tensors(&folder.path().join(site).join("update.safetensors"), value);
    }
    assert_eq!(write_images(folder.path()), [3, 5, 6]);
    for site in ["a", "b", "c"] {
        let images = folder.path().join(format!("images-{site}"));
        std::fs::rename(images, folder.path().join(site).join("images")).unwrap();
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &format!("trap 'kill $(jobs -p) 2>/dev/null' EXIT\n{}", script(port))])
        .current_dir(folder.path())
        .env("PATH", path)
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    // The study of three processes: before, while it runs, and afterwards.
    for text in ["rounds = 2", "0 of 2 rounds begun", "round 0 is not open: the turn is a's"] {
        assert!(out.contains(text), "{text}: {out}");
    }
    assert!(out.contains("the study has ended\n"), "{out}");
    let study = folder.path().join("lungs.json");
    let study: serde_json::Value = serde_json::from_slice(&std::fs::read(study).unwrap()).unwrap();
    assert!(out.contains(study["study"]["aggregator_key"].as_str().unwrap()), "{out}");
    let late = out.rsplit_once("study lungs (").unwrap().1;
    let row = late.lines().find(|line| line.starts_with("1 ")).unwrap();
    assert_eq!(row.matches("creoa").count(), 3, "{late}");
    assert!(late.contains("0 files not read"), "{late}");
    assert!(folder.path().join("c/out/report.json").is_file(), "{out}");

    assert!(out.contains("no silent holder tolerated"), "{out}");
    let clipped = "123 of 123 values lay beyond the study's clip bound";
    // In both rounds.
    assert_eq!(out.matches("lay beyond the study's clip bound").count(), 2, "{out}");
    assert!(out.contains("none pinned") && out.contains("round 0: a step is"), "{out}");
    assert!(out.contains(clipped) && out.contains("-0.9 in \"kernel\", to 0.5"), "{out}");
    assert!(out.contains("mean of 3 sites over 123 values"), "{out}");
    let now = out.rsplit_once("study walkthrough (").unwrap().1;
    let row = now.lines().find(|line| line.starts_with("1 ")).unwrap();
    assert!(row.contains("opened  b ") || row.contains("opened      b "), "{now}");
    assert_eq!(row.matches("creoa").count(), 3, "{now}");

    // (0.1 + 0.2 - 0.5) / 3: the third update is clipped at 0.5.
    let mean = Weights::load(&folder.path().join("b/mean.safetensors")).unwrap();
    for value in mean.values() {
        assert!((value + 0.2 / 3.0).abs() < 1.0 / 65535.0, "{value}");
    }
    let model = Weights::load(&folder.path().join("c/model-1.safetensors")).unwrap();
    assert!(model.values().all(|value| (value - 1.0 + 0.2 / 3.0).abs() < 1e-4));
}
