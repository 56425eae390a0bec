//! A study's overview as text: a table of rounds and sites, and who is waited for.

use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::round::RoundState;
use ringfence_site::overview::{OpenTurn, Overview, RoundOverview, SiteRound, Step};
use ringfence_site::transport::escaped;

use super::table::{Column, blocks, shortened, wrapped};

/// Most letters of a site's name where the table does not fit otherwise.
const SHORT_NAME: usize = 13;

/// What the marks of a cell mean, in their order.
const LEGEND: &str = "Five marks for each site: c contributed, r reviewed, e endorsed, o opened, a acknowledged; . not yet; ! late: its time is over; - not its duty (- in the middle: it holds no keys in this round). In the first place also: b barred, x contributed but left out of the sum, w contributed but wanted again.";

/// The overview in lines of at most so many characters, as far as names allow. `now` is this
/// machine's time.
pub(super) fn text(overview: &Overview, now: UnixSeconds, columns: usize) -> String {
    let line = |text: String| wrapped(&text, columns);
    let mut text = line(format!(
        "study {} ({}), {}; seen at {}",
        escaped(&overview.name),
        overview.study.short(),
        rounds(overview),
        now.utc()
    ));
    if let Some(last) = overview.rounds.last() {
        text += "\n";
        text += &table(overview, last, columns);
        text += "\n";
        text += &line(LEGEND.to_owned());
        text += "\n";
        standing(overview, last, now).into_iter().for_each(|sentence| text += &line(sentence));
    }
    if !overview.barred.is_empty() {
        let barred = overview.barred.iter().map(|site| site.as_str()).collect::<Vec<_>>();
        text += &line(format!("barred, by signed reviews and verdicts: {}", barred.join(", ")));
    }
    if let Some(turn) = &overview.turn {
        text += &line(next(turn, now));
    }
    if overview.ended {
        text += "the study has ended\n";
    }
    text
}

fn rounds(overview: &Overview) -> String {
    let planned = match overview.planned_rounds {
        Some(planned) => format!("{} of {planned} rounds opened", overview.opened_rounds),
        None => format!("{} rounds opened", overview.opened_rounds),
    };
    match overview.rounds.first() {
        Some(first) if first.round.0 > 0 => format!("{planned}, shown from {} on", first.round),
        _ => planned,
    }
}

fn table(overview: &Overview, last: &RoundOverview, columns: usize) -> String {
    let rounds = &overview.rounds;
    let column = |heading: &str, cell: &dyn Fn(&RoundOverview) -> String| Column {
        heading: heading.to_owned(),
        cells: rounds.iter().map(cell).collect(),
    };
    let first = column("round", &|round| round.round.to_string());
    let names: Vec<&str> = last.sites.iter().map(|site| site.site.as_str()).collect();
    let others = |most: usize| {
        let names = shortened(&names, most);
        let name = |site: &str| names.get(place(last, site)).cloned().unwrap_or_default();
        let mut others = vec![
            column("state", &|round| state(round.state).to_owned()),
            column("opened by", &|round| name(round.initiator.as_str())),
            column("deadline, UTC", &|round| short_time(round.deadline)),
        ];
        others.extend(names.iter().enumerate().map(|(place, name)| {
            column(name, &|round| round.sites.get(place).map(marks).unwrap_or_default())
        }));
        others
    };
    let whole = blocks(&first, &others(usize::MAX), columns);
    // One block has no empty line.
    match whole.contains("\n\n") {
        true => blocks(&first, &others(SHORT_NAME), columns),
        false => whole,
    }
}

fn place(round: &RoundOverview, site: &str) -> usize {
    round.sites.iter().position(|of| of.site.as_str() == site).unwrap_or(usize::MAX)
}

/// `2027-01-15 08:00:00`.
fn short_time(time: UnixSeconds) -> String {
    let text = time.utc().to_string();
    text.split_once(" UTC").map_or(text.clone(), |(short, _)| short.to_owned())
}

fn state(state: RoundState) -> &'static str {
    match state {
        RoundState::Collecting => "collecting",
        RoundState::Reviewing => "reviewing",
        RoundState::Closed => "closed",
        RoundState::Certified => "certified",
        RoundState::Opened => "opened",
        RoundState::Aborted => "aborted",
    }
}

fn marks(site: &SiteRound) -> String {
    let mark = |step, done| match step {
        Step::Done => done,
        Step::Pending => '.',
        Step::Late => '!',
        Step::NotDue => '-',
    };
    let contributed = match site {
        SiteRound { barred: true, .. } => 'b',
        SiteRound { left_out: Some(_), .. } => 'x',
        SiteRound { wanted: true, .. } => 'w',
        site => mark(site.contributed, 'c'),
    };
    let steps = [
        contributed,
        mark(site.reviewed, 'r'),
        mark(site.endorsed, 'e'),
        mark(site.opened, 'o'),
        mark(site.acknowledged, 'a'),
    ];
    steps.into_iter().collect()
}

