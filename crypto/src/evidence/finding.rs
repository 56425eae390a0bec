//! What a check found.

use std::fmt;

use serde::Serialize;

/// The checks of a round, in the order of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The study's rosters: every change of them is signed by those who must.
    Epochs,
    /// The round is opened by whose turn it is, after the round before.
    Manifest,
    /// The keys that shares are sealed under are those that their holders signed.
    RoundKeys,
    /// Contributions are signed by their sites, one each.
    Contributions,
    /// The aggregator signed that it has them.
    Receipts,
    /// The list of contributions that is reviewed is the one that was received.
    Freeze,
    /// The key holders' reviews are of that list.
    Reviews,
    /// There is one closing, and its set is what follows from list and reviews.
    Closing,
    /// Enough key holders signed that this set is the only one.
    Certificate,
    /// Keys were opened under that certificate only, and once by each holder.
    Openings,
    /// Who was named in a dispute was so by enough key holders.
    Disputes,
    /// What the sites say that became of the sum.
    Acknowledgements,
    /// What the sites state of their privacy budget is within the study's policy.
    Budget,
    /// Every statement is in the signed log, in this order.
    Log,
    /// The log that the closing was signed over is the beginning of that log.
    ClosingLog,
}

impl Check {
    /// All of them, in order.
    pub const ALL: [Self; 15] = [
        Self::Epochs,
        Self::Manifest,
        Self::RoundKeys,
        Self::Contributions,
        Self::Receipts,
        Self::Freeze,
        Self::Reviews,
        Self::Closing,
        Self::Certificate,
        Self::Openings,
        Self::Disputes,
        Self::Acknowledgements,
        Self::Budget,
        Self::Log,
        Self::ClosingLog,
    ];

    /// Its name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epochs => "epochs",
            Self::Manifest => "manifest",
            Self::RoundKeys => "round-keys",
            Self::Contributions => "contributions",
            Self::Receipts => "receipts",
            Self::Freeze => "freeze",
            Self::Reviews => "reviews",
            Self::Closing => "closing",
            Self::Certificate => "certificate",
            Self::Openings => "openings",
            Self::Disputes => "disputes",
            Self::Acknowledgements => "acknowledgements",
            Self::Budget => "budget",
            Self::Log => "log",
            Self::ClosingLog => "closing-log",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// It holds, by what was shown.
    Proven,
    /// It does not hold: what was shown was altered, or somebody broke the protocol.
    False,
    /// The round has not come so far, by what was shown.
    Pending,
}

/// A check of a round, what came out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// What came out.
    pub found: Found,
    /// Why, in sentences.
    pub words: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = match self.found {
            Found::Proven => "proven",
            Found::False => "FALSE",
            Found::Pending => "pending",
        };
        write!(f, "{found:<7} {:<17} {}", self.check, self.words)
    }
}
