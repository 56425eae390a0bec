//! The proxy that the environment names for an aggregator.

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;
use reqwest::header::HeaderValue;

use super::address;
use super::error::TransportError;

/// Where the proxy for an address may stand, by the address's scheme; the first that is set counts.
const OF_HTTPS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const OF_HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// A proxy, without what it is told of the user.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    /// Scheme, host and port: fit to be shown.
    pub(super) url: String,
    /// User and password, as the proxy is sent them.
    pub(super) auth: Option<HeaderValue>,
    /// The environment variable that names it.
    pub(super) variable: &'static str,
}

impl Proxy {
    /// The proxy for an address by the environment variables; none for loopback, and for what
    /// `NO_PROXY` names.
    ///
    /// # Errors
    /// [`TransportError::Proxy`] when the variable holds no URL of a proxy that is spoken to. What it
    /// holds is not shown: there may be a password in it.
    pub(super) fn of(
        url: &Url,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, TransportError> {
        if address::is_loopback(url) {
            return Ok(None);
        }
        let set = |name: &&'static str| environment(name).filter(|value| !value.is_empty());
        let names = if url.scheme() == "https" { OF_HTTPS } else { OF_HTTP };
        let named = names.iter().find_map(|name| Some((*name, set(name)?)));
        let Some((variable, value)) = named else { return Ok(None) };
        let refuse = |reason: &str| TransportError::Proxy { variable, reason: reason.into() };
        let unusable = || {
            refuse("it holds no URL that can be read; user and password are percent-encoded in it")
        };
        let destination = url.as_str().parse().map_err(|_| unusable())?;
        let any = Matcher::builder().all(value.as_str()).build();
        let proxy = any.intercept(&destination).ok_or_else(unusable)?;
        if !matches!(proxy.uri().scheme_str(), Some("http" | "https")) {
            return Err(refuse("it names a SOCKS proxy, which is not spoken to"));
        }
        let exceptions = ["NO_PROXY", "no_proxy"].iter().find_map(set).unwrap_or_default();
        let matcher = Matcher::builder().all(value).no(exceptions).build();
        Ok(matcher.intercept(&destination).map(|proxy| Self {
            url: proxy.uri().to_string().trim_end_matches('/').to_owned(),
            auth: proxy.basic_auth().cloned(),
            variable,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(url: &str, variables: &[(&str, &str)]) -> Result<Option<Proxy>, TransportError> {
        let of = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Proxy::of(&url.parse().unwrap(), of)
    }

    const AGGREGATOR: &str = "https://aggregator.example:8443/v2/";

    #[test]
    fn the_variable_of_the_scheme_names_the_proxy() {
        let variables = [
            ("HTTPS_PROXY", "http://secure:1"),
            ("https_proxy", "http://lower:2"),
            ("HTTP_PROXY", "plain:3"),
            ("ALL_PROXY", "http://all:4"),
        ];
        let found = |url: &str, skip: usize| {
            proxy(url, variables.get(skip..).unwrap()).unwrap().map(|proxy| proxy.url)
        };
        assert_eq!(found(AGGREGATOR, 0).unwrap(), "http://secure:1");
        assert_eq!(found(AGGREGATOR, 1).unwrap(), "http://lower:2");
        assert_eq!(found(AGGREGATOR, 2).unwrap(), "http://all:4");
        assert_eq!(found("http://aggregator.example", 0).unwrap(), "http://plain:3");
        assert_eq!(found("http://aggregator.example", 3).unwrap(), "http://all:4");
        assert_eq!(found(AGGREGATOR, 4), None);
        assert_eq!(proxy(AGGREGATOR, &[("HTTPS_PROXY", "")]).unwrap().map(|proxy| proxy.url), None);
    }

    #[test]
    fn loopback_and_what_no_proxy_names_are_reached_without() {
        let all = ("ALL_PROXY", "http://proxy:1");
        for url in ["https://127.0.0.1", "https://localhost:1", "http://[::1]:1"] {
            assert!(proxy(url, &[all]).unwrap().is_none(), "{url}");
        }
        for (list, direct) in [
            ("aggregator.example", true),
            (".example", true),
            ("elsewhere, example", true),
            ("*", true),
            ("other.example", false),
            ("", false),
        ] {
            let found = proxy(AGGREGATOR, &[all, ("NO_PROXY", list)]).unwrap();
            assert_eq!(found.is_none(), direct, "{list}");
            let found = proxy(AGGREGATOR, &[all, ("no_proxy", list)]).unwrap();
            assert_eq!(found.is_none(), direct, "{list}");
        }
        let network = [all, ("NO_PROXY", "10.0.0.0/8")];
        assert!(proxy("https://10.1.2.3", &network).unwrap().is_none());
        assert!(proxy("https://11.1.2.3", &network).unwrap().is_some());
    }

    #[test]
    fn a_password_is_sent_and_never_shown() {
        let variables = [("HTTPS_PROXY", "http://user:pa%40ss@proxy.example:3128")];
        let found = proxy(AGGREGATOR, &variables).unwrap().unwrap();
        // user:pa@ss
        assert_eq!(found.auth.as_ref().unwrap(), "Basic dXNlcjpwYUBzcw==");
        assert_eq!(found.url, "http://proxy.example:3128");
        let shown = format!("{found:?}");
        assert!(!shown.contains("dXNl") && !shown.contains("pa%40ss"), "{shown}");
    }

    #[test]
    fn what_is_no_proxy_is_refused_and_not_shown() {
        for (value, words) in [
            ("http://user:secret@", "no URL"),
            ("http://user:sec ret@proxy", "no URL"),
            ("ftp://user:secret@proxy", "no URL"),
            ("socks5://user:secret@proxy:1080", "SOCKS"),
        ] {
            let error = proxy(AGGREGATOR, &[("ALL_PROXY", value)]).unwrap_err();
            assert!(!error.is_transient(), "{error}");
            let text = format!("{error} {error:?}");
            assert!(text.contains("ALL_PROXY") && text.contains(words), "{value}: {text}");
            assert!(!text.contains("secret") && !text.contains("sec ret"), "{text}");
        }
    }
}
