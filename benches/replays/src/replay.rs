//! One replay: a study, whose outages are drawn from a seed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use ringfence_clock::{Clock, Hand};
use ringfence_crypto::id::{RoundNumber, StudyId, UnixSeconds};
use ringfence_crypto::round::ABSENT_GRACE;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::SignedStudy;
use ringfence_durable::Syncs;
use ringfence_site::transport::Transport;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use zeroize::Zeroizing;

use crate::life::Seat;
use crate::line::{End, Line, Snag, Way};
use crate::lot::Lot;
use crate::power;
use crate::rest::Rest;
use crate::server::{Host, TOKEN};
use crate::study::Roster;
use crate::tally::{Counts, Tally};

const MINUTE: Duration = Duration::from_secs(60);

/// Outages of a site last so long: from two minutes to two and a half hours.
const OUTAGE: [Duration; 2] = [Duration::from_secs(2 * 60), Duration::from_secs(150 * 60)];

/// So long nothing befalls a site before the next outage: long enough to bring what it has trained to
/// the aggregator.
const CALM: [Duration; 2] = [Duration::from_secs(30 * 60), Duration::from_secs(120 * 60)];

/// When the study begins, by the mock clock.
const BEGIN: UnixSeconds = UnixSeconds(1_800_000_000);

/// A study that takes longer than this has stopped.
const LONGEST: Duration = Duration::from_secs(60 * 24 * 3600);

/// The clock is turned by at most so much beyond the moment that somebody waits for, and by no more than
/// a part of the time since something was sent: who waits for hours looks less often then, and who
/// waits for half a minute still does so to a few seconds. Less than what a site gives the answer to
/// its long poll (60 s), which would be given up in the turn that ends the poll.
const STRIDE: Duration = Duration::from_secs(50);

/// The clock is turned by at least so much: eight sites that look once a second, each at another moment
/// of it, would be waited for eight times a second.
const STEP: Duration = Duration::from_secs(1);

/// Seconds that a grace may seem longer than it is: the clock is turned in steps.
const SLACK: u64 = 10;

/// How large the replays are.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Sites.
    pub sites: usize,
    /// Rounds.
    pub rounds: u32,
}

/// Replays a study with the outages of a seed in this thread, which must be no thread of a runtime.
/// Nothing else may go on in this process meanwhile: its rest is what turns the clock.
///
/// # Errors
/// What must not be: a site that does not finish, a mean that is not the plain one, a loss of more than
/// an epoch for a fault, a site that is named. The seed is said.
pub fn replay(seed: u64, size: Size) -> anyhow::Result<Counts> {
    let began = Instant::now();
    let played = Play::new(seed, size).and_then(|play| play.run());
    let took = began.elapsed().as_secs_f64();
    played.with_context(|| format!("replay with seed {seed}, after {took:.1} s"))
}

struct Play {
    seed: u64,
    size: Size,
    clock: Clock,
    hand: Hand,
    host: Arc<Host>,
    tally: Arc<Tally>,
    study: SignedStudy,
    seats: Vec<Arc<Seat>>,
    runtime: Runtime,
    /// Last: what runs in it is gone before.
    _folder: tempfile::TempDir,
}

