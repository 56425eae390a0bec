//! Contributing: encrypt, make durable, send; after a crash, send exactly the same bytes again.

use ringfence_crypto::Digest;
use ringfence_crypto::statement::{HolderKeys, Manifest, Receipt, Signed, WeightPolicy};
use ringfence_crypto::wire::frame;
use ringfence_crypto::wire::message::EnvelopeFrame;
use ringfence_keys::contribution::{Contribution, ContributionContext, Contributor};
use ringfence_keys::quantize::QuantizedUpdate;

use super::journal::ContributionRecord;
use super::{Site, SiteError};
use crate::model::{self, Clipped};

/// A site that has joined a round and not yet contributed.
#[derive(Debug)]
pub struct Joined<'a> {
    pub(super) site: &'a Site,
    pub(super) manifest: Signed<Manifest>,
}

/// A site whose contribution has a receipt.
#[derive(Debug)]
pub struct Contributed<'a> {
    pub(super) site: &'a Site,
    pub(super) manifest: Signed<Manifest>,
    receipt: Signed<Receipt>,
    bytes: u64,
    clipped: Option<Clipped>,
}

impl<'a> Joined<'a> {
    /// The round's checked manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest.statement
    }

    /// Quantizes, encrypts, makes durable and sends an update (values in layout order) that was
    /// computed from the base model with this digest. `quantized` is shown the integers.
    ///
    /// If a contribution to this round is on disk already, exactly that one is sent again.
    ///
    /// # Errors
    /// [`SiteError`] when the update does not fit, a rule of safety stands against it, or the
    /// aggregator refuses or cannot be reached (then run it again).
    pub async fn contribute(
        self,
        base_model: &Digest,
        update: &[f32],
        quantized: impl FnOnce(&QuantizedUpdate),
    ) -> Result<Contributed<'a>, SiteError> {
        let (site, round) = (self.site, self.manifest.statement.round);
        let journal = site.journal.round(site.digest, round)?;
        let (record, clipped) = match journal.contribution()? {
            Some(record) => (record, None),
            None => {
                self.check_rules(base_model)?;
                site.agreed(round, base_model).await?;
                let holder_keys = site.resolve_holder_keys(&self.manifest.statement).await?;
                self.make(&holder_keys, base_model, update, quantized)?
            }
        };
        let at = site.at(round);
        let envelopes = journal.envelopes()?;
        let bytes = record.header.statement.body_bytes + envelopes.len() as u64;
        let mut progress = at.put_header(&record.header).await?;
        if !progress.envelopes {
            progress = at.put_envelopes(site.id(), envelopes).await?;
        }
        let receipt = match progress.receipt {
            Some(receipt) => receipt,
            None => {
                let progress = at.put_body(site.id(), &journal.body()).await?;
                progress.receipt.ok_or(SiteError::Receipt(round))?
            }
        };
        receipt.verify(&site.study.aggregator_key, &"the aggregator")?;
        let Receipt { manifest, site: of_site, header, received_at: _ } = &receipt.statement;
        if *manifest != self.manifest.digest()
            || of_site != site.id()
            || *header != record.header.digest()
        {
            return Err(SiteError::Receipt(round));
        }
        journal.save_receipt(&receipt)?;
        Ok(Contributed { site, manifest: self.manifest, receipt, bytes, clipped })
    }

    /// Refuses a base model that is not the one this round starts from.
    ///
    /// # Errors
    /// [`SiteError::BaseModel`].
    pub fn check_base(&self, base_model: &Digest) -> Result<(), SiteError> {
        let manifest = &self.manifest.statement;
        match self.site.check_key.model(base_model) == manifest.base_model {
            true => Ok(()),
            false => Err(SiteError::BaseModel { round: manifest.round, got: *base_model }),
        }
    }

    /// The rules of safety, over everything that this site has on disk.
    fn check_rules(&self, base_model: &Digest) -> Result<(), SiteError> {
        self.check_base(base_model)?;
        let Site { digest, journal, .. } = self.site;
        let mut rules = Contributor::restore(journal.contributions()?);
        if let Some(through) = journal.abstains_through(*digest)? {
            rules.abstain(*digest, through);
        }
        Ok(rules.may_contribute(*digest, self.manifest.statement.round, *base_model)?)
    }

    /// Encrypts and makes everything durable. Nothing has left yet.
    fn make(
        &self,
        holder_keys: &HolderKeys,
        base_model: &Digest,
        update: &[f32],
        quantized: impl FnOnce(&QuantizedUpdate),
    ) -> Result<(ContributionRecord, Option<Clipped>), SiteError> {
        let Site { study, digest, identity, check_key, journal, .. } = self.site;
        let manifest = &self.manifest.statement;
        let round = manifest.round;
        let mut rng =
            ringfence_keys::system_rng().map_err(|e| SiteError::Randomness(e.to_string()))?;
        let factor = study.weights.factor(study.position(identity.site()).unwrap_or_default());
        let weighted: Vec<f32>;
        let update = match study.weights {
            WeightPolicy::Equal => update,
            WeightPolicy::SampleCounts(_) => {
                let scale = |value: &f32| (f64::from(*value) * factor) as f32;
                weighted = update.iter().map(scale).collect();
                &weighted
            }
        };
        let values = QuantizedUpdate::quantize(update, &study.layout, &study.packing, &mut rng)?;
        quantized(&values);
        let clipped = model::clipped(update, &study.layout);
        let context = ContributionContext { study, manifest, holder_keys, identity, check_key };
        let record = journal.round(*digest, round)?.contribute(|body| {
            let Contribution { header, envelopes } =
                Contribution::make(context, &values, &mut rng, body).map_err(SiteError::from)?;
            let envelopes =
                frame::encode(&EnvelopeFrame { envelopes }).map_err(super::TransportError::from)?;
            Ok::<_, SiteError>((envelopes, ContributionRecord { base_model: *base_model, header }))
        })?;
        Ok((record, clipped))
    }
}

impl Contributed<'_> {
    /// The aggregator's receipt.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt.statement
    }

    /// What clipping took from the update; `None` also when the contribution was made earlier.
    pub fn clipped(&self) -> Option<&Clipped> {
        self.clipped.as_ref()
    }

    /// Bytes of body and envelopes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
