//! Traces for an OpenTelemetry collector: a span for each answer, as OTLP over HTTP in JSON.
//!
//! Written by hand: the few fields take fewer lines than the libraries take crates, and nothing but
//! them can leave. Method and route are those of the table of access, as in metrics; no study, site,
//! address, query or header is ever in a span. A collector that is slow or away stops nothing: spans
//! wait in a queue with an end, and what does not fit or does not arrive is counted and forgotten.

mod message;

use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::http::uri::Authority;
use axum::http::{Request, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ringfence_clock::Clock;
use ringfence_crypto::wire::json;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::metrics::{Answered, Metrics};
use crate::traces::message::{Ids, message};

/// The port of OTLP over HTTP.
const PORT: u16 = 4318;

/// Spans that wait to be sent, at most.
const QUEUE: usize = 4096;

/// Spans of one message, and how long the first of them waits for others.
const BATCH: usize = 512;
const GATHER: Duration = Duration::from_secs(2);

/// A collector has so long to take a message.
const SEND_TIME: Duration = Duration::from_secs(10);

/// As the above when the service ends, and for all that is still to be done then.
const LAST_TIME: Duration = Duration::from_secs(1);
const END_TIME: Duration = Duration::from_secs(2);

/// Where a collector listens: `HOST` or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector(Authority);

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected HOST or HOST:PORT of a collector that takes OTLP by plain HTTP, got {text}"
            )
        };
        let authority: Authority = text.parse().map_err(|_| expected())?;
        // A name and a password before the host would go nowhere; `:` without a number is a slip.
        let is_plain = !text.contains('@') && !text.ends_with(':');
        is_plain.then_some(Self(authority)).ok_or_else(expected)
    }
}

impl Collector {
    /// `HOST:PORT`.
    fn address(&self) -> String {
        format!("{}:{}", self.0.host(), self.0.port_u16().unwrap_or(PORT))
    }
}

/// An answer, to be told to the collector.
#[derive(Debug)]
struct Span {
    answered: Answered,
    /// Since 1970.
    ended: Duration,
    took: Duration,
}

/// Takes spans, and never waits; clones go into the same queue.
#[derive(Clone, Debug)]
pub(crate) struct Traces {
    queue: mpsc::Sender<Span>,
    clock: Clock,
    metrics: Metrics,
}

impl Traces {
    /// Starts to send to a collector.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn start(
        collector: Collector,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<(Self, Exporter), getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let (queue, spans) = mpsc::channel(QUEUE);
        let ids = Ids::new(seed);
        let sending = Sending { collector, clock: clock.clone(), metrics: metrics.clone(), ids };
        let (stop, stopping) = oneshot::channel();
        let task = tokio::spawn(sending.run(spans, stopping));
        Ok((Self { queue, clock, metrics }, Exporter { stop, task }))
    }

    /// A request was answered just now, after so long.
    pub(crate) fn answered(&self, answered: &Answered, took: Duration) {
        let span = Span { answered: answered.clone(), ended: self.clock.since_1970(), took };
        match self.queue.try_send(span) {
            Ok(()) => {}
            Err(_) => self.metrics.spans_lost(1),
        }
    }
}

