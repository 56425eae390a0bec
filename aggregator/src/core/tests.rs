//! Rounds on a clock that the test turns: a day passes in a moment.
#![allow(clippy::indexing_slicing, reason = "a test that indexes wrongly must fail")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use ringfence_clock::{Clock, Hand};
use ringfence_crypto::Digest;
use ringfence_crypto::api::ContributionProgress;
use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::round::RoundState;
use ringfence_crypto::wire::json;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::core::incoming::{ByteStream, Digested, Inbox};
use crate::core::refusal::{Kind, Refusal};
use crate::core::round::LiveRound;
use crate::core::senders::Senders;
use crate::core::shared::{Shared, sum_places};
use crate::core::studies::Studies;
use crate::core::upload::{LiveContribution, Piece};
use crate::identity::Identity;
use crate::roster::{Roster, Shape, Term, now};
use crate::store::marks::Marks;
use crate::store::{Store, sqlite_files};

mod absent;
mod append_rate;
mod at_rest;
mod drafts;
mod epochs;
mod round_keys;
mod sharing;
mod together;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const IDLE: Duration = Duration::from_secs(30);

/// A service without HTTP.
struct Service {
    studies: Studies,
    store: Store,
    marks: Marks,
    identity: Arc<Identity>,
    clock: Clock,
    hand: Hand,
    stop: Mutex<watch::Sender<bool>>,
    folder: TempDir,
}

impl Service {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let store = sqlite_files::open(&folder.path().join("data")).await.unwrap();
        let identity = Arc::new(Identity::generate(&folder.path().join("key")).unwrap());
        Self::over(store, identity, folder).await
    }

    async fn over(store: Store, identity: Arc<Identity>, folder: TempDir) -> Self {
        let (clock, hand) = Clock::mock(now());
        let (stop, stopping) = watch::channel(false);
        let marks = Marks::open(&folder.path().join("marks"), identity.clone(), false).unwrap();
        let shared =
            Shared::new(store.clone(), marks.clone(), identity.clone(), clock.clone(), stopping);
        let studies = Studies::load(shared).await.unwrap();
        let stop = Mutex::new(stop);
        Self { studies, store, marks, identity, clock, hand, stop, folder }
    }

    /// Stops what runs; what is stored is served again, as after a crash.
    async fn restarted(&self) -> Studies {
        self.restart(None).await
    }

    /// The same, with bodies kept for so long.
    async fn restarted_keeping(&self, bodies: Duration) -> Studies {
        self.restart(Some(bodies)).await
    }

    async fn restart(&self, keep_bodies: Option<Duration>) -> Studies {
        let (stop, stopping) = watch::channel(false);
        std::mem::replace(&mut *self.stop.lock().unwrap(), stop).send_replace(true);
        let (store, marks) = (self.store.clone(), self.marks.clone());
        let (identity, clock) = (self.identity.clone(), self.clock.clone());
        let shared = Shared::new(store, marks, identity, clock, stopping);
        Studies::load(shared.keeping_bodies(keep_bodies)).await.unwrap()
    }
}

/// A round that has just been opened, for a day.
struct Play {
    roster: Roster,
    live: Arc<LiveRound>,
    inbox: Inbox,
    clock: Clock,
    hand: Hand,
    service: Arc<Service>,
}

impl Play {
    async fn start() -> Self {
        Self::begin(&Arc::new(Service::start().await), Shape::default()).await
    }

    async fn begin(service: &Arc<Service>, shape: Shape) -> Self {
        Self::opened(service, shape, service.clock.now()).await.unwrap()
    }

    /// By an initiator whose clock may show another time.
    async fn opened(
        service: &Arc<Service>,
        shape: Shape,
        opened_at: UnixSeconds,
    ) -> Result<Self, Refusal> {
        let (clock, hand) = (service.clock.clone(), service.hand.clone());
        let roster = Roster::new(service.identity.public_key(), shape);
        service.studies.register(json::compact(&roster.signed)).await.unwrap();
        let study = service.studies.study(roster.id()).unwrap();
        let term = Term { opened_at, seconds: DAY.as_secs() };
        let manifest = roster.manifest(RoundNumber::FIRST, term, None);
        let manifest = roster.signed(&manifest.initiator.clone(), manifest);
        let (_, live) = study.open_round(manifest).await?;
        let inbox = Inbox::new(clock.clone(), IDLE, 8);
        Ok(Self { roster, live, inbox, clock, hand, service: service.clone() })
    }

