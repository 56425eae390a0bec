//! What witnesses have cosigned: the last checkpoint of each site. A larger log takes the place of a
//! smaller one, and of the same size a later cosignature that of an earlier one.

use std::fmt;

use ringfence_crypto::id::{SiteId, StudyId, UnixSeconds};
use ringfence_crypto::log::SignedNote;

use crate::store::terms::Answer;

/// A checkpoint that a site has cosigned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cosigned {
    /// Who.
    pub(crate) site: SiteId,
    /// Leaves of the log.
    pub(crate) size: u64,
    /// When, as the cosignature says.
    pub(crate) at: UnixSeconds,
    /// The checkpoint with this cosignature alone.
    pub(crate) note: SignedNote,
}

/// Which cosignatures.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    /// The last one of every site.
    All,
    /// Those of a log of this size.
    OfSize(u64),
    /// That of this site.
    By(&'a SiteId),
}

/// Cosignatures of checkpoints.
pub(crate) trait Witnesses: fmt::Debug + Send + Sync {
    /// Stores a cosignature, unless the same site has cosigned a larger log, or this one as late; whether
    /// it did.
    fn put_cosignature<'a>(&'a self, study: StudyId, cosigned: &'a Cosigned) -> Answer<'a, bool>;

    /// Cosignatures, of smaller logs first, those of one size in the order of the sites' names.
    fn cosignatures<'a>(&'a self, study: StudyId, which: Which<'a>) -> Answer<'a, Vec<Cosigned>>;
}
