//! A study with real keys, and the one place where tests put manifests, headers and closings
//! together.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::Digest;
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{FreezeId, RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::log::Checkpoint;
use ringfence_crypto::signature::{PublicKey, Signed, Statement, sign};
use ringfence_crypto::statement::{
    CHECK_BYTES, Closing, Excluded, Header, HexBytes, Included, Manifest, Previous, PrivacyPolicy,
    RoundKeys, SignedStudy, Study, Training, Weighting,
};
use ringfence_crypto::threshold::Threshold;
use ringfence_keys::encrypt::check::CheckKey;
use ringfence_keys::identity::Identity;
use ringfence_keys::study::draft::StudyDraft;

/// When the study was made.
pub const START: UnixSeconds = UnixSeconds(1_000_000);
/// Seconds from a manifest to its deadline.
pub const ROUND_SECONDS: u64 = 100;
/// Seconds that holders have to review.
pub const REVIEW_SECONDS: u32 = 10;
/// Seconds after which the initiator's successor may step in.
pub const TIMEOUT_SECONDS: u32 = 60;
/// Largest quantized value at 16 bits. With this clip bound twice over, a step of the quantizer
/// is exactly 1, so that an integer `v` is quantized from `v - CLIP` to exactly `v`.
pub const CLIP: f32 = 65535.0 / 2.0;

/// What distinguishes one test's study from another's.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Sites of the roster.
    pub sites: usize,
    /// `(m, c, l)`, or none for the recommended window.
    pub threshold: Option<Threshold>,
    /// Values of the model.
    pub parameters: u32,
    /// Clip bound of every value.
    pub clip: f32,
    /// Bits of a quantized value.
    pub value_bits: u8,
}

/// Everybody's keys, and the study that they signed up to.
#[derive(Debug)]
pub struct Parties {
    /// The study.
    pub study: Arc<Study>,
    /// Its name.
    pub id: StudyId,
    /// The sites, in ring order.
    pub identities: Vec<Identity>,
    /// The study's check key, which every site holds.
    pub check_key: CheckKey,
    /// What the aggregator signs with.
    pub aggregator: SigningKey,
}

/// What a closing says beyond the round it closes.
#[derive(Debug)]
pub struct Set {
    /// The freeze that it is of.
    pub freeze: FreezeId,
    /// Digests of the reviews that it was judged by.
    pub reviews: Vec<Digest>,
    /// The set.
    pub included: Vec<Included>,
    /// Receipts that are not in it.
    pub excluded: Vec<Excluded>,
    /// The sum over it; none for an abort.
    pub sum: Option<Digest>,
}

/// What an initiator decides about a round.
#[derive(Clone, Copy, Debug)]
pub struct Proposal<'a> {
    /// Ring position of who signs.
    pub initiator: usize,
    /// How the round before ended.
    pub previous: Option<&'a Previous>,
    /// The base model, by its keyed digest.
    pub base_model: Digest,
    /// When the round is opened.
    pub opened_at: UnixSeconds,
    /// What holders have published; each holds under the keys that cover the round, if any do.
    pub round_keys: &'a [Signed<RoundKeys>],
}

impl Parties {
    /// `sites` sites, all of them key holders, of whom `collusion` may collude, and two values at
    /// [`CLIP`]. `alter` may make the study one that [`Study::check`] would refuse; the machines do
    /// not check it again.
    pub fn new(sites: usize, collusion: u16, alter: impl FnOnce(&mut Study)) -> Self {
        let threshold = Threshold::derive(sites as u16, collusion, 1, sites).unwrap();
        let setup =
            Setup { sites, threshold: Some(threshold), parameters: 2, clip: CLIP, value_bits: 16 };
        Self::drafted(setup, alter, &mut crate::rng(sites as u64))
    }

