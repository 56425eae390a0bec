//! What goes wrong in a schedule, and who is corrupt in which way.

use std::collections::BTreeSet;

use ringfence_crypto::id::SiteId;
use ringfence_crypto::statement::Study;

use crate::cipher::{Spoil, Wrongs};
use crate::toy;
use crate::world::{Broken, Dice};

/// A corrupt site; up to `c` of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Corrupt {
    pub(crate) site: usize,
    /// Endorses everything it is shown, and reviews every freeze.
    pub(crate) endorses: bool,
    /// Opens wrong shares.
    pub(crate) lies: bool,
    /// Chance that it accuses a dealer falsely, in percent.
    pub(crate) accuses: usize,
    /// Chance that it signs false disputes and verdicts when it sees a certified set, in percent.
    pub(crate) disputes: usize,
    /// Chance that it keeps still when it is shown something, in percent.
    pub(crate) silent: usize,
    /// Chance that its contribution breaks the protocol, in percent.
    pub(crate) wrongs: usize,
}

/// How the aggregator cheats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cheats {
    /// It does not.
    Never,
    /// It signs two closings for a round and shows both.
    Closings,
    /// It signs two freezes for a round and shows both.
    Freezes,
    /// It shows less than it has: reviews, verdicts, acknowledgements, openings.
    Hides,
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
    pub(crate) cheats: Cheats,
    pub(crate) corrupt: Vec<Corrupt>,
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
    pub(crate) fn draw(dice: &mut Dice, study: &Study) -> Self {
        let sites = study.roster.len();
        let rate = |dice: &mut Dice, most: usize| match dice.percent(50) {
            true => dice.below(most + 1),
            false => 0,
        };
        let one = |dice: &mut Dice, chance| dice.percent(chance).then(|| dice.below(sites));
        let cheats = match dice.below(100) {
            0..15 => Cheats::Closings,
            15..30 => Cheats::Freezes,
            30..40 => Cheats::Hides,
            _ => Cheats::Never,
        };
        let corrupt: BTreeSet<usize> = match dice.percent(60) {
            true => (0..study.threshold.collusion).map(|_| dice.below(sites)).collect(),
            false => BTreeSet::new(),
        };
        let mut faults = Self {
            crash: rate(dice, 6),
            lost: rate(dice, 15),
            again: rate(dice, 25),
            replay: rate(dice, 10),
            cheats,
            corrupt: corrupt.into_iter().map(|site| Corrupt::draw(dice, site)).collect(),
            silent_holder: one(dice, 20),
            silent_sites: (0..sites).filter(|_| dice.percent(8)).collect(),
            publish: (0..sites).filter(|_| dice.percent(60)).collect(),
            restored: one(dice, 30),
            stale: rate(dice, 40),
        };
        if faults.corrupt(faults.restored.unwrap_or(sites)).is_some() {
            // What a corrupt site has forgotten is of no interest.
            faults.restored = None;
        }
        if dice.percent(50) && !faults.corrupt.is_empty() {
            // All honest sites answer: every round must end.
            (faults.silent_holder, faults.restored) = (None, None);
            (faults.silent_sites, faults.cheats) = (Vec::new(), Cheats::Never);
        }
        faults
    }

    /// What it takes for a fault that is rare by chance.
    pub(crate) fn provoke(&mut self, broken: Option<Broken>) {
        let second =
            matches!(broken, Some(Broken::EndorsesAfterRestore | Broken::BelievesAggregator));
        if second {
            // One holder's second endorsement certifies a second set.
            self.corrupt = vec![Corrupt { site: 0, endorses: true, ..Corrupt::default() }];
            (self.cheats, self.restored) = (Cheats::Closings, Some(1));
            (self.silent_holder, self.silent_sites) = (None, Vec::new());
        }
        let disputed = matches!(
            broken,
            Some(
                Broken::DisputesUnseen
                    | Broken::DisputesTwice
                    | Broken::NamesUndetermined
                    | Broken::NamesByRoster
                    | Broken::OpensKeysEarly
                    | Broken::ForgetsTrust
                    | Broken::DestroysOpened
            )
        );
        if disputed {
            // A spoiled body, a lying holder and false disputes, while all others answer.
            let corrupt = Corrupt { lies: true, disputes: 20, wrongs: 100, ..Corrupt::default() };
            (self.corrupt, self.cheats) = (vec![corrupt], Cheats::Never);
            (self.silent_holder, self.restored) = (None, None);
            self.silent_sites.clear();
        }
        if broken == Some(Broken::ComplainsWithoutSecret) {
            // It publishes round keys, and loses the secrets of a round that it takes part in.
            (self.restored, self.silent_holder) = (Some(1), None);
            self.publish = vec![1];
            self.corrupt.clear();
        }
        if broken == Some(Broken::SealsToLongTerm) {
            // Every holder of round keys reviews.
            (self.silent_holder, self.restored) = (None, None);
            self.corrupt.clear();
        }
    }

    /// Whether every round must end all the same, and end in a mean if it ends in a set.
    pub(crate) fn tolerable(&self, study: &Study) -> bool {
        // A holder that was restored abstains, and may have lost its round's secret.
        let silent: BTreeSet<_> = self.silent_holder.into_iter().chain(self.restored).collect();
        let answer = match self.corrupt.is_empty() {
            true => silent.len() <= usize::from(study.threshold.silent_tolerated()),
            false => silent.is_empty() && study.threshold.names(),
        };
        self.cheats == Cheats::Never && answer
    }

    pub(crate) fn corrupt(&self, site: usize) -> Option<&Corrupt> {
        self.corrupt.iter().find(|corrupt| corrupt.site == site)
    }

    /// The names of the corrupt sites.
    pub(crate) fn corrupt_sites(&self, study: &Study) -> BTreeSet<SiteId> {
        self.corrupt.iter().map(|corrupt| study.roster[corrupt.site].id.clone()).collect()
    }
}

impl Corrupt {
    fn draw(dice: &mut Dice, site: usize) -> Self {
        let often = |dice: &mut Dice, chance, most: usize| match dice.percent(chance) {
            true => 1 + dice.below(most),
            false => 0,
        };
        Self {
            site,
            endorses: dice.percent(50),
            lies: dice.percent(50),
            accuses: often(dice, 40, 60),
            disputes: often(dice, 40, 30),
            silent: often(dice, 20, 90),
            wrongs: often(dice, 80, 100),
        }
    }

    /// How its contribution breaks the protocol.
    pub(crate) fn wrongs(&self, dice: &mut Dice, holders: usize) -> Wrongs {
        let mut wrongs = Wrongs::default();
        if !dice.percent(self.wrongs) {
            return wrongs;
        }
        // One holder, a few, or half of them.
        let targets = |dice: &mut Dice| {
            let most = 1 + dice.below(holders / 2 + 1);
            let targets: BTreeSet<usize> = (0..most).map(|_| dice.below(holders)).collect();
            Vec::from_iter(targets)
        };
        if dice.percent(25) {
            wrongs.rubbish = targets(dice);
        }
        if dice.percent(30) {
            wrongs.shares = targets(dice);
        }
        if dice.percent(60) {
            let spoil = match dice.below(3) {
                0 => Spoil::Count,
                1 => Spoil::Value(toy::LIMIT << dice.below(8)),
                _ => Spoil::Random(toy::residue(&mut dice.0)),
            };
            wrongs.spoils = Some((dice.below(toy::WORDS), spoil));
        }
        wrongs.check = dice.percent(25);
        wrongs
    }
}
