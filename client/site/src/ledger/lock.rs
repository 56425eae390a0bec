//! One process at a time uses a ledger.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::error::LedgerError;

/// How often a ledger that another process has is looked at, and how long between two looks.
const LOOKS: u32 = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Locks a ledger. Whoever has it, has it for a moment: another study's round is charged, or somebody
/// looks at it. That is waited for.
pub(super) fn lock(root: &Path) -> Result<File, LedgerError> {
    let path = root.join("lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.map_err(|source| LedgerError::io(&path, source))?;
    for _ in 0..LOOKS {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN_LOOKS),
            Err(TryLockError::Error(source)) => return Err(LedgerError::io(&path, source)),
        }
    }
    let (root, holder) = (root.display().to_string(), holder(&lock));
    Err(LedgerError::Locked { root, holder, waited: LOOKS * BETWEEN_LOOKS })
}

/// The process that has a file locked, where the operating system says it.
#[cfg(target_os = "linux")]
fn holder(lock: &File) -> Option<u32> {
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
fn holder(_: &File) -> Option<u32> {
    None
}
