//! At the carrier: what a site will ask next, asked for it, and every answer kept.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::log::checkpoint::CheckpointError;
use ringfence_crypto::log::{CheckpointText, InclusionProof, LogEntry, LogHash, NoteKey, origin};
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Closing, Epoch, Lineage, Manifest, Receipt, Study};
use ringfence_crypto::wire::json;
use tempfile::NamedTempFile;

use super::answers::problem;
use super::bundle::BundleWriter;
use super::contents::{Kind, Of, Way};
use super::error::ByHandError;
use crate::epochs::known_epochs;
use crate::transport::{RoundTransport, Transport, TransportError, printable};

/// Rounds whose large answers are fetched: the last ones. A site that was away for longer asks for the
/// others by name.
const WHOLE: u32 = 2;

/// Keeps every answer that a [`Transport`] gets, in a bundle.
#[derive(Debug)]
pub(crate) struct Recorder(Mutex<Recorded>);

#[derive(Debug)]
struct Recorded {
    bundle: BundleWriter,
    answers: usize,
    failed: Option<ByHandError>,
}

impl Recorder {
    pub(crate) fn new(bundle: BundleWriter) -> Self {
        Self(Mutex::new(Recorded { bundle, answers: 0, failed: None }))
    }

    /// Keeps an answer, if it is one: 200, or a refusal.
    pub(crate) fn keep(&self, path: &str, answer: &Result<Vec<u8>, TransportError>) {
        match answer {
            Ok(bytes) => self.add(path, 200, bytes.as_slice()),
            Err(TransportError::Refused { status, detail, .. })
                if (400..500).contains(status) && ![401, 403, 408, 429].contains(status) =>
            {
                self.add(path, *status, problem(*status, detail).as_slice());
            }
            Err(_) => {}
        }
    }

    /// Keeps inclusion proofs, each by its leaf.
    pub(crate) fn keep_proofs(
        &self,
        path: &str,
        size: u64,
        proofs: impl Iterator<Item = (LogHash, InclusionProof)>,
    ) {
        for (leaf, proof) in proofs {
            let path = format!("{path}?size={size}&leaf={leaf}");
            self.add(&path, 200, json::compact(&proof).as_slice());
        }
    }

    /// Keeps an answer once.
    pub(crate) fn add(&self, path: &str, status: u16, bytes: impl Read) {
        let mut recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.failed.is_some() || recorded.bundle.has(path) {
            return;
        }
        match recorded.bundle.add(path.to_owned(), Kind::Answer { status }, bytes) {
            Ok(_) => recorded.answers += 1,
            Err(error) => recorded.failed = Some(error),
        }
    }

    /// Ends the bundle: how many answers are in it, and how many bytes it has.
    pub(crate) fn finish(self: Arc<Self>, of: Of, way: Way) -> Result<(usize, u64), ByHandError> {
        let recorder = Arc::into_inner(self).ok_or_else(|| {
            TransportError::Unreadable("a request has not ended; carry again".to_owned())
        })?;
        let Recorded { bundle, answers, failed } =
            recorder.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        match failed {
            Some(error) => Err(error),
            None => Ok((answers, bundle.finish(of, way)?)),
        }
    }
}

/// What a site needs.
pub(super) struct Wanted {
    pub(super) site: SiteId,
    pub(super) first_round: RoundNumber,
    pub(super) seen_log: Option<u64>,
    /// What it asked for by name.
    pub(super) places: Vec<String>,
}

/// `None` for a refusal: it is kept, and is the answer.
fn taken<T>(answer: Result<T, TransportError>) -> Result<Option<T>, TransportError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_refusal() => Ok(None),
        Err(error) => Err(error),
    }
}

