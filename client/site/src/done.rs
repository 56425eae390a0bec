//! A round that has ended: what it opened, what it showed, and acknowledging it.

use std::path::PathBuf;

use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{ManifestId, ModelId, SiteId};
use ringfence_crypto::statement::{Certificate, ExclusionReason, Outcome, Proceedings};
use ringfence_keys::open::{Evidence, OpenedMean, OpenedSum};
use ringfence_keys::update::precision::Precision;

use crate::error::SiteError;
use crate::site::Site;

/// How a round ended.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one a round, and moved on at once")]
pub enum RoundEnd<'a> {
    /// A certified abort: nothing was opened, the base model stays.
    Aborted,
    /// The sum is open.
    Done(Done<'a>),
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
    /// The mean update, in layout order, weighted as the study says.
    pub fn mean(&self) -> Vec<f32> {
        self.site.study.weighting.weighted(self.opened.mean().to_vec(), self.places())
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
        let outcome = Outcome::Applied { model: self.site.check_key.model(&model) };
        self.site.acknowledge(self.manifest, &self.certificate, outcome).await?;
        let closing = &self.certificate.closing;
        self.site.settle_if_agreed(closing.statement.round, closing.id()).await
    }
}
