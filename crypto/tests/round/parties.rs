//! Sites that sign real statements, and the aggregator that applies them to its round.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use ringfence_crypto::Digest;
use ringfence_crypto::dealing::{Answer, Trust};
use ringfence_crypto::id::{ClosingId, ModelId, RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::log::{LogEntry, LogHash, StudyLog};
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::ParameterSet;
use ringfence_crypto::round::{ClosedSet, Event, Round, RoundError, Verdict as Decision};
use ringfence_crypto::signature::{Signed, Statement, sign};
use ringfence_crypto::statement::{
    Acknowledgement, CHECK_BYTES, Certifiable, CheckKeySeals, Closing, Dispute, Endorsement,
    Endorses, Freeze, Header, HexBytes, Manifest, Opening, Outcome, Previous, PrivacyPolicy,
    Review, RosterEntry, Study, Subject, Training, Verdict, Weighting,
};
use ringfence_crypto::threshold::Threshold;

/// When round 0 is opened.
pub(crate) const START: UnixSeconds = UnixSeconds(2_000_000_000);

/// The sites of a study, the study, and the aggregator.
pub(crate) struct Parties {
    pub(crate) ids: Vec<SiteId>,
    pub(crate) study: Arc<Study>,
    keys: Vec<SigningKey>,
    aggregator: SigningKey,
}

impl Parties {
    /// Eight sites, seven of which hold keys, `c = 2`, `l = 1`: `t = 3`, `Q = 5`, `min_sites` 4.
    pub(crate) fn new() -> Self {
        Self::of(8, Threshold::derive(7, 2, 1, 8).unwrap())
    }

    pub(crate) fn of(sites: usize, threshold: Threshold) -> Self {
        let key = |index: usize| SigningKey::from_bytes(&[index as u8 + 1; 32]);
        let keys: Vec<SigningKey> = (0..sites).map(key).collect();
        let ids: Vec<SiteId> =
            (0..sites).map(|index| format!("site-{index}").parse().unwrap()).collect();
        let aggregator = key(99);
        let roster = ids.iter().zip(&keys).map(|(id, key)| RosterEntry {
            id: id.clone(),
            signature_key: key.verifying_key().into(),
            kem_key: HexBytes(vec![0; 1216]),
        });
        let study = Study {
            name: "a test".into(),
            created_at: START.earlier(1000),
            roster: roster.collect(),
            aggregator_key: aggregator.verifying_key().into(),
            parameters: ParameterSet::Std64,
            threshold,
            min_sites: threshold.min_sites_floor(),
            packing: Packing::derive(16, 0, sites, threshold.collusion).unwrap(),
            layout: Layout {
                tensors: vec![TensorLayout { name: "w".into(), shape: vec![9], clip: 0.5 }],
            },
            initial_model: ModelId(Digest::of(b"model")),
            weighting: Weighting::Equal,
            privacy: PrivacyPolicy::None,
            training: Training::None,
            min_round_seconds: 1,
            longest_round_seconds: 1000,
            review_seconds: 60,
            initiator_timeout_seconds: 3600,
            check_key: CheckKeySeals {
                commitment: Digest::of(b"check"),
                sealed: vec![HexBytes(vec![0; 48]); sites],
            },
        };
        Self { ids, study: Arc::new(study), keys, aggregator }
    }

    pub(crate) fn signed<T: Statement>(&self, site: usize, statement: T) -> Signed<T> {
        sign(statement, &self.keys[site])
    }

    pub(crate) fn by_aggregator<T: Statement>(&self, statement: T) -> Signed<T> {
        sign(statement, &self.aggregator)
    }

    /// The manifest of the round after `previous`, by the site whose turn it is.
    pub(crate) fn manifest(&self, previous: Option<&Previous>) -> Manifest {
        let round = previous.map_or(RoundNumber(0), |previous| previous.round.next());
        let trust = previous.map_or_else(Trust::default, |previous| previous.trust.clone());
        let opened_at = previous.map_or(START, |previous| previous.closed_at);
        Manifest {
            study: self.study.id(),
            round,
            initiator: self.study.initiator(round, 0, &trust).unwrap().id.clone(),
            opened_at,
            deadline: opened_at.after(600),
            holders: self.study.window(round),
            holder_keys: vec![None; self.study.threshold.holders.into()],
            base_model: Digest::of(b"base"),
            previous: previous.map(|previous| previous.closing),
            trust: trust.digest(),
        }
    }

    /// Under the signature of the initiator that it names.
    pub(crate) fn by_initiator(&self, manifest: Manifest) -> Signed<Manifest> {
        let site = self.study.position(&manifest.initiator).unwrap();
        self.signed(site, manifest)
    }
}

/// A round and the study's log, as an aggregator has them.
pub(crate) struct Game {
    pub(crate) parties: Parties,
    pub(crate) round: Round,
    pub(crate) events: Vec<Event>,
    pub(crate) log: StudyLog,
    pub(crate) now: UnixSeconds,
}

impl Game {
    pub(crate) fn new() -> Self {
        Self::begin(Parties::new(), None)
    }

    pub(crate) fn begin(parties: Parties, previous: Option<&Previous>) -> Self {
        let manifest = parties.by_initiator(parties.manifest(previous));
        let mut log = StudyLog::default();
        previous.map(|previous| log.append(LogEntry::of::<Closing>(previous.closing)));
        log.append(LogEntry::of_signed(&manifest));
        let now = manifest.statement.opened_at;
        let round =
            Round::open(parties.study.clone(), parties.study.id(), manifest, previous).unwrap();
        Self { parties, round, events: Vec::new(), log, now }
    }

    /// Makes a decision durable and applies it; whether it was new.
    pub(crate) fn take(&mut self, decision: Result<Decision, RoundError>) -> bool {
        let Decision::Fresh(event) = decision.unwrap() else { return false };
        event.entry().map(|entry| self.log.append(entry));
        self.events.push(event.clone());
        self.round.apply(event);
        true
    }

    pub(crate) fn fresh(&mut self, event: Event) {
        assert!(self.take(Ok(Decision::Fresh(event))));
    }

    pub(crate) fn header(&self, site: usize) -> Signed<Header> {
        let parties = &self.parties;
        let header = Header {
            study: parties.study.id(),
            round: self.round.number(),
            manifest: self.round.manifest_id(),
            site: parties.ids[site].clone(),
            body_bytes: parties.study.body_bytes().unwrap(),
            body: Digest::of(&[site as u8]),
            check: HexBytes(vec![0; CHECK_BYTES]),
            envelopes: vec![Digest::of(b"envelope"); parties.study.threshold.holders.into()],
            spent: None,
        };
        parties.signed(site, header)
    }

    pub(crate) fn headers(&self) -> Vec<Signed<Header>> {
        (0..self.parties.ids.len()).map(|site| self.header(site)).collect()
    }

    pub(crate) fn contribute(&mut self, sites: impl IntoIterator<Item = usize>) {
        for site in sites {
            self.take(self.round.announce(&self.header(site), self.now));
            let receipt = self.round.receipt(&self.parties.ids[site], self.now).unwrap();
            self.fresh(Event::Received(self.parties.by_aggregator(receipt)));
        }
    }

    pub(crate) fn freeze(&mut self) -> Freeze {
        let freeze = self.round.freeze_due(self.now).expect("collecting has ended");
        self.fresh(Event::Frozen(self.parties.by_aggregator(freeze.clone())));
        freeze
    }

    /// All contribute, and the list is frozen.
    pub(crate) fn frozen() -> Self {
        let mut game = Self::new();
        game.contribute(0..8);
        game.freeze();
        game
    }

    pub(crate) fn review(&self, holder: usize, accused: &[usize]) -> Signed<Review> {
        let freeze = &self.round.freeze().unwrap().statement;
        let accused: Vec<&SiteId> = accused.iter().map(|site| &self.parties.ids[*site]).collect();
        let answer = |dealer: &SiteId| match accused.contains(&dealer) {
            true => Answer::NoShare,
            false => Answer::Masked([7, 8]),
        };
        let review = Review {
            manifest: freeze.manifest,
            freeze: freeze.id(),
            holder: self.parties.ids[holder].clone(),
            answers: freeze.dealers().iter().map(answer).collect(),
        };
        self.parties.signed(holder, review)
    }

    pub(crate) fn put_review(&mut self, holder: usize, accused: &[usize]) {
        let review = self.review(holder, accused);
        assert!(self.take(self.round.review(&review)));
    }

    pub(crate) fn reviews(&self) -> Vec<Signed<Review>> {
        self.round.reviews().cloned().collect()
    }

    pub(crate) fn set(&self) -> Option<ClosedSet> {
        self.round.closed_set(self.now)
    }

    pub(crate) fn closing_of(&self, set: ClosedSet) -> Signed<Closing> {
        let sum = (!set.included().is_empty()).then(|| Digest::of(b"sum"));
        let closing = self.round.closing_of(set, sum, self.log.checkpoint(), self.now);
        self.parties.by_aggregator(closing)
    }

    pub(crate) fn close(&mut self) -> Closing {
        let closing = self.closing_of(self.set().expect("a set"));
        self.fresh(Event::Closed(closing.clone()));
        closing.statement
    }

    /// All holders review, and the set is fixed.
    pub(crate) fn closed() -> Self {
        let mut game = Self::frozen();
        (0..7).for_each(|holder| game.put_review(holder, &[]));
        game.close();
        game
    }

    pub(crate) fn endorse(&mut self, holders: impl IntoIterator<Item = usize>) {
        let closing = self.closing_id();
        for holder in holders {
            let endorsement = Endorsement {
                study: self.parties.study.id(),
                round: self.round.number(),
                closing,
                holder: self.parties.ids[holder].clone(),
            };
            let endorsement = self.parties.signed(holder, endorsement);
            assert!(self.take(self.round.endorse(&endorsement)));
        }
    }

    pub(crate) fn certified() -> Self {
        let mut game = Self::closed();
        game.endorse(0..5);
        game
    }

    pub(crate) fn closing_id(&self) -> ClosingId {
        self.round.closing().unwrap().id()
    }

    pub(crate) fn acknowledge(&mut self, site: usize, outcome: Outcome) {
        let acknowledgement = Acknowledgement {
            manifest: self.round.manifest_id(),
            closing: self.closing_id(),
            site: self.parties.ids[site].clone(),
            outcome,
        };
        let acknowledgement = self.parties.signed(site, acknowledgement);
        assert!(self.take(self.round.acknowledge(&acknowledgement)));
    }

    pub(crate) fn opening(&self, holder: usize, subject: Subject) -> Signed<Opening> {
        let opening = Opening {
            manifest: self.round.manifest_id(),
            closing: self.closing_id(),
            holder: self.parties.ids[holder].clone(),
            subject,
            content: Digest::of(b"content"),
            recipients: LogHash([1; 32]),
            plaintext: Digest::of(b"salted"),
        };
        self.parties.signed(holder, opening)
    }

    /// The first dispute.
    pub(crate) fn dispute(&self) -> Dispute {
        Dispute {
            study: self.parties.study.id(),
            round: self.round.number(),
            closing: self.closing_id(),
            index: 1,
            after: None,
            block: 0,
            coefficient: 4095,
        }
    }

    pub(crate) fn verdict(&self, dispute: Option<&Dispute>, sites: &[usize]) -> Verdict {
        Verdict {
            study: self.parties.study.id(),
            round: self.round.number(),
            closing: self.closing_id(),
            dispute: dispute.map(Statement::id),
            sites: sites.iter().map(|site| self.parties.ids[*site].clone()).collect(),
        }
    }

    pub(crate) fn endorses<S: Certifiable>(&self, holder: usize, of: &S) -> Signed<Endorses<S>> {
        let holder_id = self.parties.ids[holder].clone();
        self.parties.signed(holder, Endorses { statement: of.clone(), holder: holder_id })
    }

    pub(crate) fn put_dispute(&mut self, holders: std::ops::Range<usize>, dispute: &Dispute) {
        for holder in holders {
            let endorsement = self.endorses(holder, dispute);
            assert!(self.take(self.round.dispute(&endorsement)));
        }
    }

    pub(crate) fn put_verdict(&mut self, holders: std::ops::Range<usize>, verdict: &Verdict) {
        for holder in holders {
            let endorsement = self.endorses(holder, verdict);
            assert!(self.take(self.round.judge(&endorsement)));
        }
    }
}
