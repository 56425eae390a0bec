//! One opened set for each base model, whoever asks for a second one.

use ringfence_clock::Clock;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{ModelId, RoundNumber};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Manifest, SignedStudy};
use ringfence_crypto::wire::json;
use ringfence_keys::duties::contributor::RuleError;
use ringfence_site::transport::Transport;
use ringfence_site::{Journal, Site, SiteError, model};
use ringfence_weights::Weights;

use crate::liar;
use crate::trio::{Trio, VALUES, finish, update};

#[tokio::test(flavor = "multi_thread")]
async fn one_opened_set_per_base_model_and_a_certified_abort_in_between() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    // Round 0: one contribution is too few; the abort is certified by all three.
    sites[0].open_round(trio.base, 2).await.unwrap();
    trio.contribute(&sites[1], 1, RoundNumber(0)).await.unwrap();
    // Before the certificate, no contribution to a later round would be allowed.
    let means = finish(&sites, RoundNumber(0)).await;
    assert!(means.iter().all(Vec::is_empty), "an abort opens nothing");

    // Round 1, on the same base model, is allowed now; and ends in an opened set.
    sites[1].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, RoundNumber(1)).await.unwrap();
    }
    assert!(finish(&sites, RoundNumber(1)).await.iter().all(|mean| mean.len() == VALUES));
    // Those who acknowledged first had not seen yet that all would.
    finish(&sites, RoundNumber(1)).await;

    // In round 0 only the initiator had published round keys; from then on all have. A round's
    // secrets are gone once Q sites hold one model of it, or its abort is certified.
    let transport = trio.transport_of(2);
    let study = trio.study_id();
    for (round, named) in [(0, 1), (1, 3)] {
        let manifest =
            transport.round(study, RoundNumber(round)).manifest().await.unwrap().statement;
        assert_eq!(manifest.holder_keys.iter().flatten().count(), named, "round {round}");
    }
    drop(sites);
    for k in 0..3 {
        let journal = Journal::open(&trio.folder.path().join(format!("state-{k}"))).unwrap();
        let secrets = journal.round_keys(study).unwrap().secret_rounds().unwrap();
        let secret = |round: u32| secrets.contains(&RoundNumber(round));
        assert!(secret(2) && !secret(1) && !(k == 0 && secret(0)), "site {k}");
    }
    let mut sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();

    // Round 2 on the base model of round 1: an honest initiator does not open it ...
    let refused = sites[2].open_round(trio.base, 600).await.unwrap_err();
    assert!(matches!(refused, SiteError::NotAgreed { needed: 3, agreeing: 0, .. }), "{refused}");
    // ... and sites refuse it from a dishonest one, even if the aggregator lets it pass.
    let identity = trio.identity(2);
    let closing = transport.round(study, RoundNumber(1)).closing().await.unwrap();
    let now = Clock::system().now();
    let manifest = identity.sign(Manifest {
        study,
        round: RoundNumber(2),
        initiator: identity.site().clone(),
        // Long enough after the sites have published their round keys.
        opened_at: now.after(10),
        deadline: now.after(600),
        holders: trio.study.study.holders(RoundNumber(2)).map(|site| site.id.clone()).collect(),
        holder_keys: vec![None; trio.study.study.threshold.holders.into()],
        base_model: identity.check_key(&trio.study.study).unwrap().model(&trio.base),
        previous: Some(closing.id()),
        trust: ringfence_crypto::dealing::Trust::default().digest(),
    });
    let refused = transport.round(study, RoundNumber(2)).open(&manifest).await.unwrap_err();
    assert!(refused.to_string().contains("which enough sites have acknowledged"), "{refused}");
    let url = liar::start(trio.aggregator.url(), move |asked, answer| {
        if asked.path.ends_with("/rounds/2/manifest") {
            (answer.status, answer.bytes) = (200, json::compact(&manifest));
        }
    });
    drop(sites.remove(0));
    let misled = trio.site_with(0, |membership| {
        membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
    });
    let refused = trio.contribute(&misled, 0, RoundNumber(2)).await.unwrap_err();
    assert!(
        matches!(refused, SiteError::Rule(RuleError::BaseModelSpent { round: RoundNumber(1), .. })),
        "{refused}"
    );
    // It leaves out the holders' round keys, too: none of them holds under it.
    let refused = misled.hold(RoundNumber(2)).await.unwrap_err();
    assert!(matches!(refused, SiteError::RoundKeyLeftOut { .. }), "{refused}");
    assert!(refused.to_string().contains("forward secrecy would be off"), "{refused}");
    let joined = misled.join(RoundNumber(2)).await.unwrap();
    let own = ModelId(Digest::of(b"own model"));
    let other = joined.contribute(own, &update(0), |_| ()).await.unwrap_err();
    assert!(matches!(other, SiteError::BaseModel { round: RoundNumber(2), .. }), "{other}");
}

/// After a certified set whose mean nobody applied, the same sites start a new study: from the same
/// model with a flipped bit, and from another model.
#[tokio::test(flavor = "multi_thread")]
async fn a_spent_model_with_a_flipped_bit_starts_no_study() {
    let trio = Trio::start().await;
    let weights = |value: &dyn Fn(usize) -> f32| {
        Weights::from_values(&[("w".into(), vec![VALUES])], (0..VALUES).map(value).collect())
            .unwrap()
    };
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    let first = RoundNumber(0);
    sites[0].open_round(trio.base, 600).await.unwrap();
    let joined = sites[0].join(first).await.unwrap();
    joined.check_origin(&weights(&|_| 0.5)).unwrap();
    joined.contribute(trio.base, &update(0), |_| ()).await.unwrap();
    drop(sites);

    let flipped = |k: usize| f32::from_bits(0.5f32.to_bits() ^ u32::from(k == 17));
    for (name, initial, spent) in [
        ("flipped", weights(&flipped), true),
        ("independent", weights(&|k| (k as f32).sin()), false),
    ] {
        let mut study = trio.study.study.clone();
        (study.name, study.initial_model) = (name.into(), model::id(&initial));
        let mut study = SignedStudy::unsigned(study);
        for k in 0..3 {
            let identity = trio.identity(k);
            study.sign(identity.site(), identity.signer()).unwrap();
        }
        trio.transport().register(&study, trio.aggregator.token()).await.unwrap();
        let site = trio.site_with(0, |membership| membership.study = study.clone());
        assert_ne!(study.study.id(), trio.study_id());
        site.open_round(model::id(&initial), 600).await.unwrap();
        let joined = site.join(first).await.unwrap();
        // By its digest alone the flipped model is a new one.
        joined.check_base(model::id(&initial)).unwrap();
        match joined.check_origin(&initial) {
            Ok(()) => assert!(!spent, "{name}"),
            Err(error) => {
                let near = matches!(error, SiteError::BaseModelNear { round: RoundNumber(0), .. });
                assert!(spent && near, "{name}: {error}");
            }
        }
    }
}
