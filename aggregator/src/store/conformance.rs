//! What every backend must pass, by the words of the contract.

mod blobs;
mod drafts;
mod held;
mod restores;
mod sharing;
mod witnesses;

pub(crate) use blobs::*;
pub(crate) use drafts::{
    a_draft_gathers_signatures_and_goes_again, proposed_epochs_are_kept_until_they_are_void,
};

pub(crate) use held::everything_that_is_stored_is_counted;
pub(crate) use restores::*;
pub(crate) use sharing::*;
pub(crate) use witnesses::*;

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, StudyId, UnixSeconds};
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Epoch, Header, HexBytes, Manifest, RoundKeys};

use crate::roster::{Roster, Shape, Term};
use crate::store::Store;
use crate::store::blobs::{Blob, BodyCheck, EnvelopePlace};
use crate::store::pieces;
use crate::store::statements::{
    ALL_LEAVES, NextEpoch, NextEvent, Small, StoredManifest, StoredRoundKeys,
};
use crate::store::terms::{RoundId, StoreError};

/// A backend under test, and where its data lies while it is closed.
pub(crate) trait Backend {
    /// Opens it. The one that was open before has been closed and dropped, unless several
    /// aggregators may have it.
    async fn open(&self) -> Store;
}

/// Makes a test of each of the backend's duties; `$backend` makes a new and empty one, or nothing
/// where what it needs is not installed.
macro_rules! conformance_tests {
    ($backend:expr) => {
        $crate::store::conformance::conformance_tests!($backend;
            a_study_stays_as_it_was_posted,
            a_round_has_one_manifest_and_a_leaf_one_statement,
            events_come_back_in_order_and_a_place_is_used_once,
            several_events_are_stored_together_or_not_at_all,
            a_small_contribution_is_stored_with_its_events_or_not_at_all,
            a_gap_in_the_log_is_an_error,
            round_keys_are_never_replaced,
            under_another_roster_a_round_has_other_keys,
            epochs_come_back_in_order_and_a_place_is_used_once,
            a_body_grows_and_is_compared_at_its_end,
            a_wrong_body_is_discarded,
            what_is_damaged_is_discarded_and_written_anew,
            an_unfinished_writer_leaves_a_beginning,
            one_envelope_is_read_alone,
            openings_lie_under_their_digests,
            a_sum_is_there_whole_or_not_at_all,
            rounds_and_sites_do_not_mix,
            a_draft_gathers_signatures_and_goes_again,
            proposed_epochs_are_kept_until_they_are_void,
            a_later_restore_request_replaces_an_earlier_one,
            everything_that_is_stored_is_counted,
            a_cosignature_of_a_larger_log_replaces_an_earlier_one,
        );
    };
    ($backend:expr; $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                if let Some(backend) = $backend {
                    $crate::store::conformance::$name(&backend).await;
                }
            }
        )+
    };
}
pub(crate) use conformance_tests;

/// The same, of the duties of a backend that several aggregators may have at once.
macro_rules! sharing_tests {
    ($backend:expr) => {
        $crate::store::conformance::conformance_tests!($backend;
            each_range_is_leased_once_and_joining_comes_last,
            what_is_written_after_a_lease_has_ended_has_no_effect,
            a_lease_is_kept_or_given_back,
            who_is_heard_of_by_one_is_there_for_all,
        );
    };
}
pub(crate) use sharing_tests;

fn roster() -> Roster {
    let key = SigningKey::from_bytes(&[9; 32]).verifying_key();
    Roster::new(key.into(), Shape::default())
}

fn manifest(roster: &Roster, round: u32) -> Signed<Manifest> {
    let manifest = roster.manifest(RoundNumber(round), Term::now(600), None);
    roster.signed(&manifest.initiator.clone(), manifest)
}

fn id(roster: &Roster, round: u32) -> RoundId {
    RoundId { study: roster.id(), round: RoundNumber(round) }
}

fn announced(roster: &Roster, manifest: &Signed<Manifest>, site: usize) -> Event {
    Event::Announced(roster.contribution(manifest, &roster.ids[site]).header)
}

/// A note without a leaf.
fn damaged(roster: &Roster, at: u64) -> Event {
    Event::Damaged { site: roster.ids[0].clone(), at: UnixSeconds(at) }
}

fn entry(event: &Event) -> LogEntry {
    event.entry().unwrap()
}

