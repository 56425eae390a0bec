//! Contributing: encrypt, make durable, send; after a crash, send exactly the same bytes again.

mod clipping;
mod sealing;
mod send;

use std::path::PathBuf;

use ringfence_crypto::Digest;
use ringfence_crypto::api::EnvelopeFrame;
use ringfence_crypto::id::{ModelId, RoundNumber};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Header, HolderKeys, Manifest, PrivacyPolicy, Receipt, Study};
use ringfence_crypto::wire::frame;
use ringfence_keys::CryptoRng;
use ringfence_keys::duties::contributor::{Contributor, Record, RuleError};
use ringfence_keys::encrypt::contribution::{Contribution, ContributionContext};
use ringfence_keys::update::clipped::clipped;
use ringfence_keys::update::quantize::{IntegerUpdate, QuantizedUpdate};
use ringfence_keys::update::site_noise::parameters::SiteNoise;
use ringfence_keys::update::weigh::weigh;
use ringfence_weights::{Weights, hash_values};

pub use clipping::Clipping;
pub use sealing::Sealing;
use send::Way;

use crate::error::SiteError;
use crate::fingerprint::{Fingerprint, Likeness};
use crate::journal::{ContributionRecord, RoundJournal};
use crate::site::Site;
use crate::transport::TransportError;

/// A site that has joined a round and not yet contributed.
#[derive(Debug)]
pub struct Joined<'a> {
    pub(crate) site: &'a Site,
    pub(crate) manifest: Signed<Manifest>,
}

/// A site whose contribution to a round is made, and on its disk. It is the only one that it ever makes
/// to this round, whether it is sent or not.
#[derive(Debug)]
pub struct Prepared<'a> {
    site: &'a Site,
    manifest: Signed<Manifest>,
    journal: RoundJournal,
    record: ContributionRecord,
    clipping: Option<Clipping>,
    sealing: Sealing,
}

/// A site whose contribution has a receipt.
#[derive(Debug)]
pub struct Contributed<'a> {
    pub(crate) site: &'a Site,
    pub(crate) manifest: Signed<Manifest>,
    receipt: Signed<Receipt>,
    bytes: u64,
    clipping: Option<Clipping>,
    sealing: Sealing,
}

impl Site {
    /// Joins a round that was opened: its manifest is checked, and every round before it.
    ///
    /// # Errors
    /// [`SiteError`] when the manifest is not the study's next, or a round before it has no
    /// certificate.
    pub async fn join(&self, round: RoundNumber) -> Result<Joined<'_>, SiteError> {
        self.takes_part(round)?;
        self.help_if_behind().await?;
        let (manifest, answered) = tokio::join!(self.manifest(round), self.attend());
        let manifest = manifest?;
        answered?;
        self.see_round_keys_published().await?;
        Ok(Joined { site: self, manifest })
    }

    /// Refuses a model that no update may be contributed from, before anything is trained on it. A
    /// contribution to this round that is on disk already is sent again, whatever it started from.
    ///
    /// # Errors
    /// [`SiteError::Rule`] or [`SiteError::BaseModelNear`] for a model that is spent;
    /// [`SiteError::Journal`] when the state cannot be read.
    pub fn check_unspent(&self, round: RoundNumber, base: &Weights) -> Result<(), SiteError> {
        let records = self.journal.contributions()?;
        if records.iter().any(|record| (record.study, record.round) == (self.study_id, round)) {
            return Ok(());
        }
        Contributor::restore(records).may_start_from(crate::model::id(base))?;
        self.check_initial(base)
    }

    /// Refuses this study's initial model where it is one that this site contributed from in another
    /// study, as it was or changed a little.
    fn check_initial(&self, base: &Weights) -> Result<(), SiteError> {
        let id = crate::model::id(base);
        if id != self.study.initial_model {
            return Ok(());
        }
        for (spent, fingerprint) in self.journal.spent_models()? {
            let Record { study, round, base_model, .. } = spent;
            if self.is_this_study(study) {
                continue;
            }
            if base_model == id {
                return Err(RuleError::BaseModelSpent { study, round }.into());
            }
            let likeness = fingerprint.likeness(base);
            if likeness.is_near() {
                let Likeness { equal, of } = likeness;
                return Err(SiteError::BaseModelNear { study, round, equal, of });
            }
        }
        Ok(())
    }
}

