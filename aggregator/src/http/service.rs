//! The service without a listener: whoever has it brings the requests. For simulations of a network and
//! its outages, in which many hours pass in a moment.

use axum::Router;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use ringfence_clock::Clock;
use tokio::sync::watch;

use crate::config::Config;
use crate::http::front::Front;
use crate::http::routes;
use crate::http::server::{StartError, doors, loaded, tend};

/// What a request's message breaks off with.
#[derive(Debug, thiserror::Error)]
#[error("the connection broke off")]
struct BrokenOff;

/// A service that has loaded everything and listens nowhere. It ends with the runtime that it was
/// started in: as a process that is killed, where that is shut down.
#[derive(Debug)]
pub struct Service {
    router: Router,
    front: Front,
    stop: watch::Sender<bool>,
}

impl Service {
    /// Locks what is stored and loads every study and round, as [`Server::start`](crate::Server::start)
    /// does. What the configuration says of addresses and TLS is not used.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do.
    pub async fn start(config: &Config, clock: Clock) -> Result<Self, StartError> {
        let (stop, stopping) = watch::channel(false);
        let (front, _exporter) = loaded(config, clock, (doors(config)?, false), stopping).await?;
        tend(&front);
        Ok(Self { router: routes::router(front.clone()), front, stop })
    }

    /// Answers one request. `cut_at`: the connection breaks off after so many bytes of its message.
    ///
    /// # Errors
    /// What the answer's bytes broke off with.
    pub async fn answer(
        &self,
        request: Request<Bytes>,
        cut_at: Option<usize>,
    ) -> Result<Response<Bytes>, axum::Error> {
        let request = request.map(|message| match cut_at {
            None => axum::body::Body::new(Full::new(message)),
            Some(at) => {
                let came = Ok(message.slice(..at.min(message.len())));
                axum::body::Body::from_stream(futures_util::stream::iter([came, Err(BrokenOff)]))
            }
        });
        let Ok(answer) = TowerToHyperService::new(self.router.clone()).call(request).await;
        let (parts, body) = answer.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    }

    /// Ends long polls and closing drivers, and what is written.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.front.studies.close().await;
    }
}
