//! Two whole rounds with updates that can be recognised, and then everything that root on the server
//! can take: memory, database, files, log, traces, every byte that came and went. None of it shows a
//! value of an update or of a sum. What is planted there is found, so that the test can fail;
//! `.ci/mutations.toml` has builds that leak.

mod watch;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use ringfence_audit::operator::{Canary, OperatorReport, operator};
use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_federation::Serving;
use ringfence_site::Site;
use ringfence_site::transport::Transport;

use crate::trio::{Trio, VALUES, finish, next_model};
use watch::Watch;

/// A walk whose steps up and down are those of a coin, within the study's clip bound.
fn walk(site: u64) -> Vec<f32> {
    let mut state = site + 1;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let mut at = 0f32;
    let mut step = move || {
        let size = 0.01 + (next() % 1000) as f32 * 1e-5;
        let up = next() & 0x1000 != 0;
        if (up && at + size < 0.45) || at - size < -0.45 {
            at += size
        } else {
            at -= size
        }
        at
    };
    (0..VALUES).map(|_| step()).collect()
}

/// What a site contributes to a round: the same steps, at another scale.
fn update(site: u64, round: u32) -> Vec<f32> {
    walk(site)
        .into_iter()
        .map(|value| if round == 0 { value } else { 0.7 * value + 0.02 })
        .collect()
}

fn canaries() -> Vec<Canary> {
    let canary = |(site, name): (u64, &str)| Canary { name: name.to_owned(), values: walk(site) };
    (0..).zip(["update a", "update b", "update c"]).map(canary).collect()
}

struct Played {
    trio: Trio,
    watch: Watch,
    /// What every site opened in the last round: it must be nowhere at the aggregator.
    mean: Vec<f32>,
}

/// Two rounds with an aggregator that says as much as it can; one site sends in steps, so that its body
/// is a file.
async fn two_rounds() -> Played {
    let folder = tempfile::tempdir().unwrap();
    let watch = Watch::start(folder);
    let arguments = vec!["--traces-to".to_owned(), watch.collector.clone()];
    let serving = Serving { arguments, log: Some("trace".to_owned()) };
    let trio = Trio::start_serving(serving, 3, |_| ()).await;
    let relay = watch.relay(trio.aggregator.url());
    let sites: Vec<Site> = (0..3)
        .map(|k| {
            trio.site_with(k, |membership| {
                membership.transport = Transport::new(&relay, false, Clock::system()).unwrap();
            })
        })
        .collect();
    let mut mean = Vec::new();
    for (round, base) in [(0, trio.base), (1, next_model())] {
        sites[round as usize].open_round(base, 600).await.unwrap();
        for (k, site) in sites.iter().enumerate() {
            let joined = site.join(RoundNumber(round)).await.unwrap();
            let prepared = joined.prepare(base, &update(k as u64, round), |_| ()).await.unwrap();
            match k {
                2 => drop(prepared.send_in_steps().await.unwrap()),
                _ => drop(prepared.send().await.unwrap()),
            }
        }
        mean = finish(&sites, RoundNumber(round)).await.swap_remove(0);
        for (k, opened) in mean.iter().enumerate() {
            let expected = (0..3).map(|site| update(site, round)[k]).sum::<f32>() / 3.0;
            assert!((opened - expected).abs() < 1e-4, "value {k}: {opened} for {expected}");
        }
    }
    Played { trio, watch, mean }
}

/// Everything that root can take, with the aggregator still running.
fn take(trio: &Trio, watch: &Watch, name: &str) -> PathBuf {
    let out = trio.folder.path().join(name);
    let aggregator = &trio.aggregator;
    let run = |memory: bool| {
        let mut extract = Command::new(aggregator.binary());
        extract.arg("extract").arg("--out").arg(&out);
        for (option, file) in
            [("--data", "data"), ("--key", "aggregator.key"), ("--admin-token-file", "admin.token")]
        {
            extract.arg(option).arg(aggregator.folder().join(file));
        }
        extract.arg("--beside").arg(aggregator.folder().join("aggregator.log"));
        extract.arg("--beside").arg(watch.folder());
        if memory {
            extract.args(["--process", &aggregator.pid().to_string()]);
        }
        extract.output().unwrap()
    };
    let output = run(true);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("cannot read the memory of process"), "{said}");
        assert!(
            std::env::var("RINGFENCE_ENGINES").is_err(),
            "memory must be looked at here: {said}"
        );
        eprintln!("SKIPPED: the aggregator's memory is not looked at: {said}");
        fs::remove_dir_all(&out).unwrap();
        let output = run(false);
        assert!(output.status.success(), "{output:?}");
    }
    out
}

