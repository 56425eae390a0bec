//! The command itself: keys, addresses, the lock, a graceful end, and what it is made of.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use ringfence_crypto::api::ContributionProgress;
use ringfence_crypto::round::RoundStatus;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::child::{Aggregator, TOKEN, binary, refusal, serve_command};
use crate::play::Play;
use crate::recovery::copy;
use crate::roster::{Roster, Shape};
use crate::uploads::begin_upload;

#[track_caller]
fn failed(output: &Output, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

#[test]
fn keygen_makes_a_key_once_and_shows_only_its_public_half() {
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("key");
    let run = |command: &str| binary().arg(command).arg("--key").arg(&key).output().unwrap();
    failed(&run("public-key"), &["No such file"]);
    let made = run("keygen");
    assert!(made.status.success());
    let seed = std::fs::read_to_string(&key).unwrap();
    assert_eq!(seed.trim().len(), 64);
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let shown = String::from_utf8(made.stdout.clone()).unwrap();
    assert_eq!(shown.trim().len(), 64);
    assert!(!shown.contains(seed.trim()));
    assert_eq!(run("public-key").stdout, made.stdout);
    failed(&run("keygen"), &["exists already"]);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), seed);
    std::fs::write(&key, "not a key").unwrap();
    failed(&run("public-key"), &["no Ed25519 seed"]);
}

#[test]
fn what_a_failure_says_stands_there_once() {
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("key");
    let output = binary().args(["public-key", "--key"]).arg(&key).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "ringfence-aggregator: {}: No such file or directory (os error 2)\n",
        key.display()
    );
    assert_eq!(said, expected);
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_one_line_and_a_failure() {
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("key");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let keygen = binary().args(["keygen", "--key"]).arg(&key).stdout(full).output().unwrap();
    assert_eq!(keygen.status.code(), Some(1), "{keygen:?}");
    let said = String::from_utf8(keygen.stderr).unwrap();
    let expected = "ringfence-aggregator: cannot write to standard output: No space left";
    assert!(said.starts_with(expected) && said.lines().count() == 1, "{said}");
    assert!(key.is_file());
}

#[test]
fn a_closed_pipe_ends_it_without_a_word() {
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("key");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let keygen = binary().args(["keygen", "--key"]).arg(&key).stdout(writer).output().unwrap();
    assert_eq!(keygen.status.code(), Some(141), "{keygen:?}");
    assert!(keygen.stderr.is_empty(), "{keygen:?}");
    assert!(key.is_file());
}

#[test]
fn serving_is_refused_where_it_would_be_unsafe() {
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("key");
    assert!(binary().args(["keygen", "--key"]).arg(&key).status().unwrap().success());
    let serve = |listen: &str| refusal(&mut serve_command(folder.path(), listen));
    failed(&serve("127.0.0.1:0"), &["token", "No such file"]);
    std::fs::write(folder.path().join("token"), "short").unwrap();
    failed(&serve("127.0.0.1:0"), &["a token of 5 bytes"]);
    for (token, words) in [
        (&b"a token with spaces in it"[..], "byte 2 is white space"),
        (b"a-token-with-a-\x01-in-it", "byte 16 is a control character"),
        (b"two-lines-of-a-\ntoken-file", "byte 16 is a newline"),
        (&[b'a'; 5000], "at most 4096 bytes"),
    ] {
        std::fs::write(folder.path().join("token"), token).unwrap();
        failed(&serve("127.0.0.1:0"), &[words]);
    }
    // Whoever registers studies must not be given the key for a token.
    std::fs::copy(&key, folder.path().join("token")).unwrap();
    failed(&serve("127.0.0.1:0"), &["is the aggregator's signing key"]);
    std::fs::write(folder.path().join("token"), TOKEN).unwrap();
    for beyond in ["0.0.0.0:0", "[::]:0", "10.0.0.1:0", "[::ffff:10.0.0.1]:0", "[::ffff:0.0.0.0]:0"]
    {
        failed(&serve(beyond), &["plain HTTP", "--allow-plain-http"]);
    }
    failed(&serve("localhost"), &["invalid"]);
}

