//! What the routes are given: the studies, the inbox, who is the administrator, and who answers.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::FromRef;
use futures_util::{StreamExt, TryStreamExt};
use ringfence_clock::Clock;
use ringfence_crypto::signature::PublicKey;

use crate::auth::AdminToken;
use crate::core::incoming::{Inbox, Incoming};
use crate::core::studies::Studies;

/// The state of the routes.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    /// All studies.
    pub(crate) studies: Arc<Studies>,
    /// Where messages come in.
    pub(crate) inbox: Inbox,
    /// Who may register studies.
    pub(crate) admin: AdminToken,
    /// What verifies this aggregator's signatures.
    pub(crate) key: PublicKey,
    /// What tells the time.
    pub(crate) clock: Clock,
}

impl Front {
    /// The bytes of a request's body.
    pub(crate) fn incoming(&self, body: Body) -> Incoming {
        let announced = body.size_hint().exact();
        let stream = body.into_data_stream().map_err(|error| error.to_string());
        self.inbox.incoming(stream.boxed(), announced)
    }
}

impl FromRef<Front> for Arc<Studies> {
    fn from_ref(front: &Front) -> Self {
        front.studies.clone()
    }
}
