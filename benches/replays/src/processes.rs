//! The same with real processes: the programs that are shipped, `kill -9`, and lines that a relay cuts.
//! Time is this machine's, so outages are of seconds.
//!
//! A site is a loop as an operator writes it: train, then `ringfence round`, and again where that has
//! not ended well. Training stands for itself: epochs that are waited for, each with a checkpoint. What
//! is killed is the whole site: its training, or its program.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::signature::PublicKey;
use ringfence_crypto::wire::json;
use ringfence_durable::Readers;
use ringfence_site::transport::Transport;
use ringfence_weights::Weights;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};

use crate::life::update;
use crate::lot::Lot;
use crate::replay::Size;
use crate::server::TOKEN;
use crate::study::{Roster, VALUES};

/// How long an outage lasts, and how long nothing befalls a site before the next.
const OUTAGE: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(6)];
const CALM: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(12)];

/// A local epoch, and how many a round has.
const EPOCH: Duration = Duration::from_millis(150);
const EPOCHS: u32 = 3;

/// A study that takes longer than this has stopped.
const LONGEST: Duration = Duration::from_secs(1800);

/// What is counted of one study of processes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProcessCounts {
    /// Times a site was killed, and times its line was cut.
    pub kills: u32,
    /// Times its line was cut.
    pub cuts: u32,
    /// Times the aggregator was killed.
    pub aggregator_kills: u32,
    /// Local epochs that were trained again.
    pub epochs_again: u32,
    /// Means that were opened, one for each site and round; all are the plain mean.
    pub means: u32,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// Plays a study with the programs in a folder, and outages that are drawn from a seed.
///
/// # Errors
/// What must not be: a site that does not finish, a mean that is not the plain one, a loss of more than
/// an epoch for a kill. The seed is said.
pub fn processes(programs: &Path, seed: u64, size: Size) -> anyhow::Result<ProcessCounts> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let played = runtime.block_on(async {
        match timeout(LONGEST, play(programs, seed, size)).await {
            Ok(played) => played,
            Err(_) => bail!("the study does not end"),
        }
    });
    played.with_context(|| format!("study of processes with seed {seed}"))
}

