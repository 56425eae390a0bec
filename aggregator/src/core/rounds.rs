//! The rounds of a study: found by number, opened by their initiators' manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ringfence_crypto::api::{Returned, StudyStatus};
use ringfence_crypto::id::{ManifestId, RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::log::{LogEntry, LogHash};
use ringfence_crypto::round::{Round, RoundError, RoundState};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Manifest, Previous};
use ringfence_crypto::time::MAX_CLOCK_AHEAD;
use ringfence_crypto::wire::json;
use tokio::sync::watch;

use crate::core::cohorts::LastCohorts;
use crate::core::epochs::Rosters;
use crate::core::held::LastCount;
use crate::core::kept_keys::KeptKeys;
use crate::core::refusal::Refusal;
use crate::core::restored::KeptRestores;
use crate::core::retention::Forgotten;
use crate::core::round::LiveRound;
use crate::core::round_keys::FreshKeys;
use crate::core::round_list::{Found, RoundList};
use crate::core::senders::Senders;
use crate::core::study::ServedStudy;

/// Whether a request made something, or it was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// It made it.
    Now,
    /// It was there.
    Before,
}

/// What a study's status is made of, beside what never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StatusOf {
    rounds: usize,
    /// The last round as its status is sent.
    latest: Option<Bytes>,
    epochs: u32,
}

/// A study and its rounds so far.
#[derive(Debug)]
pub(crate) struct LiveStudy {
    /// The study as it was first signed.
    pub(crate) served: ServedStudy,
    /// How its roster has changed since.
    pub(crate) roster: Rosters,
    pub(crate) rounds: RoundList,
    /// One round at rest is loaded at a time, and none twice.
    loading: tokio::sync::Mutex<()>,
    /// How many there are, as it changes.
    count: watch::Sender<usize>,
    /// The status as it is sent, and what it was made of.
    sent: Mutex<Option<(StatusOf, Bytes)>>,
    /// One manifest at a time.
    pub(crate) opening: tokio::sync::Mutex<()>,
    /// What came back and waits for statements before it.
    pub(crate) returned: Mutex<BTreeMap<LogHash, Returned>>,
    /// Round keys that every site asks for.
    pub(crate) kept_keys: KeptKeys,
    /// Restore requests that every site asks for.
    pub(crate) kept_restores: KeptRestores,
    /// Round keys that an initiator may not have seen yet.
    pub(crate) fresh_keys: FreshKeys,
    /// What each site takes of the service now.
    pub(crate) senders: Senders,
    /// The last change of the study that was taken over from the store.
    pub(crate) seen: tokio::sync::Mutex<u64>,
    /// What is stored of it, when that was counted last.
    pub(crate) last_count: LastCount,
    /// What its certified sets tell together, when that was asked last.
    pub(crate) last_cohorts: LastCohorts,
    /// How far bodies were deleted that had been kept for long enough.
    pub(crate) forgotten: Forgotten,
}

impl LiveStudy {
    /// A study whose rounds are still to be added.
    pub(crate) fn new(served: ServedStudy) -> Self {
        Self {
            roster: Rosters::of(&served),
            served,
            rounds: RoundList::default(),
            loading: tokio::sync::Mutex::default(),
            count: watch::Sender::new(0),
            sent: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            returned: Mutex::default(),
            kept_keys: KeptKeys::default(),
            kept_restores: KeptRestores::default(),
            fresh_keys: FreshKeys::default(),
            senders: Senders::default(),
            seen: tokio::sync::Mutex::default(),
            last_count: LastCount::default(),
            last_cohorts: LastCohorts::default(),
            forgotten: Forgotten::default(),
        }
    }

    /// One round; read from the store where it is at rest.
    pub(crate) async fn round(&self, number: RoundNumber) -> Result<Arc<LiveRound>, Refusal> {
        if let Some(Found::Live(round)) = self.rounds.find(number) {
            return Ok(round);
        }
        let _one_at_a_time = self.loading.lock().await;
        match self.rounds.find(number) {
            Some(Found::Live(round)) => Ok(round),
            Some(Found::AtRest(manifest)) => {
                let previous = self.before(number);
                let round = LiveRound::load(&self.in_force(number), *manifest, previous).await?;
                self.rounds.wake(&round);
                Ok(round)
            }
            None => Err(Refusal::missing(format!(
                "study {} has no round {number}; {} opened so far",
                self.served.id,
                self.rounds.len()
            ))),
        }
    }

