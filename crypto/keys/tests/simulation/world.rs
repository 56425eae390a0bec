//! What a schedule is drawn from: dice, faults, a mock clock, a network that loses, repeats and
//! reorders, and durable writes that are crashed into.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::id::{ManifestId, UnixSeconds};
use ringfence_crypto::log::StudyLog;
use ringfence_crypto::round::RoundState;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Closing, Endorsement, HolderKeys, Manifest, Receipt,
    RestoreRequest, Review, RoundKeys, Standing, Study,
};

use crate::checks::Observer;
use crate::cipher::{Cipher, Level, Posted};
use ringfence_testkit::{Parties, START};

/// The schedule's only source of chance.
pub(crate) struct Dice(pub(crate) ChaCha20Rng);

impl Dice {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n as u64) as usize
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

/// A fault that is put into a party on purpose, to see that the checks find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Holders endorse without writing it down.
    ForgetsEndorsements,
    /// Sites contribute without writing it down.
    ForgetsContributions,
    /// Sites do not ask the contributor's rules, but for that on restores.
    NoContributionRules,
    /// Holders open what they endorsed before it is certified.
    OpensEarly,
    /// Holders endorse closings that leave out what they hold a receipt for.
    IgnoresReceipt,
    /// A holder restored from a backup endorses where it may have endorsed.
    EndorsesAfterRestore,
    /// A site restored from a backup contributes where it may have contributed.
    ContributesAfterRestore,
    /// A site restored from a backup takes the aggregator's word on how many rounds there are.
    BelievesAggregator,
    /// Dealers seal to long-term keys where the manifest names round keys.
    SealsToLongTerm,
    /// Holders complain about envelopes that they have lost the round's secret for.
    ComplainsWithoutSecret,
    /// Holders keep the secrets of rounds that are over for them.
    KeepsSecrets,
    /// Holders destroy a round's secret when they endorse, not when their opening is durable.
    DestroysEarly,
    /// Holders do not send again what they wrote before a crash.
    NeverRepeats,
    /// The aggregator adds one body twice.
    AddsTwice,
    /// The aggregator leaves one body out of the sum.
    AddsOneLess,
    /// The aggregator leaves a receipt out of the set.
    OmitsReceipt,
    /// The aggregator applies an event before it is durable.
    AppliesFirst,
    /// The aggregator appends to its log before the event is durable.
    LogsFirst,
    /// The aggregator freezes the round on a message that its machine refuses.
    AppliesRefused,
}

/// The one site that may be corrupt (`c = 1`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Corrupt {
    pub(crate) site: usize,
    /// Endorses everything it is shown.
    pub(crate) endorses: bool,
    /// Opens wrong shares.
    pub(crate) lies: bool,
    /// Complains about a good envelope.
    pub(crate) complains: bool,
    /// Holders to whom it deals broken envelopes.
    pub(crate) broken: usize,
}

/// What goes wrong in a schedule.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// Chance of a crash before a durable write, and again after it, in percent.
    pub(crate) crash: usize,
    /// Of a message lost, delivered again later, or replayed from the past.
    pub(crate) lost: usize,
    pub(crate) again: usize,
    pub(crate) replay: usize,
    /// The aggregator signs two closings for a round and shows both.
    pub(crate) equivocates: bool,
    pub(crate) corrupt: Option<Corrupt>,
    /// Neither reviews, endorses nor opens.
    pub(crate) silent_holder: Option<usize>,
    /// Does not contribute.
    pub(crate) silent_sites: Vec<usize>,
    /// Publish KEM keys for single rounds; the others are sealed to under their long-term keys.
    pub(crate) publish: Vec<usize>,
    /// Loses its disk now and then, and is restored from an old backup.
    pub(crate) restored: Option<usize>,
    /// Chance that an initiator opens a round on an old model, in percent.
    pub(crate) stale: usize,
}

impl Faults {
    pub(crate) fn draw(dice: &mut Dice, sites: usize) -> Self {
        let rate = |dice: &mut Dice, most: usize| match dice.percent(50) {
            true => dice.below(most + 1),
            false => 0,
        };
        let one = |dice: &mut Dice, chance| dice.percent(chance).then(|| dice.below(sites));
        let equivocates = dice.percent(35);
        let corrupt = one(dice, 40).map(|site| Corrupt {
            site,
            endorses: dice.percent(70),
            lies: dice.percent(40),
            complains: dice.percent(30),
            broken: if dice.percent(40) { 1 + dice.below(sites) } else { 0 },
        });
        Self {
            crash: rate(dice, 6),
            lost: rate(dice, 15),
            again: rate(dice, 25),
            replay: rate(dice, 10),
            equivocates,
            corrupt,
            silent_holder: one(dice, 20),
            silent_sites: (0..sites).filter(|_| dice.percent(8)).collect(),
            publish: (0..sites).filter(|_| dice.percent(60)).collect(),
            restored: one(dice, 35),
            stale: rate(dice, 40),
        }
    }

