//! Which faults can be played: a run that cannot end well, or a fault that would strike nobody, is
//! refused before anything starts.

use std::collections::BTreeSet;

use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::threshold::{Threshold, ThresholdError};

use crate::fault::{Fate, Faults};

/// Faults that cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultsError {
    /// It was meant for another site or round.
    #[error(
        "the fault {fault} names no site or round of this run; sites are 0 to {} or one of {}, rounds 0 to {}",
        .sites.len().saturating_sub(1), .sites.join(", "), .rounds.saturating_sub(1)
    )]
    Stray {
        /// As given.
        fault: String,
        /// The sites' names, in roster order.
        sites: Vec<String>,
        /// Rounds of the run.
        rounds: u32,
    },
    /// `:before` or `:after` where it says nothing.
    #[error("the fault {fault}: only --drop has :before and :after; leave it out with {option}")]
    Suffix {
        /// As given.
        fault: String,
        /// The option that it was given to.
        option: &'static str,
    },
    /// The same site and round twice.
    #[error(
        "{option} {} and {option} {} are of one site and round; give one of the two, or another site or round",
        .faults[0], .faults[1]
    )]
    Twice {
        /// The option that they were given to.
        option: &'static str,
        /// Both, as given.
        faults: [String; 2],
    },
    /// Two things that cannot befall one site, or one that would not show.
    #[error("{site} in round {round}: {reason}; give one of the two another site or round")]
    Contradiction {
        /// Whom it is to befall.
        site: SiteId,
        /// When.
        round: RoundNumber,
        /// What the first makes of the second.
        reason: &'static str,
    },
    /// More than the study withstands.
    #[error(
        "up to round {round}, {} misbehave ({}), and a study of {n} sites withstands c = {collusion}: play fewer, or take more --sites",
        .sites.len(), .sites.join(", ")
    )]
    TooMany {
        /// Sites that are barred by then, or misbehave in this round.
        sites: Vec<String>,
        /// The round.
        round: RoundNumber,
        /// The roster's size.
        n: usize,
        /// `c`.
        collusion: u16,
    },
    /// A study in which a spoiled round fails.
    #[error(
        "{site} misbehaves in round {round}, and with {n} sites nobody can be named, and the round fails: it takes --sites {needed} at least"
    )]
    Unnamed {
        /// Who would misbehave.
        site: SiteId,
        /// When.
        round: RoundNumber,
        /// The roster's size.
        n: usize,
        /// Sites with which culprits are named.
        needed: usize,
    },
    /// No study has so few sites.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
}

impl Faults {
    /// Refuses faults that name no site or round, contradict each other, or are more than a study of
    /// these sites (in roster order, with the recommended thresholds) withstands. Key holders that
    /// are missing are no reason: their number shows while the run waits for them.
    ///
    /// # Errors
    /// [`FaultsError`] with the first that cannot be played.
    pub fn check(&self, sites: &[SiteId], rounds: u32) -> Result<(), FaultsError> {
        self.check_names(sites, rounds)?;
        if let Some((option, faults)) = self.twice(sites) {
            return Err(FaultsError::Twice { option, faults });
        }
        if let Some((option, fault)) = self.suffixed() {
            return Err(FaultsError::Suffix { fault, option });
        }
        let rounds = self.rounds();
        if rounds.is_empty() {
            return Ok(());
        }
        let threshold = Threshold::recommended(sites.len())?;
        let mut barred = BTreeSet::new();
        for round in rounds {
            let fates = sites.iter().enumerate();
            let fates = fates.map(|(place, site)| (site, self.fate(place, site.as_str(), round)));
            let mut corrupt = barred.clone();
            for (place, (site, fate)) in fates.enumerate() {
                let holds = holds(&threshold, sites.len(), place, round);
                if let Some(reason) = contradiction(fate, barred.contains(site), holds) {
                    let site = site.clone();
                    return Err(FaultsError::Contradiction { site, round, reason });
                }
                if !fate.misbehaves() {
                    continue;
                }
                if !threshold.names() {
                    let (site, n) = (site.clone(), sites.len());
                    return Err(FaultsError::Unnamed { site, round, n, needed: naming() });
                }
                corrupt.insert(site);
                if fate.spoils || fate.deals_badly {
                    barred.insert(site);
                }
            }
            if corrupt.len() > usize::from(threshold.collusion) {
                let sites_by_name = corrupt.iter().map(ToString::to_string).collect();
                let (n, collusion) = (sites.len(), threshold.collusion);
                return Err(FaultsError::TooMany { sites: sites_by_name, round, n, collusion });
            }
        }
        Ok(())
    }

    /// Refuses a fault that would never strike: it was meant for another site or round.
    ///
    /// # Errors
    /// [`FaultsError::Stray`].
    pub(crate) fn check_names(&self, sites: &[SiteId], rounds: u32) -> Result<(), FaultsError> {
        match self.stray(sites, rounds) {
            None => Ok(()),
            Some(fault) => {
                let sites = sites.iter().map(ToString::to_string).collect();
                Err(FaultsError::Stray { fault, sites, rounds })
            }
        }
    }
}

/// Whether the site at `place` is in the round's window of key holders.
fn holds(threshold: &Threshold, sites: usize, place: usize, round: RoundNumber) -> bool {
    let start = round.0 as usize % sites.max(1);
    (place + sites - start) % sites.max(1) < usize::from(threshold.holders)
}

