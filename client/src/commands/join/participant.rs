//! One site at work in its rounds.

use std::time::Duration;

use ringfence_clock::Moment;
use ringfence_crypto::id::{ModelId, RoundNumber};
use ringfence_crypto::round::RoundStatus;
use ringfence_learning::{SiteData, TrainingPlan};
use ringfence_site::{Done, RoundEnd, Sealing, Site, SiteError, model};
use ringfence_weights::Weights;
use tokio::sync::oneshot;

use super::opened::OpenedRound;
use super::patience::{conflict, is_transient, patiently};
use super::state::State;
use super::{report, training};

/// One site at work.
pub(super) struct Participant<'a> {
    pub(super) site: &'a Site,
    pub(super) plan: &'a TrainingPlan,
    pub(super) data: &'a SiteData,
    /// Seconds that a round which this site opens takes contributions.
    pub(super) round_seconds: u32,
}

impl Participant<'_> {
    /// One round: this site trains while it answers as key holder, where it is one.
    pub(super) async fn round(&self, state: &mut State) -> anyhow::Result<()> {
        let round = state.next();
        println!("round {round}");
        self.patiently(|| self.site.publish_round_keys()).await?;
        let base = model::id(state.model());
        let (opened, is_open) = oneshot::channel();
        let part = async {
            let (open, update) = tokio::join!(
                self.opened(round, base, opened),
                training::update(self.site, self.plan, self.data, state)
            );
            open?;
            let update = update?;
            self.patiently(|| self.take_part(round, state.model(), &update))
                .await
                .map_err(anyhow::Error::from)
        };
        let duty = async {
            // No word comes when the round cannot be opened: there is nothing to hold then.
            if self.site.holds(round) && is_open.await.is_ok() {
                self.hold(round).await;
            }
        };
        let (end, ()) = tokio::join!(part, duty);
        let (end, sealing) = end?;
        if let Some(sealing) = sealing {
            report::record_sealing(state, round, &sealing)?;
        }
        match end {
            RoundEnd::Aborted => {
                println!(
                    "  aborted, with a certificate: too few contributions came; the model stays"
                );
                state.aborted()?;
            }
            RoundEnd::Done(done) => {
                if let Some(reason) = &done.left_out {
                    println!("  this site's contribution is not in the mean: {reason}");
                }
                for (holder, reason) in &done.unusable {
                    println!("  the opening of {holder} was not used: {reason}");
                }
                for line in done.findings().to_string().lines() {
                    println!("  {line}");
                }
                let opened = OpenedRound::of(round, &done);
                opened.print();
                report::record(state, opened)?;
                let mean = Weights::from_values(&state.model().shapes(), done.mean())?;
                state.opened(&mean)?;
                self.acknowledge(done, state).await?;
            }
        }
        Ok(())
    }

    /// Waits until the round is open, and opens it when that falls to this site; says at once whose
    /// turn it is, and tells `opened` once it is open.
    async fn opened(
        &self,
        round: RoundNumber,
        base: ModelId,
        opened: oneshot::Sender<()>,
    ) -> anyhow::Result<()> {
        let known = self.patiently(|| self.site.opened(round)).await?;
        let status = match known {
            Some(status) => status,
            None => {
                match self.patiently(|| self.site.turn(round)).await {
                    Ok(turn) => {
                        println!("  {turn}");
                        // As long as this site's turn may take to come, and its patience beyond that.
                        let wait = turn.from.since(turn.now).saturating_add(self.site.patience());
                        let end = self.site.clock().moment().after(wait);
                        tokio::select! {
                            status = self.open(round, base, end) => status?,
                            status = self.seen(round) => status?,
                        }
                    }
                    // It goes on as key holder, and with the others' means.
                    Err(barred @ SiteError::Barred { .. }) => {
                        println!("  {barred}");
                        self.seen(round).await?
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        match status.initiator == *self.site.id() {
            true => println!("  opened by this site"),
            false => println!("  opened by {}", status.initiator),
        }
        // Whoever waits for it has gone where this is not heard.
        let _ = opened.send(());
        Ok(())
    }

    /// Opens the round in this site's turn. A refusal is an error, unless another site that may open
    /// the round was faster.
    async fn open(
        &self,
        round: RoundNumber,
        base: ModelId,
        end: Moment,
    ) -> Result<RoundStatus, SiteError> {
        let seconds = self.round_seconds;
        loop {
            let opened = self.patiently(|| self.site.initiate(round, base, seconds)).await;
            match opened {
                Err(error @ SiteError::OutOfTurn { .. }) if self.site.clock().moment() < end => {
                    eprintln!("  waiting: {error}");
                }
                opened => return opened,
            }
        }
    }

    /// Waits until somebody who may has opened the round. Ends with what waits beside it.
    async fn seen(&self, round: RoundNumber) -> Result<RoundStatus, SiteError> {
        loop {
            if let Some(status) = self.patiently(|| self.site.opened(round)).await? {
                return Ok(status);
            }
            for site in self.patiently(|| self.site.answer_restored()).await? {
                println!("  told {site}, which was restored from a backup, how far the study is");
            }
            self.pause().await;
        }
    }

    /// Contributes unless it is too late, and opens what comes of the round. Answers with how the
    /// contribution's shares were sealed, if there is one.
    async fn take_part(
        &self,
        round: RoundNumber,
        base: &Weights,
        update: &[f32],
    ) -> Result<(RoundEnd<'_>, Option<Sealing>), SiteError> {
        let joined = self.site.join(round).await?;
        joined.check_origin(base)?;
        match joined.contribute(model::id(base), update, |_| ()).await {
            Ok(contributed) => {
                println!("  contributed {:.2} MiB", contributed.bytes() as f64 / (1 << 20) as f64);
                if let Some(clipped) = contributed.clipped() {
                    println!("  {clipped}");
                }
                let sealing = contributed.sealing().clone();
                for line in sealing.to_string().lines() {
                    println!("  {line}");
                }
                Ok((contributed.finish().await?, Some(sealing)))
            }
            Err(barred @ SiteError::Barred { .. }) => {
                println!("  {barred}");
                Ok((self.site.join(round).await?.finish().await?, None))
            }
            Err(error) if conflict(&error) => {
                println!("  too late to contribute ({error}); waiting for the round's end");
                Ok((self.site.join(round).await?.finish().await?, None))
            }
            Err(error) => Err(error),
        }
    }

    /// A holder's duties. What stands in their way concerns this holder alone: the others' shares
    /// do without it up to the study's bound, so that this site's own part goes on.
    async fn hold(&self, round: RoundNumber) {
        match self.patiently(|| self.site.hold(round)).await {
            Ok(report) => {
                for complaint in &report.complaints {
                    println!("  complained: {complaint}");
                }
                for dealer in &report.cheated_by {
                    println!(
                        "  as key holder: {dealer} dealt no share; the others open without it"
                    );
                }
            }
            Err(error) => println!("  as key holder: {error}"),
        }
    }

    /// After a restart: the last round may have been opened and not acknowledged, and the others
    /// wait for that. Acknowledging twice does no harm.
    pub(super) async fn acknowledge_again(&self, state: &State) {
        let Some(last) = state.next().before() else { return };
        let id = model::id(state.model());
        let again = || async {
            match self.site.join(last).await?.finish().await? {
                RoundEnd::Done(done) => done.acknowledge(id).await,
                RoundEnd::Aborted => Ok(()),
            }
        };
        if let Err(error) = self.patiently(again).await {
            eprintln!("  round {last} could not be acknowledged again: {error}");
        }
    }

    async fn acknowledge(&self, done: Done<'_>, state: &State) -> anyhow::Result<()> {
        match done.acknowledge(model::id(state.model())).await {
            Ok(()) => Ok(()),
            // The mean is on disk; the round is opened again to say so.
            Err(error) if is_transient(&error) => {
                self.acknowledge_again(state).await;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn patiently<T, F>(&self, step: impl FnMut() -> F) -> Result<T, SiteError>
    where
        F: Future<Output = Result<T, SiteError>>,
    {
        patiently(self.site, step).await
    }

    /// Between two looks at what changes without a sign.
    async fn pause(&self) {
        self.site.clock().sleep(Duration::from_secs(1)).await;
    }
}
