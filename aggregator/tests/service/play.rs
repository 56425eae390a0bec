//! A roster of sites that sign real statements over random bytes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use ringfence_crypto::Digest;
use ringfence_crypto::ciphertext::{pack, unpack};
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::packing::Packing;
use ringfence_crypto::params::ParameterSet;
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::statement::{
    Acknowledgement, CheckKeySeals, Closing, Endorsement, Header, HexBytes, Manifest, Opening,
    Outcome, PrivacyPolicy, PublicKey, Review, Signed, SignedStudy, Site, SiteId, Statement, Study,
    WeightPolicy, sign,
};
use ringfence_crypto::threshold::Threshold;
use ringfence_crypto::wire::frame;
use ringfence_crypto::wire::message::{ContributionProgress, EnvelopeFrame, OpeningFrame};

use crate::child::{Answer, Client};

/// Values of a model whose bodies take 3 MiB: several chunks of the sum.
pub(crate) const LARGE: u32 = 1_150_000;

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Bytes that differ for every label.
pub(crate) fn noise(label: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(label.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// What a test may want different in a study.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) sites: usize,
    pub(crate) values: u32,
    pub(crate) review_seconds: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self { sites: 5, values: 1000, review_seconds: 60 }
    }
}

/// The sites of a study, and the study.
#[derive(Clone)]
pub(crate) struct Roster {
    pub(crate) ids: Vec<SiteId>,
    pub(crate) keys: Vec<SigningKey>,
    pub(crate) signed: SignedStudy,
}

pub(crate) fn study(aggregator_key: PublicKey, shape: Shape, keys: &[SigningKey]) -> Study {
    let Shape { sites, values, review_seconds } = shape;
    let roster = (0..sites).map(|index| Site {
        id: format!("site-{index}").parse().unwrap(),
        signature_key: keys[index].verifying_key().into(),
        kem_key: HexBytes(noise(&format!("kem {index}"), 1216)),
    });
    let tensor = TensorLayout { name: "weights".into(), shape: vec![values], clip: 0.5 };
    let threshold = Threshold::recommended(sites.max(3)).unwrap();
    Study {
        name: "a test".into(),
        created_at: now() - 1000,
        roster: roster.collect(),
        aggregator_key,
        parameters: ParameterSet::Std64,
        threshold,
        min_sites: threshold.min_sites_floor(),
        packing: Packing::derive(16, sites).unwrap(),
        layout: Layout { tensors: vec![tensor] },
        initial_model: Digest::of(b"model"),
        weights: WeightPolicy::Equal,
        privacy: PrivacyPolicy::None,
        min_round_seconds: 1,
        review_seconds,
        initiator_timeout_seconds: 3600,
        check_key: CheckKeySeals {
            commitment: Digest::of(b"check"),
            sealed: vec![HexBytes(noise("seal", 48)); sites],
        },
    }
}

impl Roster {
    pub(crate) fn new(aggregator_key: PublicKey, shape: Shape) -> Self {
        let keys: Vec<SigningKey> = (0..shape.sites)
            .map(|index| SigningKey::from_bytes(&Digest::of(&[7, index as u8]).0))
            .collect();
        Self::of(study(aggregator_key, shape, &keys), keys)
    }

    /// Signs any study, sound or not.
    pub(crate) fn of(study: Study, keys: Vec<SigningKey>) -> Self {
        let ids: Vec<SiteId> = study.roster.iter().map(|site| site.id.clone()).collect();
        let mut signed = SignedStudy::unsigned(study);
        for (id, key) in ids.iter().zip(&keys) {
            signed.sign(id, key).unwrap();
        }
        Self { ids, keys, signed }
    }

    pub(crate) fn study(&self) -> &Study {
        &self.signed.study
    }

    pub(crate) fn digest(&self) -> Digest {
        self.study().digest()
    }

    pub(crate) fn key(&self, site: &SiteId) -> &SigningKey {
        &self.keys[self.study().position(site).unwrap()]
    }

    pub(crate) fn path(&self) -> String {
        format!("/v1/studies/{}", self.digest())
    }

    /// The manifest that the initiator of a round would sign now.
    pub(crate) fn manifest(&self, round: u32, seconds: u64, previous: Option<Digest>) -> Manifest {
        Manifest {
            study: self.digest(),
            round,
            initiator: self.study().initiator(round, 0).id.clone(),
            opened_at: now(),
            deadline: now() + seconds,
            holders: self.study().holders(round).map(|site| site.id.clone()).collect(),
            holder_keys: vec![None; self.study().threshold.holders.into()],
            base_model: Digest::of(&round.to_le_bytes()),
            previous,
        }
    }

