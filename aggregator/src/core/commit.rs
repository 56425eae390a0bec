//! How messages change a round: decided, made durable, applied, in this order; many in one go.
//!
//! What waits for the study's log at the same time is decided one after the other, each with what was
//! decided before it, and becomes durable together: one transaction of the database and one write of
//! the mark, which is what takes long. Then all of it is applied and answered. Nothing is seen,
//! answered or signed upon before that.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::{Event, Round, RoundError, Verdict};
use tokio::sync::oneshot;

use crate::core::log::LogWriter;
use crate::core::refusal::Refusal;
use crate::core::round::{LiveRound, Writer};
use crate::store::statements::{NextEvent, Small};
use crate::store::terms::StoreError;

/// How often events are decided again because another aggregator was first.
const OUTRUN: u32 = 50;

/// Wishes that are decided in one go at most: who comes first waits for all of them.
const TOGETHER: usize = 256;

/// What a message makes of a round at a time: events, none where it came before.
type Decide = dyn Fn(&Round, UnixSeconds) -> Result<Vec<Event>, RoundError> + Send + Sync;

/// A message that waits to be decided.
pub(crate) struct Wish {
    decide: Box<Decide>,
    /// Bytes that become durable with its events, if there are any.
    bytes: Option<Small>,
    /// Whether it is decided with nothing before it that is not applied yet.
    alone: bool,
}

impl Wish {
    /// What several events say.
    pub(crate) fn new<F>(decide: F) -> Self
    where
        F: Fn(&Round, UnixSeconds) -> Result<Vec<Event>, RoundError> + Send + Sync + 'static,
    {
        Self { decide: Box::new(decide), bytes: None, alone: false }
    }

    fn of_verdict<F>(decide: F) -> Self
    where
        F: Fn(&Round, UnixSeconds) -> Result<Verdict, RoundError> + Send + Sync + 'static,
    {
        Self::new(move |round, now| match decide(round, now)? {
            Verdict::Fresh(event) => Ok(vec![event]),
            Verdict::Repeat => Ok(Vec::new()),
        })
    }

    /// With bytes that become durable with its events.
    pub(crate) fn with(self, bytes: Small) -> Self {
        Self { bytes: Some(bytes), ..self }
    }
}

/// Who wishes something, and where it is told what became of it.
type Waiting = (Wish, oneshot::Sender<Result<(), Refusal>>);

/// The wishes of a round that nobody has begun to decide, in the order in which they came.
#[derive(Default)]
pub(crate) struct Wishes(Mutex<VecDeque<Waiting>>);

impl fmt::Debug for Wishes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wishes({})", self.locked().len())
    }
}

impl Wishes {
    fn locked(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.locked().len()
    }

    /// The next ones that are decided in one go; none where others have taken them.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.locked();
        let together = waiting.iter().take(TOGETHER).take_while(|(wish, _)| !wish.alone).count();
        // One that is alone at the front is.
        let together = together.max(1).min(waiting.len());
        waiting.drain(..together).collect()
    }
}

/// What a number of wishes makes of a round.
struct Decided {
    /// In order.
    events: Vec<Event>,
    /// Bytes that become durable with them.
    bytes: Vec<Small>,
    /// What became of each wish.
    outcomes: Vec<Result<(), RoundError>>,
}

impl LiveRound {
    /// Decides, persists and applies, in that order and under the locks of the round and of the
    /// study's log. `decide` runs under the locks too, so that the
    /// time that it is given is the one of the decision, and a checkpoint that it reads the one that
    /// the event follows: nothing else is decided in the same go.
    pub(crate) async fn commit<F>(self: &Arc<Self>, decide: F) -> Result<(), Refusal>
    where
        F: Fn(&Round, UnixSeconds) -> Result<Verdict, RoundError> + Send + Sync + 'static,
    {
        self.grant(Wish { alone: true, ..Wish::of_verdict(decide) }).await
    }

    /// The same in one go with others that wait: `decide` is shown the round with what they change,
    /// and must not look at the log, which does not have that yet.
    pub(crate) async fn commit_among<F>(self: &Arc<Self>, decide: F) -> Result<(), Refusal>
    where
        F: Fn(&Round, UnixSeconds) -> Result<Verdict, RoundError> + Send + Sync + 'static,
    {
        self.grant(Wish::of_verdict(decide)).await
    }

