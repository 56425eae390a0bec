//! One process at a time has a folder.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a lock is waited for that should be free. Whoever starts another program hands it a copy
/// of all open files for a moment, the lock's too, until the other program runs; and what a killed
/// process had is given back a moment after the kill.
pub const HANDED_BACK_WITHIN: Duration = Duration::from_secs(1);

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Locks a file, which is made if it is not there, until what it gives is dropped. The operating
/// system gives a lock back even after a kill. It waits on this thread.
///
/// # Errors
/// [`TryLockError::WouldBlock`] if it was in use for all of `patience`, or what the operating system
/// says.
pub fn lock(path: &Path, patience: Duration) -> Result<File, TryLockError> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(TryLockError::Error)?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if since.elapsed() < patience => {
                thread::sleep(BETWEEN_LOOKS);
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_is_given_back_soon_is_waited_for_and_what_stays_in_use_is_not() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("lock");
        let first = lock(&path, Duration::ZERO).unwrap();
        let second = lock(&path, Duration::from_millis(60));
        assert!(matches!(second, Err(TryLockError::WouldBlock)), "{second:?}");
        // As a program that is being started has it.
        let copy = first.try_clone().unwrap();
        drop(first);
        let second = lock(&path, Duration::ZERO);
        assert!(matches!(second, Err(TryLockError::WouldBlock)), "{second:?}");
        let starting = thread::spawn(move || {
            thread::sleep(Duration::from_millis(60));
            drop(copy);
        });
        lock(&path, Duration::from_secs(60)).unwrap();
        starting.join().unwrap();
    }
}
