//! Every rule of an epoch, kept and broken.

use std::sync::Arc;

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ringfence_crypto::Digest;
use ringfence_crypto::dealing::{Pair, Trust};
use ringfence_crypto::id::StudyId;
use ringfence_crypto::statement::{
    EpochSignature, MissingSignatures, PrivacyPolicy, RosterEntry, SiteSignature, WhichKey,
};
use ringfence_crypto::threshold::Threshold;
use ringfence_crypto::wire::json;
use sha2::Sha512;

use super::*;
use crate::identity::Identity;
use crate::testing::{draft_like, rng, study};

const LAST: RoundNumber = RoundNumber(4);

/// A study, its sites, and one that is not on the roster.
struct Parties {
    lineage: Lineage,
    sites: Vec<Identity>,
    stranger: Identity,
}

fn parties(sites: usize) -> Parties {
    let (study, identities) = study(sites);
    let stranger = identity("stranger", 77);
    Parties { lineage: Lineage::of(Arc::new(study)), sites: identities, stranger }
}

fn identity(name: &str, seed: u64) -> Identity {
    Identity::generate(name.parse().unwrap(), &mut rng(seed)).unwrap()
}

fn id(site: usize) -> SiteId {
    format!("site-{site}").parse().unwrap()
}

impl Parties {
    fn change(&self, changes: Vec<Change>) -> SignedEpoch {
        change(&self.lineage, changes, &[], LAST, &mut rng(5)).unwrap()
    }

    fn revoke(&self, site: usize) -> SignedEpoch {
        self.change(vec![Change::Revoke { site: id(site) }])
    }

    fn enrol(&self) -> SignedEpoch {
        self.change(vec![Change::Enrol { entry: self.stranger.public() }])
    }

    fn sign(&self, epoch: &mut SignedEpoch, signers: impl IntoIterator<Item = usize>) {
        for identity in signers.into_iter().filter_map(|place| self.sites.get(place)) {
            epoch.sign(identity.site(), identity.signer());
        }
    }

    fn add(&self, epoch: SignedEpoch) -> Result<Lineage, EpochError> {
        let mut lineage = self.lineage.clone();
        lineage.add(epoch)?;
        Ok(lineage)
    }

    fn missing(&self, epoch: &SignedEpoch) -> MissingSignatures {
        self.lineage.check(epoch).unwrap()
    }

    /// What is said of an epoch that was altered, and whose statement names what it was altered to.
    fn altered(&self, mut epoch: SignedEpoch, alter: impl FnOnce(&mut SignedEpoch)) -> EpochError {
        alter(&mut epoch);
        epoch.epoch.after = epoch.after.id();
        self.lineage.check(&epoch).unwrap_err()
    }
}

#[test]
fn a_majority_with_c_revokes_a_site_and_the_study_after_it_follows() {
    let parties = parties(5);
    let mut epoch = parties.revoke(1);
    // floor((5 + 1) / 2) + 1
    parties.sign(&mut epoch, [0, 2, 3]);
    let missing = parties.missing(&epoch);
    assert_eq!((missing.named.len(), missing.more), (0, 1));
    let error = parties.add(epoch.clone()).unwrap_err();
    assert!(error.to_string().contains("1 more of the roster before"), "{error}");
    parties.sign(&mut epoch, [4]);
    let lineage = parties.add(epoch).unwrap();
    let (before, after) = (&lineage.first().study, &lineage.latest().study);
    assert_eq!((before.roster.len(), after.roster.len()), (5, 4));
    assert_eq!((after.threshold.holders, after.threshold.endorsements), (4, 3));
    assert!(after.position(&id(1)).is_none());
    after.check().unwrap();
    // Those who stay have the new check key, and who is gone has not.
    assert!(parties.sites[0].check_key(after).is_ok());
    assert!(parties.sites[1].check_key(after).is_err());
    // Numbers go on.
    for (round, expected) in [(0, before), (LAST.0, before), (LAST.0 + 1, after), (90, after)] {
        assert_eq!(lineage.in_force(RoundNumber(round)).study, *expected, "{round}");
    }
}

#[test]
fn a_site_that_is_revoked_may_sign_it_and_a_stranger_may_not() {
    let parties = parties(5);
    let mut epoch = parties.revoke(1);
    parties.sign(&mut epoch, [0, 1, 2, 3]);
    assert!(parties.missing(&epoch).is_complete());
    epoch.sign(parties.stranger.site(), parties.stranger.signer());
    let error = parties.add(epoch).unwrap_err();
    assert_eq!(error, EpochError::Signer(parties.stranger.site().clone()));
}

