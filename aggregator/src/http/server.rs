//! The HTTP server: listens, with TLS or without, limits, and stops in good order.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use ringfence_clock::Clock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::auth::{Tokens, TokensError};
use crate::config::Config;
use crate::core::incoming::Inbox;
use crate::core::shared::Shared;
use crate::core::studies::{LoadError, Studies};
use crate::http::doors::{Doors, Place, affordable, raise_file_limit};
use crate::http::front::Front;
use crate::http::paced::Paced;
use crate::http::routes;
use crate::http::sessions::Sessions;
use crate::http::watch::metrics;
use crate::identity::{Identity, IdentityError};
use crate::store;
use crate::store::marks::{MarkError, Marks};
use crate::store::terms::StoreOpenError;
use crate::tls::{Tls, TlsError};
use crate::traces::{Exporter, Traces};

/// Fewer connections than this are no service.
const FEWEST_CONNECTIONS: u16 = 16;

/// A request's headers must be complete after so long.
const HEADER_TIME: Duration = Duration::from_secs(15);

/// Bytes of a request's headers at most, and of what is read of a connection at once: strangers' headers
/// are in memory before anything is known of them.
const READ_BUFFER: usize = 32 << 10;

/// Connections at the same time to the address of metrics.
const METRICS_CONNECTIONS: u16 = 32;

/// A TLS handshake must be complete after so long.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// After a connection could not be accepted, so long passes before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Requests in flight at a shutdown have so long to end.
const SHUTDOWN_TIME: Duration = Duration::from_secs(10);

/// The service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Plain HTTP to other machines.
    #[error(
        "{0} is reachable from other machines and this server speaks plain HTTP; give --tls-certificate and --tls-key, listen on a loopback address behind a proxy that adds TLS, or give --allow-plain-http"
    )]
    PlainHttp(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The TLS certificate or its key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A certificate without its key, or the reverse.
    #[error(
        "--{given} is given and --{missing} is not: TLS needs both, as flags, in the environment or in the file of --config"
    )]
    HalfTls {
        /// What is given.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// Too few files may be open.
    #[error(
        "this process may have {files} files open, which leaves too few for connections beside {uploads} uploads (--max-uploads): raise the limit (`ulimit -n`, LimitNOFILE)"
    )]
    Files {
        /// How many.
        files: u64,
        /// How many uploads there may be.
        uploads: u16,
    },
    /// Key or token.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The file with tokens' hashes.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The data folder, or database and bucket.
    #[error(transparent)]
    Store(#[from] StoreOpenError),
    /// The folder of marks.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// A stored study.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The system has no random numbers for traces.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// A server that has loaded everything and listens.
#[derive(Debug)]
pub struct Server {
    front: Front,
    listener: TcpListener,
    address: SocketAddr,
    metrics: Option<TcpListener>,
    tls: Option<Tls>,
    /// How long a peer may take nothing of what it is sent.
    idle: Duration,
    stop: watch::Sender<bool>,
    /// What sends traces, if there is a collector.
    exporter: Option<Exporter>,
}

impl Server {
    /// Locks what is stored, loads every study and round, and listens.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do.
    pub async fn start(config: &Config, clock: Clock) -> Result<Self, StartError> {
        if let Some([given, missing]) = config.half_of_tls() {
            return Err(StartError::HalfTls { given, missing });
        }
        if !config.may_listen() {
            return Err(StartError::PlainHttp(config.listen));
        }
        let doors = doors(config)?;
        let tls = config.tls().map(|files| Tls::load(files, clock.clone())).transpose()?;
        let (stop, stopping) = watch::channel(false);
        let (front, exporter) = loaded(config, clock, (doors, tls.is_some()), stopping).await?;
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let metrics = match config.metrics_listen {
            Some(address) => {
                let listen = |source| StartError::Listen { address, source };
                Some(TcpListener::bind(address).await.map_err(listen)?)
            }
            None => None,
        };
        let idle = config.idle();
        Ok(Self { front, listener, address, metrics, tls, idle, stop, exporter })
    }

    /// Where it listens; the port is the real one when port 0 was asked for.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where metrics are read from, if they are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `shutdown` is ready, and then ends what is in flight, for at most 10 s.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let router = routes::router(self.front.clone());
        tend(&self.front);
        let graceful = GracefulShutdown::new();
        if let Some(listener) = self.metrics.take() {
            let (router, clock) = (metrics(self.front.clone()), self.front.clock.clone());
            // It ends with the process: nothing depends on it.
            tokio::spawn(serve_metrics(listener, router, clock, self.idle));
        }
        let mut tls = self.tls.take();
        let acceptor = tls.as_ref().map(Tls::acceptor);
        let mut renewal = pin!(async {
            match &mut tls {
                Some(tls) => tls.follow().await,
                None => std::future::pending().await,
            }
        });
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.listener, &self.front.clock) => accepted,
                () = &mut renewal => break,
                () = &mut shutdown => break,
            };
            let Some((stream, address)) = accepted else { continue };
            let Some(place) = self.front.doors.enter(address.ip()) else {
                match acceptor {
                    None => self.front.doors.turn_away(stream),
                    // A handshake is work, and without one nothing can be said.
                    Some(_) => drop(stream),
                }
                continue;
            };
            let (router, watcher, idle) = (router.clone(), graceful.watcher(), self.idle);
            match acceptor.clone() {
                None => {
                    let stream = Paced::new(stream, idle);
                    tokio::spawn(serve(stream, router, watcher, place));
                }
                // In a task of its own: who is slow at it holds up nobody else.
                Some(acceptor) => {
                    let secured = self.secured(acceptor, stream);
                    tokio::spawn(async move {
                        if let Some(stream) = secured.await {
                            let stream = Paced::new(stream, idle);
                            serve(stream, router, watcher, place).await;
                        }
                    });
                }
            }
        }
        tracing::info!("shutting down");
        // Ends long polls and closing drivers.
        self.stop.send_replace(true);
        drop(self.listener);
        let end = async {
            graceful.shutdown().await;
            self.front.studies.close().await;
        };
        if self.front.clock.timeout(SHUTDOWN_TIME, end).await.is_err() {
            tracing::warn!("requests in flight took too long; what they sent can be resumed");
        }
        if let Some(exporter) = self.exporter {
            exporter.end(&self.front.clock).await;
        }
    }

    /// A connection after the TLS handshake; none where that fails, takes too long, or the server
    /// stops.
    fn secured(
        &self,
        acceptor: TlsAcceptor,
        stream: TcpStream,
    ) -> impl Future<Output = Option<TlsStream<TcpStream>>> + use<> {
        let (clock, mut stopping) = (self.front.clock.clone(), self.stop.subscribe());
        async move {
            let handshake = clock.timeout(HANDSHAKE_TIME, acceptor.accept(stream));
            let done = tokio::select! {
                done = handshake => done,
                _ = stopping.wait_for(|stop| *stop) => return None,
            };
            match done {
                Ok(Ok(stream)) => Some(stream),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a TLS handshake failed");
                    None
                }
                Err(_) => {
                    tracing::debug!("a TLS handshake took too long");
                    None
                }
            }
        }
    }
}

