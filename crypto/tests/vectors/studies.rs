//! Studies at the limits of the rules, beyond one of them, and with signatures that do not hold.

use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;
use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{SignedStudy, Study};
use ringfence_crypto::wire::canonical::{self, Canonical};
use serde::Deserialize;
use serde_json::Value;

use crate::files::refused;
use crate::statements::study_json;

/// Values by JSON pointers.
pub(crate) type Replace = BTreeMap<String, Value>;

/// The text of a study file with these values replaced.
pub(crate) fn replaced(mut study: Value, replace: Replace) -> Vec<u8> {
    // A whole study first, then what lies beside it.
    for (pointer, value) in replace {
        *study.pointer_mut(&pointer).unwrap() = value;
    }
    serde_json::to_vec(&study).unwrap()
}

/// What a site signs.
struct StudySignature<'a> {
    study: StudyId,
    site: &'a SiteId,
}

impl Canonical for StudySignature<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { study, site } = self;
        study.encode(out);
        site.encode(out);
    }
}

/// Every entry of the roster signed this very study, in this order: by no rule of a study, so that it
/// can be asked of bad ones.
fn signed_by_all(signed: &SignedStudy) {
    let SignedStudy { protocol: _, study, signatures } = signed;
    assert_eq!(signatures.len(), study.roster.len());
    for (entry, signature) in study.roster.iter().zip(signatures) {
        assert_eq!(signature.site, entry.id);
        let bytes = StudySignature { study: study.id(), site: &entry.id };
        let bytes = canonical::bytes("study-signature", &bytes);
        let key = VerifyingKey::from_bytes(entry.signature_key.as_bytes()).unwrap();
        key.verify_strict(&bytes, &signature.signature).unwrap();
    }
}

/// Whether an error is of a signature: of all other vectors the signatures hold, so that nothing but
/// the rule that the error is of is broken.
pub(crate) fn of_signature(error: &str) -> bool {
    error.contains("does not verify under the key of")
}

/// A message is signed by whom it names, or its error is that it is not; who is not on the roster has
/// no key.
pub(crate) fn signed_by<T: Statement>(
    signed: &Signed<T>,
    study: &Study,
    signer: &str,
    error: &str,
) {
    let key = match signer {
        "aggregator" => Some(study.aggregator_key),
        site => study.site(&site.parse().unwrap()).map(|entry| entry.signature_key),
    };
    if let Some(key) = key {
        assert_eq!(signed.verify(&key, &signer).is_err(), of_signature(error));
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edges {
    signed: Value,
    cases: Vec<Edge>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edge {
    name: String,
    replace: Replace,
}

pub(crate) fn edges(_: &str, file: Edges) {
    let check = |text: &[u8]| SignedStudy::parse(text).unwrap().verify();
    check(&serde_json::to_vec(&file.signed).unwrap()).unwrap();
    for Edge { name, replace } in file.cases {
        let checked = check(&replaced(file.signed.clone(), replace));
        checked.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadStudy {
    rule: String,
    replace: Replace,
    error: String,
}

/// Refused for the rule: all signatures hold, so that a reader that does not know it would accept.
pub(crate) fn bad(_: &str, file: BadStudy) {
    println!("{}", file.rule);
    match SignedStudy::parse(&replaced(study_json(), file.replace)) {
        Ok(signed) => {
            signed_by_all(&signed);
            refused(signed.study.check(), &file.error);
            refused(signed.verify(), &file.error);
        }
        // Such a value is none of a study's: the file does not even parse.
        Err(error) => refused(Err::<(), _>(error), &file.error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadSignatures {
    replace: Replace,
    error: String,
}

/// Refused for its signatures: the study is sound.
pub(crate) fn signatures_bad(_: &str, file: BadSignatures) {
    let signed = SignedStudy::parse(&replaced(study_json(), file.replace)).unwrap();
    signed.study.check().unwrap();
    refused(signed.verify(), &file.error);
}
