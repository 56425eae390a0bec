//! What a round of many sites costs the aggregator, up to 10,000: its CPU-seconds and its memory.
//!
//! The sites are simulated: they sign real statements over random bytes, and send and fetch what a site
//! does, each on a connection of its own, which waits between the steps as a site's does. The aggregator
//! is the shipped program, for which there is no difference.

mod chart;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use ringfence_crypto::api::{ContributionProgress, EnvelopeFrame, MAX_WHOLE_BODY, OpenedFrame};
use ringfence_crypto::id::ClosingId;
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Closing, Header};
use ringfence_crypto::wire::{frame, json};

use super::http::{Closed, Connection};
use super::process::Programs;
use super::ringfence::start_aggregator;
use super::roster::{Roster, noise};
use super::row::{Better, Row, shown};

pub use chart::svg;

/// Connections that are served at a time; the others wait.
const AT_A_TIME: usize = 4;

/// A round of so many sites.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crowd {
    /// Sites of the study.
    pub sites: usize,
    /// The part of them that does not come.
    pub absent: f64,
    /// Values of the model.
    pub values: usize,
}

/// What a round cost the aggregator.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The round.
    pub crowd: Crowd,
    /// CPU-seconds from the opening of the round to the last acknowledgement.
    pub cpu: f64,
    /// Most bytes of memory.
    pub memory: u64,
    /// Bytes that all sites fetched.
    pub fetched: u64,
}

impl Cost {
    /// Its figures.
    pub fn rows(&self) -> Vec<Row> {
        let Crowd { sites, absent, values } = self.crowd;
        let name = |what: &str| {
            format!("{sites} sites, {:.0} % absent, {values} values: {what}", 100.0 * absent)
        };
        let came = came(&self.crowd) as f64;
        vec![
            shown(&name("the aggregator's CPU-seconds"), self.cpu, Better::Lower),
            shown(&name("the same, ms a site that came"), 1e3 * self.cpu / came, Better::Lower),
            shown(&name("its memory, MiB"), self.memory as f64 / f64::from(1 << 20), Better::Lower),
            shown(&name("a site fetches, kB"), self.fetched as f64 / came / 1e3, Better::Lower),
        ]
    }
}

fn came(crowd: &Crowd) -> usize {
    crowd.sites - (crowd.absent * crowd.sites as f64) as usize
}

/// Which states come before which.
fn place(state: RoundState) -> usize {
    RoundState::ALL.iter().position(|of| *of == state).unwrap_or_default()
}

/// A site with its connection.
struct Seat {
    site: usize,
    connection: Connection,
    /// The status that it has seen, by version.
    version: u64,
    /// It has asked for the next and not read it.
    is_waiting: bool,
    fetched: u64,
}

/// Plays a round.
///
/// # Errors
/// When the aggregator refuses something, or allows too few connections.
pub fn run(crowd: Crowd) -> anyhow::Result<Cost> {
    let programs = Programs::find()?;
    let folder = tempfile::tempdir()?;
    let aggregator = start_aggregator(&programs, folder.path())?;
    let address = aggregator.server.address.to_string();
    let mut control = Connection::open(&address)?;
    // Who is absent is waited for until the deadline; time without work costs the aggregator nothing.
    let seconds = 30 + crowd.sites as u64 / 50;
    let shape = (crowd.sites, crowd.values, if crowd.absent > 0.0 { seconds } else { 3600 });
    let name = format!("crowd of {}", crowd.sites);
    let before = aggregator.server.cpu()?;
    let roster = Roster::register_for(&aggregator, &mut control, &name, shape)?;
    let registered = aggregator.server.cpu()?;
    let began = Instant::now();
    let body = noise(&name, usize::try_from(roster.study.body_bytes()?)?);
    let open = |site| {
        let connection = Connection::open(&address)?;
        anyhow::Ok(Seat { site, connection, version: 0, is_waiting: false, fetched: 0 })
    };
    // The first on the ring hold the keys: those behind them are absent.
    let mut seats: Vec<Seat> = (0..came(&crowd)).map(open).collect::<Result<_, _>>()?;
    each(&mut seats, |seat| seat.contribute(&roster, &body))?;
    let mut step = |state, what: &(dyn Fn(&mut Seat) -> anyhow::Result<()> + Sync)| {
        eprintln!("  {state} after {:.1} s ...", began.elapsed().as_secs_f64());
        each(&mut seats, |seat| seat.reach(&roster, state).and_then(|()| what(seat)))
    };
    step(RoundState::Reviewing, &|seat| seat.review(&roster))?;
    step(RoundState::Closed, &|seat| seat.endorse(&roster))?;
    step(RoundState::Certified, &|seat| seat.open(&roster))?;
    step(RoundState::Opened, &|seat| seat.finish(&roster))?;
    let cpu = aggregator.server.cpu()? - registered;
    eprintln!("  registering took {:.1} CPU-seconds, the round {cpu:.1}", registered - before);
    let fetched = seats.iter().map(|seat| seat.fetched).sum();
    let memory = aggregator.server.memory()?;
    fs::remove_dir_all(folder.path().join("data")).context("the aggregator's data")?;
    Ok(Cost { crowd, cpu, memory, fetched })
}

/// Does something for every seat, some at a time.
fn each(
    seats: &mut [Seat],
    what: impl Fn(&mut Seat) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let part = seats.len().div_ceil(AT_A_TIME);
    thread::scope(|scope| {
        let parts = seats.chunks_mut(part.max(1));
        let parts: Vec<_> =
            parts.map(|part| scope.spawn(|| part.iter_mut().try_for_each(&what))).collect();
        parts.into_iter().try_for_each(|part| {
            part.join().unwrap_or_else(|_| Err(anyhow!("a thread of the sites has panicked")))
        })
    })
}