/// What the routes are given, with every study and round from the store; and what sends traces, if
/// there is a collector.
pub(super) async fn loaded(
    config: &Config,
    clock: Clock,
    (doors, has_tls): (Doors, bool),
    stopping: watch::Receiver<bool>,
) -> Result<(Front, Option<Exporter>), StartError> {
    let identity = Arc::new(Identity::load(&config.key)?);
    let tokens = Tokens::load(&config.admin_token_file, &identity)?;
    let tokens = match &config.tokens {
        Some(path) => tokens.with_hashes(path)?,
        None => tokens,
    };
    let sessions = Arc::new(Sessions::new(&identity, &tokens));
    let store = store::open(config).await?;
    let clock = store.clock(&clock);
    let key = identity.public_key();
    let marks = Marks::open(&config.marks(), identity.clone(), config.adopt_marks)?;
    let shared = Shared::new(store, marks, identity, clock.clone(), stopping);
    let shared = shared.keeping_bodies(config.keep_bodies());
    let studies = Arc::new(Studies::load(shared).await?);
    let inbox = Inbox::new(clock.clone(), config.idle(), config.max_uploads);
    let (traces, exporter) = match &config.traces_to {
        Some(collector) => {
            let (collector, metrics) = (collector.clone(), studies.metrics().clone());
            let started = Traces::start(collector, clock.clone(), metrics);
            let (traces, exporter) = started.map_err(StartError::Random)?;
            (Some(traces), Some(exporter))
        }
        None => (None, None),
    };
    let front = Front { studies, inbox, tokens, sessions, key, clock, doors, has_tls, traces };
    Ok((front, exporter))
}

/// Begins what is done beside answering requests.
pub(super) fn tend(front: &Front) {
    tokio::spawn(front.studies.clone().follow());
    let studies = front.studies.clone();
    tokio::spawn(async move { studies.forget_bodies().await });
}

async fn accept(listener: &TcpListener, clock: &Clock) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok((stream, address)) => {
            // Answers are small and waited for.
            let _ = stream.set_nodelay(true);
            Some((stream, address))
        }
        Err(error) => {
            // Out of descriptors, most likely: others must end before this gets better.
            tracing::warn!(%error, "accepting a connection failed");
            clock.sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Answers whoever reads metrics, a few at a time: it is on another address, and the same process.
async fn serve_metrics(listener: TcpListener, router: Router, clock: Clock, idle: Duration) {
    let (doors, graceful) =
        (Doors::new(METRICS_CONNECTIONS, METRICS_CONNECTIONS), GracefulShutdown::new());
    loop {
        let Some((stream, address)) = accept(&listener, &clock).await else { continue };
        match doors.enter(address.ip()) {
            Some(place) => {
                let stream = Paced::new(stream, idle);
                tokio::spawn(serve(stream, router.clone(), graceful.watcher(), place));
            }
            None => doors.turn_away(stream),
        }
    }
}

/// The places for connections, fewer than wanted where too few files may be open.
pub(super) fn doors(config: &Config) -> Result<Doors, StartError> {
    let (files, uploads) = (raise_file_limit(), config.max_uploads);
    let most = affordable(config.max_connections, uploads, files);
    if most < FEWEST_CONNECTIONS.min(config.max_connections) {
        return Err(StartError::Files { files, uploads });
    }
    if most < config.max_connections {
        let wanted = config.max_connections;
        tracing::warn!(most, wanted, files, "fewer connections than wanted: raise the file limit");
    }
    Ok(Doors::new(most, config.max_connections_per_address))
}

/// Serves one connection until it ends.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    watcher: Watcher,
    place: Place,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(place);
}
