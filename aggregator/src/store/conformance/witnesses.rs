//! Cosignatures: what every backend must pass.

use ed25519_dalek::SigningKey;
use ringfence_crypto::id::{SiteId, UnixSeconds};
use ringfence_crypto::log::{Checkpoint, CheckpointText, LogHash, NoteKey, origin};

use super::{Backend, begun, reopened};
use crate::roster::Roster;
use crate::store::witnesses::{Cosigned, Which};

/// Any signed checkpoint: what it says is not looked at by a store.
fn cosigned(roster: &Roster, site: &SiteId, size: u64, at: u64) -> Cosigned {
    let (origin, key) = (origin(roster.id()), SigningKey::from_bytes(&[3; 32]));
    let root = LogHash::leaf(&at.to_le_bytes());
    let text = CheckpointText::new(&origin, Checkpoint { size, root }).unwrap();
    let of = NoteKey::new(&origin, key.verifying_key().into()).unwrap();
    let note = of.sign(text.to_string(), &key).unwrap();
    Cosigned { site: site.clone(), size, at: UnixSeconds(at), note }
}

pub(crate) async fn a_cosignature_of_a_larger_log_replaces_an_earlier_one(backend: &impl Backend) {
    let (store, roster, _) = begun(backend).await;
    let (study, statements) = (roster.id(), &store.statements);
    let of = |site: usize, size, at| cosigned(&roster, &roster.ids[site], size, at);
    let put =
        async |cosigned: Cosigned| statements.put_cosignature(study, &cosigned).await.unwrap();
    assert!(put(of(1, 5, 100)).await);
    assert!(!put(of(1, 5, 100)).await, "the same again");
    assert!(!put(of(1, 5, 99)).await, "an earlier one");
    assert!(!put(of(1, 4, 101)).await, "of a smaller log");
    assert!(put(of(0, 7, 102)).await);
    assert!(put(of(2, 7, 101)).await);
    assert!(put(of(1, 5, 103)).await);
    assert!(put(of(1, 7, 50)).await, "of a larger log, by a clock that was set back");
    let store = reopened(backend, store).await;
    let found = async |which| store.statements.cosignatures(study, which).await.unwrap();
    assert_eq!(found(Which::All).await, [of(0, 7, 102), of(1, 7, 50), of(2, 7, 101)]);
    assert_eq!(found(Which::OfSize(7)).await.len(), 3);
    assert_eq!(found(Which::OfSize(5)).await, []);
    assert_eq!(found(Which::By(&roster.ids[1])).await, [of(1, 7, 50)]);
    assert_eq!(found(Which::By(&roster.ids[3])).await, []);
    let other = ringfence_crypto::id::StudyId(ringfence_crypto::Digest::of(b"other"));
    assert_eq!(store.statements.cosignatures(other, Which::All).await.unwrap(), []);
}
