//! Witnesses of the log: each site cosigns the last checkpoint that it has seen, and everybody may see
//! who has.
//!
//! They are carried, and nothing waits for them: a site that cosigns nothing stops no study.

use std::sync::Arc;

use ringfence_crypto::id::SiteId;
use ringfence_crypto::log::{CheckpointText, NoteKey, SignedNote, Witness, origin};
use ringfence_crypto::signature::PublicKey;
use ringfence_crypto::time::MAX_CLOCK_AHEAD;

use crate::core::refusal::Refusal;
use crate::core::rounds::{LiveStudy, Made};
use crate::store::witnesses::{Cosigned, Which};

/// Most bytes of a cosigned checkpoint that is sent: text, our signature, the witness's; some 700.
pub(crate) const MAX_COSIGNED: usize = 4 << 10;

impl LiveStudy {
    /// Takes a checkpoint that a site has cosigned, if it is of this log; of a larger log it takes the
    /// place of the one before.
    pub(crate) async fn cosign(
        self: &Arc<Self>,
        site: &SiteId,
        note: &str,
    ) -> Result<Made, Refusal> {
        let note: SignedNote = note.parse().map_err(|error| {
            Refusal::malformed(format!("expected a cosigned checkpoint of the log: {error}"))
        })?;
        let cosigned = self.checked_cosignature(site, note)?;
        let (study, sent) = (self.clone(), cosigned.clone());
        // A task of its own, as for every write: the client may hang up.
        let stored = tokio::spawn(async move {
            study.served.statements().put_cosignature(study.served.first, &sent).await
        });
        if stored.await.map_err(|error| Refusal::internal(&error))?? {
            return Ok(Made::Now);
        }
        let known = self.cosigned(Which::By(site)).await?.pop();
        match known {
            Some(known) if known != cosigned => Err(Refusal::conflict(format!(
                "{site} has cosigned a log of {} leaves at {}, expected a larger one or a later time, got {} leaves at {}: the other one stays",
                known.size,
                known.at.utc(),
                cosigned.size,
                cosigned.at.utc()
            ))),
            _ => Ok(Made::Before),
        }
    }

    /// What a site has cosigned, where it is a state of this log.
    fn checked_cosignature(
        &self,
        site: &SiteId,
        mut note: SignedNote,
    ) -> Result<Cosigned, Refusal> {
        let origin = origin(self.served.first);
        let text: CheckpointText =
            note.text().parse().map_err(|error| Refusal::message(format!("{error}")))?;
        if text.origin() != origin {
            return Err(Refusal::message(format!(
                "the checkpoint is of log {:?}, expected {origin:?}",
                text.origin()
            )));
        }
        let key = self.key_of(site).ok_or_else(|| {
            Refusal::sender(format!("{site} is on no roster of study {}", self.served.first))
        })?;
        let witness = Witness::site(self.served.first, site, key)?;
        let cosignature =
            witness.verify(&note).map_err(|error| Refusal::sender(error.to_string()))?;
        let (seen, now) = (text.checkpoint(), self.served.now());
        let ours = self.served.log.read().checkpoint_at(seen.size)?;
        if ours != seen {
            // Signed by us, it is proof of two histories, and this one's operator should know first.
            let by_us = NoteKey::new(&origin, self.served.shared.identity.public_key())
                .is_ok_and(|key| note.verify(&key).is_ok());
            tracing::error!(%site, by_us, %note, "a site has cosigned another log than this one");
            return Err(Refusal::conflict(format!(
                "{site} has seen a log of {seen}, this one has {ours}: there are two histories of this study; keep both checkpoints, and tell the other sites and the aggregator's administrator"
            )));
        }
        if cosignature.time > now.after(MAX_CLOCK_AHEAD) {
            return Err(Refusal::conflict(format!(
                "{site} cosigned at {}, more than {MAX_CLOCK_AHEAD} s after the aggregator's clock, which shows {}; look at both clocks",
                cosignature.time.utc(),
                now.utc()
            )));
        }
        // What others added is not ours to pass on in this site's name.
        note.keep_only(witness.name().as_str());
        Ok(Cosigned { site: site.clone(), size: seen.size, at: cosignature.time, note })
    }

    /// The key that a site signs with, under the last roster that it is on.
    fn key_of(&self, site: &SiteId) -> Option<PublicKey> {
        let lineage = self.roster.read();
        let mut keys = lineage.all().filter_map(|of| Some(of.study.site(site)?.signature_key));
        keys.next_back()
    }

    /// What each site has cosigned last, of smaller logs first.
    pub(crate) async fn cosigned_last(&self) -> Result<Vec<Cosigned>, Refusal> {
        self.cosigned(Which::All).await
    }

    async fn cosigned(&self, which: Which<'_>) -> Result<Vec<Cosigned>, Refusal> {
        Ok(self.served.statements().cosignatures(self.served.first, which).await?)
    }

    /// Adds to a checkpoint what there is room for of the cosignatures of just this state.
    pub(crate) async fn add_cosignatures(
        &self,
        note: &mut SignedNote,
        size: u64,
    ) -> Result<(), Refusal> {
        for Cosigned { note: cosigned, .. } in self.cosigned(Which::OfSize(size)).await? {
            if !note.gather(&cosigned) {
                break;
            }
        }
        Ok(())
    }

    /// The last checkpoint that each site has cosigned, signed by us, of smaller logs first: sites that
    /// saw the same state share one as far as it has room.
    pub(crate) async fn witnesses(&self) -> Result<Vec<String>, Refusal> {
        self.signed_notes(self.cosigned_last().await?)
    }

    /// The last checkpoint that a site has cosigned, signed by us.
    pub(crate) async fn witness(&self, site: &SiteId) -> Result<String, Refusal> {
        let notes = self.signed_notes(self.cosigned(Which::By(site)).await?)?;
        notes.into_iter().next().ok_or_else(|| {
            Refusal::missing(format!("{site} has cosigned no checkpoint of this log yet"))
        })
    }

    fn signed_notes(&self, all: Vec<Cosigned>) -> Result<Vec<String>, Refusal> {
        let mut notes: Vec<SignedNote> = Vec::new();
        for Cosigned { site, size, note: cosigned, .. } in all {
            if notes.last_mut().is_some_and(|last| last.gather(&cosigned)) {
                continue;
            }
            let mut note = self.served.note_of(self.served.log.read().checkpoint_at(size)?)?;
            match note.gather(&cosigned) {
                true => notes.push(note),
                // The database was exchanged since: it is said so when the site cosigns again.
                false => {
                    tracing::error!(%site, size, "a site has cosigned another log than this one")
                }
            }
        }
        Ok(notes.iter().map(SignedNote::to_string).collect())
    }
}
