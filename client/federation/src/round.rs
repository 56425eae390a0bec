//! One round of all sites, from the manifest to the last acknowledgement.

use std::sync::Mutex;

use anyhow::{Context, anyhow, bail, ensure};
use futures_util::future::join_all;
use ringfence_crypto::id::{ModelId, RoundNumber, SiteId};
use ringfence_keys::open::OpenedSum;
use ringfence_keys::update::quantize;
use ringfence_site::{Done, RoundEnd, Site, model};
use ringfence_weights::{MeanStepState, Weights};
use tokio::sync::RwLock;

use crate::federation::Federation;
use crate::liar::Liar;
use crate::part::{Part, Role, Sent, Shared, Update};
use crate::plain::Plain;
use crate::report::{Pair, RoundReport};

impl Federation {
    /// Drives the next round: one site opens it, all contribute, the key holders hold, every site
    /// opens the sum, applies the mean and acknowledges. The opened sum is compared with the plain
    /// integer sum of what was quantized, over the sites that are in the mean.
    ///
    /// `updates` are the sites' updates in roster order, values in layout order; `None` for a site
    /// that is not there. What else befalls sites is in [`Federation::fates`]. A barred site
    /// contributes nothing, whatever its update, and goes on as key holder.
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
            study: self.study_id(),
            aggregator: &self.aggregator,
            plain: Mutex::new(Plain::new(self.model.len())),
            flips: RwLock::new(()),
        };
        let mut parts = Vec::new();
        for (place, ((site, update), fate)) in self.sites.iter().zip(&there).zip(&fates).enumerate()
        {
            let update = if self.is_barred(site.id()) {
                Update::Barred
            } else {
                update.map_or(Update::None, Update::Some)
            };
            // All flips are announced before any site begins.
            let flip = if fate.flipped { Some(shared.flips.read().await) } else { None };
            let role = Role { place, fate: *fate, update, flip, liar: self.liar(site) };
            parts.push(shared.part(site, role));
        }
        let parts = join_all(parts).await.into_iter().collect::<anyhow::Result<Vec<_>>>();
        let parts =
            parts.map_err(|error| anyhow!("round {round} could not be finished: {error:#}"))?;

        let plain = shared.plain.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut report = RoundReport::new(round, initiator, &self.study);
        let played = self.sites.iter().zip(&fates);
        report.played = played
            .filter(|(_, fate)| !fate.words().is_empty())
            .map(|(site, fate)| (site.id().clone(), fate.words().join(", ")))
            .collect();
        let next = self.close(parts, plain, &mut report).await?;
        report.seconds = self.clock.moment().since(started).as_secs_f64();
        (self.model, self.mean_step) = next;
        let mismatches = report.mismatches;
        self.rounds.push(report);
        ensure!(mismatches == 0, "round {round}: the opened sum is not the plain sum");
        self.rounds.last().context("no round was driven")
    }

    /// The first site on the ring that is there and not barred opens the round, once it is its turn.
    async fn open(
        &self,
        round: RoundNumber,
        base: ModelId,
        there: &[Option<&[f32]>],
    ) -> anyhow::Result<SiteId> {
        let n = self.sites.len();
        let ring = self.sites.iter().zip(there).cycle().skip(round.0 as usize % n.max(1)).take(n);
        for (site, update) in ring {
            if update.is_some() && !self.is_barred(site.id()) {
                site.open_round(base, self.round_seconds).await?;
                return Ok(site.id().clone());
            }
        }
        bail!("no site is there to open round {round}")
    }

    fn is_barred(&self, site: &SiteId) -> bool {
        self.rounds.last().is_some_and(|last| last.trust.bars(site))
    }

    fn liar<'a>(&'a self, site: &'a Site) -> Option<Liar<'a>> {
        let identity = self.liars.get(site.id())?;
        Some(Liar { site, identity })
    }

    /// Every site computes the next model for itself and says which it is; all must be the same.
    async fn close(
        &self,
        parts: Vec<Part<'_>>,
        plain: Plain,
        report: &mut RoundReport,
    ) -> anyhow::Result<(Weights, MeanStepState)> {
        let round = report.round;
        let lied = parts.iter().any(|part| part.fate.lies);
        let (mut ends, mut honest, mut flipped) = (Vec::new(), None, Vec::new());
        for Part { site, sent, held, fate, flip, end } in parts {
            if let Some(Sent { bytes, seconds }) = sent {
                report.contributed(bytes, seconds);
            }
            if held {
                report.opened_by.push(site.id().clone());
            }
            flipped.extend(flip.map(|flip| (site.id(), flip)));
            honest = honest.or_else(|| (!fate.misbehaves()).then_some(site));
            ends.push((site, end));
        }
        if let Some(honest) = honest.filter(|_| lied) {
            // All openings are there: who lied is determined.
            let Done { unusable, .. } = done(honest.join(round).await?.finish().await?)?;
            report.unusable_openings = unusable;
        }
        let mut next: Option<(Weights, MeanStepState)> = None;
        let mut expected = None;
        for (site, end) in ends {
            let end = match end {
                Some(end) => end,
                // A site that vanished comes back and catches up from what is public and sealed.
                None => site.join(round).await?.finish().await?,
            };
            let done = done(end)?;
            let plain = match &mut expected {
                Some(plain) => plain,
                none => none.insert(plain.of(&done)?),
            };
            self.compare(&done, plain, report);
            ensure!(
                next.is_none() || report.trust == done.trust,
                "round {round}: {} trusts others than the sites before it",
                site.id()
            );
            report.found(&done, lied);
            if honest.is_some_and(|honest| honest.id() == site.id()) {
                report.findings = done.findings();
            }
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
        for (site, flip) in flipped {
            report.flipped.push((site.clone(), flip.is_mended()));
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
    }
}

fn done(end: RoundEnd<'_>) -> anyhow::Result<Done<'_>> {
    match end {
        RoundEnd::Done(done) => Ok(done),
        RoundEnd::Aborted(abort) => bail!("{abort}"),
    }
}
