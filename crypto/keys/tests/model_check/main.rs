//! A model checker over the shipped machines: exhaustive search through everything that honest
//! sites that crash, `c` corrupt sites and a malicious aggregator can do in small studies.
//!
//! What is searched is the environment; every decision is asked of `Manifest::check`,
//! `Closing::check`, `Certificate::check`, `Holder` and `Contributor` themselves, over statements
//! that are really signed (see `world.rs` for what is signed, `decisions.rs` for what is asked, and
//! `model.rs` for the steps). The adversary holds the keys of the aggregator and of the last `c`
//! sites. It delivers, repeats, reorders and withholds what
//! honest sites send, signs second manifests, closings over any set of the menu, second
//! contributions of its own sites and their endorsements of everything. It never gives a receipt: a
//! receipt can only make a holder refuse more. Honest sites keep no manifest in mind and are as
//! ready to start from the initial model again as from a mean, so that nothing but the machines'
//! own rules stands in the adversary's way. It has reviews of every list that it may freeze, which is
//! more than honest holders give it. What follows a certified set, disputes and verdicts, is a small
//! model of its own, in `disputes.rs`.
//!
//! A restored site abstains as far as the others' signed answers say, of which the aggregator lets
//! through what it likes, and in which corrupt sites lie.
//!
//! The three rules are checked in every reachable state, and taking any rule of the protocol away
//! must let the checker find an attack: those are printed, and kept in `attacks/` as they are
//! printed (run with `UPDATE_ATTACKS=1` to write them anew). One endorsement fewer than `Q` is
//! found in every study below.
//!
//! What is exhausted (sets beside the abort: all sites; all but the first, or all but any one of
//! some; "twins" are a second closing over the same set), and the number of states:
//!
//! | n, m, c | rounds | manifests a round | sets | crashes, backups | states |
//! | --- | --- | --- | --- | --- | --- |
//! | 3, 3, 1 | 3 | 1 | all, a twin | crashes | 64,220 |
//! | 3, 3, 1 | 2 | 2 | all, twins of set and abort | crashes | 330,721 |
//! | 3, 3, 1 | 2 | 2 | all | both | 162,585 |
//! | 4, 4, 1 | 1 | 2 | all; all but any one | neither | 10,813 |
//! | 4, 4, 1 | 1 | 1 | all; all but site 0 or 1 | both | 15,466 |
//! | 4, 4, 1 | 2 | 1 | all; all but site 0 | neither | 158,455 |
//! | 4, 4, 1 | 2 | 1 | all | both | 358,515 (*) |
//! | 4, 3, 1 | 2 | 1 | all; all but site 0 | both | 157,817 |
//! | 5, 5, 1 | 1 | 1 | all; all but any honest one | neither | 9,632 |
//! | 5, 5, 1 | 2 | 1 | all; all but site 0 | neither | 228,502 (*) |
//! | 5, 4, 1 | 2 | 1 | all; all but site 0 | neither | 165,157 (*) |
//! | 5, 5, 2 | 1 | 1 | all; all but any honest one | both | 21,713 |
//! | 5, 5, 2 | 2 | 1 | all; all but site 0 | neither | 158,455 |
//! | 6, 5, 2 | 2 | 1 | all; all but site 0 | neither | 165,157 (*) |
//!
//! (*) Of states that differ in the order of honest sites only, one is searched, where neither a
//! set nor a window tells those sites apart: that the machines treat them alike is assumed there.
//!
//! Not exhausted: more than 6 sites or 3 rounds; crashes or backups in two rounds of five sites and
//! more; more than one restore in a history, and backups younger than the study; `l > 1`,
//! which no decision here depends on. `c = 0` makes no study. States are told apart by 64-bit
//! fingerprints, so that among `s` states one could be missed with a chance of about `s^2 / 2^65`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test program, helpers included")]

mod decisions;
mod disputes;
mod model;
mod state;
mod words;
mod world;

use std::path::Path;
use std::time::Instant;

use model::{
    Action, Exploration, GOES_ON, NO_DIFFERENCE, ONE_CERTIFIED, ONE_OPENED, OPENS, RETRIES, Without,
};
use stateright::{Checker, HasDiscoveries, Model};
use world::{Menu, World};

