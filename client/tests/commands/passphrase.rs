//! Identities under a passphrase and in the environment.

use std::path::Path;

use crate::support::command;

const PASSPHRASE: &str = "correct horse battery";

/// Runs the command with these variables: its output, or what it says on failing.
fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<String, String> {
    let mut command = command(folder, arguments);
    command.env_remove("RINGFENCE_IDENTITY").env_remove("RINGFENCE_PASSPHRASE");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

#[test]
fn an_identity_may_lie_under_a_passphrase_or_in_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let unlocked = [("RINGFENCE_PASSPHRASE", PASSPHRASE)];
    let refused = |result: Result<String, String>, said: &str| {
        let error = result.unwrap_err();
        assert!(error.contains(said), "{said:?} in {error}");
        assert!(!error.contains(PASSPHRASE), "{error}");
    };
    let locked = ["keygen", "--site", "a", "--passphrase"];
    refused(run(folder, &locked, &[]), "no terminal to ask for it: put it into the environment");
    refused(run(folder, &locked, &[("RINGFENCE_PASSPHRASE", "short")]), "at least 12 characters");
    assert!(!folder.join("a.identity").exists());
    run(folder, &locked, &unlocked).unwrap();
    run(folder, &["keygen", "--site", "b"], &[]).unwrap();
    let plain = run(folder, &["keygen", "--site", "plain"], &unlocked).unwrap();
    assert!(plain.contains("warning: the secret file is not under a passphrase"), "{plain}");
    run(folder, &["keygen", "--site", "c"], &[]).unwrap();
    let file = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let text = file("a.identity");
    assert!(text.starts_with("ringfence identity under a passphrase, version 1\na\nargon2id "));

    let shapes = [("w".to_owned(), vec![10])];
    let model = ringfence_weights::Weights::from_values(&shapes, vec![0.0; 10]).unwrap();
    model.save(&folder.join("model.safetensors")).unwrap();
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let mut new = vec!["study", "new", "--name", "x", "--aggregator-key", key];
    new.extend(["--model", "model.safetensors", "--training", "none", "--clip", "0.5"]);
    new.extend(["--site", "b.public.json", "--site", "c.public.json", "--site"]);
    refused(run(folder, &[&new[..], &["a.identity"]].concat(), &[]), "got a secret identity");
    run(folder, &[&new[..], &["a.public.json"]].concat(), &[]).unwrap();

    let sign = ["study", "sign"];
    let by_file = ["study", "sign", "--identity", "a.identity"];
    refused(run(folder, &sign, &[]), "--identity FILE, or its text in the environment variable");
    refused(run(folder, &by_file, &[]), "the environment variable RINGFENCE_PASSPHRASE");
    // One whose first line was altered is no plain identity, and nobody is asked for its passphrase.
    std::fs::write(folder.join("damaged"), text.replacen("ringfence", "Ringfence", 1)).unwrap();
    let damaged = ["study", "sign", "--identity", "damaged"];
    refused(run(folder, &damaged, &[]), "first line is not `ringfence identity under a passphrase");
    refused(run(folder, &damaged, &unlocked), "it is damaged or altered");
    let wrong = [("RINGFENCE_PASSPHRASE", "correct horse batterz")];
    refused(run(folder, &by_file, &wrong), "a.identity: the passphrase does not open the identity");
    assert!(run(folder, &by_file, &unlocked).unwrap().contains("a signed"));
    let (b, c) = (file("b.identity"), file("c.identity"));
    assert!(run(folder, &sign, &[("RINGFENCE_IDENTITY", &b)]).unwrap().contains("b signed"));
    // The file that is named counts.
    let named = ["study", "sign", "--identity", "c.identity"];
    assert!(run(folder, &named, &[("RINGFENCE_IDENTITY", &b)]).unwrap().contains("c signed"));
    refused(run(folder, &sign, &[("RINGFENCE_IDENTITY", &c[..9])]), "RINGFENCE_IDENTITY: expected");
    let both = [unlocked[0], ("RINGFENCE_IDENTITY", text.as_str())];
    refused(run(folder, &sign, &both), "signed already");
}
