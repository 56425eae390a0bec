//! Against brute force over the rationals, on few sites.

use proptest::prelude::*;

use super::*;

fn site(place: usize) -> SiteId {
    format!("s{place}").parse().unwrap()
}

fn measured(sets: &[Vec<usize>]) -> CohortReport {
    measured_without(sets, &[])
}

fn measured_without(sets: &[Vec<usize>], corrupt: &[usize]) -> CohortReport {
    let ids: Vec<SiteId> = (0..1_000).map(site).collect();
    let opened: Vec<OpenedSet<'_>> = sets
        .iter()
        .enumerate()
        .map(|(round, set)| OpenedSet {
            round: RoundNumber(round as u32),
            sites: set.iter().map(|place| &ids[*place]).collect(),
        })
        .collect();
    measure(&opened, &corrupt.iter().map(|place| site(*place)).collect())
}

/// Rank of rows of integers, by elimination without fractions.
fn rank(mut rows: Vec<Vec<i128>>) -> usize {
    let width = rows.first().map_or(0, Vec::len);
    let mut rank = 0;
    for column in 0..width {
        let Some(pivot) = (rank..rows.len()).find(|row| rows[*row][column] != 0) else { continue };
        rows.swap(rank, pivot);
        let by = rows[rank].clone();
        for row in rows.iter_mut().skip(rank + 1) {
            let (a, b) = (by[column], row[column]);
            row.iter_mut().zip(&by).for_each(|(cell, by)| *cell = *cell * a - by * b);
            let divisor = row.iter().fold(0, |a, b| gcd(a, b.abs()));
            if divisor > 1 {
                row.iter_mut().for_each(|cell| *cell /= divisor);
            }
        }
        rank += 1;
    }
    rank
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn matrix(sets: &[Vec<usize>], width: usize) -> Vec<Vec<i128>> {
    let row = |set: &Vec<usize>| (0..width).map(|place| i128::from(set.contains(&place))).collect();
    sets.iter().map(row).collect()
}

/// The fewest columns that a combination is over, by trying every set of columns: one holds a
/// combination if the rank falls when all others are kept.
fn fewest_by_force(sets: &[Vec<usize>], width: usize) -> usize {
    let rows = matrix(sets, width);
    let whole = rank(rows.clone());
    let over = |mask: usize| {
        let left = |row: &Vec<i128>| {
            row.iter()
                .enumerate()
                .filter(|(place, _)| mask >> place & 1 == 0)
                .map(|(_, v)| *v)
                .collect()
        };
        rank(rows.iter().map(left).collect()) < whole
    };
    let masks = (1usize..1 << width).filter(|mask| over(*mask));
    masks.map(|mask| mask.count_ones() as usize).min().unwrap()
}

fn cohorts() -> impl Strategy<Value = (usize, Vec<Vec<usize>>)> {
    (2usize..8).prop_flat_map(|width| {
        let set = proptest::collection::btree_set(0..width, 1..=width);
        let sets = proptest::collection::vec(set.prop_map(|set| set.into_iter().collect()), 1..8);
        (Just(width), sets)
    })
}

proptest! {
    #[test]
    fn what_is_measured_is_what_brute_force_finds((width, sets) in cohorts()) {
        let report = measured(&sets);
        let rows = matrix(&sets, width);
        prop_assert_eq!(report.rank, rank(rows.clone()));
        prop_assert_eq!(report.rounds, sets.len());
        let alone = |place: &usize| {
            let unit = (0..width).map(|column| i128::from(column == *place)).collect();
            rank(rows.iter().cloned().chain([unit]).collect()) == report.rank
        };
        let alone: BTreeSet<SiteId> = (0..width).filter(alone).map(site).collect();
        prop_assert_eq!(report.singled_out.iter().cloned().collect::<BTreeSet<_>>(), alone);
        let apart = |a: &Vec<usize>, b: &Vec<usize>| (0..width).filter(|at| a.contains(at) != b.contains(at)).count();
        let pairs = sets.iter().flat_map(|a| sets.iter().map(move |b| apart(a, b))).filter(|n| *n > 0);
        prop_assert_eq!(report.closest.as_ref().map(Difference::sites), pairs.min());
        prop_assert_eq!(report.fewest.unwrap().exactly(), Some(fewest_by_force(&sets, width)));
        prop_assert!(report.complete);
    }
}

#[test]
fn two_rounds_that_differ_in_one_site_single_it_out() {
    let report = measured(&[vec![0, 1, 2, 3, 4], vec![0, 1, 2, 3]]);
    assert_eq!((report.rank, report.sets, report.groups), (2, 2, 2));
    assert_eq!(report.singled_out, [site(4)]);
    let closest = report.closest.clone().unwrap();
    assert_eq!((closest.only_first, closest.only_second), (vec![site(4)], vec![]));
    let said = report.sentences(1).join(" ");
    assert!(said.contains("differ in 1 site: s4 in that of round 0 only"), "{said}");
    assert!(said.contains("would single out 1 site: s4"), "{said}");
}

/// No two sets differ in one site, and three of them single every site out.
#[test]
fn sums_of_which_no_two_are_close_may_single_sites_out() {
    let report = measured(&[vec![0, 1], vec![1, 2], vec![0, 2]]);
    assert_eq!(report.closest.unwrap().only_first.len(), 1);
    assert_eq!(report.singled_out, [site(0), site(1), site(2)]);
    // With signs only it would be half of that: the rationals have halves.
    assert_eq!(report.rank, 3);
}

#[test]
fn sets_of_whole_groups_are_combined_to_whole_groups() {
    let [a, b, c] = [[0, 1, 2], [3, 4, 5], [6, 7, 8]];
    let sets = [[a, b].concat(), [b, c].concat(), [a, c].concat(), [a, b].concat()];
    let report = measured(&sets);
    assert_eq!((report.rounds, report.sets, report.rank, report.groups), (4, 3, 3, 3));
    assert_eq!((report.fewest.unwrap().exactly(), report.singled_out.len()), (Some(3), 0));
    let said = report.sentences(1);
    assert!(said.iter().any(|words| words.contains("over fewer than 3 sites")), "{said:?}");
    // With c = 2 three sites are one honest one at worst.
    let said = report.sentences(2).join(" ");
    assert!(said.contains("fewer than 4 may single a site out"), "{said}");
}

#[test]
fn corrupt_sites_are_not_counted() {
    let sets = [vec![0, 1, 2, 3], vec![0, 1, 2]];
    let report = measured_without(&sets, &[3]);
    assert_eq!((report.sets, report.sites, report.closest), (1, 3, None));
    assert_eq!(report.fewest.unwrap().exactly(), Some(3));
}

#[test]
fn nothing_opened_is_nothing_measured() {
    let report = measured(&[]);
    assert_eq!((report.rank, report.fewest, report.complete), (0, None, true));
    assert!(report.sentences(1)[0].starts_with("No sum was opened yet"));
}

/// The bounds are what they say where the number itself is not searched for.
#[test]
fn of_many_sites_there_are_bounds() {
    // Forty sites, twenty sets that each leave out two neighbours' places.
    let sets: Vec<Vec<usize>> =
        (0..20).map(|round| (0..40).filter(|place| place / 2 % 19 != round).collect()).collect();
    let report = measured(&sets);
    let fewest = report.fewest.unwrap();
    assert!(fewest.at_least <= fewest.at_most && fewest.at_least >= 2, "{report:?}");
    assert!(report.complete);
}

/// Sites come and go by chance: what is measured is measured in time.
#[test]
fn a_thousand_sites_and_rounds_are_measured_in_seconds() {
    let (sites, rounds) = if cfg!(debug_assertions) { (200, 300) } else { (1_000, 3_000) };
    let mut state = 1u64;
    let mut chance = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    let sets: Vec<Vec<usize>> =
        (0..rounds).map(|_| (0..sites).filter(|_| chance() > 0.1).collect()).collect();
    let start = std::time::Instant::now();
    let report = measured(&sets);
    println!("{sites} sites, {rounds} rounds: {:?}", start.elapsed());
    assert_eq!((report.rank, report.singled_out.len(), report.complete), (sites, sites, true));
    assert!(start.elapsed().as_secs() < 120, "{:?}", start.elapsed());
}
