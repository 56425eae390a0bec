//! A certificate and its key, read from PEM files and checked against each other.

use std::path::Path;
use std::sync::Arc;

use ringfence_crypto::id::UnixSeconds;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

use super::Files;
use super::error::TlsError;
use crate::identity::warn_of_readers;

/// Most bytes of a file: a chain has a few certificates of a few KiB each.
const MAX_FILE: usize = 256 << 10;

/// A certificate that ends within so many seconds is warned of: two weeks.
const SOON: u64 = 14 * 86_400;

/// A certificate with its chain and key.
pub(super) struct Pair {
    pub(super) key: CertifiedKey,
    pub(super) validity: Validity,
}

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) from: UnixSeconds,
    pub(super) until: UnixSeconds,
}

impl Validity {
    /// What is to be said of the dates at a time, if anything.
    pub(super) fn warning(self, now: UnixSeconds) -> Option<&'static str> {
        if now > self.until {
            return Some("the TLS certificate has expired, and sites refuse it; renew it");
        }
        if now < self.from {
            return Some(
                "the TLS certificate is not valid yet, and sites refuse it; check this machine's clock",
            );
        }
        (now.after(SOON) > self.until)
            .then_some("the TLS certificate expires within two weeks; renew it")
    }
}

/// The sections of a PEM file.
type Sections = Vec<(SectionKind, Vec<u8>)>;

impl Pair {
    /// Reads and checks both files.
    ///
    /// # Errors
    /// [`TlsError`] says what is wrong with which file.
    pub(super) fn read(files: &Files) -> Result<Self, TlsError> {
        let Files { certificate: path, key: key_path } = files;
        let chain = certificates(path)?;
        let key = private_key(key_path)?;
        let unusable = |reason| TlsError::Key { path: key_path.clone(), reason };
        let key = aws_lc_rs::sign::any_supported_type(&key).map_err(unusable)?;
        let first = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let broken = |reason: String| TlsError::Certificate { path: path.clone(), reason };
        let first = Certificate::from_der(first).map_err(|error| broken(error.to_string()))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // Where the key does not say what its public half is, nothing can be compared.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(TlsError::Mismatch {
                    key: key_path.clone(),
                    certificate: path.clone(),
                    subject: first.tbs_certificate.subject.to_string(),
                    place: match stands_later(&certified) {
                        true => ": its own stands further down, and must stand first",
                        false => "",
                    },
                });
            }
            Err(error) => return Err(broken(error.to_string())),
        }
        let validity = first.tbs_certificate.validity;
        let [from, until] = [validity.not_before, validity.not_after]
            .map(|time| UnixSeconds(time.to_unix_duration().as_secs()));
        Ok(Self { key: certified, validity: Validity { from, until } })
    }
}

/// Whether the key's certificate is in the chain, and not first.
fn stands_later(certified: &CertifiedKey) -> bool {
    certified.cert.iter().skip(1).any(|later| {
        CertifiedKey::new(vec![later.clone()], Arc::clone(&certified.key)).keys_match().is_ok()
    })
}

/// The certificates of a file, in its order; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let (bytes, sections) = sections(path)?;
    let has_key = sections.iter().any(|(kind, _)| is_key(*kind));
    let chain: Vec<_> = sections
        .into_iter()
        .filter(|(kind, _)| *kind == SectionKind::Certificate)
        .map(|(_, der)| CertificateDer::from(der))
        .collect();
    if !chain.is_empty() {
        return Ok(chain);
    }
    let (came, advice) = match has_key || is_encrypted(&bytes) {
        true => {
            ("a private key and no certificate", "are --tls-certificate and --tls-key swapped?")
        }
        false => other(&bytes, "`openssl x509 -inform der -in OLD -out NEW` makes one of it"),
    };
    Err(TlsError::NoCertificate { path: path.to_owned(), came, advice })
}

/// The first private key of a file.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (bytes, sections) = sections(path)?;
    let warn = warn_of_readers(path);
    warn.map_err(|source| TlsError::Io { path: path.to_owned(), source })?;
    let has_certificate = sections.iter().any(|(kind, _)| *kind == SectionKind::Certificate);
    let mut keys = sections.into_iter();
    if let Some(key) = keys.find_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der)) {
        return Ok(key);
    }
    if is_encrypted(&bytes) {
        return Err(TlsError::Encrypted(path.to_owned()));
    }
    let (came, advice) = match has_certificate {
        true => {
            ("a certificate and no private key", "are --tls-certificate and --tls-key swapped?")
        }
        false => other(&bytes, "`openssl pkey -inform der -in OLD -out NEW` makes one of it"),
    };
    Err(TlsError::NoKey { path: path.to_owned(), came, advice })
}

/// A file's bytes, and what is in it as PEM.
fn sections(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Sections), TlsError> {
    let bytes = ringfence_durable::read(path, MAX_FILE);
    let bytes = bytes.map_err(|source| TlsError::Io { path: path.to_owned(), source })?;
    let bytes = Zeroizing::new(bytes);
    // Its headers are no Base64, and it would be called damaged.
    if is_encrypted(&bytes) {
        return Ok((bytes, Sections::new()));
    }
    let sections: Result<Sections, _> = <(SectionKind, Vec<u8>)>::pem_slice_iter(&bytes).collect();
    let sections = sections
        .map_err(|error| TlsError::Pem { path: path.to_owned(), reason: error.to_string() })?;
    Ok((bytes, sections))
}

/// What a file without the section that is looked for holds, and what to do about it.
fn other(bytes: &[u8], of_der: &'static str) -> (&'static str, &'static str) {
    match bytes {
        [] => ("nothing", "write the file first"),
        // A sequence with a length of two bytes.
        [0x30, 0x82, ..] => ("DER, the same as bytes", of_der),
        _ => ("neither a certificate nor a key as PEM", "is it the right file?"),
    }
}

fn is_key(kind: SectionKind) -> bool {
    matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
}

/// Whether a file's key is encrypted, by PKCS #8 or by OpenSSL's way of before.
fn is_encrypted(bytes: &[u8]) -> bool {
    [&b"-----BEGIN ENCRYPTED PRIVATE KEY-----"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| bytes.windows(mark.len()).any(|window| window == *mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_warned_of_before_and_after() {
        let of = |from, until| Validity { from: UnixSeconds(from), until: UnixSeconds(until) };
        let day = 86_400;
        let now = UnixSeconds(100 * day);
        assert_eq!(of(0, 200 * day).warning(now), None);
        assert_eq!(of(0, 114 * day).warning(now), None);
        for (validity, words) in [
            (of(0, 114 * day - 1), "within two weeks"),
            (of(0, 100 * day), "within two weeks"),
            (of(0, 100 * day - 1), "has expired"),
            (of(100 * day + 1, 200 * day), "not valid yet"),
        ] {
            let warning = validity.warning(now).unwrap();
            assert!(warning.contains(words), "{warning}");
        }
    }
}
