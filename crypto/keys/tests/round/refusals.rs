//! What must be refused, with an error that says what was expected and what came.

use ringfence_crypto::Digest;
use ringfence_crypto::round::{Event, Fault, Round, RoundError};
use ringfence_crypto::signature::{Signed, sign};
use ringfence_crypto::statement::{
    Closing, Excluded, ExclusionReason, Header, HolderKeys, Included, KemKeyError, Manifest,
    ManifestError, Review, RoundKeys, RoundKeysError, SignedStudy, Study, StudyError,
};

use ringfence_crypto::id::RoundNumber;
use ringfence_keys::duties::abstention::Abstention;
use ringfence_keys::duties::holder::{ClosingView, Decision, Holder, HolderError, Records};
use ringfence_keys::round_secret::RoundSecret;
use ringfence_keys::share::envelope::{EnvelopeError, open_envelope};
use ringfence_testkit::{Made, Rehearsal, START, Shown, apply};

pub(super) fn refused(round: &Round, result: Result<(), RoundError>, before: &Round, text: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(text), "{error}");
    assert_eq!(round.status(), before.status(), "a refusal changed the round");
}

pub(super) fn closed() -> (Rehearsal, Round, Vec<Made>, Vec<u8>) {
    let mut rehearsal = Rehearsal::new(5, None, 100);
    let made: Vec<_> = (0..5).map(|k| rehearsal.contribute(k)).collect();
    let mut round = rehearsal.round();
    rehearsal.collect(&mut round, &made);
    let (_, sum) = rehearsal.close(&mut round, &made);
    (rehearsal, round, made, sum)
}

#[test]
fn contributions() {
    let mut rehearsal = Rehearsal::new(5, None, 100);
    let (made, second) = (rehearsal.contribute(0), rehearsal.contribute(0));
    let mut round = rehearsal.round();
    let before = round.clone();
    let mut try_header = |alter: &dyn Fn(&mut Signed<_>), now, text: &str| {
        let mut header = made.contribution.header.clone();
        alter(&mut header);
        let result = apply(&mut round, |round| round.announce(&header, now));
        refused(&round, result, &before, text);
    };
    try_header(&|h| h.statement.body_bytes += 8, START, "expected 41984");
    try_header(&|h| h.statement.envelopes.truncate(4), START, "names 4 envelopes");
    try_header(&|h| h.statement.body = Digest::of(b""), START, "does not verify");
    try_header(&|h| h.statement.site = "nobody".parse().unwrap(), START, "not on the study's");
    try_header(
        &|h| h.statement.manifest = Digest::of(b"").into(),
        START,
        "fetch the manifest again",
    );
    try_header(&|_| (), START.after(101), "takes no more contributions");

    rehearsal.collect(&mut round, std::slice::from_ref(&made));
    let before = round.clone();
    let header = &second.contribution.header;
    let result = apply(&mut round, |round| round.announce(header, START));
    refused(&round, result, &before, "only the same bytes may be sent again");
    apply(&mut round, |round| round.announce(&made.contribution.header, START)).unwrap();
    assert_eq!(round.status(), before.status(), "a repeat changed the round");
}

