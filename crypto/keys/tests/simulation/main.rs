//! Simulation of whole studies with a mock clock, over the shipped machines: `Round`, `Holder` with
//! its disputes, `Judge`, `Contributor`, `StudyLog`, `Certificate::check`, the reconstruction of keys
//! and functionals, and, with full cryptography, contributions, envelopes, openings and sums.
//!
//! A schedule is drawn from a seed, which is printed when a rule is broken (`SIMULATE_SEED=176`
//! runs that one again): crashes before and after every durable write, messages that are lost,
//! repeated, replayed and reordered; an aggregator that signs two freezes or two closings and shows
//! both in one log, or hides reviews, verdicts, openings and acknowledgements; up to `c` corrupt sites
//! that endorse everything, spoil bodies and check words, deal rubbish and wrong shares, accuse
//! falsely, open wrong sums, functionals and keys, sign false disputes and verdicts, or keep still;
//! silent holders and sites, initiators that open rounds on old models, and retries after certified
//! aborts. What is durable is a value that survives; a process that dies is made again from it by the
//! machines' own `restore` and `apply`.
//!
//! Signatures are real at both levels, and cost most of the time. At the level of statements (250
//! schedules) a key is two words, a body the key and what it hides, and openings are in the clear:
//! shares, masks, codewords and thresholds are real (`toy.rs`). With full cryptography (30 schedules)
//! everything is what sites send, over a model of two values. Studies have 3 to 7 sites and 3 rounds.
//! Some sites publish KEM keys for single rounds, which manifests name, dealers seal to and holders
//! destroy; and in a third of the schedules one site loses its disk, up to twice, goes on from an old
//! backup or an empty disk, and abstains until the others' signed answers tell it how far it must;
//! corrupt sites lie there, too. Not simulated: two manifests of one round, forked logs, initiators
//! that name no round keys of a holder that has published some, bytes that are damaged and sent again.
//!
//! `checks.rs` and `named.rs` hold the rules and the oracle. `broken_parties_are_caught` puts a fault
//! into a party and expects the rule that is for it to be the first that is broken.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test program, helpers included")]

mod aggregator;
mod backup;
mod checks;
mod cipher;
mod closing;
mod decode;
mod dispute;
mod ending;
mod faults;
mod judged;
mod named;
mod round_keys;
mod site;
mod slander;
mod tally;
mod toy;
mod world;

use std::sync::Arc;
use std::time::Instant;

use aggregator::Aggregator;
use cipher::Level;
use ringfence_crypto::threshold::Threshold;
use ringfence_testkit::Parties;
use site::Site;
use tally::Tally;
use world::{Broken, Crash, To, World};

/// Rounds of a study.
const ROUNDS: u32 = 3;

/// Steps without any event after which a schedule is left when all its rounds must end, and when
/// they need not: a study whose closing is split between two sets, or whose holders are gone, goes
/// on only as a new epoch.
const PATIENCE: [usize; 2] = [600, 60];

/// Studies of 3, 4 and 5 sites that all hold keys, of 6 with a window of 4, and of 7 of which 2 may
/// be corrupt; in one a polynomial carries two words. More than half of the sites are needed for a
/// sum, so that two sets on one base model would share a site.
fn settings() -> Vec<Arc<Parties>> {
    let setting = |sites: usize, (window, c, l): (u16, u16, u16)| {
        let parties = Parties::new(sites, c, |study| {
            study.threshold = Threshold::derive(window, c, l, sites).unwrap();
            study.min_sites = study.threshold.min_sites_floor().max(sites as u16 / 2 + 1);
        });
        Arc::new(parties)
    };
    vec![
        setting(3, (3, 1, 1)),
        setting(4, (4, 1, 1)),
        setting(5, (5, 1, 2)),
        setting(6, (4, 1, 1)),
        setting(7, (7, 2, 1)),
    ]
}

struct Simulation {
    world: World,
    aggregator: Aggregator,
    sites: Vec<Site>,
}

impl Simulation {
    fn new(seed: u64, level: Level, broken: Option<Broken>, parties: Arc<Parties>) -> Self {
        let world = World::new(seed, level, broken, parties);
        let sites = (0..world.parties.identities.len())
            .map(|index| Site::new(index, &world.parties))
            .collect();
        Self { world, aggregator: Aggregator::default(), sites }
    }

