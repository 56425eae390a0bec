//! The resources of one round: manifest, freeze, reviews, closing, certificate, sum.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use ringfence_crypto::Digest;
use ringfence_crypto::api::{RoundPart, With};
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Closing, Endorsement, Freeze, Manifest, Review,
};
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::{JSON, POLL, Transport};
use super::error::TransportError;

/// The resources of one round of one study.
#[derive(Clone, Copy, Debug)]
pub struct RoundTransport<'a> {
    pub(super) transport: &'a Transport,
    study: StudyId,
    round: RoundNumber,
}

impl Transport {
    /// The resources of one round.
    pub fn round(&self, study: StudyId, round: RoundNumber) -> RoundTransport<'_> {
        RoundTransport { transport: self, study, round }
    }
}

impl RoundTransport<'_> {
    pub(super) fn path(&self, rest: &str) -> String {
        format!("studies/{}/rounds/{}{rest}", self.study, self.round)
    }

    /// Whether what lies at a path below the round's has come with a status and need not come again.
    pub(crate) fn has_brought(&self, rest: &str) -> bool {
        self.transport.has_brought(&self.path(rest))
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        rest: &str,
        expected: &'static str,
    ) -> Result<T, TransportError> {
        self.transport.get(&self.path(rest), MAX_MESSAGE, expected).await
    }

    pub(super) async fn put<T: Serialize>(
        &self,
        rest: &str,
        body: &T,
    ) -> Result<(), TransportError> {
        let bytes = json::compact(body);
        let request =
            |url| self.transport.client.put(url).header("content-type", JSON).body(bytes.clone());
        self.transport.bytes(&self.path(rest), MAX_MESSAGE, request).await.map(|_| ())
    }

    pub(super) async fn send<T: Serialize, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &T,
        expected: &'static str,
    ) -> Result<A, TransportError> {
        let bytes = json::compact(body);
        let request = |url| {
            let request = self.transport.client.request(method.clone(), url);
            request.header("content-type", JSON).body(bytes.clone())
        };
        self.transport.json(path, MAX_MESSAGE, expected, request).await
    }

    /// Opens the round.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn open(&self, manifest: &Signed<Manifest>) -> Result<RoundStatus, TransportError> {
        let path = format!("studies/{}/rounds", self.study);
        self.send(Method::POST, &path, manifest, "round status").await
    }

    /// The round at a glance, at once.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn status(&self) -> Result<RoundStatus, TransportError> {
        self.get("", "round status").await
    }

    /// The round at a glance, as soon as it has changed beyond `version` or `wait` is over.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn changed(
        &self,
        version: u64,
        wait: Duration,
    ) -> Result<RoundStatus, TransportError> {
        self.changed_with(version, wait, (&With(Vec::new()), None)).await
    }

    /// The same; what is asked for `with` it comes along as far as it is there then, and is taken by
    /// whoever asks for it next. `seen` is the size of the log that this site has seen, for the proofs.
    ///
    /// # Errors
    /// [`TransportError`].
    pub(crate) async fn changed_with(
        &self,
        version: u64,
        wait: Duration,
        (with, seen): (&With<RoundPart>, Option<u64>),
    ) -> Result<RoundStatus, TransportError> {
        let wait = wait.min(POLL).as_secs().max(1);
        self.status_of(&format!("wait={wait}&after={version}"), (with, seen)).await
    }

    /// The round at a glance, at once, with what is asked for as by
    /// [`changed_with`](Self::changed_with).
    ///
    /// # Errors
    /// [`TransportError`].
    pub(crate) async fn status_with(
        &self,
        with: (&With<RoundPart>, Option<u64>),
    ) -> Result<RoundStatus, TransportError> {
        self.status_of("", with).await
    }

    async fn status_of(
        &self,
        query: &str,
        (with, seen): (&With<RoundPart>, Option<u64>),
    ) -> Result<RoundStatus, TransportError> {
        let mut asked = String::new();
        if !with.0.is_empty() {
            asked = format!("with={with}");
            asked += &seen.map(|size| format!("&seen={size}")).unwrap_or_default();
        }
        let place = format!("rounds/{}", self.round);
        let of = (self.study, place.as_str());
        self.transport.status_with(of, query, &asked, "round status").await
    }

    /// Keeps what a GET below the round's path would answer now.
    pub(crate) fn bring(&self, rest: &str, bytes: Vec<u8>) {
        self.transport.bring(self.study, &format!("rounds/{}{rest}", self.round), bytes);
    }

    /// The signed manifest.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn manifest(&self) -> Result<Signed<Manifest>, TransportError> {
        self.get("/manifest", "manifest").await
    }

    /// The signed freeze.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn freeze(&self) -> Result<Signed<Freeze>, TransportError> {
        self.get("/freeze", "freeze").await
    }

    /// Sends a review; how the round stands then.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_review(&self, review: &Signed<Review>) -> Result<RoundStatus, TransportError> {
        let path = self.path(&format!("/reviews/{}", review.statement.holder));
        self.send(Method::PUT, &path, review, "round status").await
    }

    /// The holders' reviews.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn reviews(&self) -> Result<Vec<Signed<Review>>, TransportError> {
        self.get("/reviews", "list of reviews").await
    }

    /// The same as they are now, whatever came before.
    ///
    /// # Errors
    /// [`TransportError`].
    pub(crate) async fn reviews_by_now(&self) -> Result<Vec<Signed<Review>>, TransportError> {
        let get = |url| self.transport.client.get(url);
        self.transport.json(&self.path("/reviews"), MAX_MESSAGE, "list of reviews", get).await
    }

    /// The signed closing.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn closing(&self) -> Result<Signed<Closing>, TransportError> {
        self.get("/closing", "closing").await
    }

    /// Sends an endorsement; how the round stands then.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_endorsement(
        &self,
        endorsement: &Signed<Endorsement>,
    ) -> Result<RoundStatus, TransportError> {
        let path = self.path(&format!("/endorsements/{}", endorsement.statement.holder));
        self.send(Method::PUT, &path, endorsement, "round status").await
    }

    /// The certificate.
    ///
    /// # Errors
    /// [`TransportError`]; before there is one, the refusal says how many endorsements are needed.
    pub async fn certificate(&self) -> Result<Certificate, TransportError> {
        self.get("/certificate", "certificate").await
    }

    /// Sends an acknowledgement; how the round stands then.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_acknowledgement(
        &self,
        acknowledgement: &Signed<Acknowledgement>,
    ) -> Result<RoundStatus, TransportError> {
        let path = self.path(&format!("/acks/{}", acknowledgement.statement.site));
        self.send(Method::PUT, &path, acknowledgement, "round status").await
    }

    /// The acknowledgements of the sites that are needed, all of one model.
    ///
    /// # Errors
    /// [`TransportError`]; before there are so many, the refusal says how many are needed.
    pub async fn agreed(&self) -> Result<Vec<Signed<Acknowledgement>>, TransportError> {
        self.get("/agreed", "list of acknowledgements").await
    }

    /// The sites' acknowledgements.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn acknowledgements(&self) -> Result<Vec<Signed<Acknowledgement>>, TransportError> {
        self.get("/acks", "list of acknowledgements").await
    }

    /// Streams the sum of the bodies into a file; returns its digest.
    ///
    /// # Errors
    /// [`TransportError`]; more than `bytes` bytes are refused.
    pub async fn sum(&self, file: &Path, bytes: u64) -> Result<Digest, TransportError> {
        self.download("/sum", file, bytes).await
    }

    /// Streams a site's body into a file; returns its digest.
    ///
    /// # Errors
    /// [`TransportError`]; more than `bytes` bytes are refused.
    pub async fn body(
        &self,
        site: &SiteId,
        file: &Path,
        bytes: u64,
    ) -> Result<Digest, TransportError> {
        self.download(&format!("/contributions/{site}/body"), file, bytes).await
    }
}
