//! Rounds under faults that just leave enough sites: those that are accepted end, as foreseen.

use std::time::Duration;

use futures_util::future::join_all;
use ringfence_clock::Clock;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::statement::{Training, Weighting};
use ringfence_federation::{Faults, Federation, FederationOptions, FederationSetup};
use ringfence_weights::{MeanStep, Weights};

/// Two rounds of a study of so many sites; what went wrong.
async fn played(sites: usize, faults: Faults) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let weights = Weights::from_values(&[("w".into(), vec![100])], vec![0.25; 100])?;
    let setup = FederationSetup {
        names: (0..sites).map(|site| format!("s{site}")).collect(),
        initial: weights,
        mean_step: MeanStep::Add,
        training: Training::None,
        options: FederationOptions {
            bits: 16,
            clip: 0.5,
            weighting: Weighting::Equal,
            round_seconds: 90,
            patience: Duration::from_secs(90),
        },
        faults,
        rounds: 2,
        clock: Clock::system(),
    };
    let mut federation = Federation::start(folder.path(), setup).await?;
    for _ in 0..2 {
        let updates: Vec<_> = (0..sites).map(|_| Some(vec![0.1; 100])).collect();
        federation.round(&updates).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_that_just_leave_enough_sites_end_well() {
    let of = |faults: &[&str]| faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let mute = Faults { mute: of(&["1@0"]), ..Faults::default() };
    let both = Faults { spoil: of(&["1@0"]), mute: of(&["3@1"]), ..Faults::default() };
    let run = |(sites, faults): (usize, Faults)| async move {
        let names: Vec<SiteId> = (0..sites).map(|k| format!("s{k}").parse().unwrap()).collect();
        faults.check(&names, 2).unwrap();
        let ended = played(sites, faults).await;
        ended.unwrap_or_else(|error| panic!("{sites} sites: {error:#}"));
    };
    join_all([(4, mute), (5, both)].map(run)).await;
}
