//! Requests signed as the sites of the tests' rosters would sign them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ed25519_dalek::SigningKey;
use reqwest::Request;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use ringfence_crypto::Digest;
use ringfence_crypto::id::{SiteId, StudyId, UnixSeconds};
use ringfence_crypto::request::{
    CONTENT_DIGEST, ContentDigest, RequestParts, SIGNATURE, SIGNATURE_INPUT, sign,
};

use crate::roster::now;

/// Studies whose sites have other keys than [`Roster::new`](crate::roster::Roster::new) gives them.
static OTHERS: Mutex<BTreeMap<String, Vec<SigningKey>>> = Mutex::new(BTreeMap::new());

/// From now on requests for this study are signed with these keys, in the order of its roster.
pub(crate) fn sign_with(study: StudyId, keys: &[SigningKey]) {
    OTHERS.lock().unwrap().insert(study.to_string(), keys.to_vec());
}

/// Whose request it is, and when it was made by that site's clock.
pub(crate) struct Signer {
    pub(crate) site: SiteId,
    pub(crate) key: SigningKey,
    pub(crate) at: UnixSeconds,
}

impl Signer {
    /// A site of [`Roster::new`](crate::roster::Roster::new), now.
    pub(crate) fn site(index: usize) -> Self {
        let key = SigningKey::from_bytes(&Digest::of(&[7, index as u8]).0);
        Self { site: format!("site-{index}").parse().unwrap(), key, at: now() }
    }

    /// The site whose own place a path is: the last that it names, or the first of the roster.
    pub(crate) fn of_path(path: &str) -> Self {
        let named = path.rsplit('/').find_map(|segment| segment.strip_prefix("site-"));
        let index = named.and_then(|index| index.parse().ok()).unwrap_or(0);
        let signer = Self::site(index);
        let study = path.split('/').nth(3).unwrap_or_default();
        match OTHERS.lock().unwrap().get(study).and_then(|keys| keys.get(index)) {
            Some(key) => Self { key: key.clone(), ..signer },
            None => signer,
        }
    }

    /// The headers that sign a request.
    pub(crate) fn headers(
        &self,
        method: &str,
        target: &str,
        message: Option<&[u8]>,
    ) -> Vec<(&'static str, String)> {
        let digest = message.map(|message| ContentDigest::of(message).header());
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let parts = RequestParts { method, path, query, content_digest: digest.as_deref() };
        let signed = sign(&parts, &self.site, self.at, &self.key);
        let mut headers = vec![(SIGNATURE_INPUT, signed.input), (SIGNATURE, signed.signature)];
        headers.extend(digest.map(|digest| (CONTENT_DIGEST, digest)));
        headers
    }

    /// Signs a request, whatever it is.
    pub(crate) fn sign(&self, request: &mut Request) {
        let target = match request.url().query() {
            Some(query) => format!("{}?{query}", request.url().path()),
            None => request.url().path().to_owned(),
        };
        let message = request.body().and_then(|body| body.as_bytes());
        for (name, value) in self.headers(request.method().as_str(), &target, message) {
            let value = HeaderValue::from_str(&value).unwrap();
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

/// Signs a request for a study that shows no other right: as the site whose place it is.
pub(crate) fn sign_as_usual(request: &mut Request) {
    let path = request.url().path().to_owned();
    let shows = [AUTHORIZATION.as_str(), SIGNATURE];
    let somebodys = ["/v2/studies/", "/v2/drafts/"];
    if somebodys.iter().any(|somebodys| path.starts_with(somebodys))
        && !shows.iter().any(|name| request.headers().contains_key(*name))
    {
        Signer::of_path(&path).sign(request);
    }
}
