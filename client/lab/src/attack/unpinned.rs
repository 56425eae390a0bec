//! What a crafted model does to a study, and what stops it: every site refuses it, since the study pins
//! the model that all begin with. With that rule passed over, here and nowhere else, the shipped
//! trainer, quantizer, cipher, sum and opening hand the sites' images to whoever sees the sum.

use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::statement::{Training as Pinned, Weighting};
use ringfence_federation::{Faults, Federation, FederationOptions, FederationSetup};
use ringfence_learning::data::phantom::{PhantomOptions, generate};
use ringfence_learning::{Algorithm, Augmentation, Optimizer, Sample, TrainOptions, Training};
use ringfence_site::{SiteError, model};
use ringfence_weights::MeanStep;

use super::imprint::Craft;
use super::material::Material;
use super::observe::{RATE, Seen};
use super::score::ImageScore;
use super::terms::{AttackName, Target};
use super::victim::Victim;

/// Sites, and images of each.
const SITES: usize = 3;
const IMAGES: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_crafted_model_is_refused_and_else_the_opened_sum_gives_images_away() {
    let options = PhantomOptions { side: 32, sites: 3, patients: 10, slices: 3, seed: 3 };
    let material = Material::new(generate(&options).unwrap(), 3, 1).unwrap();
    let victim = Victim::new(AttackName::Imprint, None, &material, 1).unwrap();
    let craft = Craft { several_steps: false, blocks: 1, seed: 1 };
    let crafted = craft.model(&victim.weights, &material.public, 0).unwrap();

    // The study begins with the honest model. The crafted one has its layout.
    let setup = FederationSetup {
        names: (0..SITES).map(|site| format!("site-{site}")).collect(),
        initial: victim.weights.clone(),
        mean_step: MeanStep::Add,
        training: Pinned::None,
        options: FederationOptions {
            bits: 16,
            clip: 0.5,
            weighting: Weighting::Equal,
            round_seconds: 60,
            patience: Duration::from_secs(60),
        },
        faults: Faults::default(),
        rounds: 1,
        clock: Clock::system(),
    };
    let folder = tempfile::tempdir().unwrap();
    let mut federation = Federation::start(&folder.path().join("state"), setup).await.unwrap();
    model::check_layout(&crafted, &federation.study().layout).unwrap();
    for site in federation.sites() {
        let error = site.open_round(model::id(&crafted), 60).await.unwrap_err();
        assert!(matches!(error, SiteError::NotInitialModel { .. }), "{}: {error}", site.id());
    }

    // Pinning switched off: the sites train on the crafted model, and say that it was the study's.
    let samples = material.round(&material.targets[0], SITES * IMAGES, 1);
    let options = TrainOptions {
        algorithm: Algorithm::FedAvg,
        epochs: 1,
        batch: IMAGES,
        learning_rate: RATE,
        optimizer: Optimizer::Sgd { momentum: 0.0 },
        augmentation: Augmentation::default(),
        seed: 1,
    };
    let update = |samples: &[Sample]| {
        let training =
            Training { task: victim.task.as_ref(), start: &crafted, samples, options: &options };
        let trained = training.run(&mut |_| ()).unwrap();
        Some(trained.difference(&crafted).unwrap().values().collect::<Vec<f32>>())
    };
    let updates: Vec<Option<Vec<f32>>> = samples.chunks(IMAGES).map(update).collect();
    let report = federation.round(&updates).await.unwrap();
    assert_eq!((report.contributions, report.mismatches), (SITES, 0));

    // All that is seen is the opened mean, by which the common model has moved.
    let moved = federation.model().difference(&victim.weights).unwrap();
    let values = moved.values().map(|value| value * SITES as f32 / -RATE as f32).collect();
    let seen = Seen { values, noise: 0.0 };
    let answer = craft.recover(&crafted, &seen, &material.public).unwrap();
    let psnr = |sample: &Sample| {
        let target = Target::new(sample).unwrap();
        let found = answer.nearest(&target.input, &material.public);
        ImageScore::of(&target.grey(found), &sample.image).psnr
    };
    let scores: Vec<f64> = samples.iter().map(psnr).collect();
    let rebuilt = |of: &[f64]| of.iter().filter(|psnr| **psnr > 40.0).count();
    let by_site: Vec<usize> = scores.chunks(IMAGES).map(rebuilt).collect();
    println!(
        "rebuilt above 40 dB from the opened sum, of {IMAGES} a site: {by_site:?}; {scores:.1?}"
    );
    assert!(by_site.iter().all(|rebuilt| *rebuilt >= 1), "{scores:?}");
    assert!(2 * by_site.iter().sum::<usize>() >= SITES * IMAGES, "{scores:?}");
}
