//! Large bodies: how fast the aggregator takes them beside a bare handler, and how fast it adds them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use ringfence_crypto::api::ContributionProgress;
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::wire::json;

use super::federation::SITES;
use super::http::Connection;
use super::process::{Programs, Server};
use super::ringfence::{Aggregator, start_aggregator};
use super::roster::{Roster, noise};
use super::row::{Better, Row, at_least, shown};
use crate::schemes::workload::median;

/// Values whose body takes a little more than 100 MB.
const VALUES: usize = 37_000_000;

/// Uploads of 100 MB in turns, `repetitions` studies of five sites, and the closing of each.
///
/// # Errors
/// When the aggregator refuses something.
pub(super) fn run(programs: &Programs, repetitions: usize) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let aggregator = start_aggregator(programs, folder.path())?;
    let bare = bare(programs, folder.path())?;
    let mut ours = Connection::open(&aggregator.server.address.to_string())?;
    let mut plain = Connection::open(&bare.address.to_string())?;
    let (mut ratios, mut rates, mut cores, mut walls) = (vec![], vec![], vec![], vec![]);
    // The first study is not timed.
    for study in 0..=repetitions {
        let name = format!("uploads {study}");
        let roster = Roster::register(&aggregator, &mut ours, &name, SITES, VALUES)?;
        let body = noise(&name, usize::try_from(roster.study.body_bytes()?)?);
        for site in 0..SITES {
            let [header, envelopes, upload] = roster.contribution(site, &body)?;
            header.send(&mut ours, None)?;
            envelopes.send(&mut ours, None)?;
            let began = Instant::now();
            let answer = plain.ask("PUT", "/bodies/body", &[], &body)?;
            let bare = began.elapsed().as_secs_f64();
            fs::remove_file(folder.path().join("bare/body"))?;
            ensure!(answer == blake3::hash(&body).to_string().into_bytes(), "another digest");
            let began = Instant::now();
            let answer = upload.send(&mut ours, Some(&body))?;
            let seconds = began.elapsed().as_secs_f64();
            let progress: ContributionProgress = json::parse(&answer, usize::MAX, "progress")?;
            ensure!(progress.receipt.is_some(), "an upload without a receipt");
            if study > 0 {
                ratios.push(bare / seconds);
                rates.push(body.len() as f64 / seconds / 1e9);
            }
        }
        let (wall, core) = close(&roster, &mut ours, &aggregator)?;
        if study > 0 {
            let gigabytes = (body.len() * SITES) as f64 / 1e9;
            walls.push(gigabytes / wall);
            cores.push(gigabytes / core);
        }
        // Nobody needs them any more, and they are large.
        fs::remove_dir_all(folder.path().join("data/studies").join(roster.study.id().to_string()))?;
    }
    Ok(vec![
        at_least("uploads of 100 MB, rate over a bare handler's", median(ratios), 0.95),
        shown("uploads of 100 MB, GB/s", median(rates), Better::Higher),
        at_least("closing 5 bodies of 100 MB, verified, GB/s a core", median(cores), 1.0),
        shown("the same, GB/s of its wall time", median(walls), Better::Higher),
    ])
}

/// Starts the plain service for its bare handlers.
///
/// # Errors
/// When it does not start.
pub(super) fn bare(programs: &Programs, folder: &Path) -> anyhow::Result<Server> {
    let bodies = folder.join("bare");
    fs::create_dir_all(&bodies)?;
    let mut serve = Command::new(&programs.bench);
    Server::start(serve.args(["plain-server", "--sites", "1", "--folder"]).arg(bodies))
}

/// Sends the reviews, and waits for the closing from the last of them on: seconds, and CPU-seconds
/// of the aggregator.
fn close(
    roster: &Roster,
    connection: &mut Connection,
    aggregator: &Aggregator,
) -> anyhow::Result<(f64, f64)> {
    reach(roster, connection, RoundState::Reviewing)?;
    let reviews = roster.reviews(connection)?;
    let (last, first) = reviews.split_last().context("no reviews")?;
    first.iter().try_for_each(|review| review.send(connection, None).map(drop))?;
    let (used, began) = (aggregator.server.cpu()?, Instant::now());
    last.send(connection, None)?;
    reach(roster, connection, RoundState::Closed)?;
    Ok((began.elapsed().as_secs_f64(), aggregator.server.cpu()? - used))
}

/// Waits until the round is in a state.
fn reach(roster: &Roster, connection: &mut Connection, state: RoundState) -> anyhow::Result<()> {
    let mut version = 0;
    loop {
        let target = format!("{}?wait=30&after={version}", roster.path);
        let status = roster.request(0, "GET", target, Vec::new())?.send(connection, None)?;
        let status: RoundStatus = json::parse(&status, usize::MAX, "round status")?;
        if status.state == state {
            return Ok(());
        }
        ensure!(status.version > version, "the round is not {state} after 30 s: {status:?}");
        version = status.version;
    }
}
