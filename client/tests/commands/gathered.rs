//! A study whose signatures the aggregator gathers: `study register`, `study fetch`, `study sign --server`.

use std::fs;
use std::path::Path;

use ringfence_clock::Clock;
use ringfence_crypto::statement::SignedStudy;
use ringfence_federation::Aggregator;
use ringfence_weights::Weights;

use crate::support::{command, ringfence};

const SITES: [&str; 3] = ["a", "b", "c"];

/// An aggregator, three identities, one more that is on no roster, and the study's file in `study.json`.
async fn prepare(folder: &Path) -> Aggregator {
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    let run = |arguments: &[&str]| ringfence(folder, arguments).unwrap();
    let model = Weights::from_values(&[("w".to_owned(), vec![10])], vec![0.0; 10]).unwrap();
    model.save(&folder.join("model.safetensors")).unwrap();
    SITES.iter().chain(&["stranger"]).for_each(|site| _ = run(&["keygen", "--site", site]));
    run(&["keygen", "--site", "b", "--out", "other"]);
    run(&new("gathered", &aggregator.public_key().to_string(), "study.json"));
    aggregator
}

fn new<'a>(name: &'a str, key: &'a str, out: &'a str) -> Vec<&'a str> {
    let mut new = vec!["study", "new", "--name", name, "--aggregator-key", key, "--out", out];
    new.extend(["--model", "model.safetensors", "--training", "none", "--clip", "0.5"]);
    new.extend(["--site", "a.public.json", "--site", "b.public.json", "--site", "c.public.json"]);
    new
}

/// The word after this one.
fn after<'a>(said: &'a str, word: &str) -> &'a str {
    let mut words = said.split_whitespace().skip_while(|said| *said != word).skip(1);
    words.next().unwrap().trim_end_matches(':')
}

