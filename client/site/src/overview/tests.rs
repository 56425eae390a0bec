//! Steps by time and state, and turns; with a real aggregator: `client/tests/commands/status.rs`.

use ringfence_crypto::Digest;
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{ModelId, RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::round::{RoundState, RoundStatus, SiteSet, Wanted};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Freeze, Manifest, PrivacyPolicy, Study, Training, Weighting};
use ringfence_crypto::threshold::Threshold;
use ringfence_keys::identity::Identity;
use ringfence_keys::study::draft::StudyDraft;

use super::steps::Known;
use super::{OpenTurn, RoundOverview, Step, planned_rounds};

/// Four sites `a` to `d`, the first three of which hold keys in round 0.
fn study() -> Study {
    let mut rng = ringfence_keys::system_rng().unwrap();
    let mut identity = |name: &str| Identity::generate(name.parse().unwrap(), &mut rng).unwrap();
    let roster = ["a", "b", "c", "d"].map(|name| identity(name).public());
    let aggregator_key = identity("e").public().signature_key;
    let tensor = TensorLayout { name: "w".into(), shape: vec![10], clip: 0.5 };
    let draft = StudyDraft {
        name: "t".into(),
        created_at: UnixSeconds(1000),
        roster: roster.to_vec(),
        aggregator_key,
        threshold: Some(Threshold::choose(4, Some(3), Some(1), Some(1)).unwrap()),
        min_sites: None,
        value_bits: 16,
        layout: Layout { tensors: vec![tensor] },
        initial_model: ModelId(Digest::of(b"model")),
        weighting: Weighting::Equal,
        privacy: PrivacyPolicy::None,
        training: Training::None,
        min_round_seconds: 10,
        longest_round_seconds: 1000,
        review_seconds: 60,
        initiator_timeout_seconds: 100,
    };
    draft.into_study(&mut rng).unwrap()
}

fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

/// Round 0, opened at 1000 until 1100, with contributions of `a` and `b`.
fn known(study: &Study, state: RoundState) -> Known {
    let holders = study.window(RoundNumber(0));
    let manifest = Manifest {
        study: study.id(),
        round: RoundNumber(0),
        initiator: site("a"),
        opened_at: UnixSeconds(1000),
        deadline: UnixSeconds(1100),
        holder_keys: vec![None; holders.len()],
        holders: holders.clone(),
        base_model: Digest::of(b"base"),
        previous: None,
        trust: Trust::default().digest(),
    };
    let freeze = Freeze {
        study: study.id(),
        round: RoundNumber(0),
        manifest: manifest.id(),
        frozen_at: UnixSeconds(1100),
        contributions: Vec::new(),
    };
    let status = RoundStatus {
        study: study.id(),
        round: RoundNumber(0),
        version: 1,
        state,
        deadline: UnixSeconds(1100),
        initiator: site("a"),
        holders,
        received: set(study, &["a", "b"]),
        wanted: Vec::new(),
        reviewed: set(study, &["a"]),
        endorsed: set(study, &[]),
        endorsements_needed: study.threshold.endorsements,
        opened: set(study, &[]),
        openings_needed: study.threshold.opening,
        disputes: Vec::new(),
        acknowledged: set(study, &[]),
    };
    let freeze = (state != RoundState::Collecting).then_some(freeze);
    Known { status, manifest, freeze, certificate: None, trust: Trust::default() }
}

fn set(study: &Study, sites: &[&str]) -> SiteSet {
    let sites: Vec<SiteId> = sites.iter().map(|id| site(id)).collect();
    SiteSet::of(&study.roster, &sites)
}

fn steps(round: &RoundOverview, step: impl Fn(&super::SiteRound) -> Step) -> Vec<Step> {
    round.sites.iter().map(step).collect()
}