#[test]
fn manifests() {
    let rehearsal = Rehearsal::new(5, None, 100);
    let open = |signer: usize, alter: &dyn Fn(&mut Manifest)| {
        let mut manifest = rehearsal.manifest().statement;
        alter(&mut manifest);
        let signed = rehearsal.identities[signer].sign(manifest);
        Round::open(rehearsal.study.clone(), rehearsal.id, signed, None).map(|_| ())
    };
    let manifest_error = |result| match result {
        Err(RoundError::Manifest(error)) => error,
        other => panic!("expected a manifest error, got {other:?}"),
    };
    open(0, &|_| ()).unwrap();
    assert!(matches!(manifest_error(open(1, &|_| ())), ManifestError::Signature(_)));
    let site = rehearsal.identities[1].site().clone();
    let early = open(1, &|m| m.initiator = site.clone());
    assert!(matches!(manifest_error(early), ManifestError::Initiator { .. }));
    // The successor may step in once the initiator's time is over.
    open(1, &|m| {
        m.initiator = site.clone();
        (m.opened_at, m.deadline) = (START.after(60), START.after(100));
    })
    .unwrap();
    let error = manifest_error(open(0, &|m| m.round = RoundNumber(1)));
    assert!(matches!(
        error,
        ManifestError::Round { expected: RoundNumber(0), got: RoundNumber(1) }
    ));
    let error = manifest_error(open(0, &|m| m.study = Digest::of(b"").into()));
    assert!(matches!(error, ManifestError::Study { .. }));
    let error = manifest_error(open(0, &|m| m.holders.swap(0, 1)));
    assert!(matches!(error, ManifestError::Holders { .. }));
    let error = manifest_error(open(0, &|m| m.holder_keys.truncate(4)));
    assert!(matches!(error, ManifestError::HolderKeys { expected: 5, got: 4 }));
    let longest = rehearsal.study.longest_round_seconds;
    for got in [0, u64::from(longest) + 1, u64::MAX - START.0] {
        let error = manifest_error(open(0, &|m| m.deadline = m.opened_at.after(got)));
        assert_eq!(error, ManifestError::Deadline { min: 1, longest, got });
    }
    open(0, &|m| m.deadline = m.opened_at.after(longest.into())).unwrap();
    let error = manifest_error(open(0, &|m| m.previous = Some(Digest::of(b"").into())));
    assert!(matches!(error, ManifestError::Previous { .. }));
}

#[test]
fn round_keys() {
    let rehearsal = Rehearsal::new(5, None, 100);
    let (study, id) = (&rehearsal.study, rehearsal.id);
    let sound = &rehearsal.round_keys[0];
    RoundKeys::check(sound, study, id).unwrap();
    assert_eq!(sound.statement.key(RoundNumber(2)), sound.statement.keys.get(2));
    assert_eq!(sound.statement.key(RoundNumber(3)), None);
    let check = |alter: &dyn Fn(&mut RoundKeys)| {
        let mut statement = sound.statement.clone();
        alter(&mut statement);
        RoundKeys::check(&rehearsal.identities[1].sign(statement), study, id).unwrap_err()
    };
    let other = rehearsal.identities[0].site().clone();
    assert!(matches!(check(&|k| k.study = Digest::of(b"").into()), RoundKeysError::Other { .. }));
    assert!(matches!(check(&|k| k.site = other.clone()), RoundKeysError::Signature(_)));
    assert!(matches!(check(&|k| k.keys.clear()), RoundKeysError::Count { got: 0, .. }));
    let many = check(&|k| k.keys = vec![k.keys[0].clone(); 65]);
    assert!(matches!(many, RoundKeysError::Count { got: 65, .. }));
    let short = check(&|k| k.keys[1].0.truncate(1215));
    let RoundKeysError::Key { round: RoundNumber(1), source, .. } = short else {
        panic!("{short}")
    };
    assert_eq!(source, KemKeyError::Length(1215));
    // What the KEM's implementation does not parse.
    let rubbish = check(&|k| k.keys[2].0[..1184].fill(0xff));
    assert!(
        rubbish.to_string().contains("coefficient 0 of its ML-KEM-768 half is 4095"),
        "{rubbish}"
    );
    assert!(matches!(
        check(&|k| k.first_round = RoundNumber(u32::MAX)),
        RoundKeysError::Count { .. }
    ));

    let mut manifest = rehearsal.manifest().statement;
    let error = HolderKeys::resolve(study, &manifest, &[]).unwrap_err();
    assert!(matches!(error, RoundKeysError::Missing { round: RoundNumber(0), .. }), "{error}");
    manifest.round = RoundNumber(5);
    manifest.holder_keys.iter_mut().for_each(|key| *key = key.map(|_| sound.id()));
    let error = HolderKeys::resolve(study, &manifest, &rehearsal.round_keys).unwrap_err();
    assert!(matches!(error, RoundKeysError::Missing { round: RoundNumber(5), .. }), "{error}");
}

