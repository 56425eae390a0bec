//! What the audits found: a table, and the same as JSON.

use serde::Serialize;

use super::audit::{Audit, DELTA, Outcome, Setting, View};
use super::checks::{Check, Checkup, FALSE_ALARMS};
use super::faulty::Fault;
use super::statistics::{binomial, quantile};

/// Share of the reported epsilon that a white box must reach where an ideal attack does.
const SHARP: f64 = 0.6;
/// Runs from which on this is asked: the median of few is too uncertain.
const ENOUGH: usize = 50;
/// How often a planted fault must be found, beforehand and in fact.
const POWER: f64 = 0.9;

/// One line of the table.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// What was trained, and how it was looked at.
    audit: String,
    /// Whom epsilon is for.
    unit: &'static str,
    /// What is reported for the declared options, in nats, and its delta.
    epsilon: f64,
    delta: f64,
    /// Lower bounds of the runs, by the whole curve; none of checks.
    bound: Option<Bound>,
    /// What the line asks for: the bound's median, or how often something is found.
    predicted: f64,
    observed: f64,
    /// Whether that is a bound.
    #[serde(skip)]
    asks_bound: bool,
    runs: usize,
    /// Whether it is as it should be.
    holds: bool,
    verdict: &'static str,
}

/// Lower bounds on epsilon over the runs.
#[derive(Debug, Serialize)]
struct Bound {
    median: f64,
    /// The range of 95 % of the runs.
    low: f64,
    high: f64,
    /// Median by one epsilon and delta alone.
    one_pair: f64,
    /// Share of the runs with a bound of at most the reported epsilon.
    within: f64,
}

impl Bound {
    fn of(outcomes: &[Outcome], epsilon: f64) -> Self {
        let bounds: Vec<f64> = outcomes.iter().map(|outcome| outcome.bound).collect();
        let one_run: Vec<f64> = outcomes.iter().map(|outcome| outcome.one_run).collect();
        Self {
            median: quantile(&bounds, 0.5),
            low: quantile(&bounds, 0.025),
            high: quantile(&bounds, 0.975),
            one_pair: quantile(&one_run, 0.5),
            within: 1.0 - beyond(outcomes, epsilon),
        }
    }
}

/// Share of the outcomes whose bound is above this epsilon.
pub(super) fn beyond(outcomes: &[Outcome], epsilon: f64) -> f64 {
    // A bound is one of the levels, of which one is the declared epsilon to rounding.
    let above = outcomes.iter().filter(|outcome| outcome.bound > epsilon * (1.0 + 1e-6));
    above.count() as f64 / outcomes.len().max(1) as f64
}

impl Row {
    /// Training without noise: every run must show that the declared epsilon does not hold.
    pub(super) fn control(audit: &Audit, outcomes: &[Outcome]) -> Self {
        let observed = beyond(outcomes, audit.family.declared);
        let holds = observed >= 1.0;
        let verdict = if holds { "found" } else { "NOT found: the audit proves nothing" };
        Self {
            audit: format!("control without noise: {}", audit.setting.name),
            predicted: 1.0,
            observed,
            holds,
            verdict,
            ..Self::of_bounds(audit, outcomes)
        }
    }

    /// The shipped trainer: its bounds are within the reported epsilon, and those of a white box
    /// near it where the bounds of ideal attacks, `predicted`, say that they can be.
    pub(super) fn shipped(
        audit: &Audit,
        outcomes: &[Outcome],
        predicted: &[Outcome],
        confidence: f64,
    ) -> Self {
        let epsilon = audit.family.declared;
        let (bound, ideal) = (Bound::of(outcomes, epsilon), Bound::of(predicted, epsilon).median);
        let asked = audit.setting.view == View::White
            && ideal >= SHARP * epsilon
            && outcomes.len() >= ENOUGH;
        let sharp = !asked || bound.median >= SHARP * epsilon;
        let (holds, verdict) = match (bound.within >= confidence, sharp, asked) {
            (false, _, _) => (false, "BROKEN: bounds are above the reported epsilon"),
            (true, false, _) => (false, "holds, but the attack is WEAKER than theory allows"),
            (true, true, true) => (true, "holds; bound at least 0.6 of epsilon"),
            (true, true, false) => (true, "holds"),
        };
        let (predicted, observed) = (ideal, bound.median);
        let audit_name = audit.setting.name.to_owned();
        let row = Self::of_bounds(audit, outcomes);
        let asks_bound = true;
        Self { audit: audit_name, predicted, observed, asks_bound, holds, verdict, ..row }
    }

