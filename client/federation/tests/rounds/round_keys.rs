//! Round keys that an aggregator hides, or leaves out of the study's log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::api::{LoggedKeys, Problem};
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::{InclusionProof, LogEntry, NoteKey, TlogProof, origin};
use ringfence_crypto::statement::{Manifest, UNSEEN_SECONDS};
use ringfence_crypto::wire::json;
use ringfence_site::transport::Transport;
use ringfence_site::{Journal, Site, SiteError};

use crate::liar::{self, Answer, Asked};
use crate::trio::{Trio, finish, next_model, update};

const FIRST: RoundNumber = RoundNumber::FIRST;

pub(crate) fn refuse(answer: &mut Answer, status: u16) {
    answer.status = status;
    answer.bytes = json::compact(&Problem {
        kind: "/problems/other".into(),
        title: "Other".into(),
        status,
        detail: "not today".into(),
    });
}

/// Site `k`, whose aggregator lies.
pub(crate) fn lied_to(
    trio: &Trio,
    k: usize,
    lie: impl Fn(&Asked<'_>, &mut Answer) + Send + Sync + 'static,
) -> Site {
    let url = liar::start(trio.aggregator.url(), lie);
    let transport = Transport::new(&url, false, Clock::system()).unwrap();
    trio.site_with(k, |membership| membership.transport = transport)
}

fn is_inclusion(asked: &Asked<'_>) -> bool {
    asked.path.ends_with("/log/inclusion")
}

/// Of which holders the manifest of the first round names round keys.
pub(crate) async fn named(trio: &Trio) -> Vec<bool> {
    let manifest = trio.transport().round(trio.study_id(), FIRST).manifest().await.unwrap();
    manifest.statement.holder_keys.iter().map(Option::is_some).collect()
}

/// Proves another leaf wherever the proof of a single one is asked for.
fn prove_another(asked: &Asked<'_>, answer: &mut Answer) {
    if is_inclusion(asked) {
        answer.alter(|proofs: &mut Vec<InclusionProof>| {
            if let [proof] = proofs.as_mut_slice() {
                proof.hashes.iter_mut().for_each(|hash| hash.0[0] ^= 1);
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_not_published_before_the_log_has_them() {
    let trio = Trio::start().await;
    // So that the proof has a hash.
    trio.site(0).publish_round_keys().await.unwrap();
    let folder = trio.folder.path().join("state-1/studies").join(trio.study_id().to_string());
    let published = || {
        let journal = Journal::open(&trio.folder.path().join("state-1")).unwrap();
        let keys = journal.round_keys(trio.study_id()).unwrap();
        (keys.kept().unwrap().pop(), keys.published(FIRST).unwrap())
    };
    let without = |asked: &Asked<'_>, answer: &mut Answer| {
        if is_inclusion(asked) {
            refuse(answer, 404);
        }
    };
    let refused = async |site: Site| {
        let error = site.publish_round_keys().await.unwrap_err();
        assert!(matches!(error, SiteError::RoundKeysNotLogged { .. }), "{error}");
        drop(site);
        let (made, published) = published();
        assert!(made.is_some() && published.is_none());
    };
    refused(lied_to(&trio, 1, without)).await;
    refused(lied_to(&trio, 1, prove_another)).await;

    trio.site(1).publish_round_keys().await.unwrap();
    let published = published().1.unwrap();
    let (statement, index) = (published.keys, published.index);
    let proof = std::fs::read_to_string(folder.join("round-keys-000000.tlog-proof")).unwrap();
    let proof: TlogProof = proof.parse().unwrap();
    let key = NoteKey::new(&origin(trio.study_id()), trio.study.study.aggregator_key).unwrap();
    let checkpoint = proof.verify(LogEntry::of_signed(&statement).leaf(), &key).unwrap();
    assert_eq!((checkpoint.size, index), (2, Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closing_whose_log_lacks_the_keys_it_held_under_is_not_endorsed() {
    let trio = Trio::start_with(|draft| draft.review_seconds = 60).await;
    let mut sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    for site in &sites {
        site.publish_round_keys().await.unwrap();
    }
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, FIRST).await.unwrap();
    }
    drop(sites.pop());
    let lied = lied_to(&trio, 2, prove_another);
    let others = futures_util::future::join_all(sites.iter().map(|site| site.hold(FIRST)));
    let refusing = async {
        let error = lied.hold(FIRST).await.unwrap_err();
        assert!(matches!(error, SiteError::RoundKeysNotLogged { .. }), "{error}");
        drop(lied);
        let study = trio.folder.path().join("state-2/studies").join(trio.study_id().to_string());
        let names = std::fs::read_dir(study.join("rounds")).unwrap();
        let names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().any(|name| name.starts_with("000000.refused-")), "{names:?}");
        let journal = Journal::open(&trio.folder.path().join("state-2")).unwrap();
        let of_round = journal.round(trio.study_id(), FIRST).unwrap();
        assert!(of_round.endorsement().unwrap().is_none());
        drop((of_round, journal));
        // All three are needed, and the truth is as good late.
        let site = trio.site(2);
        site.hold(FIRST).await.unwrap();
        site
    };
    let (_, site) = tokio::join!(others, refusing);
    sites.push(site);
    assert!(!finish(&sites, FIRST).await[0].is_empty());
}

/// The initiator of round 1, in league with the aggregator, opens it with a manifest that says it was
/// opened when round 0 was closed, and names no keys; to the other sites it was before they could be
/// seen to be there.
#[tokio::test(flavor = "multi_thread")]
async fn a_back_dated_manifest_does_not_switch_forward_secrecy_off() {
    let trio = Trio::start_with(|draft| draft.review_seconds = 60).await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    for site in &sites {
        site.publish_round_keys().await.unwrap();
    }
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, FIRST).await.unwrap();
    }
    finish(&sites, FIRST).await;
    drop(sites);
    let second = RoundNumber(1);
    let closing = trio.transport().round(trio.study_id(), FIRST).closing().await.unwrap();
    let identity = trio.identity(1);
    let study = &trio.study.study;
    let opened_at = closing.statement.closed_at;
    let manifest = identity.sign(Manifest {
        study: trio.study_id(),
        round: second,
        initiator: identity.site().clone(),
        opened_at,
        deadline: opened_at.after(3000),
        holders: study.holders(second).map(|site| site.id.clone()).collect(),
        holder_keys: vec![None; study.threshold.holders.into()],
        base_model: identity.check_key(study).unwrap().model(&next_model()),
        previous: Some(closing.id()),
        trust: Trust::default().digest(),
    });
    // By this site's clock its keys came after the closing, so that the manifest's own time says
    // nothing against it.
    let state = trio.folder.path().join("state-2");
    let keys = Journal::open(&state).unwrap().round_keys(trio.study_id()).unwrap();
    let published = keys.published(second).unwrap().unwrap();
    keys.sent(&published.keys, opened_at.after(100)).unwrap();
    assert!(published.index.unwrap() < closing.statement.checkpoint.size);
    let site = lied_to(&trio, 2, move |asked, answer| {
        if asked.path.ends_with("/rounds/1/manifest") {
            (answer.status, answer.bytes) = (200, json::compact(&manifest));
        }
    });
    let error = site.hold(second).await.unwrap_err();
    assert!(matches!(&error, SiteError::RoundKeyLeftOut { .. }), "{error}");
    let joined = site.join(second).await.unwrap();
    let error = joined.contribute(next_model(), &update(2), |_| ()).await.unwrap_err();
    assert!(matches!(&error, SiteError::RoundKeyLeftOut { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_has_looked_after_publishing_knows_a_back_dated_first_manifest() {
    let trio = Trio::start().await;
    let (clock, hand) = Clock::mock(Clock::system().now());
    let site = trio.site_with(2, |membership| membership.clock = clock);
    site.publish_round_keys().await.unwrap();
    // Its keys have been there for so long that an initiator must have seen them.
    hand.advance(Duration::from_secs(6));
    assert_eq!(site.next_round().await.unwrap(), FIRST);
    let identity = trio.identity(0);
    let study = &trio.study.study;
    let manifest = identity.sign(Manifest {
        study: trio.study_id(),
        round: FIRST,
        initiator: identity.site().clone(),
        opened_at: study.created_at,
        deadline: study.created_at.after(3000),
        holders: study.holders(FIRST).map(|site| site.id.clone()).collect(),
        holder_keys: vec![None; study.threshold.holders.into()],
        base_model: identity.check_key(study).unwrap().model(&trio.base),
        previous: None,
        trust: Trust::default().digest(),
    });
    drop(site);
    let late = move |asked: &Asked<'_>, answer: &mut Answer| {
        if asked.path.ends_with("/rounds/0/manifest") {
            (answer.status, answer.bytes) = (200, json::compact(&manifest));
        }
    };
    let error = lied_to(&trio, 2, late.clone()).hold(FIRST).await.unwrap_err();
    assert!(matches!(&error, SiteError::RoundKeyLeftOut { .. }), "{error}");
    // One that has only just published takes part: an honest initiator may not have seen its keys.
    let raced = lied_to(&trio, 1, late);
    raced.publish_round_keys().await.unwrap();
    let joined = raced.join(FIRST).await.unwrap();
    let error = joined.contribute(next_model(), &update(1), |_| ()).await.unwrap_err();
    assert!(matches!(&error, SiteError::BaseModel { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initiator_refuses_to_open_a_round_without_keys_that_it_has_seen() {
    let trio = Trio::start().await;
    trio.site(1).publish_round_keys().await.unwrap();
    // It sees them, and the aggregator refuses its manifest: its clock is ahead.
    let (clock, _hand) = Clock::mock(Clock::system().now().after(1000));
    let seen = trio.site_with(0, |membership| membership.clock = clock);
    seen.open_round(trio.base, 600).await.unwrap_err();
    drop(seen);
    // It neither shows them nor takes them again.
    let hidden = lied_to(&trio, 0, |asked, answer| {
        let path = asked.path;
        if path.contains("/round-keys/b?") || path.ends_with("/round-keys/b") {
            refuse(answer, 404);
        }
        if path.contains("/round-keys?") {
            answer.alter(|logged: &mut Vec<LoggedKeys>| {
                logged
                    .iter_mut()
                    .filter(|of| of.holder.as_str() == "b")
                    .for_each(|of| of.keys = None);
            });
        }
    });
    let error = hidden.open_round(trio.base, 600).await.unwrap_err();
    assert!(matches!(&error, SiteError::RoundKeysHidden { round: FIRST, .. }), "{error}");
    assert!(error.to_string().contains("no round keys of b"), "{error}");
    drop(hidden);
    // Nothing was opened; shown again, they are named.
    let site = trio.site(0);
    site.open_round(trio.base, 600).await.unwrap();
    assert_eq!(named(&trio).await, [true, true, false]);
}

/// Its manifest is refused for what it has not seen, and it asks again: no round is lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_initiator_that_missed_round_keys_signs_again_with_them() {
    let trio = Trio::start().await;
    trio.site(1).publish_round_keys().await.unwrap();
    tokio::time::sleep(Duration::from_secs(UNSEEN_SECONDS + 1)).await;
    let missed = AtomicBool::new(false);
    let site = lied_to(&trio, 0, move |asked, answer| {
        let keys = asked.method == "GET" && asked.path.contains("/round-keys/b?");
        if keys && !missed.swap(true, Ordering::Relaxed) {
            refuse(answer, 404);
        }
    });
    site.open_round(trio.base, 600).await.unwrap();
    assert_eq!(named(&trio).await, [true, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_publishes_its_round_keys_before_it_waits_for_a_round() {
    let trio = Trio::start().await;
    let impatient = trio.site_with(2, |membership| membership.patience = Duration::from_secs(1));
    let error = impatient.await_opening(FIRST).await.unwrap_err();
    assert!(matches!(&error, SiteError::NotOpened { round: FIRST, .. }), "{error}");
    assert!(error.to_string().contains("ask a, who is next on the ring"), "{error}");
    let (waiting, initiator) = (trio.site(1), trio.site(0));
    let open = async {
        let b = "b".parse().unwrap();
        while trio.transport().round_keys(trio.study_id(), &b, FIRST).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        initiator.open_round(trio.base, 600).await.unwrap();
    };
    let (waited, ()) = tokio::join!(waiting.await_opening(FIRST), open);
    waited.unwrap();
    assert_eq!(named(&trio).await, [true, true, true]);
}
