//! A whole round in memory, for measuring its parts: real keys, real statements, no network.
//!
//! [`schemes`] compares it with what others do.

use std::sync::Arc;

use anyhow::Context;
use ed25519_dalek::SigningKey;
use ringfence_crypto::Digest;
use ringfence_crypto::ring::words::add_words;
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::log::{LogEntry, StudyLog};
use ringfence_crypto::signature::{PublicKey, Statement, sign};
use ringfence_crypto::statement::{Certificate, Closing, Endorsement, HolderKeys, Included, Manifest, Study, Weighting};
use ringfence_crypto::api::OpeningFrame;
use ringfence_keys::encrypt::check::CheckKey;
use ringfence_keys::encrypt::contribution::{Contribution, ContributionContext};
use ringfence_keys::study::draft::StudyDraft;
use ringfence_keys::duties::holder::{Holder, open_share_sum};
use ringfence_keys::share::envelope::open_envelope;
use ringfence_keys::identity::Identity;
use ringfence_keys::open::{OpenedMean, OpenedSum, OpeningContext, unseal};
use ringfence_keys::update::quantize::QuantizedUpdate;
use ringfence_keys::share::reconstruct::KeySum;

pub mod constant_time;
pub mod machine;
pub mod schemes;
pub mod targets;
pub mod training;

/// A study with its identities, and one finished round.
pub struct FinishedRound {
    /// The study.
    pub study: Arc<Study>,
    /// The manifest of round 0.
    pub manifest: Manifest,
    /// Every site's keys, in ring order.
    pub identities: Vec<Identity>,
    /// The study's check key.
    pub check_key: CheckKey,
    /// One site's quantized update.
    pub update: QuantizedUpdate,
    /// One site's body.
    pub body: Vec<u8>,
    /// The sum of all bodies.
    pub sum: Vec<u8>,
    /// The plain sum, which an opening must give.
    pub plain: Vec<u64>,
    /// Digest of the certified closing.
    pub closing: Digest,
    /// Every holder's opening.
    pub openings: Vec<OpeningFrame>,
}

impl FinishedRound {
    /// Runs a round of `sites` sites with `parameters` 16-bit values.
    ///
    /// # Errors
    /// When any step fails; nothing is measured then.
    pub fn run(sites: usize, parameters: u32) -> anyhow::Result<Self> {
        let values: Vec<f32> = (0..parameters).map(|k| (k % 1000) as f32 / 1000.0 - 0.5).collect();
        Self::of(&vec![values; sites], 16, 0.5)
    }

    /// Runs a round over one update for each site, of `bits`-bit values clipped to `[-clip, clip]`.
    ///
    /// # Errors
    /// When any step fails; nothing is measured then.
    pub fn of(updates: &[Vec<f32>], bits: u8, clip: f32) -> anyhow::Result<Self> {
        let sites = updates.len();
        let parameters = u32::try_from(updates.first().context("no sites")?.len())?;
        let mut rng = ringfence_keys::system_rng()?;
        let identities = (0..sites)
            .map(|k| Ok(Identity::generate(format!("site-{k}").parse()?, &mut rng)?))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let aggregator = SigningKey::from_bytes(&[7; 32]);
        let tensor = TensorLayout { name: "w".into(), shape: vec![parameters], clip };
        let study = StudyDraft {
            name: "bench".into(),
            created_at: 0,
            roster: identities.iter().map(Identity::public).collect(),
            aggregator_key: PublicKey::from(aggregator.verifying_key()),
            threshold: None,
            min_sites: None,
            value_bits: bits,
            layout: Layout { tensors: vec![tensor] },
            initial_model: Digest::of(b"bench"),
            weights: WeightPolicy::Equal,
            min_round_seconds: 1,
            review_seconds: 1,
            initiator_timeout_seconds: 1,
        }
        .into_study(&mut rng)?;
        let study = Arc::new(study);
        let first = identities.first().context("no sites")?;
        let manifest = Manifest {
            study: study.digest(),
            round: 0,
            initiator: first.site().clone(),
            opened_at: 0,
            deadline: 10,
            holders: study.holders(0).map(|site| site.id.clone()).collect(),
            holder_keys: vec![None; study.threshold.holders.into()],
            base_model: Digest::of(b"bench"),
            previous: None,
        };
        let check_key = first.check_key(&study)?;
        let holder_keys = HolderKeys::resolve(&study, &manifest, &[])?;

        let mut contributions = Vec::new();
        let mut sum = vec![0; usize::try_from(study.body_bytes()?)?];
        let mut plain = vec![0; parameters as usize];
        let (mut update, mut body) = (None, Vec::new());
        for (identity, values) in identities.iter().zip(updates) {
            let quantized =
                QuantizedUpdate::quantize(values, &study.layout, &study.packing, &mut rng)?;
            body = Vec::with_capacity(sum.len());
            let context = ContributionContext {
                study: &study,
                manifest: &manifest,
                holder_keys: &holder_keys,
                identity,
                check_key: &check_key,
            };
            contributions.push(Contribution::make(context, &quantized, &mut rng, &mut body)?);
            add_words(&mut sum, &body, study.packing.wire_bits)?;
            let values = quantized.expose().iter().map(|value| u64::from(*value));
            plain.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            update = Some(quantized);
        }
        let certificate =
            certify(&study, &manifest, &identities, &contributions, &sum, &aggregator)?;
        let mut openings = Vec::new();
        for holder in identities.iter().filter(|i| study.holder_offset(0, i.site()).is_some()) {
            openings.push(open(&study, &manifest, &certificate, holder, &contributions)?);
        }
        Ok(Self {
            check_key,
            closing: certificate.closing.digest(),
            update: update.context("no sites")?,
            study,
            manifest,
            identities,
            body,
            sum,
            plain,
            openings,
        })
    }

