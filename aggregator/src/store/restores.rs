//! What sites that were restored from backups ask, and what the others answer: the last request of
//! each, with one answer of each other site. A later one takes the place of an earlier one.

use std::fmt;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{RestoreRequest, Standing};

use crate::store::terms::Answer;

/// Restore requests and their answers.
pub(crate) trait Restores: fmt::Debug + Send + Sync {
    /// Stores a request in the place of one of the same site that says an earlier time, and of its
    /// answers; whether it did. Of two at the same time, the later one stays.
    fn put_restore_request<'a>(
        &'a self,
        study: StudyId,
        signed: &'a Signed<RestoreRequest>,
    ) -> Answer<'a, bool>;

    /// The requests of all sites, in the order of their names.
    fn restore_requests(&self, study: StudyId) -> Answer<'_, Vec<Signed<RestoreRequest>>>;

    /// Stores an answer to the request of a site, in the place of an earlier one of the same site;
    /// none to a request that is not there any more.
    fn put_standing<'a>(
        &'a self,
        study: StudyId,
        asking: &'a SiteId,
        signed: &'a Signed<Standing>,
    ) -> Answer<'a, ()>;

    /// The answers to this request, in the order of the names of those who answered.
    fn standings<'a>(
        &'a self,
        study: StudyId,
        asking: &'a SiteId,
        request: Digest,
    ) -> Answer<'a, Vec<Signed<Standing>>>;
}
