//! Studies that wait for signatures: posted by the administrator, signed by the sites in any order, and
//! registered with the last signature.
//!
//! All of it lies in the store: a restart forgets nothing, and what one aggregator takes the others see.
//! Kept in memory is only who is on a draft's roster, which follows from its digest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ringfence_crypto::api::DraftStatus;
use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{SignedStudy, SiteSignature};
use ringfence_crypto::wire::json;

use crate::core::draft_roster::{DraftRoster, registered, until};
use crate::core::refusal::{Kind, Refusal};
use crate::core::rounds::Made;
use crate::core::shared::blocking;
use crate::core::studies::{LoadError, Studies, check_ours};
use crate::store::drafts::StoredDraft;

/// Signatures are taken for so long after a draft was posted, and an epoch is proposed for so long: 90
/// days.
pub(crate) const GATHERED_FOR: u64 = 90 * 24 * 3600;

/// So long after its end it is said of a draft that it has ended: 30 days.
const SAID_FOR: u64 = 30 * 24 * 3600;

/// How many drafts there may be at a time.
pub(crate) const MOST_DRAFTS: usize = 100;

/// How many bytes their files may have together: eight of the largest studies.
const MOST_BYTES: u64 = 512 << 20;

/// What is known of drafts beside the store.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// The rosters of drafts that were asked for; they follow from the digests.
    rosters: Mutex<HashMap<StudyId, Arc<DraftRoster>>>,
    /// Held by whoever loads one, so that none is loaded twice at the same time.
    loading: tokio::sync::Mutex<()>,
    /// Held by whoever posts one, so that there is room for it.
    posting: tokio::sync::Mutex<()>,
}

impl Studies {
    /// Takes a study that not all have signed, with the signatures that it has. Complete, it is
    /// registered. `file` is what was posted.
    ///
    /// # Errors
    /// A [`Refusal`] for a study that nobody should sign, or that is another aggregator's, for a
    /// signature that does not hold, and where there are too many drafts.
    pub(crate) async fn post_draft(
        self: &Arc<Self>,
        file: Vec<u8>,
    ) -> Result<(Made, DraftStatus), Refusal> {
        let studies = self.clone();
        // A task of its own, as for every write: the client may hang up.
        let task = tokio::spawn(async move { studies.take_draft(file).await });
        task.await.map_err(|error| Refusal::internal(&error))?
    }

    async fn take_draft(&self, file: Vec<u8>) -> Result<(Made, DraftStatus), Refusal> {
        let shared = self.shared.clone();
        // Seconds of work for a study of thousands of sites.
        let (signed, unsigned) = blocking(move || {
            let signed = SignedStudy::parse(&file)?;
            signed.missing()?;
            check_ours(&shared, &signed.study)?;
            let unsigned = json::compact(&SignedStudy::unsigned(signed.study.clone()));
            Ok::<_, Refusal>((signed, unsigned))
        })
        .await??;
        let id = signed.study.id();
        self.meet(id).await?;
        match self.study(id) {
            Ok(live) => return Ok((Made::Before, registered(&live))),
            Err(refusal) if refusal.kind() == Kind::Altered => return Err(refusal),
            Err(_) => {}
        }
        let (drafts, now) = (&self.shared.store.drafts, self.shared.clock.now());
        let mut made = Made::Before;
        {
            let _one_at_a_time = self.gathering.posting.lock().await;
            let known = drafts.draft(id).await?;
            if known.is_none_or(|known| until(&known) < now) {
                self.make_room(id, unsigned.len() as u64).await?;
                drafts.insert_draft(id, &unsigned, now).await?;
                made = Made::Now;
                tracing::info!(study = %id.short(), sites = signed.study.roster.len(), "a study waits for signatures");
            }
        }
        if drafts.sign_draft(id, &signed.signatures).await? > 0 {
            made = Made::Now;
        }
        self.know(Arc::new(DraftRoster::of(&signed.study, id)));
        Ok((made, self.draft_status(id).await?))
    }

