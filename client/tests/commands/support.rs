//! What these tests share: the two binaries.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that holds `ringfence` and `ringfence-aggregator`.
pub(crate) fn binaries() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_ringfence")).parent().unwrap().to_owned();
    let aggregator = folder.join("ringfence-aggregator");
    assert!(
        aggregator.is_file(),
        "expected {}: run the tests of the whole workspace, as the README says",
        aggregator.display()
    );
    folder
}

/// The command in a folder.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command.args(arguments).current_dir(folder);
    command.env_remove("RINGFENCE_SERVER").env_remove("RINGFENCE_CA");
    command
}

/// Runs the command in a folder: its output, or what it says on failing.
pub(crate) fn ringfence(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = command(folder, arguments).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}
