//! The aggregator's round machine under any sequence of well signed messages.
//!
//! Invariants: no panic; a refusal and a repeat leave the round as it was; the events that were
//! applied, applied again, give the same round; there is at most one closing, over receipts only;
//! a certificate passes its own check.
#![no_main]

use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use ed25519_dalek::SigningKey;
use libfuzzer_sys::fuzz_target;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{ClosingId, ModelId, RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::log::{LogHash, StudyLog};
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::ParameterSet;
use ringfence_crypto::round::{Event, Round, RoundError, Verdict};
use ringfence_crypto::signature::{Signed, Statement, sign};
use ringfence_crypto::statement::{
    Acknowledgement, CHECK_BYTES, CheckKeySeals, Endorsement, Header, HexBytes, Manifest, Opening,
    Outcome, PrivacyPolicy, Review, RosterEntry, Study, Training, Weighting,
};
use ringfence_crypto::threshold::Threshold;

const SITES: usize = 4;

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
        packing: Packing::derive(8, SITES, 1).expect("eight bits"),
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
    Review { holder: u8, complaints: u8 },
    Close { other_time: bool },
    Endorse { holder: u8, other: bool },
    Open { holder: u8, other: bool },
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
        Step::Freeze => Ok(fresh(round.freeze(now))),
        Step::Review { holder, complaints } => {
            let named = (0..SITES as u8).filter(|k| complaints >> k & 1 == 1).map(id).collect();
            let review = Review { manifest, holder: id(holder), complaints: named };
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
        Step::Open { holder, other } => {
            let opening = Opening {
                manifest,
                closing: closing(other),
                holder: id(holder),
                content: Digest([u8::from(other); 32]),
                recipients: LogHash([3; 32]),
                plaintext: Digest([2; 32]),
            };
            round.open_sum(&sign(opening, &world.keys[site(holder)]))
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
    for step in steps.iter().take(64) {
        if let Step::Wait { seconds } = step {
            now = now.after(u64::from(*seconds % 8));
        }
        let before = round.status();
        match decide(world, &round, step, now) {
            Ok(Verdict::Fresh(event)) => {
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
        }
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