/// The right statement, whose digest the manifest names, with a signature that is not its holder's:
/// its keys may be anybody's, and a dealer must not seal to them.
#[test]
fn round_keys_with_a_forged_signature_are_refused_by_dealers() {
    let rehearsal = Rehearsal::new(5, None, 100);
    let study = &rehearsal.study;
    let manifest = rehearsal.manifest().statement;
    let sound = &rehearsal.round_keys;
    HolderKeys::resolve(study, &manifest, sound).unwrap();
    for at in 0..sound.len() {
        let mut forged = sound.clone();
        forged[at] = rehearsal.identities[0].sign(sound[at].statement.clone());
        assert_eq!(forged[at].id(), sound[at].id());
        let error = HolderKeys::resolve(study, &manifest, &forged).unwrap_err();
        assert!(matches!(error, RoundKeysError::Signature(_)), "{error}");
        let error = RoundKeys::check(&forged[at], study, rehearsal.id).unwrap_err();
        assert!(matches!(error, RoundKeysError::Signature(_)), "{error}");
    }
}

/// A holder that published what nobody can seal to gets an empty envelope; it and everybody else
/// goes on.
#[test]
fn a_holder_whose_round_key_does_not_parse_is_dealt_an_empty_envelope() {
    let mut rehearsal = Rehearsal::new(5, None, 100);
    let mut keys = rehearsal.round_keys[0].statement.clone();
    keys.keys[0].0[..1184].fill(0xff);
    let site = rehearsal.identities[1].site().clone();
    assert_eq!(keys.site, site);
    rehearsal.round_keys[0] = rehearsal.identities[1].sign(keys);
    let manifest = rehearsal.manifest().statement;
    let resolved = HolderKeys::resolve(&rehearsal.study, &manifest, &rehearsal.round_keys);
    let resolved = resolved.unwrap();
    let unusable: Vec<_> = resolved.iter().map(|key| key.key().is_none()).collect();
    assert_eq!(unusable, [false, true, false, false, false]);
    let made = rehearsal.contribute(0);
    assert_eq!(made.contribution.envelopes[1], b"");
    assert_eq!(made.contribution.header.statement.envelopes[1], Digest::of(b""));
    for holder in [0, 2, 3, 4] {
        let holder = rehearsal.identities[holder].site();
        rehearsal.share(&made, holder).unwrap();
    }
    let error = rehearsal.share(&made, &site).unwrap_err();
    assert!(matches!(error, EnvelopeError::Bad(_)), "{error:?}");
}

/// A header is judged before anything that it names: by whom it is, of which manifest, signed.
#[test]
fn headers_that_a_holder_does_not_judge_by() {
    let mut rehearsal = Rehearsal::new(5, None, 100);
    let made = rehearsal.contribute(2);
    let (signed, manifest) = (&made.contribution.header, rehearsal.manifest().statement);
    let (study, dealer) = (rehearsal.study.clone(), rehearsal.identities[2].site().clone());
    Header::check(signed, &study, &manifest, &dealer).unwrap();
    let refused = |header: &Signed<Header>, manifest: &Manifest, text: &str| {
        let error = Header::check(header, &study, manifest, &dealer).unwrap_err().to_string();
        assert!(error.contains(text) && error.contains("the aggregator showed"), "{error}");
    };
    let mut forged = signed.clone();
    forged.statement.envelopes[0] = Digest::of(b"another");
    refused(&forged, &manifest, "does not verify");
    let other = rehearsal.identities[3].sign(signed.statement.clone());
    refused(&other, &manifest, "does not verify");
    let second = Manifest { base_model: Digest::of(b"another"), ..manifest.clone() };
    refused(signed, &second, "expected that of site-2 for round 0");
    let mut of_another = signed.statement.clone();
    of_another.site = "site-3".parse().unwrap();
    refused(&rehearsal.identities[3].sign(of_another), &manifest, "a header of site-3");
    let mut short = signed.statement.clone();
    short.envelopes.pop();
    refused(&rehearsal.identities[2].sign(short), &manifest, "4 envelopes, expected 5");
}

