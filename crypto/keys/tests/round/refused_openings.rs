//! What key holders and recipients refuse once a round is closed.

use ringfence_crypto::Digest;
use ringfence_crypto::ring::words::{add_words, block_bytes, pack, to_word};
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::statement::{Endorsement, FailureClass, HolderKeys};

use super::fixture::{Fixture, apply};
use super::refusals::{closed, refused};
use crate::duties::holder::{Holder, HolderError, open_share_sum};
use crate::share::envelope::open_envelope;
use crate::identity::Identity;
use crate::open::{OpenError, OpeningContext, unseal};
use crate::testing::rng;

#[test]
fn nothing_opens_without_a_certificate_or_for_another_closing() {
    let (mut fixture, mut round, made, _) = closed();
    fixture.endorse(&mut round, &[0, 1]);
    assert!(round.certificate().is_none(), "3 of 4 endorsements are no certificate");
    // A certificate with an endorsement too few is refused by the holder ...
    let weak = ringfence_crypto::statement::Certificate {
        closing: round.closing().unwrap().clone(),
        endorsements: Vec::new(),
    };
    let manifest = round.manifest().statement.clone();
    let holder = fixture.holder(fixture.identities[0].site());
    let error = holder.may_open(&manifest, &weak).unwrap_err().to_string();
    assert!(error.contains("has 0 endorsements of its closing, needed 4"), "{error}");
    // ... and an opening without one by the aggregator.
    let mut certified = round.clone();
    fixture.endorse(&mut certified, &[2, 3, 4]);
    let certificate = certified.certificate().unwrap();
    let site = fixture.identities[0].site().clone();
    let frame = fixture.opening(&site, &certificate, &made);
    let before = round.clone();
    let result = apply(&mut round, |round| round.open_sum(&frame.statement));
    refused(&round, result, &before, "has 3 of 4 endorsements");

    let mut other = frame.statement.statement.clone();
    other.closing = Digest::of(b"other");
    let other = fixture.identities[0].sign(other);
    let before = certified.clone();
    let result = apply(&mut certified, |round| round.open_sum(&other));
    refused(&certified, result, &before, "fetch the closing again");
}

#[test]
fn a_holder_opens_no_other_set_than_the_one_it_endorsed() {
    let (fixture, mut round, ..) = closed();
    fixture.endorse(&mut round, &[0]);
    let certificate = round.certificate().unwrap();
    let manifest = round.manifest().statement.clone();
    let site = fixture.identities[0].site().clone();
    let on_record = |closing: Digest| {
        let (study, holder) = (manifest.study, site.clone());
        let record = Endorsement { study, round: 0, closing, holder };
        Holder::restore(fixture.study.clone(), site.clone(), [record], None, None)
    };
    let certified = certificate.closing.digest();
    assert!(on_record(certified).may_open(&manifest, &certificate).is_ok());
    let endorsed = Digest::of(b"another closing");
    let error = on_record(endorsed).may_open(&manifest, &certificate).unwrap_err();
    let HolderError::EndorsedOther { round: 0, endorsed: own, certified: other } = error else {
        panic!("{error}");
    };
    assert_eq!((own, other), (endorsed, certified));
}

#[test]
fn shares_must_be_those_of_the_set() {
    let (fixture, mut round, made, _) = closed();
    fixture.endorse(&mut round, &[]);
    let certificate = round.certificate().unwrap();
    let site = fixture.identities[0].site().clone();
    let machine = fixture.holder(&site);
    let set = machine.may_open(&round.manifest().statement, &certificate).unwrap();
    let mut shares: Vec<_> = made
        .iter()
        .map(|m| {
            let dealer = m.contribution.header.statement.site.clone();
            (dealer, fixture.share(m, &site).unwrap())
        })
        .collect();
    let open = |shares: &[_]| {
        open_share_sum(&fixture.identities[0], &fixture.study, &set, shares, &mut rng(1))
    };
    assert!(open(&shares).is_ok());
    shares.pop();
    let error = open(&shares).unwrap_err().to_string();
    assert!(error.contains("1 missing, 0 too many"), "{error}");
}

#[test]
fn envelopes_and_openings_that_do_not_fit() {
    let (mut fixture, mut round, made, _) = closed();
    let header = &made[0].contribution.header.statement;
    let envelopes = &made[0].contribution.envelopes;
    let open = |sealed: &[u8]| {
        open_envelope(&fixture.identities[0], None, &fixture.study, header, sealed).map(|_| ())
    };
    open(&envelopes[0]).unwrap();
    assert!(open(&envelopes[1]).unwrap_err().to_string().contains("not the one its header"));

    fixture.endorse(&mut round, &[]);
    let certificate = round.certificate().unwrap();
    let site = fixture.identities[2].site().clone();
    let frame = fixture.opening(&site, &certificate, &made);
    let context = OpeningContext {
        study: &fixture.study,
        round: 0,
        manifest: round.digest(),
        closing: certificate.closing.digest(),
    };
    let recipient = &fixture.identities[4];
    assert_eq!(unseal(recipient, context, &frame).unwrap().0, 2);
    let mut altered = frame.clone();
    altered.sealed[100] ^= 1;
    let error = unseal(recipient, context, &altered).unwrap_err().to_string();
    assert!(error.contains("digest differs"), "{error}");
    altered.statement.statement.sealed = Digest::of(&altered.sealed);
    let error = unseal(recipient, context, &altered).unwrap_err().to_string();
    assert!(error.contains("does not verify"), "{error}");
    let elsewhere = OpeningContext { closing: Digest::of(b"other"), ..context };
    let error = unseal(recipient, elsewhere, &frame).unwrap_err().to_string();
    assert!(error.contains("another round or closing"), "{error}");
    let stranger = Identity::generate(recipient.site().clone(), &mut rng(77)).unwrap();
    assert!(unseal(&stranger, context, &frame).is_err());
}

