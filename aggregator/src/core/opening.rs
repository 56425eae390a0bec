//! Openings, and what anybody may have of a round that is closed.

use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Certificate, Closing};

use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;
use crate::store::blobs::Blob;

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
        let blobs = self.served.blobs();
        let sealed = blobs.opening(self.id, statement.statement.sealed).await?;
        Ok(OpeningFrame { statement, sealed })
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

    /// The sum, once there is one.
    pub(crate) fn sum(&self) -> Result<Blob, Refusal> {
        let closing = self.closing()?.statement;
        match closing.is_abort() {
            false => Ok(Blob::Sum),
            true => Err(Refusal::missing(format!(
                "round {} was aborted: there are too few contributions, and no sum",
                closing.round
            ))),
        }
    }

    /// Why there is nothing of a closed round yet.
    fn not_closed(&self) -> Refusal {
        let status = self.status();
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