    /// A recipient's work: unseal the openings, reconstruct the key sum.
    ///
    /// # Errors
    /// When an opening is refused or they do not suffice.
    pub fn key_sum(&self) -> anyhow::Result<KeySum> {
        let context = OpeningContext {
            study: &self.study,
            round: 0,
            manifest: self.manifest.digest(),
            closing: self.closing,
        };
        let recipient = self.identities.last().context("no sites")?;
        let openings = self
            .openings
            .iter()
            .map(|opening| unseal(recipient, context, opening))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(KeySum::reconstruct(&openings, &self.study.threshold)?)
    }

    /// Decrypts and checks the sum.
    ///
    /// # Errors
    /// When the sum does not check or is not the plain sum.
    pub fn decode(&self, keys: &KeySum) -> anyhow::Result<OpenedSum> {
        let (sites, round) = (self.identities.len(), self.manifest.digest());
        let mut reader = self.sum.as_slice();
        let (study, check_key) = (&self.study, &self.check_key);
        let opened = OpenedSum::open(study, &round, sites, keys, check_key, &mut reader)?;
        anyhow::ensure!(opened.sums() == self.plain, "the opened sum is not the plain sum");
        Ok(opened)
    }

    /// A recipient's work: decrypt and check the sum, to the mean. For the time that it takes; nothing
    /// is compared.
    ///
    /// # Errors
    /// When the sum does not check.
    pub fn open_mean(&self, keys: &KeySum) -> anyhow::Result<OpenedMean> {
        let (sites, round) = (self.identities.len(), self.manifest.digest());
        let mut reader = self.sum.as_slice();
        let (study, check_key) = (&self.study, &self.check_key);
        Ok(OpenedMean::open(study, &round, sites, keys, check_key, &mut reader)?)
    }
}

fn certify(
    study: &Study,
    manifest: &Manifest,
    identities: &[Identity],
    contributions: &[Contribution],
    sum: &[u8],
    aggregator: &SigningKey,
) -> anyhow::Result<Certificate> {
    let mut included: Vec<Included> = contributions
        .iter()
        .map(|made| Included {
            site: made.header.statement.site.clone(),
            header: made.header.digest(),
        })
        .collect();
    included.sort_by(|a, b| a.site.cmp(&b.site));
    let headers = contributions.iter().map(|made| LogEntry::of_signed(&made.header));
    let log: StudyLog =
        std::iter::once(LogEntry::of::<Manifest>(manifest.digest())).chain(headers).collect();
    let closing = Closing {
        study: manifest.study,
        round: 0,
        manifest: manifest.digest(),
        closed_at: 5,
        included,
        excluded: Vec::new(),
        sum: Some(Digest::of(sum)),
        checkpoint: log.checkpoint(),
    };
    let endorsement = |identity: &Identity| {
        let (study, closing) = (manifest.study, closing.digest());
        identity.sign(Endorsement { study, round: 0, closing, holder: identity.site().clone() })
    };
    let holders = identities.iter().filter(|i| study.holder_offset(0, i.site()).is_some());
    let endorsements = holders.map(endorsement).collect();
    Ok(Certificate { closing: sign(closing, aggregator), endorsements })
}

fn open(
    study: &Arc<Study>,
    manifest: &Manifest,
    certificate: &Certificate,
    identity: &Identity,
    contributions: &[Contribution],
) -> anyhow::Result<OpeningFrame> {
    let holder = Holder::restore(study.clone(), identity.site().clone(), [], None, None);
    let set = holder.may_open(manifest, certificate)?;
    let offset = study.holder_offset(0, identity.site()).context("no holder")?;
    let shares = contributions
        .iter()
        .map(|made| {
            let header = &made.header.statement;
            let sealed = made.envelopes.get(offset).context("no envelope")?;
            Ok((header.site.clone(), open_envelope(identity, None, study, header, sealed)?))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut rng = ringfence_keys::system_rng()?;
    Ok(open_share_sum(identity, study, &set, &shares, &mut rng)?)
}
