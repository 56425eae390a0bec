//! A roster of sites that sign real statements over random bytes, without a service.

use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use ringfence_crypto::Digest;
use ringfence_crypto::api::EnvelopeFrame;
use ringfence_crypto::dealing::{Answer, Trust};
use ringfence_crypto::id::{ModelId, RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::ParameterSet;
use ringfence_crypto::ring::words::{pack, unpack, word_modulus};
use ringfence_crypto::signature::{PublicKey, Signed, Statement, sign};
use ringfence_crypto::statement::{
    CHECK_BYTES, CheckKeySeals, Freeze, Header, HexBytes, Manifest, Previous, PrivacyPolicy,
    Review, RosterEntry, SignedStudy, Study, Training, Weighting,
};
use ringfence_crypto::threshold::Threshold;

/// Values of a model whose bodies take 3 MiB: several chunks of the sum.
pub(crate) const LARGE: u32 = 1_150_000;

pub(crate) fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
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

/// What passes for the keyed digest of the model that a round starts from.
pub(crate) fn model(round: RoundNumber) -> Digest {
    Digest::of(&round.0.to_le_bytes())
}

/// When a round is opened, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Term {
    pub(crate) opened_at: UnixSeconds,
    pub(crate) seconds: u64,
}

impl Term {
    pub(crate) fn now(seconds: u64) -> Self {
        Self { opened_at: now(), seconds }
    }
}

/// The sites of a study, and the study.
#[derive(Clone)]
pub(crate) struct Roster {
    pub(crate) ids: Vec<SiteId>,
    pub(crate) keys: Vec<SigningKey>,
    pub(crate) signed: SignedStudy,
}

/// Bytes that pass for an X-Wing key: the coefficients of its ML-KEM half are small enough.
fn kem_key(name: &str) -> HexBytes {
    HexBytes(noise(name, 1216).into_iter().map(|byte| byte & 0x77).collect())
}

pub(crate) fn study(aggregator_key: PublicKey, shape: Shape, keys: &[SigningKey]) -> Study {
    let Shape { sites, values, review_seconds } = shape;
    let roster = (0..sites).map(|index| RosterEntry {
        id: format!("site-{index}").parse().unwrap(),
        signature_key: keys[index].verifying_key().into(),
        kem_key: kem_key(&format!("kem {index}")),
    });
    let tensor = TensorLayout { name: "weights".into(), shape: vec![values], clip: 0.5 };
    let threshold = Threshold::recommended(sites.max(3)).unwrap();
    Study {
        name: "a test".into(),
        created_at: now().earlier(1000),
        roster: roster.collect(),
        aggregator_key,
        parameters: ParameterSet::Std64,
        threshold,
        min_sites: threshold.min_sites_floor(),
        packing: Packing::derive(16, 0, sites, threshold.collusion).unwrap(),
        layout: Layout { tensors: vec![tensor] },
        initial_model: ModelId(Digest::of(b"model")),
        weighting: Weighting::Equal,
        privacy: PrivacyPolicy::None,
        training: Training::None,
        min_round_seconds: 1,
        longest_round_seconds: 30 * 24 * 3600,
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

    pub(crate) fn id(&self) -> StudyId {
        self.study().id()
    }

    pub(crate) fn key(&self, site: &SiteId) -> &SigningKey {
        &self.keys[self.study().position(site).unwrap()]
    }

    pub(crate) fn path(&self) -> String {
        format!("/v2/studies/{}", self.id())
    }

    /// The manifest that the initiator of a round would sign.
    pub(crate) fn manifest(
        &self,
        round: RoundNumber,
        term: Term,
        previous: Option<&Previous>,
    ) -> Manifest {
        let trust = previous.map_or_else(Trust::default, |previous| previous.trust.clone());
        Manifest {
            study: self.id(),
            round,
            initiator: self.study().initiator(round, 0, &trust).unwrap().id.clone(),
            opened_at: term.opened_at,
            deadline: term.opened_at.after(term.seconds),
            holders: self.study().holders(round).map(|site| site.id.clone()).collect(),
            holder_keys: vec![None; self.study().threshold.holders.into()],
            base_model: model(round),
            previous: previous.map(|previous| previous.closing),
            trust: trust.digest(),
        }
    }

    pub(crate) fn signed<T: Statement>(&self, site: &SiteId, statement: T) -> Signed<T> {
        sign(statement, self.key(site))
    }

    /// What a site sends in a round.
    pub(crate) fn contribution(&self, manifest: &Signed<Manifest>, site: &SiteId) -> Contribution {
        let study = self.study();
        let length = study.body_bytes().unwrap() as usize;
        let round = manifest.statement.round;
        let body = noise(&format!("body {site} {round}"), length);
        let envelopes: Vec<Vec<u8>> = study
            .holders(round)
            .map(|holder| noise(&format!("to {} from {site} {round}", holder.id), 2000))
            .collect();
        let header = Header {
            study: self.id(),
            round,
            manifest: manifest.id(),
            site: site.clone(),
            body_bytes: body.len() as u64,
            body: Digest::of(&body),
            check: HexBytes(noise(&format!("check {site} {round}"), CHECK_BYTES)),
            envelopes: envelopes.iter().map(|envelope| Digest::of(envelope)).collect(),
            spent: None,
        };
        let header = self.signed(site, header);
        Contribution { header, envelopes: EnvelopeFrame { envelopes }, body }
    }

    /// A holder's review of a frozen list: no share of the dealers that it accuses, and of the others
    /// the same words as every holder, which lie on a constant polynomial.
    pub(crate) fn review(
        &self,
        freeze: &Signed<Freeze>,
        holder: &SiteId,
        accused: &[&SiteId],
    ) -> Signed<Review> {
        let answer = |dealer: &SiteId| match accused.contains(&dealer) {
            true => Answer::NoShare,
            false => Answer::Masked([7, 8]),
        };
        let review = Review {
            manifest: freeze.statement.manifest,
            freeze: freeze.id(),
            holder: holder.clone(),
            answers: freeze.statement.dealers().iter().map(answer).collect(),
        };
        self.signed(holder, review)
    }

    /// The naive sum of whole bodies.
    pub(crate) fn oracle(&self, manifest: &Signed<Manifest>, sites: &[SiteId]) -> Vec<u8> {
        let study = self.study();
        let bits = study.packing.wire_bits;
        let bytes = study.body_bytes().unwrap() as usize;
        let mut words = vec![0u64; bytes * 8 / usize::from(bits)];
        let mut of_site = words.clone();
        for site in sites {
            unpack(&self.contribution(manifest, site).body, bits, &mut of_site);
            for (word, other) in words.iter_mut().zip(&of_site) {
                let total = u128::from(*word) + u128::from(*other);
                *word = (total % u128::from(word_modulus(bits))) as u64;
            }
        }
        let mut sum = vec![0; bytes];
        pack(&words, bits, &mut sum);
        sum
    }
}

/// What one site sends in one round.
#[derive(Clone)]
pub(crate) struct Contribution {
    pub(crate) header: Signed<Header>,
    pub(crate) envelopes: EnvelopeFrame,
    pub(crate) body: Vec<u8>,
}