#[test]
fn a_site_comes_only_if_all_that_stay_sign_and_itself() {
    let parties = parties(5);
    let mut epoch = parties.enrol();
    parties.sign(&mut epoch, 0..4);
    epoch.sign(parties.stranger.site(), parties.stranger.signer());
    let missing = parties.missing(&epoch);
    assert_eq!(missing.named, [(id(4), WhichKey::Old)]);
    let error = parties.add(epoch.clone()).unwrap_err().to_string();
    assert!(error.contains("site-4 (with its key until now)"), "{error}");
    parties.sign(&mut epoch, [4]);
    let lineage = parties.add(epoch).unwrap();
    let after = &lineage.latest().study;
    assert_eq!(after.position(parties.stranger.site()), Some(5));
    assert!(parties.stranger.check_key(after).is_ok());

    let mut without = parties.enrol();
    parties.sign(&mut without, 0..5);
    let missing = parties.missing(&without);
    assert_eq!(missing.named, [(parties.stranger.site().clone(), WhichKey::New)]);
}

#[test]
fn whoever_takes_many_out_and_lets_one_in_needs_a_majority_of_the_roster_before() {
    let parties = parties(8);
    let mut changes: Vec<Change> = (0..5).map(|site| Change::Revoke { site: id(site) }).collect();
    changes.push(Change::Enrol { entry: parties.stranger.public() });
    // c = 1: four sites are left.
    let mut draft = draft_like(&parties.lineage.first().study);
    draft.threshold = Some(Threshold::choose(8, None, Some(1), None).unwrap());
    draft.min_sites = None;
    let study = draft.into_study(&mut rng(3)).unwrap();
    let parties = Parties { lineage: Lineage::of(Arc::new(study)), ..parties };
    let mut epoch = parties.change(changes);
    parties.sign(&mut epoch, 5..8);
    epoch.sign(parties.stranger.site(), parties.stranger.signer());
    // All that stay have signed: another three could have made another study.
    assert_eq!(parties.missing(&epoch), MissingSignatures { named: Vec::new(), more: 2 });
    parties.sign(&mut epoch, 0..2);
    parties.add(epoch).unwrap();
}

#[test]
fn new_keys_need_both_signatures_and_leaving_its_own() {
    let parties = parties(5);
    let renewed = identity("site-2", 78);
    let mut epoch = parties.change(vec![Change::Rotate { entry: renewed.public() }]);
    parties.sign(&mut epoch, [0, 1, 3, 4]);
    let both = [(id(2), WhichKey::Old), (id(2), WhichKey::New)];
    assert_eq!(parties.missing(&epoch).named, both);
    epoch.sign(&id(2), renewed.signer());
    assert_eq!(parties.missing(&epoch).named, both[..1]);
    parties.sign(&mut epoch, [2]);
    let lineage = parties.add(epoch).unwrap();
    let after = &lineage.latest().study;
    assert_eq!(after.position(&id(2)), Some(2));
    assert!(renewed.check_key(after).is_ok());
    assert!(parties.sites[2].check_key(after).is_err());

    let mut leave = parties.change(vec![Change::Leave { site: id(2) }]);
    parties.sign(&mut leave, [0, 1, 3, 4]);
    assert_eq!(parties.missing(&leave).named, both[..1]);
    // Somebody else's key is not its own.
    let mut forged = leave.clone();
    forged.sign(&id(2), parties.sites[0].signer());
    assert!(matches!(parties.add(forged), Err(EpochError::Signature(_))));
    parties.sign(&mut leave, [2]);
    parties.add(leave).unwrap();
}

#[test]
fn a_signature_counts_once_and_for_what_was_signed() {
    let parties = parties(5);
    let mut epoch = parties.revoke(1);
    parties.sign(&mut epoch, [0, 2, 3]);
    // The same one again, as from a list that was added twice.
    let again = epoch.signatures[0].clone();
    epoch.signatures.push(again);
    assert_eq!(parties.add(epoch.clone()).unwrap_err(), EpochError::Signer(id(0)));
    epoch.signatures.pop();
    // Signed for round 4, shown with another.
    epoch.epoch.last_round = RoundNumber(5);
    assert!(matches!(parties.lineage.check(&epoch), Err(EpochError::Signature(_))));
}

