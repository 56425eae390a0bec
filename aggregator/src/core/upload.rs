//! A contribution's body: streamed to a file, resumable by offset, and the receipt at its end.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use ringfence_crypto::statement::{Header, SiteId};
use ringfence_crypto::wire::message::ContributionProgress;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::sync::OwnedSemaphorePermit;

use crate::blocking;
use crate::files::BodyCheck;
use crate::incoming::{drain, next};
use crate::problem::Refusal;
use crate::rounds::{LiveRound, Upload, now};

/// Bytes that are gathered before they go to the file.
const WRITE_BUFFER: usize = 1 << 20;

/// How far a site's contribution has come. If it is complete but for its receipt (a crash came in
/// between, or the envelopes came last), the receipt is issued now.
pub(crate) async fn progress(
    live: &Arc<LiveRound>,
    site: &SiteId,
) -> Result<ContributionProgress, Refusal> {
    // The round may have ended, or the body may have been a wrong one: the report says so.
    if let Some(refusal) = settle(live, site).await.err().filter(Refusal::is_ours) {
        return Err(refusal);
    }
    report(live, site).await
}

/// How far a site's contribution has come, changing nothing.
async fn report(live: &Arc<LiveRound>, site: &SiteId) -> Result<ContributionProgress, Refusal> {
    let contribution = live.read().contribution(site)?.clone();
    let (files, site) = (live.files.clone(), site.clone());
    let (envelopes, body_bytes) = blocking(move || -> std::io::Result<_> {
        Ok((files.has_envelopes(&site)?, files.body_bytes(&site)?))
    })
    .await??;
    let (header, receipt) = (contribution.header.digest(), contribution.receipt);
    Ok(ContributionProgress { header, envelopes, body_bytes, receipt })
}

/// One request with bytes of a body.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Where its bytes go.
    pub(crate) offset: u64,
    /// How many they are, if the request says so.
    pub(crate) announced: Option<u64>,
    /// How long the sender may be silent.
    pub(crate) idle: Duration,
    /// Its place among the uploads at the same time.
    pub(crate) place: OwnedSemaphorePermit,
}

/// Takes a piece of a body and answers how far the contribution has come.
pub(crate) async fn receive(
    live: &Arc<LiveRound>,
    site: &SiteId,
    piece: Piece,
    body: Body,
) -> Result<ContributionProgress, Refusal> {
    let (live, site) = (live.clone(), site.clone());
    // A task of its own: when the client hangs up, what came is still flushed to the file.
    let task = tokio::spawn(async move {
        let mut stream = body.into_data_stream();
        let outcome = store(&live, &site, &piece, &mut stream).await;
        drop(piece.place);
        // The study has been checked, so its body length is known.
        drain(stream, live.study.body_bytes().unwrap_or_default()).await;
        outcome?;
        report(&live, &site).await
    });
    task.await.map_err(|error| Refusal::internal(&error))?
}

async fn store(
    live: &Arc<LiveRound>,
    site: &SiteId,
    piece: &Piece,
    stream: &mut BodyDataStream,
) -> Result<(), Refusal> {
    let contribution = live.read().contribution(site)?.clone();
    if contribution.receipt.is_some() {
        return Ok(());
    }
    // Refused now rather than at the end when collecting is over already.
    live.read().receipt(site, now())?;
    let header = contribution.header.statement;
    let upload = begin(live, site, piece.idle)?;
    let progress = report(live, site).await?;
    if !progress.envelopes {
        return Err(Refusal::conflict(format!(
            "the envelopes of {site} are not stored; put them before the body"
        )));
    }
    let stored = progress.body_bytes;
    let offset = piece.offset;
    if offset != stored {
        return Err(Refusal::offset(format!(
            "the body of {site} has {stored} bytes so far, got offset {offset}; go on at offset={stored}"
        )));
    }
    if piece.announced.is_some_and(|length| stored.saturating_add(length) > header.body_bytes) {
        return Err(too_long(&header));
    }
    if stored < header.body_bytes {
        append(live, &header, stored, piece.idle, stream).await?;
    }
    complete(live, &header, &upload).await
}

/// Streams to the file. Whatever happens, the file is a prefix of what was sent.
async fn append(
    live: &LiveRound,
    header: &Header,
    mut stored: u64,
    idle: Duration,
    stream: &mut BodyDataStream,
) -> Result<(), Refusal> {
    let path = live.files.partial_body(&header.site);
    let file = OpenOptions::new().create(true).append(true).open(path).await?;
    let mut file: BufWriter<File> = BufWriter::with_capacity(WRITE_BUFFER, file);
    let outcome = async {
        while let Some(chunk) = next(stream, idle).await? {
            stored += chunk.len() as u64;
            if stored > header.body_bytes {
                return Err(too_long(header));
            }
            file.write_all(&chunk).await?;
        }
        Ok(())
    }
    .await;
    // Also what came before an error is kept: the client goes on behind it.
    file.flush().await?;
    outcome
}

/// Issues the receipt if everything is there and it is not too late.
async fn settle(live: &Arc<LiveRound>, site: &SiteId) -> Result<(), Refusal> {
    let header = live.read().contribution(site)?.header.statement.clone();
    let progress = report(live, site).await?;
    let timely = live.read().receipt(site, now()).is_ok();
    if !timely || !is_whole(&progress, &header) {
        return Ok(());
    }
    // While an upload runs, it is the one to finish.
    let Some(upload) = live.begin_upload(site) else { return Ok(()) };
    complete(live, &header, &upload).await
}

/// Checks, keeps and acknowledges a body all of whose bytes are there; nothing before.
async fn complete(live: &Arc<LiveRound>, header: &Header, _: &Upload) -> Result<(), Refusal> {
    let progress = report(live, &header.site).await?;
    if !is_whole(&progress, header) {
        return Ok(());
    }
    let (files, promised) = (live.files.clone(), header.clone());
    match blocking(move || files.finish_body(&promised)).await?? {
        BodyCheck::Right => live.receive(&header.site).await,
        BodyCheck::Discarded { got } => Err(Refusal::message(format!(
            "the body of {} has digest {got}, its header promises {}; it was discarded: send the promised bytes from offset=0",
            header.site, header.body
        ))),
    }
}

/// Whether all bytes are there and only the receipt is missing.
fn is_whole(progress: &ContributionProgress, header: &Header) -> bool {
    progress.receipt.is_none() && progress.envelopes && progress.body_bytes >= header.body_bytes
}

fn begin(live: &Arc<LiveRound>, site: &SiteId, idle: Duration) -> Result<Upload, Refusal> {
    live.begin_upload(site).ok_or_else(|| {
        Refusal::conflict(format!(
            "another upload of {site} is running; if it is a connection that was lost, it is given up after {} s without bytes",
            idle.as_secs()
        ))
        .retry_after(5)
    })
}

fn too_long(header: &Header) -> Refusal {
    Refusal::too_long(format!(
        "the header of {} promises a body of {} bytes, got more",
        header.site, header.body_bytes
    ))
}
