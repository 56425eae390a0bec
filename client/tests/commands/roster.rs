//! Changes of a study's roster, by the commands.

use ringfence_clock::Clock;
use ringfence_federation::Aggregator;

use crate::by_hand::{at, study, write_updates};
use crate::support::ringfence;

/// The digest of what is proposed.
fn digest(said: &str) -> &str {
    let proposed = said.split_once("proposed (").unwrap().1;
    proposed.split_once(')').unwrap().0
}

/// What is proposed outlives a restart, and the administrator may drop it; whoever has signed sends the
/// same signature again, by the same command. Two changes beside each other would be made neither.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_is_sent_again_and_nothing_is_proposed_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_updates(folder);
    let mut aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    study(folder, &aggregator, "study.json", &[]);
    let url = aggregator.url().to_owned();
    let run = |site: &str, command: &[&str]| at(folder, &url, site, command);
    let change = ["study", "change", "--revoke", "c"];
    let far = run("a", &[&change[..], &["--last-round", "1000"]].concat()).unwrap_err();
    assert!(far.contains("expected 100 at most, 100 after the next, got 1000"), "{far}");
    let first = run("a", &change).unwrap();
    assert!(first.contains("needs the signatures of 2 more"), "{first}");
    let beside = run("b", &change).unwrap_err();
    for said in ["is proposed already", digest(&first), "signed by a", "nothing was signed"] {
        assert!(beside.contains(said), "{said}: {beside}");
    }

    aggregator.kill_and_restart().await.unwrap();
    let shown = run("b", &["study", "accept"]).unwrap();
    assert!(shown.contains("signed by a; 2 more"), "{shown}");
    let drop = ["study", "epochs", "--drop", "--token-file", "admin.token", "--server", &url];
    let dropped = ringfence(folder, &drop).unwrap();
    assert!(dropped.contains("dropped what was proposed: "), "{dropped}");
    let nothing = run("b", &["study", "accept"]).unwrap_err();
    assert!(nothing.contains("no change of the roster is proposed"), "{nothing}");
    let again = run("a", &change).unwrap();
    assert_eq!(digest(&again), digest(&first));
    run("b", &["study", "accept", "--yes"]).unwrap();

    aggregator.kill_and_restart().await.unwrap();
    for site in ["b", "a"] {
        let again = run(site, &["study", "accept", "--yes"]).unwrap();
        assert_eq!(digest(&again), digest(&first));
    }
    let made = run("d", &["study", "accept", "--yes"]).unwrap();
    assert!(made.contains("epoch 1 is made"), "{made}");

    // Both keys of a site are shown, to be compared with what it has printed.
    let printed = ringfence(folder, &["keygen", "--site", "b", "--out", "b-new"]).unwrap();
    let rotate = ["study", "change", "--rotate", "b-new/b.public.json", "--new-identity"];
    let rotated = run("b", &[&rotate[..], &["b-new/b.identity"]].concat()).unwrap();
    for what in ["signature key ", "KEM key's digest "] {
        let line = printed.lines().find(|line| line.contains(what)).unwrap();
        assert!(rotated.contains(line), "{line}: {rotated}");
    }
}

/// A site whose state is of before it has signed a change is told so, and signs no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_from_a_backup_is_bound_by_the_signature_that_the_aggregator_has() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_updates(folder);
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    study(folder, &aggregator, "study.json", &[]);
    let run = |site: &str, command: &[&str]| at(folder, aggregator.url(), site, command);
    let copied = |from: &str, to: &str| {
        let mut copy = std::process::Command::new("cp");
        let copy = copy.args(["-R", from, to]).current_dir(folder);
        assert!(copy.status().unwrap().success());
    };
    run("d", &["study", "accept"]).unwrap_err();
    copied("d/state", "d/backup");
    let first = run("d", &["study", "change", "--revoke", "c"]).unwrap();
    std::fs::remove_dir_all(folder.join("d/state")).unwrap();
    copied("d/backup", "d/state");
    let other = ["study", "change", "--revoke", "b", "--beside"];
    let refused = run("d", &other).unwrap_err();
    assert!(refused.contains(&format!("another epoch 1 ({})", digest(&first))), "{refused}");
    let again = run("d", &["study", "accept", "--yes"]).unwrap();
    assert_eq!(digest(&again), digest(&first));
    assert!(again.contains("needs the signatures of 2 more"), "{again}");
}

/// A site that comes to a study whose models are made elsewhere is given the model by hand, and what it
/// checks it by from the others' commands.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_comes_later_takes_part_with_a_framework_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_updates(folder);
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    study(folder, &aggregator, "study.json", &["--initiator-timeout-seconds", "1"]);
    let url = aggregator.url();
    let run = |site: &str, command: &[&str]| at(folder, url, site, command);
    let round = |sites: &[&str], number: u32| {
        let part = |site: &str| {
            let base = match number {
                0 => "model.safetensors".to_owned(),
                _ => format!("{site}/model-0.safetensors"),
            };
            let update = format!("{site}/update.safetensors");
            let out = format!("{site}/mean-{number}.safetensors");
            let model = format!("{site}/model-{number}.safetensors");
            let files = ["--base", &base, "--update", &update, "--out", &out];
            run(site, &[&["round", "--model-out", &model][..], &files].concat()).unwrap()
        };
        std::thread::scope(|scope| sites.iter().for_each(|site| _ = scope.spawn(|| part(site))));
        let model = |site| {
            std::fs::read(folder.join(format!("{site}/model-{number}.safetensors"))).unwrap()
        };
        sites.iter().for_each(|site| assert_eq!(model(site), model(&sites[0]), "{site}"));
    };
    round(&["a", "b", "c", "d"], 0);
    ringfence(folder, &["keygen", "--site", "e", "--out", "e"]).unwrap();
    let enrol = ["study", "change", "--enrol", "e/e.public.json", "--last-round", "0"];
    run("a", &enrol).unwrap();
    for site in ["b", "c", "d", "e"] {
        run(site, &["study", "accept", "--yes"]).unwrap();
    }
    for file in ["update", "model-0"] {
        let of = |site: &str| folder.join(format!("{site}/{file}.safetensors"));
        std::fs::copy(of("a"), of("e")).unwrap();
    }
    round(&["a", "b", "c", "d", "e"], 1);
    let files = ["--base", "a/model-1.safetensors", "--update", "a/update.safetensors"];
    let out = ["round", "--round", "9", "--out", "x", "--model-out", "y"];
    let ahead = run("a", &[&out[..], &files].concat()).unwrap_err();
    assert!(ahead.contains("--round 9: expected 2 at most"), "{ahead}");
}
