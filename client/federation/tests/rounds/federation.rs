//! A federation's rounds, with and without faults.

use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::statement::{Training, Weighting};
use ringfence_federation::{Fate, Faults, Federation, FederationOptions, FederationSetup};
use ringfence_site::model;
use ringfence_weights::{MeanStep, Weights};

const VALUES: usize = 300;

fn setup(sites: usize, faults: Faults) -> FederationSetup {
    FederationSetup {
        names: (0..sites).map(|k| format!("Site {k}")).collect(),
        initial: Weights::from_values(&[("w".into(), vec![VALUES])], vec![0.25; VALUES]).unwrap(),
        mean_step: MeanStep::Add,
        training: Training::None,
        options: FederationOptions {
            bits: 16,
            clip: 0.5,
            weighting: Weighting::Equal,
            round_seconds: 4,
            patience: Duration::from_secs(20),
        },
        faults,
        rounds: 3,
        clock: Clock::system(),
    }
}

fn updates(sites: usize) -> Vec<Option<Vec<f32>>> {
    (0..sites).map(|site| Some(vec![0.1 * site as f32; VALUES])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_with_a_site_that_is_away_and_one_that_falls_silent() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults {
        drop: vec!["site-0@1".parse().unwrap()],
        mute: vec!["2@2".parse().unwrap()],
        ..Faults::default()
    };
    let mut federation = Federation::start(folder.path(), setup(5, faults)).await.unwrap();
    assert_eq!(federation.study().initial_model, model::id(federation.model()));

    let report = federation.round(&updates(5)).await.unwrap().clone();
    assert_eq!((report.round, report.mismatches, report.contributions), (RoundNumber(0), 0, 5));
    assert_eq!((report.parameters, report.initiator.as_str()), (VALUES, "site-0"));
    assert_eq!(report.opened_by, report.holders);
    // Each round's mean is rounded at random to less than a step, and these add up.
    let close = |model: &Weights, expected: f32, rounds: u8| {
        model.values().all(|value| (value - expected).abs() < f32::from(rounds) / 65535.0)
    };
    assert!(close(federation.model(), 0.25 + 0.2, 1), "{:?}", federation.model().values().next());

    // Round 1: site 0 is not there.
    let mut fates = vec![Fate::default(); 5];
    fates[0].absent = true;
    assert_eq!(federation.fates(federation.next_round()), fates);
    let mut without = updates(5);
    without[0] = None;
    let report = federation.round(&without).await.unwrap();
    assert_eq!((report.round, report.mismatches, report.contributions), (RoundNumber(1), 0, 4));
    assert_eq!(report.initiator.as_str(), "site-1");
    assert!(report.opened_by.iter().all(|holder| holder.as_str() != "site-0"));
    assert!(close(federation.model(), 0.25 + 0.2 + 0.25, 2));

    // Round 2: site 2 should open it, does, contributes, and answers nothing from then on.
    let mut fates = vec![Fate::default(); 5];
    fates[2].silent = true;
    assert_eq!(federation.fates(federation.next_round()), fates);
    let report = federation.round(&updates(5)).await.unwrap();
    assert_eq!((report.round, report.mismatches, report.contributions), (RoundNumber(2), 0, 5));
    assert_eq!(report.initiator.as_str(), "site-2");
    assert!(report.opened_by.iter().all(|holder| holder.as_str() != "site-2"));
    assert!(close(federation.model(), 0.25 + 0.2 + 0.25 + 0.2, 3));
    assert_eq!(federation.rounds().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn setups_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let start = |setup| Federation::start(folder.path(), setup);
    let stray = Faults { drop: vec!["7@0".parse().unwrap()], ..Faults::default() };
    let error = start(setup(3, stray)).await.unwrap_err().to_string();
    assert!(error.contains("7@0 names no site or round"), "{error}");
    let error = start(setup(2, Faults::default())).await.unwrap_err().to_string();
    assert!(error.contains("3"), "{error}");
    let mut federation = start(setup(3, Faults::default())).await.unwrap();
    let error = federation.round(&updates(2)).await.unwrap_err().to_string();
    assert!(error.contains("expected 3 updates"), "{error}");
}
