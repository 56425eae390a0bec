//! A study as its aggregator has it on record: the log over all rounds, every event, the bodies.
//!
//! The sites sign what they would sign and encrypt nothing: bodies are random words, which nobody
//! here opens. So a round of 1,000 sites takes no longer than its signatures.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use rand::{CryptoRng, Rng};
use ringfence_crypto::Digest;
use ringfence_crypto::dealing::Answer;
use ringfence_crypto::evidence::{RoundParts, RoundProof};
use ringfence_crypto::id::{ClosingId, RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::log::{
    Checkpoint, CheckpointText, LogEntry, LogHash, NoteKey, SignedNote, StudyLog, origin,
};
use ringfence_crypto::ring::words::WordSum;
use ringfence_crypto::round::{Event, Round, RoundError, Verdict as Decision};
use ringfence_crypto::signature::{PublicKey, Signed, Statement, sign};
use ringfence_crypto::statement::{
    Acknowledgement, CHECK_BYTES, Certifiable, Change, Dispute, Endorsement, Endorses, Epoch,
    Header, HexBytes, Lineage, Opening, Outcome, Previous, Review, RosterEntry, RoundKeys,
    SignedEpoch, SignedStudy, Spent, Subject, Verdict,
};
use ringfence_keys::identity::Identity;
use ringfence_keys::study::change::change;

use crate::parties::{Parties, Proposal, ROUND_SECONDS, START};

/// A study, the log of what was said in it, and its rounds so far.
#[derive(Debug)]
pub struct Record {
    /// Everybody's keys, under the roster of now.
    pub parties: Arc<Parties>,
    /// The same under the roster that the study began with: it names the log.
    pub first: Arc<Parties>,
    /// The study file: signing it takes as long as all else, with 10,000 sites.
    file: OnceLock<SignedStudy>,
    /// The changes of the roster so far.
    pub epochs: Vec<SignedEpoch>,
    /// The study's log.
    pub log: StudyLog,
    /// Its entries, in order.
    pub entries: Vec<LogEntry>,
    /// Round keys that were published.
    pub round_keys: Vec<Signed<RoundKeys>>,
    /// What is on record of each round.
    pub rounds: Vec<OnRecord>,
}

/// What is on record of a round.
#[derive(Debug)]
pub struct OnRecord {
    /// The round's machine.
    pub round: Round,
    /// How the round before ended.
    pub previous: Option<Previous>,
    /// Every event, in order.
    pub events: Vec<Event>,
    /// The bodies.
    pub bodies: BTreeMap<SiteId, Vec<u8>>,
    /// The sum over the set.
    pub sum: Option<Vec<u8>>,
    now: UnixSeconds,
}

impl Record {
    /// A study without rounds.
    pub fn of(parties: Arc<Parties>) -> Self {
        Self {
            first: Arc::clone(&parties),
            file: OnceLock::new(),
            parties,
            epochs: Vec::new(),
            log: StudyLog::default(),
            entries: Vec::new(),
            round_keys: Vec::new(),
            rounds: Vec::new(),
        }
    }

    /// The study file, signed by its whole roster.
    pub fn study_file(&self) -> SignedStudy {
        self.file.get_or_init(|| self.first.signed_study()).clone()
    }

    fn lineage(&self) -> Lineage {
        let mut lineage = Lineage::of(Arc::clone(&self.first.study));
        self.epochs.iter().for_each(|epoch| _ = lineage.add(epoch.clone()).unwrap());
        lineage
    }

    /// Changes the roster after the last round; everybody of before signs, and who comes: `new` are
    /// the identities of sites that come or have new keys.
    pub fn change(&mut self, changes: Vec<Change>, new: Vec<Identity>, rng: &mut impl CryptoRng) {
        let lineage = self.lineage();
        let last_round = RoundNumber((self.rounds.len() as u32).saturating_sub(1));
        let mut epoch = change(&lineage, changes, &[], last_round, rng).unwrap();
        let old = self.parties.identities.iter();
        for identity in old.clone().chain(&new) {
            epoch.sign(identity.site(), identity.signer());
        }
        let id = epoch.epoch.after;
        let copy = |site: &Identity| Identity::from_file(&site.to_file()).unwrap();
        let of = |entry: &RosterEntry| {
            let known = new.iter().chain(old.clone()).find(|site| site.site() == &entry.id);
            copy(known.unwrap())
        };
        let study = Arc::new(epoch.after.clone());
        let identities: Vec<Identity> = study.roster.iter().map(of).collect();
        let check_key = identities.first().unwrap().check_key(&study).unwrap();
        let aggregator = self.parties.aggregator.clone();
        self.append(LogEntry::of::<Epoch>(epoch.epoch.id()));
        self.epochs.push(epoch);
        self.parties = Arc::new(Parties { study, id, identities, check_key, aggregator });
    }

    /// Appends a statement to the log.
    pub fn append(&mut self, entry: LogEntry) {
        self.log.append(entry);
        self.entries.push(entry);
    }

    /// Publishes round keys.
    pub fn publish(&mut self, keys: Signed<RoundKeys>) {
        self.append(LogEntry::of_signed(&keys));
        self.round_keys.push(keys);
    }

    /// The last round.
    pub fn last(&self) -> &OnRecord {
        self.rounds.last().unwrap()
    }

    fn last_mut(&mut self) -> &mut OnRecord {
        self.rounds.last_mut().unwrap()
    }

    /// Opens the next round, from a base model by its keyed digest.
    pub fn begin(&mut self, base_model: &[u8]) {
        let number = self.rounds.len() as u32;
        let lineage = self.lineage();
        let previous = self.rounds.last().map(|last| {
            let ended = last.round.ended().unwrap();
            let trust = lineage.carried(&ended.trust, ended.round, RoundNumber(number));
            Previous { trust, ..ended }
        });
        let opened_at = previous.as_ref().map_or(START, |previous| previous.closed_at);
        let trust = previous.as_ref().map(|before| before.trust.clone()).unwrap_or_default();
        let study = Arc::clone(&self.parties.study);
        let initiator = &study.initiator(RoundNumber(number), 0, &trust).unwrap().id;
        // Those of another roster are of no use any more.
        let of_roster = |keys: &&Signed<RoundKeys>| keys.statement.study == self.parties.id;
        let round_keys: Vec<_> = self.round_keys.iter().filter(of_roster).cloned().collect();
        let manifest = self.parties.manifest(Proposal {
            initiator: study.position(initiator).unwrap(),
            previous: previous.as_ref(),
            base_model: Digest::of(base_model),
            opened_at,
            round_keys: &round_keys,
        });
        self.append(LogEntry::of_signed(&manifest));
        let round =
            Round::open(Arc::clone(&study), self.parties.id, manifest, previous.as_ref()).unwrap();
        self.rounds.push(OnRecord {
            round,
            previous,
            events: Vec::new(),
            bodies: BTreeMap::new(),
            sum: None,
            now: opened_at.after(1),
        });
    }

    /// Decides, logs and applies.
    ///
    /// # Errors
    /// What the round refuses it with.
    pub fn take(
        &mut self,
        decide: impl FnOnce(&Round) -> Result<Decision, RoundError>,
    ) -> Result<(), RoundError> {
        if let Decision::Fresh(event) = decide(&self.last().round)? {
            self.put(event);
        }
        Ok(())
    }

    /// Logs and applies an event.
    pub fn put(&mut self, event: Event) {
        if let Some(entry) = event.entry() {
            self.append(entry);
        }
        let last = self.last_mut();
        last.events.push(event.clone());
        last.round.apply(event);
    }

    /// Sites, by ring position, contribute random words, and state this of their budget.
    pub fn contribute(&mut self, sites: &[usize], spent: Option<Spent>, rng: &mut impl Rng) {
        let parties = Arc::clone(&self.parties);
        let length = parties.study.body_bytes().unwrap();
        for site in sites {
            let mut body = vec![0; length as usize];
            rng.fill_bytes(&mut body);
            let identity = parties.identities.get(*site).unwrap();
            let manifest = &self.last().round.manifest().statement;
            let envelope = |k: usize| Digest::of(format!("envelope {site} {k}").as_bytes());
            let header = identity.sign(Header {
                study: manifest.study,
                round: manifest.round,
                manifest: manifest.id(),
                site: identity.site().clone(),
                body_bytes: length,
                body: Digest::of(&body),
                check: HexBytes(vec![0; CHECK_BYTES]),
                envelopes: (0..manifest.holders.len()).map(envelope).collect(),
                spent,
            });
            let now = self.last().now;
            self.take(|round| round.announce(&header, now)).unwrap();
            let receipt = self.last().round.receipt(identity.site(), now).unwrap();
            self.put(Event::Received(sign(receipt, &parties.aggregator)));
            self.last_mut().bodies.insert(identity.site().clone(), body);
        }
    }

    /// Collecting ends.
    pub fn freeze(&mut self) {
        let manifest = &self.last().round.manifest().statement;
        let now = manifest.opened_at.after(ROUND_SECONDS + 1);
        self.last_mut().now = now;
        let freeze = self.last().round.freeze_due(now).unwrap();
        self.put(Event::Frozen(sign(freeze, &self.parties.aggregator)));
    }

    /// The holders at these window offsets review, and accuse these dealers, by ring position.
    pub fn review(&mut self, holders: &[usize], accused: &[usize]) {
        let parties = Arc::clone(&self.parties);
        let accused: Vec<&SiteId> =
            accused.iter().map(|site| parties.identities.get(*site).unwrap().site()).collect();
        for holder in self.holders(holders) {
            let freeze = &self.last().round.freeze().unwrap().statement;
            let answer = |dealer: &SiteId| match accused.contains(&dealer) {
                true => Answer::NoShare,
                false => Answer::Masked([7, 8]),
            };
            let review = parties.identity(&holder).sign(Review {
                manifest: freeze.manifest,
                freeze: freeze.id(),
                holder: holder.clone(),
                answers: freeze.dealers().iter().map(answer).collect(),
            });
            self.take(|round| round.review(&review)).unwrap();
        }
    }

    /// The set is fixed, and its bodies are added up.
    pub fn close(&mut self) {
        let study = Arc::clone(&self.parties.study);
        let checkpoint = self.log.checkpoint();
        let last = self.last_mut();
        let now = last.now.after(u64::from(study.review_seconds) + 1);
        let set = last.round.closed_set(now).unwrap();
        let length = study.body_bytes().unwrap() as usize;
        let mut sum = WordSum::new(study.packing.wire_bits, length).unwrap();
        set.included().iter().for_each(|entry| sum.add(&last.bodies[&entry.site]).unwrap());
        let sum = (!set.included().is_empty()).then(|| sum.finish());
        let digest = sum.as_deref().map(Digest::of);
        let closing = last.round.closing_of(set, digest, checkpoint, now);
        (last.sum, last.now) = (sum, now);
        self.put(Event::Closed(sign(closing, &self.parties.aggregator)));
    }

    /// The holders at these window offsets endorse.
    pub fn endorse(&mut self, holders: &[usize]) {
        let parties = Arc::clone(&self.parties);
        for holder in self.holders(holders) {
            let round = &self.last().round;
            let endorsement = parties.identity(&holder).sign(Endorsement {
                study: parties.id,
                round: round.number(),
                closing: self.closing(),
                holder: holder.clone(),
            });
            self.take(|round| round.endorse(&endorsement)).unwrap();
        }
    }

    /// The holders at these window offsets open something.
    pub fn open(&mut self, holders: &[usize], subject: Subject) {
        let parties = Arc::clone(&self.parties);
        for holder in self.holders(holders) {
            let opening = parties.identity(&holder).sign(Opening {
                manifest: self.last().round.manifest_id(),
                closing: self.closing(),
                holder: holder.clone(),
                subject,
                content: Digest::of(b"content"),
                recipients: LogHash([1; 32]),
                plaintext: Digest::of(b"salted"),
            });
            self.take(|round| round.take_opening(&opening)).unwrap();
        }
    }

    /// The holders at these window offsets certify that the sum does not decode, and that these sites,
    /// by ring position, are the cause; and open their keys.
    pub fn dispute(&mut self, holders: &[usize], culprits: &[usize]) {
        let parties = Arc::clone(&self.parties);
        let dispute = Dispute {
            study: parties.id,
            round: self.last().round.number(),
            closing: self.closing(),
            index: 1,
            after: None,
            block: 0,
            coefficient: 77,
        };
        let sites = culprits.iter().map(|site| parties.identities.get(*site).unwrap().site());
        let mut sites: Vec<SiteId> = sites.cloned().collect();
        sites.sort();
        let verdict = Verdict {
            study: parties.id,
            round: dispute.round,
            closing: dispute.closing,
            dispute: Some(dispute.id()),
            sites,
        };
        self.certify(holders, &dispute, |round, signed| round.dispute(signed));
        self.open(holders, Subject::Functionals { dispute: dispute.id() });
        self.certify(holders, &verdict, |round, signed| round.judge(signed));
        self.open(holders, Subject::Keys { verdict: verdict.id() });
    }

    fn certify<S: Certifiable>(
        &mut self,
        holders: &[usize],
        statement: &S,
        decide: impl Fn(&Round, &Signed<Endorses<S>>) -> Result<Decision, RoundError>,
    ) {
        let parties = Arc::clone(&self.parties);
        for holder in self.holders(holders) {
            let endorses = Endorses { statement: statement.clone(), holder: holder.clone() };
            let signed = parties.identity(&holder).sign(endorses);
            self.take(|round| decide(round, &signed)).unwrap();
        }
    }

    /// Sites, by ring position, say what became of the sum: a model by its keyed digest, or nothing.
    pub fn acknowledge(&mut self, sites: &[usize], model: Option<&[u8]>) {
        let parties = Arc::clone(&self.parties);
        for site in sites {
            let identity = parties.identities.get(*site).unwrap();
            let outcome = model
                .map_or(Outcome::Failed, |model| Outcome::Applied { model: Digest::of(model) });
            let acknowledgement = identity.sign(Acknowledgement {
                manifest: self.last().round.manifest_id(),
                closing: self.closing(),
                site: identity.site().clone(),
                outcome,
            });
            self.take(|round| round.acknowledge(&acknowledgement)).unwrap();
        }
    }

    /// A whole round without a fault, to which all sites contribute.
    pub fn run(&mut self, base: &[u8], model: &[u8], rng: &mut impl Rng) {
        let everybody: Vec<usize> = (0..self.parties.identities.len()).collect();
        let holders: Vec<usize> = (0..self.parties.study.threshold.holders.into()).collect();
        self.begin(base);
        self.contribute(&everybody, None, rng);
        self.freeze();
        self.review(&holders, &[]);
        self.close();
        self.endorse(&holders);
        self.open(&holders, Subject::Sum);
        self.acknowledge(&everybody, Some(model));
    }

    /// The file of a round, in the log as it is now.
    pub fn proof(&self, round: usize) -> RoundProof {
        let of = self.rounds.get(round).unwrap();
        let manifest = of.round.manifest().clone();
        let before = of.previous.as_ref().map(|previous| {
            let before = self.rounds.get(round - 1).unwrap();
            (before.round.closing().unwrap().clone(), previous.trust.clone())
        });
        let named = manifest.statement.holder_keys.iter().flatten();
        let keys = named.map(|id| self.round_keys.iter().find(|keys| keys.id() == *id).unwrap());
        let round_keys = keys.cloned().collect();
        let events = of.events.clone();
        let lineage = self.lineage();
        let number = RoundNumber(round as u32);
        let epochs = lineage.all().filter(|study| study.from <= number);
        let epochs = epochs.filter_map(|study| study.epoch.as_deref().cloned()).collect();
        let parts = RoundParts { epochs, before, round_keys, manifest, events };
        RoundProof::gather(parts, &self.log, self.checkpoint()).unwrap()
    }

    /// The log's checkpoint, and the note that it is signed as.
    pub fn checkpoint(&self) -> (Checkpoint, SignedNote) {
        let (origin, checkpoint) = (origin(self.first.id), self.log.checkpoint());
        let key = PublicKey::from(self.parties.aggregator.verifying_key());
        let text = CheckpointText::new(&origin, checkpoint).unwrap().to_string();
        let note = NoteKey::new(&origin, key).unwrap().sign(text, &self.parties.aggregator);
        (checkpoint, note.unwrap())
    }

    fn closing(&self) -> ClosingId {
        self.last().round.closing().unwrap().id()
    }

    fn holders(&self, offsets: &[usize]) -> Vec<SiteId> {
        let window = self.parties.holders(self.last().round.number());
        offsets.iter().map(|offset| window.get(*offset).unwrap().clone()).collect()
    }
}
