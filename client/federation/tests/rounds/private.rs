//! Rounds of a study that protects whole sites: what is charged, what the sum holds, and what a ledger
//! that came back from a backup may do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::statement::{PrivacyPolicy, SiteLevel, Spent};
use ringfence_keys::study::spending;
use ringfence_keys::update::site_noise::parameters::SiteNoise;
use ringfence_site::ledger::{
    Budget, Ledger, LedgerError, LedgerSummary, RoundCharge, Terms, UnitKind, Units,
};
use ringfence_site::{RestoreRun, RoundEnd, Site, SiteError};

use crate::trio::{Trio, VALUES, next_model, update};

const FIRST: RoundNumber = RoundNumber(0);

/// Three sites whose study has a budget for two rounds.
pub(crate) async fn trio() -> Trio {
    let policy = SiteLevel { clip: 20.0, noise_multiplier: 2.0, delta: 1e-5, epsilon: 0.0 };
    Trio::start_with(|draft| {
        let ample = SiteLevel { epsilon: 100.0, ..policy };
        draft.privacy = PrivacyPolicy::SiteLevel(ample);
        let mut rng = ringfence_keys::system_rng().unwrap();
        let study = draft.clone().into_study(&mut rng).unwrap();
        let epsilon = spending::spent(&study, 2).unwrap().unwrap().epsilon;
        draft.privacy = PrivacyPolicy::SiteLevel(SiteLevel { epsilon: 1.01 * epsilon, ..policy });
    })
    .await
}

fn ledger(trio: &Trio, k: usize) -> PathBuf {
    trio.folder.path().join(format!("ledger-{k}"))
}

/// A site with its ledger, made if there is none.
pub(crate) fn site(trio: &Trio, k: usize) -> Site {
    charging(trio, k, trio.site(k))
}

/// A site that differs in something from the usual one, with its ledger.
pub(crate) fn charging(trio: &Trio, k: usize, site: Site) -> Site {
    let folder = ledger(trio, k);
    if !folder.exists() {
        let budget = Budget { epsilon: 1000.0, delta: 1e-5 };
        let owner = [trio.identity(k).public()];
        let terms = Terms::new(budget, UnitKind::Site, &owner, Clock::system().now()).unwrap();
        Ledger::init(&folder, &terms, &mut ringfence_keys::system_rng().unwrap()).unwrap();
    }
    site.charging(folder, Units::Site)
}

fn spent(trio: &Trio, rounds: u32) -> Spent {
    spending::spent(&trio.study.study, rounds).unwrap().unwrap()
}

pub(crate) fn charged(trio: &Trio, k: usize) -> u32 {
    let summary = LedgerSummary::read(&ledger(trio, k)).unwrap();
    summary.studies.first().map_or(0, |study| study.rounds)
}

fn overspent(error: &SiteError) -> bool {
    matches!(error, SiteError::Ledger(e) if matches!(**e, LedgerError::Overspent(_)))
}

/// What a folder holds, to be put back later.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let at = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &at),
            false => _ = fs::copy(&path, &at).unwrap(),
        }
    }
}

/// All contribute, hold and open; the mean.
async fn round(trio: &Trio, sites: &[Site], round: RoundNumber) -> Vec<f32> {
    sites[round.0 as usize % 3].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        let joined = site.join(round).await.unwrap();
        joined.contribute(trio.base, &update(k), |_| ()).await.unwrap();
    }
    join_all(sites.iter().map(|site| site.hold(round))).await.into_iter().for_each(|held| {
        held.unwrap();
    });
    let mut mean = Vec::new();
    for site in sites {
        let RoundEnd::Done(done) = site.join(round).await.unwrap().finish().await.unwrap() else {
            panic!("the round was aborted")
        };
        mean = done.mean();
        done.acknowledge(next_model()).await.unwrap();
    }
    mean
}

