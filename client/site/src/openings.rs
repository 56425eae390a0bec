//! One holder's opening as this site fetches it: its own part, checked before it is unsealed.

use ringfence_crypto::api::opening_part_bytes;
use ringfence_crypto::id::SiteId;
use ringfence_keys::open::{CheckedPart, OpeningContext, UnusableOpening};
use ringfence_keys::share::share::Share;

use crate::error::SiteError;
use crate::site::Site;
use crate::transport::TransportError;

/// How often a part that is not what its holder signed is asked for.
const ATTEMPTS: u32 = 3;

/// What came of fetching a holder's opening. Whose fault it is that it cannot be used is settled
/// here and nowhere else: only what the holder signed is held against it.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// The holder's window offset, and its share of the key sum.
    Share((usize, Share)),
    /// The holder's lie: this is what it signed, and it cannot be used. It stays so.
    Unusable(UnusableOpening),
    /// The aggregator's fault: it served another thing or nothing, however often it was asked.
    /// Asked later it may serve the right one, so nothing is held against the holder.
    NotServed(SiteError),
}

impl Site {
    /// Fetches this site's part of a holder's opening, checks it against the holder's statement, and
    /// unseals it. A part that is not what the holder signed is fetched again, [`ATTEMPTS`] times in
    /// all.
    ///
    /// # Errors
    /// [`SiteError`] when the aggregator cannot be reached.
    pub(crate) async fn fetch_opening(
        &self,
        context: OpeningContext<'_>,
        holder: &SiteId,
    ) -> Result<Fetched, SiteError> {
        let mut attempt = 1;
        loop {
            let fault = match self.checked_part(context, holder).await {
                Ok(part) => {
                    return Ok(match part.unseal() {
                        Ok(share) => Fetched::Share(share),
                        Err(lie) => Fetched::Unusable(lie),
                    });
                }
                Err(SiteError::Transport(
                    error @ (TransportError::Network { .. } | TransportError::Silent { .. }),
                )) => {
                    return Err(error.into());
                }
                Err(fault) => fault,
            };
            if attempt == ATTEMPTS {
                return Ok(Fetched::NotServed(fault));
            }
            self.transport.pause(attempt).await;
            attempt += 1;
        }
    }

    /// This site's part of a holder's opening; what comes back is what the holder signed.
    async fn checked_part<'a>(
        &'a self,
        context: OpeningContext<'a>,
        holder: &SiteId,
    ) -> Result<CheckedPart<'a>, SiteError> {
        let OpeningContext { study, round, .. } = context;
        let limit = opening_part_bytes(&study.threshold, study.roster.len());
        let part = self.at(round).opening_part(holder, self.id(), limit).await?;
        let signer = &part.statement.statement.holder;
        if signer != holder {
            let (expected, got) = (holder.clone(), signer.clone());
            return Err(SiteError::OpeningOfAnother { expected, got });
        }
        CheckedPart::check(&self.identity, context, part)
            .map_err(|source| SiteError::OpeningPart { holder: holder.clone(), source })
    }
}