async fn reopened(backend: &impl Backend, store: Store) -> Store {
    store.statements.close().await;
    drop(store);
    backend.open().await
}

/// A store with a study and its round 0.
async fn begun(backend: &impl Backend) -> (Store, Roster, Signed<Manifest>) {
    let (store, roster) = (backend.open().await, roster());
    let manifest = manifest(&roster, 0);
    store.statements.insert_study(roster.id(), b"file").await.unwrap();
    store.statements.insert_round(roster.id(), &manifest, 0).await.unwrap();
    store.blobs.begin(id(&roster, 0)).await.unwrap();
    (store, roster, manifest)
}

pub(crate) async fn a_study_stays_as_it_was_posted(backend: &impl Backend) {
    let store = backend.open().await;
    let [first, second, unknown] = [b"b", b"a", b"c"].map(|name| StudyId(Digest::of(name)));
    store.statements.ping().await.unwrap();
    store.blobs.ping().await.unwrap();
    store.statements.ping().await.unwrap();
    assert!(store.statements.studies().await.unwrap().is_empty());
    store.statements.insert_study(first, b"a file").await.unwrap();
    store.statements.insert_study(second, b"").await.unwrap();
    store.statements.insert_study(first, b"another file").await.unwrap();
    let store = reopened(backend, store).await;
    assert_eq!(store.statements.studies().await.unwrap(), [first, second]);
    assert_eq!(store.statements.study(first).await.unwrap().as_deref(), Some(&b"a file"[..]));
    assert_eq!(store.statements.study(second).await.unwrap().as_deref(), Some(&b""[..]));
    assert_eq!(store.statements.study(unknown).await.unwrap(), None);
}

pub(crate) async fn a_round_has_one_manifest_and_a_leaf_one_statement(backend: &impl Backend) {
    let (store, roster, first) = begun(backend).await;
    let stored = StoredManifest { manifest: first.clone(), leaf: Some(0) };
    let mut other = first.clone();
    other.statement.base_model = Digest::of(b"another model");
    for again in [&first, &other] {
        let answer = store.statements.insert_round(roster.id(), again, 1).await.unwrap();
        assert_eq!(answer, stored, "the round has its manifest");
    }
    let next = manifest(&roster, 1);
    store.statements.insert_round(roster.id(), &next, 0).await.unwrap_err();
    store.statements.insert_round(roster.id(), &next, 1).await.unwrap();
    let store = reopened(backend, store).await;
    assert_eq!(store.statements.rounds(roster.id()).await.unwrap(), [first, next]);
    assert!(store.statements.rounds(StudyId(Digest::of(b"?"))).await.unwrap().is_empty());
}

pub(crate) async fn events_come_back_in_order_and_a_place_is_used_once(backend: &impl Backend) {
    let (store, roster, manifest) = begun(backend).await;
    let round = id(&roster, 0);
    let header = announced(&roster, &manifest, 0);
    let note = damaged(&roster, 7);
    let other = announced(&roster, &manifest, 1);
    let append = async |sequence, event, leaf| {
        store.statements.append(round, &[NextEvent { sequence, event, leaf }], &[]).await
    };
    append(0, &header, Some(1)).await.unwrap();
    append(1, &note, None).await.unwrap();
    append(1, &other, Some(2)).await.unwrap_err();
    append(2, &other, Some(1)).await.unwrap_err();
    append(2, &other, Some(2)).await.unwrap();
    let store = reopened(backend, store).await;
    let events = store.statements.events(round).await.unwrap();
    assert_eq!(events, [header.clone(), note, other.clone()]);
    assert!(store.statements.events(id(&roster, 1)).await.unwrap().is_empty());
    let log = store.statements.log(roster.id(), ALL_LEAVES).await.unwrap();
    assert_eq!(log, [LogEntry::of_signed(&manifest), entry(&header), entry(&other)]);
    for from in 0..4 {
        let later = store.statements.events_from(round, from).await.unwrap();
        assert_eq!(later, events[from as usize..]);
        for end in [from, from + 1, 3, 9].into_iter().filter(|end| *end >= from) {
            let part = store.statements.log(roster.id(), from..end).await.unwrap();
            assert_eq!(part, log[(from as usize).min(3)..(end as usize).min(3)], "{from}..{end}");
        }
    }

    let next = NextEvent { sequence: 4, event: &damaged(&roster, 8), leaf: None };
    store.statements.append(round, &[next], &[]).await.unwrap();
    let gap = store.statements.events(round).await.unwrap_err();
    assert!(matches!(gap, StoreError::Gap { expected: 3, .. }), "{gap}");
}