#[test]
fn an_envelope_under_a_round_key_stays_closed_without_its_secret() {
    let mut rehearsal = Rehearsal::new(5, None, 100);
    let made = rehearsal.contribute(0);
    let identity = &rehearsal.identities[1];
    let secret = &rehearsal.secrets[identity.site()];
    let header = &made.contribution.header.statement;
    let open = |secret| {
        let sealed = &made.contribution.envelopes[1];
        open_envelope(identity, secret, &rehearsal.study, header, sealed).map(|_| ())
    };
    open(Some(secret)).unwrap();
    open(None).unwrap_err();
    let again = RoundSecret::from_bytes(secret.expose()).unwrap();
    open(Some(&again)).unwrap();
    assert_eq!(format!("{again:?}"), "RoundSecret(not shown)");
}

#[test]
fn a_second_endorsement_is_refused_by_both_sides() {
    let (rehearsal, mut round, _, _) = closed();
    let shown = Shown::of(&round);
    let closing = round.closing().unwrap().clone();
    let other = {
        let mut other = closing.statement.clone();
        other.closed_at = other.closed_at.after(1);
        sign(other, &rehearsal.aggregator)
    };
    let view = |closing| ClosingView { closing, ..shown.closing_view() };
    let identity = &rehearsal.identities[1];
    let mut holder = rehearsal.holder(identity.site());
    let Decision::Fresh(first) = holder.endorse(view(&closing)).unwrap() else { panic!() };
    holder.record(first.clone(), &closing.statement);
    assert_eq!(holder.endorse(view(&closing)).unwrap(), Decision::Repeat(first.clone()));
    let error = holder.endorse(view(&other)).unwrap_err();
    assert!(matches!(error, HolderError::Endorsed { round: RoundNumber(0), .. }), "{error}");

    let mut second = first.clone();
    second.closing = other.id();
    let (first, second) = (identity.sign(first), identity.sign(second));
    apply(&mut round, |round| round.endorse(&first)).unwrap();
    let before = round.clone();
    let result = apply(&mut round, |round| round.endorse(&second));
    refused(&round, result, &before, "has already endorsed");
}

