//! What unit tests need: reproducible randomness, and a small study with real keys. Whole rounds
//! are tested from outside, in `tests/`, with `ringfence-testkit`, whose types are another build's
//! here.

use ed25519_dalek::SigningKey;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::Digest;
use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::statement::{PrivacyPolicy, Study, Training, Weighting};

use crate::identity::Identity;
use crate::study::draft::StudyDraft;

/// Reproducible randomness, for tests only.
pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// A study of so many sites over five values of 16 bits, all of them key holders as recommended.
pub(crate) fn study(sites: usize) -> (Study, Vec<Identity>) {
    let mut rng = rng(sites as u64);
    let identities: Vec<Identity> = (0..sites)
        .map(|k| Identity::generate(format!("site-{k}").parse().unwrap(), &mut rng).unwrap())
        .collect();
    let tensor = TensorLayout { name: "w".into(), shape: vec![5], clip: 0.25 };
    let draft = StudyDraft {
        name: "unit tests".into(),
        created_at: UnixSeconds(0),
        roster: identities.iter().map(Identity::public).collect(),
        aggregator_key: SigningKey::from_bytes(&[9; 32]).verifying_key().into(),
        threshold: None,
        min_sites: None,
        value_bits: 16,
        layout: Layout { tensors: vec![tensor] },
        initial_model: Digest::of(b"initial model").into(),
        weighting: Weighting::Equal,
        privacy: PrivacyPolicy::None,
        training: Training::None,
        min_round_seconds: 1,
        longest_round_seconds: 3600,
        review_seconds: 1,
        initiator_timeout_seconds: 1,
    };
    (draft.into_study(&mut rng).unwrap(), identities)
}

/// The draft that this study could have come from.
pub(crate) fn draft_like(study: &Study) -> StudyDraft {
    StudyDraft {
        name: study.name.clone(),
        created_at: study.created_at,
        roster: study.roster.clone(),
        aggregator_key: study.aggregator_key,
        threshold: Some(study.threshold),
        min_sites: Some(study.min_sites),
        value_bits: study.packing.value_bits,
        layout: study.layout.clone(),
        initial_model: study.initial_model,
        weighting: study.weighting.clone(),
        privacy: study.privacy,
        training: study.training.clone(),
        min_round_seconds: study.min_round_seconds,
        longest_round_seconds: study.longest_round_seconds,
        review_seconds: study.review_seconds,
        initiator_timeout_seconds: study.initiator_timeout_seconds,
    }
}
