//! What key holders and recipients refuse once a round is closed.

use ringfence_crypto::Digest;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{add_words, block_bytes, pack, to_word};
use ringfence_crypto::round::Verdict;
use ringfence_crypto::statement::{Acknowledgement, Certificate, Endorsement, Outcome};

use ringfence_crypto::id::{ClosingId, RoundNumber};
use ringfence_keys::duties::holder::{Holder, HolderError, open_share_sum};
use ringfence_keys::identity::Identity;
use ringfence_keys::open::{OpenError, OpeningContext, unseal};
use ringfence_keys::share::envelope::open_envelope;
use ringfence_testkit::{Rehearsal, apply, rng};

use crate::refusals::{closed, refused};

#[test]
fn nothing_opens_without_a_certificate_or_for_another_closing() {
    let (mut rehearsal, mut round, made, _) = closed();
    rehearsal.endorse(&mut round, &[0, 1]);
    assert!(round.certificate().is_none(), "3 of 4 endorsements are no certificate");
    // A certificate with an endorsement too few is refused by the holder ...
    let weak = Certificate { closing: round.closing().unwrap().clone(), endorsements: Vec::new() };
    let manifest = round.manifest().statement.clone();
    let holder = rehearsal.holder(rehearsal.identities[0].site());
    let error = holder.may_open(&manifest, &weak).unwrap_err().to_string();
    assert!(error.contains("has 0 endorsements of its closing, needed 4"), "{error}");
    // ... and an opening without one by the aggregator.
    let mut certified = round.clone();
    rehearsal.endorse(&mut certified, &[2, 3, 4]);
    let certificate = certified.certificate().unwrap();
    let site = rehearsal.identities[0].site().clone();
    let frame = rehearsal.opening(&round, &site, &certificate, &made);
    let before = round.clone();
    let result = apply(&mut round, |round| round.open_sum(&frame.statement));
    refused(&round, result, &before, "has 3 of 4 endorsements");

    let mut other = frame.statement.statement.clone();
    other.closing = Digest::of(b"other").into();
    let other = rehearsal.identities[0].sign(other);
    let before = certified.clone();
    let result = apply(&mut certified, |round| round.open_sum(&other));
    refused(&certified, result, &before, "fetch the closing again");
}

#[test]
fn a_holder_opens_no_other_set_than_the_one_it_endorsed() {
    let (rehearsal, mut round, ..) = closed();
    rehearsal.endorse(&mut round, &[0]);
    let certificate = round.certificate().unwrap();
    let manifest = round.manifest().statement.clone();
    let site = rehearsal.identities[0].site().clone();
    let on_record = |closing: ClosingId| {
        let (study, holder) = (manifest.study, site.clone());
        let record = Endorsement { study, round: RoundNumber(0), closing, holder };
        Holder::restore(rehearsal.study.clone(), site.clone(), [record], None, None)
    };
    let certified = certificate.closing.id();
    assert!(on_record(certified).may_open(&manifest, &certificate).is_ok());
    let endorsed = Digest::of(b"another closing").into();
    let error = on_record(endorsed).may_open(&manifest, &certificate).unwrap_err();
    let HolderError::EndorsedOther { round: RoundNumber(0), endorsed: own, certified: other } =
        error
    else {
        panic!("{error}");
    };
    assert_eq!((own, other), (endorsed, certified));
}

#[test]
fn shares_must_be_those_of_the_set() {
    let (rehearsal, mut round, made, _) = closed();
    rehearsal.endorse(&mut round, &[]);
    let certificate = round.certificate().unwrap();
    let site = rehearsal.identities[0].site().clone();
    let machine = rehearsal.holder(&site);
    let set = machine.may_open(&round.manifest().statement, &certificate).unwrap();
    let mut shares: Vec<_> = made
        .iter()
        .map(|m| {
            let dealer = m.contribution.header.statement.site.clone();
            (dealer, rehearsal.share(m, &site).unwrap())
        })
        .collect();
    let open = |shares: &[_]| {
        open_share_sum(&rehearsal.identities[0], &rehearsal.study, &set, shares, &mut rng(1))
    };
    assert!(open(&shares).is_ok());
    shares.pop();
    let error = open(&shares).unwrap_err().to_string();
    assert!(error.contains("1 missing, 0 too many"), "{error}");
}