/// How the last round stands, who holds its keys, who is late in it, and who is waited for.
fn standing(overview: &Overview, round: &RoundOverview, now: UnixSeconds) -> Vec<String> {
    let number = round.round;
    let named = |of: &dyn Fn(&&SiteRound) -> bool| {
        let sites = round.sites.iter().filter(of);
        sites.map(|site| site.site.as_str()).collect::<Vec<_>>().join(", ")
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
        let sites: Vec<_> = sites.iter().map(|site| site.site.as_str()).collect();
        let state = state(round.state);
        said.push(format!(
            "round {number}: {state}; still to come{until}: {what}{needed} of {}",
            sites.join(", ")
        ));
    }
    said
}

/// Who opens the next round.
fn next(turn: &OpenTurn, now: UnixSeconds) -> String {
    let OpenTurn { round, initiator, since, late, now: due, passes_at } = turn;
    let since = since.utc();
    let left = passes_at.seconds_since(now);
    let passes = format!("from {} on (in {left} s) the next on the ring may, too", passes_at.utc());
    match late.is_empty() {
        true => {
            format!("round {round} is not open: the turn is {initiator}'s since {since}; {passes}")
        }
        false => {
            let late: Vec<&str> = late.iter().map(|site| site.as_str()).collect();
            format!(
                "round {round} is not open: LATE {}, whose turn began at {since}; {due} may open it now, {passes}",
                late.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use ringfence_crypto::Digest;
    use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
    use ringfence_crypto::statement::ExclusionReason;

    use super::*;

    /// A study whose last round is being reviewed: its second site is late, its third is barred.
    fn overview(sites: usize) -> Overview {
        let site = |place: usize| -> SiteId {
            format!("university-hospital-no-{place:02}-east").parse().unwrap()
        };
        let step = |done: bool| if done { Step::Done } else { Step::Pending };
        let round = |number: u32, state: RoundState| RoundOverview {
            round: RoundNumber(number),
            state,
            initiator: site(0),
            opened_at: UnixSeconds(1_800_000_000),
            deadline: UnixSeconds(1_800_003_600),
            reviews_until: Some(UnixSeconds(1_800_004_200)),
            closed_at: None,
            sites: (0..sites)
                .map(|place| SiteRound {
                    site: site(place),
                    holds_keys: place < 3,
                    barred: place == 2,
                    contributed: if place == 1 { Step::Late } else { Step::Done },
                    left_out: (place == 4).then_some(ExclusionReason::Accused),
                    wanted: place == 3,
                    reviewed: if place < 3 { step(place == 0) } else { Step::NotDue },
                    endorsed: if place < 3 { Step::Pending } else { Step::NotDue },
                    opened: Step::NotDue,
                    acknowledged: step(state == RoundState::Opened),
                })
                .collect(),
        };
        Overview {
            study: StudyId(Digest::of(b"study")),
            name: "lungs".into(),
            opened_rounds: 12,
            planned_rounds: Some(20),
            ended: false,
            endorsements_needed: 3,
            openings_needed: 2,
            barred: vec![site(2)],
            rounds: vec![round(10, RoundState::Opened), round(11, RoundState::Reviewing)],
            turn: None,
        }
    }

    #[test]
    fn five_and_twenty_sites_with_long_names_fit_80_and_120_columns() {
        for sites in [5, 20] {
            for columns in [80, 120] {
                let overview = overview(sites);
                let text = text(&overview, UnixSeconds(1_800_004_140), columns);
                println!("{text}");
                for line in text.lines() {
                    assert!(line.chars().count() <= columns, "{line}");
                }
                // Every site has a column of its own, by a name that no other has.
                for place in 0..sites {
                    let heading = format!("no-{place:02}-east");
                    let tail = &heading[heading.len() - 7..];
                    assert!(text.contains(tail), "{tail}: {text}");
                }
                // Two rounds of each kind of cell: c, late, barred, wanted, left out.
                for (cell, count) in [("cr..a", 0), ("cr.-.", 1), ("!..-.", 1), ("b..-.", 1)] {
                    assert_eq!(text.matches(cell).count(), count, "{cell}: {text}");
                }
                for cell in ["w---a", "w---.", "x---a", "x---."] {
                    assert_eq!(text.matches(cell).count(), 1, "{cell}: {text}");
                }
                let unwrapped = text.replace("\n  ", " ");
                for sentence in [
                    "12 of 20 rounds opened, shown from 10 on; seen at 2027-01-15 09:09:00 UTC",
                    "LATE with the contribution: university-hospital-no-01-east\n",
                    "for 60 s: reviews of university-hospital-no-01-east, university-hospital-no-02-east\n",
                    "barred, by signed reviews and verdicts: university-hospital-no-02-east\n",
                    "the sum goes without university-hospital-no-04-east: a key holder",
                ] {
                    assert!(unwrapped.contains(sentence), "{sentence}: {unwrapped}");
                }
            }
        }
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
            "round 3 is not open: LATE a, b, whose turn began at 2027-01-15 08:00:00 UTC (1800000000); c may open it now, from 2027-01-15 09:00:00 UTC (1800003600) on (in 60 s) the next on the ring may, too"
        );
        let first = OpenTurn { late: Vec::new(), now: site("a"), ..turn };
        let said = next(&first, UnixSeconds(1_800_000_010));
        assert!(said.starts_with("round 3 is not open: the turn is a's since 2027"), "{said}");
    }
}
