//! Changes of the roster: proposed, signed in any order, made, and there again after a restart.

use ed25519_dalek::SigningKey;
use ringfence_crypto::evidence::{Check, Found, RoundProof, Verifier};
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{
    Change, CheckKeySeals, Epoch, Lineage, RosterEntry, SignedEpoch, Study, change_roster,
    min_sites_after, threshold_after,
};

use super::at_rest::Rounds;
use super::*;
use crate::core::rounds::{LiveStudy, Made};
use crate::roster::study;

/// What a study becomes by these changes, as its sites draft it.
fn epoch(lineage: &Lineage, changes: Vec<Change>, last: u32) -> SignedEpoch {
    let (before, latest) = (&lineage.latest().study, lineage.latest());
    let roster = change_roster(&before.roster, &changes).unwrap();
    let sites = roster.len();
    let threshold = threshold_after(&before.threshold, before.roster.len(), sites).unwrap();
    let sealed = roster.iter().map(|_| before.check_key.sealed[0].clone()).collect();
    let commitment = Digest::of(&lineage.epochs().to_le_bytes());
    let after = Study {
        roster,
        threshold,
        min_sites: min_sites_after(before, &threshold, sites),
        packing: Packing::derive(16, 0, sites, threshold.collusion).unwrap(),
        check_key: CheckKeySeals { commitment, sealed },
        ..(**before).clone()
    };
    let (number, last_round) = (lineage.epochs() + 1, RoundNumber(last));
    let (study, before, id) = (lineage.first().id, latest.id, after.id());
    let epoch = Epoch { study, epoch: number, before, after: id, last_round, changes };
    SignedEpoch::unsigned(epoch, after)
}

impl Rounds {
    fn epoch(&self, changes: Vec<Change>, last: u32) -> SignedEpoch {
        epoch(&self.study.roster.read(), changes, last)
    }

    fn revoke(&self, site: usize, last: u32) -> SignedEpoch {
        revoked(&self.study, &self.roster, site, last)
    }

    async fn sign(&self, epoch: &SignedEpoch, site: usize) -> Result<(Made, bool), Refusal> {
        sign(&self.study, &self.roster, epoch, site).await
    }
}

/// The epoch by which a site is put out after a round.
pub(super) fn revoked(study: &LiveStudy, roster: &Roster, site: usize, last: u32) -> SignedEpoch {
    let changes = vec![Change::Revoke { site: roster.ids[site].clone() }];
    epoch(&study.roster.read(), changes, last)
}

/// A site sends an epoch with its own signature and no other.
pub(super) async fn sign(
    study: &Arc<LiveStudy>,
    roster: &Roster,
    epoch: &SignedEpoch,
    site: usize,
) -> Result<(Made, bool), Refusal> {
    let (id, mut signed) = (&roster.ids[site], epoch.clone());
    signed.signatures.clear();
    signed.sign(id, &roster.keys[site]);
    let (made, status) = study.take_epoch(id.clone(), signed).await?;
    Ok((made, status.made))
}

/// The roster without this site, as an epoch has left it.
fn without(roster: &Roster, after: &Study, site: usize) -> Roster {
    let mut left = roster.clone();
    left.ids.remove(site);
    left.keys.remove(site);
    left.signed.study = after.clone();
    left
}

#[tokio::test]
async fn signatures_come_in_any_order_and_the_next_round_is_under_the_study_after() {
    let mut rounds = Rounds::start().await;
    rounds.abort(0).await;
    let epoch = rounds.revoke(4, 0);
    for site in [3, 0] {
        assert_eq!(rounds.sign(&epoch, site).await.unwrap(), (Made::Now, false));
    }
    assert_eq!(rounds.sign(&epoch, 0).await.unwrap(), (Made::Before, false));
    // Whoever asks sees what is proposed, with the signatures so far.
    assert_eq!(rounds.study.proposed()[0].signatures.len(), 2);
    assert_eq!(rounds.sign(&epoch, 1).await.unwrap(), (Made::Now, false));
    assert_eq!(rounds.study.status().epochs, 0);
    assert_eq!(rounds.sign(&epoch, 2).await.unwrap(), (Made::Now, true));
    assert_eq!(rounds.study.status().epochs, 1);
    assert_eq!(rounds.study.epoch(1).unwrap().epoch, epoch.epoch);
    assert!(rounds.study.proposed().is_empty());
    // The same again, and another one with its number.
    assert_eq!(rounds.sign(&epoch, 1).await.unwrap(), (Made::Before, true));
    let other = epoch_like(&rounds, 3);
    let refused = rounds.sign(&other, 0).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);

    // Under the roster before no further round is opened; under the one after it is.
    let roster = rounds.roster.clone();
    let term = Term { opened_at: rounds.service.clock.now(), seconds: 600 };
    let old = roster.manifest(RoundNumber(1), term, rounds.previous.as_ref());
    let old = roster.signed(&old.initiator.clone(), old);
    let refused = rounds.study.open_round(old.clone()).await.unwrap_err();
    assert!(refused.detail().contains("the manifest is for study"), "{refused:?}");
    rounds.roster = without(&roster, &epoch.after, 4);
    rounds.abort(1).await;

    // The same after a restart; the log has the epoch.
    let size = rounds.study.served.log.read().size();
    let studies = rounds.service.restarted().await;
    let study = studies.study(roster.id()).unwrap();
    assert_eq!(study.status().epochs, 1);
    assert_eq!(study.served.log.read().size(), size);
    assert_eq!(study.in_force(RoundNumber(0)).id, roster.id());
    assert_eq!(study.in_force(RoundNumber(1)).id, epoch.epoch.after);
    assert_eq!(study.round(RoundNumber(1)).await.unwrap().status().study, epoch.epoch.after);

    // The files of its rounds are proven by the study as it was first signed.
    let verifier = Verifier::new(roster.signed.clone()).unwrap();
    let mut previous = None;
    for number in 0..2 {
        let file = study.round_proof(RoundNumber(number), None).await.unwrap();
        let proof = RoundProof::parse(&file).unwrap();
        assert_eq!(proof.epochs.len(), number as usize);
        let verified = verifier.verify(&proof, previous.as_ref());
        assert!(verified.holds(), "{:#?}", verified.findings);
        let mut ended = verified.ended.unwrap();
        // Had the first round barred the site that the epoch puts out, the second would know
        // nothing of it.
        ended.trust.barred.push(roster.ids[4].clone());
        previous = Some(ended);
    }
    let file = study.round_proof(RoundNumber(1), None).await.unwrap();
    let mut proof = RoundProof::parse(&file).unwrap();
    proof.epochs[0].statement.signatures.pop();
    let verified = verifier.verify(&proof, None);
    assert_eq!(verified.of(Check::Epochs).unwrap().found, Found::False);
    assert!(verified.summary.is_none(), "the manifest is of a study that nobody has signed");
}

