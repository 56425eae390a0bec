//! What was made durable, for tests: how often a folder's files and folders were synced, how far each
//! file was, and whether its name was.
//!
//! A sync is what a program waits for longest, and it is also what an ordering rests on. So a test may
//! count them below a folder of its own, and see of each file how much of it a power cut would leave.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nobody watches: then a sync costs nothing more.
static WATCHED: AtomicBool = AtomicBool::new(false);

static WATCHES: Mutex<Vec<Watch>> = Mutex::new(Vec::new());

struct Watch {
    below: PathBuf,
    count: usize,
    lengths: BTreeMap<PathBuf, u64>,
    /// What was in each folder when that was synced last.
    names: BTreeMap<PathBuf, BTreeSet<OsString>>,
}

fn watches() -> MutexGuard<'static, Vec<Watch>> {
    WATCHES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches what this process syncs in a folder and below it, until it is dropped.
#[derive(Debug)]
pub struct Syncs {
    below: PathBuf,
}

impl Syncs {
    /// Begins to watch a folder.
    pub fn below(folder: &Path) -> Self {
        let (lengths, names) = (BTreeMap::new(), BTreeMap::new());
        let watch = Watch { below: folder.to_owned(), count: 0, lengths, names };
        watches().push(watch);
        WATCHED.store(true, Ordering::Relaxed);
        Self { below: folder.to_owned() }
    }

    /// How often something there was synced since it was asked last.
    pub fn take(&self) -> usize {
        self.with(|watch| std::mem::take(&mut watch.count)).unwrap_or_default()
    }

    /// How many bytes a file had when it was synced last; none for one that was not.
    pub fn durable(&self, file: &Path) -> Option<u64> {
        self.with(|watch| watch.lengths.get(file).copied()).flatten()
    }

    /// Whether a file or folder had its name when the folder that it lies in was synced last.
    pub fn is_named(&self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let is_named = |watch: &mut Watch| watch.names.get(folder)?.contains(name).then_some(());
        self.with(is_named).flatten().is_some()
    }

    /// Forgets what is durable, as whoever comes after a kill knows nothing of it.
    pub fn forget(&self) {
        self.with(|watch| {
            watch.lengths.clear();
            watch.names.clear();
        });
    }

    fn with<T>(&self, of: impl FnOnce(&mut Watch) -> T) -> Option<T> {
        watches().iter_mut().find(|watch| watch.below == self.below).map(of)
    }
}

impl Drop for Syncs {
    fn drop(&mut self) {
        let mut watches = watches();
        watches.retain(|watch| watch.below != self.below);
        WATCHED.store(!watches.is_empty(), Ordering::Relaxed);
    }
}

/// Takes note that a file or a folder was synced.
pub(crate) fn synced(path: &Path, file: &File) {
    if !WATCHED.load(Ordering::Relaxed) {
        return;
    }
    let about = file.metadata();
    let length = about.as_ref().map_or(0, std::fs::Metadata::len);
    let names = about.is_ok_and(|about| about.is_dir()).then(|| std::fs::read_dir(path));
    let names = names.map(|names| names.into_iter().flatten().flatten());
    let names = names.map(|names| names.map(|entry| entry.file_name()).collect::<BTreeSet<_>>());
    for watch in watches().iter_mut().filter(|watch| path.starts_with(&watch.below)) {
        watch.count += 1;
        watch.lengths.insert(path.to_owned(), length);
        if let Some(names) = &names {
            watch.names.insert(path.to_owned(), names.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Readers, create_folder, sync_data, sync_folder, write};

    #[test]
    fn every_sync_below_a_folder_is_counted_and_none_beside_it() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let syncs = Syncs::below(folder.path());
        write(&folder.path().join("file"), b"four", Readers::Usual).unwrap();
        assert_eq!(syncs.take(), 2, "the bytes, and the name");
        write(&other.path().join("file"), b"four", Readers::Usual).unwrap();
        sync_folder(folder.path()).unwrap();
        create_folder(&folder.path().join("a/b")).unwrap();
        assert_eq!(syncs.take(), 3);
        let path = folder.path().join("appended");
        std::fs::write(&path, b"durable").unwrap();
        assert_eq!(syncs.durable(&path), None);
        sync_data(&path, &File::open(&path).unwrap()).unwrap();
        std::fs::write(&path, b"durable, and more").unwrap();
        assert!(!syncs.is_named(&path), "its bytes are durable, its name is not");
        assert_eq!((syncs.durable(&path), syncs.take()), (Some(7), 1));
        sync_folder(folder.path()).unwrap();
        assert!(syncs.is_named(&path));
        syncs.forget();
        assert!(!syncs.is_named(&path));
    }
}