    /// The round with a manifest.
    pub(crate) async fn round_of(
        &self,
        manifest: ManifestId,
    ) -> Option<Result<Arc<LiveRound>, Refusal>> {
        Some(self.round(self.rounds.number_of(manifest)?).await)
    }

    /// How many rounds there are, and the last one.
    pub(crate) fn latest(&self) -> (usize, Option<Arc<LiveRound>>) {
        (self.rounds.len(), self.rounds.last())
    }

    /// The rounds that are in memory.
    #[cfg(test)]
    pub(crate) fn at_work(&self) -> Vec<Arc<LiveRound>> {
        self.rounds.at_work()
    }

    /// Says of each round how it stands.
    pub(crate) fn count_states(&self, count: impl FnMut(RoundState)) {
        self.rounds.count_states(count);
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
            epochs: self.roster.read().epochs(),
        }
    }

    /// The study as it stands, as JSON: made once, however many ask.
    pub(crate) fn status_json(&self) -> Bytes {
        let (rounds, latest) = self.latest();
        let latest = latest.map(|round| round.status_json());
        let now = StatusOf { rounds, latest, epochs: self.roster.read().epochs() };
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        match &*sent {
            Some((of, bytes)) if *of == now => bytes.clone(),
            _ => {
                // It may be of a moment later, and is made anew then.
                let bytes = Bytes::from(json::compact(&self.status()));
                *sent = Some((now, bytes.clone()));
                bytes
            }
        }
    }

    /// Waits for more rounds than `seen`, for at most so long, and not when the service ends.
    pub(crate) async fn news(&self, seen: u32, wait: Duration) {
        let mut count = self.count.subscribe();
        let mut changed = self.roster.changes();
        let mut stopping = self.served.shared.stopping.clone();
        tokio::select! {
            _ = count.wait_for(|count| *count > seen as usize) => {}
            _ = changed.changed() => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = self.served.shared.clock.sleep(wait) => {}
        }
    }

    /// How the round before `number` ended, as far as a manifest for `number` is concerned.
    ///
    /// Ahead of the rounds that there are, the last that *could* have a successor counts, so that
    /// the refusal names the number that is expected.
    pub(crate) fn before(&self, number: RoundNumber) -> Option<Previous> {
        let previous = self.rounds.ended(number.0 as usize)?;
        let trust = self.roster.read().carried(&previous.trust, previous.round, number);
        Some(Previous { trust, ..previous })
    }

    /// Refuses a manifest that starts from another model than the one that Q sites acknowledged last:
    /// no honest site contributes to such a round, and it would only be waited for. Before the first
    /// of them the model is the study's initial one, whose keyed digest only the sites know.
    fn check_base(&self, manifest: &Manifest) -> Result<(), Refusal> {
        let Manifest { round, initiator, base_model: got, .. } = manifest;
        match self.rounds.agreed_model() {
            // Under another check key the same model has another digest.
            Some((last, expected)) if expected != *got && self.same_check_key(last, *round) => {
                Err(Refusal::conflict(format!(
                    "the manifest starts round {round} from the model {got}, expected {expected}, which enough sites have acknowledged in round {last}; {initiator} signs one with that model, or the next site on the ring does when its turn has passed"
                )))
            }
            _ => Ok(()),
        }
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
        let number = manifest.statement.round;
        let served = &self.in_force(number);
        let known = match self.rounds.find(number) {
            Some(_) => Some(self.round(number).await?),
            None => None,
        };
        if let Some(known) = known.as_ref().filter(|known| *known.manifest() == manifest) {
            return Ok((Made::Before, known.clone()));
        }
        let previous = self.before(number);
        Round::open(served.study.clone(), served.id, manifest.clone(), previous.as_ref())?;
        if known.is_some() {
            return Err(other_manifest(number));
        }
        self.check_base(&manifest.statement)?;
        self.check_proposed(number)?;
        timely(&manifest.statement, served.now())?;
        let mut log = served.log.writer().await?;
        // No keys are logged while the writer is held.
        self.check_holder_keys(&manifest.statement).await?;
        let leaf = log.reserve();
        let stored = served.statements().insert_round(served.first, &manifest, leaf).await?;
        match stored.leaf == Some(leaf) {
            true => log.appended(LogEntry::of_signed(&stored.manifest)).await?,
            // An earlier row: the log is taken from the store, and the row is marked.
            false => {
                drop(log);
                served.log.writer().await?;
            }
        }
        let round = self.load_round(stored.manifest).await?;
        self.drive(&round);
        // The row may be an earlier one whose write seemed to have failed: then it counts.
        match *round.manifest() == manifest {
            true => Ok((Made::Now, round)),
            false => Err(other_manifest(number)),
        }
    }

    /// Drives a round unless it is closed.
    pub(crate) fn drive(&self, round: &Arc<LiveRound>) {
        if round.read().closing().is_none() {
            tokio::spawn(round.clone().drive());
        }
    }

    /// Goes on with every round, once nothing is missing any more.
    pub(crate) fn drive_all(&self) {
        self.rounds.at_work().iter().for_each(|round| self.drive(round));
    }

    /// The sites of a round that contributed to neither of the two before it, though they were on the
    /// roster in both; none where there were fewer.
    fn missed_before(&self, round: RoundNumber) -> BTreeSet<SiteId> {
        let missed = |number: RoundNumber| {
            let (came, served) = (self.rounds.contributed(number)?, self.in_force(number));
            let roster = &served.study.roster;
            let missed = roster.iter().filter(|site| !came.contains(roster, &site.id));
            Some(missed.map(|site| site.id.clone()).collect::<BTreeSet<_>>())
        };
        let last = round.before();
        let two = last.and_then(|last| Some((missed(last.before()?)?, missed(last)?)));
        two.map_or_else(BTreeSet::new, |(before, last)| &before & &last)
    }

    /// Loads a round; nothing happens to it yet.
    pub(crate) async fn load_round(
        &self,
        manifest: Signed<Manifest>,
    ) -> Result<Arc<LiveRound>, Refusal> {
        let number = manifest.statement.round;
        let round = LiveRound::load(&self.in_force(number), manifest, self.before(number)).await?;
        round.missed(self.missed_before(number));
        self.count.send_replace(self.rounds.push(&round));
        Ok(round)
    }
}