    pub(crate) fn signed<T: Statement>(&self, site: &SiteId, statement: T) -> Signed<T> {
        sign(statement, self.key(site))
    }
}

/// What one site sends in one round.
#[derive(Clone)]
pub(crate) struct Contribution {
    pub(crate) header: Signed<Header>,
    pub(crate) envelopes: EnvelopeFrame,
    pub(crate) body: Vec<u8>,
}

/// One round, seen by all of its sites.
#[derive(Clone)]
pub(crate) struct Play {
    pub(crate) roster: Roster,
    pub(crate) manifest: Signed<Manifest>,
    pub(crate) client: Client,
    pub(crate) path: String,
}

impl Play {
    /// Registers the study and opens its round 0.
    pub(crate) async fn start(client: Client, roster: Roster, seconds: u64) -> Self {
        client.post_study(&roster.signed).await.ok();
        Self::open(client, roster, 0, seconds, None).await
    }

    pub(crate) async fn open(
        client: Client,
        roster: Roster,
        round: u32,
        seconds: u64,
        previous: Option<Digest>,
    ) -> Self {
        let manifest = roster.manifest(round, seconds, previous);
        let initiator = manifest.initiator.clone();
        let manifest = roster.signed(&initiator, manifest);
        let rounds = format!("{}/rounds", roster.path());
        let answer = client.post_json(&rounds, &manifest).await;
        assert_eq!(answer.status, 201);
        let status: RoundStatus = answer.json();
        assert_eq!((status.round, status.version), (round, 0));
        Self { path: format!("{rounds}/{round}"), roster, manifest, client }
    }

    pub(crate) fn at(&self, rest: &str) -> String {
        format!("{}/{rest}", self.path)
    }

    pub(crate) fn of(&self, site: &SiteId, rest: &str) -> String {
        format!("{}/contributions/{site}{rest}", self.path)
    }

    pub(crate) fn ids(&self) -> &[SiteId] {
        &self.roster.ids
    }

    pub(crate) fn contribution(&self, site: &SiteId) -> Contribution {
        let study = self.roster.study();
        let length = study.body_bytes().unwrap() as usize;
        let number = self.manifest.statement.round;
        let body = noise(&format!("body {site} {number}"), length);
        let envelopes: Vec<Vec<u8>> = study
            .holders(number)
            .map(|holder| noise(&format!("to {} from {site} {number}", holder.id), 2000))
            .collect();
        let header = Header {
            study: self.roster.digest(),
            round: number,
            manifest: self.manifest.digest(),
            site: site.clone(),
            body_bytes: body.len() as u64,
            body: Digest::of(&body),
            envelopes: envelopes.iter().map(|envelope| Digest::of(envelope)).collect(),
        };
        let header = self.roster.signed(site, header);
        Contribution { header, envelopes: EnvelopeFrame { envelopes }, body }
    }

    pub(crate) async fn put_header(&self, site: &SiteId) -> Answer {
        self.client.put_json(&self.of(site, "/header"), &self.contribution(site).header).await
    }

    pub(crate) async fn put_envelopes(&self, site: &SiteId) -> Answer {
        let envelopes = self.contribution(site).envelopes;
        self.client.put(&self.of(site, "/envelopes"), frame::encode(&envelopes).unwrap()).await
    }

    pub(crate) async fn put_body(&self, site: &SiteId, offset: usize) -> Answer {
        let body = self.contribution(site).body[offset..].to_vec();
        self.client.put(&self.of(site, &format!("/body?offset={offset}")), body).await
    }

    /// Header, envelopes, body: until the receipt.
    pub(crate) async fn contribute(&self, site: &SiteId) -> ContributionProgress {
        self.put_header(site).await.ok();
        self.put_envelopes(site).await.ok();
        let progress: ContributionProgress = self.put_body(site, 0).await.json();
        let receipt = progress.receipt.as_ref().expect("a receipt");
        receipt.verify(&self.roster.study().aggregator_key, &"the aggregator").unwrap();
        assert_eq!(receipt.statement.header, self.contribution(site).header.digest());
        progress
    }

    pub(crate) async fn progress(&self, site: &SiteId) -> ContributionProgress {
        self.client.get(&self.of(site, "")).await.json()
    }

