//! Runs in which each site has something of its own, and those that are made from other runs' models.

use std::time::Instant;

use anyhow::Context;
use ringfence_learning::task::mean_for_choice;
use ringfence_learning::{Mixture, Own, SiteData, evaluate};
use ringfence_options::progress_bar;
use ringfence_weights::Weights;

use super::job::{Best, Job, Outcome};
use super::method::MethodName;
use super::run::{Key, Run, SiteScores, Table};
use crate::files;

impl Job<'_> {
    /// The models of `local`, each trained further as a common model is fine-tuned: of these epochs the
    /// one that does best on the site's validation images, if one does better than none.
    pub(super) fn alone_tuned(&self) -> anyhow::Result<Outcome> {
        let task = self.plan.task()?;
        let (mut models, mut scores) = (Vec::new(), Vec::new());
        for site in &self.dataset.sites {
            let own = self.made(MethodName::Local, site)?;
            let tuned = self.plan.personalise(&own, site)?.unwrap_or(own);
            scores.push(evaluate(task.as_ref(), &tuned, site.choosing())?);
            models.push(tuned);
        }
        let rounds = self.plan.rounds;
        Ok(Outcome {
            validation: vec![mean_for_choice(&scores)],
            chosen: vec![rounds; models.len()],
            models,
            best: None,
        })
    }

    /// The outputs of two models averaged, once of each site's own and the common one, once of the site's
    /// own and the common one fine-tuned.
    pub(super) fn mixture(self, started: Instant) -> anyhow::Result<Run> {
        let Self { folder, key, plan, dataset, .. } = self;
        let task = plan.task()?;
        let (mut test, mut tuned, mut scores) = (Table::new(), Table::new(), Vec::new());
        let (mut shares, mut tuned_shares) = (Vec::new(), Vec::new());
        for site in &dataset.sites {
            let own = self.made(MethodName::Local, site)?;
            let common = self.made(MethodName::Fedavg, site)?;
            let (mixture, best) = Mixture::choose(task.as_ref(), &own, &common, site.choosing())?;
            scores.push(best);
            shares.push(mixture.weight);
            test.push(SiteScores::new(&site.site, &mixture.evaluate(task.as_ref(), &site.test)?));
            let Some(personal) = plan.personalise(&common, site)? else { continue };
            let (mixture, _) = Mixture::choose(task.as_ref(), &own, &personal, site.choosing())?;
            tuned_shares.push(mixture.weight);
            tuned.push(SiteScores::new(&site.site, &mixture.evaluate(task.as_ref(), &site.test)?));
        }
        let by_training = dataset.sites.iter().any(|site| site.validation.is_empty());
        let run = Run {
            key,
            settings: self.settings(),
            validation: vec![mean_for_choice(&scores)],
            chosen: Vec::new(),
            by_training,
            test,
            personalised: (!tuned.is_empty()).then_some(tuned),
            shares: Some((shares, tuned_shares)),
            private: None,
            seconds: started.elapsed().as_secs_f64(),
        };
        files::write(&folder.join("run.json"), &serde_json::to_vec_pretty(&run)?)?;
        Ok(run)
    }

    /// The model that a site has by another method of the same experiment and seed.
    fn made(&self, method: MethodName, site: &SiteData) -> anyhow::Result<Weights> {
        let key = Key { method, ..self.key };
        let runs = self.folder.parent().context("a run without a folder")?;
        Run::model_in(&runs.join(key.to_string()), &site.site)
            .with_context(|| format!("{} is made from the models of {key}", self.key))
    }

    /// A federated method in which each site has something of its own: of each site the round whose
    /// model does best on its own validation images, as of a site that trains alone.
    pub(super) async fn together_with_own(&mut self) -> anyhow::Result<Outcome> {
        let Self { key, plan, dataset, .. } = *self;
        let personal =
            plan.personal.clone().context("a plan without anything of the sites' own")?;
        let task = plan.task()?;
        let mut rounds = self.rounds().await?;
        let bar = progress_bar("federated");
        bar.set_length(u64::from(plan.rounds));
        let mut own = vec![Own::default(); dataset.sites.len()];
        let mut best: Vec<Best> = own.iter().map(|_| Best::new(rounds.model())).collect();
        let mut validation = Vec::new();
        for round in 0..=plan.rounds {
            if let Some(before) = round.checked_sub(1) {
                rounds.step_with_own(plan, dataset, (before, &mut own)).await?;
                bar.inc(1);
                self.progress.part(1.0 / f64::from(plan.rounds));
            }
            let mut scores = Vec::new();
            for ((site, own), best) in dataset.sites.iter().zip(&own).zip(&mut best) {
                let model = own.model(&personal, rounds.model())?;
                let of_site = evaluate(task.as_ref(), &model, site.choosing())?;
                best.offer(round, mean_for_choice(std::slice::from_ref(&of_site)), &model);
                scores.push(of_site);
            }
            validation.push(mean_for_choice(&scores));
            bar.set_message(format!("{key}: validation {:.3}", mean_for_choice(&scores)));
        }
        bar.finish_and_clear();
        self.clear(rounds)?;
        let (chosen, models) = best.into_iter().map(|best| (best.round, best.model)).unzip();
        Ok(Outcome { validation, chosen, models, best: None })
    }
}
