//! What an aggregator lost comes back from the sites: the bytes of their contributions, and the
//! statements that it signed or took.

use std::time::Duration;

use ringfence_crypto::api::{OpeningFrame, Recovery, Returned};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::LogHash;
use ringfence_crypto::round::{Event, RoundStatus};
use ringfence_crypto::wire::frame;
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};

use ringfence_keys::duties::disputes::{endorse_dispute, endorse_verdict};

use crate::error::SiteError;
use crate::journal::RoundJournal;
use crate::site::{LOOK_AGAIN, Site};
use crate::transport::TransportError;
use crate::wait::{Awaited, Waiting};

/// Bytes of statements that are sent back at a time, but for the last one: half of a message.
const BATCH: usize = MAX_MESSAGE / 2;

/// How long the aggregator's database is taken to be what it was, unless it has refused something
/// since because it is not.
const AGAIN: Duration = Duration::from_secs(10);

/// How often a contribution is sent again in one wait. An aggregator that wants it for ever would
/// else have it for ever, and the wait would never end.
const RESENDS: u32 = 8;

impl Site {
    /// Waits as [`Site::wait`] does, and sends this site's contribution again whenever the
    /// aggregator lost bytes of it: exactly those that are on disk. That gives it no more time.
    pub(crate) async fn wait_and_mend(
        &self,
        round: RoundNumber,
        what: Awaited,
        ready: impl Fn(&RoundStatus) -> bool,
    ) -> Result<RoundStatus, SiteError> {
        self.wait_and_mend_from(None, round, what, ready).await
    }

    /// The same, where it is known how the round stood a moment ago.
    pub(crate) async fn wait_and_mend_from(
        &self,
        known: Option<RoundStatus>,
        round: RoundNumber,
        what: Awaited,
        ready: impl Fn(&RoundStatus) -> bool,
    ) -> Result<RoundStatus, SiteError> {
        // What was sent is asked for again only if the round has changed since.
        let (mut left, mut seen) = (RESENDS, None);
        let mut waiting = Waiting::begin(self, round)?.from(known);
        loop {
            let wanted = |status: &RoundStatus| {
                left > 0 && Some(status.version) > seen && self.is_wanted(status)
            };
            let looked = |status: &RoundStatus| ready(status) || wanted(status);
            let status = self.wait_on(&mut waiting, round, what, looked).await?;
            if wanted(&status) {
                self.send_wanted(&status).await?;
            }
            if ready(&status) {
                return Ok(status);
            }
            (left, seen) = (left.saturating_sub(1), Some(status.version));
        }
    }

    fn is_wanted(&self, status: &RoundStatus) -> bool {
        status.wanted.iter().any(|wanted| wanted.site == *self.id())
    }

    /// Sends this site's contribution again if the aggregator lost bytes of it.
    ///
    /// # Errors
    /// [`SiteError`]; also when this site has no contribution on disk, which is then lost for good.
    pub(crate) async fn send_wanted(&self, status: &RoundStatus) -> Result<(), SiteError> {
        if !self.is_wanted(status) {
            return Ok(());
        }
        let round = status.round;
        let journal = self.journal.round(self.study_id, round)?;
        let record = journal.contribution()?.ok_or(SiteError::NotKept(round))?;
        match self.send(&journal, &record).await {
            // Too late: the round was closed without it, and its closing says why.
            Err(SiteError::Transport(error)) if error.status() == Some(409) => {
                let wanted = format!("what it lost of this site's contribution to round {round}");
                self.tell_refused(&wanted, &error, "the round is closed without it");
                Ok(())
            }
            sent => sent.map(drop),
        }
    }

    /// Asks until the aggregator has again what it lost, for at most this site's patience; nothing
    /// once the round is `over`.
    pub(crate) async fn until_mended<T, Asked>(
        &self,
        round: RoundNumber,
        over: impl Fn(&RoundStatus) -> bool,
        ask: impl Fn() -> Asked,
    ) -> Result<Option<T>, SiteError>
    where
        Asked: Future<Output = Result<T, TransportError>>,
    {
        let end = self.clock.moment().after(self.patience);
        let mut told = false;
        loop {
            let error = match ask().await {
                Err(error) if error.is_failure() => error,
                answer => return Ok(Some(answer?)),
            };
            if !std::mem::replace(&mut told, true) {
                let wanted = format!("a download of round {round}");
                self.tell_refused(&wanted, &error, "it is asked for again");
            }
            let status = self.at(round).status().await?;
            if over(&status) {
                return Ok(None);
            }
            self.send_wanted(&status).await?;
            if self.clock.moment() >= end {
                return Err(error.into());
            }
            self.attend().await?;
            self.clock.sleep(LOOK_AGAIN).await;
        }
    }

