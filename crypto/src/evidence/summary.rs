//! The round at a glance, as its statements show it.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::dealing::Trust;
use crate::digest::Digest;
use crate::id::{ClosingId, ManifestId, RoundNumber, SiteId, StudyId, UnixSeconds};
use crate::round::{Round, RoundState};
use crate::statement::{ExclusionReason, Previous, Spent, Study, Subject};
use crate::threshold::Threshold;

/// A contribution that is not in the set, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Whose.
    pub site: SiteId,
    /// Why.
    pub reason: ExclusionReason,
}

/// Who was named, by a certified verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// 1 to c: which dispute of the round; 0 for wrong check words, which need no dispute.
    pub dispute: u16,
    /// Block and coefficient at which the sum did not decode; none for check words.
    pub position: Option<(u64, u16)>,
    /// The sites.
    pub sites: Vec<SiteId>,
}

/// What a site states of its privacy budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpentBy {
    /// Which site.
    pub site: SiteId,
    /// What it states.
    #[serde(flatten)]
    pub spent: Spent,
}

/// A round as its statements show it. What a check found to be false is not in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoundSummary {
    /// The study in force in the round.
    pub study: StudyId,
    /// Which round.
    pub round: RoundNumber,
    /// How far it has come.
    pub state: RoundState,
    /// Whether it is over: in a certified abort, or with one model that enough sites acknowledged.
    pub over: bool,
    /// Who opened it.
    pub initiator: SiteId,
    /// When, by its manifest.
    pub opened_at: UnixSeconds,
    /// When the set was fixed, by the closing.
    pub closed_at: Option<UnixSeconds>,
    /// The manifest.
    pub manifest: ManifestId,
    /// The closing.
    pub closing: Option<ClosingId>,
    /// Keyed digest of the model that the updates started from.
    pub base_model: Digest,
    /// Keyed digest of the model after it that enough sites acknowledged.
    pub agreed_model: Option<Digest>,
    /// `(m, c, l, Q, t)`.
    pub threshold: Threshold,
    /// Fewest contributions that a sum is opened for.
    pub min_sites: u16,
    /// The key holders, in window order.
    pub holders: Vec<SiteId>,
    /// Sites of the roster.
    pub sites: usize,
    /// The certified set.
    pub included: Vec<SiteId>,
    /// Contributions that are not in it, and why.
    pub excluded: Vec<LeftOut>,
    /// Sites without a receipt: they did not contribute, or not in time.
    pub absent: Vec<SiteId>,
    /// BLAKE3 root of the sum.
    pub sum: Option<Digest>,
    /// Key holders that signed that the set is the only one.
    pub endorsed: usize,
    /// Key holders that opened their share of the sum of the set's keys.
    pub opened: Vec<SiteId>,
    /// Who was named.
    pub named: Vec<Named>,
    /// Who is barred and who is in doubt after the round; before it, while it is not over.
    pub trust: Trust,
    /// What the sites state of their privacy budget, where the study has one.
    pub spent: Vec<SpentBy>,
}

impl RoundSummary {
    /// Of a round, and how it ended ([`Round::ended`]).
    pub fn of(study: &Study, round: &Round, ended: Option<&Previous>) -> Self {
        let manifest = &round.manifest().statement;
        let closing = round.closing();
        let said = closing.map(|closing| &closing.statement);
        let certified = round.certificate().is_some();
        let set = said.filter(|_| certified);
        let included = set.into_iter().flat_map(|closing| &closing.included);
        let excluded = set.into_iter().flat_map(|closing| &closing.excluded);
        let received: BTreeSet<&SiteId> = round.received().map(|(site, _)| site).collect();
        let absent = study.roster.iter().map(|entry| &entry.id);
        Self {
            study: manifest.study,
            round: manifest.round,
            state: round.state(),
            over: ended.is_some(),
            initiator: manifest.initiator.clone(),
            opened_at: manifest.opened_at,
            closed_at: said.map(|closing| closing.closed_at),
            manifest: round.manifest_id(),
            closing: closing.map(|closing| closing.id()),
            base_model: manifest.base_model,
            agreed_model: round.agreed_model(),
            threshold: study.threshold,
            min_sites: study.min_sites,
            holders: manifest.holders.clone(),
            sites: study.roster.len(),
            included: included.map(|entry| entry.site.clone()).collect(),
            excluded: excluded
                .map(|entry| LeftOut { site: entry.site.clone(), reason: entry.reason })
                .collect(),
            absent: absent.filter(|site| !received.contains(site)).cloned().collect(),
            sum: set.and_then(|closing| closing.sum),
            endorsed: round.endorsed(),
            opened: round
                .openings(Subject::Sum)
                .map(|opening| opening.statement.holder.clone())
                .collect(),
            named: Named::all(round),
            trust: ended.map_or_else(|| round.trust(), |ended| &ended.trust).clone(),
            spent: round
                .received()
                .filter_map(|(site, header)| {
                    Some(SpentBy { site: site.clone(), spent: header.statement.spent? })
                })
                .collect(),
        }
    }
}

impl Named {
    /// All that the certified verdicts of a round name.
    pub fn all(round: &Round) -> Vec<Self> {
        let verdicts = round.verdicts();
        let named = verdicts.map(|(dispute, verdict)| Self {
            dispute,
            position: round
                .certified_dispute(dispute)
                .map(|certified| (certified.statement.block, certified.statement.coefficient)),
            sites: verdict.sites,
        });
        named.collect()
    }
}
