//! Three sites over HTTP against the real aggregator: what goes wrong, and what survives it.

// The lint's exception for tests does not reach the helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;
use std::time::Duration;

use ringfence_site::model;
use ringfence_site::{RoundEnd, Site, SiteError, now};
use ringfence_site::transport::Transport;
use ringfence_weights::Weights;
use ringfence_crypto::Digest;
use ringfence_crypto::log::{Checkpoint, LogHash};
use ringfence_crypto::statement::{
    Closing, Manifest, Signed, SignedStudy, Statement, WeightPolicy,
};
use ringfence_crypto::wire::json;
use ringfence_keys::contribution::RuleError;
use ringfence_keys::draft::StudyDraft;
use ringfence_keys::identity::Identity;
use support::Aggregator;

const VALUES: usize = 5000;

struct Trio {
    aggregator: Aggregator,
    folder: tempfile::TempDir,
    study: SignedStudy,
    secrets: Vec<String>,
    base: Digest,
}

fn update(site: usize) -> Vec<f32> {
    (0..VALUES).map(|k| ((k * (site + 3)) % 97) as f32 / 100.0 - 0.48).collect()
}

impl Trio {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let aggregator = Aggregator::start(folder.path());
        let mut rng = ringfence_keys::system_rng().unwrap();
        let identities: Vec<Identity> = ["a", "b", "c"]
            .map(|site| Identity::generate(site.parse().unwrap(), &mut rng).unwrap())
            .into();
        let weights =
            Weights::from_values(&[("w".into(), vec![VALUES])], vec![0.5; VALUES]).unwrap();
        let base = model::digest(&weights);
        let study = StudyDraft {
            name: "trio".into(),
            created_at: now() - 100,
            roster: identities.iter().map(Identity::public).collect(),
            aggregator_key: aggregator.public_key.parse().unwrap(),
            threshold: None,
            min_sites: None,
            value_bits: 16,
            layout: model::layout(&weights, 0.5),
            initial_model: base,
            weights: WeightPolicy::Equal,
            min_round_seconds: 2,
            review_seconds: 2,
            initiator_timeout_seconds: 1,
        };
        let mut study = SignedStudy::unsigned(study.into_study(&mut rng).unwrap());
        for identity in &identities {
            study.sign(identity.site(), identity.signer()).unwrap();
        }
        let transport = Transport::new(&aggregator.url, false).unwrap();
        transport.register(&study, &aggregator.token).await.unwrap();
        let secrets = identities.iter().map(|identity| identity.to_file().to_string()).collect();
        Self { aggregator, folder, study, secrets, base }
    }

    fn identity(&self, k: usize) -> Identity {
        Identity::from_file(&self.secrets[k]).unwrap()
    }

    fn site(&self, k: usize) -> Site {
        self.site_in(k, &self.folder.path().join(format!("state-{k}")))
    }

    fn site_in(&self, k: usize, state: &Path) -> Site {
        let transport = Transport::new(&self.aggregator.url, false).unwrap();
        let patience = Duration::from_secs(10);
        Site::open(self.study.clone(), self.identity(k), state, transport, patience).unwrap()
    }

    async fn contribute(&self, site: &Site, k: usize, round: u32) -> Result<Digest, SiteError> {
        let joined = site.join(round).await?;
        let contributed = joined.contribute(&self.base, &update(k), |_| ()).await?;
        Ok(contributed.receipt().header)
    }
}

