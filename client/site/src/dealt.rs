//! What contributors dealt to this key holder: fetched, reviewed, and kept until the round is settled.

use std::collections::BTreeMap;
use std::time::Duration;

use ringfence_crypto::Digest;
use ringfence_crypto::dealing::Answer;
use ringfence_crypto::id::{HeaderId, RoundNumber, SiteId};
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{Header, Manifest, Review};
use ringfence_keys::duties::holder::{Decision, FreezeView, Holder, sign_review};
use ringfence_keys::share::challenge::Challenge;
use ringfence_keys::share::dealt::DealtShare;
use ringfence_keys::share::envelope::{Complaint, EnvelopeError, WrongEnvelope, open_envelope};

use crate::error::{ServedError, SiteError};
use crate::site::{LOOK_AGAIN, Site};
use crate::transport::present;
use crate::wait::Awaited;

/// How long an envelope that is not the right one is asked for again, within the site's patience.
const MENDING: Duration = Duration::from_secs(30);

/// The right envelopes of a list of contributions, by dealer.
type Envelopes = BTreeMap<SiteId, Vec<u8>>;

impl Site {
    /// Opens every envelope that was dealt to this holder and posts its answers, once a round, before
    /// the closing or after it. A header or an envelope that is not what its dealer signed is the
    /// aggregator's fault: it is asked for again for a while, and without it nothing is reviewed, so
    /// that no honest dealer is accused. Answers with how the round stands then, too.
    pub(crate) async fn review(
        &self,
        manifest: &Manifest,
        holder: &mut Holder,
    ) -> Result<(Vec<Complaint>, RoundStatus), SiteError> {
        let round = manifest.round;
        let status =
            self.wait(round, Awaited::Contributions, |s| s.state != RoundState::Collecting).await?;
        if status.reviewed.contains(&self.study.roster, self.id()) {
            return Ok((Vec::new(), status));
        }
        let journal = self.journal.round(self.study_id, round)?;
        if let Some(review) = journal.review()? {
            journal.sync()?;
            return Ok((Vec::new(), self.send_review(round, &review).await?));
        }
        self.recall_receipt(&journal).await?;
        let trust = self.trust_before(round)?;
        // As many as the status says, until the freeze says it.
        let (freeze, _, mut fetched) = tokio::join!(
            self.freeze(manifest),
            self.more_headers(round),
            self.dealt(round, status.received.len()),
        );
        let freeze = freeze?;
        let headers = self.frozen_headers(manifest, &freeze.statement).await?;
        let receipt = journal.receipt()?;
        let view = FreezeView {
            manifest,
            trust: &trust,
            freeze: &freeze,
            headers: &headers,
            receipt: receipt.as_ref(),
        };
        let Decision::Fresh(id) = holder.review(view)? else {
            return Ok((Vec::new(), status));
        };
        let secret = self.round_secret(manifest)?;
        let (mut complaints, mut answers, mut dealt) = (Vec::new(), Vec::new(), BTreeMap::new());
        let challenge = Challenge::of(id, &self.study.threshold);
        // In the freeze's order, as the headers are.
        fetched.resize(headers.len(), Vec::new());
        for (header, fetched) in headers.iter().zip(fetched) {
            let late = |status: &RoundStatus| status.state != RoundState::Reviewing;
            // The aggregator lost it, and has not got it again in time.
            let Some(sealed) = self.sealed(&header.statement, Some(fetched), late).await? else {
                return Ok((Vec::new(), status));
            };
            let opened = open_envelope(
                &self.identity,
                secret.as_ref(),
                &self.study,
                &header.statement,
                &sealed,
            );
            answers.push(match opened {
                Ok(share) => Answer::Masked(share.answer(&challenge)),
                Err(EnvelopeError::Bad(complaint)) => {
                    complaints.push(complaint);
                    Answer::NoShare
                }
                Err(EnvelopeError::Wrong(wrong)) => return Err(wrong.into()),
            });
            dealt.insert(header.statement.site.clone(), sealed);
        }
        let review = sign_review(&self.identity, manifest.id(), id, answers);
        journal.save_review(&review, &dealt)?;
        holder.record_review(round, id);
        Ok((complaints, self.send_review(round, &review).await?))
    }

