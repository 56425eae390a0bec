//! The HTTP server: listens, limits, and stops in good order.

use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::aggregator::{Aggregator, LoadError};
use crate::config::Config;
use crate::files::{create_folder, sync_parent};
use crate::identity::{AdminToken, Identity, IdentityError};
use crate::routes;
use crate::store::{Store, StoreError};

/// Connections at the same time; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;

/// A request's headers must be complete after so long.
const HEADER_TIME: Duration = Duration::from_secs(15);

/// Requests in flight at a shutdown have so long to end.
const SHUTDOWN_TIME: Duration = Duration::from_secs(10);

/// The service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Plain HTTP to other machines.
    #[error(
        "{0} is reachable from other machines and this server speaks plain HTTP; listen on a loopback address behind a proxy that adds TLS, or give --allow-plain-http"
    )]
    PlainHttp(SocketAddr),
    /// Another server has the data folder.
    #[error("{0} is in use by another aggregator; two must not share a data folder")]
    Locked(PathBuf),
    /// The data folder cannot be used.
    #[error("the data folder {path} cannot be used: {source}")]
    Data {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Key or token.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored study.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// A server that has loaded everything and listens.
#[derive(Debug)]
pub struct Server {
    aggregator: Arc<Aggregator>,
    listener: TcpListener,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    // Held while the server lives; the operating system gives it back even after a kill.
    _lock: File,
}

impl Server {
    /// Locks the data folder, loads every study and round, and listens.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        if !config.may_listen() {
            return Err(StartError::PlainHttp(config.listen));
        }
        let lock = lock(config)?;
        let identity = Identity::load(&config.key)?;
        let admin = AdminToken::load(&config.admin_token_file)?;
        let database = config.data.join("statements.sqlite");
        let store = Store::open(&database).await?;
        let data = |source| StartError::Data { path: config.data.clone(), source };
        sync_parent(&database).map_err(data)?;
        let (stop, stopping) = watch::channel(false);
        let aggregator = Aggregator::load(identity, admin, store, config, stopping).await?;
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { aggregator, listener, address, stop, _lock: lock })
    }

    /// Where it listens; the port is the real one when port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready, and then ends what is in flight, for at most 10 s.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let router = routes::router(self.aggregator.clone());
        let graceful = GracefulShutdown::new();
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&connections) => accepted,
                () = &mut shutdown => break,
            };
            let Some((stream, place)) = accepted else { continue };
            let service = TowerToHyperService::new(router.clone());
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIME)
                .serve_connection(TokioIo::new(stream), service);
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
                drop(place);
            });
        }
        tracing::info!("shutting down");
        // Ends long polls and closing drivers.
        self.stop.send_replace(true);
        drop(self.listener);
        let end = async {
            graceful.shutdown().await;
            self.aggregator.store.close().await;
        };
        if tokio::time::timeout(SHUTDOWN_TIME, end).await.is_err() {
            tracing::warn!("requests in flight took too long; what they sent can be resumed");
        }
    }

    async fn accept(
        &self,
        connections: &Arc<Semaphore>,
    ) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        let place = connections.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and waited for.
                let _ = stream.set_nodelay(true);
                Some((stream, place))
            }
            Err(error) => {
                // Out of descriptors, most likely: others must end before this gets better.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
            }
        }
    }
}

fn lock(config: &Config) -> Result<File, StartError> {
    let data = |source| StartError::Data { path: config.data.clone(), source };
    create_folder(&config.data).map_err(data)?;
    let lock = File::create(config.data.join("lock")).map_err(data)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(config.data.clone())),
        Err(TryLockError::Error(source)) => Err(data(source)),
    }
}
