//! More key holders lie together than the study allows for: the sum does not decode, though every
//! contribution keeps to the format. The dispute finds no culprit: the round fails, names nobody, and
//! is the study's last one.

use std::time::Duration;

use futures_util::future::join_all;
use ringfence_crypto::api::{OpeningContext, opening_words};
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::ring::codeword::{holder_point, lagrange};
use ringfence_crypto::ring::field;
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::statement::{Outcome, Subject};
use ringfence_keys::open::{CheckedPart, seal_opening};
use ringfence_site::transport::Openings;
use ringfence_site::{Site, SiteError, SpoiledError};

use crate::trio::{Trio, next_model};

const ROUND: RoundNumber = RoundNumber(0);

/// Runs these holders' duties until the round stands like this; then they are cut off.
async fn hold_until(trio: &Trio, sites: &[Site], ready: impl Fn(&RoundStatus) -> bool) {
    let stands = async {
        while !ready(&trio.transport().round(trio.study_id(), ROUND).status().await.unwrap()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        biased;
        () = stands => {}
        held = join_all(sites.iter().map(|site| site.hold(ROUND))) => panic!("too early: {held:?}"),
    }
}

/// Site k opens what lies on one codeword with the opening of a, and not with that of b: it has read
/// both, and `t = 2` openings fix a codeword.
async fn open_beside(trio: &Trio, k: usize) {
    let (study, identity, transport) = (&trio.study.study, trio.identity(k), trio.transport_of(k));
    let at = transport.round(trio.study_id(), ROUND);
    let closing = at.closing().await.unwrap();
    let (closing, named) = (closing.id(), closing.statement);
    let words = opening_words(&study.threshold, Subject::Sum, named.included.len());
    let (round, manifest, subject) = (ROUND, named.manifest, Subject::Sum);
    let context = OpeningContext { study, round, manifest, closing, subject, words };
    let (mut points, mut opened) = (Vec::new(), Vec::new());
    for holder in ["a", "b"] {
        let holder: SiteId = holder.parse().unwrap();
        let part = at.opening_part(Openings::Sum, &holder, identity.site(), 1 << 24).await.unwrap();
        let part = CheckedPart::check(&identity, context, part).unwrap();
        let (offset, words) = part.unseal_words().unwrap();
        points.push(holder_point(offset));
        opened.push(words);
    }
    opened[1].iter_mut().for_each(|word| *word = field::add(*word, 1));
    let offset = study.holder_offset(ROUND, identity.site()).unwrap();
    let weights = lagrange(&points, holder_point(offset));
    let beside = opened[0].iter().zip(opened[1].iter());
    let beside =
        beside.map(|(a, b)| field::add(field::mul(weights[0], *a), field::mul(weights[1], *b)));
    let bytes = field::to_bytes(&beside.collect::<Vec<_>>());
    let mut rng = ringfence_keys::system_rng().unwrap();
    let frame = seal_opening(&identity, context, &bytes, &mut rng).unwrap();
    at.put_opening(Openings::Sum, &frame).await.unwrap();
}

async fn failure(site: &Site) -> SiteError {
    site.join(ROUND).await.unwrap().finish().await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_without_a_culprit_names_nobody_and_fails_the_round() {
    let trio = Trio::start_of(4, |draft| draft.review_seconds = 60).await;
    let threshold = trio.study.study.threshold;
    assert!(threshold.names());
    assert_eq!((threshold.collusion, threshold.opening, threshold.endorsements), (1, 2, 3));
    let patient = |k| trio.site_with(k, |membership| membership.patience = Duration::from_secs(60));
    let sites: Vec<Site> = (0..4).map(patient).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, ROUND).await.unwrap();
    }
    // c and d, c + 1 holders, do all that they should, but for what they open.
    let (honest, lying) = sites.split_at(2);
    hold_until(&trio, honest, |status| status.reviewed.len() == 2).await;
    hold_until(&trio, lying, |status| status.endorsed.len() == 2).await;
    for held in join_all(honest.iter().map(|site| site.hold(ROUND))).await {
        assert!(held.unwrap().opened);
    }
    open_beside(&trio, 2).await;
    open_beside(&trio, 3).await;

    // Three of four lie on one codeword, t + c of them: it counts as determined, and is wrong.
    for error in join_all(sites.iter().map(failure)).await {
        assert!(matches!(error, SiteError::Spoiled(SpoiledError::NoCulprit(ROUND))), "{error}");
        let text = error.to_string();
        assert!(text.contains("more key holders have lied together"), "{text}");
        assert!(text.contains("Round 0 has failed; its model is spent"), "{text}");
    }
    let transport = trio.transport();
    let at = transport.round(trio.study_id(), ROUND);
    let status = at.status().await.unwrap();
    let [dispute] = &status.disputes[..] else { panic!("{:?}", status.disputes) };
    assert!(dispute.disputed && dispute.answered.len() == 4, "{dispute:?}");
    assert!(dispute.judging.is_empty() && !dispute.judged, "{dispute:?}");
    let acknowledged = at.acknowledgements().await.unwrap();
    assert_eq!(acknowledged.len(), 4);
    assert!(acknowledged.iter().all(|signed| signed.statement.outcome == Outcome::Failed));
    let studies = format!("studies/{}/rounds/000000.evidence.json", trio.study_id());
    for k in 0..4 {
        let evidence = trio.folder.path().join(format!("state-{k}")).join(&studies);
        assert!(!evidence.exists(), "nothing was found out about anybody");
    }

    // A restart finds the same; and what is certified and cannot be applied has no next round.
    drop(sites);
    let site = trio.site_with(1, |membership| membership.patience = Duration::from_secs(2));
    assert!(matches!(failure(&site).await, SiteError::Spoiled(SpoiledError::NoCulprit(ROUND))));
    for model in [trio.base, next_model()] {
        let refused = site.open_round(model, 600).await.unwrap_err();
        let none = matches!(refused, SiteError::NotAgreed { round: ROUND, agreeing: 0, .. });
        assert!(none, "{refused}");
    }
}
