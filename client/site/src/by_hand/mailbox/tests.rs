use std::sync::Arc;

use super::*;
use crate::transport::Transport;

const LONG: usize = 3 << 20;

/// A mailbox whose last bundle was fetched at 10,000 s, while it is 50,000 s here.
fn mailbox(folder: &Path, study: Digest) -> Mailbox {
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let of = Of {
        study: study.into(),
        site: "d".parse().unwrap(),
        aggregator_key: key.parse().unwrap(),
    };
    let (clock, _hand) = Clock::mock(UnixSeconds(50_000));
    Mailbox { folder: folder.join("study/by-hand"), of, clock, held: Mutex::default() }
}

fn arrived(mailbox: &Mailbox, path: &Path) {
    imported(mailbox, path, 10_000, Vec::new()).unwrap();
}

/// A bundle that was fetched then, with this said of what the site has sent.
fn imported(
    mailbox: &Mailbox,
    path: &Path,
    made_at: u64,
    outcomes: Vec<Outcome>,
) -> Result<Imported, ByHandError> {
    let mut bundle = BundleWriter::new(path).unwrap();
    let study = mailbox.of.study;
    let answer = |status| Kind::Answer { status };
    let long: Vec<u8> = (0..LONG).map(|at| at as u8).collect();
    bundle.add(format!("studies/{study}/long"), answer(200), long.as_slice()).unwrap();
    let gone = super::super::answers::problem(404, "there is none");
    bundle.add(format!("studies/{study}/gone"), answer(404), gone.as_slice()).unwrap();
    // A refusal of no length that one has.
    bundle.add(format!("studies/{study}/huge"), answer(404), long.as_slice()).unwrap();
    let way = Way::ToSite { made_at: UnixSeconds(made_at), outcomes };
    bundle.finish(mailbox.of.clone(), way).unwrap();
    mailbox.import(path)
}

#[test]
fn what_a_bundle_says_is_of_when_it_was_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = mailbox(folder.path(), Digest::of(b"study"));
    assert_eq!(mailbox.as_of(UnixSeconds(50_000)), UnixSeconds(0), "nothing was fetched");
    arrived(&mailbox, &folder.path().join("a.bundle"));
    // By the aggregator's clock, which may be ahead of this one.
    assert_eq!(mailbox.as_of(UnixSeconds(50_000)), UnixSeconds(10_000 - MAX_CLOCK_AHEAD));
    assert_eq!(mailbox.as_of(UnixSeconds(5_000)), UnixSeconds(5_000));
}

#[tokio::test]
async fn what_the_last_bundle_lacks_is_asked_for_and_what_it_has_is_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let study = Digest::of(b"study");
    let first = Arc::new(mailbox(folder.path(), study));
    let path = |name: &str| format!("studies/{study}/{name}");
    let ask = async |mailbox: &Arc<Mailbox>, name: &str| {
        let transport = Transport::by_hand(Arc::clone(mailbox), mailbox.clock.clone()).unwrap();
        transport.ask(&path(name)).await
    };
    let nothing = ask(&first, "long").await.unwrap_err();
    assert!(nothing.is_by_hand() && nothing.to_string().contains("no bundle was imported yet"));
    arrived(&first, &folder.path().join("a.bundle"));

    // The next process of the site reads it again.
    let next = Arc::new(mailbox(folder.path(), study));
    let long = ask(&next, "long").await.unwrap();
    assert!(long.len() == LONG && long.iter().enumerate().all(|(at, byte)| *byte == at as u8));
    assert!(ask(&next, "gone").await.unwrap_err().is_missing());
    let lacks = ask(&next, "other").await.unwrap_err();
    assert!(lacks.to_string().contains("it does not hold other"), "{lacks}");
    let last = mailbox(folder.path(), study);
    let wanted = last.with(|held| Ok(held.wanted.iter().cloned().collect::<Vec<_>>())).unwrap();
    // What was asked for by name before there was a bundle is asked for again, for it is used.
    assert_eq!(wanted, [path("long"), path("other")]);
}

/// A bundle that says it is from the future is one: it does not stand in the way of those that follow.
#[test]
fn a_bundle_from_the_future_does_not_stop_those_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = mailbox(folder.path(), Digest::of(b"study"));
    let path = folder.path().join("a.bundle");
    let ahead = imported(&mailbox, &path, u64::MAX, Vec::new()).unwrap();
    assert!(ahead.behind.is_some_and(|seconds| seconds > 1 << 40));
    imported(&mailbox, &path, 50_000, Vec::new()).unwrap();
    let older = imported(&mailbox, &path, 49_999, Vec::new()).unwrap_err();
    assert!(matches!(older, ByHandError::Older { .. }), "{older}");
    // Within what clocks may differ by, the newer one counts.
    imported(&mailbox, &path, 50_000 + MAX_CLOCK_AHEAD, Vec::new()).unwrap();
    imported(&mailbox, &path, 50_001, Vec::new()).unwrap_err();
}

