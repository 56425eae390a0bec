//! Sites that sign real statements over random bytes, everything prepared before it is timed: what the
//! aggregator does with them is what it does with real contributions, which it cannot tell apart.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use ed25519_dalek::SigningKey;
use ringfence_crypto::Digest;
use ringfence_crypto::api::{
    ContributionFrame, EnvelopeFrame, OpeningFrame, SEALED_KEY_BYTES, content_bytes, opening_words,
    recipients,
};
use ringfence_crypto::dealing::{Answer, Trust};
use ringfence_crypto::id::{ClosingId, ModelId, RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::request::{
    CONTENT_DIGEST, ContentDigest, RequestParts, SIGNATURE, SIGNATURE_INPUT, sign as sign_request,
};
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::ParameterSet;
use ringfence_crypto::signature::{PublicKey, Signed, Statement, sign};
use ringfence_crypto::statement::{
    Acknowledgement, CHECK_BYTES, CheckKeySeals, Endorsement, Freeze, Header, HexBytes, Manifest,
    Opening, Outcome, PrivacyPolicy, Review, RosterEntry, SignedStudy, Study, Subject, Training,
    Weighting,
};
use ringfence_crypto::threshold::Threshold;
use ringfence_crypto::wire::{frame, json};
use ringfence_keys::share::dealt::dealt_bytes;
use ringfence_keys::share::seal::SEAL_OVERHEAD;

use super::http::Connection;
use super::ringfence::Aggregator;

/// Whose, the JSON of the signed header, the envelopes that it promises.
type Promise<'a> = (&'a SiteId, Vec<u8>, Vec<Vec<u8>>);

/// How long a round stays open: longer than anything that is measured.
const ROUND_SECONDS: u64 = 3600;

/// The sites of a study, its keys, and its round 0.
pub(super) struct Roster {
    pub(super) study: Study,
    pub(super) ids: Vec<SiteId>,
    keys: Vec<SigningKey>,
    manifest: Signed<Manifest>,
    /// Of the round.
    pub(super) path: String,
}

/// A request that is signed and ready.
pub(super) struct Request {
    method: &'static str,
    target: String,
    fields: Vec<(&'static str, String)>,
    /// What it carries, but for bodies, which are large.
    message: Vec<u8>,
}

impl Request {
    /// Sends it; its own message, or this body.
    ///
    /// # Errors
    /// When it is refused.
    pub(super) fn send(
        &self,
        connection: &mut Connection,
        body: Option<&[u8]>,
    ) -> anyhow::Result<Vec<u8>> {
        let body = body.unwrap_or(&self.message);
        connection.ask(self.method, &self.target, &self.fields, body)
    }

    /// Sends it and does not wait for its answer.
    ///
    /// # Errors
    /// When the server does not take it.
    pub(super) fn post(&self, connection: &mut Connection) -> anyhow::Result<()> {
        connection.send(self.method, &self.target, &self.fields, &self.message)
    }

    /// Bytes of its message.
    pub(super) fn len(&self) -> usize {
        self.message.len()
    }
}

fn now() -> anyhow::Result<UnixSeconds> {
    Ok(UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()))
}