/// What sends the spans.
#[derive(Debug)]
pub(crate) struct Exporter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Sends what came until now; at most 2 s are spent on it.
    pub(crate) async fn end(mut self, clock: &Clock) {
        drop(self.stop);
        if clock.timeout(END_TIME, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

struct Sending {
    collector: Collector,
    clock: Clock,
    metrics: Metrics,
    ids: Ids,
}

impl Sending {
    async fn run(self, mut spans: mpsc::Receiver<Span>, mut stopping: oneshot::Receiver<()>) {
        let mut was_taken = true;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let ends = tokio::select! {
                ends = self.gather(&mut spans, &mut batch) => ends,
                _ = &mut stopping => true,
            };
            if ends {
                // What came until now.
                while batch.len() < QUEUE && spans.try_recv().map(|span| batch.push(span)).is_ok() {
                }
            }
            if !batch.is_empty() {
                let time = if ends { LAST_TIME } else { SEND_TIME };
                let sent = self.clock.timeout(time, self.send(&batch)).await;
                let sent = sent.unwrap_or_else(|_| Err("it took too long".to_owned()));
                self.metrics.spans_sent(if sent.is_ok() { batch.len() } else { 0 });
                if let Err(reason) = &sent {
                    self.metrics.spans_lost(batch.len());
                    if was_taken {
                        let collector = self.collector.address();
                        tracing::warn!(%collector, reason, "the collector takes no traces");
                    }
                } else if !was_taken {
                    tracing::info!("the collector takes traces again");
                }
                was_taken = sent.is_ok();
                batch.clear();
            }
            if ends {
                return;
            }
        }
    }

    /// Fills a batch until it is full or its first span has waited long enough; whether no more
    /// will come.
    async fn gather(&self, spans: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>) -> bool {
        let Some(first) = spans.recv().await else { return true };
        batch.push(first);
        let until = self.clock.moment().after(GATHER);
        while batch.len() < BATCH {
            tokio::select! {
                span = spans.recv() => match span {
                    Some(span) => batch.push(span),
                    None => return true,
                },
                () = self.clock.sleep_until(until) => break,
            }
        }
        false
    }

    /// One message, on a connection of its own.
    async fn send(&self, batch: &[Span]) -> Result<(), String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let address = self.collector.address();
        let stream = TcpStream::connect(&address).await.map_err(|error| said(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| said(&error))?;
        let request = Request::post("/v1/traces")
            .header(header::HOST, &address)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(json::compact(&message(&self.ids, batch))))
            .map_err(|error| said(&error))?;
        let answer = sender.send_request(request);
        // Once it has ended it is dropped, and with it what still waits for an answer by it.
        let connection = async move { drop(connection.await) };
        tokio::pin!(answer, connection);
        let answer = tokio::select! {
            answer = &mut answer => answer,
            // It is what moves the bytes. When it ends, the answer has come or never will: a
            // collector may close the connection right after it.
            () = &mut connection => answer.await,
        };
        let status = answer.map_err(|error| said(&error))?.status();
        status.is_success().then_some(()).ok_or_else(|| format!("it answered {status}"))
    }
}

#[cfg(test)]
mod tests {
    use ringfence_crypto::id::UnixSeconds;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_collector_is_a_host_and_maybe_a_port() {
        let address = |text: &str| text.parse::<Collector>().map(|found| found.address());
        assert_eq!(address("127.0.0.1:9").unwrap(), "127.0.0.1:9");
        assert_eq!(address("[::1]").unwrap(), "[::1]:4318");
        assert_eq!(address("otel.example").unwrap(), "otel.example:4318");
        for wrong in ["", "http://otel.example", "a:b@otel.example", "otel.example:", "a b", "a/b"]
        {
            let said = address(wrong).unwrap_err();
            assert!(said.contains("HOST:PORT") && said.ends_with(wrong), "{wrong}: {said}");
        }
    }

    /// Closing the connection right after the answer takes nothing back.
    #[tokio::test]
    async fn a_collector_that_answers_and_closes_at_once_has_taken_it() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = listener.local_addr().unwrap().to_string().parse().unwrap();
        let ids = Ids::new([7; 32]);
        let (clock, metrics) = (Clock::system(), Metrics::default());
        let sending = Sending { collector, clock, metrics, ids };
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut come = Vec::new();
                while !come.ends_with(b"}]}]}]}") {
                    assert!(stream.read_buf(&mut come).await.unwrap() > 0);
                }
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        });
        for _ in 0..50 {
            let answered = Answered { method: "GET", route: "/readyz".into(), status: 200 };
            let second = Duration::from_secs(1);
            sending.send(&[Span { answered, ended: second, took: second }]).await.unwrap();
        }
    }

    /// A collector that accepts and is silent for ever: nobody waits for it, and the queue has an end.
    #[tokio::test]
    async fn a_silent_collector_holds_up_nobody_and_what_it_misses_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = listener.local_addr().unwrap().to_string().parse().unwrap();
        let (clock, _hand) = Clock::mock(UnixSeconds(1_800_000_000));
        let metrics = Metrics::default();
        let (traces, exporter) = Traces::start(collector, clock, metrics.clone()).unwrap();
        let answered = Answered { method: "GET", route: "/readyz".into(), status: 200 };
        for _ in 0..BATCH {
            traces.answered(&answered, Duration::from_millis(1));
        }
        // It has the first message now, and does not answer.
        let _silent = listener.accept().await.unwrap();
        for _ in 0..QUEUE + 7 {
            traces.answered(&answered, Duration::from_millis(1));
        }
        let text = metrics.text(&crate::metrics::Now::default());
        assert!(text.contains("ringfence_spans_lost_total 7\n"), "{text}");
        assert!(!exporter.task.is_finished());
    }
}