    /// Removes drafts that ended long ago, and refuses another one where there are too many.
    async fn make_room(&self, id: StudyId, bytes: u64) -> Result<(), Refusal> {
        let (drafts, now) = (&self.shared.store.drafts, self.shared.clock.now());
        self.forget_ended().await?;
        let mut others = drafts.drafts().await?;
        others.retain(|draft| draft.study != id);
        loop {
            let taken: u64 = others.iter().map(|draft| draft.bytes).sum();
            if others.len() < MOST_DRAFTS && taken.saturating_add(bytes) <= MOST_BYTES {
                return Ok(());
            }
            // The oldest first, of those that have ended: it is not said of them any more.
            match others.first().filter(|oldest| until(oldest) < now) {
                Some(oldest) => drafts.remove_draft(oldest.study).await?,
                None => {
                    return Err(Refusal::conflict(format!(
                        "{} studies of {taken} bytes wait for signatures, expected at most {MOST_DRAFTS} of {MOST_BYTES} bytes with this one; remove one that nobody will sign (`ringfence study drafts --remove`)",
                        others.len()
                    )));
                }
            };
            others.remove(0);
        }
    }

    /// Removes drafts of which it was said for long enough that they have ended.
    async fn forget_ended(&self) -> Result<(), Refusal> {
        let (drafts, now) = (&self.shared.store.drafts, self.shared.clock.now());
        for draft in drafts.drafts().await? {
            if until(&draft).after(SAID_FOR) < now {
                drafts.remove_draft(draft.study).await?;
            }
        }
        Ok(())
    }

    /// Takes a site's signature of a draft.
    ///
    /// # Errors
    /// A [`Refusal`] for one that does not hold, and for a draft that has ended or is not there.
    pub(crate) async fn sign_draft(
        self: &Arc<Self>,
        id: StudyId,
        signature: SiteSignature,
    ) -> Result<(Made, DraftStatus), Refusal> {
        let studies = self.clone();
        // A task of its own, as for every write: the client may hang up.
        let task = tokio::spawn(async move { studies.take_signature(id, signature).await });
        task.await.map_err(|error| Refusal::internal(&error))?
    }

    async fn take_signature(
        &self,
        id: StudyId,
        signature: SiteSignature,
    ) -> Result<(Made, DraftStatus), Refusal> {
        let drafts = &self.shared.store.drafts;
        let Some(draft) = drafts.draft(id).await? else {
            return Ok((Made::Before, self.registered(id).await?));
        };
        let Some(roster) = self.draft_roster(id).await? else {
            return Ok((Made::Before, self.registered(id).await?));
        };
        let key = roster.key(&signature.site)?;
        let checked = signature.verify_study(id, &key);
        checked.map_err(|error| Refusal::sender(error.to_string()))?;
        if until(&draft) < self.shared.clock.now() {
            return Err(self.ended(&roster, &draft).await?);
        }
        let made = match drafts.sign_draft(id, std::slice::from_ref(&signature)).await? {
            0 => Made::Before,
            _ => Made::Now,
        };
        Ok((made, self.draft_status(id).await?))
    }

    /// How far the signatures of a study have come, also of one that is registered by now. One that all
    /// have signed is registered here, if whoever took the last signature has not come to it.
    ///
    /// # Errors
    /// A [`Refusal`] for a draft that has ended or is not there.
    pub(crate) async fn draft_status(&self, id: StudyId) -> Result<DraftStatus, Refusal> {
        if let Ok(live) = self.study(id) {
            return Ok(registered(&live));
        }
        let drafts = &self.shared.store.drafts;
        let Some(draft) = drafts.draft(id).await? else { return self.registered(id).await };
        let Some(roster) = self.draft_roster(id).await? else { return self.registered(id).await };
        let signers = drafts.draft_signers(id).await?;
        // Signatures go with their draft: none were read, or some, of one that is registered meanwhile.
        if drafts.draft(id).await?.is_none() {
            return self.registered(id).await;
        }
        let status = roster.status(&signers, until(&draft));
        if status.signed == status.sites {
            if let Some(file) = self.signed_file(id).await? {
                self.register(file).await?;
            }
            return self.registered(id).await;
        }
        match until(&draft) < self.shared.clock.now() {
            true => Err(self.ended(&roster, &draft).await?),
            false => Ok(status),
        }
    }

