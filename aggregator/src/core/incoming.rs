//! What peers send: bounded in bytes, in time and, over all requests together, in memory.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use ringfence_clock::Clock;
use ringfence_crypto::request::ContentDigest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::core::refusal::Refusal;

/// A message must be complete after so long, or after a second for each [`MESSAGE_RATE`] bytes that it
/// may have, if that is longer.
const WHOLE: Duration = Duration::from_secs(300);

/// Bytes a second that a sender must keep up after the first idle time: 0.03 Mbit/s, a quarter of what
/// a site gives up at. Whoever trickles holds a place for no longer than his bytes are worth.
const SLOWEST: u64 = 4 << 10;

/// Bytes a second that a whole message must keep up: 0.5 Mbit/s. A largest frame (16 MiB) then takes no
/// longer than [`WHOLE`], a largest study 17 minutes.
const MESSAGE_RATE: u64 = 64 << 10;

/// Bytes of messages that are held at the same time: 32 of the largest frames.
const MEMORY: usize = 512 << 20;

/// How long a refused sender may go on, see [`Incoming::drain`].
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// Bytes as they come, or in words why no more will.
pub(crate) type ByteStream = BoxStream<'static, Result<Bytes, String>>;

/// What is known of a request's message before it has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Digested {
    /// Whoever sent it has no key that signs it.
    #[default]
    Unsigned,
    /// The request is signed, and with it this digest of its message.
    As(ContentDigest),
    /// The request is signed, and no message of it.
    Missing,
}

impl Digested {
    fn check(self, message: &[u8]) -> Result<(), Refusal> {
        match self {
            Self::Unsigned => Ok(()),
            Self::As(digest) => {
                digest.check(message).map_err(|error| Refusal::malformed(error.to_string()))
            }
            Self::Missing => Err(Refusal::unauthorised(
                "expected the header `Content-Digest: sha-256=:...:` of this message (RFC 9530), and that it is signed, got none",
            )),
        }
    }
}

/// The bytes of one request, and how long its sender may be silent.
pub(crate) struct Incoming {
    stream: ByteStream,
    digested: Digested,
    /// What there is of memory for messages of this sender.
    memory: Option<Arc<Semaphore>>,
    announced: Option<u64>,
    clock: Clock,
    idle: Duration,
    /// How long may still be waited for bytes: the idle time, less what was waited, and a second more
    /// for every [`SLOWEST`] bytes.
    left: Duration,
}

impl Incoming {
    /// The bytes of a sender that has so much memory for its messages.
    pub(crate) fn within(self, memory: Option<Arc<Semaphore>>) -> Self {
        Self { memory, ..self }
    }

    /// How many bytes the request says that there will be, if it says so.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// How long the sender may be silent.
    pub(crate) fn idle(&self) -> Duration {
        self.idle
    }

    /// The next bytes, `None` at the end.
    ///
    /// # Errors
    /// A [`Refusal`] when the sender is silent for too long, too slow all in all, or breaks off.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        let began = self.clock.moment();
        match self.clock.timeout(self.left, self.stream.next()).await {
            Err(_) => Err(Refusal::slow(format!(
                "nothing came for {} s, or less than {SLOWEST} bytes a second; send it again",
                self.idle.as_secs()
            ))),
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => {
                let waited = self.clock.moment().since(began);
                let earned = Duration::from_millis(bytes.len() as u64 * 1000 / SLOWEST);
                self.left = self.left.saturating_sub(waited).saturating_add(earned).min(self.idle);
                Ok(Some(bytes))
            }
            Ok(Some(Err(error))) => {
                Err(Refusal::malformed(format!("the body broke off: {error}; send it again")))
            }
        }
    }

    /// Reads and forgets the rest of what is refused, at most `limit` bytes, so that the sender sees
    /// the refusal: a connection that is closed on unread bytes is reset, and that overtakes the
    /// answer.
    pub(crate) async fn drain(mut self, limit: u64) {
        let rest = async {
            let mut drained = 0u64;
            while let Some(Ok(bytes)) = self.stream.next().await {
                drained += bytes.len() as u64;
                if drained > limit {
                    break;
                }
            }
        };
        // Either way nothing more is read.
        let _ = self.clock.timeout(DRAIN_TIME, rest).await;
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({:?} bytes)", self.announced)
    }
}

/// The memory that messages share, and the places for uploads.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    memory: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    /// How many uploads there may be.
    most_uploads: usize,
    clock: Clock,
    idle: Duration,
}

/// A message in memory; dropping it makes room for others.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    memory: Option<OwnedSemaphorePermit>,
    of_sender: Option<OwnedSemaphorePermit>,
}

impl Message {
    /// Its bytes, shared, and the place that they take for as long as they are used.
    pub(crate) fn shared(mut self) -> (Bytes, Self) {
        (std::mem::take(&mut self.bytes).into(), self)
    }
}

impl Inbox {
    /// An empty one, for so many uploads at the same time; a sender may be silent for `idle`.
    pub(crate) fn new(clock: Clock, idle: Duration, uploads: u16) -> Self {
        let memory = Arc::new(Semaphore::new(MEMORY));
        let most_uploads = uploads.into();
        Self { memory, uploads: Arc::new(Semaphore::new(most_uploads)), most_uploads, clock, idle }
    }

