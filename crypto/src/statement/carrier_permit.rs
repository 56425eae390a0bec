//! A site's leave for a carrier: whoever takes messages between a site that has no network and the
//! aggregator.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{SiteId, StudyId, UnixSeconds};
use crate::signature::{PublicKey, SignatureError, Signed, Statement};
use crate::time::MAX_CLOCK_AHEAD;
use crate::wire::canonical::canonical;

/// Longest that a permit may last, in seconds: 31 days.
pub const MAX_PERMIT_SECONDS: u64 = 31 * 86_400;

/// A site lets requests that this key signs count as its own, until a time.
///
/// It says nothing in the site's name: each statement of the site has the site's signature, each frame
/// and body the digest that such a statement names, and what is sealed to the site stays sealed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarrierPermit {
    /// The study.
    pub study: StudyId,
    /// Whose requests the carrier makes.
    pub site: SiteId,
    /// The key that signs them.
    pub carrier: PublicKey,
    /// From when on, by the site's clock.
    pub from: UnixSeconds,
    /// Until when, at most [`MAX_PERMIT_SECONDS`] later.
    pub until: UnixSeconds,
}
canonical!(CarrierPermit { study, site, carrier, from, until });

impl Statement for CarrierPermit {
    const LABEL: &'static str = "carrier-permit";
    type Id = Digest;
}

/// A permit that permits nothing, here or now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermitError {
    /// Not signed by the site.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Of a site that has no key here.
    #[error("site {0} has no key here that a carrier's permit could be signed with")]
    NoKey(SiteId),
    /// For something else.
    #[error(
        "expected a carrier's permit of site {site} in study {study}, got one of site {got_site} in study {got_study}"
    )]
    Other {
        /// The study that was asked for.
        study: StudyId,
        /// The site whose request it is to be.
        site: SiteId,
        /// The study that the permit names.
        got_study: StudyId,
        /// The site that the permit names.
        got_site: SiteId,
    },
    /// Too long.
    #[error(
        "a carrier's permit lasts {MAX_PERMIT_SECONDS} s at most, and this one is from {} to {}",
        .from.utc(), .until.utc()
    )]
    Long {
        /// Its beginning.
        from: UnixSeconds,
        /// Its end.
        until: UnixSeconds,
    },
    /// Not yet, or not any more.
    #[error(
        "the carrier's permit of site {site} is from {} to {}, and it is {} here: the site makes a new one whenever it runs `ringfence bundle export`",
        .from.utc(), .until.utc(), .now.utc()
    )]
    Time {
        /// Whose permit.
        site: SiteId,
        /// Its beginning.
        from: UnixSeconds,
        /// Its end.
        until: UnixSeconds,
        /// The verifier's time.
        now: UnixSeconds,
    },
}

impl CarrierPermit {
    /// The key that may sign requests as `site` in `study` now; `key` is the site's own.
    ///
    /// # Errors
    /// [`PermitError`].
    pub fn check(
        permit: &Signed<Self>,
        study: StudyId,
        site: &SiteId,
        key: &PublicKey,
        now: UnixSeconds,
    ) -> Result<PublicKey, PermitError> {
        let Self { from, until, carrier, .. } = permit.statement;
        if permit.statement.study != study || permit.statement.site != *site {
            let (got_study, got_site) = (permit.statement.study, permit.statement.site.clone());
            return Err(PermitError::Other { study, site: site.clone(), got_study, got_site });
        }
        permit.verify(key, site)?;
        if until.seconds_since(from) > MAX_PERMIT_SECONDS {
            return Err(PermitError::Long { from, until });
        }
        if now.after(MAX_CLOCK_AHEAD) < from || now > until {
            return Err(PermitError::Time { site: site.clone(), from, until, now });
        }
        Ok(carrier)
    }
}
