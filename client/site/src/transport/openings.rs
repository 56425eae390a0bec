//! What key holders open of a round: of the sum, and in disputes.

use std::fmt;

use ringfence_crypto::api::{MAX_SNAPSHOT, OpenedFrame, OpeningFrame, OpeningPart};
use ringfence_crypto::id::SiteId;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::Opening;
use ringfence_crypto::wire::frame::{self, MAX_FRAME};
use ringfence_crypto::wire::json::MAX_MESSAGE;

use super::connection::BYTES;
use super::error::TransportError;
use super::round::RoundTransport;

/// Which openings of a round: where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openings {
    /// Of the sum of the keys.
    Sum,
    /// Of functionals, in the dispute with this index.
    Functionals(u16),
    /// Of culprits' keys, under the verdict of the dispute with this index.
    Keys(u16),
}

impl fmt::Display for Openings {
    /// The path below the round's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sum => f.write_str("/openings"),
            Self::Functionals(index) => write!(f, "/disputes/{index}/openings"),
            Self::Keys(index) => write!(f, "/verdicts/{index}/openings"),
        }
    }
}

impl RoundTransport<'_> {
    /// Sends the model after this round, sealed to a site that has come later.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_snapshot(
        &self,
        to: &SiteId,
        from: &SiteId,
        sealed: &[u8],
    ) -> Result<(), TransportError> {
        let path = self.path(&format!("/snapshots/{to}/{from}"));
        let bytes = bytes::Bytes::copy_from_slice(sealed);
        let request =
            |url| self.transport.client.put(url).header("content-type", BYTES).body(bytes.clone());
        self.transport.bytes(&path, MAX_MESSAGE, request).await.map(|_| ())
    }

    /// What a site has sealed to this one.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn snapshot(&self, to: &SiteId, from: &SiteId) -> Result<Vec<u8>, TransportError> {
        let path = self.path(&format!("/snapshots/{to}/{from}"));
        self.transport.bytes(&path, MAX_SNAPSHOT, |url| self.transport.client.get(url)).await
    }

    /// Sends an opening.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_opening(
        &self,
        of: Openings,
        opening: &OpeningFrame,
    ) -> Result<(), TransportError> {
        let bytes = frame::encode(opening)?;
        let path = self.path(&format!("{of}/{}", opening.statement.statement.holder));
        let request =
            |url| self.transport.client.put(url).header("content-type", BYTES).body(bytes.clone());
        self.transport.bytes(&path, MAX_MESSAGE, request).await.map(|_| ())
    }

    /// The statements of the holders' openings.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn openings(&self) -> Result<Vec<Signed<Opening>>, TransportError> {
        self.get("/openings", "list of openings").await
    }

    /// The parts of the openings of the sum that are sealed to `recipient`, in their list's order,
    /// without the first `from`; none where the aggregator has it damaged. Unchecked: the aggregator
    /// may send anything.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn opened(
        &self,
        recipient: &SiteId,
        from: usize,
    ) -> Result<Vec<Option<OpeningPart>>, TransportError> {
        let path = self.path(&format!("/opened/{recipient}?from={from}"));
        let get = |url| self.transport.client.get(url);
        let bytes = self.transport.bytes(&path, MAX_FRAME, get).await?;
        let OpenedFrame { parts } = frame::decode(&bytes, "parts of openings")?;
        Ok(parts)
    }

    /// The same as it came along with a status; nothing where it did not.
    pub(crate) fn opened_along(&self, recipient: &SiteId) -> Vec<Option<OpeningPart>> {
        let path = self.path(&format!("/opened/{recipient}?from=0"));
        let came = self.transport.brought.take(&path, self.transport.clock.moment());
        let frame = came.and_then(|bytes| frame::decode(&bytes, "parts of openings").ok());
        frame.map(|OpenedFrame { parts }| parts).unwrap_or_default()
    }

    /// The part of a holder's opening that is sealed to `recipient`, of at most `limit` bytes. It is
    /// unchecked: the aggregator may send anything.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn opening_part(
        &self,
        of: Openings,
        holder: &SiteId,
        recipient: &SiteId,
        limit: usize,
    ) -> Result<OpeningPart, TransportError> {
        let path = self.path(&format!("{of}/{holder}/recipients/{recipient}"));
        let get = |url| self.transport.client.get(url);
        let bytes = self.transport.bytes(&path, limit, get).await?;
        Ok(frame::decode(&bytes, "a part of an opening")?)
    }
}