/// Aborts a task when it is dropped.
struct Ended(AbortHandle);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Play {
    fn new(seed: u64, size: Size) -> anyhow::Result<Self> {
        // In memory where there is such a place: what is synced is watched, and the disk is not waited
        // for.
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory)?,
            false => tempfile::tempdir()?,
        };
        let (clock, hand) = Clock::mock(BEGIN);
        let host = Arc::new(Host::new(&folder.path().join("aggregator"), clock.clone())?);
        let tally = Arc::new(Tally::default());
        let mut lot = Lot::new(seed, "study");
        // Longer than any outage with what comes on top: nobody is left out for one.
        let round_seconds = 4 * 3600;
        let Roster { study, identities, initial } =
            Roster::new(size.sites, BEGIN, host.key(), |draft| {
                draft.longest_round_seconds = round_seconds;
                draft.review_seconds = 3 * 3600;
            })?;
        let seats = identities.iter().enumerate().map(|(place, identity)| {
            let line = Line::new(place, Arc::clone(&host), Arc::clone(&tally), clock.clone());
            Arc::new(Seat {
                place,
                id: identity.site().clone(),
                secret: identity.to_file(),
                study: study.clone(),
                initial: initial.clone(),
                state: folder.path().join(identity.site().as_str()),
                line: Arc::new(line),
                clock: clock.clone(),
                tally: Arc::clone(&tally),
                rounds: size.rounds,
                round_seconds,
                epoch: lot.between(MINUTE, 2 * MINUTE),
                at: watch::Sender::new(0),
            })
        });
        let seats = seats.collect();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(16 << 20)
            .enable_all()
            .build()?;
        Ok(Self { seed, size, clock, hand, host, tally, study, seats, runtime, _folder: folder })
    }

    fn run(self) -> anyhow::Result<Counts> {
        let host = Arc::clone(&self.host);
        self.runtime.block_on(async move { host.start().await })?;
        let admin =
            Line::new(usize::MAX, Arc::clone(&self.host), Arc::default(), self.clock.clone());
        let admin = Arc::new(End(Arc::new(admin)));
        let admin = Transport::through(admin, crate::URL, self.clock.clone())?;
        let study = self.study.clone();
        let registering = admin.clone();
        self.runtime.block_on(async move { registering.register(&study, TOKEN).await })?;

        let start = self.clock.moment();
        let mut lot = Lot::new(self.seed, "who");
        // In one of three replays a site is gone for good from some round on.
        let dies = lot.happens(0.33).then(|| {
            let round = 1 + lot.of(u64::from(self.size.rounds.saturating_sub(1)));
            (lot.of(self.size.sites as u64) as usize, round as u32)
        });
        let sites = self.seats.iter().map(|seat| {
            let round = dies.filter(|(place, _)| *place == seat.place).map(|(_, round)| round);
            let lot = Lot::new(self.seed, &format!("site {}", seat.place));
            self.runtime.spawn(site(Arc::clone(seat), lot, round))
        });
        let sites: Vec<JoinHandle<anyhow::Result<()>>> = sites.collect();
        let (host, tally, clock) = (self.host.clone(), self.tally.clone(), self.clock.clone());
        let lot = Lot::new(self.seed, "aggregator");
        let outages = self.runtime.spawn(aggregator(host, tally, clock, lot));
        let outages = Ended(outages.abort_handle());
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let aborts: Vec<Ended> = sites.iter().map(|site| Ended(site.abort_handle())).collect();
        let lasting = dies.map(|(place, _)| place);
        let all = self.runtime.spawn(async move {
            let mut ends = Ok(());
            for (place, site) in sites.into_iter().enumerate() {
                if Some(place) == lasting {
                    continue;
                }
                let ended = site.await.map_err(|error| anyhow!("a task of site {place}: {error}"));
                ends = ends.and(ended.and_then(|end| end));
                if ends.is_err() {
                    break;
                }
            }
            over.store(true, Ordering::SeqCst);
            ends
        });
        let turned = self.turn(&is_over);
        let said = || self.tally.lines().join("\n");
        turned.with_context(|| format!("{}\n{}", self.standings(), said()))?;
        self.runtime.block_on(all)?.with_context(said)?;
        let took = self.clock.moment().since(start);
        drop((aborts, outages));
        self.check(&admin, dies.map(|(place, _)| place)).with_context(said)?;
        Ok(self.tally.counts(took))
    }

    /// Turns the clock whenever all rests, until all is over.
    fn turn(&self, is_over: &AtomicBool) -> anyhow::Result<()> {
        let start = self.clock.moment();
        let mut rest = Rest::new()?;
        let mut lively = (self.tally.heard(), start);
        let mut looks = 0;
        while !is_over.load(Ordering::SeqCst) {
            if self.host.is_starting() || !rest.rests()? {
                // What takes longer is looked at less often.
                looks = 8.min(looks + 1);
                std::thread::sleep(Duration::from_micros(50) * looks);
                continue;
            }
            looks = 0;
            let now = self.clock.moment();
            if self.tally.heard() != lively.0 {
                lively = (self.tally.heard(), now);
            }
            ensure!(now.since(start) < LONGEST, "the study does not end");
            // All may have ended while it was looked at.
            let Some(earliest) = self.hand.earliest() else {
                ensure!(
                    is_over.load(Ordering::SeqCst),
                    "nobody waits for any time, and nothing moves"
                );
                continue;
            };
            let stride = (now.since(lively.1) / 8).clamp(STEP, STRIDE);
            self.hand.advance(earliest.since(now).max(stride));
        }
        Ok(())
    }

    fn standings(&self) -> String {
        let at = |seat: &Arc<Seat>| format!("{} in round {}", seat.id, *seat.at.borrow());
        self.seats.iter().map(at).collect::<Vec<_>>().join(", ")
    }

    /// Holds what came of it against what must be.
    fn check(&self, admin: &Transport, dead: Option<usize>) -> anyhow::Result<()> {
        let dead = dead.and_then(|place| self.seats.get(place)).map(|seat| &seat.id);
        let sets = self.tally.sets();
        ensure!(sets.len() == self.size.rounds as usize, "of some rounds no mean was opened");
        let mut missed = 0;
        let host = Arc::clone(&self.host);
        self.runtime.block_on(async move {
            host.kill();
            host.start().await
        })?;
        for (number, set) in &sets {
            for seat in &self.seats {
                let is_in = set.contains(&seat.id);
                if Some(&seat.id) != dead && !is_in {
                    self.tally.count(|counts| counts.left_out += 1);
                    bail!("round {number}: {} lives and is in no mean", seat.id);
                }
            }
            if dead.is_none_or(|dead| set.contains(dead)) {
                continue;
            }
            missed += 1;
            if missed <= 2 {
                continue;
            }
            let round = admin.clone().with_token(Zeroizing::new(TOKEN.to_owned()));
            let (id, number) = (self.study_id(), RoundNumber(*number));
            let (freeze, closing) = self.runtime.block_on(async move {
                let round = round.round(id, number);
                anyhow::Ok((round.freeze().await?, round.closing().await?))
            })?;
            let (frozen, closed) = (freeze.statement.frozen_at, closing.statement.closed_at);
            let (received, reviewed) = self.tally.last_came(number);
            let as_site = frozen.seconds_since(received);
            let as_holder = closed.seconds_since(reviewed.max(frozen));
            self.tally.count(|counts| {
                counts.dead_site_cost = counts.dead_site_cost.max(as_site);
                counts.dead_holder_cost = counts.dead_holder_cost.max(as_holder);
            });
            for cost in [as_site, as_holder] {
                ensure!(
                    cost <= ABSENT_GRACE + SLACK,
                    "round {number}: a site that is gone costs {cost} s, and not {ABSENT_GRACE}"
                );
            }
        }
        for seat in &self.seats {
            let (again, kills) = (self.tally.again(seat.place), self.tally.kills(seat.place));
            ensure!(again <= kills, "{}: {again} epochs again after {kills} kills", seat.id);
        }
        Ok(())
    }

    fn study_id(&self) -> StudyId {
        self.study.study.id()
    }
}

