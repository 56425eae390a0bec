//! A site in a study: what it keeps, what it checks, and its part in a round.
//!
//! A round is driven by typestate: [`Site::join`] gives a [`Joined`], contributing moves that into
//! a [`Contributed`], opening the sum into a [`Done`]. The duties of a key holder run beside it
//! ([`Site::hold`]). Every step is durable before it leaves and may be repeated after a crash.

mod contribute;
mod error;
mod finish;
mod hold;
mod journal;
mod round_keys;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use contribute::{Contributed, Joined};
pub use error::SiteError;
pub use finish::{Done, RoundEnd};
pub use hold::HoldReport;
pub use journal::{ContributionRecord, Journal, JournalError, RoundJournal, RoundKeysJournal};
use ringfence_crypto::Digest;
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::statement::{
    Certificate, Manifest, Outcome, Previous, Signed, SignedStudy, SiteId, Statement, Study,
};
use ringfence_keys::check::CheckKey;
use ringfence_keys::identity::Identity;

use crate::transport::{RoundTransport, Transport, TransportError, is_missing};

/// Unix seconds now.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// One site of a study, with its keys, its durable state and its connection.
#[derive(Debug)]
pub struct Site {
    study: Arc<Study>,
    digest: Digest,
    identity: Identity,
    check_key: CheckKey,
    journal: Journal,
    transport: Transport,
    patience: Duration,
    keeps_sums: bool,
}

impl Site {
    /// Opens a site's state for a study that its whole roster signed.
    ///
    /// `patience` bounds how long each step of a round waits for others.
    ///
    /// # Errors
    /// [`SiteError`] when the study is unsound or unsigned, the identity is not on its roster, or
    /// the state cannot be locked.
    pub fn open(
        study: SignedStudy,
        identity: Identity,
        state: &Path,
        transport: Transport,
        patience: Duration,
    ) -> Result<Self, SiteError> {
        study.verify()?;
        let check_key = identity.check_key(&study.study)?;
        let digest = study.study.digest();
        let journal = Journal::open(state)?;
        let study = Arc::new(study.study);
        let keeps_sums = false;
        Ok(Self { study, digest, identity, check_key, journal, transport, patience, keeps_sums })
    }

    /// Opens every sum a second time to keep its integers in [`Done::sums`]: for the demo's proof.
    pub(crate) fn keeping_sums(self) -> Self {
        Self { keeps_sums: true, ..self }
    }

    /// The site's name.
    pub fn id(&self) -> &SiteId {
        self.identity.site()
    }

    /// The study.
    pub fn study(&self) -> &Study {
        &self.study
    }

    /// Digest of the study.
    pub fn study_digest(&self) -> Digest {
        self.digest
    }

    /// Rounds opened so far.
    ///
    /// # Errors
    /// [`SiteError`].
    pub async fn rounds(&self) -> Result<u32, SiteError> {
        Ok(self.transport.status(self.digest).await?.rounds)
    }

    /// Opens the next round as its initiator, on the base model with this digest. Once the
    /// initiator's time is over its successors on the ring may do so; the earliest moment for
    /// this site is waited for.
    ///
    /// # Errors
    /// [`SiteError`] when this site's model is not the one that the sites agreed on, or the
    /// aggregator refuses.
    pub async fn open_round(
        &self,
        base_model: &Digest,
        seconds: u32,
    ) -> Result<RoundStatus, SiteError> {
        let round = self.rounds().await?;
        let previous = match round.checked_sub(1) {
            None => None,
            Some(last) => Some(self.ended(last).await?),
        };
        self.agreed(round, base_model).await?;
        let n = self.study.roster.len();
        let turns = (0..n).find(|turns| self.study.initiator(round, *turns).id == *self.id());
        let since = previous.as_ref().map_or(self.study.created_at, |previous| previous.closed_at);
        let timeout = u64::from(self.study.initiator_timeout_seconds);
        let due = since.saturating_add(timeout.saturating_mul(turns.unwrap_or(n) as u64));
        while now() < due {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.publish_round_keys().await?;
        let holder_keys = self.holder_keys(round).await?;
        let opened_at = now();
        let manifest = self.identity.sign(Manifest {
            study: self.digest,
            round,
            initiator: self.id().clone(),
            opened_at,
            deadline: opened_at + u64::from(seconds.max(self.study.min_round_seconds)),
            holders: self.study.holders(round).map(|site| site.id.clone()).collect(),
            holder_keys,
            base_model: self.check_key.model(base_model),
            previous: previous.map(|previous| previous.closing),
        });
        Ok(self.at(round).open(&manifest).await?)
    }

    /// Joins a round that was opened: its manifest is checked, and every round before it.
    ///
    /// # Errors
    /// [`SiteError`] when the manifest is not the study's next, or a round before it has no
    /// certificate.
    pub async fn join(&self, round: u32) -> Result<Joined<'_>, SiteError> {
        let manifest = self.manifest(round).await?;
        self.publish_round_keys().await?;
        Ok(Joined { site: self, manifest })
    }

