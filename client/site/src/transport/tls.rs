//! TLS to the aggregator: whose word is taken for a certificate, and what is said of one that is not
//! accepted.

use std::path::Path;
use std::sync::Arc;

use ringfence_crypto::id::UnixSeconds;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::error::TransportError;
use super::printable::printable;

/// Most bytes of a file of roots: those of a whole system have a quarter of a MiB.
const MAX_FILE: usize = 4 << 20;

/// A certificate that is not accepted: why, and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}; {advice}")]
pub(super) struct Unaccepted {
    /// What is wrong with it, with its names and dates, fit to be shown.
    pub(super) reason: String,
    /// What to do.
    pub(super) advice: &'static str,
}

/// The settings for connections whose certificates lead to a root in `ca`, or, without one, in the
/// system's.
///
/// # Errors
/// [`TransportError::Roots`] when there is no root.
pub(super) fn config(ca: Option<&Path>) -> Result<ClientConfig, TransportError> {
    let (roots, whose) = match ca {
        Some(file) => (of_file(file)?, format!("the certificates in {}", file.display())),
        None => (of_system()?, "this machine's root certificates".to_owned()),
    };
    let provider = provider();
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let inner = verifier.build().map_err(|error| TransportError::Roots(error.to_string()))?;
    let verifier = Arc::new(Verifier { inner, whose });
    let config = builder(provider)?;
    let config = config.dangerous().with_custom_certificate_verifier(verifier);
    Ok(speaking_http1(config.with_no_client_auth()))
}

/// The settings for an aggregator without TLS: no certificate is accepted.
///
/// # Errors
/// [`TransportError::Roots`] when the TLS library does not do what is asked of it.
pub(super) fn none() -> Result<ClientConfig, TransportError> {
    let config = builder(provider())?.with_root_certificates(RootCertStore::empty());
    Ok(speaking_http1(config.with_no_client_auth()))
}

/// X25519MLKEM768 stands first in it: a feature of rustls, and a test holds it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, TransportError> {
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]);
    builder.map_err(|error| TransportError::Roots(format!("TLS cannot be set up: {error}")))
}

fn speaking_http1(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// The roots of a PEM file, and no others: a site knows whom it talks to, so that who vouches for
/// the rest of the world need not be believed.
fn of_file(file: &Path) -> Result<RootCertStore, TransportError> {
    let refuse = |reason: String| {
        TransportError::Roots(format!(
            "{}: {reason}; expected for --ca a PEM file with the certificate of a CA, or several",
            file.display()
        ))
    };
    let bytes =
        ringfence_durable::read(file, MAX_FILE).map_err(|error| refuse(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
        roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(refuse("it holds no certificate as PEM (-----BEGIN CERTIFICATE-----)".into())),
        false => Ok(roots),
    }
}

/// The roots of this machine, or of the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
fn of_system() -> Result<RootCertStore, TransportError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems carry roots that nobody can read any more; the others do.
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
    Err(TransportError::Roots(format!(
        "no root certificate was found on this machine{why}, so that no server can be known by its certificate; install the system's (the package ca-certificates), name them by SSL_CERT_FILE, or give the CA of the aggregator as --ca"
    )))
}

/// Checks certificates as rustls does, and says more of those that are not accepted.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    /// Whose word is taken.
    whose: String,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        verified.map_err(|error| match error {
            Error::InvalidCertificate(error) => {
                let unaccepted = self.unaccepted(&error, end_entity, now);
                Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(unaccepted))))
            }
            other => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

const OF_NAME: &str =
    "check the host in --server, or have the aggregator's certificate made for it";
const OF_DATES: &str = "have its operator renew it, or set this machine's clock if that is wrong";
const OF_ISSUER: &str = "if the aggregator has a CA of its own, or a proxy on the way opens connections, get that CA's certificate from whoever runs it and give it as --ca";
const A_CA: &str = "CaUsedAsEndEntity";
const OF_A_CA: &str = "whoever runs the aggregator issues a certificate of its own for it by that CA, or makes one that signs itself with CA:FALSE (`openssl req -x509 -addext basicConstraints=critical,CA:FALSE`)";
const OF_OTHERS: &str = "tell whoever runs the aggregator, or the proxy before it";

impl Verifier {
    fn unaccepted(
        &self,
        error: &CertificateError,
        certificate: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Unaccepted {
        let parsed = Certificate::from_der(certificate).ok().map(|certificate| {
            let parts = certificate.tbs_certificate;
            let dates = [parts.validity.not_before, parts.validity.not_after];
            let dates = dates.map(|time| UnixSeconds(time.to_unix_duration().as_secs()).utc());
            ([parts.subject, parts.issuer].map(|name| named(&name.to_string())), dates)
        });
        let now = UnixSeconds(now.as_secs()).utc();
        let (what, advice) = match (error, &parsed) {
            (
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
                Some((_, [_, until])),
            ) => (
                format!("it has expired: it was valid until {until}, and now it is {now}"),
                OF_DATES,
            ),
            (
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
                Some((_, [from, _])),
            ) => (format!("it is not valid yet: only from {from}, and now it is {now}"), OF_DATES),
            (CertificateError::NotValidForNameContext { expected, presented }, _) => {
                let names = match presented.is_empty() {
                    true => "no name at all".to_owned(),
                    false => presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", "),
                };
                let expected = expected.to_str();
                (format!("it is made for {names}, and not for {expected}"), OF_NAME)
            }
            (CertificateError::UnknownIssuer, Some(([subject, issuer], _))) => {
                let whose = &self.whose;
                let what = match subject == issuer {
                    true => format!("it is signed by itself, and not among {whose}"),
                    false => format!("its issuer is unknown: it is not among {whose}"),
                };
                (what, OF_ISSUER)
            }
            // The library has no other word for it; a test holds it to this one.
            (CertificateError::Other(other), _) if other.to_string().contains(A_CA) => {
                let what = "it is the certificate of a CA (CA:TRUE), which no server may show";
                (what.to_owned(), OF_A_CA)
            }
            (other, _) => (other.to_string(), OF_OTHERS),
        };
        let whose = parsed.map(|([subject, issuer], [from, until])| {
            format!(" (subject {subject}, issuer {issuer}, valid from {from} until {until})")
        });
        let reason = printable(&format!("{what}{}", whose.unwrap_or_default()));
        Unaccepted { reason, advice }
    }
}

/// A name of which rustls says the kind, as in `DnsName("aggregator.example")`.
fn bare(name: &str) -> &str {
    let within = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    within.unwrap_or(name).trim_matches('"')
}

/// A name, also where it is empty.
fn named(name: &str) -> String {
    match name {
        "" => "without a name".to_owned(),
        name => name.to_owned(),
    }
}