#[test]
fn an_epoch_stands_on_the_one_before_it() {
    let parties = parties(6);
    let mut epoch = parties.revoke(1);
    parties.sign(&mut epoch, [0, 2, 3, 4, 5]);
    let lineage = parties.add(epoch.clone()).unwrap();
    // The same one once more, as an aggregator may show an old one.
    let (expected, got) = (2, 1);
    assert_eq!(lineage.check(&epoch).unwrap_err(), EpochError::Number { expected, got });
    let mut early = change(&lineage, vec![Change::Leave { site: id(2) }], &[], LAST, &mut rng(6));
    assert!(lineage.check(early.as_ref().unwrap()).is_ok(), "it may follow at once");
    early.as_mut().unwrap().epoch.last_round = RoundNumber(3);
    let error = lineage.check(&early.unwrap()).unwrap_err();
    assert_eq!(error, EpochError::LastRound { least: LAST, got: RoundNumber(3) });

    let mut gap = parties.revoke(1);
    gap.epoch.epoch = 2;
    let (expected, got) = (1, 2);
    assert_eq!(parties.lineage.check(&gap).unwrap_err(), EpochError::Number { expected, got });
    let other: StudyId = Digest::of(b"another study").into();
    let mut first = parties.revoke(1);
    first.epoch.study = other;
    assert!(matches!(parties.lineage.check(&first), Err(EpochError::First { .. })));
    let mut before = parties.revoke(1);
    before.epoch.before = other;
    assert!(matches!(parties.lineage.check(&before), Err(EpochError::Before { .. })));
    let mut after = parties.revoke(1);
    after.epoch.after = other;
    assert!(matches!(parties.lineage.check(&after), Err(EpochError::After { .. })));
}

#[test]
fn the_changes_give_exactly_the_roster_after_them() {
    let parties = parties(6);
    let error = parties.altered(parties.revoke(1), |epoch| {
        epoch.epoch.changes = vec![Change::Revoke { site: id(2) }];
    });
    assert_eq!(error, EpochError::Roster);
    let error = parties.altered(parties.enrol(), |epoch| {
        epoch.after.roster.rotate_right(1);
        epoch.after.check_key.sealed.rotate_right(1);
    });
    assert_eq!(error, EpochError::Roster);
    let error = parties.altered(parties.revoke(1), |epoch| epoch.epoch.changes.clear());
    assert_eq!(error, EpochError::NoChange);
    let twice = vec![Change::Revoke { site: id(1) }, Change::Leave { site: id(1) }];
    let error = parties.altered(parties.revoke(1), |epoch| epoch.epoch.changes = twice);
    assert_eq!(error, EpochError::SiteTwice(id(1)));
    let refused =
        |change_: Change| match change(&parties.lineage, vec![change_], &[], LAST, &mut rng(5))
            .unwrap_err()
        {
            ChangeError::Epoch(error) => error,
            other => panic!("{other}"),
        };
    let unknown = parties.stranger.site().clone();
    assert_eq!(
        refused(Change::Revoke { site: unknown.clone() }),
        EpochError::NotOnRoster(unknown.clone())
    );
    assert_eq!(
        refused(Change::Leave { site: unknown.clone() }),
        EpochError::NotOnRoster(unknown.clone())
    );
    let entry = parties.stranger.public();
    assert_eq!(refused(Change::Rotate { entry }), EpochError::NotOnRoster(unknown));
    let entry = parties.sites[3].public();
    assert_eq!(refused(Change::Rotate { entry: entry.clone() }), EpochError::SameKeys(id(3)));
    assert_eq!(refused(Change::Enrol { entry }), EpochError::OnRoster(id(3)));
    // Another one's keys under a new name.
    let entry = RosterEntry { id: "new".parse().unwrap(), ..parties.sites[3].public() };
    assert!(matches!(refused(Change::Enrol { entry }), EpochError::Study(StudyError::Twice(_))));
}