#[tokio::test]
async fn two_servers_cannot_share_a_data_folder_nor_a_study_change_its_key() {
    let mut aggregator = Aggregator::start();
    let second = refusal(&mut serve_command(aggregator.folder.path(), "127.0.0.1:0"));
    failed(&second, &["in use by another aggregator"]);
    let roster = Roster::new(aggregator.key, Shape::default());
    aggregator.client().post_study(&roster.signed).await.ok();
    // Nor on a copy of the data, where they would sign two logs.
    let (marks, twin) = (aggregator.folder.path().join("key.marks"), TempDir::new().unwrap());
    copy(&aggregator.data(), &twin.path().join("data"));
    for file in ["key", "token"] {
        std::fs::copy(aggregator.folder.path().join(file), twin.path().join(file)).unwrap();
    }
    let mut on_a_copy = serve_command(twin.path(), "127.0.0.1:0");
    on_a_copy.arg("--marks").arg(&marks);
    let refused = refusal(&mut on_a_copy);
    failed(&refused, &["marks", "in use by another aggregator", "a copy of the data"]);
    aggregator.kill();
    // With another key it could not sign for the studies that it has.
    let key = aggregator.folder.path().join("key");
    std::fs::remove_file(&key).unwrap();
    assert!(binary().args(["keygen", "--key"]).arg(&key).status().unwrap().success());
    let other = refusal(&mut serve_command(aggregator.folder.path(), "127.0.0.1:0"));
    failed(&other, &["serve with the right key"]);
}

#[tokio::test]
async fn sigterm_ends_what_is_in_flight_and_then_the_process() {
    let mut aggregator = Aggregator::start();
    let play =
        Play::start(aggregator.client(), Roster::new(aggregator.key, Shape::default()), 600).await;
    let site = play.ids()[0].clone();
    play.put_header(&site).await.ok();
    play.put_envelopes(&site).await.ok();
    let poll = {
        let play = play.clone();
        let path = format!("{}?wait=60&after=99", play.path);
        tokio::spawn(async move { play.client.get(&path).await.json::<RoundStatus>() })
    };
    let mut upload = begin_upload(&aggregator, &play, &site, 0, 1000).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    let process = aggregator.process().to_string();
    assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    // The long poll is answered at once, the upload may end.
    assert_eq!(poll.await.unwrap().version, 1);
    upload.write_all(&play.contribution(&site).body[1000..]).await.unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("\"receipt\":{"), "{answer}");
    assert!(aggregator.wait().success());
    assert!(started.elapsed() < Duration::from_secs(8));
    aggregator.restart();
    let progress: ContributionProgress = play.progress(&site).await;
    assert!(progress.receipt.is_some());
}

/// A demo that is killed, or whose output nobody reads any more, leaves no server behind.
#[test]
fn a_server_may_end_with_the_program_that_started_it() {
    let mut aggregator = Aggregator::start();
    aggregator.kill();
    let data = aggregator.data();
    let mut command = serve_command(data.parent().unwrap(), "127.0.0.1:0");
    command.arg("--until-stdin-closes").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on "), "{line}");
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    let until = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = child.try_wait().unwrap();
    let _ = child.kill();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
}

/// The claim of this crate, for a reader to run: nothing in its tree can decrypt.
#[test]
fn the_dependency_tree_has_nothing_that_decrypts() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", "ringfence-aggregator", "-e", "normal,build,dev"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let packages: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(packages.contains(&"ringfence-crypto"), "this is not the tree: {tree}");
    // Audit and accounting in its tests alone (client/tests/dependency_graph.rs): they open nothing.
    const ALLOWED: [&str; 7] = [
        "ringfence-aggregator",
        "ringfence-audit",
        "ringfence-clock",
        "ringfence-crypto",
        "ringfence-durable",
        "ringfence-exit",
        "ringfence-privacy",
    ];
    let ours: Vec<_> = packages.iter().filter(|name| name.starts_with("ringfence")).collect();
    assert!(ours.iter().all(|name| ALLOWED.contains(name)), "{ours:?}");
    for banned in ["tfhe", "candle", "concrete", "hpke", "chacha20poly1305", "x-wing", "ml-kem"] {
        let found = packages.iter().find(|name| name.starts_with(banned));
        assert_eq!(found, None, "{banned} must not be under the aggregator");
    }
}

/// The core can be read, tested and moved without the web server and the database around it.
#[test]
fn the_core_names_neither_web_server_nor_database() {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core.rs")];
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    assert!(files.len() > 10, "this is not the core: {files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let found = words.find(|word| {
            ["axum", "sqlx", "hyper", "hyper_util", "tower", "tower_http"].contains(word)
        });
        assert_eq!(found, None, "{}", file.display());
    }
}