/// Searches everything that can happen; fails on the first state that breaks a rule, and when
/// nothing could succeed either.
fn explore(menu: Menu, crashes: bool, backups: bool, symmetry: bool) {
    let start = Instant::now();
    let Menu { sites, corrupt, holders, rounds, manifests, .. } = menu;
    let (sets, goals) = (menu.sets.clone(), if rounds > 1 { 3 } else { 1 });
    let world = World::new(menu, |_| ());
    let alike = if symmetry { world.alike() } else { Vec::new() };
    let model = Exploration { world, without: Without::Nothing, crashes, backups, alike };
    let checker = model.checker().spawn_bfs().join();
    let model = checker.model();
    for rule in [ONE_CERTIFIED, ONE_OPENED, NO_DIFFERENCE] {
        if let Some(path) = checker.discovery(rule) {
            let steps = shorten(model, rule, path.into_actions());
            panic!("{rule}: broken by\n{}", describe(model, &steps));
        }
    }
    // Not vacuous: rounds are opened, retried after aborts, and followed by rounds on their mean.
    for goal in [OPENS, RETRIES, GOES_ON].iter().take(goals) {
        assert!(checker.discovery(goal).is_some(), "never reached: {goal}");
    }
    println!(
        "n = {sites}, m = {holders}, c = {corrupt}, rounds {rounds}, manifests {manifests}, sets {sets:?}, crashes \
         {crashes}, backups {backups}, symmetry {symmetry}: {} states, {} steps, depth {}, {} decisions of the \
         machines, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        model.world.asked(),
        start.elapsed().as_secs_f64()
    );
}

/// A menu with the last site corrupt, and all of them key holders.
fn menu(sites: usize, rounds: usize, manifests: u8, sets: &[u8]) -> Menu {
    Menu { sites, corrupt: 1, holders: sites, rounds, manifests, sets: sets.to_vec() }
}

/// A menu of one manifest a round, for these `(n, m, c)`.
fn window((sites, holders, corrupt): (usize, usize, usize), rounds: usize, sets: &[u8]) -> Menu {
    Menu { sites, corrupt, holders, rounds, manifests: 1, sets: sets.to_vec() }
}

// Sets are bits: 0b1110 is sites 1, 2 and 3; 0 is an abort.

#[test]
fn three_sites_keep_the_rules() {
    explore(menu(3, 3, 1, &[0, 0b111, 0b111]), true, false, false);
    explore(menu(3, 2, 2, &[0, 0, 0b111, 0b111]), true, false, false);
    explore(menu(3, 2, 2, &[0, 0b111]), true, true, false);
}

#[test]
fn four_sites_keep_the_rules() {
    explore(menu(4, 1, 2, &[0, 0b1111, 0b1110, 0b1101, 0b1011, 0b0111]), false, false, false);
    explore(menu(4, 1, 1, &[0, 0b1111, 0b1110, 0b1101]), true, true, false);
    explore(menu(4, 2, 1, &[0, 0b1111]), true, true, true);
    explore(menu(4, 2, 1, &[0, 0b1111, 0b1110]), false, false, false);
}

#[test]
fn five_sites_keep_the_rules() {
    explore(menu(5, 1, 1, &[0, 0b11111, 0b11110, 0b11101, 0b11011, 0b10111]), false, false, false);
    explore(menu(5, 2, 1, &[0, 0b11111, 0b11110]), false, false, true);
}

// In round 0 the last site is outside the window, in round 1 inside it, and site 0 outside.
#[test]
fn windows_of_some_sites_keep_the_rules() {
    explore(window((4, 3, 1), 2, &[0, 0b1111, 0b1110]), true, true, false);
    explore(window((5, 4, 1), 2, &[0, 0b11111, 0b11110]), false, false, true);
    explore(window((6, 5, 2), 2, &[0, 0b111111, 0b111110]), false, false, true);
}

#[test]
fn two_corrupt_sites_break_no_rule() {
    explore(window((5, 5, 2), 1, &[0, 0b11111, 0b11110, 0b11101, 0b11011]), true, true, false);
    explore(window((5, 5, 2), 2, &[0, 0b11111, 0b11110]), false, false, false);
}

/// A rule that is taken away, and the attack that must be found then.
struct Attack {
    name: &'static str,
    without: Without,
    /// Endorsements fewer than `Q` that make a certificate.
    fewer: u16,
    breaks: &'static str,
    sites: usize,
    rounds: usize,
}

