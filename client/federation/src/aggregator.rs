//! The aggregator's own binary as a child process on loopback.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use ringfence_clock::Clock;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::signature::PublicKey;
use ringfence_durable::Readers;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const BINARY: &str = "ringfence-aggregator";

/// How long the aggregator may take until it listens.
const START: Duration = Duration::from_secs(30);

/// How it is served, beside the usual.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// Further arguments of `serve`.
    pub arguments: Vec<String>,
    /// What it logs, as RUST_LOG says it; as this program's environment says unless given.
    pub log: Option<String>,
}

/// A running aggregator; killed when dropped.
#[derive(Debug)]
pub struct Aggregator {
    binary: PathBuf,
    folder: PathBuf,
    running: Running,
    public_key: PublicKey,
    token: String,
    serving: Serving,
    clock: Clock,
}

/// A stored body of which a bit was flipped.
#[derive(Debug)]
pub struct Flipped {
    path: PathBuf,
    before: Digest,
}

impl Flipped {
    /// Whether the body is there again as its site sent it.
    pub fn is_mended(&self) -> bool {
        std::fs::read(&self.path).is_ok_and(|body| Digest::of(&body) == self.before)
    }
}

/// The process, and where it listens.
#[derive(Debug)]
struct Running {
    child: Child,
    pid: u32,
    /// Address and port.
    address: String,
    url: String,
}

impl Aggregator {
    /// Makes a key and a token under `folder` and starts the binary, with its data there, too. The
    /// binary lies beside this program, or one folder up for a test program. `clock` limits
    /// how long it may take to listen.
    ///
    /// # Errors
    /// When there is no such binary, or it does not come to listen; its log then says why.
    pub async fn start(folder: &Path, clock: Clock) -> anyhow::Result<Self> {
        Self::start_with(folder, clock, Serving::default()).await
    }

    /// The same, with settings of its own.
    ///
    /// # Errors
    /// As for [`Aggregator::start`].
    pub async fn start_with(folder: &Path, clock: Clock, serving: Serving) -> anyhow::Result<Self> {
        let binary = binary()?;
        ringfence_durable::create_folder(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let key = folder.join("aggregator.key");
        let keygen = Command::new(&binary).arg("keygen").arg("--key").arg(&key).output().await;
        let keygen = keygen.with_context(|| format!("cannot run {}", binary.display()))?;
        if !keygen.status.success() {
            bail!("{BINARY} keygen failed: {}", String::from_utf8_lossy(&keygen.stderr).trim());
        }
        let public_key = String::from_utf8_lossy(&keygen.stdout).trim().parse()?;
        let token = random_token()?;
        let token_file = folder.join("admin.token");
        ringfence_durable::write(&token_file, token.as_bytes(), Readers::Owner)
            .with_context(|| format!("cannot write {}", token_file.display()))?;
        let running = serve(&binary, folder, ("127.0.0.1:0", &serving), &clock).await?;
        let folder = folder.to_owned();
        Ok(Self { binary, folder, running, public_key, token, serving, clock })
    }

    /// Kills it without warning and starts it again at the same address, on the same data.
    ///
    /// # Errors
    /// When it does not come to listen again.
    pub async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.kill().await?;
        self.restart().await
    }

    /// Kills it without warning.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.running.child.kill().await.context("cannot kill the aggregator")
    }

    /// Starts one that was killed again, at the same address, on the same data.
    ///
    /// # Errors
    /// When it does not come to listen again.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let Self { binary, folder, running, serving, clock, .. } = &*self;
        self.running = serve(binary, folder, (&running.address, serving), clock).await?;
        Ok(())
    }

    /// Flips a bit of the body that it has stored of a site: plays a faulty disk.
    ///
    /// # Errors
    /// When there is no such body.
    pub fn flip_a_bit(
        &self,
        study: StudyId,
        round: RoundNumber,
        site: &SiteId,
    ) -> anyhow::Result<Flipped> {
        let folder = self.folder.join("data").join("studies").join(study.to_string());
        let path = folder.join(round.to_string()).join("bodies").join(site.as_str());
        let read = || format!("cannot flip a bit of {}", path.display());
        let mut body = std::fs::read(&path).with_context(read)?;
        let before = Digest::of(&body);
        let middle = body.len() / 2;
        *body.get_mut(middle).with_context(read)? ^= 1;
        std::fs::write(&path, body).with_context(read)?;
        Ok(Flipped { path, before })
    }

    /// Its URL, on loopback.
    pub fn url(&self) -> &str {
        &self.running.url
    }

    /// The key that it signs receipts, closings and checkpoints with.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// The token that registers studies.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Its program.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The folder with its key, its token, its log and its data.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running.pid
    }
}

async fn serve(
    binary: &Path,
    folder: &Path,
    (listen, serving): (&str, &Serving),
    clock: &Clock,
) -> anyhow::Result<Running> {
    let log = folder.join("aggregator.log");
    let log_file = std::fs::File::options().create(true).append(true).open(&log);
    let log_file = log_file.with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(binary);
    command.envs(serving.log.iter().map(|log| ("RUST_LOG", log)));
    let mut child = command
        .args(["serve", "--listen", listen, "--data"])
        .arg(folder.join("data"))
        .arg("--key")
        .arg(folder.join("aggregator.key"))
        .arg("--admin-token-file")
        .arg(folder.join("admin.token"))
        // However this program ends: the pipe is closed then.
        .arg("--until-stdin-closes")
        .args(&serving.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log_file)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}", binary.display()))?;
    let pid = child.id().context("the aggregator ended at once")?;
    let stdout = child.stdout.take().context("the aggregator has no standard output")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = clock.timeout(START, lines.next_line()).await;
    let line = line.ok().and_then(Result::ok).flatten();
    let url = line.as_deref().and_then(|line| line.strip_prefix("listening on "));
    let address = url.and_then(|url| url.strip_prefix("http://"));
    let (Some(url), Some(address)) = (url, address) else {
        bail!("the aggregator did not start; its log is {}", log.display());
    };
    Ok(Running { child, pid, address: address.to_owned(), url: url.to_owned() })
}

/// The binary that was built with this program. Cargo puts tests and examples one folder down.
fn binary() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let folder = own.parent().context("this program lies in no folder")?;
    let folder = match folder.parent() {
        Some(above) if folder.ends_with("deps") || folder.ends_with("examples") => above,
        _ => folder,
    };
    let path = folder.join(BINARY).with_extension(std::env::consts::EXE_EXTENSION);
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
