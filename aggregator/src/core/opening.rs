//! Openings, and what anybody may have of a round that is closed.

use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Certificate, Closing};

use crate::core::refusal::{Kind, Refusal};
use crate::core::round::LiveRound;
use crate::store::blobs::Blob;
use crate::store::terms::StoreError;

impl LiveRound {
    /// Takes a holder's opening: the statement and what the holder sealed.
    pub(crate) async fn open_sum(
        self: &Arc<Self>,
        frame: OpeningFrame,
    ) -> Result<RoundStatus, Refusal> {
        let OpeningFrame { statement, sealed } = frame;
        let (expected, got) = (statement.statement.sealed, Digest::of(&sealed));
        if expected != got {
            return Err(Refusal::message(format!(
                "the opening's sealed bytes have digest {got}, its statement names {expected}"
            )));
        }
        // Nothing is written for a message that is refused.
        self.read().open_sum(&statement)?;
        self.served.blobs().write_opening(self.id, got, sealed).await?;
        self.commit(move |round, _| round.open_sum(&statement)).await
    }

    /// The opening of a holder.
    pub(crate) async fn opening(&self, holder: &SiteId) -> Result<OpeningFrame, Refusal> {
        let found = self.read().openings().find(|o| o.statement.holder == *holder).cloned();
        let missing = || Refusal::missing(format!("site {holder} has not opened in this round"));
        let statement = found.ok_or_else(missing)?;
        let expected = statement.statement.sealed;
        match self.served.blobs().opening(self.id, expected).await {
            Ok(sealed) if Digest::of(&sealed) == expected => Ok(OpeningFrame { statement, sealed }),
            Ok(_) | Err(StoreError::Lost(_)) => {
                tracing::error!(study = %self.id.study, round = %self.id.round, %holder, "an opening is damaged");
                Err(Refusal::wanted(format!(
                    "what {holder} sealed in this round is missing or altered in the aggregator's store; the holder posts the same opening again"
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The closing, once the round is closed.
    pub(crate) fn closing(&self) -> Result<Signed<Closing>, Refusal> {
        let closing = self.read().closing().cloned();
        closing.ok_or_else(|| self.not_closed())
    }

    /// The certificate, once there are enough endorsements.
    pub(crate) fn certificate(&self) -> Result<Certificate, Refusal> {
        self.closing()?;
        let certificate = self.read().certificate();
        certificate.ok_or_else(|| {
            let status = self.status();
            Refusal::missing(format!(
                "round {} has no certificate yet: {} endorsements of its closing are needed, {} came",
                status.round,
                status.endorsements_needed,
                status.endorsed.len()
            ))
        })
    }

    /// The sum, once there is one, with the digest that the closing names. One that is missing or
    /// altered is made again from the bodies; if those are damaged, their sites are asked for them.
    pub(crate) async fn sum(self: &Arc<Self>) -> Result<Blob, Refusal> {
        let closing = self.closing()?.statement;
        match closing.sum {
            Some(expected) => {
                self.checked_sum(&closing, expected).await?;
                Ok(Blob::Sum)
            }
            None => Err(Refusal::missing(format!(
                "round {} was aborted: there are too few contributions, and no sum",
                closing.round
            ))),
        }
    }

    /// Why there is nothing of a closed round yet.
    fn not_closed(&self) -> Refusal {
        let status = self.status();
        if let Some(reason) = self.halted() {
            return Refusal::new(
                Kind::Internal,
                format!(
                    "round {} could not be closed and is not tried again until a message comes or the aggregator is started again: {reason}",
                    status.round
                ),
            );
        }
        Refusal::missing(format!(
            "round {} is not closed: it is {:?} with {} contributions (deadline {}) and {} of {} reviews; ask again later",
            status.round,
            status.state,
            status.received.len(),
            status.deadline.utc(),
            status.reviewed.len(),
            status.holders.len()
        ))
    }
}
