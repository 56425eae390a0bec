//! A study with real keys, and the one place where manifests, headers, closings and closing views
//! are put together: for the tests that drive the machines from outside, and for the library's own
//! (`src/tests/fixture.rs` includes this file).

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::Digest;
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::log::{Checkpoint, StudyLog};
use ringfence_crypto::id::SiteId;
use ringfence_crypto::signature::{PublicKey, Signed, Statement, sign};
use ringfence_crypto::statement::{Closing, Excluded, Header, Included, Manifest, Previous, Receipt, Review, RoundKeys, Study, Weighting};
use ringfence_crypto::threshold::Threshold;
use ringfence_keys::study::draft::StudyDraft;
use ringfence_keys::duties::holder::ClosingView;
use ringfence_keys::identity::Identity;
use ringfence_keys::duties::logged::{LogProofs, Seen};

/// When the study was made, Unix seconds.
pub(crate) const START: u64 = 1_000_000;
/// Seconds from a manifest to its deadline.
pub(crate) const ROUND_SECONDS: u64 = 100;
/// Seconds that holders have to review.
pub(crate) const REVIEW_SECONDS: u32 = 10;
/// Seconds after which the initiator's successor may step in.
pub(crate) const TIMEOUT_SECONDS: u32 = 60;
/// Largest quantized value at 16 bits. With this clip bound twice over, a step of the quantizer
/// is exactly 1, so that an integer `v` is quantized from `v - CLIP` to exactly `v`.
pub(crate) const CLIP: f32 = 65535.0 / 2.0;

/// Everybody's keys, and the study that they signed up to.
pub(crate) struct Parties {
    pub(crate) study: Arc<Study>,
    pub(crate) digest: Digest,
    pub(crate) identities: Vec<Identity>,
    pub(crate) aggregator: SigningKey,
}

/// What a closing says beyond the round it closes.
#[derive(Default)]
pub(crate) struct Set {
    pub(crate) included: Vec<Included>,
    pub(crate) excluded: Vec<Excluded>,
    pub(crate) sum: Option<Digest>,
}

impl Parties {
    /// `sites` sites, all of them key holders, of whom `collusion` may collude, and two values at
    /// [`CLIP`]. `alter` may make the study one that [`Study::check`] would refuse; the machines do
    /// not check it again.
    pub(crate) fn new(sites: usize, collusion: u16, alter: impl FnOnce(&mut Study)) -> Self {
        let threshold = Threshold::derive(sites as u16, collusion, 1, sites).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(sites as u64);
        Self::drafted(threshold, sites, (2, CLIP), alter, &mut rng)
    }

    /// `sites` sites and a model of so many values with this clip bound.
    pub(crate) fn drafted(
        threshold: Threshold,
        sites: usize,
        (values, clip): (u32, f32),
        alter: impl FnOnce(&mut Study),
        rng: &mut ChaCha20Rng,
    ) -> Self {
        let identities: Vec<Identity> = (0..sites)
            .map(|k| Identity::generate(format!("site-{k}").parse().unwrap(), rng).unwrap())
            .collect();
        let aggregator = SigningKey::from_bytes(&[9; 32]);
        let tensor = TensorLayout { name: "w".into(), shape: vec![values], clip };
        let mut study = StudyDraft {
            name: "machines".into(),
            created_at: START,
            roster: identities.iter().map(Identity::public).collect(),
            aggregator_key: PublicKey::from(aggregator.verifying_key()),
            threshold: Some(threshold),
            min_sites: Some(threshold.min_sites_floor()),
            value_bits: 16,
            layout: Layout { tensors: vec![tensor] },
            initial_model: Digest::of(b"initial model"),
            weights: WeightPolicy::Equal,
            min_round_seconds: 1,
            review_seconds: REVIEW_SECONDS,
            initiator_timeout_seconds: TIMEOUT_SECONDS,
        }
        .into_study(rng)
        .unwrap();
        alter(&mut study);
        let digest = study.digest();
        Self { study: Arc::new(study), digest, identities, aggregator }
    }

    /// The manifest by which `initiator` opens the round after `previous`, on a base model named
    /// by its keyed digest; each holder holds under the round keys that it has published, if any.
    pub(crate) fn manifest(
        &self,
        initiator: usize,
        previous: Option<&Previous>,
        base_model: Digest,
        opened_at: u64,
        round_keys: &[Signed<RoundKeys>],
    ) -> Signed<Manifest> {
        let keys = |holder: &SiteId, round| {
            let of = |keys: &&Signed<RoundKeys>| {
                keys.statement.site == *holder && keys.statement.key(round).is_some()
            };
            round_keys.iter().find(of).map(Signed::digest)
        };
        let round = previous.map_or(0, |previous| previous.round + 1);
        self.identities[initiator].sign(Manifest {
            study: self.digest,
            round,
            initiator: self.identities[initiator].site().clone(),
            opened_at,
            deadline: opened_at + ROUND_SECONDS,
            holders: self.study.holders(round).map(|site| site.id.clone()).collect(),
            holder_keys: self.study.holders(round).map(|site| keys(&site.id, round)).collect(),
            base_model,
            previous: previous.map(|previous| previous.closing),
        })
    }

    /// A header over a body and envelopes that only their digests are known of.
    pub(crate) fn header(
        &self,
        manifest: &Manifest,
        site: usize,
        body: Digest,
        envelopes: Vec<Digest>,
    ) -> Signed<Header> {
        self.identities[site].sign(Header {
            study: manifest.study,
            round: manifest.round,
            manifest: manifest.digest(),
            site: self.identities[site].site().clone(),
            body_bytes: self.study.body_bytes().unwrap(),
            body,
            envelopes,
        })
    }

    /// A closing over any set, as a malicious aggregator may sign it.
    pub(crate) fn closing(
        &self,
        manifest: &Manifest,
        set: Set,
        checkpoint: Checkpoint,
        closed_at: u64,
    ) -> Signed<Closing> {
        let Set { included, excluded, sum } = set;
        let closing = Closing {
            study: manifest.study,
            round: manifest.round,
            manifest: manifest.digest(),
            closed_at,
            included,
            excluded,
            sum,
            checkpoint,
        };
        sign(closing, &self.aggregator)
    }
}

/// What a holder is shown of a closing.
pub(crate) fn view<'a>(
    manifest: &'a Manifest,
    closing: &'a Signed<Closing>,
    headers: &'a [Signed<Header>],
    reviews: &'a [Signed<Review>],
    receipt: Option<&'a Signed<Receipt>>,
    log: &'a LogProofs,
) -> ClosingView<'a> {
    ClosingView { manifest, closing, headers, reviews, receipt, log }
}

/// What `log` proves of a closing to a site that holds `receipt` and has seen `seen`.
pub(crate) fn proofs(
    log: &StudyLog,
    manifest: &Manifest,
    closing: &Closing,
    receipt: Option<&Receipt>,
    seen: Option<Seen>,
) -> LogProofs {
    let size = closing.checkpoint.size;
    let inclusion = closing
        .logged(manifest, receipt)
        .iter()
        .map(|entry| log.inclusion(entry.leaf(), size).unwrap())
        .collect();
    let consistency = seen.map(|seen| {
        let seen = seen.checkpoint.size;
        log.consistency(seen.min(size), seen.max(size)).unwrap()
    });
    LogProofs { inclusion, consistency }
}

/// How a round ended, as the next manifest refers to it.
pub(crate) fn previous_of(closing: &Signed<Closing>) -> Previous {
    let Closing { round, closed_at, .. } = closing.statement;
    Previous { round, closing: closing.digest(), closed_at }
}
