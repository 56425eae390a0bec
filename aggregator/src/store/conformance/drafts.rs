//! What every backend must pass of what waits for signatures.

use ed25519_dalek::SigningKey;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{SiteId, StudyId, UnixSeconds};
use ringfence_crypto::statement::{SignedStudy, SiteSignature};

use super::{Backend, begun, reopened, roster};
use crate::roster::Roster;
use crate::store::drafts::{NextProposal, StoredDraft, StoredProposal};

fn unsigned(roster: &Roster) -> SignedStudy {
    SignedStudy { signatures: Vec::new(), ..roster.signed.clone() }
}

/// A signature by a key of this number: only who checks it knows that it does not hold.
fn signature(roster: &Roster, site: usize, key: u8) -> SiteSignature {
    let mut other = unsigned(roster);
    other.study.roster[site].signature_key =
        SigningKey::from_bytes(&[key; 32]).verifying_key().into();
    other.sign(&roster.ids[site], &SigningKey::from_bytes(&[key; 32])).unwrap();
    other.signatures.remove(0)
}

pub(crate) async fn a_draft_gathers_signatures_and_goes_again(backend: &impl Backend) {
    let (store, roster) = (backend.open().await, roster());
    let (study, unknown) = (roster.id(), StudyId(Digest::of(b"unknown")));
    let drafts = &store.drafts;
    // Nothing is kept for what is not there.
    let all = &roster.signed.signatures;
    assert_eq!(drafts.sign_draft(study, all).await.unwrap(), 0);
    assert_eq!(drafts.draft(study).await.unwrap(), None);
    assert_eq!(drafts.draft_file(study).await.unwrap(), None);
    assert!(!drafts.remove_draft(study).await.unwrap());
    assert!(drafts.drafts().await.unwrap().is_empty());

    drafts.insert_draft(study, b"a file", UnixSeconds(50)).await.unwrap();
    drafts.insert_draft(unknown, b"other", UnixSeconds(40)).await.unwrap();
    let first = StoredDraft { study, bytes: 6, posted_at: UnixSeconds(50) };
    let other = StoredDraft { study: unknown, bytes: 5, posted_at: UnixSeconds(40) };
    assert_eq!(drafts.drafts().await.unwrap(), [other, first]);
    // In any order, several at once, and the same again; of each site the first stays.
    assert_eq!(drafts.sign_draft(study, &all[3..]).await.unwrap(), 2);
    assert_eq!(drafts.sign_draft(study, &all[..1]).await.unwrap(), 1);
    assert_eq!(drafts.sign_draft(study, &all[..1]).await.unwrap(), 0);
    assert_eq!(drafts.sign_draft(study, &[signature(&roster, 0, 66)]).await.unwrap(), 0);
    let (one, two) = (&all[1..2], &[signature(&roster, 1, 67)]);
    let (one, two) = tokio::join!(drafts.sign_draft(study, one), drafts.sign_draft(study, two));
    assert_eq!(one.unwrap() + two.unwrap(), 1, "at the same time");
    let store = reopened(backend, store).await;
    let drafts = &store.drafts;
    let signers: Vec<SiteId> = [0, 1, 3, 4].map(|site| roster.ids[site].clone()).into();
    assert_eq!(drafts.draft_signers(study).await.unwrap(), signers);
    let signatures = drafts.draft_signatures(study).await.unwrap();
    assert_eq!([&signatures[0], &signatures[2]], [&all[0], &all[3]]);
    assert_eq!(drafts.draft_file(study).await.unwrap().as_deref(), Some(&b"a file"[..]));
    assert!(drafts.draft_signers(unknown).await.unwrap().is_empty());

    // Posted again it has the later time, and what it had.
    drafts.insert_draft(study, b"no other file", UnixSeconds(60)).await.unwrap();
    let again = StoredDraft { posted_at: UnixSeconds(60), ..first };
    assert_eq!(drafts.draft(study).await.unwrap(), Some(again));
    assert_eq!(drafts.draft_signers(study).await.unwrap(), signers);
    assert!(drafts.remove_draft(study).await.unwrap());
    assert_eq!(drafts.drafts().await.unwrap(), [other]);
    drafts.insert_draft(study, b"a file", UnixSeconds(70)).await.unwrap();
    assert!(drafts.draft_signers(study).await.unwrap().is_empty(), "they are gone with it");
}