    /// The same round after a restart of the service.
    async fn restarted(self) -> Self {
        let studies = self.service.restarted().await;
        let study = studies.study(self.roster.id()).unwrap();
        let live = study.round(RoundNumber::FIRST).await.unwrap();
        Self { live, ..self }
    }

    /// Reviews by these holders.
    async fn review(&self, holders: &[SiteId]) {
        let freeze = self.live.freeze_statement().unwrap();
        for site in holders {
            let review = self.roster.review(&freeze, site, &[]);
            self.live.review(review).await.unwrap();
        }
    }

    fn of(&self, site: &SiteId) -> LiveContribution {
        LiveContribution { live: self.live.clone(), site: site.clone() }
    }

    async fn announce(&self, site: &SiteId) -> Result<ContributionProgress, Refusal> {
        let contribution = self.roster.contribution(self.live.manifest(), site);
        let header = contribution.header.statement.clone();
        self.of(site).announce(contribution.header).await?;
        self.of(site).put_envelopes(&header, contribution.envelopes.envelopes).await
    }

    fn piece(&self, offset: u64, bytes: ByteStream) -> Piece {
        let bytes = self.inbox.incoming(bytes, None, Digested::Unsigned);
        Piece { offset, signed_at: self.clock.now(), place: self.inbox.upload().unwrap(), bytes }
    }

    async fn contribute(&self, sites: &[SiteId]) {
        for site in sites {
            self.announce(site).await.unwrap();
            let body = self.roster.contribution(self.live.manifest(), site).body;
            let body = stream::iter([Ok(Bytes::from(body))]).boxed();
            let progress = self.of(site).upload(self.piece(0, body)).await.unwrap();
            assert!(progress.receipt.is_some());
        }
    }

    /// Waits for the driver to bring the round here. No time passes on the round's clock.
    async fn reach(&self, state: RoundState) {
        let mut versions = self.live.versions();
        let reached = versions.wait_for(|_| self.live.status().state == state);
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, reached).await.expect("in time").unwrap();
    }

    /// Lets the driver do whatever it is ready to do, and says where the round stands.
    async fn rest(&self) -> RoundState {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.live.status().state
    }
}

#[tokio::test]
async fn a_round_freezes_at_its_deadline_and_closes_when_the_reviews_are_due() {
    let play = Play::start().await;
    let sites = play.roster.ids[..3].to_vec();
    play.contribute(&sites).await;
    play.hand.advance(DAY);
    assert_eq!(play.rest().await, RoundState::Collecting, "the deadline itself still counts");
    play.hand.advance(SECOND);
    play.reach(RoundState::Reviewing).await;
    // One holder is silent.
    play.review(&play.roster.ids[..4]).await;

    let review_seconds = play.roster.study().review_seconds.into();
    play.hand.advance(Duration::from_secs(review_seconds) - SECOND);
    assert_eq!(play.rest().await, RoundState::Reviewing);
    play.hand.advance(SECOND);
    play.reach(RoundState::Closed).await;
    let closing = play.live.closing().unwrap().statement;
    assert_eq!(closing.closed_at, play.clock.now());
    let included: Vec<SiteId> = closing.included.iter().map(|entry| entry.site.clone()).collect();
    assert_eq!(included, sites);
    let sum = play.roster.oracle(play.live.manifest(), &sites);
    assert_eq!(closing.sum, Some(Digest::of(&sum)));
}

/// A sum holds a blocking thread and needs another one to read: here only one is free of sums.
#[test]
fn rounds_that_are_due_together_all_close_though_threads_are_few() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().max_blocking_threads(sum_places() + 1).build().unwrap();
    runtime.block_on(async {
        let service = Arc::new(Service::start().await);
        let mut plays = Vec::new();
        for more in 0..4 * sum_places() as u32 {
            // Studies differ in what their models are.
            let shape = Shape { values: 1000 + more, ..Shape::default() };
            let play = Play::begin(&service, shape).await;
            play.contribute(&play.roster.ids[..3]).await;
            plays.push(play);
        }
        service.hand.advance(DAY + SECOND);
        for play in &plays {
            play.reach(RoundState::Reviewing).await;
            play.review(&play.roster.ids[..4]).await;
        }
        service.hand.advance(Duration::from_secs(Shape::default().review_seconds.into()));
        for play in &plays {
            play.reach(RoundState::Closed).await;
        }
    });
}

