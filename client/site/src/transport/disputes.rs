//! What is endorsed and certified of a round whose sum does not decode, or whose check words are wrong.

use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    DisputeCertificate, DisputeEndorsement, VerdictCertificate, VerdictEndorsement,
};

use super::error::TransportError;
use super::round::RoundTransport;

impl RoundTransport<'_> {
    /// Sends an endorsement of a dispute.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_dispute(
        &self,
        endorsement: &Signed<DisputeEndorsement>,
    ) -> Result<(), TransportError> {
        let DisputeEndorsement { statement, holder } = &endorsement.statement;
        self.put(&format!("/disputes/{}/endorsements/{holder}", statement.index), endorsement).await
    }

    /// The certificate of a dispute.
    ///
    /// # Errors
    /// [`TransportError`]; before there is one, the refusal says how many endorsements are needed.
    pub async fn dispute(&self, index: u16) -> Result<DisputeCertificate, TransportError> {
        self.get(&format!("/disputes/{index}"), "dispute").await
    }

    /// Sends an endorsement of the verdict of a dispute; of check words with index 0.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_verdict(
        &self,
        index: u16,
        endorsement: &Signed<VerdictEndorsement>,
    ) -> Result<(), TransportError> {
        let holder = &endorsement.statement.holder;
        self.put(&format!("/verdicts/{index}/endorsements/{holder}"), endorsement).await
    }

    /// The certificate of the verdict of a dispute; of check words with index 0.
    ///
    /// # Errors
    /// [`TransportError`]; before there is one, the refusal says how many endorsements are needed.
    pub async fn verdict(&self, index: u16) -> Result<VerdictCertificate, TransportError> {
        self.get(&format!("/verdicts/{index}"), "verdict").await
    }
}