/// A site with all that befalls it, until it has finished all rounds.
async fn site(seat: Arc<Seat>, mut lot: Lot, dies_in: Option<u32>) -> anyhow::Result<()> {
    let syncs = Syncs::below(&seat.state);
    let mut life = Life::begin(&seat);
    let death = async {
        let Some(round) = dies_in else { return std::future::pending().await };
        let _ = seat.at.subscribe().wait_for(|at| *at >= round).await;
        let later = Lot::new(round.into(), seat.id.as_str()).between(Duration::ZERO, 15 * MINUTE);
        seat.clock.sleep(later).await;
    };
    tokio::pin!(death);
    let mut first = true;
    loop {
        // The first may come at any moment.
        let calm = match std::mem::take(&mut first) {
            true => lot.between(Duration::ZERO, CALM[0]),
            false => lot.between(CALM[0], CALM[1]),
        };
        tokio::select! {
            end = &mut life.task => return end?,
            () = &mut death => break,
            () = seat.clock.sleep(calm) => {}
        }
        let lasts = lot.about(OUTAGE[0], OUTAGE[1]);
        let cut_off = match lot.of(3) {
            0 => Way::Silent,
            _ => Way::Unreachable,
        };
        let snag = match lot.of(8) {
            0 => Some(Snag::AnswerLost),
            1 => Some(Snag::HalfSent),
            2 => Some(Snag::KilledBefore),
            3 => Some(Snag::KilledAfter),
            _ => None,
        };
        let is_killed = match snag {
            None => lot.happens(0.2),
            Some(snag) => {
                seat.line.arm(Some(snag));
                tokio::select! {
                    end = &mut life.task => return end?,
                    () = &mut death => break,
                    () = seat.line.struck.notified() => {}
                }
                matches!(snag, Snag::KilledBefore | Snag::KilledAfter)
            }
        };
        if is_killed {
            life.kill().await;
            let is_power_cut = lot.happens(0.5);
            seat.tally.kill(seat.place, is_power_cut);
            // By then whatever it was at on other threads is over, too.
            seat.clock.sleep(Duration::from_secs(1)).await;
            if is_power_cut {
                power::cut(&seat.state, &syncs, &mut lot)?;
            }
            let is_back_soon = lot.happens(0.5);
            seat.clock.sleep(if is_back_soon { MINUTE / 6 } else { lasts }).await;
            life = Life::begin(&seat);
            continue;
        }
        seat.line.set(cut_off);
        seat.tally.count(|counts| {
            counts.cuts += 1;
            counts.cut_requests += u32::from(snag.is_some());
        });
        tokio::select! {
            end = &mut life.task => return end?,
            () = &mut death => break,
            () = seat.clock.sleep(lasts) => {}
        }
        seat.line.set(Way::Open);
    }
    seat.tally.count(|counts| counts.dead += 1);
    life.kill().await;
    Ok(())
}