    async fn send_review(
        &self,
        round: RoundNumber,
        review: &Signed<Review>,
    ) -> Result<RoundStatus, SiteError> {
        let status = self.at(round).put_review(review).await?;
        self.saw(&status);
        Ok(status)
    }

    /// The shares that these contributions dealt to this holder, in their order; those that hold none
    /// are left out.
    pub(crate) async fn shares(
        &self,
        manifest: &Manifest,
        named: &[(SiteId, HeaderId)],
    ) -> Result<Vec<(SiteId, DealtShare)>, SiteError> {
        let journal = self.journal.round(self.study_id, manifest.round)?;
        let secret = self.round_secret(manifest)?;
        let mut kept: Envelopes = journal.envelopes_dealt()?.unwrap_or_default();
        let mut shares = Vec::with_capacity(named.len());
        for (site, header_id) in named {
            let header = self.header(manifest, site, *header_id).await?;
            if header.id() != *header_id {
                let (round, site) = (manifest.round, site.clone());
                return Err(ServedError::OtherHeader { round, site }.into());
            }
            let open = |sealed: &[u8]| {
                open_envelope(
                    &self.identity,
                    secret.as_ref(),
                    &self.study,
                    &header.statement,
                    sealed,
                )
            };
            let opened = match kept.remove(site).map(|sealed| open(&sealed)) {
                Some(opened @ (Ok(_) | Err(EnvelopeError::Bad(_)))) => opened,
                Some(Err(EnvelopeError::Wrong(_))) | None => {
                    let Some(sealed) = self.sealed(&header.statement, None, |_| false).await?
                    else {
                        continue;
                    };
                    open(&sealed)
                }
            };
            match opened {
                Ok(share) => shares.push((site.clone(), share)),
                Err(EnvelopeError::Bad(_)) => {}
                Err(EnvelopeError::Wrong(wrong)) => return Err(wrong.into()),
            }
        }
        Ok(shares)
    }

    /// What a freeze's contributions seal to this holder, in the freeze's order, as the aggregator
    /// lists it; it is unchecked, and may be cut short or empty. What is wrong with it is found out
    /// when the single envelope is asked for.
    async fn dealt(&self, round: RoundNumber, expected: usize) -> Vec<Vec<u8>> {
        let mut envelopes = Vec::new();
        while envelopes.len() < expected {
            match self.at(round).dealt(self.id(), envelopes.len()).await {
                Ok(page) if !page.is_empty() => envelopes.extend(page),
                _ => break,
            }
        }
        envelopes
    }

    /// What a contribution's header seals to this holder: what was `fetched`, if it is that. An envelope that is missing or wrong is
    /// asked for again: the dealer may be sending it anew. Nothing once the round is `over` and the
    /// aggregator has not got again what it lost.
    async fn sealed(
        &self,
        header: &Header,
        fetched: Option<Vec<u8>>,
        over: impl Fn(&RoundStatus) -> bool,
    ) -> Result<Option<Vec<u8>>, SiteError> {
        let end = self.clock.moment().after(self.patience.min(MENDING));
        let offset = self.study.holder_offset(header.round, self.id());
        let expected = offset.and_then(|offset| header.envelopes.get(offset).copied());
        if let Some(sealed) = fetched.filter(|sealed| Some(Digest::of(sealed)) == expected) {
            return Ok(Some(sealed));
        }
        let at = self.at(header.round);
        loop {
            let ask = || async { present(at.envelope(&header.site, self.id()).await) };
            let Some(sealed) = self.until_mended(header.round, &over, ask).await? else {
                return Ok(None);
            };
            let sealed = sealed.unwrap_or_default();
            if Some(Digest::of(&sealed)) == expected {
                return Ok(Some(sealed));
            }
            if self.clock.moment() >= end {
                let (dealer, holder) = (header.site.clone(), self.id().clone());
                return Err(WrongEnvelope { dealer, holder, got: sealed.len() }.into());
            }
            self.attend().await?;
            self.clock.sleep(LOOK_AGAIN).await;
        }
    }
}
