//! A study whose roster changes between rounds: who signs it, under which study each round is, and what
//! a site does that is shown another.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ringfence_clock::Clock;
use ringfence_crypto::id::{ModelId, RoundNumber, SiteId};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Change, Lineage, ManifestError, RosterEntry, SignedEpoch};
use ringfence_crypto::wire::json;
use ringfence_keys::encrypt::check::CheckKey;
use ringfence_keys::identity::Identity;
use ringfence_keys::snapshot::{Snapshot, SnapshotBinding};
use ringfence_keys::study::change::change;
use ringfence_site::transport::Transport;
use ringfence_site::{Membership, NoPart, RoundEnd, Site, SiteError, model, sign_enrolment};
use ringfence_weights::Weights;

use crate::liar;
use crate::trio::{Trio, VALUES, update};

const FIRST: RoundNumber = RoundNumber(0);

/// A study, the sites that are running, and the model that they have.
pub(crate) struct Life {
    pub(crate) trio: Trio,
    pub(crate) sites: Vec<Site>,
    model: Weights,
}

fn weights(values: Vec<f32>) -> Weights {
    Weights::from_values(&[("w".into(), vec![VALUES])], values).unwrap()
}

/// Which update a site makes: by its name, so that it is the same under every roster.
fn of(site: &Site) -> Vec<f32> {
    update(site.id().as_str().bytes().map(usize::from).sum::<usize>() % 23)
}

impl Life {
    pub(crate) async fn start(sites: u8) -> Self {
        // A round ends when all have done their part, however slow the machine is.
        let trio = Trio::start_of(sites, |draft| draft.review_seconds = 120).await;
        let patient = |k| trio.site_with(k, |m| m.patience = Duration::from_secs(120));
        let sites: Vec<Site> = (0..usize::from(sites)).map(patient).collect();
        for site in &sites {
            site.publish_round_keys().await.unwrap();
        }
        Self { trio, sites, model: weights(vec![0.5; VALUES]) }
    }

    fn base(&self) -> ModelId {
        model::id(&self.model)
    }

    pub(crate) fn site(&self, name: &str) -> &Site {
        self.sites.iter().find(|site| site.id().as_str() == name).unwrap()
    }

    /// A round of all sites, from its opening to the model after it, which every site has alike; the mean
    /// is that of their updates.
    pub(crate) async fn round(&mut self, round: u32) {
        self.open(round).await;
        self.close(round).await;
    }

    /// Whoever's turn it is opens a round.
    async fn open(&self, round: u32) {
        let (round, base) = (RoundNumber(round), self.base());
        let under = |site| Site::for_round(site, round);
        for site in &self.sites {
            under(site).publish_round_keys().await.unwrap();
        }
        let mut opened = false;
        for site in &self.sites {
            if under(site).turn(round).await.is_ok_and(|turn| turn.has_come()) {
                under(site).initiate(round, base, 600).await.unwrap();
                opened = true;
                break;
            }
        }
        assert!(opened, "nobody's turn");
    }

    /// All contribute to a round that is open; its end.
    async fn close(&mut self, round: u32) {
        let (round, base) = (RoundNumber(round), self.base());
        let under = |site| Site::for_round(site, round);
        for site in &self.sites {
            let joined = under(site).join(round).await.unwrap();
            joined.contribute(base, &of(site), |_| ()).await.unwrap();
        }
        let model = &self.model;
        let parts = self.sites.iter().map(|site| async move {
            let site = under(site);
            if site.holds(round) {
                site.hold(round).await.unwrap();
            }
            let end = site.join(round).await.unwrap().finish().await.unwrap();
            let RoundEnd::Done(done) = end else { panic!("{round} was aborted") };
            let mean = done.mean();
            let next = model.plus_of(&mean);
            done.acknowledge(model::id(&next)).await.unwrap();
            (mean, next)
        });
        let ends = join_all(parts).await;
        let count = self.sites.len() as f32;
        let mut expected = vec![0.0f32; VALUES];
        for site in &self.sites {
            expected.iter_mut().zip(of(site)).for_each(|(sum, value)| *sum += value / count);
        }
        for (mean, next) in &ends {
            let wrong = mean.iter().zip(&expected).find(|(got, e)| (*got - *e).abs() > 1e-3);
            assert_eq!(wrong, None, "round {round}");
            assert_eq!(next, &ends[0].1);
        }
        self.model = ends[0].1.clone();
    }

