//! Why the round machine refuses a message, and whose fault that is.

use super::status::RoundState;
use crate::id::{ClosingId, ManifestId, RoundNumber, SiteId, StudyId, UnixSeconds};
use crate::ring::packing::PackingError;
use crate::signature::SignatureError;
use crate::statement::{DisputeError, ManifestError, ReviewError, SpentError};

/// Whose fault a refusal is, and so which HTTP status it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The message is wrong whatever the state: 422.
    Message,
    /// The sender may not say this: 403.
    Sender,
    /// What it names does not exist: 404.
    Missing,
    /// It contradicts what came before, or comes at the wrong time: 409.
    Conflict,
}

/// A message that the round machine refuses; the round is as it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RoundError {
    /// The manifest is not the study's next.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Not on the roster.
    #[error("site {0} is not on the study's roster; check the study file and the site's name")]
    UnknownSite(SiteId),
    /// Not a key holder.
    #[error(
        "site {site} is no key holder of round {round}; only the round's window reviews, endorses and opens"
    )]
    NoHolder {
        /// Who spoke.
        site: SiteId,
        /// The round.
        round: RoundNumber,
    },
    /// Of another round or manifest.
    #[error(
        "the message is for the round with manifest {got}, expected {expected}; fetch the manifest again"
    )]
    OtherRound {
        /// This round's manifest.
        expected: ManifestId,
        /// As stated.
        got: ManifestId,
    },
    /// Of this manifest or closing, and still of another study or round.
    #[error(
        "the {what} is of round {got} of study {got_study}, expected round {expected} of study {expected_study}, as its manifest says; whoever made it has a fault"
    )]
    StudyOrRound {
        /// `header` or `endorsement`.
        what: &'static str,
        /// This round.
        expected: RoundNumber,
        /// This study.
        expected_study: StudyId,
        /// As stated.
        got: RoundNumber,
        /// As stated.
        got_study: StudyId,
    },
    /// Of another closing.
    #[error(
        "the message is for closing {got}, expected {expected}; fetch the closing again, and report it if the aggregator showed you two"
    )]
    OtherClosing {
        /// This round's closing.
        expected: ClosingId,
        /// As stated.
        got: ClosingId,
    },
    /// A body of a wrong length.
    #[error("the header promises a body of {got} bytes, expected {expected} for this study")]
    BodyLength {
        /// By the study.
        expected: u64,
        /// As stated.
        got: u64,
    },
    /// Sealed check words of a wrong length.
    #[error("the header has sealed check words of {got} bytes, expected {expected}")]
    CheckLength {
        /// [`CHECK_BYTES`](crate::statement::CHECK_BYTES).
        expected: usize,
        /// As stated.
        got: usize,
    },
    /// A wrong number of envelopes.
    #[error("the header names {got} envelopes, expected one for each of {expected} key holders")]
    Envelopes {
        /// m.
        expected: u16,
        /// As stated.
        got: usize,
    },
    /// What a site states of its privacy budget is not what the study's policy allows.
    #[error("the header of {site} breaks the study's privacy policy: {source}")]
    Spent {
        /// Who signed it.
        site: SiteId,
        /// What is wrong with it.
        source: SpentError,
    },
    /// A second and different contribution.
    #[error(
        "site {0} has already announced another contribution for this round; only the same bytes may be sent again"
    )]
    SecondContribution(SiteId),
    /// After the deadline.
    #[error(
        "round {round} takes no more contributions (deadline {}, now {} by the aggregator's clock); contribute to the next one",
        .deadline.utc(), .now.utc()
    )]
    Late {
        /// The round.
        round: RoundNumber,
        /// Its deadline.
        deadline: UnixSeconds,
        /// The aggregator's clock.
        now: UnixSeconds,
    },
    /// No header came.
    #[error("site {0} has announced no contribution to this round; put the header first")]
    NoContribution(SiteId),
    /// A contribution without a receipt.
    #[error("the contribution of {0} has no receipt yet; send its bytes")]
    NoReceipt(SiteId),
    /// A contribution that is not in the set of a closed round.
    #[error("round {round} is closed without the contribution of {site}; nothing of it is needed")]
    LeftOut {
        /// Whose contribution.
        site: SiteId,
        /// The round.
        round: RoundNumber,
    },
    /// A site that may not contribute any more.
    #[error(
        "site {0} is barred from this study: an earlier round shows that it broke the protocol, and nothing of it is taken any more"
    )]
    Barred(SiteId),
    /// A review that does not count.
    #[error(transparent)]
    Review(#[from] ReviewError),
    /// A dispute or verdict that nobody should endorse.
    #[error(transparent)]
    Dispute(#[from] DisputeError),
    /// A verdict or an opening whose ground is not certified.
    #[error(
        "the {what} names a {ground} that is not certified in round {round}: {needed} key holders must endorse it first"
    )]
    NoGround {
        /// What came.
        what: &'static str,
        /// What it names.
        ground: &'static str,
        /// The round.
        round: RoundNumber,
        /// Q.
        needed: u16,
    },
    /// A dispute or verdict of a round that has ended.
    #[error(
        "a {what} of round {round} comes too late: enough sites have acknowledged one model, and who is barred is settled"
    )]
    Ended {
        /// `dispute` or `verdict`.
        what: &'static str,
        /// The round.
        round: RoundNumber,
    },
    /// A second and different endorsement of a dispute or verdict.
    #[error(
        "holder {holder} has already endorsed another {what} at this index; a second one is evidence against it"
    )]
    SecondDispute {
        /// Who endorsed.
        holder: SiteId,
        /// `dispute` or `verdict`.
        what: &'static str,
    },
    /// A second and different review.
    #[error("holder {0} has already reviewed this round differently")]
    SecondReview(SiteId),
    /// A second and different endorsement.
    #[error(
        "holder {0} has already endorsed in this round; a second endorsement would break the rule of one certified set and is evidence against it"
    )]
    SecondEndorsement(SiteId),
    /// A second and different opening.
    #[error("holder {0} has already opened in this round; an opening never changes")]
    SecondOpening(SiteId),
    /// A second and different acknowledgement.
    #[error("site {0} has already acknowledged this round differently")]
    SecondAcknowledgement(SiteId),
    /// Too early or too late.
    #[error("{what} does not fit round {round}, which is {state}")]
    NotNow {
        /// What came.
        what: &'static str,
        /// Where the round stands.
        state: RoundState,
        /// The round.
        round: RoundNumber,
    },
    /// No certificate of a set, so nothing may be opened.
    #[error(
        "round {round} is {state} and has {got} of {needed} endorsements: nothing may be opened without a certificate of a set"
    )]
    Uncertified {
        /// The round.
        round: RoundNumber,
        /// Where it stands.
        state: RoundState,
        /// Q.
        needed: u16,
        /// Endorsements that came.
        got: usize,
    },
    /// The study's own numbers; [`crate::statement::Study::check`] excludes it.
    #[error(transparent)]
    Packing(#[from] PackingError),
}

