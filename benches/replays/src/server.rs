//! The aggregator of a replay: its whole service in a runtime of its own, which ends as a killed process
//! does, and comes back on what it has stored.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use clap::Parser;
use http::{Request, Response};
use ringfence_aggregator::{Config, Identity, Service, StartError};
use ringfence_clock::Clock;
use ringfence_crypto::signature::PublicKey;
use ringfence_durable::Readers;
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

/// The token that registers the study.
pub(crate) const TOKEN: &str = "token-of-a-replayed-study";

/// Tries to take the store of a process that was killed: its last write may still be on its way.
const TRIES: u32 = 2000;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    config: Config,
}

/// Where the aggregator runs, while it does.
#[derive(Debug)]
pub(crate) struct Host {
    folder: PathBuf,
    clock: Clock,
    key: PublicKey,
    running: Mutex<Option<Running>>,
    busy: AtomicUsize,
}

/// Counted while it lives.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Running {
    runtime: Runtime,
    service: Arc<Service>,
}

/// Ends a task whose answer nobody waits for any more: as a server does when a connection is closed.
struct Closed(AbortHandle);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Host {
    /// Makes a key and a token; nothing runs yet.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn new(folder: &Path, clock: Clock) -> anyhow::Result<Self> {
        ringfence_durable::create_folder(folder)?;
        let identity = Identity::generate(&folder.join("key"))?;
        ringfence_durable::write(&folder.join("token"), TOKEN.as_bytes(), Readers::Owner)?;
        let (folder, key) = (folder.to_owned(), identity.public_key());
        let (running, busy) = (Mutex::default(), AtomicUsize::new(0));
        Ok(Self { folder, clock, key, running, busy })
    }

    /// The aggregator's key.
    pub(crate) fn key(&self) -> PublicKey {
        self.key
    }

    /// Starts it on what is stored.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn start(&self) -> anyhow::Result<()> {
        let at = |name: &str| self.folder.join(name).into_os_string();
        let arguments = Arguments::try_parse_from([
            "aggregator".into(),
            "--data".into(),
            at("data"),
            "--key".into(),
            at("key"),
            "--admin-token-file".into(),
            at("token"),
        ])?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_stack_size(16 << 20)
            .enable_all()
            .build()?;
        let mut last = None;
        let _busy = Busy::new(&self.busy);
        for _ in 0..TRIES {
            let (config, clock) = (arguments.config.clone(), self.clock.clone());
            let starting = runtime.spawn(async move { Service::start(&config, clock).await });
            let error = match starting.await {
                Ok(Ok(service)) => {
                    let running = Running { runtime, service: Arc::new(service) };
                    *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
                    return Ok(());
                }
                Ok(Err(error @ (StartError::Store(_) | StartError::Mark(_)))) => error,
                Ok(Err(error)) => {
                    runtime.shutdown_background();
                    return Err(error).context("the aggregator does not start");
                }
                Err(error) => {
                    runtime.shutdown_background();
                    return Err(error).context("the aggregator does not start");
                }
            };
            last = Some(error);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        runtime.shutdown_background();
        let last = last.map(|error| error.to_string()).unwrap_or_default();
        Err(anyhow!("the aggregator that was killed keeps its store: {last}"))
    }

    /// Whether it is about to start: then it is waited for in this machine's time.
    pub(crate) fn is_starting(&self) -> bool {
        self.busy.load(Ordering::SeqCst) > 0
    }

    /// Kills it: whatever it is at ends there.
    pub(crate) fn kill(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { runtime, service }) = running {
            drop(service);
            runtime.shutdown_background();
        }
    }

    /// Answers a request, of whose message so many bytes come.
    pub(crate) async fn answer(
        &self,
        request: Request<Bytes>,
        cut_at: Option<usize>,
    ) -> io::Result<Response<Bytes>> {
        let task = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let running = running.as_ref().ok_or(io::ErrorKind::ConnectionRefused)?;
            let service = Arc::clone(&running.service);
            running.runtime.spawn(async move { service.answer(request, cut_at).await })
        };
        let _closed = Closed(task.abort_handle());
        let answer = task.await.map_err(|_| io::ErrorKind::ConnectionReset)?;
        answer.map_err(|_| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}
