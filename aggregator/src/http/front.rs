//! What the routes are given: the studies, the inbox, whose tokens are known, and who answers.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{FromRef, Request};
use futures_util::{StreamExt, TryStreamExt};
use ringfence_clock::Clock;
use ringfence_crypto::signature::PublicKey;

use crate::auth::Tokens;
use crate::core::incoming::{Digested, Inbox, Incoming};
use crate::core::senders::Sender;
use crate::core::studies::Studies;
use crate::http::doors::Doors;
use crate::http::sessions::Sessions;
use crate::metrics::{Metrics, Now};
use crate::traces::Traces;

/// The state of the routes.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    /// All studies.
    pub(crate) studies: Arc<Studies>,
    /// Where messages come in.
    pub(crate) inbox: Inbox,
    /// Who may register studies, and who may read them.
    pub(crate) tokens: Tokens,
    /// The same, signed in with a browser.
    pub(crate) sessions: Arc<Sessions>,
    /// What verifies this aggregator's signatures.
    pub(crate) key: PublicKey,
    /// What tells the time.
    pub(crate) clock: Clock,
    /// The places for connections.
    pub(crate) doors: Doors,
    /// Whether connections have TLS.
    pub(crate) has_tls: bool,
    /// What is told to a collector, if there is one.
    pub(crate) traces: Option<Traces>,
}

impl Front {
    /// The bytes of a request's body.
    pub(crate) fn incoming(&self, request: Request) -> Incoming {
        let digested = request.extensions().get::<Digested>().copied().unwrap_or_default();
        let sender = request.extensions().get::<Sender>().map(|sender| sender.memory.clone());
        let body = request.into_body();
        let announced = body.size_hint().exact();
        let stream = body.into_data_stream().map_err(|error| error.to_string());
        self.inbox.incoming(stream.boxed(), announced, digested).within(sender)
    }
}

impl Front {
    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        self.studies.metrics()
    }

    /// How the service stands.
    pub(crate) fn now(&self) -> Now {
        let (uploads, message_bytes) = self.inbox.taken();
        Now { connections: self.doors.open(), uploads, message_bytes, ..self.studies.now() }
    }
}

impl FromRef<Front> for Arc<Studies> {
    fn from_ref(front: &Front) -> Self {
        front.studies.clone()
    }
}
