//! The closing driver: one task a round that freezes it, adds up its set and signs the closing.

use std::sync::Arc;
use std::time::Duration;

use ringfence_crypto::Digest;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::{ClosedSet, Event, Verdict};
use ringfence_crypto::statement::Included;
use tokio::runtime::Handle;

use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;
use crate::core::shared::blocking;
use crate::core::sum::{Addition, Promised, Sum, SumError};

/// How often a round looks at the clock. Deadlines are in whole seconds.
const TICK: Duration = Duration::from_millis(500);

/// How long to wait after a failure of ours (a full disk) before trying again.
const RETRY: Duration = Duration::from_secs(5);

/// How often a closing is tried again by itself. Then its round waits for a message or a restart,
/// and says so to whoever asks for the closing.
const TRIES: u32 = 60;

/// Why a set was not added up.
pub(crate) enum Unadded {
    /// These bodies are damaged.
    Damaged(Vec<SiteId>),
    /// Anything else.
    Refused(Refusal),
}

impl From<Refusal> for Unadded {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl LiveRound {
    /// Drives the round until it is closed: on every event, and with the clock.
    ///
    /// Ends move with events, and times are in whole seconds: the round looks at its clock every now
    /// and then, and does not sleep until a deadline.
    pub(crate) async fn drive(self: Arc<Self>) {
        let shared = &self.served.shared;
        let mut stopping = shared.stopping.clone();
        let mut changes = self.versions();
        let mut failures = 0;
        loop {
            changes.mark_unchanged();
            // Taken before the step reads the round's time: time that passes meanwhile counts.
            let looked = shared.clock.moment();
            // Whatever a step has begun to store is stored all the same, and a sum that nobody waits
            // for any more is made again at the next start.
            let outcome = tokio::select! {
                outcome = self.step() => outcome,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            if self.read().closing().is_some() {
                self.forget_jobs().await;
                return;
            }
            match &outcome {
                Ok(()) => {
                    failures = 0;
                    self.halt(None);
                }
                Err(_) => failures += 1,
            }
            let pause = async {
                match outcome {
                    Ok(()) => tokio::select! {
                        _ = changes.changed() => {}
                        () = shared.clock.sleep_until(looked.after(TICK)) => {}
                    },
                    Err(refusal) if failures < TRIES => {
                        tracing::error!(reason = refusal.detail(), "closing failed; trying again");
                        shared.clock.sleep(RETRY).await;
                    }
                    Err(refusal) => {
                        tracing::error!(reason = refusal.detail(), "closing failed; giving up");
                        self.halt(Some(refusal.detail().to_owned()));
                        // A message may find it mended.
                        let _ = changes.changed().await;
                    }
                }
            };
            tokio::select! {
                () = pause => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
        }
    }

    /// Freezes and closes the round as far as it is time to.
    async fn step(self: &Arc<Self>) -> Result<(), Refusal> {
        self.share_presence().await?;
        let (absent, since) = (self.absent(), self.since());
        let due = self.read().freeze_due_without(&absent, since, self.now()).is_some();
        if due {
            self.freeze().await?;
        }
        let set = self.read().closed_set_without(&absent, self.now());
        match set {
            Some(set) => match self.close(set).await {
                // Their sites are asked for them; until then, there is no set to close with.
                Err(Unadded::Damaged(sites)) => self.found_damaged(sites).await,
                Err(Unadded::Refused(refusal)) => Err(refusal),
                Ok(()) => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// Signs the list of what has come, unless it is signed already. What is signed leaves once it is
    /// stored, so that after a crash another list is signed only if nobody has seen the first.
    async fn freeze(self: &Arc<Self>) -> Result<(), Refusal> {
        let (signer, absent, since) = (self.served.clone(), self.absent(), self.since());
        let freeze = self.commit(move |round, now| {
            let sign = |freeze| Event::Frozen(signer.shared.identity.sign(freeze));
            let due = round.freeze_due_without(&absent, since, now);
            Ok(due.map_or(Verdict::Repeat, |due| Verdict::Fresh(sign(due))))
        });
        freeze.await
    }

    /// Adds up a set outside the lock, and closes the round if it is still the set to close with.
    async fn close(self: &Arc<Self>, set: ClosedSet) -> Result<(), Unadded> {
        let sum = match set.included().is_empty() {
            true => None,
            false => {
                let sum = match &self.served.shared.store.sharing {
                    Some(sharing) => self.add_up_together(sharing, &set).await?,
                    None => Some(self.add_up(self.promised(set.included())?, None).await?),
                };
                // Nothing where others are at it: their closing comes, or a lease of theirs ends.
                let Some(sum) = sum else { return Ok(()) };
                Some(sum.digest())
            }
        };
        let (signer, absent) = (self.served.clone(), self.absent());
        let close = self.commit(move |round, now| {
            // A review that came while the bodies were added may have changed the set. It counts:
            // then this sum is void, and the next step makes another.
            if round.closed_set_without(&absent, now).as_ref() != Some(&set) {
                return Ok(Verdict::Repeat);
            }
            // Commit holds the log: this is its size until the closing itself is appended.
            let checkpoint = signer.log.read().checkpoint();
            let closing = round.closing_of(set.clone(), sum, checkpoint, now);
            Ok(Verdict::Fresh(Event::Closed(signer.shared.identity.sign(closing))))
        });
        Ok(close.await?)
    }

    /// What the headers of these contributions say of their bodies.
    pub(crate) fn promised(&self, included: &[Included]) -> Result<Vec<Promised>, Refusal> {
        let round = self.read();
        let promised = |entry: &Included| {
            let header = &round.contribution(&entry.site)?.header.statement;
            Ok(Promised { site: entry.site.clone(), digest: header.body })
        };
        included.iter().map(promised).collect()
    }

    /// Where the bodies are, and what their words look like.
    pub(crate) fn addition(&self) -> Addition {
        Addition {
            blobs: self.served.blobs().clone(),
            round: self.id,
            body_bytes: self.served.body_bytes,
            wire_bits: self.served.study.packing.wire_bits,
        }
    }

    /// Adds up bodies on a thread of its own; see [`Addition::add_up`].
    pub(crate) async fn add_up(
        &self,
        set: Vec<Promised>,
        expected: Option<Digest>,
    ) -> Result<Sum, Unadded> {
        let addition = self.addition();
        let places = self.served.shared.sums.clone();
        let place = places.acquire_owned().await.map_err(|error| Refusal::internal(&error))?;
        // Adding and hashing keep a processor busy: off the threads that serve requests.
        let (runtime, clock) = (Handle::current(), &self.served.shared.clock);
        let began = clock.moment();
        let add_up = move || {
            // Kept for as long as the thread, even if nobody waits for the sum any more.
            let _place = place;
            runtime.block_on(addition.add_up(&set, expected))
        };
        let added = blocking(add_up).await?;
        self.served.shared.metrics.summed(clock.moment().since(began));
        match added {
            Err(SumError::Damaged(sites)) => Err(Unadded::Damaged(sites)),
            outcome => Ok(outcome.map_err(Refusal::from)?),
        }
    }
}
