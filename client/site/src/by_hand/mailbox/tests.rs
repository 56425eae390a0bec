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
    let mut bundle = BundleWriter::new(path).unwrap();
    let study = mailbox.of.study;
    let answer = |status| Kind::Answer { status };
    let long: Vec<u8> = (0..LONG).map(|at| at as u8).collect();
    bundle.add(format!("studies/{study}/long"), answer(200), long.as_slice()).unwrap();
    let gone = super::super::answers::problem(404, "there is none");
    bundle.add(format!("studies/{study}/gone"), answer(404), gone.as_slice()).unwrap();
    let way = Way::ToSite { made_at: UnixSeconds(10_000), outcomes: Vec::new() };
    bundle.finish(mailbox.of.clone(), way).unwrap();
    mailbox.import(path).unwrap();
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
    assert_eq!(wanted, [path("other")]);
}
