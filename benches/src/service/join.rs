//! Rounds of `ringfence join`, which trains: so little here that hardly anything but the round is left.

use std::fs;
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use ringfence_crypto::api::StudyStatus;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::SignedStudy;
use ringfence_crypto::wire::json;
use ringfence_learning::Dataset;
use ringfence_learning::data::phantom::{self, PhantomOptions};
use ringfence_learning::data::write_folder;
use ringfence_weights::Weights;

use super::federation::{SITES, Service};
use super::http::Connection;
use super::process::{Programs, Watch, finish};
use super::ringfence::{Aggregator, Ringfence};
use super::row::{Better, Row, shown};
use crate::schemes::workload::median;

/// Side of the images, and how many a site trains on, once a round.
const SIDE: usize = 16;
const IMAGES: usize = 2;

/// Five processes that run from the first round to the last; a round lasts from its opening to the
/// next one's.
///
/// # Errors
/// When a site fails.
pub(super) fn run(programs: &Programs, repetitions: usize) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let options = PhantomOptions { side: SIDE, sites: SITES, ..PhantomOptions::default() };
    let dataset = phantom::generate(&options)?;
    for (site, images) in dataset.sites.iter().enumerate() {
        let mut images = images.clone();
        images.train.truncate(IMAGES);
        let own = Dataset { sites: vec![images], ..dataset.clone() };
        write_folder(&own, &at(&format!("images-{site}")))?;
    }
    // The first is not timed, and the last has no next one.
    let rounds = repetitions + 2;
    let mut init = std::process::Command::new(&programs.site);
    init.args(["init", "--side", &SIDE.to_string(), "--rounds", &rounds.to_string()]);
    init.args(["--epochs", "1", "--out"]).arg(at("model.safetensors"));
    finish(&init, &Watch::Nothing)?;
    let values = Weights::load(&at("model.safetensors"))?.len();
    let ringfence = Ringfence::start(programs, folder.path(), "plan")?;
    let study = fs::read(at("study.json"))?;
    let study: SignedStudy = json::parse(&study, usize::MAX, "study")?;
    let path = format!("/v2/studies/{}/status", study.study.id());
    let opened = thread::scope(|scope| {
        let url = format!("http://{}", ringfence.server().address);
        let sites: Vec<_> = (0..SITES)
            .map(|site| {
                let mut join = ringfence.command(&["join", "--server", &url, "--quiet"]);
                join.arg("--study").arg(at("study.json"));
                join.arg("--model").arg(at("model.safetensors"));
                join.arg("--identity").arg(ringfence.identity(site));
                join.arg("--state").arg(at(&format!("site-{site}/state")));
                join.arg("--data").arg(at(&format!("images-{site}")));
                join.arg("--out").arg(at(&format!("site-{site}/out")));
                scope.spawn(move || finish(&join, &Watch::Nothing))
            })
            .collect();
        let opened = openings(&ringfence, &path, rounds);
        for site in sites {
            match site.join() {
                Ok(outcome) => outcome.map(drop)?,
                Err(_) => bail!("a site's thread has panicked"),
            }
        }
        opened
    })?;
    let lasted = opened.windows(2).skip(1).filter_map(|pair| {
        let [one, next] = pair else { return None };
        Some(next.duration_since(*one).as_secs_f64())
    });
    let name = format!("join, {values} values: s a round, training on {IMAGES} images in it");
    Ok(vec![shown(&name, median(lasted.collect()), Better::Lower)])
}

/// When each round was opened, as an administrator sees it.
fn openings(ringfence: &Ringfence, path: &str, rounds: usize) -> anyhow::Result<Vec<Instant>> {
    let mut connection = Connection::open(&ringfence.server().address.to_string())?;
    let mut opened = Vec::new();
    while opened.len() < rounds {
        let target = format!("{path}?wait=60&after={}", opened.len());
        let status = connection.ask("GET", &target, &[Aggregator::authorization()], &[])?;
        let status: StudyStatus = json::parse(&status, usize::MAX, "study status")?;
        let now = Instant::now();
        let open = usize::try_from(status.rounds).context("too many rounds")?;
        ensure!(open > opened.len(), "no round was opened for 60 s: {status:?}");
        opened.resize(open, now);
    }
    Ok(opened)
}