    /// A draft with the signatures that it has; the study itself once it is registered.
    ///
    /// # Errors
    /// As for [`Studies::draft_status`].
    pub(crate) async fn draft_file(&self, id: StudyId) -> Result<Vec<u8>, Refusal> {
        if !self.draft_status(id).await?.registered
            && let Some(file) = self.signed_file(id).await?
        {
            return Ok(file);
        }
        self.registered(id).await?;
        self.file(id).await
    }

    /// All drafts, the oldest first, also those that have ended.
    ///
    /// # Errors
    /// A [`Refusal`] when the store fails.
    pub(crate) async fn drafts(&self) -> Result<Vec<DraftStatus>, Refusal> {
        let (drafts, mut all) = (&self.shared.store.drafts, Vec::new());
        for draft in drafts.drafts().await? {
            if let Some(roster) = self.draft_roster(draft.study).await? {
                let signers = drafts.draft_signers(draft.study).await?;
                if drafts.draft(draft.study).await?.is_none() {
                    continue;
                }
                all.push(roster.status(&signers, until(&draft)));
            }
        }
        Ok(all)
    }

    /// Removes a draft with its signatures; answers with how far they had come.
    ///
    /// # Errors
    /// A [`Refusal`] where there is none, as for a study that is registered: that stays.
    pub(crate) async fn remove_draft(&self, id: StudyId) -> Result<DraftStatus, Refusal> {
        let drafts = &self.shared.store.drafts;
        let missing =
            || Refusal::missing(format!("no draft {id} is here; what is registered stays"));
        let draft = drafts.draft(id).await?.ok_or_else(missing)?;
        let roster = self.draft_roster(id).await?.ok_or_else(missing)?;
        let status = roster.status(&drafts.draft_signers(id).await?, until(&draft));
        match drafts.remove_draft(id).await? {
            true => {
                tracing::info!(study = %id.short(), "a draft is removed");
                Ok(status)
            }
            false => Err(missing()),
        }
    }

    /// Who is to sign a draft; nothing where there is none.
    ///
    /// # Errors
    /// A [`Refusal`] when what is stored was altered.
    pub(crate) async fn draft_roster(
        &self,
        id: StudyId,
    ) -> Result<Option<Arc<DraftRoster>>, Refusal> {
        if let Some(known) = self.known(id) {
            return Ok(Some(known));
        }
        let _one_at_a_time = self.gathering.loading.lock().await;
        if let Some(known) = self.known(id) {
            return Ok(Some(known));
        }
        let Some(file) = self.shared.store.drafts.draft_file(id).await? else { return Ok(None) };
        let roster = blocking(move || {
            let signed = parsed(&file, id)?;
            Ok::<_, Refusal>(Arc::new(DraftRoster::of(&signed.study, id)))
        });
        let roster = roster.await??;
        self.know(roster.clone());
        Ok(Some(roster))
    }

    fn known(&self, id: StudyId) -> Option<Arc<DraftRoster>> {
        let rosters = self.gathering.rosters.lock().unwrap_or_else(PoisonError::into_inner);
        rosters.get(&id).cloned()
    }

    fn know(&self, roster: Arc<DraftRoster>) {
        let mut rosters = self.gathering.rosters.lock().unwrap_or_else(PoisonError::into_inner);
        // Of drafts that are gone by now, as others have removed them.
        if rosters.len() >= 2 * MOST_DRAFTS {
            rosters.clear();
        }
        rosters.entry(roster.study).or_insert(roster);
    }