    /// These changes as an epoch, signed by nobody.
    pub(crate) fn epoch(&self, changes: Vec<Change>, last: u32) -> SignedEpoch {
        let mut rng = ringfence_keys::system_rng().unwrap();
        change(self.sites[0].lineage(), changes, &[], RoundNumber(last), &mut rng).unwrap()
    }

    /// Each of these sites signs an epoch and sends it; whether it is made then.
    pub(crate) async fn sign(&self, epoch: &SignedEpoch, names: &[&str]) -> bool {
        let mut made = false;
        for name in names {
            let site = self.site(name);
            let signed = site.sign_epoch(epoch.clone(), None).unwrap();
            let sent = site.transport().post_epoch(site.first_study(), &signed).await;
            made = sent.unwrap().made;
        }
        made
    }

    /// All go on under the newest roster.
    async fn renew(&mut self) {
        let mut renewed = Vec::new();
        for site in std::mem::take(&mut self.sites) {
            renewed.push(site.renewed().await.unwrap().unwrap_or(site));
        }
        self.sites = renewed;
    }

    pub(crate) fn gone(&mut self, name: &str) -> Site {
        let place = self.sites.iter().position(|site| site.id().as_str() == name).unwrap();
        self.sites.remove(place)
    }
}

/// The step that all sites make.
trait Plus {
    fn plus_of(&self, mean: &[f32]) -> Self;
}

impl Plus for Weights {
    fn plus_of(&self, mean: &[f32]) -> Self {
        self.clone().plus(&weights(mean.to_vec())).unwrap()
    }
}

pub(crate) fn revoke(name: &str) -> Change {
    Change::Revoke { site: name.parse().unwrap() }
}

fn no_part(error: &SiteError) -> &NoPart {
    match error {
        SiteError::NoPart(no_part) => no_part,
        other => panic!("{other}"),
    }
}

/// One is put out, and one comes, with a snapshot; rounds before and after have the right means.
#[tokio::test(flavor = "multi_thread")]
async fn one_is_revoked_and_one_comes_and_rounds_go_on() {
    let mut life = Life::start(4).await;
    life.round(0).await;

    // Three of four suffice to put one out; whether it likes it or not.
    let out = life.epoch(vec![revoke("b")], 1);
    assert!(!life.sign(&out, &["a", "d"]).await);
    assert!(life.sign(&out, &["c"]).await);
    // The round up to which it takes part goes on under the roster before, with it.
    life.renew().await;
    life.round(1).await;
    let revoked = life.gone("b");
    let error = revoked.takes_part(RoundNumber(2)).unwrap_err();
    let NoPart::Revoked { epoch: 1, last: RoundNumber(1), .. } = no_part(&error) else {
        panic!("{error}")
    };
    assert!(error.to_string().contains("was revoked from the study by epoch 1"), "{error}");
    revoked.join(RoundNumber(2)).await.unwrap_err();
    life.round(2).await;
    assert_eq!(life.sites[0].study().roster.len(), 3);

    // One comes: all that stay must sign, and itself.
    let mut rng = ringfence_keys::system_rng().unwrap();
    let newcomer = Identity::generate("new".parse().unwrap(), &mut rng).unwrap();
    let comes = life.epoch(vec![Change::Enrol { entry: newcomer.public() }], 2);
    assert!(!life.sign(&comes, &["a", "c", "d"]).await);
    let own = Identity::from_file(&newcomer.to_file()).unwrap();
    let own = life.trio.transport().of_site(Arc::new(own));
    let study = life.sites[0].first_study();
    let proposed = own.proposed_epochs(study).await.unwrap().remove(0);
    let lineage = life.sites[0].lineage().clone();
    let signed = sign_enrolment(&lineage, proposed, &newcomer).unwrap();
    assert!(own.post_epoch(study, &signed).await.unwrap().made);
    life.renew().await;

    let membership = Membership {
        identity: newcomer,
        patience: Duration::from_secs(120),
        ..life.trio.membership(0, &life.trio.folder.path().join("state-new"))
    };
    let late = Site::enter(membership).await.unwrap();
    let error = late.for_round(RoundNumber(2)).takes_part(RoundNumber(2)).unwrap_err();
    assert!(matches!(no_part(&error), NoPart::NotYet { from: RoundNumber(3), .. }), "{error}");
    // It begins with the model that a site seals to it, and with no other.
    let error = late.fetch_snapshot(RoundNumber(2), |_| Ok(())).await.unwrap_err();
    assert!(error.to_string().contains("there is none"), "{error}");
    let to: SiteId = "new".parse().unwrap();
    assert_eq!(life.sites[1].newcomers(), std::slice::from_ref(&to));
    let other = weights(vec![0.25; VALUES]);
    life.site("c").send_snapshot(&to, (RoundNumber(2), &life.model, vec![0.5])).await.unwrap();
    let (late, start) = late.fetch_snapshot(RoundNumber(2), |_| Ok(())).await.unwrap();
    assert_eq!((start.round, &start.model), (RoundNumber(3), &life.model));
    assert_eq!(start.memory, [0.5]);
    assert_ne!(start.model, other);
    life.sites.push(late);
    life.round(3).await;
    life.round(4).await;
    assert_eq!(life.sites[0].study().roster.len(), 4);

    // The same after all have been started again, from what is on their disks.
    drop(std::mem::take(&mut life.sites));
    let again = life.trio.site(2);
    assert_eq!(again.lineage().epochs(), 2);
    assert_eq!(
        (again.first_round(), again.for_round(FIRST).first_round()),
        (RoundNumber(3), FIRST)
    );
}

