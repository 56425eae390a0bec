//! The aggregator's round machine under any sequence of well signed messages.
//!
//! Invariants: no panic; a refusal and a repeat leave the round as it was; the events that were
//! applied, applied again, give the same round; there is at most one freeze and one closing, over
//! receipts only, and its set follows from its reviews; certificates pass their own checks, and there
//! are no more disputes and verdicts than c of each and one on check words; the trust of a round that
//! has ended never changes again.
#![no_main]

use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use ed25519_dalek::SigningKey;
use libfuzzer_sys::fuzz_target;
use ringfence_crypto::Digest;
use ringfence_crypto::dealing::{Answer, Trust};
use ringfence_crypto::id::{
    ClosingId, DisputeId, FreezeId, ModelId, RoundNumber, SiteId, UnixSeconds, VerdictId,
};
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::log::{LogHash, StudyLog};
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::ParameterSet;
use ringfence_crypto::round::{Event, Round, RoundError, Verdict};
use ringfence_crypto::signature::{Signed, Statement, sign};
use ringfence_crypto::statement::{
    Acknowledgement, CHECK_BYTES, CheckKeySeals, Dispute, Endorsement, Endorses, Header, HexBytes,
    Manifest, Opening, Outcome, PrivacyPolicy, Review, RosterEntry, SetView, Study, Subject, Training,
    Weighting,
};
use ringfence_crypto::threshold::Threshold;

const SITES: usize = 4;

/// `c` of the recommended thresholds of four sites.
const COLLUSION: u16 = 1;

struct World {
    study: Arc<Study>,
    keys: Vec<SigningKey>,
    aggregator: SigningKey,
    manifest: Signed<Manifest>,
    headers: Vec<Signed<Header>>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let keys: Vec<SigningKey> =
        (0..SITES).map(|k| SigningKey::from_bytes(&[k as u8 + 1; 32])).collect();
    let aggregator = SigningKey::from_bytes(&[99; 32]);
    let id = |k: usize| -> SiteId { format!("s{k}").parse().expect("a name") };
    let study = Study {
        name: "fuzz".into(),
        created_at: UnixSeconds(0),
        roster: (0..SITES)
            .map(|k| RosterEntry {
                id: id(k),
                signature_key: keys[k].verifying_key().into(),
                kem_key: HexBytes(vec![k as u8; 1216]),
            })
            .collect(),
        aggregator_key: aggregator.verifying_key().into(),
        parameters: ParameterSet::Std64,
        threshold: Threshold::recommended(SITES).expect("four sites"),
        min_sites: 3,
        packing: Packing::derive(8, 0, SITES, 1).expect("eight bits"),
        layout: Layout {
            tensors: vec![TensorLayout { name: "w".into(), shape: vec![1], clip: 1.0 }],
        },
        initial_model: ModelId(Digest([0; 32])),
        weighting: Weighting::Equal,
        privacy: PrivacyPolicy::None,
        training: Training::None,
        min_round_seconds: 1,
        longest_round_seconds: 3600,
        review_seconds: 5,
        initiator_timeout_seconds: 1,
        check_key: CheckKeySeals {
            commitment: Digest([0; 32]),
            sealed: vec![HexBytes(Vec::new()); SITES],
        },
    };
    study.check().expect("a sound study");
    let m = study.threshold.holders;
    let manifest = Manifest {
        study: study.id(),
        round: RoundNumber(0),
        initiator: id(0),
        opened_at: UnixSeconds(0),
        deadline: UnixSeconds(10),
        holders: study.holders(RoundNumber(0)).map(|site| site.id.clone()).collect(),
        holder_keys: vec![None; m.into()],
        base_model: Digest([1; 32]),
        previous: None,
        trust: Trust::default().digest(),
    };
    let manifest = sign(manifest, &keys[0]);
    // Two headers a site: a second one must be refused.
    let headers = (0..2 * SITES)
        .map(|k| {
            let header = Header {
                study: study.id(),
                round: RoundNumber(0),
                manifest: manifest.id(),
                site: id(k % SITES),
                body_bytes: study.body_bytes().expect("a small model"),
                body: Digest([k as u8; 32]),
                check: HexBytes(vec![k as u8; CHECK_BYTES]),
                envelopes: vec![Digest([7; 32]); m.into()],
                spent: None,
            };
            sign(header, &keys[k % SITES])
        })
        .collect();
    World { study: Arc::new(study), keys, aggregator, manifest, headers }
});