/// Another epoch with the first one's number.
fn epoch_like(rounds: &Rounds, site: usize) -> SignedEpoch {
    let first = Lineage::of(Arc::new(rounds.roster.study().clone()));
    epoch(&first, vec![Change::Revoke { site: rounds.roster.ids[site].clone() }], 0)
}

#[tokio::test]
async fn an_epoch_that_is_forged_or_altered_changes_nothing() {
    let mut rounds = Rounds::start().await;
    rounds.abort(0).await;
    let epoch = rounds.revoke(4, 0);
    // By whom it is sent, and nobody's.
    let refused = rounds.study.take_epoch(rounds.roster.ids[0].clone(), epoch.clone()).await;
    assert!(refused.unwrap_err().detail().contains("has signed"));
    // Signed by a key that is not the site's.
    let mut forged = epoch.clone();
    forged.sign(&rounds.roster.ids[1], &rounds.roster.keys[0]);
    let refused = rounds.study.take_epoch(rounds.roster.ids[1].clone(), forged).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Sender);
    // Signed, and then altered.
    let mut altered = epoch.clone();
    altered.sign(&rounds.roster.ids[1], &rounds.roster.keys[1]);
    altered.epoch.last_round = RoundNumber(9);
    let refused = rounds.study.take_epoch(rounds.roster.ids[1].clone(), altered).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Sender);
    // One that lets another study in.
    let mut other = epoch.clone();
    other.after.review_seconds = 1;
    other.epoch.after = other.after.id();
    let refused = rounds.sign(&other, 1).await.unwrap_err();
    assert!(refused.detail().contains("another time limits"), "{refused:?}");
    assert_eq!(rounds.study.status().epochs, 0);
    assert!(rounds.study.proposed().is_empty());
}

#[tokio::test]
async fn what_is_proposed_is_there_after_a_restart_and_for_so_long() {
    let mut rounds = Rounds::start().await;
    rounds.abort(0).await;
    let (epoch, other) = (rounds.revoke(4, 0), rounds.revoke(3, 0));
    for site in [3, 0] {
        rounds.sign(&epoch, site).await.unwrap();
    }
    rounds.sign(&other, 1).await.unwrap();
    let id = rounds.roster.id();
    let restarted = async |service: &Service| service.restarted().await.study(id).unwrap();
    rounds.study = restarted(&rounds.service).await;
    let proposed = rounds.study.proposed();
    assert_eq!(proposed.len(), 2);
    let of = |epoch: &SignedEpoch| proposed.iter().find(|known| known.epoch == epoch.epoch);
    assert_eq!(of(&epoch).unwrap().signatures.len(), 2);
    assert_eq!(of(&other).unwrap().signatures.len(), 1);
    // More than c have signed: no round after its last one is opened, also after the restart.
    let refused = rounds.study.check_proposed(RoundNumber(1)).unwrap_err();
    assert!(refused.detail().contains("2 sites have signed it"), "{refused:?}");
    // With the two signatures from before the restart it is made, and the other one is void.
    assert!(!rounds.sign(&epoch, 1).await.unwrap().1);
    assert!(rounds.sign(&epoch, 2).await.unwrap().1);
    rounds.study = restarted(&rounds.service).await;
    assert!(rounds.study.proposed().is_empty());
    assert_eq!(rounds.study.status().epochs, 1);
    let stored = rounds.service.store.drafts.proposals(id).await.unwrap();
    assert_eq!(stored, []);
}

