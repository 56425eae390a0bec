//! What an aggregator may serve in the place of what was signed.

use ringfence_crypto::api::PartError;
use ringfence_crypto::id::{RoundNumber, SiteId};

/// The aggregator served something else than what was asked for: nothing is held against a site.
#[derive(Debug, thiserror::Error)]
pub enum ServedError {
    /// Other round keys than those that were asked for.
    #[error(
        "the aggregator was asked for this site's keys for round {round} and showed keys of {of}, or for other rounds; ask its operator, nothing was published"
    )]
    OtherRoundKeys {
        /// The round.
        round: RoundNumber,
        /// Whose keys came.
        of: SiteId,
    },
    /// The receipt is not for what was sent.
    #[error(
        "the aggregator's receipt for round {0} is not for this site's contribution; keep it as evidence"
    )]
    Receipt(RoundNumber),
    /// The aggregator's part of an opening is not what its holder signed.
    #[error(
        "the aggregator did not send what {holder} signed as its opening for this site: {source}; nothing is held against {holder}, try again, and tell the aggregator's administrator if it stays so"
    )]
    OpeningPart {
        /// Whose opening it should be.
        holder: SiteId,
        /// What is wrong.
        source: PartError,
    },
    /// The aggregator sent a part of another holder's opening.
    #[error(
        "the aggregator was asked for the opening of {expected} and sent that of {got}; nothing is held against {expected}, try again, and tell the aggregator's administrator if it stays so"
    )]
    OpeningOfAnother {
        /// Whose opening was asked for.
        expected: SiteId,
        /// Whose came.
        got: SiteId,
    },
    /// A header that came is not the one in the certified set.
    #[error(
        "the header of {site} that the aggregator sent is not the one in the certified set of round {round}; try again, and report it if it stays so"
    )]
    OtherHeader {
        /// The round.
        round: RoundNumber,
        /// Whose header.
        site: SiteId,
    },
}
