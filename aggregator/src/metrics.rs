//! What Prometheus reads. Every label is from a closed list: routes of the table of access, kinds of
//! events, states of rounds, HTTP statuses. No name of a study or site, no key, no value.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Seconds: from answers out of memory to long polls and large bodies.
const SECONDS: [f64; 12] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];

/// A request that was answered.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Answered {
    /// Its method and route, as the table of access has them; `other` for what is not there.
    pub(crate) method: &'static str,
    /// See above.
    pub(crate) route: String,
    /// The HTTP status.
    pub(crate) status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Routed {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Happened {
    event: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Standing {
    state: &'static str,
}

type Histograms = Family<Routed, Histogram, fn() -> Histogram>;

/// What is counted and measured; clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    requests: Family<Answered, Counter>,
    seconds: Histograms,
    events: Family<Happened, Counter>,
    sums: Histogram,
    ranges: Counter,
    store_failures: Counter,
    body_bytes: Counter,
    spans_sent: Counter,
    spans_lost: Counter,
    now: Standings,
}

/// What is read at the moment when somebody asks.
#[derive(Clone, Debug, Default)]
struct Standings {
    connections: Gauge,
    studies: Gauge,
    rounds: Family<Standing, Gauge>,
    uploads: Gauge,
    message_bytes: Gauge,
    sum_places: Gauge,
}

/// How the service stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Now {
    /// Connections that are open.
    pub(crate) connections: usize,
    /// Studies that are served.
    pub(crate) studies: usize,
    /// Their rounds, by state.
    pub(crate) rounds: Vec<(&'static str, usize)>,
    /// Uploads that run.
    pub(crate) uploads: usize,
    /// Bytes of messages in memory.
    pub(crate) message_bytes: usize,
    /// Sums that are being made.
    pub(crate) sums: usize,
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("ringfence");
        let requests = Family::<Answered, Counter>::default();
        let seconds = Histograms::new_with_constructor(histogram);
        let events = Family::<Happened, Counter>::default();
        let (sums, ranges, store_failures) = (histogram(), Counter::default(), Counter::default());
        let body_bytes = Counter::<u64, AtomicU64>::default();
        let (spans_sent, spans_lost) = (Counter::default(), Counter::default());
        let now = Standings::default();
        registry.register("requests", "Requests that were answered", requests.clone());
        let of = "Time until a request was answered, long polls among them";
        registry.register_with_unit("request", of, Unit::Seconds, seconds.clone());
        registry.register("events", "Events of rounds that were stored", events.clone());
        let of = "Time that a sum of bodies took";
        registry.register_with_unit("sum", of, Unit::Seconds, sums.clone());
        let of = "Ranges of sums that were added here, where several aggregators add";
        registry.register("sum_ranges", of, ranges.clone());
        let of = "Requests that failed by this service's fault";
        registry.register("failures", of, store_failures.clone());
        let of = "Bytes of bodies that came";
        registry.register_with_unit("body_received", of, Unit::Bytes, body_bytes.clone());
        registry.register("spans_sent", "Spans that the collector took", spans_sent.clone());
        let of = "Spans that found no place or no collector";
        registry.register("spans_lost", of, spans_lost.clone());
        registry.register("connections", "Connections that are open", now.connections.clone());
        registry.register("studies", "Studies that are served", now.studies.clone());
        registry.register("rounds", "Rounds of all studies, by state", now.rounds.clone());
        registry.register("uploads", "Uploads that run", now.uploads.clone());
        let of = "Bytes of messages that are held in memory";
        registry.register_with_unit("messages", of, Unit::Bytes, now.message_bytes.clone());
        registry.register("sums_running", "Sums that are being made", now.sum_places.clone());
        Self(Arc::new(Inner {
            registry,
            requests,
            seconds,
            events,
            sums,
            ranges,
            store_failures,
            body_bytes,
            spans_sent,
            spans_lost,
            now,
        }))
    }
}

impl Metrics {
    /// A request was answered after so long.
    pub(crate) fn answered(&self, answered: Answered, after: Duration) {
        self.0.requests.get_or_create(&answered).inc();
        let Answered { method, route, .. } = answered;
        self.0.seconds.get_or_create(&Routed { method, route }).observe(after.as_secs_f64());
    }

    /// An event of a round was stored.
    pub(crate) fn event(&self, event: &'static str) {
        self.0.events.get_or_create(&Happened { event }).inc();
    }

    /// A sum was made in so long.
    pub(crate) fn summed(&self, after: Duration) {
        self.0.sums.observe(after.as_secs_f64());
    }

    /// A range of a sum was added.
    pub(crate) fn range_added(&self) {
        self.0.ranges.inc();
    }

    /// A request failed by our fault.
    pub(crate) fn failed(&self) {
        self.0.store_failures.inc();
    }

    /// Bytes of a body came.
    pub(crate) fn body_came(&self, bytes: usize) {
        self.0.body_bytes.inc_by(bytes as u64);
    }

    /// So many spans were taken by the collector.
    pub(crate) fn spans_sent(&self, spans: usize) {
        self.0.spans_sent.inc_by(spans as u64);
    }

    /// So many spans were not, and are forgotten.
    pub(crate) fn spans_lost(&self, spans: usize) {
        self.0.spans_lost.inc_by(spans as u64);
    }

    /// Everything in Prometheus's text format (OpenMetrics 1.0).
    pub(crate) fn text(&self, now: &Now) -> String {
        let gauge = |gauge: &Gauge, value: usize| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        let standings = &self.0.now;
        gauge(&standings.connections, now.connections);
        gauge(&standings.studies, now.studies);
        gauge(&standings.uploads, now.uploads);
        gauge(&standings.message_bytes, now.message_bytes);
        gauge(&standings.sum_places, now.sums);
        for (state, rounds) in &now.rounds {
            gauge(&standings.rounds.get_or_create(&Standing { state }), *rounds);
        }
        let mut text = String::new();
        // Writing into a text cannot fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_in_the_text() {
        let metrics = Metrics::default();
        let answered = Answered { method: "GET", route: "/readyz".into(), status: 200 };
        metrics.answered(answered.clone(), Duration::from_millis(20));
        metrics.answered(answered, Duration::from_millis(2));
        metrics.event("closed");
        metrics.body_came(1000);
        let now = Now { studies: 2, rounds: vec![("closed", 3)], ..Now::default() };
        let text = metrics.text(&now);
        for line in [
            r#"ringfence_requests_total{method="GET",route="/readyz",status="200"} 2"#,
            r#"ringfence_request_seconds_bucket{le="0.003",method="GET",route="/readyz"} 1"#,
            r#"ringfence_events_total{event="closed"} 1"#,
            "ringfence_body_received_bytes_total 1000",
            "ringfence_studies 2",
            r#"ringfence_rounds{state="closed"} 3"#,
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