#[tokio::test]
async fn what_is_proposed_ends_after_its_time_and_rounds_go_on() {
    let mut rounds = Rounds::start().await;
    rounds.abort(0).await;
    let (id, epoch) = (rounds.roster.id(), rounds.revoke(4, 0));
    for site in 0..2 {
        rounds.sign(&epoch, site).await.unwrap();
    }
    rounds.study.check_proposed(RoundNumber(1)).unwrap_err();
    // The administrator does not wait for so long.
    assert_eq!(rounds.study.drop_proposed().await.unwrap().len(), 1);
    rounds.study.check_proposed(RoundNumber(1)).unwrap();
    assert_eq!(rounds.service.store.drafts.proposals(id).await.unwrap(), []);
    for site in 0..2 {
        rounds.sign(&epoch, site).await.unwrap();
    }
    rounds.study.check_proposed(RoundNumber(1)).unwrap_err();
    rounds.service.hand.advance(90 * DAY);
    assert_eq!(rounds.study.proposed().len(), 1);
    rounds.service.hand.advance(SECOND);
    assert!(rounds.study.proposed().is_empty());
    rounds.study.check_proposed(RoundNumber(1)).unwrap();
    // Signed again it begins anew, with whoever signs now.
    rounds.sign(&epoch, 0).await.unwrap();
    rounds.study = rounds.service.restarted().await.study(id).unwrap();
    assert_eq!(rounds.study.proposed()[0].signatures.len(), 1);
}

#[tokio::test]
async fn an_epoch_comes_too_late_once_a_later_round_is_open() {
    let mut rounds = Rounds::start().await;
    for number in 0..2 {
        rounds.abort(number).await;
    }
    let refused = rounds.sign(&rounds.revoke(4, 0), 1).await.unwrap_err();
    assert!(refused.detail().contains("2 rounds are open"), "{refused:?}");
    // One for later is made ahead, and rounds up to then go on as before.
    let epoch = rounds.revoke(4, 2);
    for site in 0..4 {
        rounds.sign(&epoch, site).await.unwrap();
    }
    assert_eq!(rounds.study.status().epochs, 1);
    rounds.abort(2).await;
    rounds.roster = without(&rounds.roster.clone(), &epoch.after, 4);
    rounds.abort(3).await;
}

#[tokio::test]
async fn whoever_comes_is_asked_and_may_look_at_what_is_proposed() {
    use crate::core::epochs::Wanted;
    let mut rounds = Rounds::start().await;
    rounds.abort(0).await;
    let mut keys = rounds.roster.keys.clone();
    keys.push(SigningKey::from_bytes(&[66; 32]));
    let mut six =
        study(rounds.roster.study().aggregator_key, Shape { sites: 6, ..Shape::default() }, &keys);
    let entry: RosterEntry = six.roster.pop().unwrap();
    let (id, comes) = (entry.id.clone(), Change::Enrol { entry });
    let epoch = rounds.epoch(vec![comes], 0);
    let wanted = |round: Option<u32>, reads, joining| {
        let round = round.map(RoundNumber);
        rounds.study.keys_of(&id, Wanted { round, reads, joining }).len()
    };
    assert_eq!(wanted(None, true, true), 0, "nobody has proposed it");
    rounds.sign(&epoch, 0).await.unwrap();
    assert_eq!((wanted(None, true, true), wanted(None, false, true)), (1, 1));
    assert_eq!((wanted(None, true, false), wanted(Some(0), true, false)), (0, 0));
    for site in 1..5 {
        assert!(!rounds.sign(&epoch, site).await.unwrap().1);
    }
    let mut own = epoch.clone();
    own.sign(&id, &keys[5]);
    let (_, status) = rounds.study.take_epoch(id.clone(), own).await.unwrap();
    assert!(status.made);
    assert_eq!((wanted(None, false, false), wanted(Some(0), true, false)), (1, 1));
}

#[tokio::test]
async fn a_site_that_is_gone_keeps_its_rounds_and_reads_why() {
    use crate::core::epochs::Wanted;
    let mut rounds = Rounds::start().await;
    rounds.abort(0).await;
    let (gone, epoch) = (rounds.roster.ids[4].clone(), rounds.revoke(4, 1));
    for site in 0..4 {
        rounds.sign(&epoch, site).await.unwrap();
    }
    rounds.abort(1).await;
    rounds.roster = without(&rounds.roster.clone(), &epoch.after, 4);
    rounds.abort(2).await;
    let keys = |round: Option<u32>, reads| {
        let wanted = Wanted { round: round.map(RoundNumber), reads, joining: false };
        rounds.study.keys_of(&gone, wanted).len()
    };
    assert_eq!((keys(Some(1), false), keys(Some(2), true), keys(None, false)), (1, 0, 0));
    assert_eq!(keys(None, true), 1);
    let why = rounds.study.not_on_roster(&gone);
    assert!(why.detail().contains("no more since epoch 1"), "{why:?}");
}
