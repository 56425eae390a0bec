//! A federation whose sites break the protocol: they are named, and the mean is that of the others.

use std::path::Path;
use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::statement::{Training, Weighting};
use ringfence_federation::{
    Fault, Faults, Federation, FederationOptions, FederationSetup, RoundReport,
};
use ringfence_weights::{MeanStep, Weights};

const VALUES: usize = 300;

fn faults(text: &[&str]) -> Vec<Fault> {
    text.iter().map(|text| text.parse().unwrap()).collect()
}

async fn start(folder: &Path, sites: usize, faults: Faults) -> Federation {
    let weights = Weights::from_values(&[("w".into(), vec![VALUES])], vec![0.25; VALUES]);
    let setup = FederationSetup {
        names: (0..sites).map(|k| format!("s{k}")).collect(),
        initial: weights.unwrap(),
        mean_step: MeanStep::Add,
        training: Training::None,
        options: FederationOptions {
            bits: 16,
            clip: 0.5,
            weighting: Weighting::Equal,
            round_seconds: 60,
            patience: Duration::from_secs(90),
        },
        faults,
        rounds: 2,
        clock: Clock::system(),
    };
    Federation::start(folder, setup).await.unwrap()
}

/// Site k's update is `k / 20` everywhere.
async fn round(federation: &mut Federation) -> RoundReport {
    let sites = federation.sites().len();
    let updates: Vec<_> = (0..sites).map(|site| Some(vec![site as f32 / 20.0; VALUES])).collect();
    federation.round(&updates).await.unwrap().clone()
}

fn ids(places: &[usize]) -> Vec<SiteId> {
    places.iter().map(|place| format!("s{place}").parse().unwrap()).collect()
}

/// Holds the model against that before, plus the mean update of these sites.
fn assert_moved(federation: &Federation, before: f32, sites: &[usize]) -> f32 {
    let mean = sites.iter().map(|site| *site as f32 / 20.0).sum::<f32>() / sites.len() as f32;
    let expected = before + mean;
    for value in federation.model().values() {
        assert!((value - expected).abs() < 1e-4, "{value}, expected {expected}");
    }
    expected
}