impl RoundError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Signature(_)
            | Self::NoHolder { .. }
            | Self::Barred(_)
            | Self::Review(ReviewError::NoHolder { .. } | ReviewError::Signature(_))
            | Self::Manifest(ManifestError::Initiator { .. } | ManifestError::Signature(_)) => {
                Fault::Sender
            }
            Self::UnknownSite(_) | Self::NoContribution(_) => Fault::Missing,
            Self::StudyOrRound { .. }
            | Self::BodyLength { .. }
            | Self::CheckLength { .. }
            | Self::Envelopes { .. }
            | Self::Spent { .. }
            | Self::Review(ReviewError::Answers { .. })
            | Self::Dispute(
                DisputeError::NoNames { .. }
                | DisputeError::Index { .. }
                | DisputeError::Position { .. }
                | DisputeError::Sites { .. }
                | DisputeError::OutOfOrder { .. }
                | DisputeError::Quorum(_),
            )
            | Self::Packing(_)
            | Self::Manifest(ManifestError::Holders { .. } | ManifestError::Deadline { .. }) => {
                Fault::Message
            }
            Self::Manifest(_)
            | Self::NoReceipt(_)
            | Self::LeftOut { .. }
            | Self::Review(_)
            | Self::NoGround { .. }
            | Self::Ended { .. }
            | Self::Dispute(DisputeError::Other { .. })
            | Self::SecondDispute { .. }
            | Self::OtherRound { .. }
            | Self::OtherClosing { .. }
            | Self::SecondContribution(_)
            | Self::Late { .. }
            | Self::SecondReview(_)
            | Self::SecondEndorsement(_)
            | Self::SecondOpening(_)
            | Self::SecondAcknowledgement(_)
            | Self::NotNow { .. }
            | Self::Uncertified { .. } => Fault::Conflict,
        }
    }
}