impl<'a> Joined<'a> {
    /// The round's checked manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest.statement
    }

    /// Clips, weighs, quantizes, adds the study's noise, charges the privacy ledger, encrypts, makes
    /// durable and sends an update (values in layout order) that was computed from this base model.
    /// `sent` is shown the integers that are encrypted, in layout order.
    ///
    /// If a contribution to this round is on disk already, exactly that one is sent again.
    ///
    /// # Errors
    /// [`SiteError`] when the update does not fit, a rule of safety stands against it, or the
    /// aggregator refuses or cannot be reached (then run it again); [`SiteError::TooLate`], with
    /// nothing charged, when the round takes no contribution any more.
    pub async fn contribute(
        self,
        base_model: ModelId,
        update: &[f32],
        sent: impl FnOnce(&mut dyn Iterator<Item = u32>),
    ) -> Result<Contributed<'a>, SiteError> {
        self.prepare(base_model, update, sent).await?.send().await
    }

    /// Everything that [`Joined::contribute`] does before the first byte is sent. Nothing differs at
    /// this site whether the contribution is sent then or carried away in files: the one-time key is
    /// used, the ledger is charged, and the same bytes are sent whenever it contributes to this round.
    ///
    /// # Errors
    /// As [`Joined::contribute`], but for those of sending.
    pub async fn prepare(
        self,
        base_model: ModelId,
        update: &[f32],
        sent: impl FnOnce(&mut dyn Iterator<Item = u32>),
    ) -> Result<Prepared<'a>, SiteError> {
        let (site, round) = (self.site, self.manifest.statement.round);
        let journal = site.journal.round(site.study_id, round)?;
        let ((record, clipping), sealing) = match journal.contribution()? {
            Some(record) => ((record, None), Sealing::by_manifest(&self.manifest.statement)),
            None => {
                self.check_rules(base_model)?;
                site.agreed(round, base_model).await?;
                let holder_keys = site.resolve_holder_keys(&self.manifest.statement).await?;
                let sealing = Sealing::of(&self.manifest.statement, &holder_keys);
                // What is charged stays charged: not for a contribution that would be refused.
                site.check_in_time(&self.manifest.statement).await?;
                (self.make(&holder_keys, base_model, update, sent)?, sealing)
            }
        };
        Ok(Prepared { site, manifest: self.manifest, journal, record, clipping, sealing })
    }

    /// Refuses another update than the one of which a contribution to this round is on disk: that
    /// one would be sent again, and this one not. Answers whether it is on disk and known to be of
    /// this update; `None` where there is none.
    ///
    /// # Errors
    /// [`SiteError::OtherUpdate`]; [`SiteError::Journal`] when the state cannot be read.
    pub fn check_repeat(
        &self,
        base_model: ModelId,
        update: &[f32],
    ) -> Result<Option<bool>, SiteError> {
        let (site, round) = (self.site, self.manifest.statement.round);
        let Some(record) = site.journal.round(site.study_id, round)?.contribution()? else {
            return Ok(None);
        };
        let same = record.update.map(|known| known == update_digest(update));
        if record.base_model != base_model || same == Some(false) {
            return Err(SiteError::OtherUpdate { round, header: record.header.id() });
        }
        Ok(Some(same.is_some()))
    }

    /// Refuses a base model that is not the one this round starts from.
    ///
    /// # Errors
    /// [`SiteError::BaseModel`].
    pub fn check_base(&self, base_model: ModelId) -> Result<(), SiteError> {
        let manifest = &self.manifest.statement;
        if self.site.check_key()?.model(&base_model) != manifest.base_model {
            return Err(SiteError::BaseModel { round: manifest.round, got: base_model });
        }
        Ok(())
    }

    /// Refuses to start a study from a model that is one this site contributed from in another
    /// study, as it was or changed a little; and remembers this round's base model for the like.
    /// Within a study the base model is the one that Q sites have acknowledged, wherever it lies.
    ///
    /// # Errors
    /// [`SiteError::Rule`], [`SiteError::BaseModelNear`]; [`SiteError::Journal`] when the state cannot
    /// be read or written.
    pub fn check_origin(&self, base: &Weights) -> Result<(), SiteError> {
        let Site { study_id, journal, .. } = self.site;
        self.site.check_initial(base)?;
        let journal = journal.round(*study_id, self.manifest.statement.round)?;
        if journal.base_model()?.is_none() {
            let mut rng =
                ringfence_keys::system_rng().map_err(|e| SiteError::Randomness(e.to_string()))?;
            journal.save_base_model(&Fingerprint::of(base, &mut rng))?;
        }
        Ok(())
    }

    /// Refuses a site that is barred.
    pub(crate) fn check_trusted(&self) -> Result<(), SiteError> {
        let (site, round) = (self.site.id(), self.manifest.statement.round);
        if self.site.trust_before(round)?.bars(site) {
            return Err(SiteError::Barred { site: site.clone(), round });
        }
        Ok(())
    }

    /// The rules of safety, over everything that this site has on disk.
    pub(crate) fn check_rules(&self, base_model: ModelId) -> Result<(), SiteError> {
        self.check_base(base_model)?;
        self.check_trusted()?;
        let manifest = &self.manifest.statement;
        let Site { study_id, journal, .. } = self.site;
        let mut rules = Contributor::restore(journal.contributions()?);
        if let Some(abstention) = self.site.abstention()? {
            rules.abstain(*study_id, abstention);
        }
        rules.may_contribute(manifest, base_model)?;
        self.site.names_own_round_key(manifest)
    }

    /// Charges the ledger, encrypts and makes everything durable. Nothing has left yet.
    fn make(
        &self,
        holder_keys: &HolderKeys,
        base_model: ModelId,
        update: &[f32],
        sent: impl FnOnce(&mut dyn Iterator<Item = u32>),
    ) -> Result<(ContributionRecord, Option<Clipping>), SiteError> {
        let Site { study, identity, .. } = self.site;
        let mut rng =
            ringfence_keys::system_rng().map_err(|e| SiteError::Randomness(e.to_string()))?;
        let Study { layout, packing, .. } = &**study;
        if let PrivacyPolicy::SiteLevel(_) = study.privacy {
            let digest = update_digest(update);
            let values = SiteNoise::of(study)?.add(update, layout, packing, &mut rng)?;
            sent(&mut values.expose());
            let clipping = Clipping::of_whole(values.fate());
            let of = (base_model, digest);
            return Ok((self.encrypt(holder_keys, of, &values, &mut rng)?, clipping));
        }
        // Of the update as it came: what weighing takes off is no clipping.
        let clipping = clipped(update, layout).map(Clipping::Values);
        let of = (base_model, update_digest(update));
        let update = weigh(update, study, identity.site())?;
        let values = QuantizedUpdate::quantize(&update, layout, packing, &mut rng)?;
        sent(&mut values.expose().iter().copied());
        Ok((self.encrypt(holder_keys, of, &values, &mut rng)?, clipping))
    }

    fn encrypt(
        &self,
        holder_keys: &HolderKeys,
        (base_model, update): (ModelId, Digest),
        values: &impl IntegerUpdate,
        rng: &mut impl CryptoRng,
    ) -> Result<ContributionRecord, SiteError> {
        let Site { study, study_id, identity, journal, .. } = self.site;
        let check_key = self.site.check_key()?;
        let manifest = &self.manifest.statement;
        // Durable before the header that states it is signed.
        let spent = self.site.charge(manifest.round)?;
        let context =
            ContributionContext { study, manifest, holder_keys, identity, check_key, spent };
        journal.round(*study_id, manifest.round)?.contribute(|body| {
            let Contribution { header, envelopes } =
                Contribution::make(context, values, rng, body).map_err(SiteError::from)?;
            let envelopes =
                frame::encode(&EnvelopeFrame { envelopes }).map_err(TransportError::from)?;
            Ok::<_, SiteError>((
                envelopes,
                ContributionRecord { base_model, header, update: Some(update) },
            ))
        })
    }
}

