//! A study's overview as text: a table of rounds and sites, and who is waited for.

use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::round::RoundState;
use ringfence_site::overview::{Overview, RoundOverview, SiteRound, Step};
use ringfence_site::transport::escaped;
use ringfence_words::counted;

use super::sentences::{listed, next, standing};
use super::table::{Column, blocks, shortened, wrapped};

/// Most letters of a site's name where the table does not fit otherwise.
const SHORT_NAME: usize = 13;

/// What the marks of a cell mean, in their order.
const LEGEND: &str = "Five marks for each site: c contributed, r reviewed, e endorsed, o opened, a acknowledged; . not yet; ! late: its time is over; - not its duty (- in the middle: it holds no keys in this round). In the first place also: b barred, x contributed but left out of the sum, w contributed but wanted again.";

/// The overview in lines of at most so many characters, as far as names allow; with what the marks
/// mean where `legend` says so. `now` is this machine's time.
pub(super) fn text(overview: &Overview, now: UnixSeconds, columns: usize, legend: bool) -> String {
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
        if legend {
            text += &line(LEGEND.to_owned());
            text += "\n";
        }
        standing(overview, last, now).into_iter().for_each(|sentence| text += &line(sentence));
    }
    if !overview.barred.is_empty() {
        let barred = listed(&overview.barred.iter().collect::<Vec<_>>());
        text += &line(format!("barred, by signed reviews and verdicts: {barred}"));
    }
    if overview.cohorts.rounds > 0 {
        text += &line(format!(
            "together, the sums of these rounds: {}",
            overview.cohorts_in_words.join(" ")
        ));
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
        Some(planned) => {
            format!("{} of {} begun", overview.opened_rounds, counted(planned.into(), "round"))
        }
        None => format!("{} begun", counted(overview.opened_rounds.into(), "round")),
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
    // Those of the present roster, and after them those that are gone since the first of these rounds.
    let mut names: Vec<&str> = Vec::new();
    for site in std::iter::once(last).chain(rounds).flat_map(|round| &round.sites) {
        if !names.contains(&site.site.as_str()) {
            names.push(site.site.as_str());
        }
    }
    let others = |most: usize| {
        let short = shortened(&names, most);
        let place = |site: &str| names.iter().position(|name| *name == site);
        let name = |site: &str| place(site).and_then(|place| short.get(place)).cloned();
        let mut others = vec![
            column("state", &|round| state(round.state).to_owned()),
            column("opened by", &|round| name(round.initiator.as_str()).unwrap_or_default()),
            column("deadline, UTC", &|round| short_time(round.deadline)),
        ];
        others.extend(names.iter().zip(&short).map(|(name, short)| {
            column(short, &|round| {
                let site = round.sites.iter().find(|of| of.site.as_str() == *name);
                site.map(marks).unwrap_or_default()
            })
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

/// `2027-01-15 08:00:00`.
fn short_time(time: UnixSeconds) -> String {
    let text = time.utc().to_string();
    text.split_once(" UTC").map_or(text.clone(), |(short, _)| short.to_owned())
}

pub(super) fn state(state: RoundState) -> &'static str {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ringfence_crypto::Digest;
    use ringfence_crypto::cohorts::{OpenedSet, measure};
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
            cohorts: measure(&[], &BTreeSet::new()),
            cohorts_in_words: Vec::new(),
            rounds: vec![round(10, RoundState::Opened), round(11, RoundState::Reviewing)],
            turn: None,
        }
    }

    /// The second round is the first without its last site: that one is named, and nobody is while
    /// nothing was opened.
    #[test]
    fn what_the_sums_tell_together_is_said_once_there_are_sums() {
        let mut overview = overview(4);
        let shown = |overview: &Overview| text(overview, UnixSeconds(1_800_004_140), 400, false);
        assert!(!shown(&overview).contains("together, the sums"), "{}", shown(&overview));
        let of: Vec<SiteId> =
            overview.rounds[0].sites.iter().map(|site| site.site.clone()).collect();
        let set = |round, sites: usize| OpenedSet {
            round: RoundNumber(round),
            sites: of.iter().take(sites).collect(),
        };
        overview.cohorts = measure(&[set(8, 4), set(9, 3)], &BTreeSet::new());
        overview.cohorts_in_words = overview.cohorts.sentences(1);
        let said = shown(&overview);
        for expected in [
            "together, the sums of these rounds: 2 sums were opened over 2 different sets of 4 sites",
            "would single out 1 site: university-hospital-no-03-east",
        ] {
            assert!(said.contains(expected), "{expected:?} is not said:\n{said}");
        }
    }

    /// After a change of the roster each site's marks stand under its own name, and nobody else's.
    #[test]
    fn a_site_that_is_gone_has_a_column_of_its_own_and_a_newcomer_no_marks_before_it_came() {
        let mut overview = overview(4);
        let (gone, new): (SiteId, SiteId) = ("gone".parse().unwrap(), "new".parse().unwrap());
        overview.rounds[0].sites[3].site = gone.clone();
        overview.rounds[0].initiator = gone;
        overview.rounds[1].sites[3].site = new;
        let text = text(&overview, UnixSeconds(1_800_004_140), 200, false);
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("  ")).collect();
        let [heading, before, after] = lines[..3] else { panic!("{text}") };
        let under = |line: &str, name: &str| {
            let at = heading.find(&format!("  {name}")).unwrap() + 2;
            line.get(at..).unwrap_or_default().chars().take(5).collect::<String>()
        };
        assert_eq!(under(before, "gone"), "w---a", "{text}");
        assert_eq!(under(after, "gone"), "", "{text}");
        assert_eq!((under(before, "new").trim(), &*under(after, "new")), ("", "w---."), "{text}");
        assert!(before.starts_with("10     opened     gone"), "{text}");
    }

    #[test]
    fn five_and_twenty_sites_with_long_names_fit_80_and_120_columns() {
        for sites in [5, 20] {
            for columns in [80, 120] {
                let overview = overview(sites);
                let text = text(&overview, UnixSeconds(1_800_004_140), columns, true);
                println!("{text}");
                for line in text.lines() {
                    assert!(line.chars().count() <= columns, "{line}");
                }
                // Every site has a column of its own, by a name that no other has.
                let headings: BTreeSet<&str> = text
                    .lines()
                    .filter(|line| line.starts_with("round  "))
                    .flat_map(|line| line.split_whitespace().filter(|word| word.contains("-east")))
                    .collect();
                assert_eq!(headings.len(), sites, "{text}");
                // Two rounds of each kind of cell: c, late, barred, wanted, left out.
                for (cell, count) in [("cr..a", 0), ("cr.-.", 1), ("!..-.", 1), ("b..-.", 1)] {
                    assert_eq!(text.matches(cell).count(), count, "{cell}: {text}");
                }
                for cell in ["w---a", "w---.", "x---a", "x---."] {
                    assert_eq!(text.matches(cell).count(), 1, "{cell}: {text}");
                }
                let unwrapped = text.replace("\n  ", " ");
                for sentence in [
                    "12 of 20 rounds begun, shown from 10 on; seen at 2027-01-15 09:09:00 UTC",
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
}