#[test]
fn a_restored_holder_abstains() {
    let (rehearsal, round, _, _) = closed();
    let site = rehearsal.identities[1].site().clone();
    let manifest = round.manifest().statement.clone();
    let (restored_at, study) = (manifest.opened_at, &rehearsal.study);
    let through = Some(round.number());
    let abstention = |restored_at, through| Abstention { restored_at, through };
    let holder = |abstains| {
        let records = Records::default();
        Holder::restore(study.clone(), site.clone(), records, Some(abstains), None)
    };
    let shown = Shown::of(&round);
    let refused = |abstains, expected: &str| {
        let error = holder(abstains).endorse(shown.closing_view()).unwrap_err();
        assert!(matches!(error, HolderError::Abstains(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        let error = holder(abstains).review(shown.freeze_view()).unwrap_err();
        assert!(matches!(error, HolderError::Abstains(_)), "{error}");
    };
    refused(abstention(restored_at, through), "abstains through round 0");
    refused(abstention(restored_at, None), "run `ringfence restored`");
    // It must not open either, not even a certified set.
    let mut certified = round.clone();
    rehearsal.endorse(&mut certified, &[]);
    let certificate = certified.certificate().unwrap();
    let error = holder(abstention(restored_at, None)).may_open(&manifest, &certificate);
    assert!(matches!(error, Err(HolderError::Abstains(_))), "{error:?}");
}

#[test]
fn closings_that_nobody_should_endorse() {
    let (rehearsal, round, _, _) = closed();
    let shown = Shown::of(&round);
    let holder = rehearsal.holder(rehearsal.identities[0].site());
    let try_closing = |alter: &dyn Fn(&mut Closing), text: &str| {
        let mut closing = round.closing().unwrap().statement.clone();
        alter(&mut closing);
        let closing = &sign(closing, &rehearsal.aggregator);
        let view = ClosingView { closing, ..shown.closing_view() };
        let error = holder.endorse(view).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    let not_the_list = "are not the contributions of its freeze";
    try_closing(&|c| drop(c.included.remove(0)), not_the_list);
    try_closing(&|c| c.included[1].header = Digest::of(b"").into(), not_the_list);
    try_closing(&|c| c.freeze = Digest::of(b"").into(), "keep both freezes as evidence");
    try_closing(&|c| c.reviews.swap(0, 1), "out of window order");
    try_closing(&|c| c.reviews[0] = Digest::of(b""), "which was not shown");
    try_closing(&|c| c.reviews.truncate(3), "its reviews allow none");
    try_closing(&|c| c.included.truncate(2), "at least 3");
    try_closing(&|c| c.included.swap(0, 1), "out of order");
    try_closing(&|c| c.included[4].site = "site-9".parse().unwrap(), "not on the roster");
    try_closing(&|c| c.sum = None, "if and only if");
    try_closing(&|c| c.checkpoint.size = 5, "has 5 leaves, expected at least 12");
    try_closing(&|c| c.round = RoundNumber(1), "expected round 0");
    for reason in [ExclusionReason::Barred, ExclusionReason::Undetermined, ExclusionReason::Accused]
    {
        let leaves_out = |c: &mut Closing| {
            let Included { site, header } = c.included.remove(3);
            c.excluded = vec![Excluded { site, header, reason }];
        };
        try_closing(&leaves_out, "but its reviews say: it belongs to the set");
    }
}

#[test]
fn studies() {
    let rehearsal = Rehearsal::new(3, None, 100);
    let mut signed = SignedStudy::unsigned((*rehearsal.study).clone());
    assert!(matches!(signed.verify(), Err(StudyError::Unsigned(missing)) if missing.len() == 3));
    for identity in &rehearsal.identities {
        signed.sign(identity.site(), identity.signer()).unwrap();
    }
    signed.verify().unwrap();
    let identity = &rehearsal.identities[0];
    let again = signed.sign(identity.site(), identity.signer());
    assert!(matches!(again, Err(StudyError::Signer(_))));
    let altered = |alter: &dyn Fn(&mut Study), text: &str| {
        let mut signed = signed.clone();
        alter(&mut signed.study);
        let error = signed.verify().unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    altered(&|s| s.name.push('!'), "does not verify");
    altered(&|s| drop(s.roster.pop()), "expected 3 to 10000 sites, got 2");
    altered(&|s| s.packing.slots += 1, "overflow the modulus");
    altered(&|s| s.packing.slot_bits += 1, "need slots of 18 bits");
    altered(&|s| s.packing.wire_bits -= 1, "use more wire bits");
    altered(&|s| s.min_sites = 2, "min_sites is 2");
    altered(&|s| s.threshold.endorsements = 2, "give Q = 3");
    altered(&|s| s.layout.tensors[0].shape = vec![u32::MAX; 3], "has shape");
    altered(&|s| s.layout.tensors[0].shape = vec![1 << 28], "blocks");
    altered(&|s| s.roster[1].id = s.roster[0].id.clone(), "stands twice");
}

#[test]
fn reviews_that_do_not_answer_and_faults_of_errors() {
    let (rehearsal, mut round, _, _) = closed();
    let before = round.clone();
    let first = round.reviews().next().unwrap().statement.clone();
    let mut refuse = |alter: &dyn Fn(&mut Review), text: &str| {
        let mut review = first.clone();
        alter(&mut review);
        let review = rehearsal.identity(&first.holder).sign(review);
        let result = apply(&mut round, |round| round.review(&review));
        refused(&round, result, &before, text);
    };
    refuse(&|r| r.answers.truncate(4), "has 4 answers, expected one for each of 5");
    refuse(&|r| r.freeze = Digest::of(b"").into(), "a holder reviews once a round");
    refuse(&|r| r.answers.swap(0, 1), "has already reviewed");
    refuse(&|r| r.holder = "site-3".parse().unwrap(), "does not verify");
    let late = round.receipt(rehearsal.identities[0].site(), START.after(500)).unwrap_err();
    assert_eq!(late.fault(), Fault::Conflict);
    // The same events in the same order give the same round.
    let mut replayed = rehearsal.round();
    let header = round.contribution(rehearsal.identities[0].site()).unwrap();
    replayed.apply(Event::Announced(header.header.clone()));
    replayed.apply(Event::Received(header.receipt.clone().unwrap()));
    assert_eq!(replayed.received().count(), 1);
}
