//! What waiting helps against, and how long to wait.

use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_site::SiteError;

/// Repeats a step while only waiting helps, with growing pauses and a word at the first failure.
pub(super) async fn patiently<T, F>(
    clock: &Clock,
    mut step: impl FnMut() -> F,
) -> Result<T, SiteError>
where
    F: Future<Output = Result<T, SiteError>>,
{
    let mut seconds = 1;
    loop {
        match step().await {
            Err(error) if is_transient(&error) => {
                if seconds == 1 {
                    eprintln!("  waiting: {error}");
                }
                clock.sleep(Duration::from_secs(seconds)).await;
                seconds = (2 * seconds).min(30);
            }
            end => return end,
        }
    }
}

/// Whether waiting may help: the server is away or busy, or other sites are late.
pub(super) fn is_transient(error: &SiteError) -> bool {
    match error {
        SiteError::Transport(error) => error.is_transient(),
        SiteError::Impatient { .. } | SiteError::NotAgreed { .. } => true,
        _ => false,
    }
}

/// Whether the server says that it is too late, or that somebody else was first.
pub(super) fn conflict(error: &SiteError) -> bool {
    matches!(error, SiteError::Transport(error) if error.status() == Some(409))
}
