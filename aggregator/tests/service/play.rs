//! A round that is played against a running service: what its sites send, and what it answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringfence_crypto::Digest;
use ringfence_crypto::api::{
    ContributionFrame, ContributionProgress, OpenedFrame, OpeningContext, OpeningFrame,
    OpeningPart, SEALED_KEY_BYTES, content_bytes, opening_part_bytes, recipients, share_words,
};
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{ClosingId, RoundNumber, SiteId};
use ringfence_crypto::round::{RoundState, RoundStatus, SiteSet};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Acknowledgement, Closing, Endorsement, Freeze, Manifest, Opening, Outcome, Previous, Receipt,
    Review, SetView, Subject,
};
use ringfence_crypto::wire::{frame, json};

use crate::child::{Answer, Client};
use crate::roster::{Contribution, Roster, Term, model, noise};

/// One round, seen by all of its sites.
#[derive(Clone)]
pub(crate) struct Play {
    pub(crate) roster: Roster,
    pub(crate) manifest: Signed<Manifest>,
    pub(crate) client: Client,
    pub(crate) path: String,
    /// Before the round.
    pub(crate) trust: Trust,
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
        previous: Option<&Previous>,
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
        let trust = previous.map_or_else(Trust::default, |previous| previous.trust.clone());
        Self { path, trust, roster, manifest, client, receipts: Arc::default() }
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

    /// The frame of a contribution as it is, or with another body.
    pub(crate) fn frame_of(&self, contribution: &Contribution, body: Option<&[u8]>) -> Vec<u8> {
        let header = json::compact(&contribution.header);
        let envelopes = contribution.envelopes.envelopes.iter().map(Vec::as_slice).collect();
        ContributionFrame { header: &header, envelopes, body }.encode().unwrap()
    }

    /// Header, envelopes and body in one request.
    pub(crate) async fn put_whole(&self, site: &SiteId) -> Answer {
        let contribution = self.contribution(site);
        let frame = self.frame_of(&contribution, Some(&contribution.body));
        self.client.put(&self.of(site, ""), frame).await
    }

    /// The same, until the receipt.
    pub(crate) async fn contribute_whole(&self, site: &SiteId) -> ContributionProgress {
        let progress: ContributionProgress = self.put_whole(site).await.json();
        let receipt = progress.receipt.as_ref().expect("a receipt");
        receipt.verify(&self.roster.study().aggregator_key, &"the aggregator").unwrap();
        let contribution = self.contribution(site);
        assert_eq!(receipt.statement.header, contribution.header.id());
        assert_eq!(
            (progress.envelopes, progress.body_bytes),
            (true, contribution.body.len() as u64)
        );
        self.receipts.lock().unwrap().insert(site.clone(), receipt.clone());
        progress
    }

    pub(crate) async fn progress(&self, site: &SiteId) -> ContributionProgress {
        self.client.get(&self.of(site, "")).await.json()
    }

