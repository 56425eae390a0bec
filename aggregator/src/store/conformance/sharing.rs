//! What every backend must pass that several aggregators have at once.

use std::collections::BTreeSet;
use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringfence_crypto::Digest;

use super::{Backend, begun, id, manifest};
use crate::roster::Roster;
use crate::store::Store;
use crate::store::sharing::{AddedRange, Job, Sharing, Task, Work};
use crate::store::terms::StoreError;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(300);

/// Two aggregators' views of one backend, and a work in it.
async fn two(backend: &impl Backend) -> ([Arc<dyn Sharing>; 2], Work, Roster, Store) {
    let (store, roster, _) = begun(backend).await;
    let other = backend.open().await;
    let sharing = [&store, &other].map(|store| store.sharing.clone().unwrap());
    let work = Work { round: id(&roster, 0), set: Digest::of(b"set") };
    (sharing, work, roster, store)
}

async fn lease(sharing: &Arc<dyn Sharing>, work: Work, time: Duration) -> Option<Job> {
    sharing.lease(work, time).await.unwrap()
}

async fn put(sharing: &Arc<dyn Sharing>, work: Work, job: Job, text: &'static str) -> bool {
    let (sum, hashes) = (Bytes::from_static(text.as_bytes()), format!("of {text}"));
    sharing.put_range(work, job, sum, hashes.into_bytes()).await.unwrap()
}

fn added(job: Job, text: &str) -> AddedRange {
    AddedRange { token: job.token, hashes: format!("of {text}").into_bytes() }
}

async fn is_lost(sharing: &Arc<dyn Sharing>, work: Work, job: Job) -> bool {
    matches!(sharing.range(work, job.token).await, Err(StoreError::Lost(_)))
}

pub(crate) async fn each_range_is_leased_once_and_joining_comes_last(backend: &impl Backend) {
    let ([one, two], work, ..) = two(backend).await;
    assert_eq!(lease(&one, work, LONG).await, None, "nothing is laid down");
    let (first, second) = tokio::join!(one.divide(work, 3), two.divide(work, 3));
    first.and(second).unwrap();
    let mut jobs = Vec::new();
    for each in [&one, &two, &one] {
        jobs.push(lease(each, work, LONG).await.unwrap());
    }
    let tasks: Vec<Task> = jobs.iter().map(|job| job.task).collect();
    assert_eq!(tasks, [Task::Add(0), Task::Add(1), Task::Add(2)]);
    let tokens: BTreeSet<u64> = jobs.iter().map(|job| job.token).collect();
    assert_eq!(tokens.len(), 3);
    assert!(put(&one, work, jobs[2], "third").await);
    assert!(put(&two, work, jobs[1], "second").await);
    assert_eq!(one.added(work).await.unwrap(), None);
    assert_eq!(lease(&two, work, LONG).await, None, "the first is still added");
    assert!(put(&one, work, jobs[0], "first").await);
    one.divide(work, 3).await.unwrap();
    let join = lease(&two, work, LONG).await.unwrap();
    assert_eq!(join.task, Task::Join);
    assert_eq!(lease(&one, work, LONG).await, None, "it is joined by the other one");
    let texts = ["first", "second", "third"];
    let expected = jobs.iter().zip(texts).map(|(job, text)| added(*job, text));
    assert_eq!(one.added(work).await.unwrap(), Some(expected.collect()));
    for (job, text) in jobs.iter().zip(texts) {
        assert_eq!(one.range(work, job.token).await.unwrap(), text);
    }
    // Another set of the same round is another work.
    let other = Work { set: Digest::of(b"another set"), ..work };
    assert_eq!(lease(&one, other, LONG).await, None);
    assert_eq!(one.added(other).await.unwrap(), None);

    one.forget(work.round).await.unwrap();
    assert!(!two.keep(work, join, LONG).await.unwrap());
    assert_eq!(one.added(work).await.unwrap(), None);
    for job in jobs {
        assert!(is_lost(&two, work, job).await);
    }
}

/// The fence: an aggregator that was held up, and does not know that its lease has ended, writes.
pub(crate) async fn what_is_written_after_a_lease_has_ended_has_no_effect(backend: &impl Backend) {
    let ([one, two], work, ..) = two(backend).await;
    one.divide(work, 1).await.unwrap();
    let late = lease(&one, work, SHORT).await.unwrap();
    assert_eq!(lease(&two, work, LONG).await, None, "it is leased");
    tokio::time::sleep(SHORT * 2).await;
    let taken = lease(&two, work, LONG).await.unwrap();
    assert_eq!(taken.task, late.task);
    assert!(!one.keep(work, late, LONG).await.unwrap());
    one.release(work, late).await.unwrap();
    assert!(!put(&one, work, late, "wrong").await);
    assert!(is_lost(&one, work, late).await, "what has no effect leaves nothing");
    assert_eq!(one.added(work).await.unwrap(), None);
    assert_eq!(lease(&one, work, LONG).await, None, "the second lease stands");
    assert!(put(&two, work, taken, "right").await);
    for late in [late, taken] {
        assert!(!put(&one, work, late, "wrong").await, "what is added stays");
    }
    assert_eq!(two.added(work).await.unwrap(), Some(vec![added(taken, "right")]));
}

pub(crate) async fn a_lease_is_kept_or_given_back(backend: &impl Backend) {
    let ([one, two], work, ..) = two(backend).await;
    one.divide(work, 1).await.unwrap();
    let kept = lease(&one, work, SHORT).await.unwrap();
    assert!(one.keep(work, kept, LONG).await.unwrap());
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(lease(&two, work, LONG).await, None);
    one.release(work, kept).await.unwrap();
    let taken = lease(&two, work, SHORT).await.unwrap();
    assert!(!one.keep(work, kept, LONG).await.unwrap());
    // One that has ended and that nobody has taken goes on.
    tokio::time::sleep(SHORT * 2).await;
    assert!(put(&two, work, taken, "late").await);
}

pub(crate) async fn who_is_heard_of_by_one_is_there_for_all(backend: &impl Backend) {
    let ([one, two], work, roster, store) = two(backend).await;
    let [a, b, c] = [0, 1, 2].map(|place| roster.ids[place].clone());
    let all = [a.clone(), b.clone(), c.clone()];
    let heard = one.heard(work.round, from_ref(&a), from_ref(&b)).await.unwrap();
    assert_eq!(heard, [a.clone()].into());
    assert_eq!(two.heard(work.round, &[], &all).await.unwrap(), [a.clone()].into());
    let heard = two.heard(work.round, from_ref(&b), &all).await.unwrap();
    assert_eq!(heard, [a.clone(), b.clone()].into());
    // A round that is opened later has heard of nobody yet.
    let later = id(&roster, 1);
    store.statements.insert_round(roster.id(), &manifest(&roster, 1), 1).await.unwrap();
    assert_eq!(one.heard(later, &[], &all).await.unwrap(), BTreeSet::new());
    assert_eq!(one.heard(later, from_ref(&c), &all).await.unwrap(), [c.clone()].into());
    assert_eq!(two.heard(later, &[], &all).await.unwrap(), [c].into());
}