fn look(out: &Path) -> OperatorReport {
    let began = Instant::now();
    let report = operator(out, &canaries()).unwrap();
    let search = report.search.as_ref().unwrap();
    eprintln!(
        "{} bytes in {:.1} s, false alarm 2^{:.0}; {} bodies, {} pairs, {} tests",
        search.bytes,
        began.elapsed().as_secs_f64(),
        search.log2_false_alarm,
        report.bodies.tested,
        report.bodies.pairs,
        report.bodies.tests
    );
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_the_server_holds_shows_an_update() {
    let Played { trio, watch, mean } = two_rounds().await;
    // Until the collector has been told of the last answers.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let out = take(&trio, &watch, "extract");
    let report = look(&out);
    let search = report.search.as_ref().unwrap();
    assert_eq!(search.found, []);
    assert!(search.log2_false_alarm < -30.0, "{}", search.log2_false_alarm);
    assert_eq!(report.bodies.not_uniform, []);
    assert_eq!((&report.bodies.equal, &report.bodies.not_tested), (&Vec::new(), &Vec::new()));
    // Three bodies and the sum of each round; each pair within a round, and each with the same site's
    // of the round before.
    assert_eq!((report.bodies.tested, report.bodies.pairs), (8, 6 + 6 + 4));
    assert_eq!(report.unknown, [""; 0]);
    assert_eq!(report.exit_code(), 0);
    // It has looked everywhere.
    let held = |kind: &str| report.items.iter().find(|item| item.held.kind == kind).unwrap();
    for (kind, count) in [("studies", 1), ("rounds", 2), ("small", 4), ("bodies", 2), ("sum", 2)] {
        assert_eq!(held(kind).count, count, "{kind}");
    }
    for kind in ["events: acknowledged", "openings", "database", "marks", "key"] {
        assert!(held(kind).count > 0, "{kind}");
    }
    if let Some(memory) = &report.list.memory {
        assert!(memory.bytes > 10 << 20 && memory.ranges > 10, "{memory:?}");
        assert!(memory.not_read.len() < 5, "{memory:?}");
    }
    let beside = fs::read_dir(out.join("beside/1-watch")).unwrap().map(|entry| entry.unwrap());
    let sizes: Vec<u64> = beside.map(|entry| entry.metadata().unwrap().len()).collect();
    assert!(sizes.len() > 8 && sizes.iter().sum::<u64>() > 500_000, "{sizes:?}");
    assert!(fs::metadata(out.join("beside/1-watch/traces")).unwrap().len() > 1000);
    assert!(fs::metadata(out.join("beside/0-aggregator.log")).unwrap().len() > 10_000);

    found_where_planted(&trio, &watch, &mean);
}

/// The same look finds what a leak would leave: in memory and log what a site says too much, in the data
/// folder what an aggregator keeps too much, and what is not masked.
fn found_where_planted(trio: &Trio, watch: &Watch, mean: &[f32]) {
    // A site that tells the mean where it asks for something. The connection stays open.
    let address = trio.aggregator.url().strip_prefix("http://").unwrap();
    let mut told = TcpStream::connect(address).unwrap();
    let values: Vec<String> = mean[100..400].iter().map(|value| format!("{value:.4}")).collect();
    let line = values.join(",");
    write!(told, "GET /healthz?mean={line} HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    told.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");

    let out = take(trio, watch, "leaky");
    let round = out.join("data/studies").join(trio.study_id().to_string()).join("1");
    let bytes: Vec<u8> = update(1, 1).iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(round.join("update"), bytes).unwrap();
    let body = fs::read(round.join("bodies/c")).unwrap();
    fs::write(round.join("bodies/d"), &body).unwrap();
    fs::write(round.join("bodies/e"), vec![7; body.len()]).unwrap();

    let report = look(&out);
    let found = &report.search.as_ref().unwrap().found;
    let is_found = |file: &str, canary: &str| {
        found.iter().any(|found| found.file.contains(file) && found.canary == canary)
    };
    assert!(is_found("1/update", "update b"), "{found:?}");
    assert!(is_found("beside/0-aggregator.log", "the sum of all"), "{found:?}");
    assert!(report.list.memory.is_none() || is_found("memory/", "the sum of all"), "{found:?}");
    assert!(report.unknown.iter().any(|path| path.ends_with("1/update")), "{:?}", report.unknown);
    assert!(report.bodies.equal.iter().any(|pair| pair.contains("bodies/d")));
    assert!(report.bodies.not_uniform.iter().any(|bad| bad.body.contains("bodies/e")));
    assert_eq!(report.exit_code(), 1);
    drop(told);
}
