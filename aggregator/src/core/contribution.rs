//! Contributions, but for the body: the header that promises one, and its envelopes.

use bytes::Bytes;
use ringfence_crypto::Digest;
use ringfence_crypto::api::ContributionProgress;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::AnnouncedContribution;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Header, Included};
use ringfence_crypto::wire::json;

use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;
use crate::core::upload::LiveContribution;
use crate::store::blobs::Blob;

/// Contributions whose envelopes are read in one go: with those that are small, and so lie in the
/// database, some megabytes.
const DEALT_AT_ONCE: usize = 16;

impl LiveRound {
    /// JSON of the headers of the freeze's contributions, in its order. Made once: every site asks for
    /// all of them, and they stay as they are.
    fn header_texts(&self) -> Result<&HeaderList, Refusal> {
        if let Some(texts) = self.header_texts.get() {
            return Ok(texts);
        }
        let freeze = self.freeze_statement()?.statement;
        let round = self.read();
        let header = |entry: &Included| Ok(&round.contribution(&entry.site)?.header);
        let headers = freeze.contributions.iter().map(header);
        let headers: Vec<_> = headers.collect::<Result<_, Refusal>>()?;
        Ok(self.header_texts.get_or_init(|| HeaderList::of(&headers)))
    }

    /// JSON of the list of the freeze's headers in its order, without the first `from`, as many as have
    /// room in `most` bytes, and one at least where there are any left.
    /// In pieces, one after the other: the list is in memory once.
    pub(crate) fn frozen_headers(&self, from: usize, most: usize) -> Result<Vec<Bytes>, Refusal> {
        let page = self.header_texts()?.page(from, most);
        Ok(vec![Bytes::from_static(b"["), page, Bytes::from_static(b"]")])
    }

    /// What the freeze's contributions seal to one holder, in the freeze's order, without the first
    /// `from`, as many as have room in `most` bytes, and one at least where there are any left. Empty
    /// where an envelope is not what its header promises: whoever asks for that one by itself is told
    /// why.
    pub(crate) async fn dealt(
        &self,
        holder: &SiteId,
        from: usize,
        most: usize,
    ) -> Result<Vec<Vec<u8>>, Refusal> {
        let round = self.id.round;
        let index = self.served.study.holder_offset(round, holder).ok_or_else(|| {
            Refusal::missing(format!("site {holder} is no key holder of round {round}"))
        })?;
        let freeze = self.freeze_statement()?.statement;
        let (mut envelopes, mut bytes) = (Vec::new(), 0);
        let rest = freeze.contributions.get(from..).unwrap_or_default();
        for entries in rest.chunks(DEALT_AT_ONCE) {
            let headers: Vec<Header> = {
                let round = self.read();
                let known = entries.iter().map(|entry| round.contribution(&entry.site));
                let headers = known.map(|known| Ok(known?.header.statement.clone()));
                headers.collect::<Result<_, Refusal>>()?
            };
            for envelope in self.checked_envelopes(&headers, index).await? {
                let envelope = envelope.unwrap_or_default();
                bytes += envelope.len();
                if bytes > most && !envelopes.is_empty() {
                    return Ok(envelopes);
                }
                envelopes.push(envelope);
            }
        }
        Ok(envelopes)
    }
}

/// JSON of a round's headers with commas between.
#[derive(Debug)]
pub(crate) struct HeaderList {
    text: Bytes,
    /// Where each ends in it.
    ends: Vec<usize>,
}

impl HeaderList {
    fn of(headers: &[&Signed<Header>]) -> Self {
        let (mut text, mut ends) = (Vec::new(), Vec::with_capacity(headers.len()));
        for header in headers {
            if !text.is_empty() {
                text.push(b',');
            }
            text.extend_from_slice(&json::compact(header));
            ends.push(text.len());
        }
        Self { text: text.into(), ends }
    }

