//! The rounds of a study: found by number, opened by their initiators' manifests.

use std::sync::{Arc, PoisonError, RwLock};

use ringfence_crypto::api::StudyStatus;
use ringfence_crypto::id::{RoundNumber, UnixSeconds};
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::Round;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Manifest, Previous};

use crate::core::refusal::Refusal;
use crate::core::restored::Restores;
use crate::core::round::LiveRound;
use crate::core::study::ServedStudy;

/// How far an initiator's clock may be ahead of ours, in seconds.
const MAX_CLOCK_AHEAD: u64 = 300;

/// Whether a request made something, or it was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// It made it.
    Now,
    /// It was there.
    Before,
}

/// A study and its rounds so far.
#[derive(Debug)]
pub(crate) struct LiveStudy {
    /// The study.
    pub(crate) served: ServedStudy,
    /// Round `r` at index `r`: numbers rise by one.
    rounds: RwLock<Vec<Arc<LiveRound>>>,
    /// One manifest at a time.
    opening: tokio::sync::Mutex<()>,
    /// Sites that were restored from backups, and what the others answer them.
    pub(crate) restores: Restores,
}

impl LiveStudy {
    /// A study whose rounds are still to be added.
    pub(crate) fn new(served: ServedStudy) -> Self {
        let (rounds, opening) = (RwLock::default(), tokio::sync::Mutex::default());
        Self { served, rounds, opening, restores: Restores::default() }
    }

    /// One round.
    pub(crate) fn round(&self, number: RoundNumber) -> Result<Arc<LiveRound>, Refusal> {
        let rounds = self.rounds.read().unwrap_or_else(PoisonError::into_inner);
        let missing = || {
            Refusal::missing(format!(
                "study {} has no round {number}; {} opened so far",
                self.served.id,
                rounds.len()
            ))
        };
        rounds.get(number.0 as usize).cloned().ok_or_else(missing)
    }

    /// How many rounds there are, and the last one.
    pub(crate) fn latest(&self) -> (usize, Option<Arc<LiveRound>>) {
        let rounds = self.rounds.read().unwrap_or_else(PoisonError::into_inner);
        (rounds.len(), rounds.last().cloned())
    }

    /// The study as it stands.
    pub(crate) fn status(&self) -> StudyStatus {
        let (rounds, latest) = self.latest();
        StudyStatus {
            study: self.served.id,
            name: self.served.study.name.clone(),
            // Round numbers are 32 bits wide, so no more than those can be there.
            rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
            latest: latest.map(|round| round.status()),
        }
    }

    /// How the round before `number` ended, as far as a manifest for `number` is concerned.
    ///
    /// Ahead of the rounds that there are, the last that *could* have a successor counts, so that
    /// the refusal names the number that is expected.
    fn before(&self, number: RoundNumber) -> Option<Previous> {
        let rounds = self.rounds.read().unwrap_or_else(PoisonError::into_inner);
        let until = rounds.len().min(number.0 as usize);
        rounds.iter().take(until).rev().find_map(|round| round.read().ended())
    }

    /// Opens a round by its manifest.
    pub(crate) async fn open_round(
        self: &Arc<Self>,
        manifest: Signed<Manifest>,
    ) -> Result<(Made, Arc<LiveRound>), Refusal> {
        let study = self.clone();
        // A task of its own, as for every write: the client may hang up.
        let task = tokio::spawn(async move {
            let _one_at_a_time = study.opening.lock().await;
            study.decide_round(manifest).await
        });
        task.await.map_err(|error| Refusal::internal(&error))?
    }

    async fn decide_round(
        &self,
        manifest: Signed<Manifest>,
    ) -> Result<(Made, Arc<LiveRound>), Refusal> {
        let served = &self.served;
        let number = manifest.statement.round;
        let known = self.round(number).ok();
        if let Some(known) = known.as_ref().filter(|known| *known.manifest() == manifest) {
            return Ok((Made::Before, known.clone()));
        }
        let previous = self.before(number);
        Round::open(served.study.clone(), served.id, manifest.clone(), previous.as_ref())?;
        if known.is_some() {
            return Err(other_manifest(number));
        }
        timely(&manifest.statement, served.now())?;
        let mut log = served.log.writer().await?;
        let leaf = log.reserve();
        let stored = served.statements().insert_round(&manifest, leaf).await?;
        match stored.leaf == Some(leaf) {
            true => log.appended(LogEntry::of_signed(&stored.manifest)),
            // An earlier row: whoever writes next takes the log from the store.
            false => drop(log),
        }
        let round = self.go_live(stored.manifest).await?;
        // The row may be an earlier one whose write seemed to have failed: then it counts.
        match *round.manifest() == manifest {
            true => Ok((Made::Now, round)),
            false => Err(other_manifest(number)),
        }
    }

    /// Loads a round, and drives it unless it is closed.
    pub(crate) async fn go_live(
        &self,
        manifest: Signed<Manifest>,
    ) -> Result<Arc<LiveRound>, Refusal> {
        let previous = self.before(manifest.statement.round);
        let round = LiveRound::load(&self.served, manifest, previous).await?;
        self.rounds.write().unwrap_or_else(PoisonError::into_inner).push(round.clone());
        if round.read().closing().is_none() {
            tokio::spawn(round.clone().drive());
        }
        Ok(round)
    }
}

/// Refuses a manifest that our clock contradicts. Not a rule of the round machine: an auditor who
/// checks the manifest later has another time.
fn timely(manifest: &Manifest, now: UnixSeconds) -> Result<(), Refusal> {
    let Manifest { opened_at, deadline, .. } = manifest;
    if *opened_at > now.after(MAX_CLOCK_AHEAD) {
        return Err(Refusal::conflict(format!(
            "the manifest was opened at {opened_at}, more than {MAX_CLOCK_AHEAD} s ahead of the aggregator's clock ({now}, in Unix seconds); set the initiator's clock"
        )));
    }
    if *deadline <= now {
        return Err(Refusal::conflict(format!(
            "the manifest's deadline {deadline} is past by the aggregator's clock ({now}, in Unix seconds); sign one with a later deadline"
        )));
    }
    Ok(())
}

fn other_manifest(round: RoundNumber) -> Refusal {
    Refusal::conflict(format!(
        "round {round} was opened by another manifest; fetch that one, and report it if the initiator signed two"
    ))
}
