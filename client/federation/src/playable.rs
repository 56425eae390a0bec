//! Which faults can be played: a run that cannot end well, or a fault that would strike nobody, is
//! refused before anything starts.

use std::collections::BTreeSet;

use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::threshold::{Threshold, ThresholdError};

use crate::course::{Course, Lacking};
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
    /// A round that could not end with a mean: too few are left for one of its steps.
    #[error(
        "round {round} could not end: it would have {have} {what}{}, and with {n} sites it takes {needed}; {}",
        in_brackets(.missing), advice(.enough)
    )]
    Unfinished {
        /// The round.
        round: RoundNumber,
        /// Who is too few, and for what.
        what: &'static str,
        /// How many are left.
        have: usize,
        /// How many it takes.
        needed: usize,
        /// Who is missing, each with its reason.
        missing: Vec<String>,
        /// The roster's size.
        n: usize,
        /// The smallest larger study that these faults do not stop, if a few sites more are enough.
        enough: Option<usize>,
    },
    /// No study has so few sites.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
}

fn in_brackets(missing: &[String]) -> String {
    if missing.is_empty() { String::new() } else { format!(" ({})", missing.join(", ")) }
}

fn advice(enough: &Option<usize>) -> String {
    let more = enough.map(|sites| format!(", or take --sites {sites} at least"));
    format!("let fewer sites fail in it{}", more.unwrap_or_default())
}

