//! The shipped programs, as a site with a framework of its own calls them.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use ringfence_weights::Weights;

use super::federation::{SITES, Service, remove};
use super::process::{Programs, Server, Watch, Watched, finish};
use super::updates::CLIP;

/// A token only for this.
const TOKEN: &str = "a-token-only-for-the-bench";

/// The shipped programs, their study and its sites.
#[derive(Debug)]
pub(super) struct Ringfence {
    programs: Programs,
    folder: PathBuf,
    server: Server,
}

/// Starts an aggregator with a key and a token in a folder.
///
/// # Errors
/// When it does not start.
pub(super) fn start_aggregator(programs: &Programs, folder: &Path) -> anyhow::Result<Aggregator> {
    let key = folder.join("aggregator.key");
    let made = Command::new(&programs.aggregator).arg("keygen").arg("--key").arg(&key).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let token = folder.join("token");
    fs::write(&token, format!("{TOKEN}\n"))?;
    fs::set_permissions(&token, Permissions::from_mode(0o600))?;
    let mut serve = Command::new(&programs.aggregator);
    serve.arg("serve").arg("--data").arg(folder.join("data")).arg("--key").arg(&key);
    serve.arg("--admin-token-file").arg(&token).args(["--listen", "127.0.0.1:0"]);
    let server = Server::start(serve.env("RUST_LOG", "error"))?;
    Ok(Aggregator { server, key: String::from_utf8(made.stdout)?.trim().to_owned(), token })
}

/// An aggregator that runs.
pub(super) struct Aggregator {
    /// Its process.
    pub(super) server: Server,
    /// Its public key, in hexadecimal digits.
    pub(super) key: String,
    token: PathBuf,
}

impl Aggregator {
    /// The header that registers studies.
    pub(super) fn authorization() -> (&'static str, String) {
        ("authorization", format!("Bearer {TOKEN}"))
    }
}

impl Ringfence {
    /// Makes keys and a signed study over a folder's `model.safetensors`, starts the aggregator and
    /// registers it. `training` says what the study pins of training.
    ///
    /// # Errors
    /// When a command fails.
    pub(super) fn start(
        programs: &Programs,
        folder: &Path,
        training: &str,
    ) -> anyhow::Result<Self> {
        let Aggregator { server, key, token } = start_aggregator(programs, folder)?;
        let own = Self { programs: programs.clone(), folder: folder.to_owned(), server };
        let mut new = own.command(&["study", "new", "--name", "bench", "--training", training]);
        new.args(["--aggregator-key", &key, "--clip", &CLIP.to_string()]);
        new.args(["--min-round-seconds", "1", "--model"]).arg(own.at("model.safetensors"));
        for site in 0..SITES {
            let name = format!("site-{site}");
            let mut keygen = own.command(&["keygen", "--site", &name, "--out"]);
            finish(keygen.arg(own.at(&name)), &Watch::Nothing)?;
            new.arg("--site").arg(own.at(&format!("{name}/{name}.public.json")));
        }
        finish(new.arg("--out").arg(own.at("study.json")), &Watch::Nothing)?;
        for site in 0..SITES {
            let mut sign = own.command(&["study", "sign", "--study"]);
            sign.arg(own.at("study.json")).arg("--identity").arg(own.identity(site));
            finish(&sign, &Watch::Nothing)?;
        }
        let mut register = own.command(&["study", "register", "--study"]);
        register.arg(own.at("study.json")).arg("--admin-token-file").arg(token);
        register.args(["--server", &format!("http://{}", own.server.address)]);
        finish(&register, &Watch::Nothing)?;
        Ok(own)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A site's identity file.
    pub(super) fn identity(&self, site: usize) -> PathBuf {
        self.at(&format!("site-{site}/site-{site}.identity"))
    }

    /// The site's program, ready for more arguments.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.programs.site);
        command.args(words);
        command
    }

    /// The model that a site starts a round from: what it got in the one before.
    fn base(&self, round: usize, site: usize) -> PathBuf {
        match round {
            0 => self.at("model.safetensors"),
            _ => self.at(&format!("site-{site}/model-{}.safetensors", round - 1)),
        }
    }

    /// What `ringfence study cost` says of this shape: bytes that a site sends and fetches.
    ///
    /// # Errors
    /// When it says nothing.
    pub(super) fn planned(&self, values: usize) -> anyhow::Result<[f64; 2]> {
        let (values, sites) = (values.to_string(), SITES.to_string());
        let words = ["study", "cost", "--parameters", &values, "--sites", &sites, "--json"];
        let output = self.command(&words).output()?;
        let cost: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let bytes = |name: &str| {
            cost.get(name).and_then(serde_json::Value::as_f64).with_context(|| format!("no {name}"))
        };
        Ok([bytes("upload_bytes")?, bytes("download_bytes")?])
    }
}

impl Service for Ringfence {
    /// A site's whole part in a round, in one process.
    fn run(
        &self,
        round: usize,
        site: usize,
        line: SocketAddr,
        watch: &Watch,
    ) -> anyhow::Result<Watched> {
        let base = self.base(round, site);
        let of_site = |name: &str| self.at(&format!("site-{site}/{name}"));
        let mut command = self.command(&["round", "--study"]);
        command.arg(self.at("study.json")).arg("--identity").arg(self.identity(site));
        command.arg("--state").arg(of_site("state"));
        command.args(["--server", &format!("http://{line}")]);
        command.args(["--round", &round.to_string(), "--base"]).arg(&base);
        command.arg("--update").arg(self.at(&format!("update-{site}.safetensors")));
        command.arg("--out").arg(of_site(&format!("mean-{round}.safetensors")));
        command.arg("--model-out").arg(of_site(&format!("model-{round}.safetensors")));
        finish(&command, watch)
    }

    fn server(&self) -> &Server {
        &self.server
    }

    fn tidy(&self, round: usize) {
        for site in 0..SITES {
            remove(round, 1, |old| self.at(&format!("site-{site}/mean-{old}.safetensors")));
            remove(round, 2, |old| self.at(&format!("site-{site}/model-{old}.safetensors")));
        }
    }

    fn mean(&self, round: usize, site: usize) -> anyhow::Result<Vec<f32>> {
        let path = self.at(&format!("site-{site}/mean-{round}.safetensors"));
        Ok(Weights::load(&path)?.into_values())
    }
}
