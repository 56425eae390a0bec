//! Places that are kept for what is known to come: their bytes.

use ringfence_crypto::Digest;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::Epoch;
use ringfence_crypto::statement::HexBytes;
use serde::Deserialize;
use serde_json::Value;

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