#[test]
fn residues_at_or_above_q_are_refused_in_envelopes_and_openings() {
    let (mut fixture, mut round, made, _) = closed();
    let study = fixture.study.clone();
    let mut words = vec![0u8; crate::share::share::share_words(&study.threshold) * 8];
    words[8..16].copy_from_slice(&ringfence_crypto::ring::params::MODULUS.to_le_bytes());
    // Properly sealed, and named by the header; the first holders are dealt seeds.
    let last = 4;
    assert_eq!(crate::share::share::dealt_bytes(&study.threshold, last), words.len());
    let (dealer, holder) = (fixture.identities[0].site(), &study.roster[last]);
    let binding = crate::share::envelope::EnvelopeBinding {
        manifest: round.digest(),
        dealer,
        holder: &holder.id,
    };
    let purpose = crate::share::seal::Purpose::Envelope;
    let sealed =
        crate::share::seal::seal(&holder.kem_key, purpose, &binding, &words, &mut rng(1)).unwrap();
    let mut header = made[0].contribution.header.statement.clone();
    header.envelopes[last] = Digest::of(&sealed);
    let error =
        open_envelope(&fixture.identities[last], None, &study, &header, &sealed).unwrap_err();
    assert!(error.to_string().contains("word 1 is 18446744069414584321"), "{error}");

    // An opening by a holder that seals such a word: its recipients name it and go on without.
    fixture.endorse(&mut round, &[]);
    let frames = fixture.openings(&mut round, &made, &[]);
    let closing = round.closing().unwrap().digest();
    let context = OpeningContext { study: &study, round: 0, manifest: round.digest(), closing };
    let bad = crate::open::seal_opening(
        &fixture.identities[2],
        &study,
        (round.digest(), closing),
        &words,
        &mut rng(2),
    )
    .unwrap();
    let error = unseal(&fixture.identities[4], context, &bad).unwrap_err().to_string();
    assert!(error.contains("site-2") && error.contains("expected a residue below q"), "{error}");
    let mut others = frames;
    others.remove(2);
    fixture.key_sum(4, closing, &others).unwrap();
}

#[test]
fn a_shifted_sum_fails_its_check_words() {
    let (mut fixture, mut round, made, sum) = closed();
    fixture.endorse(&mut round, &[]);
    let frames = fixture.openings(&mut round, &made, &[]);
    let closing = round.closing().unwrap().clone();
    let open = |shift: u64, coefficient: usize| {
        let mut shifted = sum.clone();
        let bits = fixture.study.packing.wire_bits;
        let mut words = [0; RING_DEGREE];
        words[coefficient % RING_DEGREE] = to_word(shift, bits);
        let mut block = vec![0; block_bytes(bits)];
        pack(&words, bits, &mut block);
        let start = coefficient / RING_DEGREE * block.len();
        add_words(&mut shifted[start..start + block.len()], &block, bits).unwrap();
        fixture.open(0, &closing, &frames, &shifted)
    };
    let packing = fixture.study.packing;
    let delta = 1 << packing.delta_bits;
    // A multiple of Delta in a value's slot passes noise, slots and count: only the check sees it.
    let error = open(delta, 1).unwrap_err();
    assert!(matches!(error, OpenError::Check), "{error}");
    assert_eq!(error.class(), FailureClass::Check);
    let error = open(delta, 0).unwrap_err();
    assert!(matches!(error, OpenError::Slot { index: 0, sum: 6, limit: 5, .. }), "{error}");
    let error = open(delta / 2, 3).unwrap_err();
    assert!(matches!(error, OpenError::Noise { coefficient: 3, .. }), "{error}");
    let error = open(delta, 5000).unwrap_err();
    assert!(matches!(error, OpenError::Slot { limit: 0, .. }), "padding: {error}");
    assert!(open(0, 0).is_ok());
}

#[test]
fn a_site_that_was_shown_another_manifest_spoils_the_round_but_no_mean() {
    let mut fixture = Fixture::new(5, None, 100);
    let mut made: Vec<_> = (0..5).map(|k| fixture.contribute(k)).collect();
    let mut manifest = fixture.manifest().statement;
    manifest.base_model = Digest::of(b"another model");
    let quantized = crate::update::quantize::QuantizedUpdate::quantize(
        &[0.1; 100],
        &fixture.parties.study.layout,
        &fixture.parties.study.packing,
        &mut fixture.rng,
    )
    .unwrap();
    let mut body = Vec::new();
    let identity = &fixture.parties.identities[4];
    let key = fixture.check_key();
    let study = fixture.study.clone();
    let rng = &mut fixture.rng;
    let context = crate::encrypt::contribution::ContributionContext {
        study: &study,
        manifest: &manifest,
        holder_keys: &HolderKeys::resolve(&study, &manifest, &fixture.round_keys).unwrap(),
        identity,
        check_key: &key,
    };
    crate::encrypt::contribution::Contribution::make(context, &quantized, rng, &mut body).unwrap();
    let header = &mut made[4].contribution.header;
    header.statement.body = Digest::of(&body);
    *header = identity.sign(header.statement.clone());
    made[4].body = body;
    let mut round = fixture.round();
    fixture.collect(&mut round, &made);
    let (closing, sum) = fixture.close(&mut round, &made);
    fixture.endorse(&mut round, &[]);
    let frames = fixture.openings(&mut round, &made, &[]);
    let error = fixture.open(0, &closing, &frames, &sum).unwrap_err();
    assert!(matches!(error, OpenError::Noise { .. }), "{error}");
}
