//! Statements that hold once Q key holders have endorsed the same one.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::study::Study;
use crate::digest::Digest;
use crate::id::{RoundNumber, SiteId};
use crate::signature::{SignatureError, Signed, Statement};
use crate::wire::canonical::Canonical;

/// A statement that the key holders of a round certify.
pub trait Certifiable: Statement + Clone + fmt::Debug + PartialEq {
    /// Label of an endorsement of it.
    const ENDORSEMENT: &'static str;

    /// The round whose holders certify it.
    fn round(&self) -> RoundNumber;
}

/// A holder's endorsement of a statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, bound(deserialize = "S: DeserializeOwned"))]
pub struct Endorses<S> {
    /// What is endorsed.
    pub statement: S,
    /// Who endorses.
    pub holder: SiteId,
}

impl<S: Canonical> Canonical for Endorses<S> {
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { statement, holder } = self;
        statement.encode(out);
        holder.encode(out);
    }
}

impl<S: Certifiable> Statement for Endorses<S> {
    const LABEL: &'static str = S::ENDORSEMENT;
    type Id = Digest;
}

/// A statement with the endorsements of Q different holders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, bound(deserialize = "S: Certifiable"))]
#[serde(bound(serialize = "S: Certifiable"))]
pub struct Quorum<S: Certifiable> {
    /// What is certified.
    pub statement: S,
    /// Endorsements of it.
    pub endorsements: Vec<Signed<Endorses<S>>>,
}

/// Endorsements that certify nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// An endorsement of something else, by no holder, or a second one.
    #[error(
        "an endorsement by {0} is of another {1}, by no key holder of the round, or stands twice"
    )]
    Endorsement(SiteId, &'static str),
    /// Too few endorsements.
    #[error(
        "the {what} of round {round} has {got} endorsements, needed {needed}: too few key holders answered"
    )]
    TooFew {
        /// Label of the statement.
        what: &'static str,
        /// The round.
        round: RoundNumber,
        /// Q.
        needed: u16,
        /// Endorsements that came.
        got: usize,
    },
    /// Signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl<S: Certifiable> Quorum<S> {
    /// Checks that Q different key holders of the statement's round endorse exactly this statement.
    ///
    /// # Errors
    /// [`QuorumError`] with the first thing that is wrong.
    pub fn check(&self, study: &Study) -> Result<(), QuorumError> {
        let round = self.statement.round();
        let mut endorsed = BTreeSet::new();
        for endorsement in &self.endorsements {
            let Endorses { statement, holder } = &endorsement.statement;
            let refuse = || QuorumError::Endorsement(holder.clone(), S::LABEL);
            let offset = study.holder_offset(round, holder).ok_or_else(refuse)?;
            if *statement != self.statement || !endorsed.insert(offset) {
                return Err(refuse());
            }
            let site = study.site(holder).ok_or_else(refuse)?;
            endorsement.verify(&site.signature_key, holder)?;
        }
        let (needed, got) = (study.threshold.endorsements, endorsed.len());
        if got < usize::from(needed) {
            return Err(QuorumError::TooFew { what: S::LABEL, round, needed, got });
        }
        Ok(())
    }

    /// The certificate that these endorsements by different holders make of the statement that at
    /// least `needed` of them share, if there is one.
    pub fn of<'a>(
        endorsements: impl Iterator<Item = &'a Signed<Endorses<S>>> + Clone,
        needed: u16,
    ) -> Option<Self>
    where
        S: 'a,
    {
        let share = |statement: &S| {
            let same = endorsements.clone().filter(|e| e.statement.statement == *statement);
            same.cloned().collect::<Vec<_>>()
        };
        // At most m of them: more than half agree, or there is none.
        endorsements.clone().find_map(|first| {
            let statement = first.statement.statement.clone();
            let endorsements = share(&statement);
            (endorsements.len() >= usize::from(needed)).then_some(Self { statement, endorsements })
        })
    }
}
