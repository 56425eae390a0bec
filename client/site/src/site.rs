//! A site: its keys, its durable state, its connection, and how it waits for others.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringfence_clock::{Clock, TimedOut};
use ringfence_crypto::api::{RoundPart, StudyStatus, With};
use ringfence_crypto::id::{ClosingId, RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::statement::{Lineage, Outcome, SignedStudy, Study, UNSEEN_SECONDS};
use ringfence_keys::encrypt::check::CheckKey;
use ringfence_keys::identity::Identity;

use crate::charging::Charging;
use crate::error::SiteError;
use crate::headers::Headers;
use crate::journal::Journal;
use crate::lately::{Lately, LatelyOf, LatelySaid};
use crate::obstacles::Obstacle;
use crate::restored::Answering;
use crate::round_wait::RoundWait;
use crate::seen::Seen;
use crate::telling::Telling;
use crate::transport::{RoundTransport, Transport, TransportError};
use crate::wait::{Awaited, Waiting};

/// A future whose type is hidden. What drives a whole round is large; held by value, it would be laid
/// out, moved and dropped anew in whatever calls it, in other crates too.
pub(crate) type Hidden<'a, T> = Pin<Box<dyn Future<Output = Result<T, SiteError>> + Send + 'a>>;

/// The pause between two looks at what changes without a sign.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What was seen less than so long ago is not asked for again by a step that looks at it first.
pub(crate) const A_MOMENT: Duration = Duration::from_secs(2);

/// A look at a round that takes longer, with all attempts, has failed.
const LONGEST_LOOK: Duration = Duration::from_secs(120);

/// Seconds that the clocks of two honest parties are expected to differ by at most.
const CLOCK_GRACE: u64 = 60;

/// Which site in which study, where its state lies, and how it reaches and waits for the others.
#[derive(Debug)]
pub struct Membership {
    /// The study, signed by its whole roster.
    pub study: SignedStudy,
    /// The site's secrets.
    pub identity: Identity,
    /// Folder of the site's durable state; never shared between sites.
    pub state: PathBuf,
    /// The connection to the aggregator.
    pub transport: Transport,
    /// How long each step of a round waits for others, beyond the time that the study gives it.
    pub patience: Duration,
    /// What tells the time and how long to wait.
    pub clock: Clock,
}

/// One site of a study, with its keys, its durable state and its connection.
#[derive(Debug)]
pub struct Site {
    pub(crate) study: Arc<Study>,
    pub(crate) study_id: StudyId,
    /// The study as it was first signed: what the aggregator and the log call it.
    pub(crate) first_study: StudyId,
    /// The first round under this roster.
    pub(crate) first: RoundNumber,
    /// The last one, where an epoch has ended it.
    pub(crate) last: Option<RoundNumber>,
    /// How many epochs have led to this roster.
    pub(crate) epoch: u32,
    pub(crate) lineage: Arc<Lineage>,
    /// This site under the roster before.
    pub(crate) earlier: Option<Box<Site>>,
    /// Whether this site is on this roster, with its keys.
    pub(crate) is_own: bool,
    pub(crate) identity: Arc<Identity>,
    pub(crate) check_key: Option<CheckKey>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) transport: Transport,
    pub(crate) patience: Duration,
    pub(crate) clock: Clock,
    pub(crate) keeps_sums: bool,
    pub(crate) telling: Telling,
    pub(crate) answering: Answering,
    pub(crate) charging: Option<Arc<Charging>>,
    pub(crate) headers: Headers,
    /// The aggregator said how many rounds the study has.
    pub(crate) looked: LatelySaid<RoundNumber>,
    /// How rounds stood.
    pub(crate) seen: Seen,
    /// The aggregator showed the same manifest of a round as is kept.
    pub(crate) same_manifest: LatelyOf<RoundNumber>,
    /// Sites that hold one model of a round were enough, and this is its closing and the model.
    pub(crate) agreed_on: Mutex<Option<(RoundNumber, ClosingId, Outcome)>>,
    /// This site's round keys were proved to be in the log.
    pub(crate) proved: Lately,
    /// This site's round keys were published, and are in the log.
    pub(crate) published: Lately,
}

impl Site {
    /// Opens a site's state for a study that its whole roster signed, under the newest of its rosters that
    /// are on disk.
    ///
    /// # Errors
    /// [`SiteError`] when the study is unsound or unsigned, the identity is not on its roster, or
    /// the state cannot be locked or is another site's.
    pub fn open(membership: Membership) -> Result<Self, SiteError> {
        Self::open_known(membership)
    }

    /// Opens every sum a second time to keep its integers in [`Done::sums`](crate::Done::sums).
    /// For the proof of a demo or test that the opened sum is the plain one; no round needs it.
    #[must_use]
    pub fn keeping_sums(self) -> Self {
        self.with(|site| site.keeps_sums = true)
    }