    fn at(&self, round: u32) -> RoundTransport<'_> {
        self.transport.round(self.digest, round)
    }

    /// The checked manifest of a round; kept, so that no second one is ever believed.
    async fn manifest(&self, round: u32) -> Result<Signed<Manifest>, SiteError> {
        // Rounds are checked from the first one that is not on disk: each stands on the one before.
        let mut first = round;
        while first > 0 && self.journal.round(self.digest, first)?.manifest()?.is_none() {
            first -= 1;
        }
        for number in first..round {
            Box::pin(self.checked_manifest(number)).await?;
            self.certificate(number).await?;
        }
        self.checked_manifest(round).await
    }

    async fn checked_manifest(&self, round: u32) -> Result<Signed<Manifest>, SiteError> {
        let journal = self.journal.round(self.digest, round)?;
        if let Some(known) = journal.manifest()? {
            return Ok(known);
        }
        let previous = match round.checked_sub(1) {
            None => None,
            Some(last) => {
                let certificate = self.journal.round(self.digest, last)?.certificate()?;
                let certificate = certificate.ok_or(SiteError::NoCertificate(last))?;
                Some(previous_of(last, &certificate))
            }
        };
        let manifest = self.at(round).manifest().await?;
        Manifest::check(&manifest, &self.study, self.digest, previous.as_ref())?;
        journal.save_manifest(&manifest)?;
        Ok(manifest)
    }

    /// The checked certificate of a round whose manifest is on disk, fetched if need be.
    async fn certificate(&self, round: u32) -> Result<Certificate, SiteError> {
        let journal = self.journal.round(self.digest, round)?;
        if let Some(known) = journal.certificate()? {
            return Ok(known);
        }
        let manifest = journal.manifest()?.ok_or(SiteError::NoManifest(round))?;
        let certificate = self.at(round).certificate().await?;
        certificate.check(&self.study, &manifest.statement)?;
        journal.save_certificate(&certificate)?;
        Ok(certificate)
    }

    async fn ended(&self, round: u32) -> Result<Previous, SiteError> {
        self.manifest(round).await?;
        Ok(previous_of(round, &self.certificate(round).await?))
    }

    /// Refuses to go on from a model that the sites have not agreed on: before the first opened
    /// set it must be the study's initial model, afterwards one that Q sites acknowledged.
    async fn agreed(&self, round: u32, base_model: &Digest) -> Result<(), SiteError> {
        let mut last = round;
        let set = loop {
            let Some(number) = last.checked_sub(1) else { break None };
            last = number;
            self.manifest(number).await?;
            let certificate = self.certificate(number).await?;
            if !certificate.closing.statement.is_abort() {
                break Some((number, certificate.closing.digest()));
            }
        };
        let Some((number, closing)) = set else {
            return match *base_model == self.study.initial_model {
                true => Ok(()),
                false => Err(SiteError::NotInitialModel {
                    expected: self.study.initial_model,
                    got: *base_model,
                }),
            };
        };
        let needed = self.study.threshold.endorsements;
        let own = Outcome::Applied { model: self.check_key.model(base_model) };
        let deadline = Instant::now() + self.patience;
        loop {
            let acknowledgements = self.at(number).acknowledgements().await?;
            let agreeing = self
                .study
                .roster
                .iter()
                .filter(|site| {
                    acknowledgements.iter().any(|signed| {
                        let statement = &signed.statement;
                        statement.site == site.id
                            && statement.closing == closing
                            && statement.outcome == own
                            && signed.verify(&site.signature_key, &site.id).is_ok()
                    })
                })
                .count();
            if agreeing >= usize::from(needed) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(SiteError::NotAgreed { round: number, needed, agreeing });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until a round's status satisfies `ready`, within this site's patience.
    async fn wait(
        &self,
        round: u32,
        what: &'static str,
        ready: impl Fn(&RoundStatus) -> bool,
    ) -> Result<RoundStatus, SiteError> {
        let mut status = self.at(round).status().await?;
        let mut since = Instant::now();
        while !ready(&status) {
            // Contributions are waited for to the deadline; patience begins after it.
            let end = match status.state {
                RoundState::Collecting => {
                    let seconds = status.deadline.saturating_sub(now());
                    Instant::now() + Duration::from_secs(seconds) + self.patience
                }
                _ => since + self.patience,
            };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(SiteError::Impatient { what, status: Box::new(status) });
            }
            let before = status.state;
            status = self.at(round).changed(status.version, left).await?;
            if before == RoundState::Collecting && status.state != before {
                since = Instant::now();
            }
        }
        Ok(status)
    }

    /// Abstains from contributing and endorsing through the highest round that the aggregator shows, plus one:
    /// what a site does after its state was restored from a backup.
    ///
    /// # Errors
    /// [`SiteError`].
    pub async fn abstain(&self) -> Result<u32, SiteError> {
        // Rounds 0..k are open, so k - 1 is the highest seen, and k is one more.
        let through = self.rounds().await?;
        self.journal.abstain(self.digest, through)?;
        Ok(through)
    }
}

fn previous_of(round: u32, certificate: &Certificate) -> Previous {
    let closing = &certificate.closing;
    Previous { round, closing: closing.digest(), closed_at: closing.statement.closed_at }
}

/// `None` for a refusal that says that something is not there yet.
fn present<T>(result: Result<T, TransportError>) -> Result<Option<T>, TransportError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
