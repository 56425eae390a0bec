//! Rounds that must succeed, at every recipient, whoever is silent or lies within the bounds.

use ringfence_crypto::Digest;
use ringfence_crypto::api::{opening_frame_bytes, opening_part_bytes, share_words};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::round::RoundState;
use ringfence_crypto::statement::{ExclusionReason, Subject};
use ringfence_crypto::wire::frame;
use ringfence_keys::duties::holder::open_share_sum;
use ringfence_keys::update::quantize;
use ringfence_testkit::{Rehearsal, plain_sum, rng};

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
    let mut rehearsal = Rehearsal::new(sites, window, values);
    let made: Vec<_> = (0..contributors).map(|k| rehearsal.contribute(k)).collect();
    let mut round = rehearsal.round();
    rehearsal.collect(&mut round, &made);
    let (_, sum) = rehearsal.close(&mut round, &made);
    rehearsal.endorse(&mut round, silent);
    assert_eq!(round.state(), RoundState::Certified);
    let frames = rehearsal.openings(&mut round, &made, silent);
    assert_eq!(round.state(), RoundState::Opened);
    let words = round.opening_words(Subject::Sum).unwrap();
    assert_eq!(words, share_words(&rehearsal.study.threshold));
    let (most, most_of_part) =
        (opening_frame_bytes(words, sites), opening_part_bytes(words, sites));
    let finished = rehearsal.finished(&round, sum, frames);
    for opening in &finished.openings {
        // All but the name of the holder has a fixed length, and the subject: a certified statement
        // is the longest.
        let spare = 32 - opening.frame().statement.statement.holder.as_str().len();
        let longest = Subject::Functionals { dispute: Digest::of(b"dispute").into() };
        let mut frame = opening.frame().clone();
        frame.statement.statement.subject = longest;
        // Eight bytes are allowed for which subject, and four are used.
        let spare = spare + 4;
        assert_eq!(frame::encode(&frame).unwrap().len() + spare, most);
        // The first site's path is the longest one.
        let part = |position| {
            let mut part = opening.part(position).unwrap();
            part.statement.statement.subject = longest;
            frame::encode(&part).unwrap().len()
        };
        assert_eq!(part(0) + spare, most_of_part);
        assert!(part(sites - 1) <= part(0));
    }
    for recipient in [0, sites - 1] {
        let opened = finished.try_open(&finished.key_sum(recipient), &finished.sum).unwrap();
        assert_eq!(opened.sums(), plain_sum(&made));
        assert_eq!(opened.sites, contributors);
        assert!(opened.noise.largest > 0 && opened.noise.failure_probability < 2f64.powi(-64));
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
    let mut rehearsal = Rehearsal::new(5, None, 100);
    let made: Vec<_> = (0..5).map(|k| rehearsal.contribute(k)).collect();
    let mut round = rehearsal.round();
    rehearsal.collect(&mut round, &made);
    let (_, sum) = rehearsal.close(&mut round, &made);
    rehearsal.endorse(&mut round, &[]);
    let certificate = round.certificate().unwrap();
    let mut frames = rehearsal.openings(&mut round, &made, &[]);
    // Holder 3 sums one share five times: validly sealed, wrong.
    let liar = rehearsal.identities[3].site().clone();
    let manifest = rehearsal.manifest().statement;
    let machine = rehearsal.holder(&liar);
    let set = machine.may_open(&manifest, &certificate).unwrap();
    let shares: Vec<_> = set
        .sites()
        .map(|(site, _)| (site.clone(), rehearsal.share(&made[1], &liar).unwrap()))
        .collect();
    let study = rehearsal.study.clone();
    let identity = rehearsal.identity(&liar);
    frames[3] = open_share_sum(identity, &study, &set, &shares, &mut rng(99)).unwrap();
    let finished = rehearsal.finished(&round, sum, frames);
    let keys = finished.key_sum(0);
    assert_eq!(keys.disagreeing, [3]);
    let opened = finished.try_open(&keys, &finished.sum).unwrap();
    assert_eq!(opened.sums(), plain_sum(&made));
}

#[test]
fn a_dealer_with_bad_envelopes_is_left_out_with_cause() {
    let mut rehearsal = Rehearsal::new(5, None, 100);
    let mut made: Vec<_> = (0..5).map(|k| rehearsal.contribute(k)).collect();
    // Site 4 deals rubbish to two holders (c = 1) and signs for it.
    let bad = &mut made[4].contribution;
    for k in [1, 2] {
        bad.envelopes[k] = vec![0; 40];
        bad.header.statement.envelopes[k] = Digest::of(&bad.envelopes[k]);
    }
    bad.header = rehearsal.identities[4].sign(bad.header.statement.clone());
    let mut round = rehearsal.round();
    rehearsal.collect(&mut round, &made);
    let (closing, sum) = rehearsal.close(&mut round, &made);
    assert_eq!(closing.statement.included.len(), 4);
    assert_eq!(closing.statement.excluded.len(), 1);
    assert_eq!(closing.statement.excluded[0].reason, ExclusionReason::Barred);
    rehearsal.endorse(&mut round, &[]);
    made.pop();
    let frames = rehearsal.openings(&mut round, &made, &[]);
    let finished = rehearsal.finished(&round, sum, frames);
    let opened = finished.try_open(&finished.key_sum(2), &finished.sum).unwrap();
    assert_eq!(opened.sums(), plain_sum(&made));
    // More edges than sites that may lie: it is barred for the rest of the study.
    rehearsal.agree(&mut round);
    let trust = round.ended().unwrap().trust;
    assert_eq!(trust.barred, [rehearsal.identities[4].site().clone()]);
}

#[test]
fn mean_is_the_mean_of_the_clipped_updates() {
    let mut rehearsal = Rehearsal::new(3, None, 500);
    let made: Vec<_> = (0..3).map(|k| rehearsal.contribute(k)).collect();
    let study = rehearsal.study.clone();
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
    let mut rehearsal = Rehearsal::new(5, None, 100);
    let made: Vec<_> = (0..2).map(|k| rehearsal.contribute(k)).collect();
    let mut round = rehearsal.round();
    rehearsal.collect(&mut round, &made);
    let (closing, _) = rehearsal.close(&mut round, &made);
    assert!(closing.statement.is_abort() && closing.statement.sum.is_none());
    rehearsal.endorse(&mut round, &[]);
    assert_eq!(round.state(), RoundState::Aborted);
    let certificate = round.certificate().unwrap();
    let holder = rehearsal.holder(rehearsal.identities[0].site());
    let error = holder.may_open(&rehearsal.manifest().statement, &certificate).unwrap_err();
    assert!(error.to_string().contains("certified abort"), "{error}");
    assert_eq!(round.ended().unwrap().closing, closing.id());
}

#[test]
fn rounds_follow_each_other_with_another_initiator_and_window() {
    let mut rehearsal = Rehearsal::new(5, Some((4, 1, 1)), 20);
    for round in 0..3 {
        let updates: Vec<Vec<f32>> = (0..4).map(|k| vec![k as f32 / 32.0; 20]).collect();
        let finished = rehearsal.run(&updates);
        assert_eq!(finished.manifest.round, RoundNumber(round));
        let opened = finished.try_open(&finished.key_sum(4), &finished.sum).unwrap();
        assert_eq!(opened.sums(), finished.plain);
        // The secrets at hand are those of round 0.
        rehearsal.round_keys.clear();
        rehearsal.secrets.clear();
    }
}
