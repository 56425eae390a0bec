//! One process at a time uses a ledger.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::error::LedgerError;

/// How long a ledger that another process has is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Locks a ledger. Whoever has it, has it for a moment: another study's round is charged, or somebody
/// looks at it. That is waited for.
pub(super) fn lock(root: &Path) -> Result<File, LedgerError> {
    let path = root.join("lock");
    ringfence_durable::lock(&path, PATIENCE).map_err(|error| match error {
        TryLockError::WouldBlock => {
            let (root, holder) = (root.display().to_string(), holder(&path));
            LedgerError::Locked { root, holder, waited: PATIENCE }
        }
        TryLockError::Error(source) => LedgerError::io(&path, source),
    })
}

/// The process that has a file locked, where the operating system says it.
#[cfg(target_os = "linux")]
fn holder(lock: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let inode = lock.metadata().ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // As in `1: FLOCK  ADVISORY  WRITE 4242 08:01:1234 0 EOF`.
    let mut holders = locks.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().filter(|kind| *kind == "FLOCK")?;
        let process = words.nth(2)?.parse().ok().filter(|process| *process > 0)?;
        (words.next()?.rsplit(':').next() == Some(&inode)).then_some(process)
    });
    let holder = holders.next();
    // Files of two disks may have the same number.
    holder.filter(|_| holders.next().is_none())
}

/// Elsewhere nobody tells.
#[cfg(not(target_os = "linux"))]
fn holder(_: &Path) -> Option<u32> {
    None
}
