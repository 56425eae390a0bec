//! Rounds in memory, through the aggregator's machine and the sites' own: the one driver of whole
//! rounds without network and disk.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::Digest;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::dealing::{Answer, Trust};
use ringfence_crypto::id::{HeaderId, RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::ring::words::add_words;
use ringfence_crypto::round::{Event, Round, RoundError, Verdict};
use ringfence_crypto::signature::{Signed, sign};
use ringfence_crypto::statement::{
    Acknowledgement, Budget, Certificate, Closing, HolderKeys, Manifest, Outcome, Previous,
    PrivacyPolicy, Review, RoundKeys, Spent, Study, Subject,
};
use ringfence_crypto::threshold::Threshold;
use ringfence_keys::duties::holder::{Decision, Holder, Records, open_share_sum, sign_review};
use ringfence_keys::encrypt::contribution::{Contribution, ContributionContext};
use ringfence_keys::round_secret::{self, RoundSecret};
use ringfence_keys::share::challenge::Challenge;
use ringfence_keys::share::dealt::DealtShare;
use ringfence_keys::share::envelope::{EnvelopeError, open_envelope};
use ringfence_keys::update::quantize::QuantizedUpdate;
use ringfence_keys::update::site_noise::parameters::SiteNoise;

use crate::finished::FinishedRound;
use crate::log::log_of;
use crate::parties::{Parties, Proposal, ROUND_SECONDS, START, Setup};
use crate::shown::Shown;

/// A study whose rounds are run in memory.
#[derive(Debug)]
pub struct Rehearsal {
    /// Everybody's keys.
    pub parties: Arc<Parties>,
    /// The sites' randomness.
    pub rng: ChaCha20Rng,
    /// What holders have published for single rounds.
    pub round_keys: Vec<Signed<RoundKeys>>,
    /// What they hold for round 0 of that.
    pub secrets: BTreeMap<SiteId, RoundSecret>,
    /// How the last round ended.
    pub previous: Option<Previous>,
}

impl Deref for Rehearsal {
    type Target = Parties;

    fn deref(&self) -> &Parties {
        &self.parties
    }
}

/// One site's contribution and what it holds in the clear.
#[derive(Debug)]
pub struct Made {
    /// The quantized update, with its noise where the study protects whole sites.
    pub values: Vec<u32>,
    /// Header and envelopes.
    pub contribution: Contribution,
    /// Wire words.
    pub body: Vec<u8>,
}

impl Rehearsal {
    /// A study of `sites` sites with a window `(m, c, l)`, or the recommended one, over a model of
    /// so many 16-bit values clipped to `[-0.25, 0.25]`. Every second holder holds under round
    /// keys.
    pub fn new(sites: usize, window: Option<(u16, u16, u16)>, parameters: u32) -> Self {
        let rng = crate::rng(sites as u64 * 1000 + u64::from(parameters));
        let threshold = window.map(|(m, c, l)| Threshold::derive(m, c, l, sites).unwrap());
        let mut rehearsal =
            Self::of(Setup { sites, threshold, parameters, clip: 0.25, value_bits: 16 }, rng);
        let parties = Arc::clone(&rehearsal.parties);
        for identity in parties.identities.iter().skip(1).step_by(2) {
            let made: Vec<_> =
                (0..3).map(|_| RoundSecret::generate(&mut rehearsal.rng).unwrap()).collect();
            let keys = round_secret::publish(identity, parties.id, RoundNumber::FIRST, &made);
            rehearsal.round_keys.push(keys);
            let first = made.into_iter().take(1).map(|secret| (identity.site().clone(), secret));
            rehearsal.secrets.extend(first);
        }
        rehearsal
    }

    /// A study by its setup, whose holders hold under their long-term keys.
    pub fn of(setup: Setup, rng: ChaCha20Rng) -> Self {
        Self::altered(setup, |_| (), rng)
    }

    /// As [`Rehearsal::of`], of a study that is altered after it was drafted.
    pub fn altered(setup: Setup, alter: impl FnOnce(&mut Study), mut rng: ChaCha20Rng) -> Self {
        let parties = Arc::new(Parties::drafted(setup, alter, &mut rng));
        let (round_keys, secrets) = (Vec::new(), BTreeMap::new());
        Self { parties, rng, round_keys, secrets, previous: None }
    }

    /// When the next round is opened.
    fn opened_at(&self) -> UnixSeconds {
        self.previous.as_ref().map_or(START, |previous| previous.closed_at)
    }

    /// The next round's manifest, by the initiator whose turn it is.
    pub fn manifest(&self) -> Signed<Manifest> {
        let previous = self.previous.as_ref();
        let round = previous.map_or(RoundNumber::FIRST, |previous| previous.round.next());
        let none = Trust::default();
        let trust = previous.map_or(&none, |previous| &previous.trust);
        let initiator = &self.study.initiator(round, 0, trust).unwrap().id;
        self.parties.manifest(Proposal {
            initiator: self.study.position(initiator).unwrap(),
            previous,
            base_model: Digest::of(b"keyed model"),
            opened_at: self.opened_at(),
            round_keys: &self.round_keys,
        })
    }

    /// The next round, at the aggregator.
    pub fn round(&self) -> Round {
        let previous = self.previous.as_ref();
        Round::open(Arc::clone(&self.study), self.id, self.manifest(), previous).unwrap()
    }

    /// A contribution of some values by site `k`.
    pub fn contribute(&mut self, k: usize) -> Made {
        let value = |i: usize| ((i * 7 + k * 13) % 100) as f32 / 150.0 - 0.3;
        let update: Vec<f32> = (0..self.study.layout.values()).map(value).collect();
        let manifest = self.manifest().statement;
        self.contribution(k, &manifest, &update)
    }

    /// Site `k`'s contribution of an update to the round of any manifest.
    pub fn contribution(&mut self, k: usize, manifest: &Manifest, update: &[f32]) -> Made {
        let (parties, rng) = (&*self.parties, &mut self.rng);
        let study = &*parties.study;
        let context = ContributionContext {
            study,
            manifest,
            holder_keys: &HolderKeys::resolve(study, manifest, &self.round_keys).unwrap(),
            identity: parties.identities.get(k).unwrap(),
            check_key: &parties.check_key,
            spent: study.privacy.budget().map(spent_in_full),
        };
        let (layout, packing) = (&study.layout, &study.packing);
        let mut body = Vec::with_capacity(study.body_bytes().unwrap() as usize);
        if let PrivacyPolicy::SiteLevel(_) = study.privacy {
            let noise = SiteNoise::of(study).unwrap();
            let noised = noise.add(update, layout, packing, rng).unwrap();
            let contribution = Contribution::make(context, &noised, rng, &mut body).unwrap();
            return Made { values: noised.expose().collect(), contribution, body };
        }
        let quantized = QuantizedUpdate::quantize(update, layout, packing, rng).unwrap();
        let contribution = Contribution::make(context, &quantized, rng, &mut body).unwrap();
        Made { values: quantized.expose().to_vec(), contribution, body }
    }

    /// Announces and receipts contributions.
    pub fn collect(&self, round: &mut Round, made: &[Made]) {
        let now = round.manifest().statement.opened_at.after(1);
        for made in made {
            let header = &made.contribution.header;
            apply(round, |round| round.announce(header, now)).unwrap();
            let receipt = round.receipt(&header.statement.site, now).unwrap();
            round.apply(Event::Received(sign(receipt, &self.aggregator)));
        }
    }

    /// Freezes, reviews and closes over what was received, with the sum of the bodies of the set.
    pub fn close(&self, round: &mut Round, made: &[Made]) -> (Signed<Closing>, Vec<u8>) {
        let body = |header: HeaderId| {
            let made = made.iter().find(|made| made.contribution.header.id() == header);
            made.unwrap().body.as_slice()
        };
        self.close_over(round, made, |set| {
            let mut sum = self.no_words();
            set.iter().for_each(|header| self.add(&mut sum, body(*header)));
            sum
        })
    }

    /// The sum of no bodies.
    fn no_words(&self) -> Vec<u8> {
        vec![0; self.study.body_bytes().unwrap() as usize]
    }

    fn add(&self, sum: &mut [u8], body: &[u8]) {
        add_words(sum, body, self.study.packing.wire_bits).unwrap();
    }

    /// As [`Rehearsal::close`], with the sum over the set from whoever has it.
    fn close_over(
        &self,
        round: &mut Round,
        made: &[Made],
        add_up: impl FnOnce(&[HeaderId]) -> Vec<u8>,
    ) -> (Signed<Closing>, Vec<u8>) {
        let now = round.manifest().statement.opened_at.after(ROUND_SECONDS + 1);
        let freeze = sign(round.freeze_due(now).unwrap(), &self.aggregator);
        round.apply(Event::Frozen(freeze));
        for holder in self.holders(round.number()) {
            let review = self.review(round, &holder, made);
            apply(round, |round| round.review(&review)).unwrap();
        }
        let set = round.closed_set(now).unwrap();
        let members: Vec<HeaderId> = set.included().iter().map(|entry| entry.header).collect();
        let sum = add_up(&members);
        let digest = (!members.is_empty()).then(|| Digest::of(&sum));
        let checkpoint = log_of(round).checkpoint();
        let closing = sign(round.closing_of(set, digest, checkpoint, now), &self.aggregator);
        round.apply(Event::Closed(closing.clone()));
        (closing, sum)
    }

    /// A holder's review of the round's freeze: answers for the shares that it finds.
    pub fn review(&self, round: &Round, holder: &SiteId, made: &[Made]) -> Signed<Review> {
        let freeze = round.freeze().unwrap();
        let shown = Shown::of(round);
        let Decision::Fresh(id) = self.holder(holder).review(shown.freeze_view()).unwrap() else {
            panic!("{holder} has reviewed before");
        };
        let challenge = Challenge::of(id, &self.study.threshold);
        let answers = freeze.statement.contributions.iter().map(|entry| {
            let made = made.iter().find(|made| made.contribution.header.id() == entry.header);
            match self.share(made.unwrap(), holder) {
                Ok(share) => Answer::Masked(share.answer(&challenge)),
                Err(EnvelopeError::Bad(_)) => Answer::NoShare,
                Err(EnvelopeError::Wrong(wrong)) => panic!("{wrong}"),
            }
        });
        sign_review(self.identity(holder), round.manifest_id(), id, answers.collect())
    }

    /// The share that a holder finds in its envelope of a contribution.
    ///
    /// # Errors
    /// [`EnvelopeError`], by whose fault there is none.
    pub fn share(&self, made: &Made, holder: &SiteId) -> Result<DealtShare, EnvelopeError> {
        let header = &made.contribution.header.statement;
        let offset = self.study.holder_offset(header.round, holder).unwrap();
        let sealed = made.contribution.envelopes.get(offset).unwrap();
        let secret = self.secrets.get(holder);
        open_envelope(self.identity(holder), secret, &self.study, header, sealed)
    }

    /// A key holder that has endorsed nothing.
    pub fn holder(&self, site: &SiteId) -> Holder {
        let study = Arc::clone(&self.study);
        Holder::restore(study, site.clone(), Records::default(), None, None)
    }

    /// The round's holders but the silent ones, by their window offsets.
    pub(crate) fn answering(&self, round: &Round, silent: &[usize]) -> Vec<SiteId> {
        let holders = self.holders(round.number()).into_iter().enumerate();
        holders.filter(|(k, _)| !silent.contains(k)).map(|(_, holder)| holder).collect()
    }

    /// Endorses by all holders but the silent ones.
    pub fn endorse(&self, round: &mut Round, silent: &[usize]) {
        let shown = Shown::of(round);
        for holder in self.answering(round, silent) {
            let decision = self.holder(&holder).endorse(shown.closing_view()).unwrap();
            let Decision::Fresh(endorsement) = decision else {
                panic!("{holder} has endorsed before");
            };
            let signed = self.identity(&holder).sign(endorsement);
            apply(round, |round| round.endorse(&signed)).unwrap();
        }
    }

    /// The opening of one holder.
    pub fn opening(
        &mut self,
        round: &Round,
        holder: &SiteId,
        certificate: &Certificate,
        made: &[Made],
    ) -> OpeningFrame {
        let machine = self.holder(holder);
        let set = machine.may_open(&round.manifest().statement, certificate).unwrap();
        let shares: Vec<_> = set
            .sites()
            .map(|(site, header)| {
                let made = made.iter().find(|m| m.contribution.header.id() == header).unwrap();
                (site.clone(), self.share(made, holder).unwrap())
            })
            .collect();
        let mut rng = crate::rng(self.rng.next_u64());
        open_share_sum(self.identity(holder), &self.study, &set, &shares, &mut rng).unwrap()
    }

    /// Openings by all holders but the silent ones.
    pub fn openings(
        &mut self,
        round: &mut Round,
        made: &[Made],
        silent: &[usize],
    ) -> Vec<OpeningFrame> {
        let certificate = round.certificate().unwrap();
        let mut frames = Vec::new();
        for holder in self.answering(round, silent) {
            let frame = self.opening(round, &holder, &certificate, made);
            apply(round, |round| round.take_opening(&frame.statement)).unwrap();
            frames.push(frame);
        }
        frames
    }

    /// What a round leaves once it is closed. Who knows the plain sum adds it.
    pub fn finished(
        &self,
        round: &Round,
        sum: Vec<u8>,
        openings: Vec<OpeningFrame>,
    ) -> FinishedRound {
        let words = round.opening_words(Subject::Sum).unwrap();
        let check = |opening: OpeningFrame| opening.check(&self.study, words).unwrap();
        let closing = round.closing().unwrap().clone();
        let included = closing.statement.included.iter();
        let header = |site| round.contribution(site).unwrap().header.clone();
        let headers = included.map(|entry| header(&entry.site)).collect();
        FinishedRound {
            parties: Arc::clone(&self.parties),
            manifest: round.manifest().statement.clone(),
            closing,
            headers,
            body: Vec::new(),
            sum,
            plain: Vec::new(),
            openings: openings.into_iter().map(check).collect(),
        }
    }

    /// All sites acknowledge one model.
    pub fn agree(&self, round: &mut Round) {
        let closing = round.closing().unwrap().id();
        for identity in &self.identities {
            let acknowledgement = identity.sign(Acknowledgement {
                manifest: round.manifest_id(),
                closing,
                site: identity.site().clone(),
                outcome: Outcome::Applied { model: Digest::of(b"keyed model") },
            });
            apply(round, |round| round.acknowledge(&acknowledgement)).unwrap();
        }
    }

    /// A whole round to which the first `updates.len()` sites contribute. Bodies are added up as
    /// they are made, so that memory is that of one of them, whatever the number of sites.
    pub fn run(&mut self, updates: &[Vec<f32>]) -> FinishedRound {
        let mut round = self.round();
        let manifest = round.manifest().statement.clone();
        let (mut sum, mut plain) = (self.no_words(), vec![0; self.study.layout.values()]);
        let (mut made, mut body) = (Vec::new(), Vec::new());
        for (k, update) in updates.iter().enumerate() {
            let mut one = self.contribution(k, &manifest, update);
            self.collect(&mut round, std::slice::from_ref(&one));
            self.add(&mut sum, &one.body);
            add_values(&mut plain, &one.values);
            body = std::mem::take(&mut one.body);
            one.values = Vec::new();
            made.push(one);
        }
        let (_, sum) = self.close_over(&mut round, &made, |set| {
            assert_eq!(set.len(), updates.len(), "nobody was left out");
            sum
        });
        self.endorse(&mut round, &[]);
        let openings = self.openings(&mut round, &made, &[]);
        self.agree(&mut round);
        self.previous = round.ended();
        FinishedRound { plain, body, ..self.finished(&round, sum, openings) }
    }
}

/// A statement that the whole budget is spent, which every header may make.
fn spent_in_full(Budget { epsilon, delta }: Budget) -> Spent {
    Spent { rounds: 1, epsilon, delta }
}

/// Decides and applies, as the aggregator does around its durable write.
///
/// # Errors
/// What the decision is refused with; the round is as it was then.
pub fn apply(
    round: &mut Round,
    decide: impl FnOnce(&Round) -> Result<Verdict, RoundError>,
) -> Result<(), RoundError> {
    if let Verdict::Fresh(event) = decide(round)? {
        round.apply(event);
    }
    Ok(())
}

/// The naive oracle: integers added one by one.
pub fn plain_sum(made: &[Made]) -> Vec<u64> {
    let mut sum = vec![0; made.first().map_or(0, |made| made.values.len())];
    made.iter().for_each(|made| add_values(&mut sum, &made.values));
    sum
}

fn add_values(sum: &mut [u64], values: &[u32]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += u64::from(*value));
}
