//! The progress bar.

use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar on standard error; silent when that is no terminal.
#[must_use]
pub fn progress_bar(prefix: &'static str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:>12} [{bar:30}] {percent:>3}% {eta:>4} left  {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
    ProgressBar::new(1).with_style(style).with_prefix(prefix)
}
