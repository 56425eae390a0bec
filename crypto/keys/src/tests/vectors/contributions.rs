//! Whole contributions and envelopes.

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, StudyId};
use ringfence_crypto::ring::ciphertext::residues_from_xof;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{block_bytes, unpack};
use ringfence_crypto::ring::xof::Xof;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{Header, HexBytes, HolderKeys, Manifest, RoundKeys, Study};
use serde::Deserialize;

use super::FOLDER;
use super::files::{self, Word, numbers, refused, stream};
use super::story::{Script, Shown, identity, round_secret, study};
use crate::encrypt::contribution::{Contribution, ContributionContext, HashingWriter};
use crate::encrypt::one_time_key::{Encryption, EncryptionContext, OneTimeKey, UsedKey};
use crate::encrypt::rlwe_noise::{UNIFORM_BYTES, errors_from_uniform};
use crate::randomness::BulkRandomness;
use crate::share::envelope::open_envelope;
use crate::update::quantize::Quantizer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contributions {
    study: StudyId,
    manifest: Signed<Manifest>,
    round_keys: Vec<Signed<RoundKeys>>,
    cases: Vec<Case>,
    block_1: HexBytes,
    envelopes: Vec<HexBytes>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    site: String,
    update_label: String,
    update_digest: Digest,
    key_seed: HexBytes,
    key: Shown,
    bulk_seed: HexBytes,
    quantized: Vec<u64>,
    quantized_digest: Digest,
    messages: Vec<Shown>,
    errors: Vec<Errors>,
    words: Vec<Shown>,
    check_words: Vec<Word>,
    share_seeds: Vec<HexBytes>,
    masks: Vec<Word>,
    dealt: Vec<Shown>,
    seal_randomness: Vec<HexBytes>,
    header: Signed<Header>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Errors {
    first: Vec<i64>,
    digest: Digest,
}

impl Contributions {
    /// The used key of a site's contribution, of which there is one each time.
    pub(super) fn used_key(&self, site: &str) -> UsedKey {
        let case = self.cases.iter().find(|case| case.site == site).unwrap();
        case.encrypt(&study(), &self.manifest.statement).0
    }
}

impl Case {
    /// The update, by the rule that the file states.
    fn update(&self, values: usize) -> Vec<f32> {
        let mut bytes = vec![0; 2 * values];
        stream(&self.update_label).fill(&mut bytes);
        let (numbers, _) = bytes.as_chunks::<2>();
        let value = |u: u16| (f32::from(u % 2001) - 1000.0) / 2048.0;
        let update: Vec<f32> = numbers.iter().map(|n| value(u16::from_le_bytes(*n))).collect();
        let bytes: Vec<u8> = update.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(Digest::of(&bytes), self.update_digest);
        update
    }

    fn key(&self) -> Vec<u64> {
        let mut key = vec![0; RING_DEGREE];
        let mut reader = Xof::new(&[&self.key_seed.0]);
        residues_from_xof(&mut reader, &mut key);
        self.key.check(&key);
        key
    }

    /// The used key and the body.
    fn encrypt(&self, study: &Study, manifest: &Manifest) -> (UsedKey, Vec<u8>) {
        let check_key = identity(&self.site).check_key(study).unwrap();
        let context = EncryptionContext::new(study, 0, manifest, &check_key);
        let mut script = Script::new(&[&field::to_bytes(&self.key()), &self.bulk_seed.0]);
        let key = OneTimeKey::generate(&mut script);
        let mut encryption = key.start::<f32>(context, &mut script).unwrap();
        script.finish();
        let mut body = Vec::new();
        encryption.update(&self.update(study.layout.values()), &mut body).unwrap();
        (encryption.finish(&mut body).unwrap(), body)
    }
}

/// A contribution as the shipped code makes it from a case's randomness, and its body.
fn make(file: &Contributions, case: &Case, study: &Study) -> (Contribution, Vec<u8>) {
    let manifest = &file.manifest.statement;
    let identity = identity(&case.site);
    let context = ContributionContext {
        study,
        manifest,
        holder_keys: &HolderKeys::resolve(study, manifest, &file.round_keys).unwrap(),
        identity: &identity,
        check_key: &identity.check_key(study).unwrap(),
        spent: None,
    };
    let key = field::to_bytes(&case.key());
    let mut parts = vec![key.as_slice(), &case.bulk_seed.0];
    let masks = field::to_bytes(&numbers(&case.masks));
    parts.extend(case.share_seeds.iter().map(|seed| &seed.0[..]));
    parts.push(&masks);
    parts.extend(case.seal_randomness.iter().map(|seed| &seed.0[..]));
    let (mut script, mut body) = (Script::new(&parts), Vec::new());
    let update = case.update(study.layout.values());
    let feed = |encryption: &mut Encryption<'_, f32>, body: &mut HashingWriter<'_, _>| {
        encryption.update(&update, body)
    };
    let made = Contribution::stream(context, &mut script, &mut body, feed).unwrap();
    script.finish();
    (made, body)
}

/// All contributions of the story with their bodies.
pub(super) fn made() -> Vec<(Contribution, Vec<u8>)> {
    let (file, study): (Contributions, _) = (files::read(FOLDER, "contribution"), study());
    file.cases.iter().map(|case| make(&file, case, &study)).collect()
}

pub(super) fn contribution(_: &str, file: Contributions) {
    let (study, manifest) = (study(), &file.manifest.statement);
    assert_eq!(study.id(), file.study);
    Manifest::check(&file.manifest, &study, file.study, None).unwrap();
    for (index, case) in file.cases.iter().enumerate() {
        check_parts(case, &study);
        let (used, body) = case.encrypt(&study, manifest);
        let bytes = block_bytes(study.packing.wire_bits);
        assert_eq!(body.len(), case.words.len() * bytes);
        for (block, shown) in body.chunks(bytes).zip(&case.words) {
            let mut words = [0; RING_DEGREE];
            unpack(block, study.packing.wire_bits, &mut words);
            shown.check(&words);
        }
        assert_eq!(used.check().numbers(), numbers(&case.check_words)[..]);
        let check_key = identity(&case.site).check_key(&study).unwrap();
        let read = check_key.words_of(&study, manifest.id(), &mut &body[..]).unwrap();
        assert!(read.matches(used.check()), "read from the body");
        let wire_bits = study.packing.wire_bits;
        let sealed = check_key.header_words(&case.header.statement, wire_bits).unwrap();
        assert!(sealed.matches(used.check()), "opened from the header");
        assert_eq!(used.into_key_vectors().0.as_slice(), case.key());

        let (made, streamed) = make(&file, case, &study);
        assert_eq!(streamed, body);
        assert_eq!(made.header, case.header);
        if index == 0 {
            assert_eq!(body[bytes..], file.block_1.0);
            assert!(made.envelopes.iter().eq(file.envelopes.iter().map(|envelope| &envelope.0)));
        }
        assert_eq!(case.dealt.len(), made.envelopes.len());
        for (holder, (envelope, shown)) in
            study.holders(RoundNumber(0)).zip(made.envelopes.iter().zip(&case.dealt))
        {
            let holder = holder.id.as_str();
            let secret = round_secret(holder);
            let header = &made.header.statement;
            let share = open_envelope(&identity(holder), secret.as_ref(), &study, header, envelope);
            shown.check(share.unwrap().words());
        }
    }
}

/// Errors, quantized values and packed messages, as the blocks' randomness gives them.
fn check_parts(case: &Case, study: &Study) {
    let update = case.update(study.layout.values());
    let randomness = BulkRandomness::draw(&mut Script::new(&[&case.bulk_seed.0]));
    let (quantizer, packing) = (Quantizer::new(&study.layout, &study.packing), &study.packing);
    let (mut slots, mut rest) = (Vec::new(), update.as_slice());
    assert_eq!(case.errors.len(), case.messages.len());
    for (block, (shown, expected)) in case.messages.iter().zip(&case.errors).enumerate() {
        let mut stream = randomness.block(block as u64);
        let (mut uniform, mut errors) = ([0; UNIFORM_BYTES], [0; RING_DEGREE]);
        stream.fill(&mut uniform);
        errors_from_uniform(&uniform, &mut errors);
        let first: Vec<u64> = expected.first.iter().map(|e| field::from_signed(*e)).collect();
        assert_eq!(errors[..first.len()], first);
        assert_eq!(Digest::of(&field::to_bytes(&errors)), expected.digest);

        let mut dither = vec![0; packing.block_values() * 4];
        stream.fill(&mut dither);
        let capacity = packing.block_values() - usize::from(block == 0);
        let (values, after) = rest.split_at(capacity.min(rest.len()));
        let mut message = [0; RING_DEGREE];
        quantizer.fill_block(block, values, &dither, &mut message).unwrap();
        shown.check(&message);
        for slot in 0..packing.slots {
            let shift = slot * packing.slot_bits;
            slots.extend(message.iter().map(|m| m >> shift & ((1 << packing.slot_bits) - 1)));
        }
        rest = after;
    }
    assert!(rest.is_empty() && slots[0] == 1, "all values, and the count");
    let quantized = &slots[1..][..update.len()];
    assert_eq!(quantized[..case.quantized.len()], case.quantized);
    let bytes: Vec<u8> = quantized.iter().flat_map(|value| (*value as u32).to_le_bytes()).collect();
    assert_eq!(Digest::of(&bytes), case.quantized_digest);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BadCheckWords {
    manifest: Signed<Manifest>,
    header: Signed<Header>,
    error: String,
}

pub(super) fn header_words_bad(_: &str, file: BadCheckWords) {
    let study = study();
    let header = &file.header.statement;
    assert_eq!(header.manifest, file.manifest.id());
    file.header.verify(&study.site(&header.site).unwrap().signature_key, &header.site).unwrap();
    let check_key = identity("south").check_key(&study).unwrap();
    refused(check_key.header_words(header, study.packing.wire_bits), &file.error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BadEnvelope {
    manifest: Signed<Manifest>,
    round_keys: Vec<Signed<RoundKeys>>,
    header: Signed<Header>,
    holder: String,
    envelope: HexBytes,
    error: String,
}

pub(super) fn envelope_bad(_: &str, file: BadEnvelope) {
    let study = study();
    let header = &file.header.statement;
    assert_eq!(header.manifest, file.manifest.id());
    HolderKeys::resolve(&study, &file.manifest.statement, &file.round_keys).unwrap();
    file.header.verify(&study.site(&header.site).unwrap().signature_key, &header.site).unwrap();
    let (identity, secret) = (identity(&file.holder), round_secret(&file.holder));
    let opened = open_envelope(&identity, secret.as_ref(), &study, header, &file.envelope.0);
    refused(opened, &file.error);
}
