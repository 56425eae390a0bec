//! How far a restored site must abstain: what the other sites' signed answers show, never what the
//! aggregator says alone, which may hide rounds.
//!
//! Let `R` be the highest round in the answers that count. An answer that names `R` counts only if
//! round `R - 1` is shown to be certified, so a liar can name one uncertified round at most. In
//! round `R + 1` `m - Q` honest holders at most have not endorsed what was certified, if anything
//! was, and up to `c` of those who answer lie: of `m - Q + c + 1` holders who answer, the restored
//! site not among them, one is honest, has endorsed and would have named `R + 1`. None did, so round
//! `R + 1` had not been certified when they answered, and they answered after the restore (the
//! request's nonce is fresh). A site signs in round `R + 2` only what stands on the certificate of
//! round `R + 1`: whatever the restored site has forgotten is of round `R + 1` or earlier.
//! `m - Q + c + 1` are more than `c` in any study.

use std::collections::BTreeMap;

use rand::CryptoRng;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{RestoreRequest, Standing, Study};

use crate::identity::Identity;

/// A new restore request, with a fresh nonce.
pub fn request(
    identity: &Identity,
    study: StudyId,
    restored_at: UnixSeconds,
    rng: &mut impl CryptoRng,
) -> Signed<RestoreRequest> {
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let (site, nonce) = (identity.site().clone(), Digest(nonce));
    identity.sign(RestoreRequest { study, site, nonce, restored_at })
}

/// What the answers to a restore request come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// The last round of the abstention, once the answers suffice.
    pub through: Option<RoundNumber>,
    /// The highest round that an answer names and that is proven.
    pub highest: Option<RoundNumber>,
    /// How many of the key holders of the round after it must answer: `m - Q + c + 1`.
    pub needed: usize,
    /// Those of them whose answers count.
    pub counted: Vec<SiteId>,
    /// Those of them whose answers are still to come, or do not count.
    pub missing: Vec<SiteId>,
    /// Sites whose answers do not count, for the round before the one they name is not shown to be
    /// certified: they lie, or the aggregator withholds that certificate.
    pub set_aside: Vec<(SiteId, RoundNumber)>,
}

impl Recalled {
    /// Whether enough answers can ever come: the window has so many holders beside this site.
    pub fn can_suffice(&self) -> bool {
        self.counted.len() + self.missing.len() >= self.needed
    }
}

