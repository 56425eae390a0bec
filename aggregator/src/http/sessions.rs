//! Sign-ins of browsers, which cannot send a token with a link: a cookie says whose it is, and until
//! when.
//!
//! Nothing is kept of a sign-in. The cookie holds when it ends, which token it was made from (by a keyed
//! hash, so that it says nothing of the token) and a MAC over both, by a key that is derived from the
//! aggregator's. So it is taken by every aggregator with the same key and the same tokens, also after a
//! restart; it ends by itself, and with its token.

use std::collections::HashMap;
use std::fmt;

use axum::http::{HeaderMap, header};
use ringfence_crypto::id::UnixSeconds;
use zeroize::Zeroizing;

use crate::auth::{Holder, Tokens};
use crate::core::refusal::Refusal;
use crate::identity::Identity;

/// A sign-in lasts for so long: 4 hours.
pub(crate) const SECONDS: u64 = 4 * 3600;

/// What the cookie is called: over HTTPS with a prefix by which a browser takes it from this server
/// alone, and not from its neighbours under one domain.
const SECURE_NAME: &str = "__Host-ringfence";
const LOCAL_NAME: &str = "ringfence";

/// What the key of the MACs is derived for.
const PURPOSE: &str = "ringfence/v2 aggregator sign-ins of the dashboard";

/// Hexadecimal digits of a name and of a MAC.
const NAME_DIGITS: usize = 32;
const MAC_DIGITS: usize = 64;

/// What cookies are checked with.
pub(crate) struct Sessions {
    key: Zeroizing<[u8; 32]>,
    /// Everybody with a token, by the name that cookies have for it.
    known: HashMap<String, (blake3::Hash, Holder)>,
}

/// How a request came, as far as cookies are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// Over HTTPS, ended here or by a proxy before.
    Secure,
    /// From this machine, in plain HTTP.
    Local,
}

impl Channel {
    /// By whether this server has TLS, and what the request says that it is called. Whoever says that
    /// this server is `localhost` and is elsewhere keeps his own cookie badly, and nobody else's.
    pub(crate) fn of(has_tls: bool, headers: &HeaderMap) -> Self {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.unwrap_or_default();
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let is_local = ["localhost", "::1"].contains(&name)
            || name.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback());
        if is_local && !has_tls { Self::Local } else { Self::Secure }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Secure => SECURE_NAME,
            Self::Local => LOCAL_NAME,
        }
    }

    /// The header that sets the cookie, for so many seconds; none remove it.
    pub(crate) fn set(self, value: &str, seconds: u64) -> String {
        let name = self.name();
        let secure = if self == Self::Secure { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }

    /// The cookie of a request. A second one under the same name is somebody else's doing: then there
    /// is none.
    pub(crate) fn cookie(self, headers: &HeaderMap) -> Option<&str> {
        let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = sent.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
        let mut ours = pairs.filter(|(name, _)| name.trim() == self.name());
        match (ours.next(), ours.next()) {
            (Some((_, value)), None) => Some(value.trim()),
            _ => None,
        }
    }
}

impl Sessions {
    /// Of everybody who has a token.
    pub(crate) fn new(identity: &Identity, tokens: &Tokens) -> Self {
        let mut sessions = Self { key: identity.derived(PURPOSE), known: HashMap::new() };
        sessions.known = tokens
            .all()
            .map(|(hash, holder)| (sessions.name(hash), (*hash, holder.clone())))
            .collect();
        sessions
    }

    /// What a cookie calls a token.
    fn name(&self, token: &blake3::Hash) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        let hash = hasher.update(b"name").update(token.as_bytes()).finalize();
        hash.to_hex().chars().take(NAME_DIGITS).collect()
    }

    fn mac(&self, token: &blake3::Hash, until: UnixSeconds) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"until").update(token.as_bytes()).update(&until.0.to_le_bytes()).finalize()
    }

    /// The cookie of somebody who shows a token now; none for a token that is unknown.
    pub(crate) fn begin(&self, token: &[u8], now: UnixSeconds) -> Option<String> {
        let hash = blake3::hash(token);
        let name = self.name(&hash);
        self.known.get(&name)?;
        let until = now.after(SECONDS);
        Some(format!("{until}.{name}.{}", self.mac(&hash, until).to_hex()))
    }

    /// Whose cookie this is.
    ///
    /// # Errors
    /// A [`Refusal`] for one that was not made here, of a token that is known no more, or that has
    /// ended.
    pub(crate) fn holder(&self, cookie: &str, now: UnixSeconds) -> Result<Holder, Refusal> {
        let (until, known) = self.checked(cookie).ok_or_else(|| {
            Refusal::unauthorised(
                "this sign-in is none of this aggregator's, or its token is taken no more; sign in again",
            )
        })?;
        match now < until && until <= now.after(SECONDS) {
            true => Ok(known),
            false => Err(Refusal::unauthorised(format!(
                "this sign-in has ended, at {}; sign in again",
                until.utc()
            ))),
        }
    }

    fn checked(&self, cookie: &str) -> Option<(UnixSeconds, Holder)> {
        let (until, rest) = cookie.split_once('.')?;
        let (name, mac) = rest.split_once('.')?;
        // One spelling: no sign, no leading zeros.
        let number: u64 = until.parse().ok()?;
        if number.to_string() != until || name.len() != NAME_DIGITS || mac.len() != MAC_DIGITS {
            return None;
        }
        let (hash, holder) = self.known.get(name)?;
        let until = UnixSeconds(number);
        // Compared in constant time.
        let holds = blake3::Hash::from_hex(mac).ok()? == self.mac(hash, until);
        holds.then(|| (until, holder.clone()))
    }
}

