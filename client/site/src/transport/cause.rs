//! What lies behind a request that failed: a closed port, a certificate, a proxy, or the network.

use std::error::Error;
use std::io;
use std::sync::Arc;

use reqwest::Url;
use rustls::CertificateError;

use super::error::TransportError;
use super::printable::printable;
use super::proxy::Proxy;
use super::tls::Unaccepted;

/// The client's words for what goes wrong before a proxy has opened the way: in all, where it wants to
/// know who asks, and where it refuses. Tests hold it to them.
const TUNNEL: &str = "tunnel error: ";
const WHO: &str = "tunnel error: proxy authorization required";
const NO_WAY: &str = "tunnel error: unsuccessful";

/// What became of a request to the server of `url`, which stands in the error once.
pub(super) fn of(url: &Url, proxy: Option<&Proxy>, source: reqwest::Error) -> TransportError {
    let port = url.port_or_known_default().unwrap_or_default();
    let target = format!("{}:{port}", url.host_str().unwrap_or_default());
    let plain = url.scheme() == "http";
    let (url, source) = (url.origin().ascii_serialization(), source.without_url());
    let reason = causes(&source);
    // Behind a tunnel it is the aggregator that is spoken to.
    let proxy = proxy.filter(|_| source.is_connect() && (plain || reason.contains(TUNNEL)));
    let shown = proxy.map_or(&url, |proxy| &proxy.url).clone();
    if let Some(error) = find::<rustls::Error>(&source) {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
                if let Some(Unaccepted { reason, advice }) = other.0.downcast_ref() {
                    let reason = reason.clone();
                    return TransportError::Certificate { url: shown, reason, advice };
                }
            }
            rustls::Error::InvalidMessage(_) => {
                return match proxy {
                    Some(Proxy { url: proxy, variable, .. }) => {
                        TransportError::ProxyNoTls { proxy: proxy.clone(), variable }
                    }
                    None => TransportError::NoTls { url: shown },
                };
            }
            _ => {}
        }
    }
    if let Some(Proxy { url: proxy, auth, variable }) = proxy {
        let proxy = proxy.clone();
        if reason.contains(WHO) {
            let known = auth.is_some();
            return TransportError::ProxyAuthentication { proxy, variable, known };
        }
        return match reason.contains(NO_WAY) {
            true => TransportError::ProxyRefused { proxy, target },
            false => TransportError::ProxyAway { proxy, variable, reason: printable(&reason) },
        };
    }
    if is_closed_port(&source) {
        return TransportError::ClosedPort { url };
    }
    // The client has no other word for it; a test holds it to this one.
    match reason.contains(": invalid HTTP ") {
        true => TransportError::NoHttp { url, reason: printable(&reason) },
        false => TransportError::Network { url, source },
    }
}

/// What the HTTP client says, with what lies behind it: by itself it only says that it failed.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Whether the operating system says that nobody listens there.
fn is_closed_port(error: &reqwest::Error) -> bool {
    find_with(error, &|error| {
        let error = error.downcast_ref::<io::Error>()?;
        (error.kind() == io::ErrorKind::ConnectionRefused).then_some(())
    })
    .is_some()
}

/// The first error of a type behind another one.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    find_with(error, &|error| error.downcast_ref::<T>())
}

fn find_with<'a, T>(
    error: &'a (dyn Error + 'static),
    found: &dyn Fn(&'a (dyn Error + 'static)) -> Option<T>,
) -> Option<T> {
    if let Some(found) = found(error) {
        return Some(found);
    }
    // An I/O error that carries another passes over it in its `source`.
    let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let carried: Option<&'a (dyn Error + 'static)> = carried.map(|error| error as _);
    let carried =
        carried.or_else(|| error.downcast_ref::<Arc<io::Error>>().map(|error| &**error as _));
    carried.or_else(|| error.source()).and_then(|behind| find_with(behind, found))
}