    /// These sites, as a status has them.
    pub(crate) fn set<'a>(&self, sites: impl IntoIterator<Item = &'a SiteId>) -> SiteSet {
        SiteSet::of(&self.roster.study().roster, sites)
    }

    pub(crate) async fn status(&self) -> RoundStatus {
        self.client.get(&self.path).await.json()
    }

    /// Long-polls until the round is in this state.
    pub(crate) async fn reach(&self, state: RoundState) -> RoundStatus {
        self.reach_within(state, Duration::from_secs(15)).await
    }

    /// The same, with more patience.
    pub(crate) async fn reach_within(&self, state: RoundState, patience: Duration) -> RoundStatus {
        let mut status = self.status().await;
        let deadline = tokio::time::Instant::now() + patience;
        while status.state != state {
            assert!(tokio::time::Instant::now() < deadline, "not {state:?}: {status:?}");
            let path = format!("{}?wait=5&after={}", self.path, status.version);
            status = self.client.get(&path).await.json();
        }
        status
    }

    /// Waits until the bytes of exactly these sites are wanted.
    pub(crate) async fn wanted(&self, sites: &[SiteId]) -> RoundStatus {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
        loop {
            let status = self.status().await;
            if status.wanted.iter().map(|wanted| &wanted.site).eq(sites) {
                return status;
            }
            assert!(tokio::time::Instant::now() < deadline, "{status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn freeze(&self) -> Signed<Freeze> {
        let freeze: Signed<Freeze> = self.client.get(&self.at("freeze")).await.json();
        let (study, manifest) = (self.roster.study(), &self.manifest.statement);
        Freeze::check(&freeze, study, manifest, &self.trust).unwrap();
        freeze
    }

    pub(crate) async fn review(&self, holder: &SiteId, accused: &[&SiteId]) -> Signed<Review> {
        self.roster.review(&self.freeze().await, holder, accused)
    }

    pub(crate) async fn put_review(&self, holder: &SiteId, accused: &[&SiteId]) -> Answer {
        let review = self.review(holder, accused).await;
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

    /// Words of an opening of the sum.
    pub(crate) fn sum_words(&self) -> usize {
        share_words(&self.roster.study().threshold)
    }

    pub(crate) fn opening(&self, holder: &SiteId, closing: ClosingId) -> OpeningFrame {
        self.opening_of(holder, closing, (Subject::Sum, self.sum_words()))
    }

    /// Random content of so many words, keys, and a statement that names them.
    pub(crate) fn opening_of(
        &self,
        holder: &SiteId,
        closing: ClosingId,
        (subject, words): (Subject, usize),
    ) -> OpeningFrame {
        let study = self.roster.study();
        let label = format!("{subject:?} {holder} {closing}");
        let content = noise(&label, content_bytes(words));
        let key = |site: &SiteId| noise(&format!("key {label} {site}"), SEALED_KEY_BYTES);
        let keys: Vec<_> = study.roster.iter().map(|site| key(&site.id)).collect();
        let opening = Opening {
            manifest: self.manifest.id(),
            closing,
            holder: holder.clone(),
            subject,
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
        let posted = self.opening(holder, closing);
        self.check_parts_of("openings", &posted, self.sum_words()).await;
        for (place, site) in self.ids().iter().enumerate() {
            let parts = self.opened(site, 0).await;
            let part = parts.iter().flatten().find(|part| part.statement == posted.statement);
            assert_eq!(part.unwrap().key, posted.keys[place]);
            assert_eq!(self.opened(site, 1).await, parts[1..]);
            assert_eq!(self.opened(site, parts.len()).await, []);
        }
    }

    /// A site's parts of the openings, from the first on or a later one.
    pub(crate) async fn opened(&self, site: &SiteId, from: usize) -> Vec<Option<OpeningPart>> {
        let path = self.at(&format!("opened/{site}?from={from}"));
        let OpenedFrame { parts } =
            frame::decode(&self.client.get(&path).await.ok().bytes, "parts").unwrap();
        parts
    }

    /// The parts of an opening of so many words as all sites fetch them there.
    pub(crate) async fn check_parts_of(&self, there: &str, posted: &OpeningFrame, words: usize) {
        let (study, manifest) = (self.roster.study(), &self.manifest);
        let (round, manifest) = (manifest.statement.round, manifest.id());
        let Opening { closing, subject, holder, .. } = &posted.statement.statement;
        let (closing, subject) = (*closing, *subject);
        let context = OpeningContext { study, round, manifest, closing, subject, words };
        for (site, key) in self.ids().iter().zip(&posted.keys) {
            let path = self.at(&format!("{there}/{holder}/recipients/{site}"));
            let part = self.client.get(&path).await.ok().bytes;
            assert!(part.len() <= opening_part_bytes(words, study.roster.len()));
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
        self.put_outcome(site, closing, Outcome::Applied { model: Digest::of(model) }).await
    }

    pub(crate) async fn put_outcome(
        &self,
        site: &SiteId,
        closing: ClosingId,
        outcome: Outcome,
    ) -> Answer {
        let (manifest, site) = (self.manifest.id(), site.clone());
        let path = self.at(&format!("acks/{site}"));
        let acknowledgement = Acknowledgement { manifest, closing, site: site.clone(), outcome };
        self.client.put_json(&path, &self.roster.signed(&site, acknowledgement)).await
    }

    /// All sites acknowledge the model that the next round starts from; how the round ended.
    pub(crate) async fn agree(&self) -> Previous {
        let closing = self.closing().await.id();
        let next = model(self.manifest.statement.round.next());
        for site in self.ids() {
            self.put_outcome(site, closing, Outcome::Applied { model: next }).await.ok();
        }
        self.ended().await
    }

    /// Checks set and exclusions of the closing as a holder does.
    pub(crate) async fn check_set(&self) {
        let freeze = self.freeze().await.statement;
        let reviews: Vec<Signed<Review>> = self.client.get(&self.at("reviews")).await.json();
        let headers: Vec<_> =
            self.ids().iter().map(|site| self.contribution(site).header).collect();
        let (trust, reviews) = (&self.trust, &reviews);
        let shown = SetView { trust, freeze: &freeze, headers: &headers, reviews };
        self.closing().await.statement.check_set(self.roster.study(), shown).unwrap();
    }

    /// How the round ended, as everybody works it out.
    pub(crate) async fn ended(&self) -> Previous {
        let (closing, freeze) = (self.closing().await, self.freeze().await.statement);
        let reviews: Vec<Signed<Review>> = self.client.get(&self.at("reviews")).await.json();
        let Closing { round, closed_at, .. } = closing.statement;
        let study = self.roster.study();
        let judged = closing.statement.judge(study, &self.trust, &freeze, &reviews);
        let trust = self.proceedings().await.bar(judged.unwrap().trust);
        Previous { round, closing: closing.id(), closed_at, trust }
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
