//! The committed vectors are what their generator writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::FOLDER;

/// Runs one of the generator's scripts; false, with a note, on a machine without Python.
fn python(script: &str, arguments: &[&Path]) -> bool {
    let script = Path::new(FOLDER).with_file_name("generate").join(script);
    match Command::new("python3").arg("-B").arg(&script).args(arguments).output() {
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {error}", script.display());
            true
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: no python3 on this machine, {} was not run", script.display());
            false
        }
        Err(error) => panic!("python3: {error}"),
    }
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().into(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn writes_the_committed_files() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vectors-v2");
    let _ = std::fs::remove_dir_all(&folder);
    if python("generate.py", &[&folder]) {
        let (committed, written) = (contents(Path::new(FOLDER)), contents(&folder));
        assert!(committed.keys().eq(written.keys()), "other files than are committed");
        for (name, bytes) in &committed {
            assert!(written[name] == *bytes, "{} differs", name.display());
        }
    }
}

#[test]
fn primitives_have_their_published_values() {
    python("selftest.py", &[]);
}
