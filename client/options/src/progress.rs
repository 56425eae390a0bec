//! The progress bar, and training that shows it.

use std::fmt::Write;
use std::time::{Duration, Instant};

use indicatif::style::ProgressTracker;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use ringfence_learning::shadow::Shadows;
use ringfence_learning::{Dataset, LearnError, RoundStart};

/// A progress bar on standard error; silent when that is no terminal. It says how long the rest takes
/// once a step has been measured.
#[must_use]
pub fn progress_bar(prefix: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>12} [{bar:30}] {percent:>3}%{left}  {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
    let style = style.with_key("left", Pace::default());
    ProgressBar::new(1).with_style(style).with_prefix(prefix)
}

/// How fast the steps of this process are. Where the bar first stands, after the first of them, says
/// nothing: what is before that was done by an earlier process, or took who knows how long.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// The first position, and when it was reached.
    first: Option<(u64, Instant)>,
    /// The last one.
    last: Option<(u64, Instant)>,
}

impl Pace {
    /// The bar stands here.
    fn reached(&mut self, position: u64, now: Instant) {
        if position > 0 {
            self.first.get_or_insert((position, now));
            if self.last.is_none_or(|(last, _)| last != position) {
                self.last = Some((position, now));
            }
        }
    }

    /// How long the steps up to `length` take; `None` before a step was measured, and at the end.
    fn left(&self, length: u64) -> Option<Duration> {
        let ((first, began), (last, now)) = (self.first?, self.last?);
        let steps = last.checked_sub(first).filter(|steps| *steps > 0)?;
        let left = length.checked_sub(last).filter(|left| *left > 0)?;
        let seconds = now.saturating_duration_since(began).as_secs_f64() / steps as f64;
        Duration::try_from_secs_f64(seconds * left as f64).ok()
    }
}

impl ProgressTracker for Pace {
    fn clone_box(&self) -> Box<dyn ProgressTracker> {
        Box::new(*self)
    }

    fn tick(&mut self, state: &ProgressState, now: Instant) {
        self.reached(state.pos(), now);
    }

    fn reset(&mut self, _: &ProgressState, _: Instant) {
        *self = Self::default();
    }

    fn write(&self, state: &ProgressState, bar: &mut dyn Write) {
        if let Some(left) = state.len().and_then(|length| self.left(length)) {
            // A bar has nobody to tell that it cannot be written.
            let _ = write!(bar, ", {} left", duration(left));
        }
    }
}

/// A round's training at every site that is there, one after the other, with a progress bar: the
/// update of each, `None` for an absent one. With `shadows` on images with the defence's noise.
///
/// # Errors
/// As [`RoundStart::updates`] and [`Shadows::defended`].
pub fn train_round(
    start: &RoundStart<'_>,
    dataset: &Dataset,
    absent: &[bool],
    shadows: Option<&mut Shadows>,
) -> Result<Vec<Option<Vec<f32>>>, LearnError> {
    let bar = progress_bar("training");
    let defended = match shadows {
        None => None,
        Some(shadows) => {
            bar.set_message(format!("round {}, the shadow defence", start.round));
            Some(shadows.defended(start, dataset, absent)?)
        }
    };
    let dataset = defended.as_ref().unwrap_or(dataset);
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

/// A time in the two largest units that say something, rounded to the smaller one.
#[must_use]
pub fn duration(time: Duration) -> String {
    let rounded = |unit: u64| {
        let half = Duration::from_secs(unit) / 2;
        time.saturating_add(half).as_secs() / unit
    };
    let (seconds, minutes) = (rounded(1), rounded(60));
    match (minutes / 60, minutes % 60) {
        _ if seconds < 60 => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_and_have_the_units_that_say_something() {
        let of = |seconds| duration(Duration::from_secs_f64(seconds));
        assert_eq!([of(0.0), of(0.4), of(1.99), of(59.4)], ["0 s", "0 s", "2 s", "59 s"]);
        assert_eq!([of(59.6), of(89.0), of(119.0)], ["1 min", "1 min", "2 min"]);
        assert_eq!([of(3570.0), of(7260.0), of(7199.0)], ["1 h 0 min", "2 h 1 min", "2 h 0 min"]);
    }

    #[test]
    fn the_time_left_is_said_once_a_step_of_this_process_was_measured() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert_eq!(pace.left(10), None);
        // Reading images took a minute; nobody knows yet how long a step takes.
        for position in [0, 1, 1] {
            pace.reached(position, at(60));
            assert_eq!(pace.left(10), None);
        }
        pace.reached(2, at(62));
        assert_eq!(pace.left(10), Some(Duration::from_secs(16)));
        pace.reached(10, at(78));
        assert_eq!(pace.left(10), None);
        // Gone on from step 90 of 100: those before took this process no time.
        let mut pace = Pace::default();
        pace.reached(0, at(0));
        pace.reached(91, at(3));
        assert_eq!(pace.left(100), None);
        pace.reached(92, at(6));
        assert_eq!(pace.left(100), Some(Duration::from_secs(24)));
    }
}