/// A site that seals another model than the common one, or another check key, is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_another_model_is_not_begun_with() {
    let mut life = Life::start(3).await;
    life.round(0).await;
    let mut rng = ringfence_keys::system_rng().unwrap();
    let newcomer = Identity::generate("new".parse().unwrap(), &mut rng).unwrap();
    let entry = newcomer.public();
    let comes = life.epoch(vec![Change::Enrol { entry: entry.clone() }], 0);
    assert!(!life.sign(&comes, &["a", "b", "c"]).await);
    let own = Identity::from_file(&newcomer.to_file()).unwrap();
    let own = life.trio.transport().of_site(Arc::new(own));
    let (study, lineage) = (life.sites[0].first_study(), life.sites[0].lineage().clone());
    let proposed = own.proposed_epochs(study).await.unwrap().remove(0);
    let signed = sign_enrolment(&lineage, proposed, &newcomer).unwrap();
    assert!(own.post_epoch(study, &signed).await.unwrap().made);
    life.renew().await;
    let membership = Membership {
        identity: newcomer,
        patience: Duration::from_secs(120),
        ..life.trio.membership(0, &life.trio.folder.path().join("state-new"))
    };
    let late = Site::enter(membership).await.unwrap();

    let liar = life.trio.identity(1);
    let binding =
        SnapshotBinding { study, round: FIRST, from: liar.site().clone(), to: entry.id.clone() };
    let seal = |key: CheckKey, model: Vec<f32>| {
        let check_keys = vec![(0, key)];
        let snapshot = Snapshot { check_keys, model, memory: Vec::new() };
        snapshot.seal(&entry.kem_key, &binding, &mut ringfence_keys::system_rng().unwrap()).unwrap()
    };
    let right = || liar.check_key(&life.trio.study.study).unwrap();
    let wrong = CheckKey::from_bytes(&[1; 32]).unwrap();
    let model: Vec<f32> = life.model.values().collect();
    let at = life.trio.transport_of(1);
    for (sealed, said) in [
        (seal(wrong, model), "takes part from round 1 on"),
        (seal(right(), vec![0.25; VALUES]), "0 sites acknowledged this site's model"),
        (seal(right(), vec![0.5; 3]), "does not have the study's layout"),
        (vec![7; 3000], "did not open"),
    ] {
        at.round(study, FIRST).put_snapshot(&entry.id, liar.site(), &sealed).await.unwrap();
        let error = late.fetch_snapshot(FIRST, |_| Ok(())).await.unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
    // An honest one's beside it suffices.
    life.site("c").send_snapshot(&entry.id, (FIRST, &life.model, Vec::new())).await.unwrap();
    let (_, start) = late.fetch_snapshot(FIRST, |_| Ok(())).await.unwrap();
    assert_eq!(start.model, life.model);
    // An honest site seals no other model.
    let other = weights(vec![0.25; VALUES]);
    let site = life.gone("a");
    drop(site);
    let hasty = life.trio.site_with(0, |m| m.patience = Duration::from_secs(1));
    let refused = hasty.send_snapshot(&entry.id, (FIRST, &other, Vec::new())).await.unwrap_err();
    assert!(matches!(refused, SiteError::NotAgreed { .. }), "{refused}");
}

