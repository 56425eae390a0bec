//! Faults that are played: a site that vanishes, a key holder that never answers or lies, a
//! contributor that breaks the format, a disk that alters a bit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use ringfence_crypto::id::{RoundNumber, SiteId};

/// What befalls one site in one round: `K@R` or `K@R:after`, K its place on the roster or its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    site: String,
    round: RoundNumber,
    when: Option<When>,
}

/// Before the site contributes, or after; before unless given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    After,
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
        let (round, when) = match rest.split_once(':') {
            None => (rest, None),
            Some((round, "before")) => (round, Some(When::Before)),
            Some((round, "after")) => (round, Some(When::After)),
            Some(_) => return Err(refuse()),
        };
        if site.is_empty() {
            return Err(refuse());
        }
        Ok(Self { site: site.to_owned(), round: round.parse().map_err(|_| refuse())?, when })
    }
}

impl Fault {
    fn strikes(&self, position: usize, site: &str, round: RoundNumber) -> bool {
        self.round == round && (self.site == site || self.site == position.to_string())
    }

    fn is_after(&self) -> bool {
        self.when == Some(When::After)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.site, self.round)?;
        match self.when {
            None => Ok(()),
            Some(When::Before) => f.write_str(":before"),
            Some(When::After) => f.write_str(":after"),
        }
    }
}

/// What befalls a site in a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// It takes no part at all.
    pub absent: bool,
    /// It contributes and then answers nothing.
    pub silent: bool,
    /// Its body breaks the format.
    pub spoils: bool,
    /// It deals wrong shares to `c` key holders, and none to one more.
    pub deals_badly: bool,
    /// As key holder it opens words that are no sum of its shares.
    pub lies: bool,
    /// A bit of its body is altered in the aggregator's folder after its receipt.
    pub flipped: bool,
}

impl Fate {
    /// Whether the site itself breaks the protocol.
    pub fn misbehaves(&self) -> bool {
        self.spoils || self.deals_badly || self.lies
    }

    /// What is played, in words; none when nothing is.
    pub fn words(&self) -> Vec<&'static str> {
        let all = [
            (self.absent, "takes no part"),
            (self.silent, "contributes and is silent then"),
            (self.spoils, "adds noise beyond any bound to its body"),
            (self.deals_badly, "deals wrong shares of its key"),
            (self.lies, "lies as key holder: it opens random words"),
            (self.flipped, "has a bit of its body flipped on the aggregator's disk"),
        ];
        all.into_iter().filter_map(|(befalls, words)| befalls.then_some(words)).collect()
    }
}

/// The faults of a run.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Sites that vanish, before they contribute or after.
    pub drop: Vec<Fault>,
    /// Sites that contribute and then answer nothing.
    pub mute: Vec<Fault>,
    /// Contributors whose body breaks the format.
    pub spoil: Vec<Fault>,
    /// Contributors that deal wrong shares.
    pub baddeal: Vec<Fault>,
    /// Key holders that lie.
    pub lie: Vec<Fault>,
    /// Contributors whose body is altered on the aggregator's disk.
    pub flip: Vec<Fault>,
}

impl Faults {
    fn all(&self) -> impl Iterator<Item = &Fault> {
        self.by_option().into_iter().flat_map(|(_, faults)| faults)
    }

    /// The rounds in which something happens.
    pub(crate) fn rounds(&self) -> BTreeSet<RoundNumber> {
        self.all().map(|fault| fault.round).collect()
    }

    /// The faults by the options that ask for them.
    fn by_option(&self) -> [(&'static str, &Vec<Fault>); 6] {
        let Self { drop, mute, spoil, baddeal, lie, flip } = self;
        [
            ("--drop", drop),
            ("--mute", mute),
            ("--spoil", spoil),
            ("--baddeal", baddeal),
            ("--lie", lie),
            ("--flip", flip),
        ]
    }

    /// The first two faults of one option that befall one site in one round, however they name it.
    pub(crate) fn twice(&self, sites: &[SiteId]) -> Option<(&'static str, [String; 2])> {
        self.by_option().into_iter().find_map(|(option, faults)| {
            let mut befallen = BTreeMap::new();
            faults.iter().find_map(|fault| {
                let mut places = sites.iter().enumerate();
                let place = places
                    .position(|(place, site)| fault.strikes(place, site.as_str(), fault.round))?;
                let first = befallen.insert((fault.round, place), fault)?;
                Some((option, [first.to_string(), fault.to_string()]))
            })
        })
    }

    /// The first fault but a drop that says when in its round, with its option.
    pub(crate) fn suffixed(&self) -> Option<(&'static str, String)> {
        self.by_option().into_iter().skip(1).find_map(|(option, faults)| {
            let fault = faults.iter().find(|fault| fault.when.is_some())?;
            Some((option, fault.to_string()))
        })
    }

    /// What befalls the site at `position` in `round`.
    pub(crate) fn fate(&self, position: usize, site: &str, round: RoundNumber) -> Fate {
        let struck =
            |faults: &[Fault]| faults.iter().any(|fault| fault.strikes(position, site, round));
        let dropped = |after| {
            self.drop.iter().any(|f| f.is_after() == after && f.strikes(position, site, round))
        };
        Fate {
            absent: dropped(false),
            silent: struck(&self.mute) || dropped(true),
            spoils: struck(&self.spoil),
            deals_badly: struck(&self.baddeal),
            lies: struck(&self.lie),
            flipped: struck(&self.flip),
        }
    }

    /// Whether the site at `position` misbehaves in any round: then its keys are needed for that.
    pub(crate) fn misbehaves(&self, position: usize, site: &str) -> bool {
        self.all().any(|fault| self.fate(position, site, fault.round).misbehaves())
    }

    /// The first fault that names no site of the study or no round of the run.
    pub(crate) fn stray(&self, sites: &[SiteId], rounds: u32) -> Option<String> {
        self.all().find_map(|fault| {
            let known = sites
                .iter()
                .enumerate()
                .any(|(position, site)| fault.strikes(position, site.as_str(), fault.round));
            (!known || fault.round.0 >= rounds).then(|| fault.to_string())
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
            spoil: vec!["c@2".parse().unwrap()],
            flip: vec!["2@2".parse().unwrap()],
            ..Faults::default()
        };
        let silent = Fate { silent: true, ..Fate::default() };
        assert_eq!(faults.fate(2, "c", RoundNumber(1)), Fate { absent: true, ..Fate::default() });
        assert_eq!(faults.fate(1, "b", RoundNumber(0)), silent);
        assert_eq!(faults.fate(0, "a", RoundNumber(3)), silent);
        assert_eq!(faults.fate(0, "a", RoundNumber(2)), Fate::default());
        let both = faults.fate(2, "c", RoundNumber(2));
        assert_eq!(both, Fate { spoils: true, flipped: true, ..Fate::default() });
        assert_eq!(both.words().len(), 2);
        assert!(faults.misbehaves(2, "c") && !faults.misbehaves(0, "a"));
        let sites = ["a", "b", "c"].map(|site| site.parse().unwrap());
        assert_eq!(faults.stray(&sites, 4), None);
        assert_eq!(faults.stray(&sites, 3), Some("0@3".into()));
        assert_eq!(faults.stray(&sites[..2], 4), Some("2@1".into()));
        for bad in ["", "2", "@1", "2@", "2@x", "2@1:later"] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }
}