fn signatures(path: &Path) -> Vec<String> {
    let study = SignedStudy::parse(&fs::read(path).unwrap()).unwrap();
    study.signatures.iter().map(|signature| signature.site.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_is_registered_with_the_last_signature_wherever_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut aggregator = prepare(folder).await;
    let (url, key) = (aggregator.url().to_owned(), aggregator.public_key().to_string());
    let run = |arguments: &[&str]| ringfence(folder, arguments);
    let with = |arguments: &[&str]| run(&[arguments, &["--server", &url]].concat());
    let admin = ["--admin-token-file", "admin.token"];
    let sign = |site: &str, file: &str| {
        let identity = format!("{site}.identity");
        with(&["study", "sign", "--study", file, "--identity", &identity])
    };

    // One has signed by hand; the file waits for the others.
    run(&["study", "sign", "--identity", "a.identity"]).unwrap();
    let said = with(&[&["study", "register"][..], &admin].concat()).unwrap();
    assert!(
        said.contains(": 1 of 3 have signed, not yet b, c; it is registered once all"),
        "{said}"
    );
    let digest = after(&said, "study").to_owned();
    assert_eq!(digest.len(), 64, "{said}");

    // Another one fetches it by its digest, to review it, and signs.
    let fetch = |site: &str, out: &str, extra: &[&str]| {
        let identity = format!("{site}.identity");
        let words = ["study", "fetch", "--identity", &identity, "--out", out];
        with(&[&words[..], extra].concat())
    };
    let error = fetch("c", "of-c.json", &[]).unwrap_err();
    assert!(error.contains("give the study's digest by --digest"), "{error}");
    let error = fetch("stranger", "no.json", &["--digest", &digest]).unwrap_err();
    assert!(error.contains("(403)") && error.contains("is not on the roster"), "{error}");
    let said = fetch("c", "of-c.json", &["--digest", &digest]).unwrap();
    assert!(said.contains("1 of 3 have signed, not yet b, c"), "{said}");
    assert!(said.contains("as it stands; `ringfence study show`"), "{said}");
    let error = fetch("c", "of-c.json", &["--registered"]).unwrap_err();
    assert!(error.contains("is not registered yet: 1 of 3 have signed"), "{error}");
    let said = sign("c", "of-c.json").unwrap();
    assert!(said.starts_with("c signed; 2 of 3 have signed, not yet b; "), "{said}");
    assert_eq!(signatures(&folder.join("of-c.json")), ["a", "c"]);
    // A restart forgets nothing, and whoever is not sure sends the same again.
    aggregator.kill_and_restart().await.unwrap();
    let said = sign("c", "of-c.json").unwrap();
    assert!(said.starts_with("c signed; 2 of 3 have signed, not yet b; "), "{said}");
    let said =
        with(&[&["study", "drafts", "--aggregator-key", &key][..], &admin].concat()).unwrap();
    assert!(said.contains(&format!("study {digest} (gathered): 2 of 3")), "{said}");

    // Who is not to sign, does not: neither by another key, nor off the roster.
    for site in ["stranger", "other/b"] {
        let error = sign(site, "study.json").unwrap_err();
        assert!(error.contains("roster"), "{site}: {error}");
    }
    assert_eq!(signatures(&folder.join("study.json")), ["a"]);

    let said = sign("b", "study.json").unwrap();
    assert!(said.contains(&format!("all 3 have signed: study {digest} is registered")), "{said}");
    // Everybody gets the complete file, over the one that is there.
    for (site, out) in [("a", "study.json"), ("c", "of-c.json"), ("c", "new.json")] {
        let digest = if out == "new.json" { &["--digest", &*digest][..] } else { &[] };
        let said = fetch(site, out, &[digest, &["--registered"]].concat()).unwrap();
        assert!(said.contains("sound and signed by all"), "{said}");
        let said = run(&["study", "verify", "--study", out]).unwrap();
        assert!(said.contains("signed by all 3 sites"), "{said}");
    }
    // Nor is a file of something else replaced without a word.
    fs::write(folder.join("notes.txt"), "notes").unwrap();
    let error = fetch("a", "notes.txt", &["--digest", &digest]).unwrap_err();
    assert!(error.contains("--force"), "{error}");
    // Afterwards it is said that it is registered.
    let said = sign("b", "study.json").unwrap();
    assert!(said.contains("is registered"), "{said}");
    let said = with(&[&["study", "register"][..], &admin].concat()).unwrap();
    assert!(said.contains(&format!("registered study {digest}")), "{said}");
    let said =
        with(&[&["study", "drafts", "--aggregator-key", &key][..], &admin].concat()).unwrap();
    assert_eq!(said, "no study waits for signatures\n");
    with(&["status", "--identity", "a.identity"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_draft_nothing_is_signed_away_and_a_removed_one_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = prepare(folder).await;
    let (url, key) = (aggregator.url().to_owned(), aggregator.public_key().to_string());
    let run = |arguments: &[&str]| ringfence(folder, arguments);
    let with = |arguments: &[&str]| run(&[arguments, &["--server", &url]].concat());
    let admin = ["--admin-token-file", "admin.token"];
    let sign = ["study", "sign", "--identity", "a.identity"];

    // Before the administrator has posted it.
    let error = with(&sign).unwrap_err();
    assert!(error.contains("(404)") && error.contains("the administrator posts"), "{error}");
    // Another study of the same sites is another one.
    let said = with(&[&["study", "register"][..], &admin].concat()).unwrap();
    let digest = after(&said, "study").to_owned();
    run(&new("another", &aggregator.public_key().to_string(), "another.json")).unwrap();
    let error = with(&[&sign[..], &["--study", "another.json"]].concat()).unwrap_err();
    assert!(error.contains("no draft of study"), "{error}");
    // The environment's server is for other commands: signing by hand sends nothing.
    let mut by_hand = command(folder, &["study", "sign", "--identity", "b.identity"]);
    let by_hand = by_hand.env("RINGFENCE_SERVER", &url).output().unwrap();
    assert!(by_hand.status.success(), "{by_hand:?}");
    let said =
        with(&[&["study", "drafts", "--aggregator-key", &key][..], &admin].concat()).unwrap();
    assert!(said.contains("0 of 3 have signed, not yet a, b, c"), "{said}");

    let remove =
        [&["study", "drafts", "--aggregator-key", &key, "--remove", &digest][..], &admin].concat();
    let said = with(&remove).unwrap();
    assert!(said.contains(&format!("removed study {digest}: 0 of 3 have signed")), "{said}");
    let error = with(&remove).unwrap_err();
    assert!(error.contains("(404)"), "{error}");
    let error = with(&sign).unwrap_err();
    assert!(error.contains("perhaps removed"), "{error}");
    // What was not taken is not in the file either; what is in it is posted with it.
    assert_eq!(signatures(&folder.join("study.json")), ["b"]);
    let said = with(&[&["study", "register"][..], &admin].concat()).unwrap();
    assert!(said.contains("1 of 3 have signed, not yet a, c"), "{said}");
    with(&sign).unwrap();
    let said = with(&["study", "sign", "--identity", "c.identity"]).unwrap();
    assert!(said.contains("is registered"), "{said}");
}
