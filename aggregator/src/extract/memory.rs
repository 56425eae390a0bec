//! The memory of a process, as Linux shows it to who may look: a file for each range of addresses that
//! may be read, and the list of ranges.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ringfence_crypto::held::MemoryRead;

/// Bytes that are read at a time; where they are all zero, as in pages that nobody has used, a hole.
const PIECE: usize = 1 << 20;

/// Reads all ranges into a new folder.
pub(super) fn read(process: u32, out: &Path) -> io::Result<MemoryRead> {
    fs::create_dir(out)?;
    let of = Path::new("/proc").join(process.to_string());
    let maps = fs::read_to_string(of.join("maps"))?;
    fs::write(out.join("maps"), &maps)?;
    let memory = File::open(of.join("mem"))?;
    let mut read = MemoryRead { process, ..MemoryRead::default() };
    for line in maps.lines() {
        let Some((range, start, end)) = readable(line) else { continue };
        match copy(&memory, (start, end), &out.join(range)) {
            Ok(bytes) => {
                read.ranges += 1;
                read.bytes += bytes;
            }
            // What the kernel maps for itself ([vvar] and the like), or a range that is gone.
            Err(Copying::Read(_)) => read.not_read.push(line.to_owned()),
            Err(Copying::Written(error)) => return Err(error),
        }
    }
    if read.ranges == 0 {
        // Who may open it may still not read it.
        memory
            .read_at(&mut [0], maps.lines().find_map(readable).map_or(0, |(_, start, _)| start))?;
    }
    Ok(read)
}

/// The range of a line of `/proc/PID/maps`, with its ends, if it may be read.
fn readable(line: &str) -> Option<(&str, u64, u64)> {
    let mut words = line.split(' ');
    let range = words.next()?;
    let (start, end) = range.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    words.next()?.starts_with('r').then_some((range, number(start)?, number(end)?))
}

enum Copying {
    Read(#[expect(dead_code, reason = "the range is listed, not why")] io::Error),
    Written(io::Error),
}

fn copy(memory: &File, (start, end): (u64, u64), to: &Path) -> Result<u64, Copying> {
    // Nothing is made of a range that cannot be read at all.
    memory.read_exact_at(&mut [0], start).map_err(Copying::Read)?;
    let file = File::create(to).map_err(Copying::Written)?;
    let mut piece = vec![0; PIECE];
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        let piece = piece.get_mut(..length).unwrap_or_default();
        memory.read_exact_at(piece, at).map_err(Copying::Read)?;
        if piece.iter().any(|byte| *byte != 0) {
            file.write_all_at(piece, at - start).map_err(Copying::Written)?;
        }
        at += length as u64;
    }
    file.set_len(end - start).map_err(Copying::Written)?;
    Ok(end - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_may_be_read() {
        let line = "7f00-8000 rw-p 00000000 00:00 0 [heap]";
        assert_eq!(readable(line), Some(("7f00-8000", 0x7f00, 0x8000)));
        assert_eq!(readable("7f00-8000 ---p 00000000 00:00 0"), None);
        assert_eq!(readable(""), None);
    }

    #[test]
    fn this_process_sees_its_own_memory() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("memory");
        let secret: Vec<u8> =
            (0..5000u32).flat_map(|k| k.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
        let read = read(std::process::id(), &out).unwrap();
        assert!(read.ranges > 5 && read.bytes > 1 << 20, "{read:?}");
        let holds = |path: &Path| {
            let bytes = fs::read(path).unwrap();
            bytes.windows(secret.len()).any(|window| window == secret)
        };
        let files = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        assert!(files.into_iter().any(|file| holds(&file)));
        let error = super::read(u32::MAX, &folder.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