impl Attack {
    /// Finds the attack, shortens it and compares it with what is kept.
    fn find(&self) {
        let Self { name, without, fewer, breaks, sites, rounds } = *self;
        let start = Instant::now();
        // All sites, all but the first, or none. With three sites no set leaves anyone out.
        let all = (1 << sites) - 1;
        let sets = if sites == 3 { vec![0, all] } else { vec![0, all, all - 1] };
        let mut world = World::new(menu(sites, rounds, 1, &sets), |study| {
            study.threshold.endorsements -= fewer
        });
        world.abstains = without != Without::Abstention;
        let crashes = matches!(without, Without::DurableEndorsements | Without::DurableHeaders);
        let backups = matches!(without, Without::Abstention | Without::Answers);
        let model = Exploration { world, without, crashes, backups, alike: Vec::new() };
        // Depth first, and shortened afterwards: breadth first would go through all shorter
        // histories.
        let finish = HasDiscoveries::AnyOf([breaks].into());
        let checker = model.checker().finish_when(finish).spawn_dfs().join();
        let found = checker.discovery(breaks);
        let path = found.unwrap_or_else(|| panic!("{name}: no attack found, {breaks:?} holds"));
        let model = checker.model();
        let steps = describe(model, &shorten(model, breaks, path.into_actions()));
        let text = format!("{name}.\nBroken: {breaks}.\n\n{steps}");
        println!(
            "{text}({} states, {:.1} s)\n",
            checker.unique_state_count(),
            start.elapsed().as_secs_f64()
        );
        let file = format!("{}.txt", name.to_lowercase().replace(' ', "-"));
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model_check/attacks").join(file);
        if std::env::var_os("UPDATE_ATTACKS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{}", path.display());
    }
}

#[test]
fn every_rule_is_needed() {
    let attack = |name, without, fewer, breaks, sites, rounds| {
        Attack { name, without, fewer, breaks, sites, rounds }.find();
    };
    attack("One endorsement too few certifies twice", Without::Nothing, 1, ONE_CERTIFIED, 4, 1);
    attack("One endorsement too few opens twice", Without::Nothing, 1, NO_DIFFERENCE, 4, 1);
    attack("Opening before certification", Without::Certification, 0, NO_DIFFERENCE, 4, 1);
    attack("Aborts without certificate", Without::CertifiedAborts, 0, NO_DIFFERENCE, 4, 2);
    attack("No rules on contributing", Without::ContributionRules, 0, NO_DIFFERENCE, 4, 2);
    attack("Endorsing before writing", Without::DurableEndorsements, 0, NO_DIFFERENCE, 4, 1);
    attack("Contributing before writing", Without::DurableHeaders, 0, ONE_OPENED, 3, 2);
    attack("A backup without abstention", Without::Abstention, 0, NO_DIFFERENCE, 4, 1);
    attack("An aggregator that hides rounds", Without::Answers, 0, NO_DIFFERENCE, 4, 2);
}

/// One endorsement fewer than `Q` certifies twice in every study that is explored, whatever its
/// window and however many sites are corrupt; and searching one order of sites that are alike
/// hides that from nobody.
#[test]
fn no_endorsement_is_one_too_many() {
    for (sites, holders, corrupt) in
        [(3, 3, 1), (4, 3, 1), (4, 4, 1), (5, 4, 1), (5, 5, 1), (5, 5, 2), (6, 5, 2)]
    {
        for symmetry in [false, true] {
            let all = (1 << sites) - 1;
            let rounds = if holders < sites { 2 } else { 1 };
            let menu = window((sites, holders, corrupt), rounds, &[0, all, all]);
            let world = World::new(menu, |study| study.threshold.endorsements -= 1);
            let alike = if symmetry { world.alike() } else { Vec::new() };
            let (without, crashes, backups) = (Without::Nothing, false, false);
            let model = Exploration { world, without, crashes, backups, alike };
            let finish = HasDiscoveries::AnyOf([ONE_CERTIFIED].into());
            let checker = model.checker().finish_when(finish).spawn_dfs().join();
            let found = checker.discovery(ONE_CERTIFIED).is_some();
            assert!(found, "n = {sites}, m = {holders}, c = {corrupt}, symmetry {symmetry}");
        }
    }
}

/// Drops every step without which the rest still works and still breaks the rule.
fn shorten(model: &Exploration, rule: &'static str, mut steps: Vec<Action>) -> Vec<Action> {
    let broken = |steps: &[Action]| {
        let mut state = model.init_states().remove(0);
        for step in steps {
            let mut enabled = Vec::new();
            model.actions(&state, &mut enabled);
            match enabled.contains(step).then(|| model.next_state(&state, *step)).flatten() {
                Some(next) => state = next,
                None => return false,
            }
        }
        !(model.property(rule).condition)(model, &state)
    };
    assert!(broken(&steps));
    while let Some(shorter) = (0..steps.len()).find_map(|drop| {
        let rest = [&steps[..drop], &steps[drop + 1..]].concat();
        broken(&rest).then_some(rest)
    }) {
        steps = shorter;
    }
    steps
}

/// Steps in words, one a line.
fn describe(model: &Exploration, steps: &[Action]) -> String {
    let line = |(at, step): (usize, &Action)| format!("{:2}. {}\n", at + 1, model.describe(*step));
    steps.iter().enumerate().map(line).collect()
}