fn message(mailbox: &Mailbox, text: &[u8]) -> Item {
    let kind = Kind::Message { method: "PUT".into(), content_type: "application/json".into() };
    let path = format!("studies/{}/rounds/0/reviews/d", mailbox.of.study);
    Item { path, kind, bytes: text.len() as u64, digest: Digest::of(text) }
}

/// Whoever brought a bundle may have lied: what it says was taken, and was not, is sent again by the next
/// run after another bundle; and what it says of messages that nobody has put is not kept.
#[test]
fn what_a_bundle_says_of_messages_lasts_until_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = mailbox(folder.path(), Digest::of(b"study"));
    let path = folder.path().join("a.bundle");
    let put = || {
        let text = b"a review".as_slice();
        mailbox.with(|held| mailbox.put(held, message(&mailbox, text), Ok(text))).unwrap()
    };
    let waits = || mailbox.with(|held| Ok(held.outbox.len())).unwrap();
    let said = |message, refused| Outcome { message, what: "\u{1b}[2Jx".into(), refused };
    assert_eq!((put(), waits()), (None, 1));
    let own = message(&mailbox, b"a review").message();
    let strange = (0..100u8).map(|of| said(Digest::of(&[of]), None));
    let all = strange.chain([said(own, None)]).collect();
    let taken = imported(&mailbox, &path, 1, all).unwrap().taken;
    assert!(taken.iter().all(|what| what == "\\u{1b}[2Jx"), "{taken:?}");
    assert_eq!((put(), waits()), (None, 0), "taken, says the last bundle");
    assert_eq!(mailbox.with(|held| Ok(held.outcomes.len())).unwrap(), 1);
    imported(&mailbox, &path, 2, Vec::new()).unwrap();
    assert_eq!((put(), waits()), (None, 1), "the step that needs it puts it again");
    let refusal = super::super::contents::Refusal { status: 409, detail: "too late".into() };
    imported(&mailbox, &path, 3, vec![said(own, Some(refusal.clone()))]).unwrap();
    assert_eq!((put(), waits()), (Some(refusal), 0));
    // The next process, and the same bundle again: nothing has changed.
    assert!(mailbox.import(&path).unwrap().again);
    assert_eq!(waits(), 0);
}

/// A disk's fault in the last bundle costs a trip, and not the site's part in the study.
#[tokio::test]
async fn a_damaged_inbox_is_replaced_by_the_next_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let study = Digest::of(b"study");
    let first = mailbox(folder.path(), study);
    arrived(&first, &folder.path().join("a.bundle"));
    let inbox = File::options().write(true).open(first.inbox()).unwrap();
    inbox.set_len(100).unwrap();
    let next = Arc::new(mailbox(folder.path(), study));
    let transport = Transport::by_hand(Arc::clone(&next), next.clock.clone()).unwrap();
    let lacks = transport.ask(&format!("studies/{study}/gone")).await.unwrap_err().to_string();
    assert!(lacks.contains("cannot be read") && lacks.contains("bundle export"), "{lacks}");
    arrived(&next, &folder.path().join("b.bundle"));
    assert!(transport.ask(&format!("studies/{study}/gone")).await.unwrap_err().is_missing());
    let huge = transport.ask(&format!("studies/{study}/huge")).await.unwrap_err();
    assert!(huge.is_by_hand(), "{huge}");
}

/// A step that asks for one thing after another by name gets to its end: what it used is asked for again.
#[tokio::test]
async fn what_was_fetched_by_name_and_is_needed_still_is_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let study = Digest::of(b"study");
    let path = |name: &str| format!("studies/{study}/{name}");
    let wanted = || {
        let last = mailbox(folder.path(), study);
        last.with(|held| Ok(held.wanted.iter().cloned().collect::<Vec<_>>())).unwrap()
    };
    let first = mailbox(folder.path(), study);
    first.with(|held| first.want(held, &path("long"))).unwrap();
    arrived(&first, &folder.path().join("a.bundle"));
    assert!(wanted().is_empty());
    let next = Arc::new(mailbox(folder.path(), study));
    let transport = Transport::by_hand(Arc::clone(&next), next.clock.clone()).unwrap();
    transport.ask(&path("long")).await.unwrap();
    transport.ask(&path("gone")).await.unwrap_err();
    transport.ask(&path("other")).await.unwrap_err();
    // Not what comes anyway.
    assert_eq!(wanted(), [path("long"), path("other")]);
    imported(&next, &folder.path().join("b.bundle"), 10_001, Vec::new()).unwrap();
    assert!(wanted().is_empty(), "what is not used any more is not asked for again");
}