async fn play(programs: &Path, seed: u64, size: Size) -> anyhow::Result<ProcessCounts> {
    let began = Instant::now();
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let aggregator = Aggregator::new(programs, folder.path())?;
    let address = aggregator.start(None).await?;
    let Roster { study, identities, initial } =
        Roster::new(size.sites, Clock::system().now(), aggregator.key()?, |draft| {
            draft.min_round_seconds = 5;
            draft.longest_round_seconds = 900;
            draft.review_seconds = 600;
            draft.initiator_timeout_seconds = 8;
        })?;
    let url = format!("http://{address}");
    let registering = Transport::new(&url, false, Clock::system())?;
    registering.register(&study, TOKEN).await?;
    ringfence_durable::write(&at("study.json"), &json::compact(&study), Readers::Usual)?;
    initial.save(&at("model-0"))?;

    let (mut sites, mut lines) = (Vec::new(), Vec::new());
    for (place, identity) in identities.iter().enumerate() {
        let home = at(identity.site().as_str());
        ringfence_durable::create_folder(&home)?;
        let secret = identity.to_file();
        ringfence_durable::write(&home.join("identity"), secret.as_bytes(), Readers::Owner)?;
        initial.save(&home.join("model-0"))?;
        let line = Relay::start(address).await?;
        lines.push(line.way.clone());
        sites.push(Arc::new(Machine {
            program: programs.join("ringfence"),
            study: at("study.json"),
            home,
            url: format!("http://{}", line.address),
            place,
            running: Mutex::default(),
            down: watch::Sender::new(false),
            again: Mutex::default(),
            rounds: size.rounds,
        }));
    }
    let mut counts = ProcessCounts::default();
    let at_work: Vec<_> = sites.iter().map(|site| tokio::spawn(Arc::clone(site).live())).collect();
    let mut lot = Lot::new(seed, "processes");
    // One outage after the other is begun; they overlap.
    let mut kills = vec![0u32; sites.len()];
    while at_work.iter().any(|site| !site.is_finished()) {
        sleep(lot.between(CALM[0], CALM[1]) / u32::try_from(size.sites)?).await;
        let (place, lasts) = (lot.of(size.sites as u64) as usize, lot.about(OUTAGE[0], OUTAGE[1]));
        let (Some(site), Some(line)) = (sites.get(place), lines.get(place)) else { continue };
        match lot.of(8) {
            0 => {
                counts.aggregator_kills += 1;
                aggregator.kill().await?;
                sleep(lasts / 4).await;
                aggregator.start(Some(address)).await?;
            }
            1..=3 if !*site.down.borrow() => {
                counts.kills += 1;
                if let Some(kills) = kills.get_mut(place) {
                    *kills += 1;
                }
                site.down.send_replace(true);
                if let Some(child) = site.running.lock().await.as_mut() {
                    child.kill().await?;
                }
                let site = Arc::clone(site);
                tokio::spawn(async move {
                    sleep(lasts).await;
                    site.down.send_replace(false);
                });
            }
            _ if *line.borrow() => {
                counts.cuts += 1;
                line.send_replace(false);
                let line = line.clone();
                tokio::spawn(async move {
                    sleep(lasts).await;
                    line.send_replace(true);
                });
            }
            _ => {}
        }
    }
    for site in at_work {
        site.await??;
    }
    let mut model = initial;
    for round in 0..size.rounds {
        let updates = (0..size.sites).map(|place| update(place, RoundNumber(round), &model));
        let plain = plain_mean(updates, size.sites);
        let mut next = None;
        for site in &sites {
            let mean = Weights::load(&site.file("mean", round))?;
            let values: Vec<f32> = mean.values().collect();
            // The integers are rounded at random, up or down by less than one of 65535 steps.
            let apart = values.iter().zip(&plain).map(|(opened, plain)| (opened - plain).abs());
            let most = apart.fold(0.0, f32::max);
            ensure!(most < 2.0 / 65535.0, "round {round}: {} is off by {most}", site.place);
            let known = next.get_or_insert_with(|| mean.clone());
            ensure!(*known == mean, "round {round}: two sites opened two means");
            counts.means += 1;
        }
        let next = next.context("nobody opened a mean")?;
        model = model.plus(&next)?;
    }
    for (site, kills) in sites.iter().zip(kills) {
        let again = *site.again.lock().await;
        ensure!(again <= kills, "site {}: {again} epochs again after {kills} kills", site.place);
        counts.epochs_again += again;
    }
    aggregator.kill().await?;
    counts.seconds = began.elapsed().as_secs_f64();
    Ok(counts)
}

/// The mean of these updates, in double precision.
fn plain_mean(updates: impl Iterator<Item = Vec<f32>>, sites: usize) -> Vec<f32> {
    let mut sums = vec![0.0; VALUES];
    for update in updates {
        sums.iter_mut().zip(update).for_each(|(sum, value)| *sum += f64::from(value));
    }
    sums.iter().map(|sum| (sum / sites as f64) as f32).collect()
}

/// Waits until something is so.
async fn until(so: &mut watch::Receiver<bool>, wanted: bool) -> anyhow::Result<()> {
    so.wait_for(|so| *so == wanted).await.map(drop).context("nobody says so any more")
}

/// A site's machine: what runs there is killed with it.
struct Machine {
    program: PathBuf,
    study: PathBuf,
    home: PathBuf,
    url: String,
    place: usize,
    rounds: u32,
    running: Mutex<Option<Child>>,
    down: watch::Sender<bool>,
    /// Epochs that were trained again.
    again: Mutex<u32>,
}

impl Machine {
    fn file(&self, what: &str, round: u32) -> PathBuf {
        self.home.join(format!("{what}-{round}"))
    }

    /// All rounds, with whatever befalls the machine.
    async fn live(self: Arc<Self>) -> anyhow::Result<()> {
        let mut down = self.down.subscribe();
        for round in 0..self.rounds {
            self.train(round, &mut down).await?;
            while !self.round(round, &mut down).await? {
                sleep(Duration::from_millis(200)).await;
            }
        }
        Ok(())
    }

