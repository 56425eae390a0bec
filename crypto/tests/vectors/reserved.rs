//! Places that are kept for what is known to come: their bytes.

use ringfence_crypto::Digest;
use ringfence_crypto::id::StudyId;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::reserved::Epoch;
use ringfence_crypto::statement::{HexBytes, PrivacyPolicy, Study};
use ringfence_crypto::wire::canonical::Canonical;
use serde::Deserialize;
use serde_json::Value;

use crate::statements::signed_study;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Privacy {
    cases: Vec<PrivacyCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivacyCase {
    policy: Value,
    bytes: HexBytes,
    digest: StudyId,
}

pub(crate) fn privacy(_: &str, file: Privacy) {
    for (number, PrivacyCase { policy: shown, bytes, digest }) in file.cases.iter().enumerate() {
        let privacy: PrivacyPolicy = serde_json::from_value(shown.clone()).unwrap();
        let mut encoded = Vec::new();
        privacy.encode(&mut encoded);
        assert_eq!(encoded, bytes.0);
        assert_eq!(usize::from(encoded[0]), number);
        let study = Study { privacy, ..signed_study().study };
        assert_eq!(study.id(), *digest);
        assert_eq!(study.check().is_ok(), privacy == PrivacyPolicy::None, "{privacy:?}");
        assert_eq!(serde_json::to_value(privacy).unwrap(), *shown);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EpochFile {
    statement: Value,
    canonical: HexBytes,
    digest: Digest,
}

pub(crate) fn epoch(_: &str, file: EpochFile) {
    let epoch: Epoch = serde_json::from_value(file.statement.clone()).unwrap();
    assert_eq!(epoch.signed_bytes(), file.canonical.0);
    assert_eq!(epoch.id(), file.digest);
    assert_eq!(serde_json::to_value(&epoch).unwrap(), file.statement);
}
