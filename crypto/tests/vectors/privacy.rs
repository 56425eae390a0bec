//! Privacy policies, and what headers state of the budget that is spent.

use std::sync::Arc;

use ringfence_crypto::id::StudyId;
use ringfence_crypto::round::{Round, Verdict};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{Header, HexBytes, Manifest, PrivacyPolicy, SignedStudy, Study};
use ringfence_crypto::wire::canonical::Canonical;
use serde::Deserialize;
use serde_json::Value;

use crate::FOLDER;
use crate::files::{self, refused};
use crate::statements::study_json;
use crate::studies::{Replace, replaced, signed_by};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policies {
    cases: Vec<Policy>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    name: String,
    replace: Replace,
    policy: Value,
    bytes: HexBytes,
    digest: StudyId,
}

/// The study of study.json with values replaced, and the signatures of what it was.
fn study_with(replace: &Replace) -> Study {
    let replace = replace.iter().map(|(at, value)| (format!("/study{at}"), value.clone()));
    SignedStudy::parse(&replaced(study_json(), replace.collect())).unwrap().study
}

pub(crate) fn policies(_: &str, file: Policies) {
    for Policy { name, replace, policy: shown, bytes, digest } in &file.cases {
        let privacy: PrivacyPolicy = serde_json::from_value(shown.clone()).unwrap();
        let mut encoded = Vec::new();
        privacy.encode(&mut encoded);
        assert_eq!(encoded, bytes.0, "{name}");
        assert_eq!(serde_json::to_value(privacy).unwrap(), *shown, "{name}");
        let study = study_with(replace);
        assert_eq!((study.privacy, study.id()), (privacy, *digest), "{name}");
        assert_eq!(privacy.check(&study), Ok(()), "{name}");
        assert_eq!(study.check(), Ok(()), "{name}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderFile {
    studies: Vec<WithHeaders>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithHeaders {
    replace: Replace,
    manifest: Signed<Manifest>,
    headers: Vec<Value>,
}

/// What a holder and the round machine say of a header of north.
fn judged(
    study: &Study,
    manifest: &Signed<Manifest>,
    header: &Signed<Header>,
) -> [Result<(), String>; 2] {
    let site = "north".parse().unwrap();
    let checked = Header::check(header, study, &manifest.statement, &site);
    let round = Round::open(Arc::new(study.clone()), study.id(), manifest.clone(), None).unwrap();
    let announced = round.announce(header, manifest.statement.opened_at);
    let announced = announced.map(|verdict| assert!(matches!(verdict, Verdict::Fresh(_))));
    [checked.map_err(|error| error.to_string()), announced.map_err(|error| error.to_string())]
}

pub(crate) fn headers(_: &str, file: HeaderFile) {
    for WithHeaders { replace, manifest, headers } in &file.studies {
        let study = study_with(replace);
        for shown in headers {
            let header: Signed<Header> = serde_json::from_value(shown.clone()).unwrap();
            assert_eq!(serde_json::to_value(&header).unwrap(), *shown);
            assert_eq!(judged(&study, manifest, &header), [Ok(()), Ok(())]);
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadHeader {
    signed: Signed<Header>,
    error: String,
}

pub(crate) fn header_bad(_: &str, file: BadHeader) {
    let good: HeaderFile = files::read(FOLDER, "header_spent");
    let WithHeaders { replace, manifest, .. } = &good.studies[1];
    let study = study_with(replace);
    signed_by(&file.signed, &study, "north", &file.error);
    for judgement in judged(&study, manifest, &file.signed) {
        refused(judgement, &file.error);
    }
}