    /// The site's name.
    pub fn id(&self) -> &SiteId {
        self.identity.site()
    }

    /// The study.
    pub fn study(&self) -> &Study {
        &self.study
    }

    /// The study's id: what statements of its rounds name.
    pub fn study_id(&self) -> StudyId {
        self.study_id
    }

    /// The clock that this site waits by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The connection to the aggregator, over which this site signs its requests.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// How long each step of a round waits for others, beyond the time that the study gives it.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Asks the server who it is, before anything is sent to it, and compares clocks: those that
    /// differ much are told.
    ///
    /// # Errors
    /// [`TransportError::Stranger`] when it is not the study's aggregator; others when nobody
    /// answers.
    pub async fn meet(&self) -> Result<(), SiteError> {
        if let Some(apart) = self.transport.meet(&self.study.aggregator_key).await? {
            self.tell_clocks(apart);
        }
        Ok(())
    }

    /// The number that the next round will have: as many are open.
    ///
    /// # Errors
    /// [`SiteError`].
    pub async fn next_round(&self) -> Result<RoundNumber, SiteError> {
        let asked = self.clock.now();
        let now = self.clock.moment();
        let status = self.study_status(None).await?;
        let next = RoundNumber(status.rounds);
        self.looked.say(next, now);
        self.is_newest(&status)?;
        self.took_note(next, asked)
    }

    /// The same, or what it was a moment ago: by whoever waits for what comes after it, or finds out
    /// otherwise that it has come.
    pub(crate) async fn next_round_lately(&self) -> Result<RoundNumber, SiteError> {
        match self.looked.within(A_MOMENT, self.clock.moment()) {
            Some(next) => Ok(next),
            None => self.next_round().await,
        }
    }

    /// Waits until a round is open, for so long at most and as long as one long poll lasts; answers
    /// with the number that the next round will have then.
    pub(crate) async fn next_after(
        &self,
        round: RoundNumber,
        wait: Duration,
    ) -> Result<RoundNumber, SiteError> {
        let (asked, began) = (self.clock.now(), self.clock.moment());
        let news = self.study_status(Some((round, wait)));
        let next = match self.clock.timeout(wait, news).await {
            Ok(status) => {
                let status = status?;
                let next = RoundNumber(status.rounds);
                self.looked.say(next, self.clock.moment());
                self.is_newest(&status)?;
                self.took_note(next, asked)?
            }
            // This site's clock may run ahead of the aggregator's long poll.
            Err(TimedOut) => return self.next_round().await,
        };
        let soon = self.clock.moment().since(began) < LOOK_AGAIN;
        if next <= round && soon && !wait.is_zero() {
            // Whoever answers at once that nothing is new is not asked without a pause.
            self.clock.sleep(LOOK_AGAIN).await;
        }
        Ok(next)
    }

    /// Refuses to go on where the roster has changed and this site does not know how.
    fn is_newest(&self, status: &StudyStatus) -> Result<(), SiteError> {
        match status.epochs > self.lineage.epochs() {
            true => Err(SiteError::NewEpoch(status.epochs)),
            false => Ok(()),
        }
    }

    /// The number that the next round will have, whatever has become of the roster.
    pub(crate) async fn next_under_any(&self) -> Result<RoundNumber, SiteError> {
        let (asked, now) = (self.clock.now(), self.clock.moment());
        let status = self.study_status(None).await?;
        let next = RoundNumber(status.rounds);
        self.looked.say(next, now);
        self.took_note(next, asked)
    }

    /// The same, or what it was a moment ago.
    pub(crate) async fn next_under_any_lately(&self) -> Result<RoundNumber, SiteError> {
        match self.looked.within(A_MOMENT, self.clock.moment()) {
            Some(next) => Ok(next),
            None => self.next_under_any().await,
        }
    }

    /// Takes note that a round was not open yet when the aggregator was asked.
    pub(crate) fn took_note(
        &self,
        next: RoundNumber,
        asked: UnixSeconds,
    ) -> Result<RoundNumber, SiteError> {
        // What a bundle says was so when it was fetched, and may not be any more.
        let asked = self.transport.as_of(asked);
        // Both times are whole seconds: one more, for the aggregator lets keys be missing that long.
        let by = asked.earlier(UNSEEN_SECONDS + 1);
        self.journal.round_keys(self.study_id)?.not_open(next, by)?;
        Ok(next)
    }

    /// Whether this site is among the key holders of a round.
    pub fn holds(&self, round: RoundNumber) -> bool {
        self.study.holder_offset(round, self.id()).is_some()
    }