    /// As [`Parties::new`], from a setup.
    pub fn drafted(setup: Setup, alter: impl FnOnce(&mut Study), rng: &mut ChaCha20Rng) -> Self {
        let Setup { sites, threshold, parameters, clip, value_bits } = setup;
        let identities: Vec<Identity> = (0..sites)
            .map(|k| Identity::generate(format!("site-{k}").parse().unwrap(), rng).unwrap())
            .collect();
        let aggregator = SigningKey::from_bytes(&[9; 32]);
        let threshold = threshold.unwrap_or_else(|| Threshold::recommended(sites).unwrap());
        let tensor = TensorLayout { name: "w".into(), shape: vec![parameters], clip };
        let mut study = StudyDraft {
            name: "machines".into(),
            created_at: START,
            roster: identities.iter().map(Identity::public).collect(),
            aggregator_key: PublicKey::from(aggregator.verifying_key()),
            threshold: Some(threshold),
            min_sites: Some(threshold.min_sites_floor()),
            value_bits,
            layout: Layout { tensors: vec![tensor] },
            initial_model: Digest::of(b"initial model").into(),
            weighting: Weighting::Equal,
            privacy: PrivacyPolicy::None,
            training: Training::None,
            min_round_seconds: 1,
            longest_round_seconds: 3600,
            review_seconds: REVIEW_SECONDS,
            initiator_timeout_seconds: TIMEOUT_SECONDS,
        }
        .into_study(rng)
        .unwrap();
        alter(&mut study);
        let check_key = identities.first().unwrap().check_key(&study).unwrap();
        let id = study.id();
        Self { study: Arc::new(study), id, identities, check_key, aggregator }
    }

    /// The study file, signed by the whole roster.
    pub fn signed_study(&self) -> SignedStudy {
        let mut signed = SignedStudy::unsigned((*self.study).clone());
        self.identities
            .iter()
            .for_each(|identity| signed.sign(identity.site(), identity.signer()).unwrap());
        signed
    }

    /// The identity of a site by its name.
    pub fn identity(&self, site: &SiteId) -> &Identity {
        self.identities.iter().find(|identity| identity.site() == site).unwrap()
    }

    /// The names of a round's key holders, in window order.
    pub fn holders(&self, round: RoundNumber) -> Vec<SiteId> {
        self.study.holders(round).map(|site| site.id.clone()).collect()
    }

    /// The manifest by which a site opens the round after the previous one.
    pub fn manifest(&self, proposal: Proposal<'_>) -> Signed<Manifest> {
        let Proposal { initiator, previous, base_model, opened_at, round_keys } = proposal;
        let keys = |holder: &SiteId, round| {
            let of = |keys: &&Signed<RoundKeys>| {
                keys.statement.site == *holder && keys.statement.key(round).is_some()
            };
            round_keys.iter().find(of).map(Signed::id)
        };
        let round = previous.map_or(RoundNumber::FIRST, |previous| previous.round.next());
        let initiator = self.identities.get(initiator).unwrap();
        initiator.sign(Manifest {
            study: self.id,
            round,
            initiator: initiator.site().clone(),
            opened_at,
            deadline: opened_at.after(ROUND_SECONDS),
            holders: self.holders(round),
            holder_keys: self.study.holders(round).map(|site| keys(&site.id, round)).collect(),
            base_model,
            previous: previous.map(|previous| previous.closing),
            trust: previous.map_or_else(Trust::default, |before| before.trust.clone()).digest(),
        })
    }

    /// A header over a body and envelopes that only their digests are known of; its check words do
    /// not open.
    pub fn header(
        &self,
        manifest: &Manifest,
        site: usize,
        body: Digest,
        envelopes: Vec<Digest>,
    ) -> Signed<Header> {
        let identity = self.identities.get(site).unwrap();
        identity.sign(Header {
            study: manifest.study,
            round: manifest.round,
            manifest: manifest.id(),
            site: identity.site().clone(),
            body_bytes: self.study.body_bytes().unwrap(),
            body,
            check: HexBytes(vec![0; CHECK_BYTES]),
            envelopes,
            spent: None,
        })
    }

    /// A closing over any set, as a malicious aggregator may sign it.
    pub fn closing(
        &self,
        manifest: &Manifest,
        set: Set,
        checkpoint: Checkpoint,
        closed_at: UnixSeconds,
    ) -> Signed<Closing> {
        let Set { freeze, reviews, included, excluded, sum } = set;
        let closing = Closing {
            study: manifest.study,
            round: manifest.round,
            manifest: manifest.id(),
            freeze,
            closed_at,
            included,
            excluded,
            reviews,
            sum,
            checkpoint,
        };
        sign(closing, &self.aggregator)
    }
}

/// How a round ended, as the next manifest refers to it, where nobody came into doubt.
pub fn previous_of(closing: &Signed<Closing>) -> Previous {
    let Closing { round, closed_at, .. } = closing.statement;
    Previous { round, closing: closing.id(), closed_at, trust: Trust::default() }
}
