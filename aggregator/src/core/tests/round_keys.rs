//! Manifests that do not name the round keys that the study's log has.

use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{HexBytes, RoundKeys, UNSEEN_SECONDS};

use super::*;
use crate::core::rounds::LiveStudy;

/// A registered study whose round 0 is still to be opened.
struct Before {
    service: Arc<Service>,
    roster: Roster,
}

impl Before {
    async fn start() -> Self {
        let service = Arc::new(Service::start().await);
        let roster = Roster::new(service.identity.public_key(), Shape::default());
        service.studies.register(json::compact(&roster.signed)).await.unwrap();
        Self { service, roster }
    }

    fn study(&self) -> Arc<LiveStudy> {
        self.service.studies.study(self.roster.id()).unwrap()
    }

    fn keys(&self, holder: usize) -> Signed<RoundKeys> {
        let (study, site) = (self.roster.id(), self.roster.ids[holder].clone());
        let keys = vec![HexBytes(vec![holder as u8; 1216]); 4];
        let of = RoundKeys { study, site: site.clone(), first_round: RoundNumber::FIRST, keys };
        self.roster.signed(&site, of)
    }

    async fn publish(&self, holder: usize) -> Digest {
        let keys = self.keys(holder);
        self.study().publish_round_keys(keys.clone()).await.unwrap();
        keys.id()
    }

    /// Opens round 0 by a manifest that was signed `ahead` seconds from now and names these keys.
    async fn open(
        &self,
        study: &Arc<LiveStudy>,
        ahead: u64,
        named: [Option<Digest>; 5],
    ) -> Result<(), Refusal> {
        let opened_at = self.service.clock.now().after(ahead);
        let term = Term { opened_at, seconds: DAY.as_secs() };
        let mut manifest = self.roster.manifest(RoundNumber::FIRST, term, None);
        manifest.holder_keys = named.to_vec();
        let manifest = self.roster.signed(&manifest.initiator.clone(), manifest);
        study.open_round(manifest).await.map(drop)
    }
}

#[track_caller]
fn refused(outcome: Result<(), Refusal>, words: &[&str]) {
    let refusal = outcome.unwrap_err();
    assert_eq!(refusal.kind(), Kind::Conflict, "{refusal:?}");
    for word in words {
        assert!(refusal.detail().contains(word), "{word:?} is not in {refusal:?}");
    }
}

#[tokio::test]
async fn a_manifest_names_the_round_keys_that_the_log_has() {
    let before = Before::start().await;
    let study = before.study();
    let keys = before.publish(2).await;
    before.service.hand.advance(Duration::from_secs(UNSEEN_SECONDS) + SECOND);
    let (other, none) = (Digest::of(b"no statement"), [None; 5]);
    let only = |holder: usize, digest| {
        let mut named = none;
        named[holder] = Some(digest);
        named
    };
    let expected = format!("expected {keys}");
    let left_out = before.open(&study, 0, none).await;
    refused(left_out, &["names none as the round keys of site-2", &expected, "site-0 fetches"]);
    let replaced = before.open(&study, 0, only(2, other)).await;
    refused(replaced, &[&format!("names {other} as the round keys of site-2"), &expected]);
    // Keys that nobody has published, and those of another holder.
    let mut invented = only(2, keys);
    invented[3] = Some(other);
    refused(before.open(&study, 0, invented).await, &["of site-3, expected none"]);
    refused(before.open(&study, 0, only(1, keys)).await, &["of site-1, expected none"]);
    before.open(&study, 0, only(2, keys)).await.unwrap();
}

#[tokio::test]
async fn keys_that_came_a_moment_before_a_manifest_may_be_left_out() {
    let before = Before::start().await;
    let study = before.study();
    let keys = before.publish(2).await;
    before.service.hand.advance(Duration::from_secs(UNSEEN_SECONDS));
    // A site whose keys they are would refuse it: by its time, they were there to be seen.
    let later = before.open(&study, 1, [None; 5]).await;
    refused(later, &["names none as the round keys of site-2"]);
    // None may be seen, but no others.
    let other = [None, None, Some(Digest::of(b"no statement")), None, None];
    refused(before.open(&study, 0, other).await, &["of site-2"]);
    // A second publishing forgets the first no sooner.
    before.publish(3).await;
    // After a restart nobody knows when they came.
    let restarted = before.service.restarted().await.study(before.roster.id()).unwrap();
    refused(before.open(&restarted, 0, [None; 5]).await, &["of site-2", &keys.to_string()]);
    before.open(&study, 0, [None; 5]).await.unwrap();
}
