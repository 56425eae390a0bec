//! What `ringfence join` prints: text with times, a JSON object a line, or nothing.

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;
use ringfence_clock::Clock;
use ringfence_crypto::id::UnixSeconds;
use ringfence_exit::CLOSED_PIPE;
use ringfence_options::progress_bar;
use serde::Serialize;

/// Arguments that choose the form.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// Print nothing but errors.
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
    /// Print one JSON object a line on standard output, each with `time` and `event`.
    #[arg(long)]
    json: bool,
}

/// Where events go.
#[derive(Clone, Debug)]
pub(super) struct Output {
    form: OutputArgs,
    clock: Clock,
    /// Whether it has been said that standard output takes nothing.
    is_lost: Arc<AtomicBool>,
}

/// An event with its time.
#[derive(Serialize)]
struct Line<'a, T> {
    /// Seconds since 1970.
    time: UnixSeconds,
    #[serde(flatten)]
    what: &'a T,
}

impl Output {
    pub(super) fn new(form: OutputArgs, clock: Clock) -> Self {
        Self { form, clock, is_lost: Arc::default() }
    }

    /// Says that something has changed.
    pub(super) fn say(&self, what: &(impl Display + Serialize)) {
        let time = self.clock.now();
        match self.form {
            OutputArgs { quiet: true, .. } => {}
            OutputArgs { json: true, .. } => match serde_json::to_string(&Line { time, what }) {
                Ok(line) => self.print(&line),
                Err(error) => eprintln!("ringfence: {what}: no JSON can be made of it: {error}"),
            },
            _ => {
                let text = what.to_string();
                text.lines().for_each(|line| self.print(&format!("{}  {line}", time.utc())));
            }
        }
    }

    /// The like of an error that is not the end yet: said on standard error where nothing else is.
    pub(super) fn say_error(&self, what: &(impl Display + Serialize)) {
        match self.form.quiet {
            true => eprintln!("ringfence: {what}"),
            false => self.say(what),
        }
    }

    /// Prints a line. A study is worth more than its log: where standard output takes none, as on a
    /// full disk, this is said once on standard error, and all goes on. Only behind a pipe that was
    /// closed on purpose it ends.
    fn print(&self, line: &str) {
        let Err(error) = writeln!(std::io::stdout(), "{line}") else { return };
        if error.kind() == ErrorKind::BrokenPipe {
            std::process::exit(CLOSED_PIPE.into());
        }
        if !self.is_lost.swap(true, Ordering::Relaxed) {
            // Where standard error is lost, too, there is nobody to tell.
            let _ = writeln!(
                std::io::stderr(),
                "ringfence: cannot write to standard output: {error}; what is said from here on may be missing, and the study goes on"
            );
        }
    }

    /// A progress bar for people; a hidden one for others.
    pub(super) fn progress_bar(&self, prefix: &'static str) -> ProgressBar {
        match self.form {
            OutputArgs { quiet: false, json: false } => progress_bar(prefix),
            _ => ProgressBar::hidden(),
        }
    }
}
