//! Hearing of what other aggregators have written.

use std::time::Duration;

use ringfence_crypto::id::StudyId;
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::mpsc;

/// The channel on which every write says its study.
const CHANNEL: &str = "ringfence";

/// Between tries to listen.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);

/// Passes on which studies are named, until nobody listens or the pool is closed.
pub(super) async fn listen(pool: PgPool, studies: mpsc::Sender<Option<StudyId>>) {
    while !pool.is_closed() && !studies.is_closed() {
        if let Err(error) = listen_once(&pool, &studies).await {
            tracing::debug!(%error, "the database is not heard");
        }
        tokio::time::sleep(LISTEN_PAUSE).await;
    }
}

async fn listen_once(
    pool: &PgPool,
    studies: &mpsc::Sender<Option<StudyId>>,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    // What was said before is not heard any more: all studies may have news.
    let mut named = None;
    loop {
        if studies.send(named).await.is_err() {
            return Ok(());
        }
        named = listener.try_recv().await?.and_then(|said| said.payload().parse().ok());
    }
}