#[test]
fn envelopes_and_openings_that_do_not_fit() {
    let (mut rehearsal, mut round, made, _) = closed();
    let header = &made[0].contribution.header.statement;
    let envelopes = &made[0].contribution.envelopes;
    let open = |sealed: &[u8]| {
        open_envelope(&rehearsal.identities[0], None, &rehearsal.study, header, sealed).map(|_| ())
    };
    open(&envelopes[0]).unwrap();
    assert!(open(&envelopes[1]).unwrap_err().to_string().contains("not the one its header"));

    rehearsal.endorse(&mut round, &[]);
    let certificate = round.certificate().unwrap();
    let site = rehearsal.identities[2].site().clone();
    let frame = rehearsal.opening(&round, &site, &certificate, &made);
    let context = OpeningContext {
        study: &rehearsal.study,
        round: RoundNumber(0),
        manifest: round.manifest_id(),
        closing: certificate.closing.id(),
    };
    let recipient = &rehearsal.identities[4];
    assert_eq!(unseal(recipient, context, &frame).unwrap().0, 2);
    let mut altered = frame.clone();
    altered.sealed[100] ^= 1;
    let error = unseal(recipient, context, &altered).unwrap_err().to_string();
    assert!(error.contains("digest differs"), "{error}");
    altered.statement.statement.sealed = Digest::of(&altered.sealed);
    let error = unseal(recipient, context, &altered).unwrap_err().to_string();
    assert!(error.contains("does not verify"), "{error}");
    let elsewhere = OpeningContext { closing: Digest::of(b"other").into(), ..context };
    let error = unseal(recipient, elsewhere, &frame).unwrap_err().to_string();
    assert!(error.contains("another round or closing"), "{error}");
    let stranger = Identity::generate(recipient.site().clone(), &mut rng(77)).unwrap();
    assert!(unseal(&stranger, context, &frame).is_err());
}

#[test]
fn a_shifted_sum_fails_its_check_words() {
    let (mut rehearsal, mut round, made, sum) = closed();
    rehearsal.endorse(&mut round, &[]);
    let frames = rehearsal.openings(&mut round, &made, &[]);
    let finished = rehearsal.finished(&round, sum, frames);
    let keys = finished.key_sum(0);
    let open = |shift: u64, coefficient: usize| {
        let mut shifted = finished.sum.clone();
        let bits = rehearsal.study.packing.wire_bits;
        let mut words = [0; RING_DEGREE];
        words[coefficient % RING_DEGREE] = to_word(shift, bits);
        let mut block = vec![0; block_bytes(bits)];
        pack(&words, bits, &mut block);
        let start = coefficient / RING_DEGREE * block.len();
        add_words(&mut shifted[start..start + block.len()], &block, bits).unwrap();
        finished.try_open(&keys, &shifted)
    };
    let packing = rehearsal.study.packing;
    let delta = 1 << packing.delta_bits;
    // A multiple of Delta in a value's slot passes noise, slots and count: only the check sees it.
    let error = open(delta, 1).unwrap_err();
    assert!(matches!(error, OpenError::Check), "{error}");
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
    let mut rehearsal = Rehearsal::new(5, None, 100);
    let mut made: Vec<_> = (0..5).map(|k| rehearsal.contribute(k)).collect();
    let mut manifest = rehearsal.manifest().statement;
    manifest.base_model = Digest::of(b"another model");
    let other = rehearsal.contribution(4, &manifest, &[0.1; 100]);
    let header = &mut made[4].contribution.header;
    header.statement.body = Digest::of(&other.body);
    *header = rehearsal.identities[4].sign(header.statement.clone());
    made[4].body = other.body;
    let mut round = rehearsal.round();
    rehearsal.collect(&mut round, &made);
    let (_, sum) = rehearsal.close(&mut round, &made);
    rehearsal.endorse(&mut round, &[]);
    let frames = rehearsal.openings(&mut round, &made, &[]);
    let finished = rehearsal.finished(&round, sum, frames);
    let error = finished.try_open(&finished.key_sum(0), &finished.sum).unwrap_err();
    assert!(matches!(error, OpenError::Noise { .. }), "{error}");
}

/// A site gave up on the openings that were there and found the sum later: that counts, and nothing
/// else takes back what a site has said.
#[test]
fn applied_may_follow_failed_and_nothing_else_follows_anything() {
    let (rehearsal, mut round, _, _) = closed();
    rehearsal.endorse(&mut round, &[]);
    let (manifest, closing) = (round.manifest_id(), round.closing().unwrap().id());
    let identity = &rehearsal.identities[3];
    let says = |outcome| {
        let site = identity.site().clone();
        identity.sign(Acknowledgement { manifest, closing, site, outcome })
    };
    let applied = |name: &[u8]| says(Outcome::Applied { model: Digest::of(name) });
    let failed = says(Outcome::Failed);
    apply(&mut round, |round| round.acknowledge(&failed)).unwrap();
    assert_eq!(round.acknowledge(&failed).unwrap(), Verdict::Repeat);
    apply(&mut round, |round| round.acknowledge(&applied(b"model"))).unwrap();
    let now: Vec<_> = round.acknowledgements().cloned().collect();
    assert_eq!(now, [applied(b"model")]);
    assert_eq!(round.acknowledge(&applied(b"model")).unwrap(), Verdict::Repeat);
    let before = round.clone();
    for second in [failed, applied(b"another model")] {
        let result = apply(&mut round, |round| round.acknowledge(&second));
        refused(&round, result, &before, "has already acknowledged");
    }
}
