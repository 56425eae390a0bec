//! Rounds that take no contribution any more: nothing is charged for them, and a wrong clock loses none.

use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_site::transport::Transport;
use ringfence_site::{Late, SiteError};

use crate::liar;
use crate::private::{charged, charging, site, trio};
use crate::trio::{Trio, update};

const FIRST: RoundNumber = RoundNumber(0);

/// Waits until a round takes no contributions any more.
async fn over(trio: &Trio) -> RoundState {
    loop {
        let state = trio.transport().round(trio.study_id(), FIRST).status().await.unwrap().state;
        if state != RoundState::Collecting {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_is_over_is_neither_trained_for_nor_charged() {
    let trio = trio().await;
    let (first, late) = (site(&trio, 0), site(&trio, 1));
    first.open_round(trio.base, 2).await.unwrap();
    late.opened(FIRST).await.unwrap().unwrap();
    late.check_takes(FIRST, trio.base).await.unwrap();
    let joined = late.join(FIRST).await.unwrap();
    let deadline = joined.manifest().deadline;
    over(&trio).await;
    // Before it trains, and where it has.
    let asked = late.check_takes(FIRST, trio.base).await.unwrap_err();
    let sent = joined.contribute(trio.base, &update(1), |_| ()).await.unwrap_err();
    for error in [asked, sent] {
        let text = error.to_string();
        let SiteError::TooLate(Late { round, deadline: until, .. }) = error else {
            panic!("expected that it is too late, got {text}")
        };
        assert_eq!((round, until), (FIRST, deadline));
        for said in [deadline.utc().to_string(), "round 0 took contributions until".into()] {
            assert!(text.contains(&said), "{said:?} is not in {text}");
        }
    }
    assert_eq!(charged(&trio, 1), 0, "it is charged for nothing");
    assert!(!late.has_contribution(FIRST).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_loses_no_round() {
    let trio = trio().await;
    site(&trio, 0).open_round(trio.base, 600).await.unwrap();
    let (clock, _hand) = Clock::mock(Clock::system().now().after(24 * 3600));
    let ahead = charging(&trio, 1, trio.site_with(1, |membership| membership.clock = clock));
    ahead.opened(FIRST).await.unwrap().unwrap();
    ahead.check_takes(FIRST, trio.base).await.unwrap();
    let joined = ahead.join(FIRST).await.unwrap();
    joined.contribute(trio.base, &update(1), |_| ()).await.unwrap();
    assert_eq!(charged(&trio, 1), 1);
}

/// An aggregator looks at its clock every now and then; what it has not noticed yet, it would refuse.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_time_is_over_by_both_clocks_the_state_does_not_count() {
    let trio = trio().await;
    site(&trio, 0).open_round(trio.base, 2).await.unwrap();
    over(&trio).await;
    let url = liar::start(trio.aggregator.url(), |asked, answer| {
        if asked.is_round_status() {
            answer.alter(|status: &mut RoundStatus| status.state = RoundState::Collecting);
        }
    });
    let late = charging(
        &trio,
        1,
        trio.site_with(1, |membership| {
            membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
        }),
    );
    let joined = late.join(FIRST).await.unwrap();
    let error = joined.contribute(trio.base, &update(1), |_| ()).await.unwrap_err();
    assert!(matches!(error, SiteError::TooLate(_)), "{error}");
    assert_eq!(charged(&trio, 1), 0);
}
