//! Contributions, but for the body: the header that promises one, and its envelopes.

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

impl LiveRound {
    /// JSON of each header of the freeze's contributions, in its order. Made once: every site asks for
    /// all of them, and they stay as they are.
    fn header_texts(&self) -> Result<&[Vec<u8>], Refusal> {
        if let Some(texts) = self.header_texts.get() {
            return Ok(texts);
        }
        let freeze = self.freeze_statement()?.statement;
        let round = self.read();
        let text = |entry: &Included| Ok(json::compact(&round.contribution(&entry.site)?.header));
        let texts: Vec<_> =
            freeze.contributions.iter().map(text).collect::<Result<_, Refusal>>()?;
        Ok(self.header_texts.get_or_init(|| texts))
    }

    /// JSON of the list of the freeze's headers in its order, without the first `from`, as many as have
    /// room in `most` bytes, and one at least where there are any left.
    pub(crate) fn frozen_headers(&self, from: usize, most: usize) -> Result<Vec<u8>, Refusal> {
        let mut page = b"[".to_vec();
        for text in self.header_texts()?.iter().skip(from) {
            let is_first = page.len() == 1;
            // With the comma and the bracket at the end.
            if !is_first && page.len() + text.len() + 2 > most {
                break;
            }
            if !is_first {
                page.push(b',');
            }
            page.extend_from_slice(text);
        }
        page.push(b']');
        Ok(page)
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
        for entry in freeze.contributions.iter().skip(from) {
            let header = self.read().contribution(&entry.site)?.header.statement.clone();
            let envelope = self.checked_envelope(&header, index).await?.unwrap_or_default();
            bytes += envelope.len();
            if bytes > most && !envelopes.is_empty() {
                break;
            }
            envelopes.push(envelope);
        }
        Ok(envelopes)
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