pub(crate) async fn several_events_are_stored_together_or_not_at_all(backend: &impl Backend) {
    let (store, roster, manifest) = begun(backend).await;
    let round = id(&roster, 0);
    let [a, b, c] = [0, 1, 2].map(|site| announced(&roster, &manifest, site));
    let note = damaged(&roster, 7);
    let next = |sequence, event, leaf| NextEvent { sequence, event, leaf };
    // The place of the last one is used, by itself or in the log.
    for last in [next(0, &c, Some(3)), next(2, &c, Some(1)), next(2, &c, Some(2))] {
        let both = [next(0, &a, Some(1)), next(1, &b, Some(2)), last];
        store.statements.append(round, &both, &[]).await.unwrap_err();
        assert!(store.statements.events(round).await.unwrap().is_empty());
        assert_eq!(store.statements.log(roster.id(), ALL_LEAVES).await.unwrap().len(), 1);
    }
    let all = [next(0, &a, Some(1)), next(1, &note, None), next(2, &b, Some(2))];
    store.statements.append(round, &all, &[]).await.unwrap();
    // The place of the first one.
    let taken = [next(2, &c, Some(3)), next(3, &note, None)];
    store.statements.append(round, &taken, &[]).await.unwrap_err();
    // More than one statement of the database takes.
    let many: Vec<Event> = (0..150).map(|at| damaged(&roster, at)).collect();
    let after = (3..).zip(&many).map(|(sequence, event)| next(sequence, event, None));
    let after: Vec<NextEvent<'_>> = after.collect();
    store.statements.append(round, &after, &[]).await.unwrap();
    let store = reopened(backend, store).await;
    let stored = store.statements.events(round).await.unwrap();
    assert_eq!(stored, [&[a.clone(), note, b.clone()], &many[..]].concat());
    let log = store.statements.log(roster.id(), ALL_LEAVES).await.unwrap();
    assert_eq!(log, [LogEntry::of_signed(&manifest), entry(&a), entry(&b)]);
}

