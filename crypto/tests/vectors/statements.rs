//! Canonical bytes, statements with their signatures, and frames.

use std::fmt::Debug;

use ed25519_dalek::{SigningKey, VerifyingKey};
use ringfence_crypto::api::{OpeningContext, OpeningPart, recipient_leaf};
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{ClosingId, RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::log::LogHash;
use ringfence_crypto::signature::{PublicKey, Signed, Statement};
use ringfence_crypto::statement::EpochSignature;
use ringfence_crypto::statement::reserved::Refusal;
use ringfence_crypto::statement::{
    Acknowledgement, Closing, DisputeEndorsement, Endorsement, Freeze, Header, HexBytes, HolderKey,
    HolderKeys, Manifest, Opening, Previous, Receipt, RestoreRequest, Review, RoundKeys,
    SignedStudy, Standing, Study, Subject, Training, VerdictEndorsement, Weighting,
};
use ringfence_crypto::threshold::Threshold;
use ringfence_crypto::wire::canonical::{self, Canonical};
use ringfence_crypto::wire::frame;
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};
use ringfence_crypto::{Digest, api};
use serde::Deserialize;
use serde_json::Value;

use crate::FOLDER;
use crate::files;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded<T> {
    value: T,
    canonical: HexBytes,
    digest: Digest,
}