#[tokio::test(flavor = "multi_thread")]
async fn every_round_is_charged_and_its_noise_is_in_the_sum() {
    let trio = trio().await;
    let sites: Vec<Site> = (0..3).map(|k| site(&trio, k)).collect();
    assert_eq!(sites[0].check_budget(FIRST).unwrap(), Some(spent(&trio, 1)));
    assert_eq!(charged(&trio, 0), 0, "asking charges nothing");
    let mean = round(&trio, &sites, FIRST).await;
    for (k, site) in sites.iter().enumerate() {
        assert_eq!(charged(&trio, k), 1);
        let transport = trio.transport();
        let header = transport.round(trio.study_id(), FIRST).header(site.id()).await.unwrap();
        assert_eq!(header.statement.spent, Some(spent(&trio, 1)));
    }
    let plain = |at| (0..3).map(|k| f64::from(update(k)[at])).sum::<f64>() / 3.0;
    let noise = mean.iter().enumerate().map(|(at, value)| f64::from(*value) - plain(at));
    let deviation = (noise.map(|noise| noise * noise).sum::<f64>() / VALUES as f64).sqrt();
    let expected = SiteNoise::of(&trio.study.study).unwrap().noise_in_mean(3);
    // 5,000 values: the estimate's deviation is 1 %.
    assert!((deviation / expected - 1.0).abs() < 0.05, "{deviation}, {expected} is added");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_nothing_leaves() {
    let trio = trio().await;
    let (first, bare) = (site(&trio, 0), trio.site(1));
    first.open_round(trio.base, 600).await.unwrap();
    let expected = "has a privacy budget for each site";
    let error = bare.check_budget(FIRST).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    let joined = bare.join(FIRST).await.unwrap();
    let error = joined.contribute(trio.base, &update(1), |_| ()).await.unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    let other = bare.charging(ledger(&trio, 0), Units::Patients(vec!["p".into()]));
    let error = other.check_budget(FIRST).unwrap_err().to_string();
    assert!(error.contains("for each site, and units of the kind patient"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_would_overspend_is_told_before_training() {
    let trio = trio().await;
    let site = site(&trio, 0);
    let folder = ledger(&trio, 0);
    site.open_round(trio.base, 600).await.unwrap();
    // Rounds that were charged and given up are spent.
    let charge = |number| {
        let spending = spending::Spending::of(&trio.study.study).unwrap();
        let charge = RoundCharge {
            study: trio.study_id(),
            mechanisms: &spending.each_round,
            once: &spending.once,
            inexact: spending.inexact,
            budget: budget(&trio),
            units: &Units::Site,
        };
        let now = Clock::system().now();
        site.ledger(&folder).unwrap().charge(&charge, RoundNumber(number), now).unwrap();
    };
    [7, 8].into_iter().for_each(charge);
    let error = site.check_budget(FIRST).unwrap_err();
    assert!(overspent(&error), "{error}");
    let joined = site.join(FIRST).await.unwrap();
    let error = joined.contribute(trio.base, &update(0), |_| ()).await.unwrap_err();
    assert!(overspent(&error), "{error}");
    assert_eq!(charged(&trio, 0), 2);
}

fn budget(trio: &Trio) -> Budget {
    let budget = trio.study.study.privacy.budget().unwrap();
    Budget { epsilon: budget.epsilon.into(), delta: budget.delta.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_and_a_ledger_from_one_backup_are_found_and_settled() {
    let trio = trio().await;
    let mut sites: Vec<Site> = (0..3).map(|k| site(&trio, k)).collect();
    let (state, backup) = (trio.folder.path().join("state-2"), trio.folder.path().join("backup"));
    copy(&state, &backup.join("state"));
    copy(&ledger(&trio, 2), &backup.join("ledger"));
    sites[2].compare_ledger_with_log().await.unwrap();
    round(&trio, &sites, FIRST).await;
    drop(sites.pop());
    copy(&backup.join("state"), &state);
    copy(&backup.join("ledger"), &ledger(&trio, 2));
    // Nothing on its disk can tell; its own header does.
    let restored = site(&trio, 2);
    let error = restored.compare_ledger_with_log().await.unwrap_err().to_string();
    assert!(error.contains("in 1 rounds, and the ledger knows of 0"), "{error}");
    restored.abstain(FIRST).unwrap();
    // Whoever has said so is charged at the next look, which every `join` begins with.
    restored.compare_ledger_with_log().await.unwrap();
    assert_eq!(charged(&trio, 2), 1);
    // The second round is the last one that the budget is enough for.
    let second = restored.check_budget(RoundNumber(1)).unwrap();
    assert_eq!((second, charged(&trio, 2)), (Some(spent(&trio, 2)), 1));
    restored.compare_ledger_with_log().await.unwrap();
    let error = restored.check_budget(FIRST).unwrap_err().to_string();
    assert!(error.contains("charged as forgotten"), "{error}");
}

/// How far the restore reaches is not known yet: the log is looked at all the same, and nothing is
/// trained.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_restore_silences_nothing() {
    let trio = trio().await;
    let mut sites: Vec<Site> = (0..3).map(|k| site(&trio, k)).collect();
    let (state, backup) = (trio.folder.path().join("state-2"), trio.folder.path().join("backup"));
    copy(&state, &backup.join("state"));
    copy(&ledger(&trio, 2), &backup.join("ledger"));
    round(&trio, &sites, FIRST).await;
    drop(sites.pop());
    copy(&backup.join("state"), &state);
    copy(&backup.join("ledger"), &ledger(&trio, 2));
    let hasty = trio.site_with(2, |membership| membership.patience = Duration::from_secs(1));
    let restored = charging(&trio, 2, hasty);
    restored.restored(RestoreRun::Ask).await.unwrap_err();
    let error = restored.compare_ledger_with_log().await.unwrap_err().to_string();
    assert!(error.contains("in 1 rounds, and the ledger knows of 0"), "{error}");
    let unsettled = |error: SiteError| matches!(error, SiteError::Ledger(e) if matches!(*e, LedgerError::Unsettled { .. }));
    assert!(unsettled(restored.check_ledger().unwrap_err()));
    assert!(unsettled(restored.check_budget(RoundNumber(1)).unwrap_err()));
    // By hand: charged at once, and nobody is asked.
    restored.abstain(FIRST).unwrap();
    restored.settle_restores(&ledger(&trio, 2), false).unwrap();
    assert_eq!(charged(&trio, 2), 1);
    restored.compare_ledger_with_log().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_copied_back_after_a_restore_is_refused() {
    let trio = trio().await;
    let sites: Vec<Site> = (0..3).map(|k| site(&trio, k)).collect();
    let older = trio.folder.path().join("older");
    copy(&ledger(&trio, 0), &older);
    // Restored before the study's first round, and settled.
    sites[0].abstain(FIRST).unwrap();
    sites[0].check_budget(RoundNumber(1)).unwrap();
    assert_eq!(charged(&trio, 0), 1);
    copy(&older, &ledger(&trio, 0));
    let error = sites[0].check_budget(RoundNumber(1)).unwrap_err().to_string();
    assert!(error.contains("copied back"), "{error}");
}
