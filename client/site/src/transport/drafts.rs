//! Studies that wait for signatures at the aggregator.

use reqwest::RequestBuilder;
use ringfence_crypto::api::DraftStatus;
use ringfence_crypto::id::StudyId;
use ringfence_crypto::statement::{SignedStudy, SiteSignature};
use ringfence_crypto::wire::json::{self, MAX_MESSAGE, MAX_STUDY};

use super::connection::{JSON, Transport};
use super::error::TransportError;

impl Transport {
    /// Has the signatures of a study gathered, with the admin's token.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn post_draft(
        &self,
        study: &SignedStudy,
        token: &str,
    ) -> Result<DraftStatus, TransportError> {
        let bytes = json::compact(study);
        let request = |url| {
            let post = self.client.post(url).bearer_auth(token);
            post.header("content-type", JSON).body(bytes.clone())
        };
        self.status_of_draft("drafts", request).await
    }

    /// All studies that wait for signatures, the oldest first, with the admin's token.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn drafts(&self, token: &str) -> Result<Vec<DraftStatus>, TransportError> {
        let request = |url| self.client.get(url).bearer_auth(token);
        self.json("drafts", MAX_MESSAGE, "list of drafts", request).await
    }

    /// Removes a draft with the admin's token; answers with how far it had come.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn remove_draft(
        &self,
        study: StudyId,
        token: &str,
    ) -> Result<DraftStatus, TransportError> {
        let request = |url| self.client.delete(url).bearer_auth(token);
        self.status_of_draft(&format!("drafts/{study}"), request).await
    }

    /// A draft with the signatures that it has, or the study that it has become; not yet checked.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn draft(&self, study: StudyId) -> Result<SignedStudy, TransportError> {
        let path = format!("drafts/{study}");
        let bytes = self.bytes(&path, MAX_STUDY, |url| self.client.get(url)).await?;
        Ok(SignedStudy::parse(&bytes)?)
    }

    /// How far the signatures of a study have come.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn draft_status(&self, study: StudyId) -> Result<DraftStatus, TransportError> {
        let path = format!("drafts/{study}/status");
        self.status_of_draft(&path, |url| self.client.get(url)).await
    }

    /// Sends this site's signature of a study.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_study_signature(
        &self,
        study: StudyId,
        signature: &SiteSignature,
    ) -> Result<DraftStatus, TransportError> {
        let bytes = json::compact(signature);
        let put = |url| self.client.put(url).header("content-type", JSON).body(bytes.clone());
        let path = format!("drafts/{study}/signatures/{}", signature.site);
        self.status_of_draft(&path, put).await
    }

    async fn status_of_draft(
        &self,
        path: &str,
        request: impl Fn(reqwest::Url) -> RequestBuilder,
    ) -> Result<DraftStatus, TransportError> {
        self.json(path, MAX_MESSAGE, "status of a draft", request).await
    }
}