impl<T: Canonical> Encoded<T> {
    fn check(&self) {
        assert_eq!(canonical::bytes("t", &self.value), self.canonical.0);
        assert_eq!(canonical::digest("t", &self.value), self.digest);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Primitives {
    u8: Encoded<u8>,
    u16: Encoded<u16>,
    u32: Encoded<u32>,
    u64: Encoded<u64>,
    f32: Encoded<f32>,
    string: Encoded<String>,
    strings: Encoded<Vec<String>>,
    none: Encoded<Option<u64>>,
    some: Encoded<Option<u64>>,
}

pub(crate) fn canonical(_: &str, file: Primitives) {
    let Primitives { u8, u16, u32, u64, f32, string, strings, none, some } = file;
    u8.check();
    u16.check();
    u32.check();
    u64.check();
    f32.check();
    string.check();
    strings.check();
    none.check();
    some.check();
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statements {
    label: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// A site, or the aggregator.
    signer: String,
    key: PublicKey,
    signed: Value,
    canonical: HexBytes,
    digest: Digest,
}

pub(crate) fn statement(name: &str, file: Statements) {
    let cases = &file.cases;
    assert!(!cases.is_empty());
    match file.label.as_str() {
        Manifest::LABEL => check_all::<Manifest>(cases),
        RoundKeys::LABEL => check_all::<RoundKeys>(cases),
        RestoreRequest::LABEL => check_all::<RestoreRequest>(cases),
        Standing::LABEL => check_all::<Standing>(cases),
        Header::LABEL => check_all::<Header>(cases),
        Receipt::LABEL => check_all::<Receipt>(cases),
        Freeze::LABEL => check_all::<Freeze>(cases),
        Review::LABEL => check_all::<Review>(cases),
        Closing::LABEL => check_all::<Closing>(cases),
        Endorsement::LABEL => check_all::<Endorsement>(cases),
        DisputeEndorsement::LABEL => check_all::<DisputeEndorsement>(cases),
        VerdictEndorsement::LABEL => check_all::<VerdictEndorsement>(cases),
        Opening::LABEL => check_all::<Opening>(cases),
        EpochSignature::LABEL => check_all::<EpochSignature>(cases),
        Refusal::LABEL => check_all::<Refusal>(cases),
        Acknowledgement::LABEL => check_all::<Acknowledgement>(cases),
        label => panic!("{name}: no statement has the label {label:?}"),
    }
}

fn check_all<T: Statement + PartialEq + Debug>(cases: &[Case]) {
    let study = signed_study().study;
    for Case { name, signer, key, signed: shown, canonical, digest } in cases {
        let text = serde_json::to_vec(shown).unwrap();
        let signed: Signed<T> = json::parse(&text, MAX_MESSAGE, T::LABEL).unwrap();
        assert_eq!(signed.statement.signed_bytes(), canonical.0, "{name}");
        assert_eq!(signed.id().into(), *digest, "{name}");
        let expected = match signer.as_str() {
            "aggregator" => study.aggregator_key,
            site => study.site(&site.parse().unwrap()).unwrap().signature_key,
        };
        assert_eq!(expected, *key, "{name}");
        signed.verify(key, signer).unwrap();
        assert_eq!(serde_json::to_value(&signed).unwrap(), *shown, "{name}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StudyFile {
    signed: Value,
    canonical: HexBytes,
    digest: StudyId,
    layout_digest: Digest,
    values: usize,
    blocks: usize,
    body_bytes: u64,
    signing_seeds: Vec<HexBytes>,
    signature_bytes: Vec<HexBytes>,
    weighted: Weighted,
    trained: Trained,
    thresholds: Vec<ThresholdCase>,
}

/// The same study with another weighting.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weighted {
    #[serde(rename = "weights")]
    weighting: Weighting,
    digest: StudyId,
    reach_of_all: f64,
    reach_at_worst: f64,
}

/// The same study with a training plan.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trained {
    training: Training,
    digest: StudyId,
    plan_digest: Digest,
}

#[derive(Deserialize)]
struct ThresholdCase {
    sites: usize,
    min_sites_floor: u16,
    names: bool,
    silent_tolerated: u16,
    default_packing: u16,
    #[serde(flatten)]
    threshold: Threshold,
}

/// The signed study of the story, as JSON and parsed.
pub(crate) fn study_json() -> Value {
    files::read::<StudyFile>(FOLDER, "study").signed
}

pub(crate) fn signed_study() -> SignedStudy {
    serde_json::from_value(study_json()).unwrap()
}

pub(crate) fn study(_: &str, file: StudyFile) {
    let signed: SignedStudy = serde_json::from_value(file.signed.clone()).unwrap();
    signed.verify().unwrap();
    let SignedStudy { protocol: _, study, signatures } = &signed;
    assert_eq!(study.signed_bytes(), file.canonical.0);
    assert_eq!(study.id(), file.digest);
    assert_eq!(study.layout.digest(), file.layout_digest);
    assert_eq!(study.layout.values(), file.values);
    assert_eq!(study.blocks(), Ok(file.blocks));
    assert_eq!(study.body_bytes(), Ok(file.body_bytes));
    // Through text: a float32 has fewer digits there than as a double.
    let text = String::from_utf8(json::compact(&signed)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), file.signed);

    let Weighted { weighting, digest, reach_of_all, reach_at_worst } = file.weighted;
    let weighted = Study { weighting, ..study.clone() };
    weighted.check().unwrap();
    assert_eq!(weighted.id(), digest);
    let reach = weighted.reach();
    for (share, expected) in [(reach.of_all, reach_of_all), (reach.at_worst, reach_at_worst)] {
        assert!((share - expected).abs() < 1e-12, "{reach:?}");
    }
    let Trained { training, digest, plan_digest } = file.trained;
    assert_eq!(training.digest(), Some(plan_digest));
    let trained = Study { training, ..study.clone() };
    trained.check().unwrap();
    assert_eq!(trained.id(), digest);

    let mut resigned = SignedStudy::unsigned(study.clone());
    assert_eq!(file.signing_seeds.len(), study.roster.len());
    assert_eq!(file.signature_bytes.len(), study.roster.len());
    for (index, site) in study.roster.iter().enumerate() {
        let seed = file.signing_seeds[index].0.as_slice().try_into().unwrap();
        resigned.sign(&site.id, &SigningKey::from_bytes(&seed)).unwrap();
        let key = VerifyingKey::from_bytes(site.signature_key.as_bytes()).unwrap();
        let (bytes, signature) = (&file.signature_bytes[index].0, &signatures[index].signature);
        key.verify_strict(bytes, signature).unwrap();
    }
    assert_eq!(resigned, signed);

    for case in &file.thresholds {
        let (threshold, sites) = (case.threshold, case.sites);
        let Threshold { holders, collusion, packing, .. } = threshold;
        assert_eq!(Threshold::derive(holders, collusion, packing, sites), Ok(threshold));
        assert_eq!(threshold.min_sites_floor(), case.min_sites_floor);
        assert_eq!(threshold.names(), case.names, "{threshold:?}");
        assert_eq!(threshold.silent_tolerated(), case.silent_tolerated, "{threshold:?}");
        let chosen = Threshold::choose(sites, Some(holders), Some(collusion), None).unwrap();
        assert_eq!(chosen.packing, case.default_packing, "{threshold:?}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviousFile {
    previous: Vec<Option<Before>>,
}

/// How the round before a manifest ended.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Before {
    round: RoundNumber,
    closing: ClosingId,
    closed_at: UnixSeconds,
    trust: Trust,
}

impl From<Before> for Previous {
    fn from(Before { round, closing, closed_at, trust }: Before) -> Self {
        Self { round, closing, closed_at, trust }
    }
}

pub(crate) fn manifest_previous(_: &str, file: PreviousFile) {
    let study = signed_study().study;
    let manifests: Statements = files::read(FOLDER, "manifest");
    assert_eq!(manifests.cases.len(), file.previous.len());
    for (case, before) in manifests.cases.into_iter().zip(file.previous) {
        let signed: Signed<Manifest> = serde_json::from_value(case.signed).unwrap();
        let previous = before.map(Previous::from);
        let checked = Manifest::check(&signed, &study, study.id(), previous.as_ref());
        checked.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HolderKeysFile {
    manifest: Signed<Manifest>,
    round_keys: Vec<Signed<RoundKeys>>,
    keys: Vec<HexBytes>,
}

pub(crate) fn holder_keys(_: &str, file: HolderKeysFile) {
    let study = signed_study().study;
    let id = study.id();
    Manifest::check(&file.manifest, &study, id, None).unwrap();
    for statement in &file.round_keys {
        RoundKeys::check(statement, &study, id).unwrap();
    }
    let keys = HolderKeys::resolve(&study, &file.manifest.statement, &file.round_keys).unwrap();
    assert!(keys.iter().filter_map(HolderKey::key).eq(&file.keys));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frames {
    envelopes: Vec<HexBytes>,
    envelope_frame: HexBytes,
    manifest: Signed<Manifest>,
    closing: ClosingId,
    opening: Signed<Opening>,
    opening_frame: HexBytes,
    parts: Vec<Part>,
}

/// A site's part of the opening.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    recipient: SiteId,
    key_digest: Digest,
    leaf_data: HexBytes,
    leaf: LogHash,
    frame: HexBytes,
}

pub(crate) fn frame(_: &str, file: Frames) {
    let envelopes = file.envelopes.iter().map(|envelope| envelope.0.clone()).collect();
    let expected = api::EnvelopeFrame { envelopes };
    let bytes = &file.envelope_frame.0;
    assert_eq!(frame::decode(bytes, "envelopes").as_ref(), Ok(&expected));
    assert_eq!(frame::encode(&expected).as_ref(), Ok(bytes));

    let study = &signed_study().study;
    let bytes = &file.opening_frame.0;
    let opening: api::OpeningFrame = frame::decode(bytes, "an opening").unwrap();
    assert_eq!(opening.statement, file.opening);
    assert_eq!(frame::encode(&opening).as_ref(), Ok(bytes));
    let words = api::share_words(&study.threshold);
    let opening = opening.check(study, words).unwrap();
    assert_eq!(file.parts.len(), study.roster.len());
    let (round, manifest) = (file.manifest.statement.round, file.manifest.id());
    let (closing, subject) = (file.closing, Subject::Sum);
    let context = OpeningContext { study, round, manifest, closing, subject, words };
    for (position, expected) in file.parts.iter().enumerate() {
        let recipient = &expected.recipient;
        assert_eq!(study.position(recipient), Some(position));
        let part: OpeningPart = frame::decode(&expected.frame.0, "a part").unwrap();
        assert_eq!(Digest::of(&part.key), expected.key_digest);
        assert_eq!(LogHash::leaf(&expected.leaf_data.0), expected.leaf);
        assert_eq!(recipient_leaf(recipient, &part.key), expected.leaf);
        part.check(context, recipient).unwrap();
        assert_eq!(opening.part(position).as_ref(), Some(&part));
        assert_eq!(frame::encode(&part).as_ref(), Ok(&expected.frame.0));
        refused_parts(&part, context, recipient);
    }
}

/// Everything in a part is fixed by its statement, and that by signature, round and closing.
fn refused_parts(part: &OpeningPart, context: OpeningContext<'_>, recipient: &SiteId) {
    let refused = |change: &dyn Fn(&mut OpeningPart), text: &str| {
        let mut part = part.clone();
        change(&mut part);
        files::refused(part.check(context, recipient), text);
    };
    refused(&|part| part.content[0] ^= 1, "the content of the opening of north has digest");
    let root = "do not lead to the root that the opening of north names";
    refused(&|part| part.key[0] ^= 1, root);
    refused(&|part| part.path[0].0[0] ^= 1, root);
    refused(&|part| drop(part.path.drain(..1)), root);
    refused(&|part| part.statement.statement.plaintext.0[0] ^= 1, "does not verify");
    for other in &context.study.roster {
        let check = part.check(context, &other.id);
        assert_eq!(check.is_ok(), other.id == *recipient, "{recipient} for {}", other.id);
    }
    let elsewhere = OpeningContext { closing: Digest::of(b"another").into(), ..context };
    let other = "is for another round, closing or subject";
    files::refused(part.check(elsewhere, recipient), other);
    let subject = Subject::Keys { verdict: Digest::of(b"a verdict").into() };
    files::refused(part.check(OpeningContext { subject, ..context }, recipient), other);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadOpeningFrame {
    frame: HexBytes,
    error: String,
}

pub(crate) fn opening_frame_bad(_: &str, file: BadOpeningFrame) {
    let opening: api::OpeningFrame = frame::decode(&file.frame.0, "an opening").unwrap();
    let study = signed_study().study;
    files::refused(opening.check(&study, api::share_words(&study.threshold)), &file.error);
}

/// A site's name that the vectors know.
pub(crate) fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}
