//! Proofs about the study's log.

use ringfence_crypto::api::{InclusionQuery, MAX_PROOFS};
use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::log::note::{MAX_NOTE, NoteError};
use ringfence_crypto::log::{ConsistencyProof, InclusionProof, LogHash, SignedNote};
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};

use super::connection::{JSON, TEXT, Transport};
use super::error::TransportError;

impl Transport {
    /// Fetches the current checkpoint as a signed note; its signature is not yet checked.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn checkpoint(&self, study: StudyId) -> Result<SignedNote, TransportError> {
        self.note(&format!("studies/{study}/log/checkpoint")).await
    }

    /// Fetches the checkpoint of the log's first `size` leaves; not yet checked.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn checkpoint_at(
        &self,
        study: StudyId,
        size: u64,
    ) -> Result<SignedNote, TransportError> {
        self.note(&format!("studies/{study}/log/checkpoint?size={size}")).await
    }

    /// Fetches the last checkpoint that a site has cosigned; not yet checked.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn cosignature(
        &self,
        study: StudyId,
        site: &SiteId,
    ) -> Result<SignedNote, TransportError> {
        self.note(&format!("studies/{study}/log/cosignatures/{site}")).await
    }

    /// Sends a checkpoint that this site has cosigned.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_cosignature(
        &self,
        study: StudyId,
        site: &SiteId,
        note: &SignedNote,
    ) -> Result<(), TransportError> {
        let path = format!("studies/{study}/log/cosignatures/{site}");
        let text = note.to_string();
        let put = |url| self.client.put(url).header("content-type", TEXT).body(text.clone());
        self.bytes(&path, MAX_MESSAGE, put).await.map(|_| ())
    }

    async fn note(&self, path: &str) -> Result<SignedNote, TransportError> {
        let bytes = self.fetch(path, MAX_NOTE).await?;
        let text = String::from_utf8(bytes).map_err(|_| NoteError::Structure)?;
        Ok(text.parse()?)
    }

    /// Fetches the inclusion proofs of leaves in the log of a size, in their order; not yet checked.
    ///
    /// # Errors
    /// [`TransportError`]; a leaf that is not in the log of that size is refused.
    pub async fn inclusion(
        &self,
        study: StudyId,
        size: u64,
        leaves: &[LogHash],
    ) -> Result<Vec<InclusionProof>, TransportError> {
        let path = format!("studies/{study}/log/inclusion");
        let mut proofs = Vec::with_capacity(leaves.len());
        if let Some(proofs) = self.brought_proofs((study, size), leaves) {
            return Ok(proofs);
        }
        for leaves in leaves.chunks(MAX_PROOFS) {
            let query = json::compact(&InclusionQuery { size, leaves: leaves.to_vec() });
            let request =
                |url| self.client.post(url).header("content-type", JSON).body(query.clone());
            let some: Vec<InclusionProof> =
                self.json(&path, MAX_MESSAGE, "list of inclusion proofs", request).await?;
            if let Some(recorder) = &self.recorder {
                let each = leaves.iter().copied().zip(some.iter().cloned());
                recorder.keep_proofs(&path, size, each);
            }
            proofs.extend(some);
        }
        Ok(proofs)
    }

    /// Fetches the proof that the log of `to` leaves begins with that of `from`; not yet checked.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn consistency(
        &self,
        study: StudyId,
        from: u64,
        to: u64,
    ) -> Result<ConsistencyProof, TransportError> {
        let path = format!("studies/{study}/log/consistency?from={from}&to={to}");
        self.get(&path, MAX_MESSAGE, "consistency proof").await
    }
}