    /// Sends back what this site holds if the aggregator's database is behind; else fetches again what
    /// is damaged here. Each thing that a site does begins with it.
    pub(crate) async fn help_if_behind(&self) -> Result<(), SiteError> {
        self.check_one_history()?;
        let (asked, now) = (self.clock.now(), self.clock.moment());
        if self.looked.within(AGAIN, now).is_some() && !self.transport.was_busy() {
            return self.mend_damaged().await;
        }
        match self.study_status(None).await {
            Err(error) if error.is_busy() => {
                self.tell_refused(
                    "the study's status",
                    &error,
                    "what this site holds is sent back",
                );
                self.give_back().await.map(drop)
            }
            answer => {
                let next = RoundNumber(answer?.rounds);
                self.looked.say(next, now);
                self.mend_damaged().await?;
                self.took_note(next, asked).map(drop)
            }
        }
    }

    /// Sends the aggregator the statements that it lost (its database was restored from a backup)
    /// and that this site holds: what this site signed, and what was signed for it. Answers with
    /// what is still missing, which other sites may hold.
    ///
    /// # Errors
    /// [`SiteError`] when a record cannot be read or the aggregator cannot be reached.
    pub async fn give_back(&self) -> Result<Recovery, SiteError> {
        let mut recovery = self.transport.lost(self.first_study).await?;
        if recovery.missing.is_empty() {
            return Ok(recovery);
        }
        let mut statements: Vec<Returned> = Vec::new();
        let epochs = self.lineage.all().filter_map(|study| study.epoch.as_deref().cloned());
        statements.extend(epochs.map(|signed| Returned::Epoch(Box::new(signed))));
        // Of rounds under other keys it could not sign again what it signed.
        for site in self.all().filter(|site| site.is_own) {
            let keys = self.journal.round_keys(site.study_id)?.kept()?;
            statements.extend(keys.into_iter().map(Returned::RoundKeys));
            for journal in self.journal.kept_rounds(site.study_id)? {
                journal.sync()?;
                statements.extend(site.held(&journal)?);
            }
        }
        let of = |statement: Returned| Some((statement.entry()?.leaf(), statement));
        let mut held: Vec<(LogHash, Returned)> = statements.into_iter().filter_map(of).collect();
        // Each is sent once, so this ends.
        loop {
            let missing = |leaf: &LogHash| recovery.missing.contains(leaf);
            let (mut batch, mut bytes) = (Vec::new(), 0);
            held.retain(|(leaf, statement)| {
                let sent = bytes < BATCH && missing(leaf);
                if sent {
                    bytes += json::compact(statement).len();
                    batch.push(statement.clone());
                }
                !sent
            });
            if batch.is_empty() {
                return Ok(recovery);
            }
            recovery = self.transport.give_back(self.first_study, &batch).await?;
        }
    }

    /// The statements of one round that this site holds.
    fn held(&self, journal: &RoundJournal) -> Result<Vec<Returned>, SiteError> {
        let mut events = Vec::new();
        events.extend(journal.contribution()?.map(|record| Event::Announced(record.header)));
        events.extend(journal.receipt()?.map(Event::Received));
        events.extend(journal.freeze()?.map(Event::Frozen));
        events.extend(journal.review()?.map(Event::Reviewed));
        events.extend(journal.closing()?.map(Event::Closed));
        if let Some(certificate) = journal.certificate()? {
            events.push(Event::Closed(certificate.closing));
            events.extend(certificate.endorsements.into_iter().map(Event::Endorsed));
        }
        let endorsement = journal.endorsement()?;
        events.extend(endorsement.map(|own| Event::Endorsed(self.identity.sign(own))));
        for dispute in journal.disputes()? {
            events.push(Event::Disputed(endorse_dispute(&self.identity, dispute)));
        }
        for verdict in journal.verdicts()? {
            events.push(Event::Judged(endorse_verdict(&self.identity, verdict)));
        }
        for opening in journal.openings()? {
            let opening: OpeningFrame =
                frame::decode(&opening, "an opening").map_err(TransportError::from)?;
            events.push(Event::Opened(opening.statement));
        }
        events.extend(journal.acknowledgement()?.map(Event::Acknowledged));
        let manifest = journal.manifest()?.map(Returned::Manifest);
        Ok(manifest.into_iter().chain(events.into_iter().map(Returned::Event)).collect())
    }
}