/// What a site keeps as evidence of round 0.
fn kept(folder: &Path, federation: &Federation, site: &SiteId) -> String {
    let studies = folder.join(site.as_str()).join("studies");
    let round = studies.join(federation.study_id().to_string()).join("rounds");
    std::fs::read_to_string(round.join("000000.evidence.json")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoiler_is_named_and_barred_and_the_study_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults { spoil: faults(&["1@0"]), ..Faults::default() };
    let mut federation = start(folder.path(), 5, faults).await;
    let report = round(&mut federation).await;
    assert_eq!((report.mismatches, report.contributions), (0, 5));
    assert_eq!((&report.findings.removed, &report.findings.barred), (&ids(&[1]), &ids(&[1])));
    assert_eq!(report.precision.unwrap().sites, 4);
    let [found] = &report.findings.evidence[..] else { panic!("{:?}", report.findings.evidence) };
    assert!(found.contains("the body of s1 breaks the format"), "{found}");
    assert_eq!(report.findings.evidence_files.len(), 1);
    for site in federation.sites() {
        let kept = kept(folder.path(), &federation, site.id());
        assert!(kept.contains("\"format\"") && kept.contains("\"s1\""), "{}: {kept}", site.id());
    }
    let model = assert_moved(&federation, 0.25, &[0, 2, 3, 4]);

    // Its turn passes at once, and it contributes no more.
    let report = round(&mut federation).await;
    assert_eq!((report.mismatches, report.contributions), (0, 4));
    assert_eq!((report.initiator.as_str(), report.round), ("s2", RoundNumber(1)));
    assert_eq!((&report.findings.barred, &report.trust.barred), (&vec![], &ids(&[1])));
    assert_moved(&federation, model, &[0, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_spoilers_are_named_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults { spoil: faults(&["2@0", "5@0"]), ..Faults::default() };
    let mut federation = start(folder.path(), 9, faults).await;
    assert_eq!(federation.study().threshold.collusion, 2);
    let report = round(&mut federation).await;
    assert_eq!((report.mismatches, report.contributions), (0, 9));
    assert_eq!((&report.findings.removed, &report.findings.barred), (&ids(&[2, 5]), &ids(&[2, 5])));
    assert_eq!(report.findings.evidence.len(), 2, "{:?}", report.findings.evidence);
    assert_moved(&federation, 0.25, &[0, 1, 3, 4, 6, 7, 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoiler_and_a_lying_holder_are_both_named() {
    let folder = tempfile::tempdir().unwrap();
    let (spoil, lie) = (faults(&["2@0"]), faults(&["5@0"]));
    let mut federation = start(folder.path(), 9, Faults { spoil, lie, ..Faults::default() }).await;
    let report = round(&mut federation).await;
    assert_eq!((report.mismatches, &report.findings.removed), (0, &ids(&[2])));
    // A lie in an opening is named, and bars nobody.
    assert_eq!(report.findings.barred, ids(&[2]));
    let [(liar, reason)] = &report.unusable_openings[..] else { panic!("{report:?}") };
    assert!(*liar == ids(&[5])[0] && reason.contains("it lied"), "{reason}");
    assert_moved(&federation, 0.25, &[0, 1, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_holder_is_named_and_a_flipped_bit_mended() {
    let folder = tempfile::tempdir().unwrap();
    let (lie, flip) = (faults(&["3@0"]), faults(&["1@1"]));
    let mut federation = start(folder.path(), 5, Faults { lie, flip, ..Faults::default() }).await;
    let report = round(&mut federation).await;
    assert_eq!((report.mismatches, &report.findings.removed), (0, &vec![]));
    let [(liar, reason)] = &report.unusable_openings[..] else { panic!("{report:?}") };
    assert!(*liar == ids(&[3])[0] && reason.contains("it lied"), "{reason}");
    let model = assert_moved(&federation, 0.25, &[0, 1, 2, 3, 4]);

    let report = round(&mut federation).await;
    assert_eq!((report.mismatches, report.findings.evidence.len()), (0, 0));
    assert_eq!(report.flipped, [(ids(&[1])[0].clone(), true)]);
    assert_moved(&federation, model, &[0, 1, 2, 3, 4]);
}

/// It deals wrong shares to c holders and none to one more: c lying holders could not say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_dealer_of_wrong_shares_is_barred_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults { baddeal: faults(&["4@0"]), ..Faults::default() };
    let mut federation = start(folder.path(), 5, faults).await;
    let report = round(&mut federation).await;
    assert_eq!((report.mismatches, report.contributions), (0, 5));
    assert_eq!((&report.findings.removed, &report.findings.barred), (&vec![], &ids(&[4])));
    let [(dealer, reason)] = &report.findings.excluded[..] else { panic!("{report:?}") };
    assert!(*dealer == ids(&[4])[0], "{reason}");
    let [file] = &report.findings.evidence_files[..] else { panic!("{report:?}") };
    let reviews = std::fs::read_to_string(file).unwrap();
    assert!(reviews.contains("\"no_share\""), "{reviews}");
    let (file, model) = (file.clone(), assert_moved(&federation, 0.25, &[0, 1, 2, 3]));
    let report = round(&mut federation).await;
    assert_eq!(report.contributions, 4);
    // What shows why it is barred stays; the next round's reviews show nothing.
    assert!(file.is_file() && report.findings.is_empty(), "{}", report.findings);
    assert_moved(&federation, model, &[0, 1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_sites_name_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults { spoil: faults(&["1@0"]), ..Faults::default() };
    let mut federation = start(folder.path(), 3, faults).await;
    let updates: Vec<_> = (0..3).map(|_| Some(vec![0.1; VALUES])).collect();
    let error = format!("{:#}", federation.round(&updates).await.unwrap_err());
    assert!(error.contains("nobody can be named"), "{error}");
}
