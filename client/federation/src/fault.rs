//! Faults that the demo plays: a site that vanishes, a key holder that never answers.

use std::str::FromStr;

/// `K@R` or `K@R:after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    site: String,
    round: u32,
    after: bool,
}

/// Text that is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected K@R or K@R:after (site number or name, round number, both from 0), got {0:?}")]
pub struct FaultError(String);

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let refuse = || FaultError(text.to_owned());
        let (site, rest) = text.split_once('@').ok_or_else(refuse)?;
        let (round, after) = match rest.split_once(':') {
            None | Some((_, "before")) => (rest.split(':').next().unwrap_or(rest), false),
            Some((round, "after")) => (round, true),
            Some(_) => return Err(refuse()),
        };
        if site.is_empty() {
            return Err(refuse());
        }
        Ok(Self { site: site.to_owned(), round: round.parse().map_err(|_| refuse())?, after })
    }
}

impl Fault {
    fn strikes(&self, position: usize, site: &str, round: u32) -> bool {
        self.round == round && (self.site == site || self.site == position.to_string())
    }
}

/// What befalls a site in a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// It takes no part at all.
    pub(crate) absent: bool,
    /// It contributes and then answers nothing.
    pub(crate) silent: bool,
}

/// The faults of a run.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    pub(crate) drop: Vec<Fault>,
    pub(crate) mute: Vec<Fault>,
}

impl Faults {
    /// What befalls the site at `position` in `round`.
    pub(crate) fn fate(&self, position: usize, site: &str, round: u32) -> Fate {
        let dropped =
            |after| self.drop.iter().any(|f| f.after == after && f.strikes(position, site, round));
        let muted = self.mute.iter().any(|fault| fault.strikes(position, site, round));
        Fate { absent: dropped(false), silent: muted || dropped(true) }
    }

    /// The first fault that names no site of the study or no round of the run.
    pub(crate) fn stray(&self, sites: &[String], rounds: u32) -> Option<String> {
        self.drop.iter().chain(&self.mute).find_map(|fault| {
            let known = sites
                .iter()
                .enumerate()
                .any(|(position, site)| fault.strikes(position, site, fault.round));
            (!known || fault.round >= rounds).then(|| format!("{}@{}", fault.site, fault.round))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_strikes() {
        let faults = Faults {
            drop: vec!["2@1".parse().unwrap(), "b@0:after".parse().unwrap()],
            mute: vec!["0@3".parse().unwrap()],
        };
        assert_eq!(faults.fate(2, "c", 1), Fate { absent: true, silent: false });
        assert_eq!(faults.fate(1, "b", 0), Fate { absent: false, silent: true });
        assert_eq!(faults.fate(0, "a", 3), Fate { absent: false, silent: true });
        assert_eq!(faults.fate(0, "a", 2), Fate::default());
        let sites = ["a", "b", "c"].map(String::from);
        assert_eq!(faults.stray(&sites, 4), None);
        assert_eq!(faults.stray(&sites, 3), Some("0@3".into()));
        assert_eq!(faults.stray(&sites[..2], 4), Some("2@1".into()));
        for bad in ["", "2", "@1", "2@", "2@x", "2@1:later"] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }
}
