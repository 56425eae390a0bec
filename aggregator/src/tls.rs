//! TLS 1.3 and 1.2, with the certificate that the files hold now: it is renewed without a restart.
//!
//! Whoever reaches the service over an untrusted network is told nothing by it of who asks what. What
//! proves that the aggregator is the study's is its signatures, over TLS as without it: a proxy that
//! opens connections may read what passes, and can change none of it unnoticed.

mod error;
mod pair;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ringfence_clock::Clock;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub use self::error::TlsError;
use self::pair::{Pair, Validity};

/// The one protocol that is spoken above TLS.
const HTTP1: &[u8] = b"http/1.1";

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Where certificate and key lie.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// PEM: the server's certificate, and those between it and a root.
    pub(crate) certificate: PathBuf,
    /// PEM: the certificate's private key.
    pub(crate) key: PathBuf,
}

/// What tells one state of a file from another: length, time and place.
type Mark = Option<(u64, SystemTime, u64)>;

impl Files {
    /// Both files as they lie there; links are followed.
    fn marks(&self) -> [Mark; 2] {
        use std::os::unix::fs::MetadataExt;
        [&self.certificate, &self.key].map(|file| {
            let meta = std::fs::metadata(file).ok()?;
            Some((meta.len(), meta.modified().ok()?, meta.ino()))
        })
    }
}

/// Which certificate is shown to whom connects next.
struct Current(watch::Receiver<Arc<CertifiedKey>>);

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current(..)")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.borrow().clone())
    }
}

/// TLS for a server: what it shows, and where that comes from.
pub(crate) struct Tls {
    files: Files,
    /// The files as they were read.
    marks: [Mark; 2],
    shown: watch::Sender<Arc<CertifiedKey>>,
    validity: Validity,
    /// What was said last about the dates.
    told: Option<&'static str>,
    clock: Clock,
    hangup: Signal,
    acceptor: TlsAcceptor,
}

impl fmt::Debug for Tls {
    /// Nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({:?})", self.files)
    }
}

impl Tls {
    /// Reads certificate and key. SIGHUP no longer ends the process from here on.
    ///
    /// # Errors
    /// [`TlsError`] says what is wrong with which file.
    pub(crate) fn load(files: Files, clock: Clock) -> Result<Self, TlsError> {
        let marks = files.marks();
        let Pair { key, validity } = Pair::read(&files)?;
        let (shown, current) = watch::channel(Arc::new(key));
        // X25519MLKEM768 stands first: a feature of rustls, and a test holds it.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Setup)?;
        let mut config =
            config.with_no_client_auth().with_cert_resolver(Arc::new(Current(current)));
        config.alpn_protocols = vec![HTTP1.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let hangup = signal(SignalKind::hangup()).map_err(TlsError::Signal)?;
        let mut tls = Self { files, marks, shown, validity, told: None, clock, hangup, acceptor };
        tls.tell_dates();
        Ok(tls)
    }

    /// What makes TLS connections of TCP connections, with the certificate of the moment.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Reads the files again at SIGHUP, and when they have changed. Never ends.
    pub(crate) async fn follow(&mut self) {
        loop {
            let asked = tokio::select! {
                Some(()) = self.hangup.recv() => true,
                () = self.clock.sleep(INTERVAL) => false,
            };
            // Looked at before they are read: what changes meanwhile is a change at the next look.
            let marks = self.files.marks();
            if asked || marks != self.marks {
                self.marks = marks;
                self.reload().await;
            }
            self.tell_dates();
        }
    }

    /// Shows what the files hold now; what cannot be used is said, and the old pair stays.
    async fn reload(&mut self) {
        let files = self.files.clone();
        // Aside: a disk that is away must not hold up those who are connected.
        let Ok(read) = tokio::task::spawn_blocking(move || Pair::read(&files)).await else {
            return;
        };
        match read {
            Ok(Pair { key, validity }) => {
                self.shown.send_replace(Arc::new(key));
                self.validity = validity;
                self.told = None;
                tracing::info!(until = %validity.until.utc(), "the TLS certificate was read again");
            }
            Err(error) => tracing::error!(
                %error,
                "the new TLS certificate or key cannot be used; the one of before stays in use"
            ),
        }
    }

    /// Warns of dates, once for each warning.
    fn tell_dates(&mut self) {
        let warning = self.validity.warning(self.clock.now());
        if warning != self.told
            && let Some(warning) = warning
        {
            let Validity { from, until } = self.validity;
            let file = self.files.certificate.display();
            tracing::warn!(%file, from = %from.utc(), until = %until.utc(), "{warning}");
        }
        self.told = warning;
    }
}
