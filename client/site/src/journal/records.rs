//! Records that are appended to one file and made durable together: a journal.
//!
//! ```text
//! a record:  header (80 bytes)  name  bytes  "RFJ."
//! a header:  "RFJ1"  flags  name's length  0 0  length (u64)  digest  name's check  check
//! ```
//!
//! Numbers are little-endian. The last check is over the file's name in the state, the record's place
//! and the rest of the header: a record that a disk shows in another place is none. Of several records with one name the last counts. So a decision that is made
//! once stays, and what may change is appended again.
//!
//! **What is durable.** Records are durable once the file is synced, all that were appended by then:
//! after a power cut a later one is never there without those before it. Who sends what a record says
//! has it synced first ([`Records::decide`], [`Records::sync`]); what can be had again from others is
//! [noted](Records::note) and becomes durable with what is decided next. A file's name is durable with
//! the first sync; a flag in later records says so, or the next process would have to sync it again.
//!
//! **What is damaged.** A crash leaves a piece of a last record, or zeros in the place of blocks that
//! were never written: it is cut off, and nothing that it says has left. Every other record that is not
//! what was written is damaged, the last one too: a flipped bit there must be an error that names the
//! record, and never an empty place for another decision.
//!
//! **What is destroyed.** Some records are kept without a digest, to be [blanked](Records::blank) in
//! their place: nothing of what they held is left.

mod frame;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ringfence_crypto::Digest;
use ringfence_crypto::wire::json::{self, MAX_STUDY};
use ringfence_durable as durable;
use serde::de::DeserializeOwned;

use self::frame::{END, Found, HEADER, Scan};
use super::error::JournalError;

/// Most bytes of a record without a digest that are looked at when a journal is opened.
const SMALL: u64 = 4096;

/// What is appended: a name and its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) name: &'a str,
    pub(super) bytes: &'a [u8],
    /// Whether it is kept without a digest, so that it can be blanked.
    pub(super) blankable: bool,
}

impl<'a> Record<'a> {
    pub(super) fn new(name: &'a str, bytes: &'a [u8]) -> Self {
        Self { name, bytes, blankable: false }
    }

    pub(super) fn blankable(name: &'a str, bytes: &'a [u8]) -> Self {
        Self { name, bytes, blankable: true }
    }
}

/// Where the bytes of a record lie.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    length: u64,
    /// None for those that may be blanked.
    digest: Option<Digest>,
}

/// A file as far as it is known.
#[derive(Debug, Default)]
struct State {
    /// Whether there is a file. It is opened for each use: a site has a journal for every round.
    exists: bool,
    /// Where the next record goes; what lies behind it is cut off then.
    end: u64,
    /// Up to where this process has synced it; what earlier processes wrote is not known to be.
    synced: u64,
    /// Whether this process has appended what it has not synced.
    noted: bool,
    /// Whether the file's name is durable in its folder.
    named: bool,
    /// A sync has failed: what can be read here may be lost.
    failed: bool,
    places: BTreeMap<String, Place>,
}

/// One journal, shared by all who use it in this process.
#[derive(Debug)]
pub(super) struct Records {
    path: PathBuf,
    /// What a record's check is bound to.
    of: String,
    state: Mutex<Option<State>>,
}

impl Records {
    /// The journal at `path`, whose name within the state is `of`.
    pub(super) fn new(path: PathBuf, of: String) -> Self {
        Self { path, of, state: Mutex::new(None) }
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn io(&self, source: io::Error) -> JournalError {
        JournalError::io(&self.path, source)
    }

    /// What an error calls a record.
    fn named(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}: {name}", self.path.display()))
    }

    fn with<T>(
        &self,
        of: impl FnOnce(&mut State) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        // Where a panic left it, it is read anew.
        let mut state: MutexGuard<'_, Option<State>> =
            self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut opened = match state.take() {
            Some(opened) => opened,
            None => self.open()?,
        };
        let result = of(&mut opened);
        *state = Some(opened);
        result
    }

