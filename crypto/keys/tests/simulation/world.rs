//! What a schedule is drawn from: dice, faults, a mock clock, a network that loses, repeats and
//! reorders, and durable writes that are crashed into.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::id::{ManifestId, UnixSeconds};
use ringfence_crypto::log::StudyLog;
use ringfence_crypto::round::RoundState;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Closing, DisputeCertificate, DisputeEndorsement, Endorsement,
    Freeze, HolderKeys, Manifest, Receipt, RestoreRequest, Review, RoundKeys, Standing,
    VerdictCertificate, VerdictEndorsement,
};

use crate::checks::Observer;
use crate::cipher::{Cipher, Level, Posted};
use crate::faults::{Corrupt, Faults};
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
    /// Holders destroy a round's secret when they endorse, not when Q sites hold one model.
    DestroysEarly,
    /// Holders destroy a round's secret when their opening is durable.
    DestroysOpened,
    /// Holders review every freeze that they are shown.
    ReviewsTwice,
    /// Sites take openings for determined that are fewer than `t + c'`.
    BelievesFew,
    /// Sites count openings of holders whose reviews do not agree with the set's dealers.
    CountsDisagreeing,
    /// Holders endorse disputes that they are shown, at positions that they have not found.
    DisputesUnseen,
    /// Holders endorse a second dispute with the same index.
    DisputesTwice,
    /// Sites find culprits by functionals that are not determined.
    NamesUndetermined,
    /// Sites take the window offset of a holder that lied for its place in the roster.
    NamesByRoster,
    /// Holders open keys of culprits that no verdict names yet.
    OpensKeysEarly,
    /// Sites and aggregator start every round without trust.
    ForgetsTrust,
    /// Holders do not send again what they wrote before a crash.
    NeverRepeats,
    /// The aggregator adds one body twice.
    AddsTwice,
    /// The aggregator leaves one body out of the sum.
    AddsOneLess,
    /// The aggregator leaves a receipt out of the freeze.
    OmitsReceipt,
    /// The aggregator applies an event before it is durable.
    AppliesFirst,
    /// The aggregator appends to its log before the event is durable.
    LogsFirst,
    /// The aggregator freezes the round on a message that its machine refuses.
    AppliesRefused,
}

/// What the aggregator shows of a round at some moment; old ones may come late.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) manifest: Signed<Manifest>,
    pub(crate) state: RoundState,
    pub(crate) posted: Vec<Arc<Posted>>,
    pub(crate) freeze: Option<Signed<Freeze>>,
    pub(crate) reviews: Vec<Signed<Review>>,
    pub(crate) closing: Option<Signed<Closing>>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) openings: Vec<Arc<OpeningFrame>>,
    pub(crate) sum: Option<Arc<Vec<u8>>>,
    /// Endorsements of disputes, certified or not.
    pub(crate) disputing: Vec<Signed<DisputeEndorsement>>,
    /// What is certified of disputes and verdicts, by index.
    pub(crate) disputed: BTreeMap<u16, DisputeCertificate>,
    pub(crate) judged: BTreeMap<u16, VerdictCertificate>,
    pub(crate) acknowledgements: Vec<Signed<Acknowledgement>>,
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
    Dispute(Signed<DisputeEndorsement>),
    Verdict(Signed<VerdictEndorsement>),
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
        let mut faults = Faults::draw(&mut dice, &parties.study);
        faults.provoke(broken);
        let mut observer = Observer::new(Arc::clone(&parties), faults.clone());
        observer.named.level = Some(level);
        let (queue, past) = (Vec::new(), Vec::new());
        let (resolved, now) = (BTreeMap::new(), START);
        Self { level, broken, parties, faults, dice, now, queue, past, resolved, observer }
    }

    /// How contributions and openings are made here.
    pub(crate) fn cipher(&self) -> Cipher {
        Cipher { level: self.level, parties: Arc::clone(&self.parties) }
    }

    /// How a site is corrupt, if it is.
    pub(crate) fn corrupt(&self, site: usize) -> Option<&Corrupt> {
        self.faults.corrupt(site)
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
