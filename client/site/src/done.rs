//! A round that has ended: what it opened, what it showed, and acknowledging it.

use std::fmt;
use std::path::PathBuf;

use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{ManifestId, ModelId, RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{
    Certificate, ExclusionReason, Freeze, Outcome, Proceedings, Study,
};
use ringfence_keys::open::{Evidence, OpenedMean, OpenedSum};
use ringfence_keys::update::precision::Precision;
use ringfence_words::{counted, listed};
use serde::Serialize;

use crate::error::SiteError;
use crate::site::Site;

/// How a round ended.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one a round, and moved on at once")]
pub enum RoundEnd<'a> {
    /// A certified abort: nothing was opened, the base model stays.
    Aborted(Abort),
    /// The sum is open.
    Done(Done<'a>),
}

/// Why a round was aborted, and by whose word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Abort {
    /// The round.
    pub round: RoundNumber,
    /// Who had contributed in time; none where the certified list of them is not at hand.
    pub contributed: Option<Vec<SiteId>>,
    /// Fewest contributions that a sum is opened for.
    pub needed: u16,
    /// How many key holders had reviewed the contributions.
    pub reviews: usize,
    /// When the aggregator closed the round.
    pub closed_at: UnixSeconds,
    /// The key holders that have certified it.
    pub certified_by: Vec<SiteId>,
}

impl Abort {
    /// As a checked certificate says, and the list of contributions that it stands on.
    pub(crate) fn of(study: &Study, certificate: &Certificate, freeze: Option<&Freeze>) -> Self {
        let closing = &certificate.closing.statement;
        let freeze = freeze.filter(|freeze| freeze.id() == closing.freeze);
        let sites =
            |freeze: &Freeze| freeze.contributions.iter().map(|of| of.site.clone()).collect();
        let endorsements = certificate.endorsements.iter();
        Self {
            round: closing.round,
            contributed: freeze.map(sites),
            needed: study.min_sites,
            reviews: closing.reviews.len(),
            closed_at: closing.closed_at,
            certified_by: endorsements.map(|of| of.statement.holder.clone()).collect(),
        }
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { round, contributed, needed, reviews, closed_at, certified_by } = self;
        write!(f, "round {round} was aborted: ")?;
        match contributed {
            Some(sites) if sites.len() < usize::from(*needed) => {
                write!(f, "{} came in time", counted(sites.len() as u64, "contribution"))?;
                if !sites.is_empty() {
                    write!(f, " ({})", listed(sites))?;
                }
                write!(f, ", and a sum needs {needed}")
            }
            came => {
                if let Some(sites) = came {
                    write!(f, "of {} ", counted(sites.len() as u64, "contribution"))?;
                }
                write!(
                    f,
                    "fewer than the {needed} that a sum needs were left after {}",
                    counted(*reviews as u64, "review")
                )
            }
        }?;
        write!(
            f,
            "; the aggregator closed it so at {}, and the key holders {} certified it; nothing is opened, the model stays",
            closed_at.utc(),
            listed(certified_by)
        )
    }
}

/// An opened and checked round, before its mean is applied.
#[derive(Debug)]
pub struct Done<'a> {
    pub(crate) site: &'a Site,
    pub(crate) manifest: ManifestId,
    pub(crate) certificate: Certificate,
    /// The mean of the encrypted updates.
    pub opened: OpenedMean,
    /// The sums that it is the mean of, where the site keeps them.
    pub(crate) sums: Option<OpenedSum>,
    /// Why this site's own contribution is not in the set, if it made one and the closing says so.
    pub left_out: Option<ExclusionReason>,
    /// Holders whose openings could not be used, each with the reason.
    pub unusable: Vec<(SiteId, String)>,
    /// What was found out about others while the sum was checked.
    pub evidence: Vec<Evidence>,
    /// The file that keeps it, if there is any.
    pub evidence_file: PathBuf,
    /// What was certified of the round after its closing.
    pub proceedings: Proceedings,
    /// Trust after the round: who is barred, and which pairs contain a corrupt site.
    pub trust: Trust,
    /// Trust before it.
    pub trust_before: Trust,
    /// The file that keeps the reviews, if trust has changed by them.
    pub reviews_file: Option<PathBuf>,
}

impl Done<'_> {
    /// The round.
    pub fn round(&self) -> RoundNumber {
        self.certificate.closing.statement.round
    }

    /// The mean update, in layout order, weighted as the study says.
    pub fn mean(&self) -> Vec<f32> {
        self.site.study.weighting.weighted(self.opened.mean().to_vec(), self.places())
    }

    /// The same, taken out of what was opened: a large mean is needed once.
    pub fn take_mean(&mut self) -> Vec<f32> {
        let mean = self.opened.take_mean();
        self.site.study.weighting.weighted(mean, self.places())
    }

    /// How precise the mean is, over the sites that are in it.
    pub fn precision(&self) -> Precision {
        Precision::of(&self.site.study, self.places())
    }

    /// The sites that the mean is over: the set, less those who broke the format.
    pub fn sites(&self) -> impl Iterator<Item = &SiteId> + Clone {
        let removed = self.proceedings.removed();
        let included = self.certificate.closing.statement.included.iter();
        included.map(|entry| &entry.site).filter(move |site| !removed.contains(*site))
    }

    /// Their places in the roster.
    fn places(&self) -> impl Iterator<Item = usize> + Clone {
        self.sites().filter_map(|site| self.site.study.position(site))
    }

    /// The sums that the mean is of, where the site keeps them ([`Site::keeping_sums`]).
    pub fn sums(&self) -> Option<&OpenedSum> {
        self.sums.as_ref()
    }

    /// The certificate of the opened set.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Says which model this site holds now. A site goes on only once Q sites say the same.
    ///
    /// # Errors
    /// [`SiteError`] when the aggregator refuses or cannot be reached.
    pub async fn acknowledge(self, model: ModelId) -> Result<(), SiteError> {
        let outcome = Outcome::Applied { model: self.site.check_key()?.model(&model) };
        self.site.acknowledge(self.manifest, &self.certificate, outcome).await?;
        let closing = &self.certificate.closing;
        self.site.settle_if_agreed(closing.statement.round, closing.id()).await?;
        self.site.destroyed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abort_says_which_round_why_and_by_whose_word() {
        let site = |name: &str| name.parse::<SiteId>().unwrap();
        let abort = |contributed: Option<&[&str]>, reviews| Abort {
            round: RoundNumber(3),
            contributed: contributed.map(|names| names.iter().map(|name| site(name)).collect()),
            needed: 2,
            reviews,
            closed_at: UnixSeconds(1_800_000_000),
            certified_by: vec![site("a"), site("c")],
        };
        let by = "; the aggregator closed it so at 2027-01-15 08:00:00 UTC, and the key holders a, c certified it; nothing is opened, the model stays";
        for (contributed, reviews, why) in [
            (Some(&["b"][..]), 0, "1 contribution came in time (b), and a sum needs 2"),
            (Some(&[]), 0, "0 contributions came in time, and a sum needs 2"),
            (
                Some(&["a", "b", "c"]),
                1,
                "of 3 contributions fewer than the 2 that a sum needs were left after 1 review",
            ),
            (None, 0, "fewer than the 2 that a sum needs were left after 0 reviews"),
        ] {
            let said = abort(contributed, reviews).to_string();
            assert_eq!(said, format!("round 3 was aborted: {why}{by}"));
        }
    }
}