/// Every site holds and opens; returns each one's mean.
async fn finish(sites: &[Site], round: u32) -> Vec<Vec<f32>> {
    let parts = sites.iter().map(|site| async move {
        site.hold(round).await.unwrap();
        match site.join(round).await.unwrap().finish().await.unwrap() {
            RoundEnd::Done(done) => {
                let mean = done.mean();
                done.acknowledge(&Digest::of(b"next model")).await.unwrap();
                mean
            }
            RoundEnd::Aborted => Vec::new(),
        }
    });
    futures_util::future::join_all(parts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_survives_crashes_on_both_sides() {
    let mut trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(&trio.base, 600).await.unwrap();
    let first = trio.contribute(&sites[0], 0, 0).await.unwrap();
    trio.contribute(&sites[1], 1, 0).await.unwrap();
    trio.aggregator.kill_and_restart();

    // The same site after a crash, with another update at hand: what is on disk is sent again.
    let mut sites = sites;
    drop(sites.remove(0));
    let restarted = trio.site(0);
    let again = restarted.join(0).await.unwrap();
    let again = again.contribute(&trio.base, &update(7), |_| panic!("encrypted twice")).await;
    assert_eq!(again.unwrap().receipt().header, first);
    sites.insert(0, restarted);

    trio.contribute(&sites[2], 2, 0).await.unwrap();
    trio.aggregator.kill_and_restart();
    let means = finish(&sites, 0).await;
    for (k, mean) in means[0].iter().enumerate() {
        let expected = (0..3).map(|site| update(site)[k]).sum::<f32>() / 3.0;
        assert!((mean - expected).abs() < 1.0 / 65535.0, "value {k}: {mean} for {expected}");
    }
    assert_eq!(means[0], means[1]);
    assert_eq!(means[1], means[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_opened_set_per_base_model_and_a_certified_abort_in_between() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    // Round 0: one contribution is too few; the abort is certified by all three.
    sites[0].open_round(&trio.base, 2).await.unwrap();
    trio.contribute(&sites[1], 1, 0).await.unwrap();
    // Before the certificate, no contribution to a later round would be allowed.
    let means = finish(&sites, 0).await;
    assert!(means.iter().all(Vec::is_empty), "an abort opens nothing");

    // Round 1, on the same base model, is allowed now; and ends in an opened set.
    sites[1].open_round(&trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, 1).await.unwrap();
    }
    assert!(finish(&sites, 1).await.iter().all(|mean| mean.len() == VALUES));

    // In round 0 only the initiator had published round keys; from then on all have. A round's
    // secrets are gone once its opening is durable, or its abort certified.
    let transport = Transport::new(&trio.aggregator.url, false).unwrap();
    let study = trio.study.study.digest();
    for (round, named) in [(0, 1), (1, 3)] {
        let manifest = transport.round(study, round).manifest().await.unwrap().statement;
        assert_eq!(manifest.holder_keys.iter().flatten().count(), named, "round {round}");
    }
    for k in 0..3 {
        let secret = |round: u32| {
            let keys = format!("state-{k}/studies/{study}/round-keys/{round:06}.secret");
            trio.folder.path().join(keys).exists()
        };
        assert!(secret(2) && !secret(1) && !(k == 0 && secret(0)), "site {k}");
    }

    // Round 2 on the base model of round 1: an honest initiator does not open it ...
    let refused = sites[2].open_round(&trio.base, 600).await.unwrap_err();
    assert!(matches!(refused, SiteError::NotAgreed { needed: 3, agreeing: 0, .. }), "{refused}");
    // ... and sites refuse it from a dishonest one.
    let identity = trio.identity(2);
    let transport = Transport::new(&trio.aggregator.url, false).unwrap();
    let study = trio.study.study.digest();
    let closing = transport.round(study, 1).closing().await.unwrap();
    let manifest = identity.sign(Manifest {
        study,
        round: 2,
        initiator: identity.site().clone(),
        opened_at: now(),
        deadline: now() + 600,
        holders: trio.study.study.holders(2).map(|site| site.id.clone()).collect(),
        holder_keys: vec![None; trio.study.study.threshold.holders.into()],
        base_model: identity.check_key(&trio.study.study).unwrap().model(&trio.base),
        previous: Some(closing.digest()),
    });
    transport.round(study, 2).open(&manifest).await.unwrap();
    let refused = trio.contribute(&sites[0], 0, 2).await.unwrap_err();
    assert!(
        matches!(refused, SiteError::Rule(RuleError::BaseModelSpent { round: 1, .. })),
        "{refused}"
    );
    let joined = sites[0].join(2).await.unwrap();
    let other = joined.contribute(&Digest::of(b"own model"), &update(0), |_| ()).await.unwrap_err();
    assert!(matches!(other, SiteError::BaseModel { round: 2, .. }), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_and_late_contributions_and_strangers_are_refused() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(&trio.base, 3).await.unwrap();
    trio.contribute(&sites[0], 0, 0).await.unwrap();

    // Update of a wrong length and with a NaN: nothing is sent.
    let joined = sites[1].join(0).await.unwrap();
    let short = joined.contribute(&trio.base, &[0.0; 3], |_| ()).await.unwrap_err();
    assert!(short.to_string().contains("has 3 values, the study's layout has 5000"), "{short}");
    let mut nan = update(1);
    nan[17] = f32::NAN;
    let joined = sites[1].join(0).await.unwrap();
    let nan = joined.contribute(&trio.base, &nan, |_| ()).await.unwrap_err();
    assert!(nan.to_string().contains("value 17 of tensor \"w\" is NaN"), "{nan}");

    // The state was lost: the site makes a second, different contribution. 409, nothing changes.
    drop(sites);
    let amnesiac = trio.site_in(0, &trio.folder.path().join("lost"));
    let refused = trio.contribute(&amnesiac, 0, 0).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("(409)") && text.contains("only the same bytes"), "{text}");

    // After the deadline.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let late = trio.contribute(&trio.site(2), 2, 0).await.unwrap_err().to_string();
    assert!(late.contains("(409)") && late.contains("takes no more contributions"), "{late}");

    // Somebody whose keys are not in the roster.
    let mut rng = ringfence_keys::system_rng().unwrap();
    let stranger = Identity::generate("a".parse().unwrap(), &mut rng).unwrap();
    let transport = Transport::new(&trio.aggregator.url, false).unwrap();
    let state = trio.folder.path().join("stranger");
    let error = Site::open(trio.study.clone(), stranger, &state, transport, Duration::ZERO);
    assert!(error.unwrap_err().to_string().contains("does not stand in this study's roster"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_refuses_a_log_that_is_not_the_one_it_saw() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(&trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, 0).await.unwrap();
    }
    finish(&sites, 0).await;
    let next = Digest::of(b"next model");
    sites[1].open_round(&next, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        let joined = site.join(1).await.unwrap();
        joined.contribute(&next, &update(k), |_| ()).await.unwrap();
    }

    // What a fork looks like to the site: the log that it saw in round 0 was another one.
    let study = trio.study.study.digest().to_string();
    let rounds = trio.folder.path().join("state-2/studies").join(study).join("rounds");
    let saved = rounds.join("000000/closing.json");
    let text = std::fs::read_to_string(&saved).unwrap();
    let closing: Signed<Closing> = json::parse(text.as_bytes(), 1 << 20, "closing").unwrap();
    let write = |alter: &dyn Fn(&mut Checkpoint)| {
        let mut seen = closing.clone();
        alter(&mut seen.statement.checkpoint);
        std::fs::write(&saved, json::pretty(&seen)).unwrap();
    };
    let refusing = async {
        write(&|seen| seen.root = LogHash::leaf(b"another"));
        let forked = sites[2].hold(1).await.unwrap_err().to_string();
        assert!(forked.contains("the log was forked"), "{forked}");
        assert!(forked.contains("keep both signed closings as evidence"), "{forked}");
        write(&|seen| seen.size += 1000);
        let shrunk = sites[2].hold(1).await.unwrap_err().to_string();
        assert!(shrunk.contains("the log shrank"), "{shrunk}");
        assert!(!rounds.join("000001/endorsement.json").exists());
        assert!(!rounds.join("000001/closing.json").exists());
        // Both sides of the evidence are on disk.
        let transport = Transport::new(&trio.aggregator.url, false).unwrap();
        let shown = transport.round(trio.study.study.digest(), 1).closing().await.unwrap();
        let refused = rounds.join(format!("000001/refused-{}.json", shown.digest()));
        let refused = std::fs::read(refused).unwrap();
        assert_eq!(json::parse::<Signed<Closing>>(&refused, 1 << 20, "closing").unwrap(), shown);
        write(&|_| ());
        sites[2].hold(1).await.unwrap();
        assert!(rounds.join("000001/closing.json").exists());
    };
    let others = futures_util::future::join_all(sites[..2].iter().map(|site| site.hold(1)));
    let (others, ()) = tokio::join!(others, refusing);
    others.into_iter().for_each(|report| assert!(report.unwrap().opened));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_restored_from_a_backup_signs_no_second_header() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(&trio.base, 600).await.unwrap();
    assert_eq!(sites[2].abstain().await.unwrap(), 1);
    let error = trio.contribute(&sites[2], 2, 0).await.unwrap_err().to_string();
    assert!(error.contains("contributes to no round through 1"), "{error}");
    trio.contribute(&sites[1], 1, 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_restored_from_a_backup_abstains() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(&trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, 0).await.unwrap();
    }
    assert_eq!(sites[2].abstain().await.unwrap(), 1);
    let others = futures_util::future::join_all(sites[..2].iter().map(|site| site.hold(0)));
    let (restored, others) = tokio::join!(sites[2].hold(0), others);
    let restored = restored.unwrap_err().to_string();
    assert!(restored.contains("abstains through round 1"), "{restored}");
    for other in others {
        // Three sites with c = 1 tolerate no silent holder: the error counts who answered.
        let other = other.unwrap_err().to_string();
        assert!(other.contains("2 of 3 endorsements needed"), "{other}");
    }
}
