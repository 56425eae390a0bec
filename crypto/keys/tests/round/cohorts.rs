//! What two sums tell of one site, whose update hardly changes between two rounds; and that a study
//! which holds its sets apart does not open the second one.

use std::collections::BTreeSet;

use ringfence_crypto::cohorts::{OpenedSet, measure};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::round::RoundState;
use ringfence_crypto::statement::{ExclusionReason, Included, PrivacyPolicy};
use ringfence_keys::duties::holder::HolderError;
use ringfence_testkit::{FinishedRound, Made, Rehearsal, Setup, Shown, rng};

/// Six sites, one of whom may collude: the groups of a study that holds its sets apart are sites 0 to
/// 2 and 3 to 5.
fn study(privacy: PrivacyPolicy) -> Rehearsal {
    let setup = Setup { sites: 6, threshold: None, parameters: 50, clip: 0.25, value_bits: 16 };
    let alter = |study: &mut ringfence_crypto::statement::Study| {
        (study.privacy, study.min_sites) = (privacy, 3);
    };
    Rehearsal::altered(setup, alter, rng(7))
}

/// Every site's update, the same in every round.
fn update(site: usize) -> Vec<f32> {
    (0..50).map(|value| ((value * 7 + site * 13) % 100) as f32 / 250.0 - 0.2).collect()
}

fn opened(finished: &FinishedRound) -> Vec<u64> {
    finished.try_open(&finished.key_sum(0), &finished.sum).unwrap().sums().to_vec()
}

#[test]
fn two_sums_that_differ_in_one_site_are_that_site_s_update() {
    let mut rehearsal = study(PrivacyPolicy::None);
    let updates: Vec<Vec<f32>> = (0..6).map(update).collect();
    let all = opened(&rehearsal.run(&updates));
    // Site 5 misses a round.
    let without = opened(&rehearsal.run(&updates[..5]));
    let step = 2.0 * 0.25 / 65535.0f64;
    for ((all, without), value) in all.iter().zip(&without).zip(update(5)) {
        let found = (*all as f64 - *without as f64) * step - 0.25;
        // Each of eleven values was rounded to the step below or above.
        assert!((found - f64::from(value)).abs() < 11.0 * step, "{found} for {value}");
    }
    let ids: Vec<_> = rehearsal.study.roster.iter().map(|site| &site.id).collect();
    let sets = [(0, &ids[..]), (1, &ids[..5])];
    let sets =
        sets.map(|(round, sites)| OpenedSet { round: RoundNumber(round), sites: sites.to_vec() });
    let report = measure(&sets, &BTreeSet::new());
    assert_eq!(report.singled_out, [ids[5].clone()]);
}

#[test]
fn a_study_that_holds_its_sets_apart_does_not_open_the_second() {
    let mut rehearsal = study(PrivacyPolicy::SetsApart);
    rehearsal.study.check().unwrap();
    let updates: Vec<Vec<f32>> = (0..6).map(update).collect();
    rehearsal.run(&updates);
    let mut round = rehearsal.round();
    let manifest = round.manifest().statement.clone();
    let made: Vec<Made> =
        (0..5).map(|site| rehearsal.contribution(site, &manifest, &updates[site])).collect();
    rehearsal.collect(&mut round, &made);
    let mut lying = round.clone();
    let (closing, sum) = rehearsal.close(&mut round, &made);
    let included = |set: &[Included]| set.iter().map(|of| of.site.clone()).collect::<Vec<_>>();
    let ids: Vec<_> = rehearsal.study.roster.iter().map(|site| site.id.clone()).collect();
    assert_eq!(included(&closing.statement.included), ids[..3]);
    // What is opened is the sum over the other group.
    rehearsal.endorse(&mut round, &[]);
    let frames = rehearsal.openings(&mut round, &made, &[]);
    assert_eq!(round.state(), RoundState::Opened);
    let finished = rehearsal.finished(&round, sum, frames);
    assert_eq!(opened(&finished), ringfence_testkit::plain_sum(&made[..3]));

    // An aggregator that closes over all five finds no holder that endorses it.
    let mut statement = closing.statement.clone();
    for out in std::mem::take(&mut statement.excluded) {
        assert_eq!(out.reason, ExclusionReason::GroupIncomplete);
        statement.included.push(Included { site: out.site, header: out.header });
    }
    assert_eq!(included(&statement.included), ids[..5]);
    rehearsal.close(&mut lying, &made);
    let false_closing = ringfence_crypto::signature::sign(statement, &rehearsal.aggregator);
    let shown = Shown::of(&lying);
    let view = ringfence_keys::duties::holder::ClosingView {
        closing: &false_closing,
        ..shown.closing_view()
    };
    for holder in rehearsal.holders(round.number()) {
        let refused = rehearsal.holder(&holder).endorse(view).unwrap_err();
        assert!(matches!(refused, HolderError::Closing(_)), "{refused}");
        assert!(refused.to_string().contains("another contribution of its group is missing"));
    }
}