#[test]
fn nothing_changes_but_what_follows_from_the_roster() {
    let parties = parties(6);
    type Alter = fn(&mut Study);
    let alterations: [(&str, Alter); 9] = [
        ("name", |study| study.name.push('!')),
        ("created_at", |study| study.created_at.0 += 1),
        ("aggregator_key", |study| {
            study.aggregator_key = identity("other", 3).public().signature_key;
        }),
        ("value_bits", |study| {
            study.packing = Packing::derive(12, 0, study.roster.len(), 1).unwrap();
        }),
        ("layout", |study| study.layout.tensors[0].clip = 0.5),
        ("initial_model", |study| study.initial_model = Digest::of(b"another").into()),
        ("time limits", |study| study.longest_round_seconds += 1),
        ("time limits", |study| study.review_seconds += 1),
        ("weights", |study| {
            study.weighting = Weighting::SampleCounts(vec![5; study.roster.len()]);
        }),
    ];
    for (field, alter) in alterations {
        let error = parties.altered(parties.revoke(1), |epoch| alter(&mut epoch.after));
        assert!(
            matches!(error, EpochError::Carried(got) if got.contains(field)),
            "{field}: {error}"
        );
    }
    let error = parties.altered(parties.revoke(1), |epoch| {
        let lower = Threshold::choose(5, Some(4), Some(1), None).unwrap();
        epoch.after.threshold = lower;
        epoch.after.min_sites = 3;
    });
    assert!(matches!(error, EpochError::Threshold { .. }), "{error}");
    let error = parties.altered(parties.revoke(1), |epoch| epoch.after.min_sites = 3);
    assert_eq!(error, EpochError::MinSites { expected: 4, got: 3 });
    let key = parties.lineage.first().study.check_key.commitment;
    let error = parties.altered(parties.revoke(1), |epoch| epoch.after.check_key.commitment = key);
    assert_eq!(error, EpochError::CheckKeyKept(id(1)));
    let error = parties.altered(parties.revoke(1), |epoch| epoch.after.review_seconds = 0);
    assert!(matches!(error, EpochError::Carried(_)), "{error}");
    let error = parties.altered(parties.revoke(1), |epoch| epoch.after.name.clear());
    assert!(matches!(error, EpochError::Study(StudyError::Name(0))), "{error}");
}

#[test]
fn sites_that_stay_keep_their_samples_and_one_that_comes_states_its() {
    let mut draft = draft_like(&study(4).0);
    draft.weighting = Weighting::SampleCounts(vec![10, 20, 30, 40]);
    let parties = parties(4);
    let study = draft.into_study(&mut rng(4)).unwrap();
    let parties = Parties { lineage: Lineage::of(Arc::new(study)), ..parties };
    let comes =
        vec![Change::Leave { site: id(1) }, Change::Enrol { entry: parties.stranger.public() }];
    let name = parties.stranger.site().clone();
    let missing = change(&parties.lineage, comes.clone(), &[], LAST, &mut rng(5)).unwrap_err();
    assert_eq!(missing, ChangeError::NoCount(name.clone()));
    let epoch = change(&parties.lineage, comes, &[(name, 25)], LAST, &mut rng(5)).unwrap();
    assert_eq!(epoch.after.weighting, Weighting::SampleCounts(vec![10, 30, 40, 25]));
    let error = parties.altered(epoch, |epoch| {
        epoch.after.weighting = Weighting::SampleCounts(vec![11, 30, 40, 25]);
    });
    assert_eq!(error, EpochError::Carried("weights"));
}

#[test]
fn trust_is_carried_over_without_the_sites_that_are_gone() {
    let parties = parties(6);
    let mut epoch = parties.revoke(1);
    parties.sign(&mut epoch, [0, 2, 3, 4, 5]);
    let lineage = parties.add(epoch).unwrap();
    let pair = |holder, dealer| Pair { holder: id(holder), dealer: id(dealer) };
    let trust =
        Trust { barred: vec![id(1), id(2)], pairs: vec![pair(3, 1), pair(3, 4), pair(1, 5)] };
    let carried = lineage.carried(&trust, LAST, LAST.next());
    assert_eq!(carried, Trust { barred: vec![id(2)], pairs: vec![pair(3, 4)] });
    assert_eq!(lineage.carried(&trust, RoundNumber(3), LAST), trust);
    assert_eq!(lineage.carried(&trust, LAST.next(), RoundNumber(6)), trust);
}

#[test]
fn thresholds_follow_the_number_of_sites() {
    // (m, c, l) before, n before and after, (m, l) after.
    for ((m, c, l), before, after, expected) in [
        ((5, 1, 2), 5, 6, (6, 3)),
        ((5, 1, 2), 5, 4, (4, 1)),
        ((5, 1, 1), 5, 6, (6, 1)),
        ((16, 4, 4), 16, 17, (16, 4)),
        ((16, 4, 4), 40, 39, (16, 4)),
        ((8, 2, 2), 9, 8, (8, 2)),
        ((8, 2, 2), 8, 7, (7, 1)),
    ] {
        let threshold = Threshold::choose(before, Some(m), Some(c), Some(l)).unwrap();
        let next = threshold_after(&threshold, before, after).unwrap();
        assert_eq!((next.holders, next.packing), expected, "{threshold:?} {before} {after}");
        assert_eq!(next.collusion, c);
    }
    let four = Threshold::choose(9, Some(9), Some(3), Some(1)).unwrap();
    assert!(threshold_after(&four, 9, 5).is_err(), "c stays: five sites do not suffice");
}

