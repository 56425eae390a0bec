//! Contributions, but for the body: the header that promises one, and its envelopes.

use ringfence_crypto::Digest;
use ringfence_crypto::api::ContributionProgress;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::Header;

use crate::core::refusal::Refusal;
use crate::core::upload::LiveContribution;
use crate::store::blobs::{Blob, EnvelopePlace};

impl LiveContribution {
    /// Takes the header.
    pub(crate) async fn announce(
        &self,
        header: Signed<Header>,
    ) -> Result<ContributionProgress, Refusal> {
        self.live.commit(move |round, now| round.announce(&header, now)).await?;
        self.progress().await
    }

    /// Takes the envelopes: one for each holder, as the header promises.
    pub(crate) async fn put_envelopes(
        &self,
        header: &Header,
        envelopes: Vec<Vec<u8>>,
    ) -> Result<ContributionProgress, Refusal> {
        let site = &self.site;
        let (expected, got) = (header.envelopes.len(), envelopes.len());
        if expected != got {
            return Err(Refusal::message(format!(
                "the header of {site} promises {expected} envelopes, got {got}"
            )));
        }
        let wrong = header.envelopes.iter().zip(&envelopes).position(|(d, e)| *d != Digest::of(e));
        if let Some(index) = wrong {
            return Err(Refusal::message(format!(
                "envelope {index} of {site} is not the one that its header promises; send the promised bytes"
            )));
        }
        let blobs = self.live.served.blobs();
        // The header fixes every byte: what is there is the same.
        if !blobs.has_envelopes(self.live.id, site).await? {
            blobs.write_envelopes(self.live.id, site, envelopes).await?;
        }
        self.progress().await
    }

    /// The bytes that are sealed to one holder.
    pub(crate) async fn envelope(&self, holder: &SiteId) -> Result<Vec<u8>, Refusal> {
        let site = &self.site;
        let header = self.known()?.header.statement;
        let index =
            self.live.served.study.holder_offset(header.round, holder).ok_or_else(|| {
                Refusal::missing(format!(
                    "site {holder} is no key holder of round {}",
                    header.round
                ))
            })?;
        let place = EnvelopePlace { index, count: header.envelopes.len() };
        let blobs = self.live.served.blobs();
        let envelope = blobs.envelope(self.live.id, site, place).await?.ok_or_else(|| {
            Refusal::missing(format!("the envelopes of {site} have not come yet"))
        })?;
        if header.envelopes.get(index) != Some(&Digest::of(&envelope)) {
            return Err(Refusal::internal(&format!("the envelopes of {site} changed on disk")));
        }
        Ok(envelope)
    }

    /// The body, once it has come whole.
    pub(crate) fn body(&self) -> Result<Blob, Refusal> {
        match self.known()?.receipt {
            Some(_) => Ok(Blob::Body(self.site.clone())),
            None => {
                Err(Refusal::missing(format!("the body of {} has not come whole yet", self.site)))
            }
        }
    }
}