/// New keys, and a site that leaves.
#[tokio::test(flavor = "multi_thread")]
async fn one_has_new_keys_and_one_leaves() {
    let mut life = Life::start(5).await;
    life.round(0).await;
    let mut rng = ringfence_keys::system_rng().unwrap();
    let renewed = Identity::generate("c".parse().unwrap(), &mut rng).unwrap();
    let changes = vec![
        Change::Leave { site: "e".parse().unwrap() },
        Change::Rotate { entry: renewed.public() },
    ];
    let epoch = life.epoch(changes, 0);
    assert!(!life.sign(&epoch, &["a", "e", "d"]).await);
    let site = life.site("c");
    let signed = site.sign_epoch(epoch, Some(&renewed)).unwrap();
    let sent = site.transport().post_epoch(site.first_study(), &signed).await.unwrap();
    assert!(sent.made, "{sent:?}");
    life.renew().await;
    let left = life.gone("e");
    let error = left.takes_part(RoundNumber(1)).unwrap_err();
    assert!(matches!(no_part(&error), NoPart::Left { epoch: 1, .. }), "{error}");
    // With the keys that it had, a site has no part any more; with the new ones it goes on, on its state.
    let error = life.gone("c").takes_part(RoundNumber(1)).unwrap_err();
    assert!(matches!(no_part(&error), NoPart::OtherKeys { .. }), "{error}");
    let renewed = life.trio.site_with(2, |membership| {
        membership.identity = renewed;
        membership.patience = Duration::from_secs(120);
    });
    life.sites.push(renewed);
    life.round(1).await;
    life.round(2).await;
}

/// A site that has signed an epoch takes part in no round after its last one before it is made, and signs
/// no other with its number.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_signs_one_epoch_a_number_and_keeps_to_it() {
    let mut life = Life::start(4).await;
    life.round(0).await;
    let (out, other) = (life.epoch(vec![revoke("b")], 0), life.epoch(vec![revoke("d")], 0));
    let site = life.site("a");
    let signed = site.sign_epoch(out.clone(), None).unwrap();
    assert_eq!(site.sign_epoch(out.clone(), None).unwrap(), signed, "the same again");
    let refused = site.sign_epoch(other, None).unwrap_err();
    assert!(matches!(refused, SiteError::EpochSigned { epoch: 1, .. }), "{refused}");
    let refused = site.initiate(RoundNumber(1), life.base(), 600).await.unwrap_err();
    assert!(matches!(refused, SiteError::EpochPending { epoch: 1, .. }), "{refused}");
    // One that ends before a round which the site has accepted, it does not sign.
    life.site("c").publish_round_keys().await.unwrap();
    life.site("b").initiate(RoundNumber(1), life.base(), 600).await.unwrap();
    life.site("c").join(RoundNumber(1)).await.unwrap();
    let refused = life.site("c").sign_epoch(out, None).unwrap_err();
    assert!(matches!(refused, SiteError::EpochTooLate { .. }), "{refused}");
    // The one that has signed takes no part in it either.
    let refused = life.site("a").join(RoundNumber(1)).await.unwrap_err();
    assert!(matches!(refused, SiteError::EpochPending { .. }), "{refused}");
}

