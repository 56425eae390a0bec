//! One round of all sites, from the manifest to the last acknowledgement.

use std::sync::Mutex;

use anyhow::{Context, anyhow, bail, ensure};
use futures_util::future::join_all;
use ringfence_clock::Clock;
use ringfence_crypto::id::{ModelId, RoundNumber, SiteId};
use ringfence_keys::open::OpenedSum;
use ringfence_keys::update::quantize;
use ringfence_site::{Done, RoundEnd, Site, model};
use ringfence_weights::{MeanStepState, Weights};

use crate::federation::Federation;
use crate::report::{Pair, RoundReport};

impl Federation {
    /// Drives the next round: one site opens it, all contribute, the key holders hold, every site
    /// opens the sum, applies the mean and acknowledges. The opened sum is compared with the plain
    /// integer sum of what was quantized.
    ///
    /// `updates` are the sites' updates in roster order, values in layout order; `None` for a site
    /// that is not there. What else befalls sites is in [`Federation::fates`].
    ///
    /// # Errors
    /// When the round cannot be finished, or its sum is not the plain one.
    pub async fn round(&mut self, updates: &[Option<Vec<f32>>]) -> anyhow::Result<&RoundReport> {
        ensure!(
            updates.len() == self.sites.len(),
            "expected {} updates, one a site and none for an absent one, got {}",
            self.sites.len(),
            updates.len()
        );
        let round = self.next_round();
        let fates = self.fates(round);
        let there = updates.iter().zip(&fates);
        let there: Vec<Option<&[f32]>> =
            there.map(|(update, fate)| update.as_deref().filter(|_| !fate.absent)).collect();

        let started = self.clock.moment();
        let base = model::id(&self.model);
        let initiator = self.open(round, base, &there).await?;
        let shared = Shared {
            round,
            base,
            model: &self.model,
            clock: &self.clock,
            plain: Mutex::new(vec![0u64; self.model.len()]),
        };
        let parts = self.sites.iter().zip(&there).zip(&fates);
        let parts = parts.map(|((site, update), fate)| shared.part(site, *update, fate.silent));
        let parts = join_all(parts).await.into_iter().collect::<anyhow::Result<Vec<_>>>();
        let parts =
            parts.map_err(|error| anyhow!("round {round} could not be finished: {error:#}"))?;

        let plain = shared.plain.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut report = RoundReport::new(round, initiator, &self.study);
        let next = self.close(parts, &plain, &mut report).await?;
        report.seconds = self.clock.moment().since(started).as_secs_f64();
        (self.model, self.mean_step) = next;
        let mismatches = report.mismatches;
        self.rounds.push(report);
        ensure!(mismatches == 0, "round {round}: the opened sum is not the plain sum");
        self.rounds.last().context("no round was driven")
    }

    /// The first site on the ring that is there opens the round, once it is its turn.
    async fn open(
        &self,
        round: RoundNumber,
        base: ModelId,
        there: &[Option<&[f32]>],
    ) -> anyhow::Result<SiteId> {
        let n = self.sites.len();
        let ring = self.sites.iter().zip(there).cycle().skip(round.0 as usize % n.max(1)).take(n);
        for (site, update) in ring {
            if update.is_some() {
                site.open_round(base, self.round_seconds).await?;
                return Ok(site.id().clone());
            }
        }
        bail!("no site is there to open round {round}")
    }

    /// Every site computes the next model for itself and says which it is; all must be the same.
    async fn close(
        &self,
        parts: Vec<Part<'_>>,
        plain: &[u64],
        report: &mut RoundReport,
    ) -> anyhow::Result<(Weights, MeanStepState)> {
        let round = report.round;
        let mut next: Option<(Weights, MeanStepState)> = None;
        for Part { site, sent, held, end } in parts {
            if let Some(Sent { bytes, seconds }) = sent {
                report.contributed(bytes, seconds);
            }
            if held {
                report.opened_by.push(site.id().clone());
            }
            let end = match end {
                Some(end) => end,
                // A site that vanished comes back and catches up from what is public and sealed.
                None => site.join(round).await?.finish().await?,
            };
            let RoundEnd::Done(done) = end else {
                bail!("round {round} ended in a certified abort: too few contributions came");
            };
            self.compare(&done, plain, report);
            let mut mean_step = self.mean_step.clone();
            let mean = Weights::from_values(&self.model.shapes(), done.mean())?;
            let model = mean_step.apply(&self.model, &mean)?;
            ensure!(
                next.as_ref().is_none_or(|(known, _)| *known == model),
                "round {round}: {} computed another model than the sites before it",
                site.id()
            );
            done.acknowledge(model::id(&model)).await?;
            next = Some((model, mean_step));
        }
        next.context("no site took part")
    }

    /// Holds what one site opened against the plain sum.
    fn compare(&self, done: &Done<'_>, plain: &[u64], report: &mut RoundReport) {
        let Self { study, .. } = self;
        let expected = quantize::mean(plain, done.opened.sites, &study.layout, &study.packing);
        let opened = done.sums().map(OpenedSum::sums).unwrap_or_default();
        report
            .compare(Pair { opened, plain }, Pair { opened: done.opened.mean(), plain: &expected });
        report.opened(done.opened.noise, done.precision(), &done.unusable);
    }
}

/// What the parts of all sites in a round share.
struct Shared<'a> {
    round: RoundNumber,
    base: ModelId,
    model: &'a Weights,
    clock: &'a Clock,
    /// The plain integer sum: the only place that sees all updates in the clear.
    plain: Mutex<Vec<u64>>,
}

/// What one site did.
struct Part<'a> {
    site: &'a Site,
    sent: Option<Sent>,
    held: bool,
    /// `None` for a site that vanished.
    end: Option<RoundEnd<'a>>,
}

/// A contribution's size, and the time from joining to its receipt.
struct Sent {
    bytes: u64,
    seconds: f64,
}

impl Shared<'_> {
    /// One site's part; without an update it is not there. A silent site contributes and is gone.
    async fn part<'s>(
        &self,
        site: &'s Site,
        update: Option<&[f32]>,
        silent: bool,
    ) -> anyhow::Result<Part<'s>> {
        let round = self.round;
        let mut part = Part { site, sent: None, held: false, end: None };
        let Some(update) = update else { return Ok(part) };
        let joined = site.join(round).await.with_context(|| site.id().to_string())?;
        joined.check_origin(self.model).with_context(|| site.id().to_string())?;
        let started = self.clock.moment();
        let contributed = joined
            .contribute(self.base, update, |quantized| self.add(quantized.expose()))
            .await
            .with_context(|| format!("{} could not contribute", site.id()))?;
        let seconds = self.clock.moment().since(started).as_secs_f64();
        part.sent = Some(Sent { bytes: contributed.bytes(), seconds });
        if silent {
            return Ok(part);
        }
        if site.holds(round) {
            site.hold(round).await.with_context(|| format!("key holder {}", site.id()))?;
            part.held = true;
        }
        let end = contributed.finish().await.with_context(|| format!("site {}", site.id()))?;
        part.end = Some(end);
        Ok(part)
    }

    fn add(&self, quantized: &[u32]) {
        // A sum that another part poisoned differs from the opened one, and that is found.
        if let Ok(mut plain) = self.plain.lock() {
            let values = quantized.iter().map(|value| u64::from(*value));
            plain.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }
}
