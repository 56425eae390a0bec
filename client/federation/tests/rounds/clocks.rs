//! Sites whose clocks are wrong, and statements whose times are.

use std::sync::Arc;
use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::statement::{ClosingError, ManifestError};
use ringfence_site::SiteError;
use ringfence_site::transport::Transport;

use crate::trio::Trio;

const HOUR: u64 = 3600;

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_from_the_future_is_refused_and_one_from_long_ago_is_not() {
    let trio = Trio::start().await;
    trio.site(0).open_round(trio.base, 600).await.unwrap();
    let manifest = trio.transport().round(trio.study_id(), RoundNumber::FIRST).manifest().await;
    let opened_at = manifest.unwrap().statement.opened_at;
    let site = |now| {
        let (clock, hand) = Clock::mock(now);
        (trio.site_with(1, |membership| membership.clock = clock), hand)
    };
    let (behind, _) = site(opened_at.earlier(HOUR));
    let error = behind.join(RoundNumber::FIRST).await.unwrap_err();
    assert!(matches!(error, SiteError::Manifest(ManifestError::OpenedAhead { .. })), "{error}");
    let text = error.to_string();
    for said in [opened_at.utc().to_string(), opened_at.earlier(HOUR).utc().to_string()] {
        assert!(text.contains(&said), "{text}");
    }
    drop(behind);

    // What the aggregator has just let pass may be ahead of a site's clock by seconds more.
    let (slow, hand) = site(opened_at.earlier(330));
    let joining = tokio::spawn(async move { slow.join(RoundNumber::FIRST).await.map(|_| ()) });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!joining.is_finished(), "its clock has not caught up");
    hand.advance(Duration::from_secs(30));
    joining.await.unwrap().unwrap();

    let (late, _) = site(opened_at.after(HOUR));
    late.join(RoundNumber::FIRST).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closing_from_the_future_is_not_endorsed() {
    let trio = Trio::start().await;
    let now = Clock::system().now();
    let (clock, hand) = Clock::mock(now);
    let behind = trio.site_with(2, |membership| membership.clock = clock);
    let sites = [trio.site(0), trio.site(1)];
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in [&sites[0], &sites[1], &behind].into_iter().enumerate() {
        trio.contribute(site, k, RoundNumber::FIRST).await.unwrap();
    }
    hand.set(now.earlier(HOUR));
    let others = sites
        .map(|site| tokio::spawn(async move { site.hold(RoundNumber::FIRST).await.map(|_| ()) }));
    let error = behind.hold(RoundNumber::FIRST).await.unwrap_err();
    assert!(matches!(error, SiteError::Closing(ClosingError::ClosedAhead { .. })), "{error}");
    assert!(error.to_string().contains(&now.earlier(HOUR).utc().to_string()), "{error}");
    let transport = trio.transport();
    let status = transport.round(trio.study_id(), RoundNumber::FIRST).status().await.unwrap();
    assert!(!status.endorsed.contains(&behind.study().roster, behind.id()), "{status:?}");
    // Once its clock is right, it endorses.
    hand.set(Clock::system().now());
    behind.hold(RoundNumber::FIRST).await.unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_clock_is_behind_the_study_says_so_at_once() {
    let trio = Trio::start().await;
    let created_at = trio.study.study.created_at;
    let (clock, _hand) = Clock::mock(created_at.earlier(HOUR));
    let site = trio.site_with(0, |membership| membership.clock = clock);
    let error = site.open_round(trio.base, 600).await.unwrap_err();
    assert!(matches!(error, SiteError::ClockBehind { .. }), "{error}");
    let text = error.to_string();
    for said in [created_at.utc().to_string(), created_at.earlier(HOUR).utc().to_string()] {
        assert!(text.contains(&said), "{text}");
    }
    let error = trio.site(1).open_round(trio.base, 1).await.unwrap_err();
    assert!(error.to_string().contains("the study allows 2 to 3600 s"), "{error}");
}

/// Requests are signed with the time: beyond 300 s apart nothing is answered, and both times are said.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_too_far_apart_for_signed_requests_are_both_said() {
    let trio = Trio::start().await;
    let now = Clock::system().now();
    let (clock, hand) = Clock::mock(now.after(HOUR));
    let transport = Transport::new(trio.aggregator.url(), false, clock).unwrap();
    let transport = transport.of_site(Arc::new(trio.identity(1)));
    let error = transport.status(trio.study_id()).await.unwrap_err();
    assert!(error.is_clock() && !error.is_transient(), "{error}");
    let text = error.to_string();
    assert!(text.contains(&now.after(HOUR).utc().to_string()), "{text}");
    assert!(text.contains("set the clock that is wrong"), "{text}");
    hand.set(now.earlier(HOUR));
    assert!(transport.status(trio.study_id()).await.unwrap_err().is_clock());
    hand.set(Clock::system().now());
    transport.status(trio.study_id()).await.unwrap();
}
