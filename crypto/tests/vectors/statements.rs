//! Canonical bytes, statements with their signatures, and frames.

use std::fmt::Debug;

use ed25519_dalek::{SigningKey, VerifyingKey};
use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::signature::{PublicKey, Signed, Statement};
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Closing, Endorsement, Header, HexBytes, HolderKey, HolderKeys,
    Manifest, Opening, Receipt, RestoreRequest, Review, RoundKeys, SignedStudy, Standing, Study,
    Weighting,
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
        Review::LABEL => check_all::<Review>(cases),
        Closing::LABEL => check_all::<Closing>(cases),
        Endorsement::LABEL => check_all::<Endorsement>(cases),
        Opening::LABEL => check_all::<Opening>(cases),
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
    thresholds: Vec<ThresholdCase>,
}

/// The same study with another weighting.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weighted {
    #[serde(rename = "weights")]
    weighting: Weighting,
    digest: StudyId,
}

#[derive(Deserialize)]
struct ThresholdCase {
    sites: usize,
    min_sites_floor: u16,
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
    let SignedStudy { study, signatures } = &signed;
    assert_eq!(study.signed_bytes(), file.canonical.0);
    assert_eq!(study.id(), file.digest);
    assert_eq!(study.layout.digest(), file.layout_digest);
    assert_eq!(study.layout.values(), file.values);
    assert_eq!(study.blocks(), Ok(file.blocks));
    assert_eq!(study.body_bytes(), Ok(file.body_bytes));
    // Through text: a float32 has fewer digits there than as a double.
    let text = String::from_utf8(json::compact(&signed)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), file.signed);

    let Weighted { weighting, digest } = file.weighted;
    let weighted = Study { weighting, ..study.clone() };
    weighted.check().unwrap();
    assert_eq!(weighted.id(), digest);

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

    for ThresholdCase { sites, min_sites_floor, threshold } in &file.thresholds {
        let Threshold { holders, collusion, packing, .. } = *threshold;
        assert_eq!(Threshold::derive(holders, collusion, packing, *sites), Ok(*threshold));
        assert_eq!(threshold.min_sites_floor(), *min_sites_floor);
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
pub(crate) struct CertificateFile {
    pub(crate) manifest: Signed<Manifest>,
    pub(crate) headers: Vec<Signed<Header>>,
    pub(crate) certificate: Certificate,
}

pub(crate) fn certificate(_: &str, file: CertificateFile) {
    let (study, manifest) = (signed_study().study, &file.manifest.statement);
    let Certificate { closing, endorsements } = &file.certificate;
    Manifest::check(&file.manifest, &study, study.id(), None).unwrap();
    Closing::check(closing, &study, manifest).unwrap();
    closing.statement.check_set(&study, &file.headers, &[]).unwrap();
    file.certificate.check(&study, manifest).unwrap();
    assert_eq!(endorsements.len(), usize::from(study.threshold.endorsements));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClosingSet {
    signed: Signed<Closing>,
    headers: Vec<Signed<Header>>,
    reviews: Vec<Signed<Review>>,
}

pub(crate) fn closing_set(_: &str, file: ClosingSet) {
    let study = signed_study().study;
    let story: CertificateFile = files::read(FOLDER, "certificate");
    Closing::check(&file.signed, &study, &story.manifest.statement).unwrap();
    file.signed.statement.check_set(&study, &file.headers, &file.reviews).unwrap();
    // The complaints are what makes it right.
    assert!(file.signed.statement.check_set(&study, &file.headers, &file.reviews[1..]).is_err());
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frames {
    envelopes: Vec<HexBytes>,
    envelope_frame: HexBytes,
    opening: Signed<Opening>,
    opening_frame: HexBytes,
    sealed_digest: Digest,
}

pub(crate) fn frame(_: &str, file: Frames) {
    let envelopes = file.envelopes.iter().map(|envelope| envelope.0.clone()).collect();
    let expected = api::EnvelopeFrame { envelopes };
    let bytes = &file.envelope_frame.0;
    assert_eq!(frame::decode(bytes, "envelopes").as_ref(), Ok(&expected));
    assert_eq!(frame::encode(&expected).as_ref(), Ok(bytes));

    let bytes = &file.opening_frame.0;
    let opening: api::OpeningFrame = frame::decode(bytes, "an opening").unwrap();
    assert_eq!(opening.statement, file.opening);
    assert_eq!(Digest::of(&opening.sealed), file.sealed_digest);
    assert_eq!(file.opening.statement.sealed, file.sealed_digest);
    assert_eq!(frame::encode(&opening).as_ref(), Ok(bytes));
}

/// A site's name that the vectors know.
pub(crate) fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}
