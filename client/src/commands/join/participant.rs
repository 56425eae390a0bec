//! One site at work in its rounds.

use std::time::Duration;

use ringfence_crypto::id::{ModelId, RoundNumber};
use ringfence_learning::{SiteData, TrainingPlan};
use ringfence_site::{Done, RoundEnd, Site, SiteError, model};
use ringfence_weights::Weights;

use super::patience::{conflict, is_transient, patiently};
use super::state::State;
use super::training;

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
        let part = async {
            let (opened, update) = tokio::join!(
                self.opened(round, base),
                training::update(self.site, self.plan, self.data, state)
            );
            opened?;
            let update = update?;
            self.patiently(|| self.take_part(round, base, &update))
                .await
                .map_err(anyhow::Error::from)
        };
        let duty = async {
            if self.site.holds(round) {
                self.seen(round).await?;
                self.hold(round).await;
            }
            Ok::<_, anyhow::Error>(())
        };
        let (end, duty) = tokio::join!(part, duty);
        duty?;
        match end? {
            RoundEnd::Aborted => {
                println!(
                    "  aborted, with a certificate: too few contributions came; the model stays"
                );
                state.aborted()?;
            }
            RoundEnd::Done(done) => {
                for (holder, reason) in &done.unusable {
                    println!("  the opening of {holder} was not used: {reason}");
                }
                println!(
                    "  mean of {} sites opened, noise margin {:.1} bits",
                    done.opened.sites, done.opened.noise.margin_bits
                );
                let mean = Weights::from_values(&state.model().shapes(), done.mean())?;
                state.opened(&mean)?;
                self.acknowledge(done, state).await?;
            }
        }
        Ok(())
    }

    /// Waits until the round is open, and opens it when that falls to this site.
    async fn opened(&self, round: RoundNumber, base: ModelId) -> anyhow::Result<()> {
        loop {
            if self.patiently(|| self.site.next_round()).await? > round {
                return Ok(());
            }
            for site in self.patiently(|| self.site.answer_restored()).await? {
                println!("  told {site}, which was restored from a backup, how far the study is");
            }
            tokio::select! {
                opened = self.site.open_round(base, self.round_seconds) => match opened {
                    Ok(_) => println!("  opened by this site"),
                    // Another site was faster, or the server is away: the next look tells.
                    Err(error) if is_transient(&error) || conflict(&error) => self.pause().await,
                    Err(error) => return Err(error.into()),
                },
                seen = self.seen(round) => return seen,
            }
        }
    }

    /// Waits until somebody has opened the round.
    async fn seen(&self, round: RoundNumber) -> anyhow::Result<()> {
        while self.patiently(|| self.site.next_round()).await? <= round {
            self.pause().await;
        }
        Ok(())
    }

    /// Contributes unless it is too late, and opens what comes of the round.
    async fn take_part(
        &self,
        round: RoundNumber,
        base: ModelId,
        update: &[f32],
    ) -> Result<RoundEnd<'_>, SiteError> {
        match self.site.join(round).await?.contribute(base, update, |_| ()).await {
            Ok(contributed) => {
                println!("  contributed {:.2} MiB", contributed.bytes() as f64 / (1 << 20) as f64);
                if let Some(clipped) = contributed.clipped() {
                    println!("  {clipped}");
                }
                for line in contributed.sealing().to_string().lines() {
                    println!("  {line}");
                }
                contributed.finish().await
            }
            Err(error) if conflict(&error) => {
                println!("  too late to contribute ({error}); waiting for the round's end");
                self.site.join(round).await?.finish().await
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
        patiently(self.site.clock(), step).await
    }

    /// Between two looks at what changes without a sign.
    async fn pause(&self) {
        self.site.clock().sleep(Duration::from_secs(1)).await;
    }
}
