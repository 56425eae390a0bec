//! KEM keys for single rounds: published ahead by the sites, and named by the manifests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ringfence_clock::{Clock, Moment};
use ringfence_crypto::Digest;
use ringfence_crypto::api::LoggedKeys;
use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Manifest, RosterEntry, RoundKeys, UNSEEN_SECONDS};

use crate::core::kept_keys::Kept;
use crate::core::log::LogWriter;
use crate::core::refusal::{Kind, Refusal};
use crate::core::rounds::{LiveStudy, Made};
use crate::core::study::ServedStudy;

/// How many rounds ahead a site may publish keys: what it can fill is bounded.
const MAX_AHEAD: u64 = 256;

/// How long before a manifest came keys may have been logged that it leaves out.
const UNSEEN: Duration = Duration::from_secs(UNSEEN_SECONDS);

/// Round keys that were logged in the last seconds: an initiator that signs a manifest at the same
/// moment may not have seen them. A restart forgets them, and the initiator asks for them again.
#[derive(Debug, Default)]
pub(crate) struct FreshKeys(Mutex<Vec<Fresh>>);

#[derive(Debug)]
struct Fresh {
    statement: Digest,
    /// When they were logged: by how much time passes, and by the time of day.
    logged: Moment,
    since: UnixSeconds,
}

impl FreshKeys {
    fn add(&self, statement: Digest, clock: &Clock) {
        let (logged, since) = (clock.moment(), clock.now());
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|keys| logged.since(keys.logged) <= UNSEEN);
        keys.push(Fresh { statement, logged, since });
    }

    /// Whether the initiator of a manifest that comes now may not have seen these keys. The time that
    /// the manifest states counts, too: by that the sites judge.
    fn may_be_unseen(&self, statement: Digest, opened_at: UnixSeconds, clock: &Clock) -> bool {
        let now = clock.moment();
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().any(|keys| {
            keys.statement == statement
                && now.since(keys.logged) <= UNSEEN
                && RoundKeys::may_be_unseen(opened_at, keys.since)
        })
    }
}

impl LiveStudy {
    /// Takes a site's keys for coming rounds; they are a leaf of the study's log when this returns.
    /// Once a round has a key, no other is taken.
    pub(crate) async fn publish_round_keys(
        self: &Arc<Self>,
        signed: Signed<RoundKeys>,
    ) -> Result<Made, Refusal> {
        let served = self.named(signed.statement.study)?;
        RoundKeys::check(&signed, &served.study, served.id)?;
        let end = end(&signed.statement);
        let most = self.latest().0 as u64 + MAX_AHEAD;
        if end > most {
            return Err(Refusal::conflict(format!(
                "the keys reach to round {end}, expected at most round {most}, {MAX_AHEAD} rounds ahead; publish them later"
            )));
        }
        let study = self.clone();
        // A task of its own, as for every write: the client may hang up.
        let task = tokio::spawn(async move { study.log_round_keys(&signed).await });
        task.await.map_err(|error| Refusal::internal(&error))?
    }

    async fn log_round_keys(&self, signed: &Signed<RoundKeys>) -> Result<Made, Refusal> {
        let (served, statements) = (&self.served, self.served.statements());
        let RoundKeys { study, site, first_round, .. } = &signed.statement;
        // First the log: what is stored is marked before it is looked up.
        let log = served.log.writer().await?;
        match statements.round_keys(served.first, *study, site, *first_round).await? {
            Some(stored) if stored.keys == *signed => return Ok(Made::Before),
            Some(_) => return Err(published_others(&signed.statement)),
            None => {}
        }
        self.fresh_keys.add(signed.id(), &served.shared.clock);
        self.append_round_keys(log, signed).await?;
        Ok(Made::Now)
    }

    /// Takes back round keys whose leaf is the next one of the mark.
    pub(crate) async fn take_back_round_keys(
        &self,
        signed: &Signed<RoundKeys>,
    ) -> Result<(), Refusal> {
        let served = self.named(signed.statement.study)?;
        RoundKeys::check(signed, &served.study, served.id)?;
        let log = served.log.recovering_writer().await?;
        self.append_round_keys(log, signed).await
    }

    async fn append_round_keys(
        &self,
        mut log: LogWriter<'_>,
        signed: &Signed<RoundKeys>,
    ) -> Result<(), Refusal> {
        let leaf = log.reserve();
        let stored =
            self.served.statements().insert_round_keys(self.served.first, signed, leaf).await?;
        if stored.is_none_or(|stored| stored.leaf != leaf) {
            log.unused();
            return Err(published_others(&signed.statement));
        }
        log.appended(LogEntry::of_signed(signed)).await
    }