    /// What it takes for one holder's second endorsement to certify a second set: rare by chance.
    fn provoke(&mut self) {
        let corrupt = Corrupt { site: 0, endorses: true, lies: false, complains: false, broken: 0 };
        (self.equivocates, self.corrupt, self.restored) = (true, Some(corrupt), Some(1));
        (self.silent_holder, self.silent_sites) = (None, Vec::new());
    }

    /// Whether every round must end all the same.
    pub(crate) fn tolerable(&self, study: &Study) -> bool {
        // A holder that was restored abstains, and may have lost its round's secret.
        let silent: BTreeSet<_> = self.silent_holder.into_iter().chain(self.restored).collect();
        let answer = silent.len() <= usize::from(study.threshold.silent_tolerated());
        !self.equivocates && self.corrupt.is_none() && answer
    }

    pub(crate) fn corrupt(&self, site: usize) -> Option<Corrupt> {
        self.corrupt.filter(|corrupt| corrupt.site == site)
    }
}

/// What the aggregator shows of a round at some moment; old ones may come late.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) manifest: Signed<Manifest>,
    pub(crate) state: RoundState,
    pub(crate) posted: Vec<Arc<Posted>>,
    pub(crate) reviews: Vec<Signed<Review>>,
    pub(crate) closing: Option<Signed<Closing>>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) openings: Vec<Arc<OpeningFrame>>,
    pub(crate) sum: Option<Arc<Vec<u8>>>,
}

/// What sites ask the aggregator for when they need it.
#[derive(Clone, Copy)]
pub(crate) struct Served<'a> {
    pub(crate) log: &'a StudyLog,
    pub(crate) round_keys: &'a [Signed<RoundKeys>],
    /// Rounds opened so far.
    pub(crate) rounds: u32,
}

/// What travels.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Manifest(Signed<Manifest>),
    Contribution(Arc<Posted>),
    Review(Signed<Review>),
    Endorsement(Signed<Endorsement>),
    Opening(Arc<OpeningFrame>),
    Acknowledgement(Signed<Acknowledgement>),
    RoundKeys(Signed<RoundKeys>),
    Receipt(Signed<Receipt>),
    Show(Arc<Shown>),
    Restore(Signed<RestoreRequest>),
    Standing(Signed<Standing>),
}

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Aggregator,
    Site(usize),
}

/// The process died; what it had in memory is gone.
#[derive(Debug)]
pub(crate) struct Crash;

/// Everything around the parties.
pub(crate) struct World {
    pub(crate) level: Level,
    pub(crate) broken: Option<Broken>,
    pub(crate) parties: Arc<Parties>,
    pub(crate) faults: Faults,
    pub(crate) dice: Dice,
    pub(crate) now: UnixSeconds,
    pub(crate) queue: Vec<(To, Message)>,
    past: Vec<(To, Message)>,
    /// The keys to seal to.
    pub(crate) resolved: BTreeMap<ManifestId, HolderKeys>,
    pub(crate) observer: Observer,
}

impl World {
    pub(crate) fn new(
        seed: u64,
        level: Level,
        broken: Option<Broken>,
        parties: Arc<Parties>,
    ) -> Self {
        let mut dice = Dice(ChaCha20Rng::seed_from_u64(seed));
        let mut faults = Faults::draw(&mut dice, parties.identities.len());
        if matches!(broken, Some(Broken::EndorsesAfterRestore | Broken::BelievesAggregator)) {
            faults.provoke();
        }
        let observer = Observer::new(Arc::clone(&parties), faults.clone());
        let (queue, past) = (Vec::new(), Vec::new());
        let (resolved, now) = (BTreeMap::new(), START);
        Self { level, broken, parties, faults, dice, now, queue, past, resolved, observer }
    }

    /// How contributions and openings are made here.
    pub(crate) fn cipher(&self) -> Cipher {
        Cipher { level: self.level, parties: Arc::clone(&self.parties) }
    }

    pub(crate) fn is(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }

    /// A message leaves its sender: from here on everybody may have it.
    pub(crate) fn send(&mut self, to: To, message: Message) {
        self.observer.sent(&message);
        self.queue.push((to, message));
    }

    /// Some message that is under way, in no order; it may come again, or never.
    pub(crate) fn next_message(&mut self) -> Option<(To, Message)> {
        if self.dice.percent(self.faults.replay) && !self.past.is_empty() {
            let old = self.dice.below(self.past.len());
            return Some(self.past[old].clone());
        }
        if self.queue.is_empty() {
            return None;
        }
        let at = self.dice.below(self.queue.len());
        let (to, message) = match self.dice.percent(self.faults.again) {
            true => self.queue[at].clone(),
            false => self.queue.swap_remove(at),
        };
        self.past.push((to, message.clone()));
        (!self.dice.percent(self.faults.lost)).then_some((to, message))
    }

    /// A durable write: the process may die before it, and after it.
    pub(crate) fn write<D>(
        &mut self,
        disk: &mut D,
        write: impl FnOnce(&mut D),
    ) -> Result<(), Crash> {
        if self.dice.percent(self.faults.crash) {
            return Err(Crash);
        }
        write(disk);
        match self.dice.percent(self.faults.crash) {
            true => Err(Crash),
            false => Ok(()),
        }
    }
}
