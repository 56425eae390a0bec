//! Rounds that must succeed, at every recipient, whoever is silent or lies within the bounds.

use ringfence_crypto::round::RoundState;
use ringfence_crypto::signature::Statement;

use super::fixture::{Fixture, plain_sum};
use crate::update::quantize;

/// A round with some holders silent; every site opens the plain integer sum.
fn run(sites: usize, window: Option<(u16, u16, u16)>, contributors: usize, silent: &[usize]) {
    run_over(9000, sites, window, contributors, silent);
}

fn run_over(
    values: u32,
    sites: usize,
    window: Option<(u16, u16, u16)>,
    contributors: usize,
    silent: &[usize],
) {
    let mut fixture = Fixture::new(sites, window, values);
    let made: Vec<_> = (0..contributors).map(|k| fixture.contribute(k)).collect();
    let mut round = fixture.round();
    fixture.collect(&mut round, &made);
    let (closing, sum) = fixture.close(&mut round, &made);
    fixture.endorse(&mut round, silent);
    assert_eq!(round.state(), RoundState::Certified);
    let frames = fixture.openings(&mut round, &made, silent);
    assert_eq!(round.state(), RoundState::Opened);
    let opening = crate::open::opening_bytes(&fixture.study.threshold, sites);
    assert!(frames.iter().all(|frame| frame.sealed.len() == opening));
    for recipient in [0, sites - 1] {
        let opened = fixture.open(recipient, &closing, &frames, &sum).unwrap();
        assert_eq!(opened.sums(), plain_sum(&made));
        assert_eq!(opened.sites, contributors);
        assert!(opened.noise.largest > 0 && opened.noise.margin_bits > 0.0);
    }
}

#[test]
fn every_window_opens_the_plain_sum() {
    run(3, None, 3, &[]);
    run(5, None, 5, &[]);
    run(10, Some((10, 2, 2)), 10, &[]);
    run(17, None, 17, &[]);
    run(32, Some((32, 8, 8)), 20, &[]);
}

#[test]
fn a_model_of_many_batches_opens_on_one_thread_and_on_three() {
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run_over(300_001, 3, None, 3, &[]));
    }
}

#[test]
fn silent_holders_and_missing_sites_change_nothing() {
    run(5, None, 4, &[2]);
    run(5, None, 3, &[]);
    run(10, Some((10, 2, 2)), 8, &[0, 4, 9]);
}

#[test]
fn a_lying_holder_is_corrected_and_named() {
    let mut fixture = Fixture::new(5, None, 100);
    let made: Vec<_> = (0..5).map(|k| fixture.contribute(k)).collect();
    let mut round = fixture.round();
    fixture.collect(&mut round, &made);
    let (closing, sum) = fixture.close(&mut round, &made);
    fixture.endorse(&mut round, &[]);
    let certificate = round.certificate().unwrap();
    let mut frames = fixture.openings(&mut round, &made, &[]);
    // Holder 3 sums one share five times: validly sealed, wrong.
    let liar = fixture.identities[3].site().clone();
    let manifest = fixture.manifest().statement;
    let machine = fixture.holder(&liar);
    let set = machine.may_open(&manifest, &certificate).unwrap();
    let shares: Vec<_> = set
        .sites()
        .map(|(site, _)| (site.clone(), fixture.share(&made[1], &liar).unwrap()))
        .collect();
    let study = fixture.study.clone();
    let mut rng = crate::testing::rng(99);
    frames[3] =
        crate::duties::holder::open_share_sum(fixture.identity(&liar), &study, &set, &shares, &mut rng)
            .unwrap();
    let keys = fixture.key_sum(0, closing.digest(), &frames).unwrap();
    assert_eq!(keys.disagreeing, [3]);
    let opened = fixture.open(0, &closing, &frames, &sum).unwrap();
    assert_eq!(opened.sums(), plain_sum(&made));
}

#[test]
fn a_dealer_with_bad_envelopes_is_left_out_with_cause() {
    let mut fixture = Fixture::new(5, None, 100);
    let mut made: Vec<_> = (0..5).map(|k| fixture.contribute(k)).collect();
    // Site 4 deals rubbish to two holders (c = 1) and signs for it.
    let bad = &mut made[4].contribution;
    for k in [1, 2] {
        bad.envelopes[k] = vec![0; 40];
        bad.header.statement.envelopes[k] = ringfence_crypto::Digest::of(&bad.envelopes[k]);
    }
    bad.header = fixture.identities[4].sign(bad.header.statement.clone());
    let mut round = fixture.round();
    fixture.collect(&mut round, &made);
    let (closing, sum) = fixture.close(&mut round, &made);
    assert_eq!(closing.statement.included.len(), 4);
    assert_eq!(closing.statement.excluded.len(), 1);
    assert_eq!(closing.statement.excluded[0].reviews.len(), 2);
    fixture.endorse(&mut round, &[]);
    made.pop();
    let frames = fixture.openings(&mut round, &made, &[]);
    let opened = fixture.open(2, &closing, &frames, &sum).unwrap();
    assert_eq!(opened.sums(), plain_sum(&made));
}

#[test]
fn mean_is_the_mean_of_the_clipped_updates() {
    let mut fixture = Fixture::new(3, None, 500);
    let made: Vec<_> = (0..3).map(|k| fixture.contribute(k)).collect();
    let study = fixture.study.clone();
    let mean = quantize::mean(&plain_sum(&made), 3, &study.layout, &study.packing);
    for (i, mean) in mean.iter().enumerate() {
        let expected = (0..3)
            .map(|k| (((i * 7 + k * 13) % 100) as f32 / 150.0 - 0.3).clamp(-0.25, 0.25))
            .sum::<f32>()
            / 3.0;
        assert!((mean - expected).abs() < 0.5 / 65535.0 + 1e-6, "{mean} against {expected}");
    }
}

#[test]
fn too_few_contributions_end_in_a_certified_abort() {
    let mut fixture = Fixture::new(5, None, 100);
    let made: Vec<_> = (0..2).map(|k| fixture.contribute(k)).collect();
    let mut round = fixture.round();
    fixture.collect(&mut round, &made);
    let (closing, _) = fixture.close(&mut round, &made);
    assert!(closing.statement.is_abort() && closing.statement.sum.is_none());
    fixture.endorse(&mut round, &[]);
    assert_eq!(round.state(), RoundState::Aborted);
    let certificate = round.certificate().unwrap();
    let holder = fixture.holder(fixture.identities[0].site());
    let error = holder.may_open(&fixture.manifest().statement, &certificate).unwrap_err();
    assert!(error.to_string().contains("certified abort"), "{error}");
    assert_eq!(round.ended().unwrap().closing, closing.statement.digest());
}
