//! What `ringfence join` prints: text with times, a JSON object a line, or nothing.

use std::fmt::Display;

use indicatif::ProgressBar;
use ringfence_clock::Clock;
use ringfence_crypto::id::UnixSeconds;
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
        Self { form, clock }
    }

    /// Says that something has changed.
    pub(super) fn say(&self, what: &(impl Display + Serialize)) {
        let time = self.clock.now();
        match self.form {
            OutputArgs { quiet: true, .. } => {}
            OutputArgs { json: true, .. } => match serde_json::to_string(&Line { time, what }) {
                Ok(line) => println!("{line}"),
                Err(error) => eprintln!("ringfence: {what}: no JSON can be made of it: {error}"),
            },
            _ => what.to_string().lines().for_each(|line| println!("{}  {line}", time.utc())),
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
