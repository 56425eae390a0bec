//! Signed requests: RFC 9421 HTTP message signatures under a site's Ed25519 key.
//!
//! What is signed is the method, the path, the query and, of a request with a message in it, the
//! `Content-Digest` (RFC 9530) of the message. A body is streamed and has its digest in the signed
//! header that came before it, so that it needs no other. A proxy that ends TLS can read all this and
//! forge none of it. What it repeats is refused after [`MAX_CLOCK_AHEAD`] seconds, and harmless before:
//! every request may be repeated.
//!
//! The bytes that are signed begin with `"`, those of a [`Statement`](crate::signature::Statement) with
//! a count below 2^24 of the letters of its label: neither is ever the other.
#![warn(clippy::indexing_slicing, reason = "requests come from strangers")]

mod digest;
mod fields;

use ed25519_dalek::{Signature, Signer};

pub use digest::{CONTENT_DIGEST, ContentDigest, ContentDigestError};

use crate::id::{SiteId, UnixSeconds};
use crate::signature::PublicKey;
use crate::time::MAX_CLOCK_AHEAD;
use fields::{SignatureParameters, read};

/// The header that says what is signed, when and by whom.
pub const SIGNATURE_INPUT: &str = "signature-input";

/// The header with the signature.
pub const SIGNATURE: &str = "signature";

/// The header with a site's permit, the JSON of a signed
/// [`CarrierPermit`](crate::statement::CarrierPermit), where the key that it names has signed.
pub const PERMIT: &str = "ringfence-permit";

/// What these signatures are for; those of other applications are not looked at.
pub const TAG: &str = "ringfence-v2";

/// Most bytes of either header.
const MAX_HEADER: usize = 1024;

/// The parts of a request that are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestParts<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path as it is sent, percent-encoded.
    pub path: &'a str,
    /// The query as it is sent, without its question mark.
    pub query: Option<&'a str>,
    /// The value of the `Content-Digest` header.
    pub content_digest: Option<&'a str>,
}

impl RequestParts<'_> {
    /// The value of a component by its name in RFC 9421, section 2.
    fn component(&self, name: &str) -> Option<String> {
        match name {
            "@method" => Some(self.method.to_owned()),
            "@path" => Some(self.path.to_owned()),
            // Section 2.2.7: an absent query is a lone question mark.
            "@query" => Some(format!("?{}", self.query.unwrap_or_default())),
            CONTENT_DIGEST => self.content_digest.map(|value| value.trim().to_owned()),
            _ => None,
        }
    }

    /// What must be signed.
    fn components(&self) -> Vec<&'static str> {
        let mut names = vec!["@method", "@path", "@query"];
        names.extend(self.content_digest.map(|_| CONTENT_DIGEST));
        names
    }
}

/// The values of the two headers of a signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeaders {
    /// Of [`SIGNATURE_INPUT`].
    pub input: String,
    /// Of [`SIGNATURE`].
    pub signature: String,
}

/// Signs a request as a site at a time.
pub fn sign(
    parts: &RequestParts<'_>,
    site: &SiteId,
    created: UnixSeconds,
    signer: &impl Signer<Signature>,
) -> SignedHeaders {
    let parameters = SignatureParameters::new(&parts.components(), site, created);
    // Each of these components is there: they were asked of the parts themselves.
    let base = parameters.base(|name| Some(parts.component(name).unwrap_or_default()));
    let signature = signer.sign(base.unwrap_or_default().as_bytes());
    let (input, signature) = parameters.headers(&signature.to_bytes());
    SignedHeaders { input, signature }
}

/// Why a request is not taken for a site's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestSignatureError {
    /// Not the headers of a signed request.
    #[error(
        "expected the headers Signature-Input and Signature of RFC 9421 with a signature tagged \"{TAG}\": {0}"
    )]
    Malformed(String),
    /// Something that matters is not signed, or something that is signed is not there.
    #[error(
        "expected the signature to cover \"@method\", \"@path\", \"@query\" and, where there is one, \"content-digest\", and nothing else: {0}"
    )]
    Cover(String),
    /// Made at another time.
    #[error(
        "the request was signed at {} by the clock of {site}, and it is {} here: at most {MAX_CLOCK_AHEAD} s apart are taken; set the clock that is wrong",
        .created.utc(), .now.utc()
    )]
    Clock {
        /// Who signed.
        site: SiteId,
        /// When, by its clock.
        created: UnixSeconds,
        /// The verifier's time.
        now: UnixSeconds,
    },
    /// Its signer wants it to be taken no more.
    #[error(
        "the request of {site} was to be taken until {} (its signature's `expires`), and it is {} here; sign it again",
        .expires.utc(), .now.utc()
    )]
    Expired {
        /// Who signed.
        site: SiteId,
        /// Until when it was to be taken.
        expires: UnixSeconds,
        /// The verifier's time.
        now: UnixSeconds,
    },
    /// Not signed by this site.
    #[error(
        "the signature of this request does not verify under the key of {0}; it was altered on its way, or signed by somebody else"
    )]
    Invalid(SiteId),
}

/// The signature of a request, before it is known whose it is.
#[derive(Clone, Debug)]
pub struct RequestSignature {
    parameters: SignatureParameters,
    signature: Signature,
}

impl RequestSignature {
    /// Reads the two headers. Signatures without our tag are for somebody else.
    ///
    /// # Errors
    /// [`RequestSignatureError::Malformed`].
    pub fn parse(input: &str, signature: &str) -> Result<Self, RequestSignatureError> {
        let malformed = |reason: String| RequestSignatureError::Malformed(reason);
        for header in [input, signature] {
            if header.len() > MAX_HEADER {
                let got = header.len();
                return Err(malformed(format!("at most {MAX_HEADER} bytes each, got {got}")));
            }
        }
        let (parameters, signature) = read(input, signature).map_err(malformed)?;
        Ok(Self { parameters, signature: Signature::from_bytes(&signature) })
    }

    /// Who says to have signed.
    pub fn site(&self) -> &SiteId {
        &self.parameters.site
    }

    /// Its bytes, by which a request that is sent again is known.
    pub fn bytes(&self) -> [u8; 64] {
        self.signature.to_bytes()
    }

    /// When, by the signer's clock.
    pub fn created(&self) -> UnixSeconds {
        self.parameters.created
    }

    /// Checks that the site with this key signed this request, not long before or after `now`.
    ///
    /// # Errors
    /// [`RequestSignatureError`].
    pub fn verify(
        &self,
        parts: &RequestParts<'_>,
        key: &PublicKey,
        now: UnixSeconds,
    ) -> Result<(), RequestSignatureError> {
        let (site, created) = (self.site().clone(), self.parameters.created);
        let (wanted, signed) = (parts.components(), self.parameters.components());
        if let Some(missing) = wanted.iter().find(|name| !signed.iter().any(|own| own == *name)) {
            return Err(RequestSignatureError::Cover(format!("\"{missing}\" is not signed")));
        }
        let base = self.parameters.base(|name| parts.component(name));
        let base = base.map_err(RequestSignatureError::Cover)?;
        if !key.verifies(base.as_bytes(), &self.signature) {
            return Err(RequestSignatureError::Invalid(site));
        }
        if now.seconds_since(created).max(created.seconds_since(now)) > MAX_CLOCK_AHEAD {
            return Err(RequestSignatureError::Clock { site, created, now });
        }
        match self.parameters.expires {
            Some(expires) if expires < now => {
                Err(RequestSignatureError::Expired { site, expires, now })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
