//! What key holders and recipients refuse once a round is closed.

use ringfence_crypto::Digest;
use ringfence_crypto::api::{OpeningFrame, OpeningPart, SEALED_KEY_BYTES, recipients, share_words};
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{add_words, block_bytes, pack, to_word};
use ringfence_crypto::round::Verdict;
use ringfence_crypto::statement::{Acknowledgement, Endorsement, Outcome, Subject};

use ringfence_crypto::id::{ClosingId, RoundNumber};
use ringfence_keys::duties::holder::{Holder, HolderError, Records, open_share_sum};
use ringfence_keys::identity::Identity;
use ringfence_keys::open::{CheckedPart, OpenError, OpenedSum, OpeningContext, SumContext};
use ringfence_keys::share::envelope::open_envelope;
use ringfence_testkit::{Rehearsal, apply, rng};

use crate::refusals::{closed, refused};

#[test]
fn nothing_opens_without_a_certificate_or_for_another_closing() {
    let (mut rehearsal, mut round, made, _) = closed();
    rehearsal.endorse(&mut round, &[0, 1]);
    assert!(round.certificate().is_none(), "3 of 4 endorsements are no certificate");
    // A certificate with an endorsement too few is refused by the holder ...
    let mut certified = round.clone();
    rehearsal.endorse(&mut certified, &[2, 3, 4]);
    let certificate = certified.certificate().unwrap();
    let mut weak = certificate.clone();
    weak.endorsements.truncate(3);
    let manifest = round.manifest().statement.clone();
    let holder = rehearsal.holder(rehearsal.identities[0].site());
    let error = holder.may_open(&manifest, &weak).unwrap_err().to_string();
    assert!(error.contains("has 3 endorsements of its closing, needed 4"), "{error}");
    // ... and an opening without one by the aggregator.
    let site = rehearsal.identities[0].site().clone();
    let frame = rehearsal.opening(&round, &site, &certificate, &made);
    let before = round.clone();
    let result = apply(&mut round, |round| round.take_opening(&frame.statement));
    refused(&round, result, &before, "has 3 of 4 endorsements");

    let mut other = frame.statement.statement.clone();
    other.closing = Digest::of(b"other").into();
    let other = rehearsal.identities[0].sign(other);
    let before = certified.clone();
    let result = apply(&mut certified, |round| round.take_opening(&other));
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
        let records = Records { endorsed: vec![record], ..Records::default() };
        Holder::restore(rehearsal.study.clone(), site.clone(), records, None, None)
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
        subject: Subject::Sum,
        words: share_words(&rehearsal.study.threshold),
    };
    let recipient = &rehearsal.identities[4];
    let part = frame.clone().check(&rehearsal.study, context.words).unwrap().part(4).unwrap();
    let check = |part: &OpeningPart| CheckedPart::check(recipient, context, part.clone());
    assert_eq!(check(&part).unwrap().unseal().unwrap().0, 2);
    let elsewhere = OpeningContext { closing: Digest::of(b"other").into(), ..context };
    let error = CheckedPart::check(recipient, elsewhere, part.clone()).unwrap_err().to_string();
    assert!(error.contains("another round, closing or subject"), "{error}");
    // One that the holder did not sign for this site does not come to be unsealed at all.
    let served = |change: &dyn Fn(&mut OpeningPart), text: &str| {
        let mut other = part.clone();
        change(&mut other);
        let error = check(&other).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    let root = "do not lead to the root that the opening of site-2 names";
    served(&|part| part.content[100] ^= 1, "the content of the opening of site-2 has digest");
    served(&|part| part.key[100] ^= 1, root);
    served(&|part| part.path[0].0[0] ^= 1, root);
    served(&|part| part.path.clear(), root);
    served(&|part| part.path.push(part.path[0]), root);
    served(&|part| part.statement.statement.plaintext.0[0] ^= 1, "does not verify");
    let checked = frame.clone().check(&rehearsal.study, context.words).unwrap();
    let other = checked.part(3).unwrap();
    served(&|part| part.clone_from(&other), root);
    let stranger = Identity::generate(recipient.site().clone(), &mut rng(77)).unwrap();
    let part = CheckedPart::check(&stranger, context, part.clone()).unwrap();
    let error = part.unseal().unwrap_err().to_string();
    assert!(error.contains("the opening of site-2 does not hold"), "{error}");
}

