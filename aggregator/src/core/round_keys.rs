//! KEM keys for single rounds, published ahead by the sites.

use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::RoundKeys;

use crate::core::refusal::{Kind, Refusal};
use crate::core::rounds::{LiveStudy, Made};

/// How many rounds ahead a site may publish keys: what it can fill is bounded.
const MAX_AHEAD: u64 = 256;

impl LiveStudy {
    /// Takes a site's keys for coming rounds. Once a round has a key, no other is taken.
    pub(crate) async fn publish_round_keys(
        &self,
        signed: &Signed<RoundKeys>,
    ) -> Result<Made, Refusal> {
        let served = &self.served;
        RoundKeys::check(signed, &served.study, served.id)?;
        let RoundKeys { site, first_round, keys, .. } = &signed.statement;
        let end = u64::from(first_round.0) + keys.len() as u64;
        let most = self.latest().0 as u64 + MAX_AHEAD;
        if end > most {
            return Err(Refusal::conflict(format!(
                "the keys reach to round {end}, expected at most round {most}, {MAX_AHEAD} rounds ahead; publish them later"
            )));
        }
        let statements = served.statements();
        let before = statements.round_keys(served.id, site, *first_round).await?;
        let stored = statements.insert_round_keys(signed).await?;
        match (stored.as_ref() == Some(signed), before) {
            (true, Some(_)) => Ok(Made::Before),
            (true, None) => Ok(Made::Now),
            (false, _) => Err(Refusal::conflict(format!(
                "{site} has published other keys for one of the rounds from {first_round} to {end}; a round's key is never replaced"
            ))),
        }
    }

    /// The statement of a site that covers a round.
    pub(crate) async fn round_keys(
        &self,
        site: &SiteId,
        round: RoundNumber,
    ) -> Result<Signed<RoundKeys>, Refusal> {
        let statements = self.served.statements();
        let stored = statements.round_keys(self.served.id, site, round).await?;
        let stored = stored.ok_or_else(|| {
            Refusal::missing(format!(
                "{site} has published no key for round {round}; its long-term key counts then"
            ))
        })?;
        match RoundKeys::check(&stored, &self.served.study, self.served.id) {
            Ok(()) => Ok(stored),
            Err(error) => Err(Refusal::new(
                Kind::Altered,
                format!(
                    "the stored round keys of {site} for round {round} are not what it published: {error}; the database was altered, bring it back from a backup"
                ),
            )),
        }
    }
}