impl Wanted {
    /// Asks the aggregator for it; answers with how far the study is, in words. The lineage is of the
    /// study as it was first signed, by which everything at the aggregator is called.
    pub(super) async fn fetch(
        self,
        transport: Transport,
        lineage: Lineage,
    ) -> Result<String, ByHandError> {
        let lineage = known_epochs(&transport, lineage).await?;
        let (id, study) = (lineage.first().id, &*lineage.first().study);
        let status = transport.status(id).await?;
        let next = RoundNumber(status.rounds);
        taken(transport.lost(id).await)?;
        taken(transport.restore_requests(id).await)?;
        taken(transport.proposed_epochs(id).await)?;
        let size = log_size(&transport, study).await?;
        for signed in lineage.all().filter_map(|study| study.epoch.as_ref()) {
            let leaf = LogEntry::of::<Epoch>(signed.epoch.id()).leaf();
            taken(transport.inclusion(id, size, &[leaf]).await)?;
        }
        self.round_keys(&transport, &lineage, (next, size)).await?;
        let mut seen: Vec<u64> = self.seen_log.into_iter().collect();
        for round in self.first_round.0.min(next.0)..next.0 {
            let whole = round + WHOLE >= next.0;
            let round = RoundNumber(round);
            let under = (id, &*lineage.in_force(round).study);
            self.round(&transport, under, (round, whole), &mut seen).await?;
        }
        for place in &self.places {
            self.named(&transport, &lineage, place).await?;
        }
        Ok(match status.latest {
            Some(latest) => format!("round {} is {}", latest.round, latest.state),
            None => "no round is open".to_owned(),
        })
    }

    /// The keys of the holders of the last round and the next, and this site's own, with the proofs
    /// that the log has them.
    async fn round_keys(
        &self,
        transport: &Transport,
        lineage: &Lineage,
        (next, size): (RoundNumber, u64),
    ) -> Result<(), ByHandError> {
        let id = lineage.first().id;
        for round in next.before().into_iter().chain([next]) {
            for holder in lineage.in_force(round).study.holders(round) {
                taken(transport.round_keys(id, &holder.id, round).await)?;
            }
        }
        let mut round = self.first_round.min(next);
        loop {
            // Each roster has keys of its own.
            let roster = lineage.all().map(|study| study.from).find(|from| *from > round);
            let keys = taken(transport.round_keys(id, &self.site, round).await)?;
            let after = match keys {
                Some(keys) => {
                    let leaf = LogEntry::of_signed(&keys).leaf();
                    taken(transport.inclusion(id, size, &[leaf]).await)?;
                    Some(keys.statement.end().max(round.next()))
                }
                None => Some(next).filter(|next| *next > round),
            };
            match after.into_iter().chain(roster).min() {
                Some(after) => round = after,
                None => return Ok(()),
            }
        }
    }

    async fn round(
        &self,
        transport: &Transport,
        (id, study): (StudyId, &Study),
        (round, whole): (RoundNumber, bool),
        seen: &mut Vec<u64>,
    ) -> Result<(), ByHandError> {
        let at = transport.round(id, round);
        let status = at.status().await?;
        let manifest = taken(at.manifest().await)?;
        let receipt = taken(at.progress(&self.site).await)?.and_then(|progress| progress.receipt);
        taken(at.header(&self.site).await)?;
        taken(at.freeze().await)?;
        taken(at.reviews().await)?;
        taken(at.certificate().await)?;
        taken(at.openings().await)?;
        taken(at.acknowledgements().await)?;
        taken(at.agreed().await)?;
        let closing = taken(at.closing().await)?;
        if let (Some(manifest), Some(closing)) = (&manifest, &closing) {
            let receipt = receipt.as_ref().map(|receipt| &receipt.statement);
            let (manifest, closing) = (&manifest.statement, &closing.statement);
            self.proofs(transport, id, (manifest, closing, receipt), seen).await?;
        }
        self.disputes(at, &status).await?;
        if !whole || status.state == RoundState::Collecting {
            return Ok(());
        }
        let mut from = 0;
        while let Some(page) = taken(at.headers(from).await)?.filter(|page| !page.is_empty()) {
            from += page.len();
        }
        if study.holder_offset(round, &self.site).is_some() {
            let mut from = 0;
            while let Some(page) =
                taken(at.dealt(&self.site, from).await)?.filter(|page| !page.is_empty())
            {
                from += page.len();
            }
        }
        if status.state == RoundState::Opened {
            let mut from = 0;
            while let Some(page) =
                taken(at.opened(&self.site, from).await)?.filter(|page| !page.is_empty())
            {
                from += page.len();
            }
            self.file((transport, study), &format!("studies/{id}/rounds/{round}/sum")).await?;
        }
        Ok(())
    }

