//! Disputes and verdicts: what is certified of them, and what is opened under that.

use ringfence_crypto::id::SiteId;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{
    Dispute, DisputeCertificate, Subject, Verdict, VerdictCertificate,
};

use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;

impl LiveRound {
    /// The certified dispute with an index.
    pub(crate) fn certified_dispute(&self, index: u16) -> Result<DisputeCertificate, Refusal> {
        let certified = self.read().certified_dispute(index);
        certified.ok_or_else(|| self.uncertified(Dispute::LABEL, index))
    }

    /// The certified verdict of the dispute with an index; on check words with index 0.
    pub(crate) fn certified_verdict(&self, index: u16) -> Result<VerdictCertificate, Refusal> {
        let certified = self.read().verdict(index);
        certified.ok_or_else(|| self.uncertified(Verdict::LABEL, index))
    }

    /// What holders open under the certified dispute with an index.
    pub(crate) fn functionals(&self, index: u16) -> Result<Subject, Refusal> {
        let dispute = self.certified_dispute(index)?.statement.id();
        Ok(Subject::Functionals { dispute })
    }

    /// What holders open under the certified verdict with an index.
    pub(crate) fn keys(&self, index: u16) -> Result<Subject, Refusal> {
        if index == 0 {
            return Err(Refusal::missing(
                "nothing is opened under the verdict on check words (index 0): the mean stays over the whole set",
            ));
        }
        let verdict = self.certified_verdict(index)?.statement.id();
        Ok(Subject::Keys { verdict })
    }

    /// Refuses a verdict that is put under another index than that of its dispute. One whose dispute
    /// is not certified the round refuses.
    pub(crate) fn same_verdict_index(&self, path: u16, verdict: &Verdict) -> Result<(), Refusal> {
        match self.read().verdict_index(verdict) {
            Some(stated) => same_index(path, stated),
            None => Ok(()),
        }
    }

    /// Why there is no certificate with an index.
    fn uncertified(&self, what: &str, index: u16) -> Refusal {
        let threshold = &self.served.study.threshold;
        let (holders, collusion) = (threshold.holders, threshold.collusion);
        if !threshold.names() {
            return Refusal::missing(format!(
                "this study has no disputes: naming a culprit needs m >= 3c + l key holders, and it has m = {holders}"
            ));
        }
        let first = u16::from(what == Dispute::LABEL);
        if !(first..=collusion).contains(&index) {
            return Refusal::missing(format!(
                "there is no {what} {index}: expected an index from {first} to c = {collusion}"
            ));
        }
        let status = self.status();
        let came = status.disputes.iter().find(|known| known.index == index);
        let came = came.map_or(0, |known| match first {
            0 => known.judging.len(),
            _ => known.disputing.len(),
        });
        Refusal::missing(format!(
            "{what} {index} of round {} is not certified: {} endorsements of the same one are needed, {came} came; ask again later",
            status.round, status.endorsements_needed
        ))
    }
}

/// Refuses a statement that is put under another index than its own.
pub(crate) fn same_index(path: u16, stated: u16) -> Result<(), Refusal> {
    match path == stated {
        true => Ok(()),
        false => Err(Refusal::message(format!(
            "the path names index {path}, the statement is of index {stated}; put it under its own"
        ))),
    }
}

/// Refuses an opening that is put under another subject than its own.
pub(crate) fn same_subject(holder: &SiteId, path: Subject, stated: Subject) -> Result<(), Refusal> {
    match path == stated {
        true => Ok(()),
        false => Err(Refusal::message(format!(
            "the opening of {holder} is of {}, the path is for {}; put it under its own",
            named(stated),
            named(path)
        ))),
    }
}

/// What a subject is, for a message.
pub(crate) fn named(subject: Subject) -> String {
    match subject {
        Subject::Sum => "the sum of the keys".to_owned(),
        Subject::Functionals { dispute } => format!("the functionals of dispute {dispute}"),
        Subject::Keys { verdict } => format!("the keys under verdict {verdict}"),
    }
}
