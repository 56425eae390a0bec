//! What bodies, envelopes, openings and sums must do.

use std::sync::Arc;

use bytes::Bytes;
use ringfence_crypto::Digest;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::statement::Header;

use super::{Backend, begun, id, reopened};
use crate::store::Store;
use crate::store::blobs::{Blob, BodyCheck, EnvelopePlace};
use crate::store::terms::{RoundId, StoreError};

pub(super) async fn append_body(store: &Store, round: RoundId, site: &SiteId, bytes: &[u8]) {
    let mut writer = store.blobs.append_body(round, site).await.unwrap();
    for chunk in bytes.chunks(10_000) {
        writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    writer.finish().await.unwrap();
}

pub(crate) async fn a_body_grows_and_is_compared_at_its_end(backend: &impl Backend) {
    let (store, roster, manifest) = begun(backend).await;
    let (round, site) = (id(&roster, 0), &roster.ids[0]);
    let contribution = roster.contribution(&manifest, site);
    let (header, body) = (contribution.header.statement, contribution.body);
    let (blob, length) = (Blob::Body(site.clone()), body.len() as u64);
    assert_eq!(store.blobs.body_bytes(round, site).await.unwrap(), 0);
    append_body(&store, round, site, &body[..25_001]).await;
    assert_eq!(store.blobs.body_bytes(round, site).await.unwrap(), 25_001);
    // Beginning again keeps what can go on.
    store.blobs.begin(round).await.unwrap();
    append_body(&store, round, site, &body[25_001..]).await;
    assert_eq!(store.blobs.body_bytes(round, site).await.unwrap(), length);
    assert_eq!(store.blobs.extent(round, &blob).await.unwrap(), None, "not compared yet");
    for _ in 0..2 {
        let check = store.blobs.finish_body(round, &header, None).await.unwrap();
        assert_eq!(check, BodyCheck::Right);
    }
    let store = reopened(backend, store).await;
    store.blobs.begin(round).await.unwrap();
    assert_eq!(store.blobs.body_bytes(round, site).await.unwrap(), length);
    assert_eq!(store.blobs.extent(round, &blob).await.unwrap().unwrap().bytes, length);
    for (from, to) in [(0, length), (0, 0), (1000, 2000), (length - 8, length), (length, length)] {
        let read = store.blobs.read(round, &blob, from..to).await.unwrap();
        assert_eq!(read, body[from as usize..to as usize]);
    }
    store.blobs.read(round, &blob, length - 8..length + 1).await.unwrap_err();
}

pub(crate) async fn a_wrong_body_is_discarded(backend: &impl Backend) {
    let (store, roster, manifest) = begun(backend).await;
    let (round, blobs) = (id(&roster, 0), &store.blobs);
    let (wrong, right) = (b"something else", b"the right one");
    // Hashed on the way, or not.
    for (site, on_the_way) in roster.ids.iter().zip([false, true]) {
        let hashed = |bytes: &[u8]| on_the_way.then(|| Digest::of(bytes));
        let header = roster.contribution(&manifest, site).header.statement;
        let header = Header { body: Digest::of(right), ..header };
        append_body(&store, round, site, wrong).await;
        let check = blobs.finish_body(round, &header, hashed(wrong)).await.unwrap();
        assert_eq!(check, BodyCheck::Discarded { got: Digest::of(wrong) });
        assert_eq!(blobs.body_bytes(round, site).await.unwrap(), 0);
        append_body(&store, round, site, right).await;
        let check = blobs.finish_body(round, &header, hashed(right)).await.unwrap();
        assert_eq!(check, BodyCheck::Right);
        let blob = Blob::Body(site.clone());
        assert_eq!(blobs.read(round, &blob, 0..13).await.unwrap(), &right[..]);
    }
}

pub(crate) async fn what_is_damaged_is_discarded_and_written_anew(backend: &impl Backend) {
    let (store, roster, manifest) = begun(backend).await;
    let (round, site) = (id(&roster, 0), &roster.ids[0]);
    let contribution = roster.contribution(&manifest, site);
    let (header, body) = (contribution.header.statement, contribution.body);
    let blob = Blob::Body(site.clone());
    store.blobs.discard_body(round, site).await.unwrap();
    let missing = store.blobs.read(round, &blob, 0..1).await.unwrap_err();
    assert!(matches!(missing, StoreError::Lost(_)), "{missing}");
    // Whole, or on its way.
    for whole in [true, false] {
        append_body(&store, round, site, &body).await;
        if whole {
            store.blobs.finish_body(round, &header, None).await.unwrap();
        }
        store.blobs.discard_body(round, site).await.unwrap();
        assert_eq!(store.blobs.body_bytes(round, site).await.unwrap(), 0);
        assert_eq!(store.blobs.extent(round, &blob).await.unwrap(), None);
    }
    append_body(&store, round, site, &body).await;
    assert_eq!(store.blobs.finish_body(round, &header, None).await.unwrap(), BodyCheck::Right);
    for envelope in [b"first", b"again"] {
        store.blobs.write_envelopes(round, site, vec![envelope.to_vec()]).await.unwrap();
        let place = EnvelopePlace { index: 0, count: 1 };
        let read = store.blobs.envelope(round, site, place).await.unwrap();
        assert_eq!(read.as_deref(), Some(&envelope[..]));
    }
}

pub(crate) async fn an_unfinished_writer_leaves_a_beginning(backend: &impl Backend) {
    let (store, roster, manifest) = begun(backend).await;
    let (round, site) = (id(&roster, 0), &roster.ids[0]);
    let contribution = roster.contribution(&manifest, site);
    let mut writer = store.blobs.append_body(round, site).await.unwrap();
    writer.write(Bytes::copy_from_slice(&contribution.body[..5000])).await.unwrap();
    drop(writer);
    let store = reopened(backend, store).await;
    store.blobs.begin(round).await.unwrap();
    let kept = store.blobs.body_bytes(round, site).await.unwrap() as usize;
    assert!(kept <= 5000, "{kept}");
    append_body(&store, round, site, &contribution.body[kept..]).await;
    let check = store.blobs.finish_body(round, &contribution.header.statement, None).await.unwrap();
    assert_eq!(check, BodyCheck::Right, "after {kept} bytes");
}

pub(crate) async fn one_envelope_is_read_alone(backend: &impl Backend) {
    let (store, roster, _) = begun(backend).await;
    let (round, site) = (id(&roster, 0), &roster.ids[0]);
    let place = |index| EnvelopePlace { index, count: 3 };
    assert!(!store.blobs.has_envelopes(round, site).await.unwrap());
    assert_eq!(store.blobs.envelope(round, site, place(0)).await.unwrap(), None);
    let envelopes = [b"first".to_vec(), Vec::new(), b"the third".to_vec()];
    store.blobs.write_envelopes(round, site, envelopes.to_vec()).await.unwrap();
    let store = reopened(backend, store).await;
    store.blobs.begin(round).await.unwrap();
    assert!(store.blobs.has_envelopes(round, site).await.unwrap());
    for (index, envelope) in envelopes.iter().enumerate() {
        let read = store.blobs.envelope(round, site, place(index)).await.unwrap();
        assert_eq!(read.as_ref(), Some(envelope));
    }
    store.blobs.envelope(round, site, place(3)).await.unwrap_err();
    // The same of several sites; of one that has none, or none at this place, nothing.
    let other = roster.ids[1].clone();
    let read = async |sites: &[&SiteId], index| {
        let sites = sites.iter().copied().cloned().collect();
        store.blobs.envelopes(round, sites, place(index)).await.unwrap()
    };
    let third = Some(envelopes[2].clone());
    assert_eq!(read(&[&other, site], 2).await, [None, third.clone()]);
    assert_eq!(read(&[site, &other], 2).await, [third, None]);
    assert_eq!(read(&[site], 3).await, [None]);
    assert!(read(&[], 0).await.is_empty());
}

pub(crate) async fn openings_lie_under_their_digests(backend: &impl Backend) {
    let (store, roster, _) = begun(backend).await;
    let round = id(&roster, 0);
    let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
    store.blobs.opening(round, one, [0, 1]).await.unwrap_err();
    let pieces = |name: &str| [name, "", "of three"].map(|piece| piece.as_bytes().to_vec());
    // Two requests with the same bytes at the same time.
    let write = || store.blobs.write_opening(round, one, pieces("one").to_vec());
    let (first, second) = tokio::join!(write(), write());
    first.and(second).unwrap();
    store.blobs.write_opening(round, two, pieces("two").to_vec()).await.unwrap();
    let store = reopened(backend, store).await;
    store.blobs.begin(round).await.unwrap();
    for (digest, name) in [(one, "one"), (two, "two")] {
        let [first, empty, last] = pieces(name);
        let read = |places| store.blobs.opening(round, digest, places);
        assert_eq!(read([0, 2]).await.unwrap(), [first.clone(), last]);
        assert_eq!(read([1, 0]).await.unwrap(), [empty, first]);
        read([0, 3]).await.unwrap_err();
    }
    // The same of several; one that is not there keeps no other from being read.
    let none = Digest::of(b"none");
    let read = store.blobs.openings(round, vec![two, none, one], [0, 2]).await;
    let names: Vec<Option<Vec<u8>>> =
        read.into_iter().map(|read| read.ok().map(|[first, _]| first)).collect();
    assert_eq!(names, [Some(b"two".to_vec()), None, Some(b"one".to_vec())]);
    assert!(store.blobs.openings(round, Vec::new(), [0, 2]).await.is_empty());
}

pub(crate) async fn a_sum_is_there_whole_or_not_at_all(backend: &impl Backend) {
    let (store, roster, _) = begun(backend).await;
    let round = id(&roster, 0);
    let mut given_up = store.blobs.write_sum(round).await.unwrap();
    given_up.write(Bytes::from_static(b"half")).await.unwrap();
    drop(given_up);
    assert_eq!(store.blobs.extent(round, &Blob::Sum).await.unwrap(), None);
    // The second one is as after a crash between the sum and its closing.
    for _ in 0..2 {
        let mut writer = store.blobs.write_sum(round).await.unwrap();
        writer.write(Bytes::from_static(b"the ")).await.unwrap();
        writer.write(Bytes::from_static(b"sum")).await.unwrap();
        writer.finish().await.unwrap();
    }
    let store = reopened(backend, store).await;
    store.blobs.begin(round).await.unwrap();
    assert_eq!(store.blobs.extent(round, &Blob::Sum).await.unwrap().unwrap().bytes, 7);
    assert_eq!(store.blobs.read(round, &Blob::Sum, 2..7).await.unwrap(), b"e sum"[..]);
}

pub(crate) async fn rounds_and_sites_do_not_mix(backend: &impl Backend) {
    let (store, roster, _) = begun(backend).await;
    let blobs = Arc::clone(&store.blobs);
    blobs.begin(id(&roster, 1)).await.unwrap();
    let (site, other) = (&roster.ids[0], &roster.ids[1]);
    append_body(&store, id(&roster, 0), site, b"of round 0").await;
    blobs.write_envelopes(id(&roster, 0), site, vec![b"0".to_vec()]).await.unwrap();
    for (round, site) in [(id(&roster, 1), site), (id(&roster, 0), other)] {
        assert_eq!(blobs.body_bytes(round, site).await.unwrap(), 0);
        assert!(!blobs.has_envelopes(round, site).await.unwrap());
    }
}
