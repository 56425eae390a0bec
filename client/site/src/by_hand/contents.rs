//! What a bundle says about itself, beside its items: which site's, which way, and of when.

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::signature::{PublicKey, Signed};
use ringfence_crypto::statement::CarrierPermit;
use serde::{Deserialize, Serialize};

/// Whose a bundle is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Of {
    /// The study.
    pub(crate) study: StudyId,
    /// The site without a network.
    pub(crate) site: SiteId,
    /// The key of the study's aggregator.
    pub(crate) aggregator_key: PublicKey,
}

/// What a bundle is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "direction", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "one of a bundle, and a handful in all")]
pub(crate) enum Way {
    /// From the site to the aggregator.
    FromSite {
        /// When it was written, by the site's clock.
        made_at: UnixSeconds,
        /// The site's leave for the carrier.
        permit: Signed<CarrierPermit>,
        /// The first round that the site asks about.
        first_round: RoundNumber,
        /// Leaves of the log at the last closing that the site has seen.
        seen_log: Option<u64>,
        /// What it asked for and had not: paths and queries below `/v2/`.
        wanted: Vec<String>,
    },
    /// From the aggregator to the site.
    ToSite {
        /// When the answers were fetched, by the aggregator's clock: not later.
        made_at: UnixSeconds,
        /// What became of what the site sent.
        outcomes: Vec<Outcome>,
    },
}

/// What the aggregator said to one message of the site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    /// Which message.
    pub(crate) message: Digest,
    /// What it was, in words.
    pub(crate) what: String,
    /// Why it was refused; none where it was taken.
    pub(crate) refused: Option<Refusal>,
}

/// Why the aggregator did not take a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) status: u16,
    /// In words.
    pub(crate) detail: String,
}

/// What an item is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub(crate) enum Kind {
    /// An answer of the aggregator.
    Answer {
        /// HTTP status: 200, or that of a refusal.
        status: u16,
    },
    /// A message of the site.
    Message {
        /// PUT or POST.
        method: String,
        /// Its media type.
        content_type: String,
    },
    /// The body of a contribution.
    Body,
}

/// One item of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    /// Path and query below `/v2/`.
    pub(crate) path: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// Length.
    pub(crate) bytes: u64,
    /// Digest of its bytes.
    pub(crate) digest: Digest,
}

impl Item {
    /// The name of a message: of what is sent, and where to.
    pub(crate) fn message(&self) -> Digest {
        let method = match &self.kind {
            Kind::Message { method, .. } => method,
            Kind::Answer { .. } | Kind::Body => "",
        };
        Digest::of(format!("{method} {} {}", self.path, self.digest).as_bytes())
    }

    /// What it is, in words.
    pub(crate) fn described(&self) -> String {
        described(&self.path)
    }
}

/// What a path below `/v2/` is, in words.
pub(crate) fn described(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    match parts.as_slice() {
        ["rounds"] => "the opening of a round".to_owned(),
        ["rounds", round] => format!("how round {round} stands"),
        ["rounds", round, "contributions", site] => {
            format!("how the contribution of {site} to round {round} stands")
        }
        ["rounds", round, "contributions", site, what, ..] => {
            format!("the {what} of {site} in round {round}")
        }
        ["rounds", round, about @ ("disputes" | "verdicts"), index, rest @ ..] => {
            let about = match *about {
                "disputes" => format!("dispute {index}"),
                _ => format!("the verdict on dispute {index}"),
            };
            match rest {
                [what, site, ..] => {
                    let what = what.trim_end_matches('s');
                    format!("the {what} of {site} in {about} of round {round}")
                }
                _ => [&[about.as_str()], rest].concat().join(", ") + &format!(" of round {round}"),
            }
        }
        ["rounds", round, what, site] => {
            let what = match *what {
                "acks" => "acknowledgement",
                what => what.trim_end_matches('s'),
            };
            format!("the {what} of {site} in round {round}")
        }
        ["rounds", round, rest @ ..] => format!("{} of round {round}", rest.join("/")),
        ["round-keys", site] => format!("the round keys of {site}"),
        ["epochs"] => "the proposed change of the roster".to_owned(),
        ["epochs", number] => format!("epoch {number} of the study"),
        ["status"] => "how the study stands".to_owned(),
        rest => rest.join("/"),
    }
}