impl Seat {
    fn get(&mut self, roster: &Roster, rest: &str) -> anyhow::Result<Vec<u8>> {
        let target = format!("{}{rest}", roster.path);
        let request = roster.request(self.site, "GET", target, Vec::new())?;
        let answer = request.send(&mut self.connection, None)?;
        self.fetched += answer.len() as u64;
        Ok(answer)
    }

    fn contribute(&mut self, roster: &Roster, body: &[u8]) -> anyhow::Result<()> {
        self.get(roster, "")?;
        self.get(roster, "/manifest")?;
        // As sites send it: in one request where it is small.
        let answer = if body.len() as u64 <= MAX_WHOLE_BODY {
            roster.whole(self.site, body)?.send(&mut self.connection, None)?
        } else {
            let [header, envelopes, upload] = roster.contribution(self.site, body)?;
            header.send(&mut self.connection, None)?;
            envelopes.send(&mut self.connection, None)?;
            upload.send(&mut self.connection, Some(body))?
        };
        let progress: ContributionProgress = json::parse(&answer, usize::MAX, "progress")?;
        ensure!(progress.receipt.is_some(), "a contribution without a receipt");
        self.wait(roster)
    }

    /// Asks for the next status, and does not wait for the answer.
    fn wait(&mut self, roster: &Roster) -> anyhow::Result<()> {
        let target = format!("{}?wait=60&after={}", roster.path, self.version);
        let request = roster.request(self.site, "GET", target, Vec::new())?;
        self.is_waiting = true;
        match request.post(&mut self.connection) {
            Err(error) if error.is::<Closed>() => {
                self.connection.reopen()?;
                request.post(&mut self.connection)
            }
            posted => posted,
        }
    }

    /// Waits until the round is in a state, or behind it.
    fn reach(&mut self, roster: &Roster, state: RoundState) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            if !self.is_waiting {
                self.wait(roster)?;
            }
            let answer = match self.connection.receive() {
                // Asked a minute ago and looked at now: nothing was lost.
                Err(error) if error.is::<Closed>() => {
                    self.is_waiting = false;
                    self.connection.reopen()?;
                    continue;
                }
                answer => answer?,
            };
            (self.is_waiting, self.fetched) = (false, self.fetched + answer.len() as u64);
            let status: RoundStatus = json::parse(&answer, usize::MAX, "round status")?;
            self.version = status.version;
            if place(status.state) >= place(state) {
                return Ok(());
            }
            ensure!(since.elapsed() < Duration::from_secs(900), "the round is not {state}");
        }
    }

    /// All headers of the set, a page after the other.
    fn headers(&mut self, roster: &Roster, contributions: usize) -> anyhow::Result<()> {
        let mut got = 0;
        while got < contributions {
            let page = self.get(roster, &format!("/headers?from={got}"))?;
            let page: Vec<Signed<Header>> = json::parse(&page, usize::MAX, "headers")?;
            ensure!(!page.is_empty(), "a page without headers");
            got += page.len();
        }
        Ok(())
    }

    fn review(&mut self, roster: &Roster) -> anyhow::Result<()> {
        if roster.holds(self.site) {
            let freeze = roster.freeze(self.site, &mut self.connection)?;
            let contributions = freeze.statement.contributions.len();
            self.headers(roster, contributions)?;
            let (holder, mut got) = (roster.id(self.site)?.clone(), 0);
            while got < contributions {
                let page = self.get(roster, &format!("/dealt/{holder}?from={got}"))?;
                let EnvelopeFrame { envelopes } = frame::decode(&page, "dealt envelopes")?;
                ensure!(!envelopes.is_empty(), "a page without envelopes");
                got += envelopes.len();
            }
            roster.review(self.site, &freeze)?.send(&mut self.connection, None)?;
        }
        self.wait(roster)
    }

    fn closing(&mut self, roster: &Roster) -> anyhow::Result<Signed<Closing>> {
        let closing = self.get(roster, "/closing")?;
        Ok(json::parse(&closing, usize::MAX, "closing")?)
    }

    fn closing_id(&mut self, roster: &Roster) -> anyhow::Result<ClosingId> {
        Ok(self.closing(roster)?.id())
    }

    fn endorse(&mut self, roster: &Roster) -> anyhow::Result<()> {
        if roster.holds(self.site) {
            let closing = self.closing_id(roster)?;
            roster.endorsement(self.site, closing)?.send(&mut self.connection, None)?;
        }
        self.wait(roster)
    }

    fn open(&mut self, roster: &Roster) -> anyhow::Result<()> {
        if roster.holds(self.site) {
            let closing = self.closing_id(roster)?;
            roster.opening(self.site, closing)?.send(&mut self.connection, None)?;
        }
        self.wait(roster)
    }

    /// What every site fetches in the end, and its acknowledgement.
    fn finish(&mut self, roster: &Roster) -> anyhow::Result<()> {
        self.get(roster, "/certificate")?;
        let closing = self.closing(roster)?;
        let contributions = closing.statement.included.len();
        self.headers(roster, contributions)?;
        self.get(roster, "/sum")?;
        let (id, mut got, needed) =
            (roster.id(self.site)?.clone(), 0, usize::from(roster.study.threshold.opening));
        while got < needed {
            let page = self.get(roster, &format!("/opened/{id}?from={got}"))?;
            let OpenedFrame { parts } = frame::decode(&page, "parts of openings")?;
            ensure!(!parts.is_empty(), "a page without parts");
            got += parts.len();
        }
        roster.acknowledgement(self.site, closing.id())?.send(&mut self.connection, None)?;
        Ok(())
    }
}
