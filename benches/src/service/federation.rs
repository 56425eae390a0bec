//! Five sites and whole rounds of theirs, by either service; and by the plain one.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::bail;

use super::plain::floats;
use super::process::{Programs, Server, Watch, Watched, cpu_of_ended_children, finish};

/// Sites of every round.
pub(super) const SITES: usize = 5;

/// What a round took.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// Seconds from its opening until the last site has the new model.
    pub(super) seconds: f64,
    /// CPU-seconds of all processes.
    pub(super) cpu: f64,
    /// What was watched, site by site: the most memory of its processes, all their syncs.
    pub(super) watched: Vec<Watched>,
}

/// The server of one of both services, and its sites.
pub(super) trait Service {
    /// Runs round `round` over these addresses, one a site, to the new model.
    ///
    /// # Errors
    /// When a site fails.
    fn run(
        &self,
        round: usize,
        site: usize,
        line: SocketAddr,
        watch: &Watch,
    ) -> anyhow::Result<Watched>;

    /// Its server.
    fn server(&self) -> &Server;

    /// The mean that a site got in a round.
    ///
    /// # Errors
    /// When there is none.
    fn mean(&self, round: usize, site: usize) -> anyhow::Result<Vec<f32>>;

    /// Removes what rounds before `round` left and nobody needs: it would fill the disk.
    fn tidy(&self, round: usize);

    /// A whole round: all sites begin at the same time. Sites reach the server through `lines`, or
    /// directly.
    ///
    /// # Errors
    /// When a site fails.
    fn round(
        &self,
        round: usize,
        lines: Option<&[SocketAddr]>,
        watch: impl Fn(usize) -> Watch + Sync,
    ) -> anyhow::Result<Round>
    where
        Self: Sync,
    {
        self.tidy(round);
        let cpu = || anyhow::Ok(self.server().cpu()? + cpu_of_ended_children()?);
        let (used, began) = (cpu()?, Instant::now());
        let watched = thread::scope(|scope| {
            let sites: Vec<_> = (0..SITES)
                .map(|site| {
                    let line = lines.and_then(|lines| lines.get(site));
                    let line = line.copied().unwrap_or(self.server().address);
                    let watch = &watch;
                    scope.spawn(move || self.run(round, site, line, &watch(site)))
                })
                .collect();
            let ended = sites.into_iter().map(|site| match site.join() {
                Ok(outcome) => outcome,
                Err(_) => bail!("a site's thread has panicked"),
            });
            ended.collect::<anyhow::Result<Vec<_>>>()
        })?;
        let seconds = began.elapsed().as_secs_f64();
        Ok(Round { seconds, cpu: cpu()? - used, watched })
    }
}

/// Removes the file of the round so many before this one, if there is one.
pub(super) fn remove(round: usize, before: usize, file: impl Fn(usize) -> PathBuf) {
    if let Some(old) = round.checked_sub(before) {
        // One that is not there does no harm.
        let _ = fs::remove_file(file(old));
    }
}

/// The plain service and its sites.
#[derive(Debug)]
pub(super) struct Plain {
    programs: Programs,
    folder: PathBuf,
    server: Server,
}

impl Plain {
    /// Starts its server.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) fn start(programs: &Programs, folder: &Path) -> anyhow::Result<Self> {
        let mut serve = Command::new(&programs.bench);
        serve.args(["plain-server", "--sites", &SITES.to_string(), "--folder"]).arg(folder);
        let server = Server::start(&mut serve)?;
        Ok(Self { programs: programs.clone(), folder: folder.to_owned(), server })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Service for Plain {
    fn run(
        &self,
        round: usize,
        site: usize,
        line: SocketAddr,
        watch: &Watch,
    ) -> anyhow::Result<Watched> {
        let base = match round {
            0 => self.at("model.f32"),
            _ => self.at(&format!("model-{}-{site}.f32", round - 1)),
        };
        let mut command = Command::new(&self.programs.bench);
        command.args(["plain-site", "--server", &line.to_string()]);
        command.args(["--round", &round.to_string(), "--base"]).arg(base);
        command.arg("--update").arg(self.at(&format!("update-{site}.f32")));
        command.arg("--out").arg(self.at(&format!("mean-{round}-{site}.f32")));
        command.arg("--model-out").arg(self.at(&format!("model-{round}-{site}.f32")));
        finish(&command, watch)
    }

    fn server(&self) -> &Server {
        &self.server
    }

    fn tidy(&self, round: usize) {
        for site in 0..SITES {
            remove(round, 1, |old| self.at(&format!("mean-{old}-{site}.f32")));
            remove(round, 2, |old| self.at(&format!("model-{old}-{site}.f32")));
        }
    }

    fn mean(&self, round: usize, site: usize) -> anyhow::Result<Vec<f32>> {
        Ok(floats(&fs::read(self.at(&format!("mean-{round}-{site}.f32")))?).collect())
    }
}
