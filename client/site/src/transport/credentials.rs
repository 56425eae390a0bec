//! What shows the aggregator whose a request is: a site's signature, or a token.

use std::fmt;
use std::sync::Arc;

use reqwest::Request;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use ringfence_crypto::id::{SiteId, UnixSeconds};
use ringfence_crypto::request::{
    CONTENT_DIGEST, ContentDigest, PERMIT, RequestParts, SIGNATURE, SIGNATURE_INPUT, sign,
};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::CarrierPermit;
use ringfence_crypto::wire::json;
use ringfence_keys::identity::Identity;
use zeroize::Zeroizing;

/// The paths below which requests are somebody's.
const SOMEBODYS: [&str; 2] = ["/v2/studies/", "/v2/drafts/"];

/// Whose requests these are.
#[derive(Clone, Default)]
pub(super) enum Credentials {
    /// Nobody's.
    #[default]
    None,
    /// A site's: each is signed by its identity.
    Site(Arc<Identity>),
    /// A site's, made by a carrier that it permits: each is signed by the carrier's identity.
    Carrier(Arc<Identity>, Arc<Signed<CarrierPermit>>),
    /// An auditor's or administrator's.
    Token(Arc<Zeroizing<String>>),
}

impl Credentials {
    /// Adds what shows whose a request is to one for a study that does not show it yet.
    pub(super) fn attach(&self, request: &mut Request, now: UnixSeconds) {
        let path = request.url().path();
        if !SOMEBODYS.iter().any(|somebodys| path.starts_with(somebodys))
            || request.headers().contains_key(AUTHORIZATION)
        {
            return;
        }
        match self {
            Self::None => {}
            Self::Token(token) => {
                // A token is visible ASCII.
                if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.as_str()))
                {
                    value.set_sensitive(true);
                    request.headers_mut().insert(AUTHORIZATION, value);
                }
            }
            Self::Site(identity) => attach_signature(identity, identity.site(), request, now),
            Self::Carrier(carrier, permit) => {
                attach_signature(carrier, &permit.statement.site, request, now);
                // It is JSON of names, numbers and digests: visible ASCII.
                if let Ok(permit) = HeaderValue::from_bytes(&json::compact(&**permit)) {
                    request.headers_mut().insert(PERMIT, permit);
                }
            }
        }
    }
}

fn attach_signature(identity: &Identity, site: &SiteId, request: &mut Request, now: UnixSeconds) {
    // A streamed body has its digest in the header statement that was sent before it.
    let message = request.body().and_then(|body| body.as_bytes());
    let digest = message.map(|message| ContentDigest::of(message).header());
    let url = request.url();
    let parts = RequestParts {
        method: request.method().as_str(),
        path: url.path(),
        query: url.query(),
        content_digest: digest.as_deref(),
    };
    let signed = sign(&parts, site, now, identity.signer());
    let headers = [
        (CONTENT_DIGEST, digest),
        (SIGNATURE_INPUT, Some(signed.input)),
        (SIGNATURE, Some(signed.signature)),
    ];
    for (name, value) in headers {
        // Structured fields are visible ASCII.
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            request.headers_mut().insert(name, value);
        }
    }
}

impl fmt::Debug for Credentials {
    /// Whose they are, and nothing secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Site(identity) => write!(f, "Site({})", identity.site()),
            Self::Carrier(_, permit) => write!(f, "Carrier({})", permit.statement.site),
            Self::Token(_) => f.write_str("Token(..)"),
        }
    }
}
