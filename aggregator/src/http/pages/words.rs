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

/// What a kind of stored thing is, and what it says of a site's update; none for a kind that this
/// version does not know.
pub(super) fn stored(kind: &str) -> Option<(&'static str, &'static str)> {
    let in_the_open = "Nothing: who signed what, and digests";
    Some(match kind {
        "studies" => {
            ("The study file that all sites signed", "Nothing: it is agreed before any round")
        }
        "rounds" => ("Manifests: which rounds were opened, and by whom", in_the_open),
        "events: announced" => (
            "Headers: each site's promise of one contribution, by digest",
            "Its length and what its site states of its privacy budget; check words, encrypted",
        ),
        "events: received" => ("Receipts that this server signed", in_the_open),
        "events: damaged" | "events: mended" => ("Notes of bytes lost and sent again", "Nothing"),
        "events: frozen" => ("The list of contributions that holders review", in_the_open),
        "events: reviewed" => ("Key holders' reviews of the shares sealed to them", in_the_open),
        "events: closed" => {
            ("The set and the digest of its sum, signed by this server", in_the_open)
        }
        "events: endorsed" => ("Key holders' endorsements of the set", in_the_open),
        "events: disputed" | "events: judged" => (
            "Disputes of a sum that did not decode, and who was named",
            "Where a sum is wrong, and whose contribution spoiled it",
        ),
        "events: opened" => ("Statements that a key holder has opened its share", in_the_open),
        "events: acknowledged" => (
            "Each site's word on the model that it holds now",
            "A digest keyed with a secret of the sites",
        ),
        "epochs" => ("Changes of the roster, signed", in_the_open),
        "round_keys" => ("Public keys of key holders for single rounds", "Nothing: public halves"),
        "leaves" => ("Places of the log", in_the_open),
        "changes" | "jobs" | "presence" | "ready" => ("Notes on this server's own work", "Nothing"),
        "drafts" | "draft_signatures" => ("Studies that wait for signatures", in_the_open),
        "proposals" | "proposal_signatures" | "proposers" => {
            ("Proposed changes of the roster", in_the_open)
        }
        "restores" | "standings" => {
            ("Sites restored from backups, and the others' answers", in_the_open)
        }
        "small" => (
            "Bodies and envelopes of small contributions",
            "Encrypted: the body under a key of one use, the envelopes to key holders",
        ),
        "bodies" => (
            "Bodies of contributions",
            "Encrypted under a key of one use, which is shared among the key holders",
        ),
        "parts" => ("Bodies on their way", "Encrypted, as bodies are"),
        "envelopes" => {
            ("Shares of those keys, one for each key holder", "Sealed to the key holders")
        }
        "openings" => ("Key holders' shares of the sum of the keys", "Sealed to the sites"),
        "sum" => ("Sums of the bodies", "Encrypted, as bodies are: the sum of the keys opens it"),
        "adding" => ("Ranges of a sum on their way", "Encrypted, as bodies are"),
        "unfinished" => ("Files on their way", "Encrypted or sealed, as what they become"),
        _ => return None,
    })
}