    /// A draft's file with its signatures, in the roster's order: the same whoever makes it. Nothing
    /// where another aggregator has removed it, perhaps because it has registered the study.
    async fn signed_file(&self, id: StudyId) -> Result<Option<Vec<u8>>, Refusal> {
        let drafts = &self.shared.store.drafts;
        let Some(file) = drafts.draft_file(id).await? else { return Ok(None) };
        let signatures = drafts.draft_signatures(id).await?;
        if drafts.draft(id).await?.is_none() {
            return Ok(None);
        }
        let made = blocking(move || {
            let mut signed = parsed(&file, id)?;
            let mut by_site: HashMap<SiteId, SiteSignature> =
                signatures.into_iter().map(|signed| (signed.site.clone(), signed)).collect();
            let roster = signed.study.roster.iter();
            signed.signatures = roster.filter_map(|site| by_site.remove(&site.id)).collect();
            Ok::<_, Refusal>(json::compact(&signed))
        });
        made.await?.map(Some)
    }

    /// What is said of a study of which there is no draft.
    async fn registered(&self, id: StudyId) -> Result<DraftStatus, Refusal> {
        // Perhaps another aggregator has registered it just now.
        self.meet(id).await?;
        match self.study(id) {
            Ok(live) => Ok(registered(&live)),
            Err(refusal) if refusal.kind() == Kind::Missing => Err(no_draft(id)),
            Err(refusal) => Err(refusal),
        }
    }

    /// Why nothing is taken any more.
    async fn ended(&self, roster: &DraftRoster, draft: &StoredDraft) -> Result<Refusal, Refusal> {
        let signers = self.shared.store.drafts.draft_signers(draft.study).await?;
        let until = until(draft);
        let DraftStatus { sites, signed, .. } = roster.status(&signers, until);
        Ok(Refusal::new(
            Kind::Gone,
            format!(
                "the draft of study {} has ended at {}, {} days after it was posted: {signed} of {sites} sites had signed; the administrator posts it again (`ringfence study register`), and the signatures that it has stay",
                draft.study,
                until.utc(),
                GATHERED_FOR / (24 * 3600)
            ),
        ))
    }

    /// Removes the draft of a study that is registered. A draft that stays does no harm.
    pub(crate) async fn drop_draft(&self, id: StudyId) {
        if let Err(error) = self.shared.store.drafts.remove_draft(id).await {
            tracing::warn!(study = %id.short(), %error, "the draft of a registered study stays for now");
        }
        let mut rosters = self.gathering.rosters.lock().unwrap_or_else(PoisonError::into_inner);
        rosters.remove(&id);
    }

    /// At the start: registers what all have signed, and forgets what ended long ago.
    pub(crate) async fn take_up_drafts(&self) -> Result<(), LoadError> {
        for draft in self.shared.store.drafts.drafts().await? {
            let id = draft.study;
            let done = match self.study(id) {
                Ok(_) => {
                    self.drop_draft(id).await;
                    Ok(())
                }
                Err(_) => self.draft_status(id).await.map(drop),
            };
            match done {
                Err(refusal) if refusal.kind() != Kind::Gone => {
                    let reason = refusal.detail();
                    tracing::error!(study = %id, reason, "a draft is not taken up");
                }
                _ => {}
            }
        }
        if let Err(refusal) = self.forget_ended().await {
            tracing::warn!(reason = refusal.detail(), "drafts that have ended stay for now");
        }
        Ok(())
    }
}

/// There is neither a draft nor a study of this name.
pub(crate) fn no_draft(id: StudyId) -> Refusal {
    Refusal::missing(format!(
        "no draft of study {id} is here, and it is not registered: the administrator posts the study file (`ringfence study register`), and has perhaps removed this draft"
    ))
}

/// A draft's file, which must be the one that its digest says.
fn parsed(file: &[u8], id: StudyId) -> Result<SignedStudy, Refusal> {
    let altered = |reason: String| {
        Refusal::new(
            Kind::Altered,
            format!(
                "the draft of study {id} is unsound ({reason}): the database was altered; the administrator removes it and posts it again"
            ),
        )
    };
    let signed = SignedStudy::parse(file).map_err(|error| altered(error.to_string()))?;
    match signed.study.id() {
        got if got == id => Ok(signed),
        got => Err(altered(format!("its digest is {got}"))),
    }
}