    /// Refuses a manifest that does not name the round keys that the log has of each key holder. No
    /// honest site takes part under it, and the study would wait for its deadline.
    pub(crate) async fn check_holder_keys(&self, manifest: &Manifest) -> Result<(), Refusal> {
        let Manifest { round, opened_at, .. } = *manifest;
        let (served, clock) = (self.in_force(round), &self.served.shared.clock);
        for (holder, named) in manifest.holders.iter().zip(&manifest.holder_keys) {
            let stored =
                served.statements().round_keys(served.first, served.id, holder, round).await?;
            let logged = stored.map(|stored| stored.keys.id());
            let unseen = |keys| self.fresh_keys.may_be_unseen(keys, opened_at, clock);
            if *named != logged && !(named.is_none() && logged.is_some_and(unseen)) {
                return Err(names_others(manifest, holder, *named, logged));
            }
        }
        Ok(())
    }

    /// Which round keys the log has of each key holder of a round: what a manifest of it names.
    pub(crate) async fn logged_keys(&self, round: RoundNumber) -> Result<Vec<LoggedKeys>, Refusal> {
        let served = self.in_force(round);
        let mut logged = Vec::new();
        for RosterEntry { id: holder, .. } in served.study.holders(round) {
            let keys = match self.kept_keys.find(served.id, holder, round) {
                Some(kept) => Some(kept.id),
                None => {
                    let of = served.statements();
                    let stored = of.round_keys(served.first, served.id, holder, round).await?;
                    stored.map(|stored| match self.checked_keys(&stored.keys, round) {
                        Ok(kept) => kept.id,
                        // Whoever asks for the statement itself is told.
                        Err(_) => stored.keys.id(),
                    })
                }
            };
            logged.push(LoggedKeys { holder: holder.clone(), keys });
        }
        Ok(logged)
    }

    /// The statement of a site that covers a round, as it is sent.
    pub(crate) async fn round_keys(
        &self,
        site: &SiteId,
        round: RoundNumber,
    ) -> Result<Bytes, Refusal> {
        self.round_keys_under(&self.in_force(round), site, round).await
    }

    async fn round_keys_under(
        &self,
        served: &ServedStudy,
        site: &SiteId,
        round: RoundNumber,
    ) -> Result<Bytes, Refusal> {
        if let Some(kept) = self.kept_keys.find(served.id, site, round) {
            return Ok(kept.json.clone());
        }
        let stored = served.statements().round_keys(served.first, served.id, site, round).await?;
        let stored = stored.ok_or_else(|| {
            Refusal::missing(format!(
                "{site} has published no key for round {round}; its long-term key counts then"
            ))
        })?;
        Ok(self.checked_keys(&stored.keys, round)?.json.clone())
    }

    /// Checks stored round keys that cover a round, and keeps them where every site asks for them: those
    /// of the key holders of the last round and of the next one.
    fn checked_keys(
        &self,
        stored: &Signed<RoundKeys>,
        round: RoundNumber,
    ) -> Result<Arc<Kept>, Refusal> {
        let served = self.in_force(round);
        RoundKeys::check(stored, &served.study, served.id).map_err(|error| {
            let site = &stored.statement.site;
            let detail = format!(
                "the stored round keys of {site} for round {round} are not what it published: {error}; the database was altered, bring it back from a backup"
            );
            Refusal::new(Kind::Altered, detail)
        })?;
        let checked = Arc::new(Kept::of(stored));
        let next = RoundNumber(u32::try_from(self.latest().0).unwrap_or(u32::MAX));
        let mut wanted = Vec::new();
        for round in next.before().into_iter().chain([next]) {
            let served = self.in_force(round);
            let holders = served.study.holders(round);
            wanted.extend(holders.map(|holder| (served.id, holder.id.clone(), round)));
        }
        self.kept_keys.keep(&checked, &wanted);
        Ok(checked)
    }

    /// The statements of the key holders of a round, as far as there are any, as they are sent.
    pub(crate) async fn holder_keys(&self, round: RoundNumber) -> Vec<(SiteId, Bytes)> {
        let served = self.in_force(round);
        let mut statements = Vec::new();
        for RosterEntry { id: holder, .. } in served.study.holders(round) {
            if let Ok(keys) = self.round_keys_under(&served, holder, round).await {
                statements.push((holder.clone(), keys));
            }
        }
        statements
    }
}

/// The round after the last one that has a key in a statement.
fn end(keys: &RoundKeys) -> u64 {
    u64::from(keys.first_round.0) + keys.keys.len() as u64
}

fn published_others(keys: &RoundKeys) -> Refusal {
    let RoundKeys { site, first_round, .. } = keys;
    Refusal::conflict(format!(
        "{site} has published other keys for one of the rounds from {first_round} to {}; a round's key is never replaced",
        end(keys)
    ))
}

fn names_others(
    manifest: &Manifest,
    holder: &SiteId,
    named: Option<Digest>,
    logged: Option<Digest>,
) -> Refusal {
    let Manifest { round, initiator, .. } = manifest;
    let shown = |keys: Option<Digest>| keys.map_or_else(|| "none".to_owned(), |d| d.to_string());
    let (named, expected) = (shown(named), shown(logged));
    Refusal::conflict(format!(
        "the manifest names {named} as the round keys of {holder}, expected {expected}, by this study's log for round {round}; {initiator} fetches the holders' round keys again and signs a manifest that names them, or the next site on the ring does when its turn has passed"
    ))
}