    /// Runs the schedule to its end, or to the first rule that is broken.
    fn run(mut self) -> World {
        let tolerable = self.world.faults.tolerable(&self.world.parties.study);
        let [longest, shorter] = PATIENCE;
        let patience = if tolerable { longest } else { shorter };
        let (mut events, mut idle) = (0, 0);
        while idle < patience {
            self.step();
            idle += 1;
            if self.aggregator.events() != events {
                (events, idle) = (self.aggregator.events(), 0);
            }
            let over = self.aggregator.has_ended(ROUNDS) && self.world.queue.is_empty();
            if self.world.observer.broken.is_some() || over {
                break;
            }
        }
        let ended = self.aggregator.has_ended(ROUNDS);
        if tolerable && self.world.observer.broken.is_none() {
            self.world.observer.tally.tolerable += 1;
            let late = self.world.observer.named.late && !self.world.faults.corrupt.is_empty();
            let ended = ended || late;
            let last = self.aggregator.machines.last().map(|round| round.status());
            self.world.observer.check(checks::ENDS, ended, || format!("{last:?}"));
        }
        let honest = |site: &&mut Site| self.world.faults.corrupt(site.index).is_none();
        let honest: Vec<&mut Site> = self.sites.iter_mut().filter(honest).collect();
        for site in honest {
            site.stolen(&mut self.world, &self.aggregator);
        }
        // Once more without a crash, to compare.
        self.aggregator.restart(&mut self.world);
        self.world
    }

    fn step(&mut self) {
        let Self { world, aggregator, sites } = self;
        world.now = world.now.after(world.dice.below(2) as u64);
        let site = world.dice.below(sites.len());
        if world.queue.is_empty() || world.dice.percent(4) {
            // Somebody looks at the clock; when all stands still, time passes.
            if world.queue.is_empty() {
                world.now = world.now.after(world.dice.below(30) as u64);
            }
            if aggregator.tick(world).is_err() {
                world.observer.tally.aggregator_crashes += 1;
                aggregator.restart(world);
            }
            aggregator.show(world, site, sites[site].lacks());
            if !aggregator.has_ended(ROUNDS)
                && sites[site].tick(world, aggregator.served()).is_err()
            {
                sites[site].restart(world);
            }
        }
        if world.dice.percent(world.faults.crash) {
            sites[site].restart(world);
        }
        sites[site].back_up_or_lose(world, aggregator.served());
        match world.next_message() {
            Some((To::Aggregator, message)) => {
                if let Err(Crash) = aggregator.handle(world, message) {
                    world.observer.tally.aggregator_crashes += 1;
                    aggregator.restart(world);
                }
            }
            Some((To::Site(index), message)) => {
                if let Err(Crash) = sites[index].handle(world, aggregator.served(), message) {
                    sites[index].restart(world);
                }
            }
            None => {}
        }
    }
}

/// A number from the environment.
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|number| number.parse().unwrap())
}

/// Runs many schedules, with `SIMULATE_TIMES=20` twenty times as many; fails at the first rule that
/// is broken.
fn simulate(level: Level, count: u64) {
    let (start, settings) = (Instant::now(), settings());
    let all = 0..count * number("SIMULATE_TIMES").unwrap_or(1);
    let one = number("SIMULATE_SEED");
    let seeds = one.map_or(all, |seed| seed..seed + 1);
    let count = seeds.end - seeds.start;
    let mut total = Tally::default();
    for seed in seeds {
        // The oracle's values of seven sites are too large for a real quantizer.
        let known = if level == Level::Full { settings.len() - 1 } else { settings.len() };
        let parties = Arc::clone(&settings[seed as usize % known]);
        let world = Simulation::new(seed, level, None, parties).run();
        let broken = &world.observer.broken;
        assert!(broken.is_none(), "seed {seed} at level {level:?}: {broken:?}\n{:?}", world.faults);
        total.add(&world.observer.tally);
    }
    println!("{count} schedules, {level:?}: {total:?}, {:.1} s", start.elapsed().as_secs_f64());
    // Not vacuous: all of it happens.
    for (what, times) in total.happened() {
        // So few schedules in full do not see all of it.
        let rare = level == Level::Full && what == "a pair";
        assert!(times > 0 || one.is_some() || rare, "in {count} schedules never: {what}");
    }
}

