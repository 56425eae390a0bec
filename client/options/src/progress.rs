//! The progress bar, and training that shows it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ringfence_learning::{Dataset, LearnError, RoundStart};

/// A progress bar on standard error; silent when that is no terminal.
#[must_use]
pub fn progress_bar(prefix: &'static str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:>12} [{bar:30}] {percent:>3}% {eta:>4} left  {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
    ProgressBar::new(1).with_style(style).with_prefix(prefix)
}

/// A round's training at every site that is there, one after the other, with a progress bar: the
/// update of each, `None` for an absent one.
///
/// # Errors
/// As [`RoundStart::updates`].
pub fn train_round(
    start: &RoundStart<'_>,
    dataset: &Dataset,
    absent: &[bool],
) -> Result<Vec<Option<Vec<f32>>>, LearnError> {
    let bar = progress_bar("training");
    let names: Vec<&str> = dataset.sites.iter().map(|site| site.site.as_str()).collect();
    let updates = start.updates(dataset, absent, &mut |place, step| {
        bar.set_length((names.len() * step.epochs) as u64);
        bar.set_position((place * step.epochs + step.epoch - 1) as u64);
        let site = names.get(place).copied().unwrap_or_default();
        bar.set_message(format!("round {}, {site}", start.round));
    })?;
    bar.finish_and_clear();
    Ok(updates)
}

/// A time in the two largest units that say something.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_units_that_say_something() {
        let of = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!([of(0), of(59), of(119), of(7260)], ["0 s", "59 s", "1 min", "2 h 1 min"]);
    }
}
