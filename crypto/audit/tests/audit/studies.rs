//! Honest studies: whatever may happen to honest sites, and what `c` corrupt ones may do.

use std::sync::Arc;

use rand::RngExt as _;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::dealing::Answer;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::MODULUS;
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Change, PrivacyPolicy, PrivacyUnit, RecordLevel, Review, RoundKeys, Setting, Spent, Study,
    Subject as Opened, Training,
};
use ringfence_privacy::{Accountant, Mechanism, epsilon};
use ringfence_testkit::Identity;
use ringfence_testkit::{Parties, Record, rng};

/// Seven sites, all of them key holders, of whom two may collude.
pub(crate) fn record(alter: impl FnOnce(&mut Study)) -> Record {
    Record::of(Arc::new(Parties::new(7, 2, alter)))
}

pub(crate) const ALL: [usize; 7] = [0, 1, 2, 3, 4, 5, 6];

/// A study in which nearly everything happens: a round without a fault, one with drop-outs, accused
/// dealers and silent holders, an abort, and a dispute that names a site.
pub(crate) fn eventful() -> Record {
    let (mut record, mut rng) = (record(|_| ()), rng(1));
    record.run(b"model 0", b"model 1", &mut rng);
    // Site 6 does not come, two holders accuse site 1, one holder stays silent.
    record.begin(b"model 1");
    record.contribute(&[0, 1, 2, 3, 4, 5], None, &mut rng);
    record.freeze();
    record.review(&[0, 1, 2, 3, 4, 5], &[]);
    record.close();
    record.endorse(&[0, 1, 2, 3, 4]);
    record.open(&[1, 2, 3, 4], Opened::Sum);
    record.acknowledge(&[0], None);
    record.acknowledge(&[0, 1, 2, 3, 4], Some(b"model 2"));
    // Too few contribute: an abort.
    record.begin(b"model 2");
    record.contribute(&[3], None, &mut rng);
    record.freeze();
    record.close();
    record.endorse(&ALL);
    // From the same model again; the sum does not decode, and site 5 is named.
    record.begin(b"model 2");
    record.contribute(&ALL, None, &mut rng);
    record.freeze();
    record.review(&ALL, &[]);
    record.close();
    record.endorse(&ALL);
    record.open(&ALL, Opened::Sum);
    record.dispute(&ALL, &[5]);
    record.acknowledge(&[0, 1, 2, 3, 4, 6], Some(b"model 3"));
    // The named site is barred from then on.
    record.begin(b"model 3");
    record.contribute(&[0, 1, 2, 3, 4, 6], None, &mut rng);
    record.freeze();
    record
}

/// Eight sites, of whom two may collude: the groups are sites 0 to 3 and 4 to 7.
pub(crate) fn apart() -> Record {
    Record::of(Arc::new(Parties::new(8, 2, |study| {
        (study.privacy, study.min_sites) = (PrivacyPolicy::SetsApart, 4);
    })))
}

/// A study that protects records, and what `rounds` rounds spend of it.
pub(crate) fn private() -> (Record, impl Fn(u32) -> Spent) {
    let (delta, noise, rate, steps) = (1e-5f32, 2.0f32, 0.02f32, 50);
    let record = record(|study| {
        let setting = Setting { name: "optimiser".into(), value: "sgd".into() };
        study.training = Training::Plan(vec![setting]);
        study.privacy = PrivacyPolicy::RecordLevel(RecordLevel {
            unit: PrivacyUnit::Record,
            clip: 1.0,
            noise_multiplier: noise,
            rate,
            steps,
            normaliser: 20.0,
            delta,
            epsilon: 4.0,
        });
    });
    let spent = move |rounds: u32| {
        let step = Mechanism::gaussian(noise.into(), rate.into());
        let times = u64::from(steps) * u64::from(rounds);
        let epsilon = epsilon(&[(step, times)], delta.into(), Accountant::Rdp).unwrap();
        Spent { rounds, epsilon: (epsilon as f32).next_up(), delta }
    };
    (record, spent)
}

/// Rounds in which all state these budgets.
pub(crate) fn spending(stated: &[Spent], mut record: Record) -> Record {
    let mut rng = rng(5);
    for (round, spent) in stated.iter().enumerate() {
        record.begin(format!("model {round}").as_bytes());
        record.contribute(&ALL, Some(*spent), &mut rng);
        record.freeze();
        record.review(&ALL, &[]);
        record.close();
        record.endorse(&ALL);
        record.open(&ALL, Opened::Sum);
        record.acknowledge(&ALL, Some(format!("model {}", round + 1).as_bytes()));
    }
    record
}

/// A site's keys for the first three rounds.
pub(crate) fn published(record: &Record, site: usize) -> Signed<RoundKeys> {
    let identity = &record.parties.identities[site];
    // Its own long-term key is one that something can be sealed to.
    let key = identity.public().kem_key;
    identity.sign(RoundKeys {
        study: record.parties.id,
        site: identity.site().clone(),
        first_round: RoundNumber::FIRST,
        keys: vec![key; 3],
    })
}

