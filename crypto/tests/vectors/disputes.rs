//! Disputes, verdicts and what certifies them; openings of functionals and keys.

use std::collections::BTreeSet;
use std::fmt::Debug;

use ringfence_crypto::Digest;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Certifiable, Closing, Dispute, DisputeCertificate, DisputeError, HexBytes, Opening,
    Proceedings, Quorum, SignedStudy, Study, Verdict, VerdictCertificate,
};
use ringfence_crypto::wire::frame;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::FOLDER;
use crate::files::{self, refused};
use crate::statements::signed_study;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Digests {
    cases: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    statement: Value,
    canonical: HexBytes,
    digest: Digest,
}

pub(crate) fn digest<S: Statement + Debug>(_: &str, file: Digests) {
    for Named { name, statement: shown, canonical, digest } in file.cases {
        let statement: S = serde_json::from_value(shown.clone()).unwrap();
        assert_eq!(statement.signed_bytes(), canonical.0, "{name}");
        assert_eq!(statement.id().into(), digest, "{name}");
        assert_eq!(serde_json::to_value(&statement).unwrap(), shown, "{name}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certified {
    closing: Signed<Closing>,
    certificate: Value,
}

/// A certificate that holds, and holds no more with an endorsement less or one twice.
fn holds<S: Certifiable + DeserializeOwned>(certificate: Value) -> Quorum<S> {
    let study = signed_study().study;
    let quorum: Quorum<S> = serde_json::from_value(certificate.clone()).unwrap();
    quorum.check(&study).unwrap();
    assert_eq!(serde_json::to_value(&quorum).unwrap(), certificate);
    let mut fewer = quorum.clone();
    let last = fewer.endorsements.pop().unwrap();
    assert!(fewer.check(&study).is_err());
    fewer.endorsements.insert(0, fewer.endorsements[0].clone());
    assert!(fewer.check(&study).is_err());
    fewer.endorsements[0] = last;
    fewer.check(&study).unwrap();
    quorum
}

pub(crate) fn dispute_certificate(_: &str, file: Certified) {
    let quorum: DisputeCertificate = holds(file.certificate);
    quorum.statement.check(&signed_study().study, &file.closing.statement).unwrap();
}

pub(crate) fn verdict_certificate(_: &str, file: Certified) {
    let quorum: VerdictCertificate = holds(file.certificate);
    quorum.statement.check(&signed_study().study, &file.closing.statement).unwrap();
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadCertificate<S: Certifiable> {
    /// The file with the round that it is of.
    of: String,
    #[serde(bound(deserialize = "S: Certifiable"))]
    certificate: Quorum<S>,
    error: String,
}

/// The certificate is not one, or what it certifies is no statement of this closing: one of both.
fn bad<S: Certifiable>(
    file: &BadCertificate<S>,
    check: impl Fn(&S, &Study, &Closing) -> Result<(), DisputeError>,
) {
    let (study, closing) = files::read::<ProceedingsFile>(FOLDER, &file.of).round();
    let quorum = file.certificate.check(&study).map_err(DisputeError::from);
    let statement = check(&file.certificate.statement, &study, &closing);
    assert_ne!(quorum.is_err(), statement.is_err());
    refused(quorum.and(statement), &file.error);
}

pub(crate) fn dispute_certificate_bad(_: &str, file: BadCertificate<Dispute>) {
    bad(&file, Dispute::check);
}

pub(crate) fn verdict_certificate_bad(_: &str, file: BadCertificate<Verdict>) {
    bad(&file, Verdict::check);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProceedingsFile {
    /// None: that of the story.
    study: Option<SignedStudy>,
    closing: Signed<Closing>,
    proceedings: Proceedings,
    removed: BTreeSet<SiteId>,
    trust: Trust,
    trust_digest: Digest,
    with_check_words: Proceedings,
    barred: Vec<SiteId>,
}

impl ProceedingsFile {
    fn round(&self) -> (Study, Closing) {
        let signed = self.study.clone().unwrap_or_else(signed_study);
        signed.verify().unwrap();
        self.closing.verify(&signed.study.aggregator_key, &"the aggregator").unwrap();
        (signed.study, self.closing.statement.clone())
    }
}

pub(crate) fn proceedings(_: &str, file: ProceedingsFile) {
    let (study, closing) = &file.round();
    file.proceedings.check(study, closing).unwrap();
    assert_eq!(file.proceedings.removed(), file.removed);
    let trust = file.proceedings.bar(Trust::default());
    assert_eq!((trust.digest(), &trust), (file.trust_digest, &file.trust));
    file.with_check_words.check(study, closing).unwrap();
    assert_eq!(file.with_check_words.removed(), file.removed, "check words remove nobody");
    assert_eq!(file.with_check_words.bar(Trust::default()).barred, file.barred);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadProceedings {
    /// The file with the round that they are of.
    of: String,
    proceedings: Proceedings,
    error: String,
}

pub(crate) fn proceedings_bad(_: &str, file: BadProceedings) {
    let (study, closing) = files::read::<ProceedingsFile>(FOLDER, &file.of).round();
    let Proceedings { check_words, disputes } = &file.proceedings;
    for settled in disputes {
        settled.dispute.check(&study).unwrap();
        settled.verdict.check(&study).unwrap();
        settled.verdict.statement.check(&study, &closing).unwrap();
    }
    if let Some(verdict) = check_words {
        verdict.check(&study).unwrap();
        verdict.statement.check(&study, &closing).unwrap();
    }
    refused(file.proceedings.check(&study, &closing), &file.error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frame {
    words: usize,
    opening: Signed<Opening>,
    frame: HexBytes,
}

pub(crate) fn opening_frame(_: &str, file: Frame) {
    let study = signed_study().study;
    let frame: OpeningFrame = frame::decode(&file.frame.0, "an opening").unwrap();
    assert_eq!(frame.statement, file.opening);
    assert_eq!(frame::encode(&frame).as_ref(), Ok(&file.frame.0));
    refused(frame.clone().check(&study, file.words + 1), "content has");
    frame.check(&study, file.words).unwrap();
}
