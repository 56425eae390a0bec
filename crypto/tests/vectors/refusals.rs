//! Bad statements and frames: each must be refused with the error that its file states.

use std::sync::Arc;

use ringfence_crypto::api::EnvelopeFrame;
use ringfence_crypto::round::{Event, Round, RoundState, Verdict};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Closing, Endorsement, Header, HexBytes, HolderKeys, Manifest,
    Opening, Previous, Receipt, Review, RoundKeys, Study,
};
use ringfence_crypto::wire::frame::{self, FrameError};
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};
use serde::Deserialize;
use serde_json::Value;

use crate::FOLDER;
use crate::closings::CertificateFile;
use crate::files::{self, refused};
use crate::statements::{Before, signed_study, site};
use crate::studies::{of_signature, signed_by};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadSigned<T> {
    signed: T,
    error: String,
}

pub(crate) fn signature(_: &str, file: BadSigned<Signed<Manifest>>) {
    let study = signed_study().study;
    refused(file.signed.verify(&study.roster[0].signature_key, &study.roster[0].id), &file.error);
    refused(Manifest::check(&file.signed, &study, study.id(), None), &file.error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadManifest {
    signed: Signed<Manifest>,
    previous: Option<Before>,
    error: String,
}

pub(crate) fn manifest(_: &str, file: BadManifest) {
    let study = signed_study().study;
    let previous = file.previous.map(Previous::from);
    let id = study.id();
    refused(Manifest::check(&file.signed, &study, id, previous.as_ref()), &file.error);
    // Signed by whom it names where that is a site: the signature is not what is wrong.
    let manifest = &file.signed.statement;
    if let Some(site) = study.site(&manifest.initiator) {
        file.signed.verify(&site.signature_key, &site.id).unwrap();
    }
}

pub(crate) fn round_keys(_: &str, file: BadSigned<Signed<RoundKeys>>) {
    let study = signed_study().study;
    signed_by(&file.signed, &study, file.signed.statement.site.as_str(), &file.error);
    refused(RoundKeys::check(&file.signed, &study, study.id()), &file.error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadHolderKeys {
    manifest: Signed<Manifest>,
    round_keys: Vec<Signed<RoundKeys>>,
    error: String,
}

pub(crate) fn holder_keys(_: &str, file: BadHolderKeys) {
    let study = signed_study().study;
    Manifest::check(&file.manifest, &study, study.id(), None).unwrap();
    let keys = HolderKeys::resolve(&study, &file.manifest.statement, &file.round_keys);
    refused(keys, &file.error);
}

/// The round of the story before anything was contributed.
fn opened(study: Study, manifest: &Signed<Manifest>) -> Round {
    let id = study.id();
    Round::open(Arc::new(study), id, manifest.clone(), None).unwrap()
}

fn apply(round: &mut Round, verdict: Verdict) {
    let Verdict::Fresh(event) = verdict else { panic!("nothing new") };
    round.apply(event);
}

/// The round of the story as far as its certificate, by the messages of the vectors.
fn certified() -> Round {
    let story: CertificateFile = files::read(FOLDER, "certificate");
    let receipts: Value = files::read(FOLDER, "receipt");
    let mut round = opened(signed_study().study, &story.manifest);
    let (opened_at, deadline) =
        (story.manifest.statement.opened_at, story.manifest.statement.deadline);
    for header in &story.headers {
        let verdict = round.announce(header, opened_at).unwrap();
        apply(&mut round, verdict);
    }
    for case in receipts["cases"].as_array().unwrap() {
        let receipt: Signed<Receipt> = serde_json::from_value(case["signed"].clone()).unwrap();
        let Receipt { site, received_at, .. } = &receipt.statement;
        assert_eq!(round.receipt(site, *received_at).as_ref(), Ok(&receipt.statement));
        round.apply(Event::Received(receipt));
    }
    assert_eq!(round.freeze_due(deadline), None);
    assert_eq!(round.freeze_due(deadline.after(1)).as_ref(), Some(&story.freeze.statement));
    round.apply(Event::Frozen(story.freeze));
    for review in &story.reviews[..4] {
        let verdict = round.review(review).unwrap();
        apply(&mut round, verdict);
    }
    let Certificate { closing, endorsements } = story.certificate;
    let Closing { sum, checkpoint, closed_at, .. } = closing.statement;
    let set = round.closed_set(closed_at).unwrap();
    assert_eq!(round.closing_of(set, sum, checkpoint, closed_at), closing.statement);
    round.apply(Event::Closed(closing));
    // The fifth review comes late, and is taken.
    assert!(matches!(round.review(&story.reviews[4]), Ok(Verdict::Fresh(Event::Reviewed(_)))));
    for endorsement in &endorsements {
        let verdict = round.endorse(endorsement).unwrap();
        apply(&mut round, verdict);
    }
    assert_eq!(round.state(), RoundState::Certified);
    round
}

pub(crate) fn header(_: &str, file: BadSigned<Signed<Header>>) {
    let story: CertificateFile = files::read(FOLDER, "certificate");
    let round = opened(signed_study().study, &story.manifest);
    let now = story.manifest.statement.opened_at;
    let site_name = file.signed.statement.site.as_str();
    signed_by(&file.signed, &signed_study().study, site_name, &file.error);
    refused(round.announce(&file.signed, now), &file.error);
    let good = story.headers.iter().find(|header| header.statement.site == site("north"));
    assert!(round.announce(good.unwrap(), now).is_ok());
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadCertificate {
    certificate: Certificate,
    error: String,
}

pub(crate) fn certificate(_: &str, file: BadCertificate) {
    let study = signed_study().study;
    let story: CertificateFile = files::read(FOLDER, "certificate");
    let Certificate { closing, endorsements } = &file.certificate;
    closing.verify(&study.aggregator_key, &"the aggregator").unwrap();
    let holds = |endorsement: &Signed<Endorsement>| {
        let holder = study.site(&endorsement.statement.holder);
        holder.is_none_or(|holder| endorsement.verify(&holder.signature_key, &holder.id).is_ok())
    };
    assert_eq!(endorsements.iter().all(holds), !of_signature(&file.error));
    refused(file.certificate.check(&study, &story.manifest.statement), &file.error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadMessage {
    label: String,
    signed: Value,
    error: String,
}

pub(crate) fn message(name: &str, file: BadMessage) {
    /// Signed by whom it names: what is wrong is something else.
    fn parsed<T: Statement>(file: &BadMessage) -> Signed<T> {
        let signed: Signed<T> = serde_json::from_value(file.signed.clone()).unwrap();
        let fields = &file.signed["statement"];
        let signer = fields.get("holder").or(fields.get("site")).unwrap().as_str().unwrap();
        signed_by(&signed, &signed_study().study, signer, &file.error);
        signed
    }
    let round = certified();
    let decided = match file.label.as_str() {
        Review::LABEL => round.review(&parsed(&file)),
        Endorsement::LABEL => round.endorse(&parsed(&file)),
        Opening::LABEL => round.take_opening(&parsed(&file)),
        Acknowledgement::LABEL => round.acknowledge(&parsed(&file)),
        label => panic!("{name}: no message {label:?}"),
    };
    refused(decided.map(|_| ()), &file.error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadFrame {
    bytes: HexBytes,
    zeros: usize,
    error: String,
}

pub(crate) fn frame(_: &str, file: BadFrame) {
    let mut bytes = file.bytes.0;
    bytes.resize(bytes.len() + file.zeros, 0);
    let decoded: Result<EnvelopeFrame, FrameError> = frame::decode(&bytes, "envelopes");
    refused(decoded, &file.error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadJson {
    text: String,
    spaces: usize,
    error: String,
}

pub(crate) fn json(_: &str, file: BadJson) {
    let mut bytes = file.text.into_bytes();
    bytes.resize(bytes.len() + file.spaces, b' ');
    refused(json::parse::<Signed<Review>>(&bytes, MAX_MESSAGE, "review"), &file.error);
}