    /// Uploads that run, and bytes of messages that are held.
    pub(crate) fn taken(&self) -> (usize, usize) {
        let uploads = self.most_uploads.saturating_sub(self.uploads.available_permits());
        (uploads, MEMORY.saturating_sub(self.memory.available_permits()))
    }

    /// The bytes of one request.
    pub(crate) fn incoming(
        &self,
        stream: ByteStream,
        announced: Option<u64>,
        digested: Digested,
    ) -> Incoming {
        let (clock, idle) = (self.clock.clone(), self.idle);
        Incoming { stream, digested, memory: None, announced, clock, idle, left: idle }
    }

    /// Bytes that have come, as if they came now.
    pub(crate) fn came(&self, bytes: Bytes) -> Incoming {
        let announced = Some(bytes.len() as u64);
        let stream = futures_util::stream::iter([Ok(bytes)]);
        self.incoming(stream.boxed(), announced, Digested::Unsigned)
    }

    /// A place among the uploads at the same time; dropping it makes room.
    ///
    /// # Errors
    /// A [`Refusal`] when there is none.
    pub(crate) fn upload(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let busy = |_| Refusal::busy("too many uploads at once; go on later");
        self.uploads.clone().try_acquire_owned().map_err(busy)
    }

    /// Reads a whole message of at most `limit` bytes. Memory is taken for bytes that came, not
    /// for bytes that were announced.
    ///
    /// # Errors
    /// A [`Refusal`] when it is longer, too slow, not the message that was signed, or the memory for
    /// messages is used up.
    pub(crate) async fn read(
        &self,
        mut incoming: Incoming,
        limit: usize,
    ) -> Result<Message, Refusal> {
        let whole = WHOLE.max(Duration::from_secs(limit as u64 / MESSAGE_RATE));
        let read = self.collect(&mut incoming, limit);
        let outcome = self.clock.timeout(whole, read).await.unwrap_or_else(|_| {
            let seconds = whole.as_secs();
            Err(Refusal::slow(format!("the message was not complete after {seconds} s")))
        });
        let Ok(message) = outcome else {
            incoming.drain(limit as u64).await;
            return outcome;
        };
        incoming.digested.check(&message.bytes)?;
        Ok(message)
    }

    async fn collect(&self, incoming: &mut Incoming, limit: usize) -> Result<Message, Refusal> {
        let mut message = Message::default();
        while let Some(chunk) = incoming.next().await? {
            if message.bytes.len() + chunk.len() > limit {
                return Err(Refusal::too_long(format!(
                    "expected a message of at most {limit} bytes, got more"
                )));
            }
            let busy = || Refusal::busy("too many messages at once; send it again later");
            let size = u32::try_from(chunk.len()).map_err(|_| busy())?;
            take(&self.memory, size, &mut message.memory).ok_or_else(busy)?;
            if let Some(memory) = &incoming.memory {
                take(memory, size, &mut message.of_sender).ok_or_else(busy)?;
            }
            message.bytes.extend_from_slice(&chunk);
        }
        Ok(message)
    }
}

/// Takes so many bytes more.
fn take(
    memory: &Arc<Semaphore>,
    bytes: u32,
    taken: &mut Option<OwnedSemaphorePermit>,
) -> Option<()> {
    let more = memory.clone().try_acquire_many_owned(bytes).ok()?;
    match taken {
        Some(taken) => taken.merge(more),
        None => *taken = Some(more),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use ringfence_crypto::id::UnixSeconds;

    use super::*;

    const MIB: usize = 1 << 20;
    /// 5 KiB a second, of which each is soon enough.
    const PIECE: usize = 100 << 10;

    /// What becomes of a message of which a piece comes each 20 s, for so long.
    async fn trickle(pieces: u64, limit: usize) -> Result<usize, Refusal> {
        let (clock, hand) = Clock::mock(UnixSeconds(1_800_000_000));
        let inbox = Inbox::new(clock.clone(), Duration::from_secs(30), 1);
        let stream = futures_util::stream::unfold(0, move |sent| {
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_secs(20)).await;
                (sent < pieces).then(|| (Ok(Bytes::from(vec![0; PIECE])), sent + 1))
            }
        });
        let incoming = inbox.incoming(stream.boxed(), None, Digested::Unsigned);
        let reading = tokio::spawn(async move { inbox.read(incoming, limit).await });
        while !reading.is_finished() {
            hand.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        reading.await.unwrap().map(|message| message.bytes.len())
    }

    #[tokio::test]
    async fn a_message_has_the_time_that_its_longest_takes_on_a_slow_line() {
        assert_eq!(trickle(10, 2 * MIB).await.unwrap(), 10 * PIECE);
        let refusal = trickle(20, 2 * MIB).await.unwrap_err();
        assert!(refusal.detail().contains("not complete after 300 s"), "{refusal:?}");
        // A study's 64 MiB take 9 minutes at 1 Mbit/s.
        assert_eq!(trickle(27, 64 * MIB).await.unwrap(), 27 * PIECE);
    }
}
