//! What `ringfence join` prints: text with times, a JSON object a line, or nothing.

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
    /// The bar that is shown, if one is.
    bar: Arc<Mutex<Option<ProgressBar>>>,
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
        Self { form, clock, is_lost: Arc::default(), bar: Arc::default() }
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
        let printed = self.beside_the_bar(|| writeln!(std::io::stdout(), "{line}"));
        let Err(error) = printed else { return };
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

    /// Does what writes to the terminal while the bar is away: a line would begin behind it, and be
    /// wiped out with it where the bar counts its own lines otherwise than the terminal.
    fn beside_the_bar<T>(&self, write: impl FnOnce() -> T) -> T {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match bar {
            Some(bar) if !bar.is_finished() => bar.suspend(write),
            _ => write(),
        }
    }

    /// A progress bar for people, which goes out of the way of what is said; a hidden one for others.
    pub(super) fn progress_bar(&self, prefix: &'static str) -> ProgressBar {
        let bar = match self.form {
            OutputArgs { quiet: false, json: false } => progress_bar(prefix),
            _ => ProgressBar::hidden(),
        };
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        bar
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use indicatif::{ProgressDrawTarget, TermLike};
    use ringfence_clock::Clock;

    use super::*;

    /// A terminal that takes down what is done to it.
    #[derive(Clone, Debug, Default)]
    struct Terminal(Arc<Mutex<Vec<String>>>);

    impl Terminal {
        fn note(&self, what: &str) -> io::Result<()> {
            self.0.lock().unwrap().push(what.to_owned());
            Ok(())
        }
    }

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.note(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.note(text)
        }
        fn clear_line(&self) -> io::Result<()> {
            self.note("clear")
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bar_is_away_while_something_is_said() {
        let form = OutputArgs { quiet: false, json: false };
        let (out, terminal) = (Output::new(form, Clock::system()), Terminal::default());
        let bar = out.progress_bar("training");
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        bar.set_length(10);
        bar.set_position(3);
        bar.tick();
        out.beside_the_bar(|| terminal.note("said").unwrap());
        let noted = terminal.0.lock().unwrap().clone();
        let said = noted.iter().position(|what| what == "said").unwrap();
        let is_bar = |what: &&String| what.contains("training");
        assert!(noted[..said].iter().any(|what| is_bar(&what)), "{noted:?}");
        let last = noted[..said].iter().rposition(|what| is_bar(&what)).unwrap();
        assert!(noted[last..said].iter().any(|what| what == "clear"), "{noted:?}");
        assert!(noted[said..].iter().any(|what| is_bar(&what)), "{noted:?}");
        // One that has ended is not drawn again.
        bar.finish_and_clear();
        let drawn = terminal.0.lock().unwrap().len();
        out.beside_the_bar(|| ());
        assert_eq!(terminal.0.lock().unwrap().len(), drawn);
    }

    /// At the start nobody knows how long it takes, nor where an earlier process has stopped.
    #[test]
    fn the_bar_says_the_time_left_once_a_step_was_measured() {
        let form = OutputArgs { quiet: false, json: false };
        let (out, terminal) = (Output::new(form, Clock::system()), Terminal::default());
        let bar = out.progress_bar("training");
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        bar.set_length(100);
        bar.set_position(90);
        bar.tick();
        let drawn = || terminal.0.lock().unwrap().join("\n");
        assert!(drawn().contains("90%") && !drawn().contains("left"), "{}", drawn());
        std::thread::sleep(std::time::Duration::from_millis(700));
        bar.set_position(91);
        bar.tick();
        // Nine steps of less than a second, and not 91 of these.
        let shown = drawn();
        let left = shown.rsplit_once("91%, ").and_then(|(_, rest)| rest.split_once(" s left"));
        let seconds: u64 = left.unwrap_or_else(|| panic!("{shown}")).0.parse().unwrap();
        assert!((6..30).contains(&seconds), "{shown}");
    }
}
