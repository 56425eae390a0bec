//! One round of aggregation in memory: real keys, statements, envelopes and openings, no network.

use std::error::Error;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use ringfence_crypto::Digest;
use ringfence_crypto::ring::words::add_words;
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::log::{LogEntry, StudyLog};
use ringfence_crypto::signature::{PublicKey, Statement, sign};
use ringfence_crypto::statement::{Certificate, Closing, Endorsement, HolderKeys, Included, Manifest, Study, Weighting};
use ringfence_keys::encrypt::check::CheckKey;
use ringfence_keys::encrypt::contribution::{Contribution, ContributionContext};
use ringfence_keys::study::draft::StudyDraft;
use ringfence_keys::duties::holder::{Holder, open_share_sum};
use ringfence_keys::share::envelope::open_envelope;
use ringfence_keys::identity::Identity;
use ringfence_keys::open::{OpeningContext, unseal};
use ringfence_keys::update::quantize::QuantizedUpdate;
use ringfence_keys::share::reconstruct::KeySum;

/// The updates are clipped to `[-CLIP, CLIP]`.
pub(crate) const CLIP: f32 = 0.5;

/// A study and everybody's keys.
pub(crate) struct Parties {
    pub(crate) study: Arc<Study>,
    identities: Vec<Identity>,
    aggregator: SigningKey,
    check_key: CheckKey,
}

/// What a round leaves: the aggregator's encrypted sum, and what the recipients open it with.
pub(crate) struct Round {
    /// Digest of the manifest, which the public polynomials come from.
    pub(crate) digest: Digest,
    /// Wire words of the sum.
    pub(crate) sum: Vec<u8>,
    /// The opened sum of the keys.
    pub(crate) keys: KeySum,
    /// Digest of the closing, to which the next manifest refers.
    pub(crate) closing: Digest,
    /// The plain sum of the quantized updates, which nobody has in a real round.
    pub(crate) plain: Vec<u64>,
}

impl Parties {
    /// A study of `sites` sites over a model of `parameters` 16-bit values, in which a sum is
    /// opened for as few sites as safety allows.
    pub(crate) fn new(sites: usize, parameters: u32) -> Result<Self, Box<dyn Error>> {
        let mut rng = ringfence_keys::system_rng()?;
        let identities = (0..sites)
            .map(|k| Ok(Identity::generate(format!("site-{k}").parse()?, &mut rng)?))
            .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
        let mut secret = [0; 32];
        rand::Rng::fill_bytes(&mut rng, &mut secret);
        let aggregator = SigningKey::from_bytes(&secret);
        let threshold = ringfence_crypto::threshold::Threshold::recommended(sites)?;
        let tensor = TensorLayout { name: "w".into(), shape: vec![parameters], clip: CLIP };
        let study = StudyDraft {
            name: "tfhe example".into(),
            created_at: 0,
            roster: identities.iter().map(Identity::public).collect(),
            aggregator_key: PublicKey::from(aggregator.verifying_key()),
            threshold: Some(threshold),
            min_sites: Some(threshold.min_sites_floor()),
            value_bits: 16,
            layout: Layout { tensors: vec![tensor] },
            initial_model: Digest::of(b"initial model"),
            weights: WeightPolicy::Equal,
            min_round_seconds: 1,
            review_seconds: 1,
            initiator_timeout_seconds: 1,
        }
        .into_study(&mut rng)?;
        let check_key = identities.first().ok_or("no sites")?.check_key(&study)?;
        Ok(Self { study: Arc::new(study), identities, aggregator, check_key })
    }

    /// A whole round, to which the first `updates.len()` sites contribute.
    pub(crate) fn aggregate(
        &self,
        round: u32,
        previous: Option<&Round>,
        updates: &[Vec<f32>],
    ) -> Result<Round, Box<dyn Error>> {
        let study = &self.study;
        let initiator = self.identities.get(round as usize % self.identities.len());
        let manifest = Manifest {
            study: study.digest(),
            round,
            initiator: initiator.ok_or("no sites")?.site().clone(),
            opened_at: 0,
            deadline: 10,
            holders: study.holders(round).map(|site| site.id.clone()).collect(),
            holder_keys: study.holders(round).map(|_| None).collect(),
            base_model: Digest::of(b"base model"),
            previous: previous.map(|round| round.closing),
        };
        let mut sum = vec![0; usize::try_from(study.body_bytes()?)?];
        let mut plain = vec![0; study.layout.values()];
        let mut contributions = Vec::new();
        for (identity, values) in self.identities.iter().zip(updates) {
            let (made, body) = self.contribute(&manifest, identity, values, &mut plain)?;
            add_words(&mut sum, &body, study.packing.wire_bits)?;
            contributions.push(made);
        }
        let certificate = self.certify(&manifest, &contributions, &sum);
        let keys = self.open(&manifest, &certificate, &contributions)?;
        let (digest, closing) = (manifest.digest(), certificate.closing.digest());
        Ok(Round { digest, sum, keys, closing, plain })
    }

