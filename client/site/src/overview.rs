//! A study as anybody may see it who has the study file: how far each site has come in each round.
//!
//! Statuses are the aggregator's word. Who is barred and what a sum leaves out follows from signed
//! statements, which are checked against the study.

mod error;
mod look;
mod steps;
#[cfg(test)]
mod tests;

use ringfence_crypto::cohorts::CohortReport;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::round::RoundState;
use ringfence_crypto::statement::{ExclusionReason, Study};
use serde::Serialize;

pub use error::OverviewError;
pub use look::{MOST_ROUNDS, Onlooker};

/// A study at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    /// The study.
    pub study: StudyId,
    /// Its name, as its author wrote it.
    pub name: String,
    /// Rounds opened so far.
    pub opened_rounds: u32,
    /// Rounds that the study's training plan asks for; none where it pins no plan.
    pub planned_rounds: Option<u32>,
    /// Whether the last planned round is over: aborted, or acknowledged by Q sites.
    pub ended: bool,
    /// Q: endorsements that certify a closing, and acknowledgements that end a round.
    pub endorsements_needed: u16,
    /// t: openings that suffice for the sum.
    pub openings_needed: u16,
    /// The sites that are certainly corrupt by now.
    pub barred: Vec<SiteId>,
    /// What the sums of these rounds together could tell of few sites.
    pub cohorts: CohortReport,
    /// The same in sentences.
    pub cohorts_in_words: Vec<String>,
    /// The last rounds, as many as were asked for, in order.
    pub rounds: Vec<RoundOverview>,
    /// Whose turn it is to open the next round, once the last one is over.
    pub turn: Option<OpenTurn>,
}

/// One round.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoundOverview {
    /// Its number.
    pub round: RoundNumber,
    /// Where it stands.
    pub state: RoundState,
    /// Who opened it.
    pub initiator: SiteId,
    /// When it was opened.
    pub opened_at: UnixSeconds,
    /// After this moment no contribution is taken.
    pub deadline: UnixSeconds,
    /// Until when key holders have to review, once collecting has ended.
    pub reviews_until: Option<UnixSeconds>,
    /// When the set was fixed, once that is certified.
    pub closed_at: Option<UnixSeconds>,
    /// Every site of the study, in ring order.
    pub sites: Vec<SiteRound>,
}

/// One site in one round.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SiteRound {
    /// Which.
    pub site: SiteId,
    /// Whether it holds keys in this round.
    pub holds_keys: bool,
    /// Whether it was barred before the round: it contributes nothing then.
    pub barred: bool,
    /// Its contribution, with a receipt.
    pub contributed: Step,
    /// Why the sum goes without that contribution, if it does.
    pub left_out: Option<ExclusionReason>,
    /// Whether the aggregator has lost bytes of the contribution and wants them again.
    pub wanted: bool,
    /// As key holder: its review.
    pub reviewed: Step,
    /// As key holder: its endorsement of the closing.
    pub endorsed: Step,
    /// As key holder: its opening.
    pub opened: Step,
    /// Its acknowledgement of what became of the sum.
    pub acknowledged: Step,
}

/// How a site stands with one step of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It has come.
    Done,
    /// It has not come, and may.
    Pending,
    /// It has not come, and its time is over.
    Late,
    /// It is not this site's, or not in this round.
    NotDue,
}

/// Whose turn it is to open a round that is not open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenTurn {
    /// The round.
    pub round: RoundNumber,
    /// Whose turn it is first.
    pub initiator: SiteId,
    /// From when that one may.
    pub since: UnixSeconds,
    /// The sites that have let their time pass, the initiator first; their successor may open the
    /// round, and so may they.
    pub late: Vec<SiteId>,
    /// Who may open it beside those that are late.
    pub now: SiteId,
    /// From when the next on the ring may, too.
    pub passes_at: UnixSeconds,
}

impl RoundOverview {
    /// Whether nothing more can come.
    fn is_complete(&self) -> bool {
        let acknowledged = |site: &SiteRound| site.acknowledged == Step::Done;
        self.state == RoundState::Aborted || self.sites.iter().all(acknowledged)
    }

    /// Whether the next round may be opened.
    fn is_over(&self, needed: u16) -> bool {
        let acknowledged = self.sites.iter().filter(|site| site.acknowledged == Step::Done);
        self.state == RoundState::Aborted || acknowledged.count() >= needed.into()
    }

    /// The sites whose next step may still come, with that step. Of endorsements, openings and
    /// acknowledgements not all are needed. After the deadline no contribution is taken.
    pub fn awaited(&self) -> Option<(&'static str, Vec<&SiteRound>)> {
        let (what, step): (_, fn(&SiteRound) -> Step) = match self.state {
            RoundState::Collecting => ("contributions", |site| site.contributed),
            RoundState::Reviewing => ("reviews", |site| site.reviewed),
            RoundState::Closed => ("endorsements", |site| site.endorsed),
            RoundState::Certified => ("openings", |site| site.opened),
            RoundState::Opened => ("acknowledgements", |site| site.acknowledged),
            RoundState::Aborted => return None,
        };
        let taken_late = self.state != RoundState::Collecting;
        let missing = |site: &&SiteRound| match step(site) {
            Step::Pending => true,
            Step::Late => taken_late,
            Step::Done | Step::NotDue => false,
        };
        let sites: Vec<_> = self.sites.iter().filter(missing).collect();
        (!sites.is_empty()).then_some((what, sites))
    }
}

/// How many rounds a study's training plan asks for.
fn planned_rounds(study: &Study) -> Option<u32> {
    let setting = study.training.settings().iter().find(|setting| setting.name == "rounds")?;
    setting.value.parse().ok()
}
