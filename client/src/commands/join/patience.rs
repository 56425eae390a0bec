//! What waiting helps against, and how long to wait.

use std::time::Duration;

use ringfence_clock::Moment;
use ringfence_crypto::statement::{ClosingError, ManifestError};
use ringfence_keys::duties::holder::HolderError;
use ringfence_site::{Site, SiteError};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Repeats a step while only waiting helps, with growing pauses, and for at most the site's patience
/// since it first failed; the first failure says until when.
pub(super) async fn patiently<T, F>(
    site: &Site,
    mut step: impl FnMut() -> F,
) -> Result<T, SiteError>
where
    F: Future<Output = Result<T, SiteError>>,
{
    let clock = site.clock();
    let mut pause = Duration::from_secs(1);
    let mut end: Option<Moment> = None;
    loop {
        let error = match step().await {
            Err(error) if is_transient(&error) => error,
            end => return end,
        };
        let now = clock.moment();
        let end = *end.get_or_insert_with(|| {
            let until = clock.now().after(site.patience().as_secs());
            eprintln!("  waiting until {} at most: {error}", until.utc());
            now.after(site.patience())
        });
        let left = end.since(now);
        if left.is_zero() {
            return Err(error);
        }
        clock.sleep(pause.min(left)).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    }
}

/// Whether waiting may help: the server is away or busy, or somebody has to set a clock. Other sites
/// that are late have been waited for as long as patience says.
pub(super) fn is_transient(error: &SiteError) -> bool {
    match error {
        SiteError::Transport(error) => error.is_transient(),
        SiteError::Manifest(ManifestError::OpenedAhead { .. })
        | SiteError::Closing(ClosingError::ClosedAhead { .. })
        | SiteError::Holder(HolderError::Closing(ClosingError::ClosedAhead { .. }))
        | SiteError::ClockBehind { .. } => true,
        _ => false,
    }
}

/// Whether the server says that it is too late, or that something else came before.
pub(super) fn conflict(error: &SiteError) -> bool {
    matches!(error, SiteError::Transport(error) if error.status() == Some(409))
}