pub(crate) async fn a_small_contribution_is_stored_with_its_events_or_not_at_all(
    backend: &impl Backend,
) {
    let (store, roster, manifest) = begun(backend).await;
    let (round, site) = (id(&roster, 0), &roster.ids[0]);
    let contribution = roster.contribution(&manifest, site);
    let (header, body) = (contribution.header.statement, contribution.body);
    let envelopes = contribution.envelopes.envelopes;
    let small = Small {
        site: site.clone(),
        envelopes: pieces::joined(&envelopes).into(),
        body: body.clone().into(),
    };
    let (event, small) = (announced(&roster, &manifest, 0), [small]);
    let append = async |store: &Store, leaf| {
        let next = NextEvent { sequence: 0, event: &event, leaf: Some(leaf) };
        let next = [next, NextEvent { sequence: 1, event: &event, leaf: Some(1) }];
        store.statements.append(round, &next, &small).await
    };
    if !store.statements.keeps_small() {
        append(&store, 2).await.unwrap_err();
        assert!(store.statements.events(round).await.unwrap().is_empty());
        return;
    }
    let (blob, length) = (Blob::Body(site.clone()), body.len() as u64);
    let blobs = Arc::clone(&store.blobs);
    append(&store, 1).await.unwrap_err();
    assert_eq!(blobs.body_bytes(round, site).await.unwrap(), 0);
    assert!(!blobs.has_envelopes(round, site).await.unwrap());
    append(&store, 2).await.unwrap();
    drop(blobs);
    let store = reopened(backend, store).await;
    let blobs = &store.blobs;
    blobs.begin(round).await.unwrap();
    assert_eq!(blobs.body_bytes(round, site).await.unwrap(), length);
    assert_eq!(blobs.extent(round, &blob).await.unwrap().unwrap().bytes, length);
    assert_eq!(blobs.finish_body(round, &header, None).await.unwrap(), BodyCheck::Right);
    for (from, to) in [(0, length), (0, 0), (1000, 2000), (length - 8, length), (length, length)] {
        let read = blobs.read(round, &blob, from..to).await.unwrap();
        assert_eq!(read, body[from as usize..to as usize]);
    }
    let beyond = blobs.read(round, &blob, length - 8..length + 1).await.unwrap_err();
    assert!(matches!(beyond, StoreError::Lost(_)), "{beyond}");
    let count = envelopes.len();
    for (index, envelope) in envelopes.iter().enumerate() {
        let place = EnvelopePlace { index, count };
        assert_eq!(blobs.envelope(round, site, place).await.unwrap().as_ref(), Some(envelope));
    }
    let beyond = EnvelopePlace { index: count, count };
    blobs.envelope(round, site, beyond).await.unwrap_err();
    // Others have none of it.
    let other = &roster.ids[1];
    let both = || vec![other.clone(), site.clone()];
    let last = EnvelopePlace { index: count - 1, count };
    let read = blobs.envelopes(round, both(), last).await.unwrap();
    assert_eq!(read, [None, envelopes.last().cloned()]);
    assert_eq!(blobs.envelopes(round, both(), beyond).await.unwrap(), [None, None]);
    // One in the database, one in a file.
    blobs.write_envelopes(round, other, vec![b"long".to_vec(); count]).await.unwrap();
    let read = blobs.envelopes(round, both(), last).await.unwrap();
    assert_eq!(read, [Some(b"long".to_vec()), envelopes.last().cloned()]);
    assert_eq!(blobs.body_bytes(round, other).await.unwrap(), 0);
    assert!(!blobs.has_envelopes(id(&roster, 1), site).await.unwrap());
    // What the disk altered is found, and sent again the long way.
    let promised = Header { body: Digest::of(b"the right one"), ..header };
    let check = blobs.finish_body(round, &promised, None).await.unwrap();
    assert_eq!(check, BodyCheck::Discarded { got: Digest::of(&body) });
    assert_eq!(blobs.body_bytes(round, site).await.unwrap(), 0);
    append_body(&store, round, site, b"the right one").await;
    assert_eq!(blobs.finish_body(round, &promised, None).await.unwrap(), BodyCheck::Right);
    blobs.write_envelopes(round, site, vec![b"again".to_vec()]).await.unwrap();
    let place = EnvelopePlace { index: 0, count: 1 };
    assert_eq!(blobs.envelope(round, site, place).await.unwrap().as_deref(), Some(&b"again"[..]));
    blobs.discard_body(round, site).await.unwrap();
    assert_eq!(blobs.extent(round, &blob).await.unwrap(), None);
}

pub(crate) async fn a_gap_in_the_log_is_an_error(backend: &impl Backend) {
    let (store, roster, manifest) = begun(backend).await;
    let append = async |sequence, leaf| {
        let event = announced(&roster, &manifest, sequence as usize);
        let next = NextEvent { sequence, event: &event, leaf: Some(leaf) };
        store.statements.append(id(&roster, 0), &[next], &[]).await
    };
    append(0, 2).await.unwrap();
    let gap = store.statements.log(roster.id(), ALL_LEAVES).await.unwrap_err();
    assert!(matches!(gap, StoreError::LogGap { expected: 1, .. }), "{gap}");
    // Where the manifest is: refused at once, or found when the log is read.
    if append(1, 0).await.is_ok() {
        let twice = store.statements.log(roster.id(), ALL_LEAVES).await.unwrap_err();
        assert!(matches!(twice, StoreError::LogGap { expected: 1, .. }), "{twice}");
    }
}