    /// What shows that a closing's log is the one that this site has seen, and has what it must.
    async fn proofs(
        &self,
        transport: &Transport,
        id: StudyId,
        (manifest, closing, receipt): (&Manifest, &Closing, Option<&Receipt>),
        seen: &mut Vec<u64>,
    ) -> Result<(), ByHandError> {
        let size = closing.checkpoint.size;
        let entries = closing.logged(manifest, receipt);
        let mut leaves: Vec<LogHash> = entries.iter().map(LogEntry::leaf).collect();
        // The round keys that the site holds under.
        let keys = transport.round_keys(id, &self.site, manifest.round).await;
        leaves.extend(taken(keys)?.map(|keys| LogEntry::of_signed(&keys).leaf()));
        if taken(transport.inclusion(id, size, &leaves).await)?.is_none() {
            // One that is missing must not hide the others.
            for leaf in leaves {
                taken(transport.inclusion(id, size, &[leaf]).await)?;
            }
        }
        for known in seen.iter().copied().chain([size]).collect::<Vec<_>>() {
            taken(transport.consistency(id, known.min(size), known.max(size)).await)?;
        }
        seen.push(size);
        Ok(())
    }

    /// What was endorsed and opened in disputes. The parts that are sealed to this site it asks for by
    /// name.
    async fn disputes(
        &self,
        at: RoundTransport<'_>,
        status: &RoundStatus,
    ) -> Result<(), ByHandError> {
        for dispute in &status.disputes {
            taken(at.verdict(dispute.index).await)?;
            if dispute.index > 0 {
                taken(at.dispute(dispute.index).await)?;
            }
        }
        Ok(())
    }

    /// What the site asked for by name.
    async fn named(
        &self,
        transport: &Transport,
        lineage: &Lineage,
        place: &str,
    ) -> Result<(), ByHandError> {
        match place.ends_with("/sum") || place.ends_with("/body") {
            true => {
                let round = place.split('/').nth(3).and_then(|round| round.parse().ok());
                let Some(round) = round else { return Ok(()) };
                let study = &*lineage.in_force(RoundNumber(round)).study;
                self.file((transport, study), place).await
            }
            false => Ok(taken(transport.ask(place).await).map(drop)?),
        }
    }

    /// A sum or a body: long, and never in memory.
    async fn file(
        &self,
        (transport, study): (&Transport, &Study),
        place: &str,
    ) -> Result<(), ByHandError> {
        let parts: Vec<&str> = place.split('/').collect();
        let [_, id, "rounds", round, ..] = parts.as_slice() else { return Ok(()) };
        let (Ok(id), Ok(number)) = (id.parse(), round.parse()) else { return Ok(()) };
        let bytes = study
            .body_bytes()
            .map_err(|error| TransportError::Unreadable(printable(&error.to_string())))?;
        let file = NamedTempFile::new().map_err(ByHandError::file(&std::env::temp_dir()))?;
        let at = transport.round(id, RoundNumber(number));
        let rest = place.split_once(&format!("/rounds/{round}")).map_or("", |(_, rest)| rest);
        match at.fetch(rest, file.path(), bytes).await {
            Ok(()) => {
                let whole = file.reopen().map_err(ByHandError::file(file.path()))?;
                transport.keep(place, whole);
                Ok(())
            }
            refused => {
                let refused = refused.map(|()| Vec::new());
                transport.keep_refusal(place, &refused);
                Ok(taken(refused).map(drop)?)
            }
        }
    }
}

/// How many leaves the log has, by a checkpoint that the aggregator signed.
async fn log_size(transport: &Transport, study: &Study) -> Result<u64, ByHandError> {
    let id: StudyId = study.id();
    let note = transport.checkpoint(id).await?;
    let signed = NoteKey::new(&origin(id), study.aggregator_key)
        .map_err(CheckpointError::from)
        .and_then(|key| CheckpointText::verified(&note, &key))
        .map_err(|error| TransportError::Unreadable(printable(&error.to_string())))?;
    Ok(signed.checkpoint().size)
}
