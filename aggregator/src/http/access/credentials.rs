//! By what a request shows whose it is: a signature, a carrier's permit, a token.

use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use ringfence_crypto::id::{SiteId, StudyId, UnixSeconds};
use ringfence_crypto::request::{
    CONTENT_DIGEST, ContentDigest, PERMIT, RequestParts, RequestSignature, RequestSignatureError,
    SIGNATURE, SIGNATURE_INPUT,
};
use ringfence_crypto::signature::{PublicKey, Signed};
use ringfence_crypto::statement::{CarrierPermit, PermitError};
use ringfence_crypto::wire::json;

use super::{Asker, SignedAt, Signer};
use crate::core::incoming::Digested;
use crate::core::refusal::{Kind, Refusal};
use crate::http::front::Front;

/// Checks whose request it is.
pub(super) fn signer(
    front: &Front,
    parts: &mut Parts,
    study: StudyId,
    keys: impl Fn(&SiteId) -> Result<Vec<PublicKey>, Refusal>,
) -> Result<(SiteId, [u8; 64]), Refusal> {
    let value = |name: &str| one(&parts.headers, name);
    let (input, signature) = (value(SIGNATURE_INPUT)?, value(SIGNATURE)?);
    let signature = RequestSignature::parse(
        input.as_deref().unwrap_or_default(),
        signature.as_deref().unwrap_or_default(),
    );
    let signature = signature.map_err(|error| Refusal::unauthorised(error.to_string()))?;
    let site = signature.site();
    let (keys, now) = (keys(site)?, front.clock.now());
    let keys = match value(PERMIT)? {
        None => keys,
        Some(permit) => vec![permitted(&permit, study, (site, &keys), now)?],
    };
    let digest = value(CONTENT_DIGEST)?;
    let request = RequestParts {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query(),
        content_digest: digest.as_deref(),
    };
    let (mut verified, mut asker) = (Ok(()), Asker(None));
    for key in keys {
        verified = signature.verify(&request, &key, now);
        asker = Asker(Some((site.clone(), key)));
        if !matches!(verified, Err(RequestSignatureError::Invalid(_))) {
            break;
        }
    }
    verified.map_err(|error| match &error {
        RequestSignatureError::Clock { .. } | RequestSignatureError::Expired { .. } => {
            Refusal::new(Kind::Clock, error.to_string())
        }
        RequestSignatureError::Invalid(_) => Refusal::sender(error.to_string()),
        _ => Refusal::unauthorised(error.to_string()),
    })?;
    // For whoever reads the request's message.
    let digest = digest.as_deref().map(ContentDigest::parse).transpose();
    let digest = digest.map_err(|error| Refusal::malformed(error.to_string()))?;
    parts.extensions.insert(digest.map_or(Digested::Missing, Digested::As));
    parts.extensions.insert(SignedAt(signature.created()));
    parts.extensions.insert(Signer(site.clone()));
    parts.extensions.insert(asker);
    Ok((site.clone(), signature.bytes()))
}

/// Most bytes of a carrier's permit.
const MAX_PERMIT: usize = 1024;

/// The key of a carrier that a site permits to make its requests: those of a site without a network,
/// signed when they are sent. Whatever is in them the site itself has signed, or is held by a digest
/// that it has signed; so a carrier may ask what its site may, and say nothing of its own.
fn permitted(
    permit: &str,
    study: StudyId,
    (site, keys): (&SiteId, &[PublicKey]),
    now: UnixSeconds,
) -> Result<PublicKey, Refusal> {
    let permit: Signed<CarrierPermit> =
        json::parse(permit.as_bytes(), MAX_PERMIT, "carrier's permit")
            .map_err(|error| Refusal::malformed(format!("the header {PERMIT}: {error}")))?;
    let mut checked = Err(PermitError::NoKey(site.clone()));
    // Of one key at most the signature holds.
    for key in keys {
        checked = CarrierPermit::check(&permit, study, site, key, now);
        if !matches!(checked, Err(PermitError::Signature(_))) {
            break;
        }
    }
    checked.map_err(|error| match &error {
        PermitError::Time { .. } => Refusal::unauthorised(error.to_string()),
        _ => Refusal::sender(error.to_string()),
    })
}

/// The value of a header that may stand there once at most.
pub(super) fn one(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refuse = |what: &str| Refusal::malformed(format!("the header {name} {what}"));
    if values.next().is_some() {
        return Err(refuse("is there twice"));
    }
    let value = value.to_str().map_err(|_| refuse("holds other bytes than visible ASCII"))?;
    Ok(Some(value.to_owned()))
}

/// The token of an `Authorization` header.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // The scheme's case does not matter (RFC 9110, section 11.1).
    let token = value.as_bytes().split_at_checked(7);
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    match (token, values.next()) {
        (Some((_, token)), None) => Ok(Some(token)),
        _ => Err(Refusal::unauthorised("expected one header `Authorization: Bearer TOKEN`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_s_case_does_not_matter_and_one_token_is_one() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            headers
        };
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let headers = headers(&[&format!("{scheme} abc")]);
            assert_eq!(bearer(&headers).unwrap(), Some(&b"abc"[..]));
        }
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
        for bad in [&["Basic abc"][..], &["Bearer"], &["Bearer a", "Bearer a"]] {
            assert_eq!(bearer(&headers(bad)).unwrap_err().kind(), Kind::Unauthorised, "{bad:?}");
        }
    }
}