    /// An update, after epochs of which one that is killed is trained again.
    async fn train(&self, round: u32, down: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut done = 0;
        while done < EPOCHS {
            until(down, false).await?;
            let is_killed = tokio::select! {
                biased;
                killed = until(down, true) => killed.is_ok(),
                () = sleep(EPOCH) => false,
            };
            match is_killed {
                true => *self.again.lock().await += 1,
                false => done += 1,
            }
        }
        let base = Weights::load(&self.file("model", round))?;
        let values = update(self.place, RoundNumber(round), &base);
        Ok(Weights::from_values(&base.shapes(), values)?.save(&self.file("update", round))?)
    }

    /// Runs the program once; whether it has ended well.
    async fn round(&self, round: u32, down: &mut watch::Receiver<bool>) -> anyhow::Result<bool> {
        until(down, false).await?;
        let log = File::options().create(true).append(true).open(self.home.join("log"))?;
        let mut running = self.running.lock().await;
        let child = Command::new(&self.program)
            .arg("round")
            .arg("--study")
            .arg(&self.study)
            .arg("--identity")
            .arg(self.home.join("identity"))
            .arg("--state")
            .arg(self.home.join("state"))
            .args(["--server", &self.url, "--round", &round.to_string()])
            .args(["--seconds", "900", "--force", "--base"])
            .arg(self.file("model", round))
            .arg("--update")
            .arg(self.file("update", round))
            .arg("--out")
            .arg(self.file("mean", round))
            .arg("--model-out")
            .arg(self.file("model", round + 1))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        *running = Some(child);
        drop(running);
        loop {
            // Not waited for under the lock: it is to be killed meanwhile.
            let ended = match self.running.lock().await.as_mut() {
                Some(child) => child.try_wait()?,
                None => None,
            };
            match ended {
                Some(status) => return Ok(status.success()),
                None => sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

/// The aggregator's program.
struct Aggregator {
    program: PathBuf,
    folder: PathBuf,
    running: Mutex<Option<Child>>,
}

impl Aggregator {
    fn new(programs: &Path, folder: &Path) -> anyhow::Result<Self> {
        let (program, folder) = (programs.join("ringfence-aggregator"), folder.join("aggregator"));
        ringfence_durable::create_folder(&folder)?;
        ringfence_durable::write(&folder.join("token"), TOKEN.as_bytes(), Readers::Owner)?;
        ringfence_aggregator::Identity::generate(&folder.join("key"))?;
        Ok(Self { program, folder, running: Mutex::default() })
    }

    fn key(&self) -> anyhow::Result<PublicKey> {
        Ok(ringfence_aggregator::Identity::load(&self.folder.join("key"))?.public_key())
    }

    /// Starts it, at the same address as before, and answers where it listens.
    async fn start(&self, at: Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
        let listen = at.map_or("127.0.0.1:0".to_owned(), |at| at.to_string());
        let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
        let mut child = Command::new(&self.program)
            .args(["serve", "--listen", &listen, "--data"])
            .arg(self.folder.join("data"))
            .arg("--key")
            .arg(self.folder.join("key"))
            .arg("--admin-token-file")
            .arg(self.folder.join("token"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let out = child.stdout.take().context("the aggregator has no output")?;
        let said = BufReader::new(out).lines().next_line().await?.unwrap_or_default();
        let address = said.strip_prefix("listening on http://");
        let address = address.with_context(|| format!("the aggregator said {said:?}"))?.parse()?;
        *self.running.lock().await = Some(child);
        Ok(address)
    }

    async fn kill(&self) -> anyhow::Result<()> {
        match self.running.lock().await.take() {
            Some(mut child) => Ok(child.kill().await?),
            None => Ok(()),
        }
    }
}

/// A line that is cut and mended.
struct Relay {
    address: SocketAddr,
    /// Whether something comes through.
    way: watch::Sender<bool>,
}

impl Relay {
    async fn start(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, way) = (listener.local_addr()?, watch::Sender::new(true));
        let open = way.subscribe();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut open = open.clone();
                tokio::spawn(async move {
                    let is_cut = !*open.borrow();
                    if is_cut {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Ok(Self { address, way })
    }
}
