//! The contract's third part: what waits for signatures. Studies that not all have signed, and epochs
//! that are proposed. Unlike statements they go again: once they are complete, or their time is over.

use std::fmt;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{SiteId, StudyId, UnixSeconds};
use ringfence_crypto::statement::SiteSignature;

use crate::store::terms::Answer;

/// A study that waits for signatures, without its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredDraft {
    /// Its digest.
    pub(crate) study: StudyId,
    /// How many bytes its file has.
    pub(crate) bytes: u64,
    /// When it was posted, by the aggregator's clock.
    pub(crate) posted_at: UnixSeconds,
}

/// An epoch that a site proposes, or has signed, and since when it is proposed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NextProposal<'a> {
    /// The epoch's number.
    pub(crate) number: u32,
    /// The epoch's digest.
    pub(crate) digest: Digest,
    /// The epoch with the study after it, without signatures.
    pub(crate) file: &'a [u8],
    /// The site that sends it: it proposes this one from now on, and no other.
    pub(crate) by: &'a SiteId,
    /// Signatures, checked.
    pub(crate) signatures: &'a [SiteSignature],
    /// When it is sent, by the aggregator's clock.
    pub(crate) at: UnixSeconds,
    /// Proposals from before this time are over.
    pub(crate) over_before: UnixSeconds,
}

/// An epoch that is proposed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredProposal {
    /// The epoch's number.
    pub(crate) number: u32,
    /// The epoch with the study after it, without signatures.
    pub(crate) file: Vec<u8>,
    /// The sites that propose it, in the order of their names.
    pub(crate) by: Vec<SiteId>,
    /// Its signatures.
    pub(crate) signatures: Vec<SiteSignature>,
    /// When it was first sent.
    pub(crate) at: UnixSeconds,
}

/// What waits for signatures.
pub(crate) trait Drafts: fmt::Debug + Send + Sync {
    /// Stores a study without signatures. One that is there keeps its file and signatures, and counts as
    /// posted now.
    fn insert_draft<'a>(
        &'a self,
        study: StudyId,
        file: &'a [u8],
        posted_at: UnixSeconds,
    ) -> Answer<'a, ()>;

    /// All studies that wait, the oldest first.
    fn drafts(&self) -> Answer<'_, Vec<StoredDraft>>;

    /// One of them.
    fn draft(&self, study: StudyId) -> Answer<'_, Option<StoredDraft>>;

    /// Its file, as it was stored.
    fn draft_file(&self, study: StudyId) -> Answer<'_, Option<Vec<u8>>>;

    /// Adds checked signatures to a study that waits; of each site the first one stays. Answers with how
    /// many are new: none where no such study waits.
    fn sign_draft<'a>(
        &'a self,
        study: StudyId,
        signatures: &'a [SiteSignature],
    ) -> Answer<'a, usize>;

    /// Who has signed it, in the order of their names.
    fn draft_signers(&self, study: StudyId) -> Answer<'_, Vec<SiteId>>;

    /// Its signatures, in the same order.
    fn draft_signatures(&self, study: StudyId) -> Answer<'_, Vec<SiteSignature>>;

    /// Removes it with its signatures; whether it was there.
    fn remove_draft(&self, study: StudyId) -> Answer<'_, bool>;

    /// Stores a proposed epoch of a registered study with its signatures, and that this site proposes it;
    /// what is over, of an earlier number, or proposed by nobody any more goes at the same time.
    fn propose<'a>(&'a self, study: StudyId, next: NextProposal<'a>) -> Answer<'a, ()>;

    /// The epochs that are proposed for a study, the oldest first.
    fn proposals(&self, study: StudyId) -> Answer<'_, Vec<StoredProposal>>;

    /// Removes the proposed epochs of a study up to a number.
    fn void_proposals(&self, study: StudyId, number: u32) -> Answer<'_, ()>;
}
