//! What the end-to-end tests share: the two binaries, and an aggregator to talk to.
#![allow(dead_code, reason = "each test binary uses its own part of it")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The folder that holds `ringfence` and `ringfence-aggregator`.
pub fn binaries() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_ringfence")).parent().unwrap().to_owned();
    let aggregator = folder.join("ringfence-aggregator");
    assert!(
        aggregator.is_file(),
        "expected {}: run the tests of the whole workspace, as the README says",
        aggregator.display()
    );
    folder
}

/// Runs the command in a folder: its output, or what it says on failing.
pub fn ringfence(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("RINGFENCE_SERVER")
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

/// A running aggregator; killed when dropped.
pub struct Aggregator {
    child: Child,
    folder: PathBuf,
    pub url: String,
    pub public_key: String,
    pub token: String,
}

impl Aggregator {
    pub fn start(folder: &Path) -> Self {
        let key = folder.join("aggregator.key");
        let binary = binaries().join("ringfence-aggregator");
        let keygen = Command::new(&binary).arg("keygen").arg("--key").arg(&key).output().unwrap();
        assert!(keygen.status.success(), "{keygen:?}");
        let public_key = String::from_utf8(keygen.stdout).unwrap().trim().to_owned();
        let token = "a-token-for-tests-only".to_owned();
        std::fs::write(folder.join("admin.token"), &token).unwrap();
        let (child, url) = serve(folder, "127.0.0.1:0");
        Self { child, folder: folder.to_owned(), url, public_key, token }
    }

    /// Kills it without warning and starts it again at the same address.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let listen = self.url.strip_prefix("http://").unwrap().to_owned();
        (self.child, self.url) = serve(&self.folder, &listen);
    }
}

fn serve(folder: &Path, listen: &str) -> (Child, String) {
    let mut child = Command::new(binaries().join("ringfence-aggregator"))
        .args(["serve", "--listen", listen, "--data"])
        .arg(folder.join("data"))
        .arg("--key")
        .arg(folder.join("aggregator.key"))
        .arg("--admin-token-file")
        .arg(folder.join("admin.token"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    (child, url)
}

impl Drop for Aggregator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
