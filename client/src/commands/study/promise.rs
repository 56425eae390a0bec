//! What a study's privacy policy promises, in words: what a site signs for.

use ringfence_crypto::statement::{
    PrivacyPolicy, PrivacyUnit, RecordLevel, SiteLevel, Study, Weighting,
};
use ringfence_keys::study::spending::{ACCOUNTANT, rounds_within, spent};
use ringfence_keys::update::site_noise::inexact::not_outright;
use ringfence_keys::update::site_noise::parameters::SiteNoise;
use serde::Serialize;

/// A policy in words, and what it comes to over the rounds of the study's plan.
#[derive(Debug, Serialize)]
pub(super) struct Promise {
    /// The policy as the study pins it.
    policy: PrivacyPolicy,
    /// What is protected.
    protects: String,
    /// From whom.
    against: String,
    /// How much noise is added, and where.
    noise: String,
    /// What may be spent, and what the rounds spend.
    budget: String,
    /// What is not protected.
    beyond: Vec<String>,
    /// The epsilon that may be spent.
    epsilon_budget: f32,
    /// At this delta.
    delta: f32,
    /// Rounds of the training plan.
    plan_rounds: Option<u32>,
    /// What they spend, where it can be computed.
    epsilon_of_plan: Option<f32>,
    /// The most rounds that the budget is enough for, where it can be computed.
    rounds_within_budget: Option<u32>,
    /// Why nothing can be computed.
    not_computed: Option<String>,
}

impl Promise {
    /// What a study promises; nothing where its sums are exact.
    pub(super) fn of(study: &Study) -> Option<Self> {
        let budget = study.privacy.budget()?;
        let plan_rounds = study.training.rounds();
        let of_plan = plan_rounds.map_or(Ok(None), |rounds| spent(study, rounds));
        let within = rounds_within(study);
        let not_computed = within.as_ref().err().or(of_plan.as_ref().err()).map(|e| e.to_string());
        let mut promise = Self {
            policy: study.privacy,
            protects: String::new(),
            against: String::new(),
            noise: String::new(),
            budget: String::new(),
            beyond: Vec::new(),
            epsilon_budget: budget.epsilon,
            delta: budget.delta,
            plan_rounds,
            epsilon_of_plan: of_plan.ok().flatten().map(|spent| spent.epsilon),
            rounds_within_budget: within.ok().flatten(),
            not_computed,
        };
        match &study.privacy {
            PrivacyPolicy::None | PrivacyPolicy::SetsApart => return None,
            PrivacyPolicy::RecordLevel(policy) => promise.records(study, policy),
            PrivacyPolicy::SiteLevel(policy) => promise.sites(study, policy),
        }
        promise.budget = promise.budget_line();
        Some(promise)
    }

    fn records(&mut self, study: &Study, policy: &RecordLevel) {
        let RecordLevel { unit, clip, noise_multiplier, rate, steps, normaliser, .. } = policy;
        let (who, clipped) = match unit {
            PrivacyUnit::Record => ("record (image, volume or row)", "a record's".to_owned()),
            PrivacyUnit::Patient { records_per_step } => (
                "patient, with all its records,",
                format!("a patient's (of at most {records_per_step} records a step, together)"),
            ),
        };
        self.protects = format!("each {who} in a site's training data: adding or removing it");
        self.against =
            "everybody: the other sites, the aggregator, and whoever sees a sum or a model".into();
        let deviation = f64::from(*clip) * f64::from(*noise_multiplier);
        self.noise = format!(
            "each site trains {steps} steps a round, each on a random part of its data (each with a chance of {rate}); {clipped} gradient is clipped to an L2 norm of {clip}, noise of standard deviation {deviation:.4} ({noise_multiplier} times that) is added to their sum, and that is divided by {normaliser}; the plan's epochs and batch size do not apply"
        );
        self.beyond
            .push("what is true of many records alike, which a model is meant to learn".into());
        if *unit == PrivacyUnit::Record {
            self.beyond
                .push("a patient with several records: of all together the sums tell more".into());
        }
        if let Weighting::SampleCounts(_) = study.weighting {
            self.beyond.push("how many samples a site has, which the study makes public".into());
        }
        self.beyond.push(
            "the same data in other studies, unless their budgets are counted together".into(),
        );
    }

    fn sites(&mut self, study: &Study, policy: &SiteLevel) {
        let SiteLevel { clip, noise_multiplier, .. } = policy;
        let threshold = &study.threshold;
        let honest = study.min_sites.saturating_sub(threshold.collusion);
        self.protects = "each site's update, with all data that it was trained on: putting a fixed update in its place".into();
        self.against = format!(
            "whoever sees a sum or a model, up to c = {} other sites together among them; the single updates are hidden by encryption alone",
            threshold.collusion
        );
        self.noise = format!(
            "a site's update is clipped to an L2 norm of {clip}; each site adds integer noise before it encrypts, of which {honest} honest ones (min_sites - c) give a standard deviation of {noise_multiplier} times a site's largest influence in every opened sum; more sites give more noise"
        );
        if let Ok(noise) = SiteNoise::of(study) {
            self.noise += &format!(". In numbers, {}", noise.explain(study.roster.len()));
            let left = self.plan_rounds.and_then(|rounds| noise.delta_left(rounds).ok());
            self.beyond.extend(left.and_then(|left| left.within()).map(not_outright));
        }
        self.beyond.push("that a site takes part, and in which rounds".into());
        if threshold.names() {
            self.beyond.push(format!(
                "a dispute opens one coefficient of each contributor with that site's own noise only, at most {} times a study: that is counted",
                threshold.collusion
            ));
        }
        self.beyond.push(
            "the same data in other studies, unless their budgets are counted together".into(),
        );
    }

    fn budget_line(&self) -> String {
        let Self { epsilon_budget, delta, .. } = self;
        let mut line = format!(
            "epsilon {epsilon_budget} at delta {delta} over the whole study, of each of them"
        );
        if let Some(reason) = &self.not_computed {
            return format!("{line}; {reason}");
        }
        if let (Some(rounds), Some(epsilon)) = (self.plan_rounds, self.epsilon_of_plan) {
            line += &format!("; the plan's {rounds} rounds spend {epsilon}");
            if epsilon > *epsilon_budget {
                line += ", MORE THAN THE BUDGET";
            }
        }
        if let Some(most) = self.rounds_within_budget {
            line += &format!("; it is spent after {most} rounds");
        }
        line + &format!(" ({} accountant)", format!("{ACCOUNTANT:?}").to_lowercase())
    }

    /// Lines of `ringfence study show`, the first after the label of its own.
    pub(super) fn lines(&self, indent: &str) -> String {
        let Self { protects, against, noise, budget, beyond, .. } = self;
        let mut text = format!("privacy     protects {protects}\n");
        text += &format!("{indent}against   {against}\n");
        text += &format!("{indent}noise     {noise}\n");
        text += &format!("{indent}budget    {budget}\n");
        for line in beyond {
            text += &format!("{indent}NOT       {line}\n");
        }
        text
    }
}