/// Refuses a manifest that our clock contradicts. Not a rule of the round machine: an auditor who
/// checks the manifest later has another time.
fn timely(manifest: &Manifest, now: UnixSeconds) -> Result<(), Refusal> {
    manifest.check_clock(now, "the aggregator's").map_err(RoundError::from)?;
    let Manifest { initiator, opened_at, deadline, .. } = manifest;
    // Sites refuse a closing from as far ahead of their clocks.
    if *deadline > now && now > opened_at.after(MAX_CLOCK_AHEAD) {
        return Err(Refusal::conflict(format!(
            "the manifest was signed at {}, more than {MAX_CLOCK_AHEAD} s before the aggregator's clock, which shows {}; sign a new one, and look at the clocks of {initiator} and of the aggregator if that is not long ago",
            opened_at.utc(),
            now.utc()
        )));
    }
    if *deadline <= now {
        return Err(Refusal::conflict(format!(
            "the manifest's deadline, {}, is past by the aggregator's clock, which shows {}; sign one with a later deadline, and look at the clocks of {initiator} and of the aggregator if that is not so",
            deadline.utc(),
            now.utc()
        )));
    }
    Ok(())
}

fn other_manifest(round: RoundNumber) -> Refusal {
    Refusal::conflict(format!(
        "round {round} was opened by another manifest; fetch that one, and report it if the initiator signed two"
    ))
}
