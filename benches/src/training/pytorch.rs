//! PyTorch in a process of its own, which trains when it is told to.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context;

/// A network being trained by PyTorch.
pub(super) struct PyTorch {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Parameters of its network.
    pub(super) parameters: usize,
}

impl PyTorch {
    /// Starts it; `None`, with a note, where Python or PyTorch is missing.
    pub(super) fn start(
        model: &str,
        side: usize,
        batch: usize,
        threads: usize,
    ) -> anyhow::Result<Option<Self>> {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join("pytorch_training.py");
        let spawned = Command::new(python())
            .arg(&script)
            .args([model, &side.to_string(), &batch.to_string(), &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            eprintln!("  no row of PyTorch: {} cannot be started", python().display());
            return Ok(None);
        };
        let input = child.stdin.take().context("no pipe")?;
        let mut output = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut line = String::new();
        if output.read_line(&mut line)? == 0 {
            child.wait()?;
            eprintln!("  no row of PyTorch: Python cannot import it");
            return Ok(None);
        }
        let parameters = line.trim().parse().context("expected the number of parameters")?;
        Ok(Some(Self { child, input, output, parameters }))
    }

    /// Trains for `seconds`; the best step's.
    pub(super) fn turn(&mut self, seconds: f64) -> anyhow::Result<f64> {
        writeln!(self.input, "{seconds}")?;
        self.input.flush()?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        number(&line)
    }
}

impl Drop for PyTorch {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The interpreter: `python3`, or what the variable `PYTHON` names.
fn python() -> std::ffi::OsString {
    std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into())
}

fn number(line: &str) -> anyhow::Result<f64> {
    line.trim().parse().with_context(|| format!("expected a number from PyTorch, found {line:?}"))
}