/// Bytes that differ for every label.
pub(super) fn noise(label: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(label.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Bytes that pass for an X-Wing key: the coefficients of its ML-KEM half are small enough.
fn kem_key(name: &str) -> HexBytes {
    HexBytes(noise(name, 1216).into_iter().map(|byte| byte & 0x77).collect())
}

impl Roster {
    /// A study of so many sites and values, registered, with its round 0 open.
    ///
    /// # Errors
    /// When the aggregator refuses it.
    pub(super) fn register(
        aggregator: &Aggregator,
        connection: &mut Connection,
        name: &str,
        sites: usize,
        values: usize,
    ) -> anyhow::Result<Self> {
        Self::register_for(aggregator, connection, name, (sites, values, ROUND_SECONDS))
    }

    /// The same, with a round that waits for its sites for so many seconds.
    ///
    /// # Errors
    /// When the aggregator refuses it.
    pub(super) fn register_for(
        aggregator: &Aggregator,
        connection: &mut Connection,
        name: &str,
        (sites, values, seconds): (usize, usize, u64),
    ) -> anyhow::Result<Self> {
        let key =
            |index| SigningKey::from_bytes(&Digest::of(format!("{name} {index}").as_bytes()).0);
        let keys: Vec<SigningKey> = (0..sites).map(key).collect();
        let study = study(aggregator.key.parse()?, name, values, &keys)?;
        let ids: Vec<SiteId> = study.roster.iter().map(|site| site.id.clone()).collect();
        let mut signed = SignedStudy::unsigned(study.clone());
        for (id, key) in ids.iter().zip(&keys) {
            signed.sign(id, key)?;
        }
        connection.ask(
            "POST",
            "/v2/studies",
            &[Aggregator::authorization()],
            &json::compact(&signed),
        )?;
        let (round, opened_at) = (RoundNumber::FIRST, now()?);
        let trust = Trust::default();
        let initiator = study.initiator(round, 0, &trust).context("no initiator")?.id.clone();
        let manifest = Manifest {
            study: study.id(),
            round,
            initiator: initiator.clone(),
            opened_at,
            deadline: opened_at.after(seconds),
            holders: study.holders(round).map(|site| site.id.clone()).collect(),
            holder_keys: vec![None; study.threshold.holders.into()],
            base_model: Digest::of(name.as_bytes()),
            previous: None,
            trust: trust.digest(),
        };
        let position = study.position(&initiator).context("an initiator without a place")?;
        let manifest = sign(manifest, keys.get(position).context("no key")?);
        let rounds = format!("/v2/studies/{}/rounds", study.id());
        let path = format!("{rounds}/{round}");
        let roster = Self { study, ids, keys, manifest, path };
        let open = roster.request(position, "POST", rounds, json::compact(&roster.manifest))?;
        open.send(connection, None)?;
        Ok(roster)
    }

    /// A signed request of a site with a message.
    pub(super) fn request(
        &self,
        site: usize,
        method: &'static str,
        target: String,
        message: Vec<u8>,
    ) -> anyhow::Result<Request> {
        let digest = (method != "GET").then(|| ContentDigest::of(&message).header());
        self.signed_request(site, method, target, (digest, message))
    }

    fn signed_request(
        &self,
        site: usize,
        method: &'static str,
        target: String,
        (digest, message): (Option<String>, Vec<u8>),
    ) -> anyhow::Result<Request> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target.as_str(), None),
        };
        let parts = RequestParts { method, path, query, content_digest: digest.as_deref() };
        let (id, key) = self.ids.get(site).zip(self.keys.get(site)).context("no such site")?;
        let signed = sign_request(&parts, id, now()?, key);
        let mut fields = vec![(SIGNATURE_INPUT, signed.input), (SIGNATURE, signed.signature)];
        fields.extend(digest.map(|digest| (CONTENT_DIGEST, digest)));
        Ok(Request { method, target, fields, message })
    }

    /// What a site sends in the round where its body is large: header and envelopes with their messages,
    /// and the request that takes the body.
    ///
    /// # Errors
    /// When the study has no such site.
    pub(super) fn contribution(&self, site: usize, body: &[u8]) -> anyhow::Result<[Request; 3]> {
        let (id, header, envelopes) = self.promise(site, body)?;
        let at = |rest: &str| format!("{}/contributions/{id}/{rest}", self.path);
        let envelopes = frame::encode(&EnvelopeFrame { envelopes })?;
        Ok([
            self.request(site, "PUT", at("header"), header)?,
            self.request(site, "PUT", at("envelopes"), envelopes)?,
            self.signed_request(site, "PUT", at("body?offset=0"), (None, Vec::new()))?,
        ])
    }

    /// The same in one request, as a site sends it whose body is small.
    ///
    /// # Errors
    /// When the study has no such site.
    pub(super) fn whole(&self, site: usize, body: &[u8]) -> anyhow::Result<Request> {
        let (id, header, envelopes) = self.promise(site, body)?;
        let envelopes = envelopes.iter().map(Vec::as_slice).collect();
        let frame = ContributionFrame { header: &header, envelopes, body: Some(body) };
        let target = format!("{}/contributions/{id}", self.path);
        self.request(site, "PUT", target, frame.encode()?)
    }

    /// A site, the JSON of its signed header, and its envelopes.
    fn promise(&self, site: usize, body: &[u8]) -> anyhow::Result<Promise<'_>> {
        let (id, key) = self.ids.get(site).zip(self.keys.get(site)).context("no such site")?;
        let round = self.manifest.statement.round;
        // As long as real ones are.
        let length = |offset| dealt_bytes(&self.study.threshold, offset) + SEAL_OVERHEAD;
        let envelopes: Vec<Vec<u8>> = self
            .study
            .holders(round)
            .enumerate()
            .map(|(offset, holder)| noise(&format!("to {} from {id}", holder.id), length(offset)))
            .collect();
        let header = Header {
            study: self.study.id(),
            round,
            manifest: self.manifest.id(),
            site: id.clone(),
            body_bytes: body.len() as u64,
            body: Digest::of(body),
            check: HexBytes(noise(&format!("check {id}"), CHECK_BYTES)),
            envelopes: envelopes.iter().map(|envelope| Digest::of(envelope)).collect(),
            spent: None,
        };
        Ok((id, json::compact(&sign(header, key)), envelopes))
    }

    /// The reviews of a frozen list by all holders: nobody is accused, and all answer the same words,
    /// which lie on a constant polynomial.
    ///
    /// # Errors
    /// When the list cannot be fetched.
    pub(super) fn reviews(&self, connection: &mut Connection) -> anyhow::Result<Vec<Request>> {
        let freeze = self.freeze(0, connection)?;
        let holders = (0..self.ids.len()).filter(|site| self.holds(*site));
        holders.map(|holder| self.review(holder, &freeze)).collect()
    }

    /// The frozen list.
    ///
    /// # Errors
    /// When it cannot be fetched.
    pub(super) fn freeze(
        &self,
        site: usize,
        connection: &mut Connection,
    ) -> anyhow::Result<Signed<Freeze>> {
        let freeze = self.request(site, "GET", format!("{}/freeze", self.path), Vec::new())?;
        Ok(json::parse(&freeze.send(connection, None)?, usize::MAX, "freeze")?)
    }

    /// A holder's review, as in [`Self::reviews`].
    ///
    /// # Errors
    /// When there is no such site.
    pub(super) fn review(&self, site: usize, freeze: &Signed<Freeze>) -> anyhow::Result<Request> {
        let holder = self.id(site)?.clone();
        let target = format!("{}/reviews/{holder}", self.path);
        let answers = freeze.statement.dealers().iter().map(|_| Answer::Masked([7, 8])).collect();
        let review =
            Review { manifest: freeze.statement.manifest, freeze: freeze.id(), holder, answers };
        let review = self.signed(site, review)?;
        self.request(site, "PUT", target, review)
    }

    /// What a site is called.
    ///
    /// # Errors
    /// When there is no such site.
    pub(super) fn id(&self, site: usize) -> anyhow::Result<&SiteId> {
        self.ids.get(site).context("no such site")
    }

    /// Whether a site holds keys in the round.
    pub(super) fn holds(&self, site: usize) -> bool {
        let round = self.manifest.statement.round;
        self.ids.get(site).is_some_and(|id| self.study.holder_offset(round, id).is_some())
    }

    /// A holder's endorsement of the round's closing.
    ///
    /// # Errors
    /// When there is no such site.
    pub(super) fn endorsement(&self, site: usize, closing: ClosingId) -> anyhow::Result<Request> {
        let holder = self.id(site)?.clone();
        let target = format!("{}/endorsements/{holder}", self.path);
        let (study, round) = (self.study.id(), self.manifest.statement.round);
        let message = self.signed(site, Endorsement { study, round, closing, holder })?;
        self.request(site, "PUT", target, message)
    }

    /// A holder's opening of the sum: as long as a real one, and nothing in it.
    ///
    /// # Errors
    /// When there is no such site.
    pub(super) fn opening(&self, site: usize, closing: ClosingId) -> anyhow::Result<Request> {
        let (holder, key) = self.ids.get(site).zip(self.keys.get(site)).context("no such site")?;
        let target = format!("{}/openings/{holder}", self.path);
        let words = opening_words(&self.study.threshold, Subject::Sum, self.ids.len());
        let content = noise(&format!("opening of {holder}"), content_bytes(words));
        let sealed = |of: &SiteId| noise(&format!("{holder} to {of}"), SEALED_KEY_BYTES);
        let keys: Vec<Vec<u8>> = self.ids.iter().map(sealed).collect();
        let opening = Opening {
            manifest: self.manifest.id(),
            closing,
            holder: holder.clone(),
            subject: Subject::Sum,
            content: Digest::of(&content),
            recipients: recipients(&self.study, &keys).checkpoint().root,
            plaintext: Digest::of(b"nothing"),
        };
        let opening = OpeningFrame { statement: sign(opening, key), content, keys };
        self.request(site, "PUT", target, frame::encode(&opening)?)
    }

    /// A site's acknowledgement of a model, the same for all.
    ///
    /// # Errors
    /// When there is no such site.
    pub(super) fn acknowledgement(
        &self,
        site: usize,
        closing: ClosingId,
    ) -> anyhow::Result<Request> {
        let id = self.id(site)?.clone();
        let target = format!("{}/acks/{id}", self.path);
        let outcome = Outcome::Applied { model: Digest::of(b"model after the round") };
        let manifest = self.manifest.id();
        let message =
            self.signed(site, Acknowledgement { manifest, closing, site: id, outcome })?;
        self.request(site, "PUT", target, message)
    }

    fn signed<T: Statement + serde::Serialize>(
        &self,
        site: usize,
        statement: T,
    ) -> anyhow::Result<Vec<u8>> {
        let key = self.keys.get(site).context("no such site")?;
        Ok(json::compact(&sign(statement, key)))
    }
}

