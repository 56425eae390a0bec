//! KEM keys for single rounds, published ahead by the sites.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use ringfence_crypto::statement::{RoundKeys, Signed};
use serde::Deserialize;

use super::request::{OfSite, OfStudy, Parameters, answer, made, same_site, statement};
use crate::aggregator::{Aggregator, Made};
use crate::problem::Refusal;

/// How many rounds ahead a site may publish keys: what it can fill is bounded.
const MAX_AHEAD: u64 = 256;

/// `PUT /studies/{study}/round-keys/{site}`: the site's keys for coming rounds. Once a round has a
/// key, no other is taken.
pub(super) async fn publish(
    State(aggregator): State<Arc<Aggregator>>,
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
    body: Body,
) -> Result<Response, Refusal> {
    let signed: Signed<RoundKeys> = statement(&aggregator, body).await?;
    same_site(&site, &signed.statement.site)?;
    RoundKeys::check(&signed, &study.study, study.digest)?;
    let RoundKeys { first_round, keys, .. } = &signed.statement;
    let end = u64::from(*first_round) + keys.len() as u64;
    let most = study.latest().0 as u64 + MAX_AHEAD;
    if end > most {
        return Err(Refusal::conflict(format!(
            "the keys reach to round {end}, expected at most round {most}, {MAX_AHEAD} rounds ahead; publish them later"
        )));
    }
    let before = aggregator.store.round_keys(study.digest, &site, *first_round).await?;
    let stored = aggregator.store.insert_round_keys(&signed).await?;
    match (stored.as_ref() == Some(&signed), before) {
        (true, Some(_)) => Ok(made(Made::Before, &())),
        (true, None) => Ok(made(Made::Now, &())),
        (false, _) => Err(Refusal::conflict(format!(
            "{site} has published other keys for one of the rounds from {first_round} to {end}; a round's key is never replaced"
        ))),
    }
}

/// The round of interest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfRoundNumber {
    round: u32,
}

/// `GET /studies/{study}/round-keys/{site}?round=`: the statement that covers the round.
pub(super) async fn fetch(
    State(aggregator): State<Arc<Aggregator>>,
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
    Parameters(OfRoundNumber { round }): Parameters<OfRoundNumber>,
) -> Result<Response, Refusal> {
    let stored = aggregator.store.round_keys(study.digest, &site, round).await?;
    let missing = || {
        Refusal::missing(format!(
            "{site} has published no key for round {round}; its long-term key counts then"
        ))
    };
    Ok(answer(&stored.ok_or_else(missing)?))
}
