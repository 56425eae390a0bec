//! Waiting for hours, by a clock that the test turns.

use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::id::{RoundNumber, UnixSeconds};
use ringfence_crypto::round::RoundStatus;
use ringfence_site::SiteError;

use crate::trio::Trio;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Long enough for a site to come to where it waits.
const MOMENT: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_waits_a_day_for_its_turn() {
    // The aggregator's clock is this machine's: a day has passed there. The successor's stands still
    // at the study's beginning.
    let created_at = Clock::system().now().earlier(DAY.as_secs());
    let trio = Trio::start_with(|draft| {
        draft.created_at = created_at;
        draft.initiator_timeout_seconds = DAY.as_secs() as u32;
    })
    .await;
    let (clock, hand) = Clock::mock(created_at);
    let successor = trio.site_with(1, |membership| membership.clock = clock);
    let base = trio.base;
    let opening = tokio::spawn(async move { successor.open_round(base, 600).await });

    tokio::time::sleep(MOMENT).await;
    hand.advance(DAY - HOUR);
    tokio::time::sleep(MOMENT).await;
    assert!(!opening.is_finished(), "a day has not passed yet");
    assert_eq!(trio.transport().status(trio.study_id()).await.unwrap().rounds, 0);
    hand.advance(HOUR);
    let status = opening.await.unwrap().unwrap();
    assert_eq!((status.round, status.initiator.as_str()), (RoundNumber::FIRST, "b"));
    let manifest = trio.transport().round(trio.study_id(), RoundNumber::FIRST).manifest().await;
    assert_eq!(manifest.unwrap().statement.opened_at, created_at.after(DAY.as_secs()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holders_patience_of_an_hour_ends_in_a_moment() {
    let trio = Trio::start().await;
    let (clock, hand) = Clock::mock(Clock::system().now());
    let patient = trio.site_with(0, |membership| {
        membership.clock = clock;
        membership.patience = HOUR;
    });
    patient.open_round(trio.base, 600).await.unwrap();
    trio.contribute(&patient, 0, RoundNumber::FIRST).await.unwrap();
    for k in [1, 2] {
        trio.contribute(&trio.site(k), k, RoundNumber::FIRST).await.unwrap();
    }
    let holding = tokio::spawn(async move { patient.hold(RoundNumber::FIRST).await });
    // It endorses, and the two others never do.
    let transport = trio.transport();
    let status = || transport.round(trio.study_id(), RoundNumber::FIRST);
    while status().status().await.unwrap().endorsed.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(MOMENT).await;
    hand.advance(HOUR - Duration::from_secs(1));
    tokio::time::sleep(MOMENT).await;
    assert!(!holding.is_finished(), "an hour has not passed yet");
    hand.advance(Duration::from_secs(1));
    let error = holding.await.unwrap().unwrap_err();
    let SiteError::Impatient { what: "a certificate", status } = error else {
        panic!("expected the end of its patience, got {error}")
    };
    let RoundStatus { round, endorsed, endorsements_needed, .. } = *status;
    assert_eq!((round, endorsed.len(), endorsements_needed), (RoundNumber::FIRST, 1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_between_attempts_go_by_the_clock() {
    let trio = Trio::start().await;
    let (clock, hand) = Clock::mock(UnixSeconds(0));
    // Nobody listens there any more.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let transport =
        ringfence_site::transport::Transport::new(&format!("http://{nobody}"), false, clock);
    let (transport, study) = (transport.unwrap(), trio.study_id());
    let asking = tokio::spawn(async move { transport.status(study).await });
    tokio::time::sleep(MOMENT).await;
    assert!(!asking.is_finished(), "it pauses before it asks again");
    let turning = async {
        while !asking.is_finished() {
            hand.advance(HOUR);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    turning.await;
    assert!(asking.await.unwrap().unwrap_err().is_transient());
}
