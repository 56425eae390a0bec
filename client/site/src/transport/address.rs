//! Where an aggregator may be: anywhere with TLS; plain HTTP stays on this machine unless told
//! otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;

use super::error::TransportError;

/// The one name that is this machine whatever a name server says.
pub(super) const LOCALHOST: &str = "localhost";

/// What [`LOCALHOST`] is. The URL gives the port.
pub(super) const LOOPBACK: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
];

/// Checks an aggregator's URL; answers with the one that paths are joined to.
pub(super) fn base(url: &str, allow_plain_http: bool) -> Result<Url, TransportError> {
    let refuse = |reason: &str| TransportError::Url { url: url.into(), reason: reason.into() };
    let mut base: Url = url.parse().map_err(|_| refuse("it is no URL"))?;
    if !["http", "https"].contains(&base.scheme()) {
        return Err(refuse("it begins with neither https:// nor http://"));
    }
    // Before the host is looked at: `http://localhost@elsewhere` is elsewhere.
    if !base.username().is_empty() || base.password().is_some() {
        return Err(refuse("it names a user before an @; an aggregator knows none"));
    }
    if base.path() != "/" || base.query().is_some() || base.fragment().is_some() {
        return Err(refuse("it has more than a host and a port; leave out what comes after them"));
    }
    if base.scheme() == "http" && !is_loopback(&base) && !allow_plain_http {
        return Err(refuse(
            "plain HTTP beyond loopback (127.0.0.0/8, [::1], localhost) needs --allow-plain-http; an aggregator with TLS has a URL with https://",
        ));
    }
    base.set_path("/v2/");
    Ok(base)
}

/// Whether a URL's host is this machine and nothing else. An IPv4 address inside an IPv6 one and the
/// unspecified address are not: what they reach depends on the system.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == LOCALHOST || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_loopback_unless_told() {
        for good in [
            "http://127.0.0.1:1",
            "http://127.8.9.10:1",
            "http://localhost:8080/",
            "http://LOCALHOST:8080",
            "http://[::1]:9",
            // Other ways to write 127.0.0.1, which the URL's parser knows.
            "http://127.1:1",
            "http://0x7f.1:1",
        ] {
            assert!(base(good, false).is_ok(), "{good}");
            assert_eq!(base(good, true).unwrap().path(), "/v2/");
        }
        for beyond in [
            "http://10.0.0.1:1",
            "http://0.0.0.0:1",
            "http://[::]:1",
            "http://[::ffff:127.0.0.1]:1",
            "http://[::ffff:10.0.0.1]:1",
            "http://localhost.evil:1",
            "http://localhost.:1",
            "http://evil.localhost:1",
            "http://127.0.0.1.evil:1",
            "http://127.0.0.1.nip.io:1",
            "http://aggregator.example:1",
        ] {
            let error = base(beyond, false).unwrap_err().to_string();
            assert!(error.contains("needs --allow-plain-http"), "{beyond}: {error}");
            assert!(base(beyond, true).is_ok(), "{beyond}");
        }
    }

    #[test]
    fn with_tls_an_aggregator_may_be_anywhere() {
        for good in ["https://aggregator.example", "https://10.0.0.1:8443", "https://[::1]:9"] {
            assert!(base(good, false).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_no_address_of_an_aggregator_is_refused_whatever_is_allowed() {
        for (bad, reason) in [
            ("ftp://localhost", "neither https:// nor http://"),
            ("localhost", "no URL"),
            ("http://", "no URL"),
            ("http://localhost@evil:1", "names a user"),
            ("http://127.0.0.1:80@evil", "names a user"),
            ("http://user:secret@127.0.0.1:1", "names a user"),
            ("http://127.0.0.1:1/prefix", "more than a host and a port"),
            ("http://127.0.0.1:1/?study=1", "more than a host and a port"),
            ("http://127.0.0.1:1/#here", "more than a host and a port"),
            // A backslash is a slash to the URL's parser: the host ends there.
            ("http://127.0.0.1\\@evil", "more than a host and a port"),
            ("https://user:secret@aggregator.example", "names a user"),
            ("https://aggregator.example/prefix", "more than a host and a port"),
        ] {
            for allow in [false, true] {
                let error = base(bad, allow).unwrap_err().to_string();
                assert!(error.contains(reason), "{bad}: {error}");
            }
        }
    }
}
