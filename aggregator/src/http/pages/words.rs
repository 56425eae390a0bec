//! What the protocol's terms are in a reader's words.

use maud::Markup;
use ringfence_crypto::round::RoundState;
use ringfence_crypto::statement::{ExclusionReason, PrivacyPolicy};

use super::shell::chip;

/// Where a round stands: a word, and the class of its colour.
pub(super) fn state(state: RoundState) -> Markup {
    let (class, word) = match state {
        RoundState::Collecting => ("run", "Collecting"),
        RoundState::Reviewing => ("run", "Reviewing"),
        RoundState::Closed => ("run", "Closed"),
        RoundState::Certified => ("run", "Certified"),
        RoundState::Opened => ("good", "Opened"),
        RoundState::Aborted => ("bad", "Aborted"),
    };
    chip(class, word)
}

/// What happens in each step of a round.
pub(super) const STEPS: [(RoundState, &str, &str); 5] = [
    (RoundState::Collecting, "Collecting", "sites send encrypted contributions"),
    (RoundState::Reviewing, "Reviewing", "key holders check the shares sealed to them"),
    (RoundState::Closed, "Closed", "the set is fixed and added up; holders endorse it"),
    (RoundState::Certified, "Certified", "enough have endorsed this set and no other; they open"),
    (RoundState::Opened, "Opened", "the sites open the sum; this server cannot"),
];

/// Why a contribution is not in the set.
pub(super) fn left_out(reason: ExclusionReason) -> String {
    reason.to_string()
}

/// What a study promises of its sums.
pub(super) fn policy(policy: &PrivacyPolicy) -> String {
    match policy {
        PrivacyPolicy::None => "No noise: sums are exact".to_owned(),
        PrivacyPolicy::SetsApart => "No noise; certified sets lie apart".to_owned(),
        PrivacyPolicy::RecordLevel(of) => {
            format!("Differential privacy for each training record, \u{3b5} at most {}", of.epsilon)
        }
        PrivacyPolicy::SiteLevel(of) => {
            format!("Differential privacy for each site, \u{3b5} at most {}", of.epsilon)
        }
    }
}