/// A sum that cannot be stored is given up after five minutes of trying; a message wakes it again.
#[tokio::test]
async fn a_closing_that_fails_sixty_times_waits_for_a_message() {
    let play = Play::start().await;
    let sites = play.roster.ids.clone();
    let folder = play.service.folder.path().join("data/studies");
    let sum = folder.join(play.roster.id().to_string()).join("0/sum");
    std::fs::create_dir(&sum).unwrap();
    play.contribute(&sites).await;
    play.reach(RoundState::Reviewing).await;
    let freeze = play.live.freeze_statement().unwrap();
    let review = |site| play.roster.review(&freeze, site, &[]);
    for site in &sites[1..] {
        play.live.review(review(site)).await.unwrap();
    }
    play.hand.advance(Duration::from_secs(play.roster.study().review_seconds.into()));
    let mut pauses = 0;
    while play.live.halted().is_none() {
        assert!(pauses < 2000, "tried for ever");
        tokio::time::sleep(Duration::from_millis(5)).await;
        play.hand.advance(5 * SECOND);
        pauses += 1;
    }
    assert!(pauses >= 59, "given up after {pauses} pauses");
    std::fs::remove_dir(&sum).unwrap();
    play.hand.advance(HOUR);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(play.rest().await, RoundState::Reviewing, "nothing has come");
    play.live.review(review(&sites[0])).await.unwrap();
    play.reach(RoundState::Closed).await;
}

#[tokio::test]
async fn all_reviews_close_a_round_before_any_time_has_passed() {
    let play = Play::start().await;
    let sites = play.roster.ids.clone();
    play.contribute(&sites).await;
    play.reach(RoundState::Reviewing).await;
    play.review(&play.roster.ids).await;
    play.reach(RoundState::Closed).await;
    let manifest = &play.live.manifest().statement;
    assert_eq!(play.live.closing().unwrap().statement.closed_at, manifest.opened_at);
}

/// Whoever sets the aggregator's clock neither ends nor prolongs a round that runs.
#[tokio::test]
async fn when_only_the_time_of_day_jumps_no_running_round_follows() {
    let play = Play::start().await;
    let start = play.clock.now();
    let review_seconds = Duration::from_secs(play.roster.study().review_seconds.into());
    let sites = play.roster.ids.clone();
    play.contribute(&sites[..3]).await;
    assert_eq!(play.rest().await, RoundState::Collecting);

    // Forth, beyond the deadline: contributions are taken as before.
    play.hand.set(start.after(2 * DAY.as_secs()));
    play.announce(&sites[3]).await.unwrap();
    play.hand.advance(HOUR);
    assert_eq!(play.rest().await, RoundState::Collecting);
    // And back, before the round was opened: the deadline comes when the day has passed.
    play.hand.set(start.earlier(HOUR.as_secs()));
    play.hand.advance(DAY - HOUR);
    assert_eq!(play.rest().await, RoundState::Collecting, "the deadline itself still counts");
    play.hand.advance(SECOND);
    play.reach(RoundState::Reviewing).await;
    let refused = play.announce(&sites[4]).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict, "{refused:?}");

    // The time for reviews, too: forth, and back.
    play.review(&play.roster.ids[..4]).await;
    play.hand.set(start.after(3 * DAY.as_secs()));
    play.hand.advance(review_seconds - SECOND);
    assert_eq!(play.rest().await, RoundState::Reviewing);
    play.hand.set(start.earlier(DAY.as_secs()));
    play.hand.advance(SECOND);
    play.reach(RoundState::Closed).await;
    let closing = play.live.closing().unwrap().statement;
    assert_eq!(closing.closed_at, start.after((DAY + SECOND + review_seconds).as_secs()));
}

#[tokio::test]
async fn a_restart_goes_by_the_time_of_day_then() {
    let play = Play::start().await;
    let start = play.clock.now();
    let review_seconds = Duration::from_secs(play.roster.study().review_seconds.into());
    play.contribute(&play.roster.ids[..3]).await;
    play.hand.advance(12 * HOUR);
    // The clock has been set back by an hour: with a restart, thirteen are left.
    play.hand.set(start.after(11 * HOUR.as_secs()));
    let play = play.restarted().await;
    play.hand.advance(12 * HOUR + SECOND);
    assert_eq!(play.rest().await, RoundState::Collecting);
    play.hand.advance(HOUR);
    play.reach(RoundState::Reviewing).await;

    // Back by a day: the time for reviews does not grow by that.
    play.review(&play.roster.ids[..4]).await;
    play.hand.set(start);
    let play = play.restarted().await;
    play.hand.advance(review_seconds - SECOND);
    assert_eq!(play.rest().await, RoundState::Reviewing);
    play.hand.advance(SECOND);
    play.reach(RoundState::Closed).await;
    let closed_at = play.live.closing().unwrap().statement.closed_at;
    assert!(closed_at > play.live.manifest().statement.deadline, "{closed_at}");
}

