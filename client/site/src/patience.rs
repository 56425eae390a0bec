//! What waiting helps against, and how long to wait.

use std::collections::BTreeSet;
use std::time::Duration;

use ringfence_clock::Moment;
use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::statement::{ClosingError, ManifestError};
use ringfence_keys::duties::holder::HolderError;

use crate::error::SiteError;
use crate::ledger::LedgerError;
use crate::obstacles::Obstacle;
use crate::site::Site;
use crate::transport::jittered;

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Site {
    /// Repeats a step while only waiting helps, with growing pauses, and for at most the site's patience
    /// since it first failed. What stands in the way is told, and until when; and that it is over.
    /// Before a step is repeated the server is asked who it is: another may have its port by then.
    ///
    /// # Errors
    /// The step's, where waiting does not help or patience has ended.
    pub async fn patiently<T, F>(&self, mut step: impl FnMut() -> F) -> Result<T, SiteError>
    where
        F: Future<Output = Result<T, SiteError>>,
    {
        let clock = &self.clock;
        let mut pause = Duration::from_secs(1);
        let mut waiting: Option<(Moment, UnixSeconds)> = None;
        let (mut obstacles, mut away) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let mut began = clock.moment();
            let met = match waiting {
                Some(_) => self.meet().await,
                None => Ok(()),
            };
            let tried = match met {
                Ok(()) => {
                    // It has answered: a step may take hours from here, and waits for others meanwhile.
                    if !away.is_empty() {
                        self.tell_resumed(&away);
                        began = clock.moment();
                    }
                    step().await
                }
                Err(error) => Err(error),
            };
            let error = match tried {
                Err(error) if error.is_transient() => error,
                ended => {
                    if ended.is_ok() {
                        self.tell_resumed(&obstacles);
                    }
                    return ended;
                }
            };
            let (now, obstacle) = (clock.moment(), Obstacle::of(&error));
            let (end, until) = waiting.get_or_insert_with(|| {
                let until = clock.now().after(self.patience().as_secs());
                (now.after(self.patience()), until)
            });
            self.tell_repeating(&obstacle, &error.to_string(), began, *until);
            if matches!(&error, SiteError::Transport(error) if error.is_away()) {
                away.insert(obstacle.clone());
            }
            obstacles.insert(obstacle);
            let left = end.since(now);
            if left.is_zero() {
                return Err(error);
            }
            // All sites may have failed at the same moment, and would come back at the same one.
            let asked = retry_after(&error).unwrap_or_default();
            clock.sleep(asked.max(jittered(pause)).min(left)).await;
            pause = LONGEST_PAUSE.min(2 * pause);
        }
    }
}

/// After how long the server asks to be asked again.
fn retry_after(error: &SiteError) -> Option<Duration> {
    match error {
        SiteError::Transport(error) => error.retry_after(),
        _ => None,
    }
}

impl SiteError {
    /// Whether waiting may help: the server is away or busy, another process has the privacy ledger, or
    /// somebody has to set a clock. Other sites that are late have been waited for as long as patience
    /// says.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(error) => error.is_transient() || error.is_clock(),
            SiteError::Manifest(ManifestError::OpenedAhead { .. })
            | SiteError::Closing(ClosingError::ClosedAhead { .. })
            | SiteError::Holder(HolderError::Closing(ClosingError::ClosedAhead { .. }))
            | SiteError::ClockBehind { .. } => true,
            // Another study of this hospital is charged, or somebody looks at the ledger.
            SiteError::Ledger(error) => matches!(**error, LedgerError::Locked { .. }),
            _ => false,
        }
    }
}
