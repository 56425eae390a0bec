//! Executes every `sh` block of docs/by_hand.md, in order, in one shell: a round of four sites, one of
//! them without a network; and what is said of bundles that are wrong.

use std::path::Path;
use std::process::Command;

use ringfence_clock::Clock;
use ringfence_federation::Aggregator;
use ringfence_weights::Weights;

use crate::support::{binaries, ringfence};

pub(crate) const SITES: [&str; 4] = ["d", "a", "b", "c"];

/// The ends of the clip range, which quantizing leaves as they are: the mean has no chance in it.
fn update(site: usize) -> Vec<f32> {
    (0..123).map(|at| if (at + site).is_multiple_of(site + 2) { 0.5 } else { -0.5 }).collect()
}

fn save(path: &Path, values: Vec<f32>) {
    let shapes = [("bias".to_owned(), vec![3]), ("kernel".to_owned(), vec![3, 40])];
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    Weights::from_values(&shapes, values).unwrap().save(path).unwrap();
}

pub(crate) fn write_updates(folder: &Path) {
    save(&folder.join("model.safetensors"), vec![1.0; 123]);
    for (number, site) in SITES.iter().enumerate() {
        save(&folder.join(site).join("update.safetensors"), update(number));
    }
}

/// The blocks, as one script that stops at the first failure, and keeps each bundle.
fn script(port: u16) -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/by_hand.md"));
    let page = page.unwrap().replace("8751", &port.to_string());
    let blocks: Vec<&str> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 9, "the page has lost its blocks");
    let keep = "kept=0\nringfence() {\n  command ringfence \"$@\" || return\n  if [ \"$1\" = bundle ]; then\n    kept=$((kept + 1)); cp ./*.bundle \"$(mktemp -d -p bundles)\"\n  fi\n}\n";
    format!("set -euo pipefail\nmkdir bundles\n{keep}{}", blocks.join("\n"))
}

fn mean(path: &Path) -> Vec<u32> {
    Weights::load(path).unwrap().values().map(f32::to_bits).collect()
}

/// The marks of each site in a round: what it has said.
fn marks(folder: &Path, url: &str) -> String {
    let arguments = ["status", "--token-file", "admin.token", "--server", url];
    let status = ringfence(folder, &arguments).unwrap();
    let row = status.lines().find(|line| line.starts_with("0 ")).unwrap();
    let marks = row.split_whitespace().filter(|word| word.chars().all(|c| "creoa.-!".contains(c)));
    marks.collect::<Vec<_>>().join(" ")
}

