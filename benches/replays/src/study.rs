//! The studies that are replayed: sites, a small model, and what they agree on.

use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::signature::PublicKey;
use ringfence_crypto::statement::{PrivacyPolicy, SignedStudy, Training, Weighting};
use ringfence_keys::identity::Identity;
use ringfence_keys::study::draft::StudyDraft;
use ringfence_site::model;
use ringfence_weights::Weights;

/// Values of the model.
pub(crate) const VALUES: usize = 40;

/// The sites of a study, and what they have signed.
pub(crate) struct Roster {
    pub(crate) study: SignedStudy,
    pub(crate) identities: Vec<Identity>,
    pub(crate) initial: Weights,
}

impl Roster {
    /// A study of so many sites, with times of its own.
    ///
    /// # Errors
    /// When there is no such study: of fewer than three sites, for instance.
    pub(crate) fn new(
        sites: usize,
        created_at: UnixSeconds,
        aggregator_key: PublicKey,
        times: impl FnOnce(&mut StudyDraft),
    ) -> anyhow::Result<Self> {
        let mut rng = ringfence_keys::system_rng()?;
        let names = (1..=sites).map(|number| format!("site-{number}").parse());
        let identities = names
            .map(|name| Ok(Identity::generate(name?, &mut rng)?))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let initial = Weights::from_values(&[("w".into(), vec![VALUES])], vec![0.5; VALUES])?;
        let mut draft = StudyDraft {
            name: "replayed".into(),
            created_at,
            roster: identities.iter().map(Identity::public).collect(),
            aggregator_key,
            threshold: None,
            min_sites: None,
            value_bits: 16,
            layout: model::layout(&initial, 0.5),
            initial_model: model::id(&initial),
            weighting: Weighting::Equal,
            privacy: PrivacyPolicy::None,
            training: Training::None,
            min_round_seconds: 60,
            longest_round_seconds: 3600,
            review_seconds: 3600,
            initiator_timeout_seconds: 600,
        };
        times(&mut draft);
        let mut study = SignedStudy::unsigned(draft.into_study(&mut rng)?);
        for identity in &identities {
            study.sign(identity.site(), identity.signer())?;
        }
        Ok(Self { study, identities, initial })
    }
}