/// Others went on before they had signed: the epoch cannot be made any more, and who has signed it goes on
/// with them, and may sign another.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_gives_up_an_epoch_once_so_many_have_gone_on_that_it_cannot_be_made() {
    let mut life = Life::start(4).await;
    life.round(0).await;
    let out = life.epoch(vec![revoke("b")], 0);
    assert!(!life.sign(&out, &["a"]).await);
    let (a, base, round) = (life.gone("a"), life.base(), RoundNumber(1));
    assert_eq!(a.give_up_epoch().await.unwrap(), None);
    life.open(1).await;
    for (name, given_up) in [("b", None), ("c", None), ("d", Some(1))] {
        let error = a.takes_part(round).unwrap_err();
        assert!(matches!(error, SiteError::EpochPending { epoch: 1, .. }), "{error}");
        let site = life.site(name);
        let joined = site.join(round).await.unwrap();
        joined.contribute(base, &of(site), |_| ()).await.unwrap();
        // Three of four must sign; one of those that have gone on may be corrupt and sign both.
        assert_eq!(a.give_up_epoch().await.unwrap(), given_up, "{name}");
    }
    assert_eq!(a.give_up_epoch().await.unwrap(), None, "once");
    // The aggregator makes it no more either, and nobody else is to be bound by it.
    let missed = life.site("c").check_not_missed(&out).await.unwrap_err();
    assert!(matches!(missed, SiteError::EpochMissed { opened: 2, .. }), "{missed}");
    life.sites.insert(0, a);
    life.close(1).await;
    // What it has given up binds it to nothing, after it was started again, too.
    drop(life.gone("a"));
    life.sites.insert(0, life.trio.site_with(0, |m| m.patience = Duration::from_secs(120)));
    life.round(2).await;
    let other = life.epoch(vec![revoke("d")], 2);
    assert!(!life.sign(&other, &["a", "c"]).await);
    assert!(life.sign(&other, &["b"]).await);
    life.renew().await;
    drop(life.gone("d"));
    life.round(3).await;
}

/// Whoever proposes an epoch seals its check key and writes its keys: a site signs none by which it could
/// not take part, or by which another could read what is sealed to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_signs_no_epoch_that_gives_it_keys_or_a_check_key_of_somebody_else() {
    let mut life = Life::start(4).await;
    let mut rng = ringfence_keys::system_rng().unwrap();
    let new = |rng: &mut _| Identity::generate("c".parse().unwrap(), rng).unwrap();
    let (one, other) = (new(&mut rng), new(&mut rng));
    let with_kem_key = |entry: RosterEntry| {
        let kem_key = other.public().kem_key;
        life.epoch(vec![Change::Rotate { entry: RosterEntry { kem_key, ..entry } }], 0)
    };
    let theft = with_kem_key(life.trio.identity(2).public());
    let half = with_kem_key(one.public());
    let right = life.epoch(vec![Change::Rotate { entry: one.public() }], 0);
    for (epoch, renewed) in [(&theft, None), (&half, Some(&one)), (&right, Some(&other))] {
        let refused = life.site("c").sign_epoch(epoch.clone(), renewed).unwrap_err();
        assert!(matches!(refused, SiteError::OtherNewKeys { epoch: 1, .. }), "{refused}");
    }

    let mut lie = life.epoch(vec![revoke("b")], 0);
    let place = lie.after.position(&"d".parse().unwrap()).unwrap();
    *lie.after.check_key.sealed[place].0.last_mut().unwrap() ^= 1;
    lie.epoch.after = lie.after.id();
    let refused = life.site("d").sign_epoch(lie.clone(), None).unwrap_err().to_string();
    assert!(refused.contains("check key"), "{refused}");
    // The others cannot see it. It takes part in what comes before, and is told what helps.
    assert!(!life.sign(&lie, &["a", "c"]).await);
    assert!(life.sign(&lie, &["b"]).await);
    life.renew().await;
    life.round(0).await;
    let error = life.gone("d").takes_part(RoundNumber(1)).unwrap_err();
    assert!(matches!(no_part(&error), NoPart::CheckKey { epoch: 1, .. }), "{error}");
}

