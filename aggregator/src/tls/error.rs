//! What can be wrong with a certificate and its key, and what to do about it.

use std::io;
use std::path::PathBuf;

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No certificate where one should be.
    #[error(
        "{path} holds {came}; expected a PEM file with the server's certificate, and after it those between it and a root; {advice}"
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        came: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// No private key where one should be.
    #[error(
        "{path} holds {came}; expected a PEM file with the certificate's private key; {advice}"
    )]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        came: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// A PEM file that is damaged.
    #[error("{path} is no sound PEM file: {reason}; export it again, and copy it whole")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A private key that a passphrase protects.
    #[error(
        "the private key in {0} is encrypted, and nobody is there to type its passphrase when this service starts; store it without one: `openssl pkey -in {0} -out NEW`, `chmod 600 NEW`"
    )]
    Encrypted(PathBuf),
    /// A private key of a kind that is not spoken.
    #[error(
        "the private key in {path} cannot be used ({reason}); expected an ECDSA key on P-256, P-384 or P-521, an Ed25519 key, or an RSA key of 2048 bits or more"
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: rustls::Error,
    },
    /// A certificate that cannot be read.
    #[error("the certificate in {path} cannot be used: {reason}; ask its issuer for it again")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key of different pairs.
    #[error(
        "the private key in {key} is not that of the first certificate in {certificate} ({subject}){place}; give the key that this certificate was made for, or the certificate of this key"
    )]
    Mismatch {
        /// The file with the key.
        key: PathBuf,
        /// The file with the certificate.
        certificate: PathBuf,
        /// Whose certificate stands first.
        subject: String,
        /// Where the key's certificate stands, if it is in the file.
        place: &'static str,
    },
    /// SIGHUP cannot be waited for.
    #[error("cannot wait for SIGHUP: {0}")]
    Signal(io::Error),
    /// The TLS library does not do what is asked of it.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}
