//! The folder of a ledger: verified as it is read, appended to durably.
//!
//! **What is safe to drop.** An entry is acknowledged in this order: its line is written and synced;
//! then `head.json`, which counts it, is replaced and synced with its folder; then the charge returns,
//! and only after that a header is signed. So no update has left under what `head.json` does not
//! count. Behind the counted entries there may lie, after a crash, whole entries (they are kept: at
//! worst a round is charged that never left, and charging it again finds it) and after them the piece
//! of a line, or what a file system puts in the place of blocks that were never written (dropped).
//! Every counted entry must be there whole: a flipped bit or a lost end among them is an error, even in
//! the last byte. Nothing is cut off when a ledger is read, only when it is written to.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ringfence_crypto::Digest;
use ringfence_durable::{self as durable, Readers};
use ringfence_keys::CryptoRng;

use super::entry::{Entry, FORMAT, Head, MOST_ENTRIES, Terms};
use super::error::LedgerError;
use super::key::{CohortKey, Use};
use super::lock::lock;
use super::sealed::{self, MAX_LINE};
use super::units::{MOST_UNITS, Snapshot};

const TERMS: &str = "ledger.json";
const ENTRIES: &str = "entries";
const HEAD: &str = "head.json";
const SNAPSHOTS: &str = "snapshots";

/// Most bytes of the entries.
const MOST_BYTES: usize = 256 << 20;

/// An entry, and what names its line.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) entry: Entry,
    pub(super) name: Digest,
}

/// A ledger's content, locked while this is held.
#[derive(Debug)]
pub(super) struct Book {
    root: PathBuf,
    /// None once others may write: nothing is written from here then.
    lock: Option<File>,
    pub(super) key: CohortKey,
    pub(super) terms: Terms,
    /// What names the terms, and so the ledger.
    pub(super) id: Digest,
    pub(super) kept: Vec<Kept>,
    /// Bytes of their lines.
    bytes: u64,
    /// Entries that `head.json` counts.
    acknowledged: u64,
}

impl Book {
    /// Makes a ledger. The terms come last: with them it is one.
    pub(super) fn make(
        root: &Path,
        terms: &Terms,
        rng: &mut impl CryptoRng,
    ) -> Result<(), LedgerError> {
        let io = |source| LedgerError::io(root, source);
        durable::create_folder(root).map_err(io)?;
        let _lock = lock(root)?;
        let written = |path: PathBuf| path.metadata().is_ok_and(|about| about.len() > 0);
        let snapshots = root.join(SNAPSHOTS);
        let has_snapshots = snapshots.read_dir().is_ok_and(|mut files| files.next().is_some());
        if root.join(TERMS).exists() || written(root.join(ENTRIES)) || has_snapshots {
            return Err(LedgerError::Exists(root.display().to_string()));
        }
        durable::clear_unfinished(root).map_err(io)?;
        durable::create_folder(&snapshots).map_err(io)?;
        let key = CohortKey::make(root, rng)?;
        let line = sealed::seal(&key, Use::Terms, terms);
        let head = Head { entries: 0, last: sealed::name(&line) };
        write(&root.join(ENTRIES), &[])?;
        write(&root.join(HEAD), &sealed::seal(&key, Use::Head, &head))?;
        write(&root.join(TERMS), &line)
    }