    pub(crate) async fn status(&self) -> RoundStatus {
        self.client.get(&self.path).await.json()
    }

    /// Long-polls until the round is in this state.
    pub(crate) async fn reach(&self, state: RoundState) -> RoundStatus {
        let mut status = self.status().await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
        while status.state != state {
            assert!(tokio::time::Instant::now() < deadline, "not {state:?}: {status:?}");
            let path = format!("{}?wait=5&after={}", self.path, status.version);
            status = self.client.get(&path).await.json();
        }
        status
    }

    pub(crate) fn review(&self, holder: &SiteId, complaints: &[&SiteId]) -> Signed<Review> {
        let review = Review {
            manifest: self.manifest.digest(),
            holder: holder.clone(),
            complaints: complaints.iter().map(|site| (*site).clone()).collect(),
        };
        self.roster.signed(holder, review)
    }

    pub(crate) async fn put_review(&self, holder: &SiteId, complaints: &[&SiteId]) -> Answer {
        let review = self.review(holder, complaints);
        self.client.put_json(&self.at(&format!("reviews/{holder}")), &review).await
    }

    pub(crate) async fn closing(&self) -> Signed<Closing> {
        let closing: Signed<Closing> = self.client.get(&self.at("closing")).await.json();
        Closing::check(&closing, self.roster.study(), &self.manifest.statement).unwrap();
        closing
    }

    pub(crate) fn endorsement(&self, holder: &SiteId, closing: Digest) -> Signed<Endorsement> {
        let endorsement = Endorsement {
            study: self.roster.digest(),
            round: self.manifest.statement.round,
            closing,
            holder: holder.clone(),
        };
        self.roster.signed(holder, endorsement)
    }

    pub(crate) async fn put_endorsement(&self, holder: &SiteId, closing: Digest) -> Answer {
        let endorsement = self.endorsement(holder, closing);
        self.client.put_json(&self.at(&format!("endorsements/{holder}")), &endorsement).await
    }

    pub(crate) fn opening(&self, holder: &SiteId, closing: Digest) -> OpeningFrame {
        let sealed = noise(&format!("opening {holder} {closing}"), 40_000);
        let opening = Opening {
            manifest: self.manifest.digest(),
            closing,
            holder: holder.clone(),
            sealed: Digest::of(&sealed),
            plaintext: Digest::of(b"salted"),
        };
        OpeningFrame { statement: self.roster.signed(holder, opening), sealed }
    }

    pub(crate) async fn put_opening(&self, holder: &SiteId, closing: Digest) -> Answer {
        let opening = self.opening(holder, closing);
        let path = self.at(&format!("openings/{holder}"));
        self.client.put(&path, frame::encode(&opening).unwrap()).await
    }

    pub(crate) async fn put_ack(&self, site: &SiteId, closing: Digest, model: &[u8]) -> Answer {
        let outcome = Outcome::Applied { model: Digest::of(model) };
        let (manifest, site) = (self.manifest.digest(), site.clone());
        let path = self.at(&format!("acks/{site}"));
        let acknowledgement = Acknowledgement { manifest, closing, site: site.clone(), outcome };
        self.client.put_json(&path, &self.roster.signed(&site, acknowledgement)).await
    }

    /// The naive sum of whole bodies.
    pub(crate) fn oracle(&self, sites: &[SiteId]) -> Vec<u8> {
        let study = self.roster.study();
        let bits = study.packing.wire_bits;
        let bytes = study.body_bytes().unwrap() as usize;
        let mut words = vec![0u64; bytes * 8 / usize::from(bits)];
        let mut of_site = words.clone();
        for site in sites {
            unpack(&self.contribution(site).body, bits, &mut of_site);
            for (word, other) in words.iter_mut().zip(&of_site) {
                *word = word.wrapping_add(*other) & (u64::MAX >> (64 - bits));
            }
        }
        let mut sum = vec![0; bytes];
        pack(&words, bits, &mut sum);
        sum
    }

    /// Checks the published sum over these sites against the oracle and the closing.
    pub(crate) async fn check_sum(&self, sites: &[SiteId]) {
        let closing = self.closing().await.statement;
        let included: Vec<&SiteId> = closing.included.iter().map(|entry| &entry.site).collect();
        assert_eq!(included, sites.iter().collect::<Vec<_>>());
        let sum = self.client.get(&self.at("sum")).await.ok().bytes;
        assert_eq!(Some(Digest::of(&sum)), closing.sum);
        assert_eq!(sum, self.oracle(sites));
    }
}
