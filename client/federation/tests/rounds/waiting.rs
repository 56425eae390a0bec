//! Waiting for hours, by a clock that the test turns.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::api::{Problem, StudyStatus};
use ringfence_crypto::id::{RoundNumber, UnixSeconds};
use ringfence_crypto::round::{RoundState, RoundStatus, Wanted};
use ringfence_crypto::wire::json;
use ringfence_site::transport::Transport;
use ringfence_site::{Came, Event, RoundEnd, RoundWait, SiteError};

use crate::liar;
use crate::trio::{Trio, next_model};

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
    let successor = trio.site_with(1, |membership| {
        membership.clock = clock;
        membership.patience = 2 * DAY;
    });
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
    let text = error.to_string();
    let SiteError::Impatient(overdue) = error else {
        panic!("expected the end of its patience, got {error}")
    };
    let RoundStatus { round, endorsed, endorsements_needed, .. } = &overdue.status;
    assert_eq!((*round, endorsed.len(), *endorsements_needed), (RoundNumber::FIRST, 1, 3));
    for said in ["to a certificate by 20", " UTC: ", "1 of 3 endorsements", "(missing: b, c)"] {
        assert!(text.contains(said), "{said:?} is not in {text}");
    }
}

/// The next round goes on from a model that enough sites say they hold: who has not is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_acknowledgements_says_whose_is_missing() {
    let trio = Trio::start().await;
    let (clock, hand) = Clock::mock(Clock::system().now());
    let (said, heard) = std::sync::mpsc::channel();
    let next = trio.site_with(1, |membership| {
        membership.clock = clock;
        membership.patience = HOUR;
    });
    let next = next.telling(move |event| {
        if let Event::Waiting(RoundWait { came: Came::Acknowledged(_), .. }) = event {
            said.send(event.to_string()).unwrap();
        }
    });
    let sites = [trio.site(0), next, trio.site(2)];
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, RoundNumber::FIRST).await.unwrap();
    }
    let parts = sites.iter().map(|site| async move {
        site.hold(RoundNumber::FIRST).await.unwrap();
        let end = site.join(RoundNumber::FIRST).await.unwrap().finish().await.unwrap();
        let RoundEnd::Done(done) = end else { panic!("expected a mean") };
        // The third is gone before it says so.
        if site.id().as_str() != "c" {
            done.acknowledge(next_model()).await.unwrap();
        }
    });
    futures_util::future::join_all(parts).await;

    let [_, next, _] = sites;
    let opening = tokio::spawn(async move { next.open_round(next_model(), 600).await });
    let text = loop {
        hand.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Ok(text) = heard.try_recv() {
            break text;
        }
        assert!(!opening.is_finished(), "two of three do not agree yet");
    };
    let expected = "round 0: 2 of 3 acknowledgements of its model are there (a, b); missing: c; \
                    waiting until 20";
    assert!(text.starts_with(expected), "{text}");
    opening.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_out_of_turn_says_whose_turn_it_is_and_ends_with_its_patience() {
    let now = Clock::system().now();
    let trio = Trio::start_with(|draft| {
        draft.created_at = now;
        draft.initiator_timeout_seconds = DAY.as_secs() as u32;
    })
    .await;
    let (clock, hand) = Clock::mock(now);
    let successor = trio.site_with(1, |membership| {
        membership.clock = clock;
        membership.patience = HOUR;
    });
    let turn = successor.turn(RoundNumber::FIRST).await.unwrap();
    assert_eq!((turn.initiator.as_str(), turn.from), ("a", now.after(DAY.as_secs())));
    assert!(!turn.has_come());
    let (base, asked) = (trio.base, std::sync::Arc::new(successor));
    let open = |site: &std::sync::Arc<ringfence_site::Site>| {
        let site = site.clone();
        tokio::spawn(async move { site.open_round(base, 600).await })
    };
    let opening = open(&asked);
    tokio::time::sleep(MOMENT).await;
    hand.advance(HOUR);
    let error = opening.await.unwrap().unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, SiteError::OutOfTurn { patience: 3600, .. }), "{text}");
    let from = now.after(DAY.as_secs()).utc().to_string();
    for said in ["the turn is a's since", "b, this site, may step in from", &from, "ask a,"] {
        assert!(text.contains(said), "{said:?} is not in {text}");
    }

    // While it waits, the initiator opens the round: that is as good, and is said.
    let opening = open(&asked);
    tokio::time::sleep(MOMENT).await;
    trio.site(0).open_round(base, 600).await.unwrap();
    while !opening.is_finished() {
        hand.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(opening.await.unwrap().unwrap().initiator.as_str(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregator_that_never_ends_collecting_is_waited_for_until_the_signed_deadline() {
    let trio = Trio::start().await;
    trio.site(0).open_round(trio.base, 600).await.unwrap();
    let url = liar::start(trio.aggregator.url(), |asked, answer| {
        if asked.is_round_status() {
            answer.alter(|status: &mut RoundStatus| {
                status.state = RoundState::Collecting;
                status.deadline = UnixSeconds(u64::MAX);
            });
        }
    });
    let manifest = trio.transport().round(trio.study_id(), RoundNumber::FIRST).manifest().await;
    let deadline = manifest.unwrap().statement.deadline;
    let (clock, hand) = Clock::mock(deadline.earlier(500));
    let site = trio.site_with(1, |membership| {
        membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
        membership.clock = clock;
        membership.patience = HOUR;
    });
    let holding = tokio::spawn(async move { site.hold(RoundNumber::FIRST).await });
    tokio::time::sleep(MOMENT).await;
    hand.advance(Duration::from_secs(500) + HOUR - Duration::from_secs(1));
    tokio::time::sleep(MOMENT).await;
    assert!(!holding.is_finished(), "deadline and patience are not over yet");
    hand.advance(Duration::from_secs(1));
    let end = tokio::time::timeout(Duration::from_secs(30), holding).await;
    let error = end.expect("its patience is over").unwrap().unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, SiteError::Impatient { .. }), "{text}");
    let deadline = deadline.utc().to_string();
    for said in ["still takes contributions", &deadline, "(missing: a, b, c)", "this site's clock"]
    {
        assert!(text.contains(said), "{said:?} is not in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregator_that_wants_a_contribution_for_ever_ends_no_patience() {
    let trio = Trio::start().await;
    trio.site(0).open_round(trio.base, 600).await.unwrap();
    let sent = Arc::new(AtomicU32::new(0));
    let (counted, is_sent) = (Arc::clone(&sent), Arc::clone(&sent));
    let (version, last) = (AtomicU64::new(1000), Arc::new(Mutex::new(Vec::new())));
    let known = Arc::clone(&last);
    // Every look finds something new at once. Before it was sent, the round is not over.
    let made = move |asked: &liar::Asked<'_>| {
        let lies = asked.is_round_status() && is_sent.load(Ordering::Relaxed) > 0;
        let bytes = known.lock().unwrap().clone();
        let mut answer = liar::Answer { status: 200, bytes };
        let version = version.fetch_add(1, Ordering::Relaxed);
        (lies && !answer.bytes.is_empty()).then(|| {
            answer.alter(|status: &mut RoundStatus| {
                status.version = version;
                status.state = RoundState::Closed;
                status.wanted = vec![Wanted { site: "b".parse().unwrap(), until: None }];
            });
            answer
        })
    };
    let url = liar::start_answering(trio.aggregator.url(), made, move |asked, answer| {
        counted.fetch_add(u32::from(asked.is_header_of("b")), Ordering::Relaxed);
        if asked.is_round_status() {
            last.lock().unwrap().clone_from(&answer.bytes);
        }
    });
    let site = trio.site_with(1, |membership| {
        membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
        // Long enough to send it much more often than that.
        membership.patience = Duration::from_secs(4);
    });
    trio.contribute(&site, 1, RoundNumber::FIRST).await.unwrap();
    let joined = site.join(RoundNumber::FIRST).await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(60), joined.finish()).await;
    let error = end.expect("its patience is over").unwrap_err();
    assert!(matches!(error, SiteError::Impatient { .. }), "{error}");
    // Once on its own account, then as often as a site sends again in one wait.
    let sent = sent.load(Ordering::Relaxed);
    assert!((2..=9).contains(&sent), "sent {sent} times");
}

/// One request that is answered when the round opens, and no looks now and then.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_opens_is_seen_at_once() {
    let trio = Trio::start().await;
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let url = liar::start(trio.aggregator.url(), move |asked, _| {
        count.fetch_add(u32::from(asked.is_study_status()), Ordering::SeqCst);
    });
    let site = trio.site_with(1, |membership| {
        membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
    });
    let open = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        trio.site(0).open_round(trio.base, 600).await.unwrap();
    };
    let (status, ()) = tokio::join!(site.opened_soon(RoundNumber::FIRST), open);
    let status = status.unwrap().expect("it is open");
    assert_eq!((status.initiator.as_str(), status.round), ("a", RoundNumber::FIRST));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// Its answer takes a moment longer than the poll: it is not asked for again at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_long_poll_without_news_is_waited_for() {
    let trio = Trio::start().await;
    let status = json::compact(&trio.transport().status(trio.study_id()).await.unwrap());
    let (clock, hand) = Clock::mock(Clock::system().now());
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let made = move |asked: &liar::Asked<'_>| {
        asked.is_study_status().then(|| {
            count.fetch_add(1, Ordering::SeqCst);
            hand.advance(Duration::from_secs(20));
            std::thread::sleep(MOMENT);
            liar::Answer { status: 200, bytes: status.clone() }
        })
    };
    let url = liar::start_answering(trio.aggregator.url(), made, |_, _| {});
    let site = trio.site_with(1, |membership| {
        membership.transport = Transport::new(&url, false, clock.clone()).unwrap();
        membership.clock = clock;
    });
    assert!(site.opened_soon(RoundNumber::FIRST).await.unwrap().is_none());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_opening_is_an_error_unless_another_site_was_faster() {
    let trio = Trio::start().await;
    trio.site(0).open_round(trio.base, 600).await.unwrap();
    let refuse = |asked: &liar::Asked<'_>, answer: &mut liar::Answer| {
        if asked.is_opening() {
            answer.status = 409;
            answer.bytes = json::compact(&Problem {
                kind: "/problems/conflict".into(),
                title: "Conflict".into(),
                status: 409,
                detail: "not today".into(),
            });
        }
        if asked.is_study_status() {
            answer.alter(|status: &mut StudyStatus| status.rounds = 0);
        }
    };
    let through = |url: &str| {
        let transport = Transport::new(url, false, Clock::system()).unwrap();
        trio.site_with(1, |membership| membership.transport = transport)
    };
    let site = through(&liar::start(trio.aggregator.url(), refuse));
    let error = site.open_round(trio.base, 600).await.unwrap_err().to_string();
    assert!(error.contains("(409)") && error.contains("not today"), "{error}");
    drop(site);

    // It does not see that a was faster until its own manifest has been refused.
    let tried = AtomicBool::new(false);
    let url = liar::start(trio.aggregator.url(), move |asked, answer| {
        if asked.is_opening() {
            tried.store(true, Ordering::SeqCst);
        }
        if asked.is_study_status() && !tried.load(Ordering::SeqCst) {
            answer.alter(|status: &mut StudyStatus| status.rounds = 0);
        }
    });
    let site = through(&url);
    let status = site.open_round(trio.base, 600).await.unwrap();
    assert_eq!((status.initiator.as_str(), status.round), ("a", RoundNumber::FIRST));
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
