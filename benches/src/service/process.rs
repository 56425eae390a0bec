//! Programs as child processes, and what the system says of them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

/// Clock ticks a second in `/proc`, the same on every Linux.
const TICKS: f64 = 100.0;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// The programs that are measured: those that lie beside this one.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// `ringfence`.
    pub(super) site: PathBuf,
    /// `ringfence-aggregator`.
    pub(super) aggregator: PathBuf,
    /// This program.
    pub(super) bench: PathBuf,
}

impl Programs {
    /// # Errors
    /// When one of them is not built.
    pub(super) fn find() -> anyhow::Result<Self> {
        let bench = std::env::current_exe()?;
        let beside = |name: &str| {
            let path = bench.with_file_name(name);
            ensure!(
                path.is_file(),
                "expected the program {}, and it is not there: `cargo build --release` makes it",
                path.display()
            );
            Ok(path)
        };
        let (site, aggregator) = (beside("ringfence")?, beside("ringfence-aggregator")?);
        Ok(Self { site, aggregator, bench })
    }
}

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Server {
    /// Starts it, and waits until it says where it listens.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("no pipe")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://");
        let address = address.and_then(|address| address.parse().ok());
        match address {
            Some(address) => Ok(Self { child, address }),
            None => {
                // It may have ended by itself.
                let _ = (child.kill(), child.wait());
                anyhow::bail!("expected the line of a server, got {line:?}")
            }
        }
    }

    /// Most bytes of resident memory that it has had.
    pub(super) fn memory(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let most = most.and_then(|most| most.split_whitespace().next()).context("no VmHWM")?;
        Ok(most.parse::<u64>()? << 10)
    }

    /// CPU-seconds that it has used.
    pub(super) fn cpu(&self) -> anyhow::Result<f64> {
        let [own, _] = cpu(&self.child.id().to_string())?;
        Ok(own)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = (self.child.kill(), self.child.wait());
    }
}

/// CPU-seconds of all children of this process that have ended, and theirs.
pub(super) fn cpu_of_ended_children() -> anyhow::Result<f64> {
    let [_, children] = cpu("self")?;
    Ok(children)
}

/// CPU-seconds of a process and of its children that have ended.
fn cpu(process: &str) -> anyhow::Result<[f64; 2]> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))
        .context("CPU time is read from Linux's /proc")?;
    // The program's name, in brackets, may hold anything.
    let (_, fields) = text.rsplit_once(')').context("expected /proc/PID/stat")?;
    let fields = fields.split_whitespace().skip(11).take(4);
    let ticks: Vec<f64> = fields.map(str::parse).collect::<Result<_, _>>()?;
    match ticks.as_slice() {
        [user, system, children_user, children_system] => {
            Ok([(user + system) / TICKS, (children_user + children_system) / TICKS])
        }
        _ => anyhow::bail!("expected /proc/{process}/stat, got {text:?}"),
    }
}

/// What is watched of a process while it runs. Watching takes time itself.
#[derive(Clone, Debug, Default)]
pub(super) enum Watch {
    /// Nothing.
    #[default]
    Nothing,
    /// Its memory.
    Memory,
    /// Its calls of fsync and fdatasync, by strace, whose summary goes to this file.
    Syncs(PathBuf),
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watched {
    /// Most bytes of resident memory.
    pub(super) memory: u64,
    /// Calls of fsync and fdatasync.
    pub(super) syncs: u64,
}

/// Runs a program to its end.
///
/// # Errors
/// When it fails, with what it says.
pub(super) fn finish(command: &Command, watch: &Watch) -> anyhow::Result<Watched> {
    let mut traced = match watch {
        Watch::Syncs(file) => {
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-c", "-e", "trace=fsync,fdatasync", "-o"]).arg(file);
            strace.arg("--").arg(command.get_program());
            strace
        }
        Watch::Nothing | Watch::Memory => Command::new(command.get_program()),
    };
    traced.args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            traced.env(name, value);
        }
    }
    traced.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = traced.spawn().with_context(|| format!("cannot start {traced:?}"))?;
    let mut watched = Watched::default();
    if let Watch::Memory = watch {
        while child.try_wait()?.is_none() {
            watched.memory = watched.memory.max(memory(child.id()));
            std::thread::sleep(LOOK);
        }
    }
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{traced:?}: {}, {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    if let Watch::Syncs(file) = watch {
        watched.syncs = syncs(&fs::read_to_string(file)?);
    }
    Ok(watched)
}

/// The most resident memory that a process had so far; none once it has ended.
fn memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) << 10
}

/// The calls in strace's summary: in each row the fourth column, and the call's name in the last.
fn syncs(summary: &str) -> u64 {
    let rows = summary.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let calls = rows.filter_map(|row| match (row.get(3), row.last()) {
        (Some(calls), Some(&("fsync" | "fdatasync"))) => calls.parse::<u64>().ok(),
        _ => None,
    });
    calls.sum()
}

/// Whether strace can be started.
pub(super) fn strace_is_there() -> bool {
    let version = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_strace_is_read() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            99.00    0.010000        1000         7           fsync\n  \
            1.00    0.000100         100         2         1 fdatasync\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.010100        1100         9         1 total\n";
        assert_eq!(syncs(summary), 9);
    }

    #[test]
    fn a_process_is_measured() {
        let before = cpu_of_ended_children().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done"]);
        let watched = finish(&command, &Watch::Memory).unwrap();
        assert!(watched.memory > 100_000, "{watched:?}");
        assert!(cpu_of_ended_children().unwrap() - before > 0.01);
        let failing =
            finish(Command::new("sh").args(["-c", "echo no >&2; exit 3"]), &Watch::Nothing);
        assert!(failing.unwrap_err().to_string().contains("no\n"));
    }
}
