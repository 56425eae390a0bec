//! Sending a contribution that is on disk, or what the aggregator lacks of it.

use ringfence_crypto::Digest;
use ringfence_crypto::api::{ContributionProgress, EnvelopeFrame, MAX_WHOLE_BODY};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Header, Receipt};
use ringfence_crypto::wire::frame;

use crate::error::{ServedError, SiteError};
use crate::journal::{ContributionRecord, RoundJournal};
use crate::site::Site;
use crate::transport::{RoundTransport, TransportError};

/// What the aggregator answers when the bytes that it has got are not the promised ones.
const DISCARDED: u16 = 422;

/// What an aggregator answers that does not know a request of this method.
const NO_SUCH_METHOD: u16 = 405;

/// What an aggregator answers that does not know a frame with a body.
const NO_SUCH_FRAME: u16 = 400;

/// How often a body is sent again from its start when the aggregator has discarded it.
const RESENDS: u32 = 2;

/// In which requests a contribution is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// In one, if it is small.
    Whole,
    /// In several in any case.
    Steps,
}

impl Site {
    /// Sends a contribution that is on disk, or what the aggregator lacks of it, and keeps the
    /// receipt. Answers with the bytes of body and envelopes, too.
    pub(crate) async fn send(
        &self,
        journal: &RoundJournal,
        record: &ContributionRecord,
    ) -> Result<(Signed<Receipt>, u64), SiteError> {
        self.send_by(journal, record, Way::Whole).await
    }

    pub(super) async fn send_by(
        &self,
        journal: &RoundJournal,
        record: &ContributionRecord,
        way: Way,
    ) -> Result<(Signed<Receipt>, u64), SiteError> {
        let promised = &record.header.statement;
        // Before any of it leaves: a process that was killed may have made it.
        journal.sync()?;
        let at = self.at(promised.round);
        let envelopes = journal.envelopes()?;
        let bytes = promised.body_bytes + envelopes.len() as u64;
        let frame: EnvelopeFrame =
            frame::decode(&envelopes, "envelopes").map_err(TransportError::from)?;
        let whole = match way {
            Way::Whole => self.send_whole(journal, record, &frame.envelopes).await?,
            Way::Steps => None,
        };
        let progress = match whole {
            Some(progress) => progress,
            None => self.announce(at, &record.header, &frame.envelopes, envelopes).await?,
        };
        let receipt = match progress.receipt {
            Some(receipt) => receipt,
            None => {
                let progress = self.send_body(journal, promised, progress.body_bytes).await?;
                progress.receipt.ok_or(ServedError::Receipt(promised.round))?
            }
        };
        self.keep_receipt(journal, record, &receipt)?;
        Ok((receipt, bytes))
    }

    /// Sends header, envelopes and body in one request, where the body is small. Nothing where it is
    /// not, where the contribution was sent before and only a part may be lacking, and where it did
    /// not get through: then it is sent in steps, and goes on where a line has cut it.
    async fn send_whole(
        &self,
        journal: &RoundJournal,
        record: &ContributionRecord,
        envelopes: &[Vec<u8>],
    ) -> Result<Option<ContributionProgress>, SiteError> {
        let Header { round, body_bytes, body: promised, .. } = &record.header.statement;
        if *body_bytes > MAX_WHOLE_BODY || journal.receipt()?.is_some() {
            return Ok(None);
        }
        // What is not on this disk any more may be at the aggregator; else the steps say what is wrong.
        let body = std::fs::read(journal.body()).ok();
        let Some(body) = body.filter(|body| Digest::of(body) == *promised) else {
            return Ok(None);
        };
        match self.at(*round).put_whole(&record.header, envelopes, &body).await {
            Ok(progress) => Ok(Some(progress)),
            Err(error) => match error.status() {
                // Of a version before; or other bytes came than were sent.
                Some(NO_SUCH_METHOD | NO_SUCH_FRAME | DISCARDED) => Ok(None),
                _ if error.is_transient() => Ok(None),
                _ => Err(error.into()),
            },
        }
    }

    /// Sends header and envelopes; `frame` is what the envelopes are by themselves.
    async fn announce(
        &self,
        at: RoundTransport<'_>,
        header: &Signed<Header>,
        envelopes: &[Vec<u8>],
        frame: Vec<u8>,
    ) -> Result<ContributionProgress, SiteError> {
        match at.put_announcement(header, envelopes).await {
            // An aggregator of an earlier version takes them one after the other.
            Err(refusal) if refusal.status() == Some(NO_SUCH_METHOD) => {}
            announced => return Ok(announced?),
        }
        let progress = at.put_header(header).await?;
        match progress.envelopes {
            true => Ok(progress),
            false => Ok(at.put_envelopes(self.id(), frame).await?),
        }
    }

    /// Checks the receipt for a contribution and notes it.
    fn keep_receipt(
        &self,
        journal: &RoundJournal,
        record: &ContributionRecord,
        receipt: &Signed<Receipt>,
    ) -> Result<(), SiteError> {
        let promised = &record.header.statement;
        receipt.verify(&self.study.aggregator_key, &"the aggregator")?;
        let Receipt { manifest, site, header, received_at: _ } = &receipt.statement;
        if *manifest != promised.manifest || site != self.id() || *header != record.header.id() {
            return Err(ServedError::Receipt(promised.round).into());
        }
        Ok(journal.save_receipt(receipt)?)
    }

    /// Asks for the receipt of a contribution that is on disk without one: a power cut may have taken
    /// it, and a key holder insists on it. Where the aggregator shows none, none is known.
    pub(crate) async fn recall_receipt(&self, journal: &RoundJournal) -> Result<(), SiteError> {
        if journal.receipt()?.is_some() || journal.certificate()?.is_some() {
            return Ok(());
        }
        let Some(record) = journal.contribution()? else { return Ok(()) };
        let progress = self.at(record.header.statement.round).progress(self.id()).await;
        match progress.ok().and_then(|progress| progress.receipt) {
            Some(receipt) => self.keep_receipt(journal, &record, &receipt),
            None => Ok(()),
        }
    }

    /// Sends the body. An aggregator that has got other bytes than the promised ones discards them: a
    /// stranger may have placed some of them. They are sent again from the start, if it is not this
    /// site's own disk that holds others.
    async fn send_body(
        &self,
        journal: &RoundJournal,
        promised: &Header,
        stored: u64,
    ) -> Result<ContributionProgress, SiteError> {
        let (mut discarded, mut stored) = (0, stored);
        loop {
            let at = self.at(promised.round);
            let sent = at.put_body(self.id(), &journal.body(), stored).await;
            match sent {
                Err(refusal) if refusal.status() == Some(DISCARDED) && discarded < RESENDS => {
                    journal.check_body(promised.body)?;
                    discarded += 1;
                    stored = 0;
                    let wanted = format!("the body that it got for round {}", promised.round);
                    self.tell_refused(&wanted, &refusal, "it is sent again from the start");
                }
                Err(TransportError::CutShort { stored, bytes, attempts, source, .. }) => {
                    let until = journal.manifest()?.map(|manifest| manifest.statement.deadline);
                    let cut = TransportError::CutShort { stored, bytes, until, attempts, source };
                    return Err(cut.into());
                }
                sent => return Ok(sent?),
            }
        }
    }
}