#[test]
fn an_epoch_s_file_is_read_as_it_was_written_and_no_other() {
    let parties = parties(4);
    let mut epoch = parties.enrol();
    parties.sign(&mut epoch, 0..4);
    let bytes = json::pretty(&epoch);
    assert_eq!(SignedEpoch::parse(&bytes).unwrap(), epoch);
    let text = String::from_utf8(bytes).unwrap();
    for other in [
        text.replacen("\"protocol\": 2", "\"protocol\": 3", 1),
        text.replacen("{", "{\"more\": 1,", 1),
    ] {
        assert!(SignedEpoch::parse(other.as_bytes()).is_err());
    }
}

/// Another signature of a site under an epoch than the one that it has made: who is corrupt draws its
/// nonces as it likes.
fn second_signature(identity: &Identity, epoch: &SignedEpoch) -> SiteSignature {
    let file = identity.to_file();
    let seed: Digest = file.lines().nth(1).unwrap().parse().unwrap();
    let mut expanded = ExpandedSecretKey::from(&seed.0);
    expanded.hash_prefix[0] ^= 1;
    let site = identity.site().clone();
    let statement = EpochSignature { epoch: epoch.epoch.id(), site: site.clone() };
    let key = identity.public().signature_key;
    let key = VerifyingKey::from_bytes(key.as_bytes()).unwrap();
    let signature = raw_sign::<Sha512>(&expanded, &statement.signed_bytes(), &key);
    SiteSignature { site, signature }
}

/// A site that shows one signature to some and another to the others does not keep these from sending
/// what they have.
#[test]
fn of_two_signatures_by_one_key_the_first_stands() {
    let parties = parties(5);
    let before = parties.lineage.latest().study.clone();
    let mut sent = parties.revoke(1);
    let second = second_signature(&parties.sites[0], &sent);
    let mut again = sent.clone();
    parties.sign(&mut sent, [0, 2]);
    again.add(second.clone());
    parties.sign(&mut again, [3]);
    assert_eq!(parties.missing(&again).more, 2, "it holds");
    let mut added = sent.clone();
    added.add(second.clone());
    assert!(
        matches!(parties.lineage.check(&added), Err(EpochError::Signer(site)) if site == id(0))
    );
    sent.merge(again.signatures, &before);
    assert_eq!((sent.signatures.len(), parties.missing(&sent).more), (3, 1));
    assert!(!sent.signatures.contains(&second));
    // One that holds under no key is nobody's to leave out: the check of all names it.
    let strange = SiteSignature { site: id(4), ..second };
    sent.merge([strange], &before);
    parties.lineage.check(&sent).unwrap_err();
}

/// Seven sites, `c = 1`: the groups are sites 0 to 3 and sites 4 to 6.
#[test]
fn where_sets_are_held_apart_groups_come_and_go_whole() {
    let mut parties = parties(7);
    let mut study = (*parties.lineage.first().study).clone();
    study.privacy = PrivacyPolicy::SetsApart;
    parties.lineage = Lineage::of(Arc::new(study));
    let newcomer = |k: u64| Change::Enrol { entry: identity(&format!("new-{k}"), 80 + k).public() };
    let revoke =
        |sites: &'static [usize]| sites.iter().map(|site| Change::Revoke { site: id(*site) });
    let tried = |changes: Vec<Change>| change(&parties.lineage, changes, &[], LAST, &mut rng(5));
    let rotate =
        Change::Rotate { entry: RosterEntry { id: id(5), ..identity("other", 90).public() } };
    for (changes, groups) in [
        (vec![rotate], vec![4, 3]),
        (revoke(&[4, 5, 6]).collect(), vec![4]),
        ((0..3).map(newcomer).collect(), vec![4, 3, 3]),
        (revoke(&[4, 5, 6]).chain((0..3).map(newcomer)).collect(), vec![4, 3]),
    ] {
        let after = tried(changes).unwrap().after;
        assert_eq!(after.groups().iter().map(|group| group.len()).collect::<Vec<_>>(), groups);
    }
    for changes in [
        revoke(&[5]).collect(),
        revoke(&[0]).collect(),
        vec![newcomer(0)],
        (0..4).map(newcomer).collect(),
        // A site in another one's place.
        revoke(&[6]).chain([newcomer(0)]).collect(),
    ] {
        let refused = tried(changes).unwrap_err();
        assert!(matches!(refused, ChangeError::Epoch(EpochError::Groups { .. })), "{refused}");
        assert!(refused.to_string().contains("changes its roster by whole groups"), "{refused}");
    }
}