pub(crate) async fn round_keys_are_never_replaced(backend: &impl Backend) {
    let (store, roster, manifest) = begun(backend).await;
    let (study, site) = (roster.id(), &roster.ids[0]);
    let keys = |first: u32, count: usize| {
        let keys = vec![HexBytes(vec![first as u8; 3]); count];
        let first_round = RoundNumber(first);
        roster.signed(site, RoundKeys { study, site: site.clone(), first_round, keys })
    };
    let insert = async |keys: &_, leaf| store.statements.insert_round_keys(study, keys, leaf).await;
    let first = keys(2, 3);
    let stored = Some(StoredRoundKeys { keys: first.clone(), leaf: 1 });
    assert_eq!(insert(&first, 1).await.unwrap(), stored);
    assert_eq!(insert(&first, 2).await.unwrap(), stored, "the same again");
    assert_eq!(insert(&keys(4, 1), 2).await.unwrap(), stored, "round 4 has a key");
    assert_eq!(insert(&keys(0, 3), 2).await.unwrap(), None, "round 2 has a key");
    insert(&keys(9, 1), 1).await.unwrap_err();
    let last = keys(9, 1);
    insert(&last, 2).await.unwrap();
    let entries = [&first, &last].map(LogEntry::of_signed);
    let log = store.statements.log(study, ALL_LEAVES).await.unwrap();
    assert_eq!(log, [&[LogEntry::of_signed(&manifest)], &entries[..]].concat());
    let (one, two) = (keys(6, 2), keys(7, 2));
    let (got_one, got_two) = tokio::join!(insert(&one, 3), insert(&two, 4));
    let at = |leaf| move |stored: StoredRoundKeys| (stored.leaf == leaf).then_some(stored.keys);
    let kept = [got_one.unwrap().and_then(at(3)), got_two.unwrap().and_then(at(4))];
    assert_eq!(kept.iter().flatten().count(), 1, "at the same time: {kept:?}");
    let store = reopened(backend, store).await;
    for (round, expected) in [(1, None), (2, stored.as_ref()), (4, stored.as_ref()), (5, None)] {
        let found =
            store.statements.round_keys(study, study, site, RoundNumber(round)).await.unwrap();
        assert_eq!(found.as_ref(), expected, "round {round}");
    }
    let (other, at) = (&roster.ids[1], RoundNumber(2));
    assert_eq!(store.statements.round_keys(study, study, other, at).await.unwrap(), None);
}

pub(crate) async fn under_another_roster_a_round_has_other_keys(backend: &impl Backend) {
    let (store, roster, _) = begun(backend).await;
    let (study, site, under) = (roster.id(), &roster.ids[0], StudyId(Digest::of(b"after")));
    let keys = |study, byte| {
        let (site, keys) = (site.clone(), vec![HexBytes(vec![byte; 3])]);
        roster.signed(&site.clone(), RoundKeys { study, site, first_round: RoundNumber(2), keys })
    };
    let (first, later) = (keys(study, 1), keys(under, 2));
    store.statements.insert_round_keys(study, &first, 1).await.unwrap();
    let stored = store.statements.insert_round_keys(study, &later, 2).await.unwrap();
    assert_eq!(stored, Some(StoredRoundKeys { keys: later.clone(), leaf: 2 }));
    for (of, keys) in [(study, &first), (under, &later)] {
        let found = store.statements.round_keys(study, of, site, RoundNumber(2)).await.unwrap();
        assert_eq!(found.map(|found| found.keys).as_ref(), Some(keys));
    }
    assert_eq!(store.statements.log(study, ALL_LEAVES).await.unwrap().len(), 3);
}

pub(crate) async fn epochs_come_back_in_order_and_a_place_is_used_once(backend: &impl Backend) {
    let (store, roster, manifest) = begun(backend).await;
    let study = roster.id();
    let insert = async |number, leaf| {
        let file = format!("epoch {number} at {leaf}").into_bytes();
        let next = NextEpoch { number, digest: Digest::of(&file), file: &file, leaf };
        store.statements.insert_epoch(study, next).await.map(|()| file)
    };
    assert!(store.statements.epochs(study).await.unwrap().is_empty());
    let first = insert(1, 1).await.unwrap();
    insert(1, 2).await.unwrap_err();
    insert(2, 1).await.unwrap_err();
    let second = insert(2, 2).await.unwrap();
    let store = reopened(backend, store).await;
    assert_eq!(store.statements.epochs(study).await.unwrap(), [first.clone(), second.clone()]);
    let entries = [&first, &second].map(|file| LogEntry::of::<Epoch>(Digest::of(file)));
    let log = store.statements.log(study, ALL_LEAVES).await.unwrap();
    assert_eq!(log, [&[LogEntry::of_signed(&manifest)], &entries[..]].concat());
    let (file, leaf) = (b"4", 3);
    let next = NextEpoch { number: 4, digest: Digest::of(file), file, leaf };
    store.statements.insert_epoch(study, next).await.unwrap();
    let gap = store.statements.epochs(study).await.unwrap_err();
    assert!(matches!(gap, StoreError::EpochGap { expected: 3, .. }), "{gap}");
}