/// A study in which anything may happen that honest sites, accidents and up to two corrupt sites make:
/// drop-outs, round keys, silent holders, false answers in reviews, lost bodies, aborts, disputes,
/// changes of the roster, budgets, sets that are held apart.
pub(crate) fn random(seed: u64) -> Record {
    let mut rng = rng(seed);
    let (mut record, spent) = match rng.random_range(0..4) {
        0 => {
            let (record, spent) = private();
            (record, Some(spent))
        }
        1 => (apart(), None),
        _ => (record(|_| ()), None),
    };
    // Where sets are held apart, groups come and go whole.
    let may_change = record.parties.study.groups().is_empty();
    for site in ALL {
        if rng.random_ratio(1, 3) {
            let keys = published(&record, site);
            record.publish(keys);
        }
    }
    let (mut model, mut next) = (0, 1);
    for round in 0..rng.random_range(1..4) {
        // More corrupt sites than the study allows for end it.
        if record.rounds.last().is_some_and(|last| last.round.ended().is_none()) {
            break;
        }
        if may_change && round > 0 && rng.random_ratio(1, 5) {
            change_roster(&mut record, round, &mut rng);
        }
        record.begin(format!("model {model}").as_bytes());
        if run(&mut record, spent.as_ref().map(|spent| spent(round + 1)), next, &mut rng) {
            (model, next) = (next, next + 1);
        }
    }
    record
}

/// One site goes, or one comes.
fn change_roster(record: &mut Record, round: u32, rng: &mut ChaCha20Rng) {
    if rng.random() {
        let at = rng.random_range(0..record.parties.identities.len());
        let site = record.parties.identities[at].site().clone();
        return record.change(vec![Change::Revoke { site }], Vec::new(), rng);
    }
    let newcomer = Identity::generate(format!("new-{round}").parse().unwrap(), rng).unwrap();
    let change = Change::Enrol { entry: newcomer.public() };
    record.change(vec![change], vec![newcomer], rng);
}

/// A round up to where chance leads it; whether a model came of it.
fn run(record: &mut Record, spent: Option<Spent>, next: u32, rng: &mut ChaCha20Rng) -> bool {
    let sites = record.parties.identities.len();
    let holders: Vec<usize> = (0..record.parties.study.threshold.holders.into()).collect();
    let barred = record.last().round.trust().barred.clone();
    let free = |site: &usize| !barred.contains(record.parties.identities[*site].site());
    let mut come: Vec<usize> = (0..sites).filter(free).collect();
    come.retain(|_| rng.random_ratio(9, 10));
    record.contribute(&come, spent, rng);
    record.freeze();
    review(record, &holders, rng);
    if rng.random_ratio(1, 12)
        && let Some(site) = come.first()
    {
        let site = record.parties.identities[*site].site().clone();
        let at = record.last().round.latest_time();
        record.put(Event::Damaged { site, at });
    }
    record.close();
    let most = holders.len();
    let needed = usize::from(record.parties.study.threshold.endorsements);
    record.endorse(&holders[..if rng.random() { most } else { needed }]);
    let closing = record.last().round.closing().unwrap().statement.clone();
    if closing.is_abort() {
        return false;
    }
    let needed = usize::from(record.parties.study.threshold.opening);
    record.open(&holders[..if rng.random() { most } else { needed }], Opened::Sum);
    let names = record.parties.study.threshold.names();
    if names && closing.included.len() > 5 && barred.is_empty() && rng.random_ratio(1, 3) {
        let name = &closing.included[2].site;
        let culprit = record.parties.identities.iter().position(|site| site.site() == name);
        record.dispute(&holders, &[culprit.unwrap()]);
    }
    record.acknowledge(&[1], None);
    let everybody: Vec<usize> = (0..sites).collect();
    record.acknowledge(&everybody, Some(format!("model {next}").as_bytes()));
    true
}

/// The holders review: most of them, with answers on each dealer's polynomials, but for what one of
/// them says of some.
fn review(record: &mut Record, holders: &[usize], rng: &mut ChaCha20Rng) {
    let freeze = record.last().round.freeze().unwrap().statement.clone();
    let t = usize::from(record.parties.study.threshold.opening);
    let mut polynomial = || -> Vec<u64> { (0..t).map(|_| rng.random_range(0..MODULUS)).collect() };
    let dealt: Vec<[Vec<u64>; 2]> =
        freeze.contributions.iter().map(|_| [polynomial(), polynomial()]).collect();
    let at =
        |of: &[u64], x: u64| of.iter().rev().fold(0, |sum, c| field::add(field::mul(sum, x), *c));
    let liar = rng.random_range(0..holders.len());
    let window = record.parties.holders(record.last().round.number());
    for (offset, holder) in window.iter().enumerate() {
        if rng.random_ratio(1, 20) {
            continue;
        }
        let mut answer = |[first, second]: &[Vec<u64>; 2]| {
            let (x, lies) = (offset as u64 + 1, offset == liar && rng.random_ratio(1, 12));
            match (lies, rng.random()) {
                (true, true) => Answer::NoShare,
                (true, false) => Answer::Masked([at(first, x), rng.random_range(0..MODULUS)]),
                _ => Answer::Masked([at(first, x), at(second, x)]),
            }
        };
        let answers = dealt.iter().map(&mut answer).collect();
        let said = review_of(record, holder, answers);
        record.take(|round| round.review(&said)).unwrap();
    }
}

fn review_of(record: &Record, holder: &SiteId, answers: Vec<Answer>) -> Signed<Review> {
    let freeze = &record.last().round.freeze().unwrap().statement;
    record.parties.identity(holder).sign(Review {
        manifest: freeze.manifest,
        freeze: ringfence_crypto::signature::Statement::id(freeze),
        holder: holder.clone(),
        answers,
    })
}
