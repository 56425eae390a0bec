//! Where results go is looked at before the work that they come from, in every command.

use crate::predict::{known_model, write};
use crate::support::ringfence;

/// RFC 8032, test 1: a public key.
const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

#[test]
fn a_place_that_takes_no_result_is_told_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mine = folder.join("mine");
    std::fs::write(&mine, "mine").unwrap();
    std::fs::create_dir(folder.join("full")).unwrap();
    std::fs::write(folder.join("full/report.json"), "mine").unwrap();
    ringfence(folder, &["init", "--side", "16"]).unwrap();
    ["a", "b", "c"]
        .iter()
        .for_each(|site| _ = ringfence(folder, &["keygen", "--site", site]).unwrap());
    std::fs::remove_file(folder.join("c.identity")).unwrap();

    let new = ["study", "new", "--name", "t", "--aggregator-key", KEY, "--clip", "0.5"];
    let sites = ["--site", "a.public.json", "--site", "b.public.json", "--site", "c.public.json"];
    let new = [&new[..], &sites[..], &["--model", "model.safetensors"]].concat();
    let member = ["--identity", "none", "--state", "s", "--server", "http://127.0.0.1:1"];
    let mean = [&["mean", "--base", "none", "--model-out", "other"], &member[..]].concat();
    let join = [&["join", "--model", "none", "--data", "none"], &member[..]].concat();
    let init = ["init", "--side", "16"];
    let predict = ["predict", "--model", "model.safetensors", "mine"];
    let exists = "mine: it exists already; give another name, or replace it by --force";
    let below = "there is no folder none; make it first";
    let is_folder = "expected a file's name, got a folder's";
    let is_file = "expected a folder, got the file mine; name another one";
    let holds = "full: expected an empty or a new folder";
    for (command, out, expected) in [
        (&init[..], "mine", exists),
        (&init, "none/m", below),
        (&init, "full", is_folder),
        (&[&init[..], &["--force"]].concat(), "full", is_folder),
        (&new, "mine", exists),
        (&new, "none/m", below),
        (&new, "full", is_folder),
        // Nobody is asked: neither the base nor the identity is there.
        (&mean, "mine", exists),
        (&mean, "none/m", below),
        (&mean, "full", is_folder),
        (&mean, "other", "expected two files, got other for both"),
        (&join, "mine", is_file),
        (&join, "mine/out", is_file),
        (&["keygen", "--site", "d"], "mine", is_file),
        (&["keygen", "--site", "c"], ".", "c.public.json: it exists already; an identity is never"),
        (&predict, "mine", is_file),
        (&predict, "full", holds),
        (&["demo"], "mine", is_file),
        (&["demo"], "full", holds),
    ] {
        let command = [command, &["--out", out]].concat();
        let error = ringfence(folder, &command).unwrap_err();
        assert!(error.contains(expected), "{command:?}: {error}");
    }
    // Nothing was written over, and no secret made whose public half is not.
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
    assert!(!folder.join("c.identity").exists());
    ringfence(folder, &[&init[..], &["--out", "mine", "--force"]].concat()).unwrap();
    assert_ne!(std::fs::read(&mine).unwrap(), b"mine");
}

/// A file that can be made and not filled, as on a full disk.
#[cfg(unix)]
#[test]
fn a_table_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let init = ["--task", "classification", "--model", "dense", "--classes", "well,ill"];
    known_model(folder, &init, |_, _| 0.0);
    write(&folder.join("images/a.png"), (20, 20), |x, y| (x * 3 + y * 2) as u8);
    let predict = "trap '' XFSZ; ulimit -f 0; exec \"$0\" predict --model model.safetensors images";
    let output = std::process::Command::new("bash")
        .args(["-c", predict, env!("CARGO_BIN_EXE_ringfence")])
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("cannot write out/predictions.csv: "), "{said}");
    // Nothing that is empty or half is left.
    assert_eq!(std::fs::read_dir(folder.join("out")).unwrap().count(), 0);
}

/// The name that a file has while it is written says nothing to whoever named the file.
#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_filled_is_named_once_and_not_left() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    known_model(folder, &["--model", "unet-light"], |_, _| 0.0);
    write(&folder.join("images/a.png"), (20, 20), |x, y| (x * 3 + y * 2) as u8);
    ["a", "b", "c"]
        .iter()
        .for_each(|site| _ = ringfence(folder, &["keygen", "--site", site]).unwrap());
    let new = format!(
        "study new --name t --aggregator-key {KEY} --clip 0.5 --site a.public.json --site b.public.json --site c.public.json --model model.safetensors"
    );
    for (command, file) in [
        ("keygen --site d", "./d.identity"),
        (&new, "study.json"),
        ("init --side 16 --out other", "other"),
        ("predict --model model.safetensors images", "out/0000-a-mask.png"),
    ] {
        let limited = format!("trap '' XFSZ; ulimit -f 0; exec \"$0\" {command}");
        let output = std::process::Command::new("bash")
            .args(["-c", &limited, env!("CARGO_BIN_EXE_ringfence")])
            .current_dir(folder)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{command}");
        let name = file.rsplit('/').next().unwrap();
        let is_told = said.contains(name) && said.contains("File too large");
        assert!(is_told && !said.contains("at path") && !said.contains(".unfinished"), "{said}");
        assert!(!folder.join(file).exists(), "{file}");
    }
    assert_eq!(std::fs::read_dir(folder.join("out")).unwrap().count(), 0);
}
