//! Small contributions: whole ones at the aggregator, each in one request as a site sends it and
//! answered with its receipt, beside a bare handler with one request and one fsync for as many bytes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use ringfence_crypto::api::ContributionProgress;
use ringfence_crypto::wire::json;

use super::http::Connection;
use super::process::Programs;
use super::ringfence::start_aggregator;
use super::roster::{Request, Roster, noise};
use super::row::{Better, Row, at_least, shown};
use super::uploads::bare;
use crate::schemes::workload::median;

/// Values of the model: one block.
const VALUES: usize = 1000;

/// How many come at a time, and how many in all.
const LOADS: [(usize, usize); 3] = [(1, 50), (8, 100), (32, 200)];

/// Contributions at each number at a time, by turns, as often as `repetitions` says.
///
/// # Errors
/// When the aggregator refuses something.
pub(super) fn run(programs: &Programs, repetitions: usize) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let aggregator = start_aggregator(programs, folder.path())?;
    let bare = bare(programs, folder.path())?;
    let (ours, plain) = (aggregator.server.address.to_string(), bare.address.to_string());
    let mut rows = Vec::new();
    for (at_a_time, sites) in LOADS {
        let (mut ratios, mut rates) = (vec![], vec![]);
        // The first turn is not timed.
        for turn in 0..=repetitions {
            let name = format!("small {at_a_time} {turn}");
            let mut connection = Connection::open(&ours)?;
            let roster = Roster::register(&aggregator, &mut connection, &name, sites, VALUES)?;
            let body = noise(&name, usize::try_from(roster.study.body_bytes()?)?);
            let requests: Vec<Request> =
                (0..sites).map(|site| roster.whole(site, &body)).collect::<Result<_, _>>()?;
            let whole = noise("whole", requests.first().context("no sites")?.len());
            let bare = per_second(&plain, at_a_time, sites, |connection, site| {
                let target = format!("/bodies/{at_a_time}-{turn}-{site}");
                connection.ask("PUT", &target, &[], &whole).map(drop)
            })?;
            let ours = per_second(&ours, at_a_time, sites, |connection, site| {
                let answer = requests.get(site).context("no such site")?.send(connection, None)?;
                let progress: ContributionProgress = json::parse(&answer, usize::MAX, "progress")?;
                ensure!(progress.receipt.is_some(), "a contribution without a receipt");
                Ok(())
            })?;
            if turn > 0 {
                ratios.push(ours / bare);
                rates.push(ours);
            }
        }
        let name =
            format!("small contributions, {at_a_time} at a time, rate over a bare handler's");
        rows.push(at_least(&name, median(ratios), 0.8));
        let name = format!("small contributions a second, {at_a_time} at a time");
        rows.push(shown(&name, median(rates), Better::Higher));
    }
    Ok(rows)
}

/// How many a second when so many connections take one after the other of all.
fn per_second(
    address: &str,
    at_a_time: usize,
    all: usize,
    send: impl Fn(&mut Connection, usize) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<f64> {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        let senders: Vec<_> = (0..at_a_time)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = Connection::open(address)?;
                    loop {
                        let site = next.fetch_add(1, Ordering::Relaxed);
                        if site >= all {
                            return Ok(());
                        }
                        send(&mut connection, site)?;
                    }
                })
            })
            .collect();
        senders.into_iter().try_for_each(|sender| match sender.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("a sender's thread has panicked"),
        })
    })?;
    Ok(all as f64 / began.elapsed().as_secs_f64())
}
