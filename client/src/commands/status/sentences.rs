//! Who is late, who is waited for, and whose turn it is, in sentences.

use ringfence_crypto::id::{SiteId, UnixSeconds};
use ringfence_crypto::round::RoundState;
use ringfence_site::overview::{OpenTurn, Overview, RoundOverview, SiteRound, Step};

use super::lines::state;

/// Most names in a sentence; the table has the others.
const MOST_NAMES: usize = 32;

/// How the last round stands, who holds its keys, who is late in it, and who is waited for.
pub(super) fn standing(
    overview: &Overview,
    round: &RoundOverview,
    now: UnixSeconds,
) -> Vec<String> {
    let number = round.round;
    let named = |of: &dyn Fn(&&SiteRound) -> bool| {
        let sites = round.sites.iter().filter(of).map(|site| &site.site);
        listed(&sites.collect::<Vec<_>>())
    };
    let mut said = vec![format!("round {number}: key holders {}", named(&|site| site.holds_keys))];
    let late = [
        ("contribution", named(&|site| site.contributed == Step::Late)),
        ("review", named(&|site| site.reviewed == Step::Late)),
    ];
    for (what, sites) in late.into_iter().filter(|(_, sites)| !sites.is_empty()) {
        said.push(format!("round {number}: LATE with the {what}: {sites}"));
    }
    for site in &round.sites {
        if let Some(reason) = site.left_out {
            said.push(format!("round {number}: the sum goes without {}: {reason}", site.site));
        }
    }
    if let Some((what, sites)) = round.awaited() {
        let until = match round.state {
            RoundState::Collecting => Some(round.deadline),
            RoundState::Reviewing => round.reviews_until,
            _ => None,
        };
        let until = until.map_or(String::new(), |until| match until.seconds_since(now) {
            0 => format!(" (due since {})", until.utc()),
            left => format!(" until {}, for {left} s", until.utc()),
        });
        let needed = match round.state {
            RoundState::Closed | RoundState::Opened => Some(overview.endorsements_needed),
            RoundState::Certified => Some(overview.openings_needed),
            _ => None,
        };
        let needed = needed.map_or(String::new(), |needed| format!(" ({needed} are needed)"));
        let sites = listed(&sites.iter().map(|site| &site.site).collect::<Vec<_>>());
        let state = state(round.state);
        said.push(format!(
            "round {number}: {state}; still to come{until}: {what}{needed} of {sites}"
        ));
    }
    said
}

/// Sites by name, of many the first.
pub(super) fn listed(sites: &[&SiteId]) -> String {
    let names: Vec<&str> = sites.iter().take(MOST_NAMES).map(|site| site.as_str()).collect();
    match sites.len().saturating_sub(MOST_NAMES) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// Who opens the next round.
pub(super) fn next(turn: &OpenTurn, now: UnixSeconds) -> String {
    let OpenTurn { round, initiator, since, late, now: due, passes_at } = turn;
    let left = passes_at.seconds_since(now);
    let passes = format!("from {} on (in {left} s) the next on the ring may, too", passes_at.utc());
    match late.is_empty() {
        true => {
            let since = since.utc();
            format!("round {round} is not open: the turn is {initiator}'s since {since}; {passes}")
        }
        false => {
            // A turn is as long as the next: until it passes on, so many have begun.
            let turns = late.len() as u64 + 1;
            let turn = passes_at.seconds_since(*since).checked_div(turns).unwrap_or(0);
            let began = |place: u64| since.after(turn.saturating_mul(place)).utc();
            let named = late.iter().zip(0..).take(MOST_NAMES);
            let mut names: Vec<String> =
                named.map(|(site, place)| format!("{site} since {}", began(place))).collect();
            match late.len().saturating_sub(MOST_NAMES) {
                0 => {}
                more => names.push(format!("and {more} more")),
            }
            format!(
                "round {round} is not open: LATE {}; {due} may open it since {}, {passes}",
                names.join(", "),
                began(late.len() as u64)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use ringfence_crypto::id::RoundNumber;

    use super::*;

    #[test]
    fn of_many_sites_the_first_are_listed() {
        let sites: Vec<SiteId> = (0..40).map(|site| format!("s{site}").parse().unwrap()).collect();
        let said = listed(&sites.iter().collect::<Vec<_>>());
        assert!(said.starts_with("s0, s1, ") && said.ends_with(", s31 and 8 more"), "{said}");
        assert_eq!(listed(&[]), "");
    }

    #[test]
    fn a_turn_that_has_passed_names_who_is_late() {
        let site = |name: &str| -> SiteId { name.parse().unwrap() };
        let turn = OpenTurn {
            round: RoundNumber(3),
            initiator: site("a"),
            since: UnixSeconds(1_800_000_000),
            late: vec![site("a"), site("b")],
            now: site("c"),
            passes_at: UnixSeconds(1_800_003_600),
        };
        let said = next(&turn, UnixSeconds(1_800_003_540));
        assert_eq!(
            said,
            "round 3 is not open: LATE a since 2027-01-15 08:00:00 UTC, b since 2027-01-15 08:20:00 UTC; c may open it since 2027-01-15 08:40:00 UTC, from 2027-01-15 09:00:00 UTC on (in 60 s) the next on the ring may, too"
        );
        let first = OpenTurn { late: Vec::new(), now: site("a"), ..turn };
        let said = next(&first, UnixSeconds(1_800_000_010));
        assert!(said.starts_with("round 3 is not open: the turn is a's since 2027"), "{said}");
    }
}
