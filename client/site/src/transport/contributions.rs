//! The contributions of one round: sent in one request, or announced and sent in parts that may break
//! off; fetched by holders.

use std::path::Path;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Method, RequestBuilder, Url};
use ringfence_crypto::api::{ContributionFrame, ContributionProgress, EnvelopeFrame};
use ringfence_crypto::id::SiteId;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::Header;
use ringfence_crypto::wire::frame::{self, MAX_FRAME};
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::connection::{BYTES, PIECE, accepted, bounded, transfer_time};
use super::error::TransportError;
use super::pause::ATTEMPTS;
use super::round::RoundTransport;

/// A file's bytes from where it stands, as large a piece at a time as a thread reads at once: each
/// piece goes from thread to thread.
fn in_pieces(file: File) -> Body {
    let pieces = stream::try_unfold(file, |mut file| async move {
        let mut piece = Vec::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await?;
        Ok::<_, std::io::Error>((read > 0).then_some((piece, file)))
    });
    Body::wrap_stream(pieces)
}

impl RoundTransport<'_> {
    /// Announces a contribution.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_header(
        &self,
        header: &Signed<Header>,
    ) -> Result<ContributionProgress, TransportError> {
        let path = self.path(&format!("/contributions/{}/header", header.statement.site));
        self.send(Method::PUT, &path, header, "contribution progress").await
    }

    /// Announces a contribution and sends its envelopes.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_announcement(
        &self,
        header: &Signed<Header>,
        envelopes: &[Vec<u8>],
    ) -> Result<ContributionProgress, TransportError> {
        let (path, frame) = self.contribution(header, envelopes, None)?;
        let request = |url| self.put_bytes(url, &frame);
        self.transport.json(&path, MAX_MESSAGE, "contribution progress", request).await
    }

    /// Sends a whole contribution in one request, once: what the line cuts is not sent again. Answered
    /// with the receipt.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_whole(
        &self,
        header: &Signed<Header>,
        envelopes: &[Vec<u8>],
        body: &[u8],
    ) -> Result<ContributionProgress, TransportError> {
        let (path, frame) = self.contribution(header, envelopes, Some(body))?;
        let request = |url| self.put_bytes(url, &frame);
        let bytes = self.transport.once(&path, MAX_MESSAGE, &request).await?;
        Ok(json::parse(&bytes, MAX_MESSAGE, "contribution progress")?)
    }

    /// The path and the frame of a contribution.
    fn contribution(
        &self,
        header: &Signed<Header>,
        envelopes: &[Vec<u8>],
        body: Option<&[u8]>,
    ) -> Result<(String, Bytes), TransportError> {
        let path = self.path(&format!("/contributions/{}", header.statement.site));
        let (header, envelopes) = (json::compact(header), envelopes.iter().map(Vec::as_slice));
        let frame = ContributionFrame { header: &header, envelopes: envelopes.collect(), body };
        Ok((path, frame.encode()?.into()))
    }

    fn put_bytes(&self, url: Url, bytes: &Bytes) -> RequestBuilder {
        self.transport.client.put(url).header("content-type", BYTES).body(bytes.clone())
    }

    /// Sends the envelopes: the bytes of an
    /// [`EnvelopeFrame`](ringfence_crypto::api::EnvelopeFrame).
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_envelopes(
        &self,
        site: &SiteId,
        frame: Vec<u8>,
    ) -> Result<ContributionProgress, TransportError> {
        let path = self.path(&format!("/contributions/{site}/envelopes"));
        let request =
            |url| self.transport.client.put(url).header("content-type", BYTES).body(frame.clone());
        self.transport.json(&path, MAX_MESSAGE, "contribution progress", request).await
    }

    /// How far a contribution has come.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn progress(&self, site: &SiteId) -> Result<ContributionProgress, TransportError> {
        self.get(&format!("/contributions/{site}"), "contribution progress").await
    }

    /// Streams the body from a file, from the `stored` bytes on that the aggregator has said to have,
    /// resuming where it has stopped; ends with the receipt.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_body(
        &self,
        site: &SiteId,
        file: &Path,
        stored: u64,
    ) -> Result<ContributionProgress, TransportError> {
        if let Some(mailbox) = &self.transport.by_hand {
            let path = self.path(&format!("/contributions/{site}/body"));
            return mailbox.put_body((&path, site), file);
        }
        let (mut attempt, mut stored, mut furthest) = (1, stored, stored);
        loop {
            match self.body_from(site, file, stored).await {
                // 409: the stored length moved, for instance by what a broken upload delivered.
                Err(error)
                    if attempt < ATTEMPTS
                        && (error.is_transient() || error.status() == Some(409)) =>
                {
                    self.transport.pause_after(attempt, &error).await;
                }
                Err(error) if error.is_transient() => {
                    return Err(self.cut_short(file, furthest, error).await);
                }
                result => return result,
            }
            let progress = match self.progress(site).await {
                Err(error) if error.is_transient() => {
                    return Err(self.cut_short(file, furthest, error).await);
                }
                progress => progress?,
            };
            if progress.receipt.is_some() {
                return Ok(progress);
            }
            stored = progress.body_bytes;
            // A line that is cut again and again brings a large body over all the same.
            attempt = if stored > furthest { 1 } else { attempt + 1 };
            furthest = furthest.max(stored);
        }
    }

    /// A body of which no more comes over.
    async fn cut_short(&self, file: &Path, stored: u64, error: TransportError) -> TransportError {
        let bytes = tokio::fs::metadata(file).await.map_or(stored, |body| body.len());
        let (until, source) = (None, Box::new(error));
        TransportError::CutShort { stored, bytes, until, attempts: ATTEMPTS, source }
    }

    async fn body_from(
        &self,
        site: &SiteId,
        path: &Path,
        offset: u64,
    ) -> Result<ContributionProgress, TransportError> {
        let at = |source| TransportError::File { path: path.display().to_string(), source };
        let mut file = File::open(path).await.map_err(at)?;
        let length = file.metadata().await.map_err(at)?.len().saturating_sub(offset);
        file.seek(std::io::SeekFrom::Start(offset)).await.map_err(at)?;
        let url = self
            .transport
            .url(&self.path(&format!("/contributions/{site}/body?offset={offset}")))?;
        let request = self.transport.client.put(url).timeout(transfer_time(length));
        let request = request.header("content-type", BYTES).header("content-length", length);
        let response = self.transport.send(request.body(in_pieces(file))).await?;
        let clock = &self.transport.clock;
        let bytes = bounded(accepted(response, clock).await?, MAX_MESSAGE, clock).await?;
        Ok(json::parse(&bytes, MAX_MESSAGE, "contribution progress")?)
    }

    /// Has the next bundle hold the bodies of these sites, where bundles are carried and the last one lacks
    /// some.
    ///
    /// # Errors
    /// [`TransportError`] when the mailbox cannot be written.
    pub(crate) fn want_bodies<'s>(
        &self,
        sites: impl Iterator<Item = &'s SiteId>,
    ) -> Result<(), TransportError> {
        let Some(mailbox) = &self.transport.by_hand else { return Ok(()) };
        mailbox.want_all(sites.map(|site| self.path(&format!("/contributions/{site}/body"))))
    }

    /// A site's signed header.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn header(&self, site: &SiteId) -> Result<Signed<Header>, TransportError> {
        self.get(&format!("/contributions/{site}/header"), "header").await
    }

    /// The headers of the freeze's contributions, in its order, without the first `from`: at least one
    /// where there are any left.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn headers(&self, from: usize) -> Result<Vec<Signed<Header>>, TransportError> {
        self.get(&format!("/headers?from={from}"), "list of headers").await
    }

    /// What the freeze's contributions seal to `holder`, in the freeze's order, without the first
    /// `from`: at least one where there are any left. Empty where the aggregator does not have it.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn dealt(
        &self,
        holder: &SiteId,
        from: usize,
    ) -> Result<Vec<Vec<u8>>, TransportError> {
        let path = self.path(&format!("/dealt/{holder}?from={from}"));
        let bytes = self.transport.fetch(&path, MAX_FRAME).await?;
        let EnvelopeFrame { envelopes } = frame::decode(&bytes, "dealt envelopes")?;
        Ok(envelopes)
    }

    /// The envelope that `dealer` sealed to `holder`.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn envelope(
        &self,
        dealer: &SiteId,
        holder: &SiteId,
    ) -> Result<Vec<u8>, TransportError> {
        let path = self.path(&format!("/contributions/{dealer}/envelopes/{holder}"));
        self.transport.bytes(&path, MAX_FRAME, |url| self.transport.client.get(url)).await
    }
}
