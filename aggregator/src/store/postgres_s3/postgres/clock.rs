//! The database's clock: the time of day of all aggregators that share it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringfence_clock::Ahead;
use sqlx::postgres::{PgConnection, PgPool};

/// The database's clock and this machine's are at most so far apart at a start: else one is wrong.
const CLOCKS_APART: Duration = Duration::from_secs(5);

/// How often the database's clock is read. In between, this machine's goes on from there.
const CLOCK_PAUSE: Duration = Duration::from_secs(60);

/// Reads the database's clock: its time and this machine's then.
pub(super) async fn read_clock(
    connection: &mut PgConnection,
    ahead: &Ahead,
) -> Result<[Duration; 2], sqlx::Error> {
    let asked = Instant::now();
    let database: f64 = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8")
        .fetch_one(connection)
        .await?;
    let database = Duration::try_from_secs_f64(database).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // It was read somewhere between question and answer.
    let here = now.saturating_sub(asked.elapsed() / 2);
    ahead.set(database, here);
    Ok([database, here])
}

/// Reads the database's clock again and again, until the pool is closed.
pub(super) async fn follow_clock(pool: PgPool, ahead: Ahead) {
    while !pool.is_closed() {
        tokio::time::sleep(CLOCK_PAUSE).await;
        let read = async { read_clock(&mut *pool.acquire().await?, &ahead).await };
        match read.await.map(|[database, here]| check_clock(database, here)) {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => tracing::warn!(reason, "the database's clock is gone by"),
            Err(error) => tracing::debug!(%error, "the database's clock is not read"),
        }
    }
}

/// Whether this machine's clock shows the database's time.
pub(super) fn check_clock(database: Duration, here: Duration) -> Result<(), String> {
    let apart = here.abs_diff(database);
    match apart > CLOCKS_APART {
        true => Err(format!(
            "its clock and this machine's are {} s apart, expected {} s at most",
            apart.as_secs(),
            CLOCKS_APART.as_secs()
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_time_is_refused() {
        let now = Duration::from_secs(1_000_000);
        check_clock(now, now + Duration::from_secs(4)).unwrap();
        let refused = check_clock(now + Duration::from_secs(60), now).unwrap_err();
        assert!(refused.contains(" s apart"), "{refused}");
    }
}