/// Every bundle that was written.
fn bundles(folder: &Path) -> Vec<std::path::PathBuf> {
    let folders = std::fs::read_dir(folder.join("bundles")).unwrap();
    let files = folders.flat_map(|of| std::fs::read_dir(of.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_round_has_the_mean_of_one_on_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_updates(folder);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap());
    let last = "\nringfence status --study study.json --token-file admin.token\n";
    let output = Command::new("bash")
        .args(["-c", &format!("trap 'kill $(jobs -p) 2>/dev/null' EXIT\n{}{last}", script(port))])
        .current_dir(folder)
        .env("PATH", path)
        .env_remove("RINGFENCE_SERVER")
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    for said in [
        "the opening of a round is in the outbox",
        "to the aggregator: the round keys of d",
        "to the aggregator: the body of d in round 0",
        "taken: the header of d in round 0",
        "taken: the review of d in round 0",
        "taken: the endorsement of d in round 0",
        "taken: the opening of d in round 0",
        "taken: the acknowledgement of d in round 0",
        "round 0: endorsed the closing and opened its certified set",
        "mean of 4 sites over 123 values",
    ] {
        assert!(out.contains(said), "{said}: {out}\n{err}");
    }
    assert!(!out.contains("refused by the aggregator"), "{out}");
    let row = out.lines().rev().find(|line| line.starts_with("0 ")).unwrap();
    assert_eq!(row.matches("creoa").count(), 4, "{row}");

    // The same updates, all on the network.
    let other = tempfile::tempdir().unwrap();
    let other = other.path();
    write_updates(other);
    let aggregator = Aggregator::start(other, Clock::system()).await.unwrap();
    on_the_network(other, &aggregator);
    for site in SITES {
        let file = Path::new(site).join("mean.safetensors");
        assert_eq!(mean(&folder.join(&file)), mean(&other.join(&file)), "{site}");
    }
    assert_eq!(marks(other, aggregator.url()), "creoa creoa creoa creoa");

    // Nothing that is the site's alone left it.
    let identity = std::fs::read_to_string(folder.join("d/d.identity")).unwrap();
    let secrets: Vec<&str> = identity.lines().skip(1).collect();
    assert_eq!(secrets.len(), 2);
    let update: Vec<u8> = update(0).iter().take(12).flat_map(|value| value.to_le_bytes()).collect();
    let bundles = bundles(folder);
    assert!(bundles.len() > 20, "{bundles:?}");
    for path in bundles {
        let bytes = std::fs::read(&path).unwrap();
        for secret in &secrets {
            assert!(!contains(&bytes, secret.as_bytes()), "{}", path.display());
            let raw: Vec<u8> = (0..32)
                .map(|at| u8::from_str_radix(&secret[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            assert!(!contains(&bytes, &raw), "{}", path.display());
        }
        assert!(!contains(&bytes, &update), "{}", path.display());
    }
}

/// A study of these sites on the network, and a round of it.
fn on_the_network(folder: &Path, aggregator: &Aggregator) {
    study(folder, aggregator, "study.json", &[]);
    let url = aggregator.url();
    at(folder, url, "d", &["open", "--base", "model.safetensors"]).unwrap();
    for site in SITES {
        contribute(folder, url, site).unwrap();
    }
    all(|site| at(folder, url, site, &["hold"]).unwrap());
    all(|site| {
        let (out, model) =
            (format!("{site}/mean.safetensors"), format!("{site}/model-1.safetensors"));
        let files = ["--base", "model.safetensors", "--out", &out, "--model-out", &model];
        at(folder, url, site, &[&["mean"][..], &files].concat()).unwrap()
    });
}

/// At all sites at the same time.
fn all(run: impl Fn(&str) -> String + Sync) {
    std::thread::scope(|scope| {
        SITES.iter().for_each(|site| _ = scope.spawn(|| run(site)));
    });
}

fn contribute(folder: &Path, url: &str, site: &str) -> Result<String, String> {
    let update = format!("{site}/update.safetensors");
    at(folder, url, site, &["contribute", "--base", "model.safetensors", "--update", &update])
}

/// A command of a site.
pub(crate) fn at(folder: &Path, url: &str, site: &str, command: &[&str]) -> Result<String, String> {
    let (identity, state) = (format!("{site}/{site}.identity"), format!("{site}/state"));
    let member = ["--identity", &identity, "--state", &state, "--server", url];
    ringfence(folder, &[command, &member].concat())
}

/// A bundle command of a site.
fn by_hand(folder: &Path, site: &str, command: &[&str]) -> Result<String, String> {
    let (identity, state) = (format!("{site}/{site}.identity"), format!("{site}/state"));
    let member = ["--identity", &identity, "--state", &state];
    ringfence(folder, &[&["bundle"], command, &member].concat())
}

fn export(folder: &Path, out: &str) -> Result<String, String> {
    by_hand(folder, "d", &["export", "--carrier", "carrier.public.json", "--out", out])
}

fn import(folder: &Path, file: &str) -> Result<String, String> {
    by_hand(folder, "d", &["import", file])
}

fn carry(folder: &Path, url: &str, from: &str, to: &str) -> Result<String, String> {
    let key = ["--key", "carrier.identity", "--server", url];
    ringfence(folder, &[&["bundle", "carry", from, "--out", to], &key[..]].concat())
}

pub(crate) fn study(folder: &Path, aggregator: &Aggregator, file: &str, extra: &[&str]) {
    let run = |arguments: &[&str]| ringfence(folder, arguments).unwrap();
    for site in SITES {
        if !folder.join(site).join(format!("{site}.identity")).exists() {
            run(&["keygen", "--site", site, "--out", site]);
        }
    }
    let key = aggregator.public_key().to_string();
    let mut new = vec!["study", "new", "--name", file, "--aggregator-key", &key, "--out", file];
    new.extend(["--model", "model.safetensors", "--training", "none", "--clip", "0.5"]);
    new.extend(["--min-round-seconds", "5"]);
    new.extend(extra);
    let public = SITES.map(|site| format!("{site}/{site}.public.json"));
    public.iter().for_each(|site| new.extend(["--site", site]));
    run(&new);
    for site in SITES {
        let identity = format!("{site}/{site}.identity");
        run(&["study", "sign", "--study", file, "--identity", &identity]);
    }
    let register = ["study", "register", "--study", file, "--admin-token-file", "admin.token"];
    run(&[&register[..], &["--server", aggregator.url()]].concat());
}

/// A study that waits for its first round; bundle `0` is the first one for site d.
async fn prepared(folder: &Path) -> Aggregator {
    write_updates(folder);
    let aggregator = Aggregator::start(folder, Clock::system()).await.unwrap();
    study(folder, &aggregator, "study.json", &["--initiator-timeout-seconds", "1"]);
    ringfence(folder, &["keygen", "--site", "carrier"]).unwrap();
    ringfence(folder, &["keygen", "--site", "stranger"]).unwrap();
    export(folder, "from-0").unwrap();
    carry(folder, aggregator.url(), "from-0", "to-0").unwrap();
    import(folder, "to-0").unwrap();
    aggregator
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_bundle_is_refused_with_the_reason_and_the_right_one_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = prepared(folder).await;
    let url = aggregator.url();
    let refused = |result: Result<String, String>, said: &[&str]| {
        let error = result.unwrap_err();
        said.iter().for_each(|said| assert!(error.contains(said), "{said:?} in {error}"));
    };
    assert!(import(folder, "to-0").unwrap().contains("imported before; nothing has changed"));

    // Bundles say in whole seconds when they were fetched.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    // A lost bundle is made again: the round keys stay in it until an answer has come.
    let first = export(folder, "from-1").unwrap();
    let again = export(folder, "from-1-again").unwrap();
    for said in [&first, &again] {
        assert!(said.contains("to the aggregator: the round keys of d"), "{said}");
    }
    refused(export(folder, "from-1"), &["from-1", "--force"]);
    for (from, to) in [("from-1-again", "to-1"), ("from-1", "to-2")] {
        let carried = carry(folder, url, from, to).unwrap();
        assert!(carried.contains("taken: the round keys of d"), "{carried}");
    }
    let imported = import(folder, "to-2").unwrap();
    assert!(imported.contains("taken: the round keys of d"), "{imported}");
    assert!(!export(folder, "from-2").unwrap().contains("to the aggregator"));
    refused(import(folder, "to-0"), &["to-0 is older than the bundle that was imported last"]);

    // Every byte is held by a digest: client/site/src/by_hand/bundle/tests.rs alters each.
    let whole = std::fs::read(folder.join("to-2")).unwrap();
    for at in [0, 40, whole.len() / 2, whole.len() - 60, whole.len() - 1] {
        let mut altered = whole.clone();
        altered[at] ^= 0x20;
        std::fs::write(folder.join("altered"), &altered).unwrap();
        refused(import(folder, "altered"), &["altered is no"]);
    }
    std::fs::write(folder.join("altered"), &whole[..whole.len() - 100]).unwrap();
    refused(import(folder, "altered"), &["altered is not as it was written: it is cut short"]);
    refused(carry(folder, url, "altered", "to-3"), &["altered is not as it was written"]);
    std::fs::write(folder.join("altered"), "a letter").unwrap();
    refused(import(folder, "altered"), &["altered is no bundle"]);

    // Of the wrong kind, for another site, of another study, by another carrier.
    refused(import(folder, "from-1"), &["goes to the aggregator", "to the site is needed here"]);
    refused(carry(folder, url, "to-2", "to-3"), &["goes to the site", "to the aggregator is"]);
    refused(by_hand(folder, "a", &["import", "to-2"]), &["to-2 is for site d, and this is site a"]);
    study(folder, &aggregator, "other.json", &[]);
    let other = by_hand(folder, "d", &["import", "to-2", "--study", "other.json"]);
    refused(other, &["to-2 is of study ", ", and this is study "]);
    let stranger = ["bundle", "carry", "from-2", "--out", "to-3", "--key", "stranger.identity"];
    let stranger = ringfence(folder, &[&stranger[..], &["--server", url]].concat());
    refused(stranger, &["from-2 permits the carrier with the key", "--carrier stranger.public"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = Aggregator::start(elsewhere.path(), Clock::system()).await.unwrap();
    let carried = carry(folder, elsewhere.url(), "from-2", "to-3");
    refused(carried, &["is not the study's aggregator", "nothing was sent to it"]);
    assert!(!folder.join("to-3").exists(), "a bundle for the site all the same");

    // A round that no bundle knows of, and a command that asks the aggregator itself.
    let ahead = at(folder, "by-hand", "d", &["hold", "--round", "7"]).unwrap();
    assert!(ahead.contains("no round is open, and nothing more can be done"), "{ahead}");
    let status = ["status", "--token-file", "admin.token", "--server", "by-hand"];
    refused(ringfence(folder, &status), &["this command asks the aggregator itself"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_late_is_said_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = prepared(folder).await;
    let url = aggregator.url();
    export(folder, "from-1").unwrap();
    at(folder, url, "a", &["open", "--base", "model.safetensors", "--seconds", "60"]).unwrap();
    carry(folder, url, "from-1", "to-1").unwrap();
    import(folder, "to-1").unwrap();
    std::thread::scope(|scope| {
        for site in ["a", "b", "c"] {
            scope.spawn(move || contribute(folder, url, site).unwrap());
        }
    });
    let made = contribute(folder, "by-hand", "d").unwrap();
    assert!(made.contains("the contribution of d to round 0 is in the outbox"), "{made}");
    // The same again is the same, and in the outbox once.
    let again = contribute(folder, "by-hand", "d").unwrap();
    assert!(again.contains("that contribution is sent again"), "{again}");
    let exported = export(folder, "from-2").unwrap();
    assert_eq!(exported.matches("the header of d in round 0").count(), 1, "{exported}");
    let reviewing = || {
        let arguments = ["status", "--token-file", "admin.token", "--server", url];
        ringfence(folder, &arguments).unwrap().contains("reviewing")
    };
    while !reviewing() {
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    let carried = carry(folder, url, "from-2", "to-2").unwrap();
    let late = "refused by the aggregator: the header of d in round 0: ";
    assert!(carried.contains(late) && carried.contains("round 0 is being reviewed"), "{carried}");
    let imported = import(folder, "to-2").unwrap();
    assert!(imported.contains(late), "{imported}");
    let error = contribute(folder, "by-hand", "d").unwrap_err();
    assert!(error.contains("the aggregator refused (409)"), "{error}");
    // It holds keys in that round all the same.
    let held = at(folder, "by-hand", "d", &["hold"]).unwrap();
    assert!(
        held.contains("round 0 is being reviewed by its key holders, and nothing more"),
        "{held}"
    );
    assert!(export(folder, "from-3").unwrap().contains("the review of d in round 0"));
    let carried = carry(folder, url, "from-3", "to-3").unwrap();
    assert!(carried.contains("taken: the review of d in round 0"), "{carried}");
}

/// A change of the roster goes by bundles like all else: it is seen, signed, made, and gone on under.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_without_a_network_signs_a_change_of_the_roster_and_goes_on_under_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = prepared(folder).await;
    let url = aggregator.url();
    let trips = std::cell::Cell::new(0);
    let trip = || {
        trips.set(trips.get() + 1);
        let (from, to) = (format!("from-trip-{}", trips.get()), format!("to-trip-{}", trips.get()));
        export(folder, &from).unwrap();
        let carried = carry(folder, url, &from, &to).unwrap();
        import(folder, &to).unwrap();
        carried
    };
    trip();
    let change = ["study", "change", "--revoke", "c", "--last-round", "0"];
    at(folder, url, "a", &change).unwrap();
    trip();
    let shown = at(folder, "by-hand", "d", &["study", "accept"]).unwrap();
    assert!(shown.contains("c is put out") && shown.contains("not signed"), "{shown}");
    let signed = at(folder, "by-hand", "d", &["study", "accept", "--yes"]).unwrap();
    assert!(signed.contains("the proposed change of the roster is in the outbox"), "{signed}");
    let carried = trip();
    assert!(carried.contains("taken: the proposed change of the roster"), "{carried}");
    let made = at(folder, url, "b", &["study", "accept", "--yes"]).unwrap();
    assert!(made.contains("epoch 1 is made"), "{made}");

    for (round, sites) in [(0, &["a", "b", "c"][..]), (1, &["a", "b"])] {
        let part = |site: &str, server: &str| {
            let base = match round {
                0 => "model.safetensors".to_owned(),
                _ => format!("{site}/model-0.safetensors"),
            };
            let update = format!("{site}/update.safetensors");
            let out = format!("{site}/mean-{round}.safetensors");
            let model = format!("{site}/model-{round}.safetensors");
            let files =
                ["--base", &base, "--update", &update, "--out", &out, "--model-out", &model];
            at(folder, server, site, &[&["round", "--seconds", "60"][..], &files].concat())
        };
        std::thread::scope(|scope| {
            for site in sites {
                scope.spawn(|| part(site, url).unwrap());
            }
            let mut said = String::new();
            for _ in 0..12 {
                said = part("d", "by-hand").unwrap();
                if said.contains("mean of") {
                    break;
                }
                trip();
            }
            let all = format!("mean of {} sites over 123 values", sites.len() + 1);
            assert!(said.contains(&all), "round {round}: {said}");
        });
        let model = |site: &str| {
            std::fs::read(folder.join(format!("{site}/model-{round}.safetensors"))).unwrap()
        };
        assert_eq!(model("a"), model("d"), "round {round}");
    }
    trip();
    let status = ["status", "--token-file", "admin.token", "--server", url];
    let status = ringfence(folder, &status).unwrap();
    let row = status.lines().find(|line| line.starts_with("1 ")).unwrap();
    assert_eq!(row.matches("creoa").count(), 3, "{status}");
}

/// A site that comes by a change of the roster signs it by files, and is a member then.
#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_without_a_network_signs_its_enrolment() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = prepared(folder).await;
    let url = aggregator.url();
    ringfence(folder, &["keygen", "--site", "e", "--out", "e"]).unwrap();
    let trips = std::cell::Cell::new(0);
    let trip = || {
        trips.set(trips.get() + 1);
        let (from, to) = (format!("from-e-{}", trips.get()), format!("to-e-{}", trips.get()));
        let carrier = ["export", "--carrier", "carrier.public.json", "--out", &from];
        let exported = by_hand(folder, "e", &carrier).unwrap();
        let carried = carry(folder, url, &from, &to);
        let carried = carried.inspect(|_| drop(by_hand(folder, "e", &["import", &to]).unwrap()));
        (exported, carried)
    };
    let accept = |site: &str, server: &str, more: &[&str]| {
        at(folder, server, site, &[&["study", "accept"], more].concat())
    };
    // Nobody has proposed it yet: the aggregator shows a stranger nothing.
    let (_, carried) = trip();
    assert!(carried.unwrap_err().contains("e is not on the study's roster"));
    let said = accept("e", "by-hand", &[]).unwrap();
    assert!(said.contains("no bundle was imported yet"), "{said}");

    let change = ["study", "change", "--enrol", "e/e.public.json", "--last-round", "0"];
    at(folder, url, "a", &change).unwrap();
    for site in ["b", "c", "d"] {
        accept(site, url, &["--yes"]).unwrap();
    }
    trip().1.unwrap();
    let shown = accept("e", "by-hand", &[]).unwrap();
    assert!(shown.contains("e comes, with these keys") && shown.contains("not signed"), "{shown}");
    let signed = accept("e", "by-hand", &["--yes"]).unwrap();
    assert!(signed.contains("the proposed change of the roster is in the outbox"), "{signed}");
    let (exported, carried) = trip();
    assert!(exported.contains("to the aggregator: the proposed change"), "{exported}");
    assert!(carried.unwrap().contains("taken: the proposed change of the roster"));
    let epochs = ["study", "epochs", "--token-file", "admin.token", "--server", url];
    let epochs = ringfence(folder, &epochs).unwrap();
    assert!(epochs.contains("epoch 1, made"), "{epochs}");
    // From then on it is a site like the others: its round keys leave, once it has what it asks for by name.
    let published = (0..3).map(|_| trip()).find(|(out, _)| out.contains("the round keys of e"));
    let (_, carried) = published.unwrap();
    assert!(carried.unwrap().contains("taken: the round keys of e"));
}

/// Whoever made a bundle may have written anything into it; and a name may be that of anything.
#[tokio::test(flavor = "multi_thread")]
async fn no_bundle_moves_the_cursor_and_no_pipe_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let aggregator = prepared(folder).await;
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = import(folder, "pipe").unwrap_err();
    assert!(error.contains("pipe is no bundle of this program's"), "{error}");
    let whole = std::fs::read(folder.join("from-0")).unwrap();
    let arguments = ["--key", "carrier.identity", "--server", aggregator.url(), "--force"];
    let same = [&["bundle", "carry", "from-0", "--out", "./from-0"], &arguments[..]].concat();
    let error = ringfence(folder, &same).unwrap_err();
    assert!(error.contains("expected two files"), "{error}");
    assert_eq!(std::fs::read(folder.join("from-0")).unwrap(), whole, "it was replaced");
}
