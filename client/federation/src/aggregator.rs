//! The aggregator's own binary as a child process on loopback.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use ringfence_crypto::statement::PublicKey;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const BINARY: &str = "ringfence-aggregator";

/// A running aggregator; killed when dropped.
#[derive(Debug)]
pub(crate) struct Aggregator {
    child: Child,
    url: String,
    public_key: PublicKey,
    token: String,
}

impl Aggregator {
    /// Starts the binary that lies beside this program, with its data under `folder`.
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let binary = beside()?;
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let (key, token_file) = (folder.join("aggregator.key"), folder.join("admin.token"));
        let keygen = Command::new(&binary).arg("keygen").arg("--key").arg(&key).output().await;
        let keygen = keygen.with_context(|| format!("cannot run {}", binary.display()))?;
        if !keygen.status.success() {
            bail!("{BINARY} keygen failed: {}", String::from_utf8_lossy(&keygen.stderr).trim());
        }
        let public_key = String::from_utf8_lossy(&keygen.stdout).trim().parse()?;
        let token = random_token()?;
        super::federation::secret_file(&token_file, token.as_bytes())?;
        let log = folder.join("aggregator.log");
        let log_file = std::fs::File::create(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let mut child = Command::new(&binary)
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(folder.join("data"))
            .arg("--key")
            .arg(&key)
            .arg("--admin-token-file")
            .arg(&token_file)
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", binary.display()))?;
        let stdout = child.stdout.take().context("the aggregator has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
        let line = line.ok().and_then(Result::ok).flatten();
        let url = line.as_deref().and_then(|line| line.strip_prefix("listening on "));
        let Some(url) = url.map(str::to_owned) else {
            bail!("the aggregator did not start; its log is {}", log.display());
        };
        Ok(Self { child, url, public_key, token })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        self.public_key
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }
}

fn beside() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let path = own.with_file_name(BINARY).with_extension(std::env::consts::EXE_EXTENSION);
    if !path.is_file() {
        bail!(
            "expected the aggregator's binary at {}; `cargo build --release` builds both",
            path.display()
        );
    }
    Ok(path)
}

fn random_token() -> anyhow::Result<String> {
    let mut rng = ringfence_keys::system_rng().context("no randomness")?;
    let mut bytes = [0u8; 24];
    rand::Rng::fill_bytes(&mut rng, &mut bytes);
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