pub(crate) async fn proposed_epochs_are_kept_until_they_are_void(backend: &impl Backend) {
    let (store, roster, _) = begun(backend).await;
    let (study, other) = (roster.id(), StudyId(Digest::of(b"other")));
    store.statements.insert_study(other, b"file").await.unwrap();
    let (a, b) = (&roster.ids[0], &roster.ids[1]);
    let signatures = [signature(&roster, 0, 1), signature(&roster, 1, 2)];
    let propose = async |number, name: &'static str, by, signatures: &[SiteSignature], at| {
        let (digest, file) = (Digest::of(name.as_bytes()), name.as_bytes());
        let (at, over_before) = (UnixSeconds(at), UnixSeconds(at.saturating_sub(100)));
        let next = NextProposal { number, digest, file, by, signatures, at, over_before };
        store.drafts.propose(study, next).await.unwrap();
        let found = store.drafts.proposals(study).await.unwrap();
        found.into_iter().map(|one| String::from_utf8(one.file).unwrap()).collect::<Vec<_>>()
    };
    assert!(store.drafts.proposals(study).await.unwrap().is_empty());
    assert_eq!(propose(1, "one", a, &signatures[..1], 10).await, ["one"]);
    assert_eq!(propose(1, "one", b, &signatures, 20).await, ["one"]);
    let stored = store.drafts.proposals(study).await.unwrap();
    let mut kept = stored[0].signatures.clone();
    kept.sort_by_key(|signature| signature.site.clone());
    assert_eq!(kept, signatures, "each once");
    let expected = StoredProposal {
        number: 1,
        file: b"one".to_vec(),
        by: vec![a.clone(), b.clone()],
        signatures: stored[0].signatures.clone(),
        at: UnixSeconds(10),
    };
    assert_eq!(stored, [expected]);
    // A site proposes one at a time, and what nobody proposes any more is gone.
    assert_eq!(propose(1, "two", a, &signatures[..1], 30).await, ["one", "two"]);
    assert_eq!(propose(1, "two", b, &[], 40).await, ["two"]);
    assert_eq!(propose(1, "three", a, &[], 50).await, ["two", "three"]);
    // What is over goes, and may be proposed anew.
    assert_eq!(propose(1, "two", a, &[], 131).await, ["two"]);
    assert_eq!(store.drafts.proposals(study).await.unwrap()[0].at, UnixSeconds(131));
    assert!(store.drafts.proposals(study).await.unwrap()[0].signatures.is_empty());
    // So does what is of an earlier number.
    assert_eq!(propose(2, "four", a, &[], 140).await, ["four"]);
    let of_other = NextProposal {
        number: 1,
        digest: Digest::of(b"one"),
        file: b"one",
        by: a,
        signatures: &[],
        at: UnixSeconds(140),
        over_before: UnixSeconds(0),
    };
    store.drafts.propose(other, of_other).await.unwrap();
    let store = reopened(backend, store).await;
    assert_eq!(store.drafts.proposals(study).await.unwrap().len(), 1);
    store.drafts.void_proposals(study, 1).await.unwrap();
    assert_eq!(store.drafts.proposals(study).await.unwrap().len(), 1);
    store.drafts.void_proposals(study, 2).await.unwrap();
    assert!(store.drafts.proposals(study).await.unwrap().is_empty());
    assert_eq!(store.drafts.proposals(other).await.unwrap().len(), 1);
}
