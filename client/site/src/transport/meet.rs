//! Whether what answers is the study's aggregator, and whether its clock and this one agree. Asked
//! first, with a request that says nothing of a site.

use std::fmt;
use std::time::Duration;

use ringfence_crypto::api::AggregatorStatus;
use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::signature::PublicKey;
use serde::Serialize;

use super::connection::Transport;
use super::error::TransportError;
use super::kinds::is_failure;

/// Most bytes of an [`AggregatorStatus`].
const MAX_STATUS: usize = 1024;

/// From how many seconds on clocks that differ are spoken of. Clocks that are set by NTP are within
/// a second of each other; at 300 s statements begin to be refused.
const APART: u64 = 30;

/// Two clocks that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClocksApart {
    /// What this machine's clock shows.
    pub now: UnixSeconds,
    /// What the aggregator's clock showed just before.
    pub aggregator_now: UnixSeconds,
    /// By how many seconds they differ at least.
    pub seconds: u64,
}

impl ClocksApart {
    /// Compares a clock that was read between two looks at this machine's.
    fn between(asked: UnixSeconds, aggregator_now: UnixSeconds, now: UnixSeconds) -> Option<Self> {
        let seconds = match aggregator_now > now {
            true => aggregator_now.seconds_since(now),
            false => asked.seconds_since(aggregator_now),
        };
        (seconds >= APART).then_some(Self { now, aggregator_now, seconds })
    }
}

impl fmt::Display for ClocksApart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { now, aggregator_now, seconds } = self;
        let behind = if aggregator_now > now { "behind" } else { "ahead of" };
        write!(
            f,
            "this machine's clock is {seconds} s {behind} the aggregator's: it shows {}, the aggregator's {}; set the one that is wrong, for what is signed in another's future is refused",
            now.utc(),
            aggregator_now.utc()
        )
    }
}

impl Transport {
    /// Asks who answers, and what its clock shows. Nothing has been sent before that, and nothing
    /// should be unless this succeeds. Answers with the clocks if they differ by 30 s or more.
    ///
    /// The answer is not signed: it tells apart servers that do not pretend. What a site acts on is
    /// signed.
    ///
    /// # Errors
    /// [`TransportError::Stranger`] when that is no aggregator, or one with another key than
    /// `expected`; others when nobody answers. A server that is silent is given 10 s.
    pub async fn meet(&self, expected: &PublicKey) -> Result<Option<ClocksApart>, TransportError> {
        let asked = self.clock.now();
        let aggregator_now = self.time(expected).await?;
        Ok(ClocksApart::between(asked, aggregator_now, self.clock.now()))
    }

    /// Asks who answers, and what its clock shows. A port that nobody listens at is said at once, and
    /// whoever wants to wait for it asks again.
    ///
    /// # Errors
    /// As for [`Transport::meet`].
    pub async fn time(&self, expected: &PublicKey) -> Result<UnixSeconds, TransportError> {
        let soon = self.clone().with_patience(Duration::ZERO).saying_at_once();
        let stranger = |came: String| TransportError::Stranger {
            server: self.server(),
            expected: Box::new(*expected),
            came,
        };
        let met = soon.get::<AggregatorStatus>("aggregator", MAX_STATUS, "server status").await;
        let met = met.map_err(|error| match error {
            TransportError::Refused { status, detail, .. } if !is_failure(status) => {
                stranger(format!("its answer is {status} ({detail})"))
            }
            TransportError::Redirect { status, target, .. } => {
                stranger(format!("its answer is {status}, a redirect to {target}"))
            }
            TransportError::TooLong { limit, .. } => {
                stranger(format!("its answer is longer than {limit} bytes"))
            }
            TransportError::Unreadable(reason) => stranger(reason),
            TransportError::NoHttp { reason, .. } => {
                stranger(format!("it speaks no HTTP ({reason})"))
            }
            other => other,
        })?;
        if met.aggregator_key != *expected {
            return Err(stranger(format!(
                "it is an aggregator with the key {}",
                met.aggregator_key
            )));
        }
        Ok(met.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_apart_from_half_a_minute_on_whichever_is_ahead() {
        let apart = |asked: u64, aggregator: u64, now: u64| {
            ClocksApart::between(UnixSeconds(asked), UnixSeconds(aggregator), UnixSeconds(now))
        };
        let at = 1_800_000_000;
        for fine in [at - 29, at - 1, at, at + 10, at + 39] {
            assert_eq!(apart(at, fine, at + 10), None, "{fine}");
        }
        let behind = apart(at, at + 45, at + 10).unwrap();
        assert_eq!(behind.seconds, 35);
        assert!(behind.to_string().contains("35 s behind the aggregator's: it shows 2027-01-15"));
        let ahead = apart(at, at - 30, at + 10).unwrap();
        assert_eq!(ahead.seconds, 30);
        assert!(ahead.to_string().contains("30 s ahead of the aggregator's"), "{ahead}");
        assert_eq!(apart(u64::MAX, 0, u64::MAX).unwrap().seconds, u64::MAX);
    }
}