#[test]
fn a_frame_that_its_statement_does_not_name_is_not_cut_into_parts() {
    let (mut rehearsal, mut round, made, _) = closed();
    rehearsal.endorse(&mut round, &[]);
    let certificate = round.certificate().unwrap();
    let site = rehearsal.identities[2].site().clone();
    let good = rehearsal.opening(&round, &site, &certificate, &made);
    let words = share_words(&rehearsal.study.threshold);
    let refused = |change: &dyn Fn(&mut OpeningFrame), text: &str| {
        let mut frame = good.clone();
        change(&mut frame);
        let error = frame.check(&rehearsal.study, words).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    refused(
        &|frame| drop(frame.keys.pop()),
        "holds 4 content keys, expected one for each of the 5",
    );
    refused(&|frame| frame.keys.push(vec![0; SEALED_KEY_BYTES]), "holds 6 content keys");
    refused(&|frame| frame.keys[3].push(0), "key for site-3 has 1169 bytes, expected 1168");
    refused(&|frame| frame.keys[3].truncate(1167), "key for site-3 has 1167 bytes");
    refused(&|frame| frame.content.push(0), "bytes, expected");
    refused(&|frame| frame.content[0] ^= 1, "content has digest");
    refused(&|frame| frame.keys.swap(0, 1), "content keys have the root");
    refused(&|frame| frame.keys[4][0] ^= 1, "content keys have the root");
    assert!(good.check(&rehearsal.study, words).is_ok());
}

/// A holder that gives one recipient the key of another has signed for it: its lie, and only that
/// recipient cannot use the opening.
#[test]
fn a_key_that_does_not_open_is_the_holders_lie() {
    let (mut rehearsal, mut round, made, _) = closed();
    rehearsal.endorse(&mut round, &[]);
    let certificate = round.certificate().unwrap();
    let site = rehearsal.identities[2].site().clone();
    let mut frame = rehearsal.opening(&round, &site, &certificate, &made);
    frame.keys[4] = frame.keys[3].clone();
    let mut statement = frame.statement.statement.clone();
    statement.recipients = recipients(&rehearsal.study, &frame.keys).checkpoint().root;
    frame.statement = rehearsal.identities[2].sign(statement);
    let words = share_words(&rehearsal.study.threshold);
    let opening = frame.check(&rehearsal.study, words).unwrap();
    let (manifest, closing) = (round.manifest_id(), certificate.closing.id());
    let (study, round) = (&rehearsal.study, RoundNumber(0));
    let subject = Subject::Sum;
    let context = OpeningContext { study, round, manifest, closing, subject, words };
    let unseal = |k: usize| {
        let part = opening.part(k).unwrap();
        CheckedPart::check(&rehearsal.identities[k], context, part).unwrap().unseal()
    };
    assert!(unseal(3).is_ok());
    let error = unseal(4).unwrap_err();
    assert_eq!(error.holder, site);
    assert!(error.reason.contains("did not open"), "{error}");
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
    assert!(matches!(error, OpenError::Slot { index: 0, sum: 6, most: 5, .. }), "{error}");
    let error = open(delta / 2, 3).unwrap_err();
    assert!(matches!(error, OpenError::Noise { coefficient: 3, .. }), "{error}");
    let error = open(delta, 5000).unwrap_err();
    assert!(matches!(error, OpenError::Slot { most: 0, .. }), "padding: {error}");
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
    // Its check words are sealed for the other manifest: its header is evidence against it.
    let (study, check_key) = (&*rehearsal.study, &rehearsal.check_key);
    let headers = finished.headers.iter().map(|header| &header.statement);
    let error = check_key.sum_of_headers(headers, study.packing.wire_bits).unwrap_err();
    assert_eq!(error.0, *rehearsal.identities[4].site());
    // The sum is that of the bodies, and still no mean comes of it.
    let (manifest, keys) = (finished.manifest_id(), &finished.key_sum(0));
    let check = &check_key.words_of(study, manifest, &mut &finished.sum[..]).unwrap();
    let context =
        SumContext { study, manifest, summands: study.summands(0..5), keys, check, check_key };
    let error = OpenedSum::open(context, &mut &finished.sum[..]).unwrap_err();
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
