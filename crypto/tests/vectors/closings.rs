//! Freezes, certificates, and closings held against the judgement of their reviews.

use ringfence_crypto::Digest;
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Certificate, Closing, ExclusionReason, Freeze, Header, Manifest, Review, SetView,
};
use serde::Deserialize;

use crate::FOLDER;
use crate::files::{self, refused};
use crate::judgements::Expected;
use crate::statements::signed_study;
use crate::studies::signed_by;

/// The round of the story as far as its certificate.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateFile {
    pub(crate) manifest: Signed<Manifest>,
    pub(crate) headers: Vec<Signed<Header>>,
    pub(crate) freeze: Signed<Freeze>,
    /// The last of them is not listed in the closing.
    pub(crate) reviews: Vec<Signed<Review>>,
    pub(crate) certificate: Certificate,
}

pub(crate) fn certificate(_: &str, file: CertificateFile) {
    let (study, manifest) = (signed_study().study, &file.manifest.statement);
    let Certificate { closing, endorsements } = &file.certificate;
    Manifest::check(&file.manifest, &study, study.id(), None).unwrap();
    let trust = &Trust::default();
    Freeze::check(&file.freeze, &study, manifest, trust).unwrap();
    Closing::check(closing, &study, manifest).unwrap();
    let (freeze, headers) = (&file.freeze.statement, &file.headers[..]);
    let view = SetView { trust, freeze, headers, reviews: &file.reviews };
    let judgement = closing.statement.check_set(&study, view).unwrap();
    assert_eq!(judgement.set, freeze.dealers());
    assert_eq!(judgement.trust, Trust::default());
    let late = file.reviews.last().unwrap();
    assert!(!closing.statement.reviews.contains(&late.id()));
    file.certificate.check(&study, manifest).unwrap();
    assert_eq!(endorsements.len(), usize::from(study.threshold.endorsements));
}

/// A closing, what it is held against, and the judgement or the error that it gives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClosingFile {
    signed: Signed<Closing>,
    trust: Trust,
    freeze: Signed<Freeze>,
    headers: Vec<Signed<Header>>,
    reviews: Vec<Signed<Review>>,
    judgement: Option<Expected>,
    error: Option<String>,
}

impl ClosingFile {
    fn view(&self) -> SetView<'_> {
        let Self { trust, freeze, headers, reviews, .. } = self;
        SetView { trust, freeze: &freeze.statement, headers, reviews }
    }
}

pub(crate) fn closing_set(name: &str, file: ClosingFile) {
    assert_eq!(file.error, None);
    let study = signed_study().study;
    let story: CertificateFile = files::read(FOLDER, "certificate");
    let manifest = &story.manifest.statement;
    Freeze::check(&file.freeze, &study, manifest, &file.trust).unwrap();
    Closing::check(&file.signed, &study, manifest).unwrap();
    let closing = &file.signed.statement;
    let judgement = closing.check_set(&study, file.view()).unwrap();
    file.judgement.as_ref().unwrap().check(&judgement);
    let unseen = SetView { reviews: &[], ..file.view() };
    refused(closing.check_set(&study, unseen), "which was not shown");
    if closing.is_abort() {
        return;
    }
    // The reasons follow from the reviews: another one does not hold.
    for reason in [ExclusionReason::Barred, ExclusionReason::Accused] {
        let mut other = closing.clone();
        let changed = other.excluded.iter_mut().filter(|entry| entry.reason != reason);
        if changed.map(|entry| entry.reason = reason).count() > 0 {
            assert!(other.check_set(&study, file.view()).is_err(), "{name}: {reason:?}");
        }
    }
}

pub(crate) fn closing_bad(name: &str, file: ClosingFile) {
    assert!(file.judgement.is_none());
    let (study, error) = (signed_study().study, file.error.as_deref().unwrap());
    let story: CertificateFile = files::read(FOLDER, "certificate");
    let manifest = &story.manifest.statement;
    // What it is held against is sound, but for what the error names.
    Freeze::check(&file.freeze, &study, manifest, &file.trust).unwrap();
    let of_header = ["closing_bad_header_missing", "closing_bad_header_unsigned"].contains(&name);
    let headers = file.freeze.statement.check_headers(&study, &file.headers);
    assert_eq!(headers.is_err(), of_header, "{name}");
    for review in &file.reviews {
        let holder = study.site(&review.statement.holder).unwrap();
        let forged = review.verify(&holder.signature_key, &holder.id).is_err();
        assert!(!forged || name == "closing_bad_review_forged", "{name}");
    }
    let holds = file.signed.verify(&study.aggregator_key, &"the aggregator").is_ok();
    assert_eq!(holds, name != "closing_bad_signer", "{name}");
    let check = Closing::check(&file.signed, &study, manifest);
    let set = || file.signed.statement.check_set(&study, file.view()).map(|_| ());
    refused(check.and_then(|()| set()), error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadFreeze {
    signed: Signed<Freeze>,
    trust: Trust,
    headers: Vec<Signed<Header>>,
    error: String,
}

pub(crate) fn freeze_bad(_: &str, file: BadFreeze) {
    let study = signed_study().study;
    let story: CertificateFile = files::read(FOLDER, "certificate");
    let manifest = &story.manifest.statement;
    signed_by(&file.signed, &study, "aggregator", &file.error);
    let check = Freeze::check(&file.signed, &study, manifest, &file.trust);
    let headers = || file.signed.statement.check_headers(&study, &file.headers);
    refused(check.and_then(|()| headers()), &file.error);
    // The story's own freeze holds under the same trust, unless that bars one of its sites.
    let own = Freeze::check(&story.freeze, &study, manifest, &file.trust);
    let barred = story.freeze.statement.dealers().iter().any(|site| file.trust.bars(site));
    assert_eq!(own.is_err(), barred, "{}", Digest::from(story.freeze.id()));
}