#[test]
fn statements_and_machines() {
    simulate(Level::Statements, 250);
}

#[test]
fn full_cryptography() {
    simulate(Level::Full, 30);
}

#[test]
fn broken_parties_are_caught() {
    let (settings, most) = (settings(), 600);
    for (broken, level, rule) in [
        (Broken::CountsDisagreeing, Level::Statements, named::FAILS),
        (Broken::DisputesUnseen, Level::Statements, named::FAILS),
        (Broken::DisputesTwice, Level::Statements, named::ONE_DISPUTE),
        (Broken::NamesUndetermined, Level::Statements, named::NAMED),
        (Broken::NamesByRoster, Level::Statements, named::LIARS),
        (Broken::NamesByRoster, Level::Full, named::LIARS),
        (Broken::OpensKeysEarly, Level::Statements, named::CERTIFIED_KEYS),
        (Broken::ForgetsTrust, Level::Statements, named::CARRIED),
        (Broken::BelievesFew, Level::Statements, named::FAILS),
        (Broken::ReviewsTwice, Level::Statements, named::ONE_REVIEW),
        (Broken::DestroysOpened, Level::Statements, checks::ENDS),
        (Broken::ForgetsEndorsements, Level::Statements, checks::ONE_CERTIFIED),
        (Broken::ForgetsContributions, Level::Statements, checks::RISING),
        (Broken::NoContributionRules, Level::Statements, checks::ONE_OPENED),
        (Broken::OpensEarly, Level::Statements, checks::CERTIFIED_FIRST),
        (Broken::AddsTwice, Level::Statements, checks::SUMS),
        (Broken::AddsTwice, Level::Full, checks::SUMS),
        (Broken::AddsOneLess, Level::Statements, checks::SUMS),
        (Broken::AddsOneLess, Level::Full, checks::SUMS),
        (Broken::OmitsReceipt, Level::Statements, checks::RECEIPTS),
        (Broken::EndorsesAfterRestore, Level::Statements, checks::ONE_CERTIFIED),
        (Broken::ContributesAfterRestore, Level::Statements, checks::RISING),
        (Broken::BelievesAggregator, Level::Statements, checks::ONE_CERTIFIED),
        (Broken::SealsToLongTerm, Level::Statements, checks::FAIR),
        (Broken::SealsToLongTerm, Level::Full, checks::FAIR),
        (Broken::ComplainsWithoutSecret, Level::Statements, checks::FAIR),
        (Broken::KeepsSecrets, Level::Statements, checks::FORWARD),
        (Broken::KeepsSecrets, Level::Full, checks::FORWARD),
        (Broken::DestroysEarly, Level::Statements, checks::ENDS),
        (Broken::NeverRepeats, Level::Statements, checks::ENDS),
        (Broken::IgnoresReceipt, Level::Statements, checks::RECEIPTS),
        (Broken::AppliesFirst, Level::Statements, checks::REPLAY),
        (Broken::LogsFirst, Level::Statements, checks::REPLAY),
        (Broken::AppliesRefused, Level::Statements, checks::REFUSALS),
    ] {
        let caught = (0..most).find_map(|seed| {
            // With c = 1 a verdict on two sites, of which one is honest, is refused anyway.
            let known = if level == Level::Full { settings.len() - 1 } else { settings.len() };
            let only = (broken == Broken::NamesUndetermined).then_some(settings.len() - 1);
            let parties = &settings[only.unwrap_or(seed as usize % known)];
            let world = Simulation::new(seed, level, Some(broken), Arc::clone(parties)).run();
            world.observer.broken.map(|broken| (seed, broken))
        });
        let (seed, (caught, how)) =
            caught.unwrap_or_else(|| panic!("{broken:?}: not caught in {most} schedules"));
        println!("{broken:?}, {level:?}: seed {seed}, {caught}: {how:.100}");
        assert_eq!(caught, rule, "{broken:?}, seed {seed}: {how}");
    }
}
