//! Kinds of failures: what was refused, and what may succeed later.

use std::time::Duration;

use reqwest::StatusCode;

use super::error::TransportError;

impl TransportError {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::CutShort { source, .. } => source.status(),
            _ => None,
        }
    }

    /// After how long the aggregator, or a proxy before it, asks to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::CutShort { source, .. } => source.retry_after(),
            _ => None,
        }
    }

    /// Whether the aggregator says that something is not there (yet).
    pub fn is_missing(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND.as_u16())
    }

    /// Whether the aggregator has answered that it does not take this.
    pub fn is_refusal(&self) -> bool {
        self.status().is_some_and(|status| (400..500).contains(&status)) && !self.is_failure()
    }

    /// Whether the aggregator, or a proxy before it, says that it has failed at this or has too much
    /// to do: nothing about the request itself.
    pub fn is_failure(&self) -> bool {
        self.status().is_some_and(is_failure)
    }

    /// Whether the aggregator says that it cannot do this now, and why (it is busy, or has lost
    /// something).
    pub fn is_busy(&self) -> bool {
        self.status() == Some(StatusCode::SERVICE_UNAVAILABLE.as_u16())
    }

    /// Whether the same request may succeed later: the aggregator is away, busy, or has failed, or
    /// something stands in the way that passes.
    pub fn is_transient(&self) -> bool {
        self.is_away() || self.is_failure() || self.passes()
    }

    /// Whether a conflict passes: the aggregator says when to ask again, as where an upload of this site's
    /// that broke off a moment ago is not given up yet.
    fn passes(&self) -> bool {
        self.status() == Some(StatusCode::CONFLICT.as_u16()) && self.retry_after().is_some()
    }

    /// Whether somebody has to set a clock: the aggregator's, or this machine's.
    pub fn is_clock(&self) -> bool {
        matches!(self, Self::ClockRefused { .. })
    }

    /// Whether nobody has answered: the aggregator is away, or the way to it is broken. A certificate
    /// that is not accepted, and a proxy that wants a password, are no such thing: waiting does not
    /// help.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Network { .. }
            | Self::ClosedPort { .. }
            | Self::Silent { .. }
            | Self::NoAnswer { .. }
            | Self::Stalled { .. }
            | Self::ProxyRefused { .. }
            | Self::ProxyAway { .. } => true,
            Self::CutShort { source, .. } => source.is_away(),
            _ => false,
        }
    }

    /// Whether this site has no network, and a bundle must be carried first.
    pub fn is_by_hand(&self) -> bool {
        matches!(self, Self::ByHand(_))
    }

    /// Whether nobody listens at the aggregator's port.
    pub fn is_closed_port(&self) -> bool {
        matches!(self, Self::ClosedPort { .. })
    }
}

/// Whether a status says nothing about the request, so that the same one may succeed later
/// (docs/http.md, "The connection").
pub(super) fn is_failure(status: u16) -> bool {
    let limits = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status >= 500 || limits.iter().any(|limit| limit.as_u16() == status)
}

/// `None` for a refusal that says that something is not there yet.
pub(crate) fn present<T>(result: Result<T, TransportError>) -> Result<Option<T>, TransportError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}