/// Judges the answers to a restore request. `proven` says of a round whether it is shown to be
/// certified: whether its certificate is at hand and passes its check.
///
/// Answers to other requests, of other studies, by the restored site itself or by nobody on the
/// roster, and those whose signatures do not hold, are passed over: the aggregator made them up.
pub fn recall(
    study: &Study,
    request: &Signed<RestoreRequest>,
    answers: &[Signed<Standing>],
    proven: impl Fn(RoundNumber) -> bool,
) -> Recalled {
    let (id, asking) = (request.id(), &request.statement);
    let genuine = answers.iter().filter(|signed| {
        let Standing { study: of, request, site, round: _, has_signed: _ } = &signed.statement;
        let member = study.site(site).filter(|_| *site != asking.site);
        *of == asking.study
            && *request == id
            && member.is_some_and(|member| signed.verify(&member.signature_key, site).is_ok())
    });
    // Of two answers by one site the higher one counts.
    let (mut known, mut set_aside) = (BTreeMap::new(), Vec::new());
    for Standing { site, round, .. } in genuine.map(|signed| &signed.statement) {
        match round.filter(|round| round.before().is_some_and(|before| !proven(before))) {
            Some(unproven) => set_aside.push((site.clone(), unproven)),
            None => {
                let best: &mut Option<RoundNumber> = known.entry(site.clone()).or_default();
                *best = (*best).max(*round);
            }
        }
    }
    let highest = known.values().copied().max().flatten();
    let next = highest.map_or(RoundNumber::FIRST, RoundNumber::next);
    let threshold = &study.threshold;
    let needed = usize::from(threshold.holders.saturating_sub(threshold.endorsements))
        + usize::from(threshold.collusion)
        + 1;
    let holders = study.holders(next).map(|holder| &holder.id).filter(|id| **id != asking.site);
    let (counted, missing): (Vec<_>, Vec<_>) =
        holders.cloned().partition(|holder| known.contains_key(holder));
    let through = (counted.len() >= needed).then_some(next);
    Recalled { through, highest, needed, counted, missing, set_aside }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{rng, study};
    use ringfence_crypto::signature::Statement;

    fn asked(study: &Study, identity: &Identity, seed: u64) -> Signed<RestoreRequest> {
        request(identity, study.id(), UnixSeconds(7), &mut rng(seed))
    }

    fn standing(
        identity: &Identity,
        request: &Signed<RestoreRequest>,
        round: Option<u32>,
    ) -> Signed<Standing> {
        identity.sign(Standing {
            study: request.statement.study,
            request: request.id(),
            site: identity.site().clone(),
            round: round.map(RoundNumber),
            has_signed: None,
        })
    }

    // Five sites, all of them holders, c = 1, Q = 4: three of the four others must answer.
    #[test]
    fn enough_holders_of_the_next_round_end_the_abstention() {
        let (study, sites) = study(5);
        let question = asked(&study, &sites[0], 1);
        let two =
            [standing(&sites[1], &question, Some(3)), standing(&sites[2], &question, Some(2))];
        let recalled = recall(&study, &question, &two, |_| true);
        assert_eq!((recalled.needed, recalled.through), (3, None));
        assert_eq!(recalled.missing, [sites[4].site().clone(), sites[3].site().clone()]);
        assert!(recalled.can_suffice());
        let third = standing(&sites[3], &question, None);
        let recalled = recall(&study, &question, &[&two[..], &[third]].concat(), |_| true);
        assert_eq!(recalled.through, Some(RoundNumber(4)));
        // Before the first round, too.
        let none = [1, 2, 3].map(|k: usize| standing(&sites[k], &question, None));
        let recalled = recall(&study, &question, &none, |_| true);
        assert_eq!((recalled.highest, recalled.through), (None, Some(RoundNumber(0))));
    }

    #[test]
    fn an_answer_without_evidence_is_set_aside() {
        let (study, sites) = study(5);
        let question = asked(&study, &sites[0], 1);
        let answers = [
            standing(&sites[1], &question, Some(9)),
            standing(&sites[2], &question, Some(1)),
            standing(&sites[3], &question, Some(1)),
        ];
        let recalled = recall(&study, &question, &answers, |round| round < RoundNumber(2));
        assert_eq!(recalled.set_aside, [(sites[1].site().clone(), RoundNumber(9))]);
        assert_eq!((recalled.highest, recalled.through), (Some(RoundNumber(1)), None));
        let honest = standing(&sites[4], &question, Some(2));
        let recalled =
            recall(&study, &question, &[&answers[..], &[honest]].concat(), |r| r < RoundNumber(2));
        assert_eq!(recalled.through, Some(RoundNumber(3)));
    }

    #[test]
    fn old_answers_foreign_answers_and_forged_answers_do_not_count() {
        let (study, sites) = study(5);
        let (question, before) = (asked(&study, &sites[0], 1), asked(&study, &sites[0], 2));
        let mut forged = standing(&sites[3], &question, None);
        forged.statement.round = Some(RoundNumber(0));
        let answers = [
            standing(&sites[1], &before, None),
            standing(&sites[0], &question, None),
            standing(&sites[2], &question, None),
            standing(&sites[2], &question, None),
            forged,
        ];
        let recalled = recall(&study, &question, &answers, |_| true);
        assert_eq!(recalled.counted, [sites[2].site().clone()]);
        assert_eq!(recalled.through, None);
    }
}
