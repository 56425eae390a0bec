//! What a backend says that it holds of a study.

use ringfence_crypto::held::Place;

use super::blobs::append_body;
use super::{Backend, announced, begun, damaged, id};
use crate::store::held::Held;
use crate::store::statements::NextEvent;

pub(crate) async fn everything_that_is_stored_is_counted(backend: &impl Backend) {
    let (store, roster, manifest) = begun(backend).await;
    let (round, study) = (id(&roster, 0), roster.id());
    let events = [announced(&roster, &manifest, 0), announced(&roster, &manifest, 1)];
    for (sequence, event) in (0..).zip(&events) {
        let next = NextEvent { sequence, event, leaf: Some(sequence + 1) };
        store.statements.append(round, &[next], &[]).await.unwrap();
    }
    let note = NextEvent { sequence: 2, event: &damaged(&roster, 7), leaf: None };
    store.statements.append(round, &[note], &[]).await.unwrap();
    append_body(&store, round, &roster.ids[0], &[7; 25_000]).await;
    store.blobs.write_envelopes(round, &roster.ids[0], vec![vec![1; 50]; 3]).await.unwrap();
    let mut sum = store.blobs.write_sum(round).await.unwrap();
    sum.write(vec![3; 1000].into()).await.unwrap();
    sum.finish().await.unwrap();

    let rows = store.statements.held(study).await.unwrap();
    let files = store.blobs.held(study).await.unwrap();
    assert!(!rows.more && !files.more);
    let of = |held: &[Held], kind: &str| -> Vec<(Place, u64, u64)> {
        let found = held.iter().filter(|held| held.kind == kind);
        found.map(|held| (held.place, held.count, held.bytes)).collect()
    };
    let json: usize = events.iter().map(|event| serde_json::to_vec(event).unwrap().len()).sum();
    let found = of(&rows.held, "events: announced");
    let [(Place::Table, 2, bytes)] = found.as_slice() else { panic!("{rows:?}") };
    assert!((json as u64..json as u64 + 1000).contains(bytes), "{bytes} of {json}");
    for (kind, count) in [("events: damaged", 1), ("rounds", 1), ("studies", 1)] {
        let found = of(&rows.held, kind);
        assert_eq!(found.iter().map(|(_, count, _)| *count).collect::<Vec<_>>(), [count], "{kind}");
    }
    assert!(of(&rows.held, "drafts").is_empty(), "nothing of it is there");
    assert_eq!(of(&files.held, "parts").iter().map(|(.., bytes)| bytes).sum::<u64>(), 25_000);
    assert_eq!(of(&files.held, "sum"), [(Place::Files, 1, 1000)]);
    let [(Place::Files, 1, 150..)] = of(&files.held, "envelopes")[..] else { panic!("{files:?}") };
    // Of another study there is nothing.
    let another = ringfence_crypto::id::StudyId(ringfence_crypto::Digest::of(b"another"));
    assert_eq!(store.statements.held(another).await.unwrap().held, []);
    assert_eq!(store.blobs.held(another).await.unwrap().held, []);
}
