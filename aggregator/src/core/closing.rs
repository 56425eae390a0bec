//! The closing driver: one task a round that freezes it, adds up its set and signs the closing.

use std::sync::Arc;
use std::time::Duration;

use ringfence_crypto::round::{ClosedSet, Event, Verdict};
use tokio::sync::watch;

use crate::blocking;
use crate::problem::Refusal;
use crate::rounds::{LiveRound, now};
use crate::sum::Sum;

/// How often a round looks at the clock. Deadlines are in whole seconds.
const TICK: Duration = Duration::from_millis(500);

/// How long to wait after a failure of ours (a full disk) before trying again.
const RETRY: Duration = Duration::from_secs(5);

/// Drives a round until it is closed: on every event, and with the clock.
pub(crate) async fn drive(live: Arc<LiveRound>, mut stopping: watch::Receiver<bool>) {
    let mut changes = live.versions();
    loop {
        changes.mark_unchanged();
        let outcome = step(&live).await;
        if live.read().closing().is_some() {
            return;
        }
        let pause = async {
            match outcome {
                Ok(()) => drop(tokio::time::timeout(TICK, changes.changed()).await),
                Err(refusal) => {
                    tracing::error!(reason = refusal.detail(), "closing failed; trying again");
                    tokio::time::sleep(RETRY).await;
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
async fn step(live: &Arc<LiveRound>) -> Result<(), Refusal> {
    let due = live.read().freeze(now()).is_some();
    if due {
        live.commit(|round| Ok(round.freeze(now()).map_or(Verdict::Repeat, Verdict::Fresh)))
            .await?;
    }
    let set = live.read().closed_set(now());
    match set {
        Some(set) => close(live, set).await,
        None => Ok(()),
    }
}

/// Adds up a set outside the lock, and closes the round if it is still the set to close with.
async fn close(live: &Arc<LiveRound>, set: ClosedSet) -> Result<(), Refusal> {
    let sum = match set.included().is_empty() {
        true => None,
        false => Some(add_up(live, set.clone()).await?.digest()),
    };
    let signer = live.clone();
    live.commit(move |round| {
        // A review that came while the bodies were added may have changed the set. It counts:
        // then this sum is void, and the next step makes another.
        if round.closed_set(now()).as_ref() != Some(&set) {
            return Ok(Verdict::Repeat);
        }
        // Commit holds the log: this is its size until the closing itself is appended.
        let checkpoint = signer.log.read().checkpoint();
        let closing = round.closing_of(set, sum, checkpoint, now());
        Ok(Verdict::Fresh(Event::Closed(signer.identity().sign(closing))))
    })
    .await
}

async fn add_up(live: &LiveRound, set: ClosedSet) -> Result<Sum, Refusal> {
    let length = live.study.body_bytes().map_err(|error| Refusal::internal(&error))?;
    let (files, wire_bits) = (live.files.clone(), live.study.packing.wire_bits);
    Ok(blocking(move || Sum::add_up(&set, &files, length, wire_bits)).await??)
}
