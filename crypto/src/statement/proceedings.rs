//! What was certified after a round's closing: who broke the format, and how the sum goes on
//! without them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::closing::Closing;
use super::dispute::DisputeError;
use super::study::Study;
use super::{DisputeCertificate, VerdictCertificate};
use crate::dealing::Trust;
use crate::id::{SiteId, VerdictId};
use crate::signature::Statement;

/// A certified dispute with its certified verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// Where the sum did not decode.
    pub dispute: DisputeCertificate,
    /// Whose coefficient is out of bounds there.
    pub verdict: VerdictCertificate,
}

/// All that was certified of a round after its closing, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proceedings {
    /// The verdict on wrong check words, if there is one.
    pub check_words: Option<VerdictCertificate>,
    /// The settled disputes, index 1 first.
    pub disputes: Vec<Settled>,
}

impl Proceedings {
    /// Checks every certificate, and that each dispute follows the verdict before it. The closing has
    /// been checked.
    ///
    /// # Errors
    /// [`DisputeError`] with the first thing that is wrong.
    pub fn check(&self, study: &Study, closing: &Closing) -> Result<(), DisputeError> {
        if let Some(verdict) = &self.check_words {
            verdict.check(study)?;
            verdict.statement.check(study, closing)?;
            if verdict.statement.dispute.is_some() {
                return Err(DisputeError::OutOfOrder { index: 0 });
            }
        }
        let mut after = None;
        let mut removed = BTreeSet::new();
        for (index, Settled { dispute, verdict }) in (1u16..).zip(&self.disputes) {
            dispute.check(study)?;
            verdict.check(study)?;
            dispute.statement.check(study, closing)?;
            verdict.statement.check(study, closing)?;
            let named = verdict.statement.dispute == Some(dispute.statement.id());
            let follows = dispute.statement.index == index && dispute.statement.after == after;
            // Nobody is taken out twice.
            let fresh = verdict.statement.sites.iter().all(|site| removed.insert(site.clone()));
            if !named || !follows || !fresh {
                return Err(DisputeError::OutOfOrder { index });
            }
            after = Some(verdict.statement.id());
        }
        Ok(())
    }

    /// The sites whose contributions are taken out of the sum.
    pub fn removed(&self) -> BTreeSet<SiteId> {
        let verdicts = self.disputes.iter().map(|settled| &settled.verdict.statement);
        verdicts.flat_map(|verdict| verdict.sites.iter().cloned()).collect()
    }

    /// The index of the next dispute.
    pub fn next_index(&self) -> u16 {
        u16::try_from(self.disputes.len() + 1).unwrap_or(u16::MAX)
    }

    /// The last verdict of a dispute.
    pub fn last_verdict(&self) -> Option<VerdictId> {
        self.disputes.last().map(|settled| settled.verdict.statement.id())
    }

    /// Trust after the round: that of its judgement, with everybody barred whom a verdict names.
    #[must_use]
    pub fn bar(&self, mut trust: Trust) -> Trust {
        let settled = self.disputes.iter().map(|settled| &settled.verdict);
        for verdict in self.check_words.iter().chain(settled) {
            trust.bar(&verdict.statement.sites.iter().cloned().collect());
        }
        trust
    }
}