    /// Opens a ledger and verifies all of it but the snapshots, which are when they are loaded.
    pub(super) fn open(root: &Path) -> Result<Self, LedgerError> {
        if !root.join(TERMS).exists() {
            return Err(LedgerError::None(root.display().to_string()));
        }
        let lock = lock(root)?;
        // Under the lock, so that nobody is writing.
        let snapshots = root.join(SNAPSHOTS);
        for folder in [root, &snapshots] {
            durable::clear_unfinished(folder).map_err(|source| LedgerError::io(folder, source))?;
        }
        let key = CohortKey::read(root)?;
        let (terms, id) = one_line::<Terms>(&root.join(TERMS), &key, Use::Terms)?;
        if terms.format != FORMAT {
            let root = root.display().to_string();
            return Err(LedgerError::Format { root, found: terms.format, expected: FORMAT });
        }
        let (head, _) = one_line::<Head>(&root.join(HEAD), &key, Use::Head)?;
        if head.entries == 0 {
            // Whoever made it may have been killed before its folders were durable; before its first
            // entry is acknowledged they are. A folder above that may not be read was made by somebody
            // else.
            let _ = durable::sync_folder_of(root);
            for folder in [root, &snapshots] {
                durable::sync_folder(folder).map_err(|source| LedgerError::io(folder, source))?;
            }
        }
        let path = root.join(ENTRIES);
        let text = durable::read(&path, MOST_BYTES).map_err(|e| LedgerError::io(&path, e))?;
        let (kept, bytes) =
            chain(&text, &key, id, head).map_err(|reason| LedgerError::damaged(&path, reason))?;
        let root = root.to_owned();
        Ok(Self { root, lock: Some(lock), key, terms, id, kept, bytes, acknowledged: head.entries })
    }

    pub(super) fn root(&self) -> String {
        self.root.display().to_string()
    }

    /// Lets others at it. What was read stays as it was: entries are only ever added, and a set of
    /// units is named by what it holds.
    pub(super) fn released(self) -> Self {
        Self { lock: None, ..self }
    }

    /// What is written, is written by whoever has the lock.
    fn check_locked(&self) -> Result<(), LedgerError> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(LedgerError::Released { root: self.root() }),
        }
    }

    /// What the next entry names as the one before.
    pub(super) fn last(&self) -> Digest {
        self.kept.last().map_or(self.id, |kept| kept.name)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.kept.iter().map(|kept| &kept.entry)
    }

    /// Writes an entry behind the last one and acknowledges it.
    pub(super) fn append(&mut self, entry: Entry) -> Result<(), LedgerError> {
        self.check_locked()?;
        let line = sealed::seal(&self.key, Use::Entry, &entry);
        let end = self.bytes.saturating_add(line.len() as u64);
        if self.kept.len() >= MOST_ENTRIES || line.len() > MAX_LINE || end > MOST_BYTES as u64 {
            return Err(LedgerError::Full { root: self.root(), most: MOST_ENTRIES });
        }
        let path = self.root.join(ENTRIES);
        put(&path, self.bytes, &line).map_err(|source| LedgerError::io(&path, source))?;
        self.bytes = end;
        self.kept.push(Kept { entry, name: sealed::name(&line) });
        self.acknowledge()
    }

    /// Counts every entry in `head.json`: one of before a crash, too, which may not be synced. What lies
    /// behind them is cut off first.
    pub(super) fn acknowledge(&mut self) -> Result<(), LedgerError> {
        let entries = self.kept.len() as u64;
        if self.acknowledged == entries {
            return Ok(());
        }
        self.check_locked()?;
        let path = self.root.join(ENTRIES);
        let file = File::options().write(true).open(&path);
        let synced = file.and_then(|file| {
            file.set_len(self.bytes).and_then(|()| durable::sync_data(&path, &file))
        });
        synced.map_err(|source| LedgerError::io(&path, source))?;
        let head = Head { entries, last: self.last() };
        write(&self.root.join(HEAD), &sealed::seal(&self.key, Use::Head, &head))?;
        self.acknowledged = entries;
        Ok(())
    }

    /// The set of units of this name.
    pub(super) fn snapshot(&self, name: Digest) -> Result<Snapshot, LedgerError> {
        let path = self.snapshot_path(name);
        let bytes = durable::read(&path, 32 * MOST_UNITS);
        let bytes = bytes.map_err(|source| LedgerError::io(&path, source))?;
        if self.key.digest(Use::Snapshot, &bytes) != name {
            let reason = "it does not hold the units that it is named by".to_owned();
            return Err(LedgerError::damaged(&path, reason));
        }
        let none = || LedgerError::damaged(&path, "it holds no sorted set of digests".to_owned());
        Snapshot::from_bytes(&bytes).ok_or_else(none)
    }

    /// Keeps a set of units, once.
    pub(super) fn save(&self, snapshot: &Snapshot) -> Result<Digest, LedgerError> {
        let name = snapshot.name(&self.key);
        // An entry is written after its set is durable; one that none names may be of a process that was
        // killed before. One that is damaged is mended: these are the bytes that its name stands for.
        let durable = self.entries().any(|entry| entry.units == name);
        if !durable || self.snapshot(name).is_err() {
            write(&self.snapshot_path(name), &snapshot.to_bytes())?;
        }
        Ok(name)
    }

    fn snapshot_path(&self, name: Digest) -> PathBuf {
        self.root.join(SNAPSHOTS).join(name.to_string())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
    durable::write(path, bytes, Readers::Owner).map_err(|source| LedgerError::io(path, source))
}