impl fmt::Debug for Sessions {
    /// Nothing of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions({})", self.known.len())
    }
}

/// Refuses a form that another site's page has sent.
///
/// # Errors
/// A [`Refusal`] that says so.
pub(crate) fn from_here(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text("host").unwrap_or_default();
    let is_ours = match (text("sec-fetch-site"), text("origin")) {
        // What browsers say of themselves, also behind a proxy that changes `Host`.
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            origin.split_once("://").is_some_and(|(_, of)| !host.is_empty() && of == host)
        }
        // No browser: whoever it is sends no cookie that he does not have.
        (None, None) => true,
    };
    match is_ours {
        true => Ok(()),
        false => Err(Refusal::sender(
            "this form was sent by a page of another site; open this server's own page and send it from there",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn identity() -> (tempfile::TempDir, Identity) {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::generate(&folder.path().join("key")).unwrap();
        (folder, identity)
    }

    fn tokens(known: &[&str]) -> Tokens {
        Tokens::of_tests(known.iter().map(|token| (*token, Role::Admin)))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_sign_in_lasts_its_time_and_is_taken_by_all_with_the_same_key() {
        let (folder, identity) = identity();
        let sessions = Sessions::new(&identity, &tokens(&["one", "two"]));
        let cookie = sessions.begin(b"one", NOW).unwrap();
        assert!(sessions.begin(b"three", NOW).is_none());
        for at in [0, SECONDS - 1] {
            assert_eq!(sessions.holder(&cookie, NOW.after(at)).unwrap().role, Role::Admin);
        }
        let ended = sessions.holder(&cookie, NOW.after(SECONDS)).unwrap_err();
        assert!(ended.detail().contains("has ended"), "{}", ended.detail());
        // A clock that is set back does not make it last longer.
        sessions.holder(&cookie, NOW.earlier(1)).unwrap_err();
        let again = Identity::load(&folder.path().join("key")).unwrap();
        Sessions::new(&again, &tokens(&["one"])).holder(&cookie, NOW).unwrap();
        Sessions::new(&again, &tokens(&["two"])).holder(&cookie, NOW).unwrap_err();
        let (_folder, other) = self::identity();
        Sessions::new(&other, &tokens(&["one"])).holder(&cookie, NOW).unwrap_err();
        let hash = blake3::hash(b"one").to_hex();
        assert!(!cookie.contains(&hash.as_str()[..16]), "it says nothing of the token");
    }

    #[test]
    fn a_cookie_that_was_altered_is_none() {
        let sessions = Sessions::new(&identity().1, &tokens(&["one", "two"]));
        let (one, two) =
            (sessions.begin(b"one", NOW).unwrap(), sessions.begin(b"two", NOW).unwrap());
        for place in 0..one.len() {
            let mut altered = one.clone().into_bytes();
            altered[place] = if altered[place] == b'1' { b'2' } else { b'1' };
            let altered = String::from_utf8(altered).unwrap();
            sessions.holder(&altered, NOW).unwrap_err();
        }
        let pieces: Vec<&str> = one.split('.').chain(two.split('.')).collect();
        let mixed = format!("{}.{}.{}", pieces[0], pieces[4], pieces[2]);
        let zero = format!("0{one}");
        let upper = one.to_uppercase();
        let plus = format!("+{one}");
        for bad in
            ["", ".", "..", "a.b.c", &mixed, &zero, &upper, &plus, &one[1..], &"9".repeat(9000)]
        {
            sessions.holder(bad, NOW).unwrap_err();
        }
    }

    #[test]
    fn a_cookie_goes_over_https_or_stays_on_this_machine() {
        for (host, has_tls, channel) in [
            ("aggregator.example", false, Channel::Secure),
            ("aggregator.example:8443", true, Channel::Secure),
            ("127.0.0.1:8080", false, Channel::Local),
            ("localhost", false, Channel::Local),
            ("[::1]:80", false, Channel::Local),
            ("localhost", true, Channel::Secure),
            ("localhost.example", false, Channel::Secure),
            ("", false, Channel::Secure),
        ] {
            assert_eq!(Channel::of(has_tls, &headers(&[("host", host)])), channel, "{host}");
        }
        let set = Channel::Secure.set("x", 60);
        for word in ["__Host-ringfence=x;", "Path=/", "HttpOnly", "SameSite=Strict", "; Secure"] {
            assert!(set.contains(word), "{set}");
        }
        assert!(!Channel::Local.set("x", 60).contains("Secure"));
        let sent = |cookie: &str| {
            Channel::Local.cookie(&headers(&[("cookie", cookie)])).map(str::to_owned)
        };
        assert_eq!(sent("a=b; ringfence=x; c").as_deref(), Some("x"));
        assert_eq!(sent("ringfence=x; ringfence=y"), None, "which of them is ours?");
        assert_eq!(sent("__Host-ringfence=x"), None);
        assert_eq!(sent("ringfence"), None);
    }

    #[test]
    fn a_form_comes_from_our_own_page() {
        let ours = |pairs: &[(&'static str, &str)]| from_here(&headers(pairs)).is_ok();
        let host = ("host", "a.example");
        assert!(ours(&[host]));
        assert!(ours(&[host, ("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(ours(&[host, ("origin", "https://a.example")]));
        for foreign in ["cross-site", "same-site", "none", ""] {
            assert!(!ours(&[host, ("sec-fetch-site", foreign), ("origin", "https://a.example")]));
        }
        for foreign in ["https://b.example", "null", "https://a.example.b", "a.example"] {
            assert!(!ours(&[host, ("origin", foreign)]), "{foreign}");
        }
    }
}
