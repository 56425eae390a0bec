//! Bodies, envelopes, openings and the sum of a round, as files.
//!
//! `DATA/studies/STUDY/ROUND/{bodies,envelopes,openings}/NAME` and `.../sum`. A file under its
//! final name is whole and on the disk; what is on its way has a suffix with a dot, which no site
//! name and no digest has.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ringfence_crypto::Digest;
use ringfence_crypto::statement::{Header, SiteId};

const FOLDERS: [&str; 3] = ["bodies", "envelopes", "openings"];
const LENGTH_BYTES: usize = 8;

/// The files of one round.
#[derive(Debug, Clone)]
pub(crate) struct RoundFiles {
    root: PathBuf,
}

/// What became of a body all of whose bytes came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyCheck {
    /// It is the promised one, and on the disk under its final name.
    Right,
    /// It was another one and is gone: the upload starts again.
    Discarded {
        /// Digest of what came.
        got: Digest,
    },
}

impl RoundFiles {
    /// Makes the folders of a round, durably, and clears what a crash left half-written.
    pub(crate) fn create(data: &Path, study: Digest, round: u32) -> io::Result<Self> {
        let root = data.join("studies").join(study.to_string()).join(round.to_string());
        for folder in FOLDERS {
            create_folder(&root.join(folder))?;
            for entry in fs::read_dir(root.join(folder))? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "tmp") {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(Self { root })
    }

    /// The body of a site, whole.
    pub(crate) fn body(&self, site: &SiteId) -> PathBuf {
        self.root.join("bodies").join(site.as_str())
    }

    /// The body of a site as far as it has come: always a prefix of what was sent.
    pub(crate) fn partial_body(&self, site: &SiteId) -> PathBuf {
        self.root.join("bodies").join(format!("{site}.part"))
    }

    /// Bytes of a site's body that are stored.
    pub(crate) fn body_bytes(&self, site: &SiteId) -> io::Result<u64> {
        match size(&self.body(site))? {
            Some(bytes) => Ok(bytes),
            None => Ok(size(&self.partial_body(site))?.unwrap_or(0)),
        }
    }

    /// Checks a body all of whose bytes came, and makes it durable under its final name.
    ///
    /// It may run again after a crash at any point of it.
    pub(crate) fn finish_body(&self, header: &Header) -> io::Result<BodyCheck> {
        let (partial, body) = (self.partial_body(&header.site), self.body(&header.site));
        let renamed = size(&body)?.is_some();
        let mut file = File::open(if renamed { &body } else { &partial })?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file)?;
        let got = Digest::finish(&hasher);
        if got != header.body {
            fs::remove_file(if renamed { &body } else { &partial })?;
            return Ok(BodyCheck::Discarded { got });
        }
        file.sync_all()?;
        if !renamed {
            fs::rename(&partial, &body)?;
        }
        sync_parent(&body)?;
        Ok(BodyCheck::Right)
    }

    /// Whether a site's envelopes are stored.
    pub(crate) fn has_envelopes(&self, site: &SiteId) -> io::Result<bool> {
        Ok(size(&self.envelopes(site))?.is_some())
    }

    /// Stores a site's envelopes: their lengths, then their bytes, so that one can be read alone.
    pub(crate) fn write_envelopes(&self, site: &SiteId, envelopes: &[Vec<u8>]) -> io::Result<()> {
        let lengths: Vec<u8> =
            envelopes.iter().flat_map(|envelope| (envelope.len() as u64).to_le_bytes()).collect();
        let parts = std::iter::once(lengths.as_slice()).chain(envelopes.iter().map(Vec::as_slice));
        write_durably(&self.envelopes(site), parts)
    }

    /// The envelope at window offset `index` of `count`.
    pub(crate) fn read_envelope(
        &self,
        site: &SiteId,
        index: usize,
        count: usize,
    ) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.envelopes(site))?;
        let mut lengths = vec![0u8; count * LENGTH_BYTES];
        file.read_exact(&mut lengths)?;
        let (lengths, _) = lengths.as_chunks::<LENGTH_BYTES>();
        let mut lengths = lengths.iter().map(|length| u64::from_le_bytes(*length));
        let before: u64 = lengths.by_ref().take(index).sum();
        let length = lengths.next().ok_or(io::ErrorKind::UnexpectedEof)?;
        file.seek(SeekFrom::Start((count * LENGTH_BYTES) as u64 + before))?;
        let mut envelope = Vec::new();
        file.take(length).read_to_end(&mut envelope)?;
        Ok(envelope)
    }

    /// Stores what a holder sealed, under its digest: two different ones cannot collide.
    pub(crate) fn write_opening(&self, digest: Digest, sealed: &[u8]) -> io::Result<()> {
        write_durably(&self.opening(digest), std::iter::once(sealed))
    }

    /// What a holder sealed.
    pub(crate) fn read_opening(&self, digest: Digest) -> io::Result<Vec<u8>> {
        fs::read(self.opening(digest))
    }

    /// The sum of the bodies, whole.
    pub(crate) fn sum(&self) -> PathBuf {
        self.root.join("sum")
    }

    /// The sum on its way.
    pub(crate) fn sum_unfinished(&self) -> PathBuf {
        self.root.join("sum.part")
    }

    fn envelopes(&self, site: &SiteId) -> PathBuf {
        self.root.join("envelopes").join(site.as_str())
    }

    fn opening(&self, digest: Digest) -> PathBuf {
        self.root.join("openings").join(digest.to_string())
    }
}

/// Writes a whole file so that after a crash it is there entirely or not at all.
fn write_durably<'a>(path: &Path, mut parts: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
    // Two requests may write the same file at once: each has its own temporary name.
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{number}.tmp"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
    let written = parts
        .try_for_each(|part| file.write_all(part))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Best effort: what stays is cleared at the next start.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_parent(path)
}

/// Makes a rename or a creation in the folder of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        // A bare file name lies in the working folder.
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Makes a folder and those above it, each durable in its parent.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_parent(path)
}

fn size(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn one_envelope_is_read_alone() {
        let folder = TempDir::new().unwrap();
        let files = RoundFiles::create(folder.path(), Digest::of(b"study"), 3).unwrap();
        let site: SiteId = "site".parse().unwrap();
        assert!(!files.has_envelopes(&site).unwrap());
        let envelopes = [b"first".to_vec(), Vec::new(), b"the third".to_vec()];
        files.write_envelopes(&site, &envelopes).unwrap();
        assert!(files.has_envelopes(&site).unwrap());
        for (index, envelope) in envelopes.iter().enumerate() {
            assert_eq!(files.read_envelope(&site, index, 3).unwrap(), *envelope);
        }
        assert!(files.read_envelope(&site, 3, 3).is_err());
    }

    #[test]
    fn what_a_crash_left_half_written_is_cleared_and_what_can_be_resumed_is_kept() {
        let folder = TempDir::new().unwrap();
        let study = Digest::of(b"study");
        let files = RoundFiles::create(folder.path(), study, 0).unwrap();
        let site: SiteId = "site".parse().unwrap();
        let half = files.envelopes(&site).with_extension("7.tmp");
        fs::write(&half, b"half").unwrap();
        fs::write(files.partial_body(&site), b"prefix").unwrap();
        RoundFiles::create(folder.path(), study, 0).unwrap();
        assert!(!half.exists());
        assert_eq!(files.body_bytes(&site).unwrap(), 6);
    }
}