#[test]
fn what_has_not_come_is_late_once_its_time_is_over() {
    use Step::{Done, Late, NotDue, Pending};
    let study = study();
    let at = |state, now| RoundOverview::of(&study, &known(&study, state), UnixSeconds(now));
    let contributed = |round: &RoundOverview| steps(round, |site| site.contributed);
    let reviewed = |round: &RoundOverview| steps(round, |site| site.reviewed);

    let collecting = at(RoundState::Collecting, 1100);
    assert_eq!(contributed(&collecting), [Done, Done, Pending, Pending]);
    // `d` holds no keys in round 0.
    assert_eq!(reviewed(&collecting), [Done, Pending, Pending, NotDue]);
    assert_eq!(collecting.reviews_until, None);
    let names = |round: &RoundOverview| {
        let (what, sites) = round.awaited().unwrap();
        (what, sites.iter().map(|site| site.site.to_string()).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(names(&collecting), ("contributions", "c d".to_owned()));
    // The aggregator has not frozen the round yet, and takes nothing more.
    let due = at(RoundState::Collecting, 1101);
    assert_eq!(contributed(&due), [Done, Done, Late, Late]);
    assert!(due.awaited().is_none(), "{due:?}");

    let reviewing = at(RoundState::Reviewing, 1160);
    assert_eq!(contributed(&reviewing), [Done, Done, Late, Late]);
    assert_eq!(reviewed(&reviewing), [Done, Pending, Pending, NotDue]);
    assert_eq!(reviewing.reviews_until, Some(UnixSeconds(1160)));
    assert_eq!(names(&reviewing), ("reviews", "b c".to_owned()));
    let due = at(RoundState::Reviewing, 1161);
    assert_eq!(reviewed(&due), [Done, Late, Late, NotDue]);
    assert_eq!(names(&due), ("reviews", "b c".to_owned()));
    // Whatever the clock of whoever looks: it is closed.
    let closed = at(RoundState::Closed, 1000);
    assert_eq!(reviewed(&closed), [Done, Late, Late, NotDue]);
    assert_eq!(steps(&closed, |site| site.endorsed), [Pending, Pending, Pending, NotDue]);

    // Nothing is opened or acknowledged in an aborted round.
    let aborted = at(RoundState::Aborted, 2000);
    assert_eq!(steps(&aborted, |site| site.opened), [NotDue; 4]);
    assert_eq!(steps(&aborted, |site| site.acknowledged), [NotDue; 4]);
    assert!(aborted.is_over(3) && aborted.is_complete() && aborted.awaited().is_none());
}

#[test]
fn barred_sites_owe_nothing_and_bytes_may_be_wanted() {
    let study = study();
    let mut known = known(&study, RoundState::Collecting);
    known.trust.bar(&[site("c")].into());
    known.status.wanted = vec![Wanted { site: site("b"), until: None }];
    let round = RoundOverview::of(&study, &known, UnixSeconds(5000));
    let of = |place: usize| round.sites.get(place).unwrap();
    assert!(of(2).barred && of(2).contributed == Step::NotDue && of(2).holds_keys);
    assert!(of(1).wanted && of(1).contributed == Step::Done && !of(0).wanted);
    assert_eq!(of(3).contributed, Step::Late);
}

#[test]
fn a_round_is_over_with_q_acknowledgements_and_complete_with_all() {
    let study = study();
    let mut known = known(&study, RoundState::Opened);
    let needed = study.threshold.endorsements;
    assert_eq!(needed, 3);
    let over = |known: &Known| {
        let round = RoundOverview::of(&study, known, UnixSeconds(2000));
        (round.is_over(needed), round.is_complete())
    };
    known.status.acknowledged = set(&study, &["a", "b"]);
    assert_eq!(over(&known), (false, false));
    known.status.acknowledged = set(&study, &["a", "b", "d"]);
    assert_eq!(over(&known), (true, false));
    known.status.acknowledged = set(&study, &["a", "b", "c", "d"]);
    assert_eq!(over(&known), (true, true));
}

#[test]
fn the_first_turn_passes_on_with_each_time_out_and_stays_with_the_last() {
    let study = study();
    let at = |now| OpenTurn::of(&study, None, UnixSeconds(now)).unwrap();
    let turn = at(1099);
    assert_eq!((turn.round, turn.initiator.as_str()), (RoundNumber(0), "a"));
    assert_eq!((turn.late.len(), turn.now.as_str()), (0, "a"));
    assert_eq!((turn.since, turn.passes_at), (UnixSeconds(1000), UnixSeconds(1100)));
    let turn = at(1250);
    assert_eq!((turn.late, turn.now.as_str()), (vec![site("a"), site("b")], "c"));
    assert_eq!(turn.passes_at, UnixSeconds(1300));
    let turn = at(u64::MAX);
    assert_eq!((turn.late.len(), turn.now.as_str()), (3, "d"));
    // A clock behind the study's.
    assert_eq!(at(0).now.as_str(), "a");
}

#[test]
fn the_plan_says_how_many_rounds_there_are() {
    let mut study = study();
    assert_eq!(planned_rounds(&study), None);
    let setting = |value: &str| ringfence_crypto::statement::Setting {
        name: "rounds".into(),
        value: value.into(),
    };
    study.training = Training::Plan(vec![setting("17")]);
    assert_eq!(planned_rounds(&study), Some(17));
    study.training = Training::Plan(vec![setting("many")]);
    assert_eq!(planned_rounds(&study), None);
}
