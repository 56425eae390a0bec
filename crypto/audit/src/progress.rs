//! Where an audit is, for whoever waits for it.

use std::fmt;

use ringfence_crypto::id::RoundNumber;

/// Who is told of each step.
pub type Progress<'a> = &'a dyn Fn(Step);

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The study's signatures.
    Study,
    /// A round's file.
    Round {
        /// Which.
        round: RoundNumber,
        /// The last of them.
        last: RoundNumber,
    },
    /// The whole log.
    Log,
    /// A part of the bodies of a round.
    Sum {
        /// Which round.
        round: RoundNumber,
        /// Bytes that were read.
        done: u64,
        /// Bytes of all bodies of the round's set.
        of: u64,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Study => f.write_str("the study's signatures"),
            Self::Round { round, last } => write!(f, "the statements of round {round} of {last}"),
            Self::Log => f.write_str("the whole log"),
            Self::Sum { round, done, of } => write!(
                f,
                "the sum of round {round}, {:.1} of {:.1} GB",
                *done as f64 / 1e9,
                *of as f64 / 1e9
            ),
        }
    }
}