#[derive(Arbitrary, Debug)]
enum Step {
    Announce { header: u8 },
    Receive { site: u8 },
    Freeze,
    /// Two bits a dealer: none, the others' words, other words.
    Review { holder: u8, answers: u8, other: bool },
    Close { other_time: bool },
    Endorse { holder: u8, other: bool },
    Dispute { holder: u8, index: u8, other: bool },
    Judge { holder: u8, sites: u8, other: bool, check_words: bool },
    Open { holder: u8, subject: u8, other: bool },
    Acknowledge { site: u8, failed: bool },
    Wait { seconds: u8 },
}

fn decide(
    world: &World,
    round: &Round,
    step: &Step,
    now: UnixSeconds,
) -> Result<Verdict, RoundError> {
    let site = |k: u8| usize::from(k) % SITES;
    let id = |k: u8| world.study.roster[site(k)].id.clone();
    let manifest = round.manifest_id();
    let fresh = |event: Option<Event>| event.map_or(Verdict::Repeat, Verdict::Fresh);
    let closing = |other: bool| match (round.closing(), other) {
        (Some(closing), false) => closing.id(),
        _ => ClosingId(Digest([3; 32])),
    };
    match *step {
        Step::Announce { header } => {
            round.announce(&world.headers[usize::from(header) % world.headers.len()], now)
        }
        Step::Receive { site } => {
            // A contribution that has its receipt gets the same one again from the aggregator.
            if round.contribution(&id(site))?.receipt.is_some() {
                return Ok(Verdict::Repeat);
            }
            let receipt = round.receipt(&id(site), now)?;
            Ok(Verdict::Fresh(Event::Received(sign(receipt, &world.aggregator))))
        }
        Step::Freeze => {
            let freeze = round.freeze_due(now);
            Ok(fresh(freeze.map(|freeze| Event::Frozen(sign(freeze, &world.aggregator)))))
        }
        Step::Review { holder, answers, other } => {
            let dealers = round.freeze().map_or(0, |freeze| freeze.statement.contributions.len());
            let freeze = match (round.freeze(), other) {
                (Some(freeze), false) => freeze.id(),
                _ => FreezeId(Digest([3; 32])),
            };
            let answer = |dealer: usize| match answers >> (2 * dealer) & 3 {
                0 => Answer::NoShare,
                1 => Answer::Masked([u64::from(holder), 9]),
                _ => Answer::Masked([7, 8]),
            };
            let answers = (0..dealers).map(answer).collect();
            let review = Review { manifest, freeze, holder: id(holder), answers };
            round.review(&sign(review, &world.keys[site(holder)]))
        }
        Step::Close { other_time } => Ok(fresh(round.closed_set(now).map(|set| {
            let sum = (!set.included().is_empty()).then_some(Digest([5; 32]));
            let checkpoint = StudyLog::default().checkpoint();
            let closing = round.closing_of(set, sum, checkpoint, now.after(other_time.into()));
            Event::Closed(sign(closing, &world.aggregator))
        }))),
        Step::Endorse { holder, other } => {
            let endorsement = Endorsement {
                study: world.manifest.statement.study,
                round: RoundNumber(0),
                closing: closing(other),
                holder: id(holder),
            };
            round.endorse(&sign(endorsement, &world.keys[site(holder)]))
        }
        Step::Dispute { holder, index, other } => {
            let index = u16::from(index % 4);
            let before = index.checked_sub(1).and_then(|before| round.verdict(before));
            let statement = Dispute {
                study: world.manifest.statement.study,
                round: RoundNumber(0),
                closing: closing(false),
                index,
                after: before.filter(|_| index > 1).map(|verdict| verdict.statement.id()),
                block: 0,
                coefficient: other.into(),
            };
            let endorses = Endorses { statement, holder: id(holder) };
            round.dispute(&sign(endorses, &world.keys[site(holder)]))
        }
        Step::Judge { holder, sites, other, check_words } => {
            let dispute = match (round.certified_dispute(1), other) {
                (Some(dispute), false) => dispute.statement.id(),
                _ => DisputeId(Digest([3; 32])),
            };
            let statement = ringfence_crypto::statement::Verdict {
                study: world.manifest.statement.study,
                round: RoundNumber(0),
                closing: closing(false),
                dispute: (!check_words).then_some(dispute),
                sites: (0..SITES as u8).filter(|k| sites >> k & 1 == 1).map(id).collect(),
            };
            let endorses = Endorses { statement, holder: id(holder) };
            round.judge(&sign(endorses, &world.keys[site(holder)]))
        }
        Step::Open { holder, subject, other } => {
            let dispute = round.certified_dispute(1).map(|known| known.statement.id());
            let verdict = round.verdict(u16::from(subject % 2)).map(|known| known.statement.id());
            let subject = match subject % 4 {
                0 => Subject::Sum,
                1 => Subject::Functionals {
                    dispute: dispute.unwrap_or(DisputeId(Digest([3; 32]))),
                },
                _ => Subject::Keys { verdict: verdict.unwrap_or(VerdictId(Digest([3; 32]))) },
            };
            let opening = Opening {
                manifest,
                closing: closing(other),
                holder: id(holder),
                subject,
                content: Digest([u8::from(other); 32]),
                recipients: LogHash([3; 32]),
                plaintext: Digest([2; 32]),
            };
            round.take_opening(&sign(opening, &world.keys[site(holder)]))
        }
        Step::Acknowledge { site: k, failed } => {
            let outcome = match failed {
                true => Outcome::Failed,
                false => Outcome::Applied { model: Digest([4; 32]) },
            };
            let site_id = id(k);
            let acknowledgement =
                Acknowledgement { manifest, closing: closing(false), site: site_id, outcome };
            round.acknowledge(&sign(acknowledgement, &world.keys[site(k)]))
        }
        Step::Wait { .. } => Ok(Verdict::Repeat),
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let world = &*WORLD;
    let open = || {
        let study = world.manifest.statement.study;
        Round::open(world.study.clone(), study, world.manifest.clone(), None).expect("opens")
    };
    let (mut round, mut applied, mut now) = (open(), Vec::new(), UnixSeconds(0));
    let mut ended = None;
    for step in steps.iter().take(64) {
        if let Step::Wait { seconds } = step {
            now = now.after(u64::from(*seconds % 8));
        }
        let before = round.status();
        match decide(world, &round, step, now) {
            Ok(Verdict::Fresh(event)) => {
                assert!(!(matches!(event, Event::Frozen(_)) && round.freeze().is_some()));
                assert!(!(matches!(event, Event::Closed(_)) && round.closing().is_some()));
                round.apply(event.clone());
                applied.push(event);
            }
            Ok(Verdict::Repeat) | Err(_) => assert_eq!(round.status(), before),
        }
        if let Some(closing) = round.closing() {
            for entry in &closing.statement.included {
                let known = round.contribution(&entry.site).expect("a contribution");
                assert!(known.receipt.is_some() && known.header.id() == entry.header);
            }
            let freeze = &round.freeze().expect("a closing follows a freeze").statement;
            let headers: Vec<_> = world.headers.iter().take(SITES).cloned().collect();
            let reviews: Vec<_> = round.reviews().cloned().collect();
            // A site's second header may have come first.
            let known = |header: &Signed<Header>| {
                round.contribution(&header.statement.site).map_or(header.clone(), |known| {
                    known.header.clone()
                })
            };
            let headers: Vec<_> = headers.iter().map(known).collect();
            let (headers, reviews) = (&headers, &reviews);
            let shown = SetView { trust: round.trust(), freeze, headers, reviews };
            let checked = closing.statement.check_set(&world.study, shown);
            // An abort may be one because more than c sites are shown to be corrupt.
            assert!(checked.is_ok() || closing.statement.is_abort(), "{checked:?}");
        }
        for index in 0..4 {
            let dispute = round.certified_dispute(index);
            assert!(dispute.is_none_or(|dispute| dispute.check(&world.study).is_ok()));
            let verdict = round.verdict(index);
            assert!(verdict.is_none_or(|verdict| verdict.check(&world.study).is_ok()));
        }
        assert!(round.status().disputes.len() <= 1 + usize::from(COLLUSION));
        let end = round.ended();
        assert!(ended.is_none() || ended == end, "a round ended twice");
        ended = end;
        if let Some(certificate) = round.certificate() {
            let check = certificate.check(&world.study, &world.manifest.statement);
            // The checkpoint here is that of an empty log, which a real closing's never is.
            assert!(check.is_ok() || check.unwrap_err().to_string().contains("checkpoint"));
        }
    }
    let mut again = open();
    applied.into_iter().for_each(|event| again.apply(event));
    assert_eq!(again.status(), round.status());
});