    fn open(&self) -> Result<State, JournalError> {
        let mut state = State::default();
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(state),
            Err(source) => return Err(self.io(source)),
        };
        let mut scan = Scan::of(&file, &self.of).map_err(|source| self.io(source))?;
        loop {
            match scan.next().map_err(|source| self.io(source))? {
                Found::End => break,
                Found::Record { name, at, length, digest, named } => {
                    state.named |= named;
                    let blank = digest.is_none()
                        && length <= SMALL
                        && is_blank(&bytes(&file, at, length).map_err(|source| self.io(source))?);
                    match blank {
                        true => _ = state.places.remove(&name),
                        false => _ = state.places.insert(name, Place { at, length, digest }),
                    }
                    state.end = at.saturating_add(length).saturating_add(END.len() as u64);
                }
                Found::Damage { at } => {
                    let reason = format!("at its byte {at} there is no record, and no torn one");
                    return Err(JournalError::damaged(&self.path, reason));
                }
            }
        }
        state.exists = true;
        Ok(state)
    }

    /// The bytes of a record, as they were written; `None` where there is none, or a blanked one.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], [`JournalError::Io`].
    pub(super) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.with(|state| {
            let Some(place) = state.places.get(name) else { return Ok(None) };
            let file = File::open(&self.path).map_err(|source| self.io(source))?;
            let found = match bytes(&file, place.at, place.length) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let reason = "its end is gone".to_owned();
                    return Err(JournalError::damaged(&self.named(name), reason));
                }
                found => found.map_err(|source| self.io(source))?,
            };
            match place.digest {
                Some(digest) if digest != Digest::of(&found) => {
                    let reason = "it is not what was written".to_owned();
                    Err(JournalError::damaged(&self.named(name), reason))
                }
                None if is_blank(&found) => Ok(None),
                _ => Ok(Some(found)),
            }
        })
    }

    /// A record's value; `None` where there is none.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], [`JournalError::Io`].
    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, JournalError> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        json::parse(&bytes, MAX_STUDY, "journal record")
            .map(Some)
            .map_err(|source| JournalError::damaged(&self.named(name), source.to_string()))
    }

    /// Whether there is a record of this name, damaged or not, that was not blanked.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(super) fn has(&self, name: &str) -> Result<bool, JournalError> {
        self.with(|state| Ok(state.places.contains_key(name)))
    }

    /// The names that begin so.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>, JournalError> {
        let begins = |name: &&String| name.starts_with(prefix);
        self.with(|state| Ok(state.places.keys().filter(begins).cloned().collect()))
    }

    /// Appends records, but for those that stand there already. They become durable with the next sync:
    /// nothing that they alone say may leave before.
    ///
    /// # Errors
    /// [`JournalError::Io`]; nothing was appended then.
    pub(super) fn note(&self, records: &[Record<'_>]) -> Result<(), JournalError> {
        self.with(|state| {
            let new = self.new_ones(state, records)?;
            if new.is_empty() { Ok(()) } else { self.append(state, &new) }
        })
    }

    /// Those that do not stand in the journal already.
    fn new_ones<'a>(
        &self,
        state: &State,
        records: &[Record<'a>],
    ) -> Result<Vec<Record<'a>>, JournalError> {
        let mut new = Vec::with_capacity(records.len());
        for record in records {
            if !self.is_kept(state, record)? {
                new.push(*record);
            }
        }
        Ok(new)
    }

    /// Whether a record stands in the journal already, whole.
    fn is_kept(&self, state: &State, record: &Record<'_>) -> Result<bool, JournalError> {
        let Some(place) = state.places.get(record.name) else { return Ok(false) };
        if place.length != record.bytes.len() as u64 || record.blankable {
            return Ok(false);
        }
        let file = File::open(&self.path).map_err(|source| self.io(source))?;
        match bytes(&file, place.at, place.length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            kept => Ok(kept.map_err(|source| self.io(source))? == record.bytes),
        }
    }

    /// Appends records and makes them durable, with all before them. The last one is a decision that is
    /// made once.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when it was made, whatever it says; [`JournalError::Io`], and then it is
    /// not made.
    pub(super) fn decide(&self, records: &[Record<'_>]) -> Result<(), JournalError> {
        self.with(|state| {
            let decision = records.last().map(|record| record.name).unwrap_or_default();
            if state.places.contains_key(decision) {
                return Err(JournalError::Exists(self.named(decision).display().to_string()));
            }
            let before = state.end;
            let new = self.new_ones(state, records)?;
            self.append(state, &new)?;
            self.make_durable(state).inspect_err(|_| {
                // Whoever reads it would take it for one that was made.
                let _ = self.writing().and_then(|file| file.set_len(before));
                state.end = before;
                new.iter().for_each(|record| _ = state.places.remove(record.name));
            })
        })
    }

    /// Makes all records durable, whoever appended them: before what one of them says is sent again.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub(super) fn sync(&self) -> Result<(), JournalError> {
        self.with(|state| self.make_durable(state))
    }

    /// The same of what this process has appended: before what only that stands for is sent.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub(super) fn sync_noted(&self) -> Result<(), JournalError> {
        self.with(|state| if state.noted { self.make_durable(state) } else { Ok(()) })
    }

    /// Has the next sync make names in the folder durable, too: another file was put there.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(super) fn sync_names_next(&self) -> Result<(), JournalError> {
        self.with(|state| {
            (state.named, state.synced) = (false, 0);
            Ok(())
        })
    }

    /// Overwrites a record that is kept without a digest, with zeros in its place; then it is gone.
    /// Not synced.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub(super) fn blank(&self, name: &str) -> Result<(), JournalError> {
        self.with(|state| {
            let place = state.places.get(name).filter(|place| place.digest.is_none()).copied();
            let Some(place) = place else { return Ok(()) };
            let zeros = vec![0; usize::try_from(place.length).unwrap_or_default()];
            let written = self.writing().and_then(|mut file| {
                file.seek(SeekFrom::Start(place.at)).and_then(|_| file.write_all(&zeros))
            });
            written.map_err(|source| self.io(source))?;
            state.places.remove(name);
            state.synced = 0;
            Ok(())
        })
    }

    /// Writes the bytes of a damaged record in its place, if these were they; answers whether they are.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub(super) fn put_back(&self, name: &str, bytes: &[u8]) -> Result<bool, JournalError> {
        self.with(|state| {
            let Some(place) = state.places.get(name) else { return Ok(false) };
            if place.digest != Some(Digest::of(bytes)) || place.length != bytes.len() as u64 {
                return Ok(false);
            }
            let written = self.writing().and_then(|mut file| {
                file.seek(SeekFrom::Start(place.at)).and_then(|_| file.write_all(bytes))
            });
            written.map_err(|source| self.io(source))?;
            (state.synced, state.noted) = (0, true);
            self.make_durable(state).map(|()| true)
        })
    }

    fn append(&self, state: &mut State, records: &[Record<'_>]) -> Result<(), JournalError> {
        self.check_sound(state)?;
        let mut file = self.writing().map_err(|source| self.io(source))?;
        state.exists = true;
        let (mut appended, mut places) = (Vec::new(), Vec::with_capacity(records.len()));
        for record in records {
            let start = state.end.saturating_add(appended.len() as u64);
            let header = frame::header(&self.of, start, record, state.named)
                .map_err(|source| self.io(source))?;
            let (length, digest) = (record.bytes.len() as u64, Digest::of(record.bytes));
            let at = start + (HEADER + record.name.len()) as u64;
            let digest = (!record.blankable).then_some(digest);
            places.push((record.name.to_owned(), Place { at, length, digest }));
            appended.extend_from_slice(&header);
            appended.extend_from_slice(record.name.as_bytes());
            appended.extend_from_slice(record.bytes);
            appended.extend_from_slice(END);
        }
        let mut write = || {
            // What a crash, or a full disk, left behind the last record.
            file.set_len(state.end)?;
            file.seek(SeekFrom::Start(state.end))?;
            file.write_all(&appended)
        };
        if let Err(source) = write() {
            let _ = file.set_len(state.end);
            return Err(self.io(source));
        }
        state.end += appended.len() as u64;
        state.noted = true;
        state.places.extend(places);
        Ok(())
    }

    fn make_durable(&self, state: &mut State) -> Result<(), JournalError> {
        self.check_sound(state)?;
        if !state.exists || state.named && state.synced == state.end {
            return Ok(());
        }
        let sync = || {
            if !state.named {
                // Names first: what a record says is in the folder is there then.
                durable::sync_folder_of(&self.path)?;
            }
            durable::sync_data(&self.path, &self.writing()?)
        };
        let synced = sync();
        if let Err(source) = synced {
            // The next one would succeed, whatever was lost.
            state.failed = true;
            return Err(self.io(source));
        }
        (state.named, state.noted, state.synced) = (true, false, state.end);
        Ok(())
    }

    /// The file to write to, made if need be.
    fn writing(&self) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path)
    }

    fn check_sound(&self, state: &State) -> Result<(), JournalError> {
        let words = "the disk failed to keep what was written last; check it, and start again";
        match state.failed {
            true => Err(self.io(io::Error::other(words))),
            false => Ok(()),
        }
    }
}

fn bytes(mut file: &File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
