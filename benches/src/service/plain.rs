//! What a round is held against: services on the same axum that protect nothing.
//!
//! The server averages float32 updates in memory, and takes bodies as a bare handler would: streamed,
//! hashed, durable. Server and sites are processes of their own, as ours are: this program again,
//! under subcommands that its help does not list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Path as InPath, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::http::Connection;

/// Bytes of a body that are gathered before they go to the file: as many as the aggregator gathers.
const WRITE_BUFFER: usize = 1 << 20;

/// The server that protects nothing.
#[derive(clap::Args)]
pub struct PlainServer {
    /// Sites whose updates make a mean.
    #[arg(long)]
    sites: usize,
    /// Folder for bodies.
    #[arg(long)]
    folder: PathBuf,
}

/// A site's part in one round of it.
#[derive(clap::Args)]
pub struct PlainSite {
    /// Address of the server.
    #[arg(long)]
    server: String,
    /// The round.
    #[arg(long)]
    round: usize,
    /// The update: raw float32.
    #[arg(long)]
    update: PathBuf,
    /// The model that it starts from: raw float32.
    #[arg(long)]
    base: PathBuf,
    /// Where the mean goes, raw float32.
    #[arg(long)]
    out: PathBuf,
    /// Where base plus mean goes, raw float32.
    #[arg(long)]
    model_out: PathBuf,
}

impl PlainSite {
    /// Sends the update, waits for the mean, applies it.
    ///
    /// # Errors
    /// When a file or the server is not there.
    pub fn run(&self) -> anyhow::Result<()> {
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let mut connection = Connection::open(&self.server)?;
        let (round, update) = (self.round, read(&self.update)?);
        connection.ask("PUT", &format!("/rounds/{round}/updates"), &[], &update)?;
        let mean = connection.ask("GET", &format!("/rounds/{round}/mean?wait=60"), &[], &[])?;
        let base = read(&self.base)?;
        ensure!(base.len() == mean.len(), "a model of {} bytes, not {}", mean.len(), base.len());
        let model: Vec<u8> = floats(&base)
            .zip(floats(&mean))
            .flat_map(|(base, mean)| (base + mean).to_le_bytes())
            .collect();
        std::fs::write(&self.out, mean)?;
        std::fs::write(&self.model_out, model)?;
        Ok(())
    }
}

/// The numbers of raw little-endian float32.
pub(super) fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

/// The rounds of the server.
#[derive(Debug)]
struct Rounds {
    sites: usize,
    sums: Mutex<BTreeMap<usize, Arc<Round>>>,
    folder: PathBuf,
}

#[derive(Debug)]
struct Round {
    /// Updates so far, and their sum.
    sum: Mutex<(usize, Vec<f32>)>,
    mean: watch::Sender<Option<Bytes>>,
}

impl Rounds {
    fn round(&self, number: usize) -> Arc<Round> {
        let mut rounds = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        // Those before it are over.
        rounds.retain(|other, _| *other + 1 >= number);
        let fresh = || Round { sum: Mutex::default(), mean: watch::Sender::new(None) };
        rounds.entry(number).or_insert_with(|| Arc::new(fresh())).clone()
    }
}

impl Round {
    fn add(&self, update: &[u8], sites: usize) {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        let (came, values) = &mut *sum;
        match came {
            0 => *values = floats(update).collect(),
            _ => values.iter_mut().zip(floats(update)).for_each(|(sum, value)| *sum += value),
        }
        *came += 1;
        if *came == sites {
            let mean = |sum: &f32| (sum / sites as f32).to_le_bytes();
            let mean: Vec<u8> = values.iter().flat_map(mean).collect();
            *values = Vec::new();
            self.mean.send_replace(Some(mean.into()));
        }
    }
}

impl PlainServer {
    /// Serves until it is killed; prints where it listens.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            println!("listening on http://{}", listener.local_addr()?);
            Ok(axum::serve(listener, router(self.sites, self.folder)).await?)
        })
    }
}

fn router(sites: usize, folder: PathBuf) -> Router {
    Router::new()
        .route("/rounds/{round}/updates", put(update))
        .route("/rounds/{round}/mean", get(mean))
        .route("/bodies/{name}", put(body))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(Rounds { sites, sums: Mutex::default(), folder }))
}

/// Takes an update.
async fn update(
    State(rounds): State<Arc<Rounds>>,
    InPath(round): InPath<usize>,
    body: Body,
) -> Result<(), StatusCode> {
    let update = to_bytes(body, usize::MAX).await.map_err(|_| StatusCode::BAD_REQUEST)?;
    rounds.round(round).add(&update, rounds.sites);
    Ok(())
}

/// Gives the mean, once it is there.
async fn mean(
    State(rounds): State<Arc<Rounds>>,
    InPath(round): InPath<usize>,
) -> Result<Bytes, StatusCode> {
    let mut mean = rounds.round(round).mean.subscribe();
    let mean =
        mean.wait_for(Option::is_some).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    mean.clone().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Takes a body as a bare handler does: hashed as it comes, written, and on the disk when the answer
/// leaves, which is its digest.
async fn body(
    State(rounds): State<Arc<Rounds>>,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<String, StatusCode> {
    keep(&rounds.folder.join(name), body).await.map_err(|error| {
        eprintln!("plain service: {error:#}");
        StatusCode::INTERNAL_SERVER_ERROR
    })
}

async fn keep(path: &Path, body: Body) -> anyhow::Result<String> {
    let mut file = BufWriter::with_capacity(WRITE_BUFFER, File::create(path).await?);
    let (mut hasher, mut stream) = (blake3::Hasher::new(), body.into_data_stream());
    while let Some(bytes) = stream.next().await {
        let bytes = bytes?;
        hasher.update(&bytes);
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    file.get_ref().sync_all().await?;
    Ok(hasher.finalize().to_string())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_plain_service_gives_every_site_the_mean() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = router(3, folder.path().to_owned());
        runtime.spawn(async move { axum::serve(listener, router).await });
        let values: [[f32; 2]; 3] = [[1.0, -2.0], [2.0, 0.5], [6.0, 0.0]];
        let file = |name: &str, site: usize| folder.path().join(format!("{name}-{site}"));
        let raw = |values: &[f32]| -> Vec<u8> {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        for round in 0..2 {
            thread::scope(|scope| {
                for (site, update) in values.iter().enumerate() {
                    std::fs::write(file("update", site), raw(update)).unwrap();
                    std::fs::write(file("base", site), raw(&[1.0, 1.0])).unwrap();
                    let of_site = PlainSite {
                        server: address.clone(),
                        round,
                        update: file("update", site),
                        base: file("base", site),
                        out: file("mean", site),
                        model_out: file("model", site),
                    };
                    scope.spawn(move || of_site.run().unwrap());
                }
            });
            for site in 0..3 {
                assert_eq!(std::fs::read(file("mean", site)).unwrap(), raw(&[3.0, -0.5]));
                assert_eq!(std::fs::read(file("model", site)).unwrap(), raw(&[4.0, 0.5]));
            }
        }
        let body = vec![7; 3_000_000];
        let answer = Connection::open(&address).unwrap().ask("PUT", "/bodies/a", &[], &body);
        assert_eq!(answer.unwrap(), blake3::hash(&body).to_string().into_bytes());
        assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), body);
    }
}
