//! A round that is played against a running service: what its sites send, and what it answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringfence_crypto::Digest;
use ringfence_crypto::api::{
    ContributionProgress, OpeningContext, OpeningFrame, OpeningPart, SEALED_KEY_BYTES,
    content_bytes, opening_part_bytes, recipients,
};
use ringfence_crypto::id::{ClosingId, RoundNumber, SiteId};
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Acknowledgement, Closing, Endorsement, Manifest, Opening, Outcome, Receipt, Review,
};
use ringfence_crypto::wire::frame;

use crate::child::{Answer, Client};
use crate::roster::{Contribution, Roster, Term, noise};

/// One round, seen by all of its sites.
#[derive(Clone)]
pub(crate) struct Play {
    pub(crate) roster: Roster,
    pub(crate) manifest: Signed<Manifest>,
    pub(crate) client: Client,
    pub(crate) path: String,
    /// What the aggregator has signed for the sites, as they keep it.
    pub(crate) receipts: Arc<Mutex<BTreeMap<SiteId, Signed<Receipt>>>>,
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
        previous: Option<ClosingId>,
    ) -> Self {
        let manifest = roster.manifest(RoundNumber(round), Term::now(seconds), previous);
        let initiator = manifest.initiator.clone();
        let manifest = roster.signed(&initiator, manifest);
        let rounds = format!("{}/rounds", roster.path());
        let answer = client.post_json(&rounds, &manifest).await;
        assert_eq!(answer.status, 201);
        let status: RoundStatus = answer.json();
        assert_eq!((status.round, status.version), (RoundNumber(round), 0));
        let path = format!("{rounds}/{round}");
        Self { path, roster, manifest, client, receipts: Arc::default() }
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
        self.roster.contribution(&self.manifest, site)
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
        assert_eq!(receipt.statement.header, self.contribution(site).header.id());
        self.receipts.lock().unwrap().insert(site.clone(), receipt.clone());
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
        self.roster.review(&self.manifest, holder, complaints)
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

    pub(crate) fn endorsement(&self, holder: &SiteId, closing: ClosingId) -> Signed<Endorsement> {
        let endorsement = Endorsement {
            study: self.roster.id(),
            round: self.manifest.statement.round,
            closing,
            holder: holder.clone(),
        };
        self.roster.signed(holder, endorsement)
    }

    pub(crate) async fn put_endorsement(&self, holder: &SiteId, closing: ClosingId) -> Answer {
        let endorsement = self.endorsement(holder, closing);
        self.client.put_json(&self.at(&format!("endorsements/{holder}")), &endorsement).await
    }

    /// Random content and keys of the right lengths, and a statement that names them.
    pub(crate) fn opening(&self, holder: &SiteId, closing: ClosingId) -> OpeningFrame {
        let study = self.roster.study();
        let content =
            noise(&format!("opening {holder} {closing}"), content_bytes(&study.threshold));
        let key =
            |site: &SiteId| noise(&format!("key {holder} {closing} {site}"), SEALED_KEY_BYTES);
        let keys: Vec<_> = study.roster.iter().map(|site| key(&site.id)).collect();
        let opening = Opening {
            manifest: self.manifest.id(),
            closing,
            holder: holder.clone(),
            content: Digest::of(&content),
            recipients: recipients(study, &keys).checkpoint().root,
            plaintext: Digest::of(b"salted"),
        };
        OpeningFrame { statement: self.roster.signed(holder, opening), content, keys }
    }

    /// Where a site's part of a holder's opening is.
    pub(crate) fn part(&self, holder: &SiteId, site: &SiteId) -> String {
        self.at(&format!("openings/{holder}/recipients/{site}"))
    }

    /// The parts of a holder's opening as all sites fetch them.
    pub(crate) async fn check_parts(&self, holder: &SiteId, closing: ClosingId) {
        let (study, manifest) = (self.roster.study(), &self.manifest);
        let (round, manifest) = (manifest.statement.round, manifest.id());
        let context = OpeningContext { study, round, manifest, closing };
        let posted = self.opening(holder, closing);
        for (site, key) in self.ids().iter().zip(&posted.keys) {
            let part = self.client.get(&self.part(holder, site)).await.ok().bytes;
            assert!(part.len() <= opening_part_bytes(&study.threshold, study.roster.len()));
            let part: OpeningPart = frame::decode(&part, "a part").unwrap();
            part.check(context, site).unwrap();
            assert_eq!(part.statement, posted.statement);
            assert_eq!((&part.content, &part.key), (&posted.content, key));
        }
    }

    pub(crate) async fn put_opening(&self, holder: &SiteId, closing: ClosingId) -> Answer {
        let opening = self.opening(holder, closing);
        let path = self.at(&format!("openings/{holder}"));
        self.client.put(&path, frame::encode(&opening).unwrap()).await
    }

    pub(crate) async fn put_ack(&self, site: &SiteId, closing: ClosingId, model: &[u8]) -> Answer {
        let outcome = Outcome::Applied { model: Digest::of(model) };
        let (manifest, site) = (self.manifest.id(), site.clone());
        let path = self.at(&format!("acks/{site}"));
        let acknowledgement = Acknowledgement { manifest, closing, site: site.clone(), outcome };
        self.client.put_json(&path, &self.roster.signed(&site, acknowledgement)).await
    }

    /// The naive sum of whole bodies.
    pub(crate) fn oracle(&self, sites: &[SiteId]) -> Vec<u8> {
        self.roster.oracle(&self.manifest, sites)
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