/// Who has lost its keys is revoked, and comes again by the same name.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_comes_again_by_its_name_with_other_keys() {
    let mut life = Life::start(4).await;
    life.round(0).await;
    let out = life.epoch(vec![revoke("d")], 0);
    assert!(!life.sign(&out, &["a", "b"]).await);
    assert!(life.sign(&out, &["c"]).await);
    life.renew().await;
    let lost = life.gone("d");
    let mut rng = ringfence_keys::system_rng().unwrap();
    let again = Identity::generate("d".parse().unwrap(), &mut rng).unwrap();
    let comes = life.epoch(vec![Change::Enrol { entry: again.public() }], 0);
    assert!(!life.sign(&comes, &["a", "b", "c"]).await);
    let lineage = life.sites[0].lineage().clone();
    let own = Arc::new(Identity::from_file(&again.to_file()).unwrap());
    let (own, study) = (life.trio.transport().of_site(own), life.sites[0].first_study());
    let proposed = own.proposed_epochs(study).await.unwrap().remove(0);
    let signed = sign_enrolment(&lineage, proposed, &again).unwrap();
    assert!(own.post_epoch(study, &signed).await.unwrap().made);
    life.renew().await;
    // The keys that are lost are those of a site that was put out.
    let lost = lost.renewed().await.unwrap().unwrap();
    let error = lost.takes_part(RoundNumber(1)).unwrap_err();
    assert!(matches!(no_part(&error), NoPart::Revoked { epoch: 1, .. }), "{error}");
    let membership = Membership {
        identity: again,
        patience: Duration::from_secs(120),
        ..life.trio.membership(0, &life.trio.folder.path().join("state-again"))
    };
    let late = Site::enter(membership).await.unwrap();
    let error = late.for_round(FIRST).takes_part(FIRST).unwrap_err();
    assert!(matches!(no_part(&error), NoPart::NotYet { from: RoundNumber(1), .. }), "{error}");
    assert!(late.lacks_check_keys());
    let sealing: Vec<&Site> =
        life.sites.iter().filter(|site| !site.seals_to(RoundNumber(1)).is_empty()).collect();
    assert_eq!(sealing.len(), 2, "c + 1");
    let to: SiteId = "d".parse().unwrap();
    // A memory that no mean step has is another site's lie: the next one is looked at.
    for (site, memory) in sealing.into_iter().zip([vec![1.0], Vec::new()]) {
        site.send_snapshot(&to, (FIRST, &life.model, memory)).await.unwrap();
    }
    let fits = |start: &ringfence_site::Start| match start.memory.is_empty() {
        true => Ok(()),
        false => Err("another memory".to_owned()),
    };
    let (late, start) = late.fetch_snapshot(FIRST, fits).await.unwrap();
    assert_eq!((start.memory.len(), &start.model), (0, &life.model));
    assert!(!late.lacks_check_keys());
    life.sites.push(late);
    life.round(1).await;
}

/// Once more than c have signed, no round is opened that they would not take part in.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_after_the_last_one_waits_for_an_epoch_that_is_being_signed() {
    let mut life = Life::start(4).await;
    life.round(0).await;
    let out = life.epoch(vec![revoke("b")], 0);
    assert!(!life.sign(&out, &["a", "c"]).await);
    let base = life.base();
    let b = life.trio.identity(1);
    let opening = async {
        let site = life.trio.site_with(1, |m| {
            m.state = life.trio.folder.path().join("state-other-b");
            m.identity = b;
            m.patience = Duration::from_secs(1);
        });
        site.initiate(RoundNumber(1), base, 600).await.unwrap_err().to_string()
    };
    let error = opening.await;
    assert!(error.contains("is opened once the others have signed, too"), "{error}");
    assert!(life.sign(&out, &["d"]).await);
    life.renew().await;
    life.gone("b");
    life.round(1).await;
}