    /// A check of the shipped trainer: how often it is found faulty, of so many runs.
    pub(super) fn false_alarms(
        checkup: &Checkup,
        check: Check,
        alarms: usize,
        runs: usize,
    ) -> Self {
        // One of a thousand such rows has more by chance.
        let by_chance: f64 = binomial(runs, FALSE_ALARMS).iter().skip(alarms).sum();
        let holds = by_chance > 1e-3;
        let verdict = if holds { "no more than by chance" } else { "BROKEN: found faulty" };
        Self {
            audit: format!("false alarms: {check}"),
            predicted: FALSE_ALARMS,
            observed: alarms as f64 / runs.max(1) as f64,
            holds,
            verdict,
            ..Self::of_checks(checkup, runs)
        }
    }

    /// A fault that bounds above epsilon find, with the power that was computed beforehand.
    pub(super) fn bounded(audit: &Audit, fault: Fault, outcomes: &[Outcome], power: f64) -> Self {
        let observed = beyond(outcomes, audit.family.declared);
        Self::of_bounds(audit, outcomes).planted(fault, power, observed)
    }

    /// A fault that a check has found in so many of the runs.
    pub(super) fn checked(
        checkup: &Checkup,
        fault: Fault,
        (found, runs): (usize, usize),
        power: f64,
    ) -> Self {
        let observed = found as f64 / runs.max(1) as f64;
        Self::of_checks(checkup, runs).planted(fault, power, observed)
    }

    fn planted(self, fault: Fault, predicted: f64, observed: f64) -> Self {
        let holds = predicted >= POWER && observed >= POWER;
        let verdict = match (holds, predicted >= POWER) {
            (true, _) => "found",
            (false, true) => "NOT found as often as computed",
            (false, false) => "NOT found: the audit is too small",
        };
        let audit = format!("planted: {fault}");
        Self { audit, predicted, observed, holds, verdict, ..self }
    }

    /// Whether it is as it should be.
    pub(super) fn holds(&self) -> bool {
        self.holds
    }

    /// The line in words, for an error.
    pub(super) fn said(&self) -> String {
        format!("{}: {}", self.audit, self.verdict)
    }

    fn of_bounds(audit: &Audit, outcomes: &[Outcome]) -> Self {
        let bound = Bound::of(outcomes, audit.family.declared);
        let row = Self::empty(&audit.setting, audit.family.declared, outcomes.len());
        Self { bound: Some(bound), ..row }
    }

    fn of_checks(checkup: &Checkup, runs: usize) -> Self {
        Self::empty(&checkup.setting, checkup.declared, runs)
    }

    fn empty(setting: &Setting, epsilon: f64, runs: usize) -> Self {
        Self {
            audit: String::new(),
            unit: setting.unit(),
            epsilon,
            delta: DELTA,
            bound: None,
            predicted: 0.0,
            observed: 0.0,
            asks_bound: false,
            runs,
            holds: false,
            verdict: "",
        }
    }
}

/// The table, as wide as its longest name.
pub(super) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.audit.len()).max().unwrap_or(0);
    let line = |cells: [String; 9]| {
        let [audit, unit, epsilon, bound, pair, within, predicted, observed, verdict] = cells;
        format!(
            "{audit:<width$}  {unit:<7}  {epsilon:>7}  {bound:>18}  {pair:>8}  {within:>7}  \
             {predicted:>9}  {observed:>8}  {verdict}\n"
        )
    };
    let head = ["audit", "unit", "epsilon", "bound (95 %)", "one pair", "within"];
    let head = head.into_iter().chain(["predicted", "observed", "verdict"]);
    let mut cells = head.map(String::from);
    let mut table = line(std::array::from_fn(|_| cells.next().unwrap_or_default()));
    for row in rows {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let (range, pair, within) = match &row.bound {
            None => Default::default(),
            Some(bound) => {
                let Bound { median, low, high, one_pair, within } = bound;
                let range = format!("{median:.2} ({low:.2}-{high:.2})");
                (range, format!("{one_pair:.2}"), percent(*within))
            }
        };
        let cell = |value: f64| if row.asks_bound { format!("{value:.2}") } else { percent(value) };
        let epsilon = format!("{:.2}", row.epsilon);
        let (unit, verdict) = (row.unit.to_owned(), row.verdict.to_owned());
        let (predicted, observed) = (cell(row.predicted), cell(row.observed));
        let audit = row.audit.clone();
        table += &line([audit, unit, epsilon, range, pair, within, predicted, observed, verdict]);
    }
    table
}
