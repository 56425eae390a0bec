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
        Self::spawn("PyTorch", "pytorch_training.py", &[model], [side, batch, threads])
    }

    /// Starts it with Opacus in one of its modes, `ordinary`, `hooks` or `ghost`; `None`, with a note,
    /// where one of them is missing.
    pub(super) fn opacus(
        mode: &str,
        model: &str,
        side: usize,
        batch: usize,
        threads: usize,
    ) -> anyhow::Result<Option<Self>> {
        Self::spawn("Opacus", "opacus_training.py", &[mode, model], [side, batch, threads])
    }

    fn spawn(
        library: &str,
        script: &str,
        words: &[&str],
        numbers: [usize; 3],
    ) -> anyhow::Result<Option<Self>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
        let spawned = Command::new(python())
            .arg(&script)
            .args(words)
            .args(numbers.map(|number| number.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            eprintln!("  no row of {library}: {} cannot be started", python().display());
            return Ok(None);
        };
        let input = child.stdin.take().context("no pipe")?;
        let mut output = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut line = String::new();
        if output.read_line(&mut line)? == 0 {
            child.wait()?;
            eprintln!("  no row of {library}: Python cannot import it");
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
