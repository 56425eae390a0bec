//! How long to wait before a request is repeated: longer each time, as long as the answer asks for,
//! and not in step with everybody else.

use std::time::{Duration, UNIX_EPOCH};

use rand::TryRng;
use rand::rngs::SysRng;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::error::TransportError;

/// Attempts at a request before its network error is reported; the pauses between them double. Where
/// an attempt got further than the one before, they are counted from there.
pub(super) const ATTEMPTS: u32 = 6;

/// The pause after the first attempt, at most.
const PAUSE: Duration = Duration::from_millis(200);

/// Longest that is waited because an answer says so: a mistaken proxy must not end a study.
const LONGEST: Duration = Duration::from_secs(300);

/// A pause of at least half of `longest`, and at most that, at random: sites whose requests failed at
/// the same moment do not all come back at the same one.
pub fn jittered(longest: Duration) -> Duration {
    longest.mul_f64(0.5 + 0.5 * fraction())
}

/// What is waited after the attempt with this number, from 1, and its error. Never shorter than the
/// answer asks for.
pub(super) fn after(attempt: u32, error: &TransportError) -> Duration {
    let own = jittered(doubled(attempt));
    match error.retry_after() {
        Some(asked) => own.max(asked + (asked / 4).mul_f64(fraction())),
        None => own,
    }
}

/// [`PAUSE`], doubled with every attempt.
pub(super) fn doubled(attempt: u32) -> Duration {
    PAUSE.saturating_mul(1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX))
}

/// What `Retry-After` says: seconds, or a date; `now` is the time since 1970.
pub(super) fn retry_after(headers: &HeaderMap, now: Duration) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            date.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(now)
        }
    };
    Some(asked.min(LONGEST))
}

/// At random from 0 to 1. Where the system has no random number a half does: nothing is secret here.
fn fraction() -> f64 {
    SysRng.try_next_u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(retry_after: &str) -> HeaderMap {
        [(RETRY_AFTER, retry_after.parse().unwrap())].into_iter().collect()
    }

    fn busy(retry_after: Option<Duration>) -> TransportError {
        TransportError::Refused { status: 503, detail: "busy".into(), retry_after }
    }

    #[test]
    fn pauses_double_and_differ() {
        let error = busy(None);
        for attempt in 1..ATTEMPTS {
            let longest = Duration::from_millis(100 << attempt);
            let pauses: Vec<_> = (0..200).map(|_| after(attempt, &error)).collect();
            assert!(pauses.iter().all(|pause| *pause <= longest && *pause >= longest / 2));
            let [least, most] = [pauses.iter().min(), pauses.iter().max()].map(Option::unwrap);
            assert!(*most - *least > longest / 4, "200 pauses lie from {least:?} to {most:?}");
        }
    }

    #[test]
    fn an_answer_that_says_when_is_not_asked_sooner() {
        let asked = Duration::from_secs(20);
        let pauses: Vec<_> = (0..200).map(|_| after(1, &busy(Some(asked)))).collect();
        assert!(pauses.iter().all(|pause| *pause >= asked && *pause <= asked + asked / 4));
        assert!(pauses.iter().max().unwrap() > pauses.iter().min().unwrap());
        assert!(after(6, &busy(Some(Duration::ZERO))) >= Duration::from_secs(3));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_has_an_end() {
        let now = Duration::from_secs(1_800_000_000);
        let retry_after = |headers: &HeaderMap| retry_after(headers, now);
        assert_eq!(retry_after(&headers("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("86400")), Some(LONGEST));
        assert_eq!(retry_after(&headers("Thu, 01 Jan 1970 00:00:01 GMT")), Some(Duration::ZERO));
        let soon = UNIX_EPOCH + now + Duration::from_secs(100);
        let asked = retry_after(&headers(&httpdate::fmt_http_date(soon))).unwrap();
        assert!(asked > Duration::from_secs(90) && asked <= Duration::from_secs(100), "{asked:?}");
        assert_eq!(retry_after(&headers("soon")), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
