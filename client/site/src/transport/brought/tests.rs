//! When an answer that came with a status is taken.

use std::sync::Arc;

use bytes::Bytes;
use ringfence_clock::Clock;
use ringfence_crypto::Digest;
use ringfence_crypto::id::UnixSeconds;
use tokio::sync::Notify;

use super::*;
use crate::transport::{Carried, Carrier};

#[test]
fn an_answer_is_taken_once_and_not_for_long_and_none_after_something_was_said() {
    let (clock, hand) = Clock::mock(UnixSeconds(0));
    let brought = Brought::default();
    let bring = |path: &str| {
        let of = (brought.asked(), Kind::OfRound);
        brought.bring(path.to_owned(), path.into(), of, clock.moment());
    };
    let take = |path: &str| brought.take(path, clock.moment());
    bring("a");
    assert_eq!((take("b"), take("a"), take("a")), (None, Some(b"a".to_vec()), None));
    bring("a");
    hand.advance(LASTS);
    assert_eq!(take("a"), None);
    bring("a");
    brought.says();
    assert_eq!(take("a"), None);
    assert!(!brought.has("a", clock.moment()));
    let both = ["a".to_owned(), "b".to_owned()];
    bring("a");
    assert_eq!(brought.take_all(&both, clock.moment()), None);
    bring("b");
    assert_eq!(brought.take_all(&both, clock.moment()).unwrap(), [b"a", b"b"]);
    assert_eq!(brought.kept().bytes, 0);
}

#[test]
fn what_can_never_change_is_taken_later_and_after_something_was_said() {
    let (clock, hand) = Clock::mock(UnixSeconds(0));
    let brought = Brought::default();
    let bring = |path: &str| {
        let of = (brought.asked(), Kind::of(path));
        brought.bring(path.to_owned(), path.into(), of, clock.moment());
    };
    let take = |path: &str| brought.take(path, clock.moment());
    let fixed = [
        "round-keys/site-1?round=3",
        "rounds/3/headers?from=0",
        "rounds/3/freeze",
        "rounds/3/opened/site-1?from=0",
        "log/inclusion?size=3&leaf=00",
    ];
    let passing = [
        "round-keys?round=3",
        "rounds/3/manifest",
        "rounds/3/dealt/site-1?from=0",
        "rounds/3",
        "rounds",
        "log/checkpoint",
        "restored",
        "",
        "freeze",
    ];
    fixed.iter().chain(&passing).for_each(|path| bring(path));
    brought.says();
    brought.has_said();
    hand.advance(FIXED_LASTS / 2 - LASTS / 2);
    for path in fixed {
        assert!(brought.has(path, clock.moment()), "{path}");
        assert_eq!(take(path).unwrap(), path.as_bytes());
        assert_eq!(take(path), None, "it is taken once");
        bring(path);
    }
    assert!(passing.iter().all(|path| take(path).is_none()));
    passing.iter().for_each(|path| bring(path));
    assert!(!passing.iter().any(|path| brought.has(path, clock.moment())));
    hand.advance(LASTS);
    assert!(passing.iter().all(|path| take(path).is_none()));
    hand.advance(FIXED_LASTS / 2);
    assert!(!fixed.iter().any(|path| brought.has(path, clock.moment())), "it comes again");
    hand.advance(FIXED_LASTS / 2);
    assert!(fixed.iter().all(|path| take(path).is_none()));
    assert_eq!(brought.kept().bytes, 0);
}

#[test]
fn what_nobody_takes_does_not_fill_the_memory() {
    let (clock, _hand) = Clock::mock(UnixSeconds(0));
    let brought = Brought::default();
    for place in 0..100 {
        let of = (brought.asked(), Kind::OfRound);
        brought.bring(place.to_string(), vec![0; 1 << 20], of, clock.moment());
        assert!(brought.kept().bytes <= MAX_FRAME);
    }
    let of = (brought.asked(), Kind::OfRound);
    brought.bring("a".to_owned(), vec![0; MAX_FRAME + 1], of, clock.moment());
    assert_eq!(brought.take("a", clock.moment()), None);
}

/// What comes with a status here: what changes, what changes little, and what does not.
const PARTS: [&str; 3] = ["log/checkpoint", "rounds/1/manifest", "rounds/1/freeze"];

/// Answers a status, with two parts, and what is said, each once it may.
#[derive(Clone, Debug, Default)]
struct Slow(Arc<[Notify; 3]>);

impl Slow {
    fn may_show(&self) -> &Notify {
        &self.0[0]
    }

    fn may_hear(&self) -> &Notify {
        &self.0[1]
    }

    fn came(&self) -> &Notify {
        &self.0[2]
    }
}

impl Carrier for Slow {
    fn carry(&self, request: http::Request<Bytes>) -> Carried {
        let slow = self.clone();
        Box::pin(async move {
            slow.came().notify_one();
            if request.method() != http::Method::GET {
                slow.may_hear().notified().await;
                return Ok(http::Response::new("7".into()));
            }
            slow.may_show().notified().await;
            let part = |path: &str| StatusPart { path: path.into(), bytes: b"part".to_vec() };
            let parts = PARTS.map(part).to_vec();
            let status = StatusFrame { status: b"7".to_vec(), parts };
            Ok(http::Response::new(frame::encode(&status).unwrap().into()))
        })
    }
}

/// Which parts are taken that come with a status, in the end. A status is asked for, something is
/// said, the one is shown and the other heard: in this order.
async fn taken(order: [&str; 4]) -> [bool; 3] {
    let (clock, _hand) = Clock::mock(UnixSeconds(0));
    let slow = Slow::default();
    let line = Arc::new(slow.clone());
    let transport = Transport::through(line, "http://127.0.0.1:9", clock.clone()).unwrap();
    let study = StudyId(Digest::of(b"study"));
    let mut tasks = BTreeMap::new();
    for step in order {
        let transport = transport.clone();
        match step {
            "ask" => {
                let asking = async move {
                    let place = (study, "status");
                    transport.status_with::<u8>(place, "", "with=all", "status").await.unwrap();
                };
                tasks.insert("show", tokio::spawn(asking));
                slow.came().notified().await;
            }
            "say" => {
                let saying = async move {
                    let post = |url| transport.client.post(url).body("said");
                    transport.bytes("said", 10, post).await.unwrap();
                };
                tasks.insert("hear", tokio::spawn(saying));
                slow.came().notified().await;
            }
            ends => {
                let may = if ends == "show" { slow.may_show() } else { slow.may_hear() };
                may.notify_one();
                tasks.remove(ends).unwrap().await.unwrap();
            }
        }
    }
    PARTS.map(|part| {
        let place = format!("studies/{study}/{part}");
        transport.brought.take(&place, clock.moment()).is_some()
    })
}

/// As a checkpoint that lacks round keys which are published at the same moment: the site would
/// say that the aggregator hides them.
#[tokio::test]
async fn what_changes_is_not_taken_if_it_may_have_been_made_before_something_was_said() {
    assert_eq!(taken(["say", "hear", "ask", "show"]).await, [true, true, true]);
    for order in [
        ["ask", "say", "show", "hear"],
        ["ask", "say", "hear", "show"],
        ["say", "ask", "show", "hear"],
        ["say", "ask", "hear", "show"],
    ] {
        assert_eq!(taken(order).await, [false, true, true], "{order:?}");
    }
    assert_eq!(taken(["ask", "show", "say", "hear"]).await, [false, false, true]);
}
