//! A contribution in one request: header and envelopes, and the body where it is small.
//!
//! One that is small altogether becomes durable with its announcement and its receipt, where the store
//! takes its bytes with its statements. Any other takes the steps that several requests would: what is
//! there already is not stored again, and what is damaged is.

use bytes::Bytes;
use ringfence_crypto::Digest;
use ringfence_crypto::api::{ContributionFrame, ContributionProgress};
use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::round::{AnnouncedContribution, Event, Round};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::Header;
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};

use crate::core::commit::Wish;
use crate::core::contribution::check_envelopes;
use crate::core::incoming::{Inbox, Message};
use crate::core::refusal::{Kind, Refusal};
use crate::core::upload::{LiveContribution, Piece};
use crate::store::pieces;
use crate::store::statements::{MAX_SMALL, Small};

/// A contribution that has come in one request.
#[derive(Debug)]
pub(crate) struct Whole {
    header: Signed<Header>,
    envelopes: Vec<Bytes>,
    body: Option<Bytes>,
    /// The place that its bytes take.
    _message: Message,
}

impl Whole {
    /// Reads a frame.
    ///
    /// # Errors
    /// A [`Refusal`] when it is none, or holds no header.
    pub(crate) fn parse(message: Message) -> Result<Self, Refusal> {
        let (bytes, message) = message.shared();
        let ContributionFrame { header, envelopes, body } = ContributionFrame::decode(&bytes)?;
        let header = json::parse(header, MAX_MESSAGE, "header")?;
        let part = |part: &[u8]| bytes.slice_ref(part);
        let (envelopes, body) = (envelopes.into_iter().map(part).collect(), body.map(part));
        Ok(Self { header, envelopes, body, _message: message })
    }

    /// The header that promises the rest.
    pub(crate) fn header(&self) -> &Header {
        &self.header.statement
    }

    /// Refuses bytes that the header does not promise.
    fn check(&self) -> Result<(), Refusal> {
        let header = self.header();
        check_envelopes(header, &self.envelopes)?;
        let Some(body) = &self.body else { return Ok(()) };
        let Header { site, body: expected, body_bytes, .. } = header;
        if body.len() as u64 != *body_bytes {
            return Err(Refusal::message(format!(
                "the header of {site} promises a body of {body_bytes} bytes, got {}",
                body.len()
            )));
        }
        let got = Digest::of(body);
        if got != *expected {
            return Err(Refusal::message(format!(
                "the body of {site} has digest {got}, its header promises {expected}; send the promised bytes"
            )));
        }
        Ok(())
    }

    /// What is stored with its statements, if it is small.
    fn small(&self) -> Option<Small> {
        let body = self.body.clone()?;
        let envelopes = self.envelopes.iter().map(Bytes::len).sum::<usize>();
        (envelopes + body.len() <= MAX_SMALL).then(|| Small {
            site: self.header().site.clone(),
            envelopes: pieces::joined(&self.envelopes).into(),
            body,
        })
    }
}

impl LiveContribution {
    /// Takes a contribution; answers how far it has come, with the receipt if its body was with it.
    pub(crate) async fn take_whole(
        self,
        whole: Whole,
        signed_at: UnixSeconds,
        inbox: Inbox,
    ) -> Result<ContributionProgress, Refusal> {
        whole.check()?;
        let keeps_small = self.live.served.statements().keeps_small();
        // One that was announced before may have come in part, or be wanted again.
        if keeps_small
            && self.known().is_err()
            && let Some(small) = whole.small()
        {
            self.take_small(whole.header.clone(), small).await?;
        }
        // Envelopes that come alone are looked for: they may be gone, and nobody has noticed.
        if whole.body.is_some()
            && let Some(done) = self.done(whole.header())?
        {
            return Ok(done);
        }
        // A task of its own: when the client hangs up, what came is still stored.
        let task = tokio::spawn(async move { self.take_in_steps(whole, signed_at, &inbox).await });
        task.await.map_err(|error| Refusal::internal(&error))?
    }

    /// Stores announcement, bytes and receipt in one go, unless it was announced meanwhile.
    async fn take_small(&self, header: Signed<Header>, small: Small) -> Result<(), Refusal> {
        let identity = self.live.served.shared.identity.clone();
        // Here, while others are stored, and not while others wait.
        let verified = self.live.read().verify_header(header)?;
        self.live.served.shared.metrics.body_came(small.body.len());
        let take = move |round: &Round, now| {
            let receipt = round.take_whole(&verified, now)?;
            let events = receipt.map(|receipt| {
                let received = Event::Received(identity.sign(receipt));
                vec![Event::Announced(verified.header().clone()), received]
            });
            Ok(events.unwrap_or_default())
        };
        self.live.grant(Wish::new(take).with(small)).await
    }

    /// The progress of a contribution that has its receipt, and of which nothing is wanted.
    fn done(&self, header: &Header) -> Result<Option<ContributionProgress>, Refusal> {
        let Ok(AnnouncedContribution { header: known, receipt, .. }) = self.known() else {
            return Ok(None);
        };
        // Another one is refused when it is announced.
        let done = receipt.is_some() && known.statement == *header && !self.is_wanted();
        let (header, body_bytes) = (known.id(), header.body_bytes);
        Ok(done.then_some(ContributionProgress { header, envelopes: true, body_bytes, receipt }))
    }

    async fn take_in_steps(
        self,
        whole: Whole,
        signed_at: UnixSeconds,
        inbox: &Inbox,
    ) -> Result<ContributionProgress, Refusal> {
        let Whole { header, envelopes, body, _message } = whole;
        let announced = header.clone();
        self.live.commit_among(move |round, now| round.announce(&announced, now)).await?;
        let envelopes = envelopes.iter().map(|envelope| envelope.to_vec()).collect();
        let progress = self.put_envelopes(&header.statement, envelopes).await?;
        let Some(body) = body.filter(|_| progress.receipt.is_none()) else { return Ok(progress) };
        let rest = |stored: u64| {
            let stored = usize::try_from(stored).unwrap_or(usize::MAX).min(body.len());
            Ok::<_, Refusal>(Piece {
                offset: stored as u64,
                signed_at,
                place: inbox.upload()?,
                bytes: inbox.came(body.slice(stored..)),
            })
        };
        let sent = self.clone().upload(rest(progress.body_bytes)?).await;
        match sent {
            // What was stored before was not its beginning, and is discarded.
            Err(refusal) if refusal.kind() == Kind::Message && progress.body_bytes > 0 => {
                self.upload(rest(0)?).await
            }
            sent => sent,
        }
    }
}