    /// Those without the first `from` that have room in `most` bytes with a bracket on each side, and one
    /// at least where there are any left.
    fn page(&self, from: usize, most: usize) -> Bytes {
        // Behind the comma.
        let before = from.checked_sub(1).map(|last| self.ends.get(last).map(|end| end + 1));
        let start = before.unwrap_or(Some(0));
        let left = self.ends.get(from..).unwrap_or_default();
        let (Some(start), Some(first)) = (start, left.first()) else { return Bytes::new() };
        let room = left.iter().take_while(|end| **end - start + 2 <= most);
        self.text.slice(start..*room.last().unwrap_or(first))
    }
}

impl LiveContribution {
    /// Takes the header.
    pub(crate) async fn announce(
        &self,
        header: Signed<Header>,
    ) -> Result<ContributionProgress, Refusal> {
        self.live.commit_among(move |round, now| round.announce(&header, now)).await?;
        self.progress().await
    }

    /// Takes the envelopes: one for each holder, as the header promises.
    pub(crate) async fn put_envelopes(
        &self,
        header: &Header,
        envelopes: Vec<Vec<u8>>,
    ) -> Result<ContributionProgress, Refusal> {
        check_envelopes(header, &envelopes)?;
        // The header fixes every byte: what is there and intact is the same.
        if !self.live.has_envelopes(header).await? {
            self.live.served.blobs().write_envelopes(self.live.id, &self.site, envelopes).await?;
        }
        self.progress().await
    }

    /// The bytes that are sealed to one holder.
    pub(crate) async fn envelope(&self, holder: &SiteId) -> Result<Vec<u8>, Refusal> {
        let site = &self.site;
        let AnnouncedContribution { header, receipt, .. } = self.known()?;
        let header = header.statement;
        let index =
            self.live.served.study.holder_offset(header.round, holder).ok_or_else(|| {
                Refusal::missing(format!(
                    "site {holder} is no key holder of round {}",
                    header.round
                ))
            })?;
        match self.live.checked_envelope(&header, index).await? {
            Some(envelope) => Ok(envelope),
            // Nothing was promised yet: it is put, or put again.
            None if receipt.is_none() => {
                Err(Refusal::missing(format!("the envelopes of {site} have not come yet")))
            }
            None => {
                self.live.found_damaged(vec![site.clone()]).await?;
                Err(self.live.refuse_wanted(&format!("the envelope of {site} for {holder}")))
            }
        }
    }

    /// The body, once it has come whole, and as the header promises it; `ranged` if only a range of
    /// it is asked for.
    pub(crate) async fn body(&self, ranged: bool) -> Result<Blob, Refusal> {
        let AnnouncedContribution { header, receipt, .. } = self.known()?;
        match receipt {
            Some(_) => {
                let blob = Blob::Body(self.site.clone());
                if !self.live.has_body(&header.statement, ranged).await? {
                    self.live.check_kept(&blob.to_string())?;
                    self.live.found_damaged(vec![self.site.clone()]).await?;
                    return Err(self.live.refuse_wanted(&blob.to_string()));
                }
                Ok(blob)
            }
            None => {
                Err(Refusal::missing(format!("the body of {} has not come whole yet", self.site)))
            }
        }
    }
}

/// Refuses other envelopes than those that a header promises.
pub(super) fn check_envelopes(
    header: &Header,
    envelopes: &[impl AsRef<[u8]>],
) -> Result<(), Refusal> {
    let site = &header.site;
    let (expected, got) = (header.envelopes.len(), envelopes.len());
    if expected != got {
        return Err(Refusal::message(format!(
            "the header of {site} promises {expected} envelopes, got {got}"
        )));
    }
    let mut pairs = header.envelopes.iter().zip(envelopes);
    match pairs.position(|(digest, envelope)| *digest != Digest::of(envelope.as_ref())) {
        None => Ok(()),
        Some(index) => Err(Refusal::message(format!(
            "envelope {index} of {site} is not the one that its header promises; send the promised bytes"
        ))),
    }
}
