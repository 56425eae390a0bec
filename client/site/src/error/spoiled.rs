//! Why a sum that does not decode stays so.

use ringfence_crypto::id::RoundNumber;
use ringfence_keys::open::OpenError;

/// A sum does not decode, and no verdict takes whoever broke the format out of it.
#[derive(Debug, thiserror::Error)]
pub enum SpoiledError {
    /// A dispute or verdict was certified that this site did not find.
    #[error(
        "what was certified in round {round} as dispute {index} (0: check words) is not what this site finds in the same bodies and openings: more sites lie than the study allows for, or this machine computes wrongly; keep this state as evidence and stop the study"
    )]
    OtherDispute {
        /// The round.
        round: RoundNumber,
        /// Which dispute.
        index: u16,
    },
    /// The sum does not decode, and the study can name nobody.
    #[error(
        "{source}; and nobody can be named: that needs m >= 3c + l key holders, and this study has m = {holders}. Round {round} has failed; its model is spent (docs/safety.md, \"After a round that failed\")"
    )]
    Unnamed {
        /// The round.
        round: RoundNumber,
        /// `m`.
        holders: u16,
        /// Why it does not decode.
        source: OpenError,
    },
    /// The sum does not decode, though as many sites as may be corrupt were taken out of it.
    #[error(
        "{source}; the verdicts of c = {collusion} disputes were not enough: more sites broke the format than the study allows for. Round {round} has failed; stop the study, and keep all statements as evidence"
    )]
    StillSpoiled {
        /// The round.
        round: RoundNumber,
        /// `c`.
        collusion: u16,
        /// Why it does not decode.
        source: OpenError,
    },
    /// A sum that did not decode, and now does.
    #[error(
        "the sum of round {0} did not decode, and every coefficient of it is within its bounds: this machine computes wrongly; run its memory tests"
    )]
    NoFailure(RoundNumber),
    /// Nobody's coefficient is out of bounds where the sum's is.
    #[error(
        "the sum of round {0} does not decode, and no contribution is out of bounds where it fails: more key holders have lied together than the study allows for, or this machine computes wrongly, for by chance it happens once in 2^64 models. Round {0} has failed; its model is spent (docs/safety.md, \"After a round that failed\")"
    )]
    NoCulprit(RoundNumber),
}
