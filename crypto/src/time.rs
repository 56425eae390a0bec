//! Times as people read them, and how far clocks may be apart.

use std::fmt;

use crate::id::UnixSeconds;

/// How many seconds a time that somebody signed may lie ahead of one's own clock.
///
/// Clocks that are set by NTP are within a second of each other, ones that are set by hand within
/// minutes; five minutes is what Kerberos allows, too. A time that lies further ahead would let its
/// signer hold back the study, because nothing may be opened before it. A time in the past does no
/// such harm, so there is no bound on it.
pub const MAX_CLOCK_AHEAD: u64 = 300;

/// A time as text: `2027-01-15 08:00:00 UTC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc(UnixSeconds);

impl UnixSeconds {
    /// The time as people read it.
    pub fn utc(self) -> Utc {
        Utc(self)
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.0;
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

/// Year, month and day of so many days after 1970-01-01, in the Gregorian calendar. No day whose
/// seconds fit 64 bits overflows.
fn date(days: u64) -> (u64, u64, u64) {
    // Years are counted from March, so that a leap day is the last of its year, in eras of 400
    // years, which have 146097 days each. 1970-01-01 is day 719468 since 0000-03-01.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (400 * era + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_the_calendar_says() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_800_000_000, "2027-01-15 08:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (u64::MAX, "584554051223-11-09 07:00:15 UTC"),
        ] {
            assert_eq!(UnixSeconds(seconds).utc().to_string(), expected);
        }
    }
}