/// The smallest study whose spoiled rounds name their culprits.
fn naming() -> usize {
    let names = |sites: &usize| Threshold::recommended(*sites).is_ok_and(|of| of.names());
    (3..=usize::from(u8::MAX)).find(names).unwrap_or_default()
}

/// Why one part of a fate would not show beside the others, or beside what came before.
fn contradiction(fate: Fate, barred: bool, holds: bool) -> Option<&'static str> {
    let Fate { absent, silent, spoils, deals_badly, lies, flipped } = fate;
    let contributes = spoils || deals_badly || flipped;
    let reasons = [
        (
            barred && (contributes || absent),
            "it is barred since it misbehaved, contributes no more",
        ),
        (absent && (contributes || lies || silent), "it is not there, and does nothing else"),
        (silent && lies, "it is silent after its contribution, and opens nothing"),
        (silent && flipped, "it is silent after its contribution, and sends no body again"),
        (lies && !holds, "it holds no keys then, and opens nothing"),
    ];
    reasons.into_iter().find_map(|(applies, reason)| applies.then_some(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    fn sites(n: usize) -> Vec<SiteId> {
        (0..n).map(|k| format!("s{k}").parse().unwrap()).collect()
    }

    fn of(faults: &[&str]) -> Vec<Fault> {
        faults.iter().map(|fault| fault.parse().unwrap()).collect()
    }

    #[track_caller]
    fn refused(faults: Faults, n: usize, words: &[&str]) {
        let error = faults.check(&sites(n), 3).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
    }

    #[test]
    fn a_study_withstands_c_sites_that_misbehave() {
        let none = Faults::default;
        let two = "2 misbehave (s0, s1)";
        let words = [two, "5 sites withstands c = 1"];
        refused(Faults { lie: of(&["0@0", "1@0"]), ..none() }, 5, &words);
        refused(Faults { baddeal: of(&["0@0"]), spoil: of(&["s1@0"]), ..none() }, 5, &words);
        // Barred sites count in later rounds, liars only while they lie.
        refused(Faults { spoil: of(&["0@0"]), lie: of(&["1@2"]), ..none() }, 5, &["round 2", two]);
        let lies = Faults { lie: of(&["0@0", "1@1"]), ..none() };
        lies.check(&sites(5), 3).unwrap();
        let one =
            Faults { spoil: of(&["0@0"]), lie: of(&["0@0"]), baddeal: of(&["0@0"]), ..none() };
        one.check(&sites(5), 3).unwrap();
        Faults { spoil: of(&["2@0", "5@0"]), ..none() }.check(&sites(9), 3).unwrap();
        for faults in [
            Faults { lie: of(&["1@0"]), ..none() },
            Faults { spoil: of(&["1@0"]), ..none() },
            Faults { baddeal: of(&["1@0"]), ..none() },
        ] {
            refused(faults, 3, &["with 3 sites nobody can be named", "--sites 4 at least"]);
        }
        // What is missing, and not corrupt, shows in the run.
        Faults { mute: of(&["0@0", "1@0"]), ..none() }.check(&sites(5), 3).unwrap();
    }

    #[test]
    fn what_would_not_show_is_refused() {
        let none = Faults::default;
        let flip = || of(&["2@0"]);
        refused(Faults { drop: of(&["2@0:after"]), flip: flip(), ..none() }, 5, &["no body again"]);
        refused(Faults { mute: of(&["2@0"]), flip: flip(), ..none() }, 5, &["s2 in round 0"]);
        refused(Faults { drop: of(&["2@0"]), flip: flip(), ..none() }, 5, &["is not there"]);
        refused(Faults { mute: of(&["2@0"]), lie: flip(), ..none() }, 5, &["opens nothing"]);
        refused(Faults { spoil: of(&["2@0"]), flip: of(&["2@1"]), ..none() }, 5, &["is barred"]);
        refused(Faults { lie: of(&["0@1"]), ..none() }, 17, &["holds no keys"]);
        Faults { lie: of(&["0@0"]), ..none() }.check(&sites(17), 3).unwrap();
        // The same once more, in other words, or against itself.
        for twice in [["1@0", "1@0"], ["s1@0", "1@0"], ["1@0", "1@0:before"], ["1@0:after", "1@0"]]
        {
            let words =
                [&*format!("--drop {} and --drop {}", twice[0], twice[1]), "one of the two"];
            refused(Faults { drop: of(&twice), ..none() }, 7, &words);
        }
        refused(Faults { spoil: of(&["1@0", "s1@0"]), ..none() }, 7, &["--spoil 1@0 and"]);
        Faults { mute: of(&["1@0", "1@1", "2@0"]), ..none() }.check(&sites(7), 3).unwrap();
        for suffix in ["0@0:after", "0@0:before"] {
            let words = [suffix, "only --drop", "with --spoil"];
            refused(Faults { spoil: of(&[suffix]), ..none() }, 5, &words);
        }
        Faults { drop: of(&["0@0:before", "1@0:after"]), ..none() }.check(&sites(7), 3).unwrap();
        refused(
            Faults { flip: of(&["7@0"]), ..none() },
            5,
            &["7@0 names no site", "rounds 0 to 2"],
        );
    }
}