/// Writes a line at a place and cuts off what lies there, unsynced. After an error what lay before is
/// as it was; a piece of the line may lie behind it, as after a crash.
fn put(path: &Path, place: u64, line: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    file.set_len(place)?;
    file.seek(SeekFrom::Start(place))?;
    file.write_all(line)
}

/// A file of one line, and what names it.
fn one_line<T: serde::de::DeserializeOwned>(
    path: &Path,
    key: &CohortKey,
    of: Use,
) -> Result<(T, Digest), LedgerError> {
    let bytes = durable::read(path, MAX_LINE).map_err(|source| LedgerError::io(path, source))?;
    let line = bytes.strip_suffix(b"\n").ok_or("it does not end in a newline".to_owned());
    let opened = line.and_then(|line| Ok((sealed::open(key, of, line)?, sealed::name(line))));
    opened.map_err(|reason| LedgerError::damaged(path, reason))
}

/// The entries and how many bytes they take, or what is wrong with one that was acknowledged.
fn chain(text: &[u8], key: &CohortKey, id: Digest, head: Head) -> Result<(Vec<Kept>, u64), String> {
    let (mut kept, mut bytes, mut before) = (Vec::<Kept>::new(), 0, id);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let number = kept.len() as u64 + 1;
        let entry = match line.strip_suffix(b"\n") {
            Some(line) => next(line, key, number, before),
            None => Err("its end is cut off or altered".to_owned()),
        };
        match entry {
            Ok(entry) => {
                before = sealed::name(line);
                bytes += line.len() as u64;
                kept.push(Kept { entry, name: before });
            }
            Err(reason) if number <= head.entries => {
                return Err(format!("entry {number} of {}: {reason}", head.entries));
            }
            // Never acknowledged.
            Err(_) => break,
        }
    }
    if (kept.len() as u64) < head.entries {
        return Err(format!(
            "it holds {} of {} entries: its end is gone",
            kept.len(),
            head.entries
        ));
    }
    let counted = usize::try_from(head.entries).ok().and_then(|entries| entries.checked_sub(1));
    let last = counted.map_or(Some(id), |at| kept.get(at).map(|kept| kept.name));
    match last == Some(head.last) {
        true => Ok((kept, bytes)),
        false => Err(format!("{HEAD} was made beside other entries")),
    }
}

/// The entry of a line that follows another one.
fn next(line: &[u8], key: &CohortKey, number: u64, before: Digest) -> Result<Entry, String> {
    let entry: Entry = sealed::open(key, Use::Entry, line)?;
    if (entry.number, entry.before) != (number, before) {
        return Err(format!(
            "entry {} of a ledger stands in its place: entries were taken out, repeated or reordered",
            entry.number
        ));
    }
    Ok(entry)
}
