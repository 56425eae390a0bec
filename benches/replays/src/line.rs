//! A site's line to the aggregator, in memory: cut and mended by whoever plays the outages, who may
//! also ask that something befalls the next request.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response};
use ringfence_clock::Clock;
use ringfence_site::transport::{Carried, Carrier};
use tokio::sync::{Notify, watch};

use crate::server::Host;
use crate::tally::{Came, Tally};

/// How a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// All comes through.
    Open,
    /// The network says at once that there is no way.
    Unreachable,
    /// Nothing comes back, not even that.
    Silent,
}

/// What befalls the next request that it can befall; the line is cut with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Snag {
    /// It is answered, and the answer is lost.
    AnswerLost,
    /// Half of a message comes.
    HalfSent,
    /// The site is killed before it is sent.
    KilledBefore,
    /// The site is killed before it hears the answer.
    KilledAfter,
}

/// A line of one site.
pub(crate) struct Line {
    pub(crate) place: usize,
    host: Arc<Host>,
    tally: Arc<Tally>,
    clock: Clock,
    way: watch::Sender<Way>,
    snag: Mutex<Option<Snag>>,
    /// Told when a snag has struck.
    pub(crate) struck: Notify,
}

impl Line {
    pub(crate) fn new(place: usize, host: Arc<Host>, tally: Arc<Tally>, clock: Clock) -> Self {
        let (way, snag, struck) = (watch::Sender::new(Way::Open), Mutex::default(), Notify::new());
        Self { place, host, tally, clock, way, snag, struck }
    }

    /// Cuts the line, or mends it.
    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Arms a snag; none takes back one that has not struck.
    pub(crate) fn arm(&self, snag: Option<Snag>) {
        *self.armed() = snag;
    }

    fn armed(&self) -> MutexGuard<'_, Option<Snag>> {
        self.snag.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snag(&self, request: &Request<Bytes>) -> Option<Snag> {
        // Half of a few bytes is no half.
        let fits = |snag: &Snag| *snag != Snag::HalfSent || request.body().len() > 1000;
        let struck = self.armed().take_if(|snag| fits(snag));
        if struck.is_some() {
            self.struck.notify_one();
        }
        struck
    }

    async fn carry(self: Arc<Self>, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
        let way = *self.way.borrow();
        match way {
            Way::Open => {}
            Way::Unreachable => return Err(io::ErrorKind::NetworkUnreachable.into()),
            Way::Silent => return std::future::pending().await,
        }
        let snag = self.snag(&request);
        if request.method() != Method::GET {
            self.tally.hear();
        }
        let what = what(&request);
        let answer = match snag {
            None => {
                let mut cut = self.way.subscribe();
                tokio::select! {
                    answer = self.host.answer(request, None) => answer,
                    // Both ends notice: what is waited for is given up.
                    _ = cut.wait_for(|way| *way != Way::Open) => {
                        Err(io::ErrorKind::ConnectionReset.into())
                    }
                }
            }
            Some(Snag::KilledBefore) => std::future::pending().await,
            Some(Snag::HalfSent) => {
                self.set(Way::Unreachable);
                let half = request.body().len() / 2;
                let _ = self.host.answer(request, Some(half)).await;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Some(Snag::AnswerLost) => {
                self.set(Way::Unreachable);
                self.came(what, &self.host.answer(request, None).await);
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Some(Snag::KilledAfter) => {
                self.came(what, &self.host.answer(request, None).await);
                std::future::pending().await
            }
        };
        self.came(what, &answer);
        answer
    }

    /// Notes what has come, whether the site hears of it or not.
    fn came(&self, what: Option<(u32, Came)>, answer: &io::Result<Response<Bytes>>) {
        if let (Some((round, what)), Ok(answer)) = (what, answer)
            && answer.status().is_success()
        {
            self.tally.came(round, what, self.clock.now());
        }
    }
}

/// What a request brings of a round, if it is a contribution's body or a review.
fn what(request: &Request<Bytes>) -> Option<(u32, Came)> {
    let mut parts = request.uri().path().split('/').skip(5);
    let round = parts.next()?.parse().ok()?;
    let what = match (request.method() == Method::PUT, parts.next()?, parts.nth(1)) {
        // A small one is a request of its own, body and all.
        (true, "contributions", Some("body") | None) => Came::Contribution,
        (true, "reviews", None) => Came::Review,
        _ => return None,
    };
    Some((round, what))
}

/// The site's end of a line.
#[derive(Clone, Debug)]
pub(crate) struct End(pub(crate) Arc<Line>);

impl Carrier for End {
    fn carry(&self, request: Request<Bytes>) -> Carried {
        Box::pin(Arc::clone(&self.0).carry(request))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({}, {:?})", self.place, *self.way.borrow())
    }
}
