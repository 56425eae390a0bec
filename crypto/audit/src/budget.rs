//! The privacy budget, computed once more from the headers.
//!
//! A header states what its site's data have spent. Nobody else knows the data; but how often a site
//! contributed stands in the log, and what that spends at least follows from the study's noise.

use std::collections::BTreeMap;

use ringfence_crypto::id::SiteId;
use ringfence_crypto::statement::{PrivacyPolicy, RecordLevel, SiteLevel, Spent};
use ringfence_privacy::{Accountant, Mechanism, Release, epsilon};

use crate::report::{Line, Subject, Verdict};
use crate::rounds::Kept;

/// By how much another machine's floating point may lie below.
const TOLERANCE: f64 = 1e-6;

/// Checks what headers state against what the rounds spent.
pub(crate) fn check_budget(rounds: &[Kept]) -> Option<Line> {
    let policy = rounds.first()?.study.privacy;
    let line = |verdict, words: String| Line::new(Subject::Spent, verdict, words);
    let Some(budget) = policy.budget() else {
        return Some(line(
            Verdict::Proven,
            "The study promises no differential privacy: there is no budget to spend. What the opened sums themselves show is not bounded by noise.".to_owned(),
        ));
    };
    let mut known: BTreeMap<u32, f64> = BTreeMap::new();
    let mut of: BTreeMap<&SiteId, (u32, Spent)> = BTreeMap::new();
    for kept in rounds {
        for (site, spent) in &kept.spent {
            let before = of.get(site).copied();
            let seen = before.map_or(1, |(seen, _)| seen + 1);
            let said = |words: String| {
                Some(line(Verdict::False, format!("Round {}, {site}: {words}", kept.round)))
            };
            if spent.rounds < seen {
                return said(format!(
                    "its header counts {} rounds, and the log has {seen} contributions of it.",
                    spent.rounds
                ));
            }
            if let Some((_, last)) = before
                && (spent.rounds <= last.rounds || spent.epsilon < last.epsilon)
            {
                return said(format!(
                    "its header states epsilon {} after {} rounds, and an earlier one {} after {}: a budget that is spent never comes back.",
                    spent.epsilon, spent.rounds, last.epsilon, last.rounds
                ));
            }
            let least = match known.get(&spent.rounds) {
                Some(least) => *least,
                None => match least_epsilon(policy, spent.rounds) {
                    Ok(least) => *known.entry(spent.rounds).or_insert(least),
                    Err(error) => {
                        return Some(line(
                            Verdict::Missing,
                            format!(
                                "What {} rounds spend cannot be computed: {error}.",
                                spent.rounds
                            ),
                        ));
                    }
                },
            };
            if f64::from(spent.epsilon) < least * (1.0 - TOLERANCE) {
                return said(format!(
                    "its header states that epsilon {} is spent, and {} rounds at the study's noise spend {least:.6} at least.",
                    spent.epsilon, spent.rounds
                ));
            }
            of.insert(site, (seen, *spent));
        }
    }
    let most = of.values().map(|(_, spent)| spent.epsilon).fold(0f32, f32::max);
    let how = match policy {
        PrivacyPolicy::SiteLevel(_) => {
            "computed here for plain Gaussian noise of the same width, which spends less than the study's"
        }
        _ => "computed here",
    };
    Some(line(
        Verdict::Proven,
        format!(
            "{} sites state what they have spent, epsilon {most} at most of {} at delta {}. In every header the rounds are as many as the log has of its site at least, and epsilon is no smaller than what they spend ({how}). That a site trained as it says, nobody else can check.",
            of.len(),
            budget.epsilon,
            budget.delta
        ),
    ))
}

/// What so many rounds spend at least.
fn least_epsilon(policy: PrivacyPolicy, rounds: u32) -> Result<f64, ringfence_privacy::Error> {
    let (release, delta): (Release, f32) = match policy {
        PrivacyPolicy::RecordLevel(RecordLevel {
            noise_multiplier, rate, steps, delta, ..
        }) => {
            let step = Mechanism::gaussian(noise_multiplier.into(), rate.into());
            ((step, u64::from(steps) * u64::from(rounds)), delta)
        }
        PrivacyPolicy::SiteLevel(SiteLevel { noise_multiplier, delta, .. }) => {
            ((Mechanism::gaussian(noise_multiplier.into(), 1.0), rounds.into()), delta)
        }
        PrivacyPolicy::None | PrivacyPolicy::SetsApart => return Ok(0.0),
    };
    epsilon(&[release], delta.into(), Accountant::Rdp)
}