#[tokio::test]
async fn an_initiators_clock_may_be_five_minutes_ahead_and_no_more() {
    let service = Arc::new(Service::start().await);
    let now = service.clock.now();
    let ahead = |seconds| Play::opened(&service, Shape::default(), now.after(seconds));
    let refused = ahead(301).await.err().unwrap();
    assert_eq!(refused.kind(), Kind::Conflict, "{refused:?}");
    for said in [now.after(301).utc().to_string(), now.utc().to_string()] {
        assert!(refused.detail().contains(&said), "{refused:?}");
    }
    // No closing is older than its round, however fast it is over.
    let play = ahead(300).await.unwrap();
    play.contribute(&play.roster.ids).await;
    play.reach(RoundState::Reviewing).await;
    play.review(&play.roster.ids).await;
    play.reach(RoundState::Closed).await;
    assert_eq!(play.live.closing().unwrap().statement.closed_at, now.after(300));
}

#[tokio::test]
async fn a_silent_sender_is_given_up_and_what_it_sent_is_kept() {
    let play = Play::start().await;
    let site = play.roster.ids[0].clone();
    play.announce(&site).await.unwrap();
    let body = play.roster.contribution(play.live.manifest(), &site).body;
    let sent = Bytes::copy_from_slice(&body[..1000]);
    let silent = stream::iter([Ok(sent)]).chain(stream::pending()).boxed();
    let upload = tokio::spawn(play.of(&site).upload(play.piece(0, silent)));
    while !upload.is_finished() {
        play.hand.advance(IDLE);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let refused = upload.await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), Kind::Slow, "{refused:?}");
    assert_eq!(play.of(&site).progress().await.unwrap().body_bytes, 1000);
    let rest = stream::iter([Ok(Bytes::from(body[1000..].to_vec()))]).boxed();
    let progress = play.of(&site).upload(play.piece(1000, rest)).await.unwrap();
    assert!(progress.receipt.is_some());
}

/// Whoever sends a byte a second is never silent, and would hold a place for days.
#[tokio::test]
async fn a_sender_that_trickles_is_given_up() {
    let play = Play::start().await;
    let site = play.roster.ids[0].clone();
    play.announce(&site).await.unwrap();
    let clock = play.clock.clone();
    let trickle = stream::unfold(clock, |clock| async {
        clock.sleep(SECOND).await;
        Some((Ok(Bytes::from_static(b"x")), clock))
    });
    let upload = tokio::spawn(play.of(&site).upload(play.piece(0, trickle.boxed())));
    let began = play.clock.moment();
    while !upload.is_finished() {
        play.hand.advance(SECOND);
        tokio::time::sleep(Duration::from_millis(1)).await;
        // The refused is listened to a little longer.
        assert!(play.clock.moment().since(began) < 5 * IDLE, "it goes on and on");
    }
    assert_eq!(upload.await.unwrap().unwrap_err().kind(), Kind::Slow);
}

#[test]
fn no_site_takes_what_is_there_for_all() {
    let senders = Senders::default();
    let (a, b): (SiteId, SiteId) = ("a".parse().unwrap(), "b".parse().unwrap());
    let begin = |site: &SiteId, signature| senders.of(site).begin(site, Some([signature; 64]));
    let taken: Vec<_> = (0..200).map_while(|each| begin(&a, each).ok()).collect();
    assert!(taken.len() < 200, "{}", taken.len());
    let refused = begin(&a, 255).unwrap_err();
    assert_eq!((refused.kind(), refused.retry_seconds()), (Kind::Busy, Some(5)));
    drop(begin(&b, 0).unwrap());
    drop(taken);
    // One request that somebody sends again and again leaves places for others.
    let same: Vec<_> = std::iter::from_fn(|| begin(&a, 7).ok()).take(200).collect();
    assert!((2..20).contains(&same.len()), "{}", same.len());
    drop(begin(&a, 8).unwrap());
    drop(same);
    drop(begin(&a, 7).unwrap());
}