    /// Does what a message wishes, in one go with others that wait. When it returns, that is durable
    /// and applied.
    ///
    /// # Errors
    /// A [`Refusal`] by the round, or when it could not be stored.
    pub(crate) async fn grant(self: &Arc<Self>, wish: Wish) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        self.wishes.locked().push_back((wish, answer));
        let live = self.clone();
        // A task of its own: a request whose client hangs up is dropped at an await, and that
        // must not happen between the row and the memory. As many tasks as wishes: whoever finds
        // the lock free takes all that wait, and the others find nothing to do.
        tokio::spawn(async move { live.grant_next().await });
        answered.await.map_err(|error| Refusal::internal(&error))?
    }

    async fn grant_next(&self) {
        let mut writer = self.writer.lock().await;
        if self.wishes.locked().is_empty() {
            return;
        }
        // First the log: what comes while it is waited for is decided in the same go.
        let log = self.served.log.writer().await;
        let (wishes, answers): (Vec<Wish>, Vec<_>) = self.wishes.take().into_iter().unzip();
        let outcomes = match log {
            Ok(log) => self.decide_and_store(&mut writer, log, &wishes).await,
            Err(refusal) => Err(refusal),
        };
        match outcomes {
            Ok(outcomes) => {
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // Whoever has hung up asks again.
                    let _ = answer.send(outcome.map_err(Refusal::from));
                }
            }
            Err(refusal) => {
                for answer in answers {
                    let _ = answer.send(Err(refusal.clone()));
                }
            }
        }
    }

    async fn decide_and_store(
        &self,
        writer: &mut Writer,
        mut log: LogWriter<'_>,
        wishes: &[Wish],
    ) -> Result<Vec<Result<(), RoundError>>, Refusal> {
        for _ in 0..OUTRUN {
            if writer.stale {
                self.reload(writer).await?;
            }
            let Decided { events, bytes, outcomes } = self.decide(wishes);
            if events.is_empty() || self.store(writer, log, events, &bytes).await? {
                return Ok(outcomes);
            }
            // Another one was first: what it has stored counts, and all is decided again.
            self.read_on(writer).await?;
            // First the log: what is stored is marked before it is taken into memory, where it is seen.
            log = self.served.log.writer().await?;
        }
        Err(StoreError::Taken("others were first, again and again".into()).into())
    }

    /// Decides one wish after the other, each with what those before it change.
    fn decide(&self, wishes: &[Wish]) -> Decided {
        let (round, now) = (self.read(), self.now());
        // The round with the events so far; copied once there is one for another wish to see.
        let (mut ahead, mut applied): (Option<Round>, usize) = (None, 0);
        let (mut events, mut bytes, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
        for wish in wishes {
            if applied < events.len() {
                let ahead = ahead.get_or_insert_with(|| round.clone());
                events.iter().skip(applied).cloned().for_each(|event| ahead.apply(event));
                applied = events.len();
            }
            let decided = (wish.decide)(ahead.as_ref().unwrap_or(&round), now);
            outcomes.push(decided.map(|fresh| {
                if !fresh.is_empty() {
                    bytes.extend(wish.bytes.clone());
                    events.extend(fresh);
                }
            }));
        }
        Decided { events, bytes, outcomes }
    }

    /// Stores events, marks them and applies them; or says that the place of one is taken: then none
    /// is stored.
    pub(super) async fn store(
        &self,
        writer: &mut Writer,
        mut log: LogWriter<'_>,
        events: Vec<Event>,
        bytes: &[Small],
    ) -> Result<bool, Refusal> {
        let mut leaf = log.reserve();
        let entries: Vec<Option<LogEntry>> = events.iter().map(Event::entry).collect();
        let placed = (writer.sequence..).zip(events.iter().zip(&entries));
        let next = placed.map(|(sequence, (event, entry))| {
            let place = entry.is_some().then_some(leaf);
            leaf += u64::from(place.is_some());
            NextEvent { sequence, event, leaf: place }
        });
        let next: Vec<NextEvent<'_>> = next.collect();
        match self.served.statements().append(self.id, &next, bytes).await {
            Ok(()) => {}
            Err(StoreError::Taken(_)) => {
                log.outrun().await?;
                return Ok(false);
            }
            Err(error) => {
                writer.stale = true;
                return Err(error.into());
            }
        }
        let entries = entries.iter().flatten().copied().collect();
        if let Err(refusal) = log.all_appended(entries).await {
            writer.stale = true;
            return Err(refusal);
        }
        for next in &next {
            tracing::info!(
                study = %self.id.study.short(),
                round = %self.id.round,
                sequence = next.sequence,
                event = next.event.name(),
                "event"
            );
            self.served.shared.metrics.event(next.event.name());
        }
        writer.sequence += events.len() as u64;
        let mut round = self.write();
        let before = round.step();
        events.into_iter().for_each(|event| round.apply(event));
        let stepped = before != round.step();
        drop(round);
        self.news.tell(writer.sequence, stepped);
        Ok(true)
    }
}
