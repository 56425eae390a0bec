//! The report in sentences.

use super::meter::{CohortReport, Difference};
use crate::id::SiteId;

/// Of many sites so many are named.
const MOST_NAMED: usize = 8;

impl CohortReport {
    /// What the numbers say, for people; `collusion` is the study's `c`.
    pub fn sentences(&self, collusion: u16) -> Vec<String> {
        let Self { rounds, sets, sites, rank, .. } = self;
        let Some(fewest) = self.fewest else {
            return vec!["No sum was opened yet, so nothing can be combined.".to_owned()];
        };
        let mut said = vec![format!(
            "{} over {} of {}; {rank} of them {} not follow from the others.",
            counted(*rounds, "sum was opened", "sums were opened"),
            counted(*sets, "set", "different sets"),
            counted(*sites, "site", "sites"),
            if *rank == 1 { "does" } else { "do" },
        )];
        said.extend(self.closest.as_ref().map(Difference::sentence));
        said.push(match (self.singled_out.as_slice(), fewest.exactly()) {
            ([], Some(fewest)) => format!(
                "Were every site's update the same in all rounds, no combination of the sums would be over fewer than {}.",
                counted(fewest, "site", "sites")
            ),
            ([], None) => format!(
                "Were every site's update the same in all rounds, the fewest sites that a combination of the sums is over would be {} at least and {} at most.",
                fewest.at_least, fewest.at_most
            ),
            (alone, _) => format!(
                "Were every site's update the same in all rounds, the sums would single out {}: {}.",
                counted(alone.len(), "site", "sites"),
                names(alone)
            ),
        });
        let wanted = usize::from(collusion) + 2;
        if self.singled_out.is_empty() && fewest.at_most < wanted {
            said.push(format!(
                "With c = {collusion} colluding sites, who know their own updates, a combination over fewer than {wanted} may single a site out."
            ));
        }
        if !self.complete {
            said.push(
                "There are too many sets to look at all of them: there may be more.".to_owned(),
            );
        }
        said
    }
}

impl Difference {
    fn sentence(&self) -> String {
        let Self { first, second, only_first, only_second } = self;
        let side = |round, sites: &[SiteId]| match sites {
            [] => None,
            sites => Some(format!("{} in that of round {round} only", names(sites))),
        };
        let sides: Vec<String> =
            [side(first, only_first), side(second, only_second)].into_iter().flatten().collect();
        format!(
            "The two sets that are closest differ in {}: {}.",
            counted(self.sites(), "site", "sites"),
            sides.join(", ")
        )
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn names(sites: &[SiteId]) -> String {
    let named: Vec<&str> = sites.iter().take(MOST_NAMED).map(SiteId::as_str).collect();
    match sites.len().saturating_sub(MOST_NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
