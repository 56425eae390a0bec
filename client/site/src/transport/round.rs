//! The resources of one round: manifest, freeze, reviews, closing, certificates, openings, sum.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use ringfence_crypto::Digest;
use ringfence_crypto::api::{OpeningFrame, OpeningPart};
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Closing, DisputeCertificate, DisputeEndorsement, Endorsement,
    Freeze, Manifest, Opening, Review, VerdictCertificate, VerdictEndorsement,
};
use ringfence_crypto::wire::frame;
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;

use super::connection::{BYTES, JSON, POLL, Transport, accepted, transfer_time};
use super::error::TransportError;

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

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        rest: &str,
        expected: &'static str,
    ) -> Result<T, TransportError> {
        self.transport.get(&self.path(rest), MAX_MESSAGE, expected).await
    }

    async fn put<T: Serialize>(&self, rest: &str, body: &T) -> Result<(), TransportError> {
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
        let wait = wait.min(POLL).as_secs().max(1);
        self.get(&format!("?wait={wait}&after={version}"), "round status").await
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

    /// Sends a review.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_review(&self, review: &Signed<Review>) -> Result<(), TransportError> {
        self.put(&format!("/reviews/{}", review.statement.holder), review).await
    }

    /// The holders' reviews.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn reviews(&self) -> Result<Vec<Signed<Review>>, TransportError> {
        self.get("/reviews", "list of reviews").await
    }

    /// The signed closing.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn closing(&self) -> Result<Signed<Closing>, TransportError> {
        self.get("/closing", "closing").await
    }

    /// Sends an endorsement.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_endorsement(
        &self,
        endorsement: &Signed<Endorsement>,
    ) -> Result<(), TransportError> {
        self.put(&format!("/endorsements/{}", endorsement.statement.holder), endorsement).await
    }

    /// The certificate.
    ///
    /// # Errors
    /// [`TransportError`]; before there is one, the refusal says how many endorsements are needed.
    pub async fn certificate(&self) -> Result<Certificate, TransportError> {
        self.get("/certificate", "certificate").await
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

    /// Sends an acknowledgement.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_acknowledgement(
        &self,
        acknowledgement: &Signed<Acknowledgement>,
    ) -> Result<(), TransportError> {
        self.put(&format!("/acks/{}", acknowledgement.statement.site), acknowledgement).await
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

    async fn download(
        &self,
        rest: &str,
        file: &Path,
        bytes: u64,
    ) -> Result<Digest, TransportError> {
        let at = |source| TransportError::File { path: file.display().to_string(), source };
        let url = self.transport.url(&self.path(rest))?;
        let network = |source| TransportError::Network { url: url.to_string(), source };
        let request = self.transport.client.get(url.clone()).timeout(transfer_time(bytes));
        let response = request.send().await.map_err(network)?;
        let mut response = accepted(response).await?;
        let mut out = tokio::fs::File::create(file).await.map_err(at)?;
        let (mut hasher, mut received) = (blake3::Hasher::new(), 0);
        while let Some(chunk) = response.chunk().await.map_err(network)? {
            received += chunk.len() as u64;
            if received > bytes {
                let limit = usize::try_from(bytes).unwrap_or(usize::MAX);
                return Err(TransportError::TooLong { url: url.to_string(), limit });
            }
            hasher.update(&chunk);
            out.write_all(&chunk).await.map_err(at)?;
        }
        out.flush().await.map_err(at)?;
        Ok(Digest::finish(&hasher))
    }
}