    /// One site's work; its quantized update is added to `plain`, too.
    fn contribute(
        &self,
        manifest: &Manifest,
        identity: &Identity,
        values: &[f32],
        plain: &mut [u64],
    ) -> Result<(Contribution, Vec<u8>), Box<dyn Error>> {
        let (study, mut rng) = (&self.study, ringfence_keys::system_rng()?);
        let update = QuantizedUpdate::quantize(values, &study.layout, &study.packing, &mut rng)?;
        plain.iter_mut().zip(update.expose()).for_each(|(sum, value)| *sum += u64::from(*value));
        let context = ContributionContext {
            study,
            manifest,
            holder_keys: &HolderKeys::resolve(study, manifest, &[])?,
            identity,
            check_key: &self.check_key,
        };
        let mut body = Vec::new();
        Ok((Contribution::make(context, &update, &mut rng, &mut body)?, body))
    }

    /// The closing, endorsed by every key holder.
    fn certify(&self, manifest: &Manifest, made: &[Contribution], sum: &[u8]) -> Certificate {
        let included = |made: &Contribution| {
            let (site, header) = (made.header.statement.site.clone(), made.header.digest());
            Included { site, header }
        };
        let mut included: Vec<Included> = made.iter().map(included).collect();
        included.sort_by(|a, b| a.site.cmp(&b.site));
        let log: StudyLog = std::iter::once(LogEntry::of::<Manifest>(manifest.digest()))
            .chain(manifest.previous.map(LogEntry::of::<Closing>))
            .chain(made.iter().map(|made| LogEntry::of_signed(&made.header)))
            .collect();
        let (study, round) = (manifest.study, manifest.round);
        let closing = Closing {
            study,
            round,
            manifest: manifest.digest(),
            closed_at: 5,
            included,
            excluded: Vec::new(),
            sum: Some(Digest::of(sum)),
            checkpoint: log.checkpoint(),
        };
        let digest = closing.digest();
        let endorsement = |identity: &Identity| {
            let holder = identity.site().clone();
            identity.sign(Endorsement { study, round, closing: digest, holder })
        };
        let endorsements = self.holders(round).map(|(_, holder)| endorsement(holder)).collect();
        Certificate { closing: sign(closing, &self.aggregator), endorsements }
    }

    /// Every key holder opens its shares' sum; a recipient puts the openings together.
    fn open(
        &self,
        manifest: &Manifest,
        certificate: &Certificate,
        contributions: &[Contribution],
    ) -> Result<KeySum, Box<dyn Error>> {
        let (study, round) = (&self.study, manifest.round);
        let (manifest_digest, closing) = (manifest.digest(), certificate.closing.digest());
        let context = OpeningContext { study, round, manifest: manifest_digest, closing };
        let recipient = self.identities.last().ok_or("no sites")?;
        let mut openings = Vec::new();
        for (offset, identity) in self.holders(round) {
            let holder = Holder::restore(study.clone(), identity.site().clone(), [], None, None);
            let set = holder.may_open(manifest, certificate)?;
            let mut shares = Vec::new();
            for made in contributions {
                let header = &made.header.statement;
                let sealed = made.envelopes.get(offset).ok_or("no envelope")?;
                let share = open_envelope(identity, None, study, header, sealed)?;
                shares.push((header.site.clone(), share));
            }
            let mut rng = ringfence_keys::system_rng()?;
            let opening = open_share_sum(identity, study, &set, &shares, &mut rng)?;
            openings.push(unseal(recipient, context, &opening)?);
        }
        Ok(KeySum::reconstruct(&openings, &study.threshold)?)
    }

    /// The key holders of a round, each with its offset in the window.
    fn holders(&self, round: u32) -> impl Iterator<Item = (usize, &Identity)> {
        let offset = move |identity: &Identity| self.study.holder_offset(round, identity.site());
        self.identities.iter().filter_map(move |identity| Some((offset(identity)?, identity)))
    }
}
