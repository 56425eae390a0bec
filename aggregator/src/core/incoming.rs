//! Request bodies: bounded in bytes, in time and, over all requests together, in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::problem::Refusal;

/// A message must be complete after so long. A largest frame (16 MiB) then needs 0.5 Mbit/s.
const WHOLE: Duration = Duration::from_secs(300);

/// Bytes of messages that are held at the same time: 32 of the largest frames.
const MEMORY: usize = 512 << 20;

/// How long a refused sender may go on, see [`drain`].
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// The next bytes of a body, `None` at its end.
///
/// # Errors
/// A [`Refusal`] when the sender is silent for `idle` or breaks off.
pub(crate) async fn next(
    stream: &mut BodyDataStream,
    idle: Duration,
) -> Result<Option<Bytes>, Refusal> {
    match timeout(idle, stream.next()).await {
        Err(_) => {
            Err(Refusal::slow(format!("nothing came for {} s; send it again", idle.as_secs())))
        }
        Ok(None) => Ok(None),
        Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
        Ok(Some(Err(error))) => {
            Err(Refusal::malformed(format!("the body broke off: {error}; send it again")))
        }
    }
}

/// Reads and forgets the rest of a refused body, at most `limit` bytes, so that the sender sees the
/// refusal: a connection that is closed on unread bytes is reset, and that overtakes the answer.
pub(crate) async fn drain(mut stream: BodyDataStream, limit: u64) {
    let rest = async {
        let mut drained = 0u64;
        while let Some(Ok(bytes)) = stream.next().await {
            drained += bytes.len() as u64;
            if drained > limit {
                break;
            }
        }
    };
    // Either way nothing more is read.
    drop(timeout(DRAIN_TIME, rest).await);
}

/// The memory that messages share.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    memory: Arc<Semaphore>,
    /// How long a sender may be silent.
    pub(crate) idle: Duration,
}

/// A message in memory; dropping it makes room for others.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    memory: Option<OwnedSemaphorePermit>,
}

impl Inbox {
    /// An empty one.
    pub(crate) fn new(idle: Duration) -> Self {
        Self { memory: Arc::new(Semaphore::new(MEMORY)), idle }
    }

    /// Reads a whole message of at most `limit` bytes. Memory is taken for bytes that came, not
    /// for bytes that were announced.
    ///
    /// # Errors
    /// A [`Refusal`] when it is longer, too slow, or the memory for messages is used up.
    pub(crate) async fn read(&self, body: Body, limit: usize) -> Result<Message, Refusal> {
        let mut stream = body.into_data_stream();
        let read = self.collect(&mut stream, limit);
        let outcome = timeout(WHOLE, read).await.unwrap_or_else(|_| {
            let seconds = WHOLE.as_secs();
            Err(Refusal::slow(format!("the message was not complete after {seconds} s")))
        });
        if outcome.is_err() {
            drain(stream, limit as u64).await;
        }
        outcome
    }

    async fn collect(&self, stream: &mut BodyDataStream, limit: usize) -> Result<Message, Refusal> {
        let mut message = Message::default();
        while let Some(chunk) = next(stream, self.idle).await? {
            if message.bytes.len() + chunk.len() > limit {
                return Err(Refusal::too_long(format!(
                    "expected a message of at most {limit} bytes, got more"
                )));
            }
            let busy = || Refusal::busy("too many messages at once; send it again later");
            let size = u32::try_from(chunk.len()).map_err(|_| busy())?;
            let permit = self.memory.clone().try_acquire_many_owned(size).map_err(|_| busy())?;
            match &mut message.memory {
                Some(memory) => memory.merge(permit),
                None => message.memory = Some(permit),
            }
            message.bytes.extend_from_slice(&chunk);
        }
        Ok(message)
    }
}
