//! What the statements of each kind amount to, in sentences, where none of them is false.

use super::finding::{Check, Found};
use super::summary::Named;
use crate::round::{Round, RoundState};
use crate::signature::Signed;
use crate::statement::{Header, Outcome, Study, Subject};

/// A round whose statements were replayed, and the study in force in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replayed<'a> {
    pub(super) study: &'a Study,
    pub(super) round: &'a Round,
    /// Contributions that were announced.
    pub(super) announced: usize,
}

impl Replayed<'_> {
    /// What the statements of a kind show.
    pub(super) fn said(&self, check: Check) -> (Found, String) {
        match check {
            Check::Contributions => self.contributions(),
            Check::Receipts => self.receipts(),
            Check::Freeze => self.freeze(),
            Check::Reviews => self.reviews(),
            Check::Closing => self.closing(),
            Check::Certificate => self.certificate(),
            Check::Openings => self.openings(),
            Check::Disputes => self.disputes(),
            Check::Acknowledgements => self.acknowledgements(),
            Check::Budget => self.budget(),
            _ => (Found::Pending, "Not a check of the round's statements.".to_owned()),
        }
    }

    fn contributions(&self) -> (Found, String) {
        let (got, sites) = (self.announced, self.study.roster.len());
        proven(format!(
            "{got} of {sites} sites announced one contribution each, and signed the digest of its sealed body."
        ))
    }

    fn receipts(&self) -> (Found, String) {
        let (got, announced) = (self.round.received().count(), self.announced);
        proven(format!(
            "The aggregator signed that it has {got} of the {announced} contributions that were announced."
        ))
    }

    fn freeze(&self) -> (Found, String) {
        let Some(freeze) = self.round.freeze() else {
            return pending("Contributions were still taken: the list of them is not fixed.");
        };
        let listed = freeze.statement.contributions.len();
        proven(format!(
            "The aggregator signed one list of contributions; it has the {listed} that it had given receipts for, and no other."
        ))
    }

    fn reviews(&self) -> (Found, String) {
        let (got, holders) = (self.round.reviews().count(), self.study.threshold.holders);
        if got == 0 {
            return pending("No key holder has reviewed the list.");
        }
        proven(format!(
            "{got} of {holders} key holders signed what they found of the key shares that were dealt to them."
        ))
    }

    fn closing(&self) -> (Found, String) {
        let Some(closing) = self.round.closing() else {
            return pending("The set is not fixed: there is no closing.");
        };
        let closing = &closing.statement;
        if closing.is_abort() {
            return proven(
                "There is one closing, an abort: no set was fixed, so that nothing of the round is opened.".to_owned(),
            );
        }
        let (set, out) = (closing.included.len(), closing.excluded.len());
        let min = self.study.min_sites;
        let out = match out {
            0 => "nothing that was received is left out".to_owned(),
            1 => "one that was received is left out, with its reason".to_owned(),
            _ => format!("{out} that were received are left out, each with its reason"),
        };
        proven(format!(
            "There is one closing, over {set} contributions (at least {min} are needed); the set is what follows from the list and the reviews, and {out}."
        ))
    }

    fn certificate(&self) -> (Found, String) {
        let (got, needed) = (self.round.endorsed(), self.study.threshold.endorsements);
        let holders = self.study.threshold.holders;
        if self.round.certificate().is_none() {
            return pending(&format!(
                "{got} of {holders} key holders signed that this set is the only one, {needed} are needed: nothing may be opened."
            ));
        }
        proven(format!(
            "{got} of {holders} key holders signed that this set is the only one ({needed} are needed). No honest key holder signs two, and a second set would need {needed} others' signatures, too: while at most {} sites collude, there is no other certified set.",
            self.study.threshold.collusion
        ))
    }

    fn openings(&self) -> (Found, String) {
        let got = self.round.openings(Subject::Sum).count();
        let needed = self.study.threshold.opening;
        match self.round.state() {
            RoundState::Aborted => {
                proven("The round was aborted, and nothing was opened.".to_owned())
            }
            RoundState::Opened => proven(format!(
                "{got} key holders opened, once each, their share of the sum of the set's keys ({needed} suffice), and only after the set was certified."
            )),
            _ if got == 0 => pending("No key holder has opened anything."),
            _ => pending(&format!(
                "{got} key holders opened their share of the sum of the set's keys; with fewer than {needed} nobody can read the sum."
            )),
        }
    }

    fn disputes(&self) -> (Found, String) {
        let named = Named::all(self.round);
        if named.is_empty() {
            return proven("No site was named in a dispute.".to_owned());
        }
        let needed = self.study.threshold.endorsements;
        let of = |named: &super::summary::Named| {
            let sites: Vec<&str> = named.sites.iter().map(|site| site.as_str()).collect();
            let sites = if sites.is_empty() { "nobody".to_owned() } else { sites.join(", ") };
            match named.position {
                Some((block, coefficient)) => format!(
                    "dispute {} named {sites}, whose contribution broke the format at block {block}, coefficient {coefficient}",
                    named.dispute
                ),
                None => format!("{sites} sealed check words that are not those of the body"),
            }
        };
        let named: Vec<String> = named.iter().map(of).collect();
        proven(format!("At least {needed} key holders certified each: {}.", named.join("; ")))
    }

    fn acknowledgements(&self) -> (Found, String) {
        let applied = |outcome: &Outcome| matches!(outcome, Outcome::Applied { .. });
        let said = self.round.acknowledgements();
        let outcomes: Vec<bool> = said.map(|said| applied(&said.statement.outcome)).collect();
        let (all, took) = (outcomes.len(), outcomes.iter().filter(|took| **took).count());
        let needed = self.study.threshold.endorsements;
        if self.round.state() == RoundState::Aborted {
            return proven("The round was aborted: there is no sum to acknowledge.".to_owned());
        }
        if self.round.agreed_model().is_none() {
            return pending(&format!(
                "{all} sites said what became of the sum; one model has fewer than the {needed} acknowledgements that end a round."
            ));
        }
        proven(format!(
            "{took} of {all} sites that spoke applied the mean, and at least {needed} of them hold the same model."
        ))
    }

    fn budget(&self) -> (Found, String) {
        let Some(budget) = self.study.privacy.budget() else {
            return proven(
                "The study promises no differential privacy, and no header states a budget."
                    .to_owned(),
            );
        };
        let headers = self.round.received().map(|(_, header)| header);
        let spent = headers.filter_map(|header: &Signed<Header>| header.statement.spent);
        let most = spent.map(|spent| spent.epsilon).fold(0f32, f32::max);
        proven(format!(
            "Every header states what its site's data have spent so far: epsilon {most} at most, of {} (delta {}).",
            budget.epsilon, budget.delta
        ))
    }
}

fn proven(words: String) -> (Found, String) {
    (Found::Proven, words)
}

fn pending(words: &str) -> (Found, String) {
    (Found::Pending, words.to_owned())
}