fn study(
    aggregator_key: PublicKey,
    name: &str,
    values: usize,
    keys: &[SigningKey],
) -> anyhow::Result<Study> {
    let sites = keys.len();
    let entry = |(index, key): (usize, &SigningKey)| {
        anyhow::Ok(RosterEntry {
            id: format!("site-{index}").parse()?,
            signature_key: key.verifying_key().into(),
            kem_key: kem_key(&format!("kem {index}")),
        })
    };
    let roster = keys.iter().enumerate().map(entry).collect::<anyhow::Result<_>>()?;
    let shape = vec![u32::try_from(values)?];
    let tensor = TensorLayout { name: "weights".into(), shape, clip: 0.5 };
    let threshold = Threshold::recommended(sites)?;
    Ok(Study {
        name: name.to_owned(),
        created_at: now()?.earlier(1000),
        roster,
        aggregator_key,
        parameters: ParameterSet::Std64,
        threshold,
        min_sites: threshold.min_sites_floor(),
        packing: Packing::derive(16, 0, sites, threshold.collusion)?,
        layout: Layout { tensors: vec![tensor] },
        initial_model: ModelId(Digest::of(b"model")),
        weighting: Weighting::Equal,
        privacy: PrivacyPolicy::None,
        training: Training::None,
        min_round_seconds: 1,
        longest_round_seconds: 30 * 24 * 3600,
        review_seconds: 600,
        initiator_timeout_seconds: 3600,
        check_key: CheckKeySeals {
            commitment: Digest::of(b"check"),
            sealed: vec![HexBytes(noise("seal", 48)); sites],
        },
    })
}
