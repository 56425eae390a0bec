//! What an OpenAPI document says of the types that write their JSON themselves. The others derive it.

use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::Digest;
use crate::id::{
    ClosingId, DisputeId, FreezeId, HeaderId, ManifestId, ModelId, SiteId, StudyId, VerdictId,
};
use crate::log::LogHash;
use crate::protocol::{ProtocolVersion, VERSION};
use crate::round::SiteSet;
use crate::signature::PublicKey;
use crate::statement::HexBytes;

/// A text of this shape.
fn text(pattern: &str, description: &str) -> Object {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    text.description(Some(description)).build()
}

/// An Ed25519 signature.
pub(crate) fn signature() -> Object {
    text("^[0-9a-f]{128}$", "Ed25519 over the canonical bytes, 128 hexadecimal digits.")
}

macro_rules! texts {
    ($($name:ty: $pattern:literal, $description:literal;)+) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    text($pattern, $description).into()
                }
            }

            impl ToSchema for $name {}
        )+
    };
}

texts! {
    Digest: "^[0-9a-f]{64}$", "A BLAKE3 digest, 64 hexadecimal digits.";
    StudyId: "^[0-9a-f]{64}$", "A study: the digest of its canonical bytes.";
    ManifestId: "^[0-9a-f]{64}$", "A round's manifest: the digest of its canonical bytes.";
    HeaderId: "^[0-9a-f]{64}$", "A site's header: the digest of its canonical bytes.";
    ClosingId: "^[0-9a-f]{64}$", "A round's closing: the digest of its canonical bytes.";
    FreezeId: "^[0-9a-f]{64}$", "A round's freeze: the digest of its canonical bytes.";
    DisputeId: "^[0-9a-f]{64}$", "A dispute: the digest of its canonical bytes.";
    VerdictId: "^[0-9a-f]{64}$", "A verdict: the digest of its canonical bytes.";
    ModelId: "^[0-9a-f]{64}$", "A model: the digest of its names, shapes and values.";
    LogHash: "^[0-9a-f]{64}$", "A SHA-256 hash of the log, 64 hexadecimal digits.";
    PublicKey: "^[0-9a-f]{64}$", "An Ed25519 verification key, 64 hexadecimal digits.";
    HexBytes: "^([0-9a-f]{2})*$", "Bytes, two hexadecimal digits each.";
    SiteSet: "^([0-9a-f]{2})*$",
        "A set of sites, one bit a site in the roster's order: the first site is the lowest bit of the first byte.";
    SiteId: "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
        "The name of a site: 1 to 32 lower-case letters, digits and inner dashes.";
}

impl PartialSchema for ProtocolVersion {
    fn schema() -> RefOr<Schema> {
        let version = ObjectBuilder::new().schema_type(Type::Integer);
        let version = version.enum_values(Some([VERSION]));
        version.description(Some("The version of the protocol.")).build().into()
    }
}

impl ToSchema for ProtocolVersion {}