    pub(crate) fn at(&self, round: RoundNumber) -> RoundTransport<'_> {
        self.transport.round(self.first_study, round)
    }

    /// Waits until a round's status satisfies `ready`, within this site's patience. When each step
    /// must be over is fixed by the signed manifest, the study and this site's clock.
    pub(crate) async fn wait(
        &self,
        round: RoundNumber,
        what: Awaited,
        ready: impl Fn(&RoundStatus) -> bool,
    ) -> Result<RoundStatus, SiteError> {
        let mut waiting = Waiting::begin(self, round)?;
        self.wait_on(&mut waiting, round, what, ready).await
    }

    /// Goes on with a wait that has begun.
    pub(crate) async fn wait_on(
        &self,
        waiting: &mut Waiting,
        round: RoundNumber,
        what: Awaited,
        ready: impl Fn(&RoundStatus) -> bool,
    ) -> Result<RoundStatus, SiteError> {
        let mut status = match waiting.take_known() {
            Some(known) => known,
            // However old: what has come since then ends the first wait at once.
            None => match self.seen.of(round).last() {
                Some(known) => known,
                None => {
                    let needs = self.needs_of_round(round);
                    self.look_with(round, needs).await?
                }
            },
        };
        while !ready(&status) {
            let left = waiting.left(status.state, self.clock.moment());
            if left.is_zero() {
                return Err(waiting.over(self, what, status));
            }
            let (ends, until) = (waiting.ends(&self.clock), self.clock.now().after(left.as_secs()));
            self.tell_waiting(&status, RoundWait::of(&self.study, what, &status, ends, until));
            self.attend().await?;
            status = self.changed(round, status.version, left).await?;
        }
        Ok(status)
    }

    /// A round's status once it has changed beyond a version, or as it stands after so much time. What
    /// this site needs for the next step comes with it, and is taken where it is asked for.
    pub(crate) async fn changed(
        &self,
        round: RoundNumber,
        version: u64,
        left: Duration,
    ) -> Result<RoundStatus, TransportError> {
        let seen = self.seen.of(round);
        let news = async {
            let _one_at_a_time = seen.asking.lock().await;
            if let Some(heard) = seen.beyond(version) {
                return Ok(heard);
            }
            let (with, log) = self.needs_of_round(round);
            let status = self.at(round).changed_with(version, left, (&with, log)).await?;
            seen.note(&status, self.clock.moment());
            Ok(status)
        };
        match self.clock.timeout(left, news).await {
            Ok(status) => status,
            // This site's clock may run ahead of the aggregator's long poll.
            Err(TimedOut) => self.look(round).await,
        }
    }

    /// A round's status as it stands.
    pub(crate) async fn look(&self, round: RoundNumber) -> Result<RoundStatus, TransportError> {
        self.look_with(round, Default::default()).await
    }

    async fn look_with(
        &self,
        round: RoundNumber,
        (with, log): (With<RoundPart>, Option<u64>),
    ) -> Result<RoundStatus, TransportError> {
        let at = self.at(round);
        let look = self.clock.timeout(LONGEST_LOOK, at.status_with((&with, log))).await;
        let status =
            look.unwrap_or(Err(TransportError::Silent { seconds: LONGEST_LOOK.as_secs() }))?;
        self.saw(&status);
        Ok(status)
    }

    /// The same, or how it stood a moment ago.
    pub(crate) async fn look_again(
        &self,
        round: RoundNumber,
    ) -> Result<RoundStatus, TransportError> {
        match self.seen.of(round).within(A_MOMENT, self.clock.moment()) {
            Some(status) => Ok(status),
            None => self.look(round).await,
        }
    }

    /// Notes how a round stands, as an answer says.
    pub(crate) fn saw(&self, status: &RoundStatus) {
        self.seen.of(status.round).note(status, self.clock.moment());
    }

    /// Waits a little for this site's clock when a time that somebody signed is too far ahead of it.
    /// Honest clocks differ: what the aggregator has just let pass may be refused here for seconds.
    ///
    /// What is waited for is told, and until when.
    ///
    /// # Errors
    /// That of the check when it is too far ahead for that.
    pub(crate) async fn caught_up<E: Display>(
        &self,
        check: impl Fn(UnixSeconds) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut met = BTreeSet::new();
        while let Err(error) = check(self.clock.now()) {
            let (began, until) = (self.clock.moment(), self.clock.now().after(CLOCK_GRACE));
            if check(until).is_err() {
                return Err(error);
            }
            if met.is_empty() {
                let reason = error.to_string();
                let obstacle = Obstacle::named(&reason);
                self.tell_repeating(&obstacle, &reason, began, until);
                met.insert(obstacle);
            }
            self.clock.sleep(LOOK_AGAIN).await;
        }
        self.tell_resumed(&met);
        Ok(())
    }
}