/// An aggregator that hides an epoch, shows an old one, or one that it has altered: no site goes on with
/// what it is shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_shown_no_epoch_or_another_contributes_to_nothing() {
    let mut life = Life::start(4).await;
    life.round(0).await;
    let deceived = life.gone("d");
    drop(deceived);
    let out = life.epoch(vec![revoke("b")], 0);
    assert!(!life.sign(&out, &["a", "c"]).await);
    life.sites.push(life.trio.site(3));
    assert!(life.sign(&out, &["d"]).await);
    life.renew().await;
    life.gone("b");
    drop(life.gone("d"));
    // Its state knows nothing of the epoch, as one that did not sign it.
    let forgotten = life.trio.folder.path().join("state-forgotten");
    let (base, round) = (life.base(), RoundNumber(1));
    for site in &life.sites {
        site.publish_round_keys().await.unwrap();
    }
    let lied = |name: &str, lie: Lie| {
        let altered = out.clone();
        let url = liar::start(life.trio.aggregator.url(), move |asked, answer| {
            if asked.is_study_status() && answer.status == 200 && matches!(lie, Lie::Hide) {
                answer.alter(|status: &mut ringfence_crypto::api::StudyStatus| status.epochs = 0);
            }
            if asked.path.ends_with("/epochs/1") {
                let mut shown = altered.clone();
                match lie {
                    Lie::Hide => (),
                    // With the signatures of two.
                    Lie::Unsigned => {
                        let all: SignedEpoch = SignedEpoch::parse(&answer.bytes).unwrap();
                        shown.signatures = all.signatures[..2].to_vec();
                    }
                    // For another last round than was signed.
                    Lie::Altered => {
                        shown = SignedEpoch::parse(&answer.bytes).unwrap();
                        shown.epoch.last_round = RoundNumber(7);
                    }
                }
                if !matches!(lie, Lie::Hide) {
                    answer.bytes = json::compact(&shown);
                }
            }
        });
        life.trio.site_with(3, |membership| {
            membership.state = forgotten.join(name);
            membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
            membership.patience = Duration::from_secs(1);
        })
    };
    for (name, lie, said) in [
        ("unsigned", Lie::Unsigned, "1 more of the roster before must sign"),
        ("altered", Lie::Altered, "does not verify"),
    ] {
        let site = lied(name, lie);
        let refused = site.next_round().await.unwrap_err();
        assert!(matches!(refused, SiteError::NewEpoch(1)), "{refused}");
        let refused = site.renewed().await.unwrap_err();
        assert!(refused.to_string().contains(said), "{refused}");
        assert_eq!(site.lineage().epochs(), 0);
    }
    // The round is open, under the study after the epoch; one that is shown no epoch refuses it.
    for site in &life.sites {
        if site.turn(round).await.is_ok_and(|turn| turn.has_come()) {
            site.initiate(round, base, 600).await.unwrap();
            break;
        }
    }
    let site = lied("hidden", Lie::Hide);
    let refused = site.join(round).await.unwrap_err();
    let of_another = matches!(&refused, SiteError::Manifest(ManifestError::Study { .. }));
    assert!(of_another, "{refused}");
}

/// How an aggregator lies about an epoch.
#[derive(Clone, Copy)]
enum Lie {
    Hide,
    Unsigned,
    Altered,
}

/// Two epochs of one number are never both made: whoever has one refuses the other.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_epochs_with_one_number_one_is_made() {
    let mut life = Life::start(5).await;
    life.round(0).await;
    let (one, two) = (life.epoch(vec![revoke("b")], 0), life.epoch(vec![revoke("d")], 0));
    assert!(!life.sign(&one, &["a", "c"]).await);
    assert!(!life.sign(&two, &["b", "e"]).await);
    assert!(life.site("e").sign_epoch(one.clone(), None).is_err());
    assert!(!life.sign(&one, &["d"]).await);
    // Four of five are needed: two epochs share an honest signer, which has signed one.
    let lineage: &Lineage = life.sites[0].lineage();
    for epoch in [one, two] {
        assert!(!lineage.check(&epoch).unwrap().is_complete());
    }
    life.renew().await;
    assert_eq!(life.sites[0].lineage().epochs(), 0);
}
