//! Three sites of one study, or more, and an aggregator to talk to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ringfence_clock::Clock;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{HeaderId, ModelId, RoundNumber, StudyId};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{PrivacyPolicy, SignedStudy, Training, Weighting};
use ringfence_federation::{Aggregator, Serving};
use ringfence_keys::identity::Identity;
use ringfence_keys::study::draft::StudyDraft;
use ringfence_site::transport::Transport;
use ringfence_site::{Membership, RoundEnd, Site, SiteError, model};
use ringfence_weights::Weights;

pub(crate) const VALUES: usize = 5000;

pub(crate) struct Trio {
    pub(crate) aggregator: Aggregator,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) study: SignedStudy,
    pub(crate) base: ModelId,
    secrets: Vec<String>,
}

impl Trio {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// With a study that differs in something from the usual one.
    pub(crate) async fn start_with(alter: impl FnOnce(&mut StudyDraft)) -> Self {
        Self::start_of(3, alter).await
    }

    /// Of up to 26 sites: a, b, c and so on.
    pub(crate) async fn start_of(sites: u8, alter: impl FnOnce(&mut StudyDraft)) -> Self {
        Self::start_serving(Serving::default(), sites, alter).await
    }

    /// With an aggregator that is served in another way than the usual one.
    pub(crate) async fn start_serving(
        serving: Serving,
        sites: u8,
        alter: impl FnOnce(&mut StudyDraft),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("aggregator");
        let aggregator = Aggregator::start_with(&data, Clock::system(), serving).await.unwrap();
        let mut rng = ringfence_keys::system_rng().unwrap();
        let names = (b'a'..).take(sites.into()).map(|letter| char::from(letter).to_string());
        let identities: Vec<Identity> = names
            .map(|site| Identity::generate(site.parse().unwrap(), &mut rng).unwrap())
            .collect();
        let weights =
            Weights::from_values(&[("w".into(), vec![VALUES])], vec![0.5; VALUES]).unwrap();
        let base = model::id(&weights);
        let mut draft = StudyDraft {
            name: "trio".into(),
            created_at: Clock::system().now().earlier(100),
            roster: identities.iter().map(Identity::public).collect(),
            aggregator_key: aggregator.public_key(),
            threshold: None,
            min_sites: None,
            value_bits: 16,
            layout: model::layout(&weights, 0.5),
            initial_model: base,
            weighting: Weighting::Equal,
            privacy: PrivacyPolicy::None,
            training: Training::None,
            min_round_seconds: 2,
            longest_round_seconds: 3600,
            review_seconds: 2,
            initiator_timeout_seconds: 1,
        };
        alter(&mut draft);
        let mut study = SignedStudy::unsigned(draft.into_study(&mut rng).unwrap());
        for identity in &identities {
            study.sign(identity.site(), identity.signer()).unwrap();
        }
        let secrets = identities.iter().map(|identity| identity.to_file().to_string()).collect();
        let trio = Self { aggregator, folder, study, base, secrets };
        trio.transport().register(&trio.study, trio.aggregator.token()).await.unwrap();
        trio
    }

    /// Of the administrator, who may read all and registers studies.
    pub(crate) fn transport(&self) -> Transport {
        self.connection().with_token(self.aggregator.token().to_owned().into())
    }

    /// Of a site.
    pub(crate) fn transport_of(&self, k: usize) -> Transport {
        self.connection().of_site(Arc::new(self.identity(k)))
    }

    fn connection(&self) -> Transport {
        Transport::new(self.aggregator.url(), false, Clock::system()).unwrap()
    }

    pub(crate) fn study_id(&self) -> StudyId {
        self.study.study.id()
    }

    pub(crate) fn identity(&self, k: usize) -> Identity {
        Identity::from_file(&self.secrets[k]).unwrap()
    }

    pub(crate) fn membership(&self, k: usize, state: &Path) -> Membership {
        Membership {
            study: self.study.clone(),
            identity: self.identity(k),
            state: state.to_owned(),
            transport: self.transport(),
            patience: Duration::from_secs(10),
            clock: Clock::system(),
        }
    }

    pub(crate) fn site(&self, k: usize) -> Site {
        self.site_with(k, |_| ())
    }

    /// A site that differs in something from the usual one.
    pub(crate) fn site_with(&self, k: usize, alter: impl FnOnce(&mut Membership)) -> Site {
        let mut membership = self.membership(k, &self.folder.path().join(format!("state-{k}")));
        alter(&mut membership);
        Site::open(membership).unwrap()
    }

    pub(crate) async fn contribute(
        &self,
        site: &Site,
        k: usize,
        round: RoundNumber,
    ) -> Result<HeaderId, SiteError> {
        let joined = site.join(round).await?;
        let contributed = joined.contribute(self.base, &update(k), |_| ()).await?;
        Ok(contributed.receipt().header)
    }
}

/// As [`Trio::contribute`], in steps: the aggregator keeps what comes in files.
pub(crate) async fn contribute_in_steps(trio: &Trio, site: &Site, k: usize, round: RoundNumber) {
    let joined = site.join(round).await.unwrap();
    let prepared = joined.prepare(trio.base, &update(k), |_| ()).await.unwrap();
    prepared.send_in_steps().await.unwrap();
}

pub(crate) fn update(site: usize) -> Vec<f32> {
    (0..VALUES).map(|k| ((k * (site + 3)) % 97) as f32 / 100.0 - 0.48).collect()
}

/// The model that every site says it holds after a round.
pub(crate) fn next_model() -> ModelId {
    ModelId(Digest::of(b"next model"))
}

/// Every site holds and opens; returns each one's mean, an empty one after an abort.
pub(crate) async fn finish(sites: &[Site], round: RoundNumber) -> Vec<Vec<f32>> {
    let parts = sites.iter().map(|site| async move {
        site.hold(round).await.unwrap();
        match site.join(round).await.unwrap().finish().await.unwrap() {
            RoundEnd::Done(done) => {
                let mean = done.mean();
                done.acknowledge(next_model()).await.unwrap();
                mean
            }
            RoundEnd::Aborted(abort) => {
                let contributed = abort.contributed.unwrap_or_default().len();
                assert!(contributed < abort.needed.into() && abort.certified_by.len() >= 2);
                Vec::new()
            }
        }
    });
    join_all(parts).await
}