/// A site that runs, on a thread of its own; it ends when this is dropped, wherever it waits.
struct Life {
    task: JoinHandle<anyhow::Result<()>>,
    kill: Option<oneshot::Sender<()>>,
}

impl Life {
    fn begin(seat: &Arc<Seat>) -> Self {
        let of = Arc::clone(seat);
        let (kill, killed) = oneshot::channel::<()>();
        let runtime = Handle::current();
        let task = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = killed => Ok(()),
                    end = of.live() => end.with_context(|| of.id.to_string()),
                }
            })
        });
        Self { task, kill: Some(kill) }
    }

    /// Ends it and waits until it has.
    async fn kill(&mut self) {
        drop(self.kill.take());
        let _ = (&mut self.task).await;
    }
}

/// Kills the aggregator now and then, and brings it back.
async fn aggregator(
    host: Arc<Host>,
    tally: Arc<Tally>,
    clock: Clock,
    mut lot: Lot,
) -> anyhow::Result<()> {
    loop {
        clock.sleep(lot.between(60 * MINUTE, 600 * MINUTE)).await;
        host.kill();
        tally.count(|counts| counts.aggregator_kills += 1);
        clock.sleep(lot.about(Duration::from_secs(1), 10 * MINUTE)).await;
        host.start().await?;
    }
}