/// The digest of an update's values, bit by bit in layout order.
fn update_digest(update: &[f32]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hash_values(&mut hasher, update);
    Digest::finish(&hasher)
}

impl<'a> Prepared<'a> {
    /// Sends it, or what the aggregator lacks of it.
    ///
    /// # Errors
    /// [`SiteError`] when the aggregator refuses or cannot be reached; then run it again.
    pub async fn send(self) -> Result<Contributed<'a>, SiteError> {
        self.send_by(Way::Whole).await
    }

    /// The same in steps, also if it is small: its header and envelopes, and then its body, which an
    /// aggregator keeps in a file of its own. For what plays a disk that damages files.
    ///
    /// # Errors
    /// As for [`Prepared::send`].
    pub async fn send_in_steps(self) -> Result<Contributed<'a>, SiteError> {
        self.send_by(Way::Steps).await
    }

    async fn send_by(self, way: Way) -> Result<Contributed<'a>, SiteError> {
        let Self { site, manifest, journal, record, clipping, sealing } = self;
        let (receipt, bytes) = site.send_by(&journal, &record, way).await?;
        Ok(Contributed { site, manifest, receipt, bytes, clipping, sealing })
    }

    /// The signed header.
    pub fn header(&self) -> &Signed<Header> {
        &self.record.header
    }

    /// The frame of envelopes.
    ///
    /// # Errors
    /// [`SiteError::Journal`] when it cannot be read.
    pub fn envelopes(&self) -> Result<Vec<u8>, SiteError> {
        Ok(self.journal.envelopes()?)
    }

    /// Where the body lies, which is the one that the header promises.
    ///
    /// # Errors
    /// [`SiteError::Journal`] when it is not, or cannot be read.
    pub fn body(&self) -> Result<PathBuf, SiteError> {
        self.journal.check_body(self.record.header.statement.body)?;
        Ok(self.journal.body())
    }

    /// What clipping took from the update; `None` also when the contribution was made earlier.
    pub fn clipping(&self) -> Option<&Clipping> {
        self.clipping.as_ref()
    }

    /// Holders that the shares could not be sealed to as they should be.
    pub fn sealing(&self) -> &Sealing {
        &self.sealing
    }
}

impl Contributed<'_> {
    /// The round.
    pub fn round(&self) -> RoundNumber {
        self.manifest.statement.round
    }

    /// The aggregator's receipt.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt.statement
    }

    /// What clipping took from the update; `None` also when the contribution was made earlier.
    pub fn clipping(&self) -> Option<&Clipping> {
        self.clipping.as_ref()
    }

    /// Holders that the shares could not be sealed to as they should be.
    pub fn sealing(&self) -> &Sealing {
        &self.sealing
    }

    /// Bytes of body and envelopes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
