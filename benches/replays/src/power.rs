//! What a power cut leaves of a site's files: what was synced, and of the rest what chance has it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use ringfence_durable::Syncs;

use crate::lot::Lot;

/// Takes from a folder what a power cut may take: of each file the bytes behind those that were synced,
/// and all of it where its name, or the name of a folder above it, was not. Half of what may be lost is.
///
/// # Errors
/// What the operating system says.
pub(crate) fn cut(folder: &Path, syncs: &Syncs, lot: &mut Lot) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_lost = !syncs.is_named(&path) && lot.happens(0.5);
        if path.is_dir() {
            match is_lost {
                true => fs::remove_dir_all(&path)?,
                false => cut(&path, syncs, lot)?,
            }
            continue;
        }
        if is_lost {
            fs::remove_file(&path)?;
            continue;
        }
        let (durable, length) = (syncs.durable(&path).unwrap_or(0), fs::metadata(&path)?.len());
        if durable < length && lot.happens(0.5) {
            let left = durable + lot.of(length - durable);
            File::options().write(true).open(&path)?.set_len(left)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ringfence_durable::{Readers, create_folder, sync_data, write, write_whole};

    use super::*;

    #[test]
    fn what_was_synced_stays_and_the_rest_may_go() {
        let mut lost = [0; 3];
        for seed in 0..40 {
            let folder = tempfile::tempdir().unwrap();
            let syncs = Syncs::below(folder.path());
            let at = |name: &str| folder.path().join(name);
            create_folder(&at("made")).unwrap();
            write(&at("made/kept"), b"kept", Readers::Usual).unwrap();
            let appended = at("made/appended");
            write(&appended, b"durable", Readers::Usual).unwrap();
            let mut file = File::options().append(true).open(&appended).unwrap();
            sync_data(&appended, &file).unwrap();
            io::Write::write_all(&mut file, b", not durable").unwrap();
            write_whole(&at("made/nameless"), b"bytes", Readers::Usual).unwrap();
            fs::create_dir(at("unsynced")).unwrap();
            cut(folder.path(), &syncs, &mut Lot::new(seed, "power")).unwrap();
            assert_eq!(fs::read(at("made/kept")).unwrap(), b"kept");
            let left = fs::read(&appended).unwrap();
            assert!(left.starts_with(b"durable"));
            lost[0] += usize::from(left.len() < 20);
            lost[1] += usize::from(!at("made/nameless").exists());
            lost[2] += usize::from(!at("unsynced").exists());
        }
        assert!(lost.iter().all(|lost| (5..35).contains(lost)), "{lost:?}");
    }
}