impl Faults {
    /// Refuses faults that name no site or round, contradict each other, are more than a study of
    /// these sites (in roster order, with the recommended thresholds) withstands, or leave too few in
    /// a round for it to end.
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
        self.check_course(sites).map_err(|error| match error {
            FaultsError::Unfinished { round, what, have, needed, missing, n, .. } => {
                let enough = self.enough_sites(sites);
                FaultsError::Unfinished { round, what, have, needed, missing, n, enough }
            }
            error => error,
        })
    }

    /// Goes through the rounds in which something happens.
    fn check_course(&self, sites: &[SiteId]) -> Result<(), FaultsError> {
        let rounds = self.rounds();
        if rounds.is_empty() {
            return Ok(());
        }
        let (n, threshold) = (sites.len(), Threshold::recommended(sites.len())?);
        let mut course = Course::new(sites, threshold);
        // A spoiler and a bad dealer stay corrupt; a holder is while it lies.
        let mut known = BTreeSet::new();
        for round in rounds {
            let fates = sites.iter().enumerate();
            let fates: Vec<Fate> =
                fates.map(|(place, site)| self.fate(place, site.as_str(), round)).collect();
            let mut corrupt = known.clone();
            for (place, (site, fate)) in sites.iter().zip(&fates).enumerate() {
                let holds = holds(&threshold, n, place, round);
                if let Some(reason) = contradiction(*fate, course.bars(site), holds) {
                    let site = site.clone();
                    return Err(FaultsError::Contradiction { site, round, reason });
                }
                if !fate.misbehaves() {
                    continue;
                }
                if !threshold.names() {
                    let (site, needed) = (site.clone(), naming());
                    return Err(FaultsError::Unnamed { site, round, n, needed });
                }
                corrupt.insert(site);
                if fate.spoils || fate.deals_badly {
                    known.insert(site);
                }
            }
            if corrupt.len() > usize::from(threshold.collusion) {
                let sites = corrupt.iter().map(ToString::to_string).collect();
                let collusion = threshold.collusion;
                return Err(FaultsError::TooMany { sites, round, n, collusion });
            }
            let lacking = |Lacking { what, have, needed, missing }| FaultsError::Unfinished {
                round,
                what,
                have,
                needed,
                missing,
                n,
                enough: None,
            };
            course.round(round, &fates).map_err(lacking)?;
        }
        Ok(())
    }

    /// The smallest study with a few sites more that these faults do not stop.
    fn enough_sites(&self, sites: &[SiteId]) -> Option<usize> {
        let mut more = sites.to_vec();
        // Names that no site of a study has.
        (sites.len()..sites.len() + 13).find_map(|place| {
            more.push(format!("further-{place}").parse().ok()?);
            self.check_course(&more).is_ok().then_some(more.len())
        })
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
        // One that deals badly, too, is left out of the sum, and its body with it.
        (
            spoils && flipped && !deals_badly,
            "it has spoiled its body, and keeps none that it could send again",
        ),
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
    }

    #[test]
    fn rounds_that_could_not_end_are_refused_with_who_is_missing_for_what() {
        let none = Faults::default;
        let drop = |faults: &[&str]| Faults { drop: of(faults), ..none() };
        let mute = |faults: &[&str]| Faults { mute: of(faults), ..none() };
        let three = "round 0 could not end: it would have 2 contributions (s0 takes no part), and \
                     with 3 sites it takes 3; let fewer sites fail in it, or take --sites 4 at";
        refused(drop(&["0@0"]), 3, &[three]);
        refused(drop(&["s2@1:before"]), 3, &["round 1", "s2 takes no part"]);
        // They have contributed, and all three have to review.
        let silent = "2 key holders whose reviews count (s0 answers nothing), and with 3 sites it \
                      takes 3";
        refused(drop(&["0@0:after"]), 3, &[silent, "--sites 4"]);
        refused(mute(&["0@0"]), 3, &[silent]);
        let four = "3 key holders whose reviews count (s0 answers nothing, s1 answers nothing), \
                    and with 5 sites it takes 4; let fewer sites fail in it, or take --sites 8 at";
        refused(mute(&["0@0", "1@0"]), 5, &[four]);
        refused(drop(&["0@0:after", "1@0"]), 4, &["2 key holders whose", "or take --sites"]);
        refused(drop(&["0@2", "1@2", "2@2"]), 5, &["round 2", "have 2 contributions"]);
        // A few sites more are not enough.
        let all: Vec<String> = (0..5).map(|site| format!("{site}@0")).collect();
        let all = drop(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let text = all.check(&sites(5), 3).unwrap_err().to_string();
        assert!(text.ends_with("; let fewer sites fail in it"), "{text}");
        // A liar endorses nothing, and one that is silent neither.
        let lies = Faults { lie: of(&["0@0"]), mute: of(&["1@0"]), ..none() };
        let words = "3 key holders that endorse the round's closing (s0 lies, s1 answers nothing), \
                     and with 5 sites it takes 4";
        refused(lies, 5, &[words]);
        // A bad dealing, judged by fewer reviews, names nobody, and sets those aside who are needed.
        let dealt = |dealer: &str, silent: &str| Faults {
            baddeal: of(&[dealer]),
            mute: of(&[silent]),
            ..none()
        };
        refused(dealt("1@0", "4@0"), 5, &["key holders whose reviews count", "is not trusted"]);
        // Of one round each.
        for n in 3..40 {
            none().check(&sites(n), 3).unwrap();
            if n > 3 {
                for one in [drop(&["0@0"]), drop(&["0@0:after"]), mute(&["1@1"])] {
                    one.check(&sites(n), 3).unwrap();
                }
                let spoiled = Faults { spoil: of(&["1@0"]), mute: of(&["2@1"]), ..none() };
                spoiled.check(&sites(n), 3).unwrap_or_else(|error| panic!("{n}: {error}"));
            }
        }
    }

    #[test]
    fn what_would_not_show_is_refused() {
        let none = Faults::default;
        let flip = || of(&["2@0"]);
        refused(Faults { drop: of(&["2@0:after"]), flip: flip(), ..none() }, 5, &["no body again"]);
        refused(Faults { mute: of(&["2@0"]), flip: flip(), ..none() }, 5, &["s2 in round 0"]);
        refused(Faults { spoil: of(&["2@0"]), flip: flip(), ..none() }, 5, &["keeps none that it"]);
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
        Faults { mute: of(&["1@0", "1@1", "2@0"]), ..none() }.check(&sites(8), 3).unwrap();
        for suffix in ["0@0:after", "0@0:before"] {
            let words = [suffix, "only --drop", "with --spoil"];
            refused(Faults { spoil: of(&[suffix]), ..none() }, 5, &words);
        }
        Faults { drop: of(&["0@0:before", "1@0:after"]), ..none() }.check(&sites(8), 3).unwrap();
        refused(
            Faults { flip: of(&["7@0"]), ..none() },
            5,
            &["7@0 names no site", "rounds 0 to 2"],
        );
    }
}
